//! What keeps approved moves from starting, whatever becomes of each volume: what people said, what went wrong before, nodes that rest.

use super::ids::NodeName;
use super::kinds::moves::Moves;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long a node that has returned rests when the source does not say it.
const QUARANTINE: Duration = Duration::from_secs(600);

/// What a source says of its moves: its spec, and the annotations that people put on it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Failures in a row after which nothing new starts; never, when it is 0.
    pub stop_after: u32,
    /// Moves between the same two nodes at one time; any number, when it is 0.
    pub per_node_pair: u32,
    /// How long a node that has returned rests.
    pub quarantine: Duration,
    /// Why all of them are paused.
    pub paused: Option<String>,
    /// The order to go on after failures.
    pub resume: Option<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::of(&Moves::default(), QUARANTINE)
    }
}

impl Rules {
    /// What the spec says, with its `nodeQuarantine` understood; nobody has said anything beside it.
    pub fn of(spec: &Moves, quarantine: Duration) -> Self {
        Self {
            stop_after: spec.stop_after_failures,
            per_node_pair: spec.per_node_pair,
            quarantine,
            paused: None,
            resume: None,
        }
    }
}

/// Why no approved move of a source starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A file in Git says so.
    Frozen(Arc<str>),
    /// An annotation on the PolicySource says so.
    Paused(Arc<str>),
    /// Too many moves failed one after the other.
    Failures(Arc<str>),
}

impl Stop {
    /// The reason as one CamelCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Frozen(_) => "Frozen",
            Self::Paused(_) => "Paused",
            Self::Failures(_) => "StoppedAfterFailures",
        }
    }

    /// Whether running moves stand still too.
    pub fn holds_running(&self) -> bool {
        matches!(self, Self::Frozen(_) | Self::Paused(_))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frozen(why) => write!(
                f,
                "the file FREEZE in Git stops all moves: {why}; take it out with a commit"
            ),
            Self::Paused(why) => write!(
                f,
                "the annotation {} on the PolicySource stops all moves: {why}; take it away",
                super::kinds::PAUSED
            ),
            Self::Failures(migrations) => write!(
                f,
                "nothing new starts, for these failed one after the other: {migrations}; look at them, then run `couchestor migrations \
                 resume-all`"
            ),
        }
    }
}

/// What deciding goes by beside desires and observation.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Why no approved move starts.
    pub stop: Option<Stop>,
    /// Nodes that have just returned, and until when each rests.
    pub resting: BTreeMap<NodeName, Timestamp>,
    /// Moves between the same two nodes at one time; any number, when it is 0.
    pub per_node_pair: u32,
}
