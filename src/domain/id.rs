//! Order ids: `ord_` + `UUIDv7` whose random bits carry order of birth, the boot of the service, and a checksum.
//!
//! So an id sorts by birth (it is the keyset cursor of lists), and a service that no longer holds an order can still say
//! whether it was ever one of its own. It deliberately holds no secret: an id is not a permission.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Id of an order (or of a comparison, which shares the layout).
///
/// Bits, most significant first (RFC 9562 section 5.7 fixes the first three groups' places):
/// 48 Unix milliseconds | 4 version | 12 count, high | 2 variant | 8 count, low | 30 boot tag | 24 checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderId(pub Uuid);

// The order of the bytes, as a number: stores look ids up in trees, and comparing bytes is a call each time.
impl Ord for OrderId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_u128().cmp(&other.0.as_u128())
    }
}

impl PartialOrd for OrderId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Bits of the counter inside one millisecond; a million births in one millisecond borrow from the next.
const COUNT_BITS: u32 = 20;
const BOOT_MASK: u128 = (1 << 30) - 1;
const CHECK_MASK: u128 = (1 << 24) - 1;

/// Where an id comes from, as far as the id itself can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Issued by this run of the service.
    ThisBoot,
    /// Issued by an earlier run of the service.
    EarlierBoot,
    /// Never issued by this software.
    Foreign,
}

/// Issues ids; one per service.
#[derive(Debug)]
pub struct Ids {
    boot: u128,
    last: AtomicU64,
}

impl Ids {
    /// A source of ids; `boot` is drawn at random by the caller, once per run of the service.
    #[must_use]
    pub fn new(boot: u64) -> Self {
        Self { boot: u128::from(boot) & BOOT_MASK, last: AtomicU64::new(0) }
    }

    /// The boot tag in hexadecimal.
    #[must_use]
    pub fn boot(&self) -> String {
        format!("{:08x}", self.boot)
    }

    /// The next id at this wall time: later than every id before it, also when the clock steps back.
    pub fn next(&self, wall_us: i64) -> OrderId {
        let floor = u64::try_from(wall_us / 1_000).unwrap_or(0) << COUNT_BITS;
        let mut tick = floor;
        // Relaxed: the number alone must be unique and rising, nothing else is published with it.
        let _ = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            tick = floor.max(last + 1);
            Some(tick)
        });
        OrderId(Uuid::from_u128(with_check(assemble(tick, self.boot))))
    }

    /// Tells whose id this is.
    #[must_use]
    pub fn origin(&self, id: OrderId) -> Origin {
        let bits = id.0.as_u128();
        if with_check(bits) != bits || id.0.get_version_num() != 7 {
            Origin::Foreign
        } else if (bits >> 24) & BOOT_MASK == self.boot {
            Origin::ThisBoot
        } else {
            Origin::EarlierBoot
        }
    }
}

fn assemble(tick: u64, boot: u128) -> u128 {
    let ms = u128::from(tick >> COUNT_BITS) & ((1 << 48) - 1);
    let count = u128::from(tick) & ((1 << COUNT_BITS) - 1);
    (ms << 80) | (7 << 76) | ((count >> 8) << 64) | (0b10 << 62) | ((count & 0xff) << 54) | (boot << 24)
}

/// A fixed mixing function (the finaliser of splitmix64, Steele et al. 2014) over all other bits.
fn with_check(bits: u128) -> u128 {
    let body = bits & !CHECK_MASK;
    let folded = (body as u64) ^ ((body >> 64) as u64).rotate_left(17);
    body | (u128::from(super::draw::mix(folded)) & CHECK_MASK)
}

impl OrderId {
    /// Reads `ord_<uuid>` (or another prefix, for comparisons).
    #[must_use]
    pub fn parse(text: &str, prefix: &str) -> Option<Self> {
        let uuid = text.strip_prefix(prefix)?;
        // Only the one canonical spelling: 36 characters, lower case.
        if uuid.len() != 36 || uuid.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        Uuid::try_parse(uuid).ok().map(Self)
    }

    /// The id with its prefix.
    #[must_use]
    pub fn text(&self, prefix: &str) -> String {
        let mut out = String::with_capacity(40);
        out.push_str(prefix);
        out.push_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        out
    }

    /// First id that could have been issued at this time, for filters by time.
    #[must_use]
    pub fn floor_of(wall_us: i64) -> Self {
        Self(Uuid::from_u128(u128::from(u64::try_from(wall_us / 1_000).unwrap_or(0)) << 80))
    }
}

impl std::fmt::Display for OrderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text("ord_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_and_tell_their_boot() {
        let (a, b) = (Ids::new(1), Ids::new(2));
        let first = a.next(1_700_000_000_000_000);
        let ids: Vec<_> = (0..10_000).map(|_| a.next(1_700_000_000_000_000)).collect();
        assert!(first < ids[0] && ids.is_sorted_by(|x, y| x < y));
        assert!(ids.iter().all(|id| a.origin(*id) == Origin::ThisBoot));
        assert!(ids.iter().all(|id| b.origin(*id) == Origin::EarlierBoot));
        assert_eq!(a.origin(OrderId(Uuid::from_u128(ids[0].0.as_u128() ^ 1))), Origin::Foreign);
        assert_eq!(first.0.get_version_num(), 7);
    }

    #[test]
    fn only_the_canonical_spelling_of_an_id_is_read() {
        let id = Ids::new(3).next(1);
        assert_eq!(OrderId::parse(&id.to_string(), "ord_"), Some(id));
        assert_eq!(OrderId::parse(&id.to_string().to_uppercase(), "ORD_"), None);
        assert_eq!(OrderId::parse(&id.0.simple().to_string(), ""), None);
    }
}
