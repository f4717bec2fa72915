//! `Idempotency-Key`: a request that may be sent again and takes effect once.
//!
//! After draft-ietf-httpapi-idempotency-key-header-07 (expired), which wants the key quoted, and Stripe's practice, which
//! does not; both are read. It deliberately remembers nothing: the store does, together with the order.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response};
use serde::Serialize;
use uuid::Uuid;

use super::caller::Caller;
use super::problem::{self, Problem};
use crate::domain::limits;
use crate::store::Once;

/// The key of a request, if it has one.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refuse = |detail: &str| Err(Problem::new(&problem::BAD_KEY, detail));
    if values.next().is_some() {
        return refuse("there is more than one");
    }
    let Some(text) = value.to_str().ok().map(str::trim) else { return refuse("it is not ASCII") };
    let bare = text.strip_prefix('"').map_or(Some(text), |rest| rest.strip_suffix('"'));
    let Some(bare) = bare.filter(|bare| !bare.contains(['"', '\\'])) else { return refuse("its quotes do not match") };
    if bare.is_empty()
        || bare.len() > limits::IDEMPOTENCY_KEY_CHARS
        || bare.bytes().any(|b| !(b'!'..=b'~').contains(&b))
    {
        return refuse("it must have 1 to 255 visible ASCII characters");
    }
    Ok(Some(bare.to_owned()))
}

/// What makes this request happen once. White space and the order of fields in the body do not matter.
pub fn of(caller: &Caller, key: String, path: &str, asked: &impl Serialize) -> Once {
    let mut content = path.as_bytes().to_vec();
    content.push(0);
    // Plain data with string keys can always be written; if not, the path alone is what is compared.
    content.extend(serde_json::to_vec(asked).unwrap_or_default());
    Once { owner: caller.client.clone(), key: key.into(), fingerprint: Uuid::new_v5(&Uuid::nil(), &content) }
}

/// Says that this request had been here before.
pub fn replayed(response: &mut Response<Body>) {
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
}
