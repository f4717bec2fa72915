//! What surrounds every request: a clock, an id, the guard, a net for panics, and the shape of every refusal.
//!
//! One hand-written service instead of layers, which would clone a boxed service per layer and request. It deliberately
//! knows no path but by its first segments, for the metrics.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::{Body as _, Incoming};
use tower::Service;

use super::access::Access;
use super::bodies::{Answer, Received};
use super::caller::Caller;
use super::guard::Guard;
use super::headers;
use super::problem::{self, Problem};
use super::pulse::{Phase, Pulse};
use super::request_id;
use super::unbroken::{RunningOn, Unbroken};
use crate::clock;
use crate::metrics::{Cut, HttpLabels, Metrics};

/// The router with everything around it, for one connection.
#[derive(Clone)]
pub struct Around {
    router: Router,
    metrics: Arc<Metrics>,
    guard: Arc<Guard>,
    access: Arc<Access>,
    body_time: Duration,
    running_on: RunningOn,
    caller: Caller,
    pulse: Arc<Pulse>,
    guest: bool,
}

impl Around {
    /// Surrounds this router; a body may take so long.
    #[must_use]
    pub fn new(
        router: Router,
        metrics: Arc<Metrics>,
        guard: Guard,
        access: Arc<Access>,
        running_on: RunningOn,
        body_time: Duration,
    ) -> Self {
        let (guard, pulse) = (Arc::new(guard), Arc::<Pulse>::default());
        let caller = Caller::at(Ipv4Addr::UNSPECIFIED.into(), pulse.clone());
        Self { router, metrics, guard, access, body_time, running_on, caller, pulse, guest: false }
    }

    /// The same for a connection from this address. A `guest` may only ask probes.
    #[must_use]
    pub fn at(&self, peer: IpAddr, pulse: Arc<Pulse>, guest: bool) -> Self {
        Self { caller: Caller::at(peer, pulse.clone()), pulse, guest, ..self.clone() }
    }

    /// Where it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Writes whose clients are gone.
    #[must_use]
    pub fn running_on(&self) -> &RunningOn {
        &self.running_on
    }
}

impl hyper::service::Service<Request<Incoming>> for Around {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let started = clock::now();
        let has_body = !request.body().is_end_stream();
        self.pulse.enter_at(if has_body { Phase::Body } else { Phase::Busy }, started);
        let (method, route) = (method(request.method()), route(request.uri().path()));
        let (metrics, pulse) = (self.metrics.clone(), self.pulse.clone());
        let is_write = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let refusal = self.guard.refusal(&request, &self.pulse, self.guest);
        let id = request_id::of(request.headers());
        let admitted = match refusal {
            // What else such a client sends is not worth reading.
            Some(problem) => Err(closing(problem.into_response())),
            None => self.access.admit(&request, &self.caller).map_err(|no| if has_body { closing(no) } else { no }),
        };
        let handling = admitted.map(|admitted| {
            let mut request = request.map(|body| match has_body {
                true => Body::new(Received::new(body, pulse.clone(), self.body_time)),
                false => Body::empty(),
            });
            request.extensions_mut().insert(admitted.caller);
            let answer = Unbroken::new(self.router.clone().call(request), is_write, self.running_on.clone());
            (answer, admitted.standing)
        });
        Box::pin(async move {
            let mut response = match handling {
                Err(refused) => refused,
                Ok((answer, standing)) => {
                    let mut response = match std::panic::AssertUnwindSafe(answer).catch_unwind().await {
                        Ok(Ok(response)) => shaped(response),
                        // The panic itself is in the log, written by the panic hook.
                        Err(_) => Problem::new(&problem::INTERNAL, "the handler panicked").into_response(),
                    };
                    if let Some(standing) = standing {
                        standing.stamp(response.headers_mut());
                    }
                    response
                }
            };
            let status = response.status();
            if status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(request_id = ?id, method, route, "the service failed");
            }
            // Where it leads: whoever has the id of a request finds the order it made, and the other way round.
            let location = response.headers().get(LOCATION);
            tracing::debug!(request_id = ?id, method, route, status = status.as_u16(), ?location, "answered");
            if status == StatusCode::REQUEST_TIMEOUT {
                metrics.cut(Cut::Body);
            }
            headers::add(&mut response, route, id);
            metrics.http(&HttpLabels { method, route, status: status.as_u16() }, clock::now() - started);
            Ok(response.map(|body| Answer::new(body, pulse)))
        })
    }
}

fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// What paths that are not in [`route`] are called.
const UNMATCHED: &str = "unmatched";

/// The pattern of a path; one constant for everything unknown, so that labels stay few.
fn route(path: &str) -> &'static str {
    let mut segments = path.split('/').skip(1);
    match (segments.next().unwrap_or_default(), segments.next(), segments.next()) {
        ("orders", None, _) => "/orders",
        ("orders", Some("batch"), None) => "/orders/batch",
        ("orders", Some("cancel"), None) => "/orders/cancel",
        ("orders", Some(_), None) => "/orders/{id}",
        ("orders", Some(_), Some("events")) => "/orders/{id}/events",
        ("orders", Some(_), Some("steps")) => "/orders/{id}/steps",
        ("orders", Some(_), Some("timeline")) => "/orders/{id}/timeline",
        ("orders", Some(_), Some("report")) => "/orders/{id}/report",
        ("orders", Some(_), Some("trace")) if path.ends_with("/open") => "/orders/{id}/trace/open",
        ("orders", Some(_), Some("trace")) => "/orders/{id}/trace",
        ("orders", Some(_), Some("cancel")) => "/orders/{id}/cancel",
        ("orders", Some(_), Some("retry")) => "/orders/{id}/retry",
        ("events", None, _) => "/events",
        ("comparisons", None, _) => "/comparisons",
        ("comparisons", Some(_), None) => "/comparisons/{id}",
        ("comparisons", Some(_), Some("events")) => "/comparisons/{id}/events",
        ("comparisons", Some(_), Some("cancel")) => "/comparisons/{id}/cancel",
        ("forecasts", None, _) => "/forecasts",
        ("calibrations", None, _) => "/calibrations",
        ("accuracy", None, _) => "/accuracy",
        ("" | "page", ..) => "/",
        ("docs", ..) => "/docs",
        ("models" | "recipes" | "presets" | "limits", ..) => "catalog",
        ("livez" | "readyz" | "healthz" | "metrics" | "version" | "stats" | "nodes", None, _) => "house",
        ("openapi.yaml" | "openapi.json" | "problems", ..) => "contract",
        _ => UNMATCHED,
    }
}

/// The framework refuses with bare statuses and text; every refusal of ours is a problem already.
fn shaped(response: Response<Body>) -> Response<Body> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let bare = response.headers().get(CONTENT_TYPE).is_none_or(|t| t.as_bytes().starts_with(b"text/plain"));
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = response.headers().get(ALLOW).cloned();
            let detail = "see Allow for the methods of this path";
            Problem::new(&problem::METHOD_NOT_ALLOWED, detail).allow(allow).into_response()
        }
        StatusCode::NOT_FOUND if bare => Problem::new(&problem::NOT_FOUND, "there is nothing here").into_response(),
        _ if bare && status.is_client_error() => {
            Problem::new(&problem::BAD_REQUEST, "the path or the query is malformed").into_response()
        }
        _ if bare => Problem::new(&problem::INTERNAL, "the answer could not be made").into_response(),
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::{UNMATCHED, route};
    use crate::http::router;

    #[test]
    fn every_path_of_the_contract_has_a_label_and_no_other_has_one() {
        for path in router::contract().paths.paths.keys() {
            let label = route(&path.replace(['{', '}'], "x"));
            let is_of_a_group = ["catalog", "house", "contract"].contains(&label);
            assert!(label == path || is_of_a_group, "{path} is labelled {label}");
        }
        for path in ["/nothing", "/orders/x/nothing", "/comparisons/x/nothing", "/livez/x"] {
            assert_eq!(route(path), UNMATCHED, "{path}");
        }
    }
}
