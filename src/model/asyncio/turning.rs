//! Steps during which the loop turns: while they wait for equipment, hand things over, or between two pieces of CPU work.
//!
//! What a plain wait does stands in [`super::chef`], where its size counts. It deliberately knows no dish.

use std::time::Duration;

use super::chef::Chef;
use crate::clock;
use crate::domain::Ns;
use crate::domain::recipe::{StepRef, Work};
use crate::domain::record::Outcome;
use crate::model::equipment::step::Equipping;
use crate::model::exchange;
use crate::model::run::Stepped;
use crate::model::work::{self, Performed, Pieces};

impl Chef {
    /// A step during which the loop turns: while it waits for its equipment, or between its pieces.
    pub(super) async fn on_loop(&self, at: StepRef, ready: Ns, work: Work) -> Stepped {
        let run = &self.run;
        let Some(begun) = Equipping::new(run, 0, at, ready) else {
            let started = clock::now();
            let seq = run.recorder.started(0, at, run.offset(started));
            return run.record(0, at, ready, seq, Performed { started, ..self.perform(at, started, work).await });
        };
        match begun.claim.all().await {
            Err(refusal) => begun.refused(run, refusal),
            Ok(held_idle) => {
                let equipped = clock::now();
                let done = self.perform(at, equipped, work).await;
                begun.done(run, equipped, held_idle, done)
            }
        }
    }

    async fn perform(&self, at: StepRef, started: Ns, work: Work) -> Performed {
        match work {
            Work::Wait(d) => {
                if !d.is_zero() {
                    tokio::time::sleep(d).await;
                }
                self.awake(started, d)
            }
            Work::Exchange { bytes, messages } => {
                exchange::on_loop(bytes, messages).await;
                work::exchanged(started, clock::now())
            }
            _ => match self.run.spec.step(at).yield_every {
                None => self.run.perform(at, |_| ()),
                Some(piece) => self.in_pieces(work, piece).await,
            },
        }
    }

    /// CPU work that lets the loop have its turn between two pieces.
    async fn in_pieces(&self, work: Work, piece: Duration) -> Performed {
        let mut pieces = Pieces::of(work);
        let (mut done, mut over) = pieces.next(piece, &self.run.cancel, |_| ());
        while !over {
            tokio::task::yield_now().await;
            let (next, last) = pieces.next(piece, &self.run.cancel, |_| ());
            (done, over) = (done.then(next), last);
        }
        done
    }

    /// A wait that ended by itself, now, while the chef may have been waiting for the GIL.
    pub(super) fn awake(&self, started: Ns, wait: Duration) -> Performed {
        let mut done = work::waited(started, clock::now(), Outcome::Succeeded);
        if let Some(turns) = &self.turns {
            done.terms.gil_wait = turns.waited(started + clock::ns(wait), done.finished);
        }
        done
    }
}
