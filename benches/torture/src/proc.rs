//! What `/proc` says about processes, their memory, processor time and sockets.
//!
//! It deliberately asks nobody else: the service's own word about itself is what is being checked.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process};

use crate::Try;

/// Bytes of a page on every machine this runs on (x86-64, and arm64 as Debian ships it).
const PAGE_BYTES: u64 = 4_096;
/// Clock ticks of `/proc/PID/stat` per second; fixed by the kernel's interface.
const TICKS_PER_S: f64 = 100.0;

/// A process by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process(pub u32);

/// One line of `/proc/PID/stat`.
struct Stat {
    state: char,
    parent: u32,
    cpu_ticks: u64,
    niceness: i64,
    /// Tells a process from another one that got its number.
    born: u64,
}

impl Process {
    fn stat(self) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        // The name is in parentheses and may contain anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        Some(Stat {
            state: fields.first()?.chars().next()?,
            parent: number(1)? as u32,
            cpu_ticks: number(11)? + number(12)?,
            niceness: fields.get(16)?.parse().ok()?,
            born: number(19)?,
        })
    }

    /// Children, zombies left out.
    pub fn children(self) -> Vec<Process> {
        self.below().into_iter().filter(|child| child.stat().is_some_and(|stat| stat.state != 'Z')).collect()
    }

    /// Dead children nobody has collected.
    pub fn zombies(self) -> usize {
        self.below().into_iter().filter(|child| child.stat().is_some_and(|stat| stat.state == 'Z')).count()
    }

    /// How much it yields to others.
    pub fn niceness(self) -> Option<i64> {
        Some(self.stat()?.niceness)
    }

    fn below(self) -> Vec<Process> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Process));
        pids.filter(|pid| pid.stat().is_some_and(|stat| stat.parent == self.0)).collect()
    }

    /// All processes below it, each with its birth.
    pub fn descendants(self) -> Vec<(Process, u64)> {
        let mut found = Vec::new();
        for child in self.children() {
            if let Some(stat) = child.stat() {
                found.push((child, stat.born));
            }
            found.extend(child.descendants());
        }
        found
    }

    /// Resident bytes.
    pub fn rss_bytes(self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.0)).unwrap_or_default();
        text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE_BYTES
    }

    /// Open descriptors.
    pub fn descriptors(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).map_or(0, Iterator::count)
    }

    /// Threads.
    pub fn threads(self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.0)).map_or(0, Iterator::count)
    }

    /// Processor time of all its threads since its start, to 10 ms.
    pub fn cpu(self) -> Duration {
        Duration::from_secs_f64(self.stat().map_or(0, |stat| stat.cpu_ticks) as f64 / TICKS_PER_S)
    }

    /// Processor time of the threads it has now, to the nanosecond.
    pub fn cpu_exact(self) -> Duration {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.0)) else { return Duration::ZERO };
        let ns = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_ascii_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(ns.sum())
    }

    /// Where one of its descriptors leads.
    pub fn descriptor(self, number: u32) -> String {
        let link = fs::read_link(format!("/proc/{}/fd/{number}", self.0));
        link.map_or_else(|_| "closed".to_owned(), |path| path.display().to_string())
    }

    /// Waits until it has ended and been collected, looking at it as often as the machine allows; how long that took.
    pub fn collected_after(self, at_most: Duration) -> Option<Duration> {
        let began = Instant::now();
        let path = format!("/proc/{}", self.0);
        while began.elapsed() < at_most {
            if !Path::new(&path).exists() {
                return Some(began.elapsed());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        None
    }
}

/// How many of these are still alive: the same number and the same birth.
pub fn alive(processes: &[(Process, u64)]) -> usize {
    let lives = |(process, born): &&(Process, u64)| {
        process.stat().is_some_and(|stat| stat.born == *born && stat.state != 'Z' && stat.state != 'X')
    };
    processes.iter().filter(lives).count()
}

/// Sends a signal.
pub fn send(pid: u32, signal: Signal) -> Try<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("not a process id")?;
    Ok(kill_process(pid, signal)?)
}

/// Takes descriptors away from a running process.
pub fn limit_descriptors(process: Process, descriptors: u64) -> Try<()> {
    let limit = Rlimit { current: Some(descriptors), maximum: Some(descriptors) };
    rustix::process::prlimit(i32::try_from(process.0).ok().and_then(Pid::from_raw), Resource::Nofile, limit)?;
    Ok(())
}

/// Keeps all threads of a process on these cores.
pub fn pin(pid: u32, cores: &str) -> Try<()> {
    let done = Command::new("taskset").args(["-a", "-p", "-c", cores, &pid.to_string()]).output()?;
    if !done.status.success() {
        return Err(format!("taskset: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    Ok(())
}

/// Processor time of this process itself.
pub fn own_cpu() -> Duration {
    Process(std::process::id()).cpu()
}

/// Seconds all cores together were busy since the machine was started.
pub fn machine_busy_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; idle and iowait are not busy.
    let busy: f64 = fields.iter().take(8).enumerate().filter(|(at, _)| *at != 3 && *at != 4).map(|(_, v)| v).sum();
    busy / TICKS_PER_S
}

/// Cores of the machine.
pub fn cores() -> usize {
    // Not what this process may use: it pins itself at times.
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let named = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    text.lines().filter(named).count().max(1)
}

/// Connections of a local port that hold bytes which the other side does not take.
pub fn stalled_sockets(port: u16) -> usize {
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!(":{port:04X}");
    let stalled = text.lines().skip(1).filter(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let is_ours = fields.next().is_some_and(|address| address.ends_with(&local));
        let established = fields.nth(1).is_some_and(|state| state == "01");
        let queue = fields.next().and_then(|queue| queue.split_once(':')).map_or("0", |(send, _)| send);
        is_ours && established && u64::from_str_radix(queue, 16).is_ok_and(|bytes| bytes > 0)
    });
    stalled.count()
}
