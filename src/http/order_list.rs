//! Listing orders: filters, keyset pages.
//!
//! It deliberately never counts: a total would cost a walk through everything (see `GET /stats`).

use axum::body::Body;
use axum::extract::State;
use axum::http::header::LINK;
use axum::http::{HeaderValue, Response, StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::orders::json;
use super::problem::Problem;
use super::request::Params;
use super::wire::{self, OrderView};
use crate::domain::id::OrderId;
use crate::domain::job::Status;
use crate::domain::limits;
use crate::store::Query;

/// One page of orders.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderPage)]
pub struct PageView<'a> {
    /// Youngest first. A page can be short and still have a next.
    #[schema(max_items = 200)]
    pub data: Vec<OrderView<'a>>,
    /// Whether there may be more.
    pub has_more: bool,
    /// What to pass as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

/// List orders
///
/// Youngest first, by keyset: pass `next_cursor` as `cursor` for the next page. All filters must hold;
/// `label.KEY=VALUE` may be given several times.
#[utoipa::path(get, path = "/orders", operation_id = "listOrders", tag = "orders",
    params(
        ("status" = Option<String>, Query, description = "Comma-separated states."),
        ("model" = Option<String>, Query, description = "A model."),
        ("created_after" = Option<String>, Query, format = DateTime, description = "RFC 3339."),
        ("created_before" = Option<String>, Query, format = DateTime, description = "RFC 3339."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "Orders on a page; 50 if absent."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page", body = PageView, headers(("Link" = String, description = "rel=next"))),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn list(State(app): State<AppState>, uri: Uri) -> Result<Response<Body>, Problem> {
    let kitchen = &app.kitchen;
    let query = query(&uri)?;
    let page = kitchen.store.list(&query);
    let next_cursor = page.next.map(|id| id.to_string());
    let data = page.jobs.iter().map(|job| OrderView::new(job, wire::live(kitchen, job))).collect();
    let mut response =
        json(StatusCode::OK, &PageView { data, has_more: next_cursor.is_some(), next_cursor: next_cursor.clone() });
    if let Some(cursor) = next_cursor {
        let rest = uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty() && !p.starts_with("cursor="));
        let query: Vec<_> = rest.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
        if let Ok(link) = HeaderValue::from_str(&format!("</orders?{}>; rel=\"next\"", query.join("&"))) {
            response.headers_mut().insert(LINK, link);
        }
    }
    Ok(response)
}

fn query(uri: &Uri) -> Result<Query, Problem> {
    let mut params = Params::of(uri)?;
    let mut query = Query { limit: limits::PAGE_DEFAULT, ..Query::default() };
    for name in params.take("status")?.iter().flat_map(|list| list.split(',')) {
        let status = Status::parse(name).ok_or_else(|| {
            Problem::query("status", format!("must be of {}", Status::ALL.map(Status::name).join(", ")))
        })?;
        query.status.push(status);
    }
    if let Some(name) = params.take("model")? {
        let row = crate::model::rows().into_iter().find(|row| row.name == name);
        query.model = Some(row.ok_or_else(|| Problem::query("model", "is not a model of this service"))?.id);
    }
    query.labels = params.take_prefixed("label.");
    let mut time = |name: &str| match params.take(name)? {
        None => Ok(None),
        Some(text) => match text.parse::<jiff::Timestamp>() {
            Ok(at) => Ok(Some(OrderId::floor_of(at.as_microsecond()))),
            Err(_) => Err(Problem::query(name, "must be a time such as 2026-01-31T12:00:00Z")),
        },
    };
    query.after = time("created_after")?;
    query.before = time("created_before")?;
    if let Some(limit) = params.number("limit", 1, limits::PAGE as u64)? {
        query.limit = limit as usize;
    }
    if let Some(cursor) = params.take("cursor")? {
        let cursor = OrderId::parse(&cursor, "ord_").ok_or_else(|| Problem::query("cursor", "is not a next_cursor"))?;
        query.before = Some(query.before.map_or(cursor, |before| before.min(cursor)));
    }
    params.done()?;
    Ok(query)
}
