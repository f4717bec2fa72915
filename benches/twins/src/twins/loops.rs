//! Twins on a tokio runtime: a million sleeps, one task a dish, and the blocking pool.
//!
//! Each builds its own runtime inside the measured time: a program that did only this would pay for it too.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::{Builder, Runtime};

use crate::{Dish, Measured, cook_blocking, in_ms, sum_of_squares};

fn one_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing that can be missing")
}

/// Every dish a sleep in one `FuturesUnordered`.
///
/// Unconstrained: with tokio's cooperative budget each poll of the set visits a few ready sleeps, is told to yield and starts
/// over, which is quadratic in the number of dishes.
pub fn tokio_sleeps(dishes: u64, wait: Duration) -> Measured {
    let began = Instant::now();
    let ended = one_thread().block_on(tokio::task::unconstrained(async move {
        let mut sleeps: FuturesUnordered<_> =
            (0..dishes).map(|_| tokio::time::sleep(wait)).collect();
        let mut ended: u64 = 0;
        while sleeps.next().await.is_some() {
            ended += 1;
        }
        ended
    }));
    let makespan = began.elapsed();
    Measured {
        makespan_ms: Some(in_ms(makespan)),
        value: Some(ended.to_string()),
        ..Measured::default()
    }
}

/// One spawned task a dish on one thread: wait, then compute on the loop.
pub fn asyncio(dishes: u64, dish: Dish) -> Measured {
    let began = Instant::now();
    let value = one_thread().block_on(async move {
        let tasks: Vec<_> = (0..dishes)
            .map(|_| {
                tokio::spawn(async move {
                    if !dish.wait.is_zero() {
                        tokio::time::sleep(dish.wait).await;
                    }
                    sum_of_squares(dish.iterations)
                })
            })
            .collect();
        last_of(tasks).await
    });
    let makespan = began.elapsed();
    Measured {
        makespan_ms: Some(in_ms(makespan)),
        value: Some(value.to_string()),
        ..Measured::default()
    }
}

/// tokio's blocking pool, bounded to `threads`.
pub fn spawn_blocking(dishes: u64, dish: Dish, threads: usize) -> Measured {
    let began = Instant::now();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(threads)
        .build()
        .expect("a runtime without I/O needs nothing that can be missing");
    let value = runtime.block_on(async move {
        let tasks: Vec<_> = (0..dishes)
            .map(|_| tokio::task::spawn_blocking(move || cook_blocking(dish)))
            .collect();
        last_of(tasks).await
    });
    let makespan = began.elapsed();
    Measured {
        makespan_ms: Some(in_ms(makespan)),
        value: Some(value.to_string()),
        ..Measured::default()
    }
}

async fn last_of(tasks: Vec<tokio::task::JoinHandle<u128>>) -> u128 {
    let mut last = 0;
    for task in tasks {
        last = task.await.expect("a dish neither panics nor is aborted");
    }
    last
}
