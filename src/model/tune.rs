//! How kitchen threads and children stand towards the threads that answer requests.
//!
//! It deliberately pins nothing: cores are shared by the kernel, and the wait for them is measured.

use std::sync::OnceLock;

use rustix::process::{getpid, getpriority_process, setpriority_process};

/// Niceness of whoever cooks, above that of the service. A busy server must not starve the kitchen (at +10 it does:
/// docs/performance.md), and a busy kitchen must not make requests wait.
const NICER_BY: i32 = 3;

static TARGET: OnceLock<i32> = OnceLock::new();

fn target() -> i32 {
    // The main thread's niceness is the service's own; a thread's is inherited from whoever started it.
    *TARGET.get_or_init(|| (getpriority_process(Some(getpid())).unwrap_or(0) + NICER_BY).min(19))
}

/// Makes the calling thread (on Linux niceness belongs to the thread) yield to those that answer requests.
pub fn burner() {
    let _ = setpriority_process(None, target());
}

/// Settles the niceness of a child process: what its parent has for kitchens holds for all threads it will start.
pub fn kitchen(niceness: i32) {
    let niceness = *TARGET.get_or_init(|| niceness);
    let _ = setpriority_process(None, niceness);
}

/// The niceness a child process is told.
#[must_use]
pub fn niceness() -> i32 {
    target()
}
