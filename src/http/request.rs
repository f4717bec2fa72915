//! Reading requests: bodies, query parameters and headers, each refused as a problem with its place.
//!
//! It deliberately checks only syntax; what an order means is resolved by the kitchen.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Query};
use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::bodies::Slow;
use super::problem::{self, Problem};
use crate::domain::ask::{OrderAsk, RecipeAsk};
use crate::domain::limits;
use crate::domain::resolve::Violation;
use crate::domain::trace::TraceParent;

/// The query parameters of a request, in order.
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads them.
    pub fn of(uri: &Uri) -> Result<Self, Problem> {
        if uri.query().is_none() {
            return Ok(Self(Vec::new()));
        }
        let Query(pairs) = Query::try_from_uri(uri).map_err(|e| Problem::query("", e.body_text()))?;
        Ok(Self(pairs))
    }

    /// Takes one parameter; twice is refused.
    pub fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut all = self.take_all(name);
        match all.len() {
            0 | 1 => Ok(all.pop()),
            _ => Err(Problem::query(name, "must be given once")),
        }
    }

    /// Takes a whole number.
    pub fn number(&mut self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Problem> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|n| digits && (min..=max).contains(n));
        number.map(Some).ok_or_else(|| Problem::query(name, format!("must be a whole number from {min} to {max}")))
    }

    /// Takes every occurrence of a parameter.
    pub fn take_all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// Takes every parameter whose name starts with this, without that start.
    pub fn take_prefixed(&mut self, prefix: &str) -> Vec<(String, String)> {
        let taken = self.0.extract_if(.., |(key, _)| key.starts_with(prefix));
        taken.map(|(key, value)| (key[prefix.len()..].to_owned(), value)).collect()
    }

    /// Refuses whatever has not been taken.
    pub fn done(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::query(name, "is not a parameter of this path")),
        }
    }
}

/// For paths that have no query parameters: any is refused.
pub struct NoParams;

impl<S: Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Params::of(&parts.uri)?.done().map(|()| Self)
    }
}

/// How long the answer may be held, and the header that says it was understood.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hold {
    /// Seconds; 0 for not at all.
    pub seconds: u64,
    /// Whether the client asked by `Prefer` (RFC 7240) and is told what was applied.
    pub preferred: bool,
}

/// A form an answer can have: its name in `format`, what an `Accept` that asks for it contains, and what it stands for.
pub type Form<T> = (&'static str, &'static [&'static str], T);

/// Reads `?format=...`, or else what `Accept` asks for; the first form if neither says anything.
pub fn form<T: Copy>(params: &mut Params, headers: &HeaderMap, forms: &[Form<T>]) -> Result<T, Problem> {
    if let Some(named) = params.take("format")? {
        let found = forms.iter().find(|(name, ..)| *name == named).map(|(.., form)| *form);
        return found.ok_or_else(|| {
            let names: Vec<_> = forms.iter().map(|(name, ..)| *name).collect();
            let (last, others) = names.split_last().unwrap_or((&"", &[]));
            Problem::query("format", format!("must be {} or {last}", others.join(", ")))
        });
    }
    let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let asked = forms.iter().find(|(_, marks, _)| marks.iter().any(|mark| accept.contains(mark)));
    Ok(asked.unwrap_or(&forms[0]).2)
}

/// Reads `?wait=N`, which is refused above the limit, and `Prefer: wait=N`, which is a wish and applied up to it.
pub fn hold(params: &mut Params, headers: &HeaderMap) -> Result<Hold, Problem> {
    if let Some(seconds) = params.number("wait", 0, limits::HOLD_S)? {
        return Ok(Hold { seconds, preferred: false });
    }
    let wishes = headers.get_all("prefer").iter().filter_map(|v| v.to_str().ok());
    let wait = wishes.flat_map(|v| v.split([',', ';'])).find_map(|wish| {
        let value = wish.trim().strip_prefix("wait")?.trim_start().strip_prefix('=')?;
        value.trim().trim_matches('"').parse::<u64>().ok()
    });
    Ok(wait.map_or_else(Hold::default, |n| Hold { seconds: n.min(limits::HOLD_S), preferred: true }))
}

/// The bytes of a body of the usual size.
pub async fn bytes(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    bytes_up_to(limits::BODY_BYTES, headers, body).await
}

/// The bytes of a body, refused before they are read if the client says that there are too many.
pub async fn bytes_up_to(limit: usize, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(&problem::TOO_LARGE, format!("this body has at most {limit} bytes"));
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > limit as u64) {
        return Err(too_large());
    }
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        if std::error::Error::source(&error).is_some_and(is_slow) {
            return Problem::new(&problem::REQUEST_TIMEOUT, "the body did not arrive in time");
        }
        let limit = std::error::Error::source(&error).is_some_and(|e| e.to_string().contains("length limit"));
        if limit { too_large() } else { Problem::new(&problem::BAD_REQUEST, "the body could not be read") }
    })
}

fn is_slow(mut cause: &(dyn std::error::Error + 'static)) -> bool {
    loop {
        if cause.is::<Slow>() {
            return true;
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => return false,
        }
    }
}

/// Reads a JSON body.
pub fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let refuse = |detail: String| Err(Problem::new(&problem::MEDIA_TYPE, detail));
    if !(essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json")) {
        return refuse(format!("the body is {essence:?}, not application/json; with curl use --json instead of -d"));
    }
    let charset = parts.find_map(|p| p.to_ascii_lowercase().strip_prefix("charset=").map(str::to_owned));
    if charset.is_some_and(|c| c.trim_matches('"') != "utf-8") {
        return refuse("JSON is UTF-8".to_owned());
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|e| e != "identity") {
        return refuse("compressed bodies are not read".to_owned());
    }
    let first = body.iter().find(|b| !b.is_ascii_whitespace());
    if first.is_some_and(|b| *b != b'{') {
        return Err(match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => Problem::with(&problem::INVALID, vec![Violation::new("", "the body must be an object")]),
            Err(error) => refusal("", &error),
        });
    }
    // The plain reader is twice as fast; the one that knows the path reads again only what was refused.
    serde_json::from_slice(body).or_else(|_| {
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(body))
            .map_err(|error| refusal(&pointer(error.path()), error.inner()))
            .and_then(|_: T| match serde_json::from_slice(body) {
                Ok(value) => Ok(value),
                Err(error) => Err(refusal("", &error)),
            })
    })
}

fn refusal(pointer: &str, error: &serde_json::Error) -> Problem {
    let detail = error.to_string();
    let is_syntax = !matches!(error.classify(), Category::Data) || detail.starts_with("duplicate field");
    let kind = if is_syntax { &problem::INVALID_JSON } else { &problem::INVALID };
    Problem::with(kind, vec![Violation::new(pointer, detail)])
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut out = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => out.push_str(&format!("/{index}")),
            Segment::Map { key } => out.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    out
}

/// Whether the client says that it has this version (`If-None-Match`, weak comparison as RFC 9110 13.1.2 asks).
pub fn has_seen(headers: &HeaderMap, tag: &str) -> bool {
    let seen = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    seen.is_some_and(|seen| seen.split(',').any(|s| s.trim().trim_start_matches("W/") == tag || s.trim() == "*"))
}

/// The trace this request belongs to. A malformed one is ignored, as W3C Trace Context asks.
pub fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all("traceparent").iter();
    let one = values.next().filter(|_| values.next().is_none())?;
    TraceParent::parse(one.to_str().ok()?)
}

/// Reads an order: a JSON body, or, without one, the query shorthand.
pub fn order(params: &mut Params, headers: &HeaderMap, body: &[u8]) -> Result<OrderAsk, Problem> {
    if !body.is_empty() {
        return json(headers, body);
    }
    let ask = OrderAsk {
        preset: params.take("preset")?,
        model: params.take("model")?,
        recipe: params.take("recipe")?.map(RecipeAsk::Named),
        step_order: params.take("step_order")?,
        isolation: params.take("isolation")?,
        dishes: params.number("dishes", 0, u64::MAX)?,
        io_ms: params.number("io_ms", 0, u64::MAX)?,
        cpu_ms: params.number("cpu_ms", 0, u64::MAX)?,
        speed: params.number("speed", 0, u64::MAX)?,
        seed: params.number("seed", 0, u64::MAX)?,
        max_in_flight: params.number("max_in_flight", 0, u64::MAX)?,
        expires_in_ms: params.number("expires_in_ms", 0, u64::MAX)?,
        timeout_ms: params.number("timeout_ms", 0, u64::MAX)?,
        max_attempts: params.number("max_attempts", 0, u64::MAX)?,
        retry_wait_ms: params.number("retry_wait_ms", 0, u64::MAX)?,
        ..OrderAsk::default()
    };
    if ask == OrderAsk::default() {
        let detail = r#"send a JSON body such as {"model":"asyncio"}, or ?model=asyncio, or ?preset=seed-threads"#;
        return Err(Problem::with(&problem::INVALID, vec![Violation::new("/model", detail)]));
    }
    Ok(ask)
}
