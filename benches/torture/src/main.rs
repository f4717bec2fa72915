//! `torture`: breaks a running service in real ways and checks from outside what it promised.
//!
//! Each row prints one line of a table: its size, how it was seen that the fault happened, the figures, what must hold,
//! and the verdict. A row whose fault did not happen never passes. It deliberately shares no code with the service.

mod checker;
mod feeder;
mod figures;
mod follow;
mod ledger;
mod line;
mod load;
mod postgres;
mod probe;
mod proc;
mod proxy;
mod rows;
mod service;
mod sse;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use figures::Finding;
use service::Setting;

/// An error of a row itself, in words.
pub type Try<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Longest time of a row at its quick size. Chosen: several times what the slowest takes on an idle machine.
const ROW_WITHIN: Duration = Duration::from_secs(600);

const USAGE: &str = "usage: torture --service BINARY --out DIR [--quick | --full] [ROW...]";

fn main() -> ExitCode {
    let (setting, wanted) = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("torture: {error}\n{USAGE}\nrows: {}", rows::NAMES.join(" "));
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("torture: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{}\n", surroundings());
    println!("| row | size | the fault, as it was seen | figures | must hold | verdict |\n|---|---|---|---|---|---|");
    let mut failed = Vec::new();
    for name in wanted {
        let began = Instant::now();
        let row =
            async { tokio::time::timeout(setting.size(ROW_WITHIN, 6 * ROW_WITHIN), rows::run(&name, &setting)).await };
        let findings = match runtime.block_on(row).unwrap_or_else(|_| Err("it was not over in time".into())) {
            Ok(findings) => findings,
            Err(error) => {
                let mut finding = Finding::of(&name, "-", "it can be carried out");
                finding.must(false, error.to_string());
                vec![finding]
            }
        };
        for finding in findings {
            println!("{}", finding.line());
            for broken in finding.broken.iter().take(12) {
                eprintln!("   {}: {broken}", finding.row);
            }
            if !finding.passed() {
                failed.push(finding.row);
            }
        }
        eprintln!("   ({name}: {:.1} s)", began.elapsed().as_secs_f64());
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}

/// What a reader must know about the machine: the load of others is in every figure.
fn surroundings() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let load = read("/proc/loadavg");
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    format!("{} cores, Linux {}, load average at the start {load}", proc::cores(), kernel.trim())
}

fn arguments() -> Result<(Setting, Vec<String>), String> {
    let (mut binary, mut out, mut full, mut wanted) = (None, None, false, Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--service" => binary = words.next().map(PathBuf::from),
            "--out" => out = words.next().map(PathBuf::from),
            "--quick" => full = false,
            "--full" => full = true,
            row if rows::NAMES.contains(&row) => wanted.push(word),
            other => return Err(format!("{other} is neither an option nor a row")),
        }
    }
    if wanted.is_empty() {
        wanted = rows::NAMES.iter().map(|name| (*name).to_owned()).collect();
    }
    let binary = binary.ok_or("--service is missing")?;
    let out = out.ok_or("--out is missing")?;
    std::fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    Ok((Setting { binary, out, full }, wanted))
}
