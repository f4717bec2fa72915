//! What parent and kitchen say to each other: length-prefixed postcard frames over the child's stdin and stdout.
//!
//! Both ends are this one file, so the protocol cannot drift. It deliberately has no version: a kitchen is its parent's
//! own binary.

use std::io::{self, Read};

use rustix::fd::AsFd;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::domain::Ns;
use crate::domain::job::OrderError;
use crate::domain::recipe::Work;
use crate::domain::spec::Spec;
use crate::domain::summary::Bill;
use crate::model::recorder::Delta;
use crate::model::work::Performed;

/// To a kitchen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Down {
    /// Do this one step.
    Step(Work),
    /// Cook this order or share; its clock started then.
    Cook(Box<Spec>, Ns),
    /// Say what you used, and end.
    Bye,
}

/// From a kitchen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Up {
    /// It is up.
    Hello,
    /// The step is over.
    Done(Performed),
    /// What has been written down since the last report.
    Live(Delta),
    /// The order or share is over; with what it used, its own children included.
    End(Option<OrderError>, Bill),
    /// Last words.
    Farewell(Bill),
}

/// Largest frame: the books of a million dishes take some 10 MiB; anything above this is a broken stream.
const MAX_BYTES: usize = 64 * 1024 * 1024;

fn encode(frame: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = postcard::to_extend(frame, vec![0_u8; 4]).map_err(io::Error::other)?;
    let len = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    Ok(bytes)
}

fn length(prefix: [u8; 4]) -> io::Result<usize> {
    let len = u32::from_le_bytes(prefix) as usize;
    if len > MAX_BYTES {
        return Err(io::Error::other("frame above the limit"));
    }
    Ok(len)
}

/// Writes one frame, waiting where the pipe is full.
pub(super) fn write(to: impl AsFd, frame: &impl Serialize) -> io::Result<()> {
    let bytes = encode(frame)?;
    let mut left = &bytes[..];
    while !left.is_empty() {
        match rustix::io::write(&to, left) {
            Ok(n) => left = &left[n..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads one frame; `None` at the end of the stream.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut prefix = [0_u8; 4];
    match from.read_exact(&mut prefix) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut body = vec![0_u8; length(prefix)?];
    from.read_exact(&mut body)?;
    postcard::from_bytes(&body).map(Some).map_err(io::Error::other)
}

/// The same for the parent's event loop. `buffer` is reused from frame to frame.
pub(super) async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<T> {
    let mut prefix = [0_u8; 4];
    from.read_exact(&mut prefix).await?;
    buffer.resize(length(prefix)?, 0);
    from.read_exact(buffer).await?;
    postcard::from_bytes(buffer).map_err(io::Error::other)
}
