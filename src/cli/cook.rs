//! `pasta-fasta cook`: one order without a server, told as it happens.
//!
//! It deliberately uses the same kitchen as the service, so what it prints is what the API would say.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::{EXIT_FAILURE, out};
use crate::app;
use crate::config::{Cli, Cook};
use crate::domain::ask::{OrderAsk, RecipeAsk, SetupAsk, Value};
use crate::domain::client::Client;
use crate::domain::job::{Job, Status};
use crate::domain::narration;
use crate::domain::resolve::Violation;
use crate::http::wire::{OrderView, ms};
use crate::kitchen::{Found, Kitchen};
use crate::lab::timeline;
use crate::model::recorder;
use crate::model::staff::StaffConfig;

/// Time between two looks at what has happened.
const LOOK: Duration = Duration::from_millis(20);

/// Cooks one order.
pub(super) fn run(cook: Cook) -> ExitCode {
    super::on_runtime(run_on(cook))
}

async fn run_on(cook: Cook) -> ExitCode {
    let mut serve = <Cli as clap::Parser>::parse_from(["pasta-fasta"]).serve;
    serve.allow_faults = cook.allow_faults;
    let (kitchen, _) = app::kitchen(&serve, StaffConfig::of_this_process());
    let json = cook.json;
    let job = match ask(cook).and_then(|ask| kitchen.resolve(ask)) {
        Ok(spec) => {
            let placed = kitchen.submit(&Client::house(), vec![spec], None).await;
            placed.ok().and_then(|mut placed| placed.jobs.pop())
        }
        Err(bad) => return super::refused(&bad),
    };
    let Some(job) = job else { return ExitCode::from(EXIT_FAILURE) };
    let Some(job) = follow(&kitchen, job, !json).await else { return ExitCode::from(EXIT_FAILURE) };
    if json {
        out(&format!("{}\n", serde_json::to_string_pretty(&OrderView::new(&job, None)).unwrap_or_default()));
    } else {
        let records = kitchen.store.steps(job.id).await.ok().flatten().unwrap_or_default();
        out(&format!("\n{}\n{}", timeline::text(&job, &records), figures(&job)));
    }
    if job.status == Status::Succeeded { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILURE) }
}

fn ask(cook: Cook) -> Result<OrderAsk, Vec<Violation>> {
    let file = |detail: String| vec![Violation::new("--order", detail)];
    let base: OrderAsk = match &cook.order {
        None => OrderAsk::default(),
        Some(path) => {
            let text = std::fs::read(path).map_err(|error| file(error.to_string()))?;
            serde_json::from_slice(&text).map_err(|error| file(error.to_string()))?
        }
    };
    let mut setup = base.setup.clone();
    for option in &cook.setup {
        let Some((name, value)) = option.split_once('=') else {
            return Err(vec![Violation::new("--set", "must be OPTION=VALUE")]);
        };
        let value = match (value.parse(), value.parse()) {
            (Ok(number), _) => Value::Number(number),
            (_, Ok(truth)) => Value::Truth(truth),
            _ => Value::Word(value.to_owned()),
        };
        setup.get_or_insert_with(SetupAsk::default).0.push((name.to_owned(), value));
    }
    let nothing = cook.model.is_none() && cook.preset.is_none() && cook.order.is_none();
    Ok(OrderAsk {
        model: cook.model.or(base.model).or_else(|| nothing.then(|| "asyncio".to_owned())),
        preset: cook.preset.or(base.preset),
        setup,
        recipe: cook.recipe.map(RecipeAsk::Named).or(base.recipe),
        dishes: cook.dishes.or(base.dishes).or_else(|| nothing.then_some(3)),
        io_ms: cook.io_ms.or(base.io_ms),
        cpu_ms: cook.cpu_ms.or(base.cpu_ms),
        speed: cook.speed.or(base.speed),
        isolation: cook.isolation.or(base.isolation),
        step_order: cook.step_order.or(base.step_order),
        ..base
    })
}

/// Waits for the end, telling what happens if wanted.
async fn follow(kitchen: &Arc<Kitchen>, job: Job, tell: bool) -> Option<Job> {
    let watched = kitchen.watch(job.id);
    let mut seen = 1;
    let mut run = kitchen.run(job.id);
    let mut attempt = 1;
    loop {
        let ended = watched.ended();
        let Ok(Found::Here(now)) = kitchen.get(job.id).await else { return None };
        let over = now.status.is_done();
        if now.attempt > attempt {
            // The one before failed; this one begins from nothing.
            (attempt, seen, run) = (now.attempt, 1, kitchen.run_of(&now));
        }
        let events = if over {
            let records = kitchen.store.steps(job.id).await.ok().flatten();
            records.map(|records| recorder::told(&records, seen)).unwrap_or_default()
        } else {
            run.as_ref().map(|run| run.recorder.events_after(seen)).unwrap_or_default()
        };
        for event in events {
            seen = event.seq;
            let step = job.spec.step(event.at);
            let line = match event.outcome {
                None => narration::start(event.at.dish, &step.name, step.work),
                Some(outcome) => narration::end(event.at.dish, &step.name, outcome),
            };
            if tell {
                out(&format!("{:>10.1} ms  {line}\n", ms(event.offset)));
            }
        }
        if over {
            return Some(*now);
        }
        let _ = tokio::time::timeout(LOOK, ended).await;
    }
}

fn figures(job: &Job) -> String {
    let Some(summary) = &job.summary else { return String::new() };
    let mean = summary.mean_dish.map_or(0.0, ms);
    let p95 = summary.p95_dish.map_or(0.0, ms);
    let error = job.error.as_ref().map(|e| format!("\n{}: {}", e.kind.name(), e.detail)).unwrap_or_default();
    format!(
        "{}: makespan {:.1} ms, dish mean {mean:.1} ms, p95 {p95:.1} ms, cpu {:.1} ms{error}\n",
        job.status.name(),
        ms(summary.makespan),
        ms(summary.totals.terms.cpu),
    )
}
