//! What surrounds every request: a clock, a net for panics, and the problem shape for the framework's own refusals.
//!
//! One hand-written service instead of layers, which would clone a boxed service per layer and request. It deliberately
//! knows no path but by its first segments, for the metrics.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::Incoming;
use tower::Service;

use super::access::Access;
use super::caller::Caller;
use super::problem::{self, Problem};
use crate::clock;
use crate::metrics::{HttpLabels, Metrics};

/// The router with everything around it.
#[derive(Clone)]
pub struct Around {
    router: Router,
    metrics: Arc<Metrics>,
    access: Arc<Access>,
    caller: Caller,
}

impl Around {
    /// Surrounds this router.
    #[must_use]
    pub fn new(router: Router, metrics: Arc<Metrics>, access: Arc<Access>) -> Self {
        Self { router, metrics, access, caller: Caller::at(Ipv4Addr::UNSPECIFIED.into()) }
    }

    /// The same for a connection from this address.
    #[must_use]
    pub fn at(&self, peer: IpAddr) -> Self {
        Self { caller: Caller::at(peer), ..self.clone() }
    }
}

impl hyper::service::Service<Request<Incoming>> for Around {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let started = clock::now();
        let (method, route) = (method(request.method()), route(request.uri().path()));
        let metrics = self.metrics.clone();
        let answer = self.access.admit(&request, &self.caller).map(|admitted| {
            request.extensions_mut().insert(admitted.caller);
            (self.router.clone().call(request), admitted.standing)
        });
        Box::pin(async move {
            let response = match answer {
                Ok((answer, standing)) => {
                    // The panic itself is in the log, written by the panic hook.
                    let answer = std::panic::AssertUnwindSafe(answer).catch_unwind().await;
                    let mut response = match answer {
                        Ok(Ok(response)) => shaped(response),
                        Err(_) => Problem::new(&problem::INTERNAL, "the handler panicked").into_response(),
                    };
                    if let Some(standing) = standing {
                        standing.stamp(response.headers_mut());
                    }
                    response
                }
                Err(refusal) => refusal,
            };
            let labels = HttpLabels { method, route, status: response.status().as_u16() };
            metrics.http(&labels, clock::now() - started);
            Ok(response)
        })
    }
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// The pattern of a path; one constant for everything unknown, so that labels stay few.
fn route(path: &str) -> &'static str {
    let mut segments = path.split('/').skip(1);
    match (segments.next().unwrap_or_default(), segments.next(), segments.next()) {
        ("orders", None, _) => "/orders",
        ("orders", Some("batch"), None) => "/orders/batch",
        ("orders", Some(_), None) => "/orders/{id}",
        ("orders", Some(_), Some("events")) => "/orders/{id}/events",
        ("orders", Some(_), Some("steps")) => "/orders/{id}/steps",
        ("orders", Some(_), Some("timeline")) => "/orders/{id}/timeline",
        ("orders", Some(_), Some("cancel")) => "/orders/{id}/cancel",
        ("comparisons", None, _) => "/comparisons",
        ("comparisons", Some(_), None) => "/comparisons/{id}",
        ("" | "page", ..) => "/",
        ("docs", ..) => "/docs",
        ("models" | "recipes" | "presets" | "limits", ..) => "catalog",
        ("livez" | "readyz" | "healthz" | "metrics" | "version" | "stats", None, _) => "house",
        ("openapi.yaml" | "openapi.json" | "problems", ..) => "contract",
        _ => "unmatched",
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
