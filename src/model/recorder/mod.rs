//! Where the workers of a run write down what they do: sharded, so that they do not meet at a lock.
//!
//! Up to [`limits::RECORDS`] steps everything is kept and announced; above it a uniform sample by hash, exact sums, and
//! no announcements. It deliberately pushes to nobody: readers (SSE, progress) come and look.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

mod relay;

pub use relay::Delta;

use super::work;
use crate::domain::Ns;
use crate::domain::draw::Spread;
pub use crate::domain::live::StepEvent as Event;
use crate::domain::live::Window;
use crate::domain::recipe::StepRef;
use crate::domain::record::{GilUse, Outcome, StepRecord, Totals, wait_of};
use crate::domain::spec::Spec;
use crate::domain::summary::{Agreed, Bill, Harvest};
use crate::domain::{draw, limits};

/// Shards of a run. Workers beyond it share; two that meet lose some 20 ns.
const LANES: usize = 8;

#[derive(Default)]
struct Shard {
    events: Vec<Event>,
    records: Vec<StepRecord>,
    totals: Totals,
    dishes: Vec<Ns>,
    dishes_failed: u32,
    values: Vec<Agreed>,
    /// Steps done and dishes over so far: unlike the rest they stay when the books are closed, for who asks meanwhile.
    done: (u64, u32),
}

/// The books of a run while it is written.
pub struct Recorder {
    spec: Arc<Spec>,
    /// How long each step of the recipe waits in every dish: looked up a million times. Drawn waits are drawn again.
    waits: Box<[Option<Ns>]>,
    drawn: bool,
    live: bool,
    /// Records whose draw is at most this are kept.
    keep: u64,
    shards: [OnceLock<Box<Mutex<Shard>>>; LANES],
    seq: AtomicU32,
    bill: Mutex<Option<Bill>>,
}

impl Recorder {
    /// Empty books.
    #[must_use]
    pub fn new(spec: Arc<Spec>) -> Self {
        let total = spec.steps_total();
        let live = total <= limits::RECORDS;
        let share = (u128::from(u64::MAX) * u128::from(limits::RECORDS) / u128::from(total.max(1))) as u64;
        let wait = |step: usize| wait_of(spec.work(StepRef { dish: spec.first_dish, step: step as u16 }));
        Self {
            drawn: spec.recipe.steps.iter().any(|step| step.spread != Spread::Constant),
            waits: (0..spec.recipe.steps.len()).map(wait).collect(),
            spec,
            live,
            keep: if live { u64::MAX } else { share },
            shards: std::array::from_fn(|_| OnceLock::new()),
            // 1 is `order.running`.
            seq: AtomicU32::new(1),
            bill: Mutex::new(None),
        }
    }

    /// Whether every step is recorded and announced.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Steps that are done, and dishes that are over.
    #[must_use]
    pub fn progress(&self) -> (u64, u32) {
        self.open_shards().fold((0, 0), |(steps, dishes), shard| (steps + shard.done.0, dishes + shard.done.1))
    }

    /// Steps that are done, well or badly; stopped ones are not.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.progress().0
    }

    /// Number of the last event given out.
    #[must_use]
    pub fn last_seq(&self) -> u32 {
        self.seq.load(Ordering::Relaxed)
    }

    fn shard(&self, lane: usize) -> MutexGuard<'_, Shard> {
        let shard = self.shards[lane % LANES].get_or_init(Box::default);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        let open = self.shards.iter().filter_map(OnceLock::get);
        open.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Announces the start of a step; answers the number of the announcement.
    pub fn started(&self, lane: usize, at: StepRef, offset: Ns) -> u32 {
        if !self.live {
            return 0;
        }
        let mut shard = self.shard(lane);
        let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
        shard.events.push(Event { seq, at, outcome: None, offset });
        seq
    }

    /// Writes down a step that is over; if it was the last of its dish and succeeded, the dish is over with it.
    pub fn finished(&self, lane: usize, mut record: StepRecord, is_last: bool) {
        let mut shard = self.shard(lane);
        let wait =
            if self.drawn { wait_of(self.spec.work(record.at)) } else { self.waits[usize::from(record.at.step)] };
        let lag = record.lag_of(wait);
        let (dish, outcome, finished) = (record.at.dish, record.outcome, record.finished);
        shard.totals.add(&record, lag);
        if let Some(value) = record.value {
            let step = usize::from(record.at.step);
            if shard.values.len() <= step {
                shard.values.resize(step + 1, Agreed::None);
            }
            shard.values[step] = shard.values[step].with(Agreed::On(value));
        }
        if self.live {
            record.seq_finished = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
            let seq = record.seq_finished;
            let (at, outcome, offset) = (record.at, Some(record.outcome), record.finished);
            shard.events.push(Event { seq, at, outcome, offset });
            shard.records.push(record);
        } else if draw::bits(self.spec.seed, record.at.dish, record.at.step) <= self.keep {
            shard.records.push(record);
        }
        // A stopped step is not done: an order all of whose steps are done has succeeded or failed, never been canceled.
        shard.done.0 += u64::from(outcome != Outcome::Canceled);
        if is_last && outcome == Outcome::Succeeded {
            shard.dish_over(Some(finished.saturating_sub(self.spec.arrival(dish))));
        }
    }

    /// Writes down that a dish is over. Its completion time counts from when it was asked for.
    pub fn dish_over(&self, lane: usize, dish: u32, offset: Ns, succeeded: bool) {
        let completion = succeeded.then(|| offset.saturating_sub(self.spec.arrival(dish)));
        self.shard(lane).dish_over(completion);
    }

    /// Events after `seq` that leave no gap, in order. A number drawn but not yet written holds back those behind it.
    #[must_use]
    pub fn events_after(&self, seq: u32) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        for shard in self.open_shards() {
            // Within a shard numbers rise, so what is new is at the end.
            let fresh = shard.events.iter().rev().take_while(|e| e.seq > seq);
            events.extend(fresh);
        }
        events.sort_unstable_by_key(|e| e.seq);
        let first = seq.max(1) + 1;
        let gapless = events.iter().zip(first..).take_while(|(e, expected)| e.seq == *expected).count();
        events.truncate(gapless);
        events
    }

    /// The records kept so far, in order of their end.
    #[must_use]
    pub fn records_so_far(&self) -> Vec<StepRecord> {
        let mut all = Vec::new();
        self.open_shards().for_each(|shard| all.extend_from_slice(&shard.records));
        all.sort_unstable_by_key(|r| (r.finished, r.at.dish, r.at.step));
        all
    }

    /// Counts dishes whose kitchen did not live to finish them.
    pub fn dishes_lost(&self, dishes: u32) {
        let mut shard = self.shard(0);
        shard.dishes_failed += dishes;
        shard.done.1 += dishes;
    }

    /// Adds what a counter says in the end.
    pub fn add_counted(&self, counted: u64) {
        self.shard(0).totals.counted += counted;
    }

    /// Adds what became of a GIL.
    pub fn add_gil(&self, used: &GilUse) {
        self.shard(0).totals.gil.add(used);
    }

    /// Adds what the processes of this run used.
    pub fn add_bill(&self, bill: &Bill) {
        let mut sum = self.bill.lock().unwrap_or_else(PoisonError::into_inner);
        sum.get_or_insert_default().add(bill);
    }

    /// Closes the books: everything from all lanes. Steps that were announced and never recorded become canceled ones
    /// that ended at `end`.
    pub fn harvest(&self, end: Ns) -> (Harvest, u32) {
        let mut all = Harvest::default();
        let mut open: Vec<Event> = Vec::new();
        for mut shard in self.open_shards() {
            all.merge(shard.take_harvest());
            open.extend(std::mem::take(&mut shard.events));
        }
        all.bill = self.bill.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.live && open.len() < 2 * self.spec.steps_total() as usize {
            let over: HashSet<StepRef> = all.records.iter().map(|r| r.at).collect();
            let left = open.into_iter().filter(|e| e.outcome.is_none() && !over.contains(&e.at));
            for e in left {
                let (worker, at) = (work::me(), e.offset.min(end));
                let unrun = StepRecord::unrun(e.at, Outcome::Canceled);
                let record = StepRecord { worker, ready: at, started: at, finished: end, seq_started: e.seq, ..unrun };
                all.totals.add(&record, None);
                all.records.push(record);
            }
        }
        (all, self.last_seq())
    }
}

/// The events that these records were announced with, after this number and in their order.
#[must_use]
pub fn told(records: &[StepRecord], after: u32) -> Vec<Event> {
    let mut window = Window::new(after, usize::MAX);
    records.iter().for_each(|record| window.add(record));
    window.into_events()
}

impl Shard {
    /// A dish succeeded in this time, or failed.
    fn dish_over(&mut self, completion: Option<Ns>) {
        match completion {
            Some(completion) => self.dishes.push(completion),
            None => self.dishes_failed += 1,
        }
        self.done.1 += 1;
    }

    fn take_harvest(&mut self) -> Harvest {
        Harvest {
            records: std::mem::take(&mut self.records),
            totals: std::mem::take(&mut self.totals),
            dishes: std::mem::take(&mut self.dishes),
            dishes_failed: std::mem::take(&mut self.dishes_failed),
            values: std::mem::take(&mut self.values),
            bill: None,
        }
    }

    fn put_harvest(&mut self, harvest: Harvest) {
        self.records = harvest.records;
        self.totals = harvest.totals;
        self.dishes = harvest.dishes;
        self.dishes_failed = harvest.dishes_failed;
        self.values = harvest.values;
    }
}
