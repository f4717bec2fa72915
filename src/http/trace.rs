//! The trace of an order over HTTP, and the page that hands it to Perfetto.
//!
//! It deliberately sends nothing to anybody: the reader's own browser does, when its user asks for it.

use axum::body::Body;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, Uri};
use futures_util::stream;

use super::AppState;
use super::caller::Caller;
use super::orders::{find, id};
use super::pages;
use super::problem::Problem;
use super::request::Params;
use super::steps::records;
use crate::lab::trace::Trace;

/// Read an order's trace
///
/// Chrome's Trace Event JSON, for ui.perfetto.dev and other readers; of a running order what is over so far, of an order
/// above 10,000 steps the sample.
#[utoipa::path(get, path = "/orders/{id}/trace", operation_id = "getTrace", tag = "orders",
    params(("id" = String, Path, description = "The order's id")),
    responses(
        (status = 200, description = "The trace", body = serde_json::Value, content_type = "application/json"),
        (status = 404, description = "Never issued", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "No longer kept, or lost on restart", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn get(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    Params::of(&uri)?.done()?;
    let job = find(&app.kitchen, &caller, id(&text)?).await?;
    let records = records(&app, &job).await?;
    // In parts, made as the reader takes them: ten thousand steps are some 15 MB of text.
    let parts = Trace::new(job, records).parts().map(|part| Ok::<_, std::convert::Infallible>(Bytes::from(part)));
    let mut response = Response::new(Body::from_stream(stream::iter(parts)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Open an order's trace in Perfetto
///
/// A page for a browser, with one button: it opens ui.perfetto.dev (or the Perfetto that `ui` names on this machine) and
/// hands it the trace by `postMessage`. The trace does not leave the two windows.
#[utoipa::path(get, path = "/orders/{id}/trace/open", operation_id = "openTrace", tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("ui" = Option<String>, Query, pattern = r"^http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?$", description = "Address of a Perfetto of one's own, on a loopback address."),
    ),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 404, description = "Never issued", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "No longer kept, or lost on restart", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn open(
    State(app): State<AppState>,
    caller: Caller,
    Path(text): Path<String>,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let mut params = Params::of(&uri)?;
    let ui = params.take("ui")?;
    params.done()?;
    if ui.is_some_and(|ui| !is_loopback(&ui)) {
        return Err(Problem::query("ui", "must be http://127.0.0.1 or http://localhost, with or without a port"));
    }
    find(&app.kitchen, &caller, id(&text)?).await?;
    Ok(pages::trace())
}

/// Whether this is the address of a site on this machine: a link must not be able to hand a trace to anybody else.
fn is_loopback(ui: &str) -> bool {
    let Some(host) = ui.strip_prefix("http://") else { return false };
    let (host, port) = host.split_once(':').unwrap_or((host, "80"));
    ["127.0.0.1", "localhost"].contains(&host)
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok()
}
