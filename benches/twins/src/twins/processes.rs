//! The twin of multiprocessing: this binary re-executed, one line out, one line back.
//!
//! The protocol is as small as it can be (`WAIT_MS ITERATIONS` answered by `MONOTONIC_NS VALUE`), has no framing and no
//! recovery: a child that dies fails the whole measurement.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{Dish, Measured, cook_blocking, in_ms};

/// The argument that turns this binary into a kitchen.
pub const CHILD: &str = "--child";

/// Between two hand-overs: long enough for the child to block in its read, as it does between two orders over HTTP.
const HANDOVER_PAUSE: Duration = Duration::from_millis(1);

/// The parent needs one thread a child and none of them does anything deep.
const KEEPER_STACK_BYTES: usize = 64 * 1_024;

struct Kitchen {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    line: String,
}

impl Kitchen {
    fn open() -> io::Result<Self> {
        // Not current_exe(): its answer may be a path that has been replaced by another build.
        let mut child = Command::new("/proc/self/exe")
            .arg(CHILD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().expect("stdin was asked to be a pipe");
        let answers = child.stdout.take().expect("stdout was asked to be a pipe");
        Ok(Self {
            child,
            orders,
            answers: BufReader::with_capacity(256, answers),
            line: String::new(),
        })
    }

    /// When the child saw the line (monotonic, comparable between processes), and the value.
    fn cook(&mut self, dish: Dish) -> io::Result<(u64, u128)> {
        // Formatted first: one write, or the child could wake for half a line.
        let order = format!("{} {}\n", dish.wait.as_millis(), dish.iterations);
        self.orders.write_all(order.as_bytes())?;
        self.line.clear();
        self.answers.read_line(&mut self.line)?;
        let mut words = self.line.split_ascii_whitespace();
        let seen = words.next().and_then(|word| word.parse().ok());
        let value = words.next().and_then(|word| word.parse().ok());
        seen.zip(value)
            .ok_or_else(|| io::Error::other("a kitchen closed before it answered"))
    }

    /// The end of its input is a child's sign to leave.
    fn close(mut self) -> io::Result<()> {
        drop(self.orders);
        self.child.wait().map(drop)
    }
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// `kitchens` children; each takes the next dish until there is none.
pub fn pool(dishes: u64, dish: Dish, kitchens: usize) -> io::Result<Measured> {
    let began = Instant::now();
    let opened = (0..kitchens)
        .map(|_| Kitchen::open())
        .collect::<io::Result<Vec<_>>>()?;
    let spawned = Instant::now();
    let taken = AtomicU64::new(0);
    let closed = std::thread::scope(|scope| {
        let keepers = opened
            .into_iter()
            .map(|mut kitchen| {
                let keep = || -> io::Result<(Kitchen, Option<u128>)> {
                    let mut last = None;
                    while taken.fetch_add(1, Ordering::Relaxed) < dishes {
                        last = Some(kitchen.cook(dish)?.1);
                    }
                    Ok((kitchen, last))
                };
                std::thread::Builder::new()
                    .stack_size(KEEPER_STACK_BYTES)
                    .spawn_scoped(scope, keep)
            })
            .collect::<io::Result<Vec<_>>>()?;
        keepers
            .into_iter()
            .map(|keeper| keeper.join().expect("a keeper does not panic"))
            .collect::<io::Result<Vec<_>>>()
    })?;
    let ended = Instant::now();
    let mut value = 0;
    for (kitchen, last) in closed {
        value = last.unwrap_or(value);
        kitchen.close()?;
    }
    Ok(Measured {
        makespan_ms: Some(in_ms(ended - began)),
        warm_makespan_ms: Some(in_ms(ended - spawned)),
        value: Some(value.to_string()),
        ..Measured::default()
    })
}

/// How long a line takes from the parent's clock before the write to the child's clock after the read; the median.
pub fn handover(rounds: usize) -> io::Result<Measured> {
    let mut kitchen = Kitchen::open()?;
    let nothing = Dish {
        wait: Duration::ZERO,
        iterations: 0,
    };
    kitchen.cook(nothing)?;
    let mut took_ns = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        std::thread::sleep(HANDOVER_PAUSE);
        let sent = monotonic_ns();
        let (seen, _) = kitchen.cook(nothing)?;
        took_ns.push(seen.saturating_sub(sent));
    }
    kitchen.close()?;
    took_ns.sort_unstable();
    let p50_us = Duration::from_nanos(took_ns[took_ns.len() / 2]).as_secs_f64() * 1_000_000.0;
    Ok(Measured {
        handover_us_p50: Some(p50_us),
        ..Measured::default()
    })
}

/// The child: reads a line, cooks it, answers; leaves at the end of its input.
pub fn child() -> ExitCode {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut line = String::new();
    loop {
        line.clear();
        match input.read_line(&mut line) {
            Ok(0) => return ExitCode::SUCCESS,
            Ok(_) => {}
            Err(_) => return ExitCode::FAILURE,
        }
        let seen = monotonic_ns();
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        let (Some(Ok(wait_ms)), Some(Ok(iterations))) = (numbers.next(), numbers.next()) else {
            return ExitCode::FAILURE;
        };
        let value = cook_blocking(Dish {
            wait: Duration::from_millis(wait_ms),
            iterations,
        });
        // Stdout is line-buffered: the newline sends the answer in one write.
        if writeln!(output, "{seen} {value}").is_err() {
            return ExitCode::FAILURE;
        }
    }
}
