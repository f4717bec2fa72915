//! Every handler, once, and the contract that follows.
//!
//! It deliberately has no layers but the compression of what browsers read: each would clone a boxed service for every
//! request. What surrounds every request is in [`super::around`].

use std::sync::OnceLock;

use axum::Router;
use axum::routing::get;
use tower_http::compression::CompressionLayer;
use utoipa::openapi::{ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr, Required, Tag};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::{self, Problem};
use super::{
    AppState, access_contract, accuracy, all_events, batch, calibrations, catalog, comparison_events, comparisons,
    door_contract, events, forecasts, house, house_limits, nodes, order_acts, order_list, orders, pages, report, steps,
    timeline, trace,
};

fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(skeleton())
        .routes(routes!(orders::place, order_list::list))
        .routes(routes!(orders::get, order_acts::delete))
        .routes(routes!(batch::place))
        .routes(routes!(order_acts::cancel_many))
        .routes(routes!(order_acts::cancel))
        .routes(routes!(order_acts::retry))
        .routes(routes!(events::follow))
        .routes(routes!(all_events::follow))
        .routes(routes!(steps::list))
        .routes(routes!(timeline::get))
        .routes(routes!(report::get))
        .routes(routes!(trace::get))
        .routes(routes!(trace::open))
        .routes(routes!(comparisons::place, comparisons::list))
        .routes(routes!(comparisons::get, comparisons::delete))
        .routes(routes!(comparisons::cancel))
        .routes(routes!(comparison_events::follow))
        .routes(routes!(accuracy::get))
        .routes(routes!(forecasts::place))
        .routes(routes!(calibrations::place, calibrations::get))
        .routes(routes!(catalog::models))
        .routes(routes!(catalog::recipes))
        .routes(routes!(catalog::recipe))
        .routes(routes!(catalog::presets))
        .routes(routes!(house_limits::list))
        .routes(routes!(house::stats))
        .routes(routes!(nodes::list))
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
             problem document (RFC 9457). A failed order is no HTTP error. Whole numbers are written without a point: 11, \
             not 11.0.",
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
    let contract = || {
        let mut contract = api().into_openapi();
        access_contract::describe(&mut contract);
        door_contract::describe(&mut contract);
        // The query can be the order; an `Option` of the body would allow JSON's null instead.
        let place = contract.paths.paths.get_mut("/orders").and_then(|path| path.post.as_mut());
        if let Some(RefOr::T(body)) = place.and_then(|operation| operation.request_body.as_mut()) {
            body.required = Some(Required::False);
        }
        contract
    };
    CONTRACT.get_or_init(contract).clone()
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
    let docs =
        SwaggerUi::new("/docs").config(Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true));
    let pages = Router::from(docs)
        .route("/", get(pages::index))
        .route("/page/style.css", get(pages::style))
        .route("/page/app.js", get(pages::script))
        .route("/page/trace.js", get(pages::trace_script))
        .route("/page/key.js", get(pages::key_script))
        // On what browsers read only: an order would pay for the layer and gain nothing.
        .layer(CompressionLayer::new());
    router.merge(pages).fallback(not_found).with_state(state)
}

async fn not_found() -> Problem {
    Problem::new(&problem::NOT_FOUND, "no such path; GET /docs lists all of them")
}
