//! The end of a turn: everything that there is to see is written into statuses and metrics.

use super::{Source, TurnFailure, Turned, World, brief};
use crate::apply::ApplyFailure;
use crate::decide;
use crate::model::decision::Decision;
use crate::model::desired::Desired;
use crate::model::kinds::policy_source::ProposalState;
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::Observation;
use crate::record::{self, status::Facts};
use crate::telemetry::Reason;
use jiff::Timestamp;

#[expect(
    clippy::too_many_arguments,
    reason = "the end of the line: everything that there is to see"
)]
pub(super) async fn publish(
    world: &World,
    source: &Source<'_>,
    desired: &Desired,
    observation: &Observation,
    decision: &Decision<'_>,
    migrations: &[VolumeMigration],
    turned: &mut Turned,
    now: Timestamp,
) {
    let briefs: Vec<MigrationBrief> = migrations.iter().map(brief).collect();
    turned.unfinished = briefs.iter().filter(|one| !one.phase.is_final()).count();
    let placed = decide::placements(desired, observation);
    let facts = Facts {
        others: &source.others,

        desired,
        observation,
        decision,
        migrations: &briefs,
        placed: &placed,
        takers: &decide::takers(desired, observation),
        now,
    };
    if let Err(error) = record::status::update(&world.cluster, &facts).await {
        turned.failures.push(TurnFailure::from(&error));
    }
    world
        .metrics
        .active
        .set(i64::try_from(turned.unfinished).unwrap_or(i64::MAX));
    let holders = migrations
        .iter()
        .filter(|one| one.status.as_ref().is_some_and(|status| status.window.is_some()))
        .count();
    world
        .metrics
        .cordons
        .set(i64::try_from(holders).unwrap_or(i64::MAX));
    if let Some(proposed) = &turned.proposed {
        let open = proposed
            .records
            .iter()
            .filter(|record| record.state == ProposalState::Open)
            .count();
        world
            .metrics
            .open_proposals
            .set(i64::try_from(open).unwrap_or(i64::MAX));
    }
    world.metrics.left_alone.clear();
    for left in &decision.left_alone {
        let reason = Reason {
            reason: left.why.reason().to_owned(),
        };
        world.metrics.left_alone.get_or_create(&reason).inc();
        let policy = left.policy.map_or("", |policy| policy.name.as_str());
        let (namespace, claim) = left.claim();
        tracing::debug!(
            namespace,
            claim,
            volume = left.volume(),
            policy,
            why = left.words(),
            "left alone"
        );
    }
}

/// What policies could not go by, because the engine or Prometheus could not be read; nothing where no policy asks.
pub(super) fn unmeasured(desired: &Desired, observation: &Observation) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if desired.policies.is_empty() && desired.assignments.is_empty() {
        return found;
    }
    if let Err(error) = &observation.engine {
        found.push(("MayastorUnavailable", error.clone()));
    }
    let answers = observation.answers.values();
    let refused: Vec<&str> = answers
        .filter_map(|answer| answer.as_ref().err().map(|error| &**error))
        .collect();
    if let Some(first) = refused.first() {
        let (count, all) = (refused.len(), observation.answers.len());
        // Prometheus quotes the query that it does not understand.
        let why = match desired.policies.values().any(|policy| policy.secret) {
            true => "why is not told here, because a policy is encrypted",
            false => first,
        };
        let message = format!("{count} of {all} questions were not answered: {why}");
        found.push(("PrometheusUnavailable", message));
    }
    found
}

/// The reason of what could not be applied.
pub(super) const APPLY_FAILED: &str = "ReconciliationFailed";

pub(super) fn apply_failure(failure: &ApplyFailure) -> TurnFailure {
    let place = failure
        .place
        .as_ref()
        .map(|place| format!("{place}: "))
        .unwrap_or_default();
    let help = if failure.help.is_empty() {
        String::new()
    } else {
        format!("; {}", failure.help)
    };
    let id = failure.id.to_string();
    // Most messages begin with the object already.
    let about = if failure.message.starts_with(&id) {
        String::new()
    } else {
        format!("{id}: ")
    };
    TurnFailure {
        class: failure.class,
        reason: APPLY_FAILED.to_owned(),
        message: format!("{place}{about}{}{help}", failure.message),
    }
}
