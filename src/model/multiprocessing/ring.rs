//! Shared memory between a kitchen and its parent: a ring of bytes that the kitchen fills in and a thread of the parent
//! takes out, each message behind its length.
//!
//! The memory is a `memfd` that both map. The kitchen opens it by way of the parent's `/proc/PID/fd`, so that it still
//! inherits nothing. Who has to wait sleeps on a futex in it; who finds the other awake makes no system call. Mapping and
//! access are vm-memory's, the crate below Firecracker and Cloud Hypervisor: volatile copies and atomics, so that nothing
//! here is unsafe. A wrong length costs time, nothing else.

use std::fs::{File, OpenOptions};
use std::hint::{black_box, spin_loop};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::fs::MemfdFlags;
use rustix::thread::futex;
use rustix::time::Timespec;
use vm_memory::{FileOffset, MmapRegion, VolatileMemory, VolatileSlice};

use crate::model::exchange::thing;
use crate::model::tune;

/// Bytes under way at once; a power of two, so that positions may wrap (chosen: a message of 1 MiB, or thousands of
/// small ones).
const CAPACITY: usize = 1024 * 1024;
/// Where they are: behind a page of words.
const BYTES_AT: usize = 4096;
/// All of it: what a kitchen may write to a file ([`super::confine`]).
pub(super) const FILE_BYTES: u64 = (BYTES_AT + CAPACITY) as u64;
/// Bytes copied before the other side is told: what a pipe holds (pipe(7)), so that both copy at the same time.
const PART_BYTES: usize = 64 * 1024;

/// How many bytes were filled in and how many taken out, each with who sleeps until it changes; a cache line apart.
const FILLED: usize = 0;
const TAKEN: usize = 128;
const SLEEPS: usize = 64;

/// Looks before going to sleep: a few microseconds, what waking up costs (chosen).
const LOOKS: u32 = 100;
/// Sleep between two looks at whether the other side is gone.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The memory.
pub(super) struct Ring(MmapRegion);

impl Ring {
    fn map(file: Arc<File>) -> io::Result<Self> {
        MmapRegion::from_file(FileOffset::from_arc(file, 0), BYTES_AT + CAPACITY).map(Self).map_err(io::Error::other)
    }

    /// In a kitchen: what the parent has under this descriptor.
    pub(super) fn of_parent(fd: i32) -> io::Result<Self> {
        let parent = std::os::unix::process::parent_id();
        let file = OpenOptions::new().read(true).write(true).open(format!("/proc/{parent}/fd/{fd}"))?;
        Self::map(Arc::new(file))
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        self.0.get_atomic_ref(at).expect("every word lies in the first page, aligned")
    }

    /// Up to so many bytes from this position on, as far as they lie in one piece.
    fn part(&self, position: u32, bytes: usize) -> io::Result<VolatileSlice<'_, ()>> {
        let from = position as usize % CAPACITY;
        let bytes = bytes.min(PART_BYTES).min(CAPACITY - from);
        self.0.get_slice(BYTES_AT + from, bytes).map_err(io::Error::other)
    }

    /// Hands over so many messages, each behind its length; over when the other side has taken the last one.
    pub(super) fn hand(&self, bytes: u32, messages: u32, gone: impl Fn() -> bool) -> io::Result<()> {
        let gone = || if gone() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) };
        let start = self.word(FILLED).load(Ordering::Acquire);
        let mut sender = Sender { ring: self, filled: start, taken: start };
        for _ in 0..messages {
            sender.put(&bytes.to_le_bytes(), &gone)?;
            sender.put(thing(bytes), &gone)?;
            self.publish(FILLED, sender.filled);
        }
        while sender.taken != sender.filled {
            sender.taken = self.changed(TAKEN, sender.taken, gone)?;
        }
        Ok(())
    }

    /// Takes whatever is handed over, until the other side is gone.
    fn take_all(&self, gone: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let (mut hands, mut taken) = (vec![0_u8; PART_BYTES], 0_u32);
        // Of a length, how much is known; of a message, how much is still to come.
        let (mut prefix, mut known, mut left) = ([0_u8; 4], 0, 0);
        loop {
            let filled = self.changed(FILLED, taken, &gone)?;
            while taken != filled {
                let there = filled.wrapping_sub(taken) as usize;
                let part = self.part(taken, there.min(if left > 0 { left } else { 4 - known }))?;
                let into = if left > 0 { &mut hands[..part.len()] } else { &mut prefix[known..known + part.len()] };
                part.copy_to(into);
                taken = taken.wrapping_add(part.len() as u32);
                if left > 0 {
                    left -= black_box(&hands[..part.len()]).len();
                    self.publish(TAKEN, taken);
                } else {
                    known = (known + part.len()) % 4;
                    left = if known == 0 { u32::from_le_bytes(prefix) as usize } else { 0 };
                }
            }
            self.publish(TAKEN, taken);
        }
    }

    fn publish(&self, word: usize, value: u32) {
        self.word(word).store(value, Ordering::SeqCst);
        // In one order with the other's look before it sleeps: either it sees the value, or this sees that it sleeps.
        if self.word(word + SLEEPS).swap(0, Ordering::SeqCst) != 0 {
            self.wake(word);
        }
    }

    fn wake(&self, word: usize) {
        let _ = futex::wake(self.word(word), futex::Flags::empty(), 1);
    }

    /// Waits until a word is no longer what was seen of it; answers what it is now.
    fn changed(&self, at: usize, seen: u32, gone: impl Fn() -> io::Result<()>) -> io::Result<u32> {
        let (word, sleeps) = (self.word(at), self.word(at + SLEEPS));
        for _ in 0..LOOKS {
            let now = word.load(Ordering::Acquire);
            if now != seen {
                return Ok(now);
            }
            spin_loop();
        }
        loop {
            sleeps.store(1, Ordering::SeqCst);
            let now = word.load(Ordering::SeqCst);
            if now != seen {
                sleeps.store(0, Ordering::SeqCst);
                return Ok(now);
            }
            gone()?;
            let _ = futex::wait(word, futex::Flags::empty(), seen, Some(&NAP));
        }
    }
}

/// The end that fills in.
struct Sender<'a> {
    ring: &'a Ring,
    filled: u32,
    taken: u32,
}

impl Sender<'_> {
    fn put(&mut self, mut bytes: &[u8], gone: &impl Fn() -> io::Result<()>) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = CAPACITY - self.filled.wrapping_sub(self.taken) as usize;
            if room == 0 {
                self.ring.publish(FILLED, self.filled);
                self.taken = self.ring.changed(TAKEN, self.taken, gone)?;
                continue;
            }
            let part = self.ring.part(self.filled, room.min(bytes.len()))?;
            part.copy_from(&bytes[..part.len()]);
            self.filled = self.filled.wrapping_add(part.len() as u32);
            bytes = &bytes[part.len()..];
            if part.len() == PART_BYTES {
                self.ring.publish(FILLED, self.filled);
            }
        }
        Ok(())
    }
}

/// The parent's end, and the thread that takes.
pub(super) struct Taker {
    file: Arc<File>,
    ring: Arc<Ring>,
    gone: Arc<AtomicBool>,
}

impl Taker {
    /// New memory, and a thread that takes what comes.
    pub(super) fn start() -> io::Result<Self> {
        let file = File::from(rustix::fs::memfd_create("pasta-fasta", MemfdFlags::CLOEXEC)?);
        file.set_len(FILE_BYTES)?;
        let file = Arc::new(file);
        let (ring, gone) = (Arc::new(Ring::map(file.clone())?), Arc::new(AtomicBool::new(false)));
        let (taken, left) = (ring.clone(), gone.clone());
        let gone_yet =
            move || if left.load(Ordering::Acquire) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) };
        std::thread::Builder::new().name("taker".to_owned()).spawn(move || {
            tune::burner(tune::Staffed::House);
            // Ends only when the kitchen is gone.
            let _ = taken.take_all(&gone_yet);
        })?;
        Ok(Self { file, ring, gone })
    }

    /// The descriptor a kitchen finds it under.
    pub(super) fn fd(&self) -> i32 {
        self.file.as_raw_fd()
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Release);
        self.ring.wake(FILLED);
    }
}
