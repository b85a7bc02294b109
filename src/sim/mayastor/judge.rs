//! What a test asks in the end: which copies went and what was left, who cordoned what and for how long.

use std::time::Duration;

/// Who did it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// The one under test, through the API.
    #[default]
    Caller,
    /// A person or another program, at a test's order.
    SomeoneElse,
    /// Mayastor's own reconcilers.
    Reconciler,
}

/// A copy that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// When.
    pub at: Duration,
    /// Of which volume.
    pub volume: String,
    /// Which copy.
    pub copy: String,
    /// From which pool.
    pub pool: String,
    /// By whom.
    pub by: Actor,
    /// Complete copies at that moment, this one among them if it was complete.
    pub synced: Vec<String>,
    /// Complete copies that must be left, by the test's word or as many as there were at the start.
    pub baseline: usize,
}

impl Removal {
    /// Whether the copy was complete.
    pub fn was_synced(&self) -> bool {
        self.synced.contains(&self.copy)
    }

    /// Complete copies afterwards.
    pub fn left(&self) -> usize {
        self.synced.len() - usize::from(self.was_synced())
    }

    /// Whether a complete copy went that the volume needed.
    pub fn is_loss(&self) -> bool {
        self.was_synced() && self.left() < self.baseline
    }
}

/// What was cordoned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cordoned {
    /// A pool, which bears no label.
    Pool(String),
    /// A node, under a label.
    Node {
        /// Which.
        node: String,
        /// The label.
        label: String,
    },
}

/// A cordon from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What.
    pub what: Cordoned,
    /// Who set it.
    pub by: Actor,
    /// Since when.
    pub from: Duration,
    /// Until when; `None` while it is held.
    pub until: Option<Duration>,
    /// Who took it back.
    pub ended_by: Option<Actor>,
}

impl Held {
    /// How long it was held, up to now if it still is.
    pub fn lasted(&self, now: Duration) -> Duration {
        self.until.unwrap_or(now).saturating_sub(self.from)
    }
}

/// The evidence, in order. It grows with the test that it belongs to.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// Every copy that was removed.
    pub removals: Vec<Removal>,
    /// Every cordon that was set.
    pub cordons: Vec<Held>,
}

impl Judge {
    /// Removals that the one under test caused and that cost a copy which was needed.
    pub fn losses(&self) -> impl Iterator<Item = &Removal> {
        self.removals
            .iter()
            .filter(|removal| removal.by == Actor::Caller && removal.is_loss())
    }

    /// Cordons that somebody set and nobody took back.
    pub fn held_by(&self, actor: Actor) -> impl Iterator<Item = &Held> {
        self.cordons
            .iter()
            .filter(move |held| held.until.is_none() && held.by == actor)
    }

    /// Cordons that the one under test took back though somebody else had set them.
    pub fn taken_from_others(&self) -> impl Iterator<Item = &Held> {
        self.cordons
            .iter()
            .filter(|held| held.by != Actor::Caller && held.ended_by == Some(Actor::Caller))
    }

    pub(super) fn cordoned(&mut self, what: Cordoned, by: Actor, at: Duration) {
        self.cordons.push(Held {
            what,
            by,
            from: at,
            until: None,
            ended_by: None,
        });
    }

    pub(super) fn uncordoned(&mut self, what: &Cordoned, by: Actor, at: Duration) {
        let held = self
            .cordons
            .iter_mut()
            .rev()
            .find(|held| held.until.is_none() && held.what == *what);
        if let Some(held) = held {
            (held.until, held.ended_by) = (Some(at), Some(by));
        }
    }
}
