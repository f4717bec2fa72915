//! What the contract says about access: the bearer scheme, which operations need which scope, and the refusals.
//!
//! Derived from the rules that are applied ([`super::access::need`]), so that it cannot say anything else. It
//! deliberately adds an empty alternative everywhere: keys are optional.

use axum::http::Method;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, Response, ResponseBuilder};

use super::access;

const SCHEME: &str = "bearer";
const SCHEME_TEXT: &str = "Only where the service was given API keys. Scopes: `orders:read`, `orders:write`, `admin` \
                           (everything, and sees what others placed).";

/// Adds it to every operation that needs a key.
pub fn describe(contract: &mut OpenApi) {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(SCHEME_TEXT)).build();
    let components = contract.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    for (path, item) in &mut contract.paths.paths {
        for (method, operation) in operations(item) {
            describe_one(&method, path, operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn describe_one(method: &Method, path: &str, operation: &mut Operation) {
    let Some(scope) = access::need(method, path) else { return };
    let needed = SecurityRequirement::new(SCHEME, [scope.name()]);
    operation.security = Some(vec![SecurityRequirement::default(), needed]);
    let mut answers = |status: &str, text: &str, headers: &[(&str, &str)]| {
        let response = refusal(text, headers).into();
        // What the handler says itself stays.
        operation.responses.responses.entry(status.to_owned()).or_insert(response);
    };
    answers("401", "Keys are needed, and none that is known was sent", &[("WWW-Authenticate", "A bearer challenge")]);
    answers("403", "The key lacks the scope", &[]);
    if access::is_limited(method, path) {
        let headers = [
            ("Retry-After", "Seconds"),
            ("RateLimit-Policy", "The quota and its window; on every answer while there is a limit"),
            ("RateLimit", "What is left; on every answer while there is a limit"),
        ];
        answers("429", "More than the client may send", &headers);
    }
}

fn refusal(text: &str, headers: &[(&str, &str)]) -> Response {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new().description(text).content("application/problem+json", problem);
    let header = |text: &str| HeaderBuilder::new().description(Some(text)).build();
    headers.iter().fold(response, |response, (name, text)| response.header(*name, header(text))).build()
}
