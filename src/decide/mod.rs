//! Which volumes should move, which approved moves should start, and why every other volume is left alone.
//!
//! Pure: the same desires, observation, history and `now` give the same decision. Missing data is unknown, never cold.

use crate::model::decision::{Decision, LeftAlone, Subject, Why};
use crate::model::desired::{Desired, Policy, Tier};
use crate::model::ids::{ClaimRef, TierName};
use crate::model::kinds::policy_source::ProposalStatus;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::{BoundVolume, Observation};
use jiff::Timestamp;
use std::collections::HashMap;

/// Which moves fit together: budgets and room, the most useful first.
mod admit;

/// Why one volume is where it is, in full.
pub mod explain;

/// Whether a volume is hot or cold.
mod heat;

/// Which volumes a policy would move.
mod judge;

/// Where a volume is, and which pools could take a copy of it.
pub mod place;

/// What Prometheus is asked.
pub mod questions;

/// Which policy takes a volume.
mod select;

/// Which approved moves start.
mod starts;

#[cfg(test)]
pub(crate) mod tests;

pub use questions::questions;

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
pub fn decide<'a>(
    desired: &'a Desired,
    observation: &'a Observation,
    in_flight: &'a InFlight,
    limits: Limits,
    now: Timestamp,
) -> Decision<'a> {
    let view = View::new(desired, observation, in_flight, limits, now);
    let mut decision = Decision::default();
    let mut room = place::Room::of(&view);
    let mut handled = vec![false; observation.volumes.len()];
    starts::starts(&view, &mut room, &mut handled, &mut decision);
    let wanted = judge::judge(&view, &handled, &mut decision);
    admit::admit(&view, &mut room, wanted, &mut decision);
    decision
        .left_alone
        .sort_by(|a, b| (a.claim(), a.volume()).cmp(&(b.claim(), b.volume())));
    decision.proposals.sort_by(|a, b| a.claim.cmp(&b.claim));
    decision
}

/// What every part of deciding reads, with the tables that make each look cheap.
pub(crate) struct View<'a> {
    desired: &'a Desired,
    observation: &'a Observation,
    limits: Limits,
    now: Timestamp,
    in_flight: &'a InFlight,
    /// Tiers in order of name.
    tiers: Vec<&'a Tier>,
    /// For each pool the tiers that it belongs to, a bit for each.
    pool_tiers: Vec<u64>,
    /// For each tier the part of its capacity that is used.
    fullness: Vec<f64>,
    /// For each group of volumes the policy that takes it.
    of_group: Vec<select::Taken>,
    /// Policies in order of name, with their signals' answers.
    policies: Vec<heat::Measured<'a>>,
    /// The unfinished migration of a volume.
    running: HashMap<&'a str, &'a MigrationBrief>,
    /// What was proposed for a claim.
    proposed: HashMap<(&'a str, &'a str), Vec<&'a ProposalStatus>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        desired: &'a Desired,
        observation: &'a Observation,
        in_flight: &'a InFlight,
        limits: Limits,
        now: Timestamp,
    ) -> Self {
        let tiers: Vec<&Tier> = desired.tiers.values().collect();
        let (pool_tiers, fullness) = match &observation.engine {
            Ok(fleet) => (place::pool_tiers(fleet, &tiers), place::fullness(fleet, &tiers)),
            Err(_) => (Vec::new(), vec![0.0; tiers.len()]),
        };
        let mut running = HashMap::new();
        for migration in in_flight.migrations.iter().filter(|one| !one.phase.is_final()) {
            running.entry(migration.volume.as_str()).or_insert(migration);
        }
        let mut proposed: HashMap<_, Vec<_>> = HashMap::new();
        for proposal in &in_flight.proposals {
            let claim = (proposal.namespace.as_str(), proposal.claim.as_str());
            proposed.entry(claim).or_default().push(proposal);
        }
        Self {
            policies: heat::measured(desired, observation, &tiers),
            of_group: select::select(desired, observation),
            desired,
            observation,
            limits,
            now,
            in_flight,
            tiers,
            pool_tiers,
            fullness,
            running,
            proposed,
        }
    }

    fn tier(&self, name: &TierName) -> Option<usize> {
        self.tiers.binary_search_by(|tier| tier.name.cmp(name)).ok()
    }

    /// The tier on which a volume has all its copies, if there is exactly one.
    fn placed(&self, bound: &BoundVolume) -> Option<usize> {
        place::only(place::tiers_of(bound, &self.pool_tiers))
    }

    fn leave(&self, bound: &'a BoundVolume, policy: Option<&'a Policy>, why: Why) -> LeftAlone<'a> {
        LeftAlone {
            subject: Subject::Volume(bound),
            policy,
            tier: self.placed(bound).map(|tier| &self.tiers[tier].name),
            why,
        }
    }
}

/// The tier on which each volume of an observation has all its copies, where there is exactly one.
pub fn placements<'a>(desired: &'a Desired, observation: &Observation) -> Vec<Option<&'a TierName>> {
    let tiers: Vec<&Tier> = desired.tiers.values().collect();
    let Ok(fleet) = &observation.engine else {
        return vec![None; observation.volumes.len()];
    };
    let pool_tiers = place::pool_tiers(fleet, &tiers);
    let placed = |bound| place::only(place::tiers_of(bound, &pool_tiers)).map(|tier| &tiers[tier].name);
    observation.volumes.iter().map(placed).collect()
}

/// The placement of one claim's volume.
pub fn placed_at<'a>(
    placements: &[Option<&'a TierName>],
    observation: &Observation,
    claim: &ClaimRef,
) -> Option<&'a TierName> {
    placements.get(observation.find(claim)?).copied().flatten()
}

/// The policy that takes each volume of an observation, where there is exactly one.
pub fn takers<'a>(desired: &'a Desired, observation: &Observation) -> Vec<Option<&'a Policy>> {
    let policies: Vec<&Policy> = desired.policies.values().collect();
    let of_group = select::select(desired, observation);
    let taken = |bound: &BoundVolume| match of_group.get(bound.group as usize) {
        Some(select::Taken::By(policy)) => Some(policies[*policy]),
        _ => None,
    };
    observation.volumes.iter().map(taken).collect()
}
