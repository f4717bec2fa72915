//! Headers that every answer has, and those that keep a page in its place.
//!
//! It deliberately allows no other site anything: there is no CORS header.

use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderValue, Response};

use super::request_id::X_REQUEST_ID;

/// For the page: only what this binary serves; no inline script, no inline style, no frame.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: \
                    blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// For the page that hands a trace on: its script, its style, and the trace. What it opens is a window of its own, which no
/// policy governs; it keeps a hand on it, so there is no Cross-Origin-Opener-Policy either.
const TRACE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                     form-action 'none'; frame-ancestors 'none'";
/// For the API docs: Swagger UI writes style attributes and embeds its pictures and fonts.
const DOCS: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src \
                    'self' data:; font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Adds them to an answer of this route.
pub(super) fn add<B>(response: &mut Response<B>, route: &'static str, id: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(&X_REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = match route {
        "/" => PAGE,
        "/docs" => DOCS,
        "/orders/{id}/trace/open" => TRACE,
        _ => return,
    };
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // For browsers older than frame-ancestors.
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
}
