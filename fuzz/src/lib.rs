//! What is done with bytes that somebody made up, one function for each way in. They panic where a promise is broken.
//!
//! Used by the targets in `fuzz_targets`, and by `tests/it/fuzz_corpus.rs` with the committed corpus. It deliberately
//! starts no service and cooks nothing: those who get through are only held against what was promised of them.

use std::sync::OnceLock;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Uri};
use pasta_fasta::config::Cli;
use pasta_fasta::domain::ask::{InlineRecipe, OrderAsk, RecipeAsk};
use pasta_fasta::domain::id::OrderId;
use pasta_fasta::domain::limits;
use pasta_fasta::domain::line::Line;
use pasta_fasta::domain::resolve::{self, House, ModelRow};
use pasta_fasta::domain::spec::Spec;
use pasta_fasta::http::keys::Keys;
use pasta_fasta::http::problem::Problem;
use pasta_fasta::http::request::{self, Params};
use pasta_fasta::http::{event_id, order_list};
use pasta_fasta::model::{self, multiprocessing::fuzzing};
use serde::de::DeserializeOwned;

/// A way in.
pub type Target = fn(&[u8]);

/// All of them, by the names of their targets.
pub const ALL: &[(&str, Target)] = &[
    ("order", order),
    ("recipe", recipe),
    ("frame", frame),
    ("cursor", cursor),
    ("last_event_id", last_event_id),
    ("config", config),
];

/// Orders with at most so many steps are followed to their end.
const FOLLOWED: u64 = 2_000;
/// No word of a fixed message is longer than this; a secret may be.
const LONGEST_WORD: usize = 24;

/// The body of `POST /orders`: read, written, read again, resolved, and its steps taken one after another.
pub fn order(body: &[u8]) {
    if let Some(ask) = json::<OrderAsk>(body) {
        let written = serde_json::to_vec(&ask).expect("what was read can be written");
        assert_eq!(json::<OrderAsk>(&written).as_ref(), Some(&ask), "written and read again it is another");
        let _ = resolved(ask);
    }
}

/// A recipe of one's own, for three dishes.
pub fn recipe(body: &[u8]) {
    if let Some(recipe) = json::<InlineRecipe>(body) {
        let model = Some("asyncio".to_owned());
        let _ = resolved(OrderAsk {
            model,
            recipe: Some(RecipeAsk::Inline(recipe)),
            dishes: Some(3),
            ..Default::default()
        });
    }
}

/// What a kitchen and its parent write to each other. The first byte says whether the rest is a stream or one frame.
pub fn frame(bytes: &[u8]) {
    thread_local! {
        static LOOP: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    static SPEC: OnceLock<Spec> = OnceLock::new();
    let spec = || {
        let ask = json(br#"{"model": "multiprocessing", "dishes": 3, "io_ms": 1, "cpu_ms": 1, "seed": 1}"#);
        ask.and_then(resolved).expect("a good order")
    };
    let Some((kind, rest)) = bytes.split_first() else { return };
    let length = u32::try_from(rest.len()).unwrap_or(u32::MAX).to_le_bytes();
    let stream = if kind % 2 == 0 { [&length, rest].concat() } else { rest.to_vec() };
    LOOP.with(|runtime| runtime.block_on(fuzzing::frame(&stream, SPEC.get_or_init(spec))));
}

/// The query of a list, and its cursor alone.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(id) = OrderId::parse(text, "ord_") {
        assert_eq!(id.to_string(), text, "an id has one spelling");
    }
    let Ok(uri) = Uri::try_from(format!("/orders?{text}")) else { return };
    match order_list::of_uri(&uri) {
        Ok(query) => assert!((1..=limits::PAGE).contains(&query.limit)),
        Err(problem) => is_polite(&problem),
    }
    // The cursor of an order's steps is a number.
    let number = Params::of(&uri).and_then(|mut params| params.number("cursor", 0, limits::STEPS_PER_ORDER));
    assert!(number.ok().flatten().is_none_or(|position| position <= limits::STEPS_PER_ORDER));
}

/// The header of a client that comes back to a stream.
pub fn last_event_id(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let text = value.to_str().unwrap_or_default();
    if let Some(seq) = event_id::of_order(&value, 7, 100) {
        assert!(seq <= 100 && text.contains('7'));
    }
    if event_id::of_house(&value, "b0").is_some() {
        assert!(text.starts_with("b0."));
    }
}

/// Arguments, one a line, up to an empty line; behind it the text of `PASTA_FASTA_API_KEYS`.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (arguments, keys) = text.split_once("\n\n").unwrap_or((text, ""));
    if let Ok(cli) = <Cli as clap::Parser>::try_parse_from(["pasta-fasta"].into_iter().chain(arguments.lines()))
        && let Err(said) = cli.serve.check()
    {
        assert!(!said.is_empty());
    }
    if let Err(said) = Keys::of_text(keys) {
        let secrets = keys.split([';', '\n', ' ']).filter(|word| word.len() > LONGEST_WORD);
        secrets.for_each(|secret| assert!(!said.contains(secret), "it repeats what may be a secret"));
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    request::json(&headers, body).inspect_err(is_polite).ok()
}

/// A refusal is the client's mistake, and says what it is.
fn is_polite(problem: &Problem) {
    assert!((400..500).contains(&problem.status) && !problem.detail.is_empty(), "{problem:?}");
}

/// Resolves an order, and follows it to its end if that is not far.
fn resolved(ask: OrderAsk) -> Option<Spec> {
    static MODELS: OnceLock<Vec<ModelRow>> = OnceLock::new();
    let house = House { models: MODELS.get_or_init(model::rows), allow_faults: true, seed: 1 };
    let spec = match resolve::order(ask, house) {
        Ok(spec) => spec,
        Err(violations) => {
            assert!(!violations.is_empty());
            let is_pointer = |pointer: &str| pointer.is_empty() || pointer.starts_with('/');
            assert!(violations.iter().all(|v| is_pointer(&v.pointer) && !v.detail.is_empty()), "{violations:?}");
            return None;
        }
    };
    assert!((1..=limits::STEPS_PER_ORDER).contains(&spec.steps_total()), "{} steps", spec.steps_total());
    assert!(spec.weight() > 0);
    if spec.steps_total() <= FOLLOWED {
        assert_eq!(cooked(&spec), spec.steps_total(), "an order that was accepted can be cooked to its end");
    }
    Some(spec)
}

/// Takes the steps one after another, each well done; answers how many there were.
fn cooked(spec: &Spec) -> u64 {
    let (mut line, mut steps) = (Line::new(spec), 0);
    if spec.arrivals.is_some() {
        (0..spec.dishes).for_each(|position| line.arrive(spec.arrival(spec.dish(position))));
    }
    while let Some((at, since)) = line.next() {
        let _ = spec.work(at);
        line.done(at, true, since);
        steps += 1;
    }
    steps
}
