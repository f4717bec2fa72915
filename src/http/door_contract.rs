//! What the contract says about the door's own answers: those that no handler gives, and that every request may get.
//!
//! Each is written once, as a shared response that the operations refer to. Derived from the rules that are applied
//! ([`super::guard`]), so that it cannot say anything else. It deliberately repeats nothing a handler says itself.

use axum::http::Method;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{Components, ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use super::guard;

/// One answer that many operations share.
pub(super) struct Shared {
    /// Status code.
    pub status: &'static str,
    /// Name among the shared responses.
    pub name: &'static str,
    /// When it is given.
    pub text: &'static str,
    /// Header fields it comes with.
    pub headers: &'static [(&'static str, &'static str)],
}

/// What every request may be answered.
const ALWAYS: &[Shared] = &[
    Shared { status: "400", name: "BadRequest", text: "The request cannot be understood", headers: &[] },
    Shared { status: "408", name: "RequestTimeout", text: "Head or body did not arrive in time", headers: &[] },
    Shared { status: "414", name: "UriTooLong", text: "The URI is too long; see GET /limits", headers: &[] },
    Shared { status: "431", name: "HeadTooLarge", text: "The head is too large; see GET /limits", headers: &[] },
];
/// What every request but probes may be answered.
const BUT_PROBES: &[Shared] = &[
    Shared { status: "421", name: "Misdirected", text: "This service does not go by that name", headers: &[] },
    Shared {
        status: "503",
        name: "HouseFull",
        text: "As many connections are busy as there may be, or what keeps the orders does not answer",
        headers: &[("Retry-After", "Seconds")],
    },
];

/// Adds them to every operation.
pub fn describe(contract: &mut OpenApi) {
    let components = contract.components.get_or_insert_default();
    for (path, item) in &mut contract.paths.paths {
        for (_, operation) in operations(item) {
            let others = if guard::is_probe(path) { &[] } else { BUT_PROBES };
            ALWAYS.iter().chain(others).for_each(|answer| share(components, operation, answer));
            operation.responses.responses.iter_mut().for_each(|(status, answer)| say_when_to_come_back(status, answer));
        }
    }
}

/// Every refusal of this kind has the header ([`super::problem`]); no handler has to say so.
fn say_when_to_come_back(status: &str, answer: &mut RefOr<Response>) {
    if let ("429" | "503", RefOr::T(answer)) = (status, answer) {
        let header = HeaderBuilder::new().description(Some("Seconds")).build();
        answer.headers.entry("Retry-After".to_owned()).or_insert(RefOr::T(header));
    }
}

/// The operations of a path.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Lets an operation refer to a shared answer, unless its handler has an answer of this status.
pub(super) fn share(components: &mut Components, operation: &mut Operation, answer: &Shared) {
    let refer = || Ref::from_response_name(answer.name).into();
    operation.responses.responses.entry(answer.status.to_owned()).or_insert_with(refer);
    components.responses.entry(answer.name.to_owned()).or_insert_with(|| problem(answer).into());
}

fn problem(answer: &Shared) -> Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new().description(answer.text).content("application/problem+json", body);
    let header = |text: &str| HeaderBuilder::new().description(Some(text)).build();
    answer.headers.iter().fold(response, |response, (name, text)| response.header(*name, header(text))).build()
}
