//! A report on one screen of a terminal, for somebody who sees one for the first time.
//!
//! It deliberately leaves out what only a program reads: that is in the JSON.

use std::fmt::{Arguments, Write as _};

use super::why::words;
use super::{ChainView, Report};

/// Characters of the longest bar.
const BAR: f64 = 30.0;
/// Terms of a chain that are always shown: wait, CPU, waiting for a core, handing over, lag.
const USUAL: usize = 5;

struct Page(String);

impl Page {
    fn line(&mut self, text: Arguments<'_>) {
        let _ = writeln!(self.0, "{text}");
    }

    fn row(&mut self, name: &str, text: Arguments<'_>) {
        let _ = writeln!(self.0, "{name:<10} {text}");
    }
}

/// The report as text.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut page = Page(String::new());
    page.line(format_args!(
        "{}: {} under {}; {} of {}, {} run\n",
        report.order,
        report.status,
        report.model,
        counted(report.dishes, "dish", "dishes"),
        report.recipe,
        counted(report.steps_run, "step", "steps")
    ));
    times(&mut page, report);
    staff(&mut page, report);
    chain(&mut page, report);
    page.line(format_args!(""));
    report.explanation.iter().for_each(|sentence| page.line(format_args!("{sentence}")));
    match report.noise.is_empty() {
        true => page.line(format_args!("Nothing speaks against these figures.")),
        false => page.line(format_args!("Beware: {}.", report.noise.join("; "))),
    }
    page.0
}

fn counted(n: u32, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn times(page: &mut Page, r: &Report) {
    let (work, bounds) = (&r.work, &r.bounds);
    page.row(
        "makespan",
        format_args!(
            "{:.1} ms from start to the end of the last step; queued {:.1} ms before",
            r.makespan_ms, r.queued_ms
        ),
    );
    if let Some(dish) = &r.dish_ms {
        let (mean, p50, p95, max) = (dish.mean, dish.p50, dish.p95, dish.max);
        page.row(
            "a dish",
            format_args!("done after {mean:.1} ms on average; p50 {p50:.1}, p95 {p95:.1}, max {max:.1} ms"),
        );
    }
    page.row(
        "work",
        format_args!(
            "{:.1} ms of CPU and {:.1} ms of waits: {:.1} ms one after another, {:.3} times the makespan",
            work.cpu_ms, work.wait_ms, work.serial_ms, r.overlap.speedup
        ),
    );
    let upper = bounds.upper_ms.map_or(String::new(), |upper| format!(", a greedy schedule at most {upper:.1} ms"));
    page.row("bounds", format_args!("this setup needs at least {:.1} ms{upper}", bounds.lower_ms));
}

fn staff(page: &mut Page, r: &Report) {
    let (bounds, overlap, books) = (&r.bounds, &r.overlap, &r.books);
    let chefs = match (overlap.chefs, overlap.chef_utilisation) {
        (Some(chefs), Some(busy)) => format!("; {} busy {:.1} % of it", counted(chefs, "chef", "chefs"), busy * 1e2),
        _ => String::new(),
    };
    page.row("cores", format_args!("{:.3} of {} in use over the makespan{chefs}", overlap.cores_busy, bounds.cores));
    if let Some(lag) = &r.lag {
        let slice = lag.longest_slice_ms.map_or(String::new(), |ms| format!("; longest step on the loop {ms:.1} ms"));
        let wait = &lag.wait_ms;
        page.row(
            "waits",
            format_args!("noticed {:.1} ms late at the median, {:.1} at most{slice}", wait.p50, wait.max),
        );
    }
    if let Some(gil) = &r.gil {
        let share = gil.wait_share * 1e2;
        page.row(
            "GIL",
            format_args!("waited for during {:.1} ms, {share:.1} % of what its CPU steps took", gil.wait_ms),
        );
    }
    if let Some(processes) = &r.processes {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (peak, shared) = (mib(processes.total.peak_rss_bytes), mib(processes.pss_bytes));
        let (cpu, spawn) = (processes.total.cpu_ms, processes.spawn_sum_ms);
        let count = processes.count;
        page.row(
            "processes",
            format_args!("{count}: {peak:.1} MiB at their peaks ({shared:.1} shared fairly), {cpu:.1} ms CPU, started in {spawn:.1} ms"),
        );
    }
    page.row(
        "books",
        format_args!(
            "{:.3} ms of {:.1} unexplained, {:.3} in the worst step",
            books.residual_ms, books.span_ms, books.worst_residual_ms
        ),
    );
}

/// The terms of the chain, with bars: the usual ones always, the others if they are there.
fn chain(page: &mut Page, report: &Report) {
    let Some(chain) = &report.chain else { return };
    let steps = counted(chain.length, "step", "steps");
    page.line(format_args!(
        "\nwhat decided the makespan, a chain of {steps}, each begun when the one before was over:"
    ));
    for (nth, (name, ms)) in chain.terms().into_iter().enumerate() {
        if nth < USUAL || ms.abs() >= 0.05 {
            let share = ChainView::share(ms, report.makespan_ms);
            let bar = "#".repeat((share.max(0.0) * BAR).round() as usize);
            let percent = share * 1e2;
            let line = format!("  {:<30} {ms:>10.1} ms {percent:>5.1} %  {bar}", words(name));
            page.line(format_args!("{}", line.trim_end()));
        }
    }
}
