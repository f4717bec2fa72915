//! What other nodes call out, as hints.
//!
//! It deliberately trusts none of it: a hint that is lost, late or nonsense costs time, never an order.

use std::collections::VecDeque;

use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

use super::line::Heard;
use crate::domain::id::OrderId;
use crate::domain::job::Status;
use crate::store::backend::Hint;

/// What was heard and not handed out yet.
pub(super) struct Hints {
    hears: UnboundedReceiver<Heard>,
    waiting: VecDeque<Hint>,
}

impl Hints {
    pub(super) fn new(hears: UnboundedReceiver<Heard>) -> Self {
        Self { hears, waiting: VecDeque::new() }
    }

    /// The next one for this node; none any more once the connection is given up. Loses nothing if it is dropped.
    pub(super) async fn next(&mut self, me: &str) -> Option<Hint> {
        loop {
            if let Some(hint) = self.waiting.pop_front() {
                return Some(hint);
            }
            match self.hears.recv().await? {
                Some(payload) => self.waiting.extend(read(&payload, me)),
                // It was away: whatever was called out meanwhile, a look at the database tells.
                None => self.waiting.extend([Hint::Queued, Hint::Cancel]),
            }
        }
    }
}

/// What a payload says to this node: a sign, a node, a line break, ids. Cancels name whom they are for, all else says
/// where it happened, which is no news there.
fn read(payload: &str, me: &str) -> Vec<Hint> {
    let (Some(sign), Some(rest)) = (payload.get(..1), payload.get(1..)) else { return Vec::new() };
    let (node, ids) = rest.split_once('\n').unwrap_or((rest, ""));
    let ids = || {
        let digits = ids.as_bytes().chunks(32).filter_map(|id| std::str::from_utf8(id).ok());
        digits.filter_map(|id| Uuid::try_parse(id).ok()).map(OrderId)
    };
    match sign {
        "c" if node == me => vec![Hint::Cancel],
        "q" if node != me => vec![Hint::Queued],
        "d" if node != me => ids().map(Hint::Deleted).collect(),
        status if node != me => {
            let status = status.parse().ok().and_then(|n: usize| Status::ALL.get(n)).filter(|status| status.is_done());
            status.map(|status| ids().map(|id| Hint::Ended(id, *status)).collect()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_by_those_it_is_for_and_nonsense_by_nobody() {
        let id = Uuid::from_u128(7);
        let ended = format!("{}other\n{1}{1}", Status::Canceled as i16, id.simple());
        assert_eq!(read(&ended, "me"), [Hint::Ended(OrderId(id), Status::Canceled); 2]);
        assert_eq!(read(&ended, "other"), []);
        assert_eq!(read(&format!("{}other\n{}", Status::Running as i16, id.simple()), "me"), [], "no end");
        assert_eq!((read("cme", "me"), read("cme", "other")), (vec![Hint::Cancel], vec![]));
        assert_eq!((read("qother", "me"), read("qme", "me")), (vec![Hint::Queued], vec![]));
        for nonsense in ["", "x", "3", "3other\n", "3other\n12", "9other\n", "\u{1F35D}", "dother\nzz"] {
            assert_eq!(read(nonsense, "me"), [], "{nonsense:?}");
        }
    }
}
