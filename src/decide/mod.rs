//! Which volumes should move, which approved moves should start, and why every other volume is left alone.
//!
//! Pure: the same desires, observation, history and `now` give the same decision. Missing data is unknown, never cold.

use crate::model::decision::{Decision, LeftAlone, Why};
use crate::model::desired::Desired;
use crate::model::ids::{ClaimRef, TierName};
use crate::model::kinds::policy_source::ProposalStatus;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::{BoundVolume, Observation};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Which volumes a policy would move.
mod eligible;

/// Where a volume is, and which pools could take a copy of it.
pub mod place;

/// Which approved moves start.
mod starts;

#[cfg(test)]
mod tests;

/// What is under way or was decided before.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    /// Every migration that the cluster knows.
    pub migrations: Vec<MigrationBrief>,
    /// Every proposal that the source's status knows.
    pub proposals: Vec<ProposalStatus>,
}

/// Bounds and switches that the operator set for all policies.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many proposals of the source may be open.
    pub max_open: u32,
    /// How many migrations may run in the whole cluster.
    pub max_concurrent: u32,
    /// Whether anything may be proposed or started at all.
    pub dry_run: bool,
}

/// Decides.
pub fn decide(
    desired: &Desired,
    observation: &Observation,
    in_flight: &InFlight,
    limits: Limits,
    now: Timestamp,
) -> Decision {
    let mut decision = Decision::default();
    let placed = placements(desired, observation);
    let view = View {
        desired,
        observation,
        in_flight,
        limits,
        now,
        placed: &placed,
    };
    starts::starts(&view, &mut decision);
    eligible::proposals(&view, &mut decision);
    decision
        .left_alone
        .sort_by(|a, b| (&a.claim, &a.volume).cmp(&(&b.claim, &b.volume)));
    decision
}

/// What every part of deciding reads.
struct View<'a> {
    desired: &'a Desired,
    observation: &'a Observation,
    in_flight: &'a InFlight,
    limits: Limits,
    now: Timestamp,
    placed: &'a BTreeMap<ClaimRef, TierName>,
}

impl View<'_> {
    fn leave(&self, bound: &BoundVolume, policy: Option<&str>, why: Why) -> LeftAlone {
        LeftAlone {
            claim: bound.claim.clone(),
            volume: bound.name.clone(),
            policy: policy.map(Into::into),
            tier: self.placed.get(&bound.claim).cloned(),
            why,
        }
    }
}

/// The tier on which each claim's volume has all its copies, where there is one.
pub fn placements(desired: &Desired, observation: &Observation) -> BTreeMap<ClaimRef, TierName> {
    let Ok(engine) = &observation.engine else {
        return BTreeMap::new();
    };
    observation
        .volumes
        .values()
        .filter_map(|bound| {
            let volume = place::engine_volume(bound, engine)?;
            let tier = place::tier_of(volume, engine, desired.tiers.values())?;
            Some((bound.claim.clone(), tier))
        })
        .collect()
}
