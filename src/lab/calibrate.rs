//! Measures what this machine costs, by really doing it: threads and timers here, everything else as small orders.
//!
//! Orders are cooked as a comparison cooks them (isolation `kitchen`), so that what is foreseen with these figures is what a
//! comparison measures. Medians of a few; what comes out below nothing is nothing. It deliberately bends no figure, and keeps
//! none of a calibration that was not over in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::calibration::{Calibration, Measured, host};
use super::latencies::{burners, threads};
use crate::clock;
use crate::domain::Ns;
use crate::domain::ask::{OrderAsk, SetupAsk, Value};
use crate::domain::job::ErrorKind;
use crate::domain::recipe::{Recipe, Step, Work};
use crate::domain::spec::Spec;
use crate::domain::summary::Summary;
use crate::kitchen::{Alone, Found, Kitchen};
use crate::model::tune::{self, Staffed};
use crate::sim::Costs;

/// Times each small order is cooked.
const TIMES: usize = 3;
/// Steps that follow one another, where the way there and back is measured.
const CHAIN: usize = 50;

/// Measures, alone in the house; a sentence if nothing came of it within `at_most`.
pub async fn calibrate(kitchen: &Arc<Kitchen>, last: Calibration, at_most: Duration) -> Result<Calibration, String> {
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
    let bench =
        Bench { kitchen, alone: &alone, at_most, until: started + clock::ns(at_most), cooked: AtomicU32::new(0) };
    let by_hand = tokio::time::timeout(at_most, by_hand).await.map_err(|_| bench.late())?;
    let (costs, effective_cores) = by_hand.map_err(|error| error.to_string())?;
    let costs = bench.orders(costs).await?;
    let took_ms = (clock::now() - started) / 1_000_000;
    let measured = Some(Measured { at_us: clock::wall_us(), took_ms, host: host(cores) });
    Ok(Calibration { costs, effective_cores, measured, ..last })
}

/// Where small orders are cooked.
struct Bench<'a> {
    kitchen: &'a Arc<Kitchen>,
    alone: &'a Alone<'a>,
    at_most: Duration,
    /// When that is over.
    until: Ns,
    cooked: AtomicU32,
}

/// One of them as it went.
struct Cooked {
    summary: Summary,
    /// Starts of its steps, ascending.
    starts: Vec<Ns>,
}

impl Cooked {
    /// Start of its first step.
    fn first(&self) -> Ns {
        self.starts.first().copied().unwrap_or(0)
    }

    /// From there to its end.
    fn span(&self) -> Ns {
        self.summary.makespan.saturating_sub(self.first())
    }

    fn peak(&self) -> u64 {
        self.summary.bill.as_ref().map_or(0, |bill| bill.sum.peak_rss_bytes)
    }

    /// CPU time of all its processes: unlike the time on the wall it is the same beside neighbours.
    fn cpu(&self) -> Ns {
        self.summary.bill.as_ref().map_or(0, |bill| bill.sum.cpu)
    }
}

/// The same order, cooked a few times.
struct Few(Vec<Cooked>);

impl Few {
    /// The median of a figure.
    fn median(&self, of: impl Fn(&Cooked) -> Ns) -> Ns {
        let mut figures: Vec<Ns> = self.0.iter().map(of).collect();
        figures.sort_unstable();
        figures.get(figures.len() / 2).copied().unwrap_or(0)
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
        let left = Duration::from_nanos(self.until.saturating_sub(clock::now()));
        let timeout = Some(left.max(Duration::from_millis(1)));
        let spec = Spec { recipe: Arc::new(recipe), dishes, labels, timeout, ..spec };
        let id = self.alone.submit(spec).await.map_err(|refusal| refusal.to_string())?.id;
        let watched = self.kitchen.watch(id);
        loop {
            let ended = watched.ended();
            match self.kitchen.get(id).await.map_err(|down| down.to_string())? {
                Found::Here(job) if job.status.is_done() => {
                    let records = self.kitchen.store.steps(id).await.ok().flatten().unwrap_or_default();
                    let mut starts: Vec<Ns> = records.iter().map(|record| record.started).collect();
                    starts.sort_unstable();
                    return match (job.summary, job.error) {
                        (Some(summary), None) => Ok(Cooked { summary: *summary, starts }),
                        (_, Some(error)) if error.kind != ErrorKind::Timeout => {
                            Err(format!("a run failed: {}", error.detail))
                        }
                        _ => Err(self.late()),
                    };
                }
                Found::Here(_) => ended.await,
                _ => return Err("a run disappeared while it was measured".to_owned()),
            }
        }
    }

    /// There was not enough time.
    fn late(&self) -> String {
        let (runs, at_most) = (self.cooked.load(Ordering::Relaxed), self.at_most.as_millis());
        format!("not over within {at_most} ms: {runs} runs were cooked; what was known before stays")
    }

    /// Cooks the same a few times.
    async fn few(&self, model: &str, setup: Setup<'_>, steps: &[Work], dishes: u32) -> Result<Few, String> {
        let mut few = Vec::new();
        for _ in 0..TIMES {
            few.push(self.cook(model, setup, steps, dishes).await?);
            self.cooked.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Few(few))
    }

    /// Everything that is measured by cooking.
    async fn orders(&self, costs: Costs) -> Result<Costs, String> {
        let costs = self.loops(costs).await?;
        let costs = self.pools(costs).await?;
        let costs = self.lock(costs).await?;
        let costs = self.kitchens(costs).await?;
        self.exchanges(costs).await
    }

    /// Handing things over: within a kitchen, through a pipe, through shared memory.
    async fn exchanges(&self, costs: Costs) -> Result<Costs, String> {
        const SMALL: (u32, u32) = (1, 1_000);
        const LARGE: (u32, u32) = (1 << 20, 16);
        let word = |word: &str| Value::Word(word.to_owned());
        let between = |channel| {
            let kitchens = ("kitchens", Value::Number(2));
            vec![kitchens, ("start", word("prewarmed")), ("channel", word(channel))]
        };
        let ways = [
            ("multithreading", vec![("chefs", Value::Number(2))]),
            ("multiprocessing", between("pipe")),
            ("multiprocessing", between("shared_memory")),
        ];
        let mut costs = costs;
        for (way, (model, setup)) in ways.iter().enumerate() {
            let mut each = [0; 2];
            for (each, (bytes, messages)) in each.iter_mut().zip([SMALL, LARGE]) {
                let work = [Work::Exchange { bytes, messages }];
                *each = self.few(model, setup, &work, 1).await?.median(Cooked::span) / u64::from(messages);
            }
            costs.message[way] = each[0];
            costs.mebibyte[way] = each[1].saturating_sub(each[0]);
        }
        Ok(costs)
    }

    async fn loops(&self, costs: Costs) -> Result<Costs, String> {
        const DISHES: u32 = 20_000;
        const ITERATIONS: u64 = 2_000_000;
        const INCREMENTS: u32 = 1_000_000;
        let nothing = self.few("asyncio", &[], &[Work::Wait(Duration::ZERO)], 1).await?;
        let many = self.few("asyncio", &[], &[Work::Wait(Duration::from_millis(20))], DISHES).await?;
        let sums = self.few("asyncio", &[], &[Work::Iterations(ITERATIONS)], 1).await?;
        let process_bytes = nothing.median(Cooked::peak);
        let beyond = |of: fn(&Cooked) -> u64| many.median(of).saturating_sub(nothing.median(of)) / u64::from(DISHES);
        let mut increments_per_ms = costs.increments_per_ms;
        for (per_ms, locked) in increments_per_ms.iter_mut().zip([false, true]) {
            let count = Work::Counter { increments: INCREMENTS, locked };
            let cpu = self.few("sequential", &[], &[count], 1).await?.median(|run| run.summary.totals.terms.cpu);
            *per_ms = (u64::from(INCREMENTS) * 1_000_000 / cpu.max(1)).max(1);
        }
        let cpu = sums.median(|run| run.summary.totals.terms.cpu);
        Ok(Costs {
            begin: nothing.median(Cooked::first),
            loop_begin: beyond(Cooked::cpu) / 2,
            loop_end: beyond(Cooked::cpu) / 2,
            process_bytes,
            task_bytes: beyond(Cooked::peak).saturating_sub(costs.dish_bytes),
            iterations_per_ms: (ITERATIONS * 1_000_000 / cpu.max(1)).max(1),
            increments_per_ms,
            ..costs
        })
    }

    async fn pools(&self, costs: Costs) -> Result<Costs, String> {
        const THREADS: u32 = 64;
        let number = |name, n| [(name, Value::Number(n))];
        let chain = [Work::Iterations(0); CHAIN];
        let own = self.few("multithreading", &number("chefs", 1), &chain, 1).await?;
        let handed = self.few("asyncio", &number("assistants", 1), &chain, 1).await?;
        let wait = [Work::Wait(Duration::from_millis(30))];
        let crowd = self.few("multithreading", &number("chefs", u64::from(THREADS)), &wait, THREADS).await?;
        let step = (own.median(Cooked::span) / CHAIN as u64).min(costs.step);
        // What is neither work nor the loop's own is the way there and the way back.
        let ways = (handed.median(Cooked::span) / CHAIN as u64).saturating_sub(step);
        let hand_over = costs.hand_over.min(ways / 4);
        let way = (ways - 2 * hand_over) / 2;
        Ok(Costs {
            step,
            hand_over,
            hand_back: way,
            wake: way,
            thread_bytes: crowd.median(Cooked::peak).saturating_sub(costs.process_bytes) / u64::from(THREADS),
            ..costs
        })
    }

    /// The emulated lock between two who compute: the time in which nobody has it, by the times it changes hands.
    async fn lock(&self, costs: Costs) -> Result<Costs, String> {
        const INTERVAL_US: u64 = 500;
        let setup = [
            ("chefs", Value::Number(2)),
            ("gil", Value::Truth(true)),
            ("switch_interval_us", Value::Number(INTERVAL_US)),
        ];
        let turns = self.few("multithreading", &setup, &[Work::Burn(Duration::from_millis(30))], 2).await?;
        let idle = |run: &Cooked| {
            let used = run.summary.totals.gil;
            run.span().saturating_sub(used.held).checked_div(used.switches.saturating_sub(1)).unwrap_or(0)
        };
        Ok(Costs { gil_switch: turns.median(idle), ..costs })
    }

    async fn kitchens(&self, costs: Costs) -> Result<Costs, String> {
        const KITCHENS: u32 = 8;
        let kitchens = |n: u32, more: &[(&'static str, &str)]| {
            let more = more.iter().map(|(name, word)| (*name, Value::Word((*word).to_owned())));
            std::iter::once(("kitchens", Value::Number(u64::from(n)))).chain(more).collect::<Vec<_>>()
        };
        let model = "multiprocessing";
        let chain = [Work::Wait(Duration::ZERO); CHAIN];
        let warm = self.few(model, &kitchens(1, &[("start", "prewarmed")]), &chain, 1).await?;
        let wait = [Work::Wait(Duration::from_millis(60))];
        let cold = self.few(model, &kitchens(KITCHENS, &[]), &wait, KITCHENS).await?;
        let alone = self.few(model, &kitchens(1, &[]), &wait, 1).await?;
        let inside = kitchens(1, &[("start", "prewarmed"), ("inside", "asyncio")]);
        let inside = self.few(model, &inside, &chain[..1], 1).await?;
        let there_and_back = warm.median(Cooked::span) / CHAIN as u64;
        let pass = costs.pass.min(there_and_back / 3);
        let pipe = there_and_back.saturating_sub(costs.step + pass) / 2;
        let each = |of: fn(&Cooked) -> u64| cold.median(of).saturating_sub(alone.median(of)) / u64::from(KITCHENS - 1);
        // Start, life and end of one, divided as they are by default.
        let whole = costs.spawn_issue + costs.spawn + costs.exit;
        let part = |part: Ns| part * each(Cooked::cpu) / whole.max(1);
        Ok(Costs {
            pipe,
            pass,
            spawn_issue: part(costs.spawn_issue),
            spawn: part(costs.spawn),
            exit: part(costs.exit),
            kitchen_begin: inside.median(Cooked::first).saturating_sub(pipe),
            kitchen_bytes: each(Cooked::peak),
            ..costs
        })
    }
}
