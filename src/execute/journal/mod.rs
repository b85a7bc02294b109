//! What is legal and what comes next: from what the journal says and what a fresh reading shows to the next step.
//!
//! Pure. Recovery is the normal path: a crash, a lost reply and a restart all end in "read again and ask [`next`](crate::execute::journal::next)". Every act is
//! recorded before it is done, and every act is either idempotent or checked against the reading first.
//!
//! ```text
//!  Pending ─▶ Analyze ─▶ ScaleUp ─▶ WaitSync ─▶ ScaleDown ─▶ Completed
//!               ▲ │         │ │        │ ▲          │ │
//!               │ │         │ ╰────────┼─┼──────────┼─┼──▶ RollingBack ─▶ RolledBack, Cancelled
//!               │ ╰─────────┼──────────╯ ╰──────────╯ │
//!               ╰───────────┴───── next copy ─────────╯     NeedsPerson from anywhere: all copies are kept
//! ```

use super::safety::{self, place};
use super::steering::{self, Goal, Unset};
use crate::model::conditions;
use crate::model::engine::{Abilities, Node, Pool, Rebuild, Volume, engine_of};
use crate::model::ids::{NodeName, PoolName};
use crate::model::kinds::volume_migration::{
    Ending, Held, JournalRecord, Phase, Seen, VolumeMigrationSpec, VolumeMigrationStatus, Window,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What an act's answer means to the journal.
mod answers;

/// Until a copy is placed and filled.
mod forward;

/// The old copy goes.
mod removal;

/// The new copy is taken back.
mod back;

/// How far it has come.
mod progress;

/// How long calls are waited out.
mod late;

/// What a leadership does before any step.
mod succession;

/// Which phase may follow which.
mod legal;

pub use answers::{ActFailure, done, failed};
pub use late::{LATE_SECS, Late};
pub use succession::{superseded, taken_over};

/// How often a step is tried before the migration is rolled back: enough for a storage node that restarts, few
/// enough that a refusal is not repeated for half an hour.
const ATTEMPTS_MAX: u8 = 5;

/// The pause after the first refusal is twice this; each further one is twice the one before.
const RETRY_FIRST_SECS: i64 = 2;

/// A copy that makes no progress for so long is stalled: Mayastor itself gives a child ten minutes to come back.
const STALL_SECS: i64 = 600;

/// Two readings of "fully synced" must be at least this far apart: a state that flaps must not be taken for a steady one.
const STEADY_SECS: i64 = 1;

/// So many readings in a row must say that something is not there before anything is concluded from it: two in a row may be older
/// than what was done since.
const READINGS: u8 = 3;

/// How long is waited for what only others can set right, such as a node that comes back, once nothing else can be done. Mayastor
/// replaces a copy that is gone after ten minutes, and then fills the new one.
const PATIENCE_SECS: i64 = 1800;

/// The journal keeps this many records: a move of sixteen copies writes fewer.
const RECORDS_MAX: usize = 100;

/// Removals that are kept with their evidence: each copy goes once, and tries are bounded.
const REMOVALS_MAX: usize = 64;

/// The engine at one moment, as far as one volume is concerned.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The volume, unless the engine says that it does not exist.
    pub volume: Option<Volume>,
    /// All pools.
    pub pools: BTreeMap<PoolName, Pool>,
    /// All nodes.
    pub nodes: BTreeMap<NodeName, Node>,
    /// What its target remembers of rebuilds, when that can be read.
    pub rebuilds: Option<Vec<Rebuild>>,
    /// What this release of the engine can.
    pub abilities: Abilities,
}

/// What the step may rely on beside the reading.
#[derive(Clone, Debug)]
pub struct Context {
    /// Whether the base tree still approves the move.
    pub approved: bool,
    /// Why a person had it cancelled.
    pub cancel: Option<String>,
    /// Why nothing new may be begun at present.
    pub hold: Option<String>,
    /// Whether another migration holds cordons: then none may be added, for they would steer its volume too.
    pub others_cordon: bool,
    /// The label of this migration's node cordons; without slashes, which Mayastor before 2.12.1 cannot remove.
    pub label: String,
    /// The epoch of the leadership that acts: it stands in everything that is written, and a journal with a higher one is not touched.
    pub epoch: u64,
    /// How long calls without an answer are waited out.
    pub late: Late,
    /// Now.
    pub now: Timestamp,
}

/// One call to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Keep new copies off a pool.
    CordonPool(String),
    /// Keep new copies off a node, and make its copy the first to go.
    CordonNode(String, String),
    /// Take back every cordon of a window (the label is the node's).
    Release(Window, String),
    /// Have this many copies.
    SetReplicas(u8),
}

/// What comes next. A step is taken only after its status has been written.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write the status and ask again.
    Record(VolumeMigrationStatus),
    /// Write the status, then act, then read again.
    Act(VolumeMigrationStatus, Act),
    /// Write the status if it differs, and come back with the next turn.
    Wait(VolumeMigrationStatus),
    /// A newer leadership has written: this one touches the migration no more.
    Fenced,
}

/// Says what comes next for a migration that has not ended.
pub fn next(
    spec: &VolumeMigrationSpec,
    status: &VolumeMigrationStatus,
    reading: &Reading,
    context: &Context,
) -> Step {
    if status.epoch.is_some_and(|epoch| epoch > context.epoch) {
        return Step::Fenced;
    }
    let mut at = At {
        spec,
        status: status.clone(),
        reading,
        context,
        before: None,
    };
    if let Some(step) = at.take_over() {
        return step;
    }
    at.hold_or_go_on();
    at.before = at.status.seen.take();
    let Some(volume) = &reading.volume else {
        return at.unknown_to_the_engine();
    };
    if at.is_old(volume) {
        return at.wait("the engine's answer is older than what is known; asking again");
    }
    match status.phase {
        Phase::Pending => at.pending(),
        Phase::Analyze => at.analyze(volume),
        Phase::ScaleUp => at.scale_up(volume),
        Phase::WaitSync => at.wait_sync(volume),
        Phase::ScaleDown => at.scale_down(volume),
        Phase::RollingBack => at.rolling_back(volume),
        _ => Step::Wait(status.clone()),
    }
}

/// Adds to the journal what is done in the present phase. The same intent again adds no record: a retry is not news, and the journal
/// stays short.
fn record(status: &mut VolumeMigrationStatus, note: String, now: Timestamp) {
    let step = status.phase.as_str();
    let journal = &mut status.journal;
    if journal
        .last()
        .is_some_and(|last| last.step == step && last.note == note)
    {
        return;
    }
    journal.push(JournalRecord {
        at: now.to_string(),
        step: step.to_owned(),
        note,
    });
    if journal.len() > RECORDS_MAX {
        journal.remove(0);
    }
}

struct At<'a> {
    spec: &'a VolumeMigrationSpec,
    status: VolumeMigrationStatus,
    reading: &'a Reading,
    context: &'a Context,
    /// What the readings before this one said that is not believed yet.
    before: Option<Seen>,
}

impl At<'_> {
    /// Whether a reading shows a copy that was seen to be gone: uuids do not come back.
    fn is_old(&self, volume: &Volume) -> bool {
        let mut gone = self
            .status
            .removals
            .iter()
            .filter_map(|removal| removal.gone.as_deref());
        gone.any(|id| volume.replicas.iter().any(|replica| replica.id.as_str() == id))
    }

    /// Whether enough readings in a row have said so. Until then the caller waits for the next one.
    fn confirmed(&mut self, what: &str) -> bool {
        let before = self.before.take().filter(|seen| seen.what == what);
        let times = before.map_or(1, |seen| seen.times.saturating_add(1));
        if times >= READINGS {
            return true;
        }
        self.status.seen = Some(Seen {
            what: what.to_owned(),
            times,
        });
        false
    }

    /// The first thing that a new leadership does, unless nothing was begun.
    fn take_over(&mut self) -> Option<Step> {
        let taken = taken_over(
            &self.status,
            self.context.epoch,
            self.context.late,
            self.context.now,
        )?;
        self.status = taken;
        (self.status.phase != Phase::Pending).then(|| Step::Record(self.status.clone()))
    }

    /// While a migration is held its clock stands still.
    fn hold_or_go_on(&mut self) {
        let now = self.context.now;
        match (&self.context.hold, self.status.held.take()) {
            (Some(why), held) => {
                let since = held.map_or_else(|| now.to_string(), |held| held.since);
                self.status.held = Some(Held {
                    since,
                    why: why.clone(),
                });
            }
            (None, Some(held)) => {
                let lost = self.seconds_since(Some(&held.since)).max(0);
                for time in [&mut self.status.deadline, &mut self.status.progress_at] {
                    let moved = time.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
                    let moved = moved.map(|at| later(at, lost).to_string());
                    *time = moved.or(time.take());
                }
            }
            (None, None) => {}
        }
    }

    /// Where copies are to go, by what the journal says.
    fn goal(&self) -> Goal<'_> {
        Goal::of(self.spec, &self.status)
    }

    /// Why the move is not wanted any more. On the way back that has been said already.
    fn unwanted(&self) -> Option<String> {
        if self.status.returning {
            return None;
        }
        match &self.context.cancel {
            Some(why) => Some(format!("it was cancelled: {why}")),
            None => (!self.context.approved).then(|| "the approval was withdrawn".to_owned()),
        }
    }

    /// What the engine is called.
    fn engine(&self) -> &'static str {
        engine_of(&self.spec.volume_uuid)
    }

    fn held(&self) -> Option<String> {
        let why = self.context.hold.as_ref()?;
        Some(format!("held: {why}"))
    }

    /// Whether a call may still be carried out that nobody has seen the end of.
    fn unclear(&self) -> bool {
        let until = self.status.unclear_until.as_deref();
        until.is_some() && self.seconds_since(until) < 0
    }

    /// Gives cordons back before anything else: `None` when there are none. Only the engine's word ends it, not a reading: that may
    /// be older than the cordon.
    fn release_first(&mut self) -> Option<Step> {
        let window = self.status.window.clone()?;
        // Journals of earlier releases do not tell what was asked for.
        let asked = |name: &String| window.since.is_none() || window.asked.contains(name);
        let ours = Window {
            pools: window.pools.iter().filter(|name| asked(name)).cloned().collect(),
            node: window.node.clone().filter(asked),
            nodes: window.nodes.iter().filter(|name| asked(name)).cloned().collect(),
            ..Window::default()
        };
        if ours == Window::default() && !self.unclear() {
            self.status.window = None;
            return None;
        }
        let label = self.context.label.clone();
        if self.unclear() && !steering::is_held(&ours, self.reading, &label) {
            return Some(self.wait("a call that nobody answered may still be carried out"));
        }
        Some(self.act("release our cordons", Act::Release(ours, label)))
    }

    /// Gives cordons back and waits until no call can change anything any more: `None` when that is so.
    fn settle_first(&mut self) -> Option<Step> {
        let released = self.release_first();
        released.or_else(|| {
            self.unclear()
                .then(|| self.wait("a call that nobody answered may still be carried out"))
        })
    }

    /// Sets the next cordon of the window that is not set.
    fn cordon_next(&mut self) -> Option<Step> {
        let label = self.context.label.clone();
        let window = self.status.window.as_mut()?;
        let (name, act) = match steering::unset(window, self.reading, &label)? {
            Unset::Pool(pool) => (pool.clone(), Act::CordonPool(pool)),
            Unset::Node(node) => (node.clone(), Act::CordonNode(node, label)),
        };
        let list = match window.asked.contains(&name) {
            true => &mut window.confirmed,
            false => &mut window.asked,
        };
        for list in [list, &mut window.late] {
            if !list.contains(&name) {
                list.push(name.clone());
            }
        }
        let what = if matches!(act, Act::CordonPool(_)) {
            "pool"
        } else {
            "node"
        };
        Some(self.act(&format!("cordon {what} {name}"), act))
    }

    fn open(&self, window: Window) -> Window {
        Window {
            since: Some(self.context.now.to_string()),
            ..window
        }
    }

    fn finish_released(&mut self, phase: Phase, message: &str) -> Step {
        match self.release_first() {
            Some(step) => step,
            None => self.finish(phase, message),
        }
    }

    fn roll_back(&mut self, phase: Phase, why: &str) -> Step {
        self.status.ending = Some(Ending {
            phase,
            why: why.to_owned(),
        });
        self.status.attempts = 0;
        self.status.retry_at = None;
        self.record(Phase::RollingBack, why)
    }

    /// Ends it, unless a call may still change what is to be said of the end.
    fn finish(&mut self, phase: Phase, message: &str) -> Step {
        if self.unclear() {
            return self.wait("a call that nobody answered may still be carried out");
        }
        // Nothing is said of an end that must not be.
        if let Some(stopped) = self.barred(phase, message) {
            return stopped;
        }
        self.status.finished_at = Some(self.context.now.to_string());
        let volume = self.reading.volume.as_ref();
        self.status.result = volume
            .iter()
            .flat_map(|volume| volume.replicas.iter().map(place))
            .collect();
        self.status.result.sort();
        self.status.local_after = volume.and_then(safety::is_local);
        (self.status.estimated_end, self.status.unclear_until) = (None, None);
        (self.status.retry_at, self.status.held) = (None, None);
        let done = matches!(phase, Phase::Completed | Phase::Preserved);
        let (list, reason) = (&mut self.status.conditions, phase.as_str());
        conditions::set(list, "Ready", done, reason, message, None, self.context.now);
        self.record(phase, message)
    }

    fn record(&mut self, phase: Phase, note: &str) -> Step {
        if let Some(stopped) = self.barred(phase, note) {
            return stopped;
        }
        if self.status.phase != phase {
            self.status.phase_since = Some(self.context.now.to_string());
        }
        self.status.phase = phase;
        note.clone_into(&mut self.status.message);
        self.note(note);
        Step::Record(self.status.clone())
    }

    fn act(&mut self, note: &str, act: Act) -> Step {
        self.note(note);
        Step::Act(self.status.clone(), act)
    }

    fn wait(&mut self, message: &str) -> Step {
        message.clone_into(&mut self.status.message);
        Step::Wait(self.status.clone())
    }

    fn note(&mut self, note: &str) {
        record(&mut self.status, note.to_owned(), self.context.now);
    }

    /// Whether a step that was refused has to wait before it is tried again.
    fn backs_off(&self) -> bool {
        let at = self.status.retry_at.as_deref();
        at.is_some() && self.seconds_since(at) < 0
    }

    fn overdue(&self) -> bool {
        let deadline = self.status.deadline.as_deref();
        deadline.is_some() && self.seconds_since(deadline) >= 0
    }

    /// Whether the present phase has gone on for longer than others can be expected to take.
    fn out_of_patience(&self) -> bool {
        self.seconds_since(self.status.phase_since.as_deref()) >= PATIENCE_SECS
    }

    /// Seconds since a recorded time; negative while it lies ahead, and 0 when there is none.
    fn seconds_since(&self, at: Option<&str>) -> i64 {
        at.and_then(|at| at.parse::<Timestamp>().ok())
            .map_or(0, |at| self.context.now.as_second() - at.as_second())
    }

    fn at(&self, from: Timestamp, seconds: i64) -> String {
        later(from, seconds).to_string()
    }
}

/// So many seconds later, or the last time that there is.
fn later(from: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(from.as_second().saturating_add(seconds)).unwrap_or(Timestamp::MAX)
}
