//! Which volumes should move, which approved moves should start, and why every other volume is left alone.
//!
//! Pure: the same desires, observation, history and `now` give the same decision. Missing data is unknown, never cold.

use crate::model::coverage::BackupReading;
use crate::model::decision::{Decision, LeftAlone, Subject, Why};
use crate::model::desired::{Assignment, Desired, Policy, Tier};
use crate::model::ids::{ClaimRef, CommitId, TierName};
use crate::model::kinds::policy_source::{ProposalStatus, ProposedMoveStatus};
use crate::model::migration_brief::MigrationBrief;
use crate::model::moves::Control;
use crate::model::observation::{BoundVolume, Observation};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

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

/// For which approved moves there is no room.
pub mod shortages;

/// How many of them at one time.
mod budgets;

/// Which of them once more.
mod again;

/// What keeps all of them from starting.
pub mod control;

/// Which approvals were used up.
mod spent;

/// Of which proposals nothing is known now.
mod undecided;

/// Which assignments are taken back.
pub mod rollback;

/// Which restore drill starts.
pub mod drills;

/// Which volumes backups hold.
pub mod coverage;

/// Which phases of rollouts are open.
pub mod rollouts;

/// Which of them are carried out, and which may be proposed.
pub mod promotions;

/// What a restore would do, and why it is refused.
pub mod restores;

/// What backups keep from being moved.
pub mod protection;

#[cfg(test)]
pub(crate) mod tests;

pub use questions::questions;
pub use spent::spent;
pub use undecided::{undecided, unmeasured};

/// What is under way or was decided before.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    /// Every migration that the cluster knows.
    pub migrations: Vec<MigrationBrief>,
    /// Every proposal that the source's status knows.
    pub proposals: Vec<ProposalStatus>,
    /// Commits whose approvals do not suffice, with what is missing.
    pub unapproved: BTreeMap<CommitId, Arc<str>>,
    /// Since when there has been no room for approved moves.
    pub shortages: shortages::Shortages,
    /// What keeps moves from starting, whatever becomes of each volume.
    pub control: Control,
    /// What is known of backups; nothing where no policy speaks of any.
    pub backups: Option<Arc<BackupReading>>,
    /// Moves of workloads that have not ended, by their namespaces.
    pub workload_moves: BTreeMap<String, Arc<str>>,
}

/// Bounds and switches that the operator set for all policies.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many proposals of the source may be open; each holds the moves of one policy.
    pub max_open: u32,
    /// How long a no is remembered; for ever when there is none.
    pub rejections_expire: Option<Duration>,
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
    let begun = starts::starts(&view, &mut room, &mut decision);
    let wanted = judge::judge(&view, begun.left, &begun.started, &begun.spent, &mut decision);
    admit::admit(&view, &mut room, wanted, &mut decision);
    if !begun.missing.is_empty() {
        decision.left_alone.extend(begun.missing);
        // Two runs that are in order: what was seen, and what was not.
        decision
            .left_alone
            .sort_by(|a, b| (a.claim(), a.volume()).cmp(&(b.claim(), b.volume())));
    }
    decision.proposals.sort_by(|a, b| a.claim.cmp(&b.claim));
    decision
}

/// Stands for a volume of which nothing is under way and nothing was decided before: most are such.
const NO_PAST: u32 = u32::MAX;

/// A move that was proposed, and the proposal that it was part of.
type Proposed<'a> = (&'a ProposalStatus, &'a ProposedMoveStatus);

/// What every part of deciding reads, with the tables that make each look cheap.
pub(crate) struct View<'a> {
    desired: &'a Desired,
    observation: &'a Observation,
    limits: Limits,
    now: Timestamp,
    in_flight: &'a InFlight,
    /// Tiers in order of name.
    tiers: Vec<&'a Tier>,
    /// Their names, to be shared by the reasons.
    names: Vec<Arc<str>>,
    /// For each pool the tiers that it belongs to, a bit for each.
    pool_tiers: Vec<u64>,
    /// For each tier how full it is.
    filled: Vec<place::Filled>,
    /// For each group of volumes the policy that takes it.
    selected: select::Selected,
    /// Policies in order of name, with their signals' answers.
    policies: heat::Plainly<'a>,
    /// What holds a volume that is on one node's own disk, to be shared by the reasons.
    local: Arc<str>,
    /// For each volume the place of its past, or [`NO_PAST`].
    past_at: Vec<u32>,
    /// Claims that are assigned, in order, with the volumes that they have.
    assigned: Vec<(&'a ClaimRef, std::ops::Range<usize>)>,
    /// What is under way and was decided before about a volume.
    past: Vec<Past<'a>>,
}

/// What is under way and was decided before about a volume.
#[derive(Default)]
struct Past<'a> {
    /// The unfinished migration.
    running: Option<&'a MigrationBrief>,
    /// What was proposed.
    proposed: Vec<Proposed<'a>>,
    /// What its claim is assigned to.
    assigned: Option<&'a Assignment>,
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
        let (pool_tiers, filled) = match &observation.engine {
            Ok(fleet) => {
                let pool_tiers = place::pool_tiers(fleet, &tiers);
                let filled = place::filled(fleet, &pool_tiers, tiers.len());
                (pool_tiers, filled)
            }
            Err(_) => (Vec::new(), vec![place::Filled::default(); tiers.len()]),
        };
        let policies: Vec<&Policy> = desired.policies.values().collect();
        let mut view = Self {
            policies: heat::measured(&policies, desired, observation, &tiers),
            selected: select::select(&policies, desired, observation),
            desired,
            observation,
            limits,
            now,
            in_flight,
            pool_tiers,
            names: tiers.iter().map(|tier| tier.name.as_str().into()).collect(),
            filled,
            local: "LocalPV".into(),
            past_at: vec![NO_PAST; observation.volumes.len()],
            assigned: Vec::with_capacity(desired.assignments.len()),
            past: Vec::with_capacity(desired.assignments.len()),
            tiers,
        };
        view.remember();
        view
    }

    /// Finds the volumes that have a past.
    fn remember(&mut self) {
        let (desired, observation, in_flight) = (self.desired, self.observation, self.in_flight);
        let unfinished = in_flight.migrations.iter().filter(|one| !one.phase.is_final());
        let mut moved_claims: Vec<&MigrationBrief> = Vec::new();
        for migration in unfinished {
            let (claim, volume) = (&migration.claim, &migration.volume);
            match observation.index_of(&claim.namespace, &claim.name, volume.as_str()) {
                Some(index) => drop(self.past_of(index).running.get_or_insert(migration)),
                None => moved_claims.push(migration),
            }
        }
        // A volume may have been bound to another claim since: that is rare, and looked for one by one.
        for migration in moved_claims {
            let same = |bound: &BoundVolume| *bound.name == *migration.volume.as_str();
            if let Some(index) = observation.volumes.iter().position(same) {
                self.past_of(index).running.get_or_insert(migration);
            }
        }
        for proposal in &in_flight.proposals {
            for one in &proposal.moves {
                if let Some(index) = observation.index_of(&one.namespace, &one.claim, &one.volume) {
                    self.past_of(index).proposed.push((proposal, one));
                }
            }
        }
        let all = observation.all_of_each(desired.assignments.keys());
        for (assignment, found) in desired.assignments.values().zip(all) {
            self.assigned.push((&assignment.claim, found.clone()));
            for index in found {
                self.past_of(index).assigned = Some(assignment);
            }
        }
    }

    fn past_of(&mut self, index: usize) -> &mut Past<'a> {
        let at = &mut self.past_at[index];
        if *at == NO_PAST {
            *at = self.past.len() as u32;
            self.past.push(Past::default());
        }
        &mut self.past[*at as usize]
    }

    /// The volumes of a claim. Most claims that are asked for are assigned, and in the same order: `near` is the place of the one that
    /// was found last.
    fn volumes_of(&self, claim: &ClaimRef, near: &mut usize) -> std::ops::Range<usize> {
        let rest = self.assigned[*near..].iter();
        match rest.zip(*near..).take(2).find(|((known, _), _)| *known == claim) {
            Some(((_, found), place)) => {
                *near = place;
                found.clone()
            }
            None => self.observation.all_of(claim),
        }
    }

    fn past(&self, index: usize) -> Option<&Past<'a>> {
        // There is none at the place of those that have no past.
        self.past.get(*self.past_at.get(index)? as usize)
    }

    fn tier(&self, name: &TierName) -> Option<usize> {
        self.tiers.binary_search_by(|tier| tier.name.cmp(name)).ok()
    }

    /// The tier on which a volume has all its copies, if there is exactly one.
    fn placed(&self, bound: &BoundVolume) -> Option<usize> {
        place::only(place::tiers_of(bound, &self.pool_tiers))
    }

    fn leave(&self, bound: &'a BoundVolume, policy: Option<&'a Policy>, why: Why<'a>) -> LeftAlone<'a> {
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

/// Whether an approved move could start: whether a claim's volume is elsewhere than it was approved to be, and is not being moved.
pub fn could_start(desired: &Desired, observation: &Observation, migrations: &[MigrationBrief]) -> bool {
    if desired.approved.is_empty() {
        return false;
    }
    let placed = placements(desired, observation);
    desired.approved.iter().any(|approved| {
        let what = approved.what();
        let mut unfinished = migrations.iter().filter(|one| !one.phase.is_final());
        observation.find(&what.claim).is_some()
            && placed_at(&placed, observation, &what.claim) != Some(&what.to)
            && !unfinished.any(|one| one.claim == what.claim)
    })
}

/// The policy that takes each volume of an observation, where there is exactly one.
pub fn takers<'a>(desired: &'a Desired, observation: &Observation) -> Vec<Option<&'a Policy>> {
    let policies: Vec<&Policy> = desired.policies.values().collect();
    let selected = select::select(&policies, desired, observation);
    let taken = |bound: &BoundVolume| match selected.of_group.get(bound.group as usize) {
        Some(select::Taken::By(policy)) => Some(policies[*policy as usize]),
        _ => None,
    };
    observation.volumes.iter().map(taken).collect()
}
