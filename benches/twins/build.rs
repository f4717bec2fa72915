//! Links the twins at a fixed address, as the main crate does.
//!
//! The twin of multiprocessing starts itself a thousand times: it must not pay for relocations that the service does not
//! pay for. It deliberately does nothing else.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
