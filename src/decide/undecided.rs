//! Of which proposals nobody knows now whether they still hold: what cannot be measured has not changed.

use super::admit::monthly_cost;
use super::place::bytes;
use crate::model::decision::{Decision, LeftAlone, ProposedMove, Why};
use crate::model::desired::Desired;
use crate::model::ids::{ClaimRef, PolicyName, TierName, VolumeName};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use crate::model::observation::{Backing, Observation};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Branches of open proposals of which a volume could not be looked at: the engine or Prometheus does not answer, or has too little
/// of the volume.
pub fn undecided(
    decision: &Decision<'_>,
    observation: &Observation,
    proposals: &[ProposalStatus],
) -> BTreeSet<String> {
    let open: Vec<&ProposalStatus> = proposals
        .iter()
        .filter(|record| record.state.is_asked())
        .collect();
    let claims = open.iter().flat_map(|record| &record.moves);
    let asked: HashSet<(&str, &str)> = claims.map(|one| (&*one.namespace, &*one.claim)).collect();
    let unknown: HashSet<(&str, &str)> = match asked.is_empty() {
        true => HashSet::new(),
        false => {
            let left = decision.left_alone.iter();
            left.filter(|left| is_unknown(&left.why) && asked.contains(&left.claim()))
                .map(|left| left.claim())
                .collect()
        }
    };
    let undecided = |record: &&&ProposalStatus| {
        let mut moves = record.moves.iter();
        observation.engine.is_err() || moves.any(|one| unknown.contains(&(&*one.namespace, &*one.claim)))
    };
    let branches = open.iter().filter(undecided);
    branches.map(|record| record.branch.clone()).collect()
}

/// Moves of open proposals whose volumes could not be looked at, as they were proposed: where others of the same proposal are wanted
/// still, or new ones, that nobody could look at these takes nothing back.
pub fn unmeasured(
    desired: &Desired,
    decision: &Decision<'_>,
    observation: &Observation,
    proposals: &[ProposalStatus],
) -> Vec<ProposedMove> {
    let open = proposals
        .iter()
        .filter(|record| record.state == ProposalState::Open);
    let moves: Vec<_> = open
        .flat_map(|record| record.moves.iter().map(move |one| (record, one)))
        .collect();
    let asked: HashSet<(&str, &str)> = moves
        .iter()
        .map(|(_, one)| (&*one.namespace, &*one.claim))
        .collect();
    let left = decision.left_alone.iter();
    let unknown: HashMap<(&str, &str), &LeftAlone> = left
        .filter(|left| asked.contains(&left.claim()) && is_unknown(&left.why))
        .map(|left| (left.claim(), left))
        .collect();
    let mut kept = Vec::new();
    for (record, one) in moves {
        let Some(left) = unknown.get(&(&*one.namespace, &*one.claim)) else {
            continue;
        };
        let same = left.volume() == one.volume
            && left
                .policy
                .is_some_and(|policy| policy.name.as_str() == record.policy)
            && left.tier.is_none_or(|tier| tier.as_str() == one.from);
        kept.extend(same.then(|| again(desired, observation, record, one)).flatten());
    }
    kept
}

/// A move as it was proposed; `None` when base holds it already or the tiers are others.
fn again(
    desired: &Desired,
    observation: &Observation,
    record: &ProposalStatus,
    one: &ProposedMoveStatus,
) -> Option<ProposedMove> {
    let claim = ClaimRef {
        namespace: one.namespace.clone(),
        name: one.claim.clone(),
    };
    let tier = |name: &str| desired.tiers.get(&TierName(name.to_owned()));
    let (from, to) = (tier(&one.from)?, tier(&one.to)?);
    let known = desired.assignments.get(&claim);
    if known.is_some_and(|known| known.tier == to.name && known.volume.as_str() == one.volume) {
        return None;
    }
    let bytes = match &observation.volumes[observation.find(&claim)?].backing {
        Backing::Mayastor(volume) => bytes(volume),
        _ => return None,
    };
    Some(ProposedMove {
        volume: VolumeName(one.volume.clone()),
        policy: PolicyName(record.policy.clone()),
        from: from.name.clone(),
        to: to.name.clone(),
        hotter: to.rank > from.rank,
        note: one.decision.clone(),
        candidates: Vec::new(),
        bytes,
        monthly_cost: monthly_cost(from, to, bytes),
        claim,
    })
}

fn is_unknown(why: &Why) -> bool {
    matches!(
        why,
        Why::EngineUnknown { .. }
            | Why::HeatUnknown { .. }
            | Why::NoData { .. }
            | Why::LowCoverage { .. }
            | Why::SustainedUnknown { .. }
    )
}
