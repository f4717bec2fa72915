//! The stores a row is repeated over, each empty at first and gone afterwards.
//!
//! It deliberately knows nothing of what a store promises: that is each row's own.

use super::crash::directory;
use crate::Try;
use crate::figures::Finding;
use crate::postgres::Postgres;
use crate::service::Setting;

/// What `--store` can be, in words.
pub(super) const ALL: [&str; 3] = ["memory", "SQLite", "Postgres"];

/// An empty store.
pub(super) struct Store {
    pub name: &'static str,
    /// What `--store` is told.
    pub url: String,
    postgres: Option<Postgres>,
}

impl Store {
    /// A new one, for a row of this name.
    pub(super) fn new(setting: &Setting, row: &str, name: &'static str) -> Try<Self> {
        let (url, postgres) = match name {
            "memory" => (name.to_owned(), None),
            "SQLite" => (format!("sqlite:{}", directory(setting, row)?.join("orders.db").display()), None),
            _ => {
                let postgres = Postgres::start(&[])?;
                (postgres.url.clone(), Some(postgres))
            }
        };
        Ok(Self { name, url, postgres })
    }

    /// Whether it outlives the service.
    pub(super) fn is_durable(&self) -> bool {
        self.name != "memory"
    }

    /// How many nodes may share it.
    pub(super) fn nodes(&self) -> usize {
        if self.postgres.is_some() { 2 } else { 1 }
    }

    /// A database must have no session left that is in the middle of something.
    pub(super) fn at_rest(&mut self, finding: &mut Finding) -> Try<()> {
        let Some(postgres) = &mut self.postgres else { return Ok(()) };
        let open = "select count(*) from pg_stat_activity where backend_type = 'client backend' \
                    and pid <> pg_backend_pid() and state <> 'idle'";
        // A node looks for news all the time: what is in the middle of something is so at two looks.
        let mut busy = postgres.ask(&format!("sql {open}"))?;
        for _ in 0..20 {
            if busy == "0" {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            busy = postgres.ask(&format!("sql {open}"))?;
        }
        finding.must(busy == "0", format!("{busy} sessions of the database are not idle"));
        let held = postgres.ask("sql select count(*) from pg_stat_activity where state like 'idle in transaction%'")?;
        finding.must(held == "0", format!("{held} sessions idle in transaction"));
        Ok(())
    }
}

/// The same over each store. One over which it cannot be carried out does not take the others with it.
pub(super) async fn each(row: &str, over: impl AsyncFn(&'static str) -> Try<Finding>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for store in ALL {
        findings.push(over(store).await.unwrap_or_else(|error| {
            let mut finding = Finding::of(&format!("{row}, {store}"), "-", "it can be carried out");
            finding.must(false, error.to_string());
            finding
        }));
    }
    findings
}
