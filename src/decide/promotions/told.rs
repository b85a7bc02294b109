//! What is said of the phases of rollouts: where their promotions stand, and which moves they had.

use super::{Decided, Standing, Stands, phase_of};
use crate::model::approval::Approved;
use crate::model::desired::Desired;
use crate::model::ids::SourceRef;
use crate::model::kinds::WorkloadMove;
use crate::model::kinds::rollout::{PhaseMethod, PhaseMove, RolloutSpec};
use crate::model::promotions::Candidate;
use crate::model::rollouts::Report;

/// Moves of a phase that its status names: the newest of them.
const MOVES_TOLD_MAX: usize = 20;

/// Whether what a phase moves is told in the cluster only: its rollout or its promotion is encrypted. Nothing where Git has no such
/// rollout any more, for then nobody knows.
pub fn is_secret(desired: &Desired, rollout: &str, phase: &str) -> Option<bool> {
    let mut rollouts = desired.ours::<RolloutSpec>("Rollout");
    let (known, _) = rollouts.find(|(one, _)| one.name() == rollout)?;
    let mut promotions = desired.promotions.standing.iter().map(Approved::what);
    let promotion = promotions.any(|what| what.secret && what.rollout == rollout && what.phase == phase);
    Some(known.origin.secret || promotion)
}

/// Writes into the phases of rollouts what is to be said of their promotions and moves.
pub fn tell(reports: &mut [Report], decided: &Decided, moves: &[WorkloadMove], source: &SourceRef) {
    for report in reports {
        for (place, phase) in report.phases.iter_mut().enumerate() {
            let of_it = |one: &&Standing| one.rollout == report.name && one.phase == phase.name;
            // What stands in Git is told before what was taken out of it.
            let standing = decided.standings.iter().filter(of_it).min_by_key(|one| one.back);
            let candidate = report.candidates.get(place);
            phase.promotion = match standing {
                Some(one) => words(one),
                None => unpromoted(candidate, report.secret),
            };
            let ours = moves.iter().filter(|one| {
                let spec = &one.spec;
                spec.rollout == report.name && spec.rollout_phase == phase.name && spec.source.is(source)
            });
            let mut ours: Vec<&WorkloadMove> = ours.collect();
            ours.sort_by_key(|one| one.metadata.creation_timestamp.as_ref().map(|at| at.0));
            let more = ours.len().saturating_sub(MOVES_TOLD_MAX);
            phase.moves = ours.iter().skip(more).map(|one| told(one)).collect();
        }
    }
}

fn told(one: &WorkloadMove) -> PhaseMove {
    let claims: Vec<&str> = one.spec.claims.iter().map(|claim| claim.name.as_str()).collect();
    PhaseMove {
        name: one.metadata.name.clone().unwrap_or_default(),
        claims: format!("{}/{}", one.spec.namespace, claims.join(",")),
        phase: phase_of(one).as_str().to_owned(),
    }
}

fn words(standing: &Standing) -> String {
    let what = if standing.back { "taken back" } else { "promoted" };
    match &standing.stands {
        Stands::Moved if standing.back => "taken back; its claims are where they were".to_owned(),
        Stands::Moved => "promoted; its claims are on the class".to_owned(),
        Stands::Moves(words) => format!("{what}: {words}"),
        Stands::Waits(why) => format!("{what}, and waits: {why}"),
        Stands::Superseded(why) => format!("{what}, and of no effect: {why}"),
    }
}

/// What is said of a phase that nobody has promoted.
fn unpromoted(candidate: Option<&Candidate>, secret: bool) -> String {
    let Some(candidate) = candidate.filter(|one| !one.elsewhere.is_empty()) else {
        return String::new();
    };
    match (candidate.method, secret) {
        (PhaseMethod::New, _) => "nothing of it is moved".to_owned(),
        (PhaseMethod::Copy | PhaseMethod::Cnpg, true) => {
            "not promoted; of an encrypted rollout people write the promotion".to_owned()
        }
        (PhaseMethod::Copy | PhaseMethod::Cnpg, false) => "not promoted".to_owned(),
    }
}
