//! Promotions of rollouts, as they stand → their statuses.

use super::backups::write;
use super::status::{Facts, in_git};
use super::tally::Tally;
use crate::io::cluster::{Cluster, ClusterError};
use crate::model::conditions;
use crate::model::kinds::RolloutPromotion;
use crate::model::kinds::rollout::RolloutSpec;

/// Brings the statuses of promotions up to date; unchanged ones are not written.
pub(super) async fn update(
    cluster: &Cluster,
    facts: &Facts<'_>,
    tally: &Tally<'_>,
) -> Result<(), ClusterError> {
    for object in cluster.list::<RolloutPromotion>().await? {
        let mut next = object.status.clone().unwrap_or_default();
        let generation = object.metadata.generation;
        next.observed_generation = generation;
        if in_git(&object, "RolloutPromotion", &mut next.conditions, facts, tally) {
            let spec = &object.spec;
            let report = facts.rollouts.iter().find(|one| one.name == spec.rollout);
            let mut rollouts = facts.desired.ours::<RolloutSpec>("Rollout");
            if report.is_none() && rollouts.any(|(one, _)| one.name() == spec.rollout) {
                // It could not be judged in this turn: what was said of it stands.
                continue;
            }
            let place = report.and_then(|one| one.phases.iter().position(|phase| phase.name == spec.phase));
            let found = report.zip(place);
            let phase = found.and_then(|(report, place)| report.phases.get(place));
            let candidate = found.and_then(|(report, place)| report.candidates.get(place));
            let moved = candidate.is_some_and(|one| {
                one.fingerprint == spec.fingerprint && one.elsewhere.is_empty() && !one.claims.is_empty()
            });
            let (reason, message) = match (moved, phase) {
                (true, _) => ("Moved", "all of its claims are on the class".to_owned()),
                (false, Some(phase)) if !phase.promotion.is_empty() => ("NotMoved", phase.promotion.clone()),
                (false, Some(_)) => ("NotMoved", "its claims are not on the class".to_owned()),
                (false, None) => (
                    "Superseded",
                    "there is no such phase of a Rollout in Git".to_owned(),
                ),
            };
            let list = &mut next.conditions;
            conditions::set(list, "Ready", moved, reason, &message, generation, facts.now);
        }
        write(cluster, object, next, Vec::new()).await?;
    }
    Ok(())
}
