//! Lets other nodes see what is cooked here, while it is: step events and progress, written to a store they share.
//!
//! It comes and looks, like a stream does; nothing in a run knows of it. It deliberately leaves out young runs: most orders are
//! over before anybody could have looked, and must cost nothing.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use super::Kitchen;
use crate::clock;
use crate::domain::id::OrderId;
use crate::domain::live::Live;
use crate::store::{Fence, Published};

/// Time between two looks, and the age from which a run is worth one. Chosen: with as long a wait of whoever follows it, an
/// event is told within a second wherever it happened.
const LOOK: Duration = Duration::from_millis(250);
/// Runs of one statement: some 100 KB when each says a little.
const TOGETHER: usize = 1_000;

/// What others know of a run: its attempt, the last event, and steps and dishes done.
type Known = (u32, u32, (u64, u32));

/// Publishes what is cooked as long as the kitchen lives.
pub(super) async fn publish(kitchen: Weak<Kitchen>) {
    let mut known = HashMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(kitchen) = kitchen.upgrade() else { return };
        kitchen.publish(&mut known).await;
    }
}

impl Kitchen {
    async fn publish(&self, known: &mut HashMap<OrderId, Known>) {
        let old = clock::now().saturating_sub(clock::ns(LOOK));
        let runs: HashMap<_, _> = {
            let runs = self.runs();
            let lasting = runs.iter().filter(|(_, active)| active.run.start() <= old);
            lasting.map(|(id, active)| (*id, (active.attempt, active.run.clone()))).collect()
        };
        known.retain(|id, (attempt, ..)| runs.get(id).is_some_and(|(now, _)| now == attempt));
        let mut news = Vec::new();
        for (id, (attempt, run)) in runs {
            let recorder = &run.recorder;
            let before = known.get(&id).map_or((attempt, 1, (0, 0)), |known| *known);
            let done = recorder.progress();
            if (attempt, recorder.last_seq(), done) == before {
                continue;
            }
            let events = recorder.events_after(before.1);
            let last_seq = events.last().map_or(before.1, |event| event.seq);
            let live = Live { steps_done: done.0, dishes_done: done.1, last_seq, events };
            news.push(Published { fence: Fence { id, attempt }, live });
        }
        for part in news.chunks(TOGETHER) {
            // What could not be written is said again at the next look.
            let Ok(good) = self.store.publish(part.to_vec()).await else { return };
            for (Published { fence, live }, _) in part.iter().zip(good).filter(|(_, is_good)| *is_good) {
                let done = (live.steps_done, live.dishes_done);
                known.insert(fence.id, (fence.attempt, live.last_seq, done));
            }
        }
    }
}
