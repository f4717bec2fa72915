//! Random draws as a pure function of (seed, dish, step): the same in every model and every run.
//!
//! It deliberately keeps no generator state, so the order in which steps happen to run changes nothing.

/// The finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[must_use]
pub fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The draw of one step of one dish: 64 uniform bits.
#[must_use]
pub fn bits(seed: u64, dish: u32, step: u16) -> u64 {
    mix(mix(seed) ^ (u64::from(dish) << 16) ^ u64::from(step))
}
