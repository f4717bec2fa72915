//! Every handler, once; the layers around them in order, with reasons; and the contract that follows.
//!
//! It deliberately has no middleware that an order's answer does not need: each costs every request.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::ALLOW;
use axum::http::{Response, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::{ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Tag};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::{self, Problem};
use super::{AppState, catalog, comparisons, events, house, orders, pages, steps, timeline};
use crate::clock;
use crate::domain::limits;
use crate::metrics::HttpLabels;

fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(skeleton())
        .routes(routes!(orders::place, orders::list))
        .routes(routes!(orders::get, orders::delete))
        .routes(routes!(orders::cancel))
        .routes(routes!(events::follow))
        .routes(routes!(steps::list))
        .routes(routes!(timeline::get))
        .routes(routes!(comparisons::place, comparisons::list))
        .routes(routes!(comparisons::get))
        .routes(routes!(catalog::models))
        .routes(routes!(catalog::recipes))
        .routes(routes!(catalog::recipe))
        .routes(routes!(catalog::presets))
        .routes(routes!(catalog::limits))
        .routes(routes!(house::stats))
        .routes(routes!(house::livez))
        .routes(routes!(house::readyz))
        .routes(routes!(house::healthz))
        .routes(routes!(house::metrics))
        .routes(routes!(house::version))
        .routes(routes!(pages::openapi_yaml))
        .routes(routes!(pages::openapi_json))
        .routes(routes!(pages::problem_page))
}

fn skeleton() -> OpenApi {
    let license = LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("pasta-fasta")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "A concurrency laboratory behind a job API: describe work, choose a concurrency model, get a job that really \
             runs and accounts for every millisecond; then compare models on the same work. Every 4xx and 5xx is a \
             problem document (RFC 9457). A failed order is no HTTP error.",
        ))
        .contact(Some(ContactBuilder::new().name(Some("the pasta-fasta authors")).build()))
        .license(Some(license))
        .build();
    let tag = |name: &str, text: &str| {
        let mut tag = Tag::new(name);
        tag.description = Some(text.to_owned());
        tag
    };
    OpenApiBuilder::new()
        .info(info)
        .tags(Some([
            tag("orders", "Place, follow, stop and read orders."),
            tag("comparisons", "The same work under several models."),
            tag("catalog", "What the house offers."),
            tag("house", "How the house is."),
        ]))
        .build()
}

/// The contract, as the code says it.
#[must_use]
pub fn contract() -> OpenApi {
    static CONTRACT: OnceLock<OpenApi> = OnceLock::new();
    CONTRACT.get_or_init(|| api().into_openapi()).clone()
}

/// The contract as it is committed.
#[must_use]
pub fn contract_yaml() -> String {
    contract().to_yaml().unwrap_or_default()
}

/// The whole door.
pub fn build(state: AppState) -> Router {
    let (router, _) = api().split_for_parts();
    // The UI's own assets; no validator badge, which would ask a server on the internet.
    let docs = SwaggerUi::new("/docs")
        .config(Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true))
        ;
    router
        .route("/", get(pages::index))
        .route("/page/style.css", get(pages::style))
        .route("/page/app.js", get(pages::script))
        .merge(docs)
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        // Outside of everything that may answer with a bare status, so that no answer escapes the problem shape.
        .layer(middleware::from_fn_with_state(state.clone(), around))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(state)
}

async fn not_found() -> Problem {
    Problem::new(&problem::NOT_FOUND, "no such path; GET /docs lists all of them")
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response<Body> {
    // The panic itself is in the log, written by the panic hook.
    Problem::new(&problem::INTERNAL, "the handler panicked").into_response()
}

/// Counts and times every request, and gives the framework's own refusals the problem shape.
async fn around(State(app): State<AppState>, request: Request, next: Next) -> Response<Body> {
    let started = clock::now();
    let method = match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = shaped(next.run(request).await);
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let labels = HttpLabels { method, route, status: response.status().as_u16() };
    app.kitchen.metrics.http(&labels, clock::now() - started);
    response
}

fn shaped(response: Response<Body>) -> Response<Body> {
    let bare = response.headers().get("content-type").is_none_or(|t| t.as_bytes().starts_with(b"text/plain"));
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = response.headers().get(ALLOW).cloned();
            Problem::new(&problem::METHOD_NOT_ALLOWED, "see Allow for the methods of this path").allow(allow).into_response()
        }
        StatusCode::BAD_REQUEST if bare => {
            Problem::new(&problem::BAD_REQUEST, "the path or the query is malformed").into_response()
        }
        StatusCode::NOT_FOUND if bare => Problem::new(&problem::NOT_FOUND, "there is nothing here").into_response(),
        _ => response,
    }
}
