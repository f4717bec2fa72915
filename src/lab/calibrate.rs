//! Measures what this machine costs, by really doing it: threads and timers here, everything else as small orders.
//!
//! Orders are cooked as a comparison cooks them (isolation `kitchen`), so that what is foreseen with these figures is what a
//! comparison measures. Medians of a few; what comes out below nothing is nothing. It deliberately bends no figure.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::oneshot;

use super::calibration::{Calibration, Measured, host};
use super::probe::effective_cores;
use crate::clock;
use crate::domain::Ns;
use crate::domain::ask::{OrderAsk, SetupAsk, Value};
use crate::domain::recipe::{Recipe, Step, Work};
use crate::domain::spec::Spec;
use crate::domain::summary::Summary;
use crate::kitchen::{Alone, Found, Kitchen};
use crate::model::cancel::Cancel;
use crate::model::tune::{self, Staffed};
use crate::sim::Costs;

/// Times each small order is cooked.
const TIMES: usize = 3;

/// Measures, alone in the house.
pub async fn calibrate(kitchen: &Arc<Kitchen>, last: Calibration) -> Result<Calibration, String> {
    let alone = kitchen.alone().await.map_err(|busy| busy.to_string())?;
    let started = clock::now();
    let cores = last.cores;
    let (reply, by_hand) = oneshot::channel();
    // As nice as an order's own staff, and so are the threads it starts: neighbours leave them less than they leave us.
    let measure = move || {
        tune::burner(Staffed::Own);
        let _ = reply.send((threads(Costs::default()), burners(cores)));
    };
    std::thread::Builder::new().name("calibration".to_owned()).spawn(measure).map_err(|error| error.to_string())?;
    let (costs, effective_cores) = by_hand.await.map_err(|error| error.to_string())?;
    let costs = Bench { kitchen, alone: &alone }.orders(costs).await?;
    let took_ms = (clock::now() - started) / 1_000_000;
    let measured = Some(Measured { at_us: clock::wall_us(), took_ms, host: host(cores) });
    Ok(Calibration { costs, effective_cores, measured, ..last })
}

/// What burners get together, from one to twice as many as there are cores.
fn burners(cores: u32) -> Vec<(u32, f64)> {
    let few = |n: &u32| cores <= 4 || n.is_power_of_two() || *n == cores || *n == 2 * cores;
    (1..=2 * cores).filter(few).map(|n| (n, effective_cores(n as usize))).collect()
}

fn median(mut values: Vec<Ns>) -> Ns {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Threads and timers of this process.
fn threads(costs: Costs) -> Costs {
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
        thread_start: median(starts),
        thread_birth: median(births),
        thread_late: median(lates.collect()),
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
    let way = median(times.collect());
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
        median(lates)
    };
    Some(runtime.block_on(late))
}

/// Where small orders are cooked.
struct Bench<'a> {
    kitchen: &'a Arc<Kitchen>,
    alone: &'a Alone<'a>,
}

/// One of them as it went.
struct Cooked {
    summary: Summary,
    /// Starts of its steps, ascending.
    starts: Vec<Ns>,
}

impl Cooked {
    fn peak(&self) -> u64 {
        self.summary.bill.as_ref().map_or(0, |bill| bill.sum.peak_rss_bytes)
    }

    /// CPU time of all its processes: unlike the time on the wall it is the same beside neighbours.
    fn cpu(&self) -> Ns {
        self.summary.bill.as_ref().map_or(0, |bill| bill.sum.cpu)
    }
}

type Setup<'a> = &'a [(&'a str, Value)];

impl Bench<'_> {
    /// Cooks dishes of equal steps that follow one another.
    async fn cook(&self, model: &str, setup: Setup<'_>, steps: &[Work], dishes: u32) -> Result<Cooked, String> {
        let setup = SetupAsk(setup.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect());
        let ask = OrderAsk {
            model: Some(model.to_owned()),
            setup: Some(setup),
            isolation: Some("kitchen".to_owned()),
            io_ms: Some(0),
            seed: Some(1),
            ..OrderAsk::default()
        };
        let said = |bad: Vec<crate::domain::resolve::Violation>| bad.into_iter().map(|v| v.detail).collect::<String>();
        let spec = self.kitchen.resolve(ask).map_err(said)?;
        let step = |(i, work): (usize, &Work)| Step { after: (1 << i) >> 1, ..Step::plain(&i.to_string(), *work) };
        let steps = steps.iter().enumerate().map(step).collect();
        let recipe = Recipe { name: "calibration".into(), steps, equipment: Box::default() };
        let labels = [("calibration".into(), "1".into())].into();
        let spec = Spec { recipe: Arc::new(recipe), dishes, labels, ..spec };
        let id = self.alone.submit(spec).map_err(|refusal| refusal.to_string())?.id;
        let watched = self.kitchen.watch(id);
        loop {
            let ended = watched.ended();
            match self.kitchen.get(id) {
                Found::Here(job) if job.status.is_done() => {
                    let records = self.kitchen.store.steps(id).unwrap_or_default();
                    let mut starts: Vec<Ns> = records.iter().map(|record| record.started).collect();
                    starts.sort_unstable();
                    let summary = job.summary.filter(|_| job.error.is_none());
                    return summary
                        .map(|summary| Cooked { summary: *summary, starts })
                        .ok_or_else(|| "a run failed".to_owned());
                }
                Found::Here(_) => ended.await,
                _ => return Err("a run disappeared while it was measured".to_owned()),
            }
        }
    }

    /// The median of a figure over a few runs.
    async fn figure(
        &self,
        model: &str,
        setup: Setup<'_>,
        (steps, dishes): (&[Work], u32),
        of: impl Fn(&Cooked) -> Ns,
    ) -> Result<Ns, String> {
        let mut figures = Vec::new();
        for _ in 0..TIMES {
            figures.push(of(&self.cook(model, setup, steps, dishes).await?));
        }
        Ok(median(figures))
    }

    /// Everything that is measured by cooking.
    async fn orders(&self, costs: Costs) -> Result<Costs, String> {
        let costs = self.loops(costs).await?;
        let costs = self.pools(costs).await?;
        self.kitchens(costs).await
    }

    async fn loops(&self, costs: Costs) -> Result<Costs, String> {
        const DISHES: u32 = 20_000;
        const WAIT: Duration = Duration::from_millis(20);
        const ITERATIONS: u64 = 2_000_000;
        let nothing = (&[Work::Wait(Duration::ZERO)][..], 1);
        let begin = self.figure("asyncio", &[], nothing, |run| run.starts.first().copied().unwrap_or(0)).await?;
        let process_bytes = self.figure("asyncio", &[], nothing, Cooked::peak).await?;
        let many = (&[Work::Wait(WAIT)][..], DISHES);
        let (alone, all) = (
            self.figure("asyncio", &[], nothing, Cooked::cpu).await?,
            self.figure("asyncio", &[], many, Cooked::cpu).await?,
        );
        let peak = self.figure("asyncio", &[], many, Cooked::peak).await?;
        let a_dish = all.saturating_sub(alone) / u64::from(2 * DISHES);
        let sums = (&[Work::Iterations(ITERATIONS)][..], 1);
        let cpu = self.figure("asyncio", &[], sums, |run| run.summary.totals.terms.cpu).await?;
        let bytes = peak.saturating_sub(process_bytes) / u64::from(DISHES);
        Ok(Costs {
            begin,
            loop_begin: a_dish,
            loop_end: a_dish,
            process_bytes,
            task_bytes: bytes.saturating_sub(costs.dish_bytes),
            iterations_per_ms: (ITERATIONS * 1_000_000 / cpu.max(1)).max(1),
            ..costs
        })
    }

    async fn pools(&self, costs: Costs) -> Result<Costs, String> {
        const CHAIN: usize = 50;
        const THREADS: u32 = 64;
        let number = |name, n| [(name, Value::Number(n))];
        let chain = [Work::Iterations(0); CHAIN];
        let span = |run: &Cooked| {
            let first = run.starts.first().copied().unwrap_or(0);
            run.summary.makespan.saturating_sub(first) / CHAIN as u64
        };
        let step = self.figure("multithreading", &number("chefs", 1), (&chain, 1), span).await?.min(costs.step);
        let there_and_back = self.figure("asyncio", &number("assistants", 1), (&chain, 1), span).await?;
        let waits = (&[Work::Wait(Duration::from_millis(30))][..], THREADS);
        let peak = self.figure("multithreading", &number("chefs", u64::from(THREADS)), waits, Cooked::peak).await?;
        // What is neither work nor the loop's own is the way there and the way back.
        let ways = there_and_back.saturating_sub(step);
        let hand_over = costs.hand_over.min(ways / 4);
        let way = (ways - 2 * hand_over) / 2;
        Ok(Costs {
            step,
            hand_over,
            hand_back: way,
            wake: way,
            gil_switch: way.min(costs.gil_switch),
            thread_bytes: peak.saturating_sub(costs.process_bytes) / u64::from(THREADS),
            ..costs
        })
    }

    async fn kitchens(&self, costs: Costs) -> Result<Costs, String> {
        const CHAIN: usize = 50;
        const KITCHENS: u32 = 8;
        let kitchens = |n: u64, more: &[(&'static str, &str)]| {
            let more = more.iter().map(|(name, word)| (*name, Value::Word((*word).to_owned())));
            std::iter::once(("kitchens", Value::Number(n))).chain(more).collect::<Vec<_>>()
        };
        let first = |run: &Cooked| run.starts.first().copied().unwrap_or(0);
        let model = "multiprocessing";
        let chain = [Work::Wait(Duration::ZERO); CHAIN];
        let warm = kitchens(1, &[("start", "prewarmed")]);
        let steps = self.figure(model, &warm, (&chain, 1), |run| run.summary.makespan - first(run)).await?;
        let there_and_back = steps / CHAIN as u64;
        let pass = costs.pass.min(there_and_back / 3);
        let pipe = there_and_back.saturating_sub(costs.step + pass) / 2;
        let cold = kitchens(u64::from(KITCHENS), &[]);
        let waits = (&[Work::Wait(Duration::from_millis(60))][..], KITCHENS);
        let alone = self.figure("asyncio", &[], (&chain[..1], 1), Cooked::cpu).await?;
        let all = self.figure(model, &cold, waits, Cooked::cpu).await?;
        let peak = self.figure(model, &cold, waits, Cooked::peak).await?;
        // Start, life and end of one, divided as they are by default.
        let whole = costs.spawn_issue + costs.spawn + costs.exit;
        let life = all.saturating_sub(alone) / u64::from(KITCHENS);
        let part = |part: Ns| part * life / whole.max(1);
        let inside = kitchens(1, &[("start", "prewarmed"), ("inside", "asyncio")]);
        let nothing = (&[Work::Wait(Duration::ZERO)][..], 1);
        let inside = self.figure(model, &inside, nothing, first).await?;
        Ok(Costs {
            pipe,
            pass,
            spawn_issue: part(costs.spawn_issue),
            spawn: part(costs.spawn),
            exit: part(costs.exit),
            kitchen_begin: inside.saturating_sub(pipe + costs.begin.min(pipe)),
            kitchen_bytes: peak.saturating_sub(costs.process_bytes) / u64::from(KITCHENS),
            ..costs
        })
    }
}
