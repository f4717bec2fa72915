//! How many orders of one client the house's own staff holds at once, per model.
//!
//! The rest waits in line, where clients take turns: so an order of a quiet client stands behind a few orders of a noisy one,
//! not behind a hundred thousand. It deliberately limits nothing that a model does with an order it has.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::by_client::ByClient;
use crate::domain::client::Client;
use crate::domain::spec::ModelId;
use crate::model::{self, HoldsPlace};

/// Orders of one client that a model holds and has not begun: enough that the loop never runs dry between two looks at
/// the line, few enough that 10 ms each are not much more than a second.
const UNTIL_BEGUN: u32 = 128;
/// Orders of one client that take turns in a pool: more add nothing to what its threads can do.
const UNTIL_ENDED: u32 = 64;

/// Who holds how many. Under a lock of its own, held for one look: a place is given back for each order, while another is claimed.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Vec<ByClient<Held>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    places: u32,
    /// Somebody was refused one.
    wanted: bool,
}

fn limit(model: ModelId) -> u32 {
    match model::get(model).info().holds_place {
        HoldsPlace::UntilBegun => UNTIL_BEGUN,
        HoldsPlace::UntilEnded => UNTIL_ENDED,
    }
}

impl Places {
    fn holders(&self) -> MutexGuard<'_, Vec<ByClient<Held>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a place, or not now.
    pub(super) fn take(&self, model: ModelId, client: &Client) -> bool {
        let (mut holders, index) = (self.holders(), usize::from(model.0));
        if holders.len() <= index {
            holders.resize_with(index + 1, ByClient::default);
        }
        let held = holders[index].of(client, |held| held.places == 0 && !held.wanted);
        held.wanted = held.places >= limit(model);
        held.places += u32::from(!held.wanted);
        !held.wanted
    }

    /// Takes one back; answers whether it is time to look who waits. Not at every one: half of them at once cost less.
    pub(super) fn give_back(&self, model: ModelId, client: &Client) -> bool {
        let mut holders = self.holders();
        let Some(held) = holders.get_mut(usize::from(model.0)).and_then(|holders| holders.get_mut(client)) else {
            return false;
        };
        held.places = held.places.saturating_sub(1);
        let look = held.wanted && held.places <= limit(model) / 2;
        held.wanted &= !look;
        look
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_holds_so_many_and_is_looked_at_again_when_half_are_free() {
        let (places, client, other) = (Places::default(), Client::key("a"), Client::key("b"));
        let pool = ModelId(2);
        assert_eq!((0..100).filter(|_| places.take(pool, &client)).count(), UNTIL_ENDED as usize);
        assert!(places.take(pool, &other), "one client's places are not another's");
        let looks: Vec<_> = (0..UNTIL_ENDED).filter(|_| places.give_back(pool, &client)).collect();
        assert_eq!(looks, [UNTIL_ENDED / 2 - 1], "once, although nobody came after the look");
        assert!(!places.give_back(pool, &other), "{places:?}");
        for n in 0..1_000 {
            let passing = Client::key(&n.to_string());
            assert!(places.take(pool, &passing) && !places.give_back(pool, &passing));
        }
        assert!(places.holders()[2].values().count() < 256, "who has no place is not remembered for ever");
    }
}
