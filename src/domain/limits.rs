//! Every limit of an order in one place, with unit and reason.
//!
//! It deliberately only states them: the checks are in [`super::resolve`], the page that lists them is `GET /limits`.

/// Bytes of a request body. 100 steps with long names fit thirty times over.
pub const BODY_BYTES: usize = 256 * 1024;
/// Bytes of a batch's body.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a request's head, its first line included.
pub const HEAD_BYTES: usize = 16 * 1024;
/// Header fields of a request.
pub const HEADERS: usize = 64;
/// Bytes of a request's URI.
pub const URI_BYTES: usize = 8 * 1024;
/// Orders of a batch.
pub const BATCH: usize = 1_000;
/// Steps of one dish: one bit of a 128-bit word each, and more is not readable as a recipe.
pub const STEPS_PER_DISH: usize = 100;
/// Steps of one order: a million dishes of three steps.
pub const STEPS_PER_ORDER: u64 = 3_000_000;
/// CPU milliseconds of one order: an hour.
pub const CPU_MS_PER_ORDER: u64 = 3_600_000;
/// Iterations that count as one millisecond of CPU (measured: 10^7 take 23 ms in an optimised build).
pub const ITERATIONS_PER_CPU_MS: u64 = 400_000;
/// Milliseconds of one wait: an hour.
pub const WAIT_MS: u64 = 3_600_000;
/// Pieces of equipment of one recipe: more is not readable as a kitchen.
pub const EQUIPMENT: usize = 32;
/// Steps that can use a piece of equipment at once.
pub const CAPACITY: u64 = 1_000_000;
/// Bytes of one message of an exchange: what a kitchen's pipe takes as one frame, four times over.
pub const MESSAGE_BYTES: u64 = 16 * 1024 * 1024;
/// Messages of one exchange.
pub const MESSAGES: u64 = 100_000;
/// Bytes that an order may exchange: a minute at 1 GiB a second.
pub const EXCHANGE_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Messages that an order may exchange: a minute at 2 us each.
pub const EXCHANGE_MESSAGES: u64 = 30_000_000;
/// Increments of one step that counts.
pub const INCREMENTS: u64 = 100_000_000;
/// Increments that count as one millisecond of CPU: 100 ns each, what a lock costs that everybody wants.
pub const INCREMENTS_PER_CPU_MS: u64 = 10_000;
/// Dishes that may arrive in a second.
pub const ARRIVALS_PER_S: u64 = 1_000_000;
/// Labels of one order.
pub const LABELS: usize = 16;
/// Characters of a label's key and of its value.
pub const LABEL_CHARS: usize = 63;
/// Characters of a recipe's or step's name.
pub const NAME_CHARS: usize = 100;
/// Divisor of every wait.
pub const SPEED: u64 = 1_000_000;
/// Milliseconds of `timeout_ms`: a day.
pub const TIMEOUT_MS: u64 = 86_400_000;
/// Milliseconds of `expires_in_ms`: a day.
pub const EXPIRES_IN_MS: u64 = 86_400_000;
/// Runs of one order that may fail. Chosen: what has failed ten times will fail again.
pub const ATTEMPTS: u64 = 10;
/// Milliseconds between two attempts: a minute, also when the wait has been doubled.
pub const RETRY_WAIT_MS: u64 = 60_000;
/// Milliseconds between the first two attempts when nothing is said.
pub const RETRY_WAIT_MS_DEFAULT: u64 = 1_000;
/// Characters of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_CHARS: usize = 255;
/// Kitchen threads leased to orders at once, and so the most one order may ask for.
pub const THREADS: u32 = 4_096;
/// Child processes leased to orders at once, and so the most one order may ask for.
pub const CHILDREN: u32 = 1_024;
/// Assistants of one chef.
pub const ASSISTANTS: u32 = 256;
/// Steps up to which every step is recorded and announced; above it a uniform sample of about this size is kept.
pub const RECORDS: u64 = 10_000;
/// Seconds a request may be held by `wait`.
pub const HOLD_S: u64 = 60;
/// Processes of an order whose figures are kept one by one, beside the sums over all.
pub const PROCESS_ROWS: usize = 64;
/// Event streams open at once: a thousand that nobody reads (49 KB each, measured) leave as many for others.
pub const STREAMS: usize = 2_000;
/// Orders on one page of a list, and what a page holds when nothing is said.
pub const PAGE: usize = 200;
/// Orders on a page when nothing is said.
pub const PAGE_DEFAULT: usize = 50;
/// Orders waiting or running at once; above it the house answers 503.
pub const ACTIVE_ORDERS: usize = 100_000;
/// Bytes held for active orders (their recipes and records); above it the house answers 503.
pub const ACTIVE_BYTES: usize = 256 * 1024 * 1024;
/// Ended orders kept in memory, oldest dropped first.
pub const ENDED_ORDERS: usize = 1_000_000;
/// Bytes kept for ended orders in memory, oldest dropped first.
pub const ENDED_BYTES: usize = 1024 * 1024 * 1024;
/// Seconds an ended order is kept: a day.
pub const RETENTION_S: i64 = 86_400;
/// Comparisons kept in a database; the oldest that are over go first. Some tens of kilobytes each.
pub const COMPARISONS: usize = 10_000;
/// Comparisons kept in memory.
pub const COMPARISONS_IN_MEMORY: usize = 1_000;
/// Bytes of those.
pub const COMPARISON_BYTES_IN_MEMORY: usize = 64 * 1024 * 1024;
/// Entries of a comparison's line-up.
pub const LINE_UP: usize = 32;
/// Repeats of a comparison.
pub const REPEATS: u64 = 50;
/// Milliseconds a comparison may plan to measure for.
pub const BUDGET_MS: u64 = 600_000;
/// Dishes of a forecast, however many steps they have.
pub const FORECAST_DISHES: u64 = 1_000_000;
/// Steps a forecast simulates, all entries together: some seconds of one core.
pub const FORECAST_STEPS: u64 = 20_000_000;
/// Cores a forecast can be asked about.
pub const FORECAST_CORES: u64 = 1_024;
