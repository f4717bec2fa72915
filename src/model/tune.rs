//! How kitchen threads and children stand towards the threads that answer requests.
//!
//! It deliberately pins nothing: cores are shared by the kernel, and the wait for them is measured.

use std::sync::OnceLock;

use rustix::process::{getpid, getpriority_process, setpriority_process};

/// Whose staff a thread or child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staffed {
    /// The house's: few, and every small order waits for them.
    House,
    /// An order's own: up to thousands.
    Own,
}

/// Niceness above the service's own (chosen by measuring: docs/performance.md). The house's staff must not starve under
/// a busy server, as it does at +10; sixty-four chefs of somebody's own must not make requests wait, as they do at +3.
const NICER_BY: [i32; 2] = [3, 10];

static BASE: OnceLock<i32> = OnceLock::new();
static KITCHEN: OnceLock<i32> = OnceLock::new();

/// The niceness of such staff.
#[must_use]
pub fn niceness(staffed: Staffed) -> i32 {
    // In a kitchen all are alike: the order it cooks decided.
    KITCHEN.get().copied().unwrap_or_else(|| {
        // The main thread's niceness is the service's own; a thread's is inherited from whoever started it.
        let base = BASE.get_or_init(|| getpriority_process(Some(getpid())).unwrap_or(0));
        (base + NICER_BY[staffed as usize]).min(19)
    })
}

/// Does without transparent huge pages, in this process and its children.
///
/// They made a million dishes take between 1.3 and 1.8 s from run to run, and cost a kitchen 0.15 ms and 2 MiB
/// (docs/performance.md).
pub fn small_pages() {
    // A kernel that refuses is slower at times, not wrong.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Makes the calling thread (on Linux niceness belongs to the thread) yield to those that answer requests.
pub fn burner(staffed: Staffed) {
    let _ = setpriority_process(None, niceness(staffed));
}

/// Whether this process is a kitchen.
#[must_use]
pub fn is_kitchen() -> bool {
    KITCHEN.get().is_some()
}

/// Settles the niceness of a child process, for all threads it will start.
pub fn kitchen(told: i32) {
    let told = *KITCHEN.get_or_init(|| told);
    let _ = setpriority_process(None, told);
}
