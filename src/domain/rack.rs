//! Who has which equipment, who waits for it, and who waits in vain. Pure: executors and simulation share it.
//!
//! **Order.** Requests are served in the order in which they were made. A step without `hold_while_waiting` makes one, for all it
//! needs, and holds nothing until all of it is there; meanwhile, for the first dish that waits with it, one of each of its pieces
//! is spoken for, so that whoever asks later takes none but what is left over. A step with it makes one request after another, as
//! nested locks do, and keeps what it has. It is not bound by what is spoken for once it holds something (else both could wait
//! for ever), and does not begin to take while an earlier step waits for all of several pieces it needs too. So each waits for
//! those before it and for those who held something when it came: nobody starves.
//!
//! **Deadlock.** Looked for when a step that holds something has to wait, for only that can close a circle: in thought, everybody
//! who could get what he asks for next finishes and gives back; who is left can never go on (Coffman, Elphick, Shoshani: System
//! deadlocks, 1971; Holt: Some deadlock properties of computer systems, 1972). With capacities above 1 a circle alone proves
//! nothing, this does. It deliberately frees nobody: what to do about it is the caller's business.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet, VecDeque};
use std::sync::Arc;

use super::Ns;
use super::kept::Kept;
use super::recipe::{Recipe, Step, StepRef};

/// Number of a claim, never given twice.
pub type ClaimId = u64;

/// How a claim stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits.
    Waits,
    /// It has all it needs; held some of it for this long while it waited for the rest.
    Has {
        /// From the first piece to the last.
        held_idle: Ns,
    },
    /// It waits for ever; with the circle in words.
    Stuck(String),
}

#[derive(Debug)]
struct Claim {
    at: StepRef,
    /// In hand: the first so many of its needs.
    got: usize,
    /// When it took the first of them.
    since: Ns,
    standing: Standing,
}

/// What a request asks for: the step of the recipe, and how much of its needs it has already.
type Kind = (u16, usize);

/// The equipment of a kitchen.
#[derive(Debug)]
pub struct Rack {
    recipe: Arc<Recipe>,
    free: Box<[u32]>,
    claims: Kept<Claim>,
    /// Claims with something in hand, where one of them may keep it while it waits: only those can wait for ever.
    holding: HashSet<ClaimId>,
    keeps: bool,
    /// Open requests, by what they ask for: number of the request and claim, oldest first. If the first of a kind has to
    /// wait so have the others, which is why a million waiting dishes cost no more to serve than one.
    lines: BTreeMap<Kind, VecDeque<(u64, ClaimId)>>,
    requests: u64,
    settled: Vec<ClaimId>,
    /// Of the last round of serving, kept for the next.
    heads: BinaryHeap<Reverse<(u64, Kind)>>,
    spoken_for: Vec<u32>,
}

impl Rack {
    /// The equipment of a recipe, all of it free.
    #[must_use]
    pub fn new(recipe: Arc<Recipe>) -> Self {
        Self {
            free: recipe.equipment.iter().map(|piece| piece.capacity).collect(),
            keeps: recipe.steps.iter().any(|step| step.hold_while_waiting && step.needs.len() > 1),
            recipe,
            claims: Kept::default(),
            holding: HashSet::new(),
            lines: BTreeMap::new(),
            requests: 0,
            settled: Vec::new(),
            heads: BinaryHeap::new(),
            spoken_for: Vec::new(),
        }
    }

    /// With room for so many claims at once.
    #[must_use]
    pub fn with_room(self, claims: usize) -> Self {
        Self { claims: Kept::with_room(claims), ..self }
    }

    /// A step asks for what it needs.
    pub fn claim(&mut self, at: StepRef, now: Ns) -> ClaimId {
        let standing = if self.step(at).needs.is_empty() { Standing::Has { held_idle: 0 } } else { Standing::Waits };
        let waits = standing == Standing::Waits;
        let id = self.claims.put(Claim { at, got: 0, since: now, standing });
        // Behind others of its kind it waits as they do.
        if waits && self.ask(id, (at.step, 0)) {
            self.serve(now);
        }
        id
    }

    /// A step gives back what it has, and asks for nothing more.
    pub fn release(&mut self, id: ClaimId, now: Ns) {
        let Some(claim) = self.claims.take(id) else { return };
        if claim.got > 0 {
            self.holding.remove(&id);
            let recipe = self.recipe.clone();
            let needs = &recipe.steps[usize::from(claim.at.step)].needs[..claim.got];
            needs.iter().for_each(|n| self.free[usize::from(*n)] += 1);
            self.serve(now);
        }
    }

    /// Nobody waits any more; what is in hand can be given back.
    pub fn close(&mut self) {
        self.lines.clear();
    }

    /// How a claim stands; one that was given back waits for nothing any more.
    #[must_use]
    pub fn standing(&self, id: ClaimId) -> Standing {
        self.claims.get(id).map_or(Standing::Waits, |claim| claim.standing.clone())
    }

    /// Which step a claim is for, until it is given back.
    #[must_use]
    pub fn asks(&self, id: ClaimId) -> Option<StepRef> {
        self.claims.get(id).map(|claim| claim.at)
    }

    /// Claims that got all they need, or got stuck, since this was asked last.
    pub fn settled(&mut self) -> Vec<ClaimId> {
        std::mem::take(&mut self.settled)
    }

    fn step(&self, at: StepRef) -> &Step {
        &self.recipe.steps[usize::from(at.step)]
    }

    /// Opens a request; answers whether it is the first of its kind.
    fn ask(&mut self, id: ClaimId, kind: Kind) -> bool {
        let line = self.lines.entry(kind).or_default();
        line.push_back((self.requests, id));
        self.requests += 1;
        line.len() == 1
    }

    /// Hands out what can be handed out, in the order of the requests.
    fn serve(&mut self, now: Ns) {
        let recipe = self.recipe.clone();
        let first = |(kind, line): (&Kind, &VecDeque<(u64, ClaimId)>)| Some(Reverse((line.front()?.0, *kind)));
        let mut heads = std::mem::take(&mut self.heads);
        heads.extend(self.lines.iter().filter_map(first));
        let mut spoken_for = std::mem::take(&mut self.spoken_for);
        spoken_for.clear();
        spoken_for.resize(self.free.len(), 0);
        let mut held_up = Vec::new();
        while let Some(Reverse((_, kind))) = heads.pop() {
            let step = &recipe.steps[usize::from(kind.0)];
            let Some(line) = self.lines.get_mut(&kind) else { continue };
            let Some((_, id)) = line.front().copied() else { continue };
            let gone = self.claims.get(id).is_none();
            if !gone && !may_take(&self.free, step, kind.1, &spoken_for) {
                if !step.hold_while_waiting {
                    step.needs.iter().for_each(|n| spoken_for[usize::from(*n)] += 1);
                }
                continue;
            }
            line.pop_front();
            heads.extend(line.front().map(|(request, _)| Reverse((*request, kind))));
            if !gone && let Some(next) = self.take(id, step, now) {
                held_up.push(id);
                if self.ask(id, next) {
                    heads.push(Reverse((self.requests - 1, next)));
                }
            }
        }
        (self.heads, self.spoken_for) = (heads, spoken_for);
        self.look_for_deadlock(&held_up);
    }

    /// Takes what was asked for; answers what it asks for next, if that is not all.
    fn take(&mut self, id: ClaimId, step: &Step, now: Ns) -> Option<Kind> {
        if self.keeps {
            self.holding.insert(id);
        }
        let claim = self.claims.get_mut(id)?;
        if claim.got == 0 {
            claim.since = now;
        }
        let from = claim.got;
        claim.got = if step.hold_while_waiting { from + 1 } else { step.needs.len() };
        let (upto, kind) = (claim.got, (claim.at.step, claim.got));
        step.needs[from..upto].iter().for_each(|n| self.free[usize::from(*n)] -= 1);
        if upto < step.needs.len() {
            return Some(kind);
        }
        let claim = self.claims.get_mut(id)?;
        claim.standing = Standing::Has { held_idle: now.saturating_sub(claim.since) };
        self.settled.push(id);
        None
    }

    /// `held_up`: who took something just now and may have to wait for more.
    fn look_for_deadlock(&mut self, held_up: &[ClaimId]) {
        // Who waits for somebody at work will get it: the usual case, and no reason to look at everybody.
        let at_work = |claim: &&Claim| matches!(claim.standing, Standing::Has { .. });
        let in_doubt = |id: &ClaimId| {
            let wanted = self.claims.get(*id).and_then(|claim| self.wanted(claim));
            let mut others = self.holding.iter().filter_map(|other| self.claims.get(*other)).filter(at_work);
            wanted.is_some() && !others.any(|other| self.has(other, wanted))
        };
        if !held_up.iter().any(in_doubt) {
            return;
        }
        let stuck = self.stuck();
        if let Some(last) = held_up.iter().rev().find(|id| stuck.contains(*id)).copied() {
            let circle = self.circle(last, &stuck);
            if let Some(claim) = self.claims.get_mut(last) {
                claim.standing = Standing::Stuck(circle);
                self.settled.push(last);
            }
        }
    }

    /// What a claim that waits with something in hand asks for next.
    fn wanted(&self, claim: &Claim) -> Option<usize> {
        let waits = !matches!(claim.standing, Standing::Has { .. });
        waits.then(|| usize::from(self.step(claim.at).needs[claim.got]))
    }

    fn in_hand(&self, claim: &Claim) -> impl Iterator<Item = usize> {
        self.step(claim.at).needs[..claim.got].iter().map(|n| usize::from(*n))
    }

    fn has(&self, claim: &Claim, wanted: Option<usize>) -> bool {
        self.in_hand(claim).any(|piece| Some(piece) == wanted)
    }

    /// Those who hold something and can never go on, by graph reduction.
    fn stuck(&self) -> HashSet<ClaimId> {
        let mut free = self.free.clone();
        let mut left: HashSet<ClaimId> = self.holding.clone();
        loop {
            let before = left.len();
            left.retain(|id| {
                let Some(claim) = self.claims.get(*id) else { return false };
                let goes_on = self.wanted(claim).is_none_or(|piece| free[piece] > 0);
                if goes_on {
                    self.in_hand(claim).for_each(|piece| free[piece] += 1);
                }
                !goes_on
            });
            if left.len() == before {
                return left;
            }
        }
    }

    /// From one of the stuck to whoever holds what it waits for, and so on until somebody comes twice. All who hold what a
    /// stuck one waits for are stuck, so there is always a next one.
    fn circle(&self, from: ClaimId, stuck: &HashSet<ClaimId>) -> String {
        let mut path = vec![from];
        let start = loop {
            let wanted = path.last().and_then(|last| self.wanted(self.claims.get(*last)?));
            let holds = |id: &&ClaimId| self.claims.get(**id).is_some_and(|claim| self.has(claim, wanted));
            let Some(next) = stuck.iter().filter(holds).min() else { break 0 };
            if let Some(start) = path.iter().position(|id| id == next) {
                break start;
            }
            path.push(*next);
        };
        let words: Vec<_> = path[start..].iter().filter_map(|id| Some(self.in_words(self.claims.get(*id)?))).collect();
        words.join("; ")
    }

    fn in_words(&self, claim: &Claim) -> String {
        let name = |piece: usize| &*self.recipe.equipment[piece].name;
        let has: Vec<_> = self.in_hand(claim).map(name).collect();
        let wants = self.wanted(claim).map_or("nothing", name);
        let step = &self.step(claim.at).name;
        format!("dish {}, {step} holds {} and waits for {wants}", claim.at.dish, has.join(" and "))
    }
}

/// Whether a request may be served: `spoken_for` counts what earlier ones wait for all of.
fn may_take(free: &[u32], step: &Step, got: usize, spoken_for: &[u32]) -> bool {
    let mut needs = step.needs.iter().map(|n| usize::from(*n));
    if !step.hold_while_waiting {
        return needs.all(|piece| free[piece] > spoken_for[piece]);
    }
    let stands_behind = got == 0 && needs.any(|piece| spoken_for[piece] > 0);
    free[usize::from(step.needs[got])] > 0 && !stands_behind
}
