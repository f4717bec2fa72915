//! The only place that reads clocks.
//!
//! Durations come from `CLOCK_MONOTONIC`, which is one axis for all processes of a machine, so a child's stamps can be
//! compared with ours. Wall time is for records only. It deliberately has no fake: what is measured here is real.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub use crate::domain::Ns;
use crate::domain::summary::ProcessUse;

const NS_PER_S: u64 = 1_000_000_000;

fn read(id: ClockId) -> Ns {
    let t = clock_gettime(id);
    u64::try_from(t.tv_sec).unwrap_or(0) * NS_PER_S + u64::try_from(t.tv_nsec).unwrap_or(0)
}

/// Now on the monotonic clock; about 23 ns a read.
#[must_use]
pub fn now() -> Ns {
    read(ClockId::Monotonic)
}

/// CPU time this thread has used (`CLOCK_THREAD_CPUTIME_ID`); about 240 ns a read.
#[must_use]
pub fn thread_cpu() -> Ns {
    read(ClockId::ThreadCPUTime)
}

/// CPU time this process has used, all threads, ended ones included (`CLOCK_PROCESS_CPUTIME_ID`).
#[must_use]
pub fn process_cpu() -> Ns {
    read(ClockId::ProcessCPUTime)
}

/// Wall time in microseconds since 1970, for records and ids.
#[must_use]
pub fn wall_us() -> i64 {
    let t = clock_gettime(ClockId::Realtime);
    t.tv_sec * 1_000_000 + t.tv_nsec / 1_000
}

/// A span in nanoseconds; saturates after 584 years.
#[must_use]
pub fn ns(d: Duration) -> Ns {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads how long the calling thread was runnable but had no core.
///
/// Field 2 of `/proc/thread-self/schedstat` (kernel: Documentation/scheduler/sched-stats.rst), in nanoseconds. One
/// descriptor per thread stays open: reading it costs about 0.6 us, opening it again each time ten times as much.
#[derive(Debug)]
pub struct CoreWait(Option<std::fs::File>);

impl CoreWait {
    /// Opens the calling thread's own counter; a kernel without it reads as 0 for ever.
    #[must_use]
    pub fn of_this_thread() -> Self {
        Self(std::fs::File::open("/proc/thread-self/schedstat").ok())
    }

    /// Nanoseconds this thread has waited for a core since it started.
    pub fn read(&self) -> Ns {
        let mut text = [0_u8; 64];
        let Some(file) = &self.0 else { return 0 };
        let Ok(n) = file.read_at(&mut text, 0) else { return 0 };
        std::str::from_utf8(&text[..n])
            .ok()
            .and_then(|line| line.split_ascii_whitespace().nth(1))
            .and_then(|field| field.parse().ok())
            .unwrap_or(0)
    }
}

/// Peak resident set of this process in bytes: `VmHWM` of `/proc/self/status`.
///
/// Not `ru_maxrss`: of a child of a large parent that one reports the parent's size (see docs/laboratory.md).
#[must_use]
pub fn peak_rss_bytes() -> u64 {
    status_kib("VmHWM:") * 1024
}

/// What this process has used so far. With `pss` also its proportional set size (`Pss` of `/proc/self/smaps_rollup`), which
/// costs the kernel a walk over its pages: some 0.1 ms and more.
#[must_use]
pub fn process_use(pss: bool) -> ProcessUse {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
    let count = |of: fn(&nix::sys::resource::Usage) -> i64| {
        usage.as_ref().map_or(0, |usage| u64::try_from(of(usage)).unwrap_or(0))
    };
    ProcessUse {
        pid: std::process::id(),
        cpu: process_cpu(),
        peak_rss_bytes: peak_rss_bytes(),
        pss_bytes: if pss { kib_of("/proc/self/smaps_rollup", "Pss:") * 1024 } else { 0 },
        switches: [count(|u| u.voluntary_context_switches()), count(|u| u.involuntary_context_switches())],
        faults: [count(|u| u.minor_page_faults()), count(|u| u.major_page_faults())],
        ..ProcessUse::default()
    }
}

/// Resident set of this process now, in bytes: `VmRSS` of `/proc/self/status`.
#[must_use]
pub fn rss_bytes() -> u64 {
    status_kib("VmRSS:") * 1024
}

/// Address space of this process now, in bytes: `VmSize` of `/proc/self/status`, what `RLIMIT_AS` counts.
#[must_use]
pub fn address_space_bytes() -> u64 {
    status_kib("VmSize:") * 1024
}

fn status_kib(key: &str) -> u64 {
    kib_of("/proc/self/status", key)
}

fn kib_of(file: &str, key: &str) -> u64 {
    std::fs::read_to_string(file)
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|l| l.starts_with(key))?;
            line.split_ascii_whitespace().nth(1)?.parse().ok()
        })
        .unwrap_or(0)
}
