//! A moment as answers spell it: RFC 3339 in UTC, with microseconds.
//!
//! The calendar is jiff's, asked once for each second: an order has four moments, most of them in the second of the answer
//! before. It deliberately reads none; what clients send is parsed where it is asked for.

use std::cell::Cell;

use serde::{Serialize, Serializer};

/// A moment, microseconds since 1970.
pub struct At(pub i64);

/// Seconds remembered by each thread. A prime: `retained_until` is whole minutes or hours from now and must not take now's place.
const SECONDS: usize = 13;
/// Bytes up to the second, as in `2026-11-23T07:41:28`.
const TO_THE_SECOND: usize = 19;

thread_local! {
    static SPELLED: [Cell<(i64, [u8; TO_THE_SECOND])>; SECONDS] =
        const { [const { Cell::new((i64::MIN, [0; TO_THE_SECOND])) }; SECONDS] };
}

/// A second, spelled; `None` outside the years 0 to 9999.
fn second(at: i64) -> Option<[u8; TO_THE_SECOND]> {
    SPELLED.with(|spelled| {
        let place = &spelled[at.rem_euclid(SECONDS as i64) as usize];
        let (remembered, text) = place.get();
        if remembered == at {
            return Some(text);
        }
        let text = jiff::Timestamp::from_second(at).ok()?.to_string();
        let text = text.strip_suffix('Z')?.as_bytes().try_into().ok()?;
        place.set((at, text));
        Some(text)
    })
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(to_the_second) = second(self.0.div_euclid(1_000_000)) else { return serializer.serialize_unit() };
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        text[..TO_THE_SECOND].copy_from_slice(&to_the_second);
        let mut us = self.0.rem_euclid(1_000_000);
        for place in text[TO_THE_SECOND + 1..].iter_mut().rev().skip(1) {
            *place = b'0' + (us % 10) as u8;
            us /= 10;
        }
        match std::str::from_utf8(&text) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.serialize_unit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_is_spelled_as_the_calendar_spells_it() {
        let seconds = [0, -1, 1, 59, 951_782_399, 951_782_400, 1_795_332_088, 253_402_300_799, -62_167_219_200];
        for second in seconds.into_iter().flat_map(|s| [s, s + 3_600, s]) {
            for us in [0, 1, 999_999, 123_456] {
                let at = second * 1_000_000 + us;
                let Ok(moment) = jiff::Timestamp::from_microsecond(at) else { continue };
                let spelled = serde_json::to_string(&At(at)).unwrap();
                if second < 253_402_300_800 {
                    assert_eq!(spelled, format!("\"{moment:.6}\""));
                }
            }
        }
        assert_eq!(serde_json::to_string(&At(i64::MAX)).unwrap(), "null");
    }
}
