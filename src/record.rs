//! Outcomes → the audit branch, the PersistentVolume and the VolumeMigration. Everything here can be done twice.

use crate::io::cluster::{Cluster, ClusterError};
use crate::io::git::{GitError, Repository};
use crate::model::ids::ClaimRef;
use crate::model::kinds::LAST_MIGRATION;
use crate::model::kinds::volume_migration::{Phase, ReplicaPlace, VolumeMigration};
use crate::model::outcome::Outcome;
use crate::model::rendering::FileChange;
use crate::telemetry::Metrics;
use jiff::Timestamp;

/// Events on migrations and claims.
pub mod events;

/// Drills that ended.
pub mod drills;

/// What is written into the status of our kinds.
pub mod status;

/// What is known of backups.
mod backups;

/// Statuses of rollouts.
mod rollouts;

/// Statuses of their promotions.
mod promotions;

/// Moves of workloads.
pub mod workload_moves;

/// What statuses count.
mod tally;

/// Why an outcome could not be recorded. It is tried again with the next turn.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The audit branch.
    #[error("the outcome could not be written to the audit branch: {0}")]
    Git(#[from] GitError),
    /// The cluster.
    #[error("the outcome could not be written to the cluster: {0}")]
    Cluster(#[from] ClusterError),
    /// The record itself.
    #[error("the outcome cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A finished migration as it is recorded.
pub fn outcome(migration: &VolumeMigration) -> Option<Outcome> {
    let (spec, status) = (&migration.spec, migration.status.as_ref()?);
    if !status.phase.is_final() {
        return None;
    }
    let finished = status.finished_at.clone().unwrap_or_default();
    let started = status.started_at.clone().unwrap_or_else(|| finished.clone());
    let seconds = |at: &str| {
        at.parse::<Timestamp>()
            .map(|at| at.as_second())
            .unwrap_or_default()
    };
    let places = |replicas: &[ReplicaPlace]| {
        replicas
            .iter()
            .map(|replica| format!("{} on {}", replica.pool, replica.node))
            .collect()
    };
    Some(Outcome {
        migration: migration.metadata.name.clone()?,
        claim: ClaimRef {
            namespace: spec.claim.namespace.clone(),
            name: spec.claim.name.clone(),
        },
        volume: spec.volume.clone(),
        from: spec.from.clone(),
        to: spec.to.clone(),
        policy: spec.policy.clone(),
        approved_revision: format!("{} (in {})", spec.approved.commit, spec.approved.revision),
        approved_by: spec.approved.author.clone(),
        pull_request: spec.approved.pull_request,
        merged_by: spec.approved.merged_by.clone(),
        reviewed_by: spec.approved.reviewed_by.clone(),
        result: status.phase.as_str().to_owned(),
        message: status.message.clone(),
        epoch: status.epoch,
        duration_seconds: seconds(&finished) - seconds(&started),
        started,
        finished,
        replicas_before: places(&status.baseline),
        replicas_after: places(&status.result),
        removals: status.removals.clone(),
    })
}

/// The commit message of an outcome, with trailers that a machine can read.
pub fn message(outcome: &Outcome) -> String {
    let mut trailers = vec![
        ("Migration", outcome.migration.clone()),
        ("Claim", outcome.claim.to_string()),
        ("Volume", outcome.volume.clone()),
        ("From", outcome.from.clone()),
        ("To", outcome.to.clone()),
    ];
    if let Some(policy) = &outcome.policy {
        trailers.push(("Policy", policy.clone()));
    }
    let revision = outcome
        .approved_revision
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    trailers.extend([
        ("Approved-Revision", revision),
        ("Approved-By", outcome.approved_by.clone()),
    ]);
    // What the forge says is told beside what Git says, never instead of it.
    trailers.extend(
        outcome
            .pull_request
            .map(|number| ("Pull-Request", number.to_string())),
    );
    trailers.extend(outcome.merged_by.clone().map(|who| ("Merged-By", who)));
    trailers.extend(outcome.reviewed_by.iter().map(|who| ("Reviewed-By", who.clone())));
    trailers.extend(outcome.epoch.map(|epoch| ("Epoch", epoch.to_string())));
    trailers.extend([
        ("Result", outcome.result.clone()),
        ("Started", outcome.started.clone()),
        ("Finished", outcome.finished.clone()),
        ("Duration-Seconds", outcome.duration_seconds.to_string()),
    ]);
    let lines: Vec<String> = trailers
        .into_iter()
        .map(|(key, value)| format!("{key}: {}", value.replace(['\n', '\r'], " ")))
        .collect();
    format!(
        "{}: {} from {} to {}\n\n{}\n\n{}\n",
        outcome.result,
        outcome.claim,
        outcome.from,
        outcome.to,
        outcome.message,
        lines.join("\n")
    )
}

/// Records a finished migration: the cool-down on the volume, the commit, and last the commit's id in the status. A crash
/// in between repeats what was done without doing it twice.
///
/// # Errors
/// [`RecordError`]; the migration then counts as unrecorded.
pub async fn record(
    cluster: &Cluster,
    repository: &Repository,
    audit_branch: &str,
    migration: &mut VolumeMigration,
    metrics: &Metrics,
) -> Result<Option<Outcome>, RecordError> {
    let recorded = migration
        .status
        .as_ref()
        .is_none_or(|status| status.audit_commit.is_some());
    let Some(outcome) = outcome(migration).filter(|_| !recorded) else {
        return Ok(None);
    };
    let phase = migration
        .status
        .as_ref()
        .map(|status| status.phase)
        .unwrap_or_default();
    if phase == Phase::Completed {
        match cluster
            .annotate_volume(&outcome.volume, LAST_MIGRATION, &outcome.finished)
            .await
        {
            // A volume that is gone needs no rest.
            Ok(()) | Err(ClusterError::Api { code: 404, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let path = format!(
        "migrations/{}/{}/{}.json",
        outcome.claim.namespace, outcome.claim.name, outcome.migration
    );
    let mut content = serde_json::to_vec_pretty(&outcome)?;
    content.push(b'\n');
    let trailer = format!("Migration: {}", outcome.migration);
    let at = outcome.finished.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let files = vec![FileChange {
        path,
        content: Some(content),
    }];
    let commit = repository
        .append(audit_branch, files, message(&outcome), trailer, at)
        .await?;
    if let Some(status) = &mut migration.status {
        status.audit_commit = Some(commit.to_string());
    }
    *migration = cluster.replace_status(migration).await?;
    let status = match phase {
        Phase::Completed | Phase::Preserved => "success",
        Phase::Cancelled | Phase::Superseded => "aborted",
        _ => "failed",
    };
    metrics.ended(status, &outcome.result, outcome.duration_seconds);
    if phase == Phase::RolledBack
        && let Some(status) = &migration.status
    {
        metrics.rolled_back(events::reason(status));
    }
    Ok(Some(outcome))
}
