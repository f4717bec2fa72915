//! What parent and kitchen say to each other: length-prefixed postcard frames over the child's stdin and stdout.
//! What a dying kitchen writes to its stderr comes the same way.
//!
//! Both ends are this one file, so the protocol cannot drift. It deliberately has no version: a kitchen is its parent's
//! own binary.

use std::io::{self, IoSlice, Read};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fd::AsFd;
use rustix::time::Timespec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::domain::Ns;
use crate::domain::job::OrderError;
use crate::domain::rack::ClaimId;
use crate::domain::recipe::{StepRef, Work};
use crate::domain::spec::Spec;
use crate::domain::summary::{Bill, ProcessUse};
use crate::model::equipment::Word;
use crate::model::exchange;
use crate::model::recorder::Delta;
use crate::model::work::Performed;

/// To a kitchen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Down {
    /// Do this one step.
    Step(Task),
    /// Cook this order or share; its clock started then. The last word: whether shared equipment is asked for up here.
    Cook(Box<Spec>, Ns, bool),
    /// A claim has what it asked for; it held a part of it for this long while it waited for the rest.
    Lent(ClaimId, Ns),
    /// Everything that was handed over has been taken.
    Taken,
    /// End; say before what you used, if somebody keeps accounts, and for that also look at your memory page by page.
    Bye(Account),
}

/// How much a kitchen is to say of what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Account {
    /// Nothing: nobody keeps it.
    None,
    /// What costs microseconds.
    Short,
    /// Its proportional set size too.
    Full,
}

/// One step for a kitchen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// What to do.
    pub(super) work: Work,
    /// The step, if it needs shared equipment and has to ask for it first.
    pub(super) asks: Option<StepRef>,
    /// The parent's descriptor of the memory to hand things over in; the pipe, if there is none.
    pub(super) ring: Option<i32>,
}

/// From a kitchen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Up {
    /// It is up.
    Hello,
    /// The step is over.
    Done(Performed),
    /// A claim asks for the shared equipment of a step.
    Need(ClaimId, StepRef),
    /// A claim gives back what it has, or asks no more.
    Back(ClaimId),
    /// So many messages follow, each with its length before it as a frame has.
    Hand(u32),
    /// What has been written down since the last report.
    Live(Delta),
    /// The order or share is over; with what it used, and what its own children did.
    End(Option<OrderError>, ProcessUse, Bill),
    /// Last words.
    Farewell(ProcessUse),
}

impl From<Word> for Up {
    fn from(word: Word) -> Self {
        match word {
            Word::Need(id, at) => Self::Need(id, at),
            Word::Back(id) => Self::Back(id),
        }
    }
}

/// Bytes in front of a frame that say how many follow.
pub(super) const PREFIX_BYTES: usize = 4;
/// Largest frame: the books of a million dishes take some 10 MiB; anything above this is a broken stream.
const MAX_BYTES: usize = 64 * 1024 * 1024;

pub(super) fn encode(frame: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = postcard::to_extend(frame, vec![0_u8; PREFIX_BYTES]).map_err(io::Error::other)?;
    let len = u32::try_from(bytes.len() - PREFIX_BYTES).map_err(io::Error::other)?;
    bytes[..PREFIX_BYTES].copy_from_slice(&len.to_le_bytes());
    Ok(bytes)
}

fn length(prefix: [u8; PREFIX_BYTES]) -> io::Result<usize> {
    let len = u32::from_le_bytes(prefix) as usize;
    if len > MAX_BYTES {
        return Err(io::Error::other("frame above the limit"));
    }
    Ok(len)
}

/// Writes one frame, waiting where the pipe is full; answers its bytes.
pub(super) fn write(to: impl AsFd, frame: &impl Serialize) -> io::Result<usize> {
    let bytes = encode(frame)?;
    let mut left = &bytes[..];
    while !left.is_empty() {
        match rustix::io::write(&to, left) {
            Ok(n) => left = &left[n..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => room_in(&to)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes.len())
}

/// Writes one message of an exchange.
pub(super) fn write_message(to: impl AsFd, bytes: u32) -> io::Result<()> {
    let head = bytes.to_le_bytes();
    let mut both = [IoSlice::new(&head), IoSlice::new(exchange::thing(bytes))];
    let mut left = &mut both[..];
    while !left.is_empty() {
        match rustix::io::writev(&to, left) {
            Ok(n) => IoSlice::advance_slices(&mut left, n),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Bytes of a message that are in hand at once: what a pipe holds.
const HANDFUL_BYTES: usize = 64 * 1024;

/// Takes the messages of an exchange.
pub(super) async fn take_messages(from: &mut (impl AsyncRead + Unpin), messages: u32) -> io::Result<()> {
    let mut hands = vec![0_u8; HANDFUL_BYTES];
    for _ in 0..messages {
        let mut prefix = [0_u8; 4];
        from.read_exact(&mut prefix).await?;
        let mut left = length(prefix)?;
        while left > 0 {
            let part = left.min(HANDFUL_BYTES);
            from.read_exact(&mut hands[..part]).await?;
            std::hint::black_box(&hands);
            left -= part;
        }
    }
    Ok(())
}

/// How long the reader of a full pipe may let its writer wait, if the writer minds: a kitchen reads at once or never.
const FULL_PIPE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

fn room_in(pipe: &impl AsFd) -> io::Result<()> {
    let mut watched = [PollFd::new(pipe, PollFlags::OUT)];
    match rustix::event::poll(&mut watched, Some(&FULL_PIPE)) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads one frame; `None` at the end of the stream.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut prefix = [0_u8; PREFIX_BYTES];
    match from.read_exact(&mut prefix) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut body = vec![0_u8; length(prefix)?];
    from.read_exact(&mut body)?;
    postcard::from_bytes(&body).map(Some).map_err(io::Error::other)
}

/// Bytes of a kitchen's last words that are kept.
const LAST_WORDS_BYTES: u64 = 4 * 1024;
/// How long they are waited for: whoever has written text is about to end.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Bytes of a frame that room is made for at once: its length may be a lie, or text.
const PIECE_BYTES: usize = 64 * 1024;

/// The same for the parent's event loop. `buffer` is reused from frame to frame.
///
/// A kitchen's stderr is its stdout: what the language's runtime writes when a process aborts arrives here, where a frame
/// should be. Its first four bytes, read as a length, are far above any frame's. So the error is the text, empty at the
/// end of the stream.
pub(super) async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<T, String> {
    buffer.clear();
    let mut prefix = [0_u8; PREFIX_BYTES];
    from.read_exact(&mut prefix).await.map_err(|_| String::new())?;
    if let Ok(len) = length(prefix) {
        let mut whole = true;
        while whole && buffer.len() < len {
            let so_far = buffer.len();
            buffer.resize(len.min(so_far + PIECE_BYTES), 0);
            whole = from.read_exact(&mut buffer[so_far..]).await.is_ok();
        }
        if let Some(frame) = whole.then(|| postcard::from_bytes(buffer).ok()).flatten() {
            return Ok(frame);
        }
        // A frame that text has torn: the text is at the end of what arrived.
        buffer.truncate(buffer.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        let cut = buffer.len().saturating_sub(LAST_WORDS_BYTES as usize);
        buffer.drain(..cut);
    } else {
        buffer.extend_from_slice(&prefix);
    }
    let rest = tokio::io::AsyncReadExt::take(from, LAST_WORDS_BYTES);
    let _ = tokio::time::timeout(LAST_WORDS, { rest }.read_to_end(buffer)).await;
    Err(String::from_utf8_lossy(buffer).into_owned())
}
