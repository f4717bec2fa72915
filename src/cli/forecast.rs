//! `pasta-fasta forecast`: what would come of it, on how many cores? A table on stdout, what it rests on on stderr.
//!
//! It deliberately uses the same forecast as the API.

use std::process::ExitCode;

use super::compare::span;
use super::{EXIT_FAILURE, EXIT_USAGE, err, out};
use crate::app;
use crate::config::Cli;
use crate::config_forecast::Forecast;
use crate::domain::ask::OrderAsk;
use crate::http::comparison_ask::{LineUpAsk, ObjectiveAsk};
use crate::http::forecast_wire::view;
use crate::http::forecasts::{ForecastAsk, question};
use crate::lab::forecasts::Answer;
use crate::model::staff::StaffConfig;

/// Foresees.
pub(super) fn run(forecast: &Forecast) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() else {
        err("error: cannot start the runtime");
        return ExitCode::from(EXIT_FAILURE);
    };
    let code = runtime.block_on(run_on(forecast));
    runtime.shutdown_background();
    code
}

async fn run_on(asked: &Forecast) -> ExitCode {
    let work = OrderAsk {
        io_ms: (asked.io_ms > 0).then_some(asked.io_ms),
        cpu_ms: (asked.cpu_ms > 0).then_some(asked.cpu_ms),
        dishes: Some(asked.dishes),
        ..OrderAsk::default()
    };
    if work.io_ms.is_none() && work.cpu_ms.is_none() {
        err("error: say what a dish needs: --io-ms, --cpu-ms, or both");
        return ExitCode::from(EXIT_USAGE);
    }
    let serve = <Cli as clap::Parser>::parse_from(["pasta-fasta"]).serve;
    let (_kitchen, comparisons) = app::kitchen(&serve, StaffConfig::of_this_process());
    let forecasts = comparisons.forecasts.clone();
    let line_up = Some(LineUpAsk::Named(asked.line_up.clone()));
    let objective = Some(ObjectiveAsk::of_words(&asked.objective));
    let (question, bad) = question(ForecastAsk { work: work.clone(), line_up, cores: asked.cores, objective });
    let specs = match forecasts.orders(&question, bad) {
        Ok(specs) => specs,
        Err(bad) => {
            bad.iter().for_each(|v| err(&format!("error: {}: {}", v.pointer, v.detail)));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if asked.calibrate
        && let Err(why) = forecasts.calibrate().await
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
    let costs = if answer.calibration.measured.is_some() { "costs as measured now" } else { "costs as assumed" };
    err(&format!("foreseen, not measured: {:.2} cores, {costs}", answer.machine.cores));
    if let Some(crossover) = answer.crossover_ms {
        err(&format!("a process for each dish pays from {crossover:.1} ms of CPU"));
    }
}
