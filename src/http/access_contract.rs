//! What the contract says about access: the bearer scheme, which operations need which scope, and the refusals.
//!
//! Derived from the rules that are applied ([`super::access::need`]), so that it cannot say anything else. It
//! deliberately adds an empty alternative everywhere: keys are optional.

use axum::http::Method;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};

use super::access;
use super::door_contract::{Shared, operations, share};

const SCHEME: &str = "bearer";
const SCHEME_TEXT: &str = "Only where the service was given API keys. Scopes: `orders:read`, `orders:write`, `admin` \
                           (everything, and sees what others placed).";

const UNAUTHORIZED: Shared = Shared {
    status: "401",
    name: "Unauthorized",
    text: "Keys are needed, and none that is known was sent",
    headers: &[("WWW-Authenticate", "A bearer challenge")],
};
const FORBIDDEN: Shared = Shared {
    status: "403",
    name: "Forbidden",
    text: "The key lacks the scope; or a page of another site asks for a change",
    headers: &[],
};
const RATE_LIMITED: Shared = Shared {
    status: "429",
    name: "RateLimited",
    text: "More than the client may send",
    headers: &[
        ("Retry-After", "Seconds"),
        ("RateLimit-Policy", "The quota and its window; on every answer while there is a limit"),
        ("RateLimit", "What is left; on every answer while there is a limit"),
    ],
};

/// Adds it to every operation that needs a key.
pub fn describe(contract: &mut OpenApi) {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(SCHEME_TEXT)).build();
    let components = contract.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    for (path, item) in &mut contract.paths.paths {
        for (method, operation) in operations(item) {
            describe_one(components, &method, path, operation);
        }
    }
}

fn describe_one(components: &mut Components, method: &Method, path: &str, operation: &mut Operation) {
    let Some(scope) = access::need(method, path) else { return };
    let needed = SecurityRequirement::new(SCHEME, [scope.name()]);
    operation.security = Some(vec![SecurityRequirement::default(), needed]);
    share(components, operation, &UNAUTHORIZED);
    share(components, operation, &FORBIDDEN);
    if access::is_limited(method, path) {
        share(components, operation, &RATE_LIMITED);
    }
}
