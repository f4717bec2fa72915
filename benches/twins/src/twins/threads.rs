//! Twins on plain threads: one thread, a handful behind a shared counter, and rayon.
//!
//! Threads are started inside the measured time, as the service starts a kitchen's own chefs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::{Dish, Measured, cook_blocking, in_ms};

/// Small on purpose: thousands of chefs, none of which recurses.
const CHEF_STACK_BYTES: usize = 64 * 1_024;

fn measured(began: Instant, value: u128) -> Measured {
    Measured {
        makespan_ms: Some(in_ms(began.elapsed())),
        value: Some(value.to_string()),
        ..Measured::default()
    }
}

/// One dish after another on the main thread.
pub fn sequential(dishes: u64, dish: Dish) -> Measured {
    let began = Instant::now();
    let value = (0..dishes).map(|_| cook_blocking(dish)).last().unwrap_or(0);
    measured(began, value)
}

/// `threads` std threads; each takes the next number from a shared counter until there is none.
pub fn std_threads(dishes: u64, dish: Dish, threads: usize) -> Measured {
    let began = Instant::now();
    let taken = AtomicU64::new(0);
    let value = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            std::thread::Builder::new()
                .stack_size(CHEF_STACK_BYTES)
                .spawn_scoped(scope, || {
                    let mut last = None;
                    while taken.fetch_add(1, Ordering::Relaxed) < dishes {
                        last = Some(cook_blocking(dish));
                    }
                    if let Some(last) = last {
                        *value
                            .lock()
                            .expect("no chef panics while it holds the value") = last;
                    }
                })
                .expect("the system has room for the chefs asked for");
        }
    });
    let last = *value
        .lock()
        .expect("no chef panics while it holds the value");
    measured(began, last)
}

/// A rayon pool of `threads`, one spawned job a dish.
pub fn rayon_pool(dishes: u64, dish: Dish, threads: usize) -> Measured {
    let began = Instant::now();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(CHEF_STACK_BYTES)
        .build()
        .expect("the system has room for the chefs asked for");
    let value = Mutex::new(0);
    pool.scope(|scope| {
        for _ in 0..dishes {
            scope.spawn(|_| {
                let cooked = cook_blocking(dish);
                *value
                    .lock()
                    .expect("no chef panics while it holds the value") = cooked;
            });
        }
    });
    let last = *value
        .lock()
        .expect("no chef panics while it holds the value");
    measured(began, last)
}
