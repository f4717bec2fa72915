//! The hand-written twins of the concurrency models: what a programmer would write without pasta-fasta.
//!
//! One process, one measurement, one line of JSON. Deliberately absent: queue, cancellation, records, books, recipes. What
//! the service costs more than its twin is the price of those.

mod loops;
mod processes;
mod threads;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: twins TWIN [--dishes N] [--wait-ms W] [--iterations K] [--threads P] [--kitchens P] [--rounds R]
  TWIN: sequential        one thread, one dish after another
        tokio-sleeps      FuturesUnordered of tokio sleeps, unconstrained, current-thread runtime (waits only)
        asyncio           one tokio task a dish, current-thread runtime: wait, then compute on the loop
        spawn-blocking    tokio's blocking pool of --threads
        std-threads       --threads std threads and a shared counter
        rayon             a rayon pool of --threads
        processes         --kitchens re-executed children behind pipes
        handover          a warm child started --rounds times: how late does it see its line?";

/// What one dish does: sit out `wait`, then compute `iterations`.
#[derive(Clone, Copy)]
pub struct Dish {
    pub wait: Duration,
    pub iterations: u64,
}

/// What a twin measured; absent fields stay out of the JSON.
#[derive(serde::Serialize, Default)]
pub struct Measured {
    /// From before the first thread, task or child was started to after the last value came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub makespan_ms: Option<f64>,
    /// The same without starting the staff; only where starting it is a separate act (children).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_makespan_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover_us_p50: Option<f64>,
    /// Of the last dish; decimal text, since JSON numbers do not hold u128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// The CPU step: the sum of squares below `iterations`, in u128, every term really computed.
///
/// `black_box` keeps the compiler from replacing the loop by the closed formula, which would leave nothing to measure.
pub fn sum_of_squares(iterations: u64) -> u128 {
    let mut total: u128 = 0;
    for i in 0..iterations {
        total += u128::from(black_box(i)) * u128::from(i);
    }
    total
}

/// A dish on a thread of its own: the wait is sat out.
pub fn cook_blocking(dish: Dish) -> u128 {
    if !dish.wait.is_zero() {
        std::thread::sleep(dish.wait);
    }
    sum_of_squares(dish.iterations)
}

/// Milliseconds with the fraction, as the service prints them.
pub fn in_ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

struct Arguments {
    dishes: u64,
    wait_ms: u64,
    iterations: u64,
    threads: usize,
    kitchens: usize,
    rounds: usize,
}

fn parse(arguments: &[String]) -> Result<Arguments, String> {
    let mut parsed = Arguments {
        dishes: 1,
        wait_ms: 0,
        iterations: 0,
        threads: 1,
        kitchens: 1,
        rounds: 300,
    };
    for pair in arguments.chunks(2) {
        let [name, text] = pair else {
            return Err(format!("{} needs a value", pair[0]));
        };
        let number: u64 = text
            .parse()
            .map_err(|_| format!("{name}: {text} is not a whole number"))?;
        let count = usize::try_from(number).map_err(|_| format!("{name}: {text} is too large"))?;
        match name.as_str() {
            "--dishes" => parsed.dishes = number,
            "--wait-ms" => parsed.wait_ms = number,
            "--iterations" => parsed.iterations = number,
            "--threads" => parsed.threads = count.max(1),
            "--kitchens" => parsed.kitchens = count.max(1),
            "--rounds" => parsed.rounds = count.max(1),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(parsed)
}

/// The high-water mark of this process's resident memory. Not `ru_maxrss`, which an exec inherits from the parent.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1_024)
}

/// Of all threads of this process so far; children are not in it.
fn processor_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let nanos = u32::try_from(spent.tv_nsec).unwrap_or_default();
    Duration::new(spent.tv_sec.unsigned_abs(), nanos)
}

fn measure(twin: &str, given: &Arguments) -> Result<Measured, String> {
    let dish = Dish {
        wait: Duration::from_millis(given.wait_ms),
        iterations: given.iterations,
    };
    Ok(match twin {
        "sequential" => threads::sequential(given.dishes, dish),
        "tokio-sleeps" => loops::tokio_sleeps(given.dishes, dish.wait),
        "asyncio" => loops::asyncio(given.dishes, dish),
        "spawn-blocking" => loops::spawn_blocking(given.dishes, dish, given.threads),
        "std-threads" => threads::std_threads(given.dishes, dish, given.threads),
        "rayon" => threads::rayon_pool(given.dishes, dish, given.threads),
        "processes" => {
            processes::pool(given.dishes, dish, given.kitchens).map_err(|e| e.to_string())?
        }
        "handover" => processes::handover(given.rounds).map_err(|e| e.to_string())?,
        _ => return Err(format!("unknown twin {twin}\n{USAGE}")),
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // First of all: a child must not pay for anything it does not need.
    if arguments
        .first()
        .is_some_and(|twin| twin == processes::CHILD)
    {
        return processes::child();
    }
    let Some((twin, options)) = arguments.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match parse(options).and_then(|given| measure(twin, &given)) {
        Ok(measured) => {
            let mut report = serde_json::json!(measured);
            report["twin"] = serde_json::json!(twin);
            report["cpu_ms"] = serde_json::json!(in_ms(processor_time()));
            report["peak_rss_bytes"] = serde_json::json!(peak_rss_bytes());
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("twins: {message}");
            ExitCode::from(2)
        }
    }
}
