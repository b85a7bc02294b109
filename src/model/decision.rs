//! What should happen now, and why everything else should not.

use super::approval::{Approved, Move};
use super::desired::Policy;
use super::ids::{ClaimRef, PolicyName, PoolName, TierName, VolumeName};
use super::kinds::tier_assignment::DecisionNote;
use super::observation::BoundVolume;

pub use super::quantities::{measured, roughly, span};
pub use super::why::Why;

/// A move that policy asks for and a person has yet to approve.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposedMove {
    /// The claim.
    pub claim: ClaimRef,
    /// Its volume.
    pub volume: VolumeName,
    /// The policy.
    pub policy: PolicyName,
    /// The tier on which all its replicas are.
    pub from: TierName,
    /// The tier on which they should be.
    pub to: TierName,
    /// Whether the new tier is the faster one.
    pub hotter: bool,
    /// What the decision rests on; it goes into the assignment file.
    pub note: DecisionNote,
    /// The pools that could take a replica now, the roomiest first.
    pub candidates: Vec<PoolName>,
    /// Bytes that would be copied: size times replicas.
    pub bytes: u64,
    /// What a month costs more (or less) afterwards, when both tiers have a price.
    pub monthly_cost: Option<f64>,
}

/// An approved move whose volume is not on its tier yet.
#[derive(Clone, Debug)]
pub struct Start {
    /// The approval.
    pub approved: Approved<Move>,
    /// Which attempt of the approval it is, from 1 on.
    pub attempt: u32,
    /// The pools on which its copies are expected: the engine chooses among those of the tier.
    pub pools: Vec<PoolName>,
    /// Where the volume is now.
    pub from: TierName,
    /// How long the migration may take, in seconds.
    pub timeout_secs: u64,
    /// The volume's mean latency now, in milliseconds, when the policy wants it compared with that afterwards.
    pub latency: Option<f64>,
    /// Whether it is accepted that the volume's snapshots stay behind.
    pub accept_snapshots_stay: bool,
}

/// An approved move that makes no sense any more: the approval is used up, and nothing moves.
#[derive(Clone, Debug)]
pub struct Superseded {
    /// The approval.
    pub approved: Approved<Move>,
    /// Which attempt of the approval it is, from 1 on.
    pub attempt: u32,
    /// Where the volume is now.
    pub from: TierName,
    /// Why, in words.
    pub why: String,
}

/// Which volume is left alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject<'a> {
    /// One that was seen.
    Volume(&'a BoundVolume),
    /// One that an assignment names and nobody has seen.
    Missing(Box<(ClaimRef, VolumeName)>),
}

/// One volume that is left alone.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftAlone<'a> {
    /// Which.
    pub subject: Subject<'a>,
    /// The policy that looked at it, if any.
    pub policy: Option<&'a Policy>,
    /// The tier that it is on, if that is known.
    pub tier: Option<&'a TierName>,
    /// Why.
    pub why: Why<'a>,
}

impl LeftAlone<'_> {
    /// The reason in words. Of a policy that was encrypted nothing is told.
    pub fn words(&self) -> String {
        match self.policy.is_some_and(|policy| policy.secret) {
            true => self.why.masked(),
            false => self.why.to_string(),
        }
    }

    /// Namespace and name of its claim.
    pub fn claim(&self) -> (&str, &str) {
        match &self.subject {
            Subject::Volume(bound) => (&bound.namespace, &bound.claim),
            Subject::Missing(missing) => (&missing.0.namespace, &missing.0.name),
        }
    }

    /// Whether it is that claim.
    pub fn is(&self, claim: &ClaimRef) -> bool {
        self.claim() == (claim.namespace.as_str(), claim.name.as_str())
    }

    /// The PersistentVolume.
    pub fn volume(&self) -> &str {
        match &self.subject {
            Subject::Volume(bound) => &bound.name,
            Subject::Missing(missing) => missing.1.as_str(),
        }
    }
}

/// What should happen now.
#[derive(Clone, Debug, Default)]
#[must_use = "an unread report is of no use"]
pub struct Decision<'a> {
    /// Moves to be proposed (or kept proposed), in order of claim.
    pub proposals: Vec<ProposedMove>,
    /// Approved moves to be started, in order of claim.
    pub starts: Vec<Start>,
    /// Approved moves that are not to be started any more, in order of claim.
    pub superseded: Vec<Superseded>,
    /// Every other volume, with the reason, in order of claim.
    pub left_alone: Vec<LeftAlone<'a>>,
}
