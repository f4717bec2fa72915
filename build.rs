//! Links the executable at a fixed address.
//!
//! A kitchen is this binary re-executed: a position-independent one of this size spends about 2 ms of each start on
//! relocations (measured: 200,000 of them, docs/performance.md), a fixed one almost none. The price is that the
//! executable itself is not randomised in memory. A new migration is embedded when the crate is built again, which nothing but
//! this script can ask for. It deliberately does nothing else: no code is generated.

#[expect(clippy::disallowed_methods, reason = "what cargo tells a build script comes as variables")]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=migrations");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
