//! Handing things from one chef to another within one process: what changes hands is a reference, as it does in
//! `queue.Queue` and `asyncio.Queue`, so size does not matter; waking the other chef does.
//!
//! All messages are put into a queue of a fixed length one after another, and the exchange is over when the other has
//! taken the last one. It deliberately builds no messages: what handing over costs would vanish behind what making
//! them costs. Between processes see `multiprocessing`.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{LazyLock, OnceLock};

use super::cancel::Cancel;
use super::tune::{self, Staffed};
use crate::domain::job::ErrorKind;
use crate::domain::limits;
use crate::domain::record::Outcome;

/// Messages that are under way at once; chosen: enough that neither side waits for each single one.
const QUEUE: usize = 64;
/// Messages between two looks at the cancel flag: well below a millisecond.
const LOOK: u32 = 256;

/// How an exchange ended, or why it could not be made.
pub type Handed = Result<Outcome, (ErrorKind, String)>;

/// A thing of this size. All share one block of zeros, whose pages nobody has to have.
#[must_use]
pub fn thing(bytes: u32) -> &'static [u8] {
    static LARDER: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; limits::MESSAGE_BYTES as usize].into_boxed_slice());
    &LARDER[..LARDER.len().min(bytes as usize)]
}

fn take(thing: &'static [u8]) {
    black_box(thing);
}

/// By a chef who is alone: from one hand into the other.
pub fn to_oneself(bytes: u32, messages: u32, cancel: &Cancel) -> Handed {
    let mut queue = VecDeque::with_capacity(QUEUE);
    for n in 0..messages {
        if n % LOOK == 0 && cancel.is_requested() {
            return Ok(Outcome::Canceled);
        }
        queue.push_back(thing(bytes));
        queue.pop_front().into_iter().for_each(take);
    }
    Ok(Outcome::Succeeded)
}

/// What goes to the colleague; the last one asks for an answer.
struct Parcel {
    thing: &'static [u8],
    answer: Option<SyncSender<()>>,
}

/// The other chef of this process: one thread that takes whatever anybody hands over, in order.
fn colleague() -> &'static SyncSender<Parcel> {
    static COLLEAGUE: OnceLock<SyncSender<Parcel>> = OnceLock::new();
    COLLEAGUE.get_or_init(|| {
        let (hand, parcels) = mpsc::sync_channel::<Parcel>(QUEUE);
        let work = move || {
            tune::burner(Staffed::House);
            for parcel in parcels {
                take(parcel.thing);
                // Whoever asked may have been stopped.
                let _ = parcel.answer.map(|answer| answer.send(()));
            }
        };
        // Without a thread there is no receiver, and every hand-over says so.
        let _ = std::thread::Builder::new().name("colleague".to_owned()).spawn(work);
        hand
    })
}

/// By a chef who stands until the other has taken everything.
pub fn to_colleague(bytes: u32, messages: u32, cancel: &Cancel) -> Handed {
    let nobody = || (ErrorKind::Spawn, "cannot start a thread to hand things to".to_owned());
    let hand = colleague();
    let (answer, answered) = mpsc::sync_channel(1);
    let mut answer = Some(answer);
    for n in 1..=messages {
        if n % LOOK == 0 && cancel.is_requested() {
            return Ok(Outcome::Canceled);
        }
        let answer = if n == messages { answer.take() } else { None };
        hand.send(Parcel { thing: thing(bytes), answer }).map_err(|_| nobody())?;
    }
    answered.recv().map(|()| Outcome::Succeeded).map_err(|_| nobody())
}

/// On an event loop, to another task of it.
pub async fn on_loop(bytes: u32, messages: u32) {
    let (hand, mut parcels) = tokio::sync::mpsc::channel(QUEUE);
    let other = tokio::task::spawn_local(async move {
        while let Some(thing) = parcels.recv().await {
            take(thing);
        }
    });
    for _ in 0..messages {
        if hand.send(thing(bytes)).await.is_err() {
            return;
        }
    }
    drop(hand);
    let _ = other.await;
}
