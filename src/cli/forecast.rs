//! `pasta-fasta forecast`: what would come of it, on how many cores? A table on stdout, what it rests on on stderr.
//!
//! It deliberately uses the same forecast as the API.

use std::process::ExitCode;

use super::compare::span;
use super::{EXIT_FAILURE, err, nothing_asked, out, refused};
use crate::app;
use crate::clock;
use crate::config::Cli;
use crate::config_lab::Forecast;
use crate::http::comparison_ask::{LineUpAsk, ObjectiveAsk};
use crate::http::forecast_wire::view;
use crate::http::forecasts::{ForecastAsk, question};
use crate::lab::calibration;
use crate::lab::forecasts::Answer;
use crate::model::staff::StaffConfig;

/// Foresees.
pub(super) fn run(forecast: &Forecast) -> ExitCode {
    super::on_runtime(run_on(forecast))
}

async fn run_on(forecast: &Forecast) -> ExitCode {
    let asked = &forecast.asked;
    let Some(work) = asked.work() else { return nothing_asked() };
    let serve = <Cli as clap::Parser>::parse_from(["pasta-fasta"]).serve;
    let (_kitchen, comparisons) = app::kitchen(&serve, StaffConfig::of_this_process());
    let forecasts = comparisons.forecasts.clone();
    let line_up = Some(LineUpAsk::Named(asked.line_up.clone()));
    let objective = Some(ObjectiveAsk::of_words(&asked.objective));
    let (question, bad) = question(ForecastAsk { work: work.clone(), line_up, cores: forecast.cores, objective });
    let specs = match forecasts.orders(&question, bad) {
        Ok(specs) => specs,
        Err(bad) => return refused(&bad),
    };
    if forecast.calibrate
        && let Err(why) = forecasts.calibrate(calibration::AT_MOST).await
    {
        err(&format!("error: {why}"));
        return ExitCode::from(EXIT_FAILURE);
    }
    let Some(answer) = forecasts.foresee(question, specs).await else { return ExitCode::from(EXIT_FAILURE) };
    if asked.json {
        out(&format!("{}\n", serde_json::to_string_pretty(&view(&work, &answer)).unwrap_or_default()));
    } else {
        tell(&answer);
    }
    ExitCode::SUCCESS
}

fn tell(answer: &Answer) {
    let width = answer.entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let ms = |ns: u64| span(ns as f64 / 1e6);
    for (entry, rank) in answer.entries.iter().zip(1..) {
        let there = &entry.forecast;
        let decides = entry.breaks.as_ref().map_or_else(
            || format!("mostly {}", there.dominant().name().replace('_', " ")),
            |why| format!("not feasible: {why}"),
        );
        out(&format!(
            "{rank}. {:<width$}  {:>8}  dish mean {:>8}  p95 {:>8}  cpu {:>8}  {:>6.1} MiB  {decides}\n",
            entry.name,
            ms(there.makespan),
            ms(there.mean_dish),
            ms(there.p95_dish),
            ms(there.cpu),
            there.peak_memory_bytes as f64 / f64::from(1 << 20),
        ));
    }
    let costs = match &answer.calibration.measured {
        None => "costs as assumed (--calibrate measures them)".to_owned(),
        Some(measured) => format!("costs as measured {}", ago(clock::wall_us() - measured.at_us)),
    };
    err(&format!("foreseen, not measured: {:.2} cores, {costs}", answer.machine.cores));
    if let Some(crossover) = answer.crossover_ms {
        err(&format!("a process for each dish pays from {crossover:.1} ms of CPU"));
    }
}

/// A span of microseconds until now, as people say it.
fn ago(us: i64) -> String {
    match us / 1_000_000 {
        ..60 => "now".to_owned(),
        s @ 60..7_200 => format!("{} minutes ago", s / 60),
        s @ 7_200..172_800 => format!("{} hours ago", s / 3_600),
        s => format!("{} days ago", s / 86_400),
    }
}
