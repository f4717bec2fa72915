//! Every error the service answers: one shape (RFC 9457), one table, a page for each.
//!
//! It deliberately holds no causes: what went wrong inside is logged, not sent.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{self, ALLOW, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::resolve::Violation;

/// A row of the table: slug, status, title, and what to do.
pub struct Kind {
    /// Last part of the problem's `type`.
    pub slug: &'static str,
    /// Status code; 200 for the errors of failed orders, which are no HTTP errors.
    pub status: u16,
    /// Constant title.
    pub title: &'static str,
    /// What happened and what to do, for the page.
    pub page: &'static str,
}

macro_rules! kinds {
    ($($name:ident $slug:literal $status:literal $title:literal $page:literal)*) => {
        $(#[doc = $title] pub static $name: Kind = Kind { slug: $slug, status: $status, title: $title, page: $page };)*
        /// All of them.
        pub static ALL: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    INVALID_JSON "invalid-json" 400 "The body is not valid JSON"
        "The body could not be read as JSON, or a field stands in it twice. The pointer names the place."
    BAD_REQUEST "bad-request" 400 "The request cannot be understood"
        "A header or the request line is malformed."
    CROSS_SITE "cross-site" 403 "Another site may not do this"
        "A browser says that a page of another site sent this. Start the service with --allowed-origin to allow it."
    UNAUTHORIZED "unauthorized" 401 "An API key is needed"
        "Send Authorization: Bearer KEY with a key of this service, and once. Probes, pages and the catalog need none."
    FORBIDDEN "forbidden" 403 "This key may not do that"
        "The key is known and lacks the scope that the request needs: orders:read, orders:write or admin."
    NOT_FOUND "not-found" 404 "There is nothing here"
        "No such path, or an id that this service never issued. GET /docs lists all paths."
    METHOD_NOT_ALLOWED "method-not-allowed" 405 "This path has no such method"
        "The Allow header lists the methods of this path."
    REQUEST_TIMEOUT "request-timeout" 408 "The request took too long to arrive"
        "The head or the body did not arrive in time. Send it again."
    NOT_CANCELABLE "order-not-cancelable" 409 "The order has already ended"
        "Ended orders never change. Only waiting and running orders can be canceled."
    ACTIVE "order-active" 409 "The order has not ended"
        "Only ended orders can be deleted or measured by their final records. Cancel it first, or wait."
    GONE "gone" 410 "The order is no longer kept"
        "It was one of this service's and has been deleted, or dropped after its retention (GET /limits)."
    LOST "lost-on-restart" 410 "The order was lost when the service restarted"
        "This service keeps orders in memory. Orders of an earlier run are gone; send the order again."
    TOO_LARGE "body-too-large" 413 "The body is too large"
        "GET /limits says how large a body may be."
    URI_TOO_LONG "uri-too-long" 414 "The URI is too long"
        "GET /limits says how long a URI may be."
    MEDIA_TYPE "unsupported-media-type" 415 "The body must be JSON"
        "Send Content-Type: application/json. With curl: use --json instead of -d."
    MISDIRECTED "misdirected" 421 "This service does not go by that name"
        "On this machine's own addresses only their names are answered, so that no page of a website can pretend to be \
         local (DNS rebinding). Start the service with --allowed-host for other names."
    INVALID "invalid-order" 422 "The order cannot be accepted"
        "Every violation is listed with a JSON pointer into the body. Limits are refused by name, never clamped."
    INVALID_QUERY "invalid-query" 422 "A query parameter cannot be accepted"
        "Every violation is listed with the name of the parameter."
    BAD_KEY "bad-idempotency-key" 400 "The Idempotency-Key cannot be read"
        "Send one Idempotency-Key of 1 to 255 visible ASCII characters, bare or in double quotes."
    KEY_REUSED "idempotency-key-reused" 422 "The Idempotency-Key was used for another request"
        "A key names one request: the same path and the same content. Use a new key for a new order. Keys are kept as long as their orders."
    EMPTY_FILTER "empty-filter" 422 "A filter is missing"
        "Cancelling many orders needs at least one condition, so that an empty body cancels nothing by accident."
    QUOTA "quota-exceeded" 429 "You have your share of the house"
        "One client may have as many orders waiting or running as are still free: alone half of the house, two a third each. Try again after Retry-After seconds."
    HEAD_TOO_LARGE "head-too-large" 431 "The header fields are too large"
        "GET /limits says how many bytes and fields the head of a request may have."
    RATE_LIMITED "rate-limited" 429 "Too many writes"
        "This client sends orders faster than it may. Try again after Retry-After seconds; RateLimit says what is left."
    INTERNAL "internal" 500 "The service failed"
        "This is a defect of the service. Its log has the cause."
    FULL "house-full" 503 "The house is full"
        "As many orders are waiting or running as the house can hold. Try again after Retry-After seconds."
    STORE_DOWN "store-unavailable" 503 "The order store does not answer"
        "Orders are kept in a database, and it cannot be reached or asked now. Nothing was accepted. Try again after Retry-After seconds."
    STORAGE_FULL "storage-full" 503 "The order store has no space left"
        "What is kept can be read; nothing new is accepted until space is freed, and then at once, without a restart."
    STREAMS "too-many-streams" 503 "Too many streams are open"
        "GET /limits says how many event streams may be open at once. Close one, or poll."
    DRAINING "draining" 503 "The house is closing"
        "The service is shutting down and accepts nothing more. Try again after Retry-After seconds."
    ORDER_TIMEOUT "timeout" 200 "The order ran longer than its timeout"
        "The order's timeout_ms passed before it was done. Its steps show how far it came."
    ORDER_PANIC "panic" 200 "A step panicked"
        "The step failed, its dish with it; the other dishes were cooked."
    ORDER_EXIT "exit" 200 "A kitchen exited"
        "A child process ended by itself in the middle of its work."
    ORDER_SIGNAL "signal" 200 "A kitchen was ended by a signal"
        "A child process was killed in the middle of its work."
    ORDER_OOM "oom" 200 "A kitchen ran out of memory"
        "A child process was refused memory and ended."
    ORDER_SHUTDOWN "shutdown" 200 "The service was shut down"
        "The order was running when the service ended."
    ORDER_SPAWN "spawn" 200 "A kitchen or thread could not be started"
        "The machine refused a process or a thread. See GET /limits, ulimit -u and the cgroup's pids.max."
    ORDER_EXPIRED "expired" 200 "The order had not begun by its start deadline"
        "Its expires_in_ms passed while it waited. It was not cooked at all."
    ORDER_HANG "hang" 200 "A kitchen hung"
        "A child process was late with its work and at rest for a second, or used many times the CPU time its work needs. It was ended."
    ORDER_DEADLOCK "deadlock" 200 "Steps wait for each other for ever"
        "Each of them holds equipment and waits for what another of them holds. The order's error names them."
    ORDER_LOST "lost" 200 "The nodes it ran on were lost"
        "Its nodes died, or were not heard of for longer than a lease, one after another. Its attempts name them."
    HOUSE_BUSY "house-busy" 200 "The house did not become empty"
        "A comparison needs the house to itself; other orders did not end within 60 s."
}

/// One thing wrong, with its place.
#[derive(Debug, Serialize, ToSchema)]
pub struct Fault {
    /// JSON pointer into the body (RFC 6901), or the name of a query parameter.
    pub pointer: String,
    /// One sentence.
    pub detail: String,
}

impl Fault {
    fn sentence(&self) -> String {
        if self.pointer.is_empty() { self.detail.clone() } else { format!("{}: {}", self.pointer, self.detail) }
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Where the kind of problem is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; constant.
    pub title: &'static str,
    /// Status code.
    #[schema(minimum = 100, maximum = 599)]
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// Everything that is wrong with the request, if it can be listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    #[serde(skip)]
    allow: Option<HeaderValue>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// What a refused client is told to wait if nobody knows better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{}", kind.slug),
            title: kind.title,
            status: kind.status,
            detail: detail.into(),
            errors: Vec::new(),
            allow: None,
            retry_after: None,
        }
    }

    /// With everything that is wrong.
    #[must_use]
    pub fn with(kind: &'static Kind, violations: Vec<Violation>) -> Self {
        let errors: Vec<_> = violations.into_iter().map(|v| Fault { pointer: v.pointer, detail: v.detail }).collect();
        let detail = errors.iter().map(Fault::sentence).take(3).collect::<Vec<_>>();
        Self { errors, ..Self::new(kind, detail.join("; ")) }
    }

    /// One violation of a query parameter.
    #[must_use]
    pub fn query(name: &str, detail: impl Into<String>) -> Self {
        Self::with(&INVALID_QUERY, vec![Violation::new(name, detail)])
    }

    /// With the time after which to come back, in whole seconds on the wire.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// With the methods the path has.
    #[must_use]
    pub fn allow(mut self, methods: Option<HeaderValue>) -> Self {
        self.allow = methods;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let wait = self.retry_after.unwrap_or(RETRY_AFTER);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            // The rest of the body is not worth reading.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, methods);
        }
        response
    }
}
