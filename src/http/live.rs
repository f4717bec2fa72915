//! What is known of an order that runs: from its run if it is cooked here, else from what its node published.
//!
//! What another node cooks is known up to a quarter of a second late. It deliberately tells no more than that node did, and
//! nothing while the store does not answer: whoever follows looks again.

use super::wire::Done;
use crate::domain::job::{Job, Status};
use crate::domain::live::{Live, StepEvent};
use crate::kitchen::Kitchen;
use crate::store::Fence;

/// Steps and dishes of a running order that are over, if it is cooked here.
pub fn here(kitchen: &Kitchen, job: &Job) -> Option<Done> {
    let run = (job.status == Status::Running).then(|| kitchen.run_of(job)).flatten();
    run.map(|run| run.recorder.progress())
}

/// Steps and dishes of a running order that are over.
pub async fn done(kitchen: &Kitchen, job: &Job) -> Option<Done> {
    let here = here(kitchen, job);
    if here.is_some() || job.status != Status::Running {
        return here;
    }
    // No event has this number, so none is read.
    elsewhere(kitchen, job, u32::MAX).await.map(|live| (live.steps_done, live.dishes_done))
}

/// Number of the last event of a running order that is known here.
pub async fn last_seq(kitchen: &Kitchen, job: &Job) -> u32 {
    match kitchen.run_of(job) {
        Some(run) => run.recorder.last_seq(),
        None if job.status != Status::Running => 0,
        // Its beginning is told as soon as it runs.
        None => elsewhere(kitchen, job, u32::MAX).await.map_or(1, |live| live.last_seq),
    }
}

/// Steps' events after this number that are known (of an ended order at most so many), and how far it is, if it is cooked elsewhere.
///
/// From another node not all come at once. `None`: the store cannot say what happened in an ended order now, which is not the same as nothing.
pub async fn events(
    kitchen: &Kitchen,
    job: &Job,
    after: u32,
    at_most: usize,
) -> Option<(Vec<StepEvent>, Option<Done>)> {
    if job.status.is_done() {
        // No more than is asked for: whoever does not read must not cost what all the records take.
        let told = kitchen.store.told(job.id, after, at_most).await.ok()?;
        return Some((told.unwrap_or_default(), None));
    }
    if let Some(run) = kitchen.run_of(job) {
        return Some((run.recorder.events_after(after), None));
    }
    let live = elsewhere(kitchen, job, after).await;
    Some(live.map(|live| (live.events, Some((live.steps_done, live.dishes_done)))).unwrap_or_default())
}

async fn elsewhere(kitchen: &Kitchen, job: &Job, after: u32) -> Option<Live> {
    let run = Fence { id: job.id, attempt: job.attempt };
    kitchen.store.published(run, after).await.ok().flatten()
}
