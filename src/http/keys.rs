//! API keys: reads them, and tells whose key a request carries.
//!
//! Only hashes stay in memory. A plain SHA-256 is enough because a key is a long random text, not a password. It
//! deliberately repeats nothing of what it reads in a message: a secret may stand in any place by mistake.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq;

use crate::config_access::{AccessSettings, KEYS_VARIABLE, keys_variable};
use crate::domain::client::Client;

/// Keys at once. Each request is compared with all of them: a thousand take about 20 us (estimated, 20 ns each).
const MAX_KEYS: usize = 1_000;
/// Bytes of the file: a thousand longest lines fit.
const FILE_BYTES: u64 = 1024 * 1024;
/// Characters of a name; with its prefix it fits a client's 68 bytes.
const NAME_CHARS: usize = 64;
/// Characters of a plain secret: 16 random ones cannot be guessed over HTTP; no generator makes more than 256.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=256;
/// Bit of the file's mode that lets every user read it.
const READ_BY_OTHERS: u32 = 0o004;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Read orders, comparisons, events and counts.
    Read,
    /// Place, stop and delete orders and comparisons.
    Write,
    /// Everything, and sees what others placed.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// As it is written in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "orders:read",
            Self::Write => "orders:write",
            Self::Admin => "admin",
        }
    }
}

/// What a key lets in, for as long as it is there: a stream outlives the request it was opened with.
#[derive(Clone, Debug, Default)]
pub struct Pass(Arc<AtomicBool>);

impl Pass {
    /// Whether the key was withdrawn.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// One key: who holds it, what it may do, and the hash of its secret.
pub struct Key {
    /// Its holder. Two keys of one name are one client, so that a key can be replaced without a gap.
    pub client: Client,
    scopes: Vec<Scope>,
    hash: [u8; SHA256_OUTPUT_LEN],
    /// Of what came in with it.
    pub pass: Pass,
}

impl Key {
    /// Whether it is the same key, and lets in as much.
    fn is_as(&self, other: &Self) -> bool {
        self.hash == other.hash && self.client == other.client && self.scopes == other.scopes
    }

    /// Whether it has this scope.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.is_admin()
    }

    /// Whether it may do everything.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.scopes.contains(&Scope::Admin)
    }
}

/// All keys of the house.
pub struct Keys(Vec<Key>);

/// What a request carries.
pub enum Carried<'a> {
    /// No bearer token.
    Nothing,
    /// Something that is not exactly one bearer token of ours.
    Unknown,
    /// This key.
    Key(&'a Key),
}

impl Keys {
    /// Reads file and variable; nothing if neither was given.
    pub fn load(settings: &AccessSettings) -> Result<Option<Self>, String> {
        let mut keys = Vec::new();
        if let Some(path) = &settings.api_keys_file {
            from_file(path, &mut keys)?;
        }
        let variable = keys_variable()?;
        if let Some(text) = &variable {
            from_variable(text, &mut keys)?;
        }
        Ok((settings.api_keys_file.is_some() || variable.is_some()).then_some(Self(keys)))
    }

    /// Reads the text of the variable alone.
    pub fn of_text(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        from_variable(text, &mut keys).map(|_| Self(keys))
    }

    /// Takes these in place of those there are, and withdraws what was let in with keys that are not among them.
    pub fn replace(&mut self, mut by: Self) {
        for key in &self.0 {
            match by.0.iter_mut().find(|new| new.is_as(key)) {
                Some(same) => same.pass = key.pass.clone(),
                None => key.pass.0.store(true, Ordering::Release),
            }
        }
        *self = by;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whose key this request carries. The time it takes says nothing about how near a guess is.
    #[must_use]
    pub fn carried(&self, headers: &HeaderMap) -> Carried<'_> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Carried::Nothing,
            (Some(_), Some(_)) => return Carried::Unknown,
            (Some(value), None) => value.as_bytes(),
        };
        let Some((scheme, secret)) = value.iter().position(|b| *b == b' ').map(|at| value.split_at(at)) else {
            return Carried::Unknown;
        };
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Carried::Unknown;
        }
        let hash = hash(secret.trim_ascii());
        // All of them, also behind a match.
        let is_it = |key: &Key| bool::from(key.hash[..].ct_eq(&hash[..]));
        self.0.iter().fold(Carried::Unknown, |found, key| if is_it(key) { Carried::Key(key) } else { found })
    }
}

fn hash(secret: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, secret).as_ref());
    hash
}

fn from_variable(text: &str, keys: &mut Vec<Key>) -> Result<bool, String> {
    parse(KEYS_VARIABLE, "entry", text.split([';', '\n']), keys)
}

fn from_file(path: &Path, keys: &mut Vec<Key>) -> Result<(), String> {
    let name = path.display().to_string();
    let failed = |error: std::io::Error| format!("cannot read API keys from {name}: {error}");
    let file = File::open(path).map_err(failed)?;
    // Asked of the open file: the name may point elsewhere a moment later.
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    let mut text = String::new();
    file.take(FILE_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES {
        return Err(format!("{name} is larger than {FILE_BYTES} bytes"));
    }
    let has_plain = parse(&name, "line", text.lines(), keys)?;
    // A warning would be read by nobody, and the remedy is one command.
    if has_plain && mode & READ_BY_OTHERS != 0 {
        return Err(format!(
            "{name} holds secrets in plain text and every user may read it: chmod o-r, or write hashes (sha256:...)"
        ));
    }
    Ok(())
}

/// Adds the keys of these lines; answers whether one of them was in plain text.
fn parse<'a>(
    source: &str,
    unit: &str,
    lines: impl Iterator<Item = &'a str>,
    keys: &mut Vec<Key>,
) -> Result<bool, String> {
    let (mut has_plain, mut found) = (false, false);
    for (index, line) in lines.enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refused = |detail: &str| format!("{source}, {unit} {}: {detail}", index + 1);
        let (key, is_plain) = entry(line).map_err(refused)?;
        if keys.iter().any(|other| other.hash == key.hash) {
            return Err(refused("this secret stands here twice"));
        }
        if keys.len() == MAX_KEYS {
            return Err(refused(&format!("more than {MAX_KEYS} keys")));
        }
        keys.push(key);
        (has_plain, found) = (has_plain || is_plain, true);
    }
    // An empty variable is usually one that somebody forgot to fill, and must not open the house.
    if found { Ok(has_plain) } else { Err(format!("{source} holds no API key")) }
}

/// `NAME SCOPES SECRET`, and whether the secret was in plain text.
fn entry(line: &str) -> Result<(Key, bool), &'static str> {
    let mut fields = line.split_ascii_whitespace();
    let (Some(name), Some(scopes), Some(secret), None) = (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err("must be: NAME SCOPES SECRET");
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() > NAME_CHARS || !name.chars().all(is_name) {
        return Err("the name must be 1 to 64 letters, digits, dots, dashes and underscores");
    }
    let scope = |name: &str| Scope::ALL.into_iter().find(|scope| scope.name() == name);
    let scopes: Option<Vec<_>> = scopes.split(',').map(scope).collect();
    let scopes = scopes.ok_or("scopes are orders:read, orders:write and admin, with commas between them")?;
    let client = Client::key(name);
    if let Some(hex) = secret.strip_prefix("sha256:") {
        let hash = from_hex(hex).ok_or("sha256: must be followed by 64 hexadecimal digits")?;
        return Ok((Key { client, scopes, hash, pass: Pass::default() }, false));
    }
    // A semicolon separates the entries of the variable, and the format is one for both.
    if !SECRET_CHARS.contains(&secret.len()) || !secret.bytes().all(|b| b.is_ascii_graphic() && b != b';') {
        return Err("the secret must be 16 to 256 visible ASCII characters without semicolon, or sha256:HEX");
    }
    Ok((Key { client, scopes, hash: hash(secret.as_bytes()), pass: Pass::default() }, true))
}

fn from_hex(text: &str) -> Option<[u8; SHA256_OUTPUT_LEN]> {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    if text.len() != 2 * hash.len() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(hash)
}
