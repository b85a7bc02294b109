//! Moves of workloads → Events, and of those that ended a commit on the audit branch. Everything here can be done twice.

use super::RecordError;
use super::events::forbidden_is_fine;
use crate::io::cluster::{Cluster, ClusterError};
use crate::io::git::Repository;
use crate::model::ids::hex;
use crate::model::kinds::WorkloadMove;
use crate::model::kinds::workload_move::{MovePhase, WorkloadMoveSpec, WorkloadMoveStatus};
use crate::model::rendering::FileChange;
use crate::model::secret::MASK;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A move as the audit branch keeps it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    name: &'a str,
    #[serde(flatten)]
    spec: &'a WorkloadMoveSpec,
    result: &'static str,
    message: &'a str,
    epoch: Option<u64>,
    started: &'a str,
    finished: &'a str,
    down_since: Option<&'a String>,
    up_since: Option<&'a String>,
    volumes: Vec<Volumes<'a>>,
}

/// The volumes of a claim.
#[derive(Serialize)]
struct Volumes<'a> {
    claim: &'a str,
    before: &'a str,
    after: Option<&'a String>,
}

/// Tells of each phase that was entered since it was told last. What was told is written down after the Events are out.
///
/// # Errors
/// Any [`ClusterError`]; it is tried again with the next turn.
pub async fn tell(cluster: &Cluster, one: &mut WorkloadMove) -> Result<(), ClusterError> {
    let Some(status) = one.status.clone() else {
        return Ok(());
    };
    let told = usize::try_from(status.told).unwrap_or(usize::MAX);
    if told >= status.journal.len() {
        return Ok(());
    }
    let warns = [
        MovePhase::RolledBack,
        MovePhase::NeedsPerson,
        MovePhase::TakingBack,
    ];
    for record in status.journal.iter().skip(told) {
        let warning = warns.iter().any(|phase| phase.as_str() == record.step);
        let said = cluster.publish(one, warning, &record.step, &record.note).await;
        forbidden_is_fine(said)?;
    }
    let mut after = status;
    after.told = u32::try_from(after.journal.len()).unwrap_or(u32::MAX);
    one.status = Some(after);
    match cluster.replace_status(one).await {
        Ok(written) => *one = written,
        Err(ClusterError::Conflict { .. } | ClusterError::Api { code: 404, .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Writes a move that has ended to the audit branch, once. Of a secret one no claim is named there.
///
/// # Errors
/// [`RecordError`]; the move then counts as unrecorded.
pub async fn record(
    cluster: &Cluster,
    repository: &Repository,
    audit_branch: &str,
    one: &mut WorkloadMove,
    secret: bool,
) -> Result<(), RecordError> {
    let name = one.metadata.name.clone().unwrap_or_default();
    let Some(status) = one.status.clone().filter(|status| status.phase.is_final()) else {
        return Ok(());
    };
    if status.audit_commit.is_some() {
        return Ok(());
    }
    let (name, spec, told) = match secret {
        true => masked(&name, &one.spec, &status),
        false => (name, one.spec.clone(), status.clone()),
    };
    let outcome = outcome(&name, &spec, &told);
    let path = format!(
        "rollouts/{}/{}/{name}.json",
        one.spec.rollout, one.spec.rollout_phase
    );
    let mut content = serde_json::to_vec_pretty(&outcome)?;
    content.push(b'\n');
    let files = vec![FileChange {
        path,
        content: Some(content),
    }];
    let at = outcome.finished.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let trailer = format!("Workload-Move: {name}");
    let commit = repository
        .append(audit_branch, files, message(&outcome), trailer, at)
        .await?;
    let mut after = status;
    after.audit_commit = Some(commit.to_string());
    one.status = Some(after);
    *one = cluster.replace_status(one).await?;
    Ok(())
}

/// A move without the names of what it moved: only by its own name, which begins with them, it can be told apart.
fn masked(
    name: &str,
    spec: &WorkloadMoveSpec,
    status: &WorkloadMoveStatus,
) -> (String, WorkloadMoveSpec, WorkloadMoveStatus) {
    let mut spec = spec.clone();
    let mask = || MASK.to_owned();
    (spec.namespace, spec.told) = (mask(), mask());
    for claim in &mut spec.claims {
        claim.name = mask();
    }
    for one in &mut spec.workloads {
        one.name = mask();
    }
    for one in &mut spec.flux {
        (one.namespace, one.name) = (mask(), mask());
    }
    spec.back = spec.back.as_deref().map(unnamed);
    let status = WorkloadMoveStatus {
        message: "it is encrypted, and nothing more is told here".to_owned(),
        ..status.clone()
    };
    (unnamed(name), spec, status)
}

fn unnamed(name: &str) -> String {
    format!("move-{}", hex(&Sha256::digest(name.as_bytes())[..8]))
}

fn outcome<'a>(name: &'a str, spec: &'a WorkloadMoveSpec, status: &'a WorkloadMoveStatus) -> Outcome<'a> {
    let finished = status.finished_at.as_deref().unwrap_or_default();
    let volumes = spec.claims.iter().enumerate().map(|(place, claim)| Volumes {
        claim: &claim.name,
        before: &claim.volume,
        after: status.claims.get(place).and_then(|one| one.new_volume.as_ref()),
    });
    Outcome {
        name,
        spec,
        result: status.phase.as_str(),
        message: &status.message,
        epoch: status.epoch,
        started: status.started_at.as_deref().unwrap_or(finished),
        finished,
        down_since: status.down_since.as_ref(),
        up_since: status.up_since.as_ref(),
        volumes: volumes.collect(),
    }
}

/// The commit message, with trailers that a machine can read.
fn message(outcome: &Outcome) -> String {
    let spec = outcome.spec;
    let claims: Vec<String> = spec
        .claims
        .iter()
        .map(|claim| format!("{}/{}", spec.namespace, claim.name))
        .collect();
    let mut trailers = vec![
        ("Workload-Move", outcome.name.to_owned()),
        ("Rollout", spec.rollout.clone()),
        ("Rollout-Phase", spec.rollout_phase.clone()),
        ("Claims", claims.join(" ")),
        ("From", spec.from.clone()),
        ("To", spec.to.clone()),
    ];
    trailers.extend(spec.back.iter().map(|back| ("Takes-Back", back.clone())));
    trailers.push(("Approved-Revision", spec.approved.commit.clone()));
    trailers.push(("Approved-By", spec.approved.author.clone()));
    let number = spec.approved.pull_request.map(|number| number.to_string());
    trailers.extend(number.map(|number| ("Pull-Request", number)));
    trailers.extend(
        spec.approved
            .merged_by
            .iter()
            .map(|who| ("Merged-By", who.clone())),
    );
    trailers.extend(
        spec.approved
            .reviewed_by
            .iter()
            .map(|who| ("Reviewed-By", who.clone())),
    );
    trailers.extend(outcome.epoch.map(|epoch| ("Epoch", epoch.to_string())));
    trailers.extend([
        ("Result", outcome.result.to_owned()),
        ("Started", outcome.started.to_owned()),
        ("Finished", outcome.finished.to_owned()),
    ]);
    let lines: Vec<String> = trailers
        .into_iter()
        .map(|(key, value)| format!("{key}: {}", value.replace(['\n', '\r'], " ")))
        .collect();
    format!(
        "{}: {} of {} from {} to {}\n\n{}\n\n{}\n",
        outcome.result,
        spec.told,
        spec.namespace,
        spec.from,
        spec.to,
        outcome.message,
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_an_encrypted_rollout_the_audit_names_no_claim_and_tells_moves_apart() {
        let spec: WorkloadMoveSpec = serde_json::from_value(json!({
            "source": {"namespace": "s", "name": "s"}, "rollout": "r", "rolloutPhase": "p", "fingerprint": "f", "method": "copy",
            "namespace": "treasury", "told": "StatefulSet/ledger", "from": "slow", "to": "fast", "image": "i", "timeoutSeconds": 3600,
            "claims": [{"name": "data-ledger-0", "volume": "pvc-1", "bytes": 5, "from": "slow", "to": "fast"}],
            "workloads": [{"kind": "StatefulSet", "name": "ledger"}],
            "flux": [{"kind": "Kustomization", "namespace": "treasury", "name": "ledger"}],
            "back": "treasury-data-ledger-0-1111",
            "approved": {"revision": "r", "commit": "c", "author": "a", "at": "t", "path": "p"},
        }))
        .unwrap();
        let status = WorkloadMoveStatus {
            phase: MovePhase::RolledBack,
            message: "claim data-ledger-0 could not be copied".to_owned(),
            ..WorkloadMoveStatus::default()
        };
        let of = |name: &str| {
            let (name, spec, status) = masked(name, &spec, &status);
            let outcome = outcome(&name, &spec, &status);
            (
                name.clone(),
                message(&outcome) + &serde_json::to_string(&outcome).unwrap(),
            )
        };
        let (name, text) = of("treasury-data-ledger-0-0000");
        for secret in ["ledger", "treasury"] {
            assert!(
                !name.contains(secret) && !text.contains(secret),
                "{secret}: {text}"
            );
        }
        for told in ["Rollout: r", "Result: RolledBack", "from slow to fast"] {
            assert!(text.contains(told), "{told}: {text}");
        }
        assert_ne!(name, of("treasury-data-ledger-0-2222").0);
        let clear = message(&super::outcome("treasury-data-ledger-0-0000", &spec, &status));
        assert!(clear.contains("Claims: treasury/data-ledger-0"), "{clear}");
    }
}
