//! The kitchen itself: what this binary is when its parent re-executes it.
//!
//! It reads frames from stdin and answers on stdout until stdin ends, also in the middle of a step: then there is nobody
//! left to work for. One thread: a step is done between two frames. Only who cooks whole dishes that need what other
//! kitchens share does so beside, so that somebody hears what is lent. It deliberately inherits nothing but stdin, stdout
//! and stderr, and opens nothing but memory its parent shares with it.

use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use uuid::Uuid;

use super::confine::{self, Confinement};
use super::frames::{self, Account, Down, Up};
use super::hands::Hands;
use crate::clock;
use crate::domain::Ns;
use crate::domain::id::OrderId;
use crate::domain::job::OrderError;
use crate::domain::spec::Spec;
use crate::domain::summary::ProcessUse;
use crate::domain::ticks::Ticks;
use crate::model::cancel;
use crate::model::equipment::{Equipment, Lender};
use crate::model::run::{Finisher, Run, RunEnd};
use crate::model::staff::{Staff, StaffConfig};
use crate::model::tune;

/// First argument of a kitchen.
pub const ARGUMENT: &str = "__kitchen";

/// Time between two reports of a kitchen that cooks whole dishes.
const REPORT_EVERY: Duration = Duration::from_millis(20);

/// Runs a kitchen if these are a kitchen's arguments. To be called before anything else in `main`.
#[must_use]
pub fn main(mut args: impl Iterator<Item = std::ffi::OsString>) -> Option<ExitCode> {
    if args.nth(1)? != ARGUMENT {
        return None;
    }
    let number = |arg: Option<std::ffi::OsString>| arg.and_then(|a| a.to_str().and_then(|s| s.parse::<i32>().ok()));
    let (parent, niceness) = (number(args.next()), number(args.next()));
    let memory = args.next().and_then(|arg| arg.to_str()?.parse::<u64>().ok()).filter(|bytes| *bytes > 0);
    // Armed first, then looked: a parent that died in between is found out by the second.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != parent {
        return Some(ExitCode::FAILURE);
    }
    let confinement = Confinement::new(memory);
    tune::kitchen(niceness.unwrap_or(0));
    // A step that panics says so in its record; what a panic prints would stand where the house expects a frame.
    std::panic::set_hook(Box::new(|_| ()));
    Some(if serve(confinement).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn say(frame: &Up) -> std::io::Result<()> {
    // A frame above the pipe's atomic size is written in parts, and threads that need shared equipment speak, too.
    static WHOLE: Mutex<()> = Mutex::new(());
    let _whole = WHOLE.lock().unwrap_or_else(PoisonError::into_inner);
    frames::write(rustix::stdio::stdout(), frame).map(drop)
}

fn serve(mut confinement: Confinement) -> std::io::Result<()> {
    say(&Up::Hello)?;
    let mut hands = Hands::new();
    let mut borrower: Option<Arc<Equipment>> = None;
    let ticked = Ticked::default();
    let mut stdin = std::io::stdin().lock();
    while let Some(frame) = frames::read(&mut stdin)? {
        match frame {
            Down::Step(task) => say(&Up::Done(hands.step(&task, &mut stdin)?))?,
            Down::Cook(spec, start, false) => Cooking::begin(*spec, start, &mut confinement, None).report(&ticked)?,
            Down::Cook(spec, start, true) => {
                let lender = Box::new(|word| drop(say(&Up::from(word))));
                let cooking = Cooking::begin(*spec, start, &mut confinement, Some(lender));
                borrower.clone_from(&cooking.run.equipment);
                let ticked = ticked.clone();
                // This thread hears what is lent; without another one to cook there is nothing to be done.
                std::thread::Builder::new().name("cook".to_owned()).spawn(move || {
                    if cooking.report(&ticked).is_err() {
                        std::process::exit(1);
                    }
                })?;
            }
            Down::Lent(claim, held_idle) => borrower.iter().for_each(|equipment| equipment.lent(claim, held_idle)),
            // Heard where things are handed over.
            Down::Taken => {}
            Down::Bye(Account::None) => break,
            Down::Bye(account) => {
                let loop_lag = *ticked.lock().unwrap_or_else(PoisonError::into_inner);
                let used = clock::process_use(account == Account::Full);
                return say(&Up::Farewell(ProcessUse { loop_lag, ..used }));
            }
        }
    }
    Ok(())
}

/// How late the loops of all that it cooked were.
type Ticked = Arc<Mutex<Option<Ticks>>>;

#[derive(Default)]
struct Upstairs {
    end: Mutex<Option<RunEnd>>,
    changed: Condvar,
}

impl Finisher for Upstairs {
    fn finished(&self, _run: &Run, end: RunEnd) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        self.changed.notify_all();
    }
}

impl Upstairs {
    fn wait(&self) -> Option<RunEnd> {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(end, REPORT_EVERY, |end| end.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }
}

/// An order, or a share of one, in the hands of staff of this process.
struct Cooking {
    run: Arc<Run>,
    upstairs: Arc<Upstairs>,
    staff: Arc<Staff>,
}

impl Cooking {
    fn begin(spec: Spec, start: Ns, confinement: &mut Confinement, lender: Option<Lender>) -> Self {
        let config =
            StaffConfig { kitchen_memory: confinement.memory(), for_one_order: true, ..StaffConfig::of_this_process() };
        confinement.widen(&spec, config.cores);
        let upstairs = Arc::new(Upstairs::default());
        let model = crate::model::get(spec.model);
        let run = Arc::new(Run::new(OrderId(Uuid::nil()), Arc::new(spec), upstairs.clone()));
        run.set_start(start);
        if let Some((equipment, lender)) = run.equipment.as_ref().zip(lender) {
            equipment.borrow_from(lender);
        }
        let staff = Staff::new(config);
        model.start(run.clone(), &staff);
        Self { run, upstairs, staff }
    }

    /// Reports until it is over.
    fn report(self, ticked: &Ticked) -> std::io::Result<()> {
        let (error, at): (Option<OrderError>, Ns) = loop {
            let end = self.upstairs.wait();
            let delta = self.run.recorder.drain();
            if !delta.is_empty() {
                say(&Up::Live(delta))?;
            }
            if let Some(end) = end {
                break (end.error, end.at);
            }
            if cancel::is_lifeline_cut() {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
        };
        confine::allow_cpu(None);
        // While its children are still there: what they share with it is shared. Its own CPU time afterwards, to the last.
        let used = clock::process_use(true);
        let children = self.staff.dismiss();
        let loop_lag = self.staff.ticks(at);
        if let Some(ticks) = &loop_lag {
            ticked.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().add(ticks);
        }
        say(&Up::End(error, ProcessUse { cpu: clock::process_cpu(), loop_lag, ..used }, children))
    }
}
