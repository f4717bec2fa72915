//! Comparisons as they are written down, and found again: here, after a restart, or at another node.
//!
//! While one is measured its slot is what is true; the archive has it as it was when it was last written, and keeps it when
//! it has ended. It deliberately measures nothing, and renders nothing itself: how a comparison is answered to clients is
//! the door's business ([`Written`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::accuracy;
use super::comparison::{Comparison, Told};
use super::comparisons::{CancelAnswer, Comparisons};
use crate::domain::client::Client;
use crate::domain::id::OrderId;
use crate::domain::job::Status;
use crate::model;
use crate::store::Down;
use crate::store::archive::{Filed, Filing, Shelf};

/// How a comparison is answered to clients, as JSON.
pub type Written = fn(&Comparison) -> String;

/// Time between two looks at a comparison that is measured elsewhere.
pub const FAR_LOOK: Duration = Duration::from_millis(500);
/// Time between two tries to write down an end, while the archive does not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// Comparisons whose forecasts are summed up: the youngest.
const SUMMED_UP: usize = 1_000;

/// A comparison, wherever it is.
#[derive(Clone, Debug)]
pub enum Known {
    /// It is, or was lately, measured here.
    Here(Box<Comparison>),
    /// It is in the archive.
    Filed(Filed),
}

impl Known {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> OrderId {
        match self {
            Self::Here(state) => state.id,
            Self::Filed(filed) => filed.id,
        }
    }

    /// Who asked for it.
    #[must_use]
    pub fn owner(&self) -> &Client {
        match self {
            Self::Here(state) => &state.owner,
            Self::Filed(filed) => &filed.owner,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Self::Here(state) => state.status.is_done(),
            Self::Filed(filed) => filed.is_over(),
        }
    }
}

/// What is noted of a comparison beside what is answered to clients. Later versions may note more; what is not there is as if
/// nothing had been.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// It had the house.
    pub has_begun: bool,
    /// Its runs, for whoever follows it.
    pub told: Vec<Told>,
    /// How far its forecasts went wrong.
    pub errors: Vec<accuracy::Error>,
}

impl Notes {
    fn of(state: &Comparison) -> Self {
        let error = |entry: &super::entry::Entry| {
            let (before, refit) = entry.forecasts?.errors()?;
            Some(accuracy::Error { model: model::get(entry.spec.model).info().name.into(), before, refit })
        };
        let errors = state.entries.iter().filter_map(error).collect();
        Self { has_begun: state.has_begun(), told: state.told.clone(), errors }
    }

    /// As they were written.
    #[must_use]
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

impl Comparisons {
    /// A comparison as it is written down.
    pub(super) fn filed(&self, state: &Comparison) -> Filed {
        Filed {
            id: state.id,
            owner: state.owner.clone(),
            status: state.status,
            cancel_requested: state.cancel_requested,
            seen_us: state.finished_us.unwrap_or(state.created_us),
            is_lost: false,
            answer: (self.written)(state).into(),
            notes: serde_json::to_string(&Notes::of(state)).unwrap_or_default().into(),
        }
    }

    /// Writes down how one stands as long as it is measured, if others can look; heeds their wish to stop it. Resolves when it
    /// was taken for lost: what is measured here is nobody's any more.
    pub(super) async fn given_up(&self, id: OrderId) {
        let Some(beat) = self.archive.beat() else { return std::future::pending().await };
        loop {
            tokio::time::sleep(beat).await;
            let Some(filed) = self.look(id, |state| self.filed(state)) else { return };
            match self.archive.file(filed).await {
                Ok(Filing::Kept { cancel_requested: true }) => drop(self.cancel_here(id)),
                Ok(Filing::Kept { .. }) | Err(_) => {}
                Ok(Filing::Refused) => return,
            }
        }
    }

    /// Writes down an end, however long the archive takes to answer; whether it is kept.
    pub(super) async fn file_end(&self, state: &Comparison) -> bool {
        let filed = self.filed(state);
        loop {
            match self.archive.file(filed.clone()).await {
                Ok(filing) => return filing != Filing::Refused,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// One comparison.
    pub async fn find(&self, id: OrderId) -> Result<Option<Known>, Down> {
        Ok(match self.get(id) {
            Some(state) => Some(Known::Here(Box::new(state))),
            None => self.archive.filed(id).await?.map(Known::Filed),
        })
    }

    /// Waits until it has ended, at most this long.
    pub async fn wait(&self, id: OrderId, at_most: Duration) {
        if self.wait_here(id, at_most).await {
            return;
        }
        let is_over = async {
            while !matches!(self.archive.filed(id).await, Ok(filed) if filed.as_ref().is_none_or(Filed::is_over)) {
                tokio::time::sleep(FAR_LOOK).await;
            }
        };
        let _ = tokio::time::timeout(at_most, is_over).await;
    }

    /// So many, youngest first, older than `before`, of one client or of all.
    pub async fn list(&self, before: Option<OrderId>, limit: usize, owner: Option<Client>) -> Result<Vec<Known>, Down> {
        let found = self.archive.shelf(Shelf { before, owner, limit }).await?;
        let known = |filed: Filed| match self.get(filed.id) {
            Some(state) => Known::Here(Box::new(state)),
            None => Known::Filed(filed),
        };
        Ok(found.into_iter().map(known).collect())
    }

    /// How good the forecasts of the youngest were, of one client or of all.
    pub async fn accuracy(&self, owner: Option<Client>) -> Result<Vec<accuracy::Row>, Down> {
        let notes = self.archive.notes(Shelf { before: None, owner, limit: SUMMED_UP }).await?;
        let errors: Vec<_> = notes.iter().flat_map(|notes| Notes::read(notes).errors).collect();
        Ok(accuracy::rows(&errors))
    }

    /// Asks to stop a comparison; `None` if it is not kept.
    pub async fn cancel(&self, id: OrderId) -> Result<Option<CancelAnswer>, Down> {
        if let Some(answer) = self.cancel_here(id) {
            return Ok(Some(answer));
        }
        let answer = |filed: Filed| match filed.status {
            _ if filed.is_lost => CancelAnswer::Ended(Status::Failed),
            Status::Canceled => CancelAnswer::Canceled(Known::Filed(filed)),
            status if status.is_done() => CancelAnswer::Ended(status),
            _ => CancelAnswer::Running(Known::Filed(filed)),
        };
        Ok(self.archive.wish_stopped(id).await?.map(answer))
    }

    /// Forgets an ended comparison; `Some(false)` if it has not ended, `None` if it is not kept.
    pub async fn delete(&self, id: OrderId) -> Result<Option<bool>, Down> {
        let is_over = self.archive.discard(id).await?;
        if is_over == Some(true) {
            self.slots().remove(&id);
        }
        Ok(is_over)
    }
}
