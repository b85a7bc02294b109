//! Which assignments should be taken back: base says a tier, and the move there has failed, so it says what is not so.

use super::{InFlight, placements};
use crate::model::decision::ProposedMove;
use crate::model::desired::Desired;
use crate::model::ids::PolicyName;
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};
use crate::model::kinds::tier_assignment::DecisionNote;
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::Observation;
use std::collections::{BTreeMap, HashMap};

/// Assignments that are taken back in one proposal.
const MOVES_MAX: usize = 50;

/// What assignments belong to that no policy proposed.
const BY_HAND: &str = "assignments";

/// An assignment to be set back to where its volume is.
#[derive(Clone, Debug, PartialEq)]
pub struct Return {
    /// From the tier that base says to the one on which the volume is. Its note names the failure, by which a no is remembered.
    pub back: ProposedMove,
    /// The migration that failed.
    pub migration: String,
    /// How it ended.
    pub phase: Phase,
}

/// Identity of the proposals that take moves of a policy back, beside the policy's own: no policy's name has a slash.
pub fn identity(policy: &str) -> PolicyName {
    PolicyName(format!("rollback/{policy}"))
}

/// What a no to one return is remembered by.
fn failure(migration: &str) -> String {
    format!("failed {migration}")
}

/// The assignments whose approval ended in a failed move while the volume is whole on another tier, by identity. Where a person said no
/// to that before, it is left as it is.
pub fn failed(
    desired: &Desired,
    observation: &Observation,
    in_flight: &InFlight,
) -> BTreeMap<PolicyName, Vec<Return>> {
    let mut returns: BTreeMap<PolicyName, Vec<Return>> = BTreeMap::new();
    let failed: HashMap<(&str, &str, &str), &MigrationBrief> = in_flight
        .migrations
        .iter()
        .filter(|one| matches!(one.phase, Phase::RolledBack | Phase::NeedsPerson))
        .map(|one| {
            (
                (one.volume.as_str(), one.to.as_str(), one.approved_in.as_str()),
                one,
            )
        })
        .collect();
    if failed.is_empty() || observation.engine.is_err() {
        return returns;
    }
    let placed = placements(desired, observation);
    for approved in &desired.approved {
        let (what, commit) = (approved.what(), approved.approval().commit.as_str());
        let key = (what.volume.as_str(), what.to.as_str(), commit);
        // Without an assignment nothing can be set back: that was a way back already.
        let (Some(migration), Some(_)) = (failed.get(&key), desired.assignments.get(&what.claim)) else {
            continue;
        };
        let found = observation.find(&what.claim);
        let found = found.filter(|index| *observation.volumes[*index].name == *what.volume.as_str());
        let Some(here) = found.and_then(|index| placed[index]) else {
            continue;
        };
        if *here == what.to || refused(&in_flight.proposals, what.volume.as_str(), &migration.name) {
            continue;
        }
        let rank = |name| desired.tiers.get(name).map(|tier| tier.rank);
        let policy = what.policy.clone().unwrap_or_else(|| BY_HAND.to_owned());
        let identity = identity(&policy);
        let back = ProposedMove {
            claim: what.claim.clone(),
            volume: what.volume.clone(),
            policy: identity.clone(),
            from: what.to.clone(),
            to: here.clone(),
            hotter: rank(here) > rank(&what.to),
            note: DecisionNote {
                policy,
                from: what.to.to_string(),
                signal: failure(&migration.name),
                value: 0.0,
                watermark: None,
                window: None,
            },
            candidates: Vec::new(),
            bytes: 0,
            monthly_cost: None,
        };
        let all = returns.entry(identity).or_default();
        if all.len() < MOVES_MAX {
            all.push(Return {
                back,
                migration: migration.name.clone(),
                phase: migration.phase,
            });
        }
    }
    returns
}

/// Whether a person said no to taking this failure back.
fn refused(proposals: &[ProposalStatus], volume: &str, migration: &str) -> bool {
    let failure = failure(migration);
    proposals.iter().any(|proposal| {
        let mut moves = proposal.moves.iter();
        moves.any(|one| {
            let no = match proposal.state {
                ProposalState::Declined => true,
                ProposalState::Merged => !one.accepted,
                ProposalState::Open | ProposalState::Edited => false,
            };
            no && one.volume == volume && one.decision.signal == failure
        })
    })
}
