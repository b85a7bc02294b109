//! Of which proposals nobody knows now whether they still hold: what cannot be measured has not changed.

use crate::model::decision::{Decision, Why};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};
use crate::model::observation::Observation;
use std::collections::{BTreeSet, HashSet};

/// Branches of open proposals of which a volume could not be looked at: the engine or Prometheus does not answer, or has too little
/// of the volume.
pub fn undecided(
    decision: &Decision<'_>,
    observation: &Observation,
    proposals: &[ProposalStatus],
) -> BTreeSet<String> {
    let open: Vec<&ProposalStatus> = proposals
        .iter()
        .filter(|record| matches!(record.state, ProposalState::Open | ProposalState::Edited))
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
