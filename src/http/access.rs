//! Who may come in: what each request needs, and whether its sender has it.
//!
//! Closed unless listed: with keys, a path that nobody thought of needs one. It deliberately decides nothing about
//! single orders; what a caller may see of them is [`Caller::sees`], asked by the handlers.

use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Body;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, Method, Request, Response};
use axum::response::IntoResponse;

use super::caller::Caller;
use super::keys::{Carried, Keys, Scope};
use super::problem::{self, Kind, Problem};
use super::rate::{Rate, Standing};
use super::tls::Tls;
use crate::config_access::AccessSettings;

/// How the door is locked: by keys, by a rate, by TLS; by none of them if none was asked for.
#[derive(Clone)]
pub struct Locks {
    /// Keys and rate.
    pub access: Arc<Access>,
    /// Certificate and key.
    pub tls: Option<Tls>,
}

impl Locks {
    /// Reads what the settings name; a sentence if something of it is of no use.
    pub fn load(settings: &AccessSettings) -> Result<Self, String> {
        let tls = match (&settings.tls_cert, &settings.tls_key) {
            (Some(cert), Some(key)) => Some(Tls::load(cert, key)?),
            _ => None,
        };
        Ok(Self { access: Arc::new(Access::load(settings)?), tls })
    }
}

/// Keys and rate.
pub struct Access {
    /// Replaced as a whole when the file is read again.
    keys: Option<RwLock<Keys>>,
    rate: Option<Rate>,
}

/// What a request was let in with.
pub struct Admitted {
    /// Who sent it.
    pub caller: Caller,
    /// How many writes it has left, if that is limited and this is one.
    pub standing: Option<Standing>,
}

impl Access {
    fn load(settings: &AccessSettings) -> Result<Self, String> {
        let keys = Keys::load(settings)?.map(RwLock::new);
        Ok(Self { keys, rate: settings.rate_limit().map(Rate::new) })
    }

    /// Reads the keys again and answers how many there are now; on an error those from before stay. What was begun with a key
    /// that is no longer there ends.
    pub fn reload(&self, settings: &AccessSettings) -> Result<usize, String> {
        let (Some(place), Some(keys)) = (&self.keys, Keys::load(settings)?) else { return Ok(0) };
        let count = keys.count();
        place.write().unwrap_or_else(PoisonError::into_inner).replace(keys);
        Ok(count)
    }

    /// Lets a request in, or answers it. `at` is who it comes from if there are no keys.
    pub fn admit<B>(&self, request: &Request<B>, at: &Caller) -> Result<Admitted, Response<Body>> {
        let (method, path) = (request.method(), request.uri().path());
        let caller = match &self.keys {
            None => at.clone(),
            Some(keys) => match need(method, path) {
                None => Caller { sees_all: false, ..at.clone() },
                Some(scope) => {
                    let keys = keys.read().unwrap_or_else(PoisonError::into_inner);
                    holder(keys.carried(request.headers()), scope, at)?
                }
            },
        };
        let rate = self.rate.as_ref().filter(|_| is_limited(method, path));
        let standing = rate.map(|rate| rate.take(&caller.client)).transpose()?;
        Ok(Admitted { caller, standing })
    }
}

/// The holder of a key that has this scope.
fn holder(carried: Carried<'_>, scope: Scope, at: &Caller) -> Result<Caller, Response<Body>> {
    // The challenges are RFC 6750's.
    match carried {
        Carried::Nothing => {
            let detail = "send Authorization: Bearer KEY; GET /docs says what needs none";
            Err(challenge(&problem::UNAUTHORIZED, detail, "Bearer".to_owned()))
        }
        Carried::Unknown => {
            let detail = "Authorization is not one bearer token that this service knows";
            Err(challenge(&problem::UNAUTHORIZED, detail, r#"Bearer error="invalid_token""#.to_owned()))
        }
        Carried::Key(key) if !key.may(scope) => {
            let challenged = format!(r#"Bearer error="insufficient_scope", scope="{}""#, scope.name());
            Err(challenge(&problem::FORBIDDEN, &format!("it needs the scope {}", scope.name()), challenged))
        }
        Carried::Key(key) => {
            Ok(Caller { client: key.client.clone(), sees_all: key.is_admin(), pass: key.pass.clone(), ..at.clone() })
        }
    }
}

fn challenge(kind: &'static Kind, detail: &str, challenge: String) -> Response<Body> {
    let mut response = Problem::new(kind, detail).into_response();
    if let Ok(value) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    response
}

/// What a request needs where there are keys; nothing for what is public.
#[must_use]
pub fn need(method: &Method, path: &str) -> Option<Scope> {
    if is_public(path) {
        return None;
    }
    Some(if matches!(*method, Method::GET | Method::HEAD) { Scope::Read } else { Scope::Write })
}

/// Probes, pages, the contract and the catalog, without the first slash: nothing in them is anybody's.
const PUBLIC: &[&str] = &[
    "",
    "docs",
    "healthz",
    "limits",
    "livez",
    "metrics",
    "models",
    "openapi.json",
    "openapi.yaml",
    "presets",
    "readyz",
    "recipes",
    "version",
];

/// Whether a path is one of them, or below a folder of them.
fn is_public(path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else { return false };
    match path.split_once('/') {
        Some((folder, _)) => ["docs", "page", "problems", "recipes"].contains(&folder),
        None => PUBLIC.contains(&path),
    }
}

/// Whether the rate limit counts it: writes, but never a cancel, which makes room.
#[must_use]
pub fn is_limited(method: &Method, path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    let is_job = matches!(segments.next(), Some("orders" | "comparisons" | "forecasts" | "calibrations"));
    is_job && matches!(*method, Method::POST | Method::DELETE) && segments.last() != Some("cancel")
}
