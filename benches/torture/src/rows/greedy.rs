//! M: valid JSON that asks for too much is refused up front; the most that is allowed can be canceled.
//!
//! Processor time is the service's own, over all its threads, divided by the repeats. It deliberately sends nothing
//! malformed: that has tests of its own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ended, recipe, until, waiting};
use crate::Try;
use crate::checker::count;
use crate::figures::{Finding, mib, ms};
use crate::service::{Setting, Start};
use crate::wire::{id, request};

/// Repeats of each case, so that a single preemption does not count.
const REPEATS: u32 = 10;
/// Processor time a refusal may take.
const CHEAP: Duration = Duration::from_millis(5);

/// What is asked, and the bytes of it.
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let order = |extra: Value| {
        let mut order = waiting("asyncio", 1);
        if let (Some(order), Some(extra)) = (order.as_object_mut(), extra.as_object()) {
            order.extend(extra.clone());
        }
        request("POST", "/orders", &[], &order.to_string())
    };
    let raw = |body: &str| request("POST", "/orders", &[], body);
    let step = |n: usize| json!({"name": format!("{n}"), "work": {"kind": "wait", "ms": 1}});
    let many: Vec<_> = (0..4_000).map(step).collect();
    let labels: serde_json::Map<_, _> = (0..1_000).map(|n| (format!("l{n}"), json!("v"))).collect();
    let batch = json!({"orders": vec![json!({"model": "asyncio"}); 1_001]});
    let cpu = |iterations: &str| {
        format!(
            r#"{{"model":"asyncio","recipe":{{"name":"c","steps":[{{"name":"c","work":{{"kind":"cpu","iterations":{iterations}}}}}]}}}}"#
        )
    };
    vec![
        ("a thousand million dishes", order(json!({"dishes": 1_000_000_000_u64}))),
        ("2^63 iterations", raw(&cpu("9223372036854775808"))),
        ("2^64 iterations", raw(&cpu("18446744073709551616"))),
        (
            "an hour of CPU a million times",
            order(json!({"dishes": 1_000_000, "recipe": recipe(json!({"kind": "cpu", "ms": 3_600_000}))})),
        ),
        ("a wait of ten years", raw(r#"{"model":"asyncio","io_ms":315360000000}"#)),
        ("4,000 steps", order(json!({"recipe": {"name": "m", "steps": many}}))),
        ("a name of 100,000 characters", order(json!({"recipe": {"name": "n".repeat(100_000), "steps": [step(0)]}}))),
        ("a thousand labels", order(json!({"labels": labels}))),
        (
            "3,000,000 dishes of two steps",
            order(json!({"dishes": 3_000_000, "recipe": {"name": "m", "steps": [step(0), step(1)]}})),
        ),
        ("a million threads", order(json!({"model": "multithreading", "setup": {"chefs": 1_000_000}}))),
        ("a million processes", order(json!({"model": "multiprocessing", "setup": {"kitchens": 1_000_000}}))),
        ("a timeout of ages", order(json!({"timeout_ms": 9_000_000_000_000_000_u64}))),
        ("a speed of 10^18", order(json!({"speed": 1_000_000_000_000_000_000_u64}))),
        ("a batch of 1,001", request("POST", "/orders/batch", &[], &batch.to_string())),
        ("a page of a thousand million", request("GET", "/orders?limit=1000000000", &[], "")),
        ("a wait of a day", request("POST", "/orders?wait=86400&model=asyncio", &[], "")),
    ]
}

/// M.
pub(super) async fn refused_up_front(setting: &Setting) -> Try<Finding> {
    let cases = cases();
    let mut finding = Finding::of(
        "M greedy but valid",
        format!("{} cases x {REPEATS}", cases.len()),
        "422 (400 for a number that is none), <= 5 ms of CPU each, RSS + <= 4 MiB; the largest allowed is canceled <= 250 ms",
    );
    let service = Start::new(setting, "M")?.open().await?;
    let mut client = service.client();
    for (_, request) in &cases {
        client.call(request).await?;
    }
    let (rss, mut dearest, mut refused) = (service.process().rss_bytes(), (Duration::ZERO, ""), 0);
    for (what, request) in &cases {
        let cpu = service.process().cpu_exact();
        for _ in 0..REPEATS {
            let answer = client.call(request).await?;
            let allowed = if *what == "2^64 iterations" { vec![400, 422] } else { vec![422] };
            finding.must(allowed.contains(&answer.status), format!("{what}: {}", answer.status));
            let kind = answer.header("content-type").unwrap_or_default();
            finding.must(kind == "application/problem+json", format!("{what}: answered as {kind}"));
            refused += 1;
        }
        let each = service.process().cpu_exact().saturating_sub(cpu) / REPEATS;
        if each > dearest.0 {
            dearest = (each, what);
        }
        finding.must(each <= CHEAP, format!("{what} took {} of CPU", ms(each)));
    }
    let grown = service.process().rss_bytes().saturating_sub(rss);
    finding.fault(refused > 0, format!("{refused} sent"));
    finding.figure(format!("dearest {} ({})", ms(dearest.0), dearest.1));
    finding.figure(format!("RSS + {}", mib(grown)));
    finding.must(grown <= 4 * 1024 * 1024, format!("RSS grew by {}", mib(grown)));
    let mut largest = waiting("asyncio", 3_600_000);
    largest["dishes"] = json!(setting.size(1_000_000, 3_000_000));
    let placed = client.place(&largest).await?["id"].as_str().and_then(id).ok_or("no id")?;
    until(&mut client, Duration::from_secs(10), "it runs", |stats| count(stats, "running") == 1).await?;
    // In the middle of its life, not of its birth.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = Instant::now();
    client.post(&format!("/orders/{}/cancel", crate::wire::id_text(placed)), &Value::Null).await?;
    let over = ended(&mut client, placed).await?;
    finding.at_most("largest canceled", asked.elapsed(), Duration::from_millis(250));
    finding.must(over["status"] == "canceled", format!("the largest ended as {}", over["status"]));
    Ok(finding)
}
