//! New orders as the database takes them: a column each.
//!
//! It deliberately says nothing to the database.

use tokio_postgres::types::Json;
use uuid::Uuid;

use super::rows;
use crate::domain::job::Job;
use crate::store::backend::{Entry, Group};
use crate::store::packed;

/// New orders, a column each.
#[derive(Default)]
pub(super) struct NewRows<'a> {
    pub(super) id: Vec<Uuid>,
    /// The first order of the group.
    pub(super) first: Vec<Uuid>,
    pub(super) owner: Vec<&'a str>,
    pub(super) model: Vec<&'a str>,
    pub(super) labels: Vec<Option<Json<Vec<String>>>>,
    pub(super) lane: Vec<i16>,
    pub(super) turn: Vec<i64>,
    pub(super) threads: Vec<i32>,
    pub(super) children: Vec<i32>,
    pub(super) held: Vec<bool>,
    /// Microseconds from now.
    pub(super) expires: Vec<Option<i64>>,
    pub(super) bytes: Vec<i64>,
    pub(super) once_key: Vec<Option<&'a str>>,
    pub(super) once_fingerprint: Vec<Option<Uuid>>,
    pub(super) once_ids: Vec<Option<Vec<u8>>>,
    pub(super) body: Vec<Vec<u8>>,
}

impl<'a> NewRows<'a> {
    pub(super) fn push(&mut self, group: &'a Group, names: &'a [&'static str]) {
        for (nth, entry) in group.entries.iter().enumerate() {
            let once = group.once.as_ref().filter(|_| nth == 0);
            self.first.push(group.entries[0].job.id.0);
            self.once_key.push(once.map(|once| &*once.key));
            self.once_fingerprint.push(once.map(|once| once.fingerprint));
            self.once_ids.push(once.map(|_| packed::join_ids(group.entries.iter().map(|entry| entry.job.id))));
            self.push_entry(entry, names);
        }
    }

    fn push_entry(&mut self, entry: &'a Entry, names: &'a [&'static str]) {
        let Entry { job, needs, lane, turn, held } = entry;
        self.id.push(job.id.0);
        self.owner.push(job.owner.as_str());
        self.model.push(names.get(usize::from(job.spec.model.0)).copied().unwrap_or_default());
        self.labels.push(labels(job));
        self.lane.push(lane.0);
        self.turn.push(*turn);
        self.threads.push(needs.threads.cast_signed());
        self.children.push(needs.children.cast_signed());
        self.held.push(*held);
        self.expires.push(job.spec.expires_in.map(|within| i64::try_from(within.as_micros()).unwrap_or(LONGEST_US)));
        self.bytes.push(job.spec.weight() as i64);
        self.body.push(packed::pack(job, &[]).into_vec());
    }
}

/// What a timestamp of Postgres can be ahead of now without an error: a thousand years.
const LONGEST_US: i64 = 31_556_952_000_000_000;

fn labels(job: &Job) -> Option<Json<Vec<String>>> {
    let labels = &job.spec.labels;
    (!labels.is_empty()).then(|| Json(labels.iter().map(|(key, value)| rows::label(key, value)).collect()))
}
