//! How orders come in and are taken up: admission, the line, the start of a run.
//!
//! It deliberately waits for nothing: what cannot start now stays in the store's lines until staff or a place is free.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::books::{self, Active, Cooking};
use super::{Found, Kitchen, log};
use crate::clock;
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::{Job, Status};
use crate::domain::spec::{ModelId, Spec};
use crate::model::cancel::Reason;
use crate::model::run::Run;
use crate::model::{self, Demand};
use crate::store::{Down, NewJob, Once, Refused, Room, Submitted};

/// Why an order was not accepted although nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The store is full; try again after this time.
    #[error("as many orders are waiting or running as the house can hold")]
    Full(Duration),
    /// This client has its share; try again after this time.
    #[error("you have as many orders waiting or running as one client may: no more than are still free")]
    Share(Duration),
    /// The service is shutting down.
    #[error("the house is closing")]
    Draining,
    /// The idempotency key belongs to another request.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    /// The store cannot write it now.
    #[error(transparent)]
    Down(Down),
}

/// What came of a request to cook.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The orders: as they were accepted, or, if the request had been here before, as they are now.
    pub jobs: Vec<Job>,
    /// It had been here before.
    pub before: bool,
}

impl Kitchen {
    /// Whether orders of this client are accepted right now: to be asked before one is parsed, so that a refusal is cheap.
    pub fn admits(&self, client: &Client) -> Result<(), Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        self.gate.check(client, clock::now(), || self.store.fill(client))
    }

    /// Accepts orders, all or none, and starts what can start. Waits for nothing but the store.
    pub async fn submit(&self, owner: &Client, specs: Vec<Spec>, once: Option<Once>) -> Result<Placed, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        let now_us = clock::wall_us();
        let jobs = specs.into_iter().map(|spec| books::new_job(self.ids.next(now_us), owner, spec, now_us)).collect();
        self.accept(jobs, once, false).await
    }

    /// Accepts another try of an order, with what that asked for, the seed included.
    pub async fn retry(&self, owner: &Client, of: OrderId, spec: Spec, once: Option<Once>) -> Result<Placed, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        let now_us = clock::wall_us();
        let new = books::new_job(self.ids.next(now_us), owner, spec, now_us);
        self.accept(vec![Job { retry_of: Some(of), ..new }], once, false).await
    }

    pub(super) async fn accept(&self, jobs: Vec<Job>, once: Option<Once>, alone: bool) -> Result<Placed, Refusal> {
        let accepted = clock::now();
        let new = |job: &Job| {
            let Demand { threads, children } = model::demand(&job.spec);
            NewJob { job: job.clone(), accepted, needs: Room { threads, children }, alone }
        };
        let submitted = self.store.submit(jobs.iter().map(new).collect(), once).await;
        match submitted.map_err(|refused| self.refusal(refused, jobs.first()))? {
            Submitted::Before(ids) => {
                let mut jobs = Vec::with_capacity(ids.len());
                for id in ids {
                    match self.get(id).await.map_err(Refusal::Down)? {
                        Found::Here(job) => jobs.push(*job),
                        Found::Gone | Found::LostOnRestart | Found::Unknown => {}
                    }
                }
                Ok(Placed { jobs, before: true })
            }
            Submitted::Fresh => {
                for job in &jobs {
                    self.journal.write(job.id, Status::Queued);
                    log::accepted(job);
                }
                if jobs.iter().any(|job| job.spec.expires_in.is_some()) {
                    self.deadlines.notify_one();
                }
                self.pump();
                Ok(Placed { jobs, before: false })
            }
        }
    }

    fn refusal(&self, refused: Refused, first: Option<&Job>) -> Refusal {
        let job = match (refused, first) {
            (Refused::Down(down), _) => return Refusal::Down(down),
            (Refused::Full | Refused::Share, Some(job)) => job,
            (Refused::KeyReused, _) | (_, None) => return Refusal::KeyReused,
        };
        self.gate.shut(&job.owner);
        let ((theirs, all), now) = (self.store.fill(&job.owner), clock::now());
        match refused {
            Refused::Share => Refusal::Share(self.gate.come_back(theirs, now)),
            _ => Refusal::Full(self.gate.come_back(all, now)),
        }
    }

    /// Starts every waiting order that may start now.
    pub(super) fn pump(&self) {
        let (claimed, alone) = {
            let mut staffing = self.staffing.lock().unwrap_or_else(PoisonError::into_inner);
            if self.abandoned.load(Ordering::Acquire) {
                return;
            }
            let (free, alone) = (staffing.free(), staffing.is_reserved());
            let mut place = |model, client: &Client| self.places.take(model, client);
            let claimed = self.store.claim(free, alone, &mut place, clock::now(), clock::wall_us());
            claimed.iter().for_each(|(_, room)| staffing.lease(*room));
            (claimed, alone)
        };
        for (job, room) in claimed {
            self.start(job, room, alone);
        }
    }

    fn start(&self, job: Job, room: Room, alone: bool) {
        let Some(me) = self.me.upgrade() else { return };
        if job.attempt > 1
            && let Some(before) = self.run(job.id)
        {
            // Its lease ran out and it came back here while that run is being stopped: one run of an order at a time.
            self.runtime.spawn(async move {
                me.gone(&before).await;
                me.start(job, room, alone);
            });
            return;
        }
        let spec = job.spec.in_attempt(job.life().failed + 1);
        let cooking = Cooking {
            attempt: job.attempt,
            room,
            place: Mutex::new((!alone && room == Room::default()).then_some(job.owner)),
            queue: job.queue_ns,
            others: self.cooking.fetch_add(1, Ordering::AcqRel),
            kitchen: me,
        };
        let run = Arc::new(Run::new(job.id, spec, Arc::new(cooking)));
        self.journal.write(job.id, Status::Running);
        self.runs().insert(job.id, Active { run: run.clone(), attempt: job.attempt });
        // Looked at after it can be found: whoever abandons sees the run, or the run sees this.
        if self.abandoned.load(Ordering::Acquire) {
            run.stop(Reason::Shutdown);
        }
        if let Some(timeout) = run.spec.timeout {
            self.runtime.spawn(books::time_out(Arc::downgrade(&run), timeout));
        }
        model::start(run, &self.staff);
    }

    /// Waits until a run is over and its end written or refused.
    async fn gone(&self, run: &Arc<Run>) {
        loop {
            let watched = self.watch(run.id);
            let mut ended = std::pin::pin!(watched.ended());
            ended.as_mut().enable();
            if self.run(run.id).is_none_or(|now| !Arc::ptr_eq(&now, run)) {
                return;
            }
            ended.await;
        }
    }

    /// Gives a place back and starts who waited for it.
    pub(super) fn give_back(&self, model: ModelId, owner: &Client) {
        if self.places.give_back(model, owner) {
            self.pump();
        }
    }
}
