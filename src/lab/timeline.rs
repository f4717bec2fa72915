//! The Gantt chart of an order, as text for a terminal and as SVG for a page.
//!
//! One row per step up to a limit, in order of dish and step: waits, CPU and the time before a worker was free told
//! apart. It deliberately draws only what was recorded.

use std::fmt::Write as _;

use crate::domain::Ns;
use crate::domain::job::Job;
use crate::domain::narration::human;
use crate::domain::record::{Outcome, StepRecord};

/// Rows drawn; more are not readable. What is left out is said.
const ROWS: usize = 120;
/// Characters of a text bar.
const COLUMNS: usize = 60;

struct Row<'a> {
    label: String,
    record: &'a StepRecord,
    is_cpu: bool,
}

struct Chart<'a> {
    rows: Vec<Row<'a>>,
    left_out: usize,
    end: Ns,
}

fn chart<'a>(job: &Job, records: &'a [StepRecord]) -> Chart<'a> {
    let mut ran: Vec<_> = records.iter().filter(|r| r.was_run()).collect();
    ran.sort_unstable_by_key(|r| (r.at.dish, r.at.step));
    let end = ran.iter().map(|r| r.finished).max().unwrap_or(0).max(1);
    let left_out = ran.len().saturating_sub(ROWS);
    let row = |record: &&'a StepRecord| {
        let step = job.spec.step(record.at);
        Row { label: format!("{} {}", record.at.dish, step.name), record, is_cpu: step.work.is_cpu() }
    };
    Chart { rows: ran.iter().take(ROWS).map(row).collect(), left_out, end }
}

fn mark(row: &Row<'_>) -> char {
    match (row.record.outcome, row.is_cpu) {
        (Outcome::Failed, _) => 'x',
        (Outcome::Canceled, _) => '/',
        (_, true) => '▓',
        (_, false) => '░',
    }
}

/// The chart as text.
#[must_use]
pub fn text(job: &Job, records: &[StepRecord]) -> String {
    let chart = chart(job, records);
    let width = chart.rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0).min(32);
    let column = |at: Ns| (u128::from(at) * COLUMNS as u128 / u128::from(chart.end)) as usize;
    let mut out = String::new();
    for row in &chart.rows {
        let record = row.record;
        let (ready, start, end) = (column(record.ready), column(record.started), column(record.finished));
        let bar: String = (0..COLUMNS)
            .map(|i| match i {
                _ if i >= start && (i < end || i == start.min(COLUMNS - 1)) => mark(row),
                _ if i >= ready && i < start => '·',
                _ => ' ',
            })
            .collect();
        let label: String = row.label.chars().take(width).collect();
        let ms = (record.finished - record.started) / 1_000;
        let _ = writeln!(out, "{label:<width$} |{bar}| {:.1} ms", ms as f64 / 1e3);
    }
    if chart.left_out > 0 {
        let _ = writeln!(out, "... and {} more steps", chart.left_out);
    }
    let span = human(std::time::Duration::from_nanos(chart.end));
    let _ = writeln!(out, "░ wait  ▓ cpu  · ready, no worker free  x failed  / canceled   0 .. {span}");
    out
}

const ROW_PX: usize = 16;
const LABEL_PX: usize = 180;
const BAR_PX: usize = 720;

/// The chart as SVG, readable on light and dark ground. Names are escaped; there is no script in it.
#[must_use]
pub fn svg(job: &Job, records: &[StepRecord]) -> String {
    let chart = chart(job, records);
    let height = (chart.rows.len() + 2) * ROW_PX;
    let x = |at: Ns| LABEL_PX as f64 + at as f64 * BAR_PX as f64 / chart.end as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\" role=\"img\"><title>Timeline</title><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
        LABEL_PX + BAR_PX + 10
    );
    for (i, row) in chart.rows.iter().enumerate() {
        let (y, record) = (i * ROW_PX, row.record);
        let fill = match (record.outcome, row.is_cpu) {
            (Outcome::Failed, _) => "#c0392b",
            (Outcome::Canceled, _) => "#95a5a6",
            (_, true) => "#d35400",
            (_, false) => "#5dade2",
        };
        let _ = write!(out, "<text x=\"4\" y=\"{}\" fill=\"#222\">{}</text>", y + 12, escape(&row.label));
        let mut bar = |from: Ns, to: Ns, fill: &str, height: usize| {
            let width = (x(to) - x(from)).max(0.5);
            let top = y + (ROW_PX - height) / 2;
            let _ = write!(
                out,
                "<rect x=\"{:.2}\" y=\"{top}\" width=\"{width:.2}\" height=\"{height}\" fill=\"{fill}\"/>",
                x(from)
            );
        };
        bar(record.ready, record.started, "#d5d8dc", 4);
        bar(record.started, record.finished, fill, 12);
    }
    let span = human(std::time::Duration::from_nanos(chart.end));
    let more = if chart.left_out > 0 { format!("; {} more steps not drawn", chart.left_out) } else { String::new() };
    let legend = format!("blue: wait, orange: cpu, grey: no worker free; 0 .. {span}{more}");
    let _ = write!(out, "<text x=\"4\" y=\"{}\" fill=\"#222\">{legend}</text></svg>", height - 6);
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
