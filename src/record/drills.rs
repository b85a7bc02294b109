//! Drills that ended → the audit branch and an Event. Everything here can be done twice.

use super::RecordError;
use crate::io::cluster::Cluster;
use crate::io::git::Repository;
use crate::model::kinds::BackupPolicy;
use crate::model::kinds::drill::DrillRecord;
use crate::model::rendering::FileChange;
use jiff::Timestamp;
use serde::Serialize;

/// A drill as the audit branch keeps it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Evidence<'a> {
    policy: &'a str,
    policy_namespace: &'a str,
    /// The commit of the repository that the policy was read from.
    revision: &'a str,
    #[serde(flatten)]
    record: &'a DrillRecord,
}

/// The commit message of a drill, with trailers that a machine can read.
fn message(evidence: &Evidence) -> String {
    let record = evidence.record;
    let result = if record.passed { "Passed" } else { "Failed" };
    let mut text = format!("Drill {result}: {} from {}\n\n", record.namespace, record.backup);
    for check in &record.checks {
        let sign = if check.passed { "+" } else { "-" };
        text.push_str(&format!("{sign} {}: {}\n", check.name, check.message));
    }
    if let Some(failure) = &record.failure {
        text.push_str(&format!("\n{failure}\n"));
    }
    text.push('\n');
    let mut trailers = vec![
        ("Drill", record.id.clone()),
        (
            "Policy",
            format!("{}/{}", evidence.policy_namespace, evidence.policy),
        ),
        ("Policy-Revision", evidence.revision.to_owned()),
        ("Namespace", record.namespace.clone()),
        ("Backup", record.backup.clone()),
        ("Result", result.to_owned()),
        ("Started", record.started_at.clone()),
        ("Finished", record.finished_at.clone()),
    ];
    if let Some(seconds) = record.restore_seconds {
        trailers.push(("Restore-Seconds", seconds.to_string()));
    }
    for (key, value) in trailers {
        text.push_str(&format!("{key}: {}\n", value.replace(['\n', '\r'], " ")));
    }
    text
}

/// Writes a drill to the audit branch, once.
///
/// # Errors
/// [`RecordError`]; the drill then has yet to end.
pub async fn record(
    repository: &Repository,
    audit_branch: &str,
    policy: &BackupPolicy,
    revision: &str,
    record: &DrillRecord,
) -> Result<(), RecordError> {
    let evidence = Evidence {
        policy: policy.metadata.name.as_deref().unwrap_or_default(),
        policy_namespace: policy.metadata.namespace.as_deref().unwrap_or_default(),
        revision,
        record,
    };
    let mut content = serde_json::to_vec_pretty(&evidence)?;
    content.push(b'\n');
    let path = format!(
        "drills/{}/{}/{}.json",
        evidence.policy_namespace, evidence.policy, record.id
    );
    let files = vec![FileChange {
        path,
        content: Some(content),
    }];
    let trailer = format!("Drill: {}", record.id);
    // The time of a second try is that of the first.
    let at = record.started_at.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    repository
        .append(audit_branch, files, message(&evidence), trailer, at)
        .await?;
    Ok(())
}

/// Tells of a drill that ended, on its policy.
pub async fn tell(cluster: &Cluster, policy: &BackupPolicy, record: &DrillRecord) {
    let (reason, note) = match &record.failure {
        None => (
            "DrillPassed",
            format!(
                "namespace {} was restored from {} in {} s",
                record.namespace,
                record.backup,
                record.restore_seconds.unwrap_or_default()
            ),
        ),
        Some(why) => (
            "DrillFailed",
            format!(
                "namespace {} could not be restored from {}: {why}",
                record.namespace, record.backup
            ),
        ),
    };
    if let Err(error) = cluster.publish(policy, !record.passed, reason, &note).await {
        tracing::warn!(%error, "the end of a drill is told without an event");
    }
}
