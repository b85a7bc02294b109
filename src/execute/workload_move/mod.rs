//! Which step of a move of workloads comes next. Pure: the same journal and the same look give the same step.
//!
//! New claims are made beside the old ones; Flux is suspended and workloads are scaled down; Jobs copy and compare; only then each claim is
//! bound to its new volume, and workloads are scaled up. A claim is deleted only when both of its volumes are seen to stay without it.
//! Whatever fails before the first claim is touched is taken back until everything is as it was; whatever fails afterwards stops, deletes
//! nothing, says what stands, and goes on when the reason is gone. What is about to be done is written down first, and each act may be done
//! twice.

use crate::model::kinds::workload_move::{MovePhase, WorkloadMoveSpec, WorkloadMoveStatus};
use crate::model::workload_moves::{Act, Seen};
use jiff::Timestamp;

/// How it begins.
pub mod begin;

/// What a move makes.
pub mod objects;

/// Until all workloads are down.
mod down;

/// The copy.
mod copying;

/// The exchange of volumes under claims.
mod exchange;

/// What ends a move, or takes it back.
mod ending;

/// The other method: instances of CloudNativePG's Clusters made anew by their operator.
pub mod cnpg;

/// What is written down.
mod journal;

#[cfg(test)]
mod tests;

use journal::{at, entered};

pub use crate::model::restores::run::RETAIN;

/// How long pods may take to end: ten times what they are given unless they ask for more.
const DRAIN_SECS_MAX: i64 = 300;

/// How long a provisioner may take for a volume: workloads are down meanwhile.
const PROVISION_SECS_MAX: i64 = 600;

/// How long workloads may take to become ready before somebody has to look. They are looked at afterwards too.
const READY_SECS_MAX: i64 = 900;

/// How often data is copied again because somebody used it meanwhile.
const COPIES_AGAIN_MAX: u32 = 3;

/// Records of a journal that are kept: a move has some fifteen phases, and may have to copy again.
const JOURNAL_MAX: usize = 60;

/// Under which circumstances a move goes on.
#[derive(Clone, Debug)]
pub struct Context {
    /// The move's name.
    pub name: String,
    /// The epoch of the leadership that acts.
    pub epoch: u64,
    /// Why it is not approved any more, if it is not.
    pub withdrawn: Option<String>,
    /// Now.
    pub now: Timestamp,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<A = Act> {
    /// Write this down, then look again.
    Record(Box<WorkloadMoveStatus>),
    /// Write this down, do this, then look again.
    Act(Box<WorkloadMoveStatus>, A),
    /// Nothing can be done now; the status says what it waits for.
    Wait(Box<WorkloadMoveStatus>),
    /// A newer leadership goes on with it.
    Fenced,
}

/// What a phase comes to.
enum Next<A = Act> {
    /// Another phase, or the same anew, with what was found, in these words.
    Enter(MovePhase, Box<WorkloadMoveStatus>, String),
    /// The same phase, with something to be remembered.
    Remember(Box<WorkloadMoveStatus>),
    /// An act.
    Do(A),
    /// An act with something that is remembered before it.
    With(Box<WorkloadMoveStatus>, A),
    /// Nothing now, for this reason.
    Wait(String),
    /// It cannot go on by itself.
    Stop(String),
    /// It ends.
    End(MovePhase, String),
}

/// What a look is about.
struct View<'a, S = Seen> {
    spec: &'a WorkloadMoveSpec,
    status: &'a WorkloadMoveStatus,
    seen: &'a S,
    context: &'a Context,
    id: String,
}

/// Which step comes next.
pub fn next(spec: &WorkloadMoveSpec, status: &WorkloadMoveStatus, seen: &Seen, context: &Context) -> Step {
    let view = View {
        spec,
        status,
        seen,
        context,
        id: objects::id(&context.name),
    };
    view.step(|view, phase| view.in_phase(phase), |act| objects::told(spec, act))
}

impl<S> View<'_, S> {
    /// The step that a phase comes to; where a person is asked for, the phase that had stopped is looked at again.
    fn step<A>(
        &self,
        in_phase: impl FnOnce(&Self, MovePhase) -> Next<A>,
        told: impl FnOnce(&A) -> String,
    ) -> Step<A> {
        let (status, context) = (self.status, self.context);
        if status.epoch.is_some_and(|epoch| epoch > context.epoch) {
            return Step::Fenced;
        }
        let stopped = status.phase == MovePhase::NeedsPerson;
        let phase = match stopped {
            true => status.stopped_at.unwrap_or_default(),
            false => status.phase,
        };
        let act = |status: &WorkloadMoveStatus, act: A| {
            let mut after = at(status, context);
            after.intent = told(&act);
            Step::Act(after, act)
        };
        match in_phase(self, phase) {
            Next::Stop(why) if !stopped => {
                let mut after = status.clone();
                after.stopped_at = Some(phase);
                Step::Record(entered(after, MovePhase::NeedsPerson, why, context))
            }
            // What stopped it is gone; it is written down before anything is done.
            Next::Do(_) | Next::With(..) | Next::Wait(_) | Next::Remember(_) if stopped => {
                let mut after = status.clone();
                after.stopped_at = None;
                let words = "what stopped it is gone".to_owned();
                Step::Record(entered(after, phase, words, context))
            }
            Next::Do(one) => act(status, one),
            Next::With(after, one) => act(&after, one),
            Next::Stop(what) | Next::Wait(what) => {
                let mut after = status.clone();
                after.message = what;
                Step::Wait(Box::new(after))
            }
            Next::Remember(after) => Step::Record(at(&after, context)),
            Next::Enter(phase, mut after, words) => {
                after.stopped_at = None;
                Step::Record(entered(*after, phase, words, context))
            }
            Next::End(phase, words) => {
                let mut after = status.clone();
                (after.stopped_at, after.instance, after.switch) = (None, None, None);
                after.waits_since = None;
                after.finished_at = Some(context.now.to_string());
                Step::Record(entered(after, phase, words, context))
            }
        }
    }

    /// Seconds since a time that was written down.
    fn since(&self, at: Option<&String>) -> i64 {
        let at = at.and_then(|at| at.parse::<Timestamp>().ok());
        at.map_or(0, |at| {
            self.context.now.as_second().saturating_sub(at.as_second())
        })
    }
}

impl View<'_> {
    fn in_phase(&self, phase: MovePhase) -> Next {
        let withdrawn = self.context.withdrawn.as_ref();
        if let Some(why) = withdrawn.filter(|_| phase < MovePhase::Exchange && self.untouched()) {
            return match phase {
                MovePhase::Pending => Next::End(MovePhase::Cancelled, why.clone()),
                _ => self.taken_back(why.clone(), true),
            };
        }
        match phase {
            MovePhase::Pending => self.beginning(),
            MovePhase::Provision => self.provisioning(),
            MovePhase::Suspend => self.suspending(),
            MovePhase::ScaleDown => self.scaling_down(),
            MovePhase::Drain => self.draining(),
            MovePhase::Copy => self.copying(),
            MovePhase::Keep => self.keeping(),
            MovePhase::Exchange => self.exchanging(),
            MovePhase::ScaleUp => self.scaling_up().unwrap_or_else(|| self.enter(MovePhase::Resume)),
            MovePhase::Resume => self.resuming().unwrap_or_else(|| self.enter(MovePhase::Ready)),
            MovePhase::Ready => self.becoming_ready(),
            MovePhase::CleanUp => self.cleaning_up(),
            MovePhase::TakingBack => self.taking_back(),
            // Of the other method.
            MovePhase::Reclone
            | MovePhase::SwitchOver
            | MovePhase::Completed
            | MovePhase::RolledBack
            | MovePhase::Superseded
            | MovePhase::Cancelled
            | MovePhase::NeedsPerson => Next::Wait(self.status.message.clone()),
        }
    }

    fn enter(&self, phase: MovePhase) -> Next {
        let mut after = self.status.clone();
        match phase {
            MovePhase::ScaleDown if after.down_since.is_none() => {
                after.down_since = Some(self.context.now.to_string());
            }
            MovePhase::Resume => after.up_since = Some(self.context.now.to_string()),
            _ => {}
        }
        entering(phase, after)
    }

    /// It cannot succeed: it is taken back as long as no claim was touched.
    fn fail(&self, why: String) -> Next {
        match self.untouched() {
            true => self.taken_back(why, false),
            false => Next::Stop(why),
        }
    }

    fn taken_back(&self, why: String, withdrawn: bool) -> Next {
        let mut after = self.status.clone();
        after.failure = Some(why.clone());
        after.withdrawn = withdrawn;
        Next::Enter(MovePhase::TakingBack, Box::new(after), why)
    }

    /// Whether every claim is as it was: bound to the volume that it had when this began, and not being deleted.
    fn untouched(&self) -> bool {
        let mut claims = self.spec.claims.iter();
        claims.all(|claim| {
            let now = self.seen.claims.get(&claim.name);
            now.is_some_and(|now| !now.going && now.volume == claim.volume)
        })
    }
}

/// A phase is entered, in its usual words.
fn entering(phase: MovePhase, after: WorkloadMoveStatus) -> Next {
    Next::Enter(phase, Box::new(after), journal::doing(phase).to_owned())
}
