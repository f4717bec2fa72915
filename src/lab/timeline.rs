//! The Gantt chart of an order, as text for a terminal and as SVG for a page.
//!
//! One row per step up to a limit, in order of dish and step; within a row the kinds of time told apart by the marks and
//! colours of [`super::phases`]. It deliberately draws only what was recorded.

use std::fmt::Write as _;

use super::phases::{Parts, Phase};
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
    parts: Parts,
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
        let label = format!("{} {}", record.at.dish, job.spec.step(record.at).name);
        Row { label, record, parts: Parts::of(&job.spec, record) }
    };
    Chart { rows: ran.iter().take(ROWS).map(row).collect(), left_out, end }
}

impl Chart<'_> {
    /// The kinds of time that appear, for the legend; waits and work always.
    fn kinds(&self) -> Vec<Phase> {
        let appears = |phase: Phase| {
            matches!(phase, Phase::Wait | Phase::Cpu | Phase::Queue)
                || self.rows.iter().any(|row| self.shows(row, phase))
        };
        Phase::ALL.into_iter().filter(|phase| appears(*phase)).collect()
    }

    /// Whether this kind takes at least half a column of the row.
    fn shows(&self, row: &Row<'_>, phase: Phase) -> bool {
        row.parts.get(phase).max(0) as u64 * 2 * COLUMNS as u64 >= self.end
    }
}

/// A step that did not end well is drawn as one, whatever it did.
fn bad_end(record: &StepRecord) -> Option<(char, &'static str)> {
    match record.outcome {
        Outcome::Failed => Some(('x', "#c0392b")),
        Outcome::Canceled => Some(('/', "#95a5a6")),
        _ => None,
    }
}

/// The chart as text.
#[must_use]
pub fn text(job: &Job, records: &[StepRecord]) -> String {
    let chart = chart(job, records);
    let width = chart.rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0).min(32);
    let mut out = String::new();
    for row in &chart.rows {
        let label: String = row.label.chars().take(width).collect();
        let ms = (row.record.finished - row.record.started) / 1_000;
        let _ = writeln!(out, "{label:<width$} |{}| {:.1} ms", bar(&chart, row), ms as f64 / 1e3);
    }
    if chart.left_out > 0 {
        let _ = writeln!(out, "... and {} more steps", chart.left_out);
    }
    for kind in chart.kinds() {
        let _ = write!(out, "{} {}  ", kind.mark(), kind.words());
    }
    let span = human(std::time::Duration::from_nanos(chart.end));
    let _ = writeln!(out, "x failed  / canceled   0 .. {span}");
    out
}

fn bar(chart: &Chart<'_>, row: &Row<'_>) -> String {
    let column = |at: Ns| (u128::from(at) * COLUMNS as u128 / u128::from(chart.end)) as usize;
    let mut bar = [' '; COLUMNS];
    let bad = bad_end(row.record).map(|(mark, _)| mark);
    for (phase, from, to) in row.parts.laid_out(row.record) {
        let mark = if phase == Phase::Queue { phase.mark() } else { bad.unwrap_or(phase.mark()) };
        bar[column(from).min(COLUMNS)..column(to).min(COLUMNS)].fill(mark);
    }
    // However short it was, a step that ran is seen.
    let start = column(row.record.started).min(COLUMNS - 1);
    if matches!(bar[start], ' ' | '·') {
        let longest = Phase::ALL[1..].iter().max_by_key(|phase| row.parts.get(**phase));
        bar[start] = bad.or(longest.map(|phase| phase.mark())).unwrap_or(' ');
    }
    bar.iter().collect()
}

const ROW_PX: usize = 16;
const LABEL_PX: usize = 180;
const BAR_PX: usize = 720;
const LEGEND_PX: usize = 150;
/// Entries of the legend beside each other.
const LEGEND_COLUMNS: usize = (LABEL_PX + BAR_PX) / LEGEND_PX;

/// The chart as SVG, readable on light and dark ground. Names are escaped; there is no script in it.
#[must_use]
pub fn svg(job: &Job, records: &[StepRecord]) -> String {
    let chart = chart(job, records);
    let kinds = chart.kinds();
    let legend_rows = kinds.len().div_ceil(LEGEND_COLUMNS);
    let height = (chart.rows.len() + legend_rows + 2) * ROW_PX;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\" role=\"img\"><title>Timeline</title><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
        LABEL_PX + BAR_PX + 10
    );
    for (i, row) in chart.rows.iter().enumerate() {
        draw(&mut out, &chart, row, i * ROW_PX);
    }
    let below = chart.rows.len() * ROW_PX;
    for (i, kind) in kinds.iter().enumerate() {
        let (x, y) = (4 + i % LEGEND_COLUMNS * LEGEND_PX, below + i / LEGEND_COLUMNS * ROW_PX);
        let _ = write!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"{}\" \
             fill=\"#222\">{}</text>",
            y + 4,
            kind.colour(),
            x + 14,
            y + 12,
            kind.words()
        );
    }
    let span = human(std::time::Duration::from_nanos(chart.end));
    let more = if chart.left_out > 0 { format!("; {} more steps not drawn", chart.left_out) } else { String::new() };
    let _ = write!(out, "<text x=\"4\" y=\"{}\" fill=\"#222\">0 .. {span}{more}</text></svg>", height - 10);
    out
}

fn draw(out: &mut String, chart: &Chart<'_>, row: &Row<'_>, y: usize) {
    let x = |at: Ns| LABEL_PX as f64 + at as f64 * BAR_PX as f64 / chart.end as f64;
    let _ = write!(out, "<text x=\"4\" y=\"{}\" fill=\"#222\">{}</text>", y + 12, escape(&row.label));
    let mut bar = |from: Ns, to: Ns, fill: &str, height: usize| {
        let width = (x(to) - x(from)).max(0.5);
        let top = y + (ROW_PX - height) / 2;
        let left = x(from);
        let _ =
            write!(out, "<rect x=\"{left:.2}\" y=\"{top}\" width=\"{width:.2}\" height=\"{height}\" fill=\"{fill}\"/>");
    };
    let bad = bad_end(row.record).map(|(_, colour)| colour);
    for (phase, from, to) in row.parts.laid_out(row.record) {
        match phase {
            Phase::Queue => bar(from, to, phase.colour(), 4),
            _ => bar(from, to, bad.unwrap_or(phase.colour()), 12),
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
