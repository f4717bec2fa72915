//! What threads and timers of this process take, and what it gets of the cores; for the calibration.
//!
//! To be called on a thread that is as nice as an order's own staff: the threads it starts inherit that. It deliberately
//! cooks nothing.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::probe::effective_cores;
use crate::clock;
use crate::domain::Ns;
use crate::model::cancel::Cancel;
use crate::sim::Costs;

/// What burners get together, from one to twice as many as there are cores.
pub(super) fn burners(cores: u32) -> Vec<(u32, f64)> {
    let few = |n: &u32| cores <= 4 || n.is_power_of_two() || *n == cores || *n == 2 * cores;
    (1..=2 * cores).filter(few).map(|n| (n, effective_cores(n as usize))).collect()
}

/// A quarter is less: neighbours only ever add to a latency.
fn quartile(mut values: Vec<Ns>) -> Ns {
    values.sort_unstable();
    values.get(values.len() / 4).copied().unwrap_or(0)
}

/// Threads and timers of this process.
pub(super) fn threads(costs: Costs) -> Costs {
    let mut starts = Vec::new();
    let mut births = Vec::new();
    for _ in 0..16 {
        let asked = clock::now();
        let thread = std::thread::spawn(clock::now);
        let started = clock::now();
        starts.push(started - asked);
        births.extend(thread.join().ok().map(|born| born.saturating_sub(started)));
    }
    let lates = (0..15).map(|_| {
        let due = clock::now() + 1_000_000;
        Cancel::default().sleep_until(due);
        clock::now() - due
    });
    Costs {
        thread_start: quartile(starts),
        thread_birth: quartile(births),
        thread_late: quartile(lates.collect()),
        wake: hand_off(),
        loop_late: loop_late().unwrap_or(costs.loop_late),
        ..costs
    }
}

/// From one thread to another that sleeps, one way.
fn hand_off() -> Ns {
    let (there, inbox) = sync_channel::<Ns>(0);
    let (back, answers) = sync_channel::<Ns>(0);
    let partner = std::thread::spawn(move || inbox.iter().for_each(|asked| _ = back.send(clock::now() - asked)));
    let times = (0..50).filter_map(|_| {
        there.send(clock::now()).ok()?;
        answers.recv().ok()
    });
    let way = quartile(times.collect());
    drop(there);
    let _ = partner.join();
    way
}

/// How late an idle loop hears of its timer.
fn loop_late() -> Option<Ns> {
    const WAIT: Duration = Duration::from_millis(2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().event_interval(1).build().ok()?;
    let late = async {
        let mut lates = Vec::new();
        for _ in 0..15 {
            let due = clock::now() + clock::ns(WAIT);
            tokio::time::sleep(WAIT).await;
            lates.push(clock::now() - due);
        }
        quartile(lates)
    };
    Some(runtime.block_on(late))
}
