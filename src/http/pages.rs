//! What people open in a browser: the page at `/`, the API docs at `/docs`, the contract, the problem pages.
//!
//! Everything is inside the binary: no network at build time, none at run time, no file at run time. What
//! keeps a page in its place is added in `headers.rs`.

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response};

use super::problem::{self, Problem};
use super::router;
use super::steps::text_answer;

fn asset(content_type: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The page.
pub async fn index() -> Response<Body> {
    asset("text/html; charset=utf-8", include_str!("page/index.html"))
}

/// Its style.
pub async fn style() -> Response<Body> {
    asset("text/css; charset=utf-8", include_str!("page/style.css"))
}

/// Its script.
pub async fn script() -> Response<Body> {
    asset("text/javascript; charset=utf-8", include_str!("page/app.js"))
}

/// The page that hands a trace to Perfetto.
pub fn trace() -> Response<Body> {
    asset("text/html; charset=utf-8", include_str!("page/trace.html"))
}

/// Its script.
pub async fn trace_script() -> Response<Body> {
    asset("text/javascript; charset=utf-8", include_str!("page/trace.js"))
}

/// Its place for an API key.
pub async fn key_script() -> Response<Body> {
    asset("text/javascript; charset=utf-8", include_str!("page/key.js"))
}

/// Read the contract as YAML
#[utoipa::path(get, path = "/openapi.yaml", operation_id = "getContractYaml", tag = "house",
    responses((status = 200, description = "This document", body = serde_json::Value, content_type = "application/yaml")))]
pub async fn openapi_yaml() -> Response<Body> {
    text_answer("application/yaml", router::contract_yaml())
}

/// Read the contract as JSON
#[utoipa::path(get, path = "/openapi.json", operation_id = "getContractJson", tag = "house",
    responses((status = 200, description = "This document", body = serde_json::Value)))]
pub async fn openapi_json() -> Response<Body> {
    text_answer("application/json", router::contract().to_json().unwrap_or_default())
}

/// Read about a kind of problem
#[utoipa::path(get, path = "/problems/{slug}", operation_id = "getProblem", tag = "house",
    params(("slug" = String, Path, description = "Last part of a problem's type")),
    responses(
        (status = 200, description = "What it means and what to do", body = String, content_type = "text/plain"),
        (status = 404, description = "No such kind", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn problem_page(Path(slug): Path<String>) -> Result<Response<Body>, Problem> {
    let found = problem::ALL.iter().find(|kind| kind.slug == slug);
    let kind = found.ok_or_else(|| Problem::new(&problem::NOT_FOUND, "no kind of problem has this name"))?;
    let status = if kind.status == 200 {
        "the `error` of a failed order".to_owned()
    } else {
        format!("HTTP status {}", kind.status)
    };
    Ok(text_answer("text/plain; charset=utf-8", format!("{}\n({status})\n\n{}\n", kind.title, kind.page)))
}
