//! A3, the power cut: the service is killed, and what it had written since the last sync of each file is taken away.
//!
//! A kill alone leaves what was written in the kernel. strace tells which bytes no sync had confirmed; they are cut off the
//! end, or overwritten with zeros where they lie in the middle. The shared memory beside the file goes too. It deliberately
//! does not put older bytes back: of a log they would be worth nothing, and a page of the file may be torn.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::crash::{directory, integrity};
use super::nodes::statuses;
use super::synced::under_strace;
use crate::Try;
use crate::checker::check_durable;
use crate::figures::Finding;
use crate::ledger::Ledger;
use crate::load::uniform;
use crate::proc;
use crate::service::Setting;

/// Each sync takes so much longer, so that most kills fall between a write and its sync.
const SLOW_SYNC: &str = "inject=fsync,fdatasync:delay_enter=2000";
const CALLS: &str = "pwrite64,write,ftruncate,fsync,fdatasync";

/// Bytes from here to there.
type Range = (u64, u64);

/// What was written to each file and not synced afterwards.
fn unsynced(trace: &Path, of: &Path) -> Try<BTreeMap<String, Vec<Range>>> {
    let (text, of) = (String::from_utf8_lossy(&std::fs::read(trace)?).into_owned(), of.to_string_lossy());
    let (mut written, mut syncing) = (BTreeMap::<String, Vec<Range>>::new(), HashMap::<&str, String>::new());
    for line in text.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let is_good = line.contains(" = 0");
        if rest.contains("sync resumed>") {
            if let Some(file) = syncing.remove(process).filter(|_| is_good) {
                written.remove(&file);
            }
            continue;
        }
        let Some((call, file, words)) = call_of(rest).filter(|(_, file, _)| file.starts_with(&*of)) else { continue };
        match (call, words.as_slice()) {
            ("pwrite64", [.., length, at]) => written.entry(file).or_default().push((*at, at + length)),
            ("ftruncate", [length]) => {
                written.entry(file).or_default().retain_mut(|range| {
                    range.1 = range.1.min(*length);
                    range.0 < range.1
                });
            }
            ("fsync" | "fdatasync", _) if line.contains("<unfinished") => drop(syncing.insert(process, file)),
            ("fsync" | "fdatasync", _) if is_good => drop(written.remove(&file)),
            ("fsync" | "fdatasync", _) => {}
            _ => return Err(format!("a write this row does not understand: {line}").into()),
        }
    }
    Ok(written)
}

/// The call of `TIME pwrite64(13</path>, ""..., 4096, 56) = 4096`: its name, its file, its numbers.
fn call_of(line: &str) -> Option<(&str, String, Vec<u64>)> {
    let (name, rest) = line.trim_start().split_once(' ')?.1.split_once('(')?;
    let (file, rest) = rest.split_once('<')?.1.split_once('>')?;
    let words = rest.split(')').next()?.split(' ').filter_map(|word| word.trim_matches(',').parse().ok());
    Some((name, file.to_owned(), words.collect()))
}

/// Takes these bytes away; answers how many there were.
fn cut(file: &str, mut ranges: Vec<Range>) -> Try<u64> {
    let mut open = File::options().write(true).open(file)?;
    let mut length = open.metadata()?.len();
    ranges.sort_unstable_by_key(|range| range.1);
    let (before, mut zeroed) = (length, 0);
    while let Some((from, to)) = ranges.pop() {
        if to >= length {
            length = length.min(from);
            continue;
        }
        open.seek(SeekFrom::Start(from))?;
        open.write_all(&vec![0; (to - from) as usize])?;
        zeroed += to - from;
    }
    open.set_len(length)?;
    Ok(before - length + zeroed)
}

/// A3(b).
pub(super) async fn cuts(setting: &Setting) -> Try<Finding> {
    let kills = setting.size(5, 40);
    let mut finding = Finding::of(
        "A3 power cut, SQLite",
        format!("{kills} kills under 200 orders/s, syncs 2 ms slower"),
        "every order whose 202 was sent is there, integrity_check ok after each cut",
    );
    let more = ["-y", "-s", "0", "-e", SLOW_SYNC];
    let (mut nodes, trace) = under_strace(setting, "A3-power", CALLS, &more).await?;
    let file = trace.with_file_name("orders.db");
    let ledger = Arc::new(Ledger::default());
    let feeder = nodes.feed(&ledger, 200);
    let (mut dice, mut hit, mut bytes) = (3, 0, 0);
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_secs_f64(0.7 + 0.6 * uniform(&mut dice))).await;
        // Not its tracer, which has to write down the last calls.
        let service = nodes.all[0].process().children();
        proc::send(service.first().ok_or("nothing is traced")?.0, Signal::KILL)?;
        nodes.all[0].ended(Duration::from_secs(10)).await?;
        let mut lost = 0;
        for (file, ranges) in unsynced(&trace, &file)? {
            lost += cut(&file, ranges)?;
        }
        (hit, bytes) = (hit + usize::from(lost > 0), bytes + lost);
        std::fs::remove_file(file.with_extension("db-shm"))?;
        let said = integrity(&copied(setting, &file)?)?;
        finding.must(said == "ok", format!("integrity_check after cut {}: {said}", kill + 1));
        nodes.again(0).await?;
    }
    feeder.end().await?;
    check_durable(setting, &nodes.refs(), &ledger, &mut finding).await?;
    finding
        .fault(2 * hit >= kills, format!("{hit} of {kills} kills lost what was written, {} KiB in all", bytes / 1_024));
    finding.figure(statuses(&ledger));
    Ok(finding)
}

/// The file as it was found, to be looked at by somebody who may write to it.
fn copied(setting: &Setting, file: &Path) -> Try<std::path::PathBuf> {
    let copy = directory(setting, "A3-copy")?.join("orders.db");
    std::fs::copy(file, &copy)?;
    std::fs::copy(file.with_extension("db-wal"), copy.with_extension("db-wal"))?;
    Ok(copy)
}
