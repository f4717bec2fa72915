//! Listing orders: filters, keyset pages.
//!
//! It deliberately never counts: a total would cost a walk through everything (see `GET /stats`).

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, LINK};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::AppState;
use super::caller::Caller;
use super::live;
use super::orders::{down, json};
use super::problem::{self, Problem};
use super::request::{self, Params};
use super::wire::OrderView;
use crate::domain::id::OrderId;
use crate::domain::job::Status;
use crate::domain::limits;
use crate::domain::resolve::Violation;
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
        ("status" = Option<String>, Query, pattern = "^(queued|running|succeeded|failed|canceled|expired)(,(queued|running|succeeded|failed|canceled|expired))*$", description = "Comma-separated states."),
        ("model" = Option<String>, Query, description = "A model."),
        ("created_after" = Option<String>, Query, format = DateTime, description = "RFC 3339."),
        ("created_before" = Option<String>, Query, format = DateTime, description = "RFC 3339."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "Orders on a page; 50 if absent."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page", body = PageView,
            headers(("Link" = String, description = "rel=next"), ("ETag" = String, description = "Of the page's content"))),
        (status = 304, description = "The page is as `If-None-Match` says"),
        (status = 422, description = "Bad parameter", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn list(
    State(app): State<AppState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let kitchen = &app.kitchen;
    let query = Query { owner: caller.confined_to(), ..of_uri(&uri)? };
    let page = kitchen.store.list(query).await.map_err(down)?;
    let next_cursor = page.next.map(|id| id.to_string());
    // Of what runs on other nodes a page says only that it does: to ask about each would be a look per row.
    let data = page.jobs.iter().map(|job| OrderView::new(job, live::here(kitchen, job))).collect();
    let view = PageView { data, has_more: next_cursor.is_some(), next_cursor: next_cursor.clone() };
    let mut response = tagged(&headers, &view);
    if let Some(cursor) = next_cursor {
        response.headers_mut().extend(next_page(&uri, &cursor));
    }
    Ok(response)
}

/// The header that says where the next page of a list is.
pub(super) fn next_page(uri: &Uri, cursor: &str) -> Option<(HeaderName, HeaderValue)> {
    let rest = uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty() && !p.starts_with("cursor="));
    let query: Vec<_> = rest.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
    let link = format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"));
    Some((LINK, HeaderValue::from_str(&link).ok()?))
}

/// Where a page begins, by the id of the last of the page before.
pub(super) fn cursor(params: &mut Params, prefix: &str) -> Result<Option<OrderId>, Problem> {
    let id =
        |text: String| OrderId::parse(&text, prefix).ok_or_else(|| Problem::query("cursor", "is not a next_cursor"));
    params.take("cursor")?.map(id).transpose()
}

/// A JSON answer with a tag made of its content, or 304 if the client has just that.
fn tagged(headers: &HeaderMap, view: &impl Serialize) -> Response<Body> {
    let body = match serde_json::to_vec(view) {
        Ok(body) => body,
        Err(_) => return json(StatusCode::OK, view),
    };
    let tag = format!("\"{}\"", Uuid::new_v5(&Uuid::nil(), &body).simple());
    let mut response = Response::new(Body::empty());
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    if request::has_seen(headers, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.body_mut() = Body::from(body);
    }
    response
}

/// What an order must be, as a client writes it: in a query string or in a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Names of states.
    pub status: Vec<String>,
    /// Name of a model.
    pub model: Option<String>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// RFC 3339.
    pub created_after: Option<String>,
    /// RFC 3339.
    pub created_before: Option<String>,
}

/// Reads conditions; `place` says where a violation of the field of this name is.
pub fn query(given: Conditions, place: impl Fn(&str) -> String) -> Result<Query, Violation> {
    let mut query = Query { limit: limits::PAGE_DEFAULT, labels: given.labels, ..Query::default() };
    for name in &given.status {
        query.status.push(Status::parse(name).ok_or_else(|| {
            let names = Status::ALL.map(Status::name).join(", ");
            Violation::new(place("status"), format!("must be of {names}"))
        })?);
    }
    if let Some(name) = given.model {
        let row = crate::model::rows().into_iter().find(|row| row.name == name);
        query.model = Some(row.ok_or_else(|| Violation::new(place("model"), "is not a model of this service"))?.id);
    }
    let time = |text: Option<String>, name: &str| match text.map(|text| text.parse::<jiff::Timestamp>()) {
        None => Ok(None),
        Some(Ok(at)) => Ok(Some(OrderId::floor_of(at.as_microsecond()))),
        Some(Err(_)) => Err(Violation::new(place(name), "must be a time such as 2026-01-31T12:00:00Z")),
    };
    query.after = time(given.created_after, "created_after")?;
    query.before = time(given.created_before, "created_before")?;
    Ok(query)
}

/// Ended orders were asked for where only active ones make sense.
#[must_use]
pub fn only_active() -> Violation {
    Violation::new("/status", "only queued and running orders can be stopped")
}

/// Takes the conditions that every query string about orders may have.
pub(super) fn taken(params: &mut Params) -> Result<Conditions, Problem> {
    let status = params.take("status")?;
    Ok(Conditions {
        status: status.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect(),
        model: params.take("model")?,
        labels: params.take_prefixed("label."),
        ..Conditions::default()
    })
}

/// Reads the conditions of a query string.
pub(super) fn query_of(given: Conditions) -> Result<Query, Problem> {
    query(given, str::to_owned).map_err(|bad| Problem::with(&problem::INVALID_QUERY, vec![bad]))
}

/// The conditions, page and cursor of a request's query.
pub fn of_uri(uri: &Uri) -> Result<Query, Problem> {
    let mut params = Params::of(uri)?;
    let (created_after, created_before) = (params.take("created_after")?, params.take("created_before")?);
    let mut query = query_of(Conditions { created_after, created_before, ..taken(&mut params)? })?;
    if let Some(limit) = params.number("limit", 1, limits::PAGE as u64)? {
        query.limit = limit as usize;
    }
    if let Some(cursor) = cursor(&mut params, "ord_")? {
        query.before = Some(query.before.map_or(cursor, |before| before.min(cursor)));
    }
    params.done()?;
    Ok(query)
}
