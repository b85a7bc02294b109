//! Backups as `status` and `plan` show them.

use super::table::table;
use crate::decide::drills::{Proof, proof};
use crate::model::conditions;
use crate::model::coverage::{BackupReading, Judged, PolicyReport, Verdict};
use crate::model::desired::Desired;
use crate::model::ids::ClaimRef;
use crate::model::kinds::BackupPolicy;
use crate::model::kinds::backup::BackupPolicySpec;
use crate::model::kinds::drill::BackupSeen;
use crate::model::quantities::span;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Stands for what there is not.
const NONE: &str = "-";

/// Volumes that a backup holds, of those that it should.
fn holds(seen: &BackupSeen) -> String {
    let exempt = match seen.exempt {
        0 => String::new(),
        exempt => format!(" ({exempt} exempt)"),
    };
    format!(
        "{}/{}{exempt}",
        seen.covered,
        seen.volumes - seen.exempt.min(seen.volumes)
    )
}

/// How much work would be lost, of how much may be.
fn age(seconds: Option<u64>, allowed: Option<&str>) -> String {
    let lost = seconds.map_or_else(|| "unknown".to_owned(), span);
    match allowed {
        Some(allowed) => format!("{lost} of {allowed}"),
        None => lost,
    }
}

/// The policies of a cluster, by what their statuses say.
pub(super) fn listed(policies: &[BackupPolicy], now: Timestamp) -> Option<String> {
    let row = |policy: &BackupPolicy| {
        let meta = &policy.metadata;
        let status = policy.status.clone().unwrap_or_default();
        let ready = conditions::find(&status.conditions, "Ready");
        let since = status
            .covered
            .as_ref()
            .and_then(|one| one.started_at.parse::<Timestamp>().ok());
        let lost = since.and_then(|since| u64::try_from(now.as_second() - since.as_second()).ok());
        let newest = status.newest.as_ref();
        vec![
            format!(
                "{}/{}",
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default()
            ),
            ready.map_or("Unknown".to_owned(), |ready| ready.status.clone()),
            newest.map_or(NONE.to_owned(), |newest| newest.name.clone()),
            newest.map_or(NONE.to_owned(), holds),
            age(lost, policy.spec.rpo.as_deref()),
            newest
                .map_or(&policy.spec.location, |newest| &newest.location)
                .clone(),
            ready.map_or("no turn yet".to_owned(), |ready| ready.message.clone()),
        ]
    };
    let rows: Vec<_> = policies.iter().map(row).collect();
    let head = [
        "BACKUPS",
        "READY",
        "NEWEST",
        "HOLDS",
        "WOULD LOSE",
        "LOCATION",
        "MESSAGE",
    ];
    (!rows.is_empty()).then(|| table(&head, &rows))
}

/// Whether some policy is not ready.
pub(super) fn are_unready(policies: &[BackupPolicy]) -> bool {
    let unready = |policy: &BackupPolicy| {
        let status = policy.status.as_ref();
        let ready = status.and_then(|status| conditions::find(&status.conditions, "Ready"));
        ready.is_some_and(|ready| ready.status != "True")
    };
    policies.iter().any(unready)
}

/// What the drills of a policy have proved; nothing where Git does not ask for any.
pub(super) fn proof_of(desired: &Desired, report: &PolicyReport, now: Timestamp) -> Proof {
    let key = &report.rules.policy;
    let mut all = desired.ours::<BackupPolicySpec>("BackupPolicy");
    let own = all.find(|(one, _)| one.namespace() == key.namespace && one.name() == key.name);
    own.map_or(Proof::NotAsked, |(_, spec)| proof(&spec, &report.drills, now))
}

/// What a plan says of backups.
pub(super) fn text(desired: &Desired, reading: &BackupReading) -> String {
    let mut text = String::new();
    let mut unproved = Vec::new();
    let mut row = |report: &PolicyReport| {
        let newest = report.newest.as_ref().map(Judged::seen);
        let says = report.says(reading.unseen.as_ref(), reading.at);
        let rpo = report.rules.rpo.filter(|_| !report.rules.secret);
        let rpo = rpo.map(|rpo| span(rpo.as_secs()));
        vec![
            report.rules.policy.to_string(),
            newest
                .as_ref()
                .map_or(NONE.to_owned(), |newest| newest.name.clone()),
            newest.as_ref().map_or(NONE.to_owned(), holds),
            age(report.age(reading.at), rpo.as_deref()),
            drills(report, proof_of(desired, report, reading.at), &mut unproved),
            says.first()
                .map_or_else(String::new, |ready| ready.reason.to_string()),
        ]
    };
    let rows: Vec<_> = reading.policies.iter().map(&mut row).collect();
    text += &format!("Backup policies: {}\n", rows.len());
    if !rows.is_empty() {
        let head = ["POLICY", "NEWEST", "HOLDS", "WOULD LOSE", "DRILLS", "REASON"];
        text += &table(&head, &rows);
    }
    if let Some(unseen) = &reading.unseen {
        let (_, words) = unseen.told();
        return text + &format!("{words}.\n");
    }
    text += &unproved.concat();
    let mut rows = Vec::new();
    for report in &reading.policies {
        let words = |claim: &ClaimRef| {
            let newest = report.newest.as_ref();
            let found = newest.and_then(|newest| newest.gaps().find(|(own, ..)| *own == claim));
            found.map_or_else(
                || "no backup of its policy has ended".to_owned(),
                |(.., words)| words.to_owned(),
            )
        };
        for (claim, gap) in report.unprotected() {
            rows.push(vec![
                claim.to_string(),
                report.rules.policy.to_string(),
                gap.as_str().to_owned(),
                words(&claim),
            ]);
        }
    }
    text += &format!("\nVolumes that the newest backup does not hold: {}\n", rows.len());
    if !rows.is_empty() {
        text += &table(&["CLAIM", "POLICY", "REASON", "WHY"], &rows);
    }
    text
}

/// What drills have proved, in a word and a figure; what they have not is told in full below the table.
fn drills(report: &PolicyReport, proof: Proof, unproved: &mut Vec<String>) -> String {
    let secret = report.rules.secret;
    match proof {
        Proof::NotAsked => NONE.to_owned(),
        Proof::Holds { .. } if secret => "hold".to_owned(),
        Proof::Holds { p95 } => format!("restored in {}", span(p95)),
        Proof::Fails { reason, message } => {
            if !secret {
                unproved.push(format!("Drills of {}: {message}.\n", report.rules.policy));
            }
            reason.to_owned()
        }
    }
}

/// The same for machines, volume by volume.
pub(super) fn value(desired: &Desired, reading: &BackupReading) -> Value {
    let policies = reading.policies.iter().map(|report| {
        let says = report.says(reading.unseen.as_ref(), reading.at);
        // The words of conditions hold figures of the policy.
        let told = |message: &str| (!report.rules.secret).then(|| message.to_owned());
        let conditions = says.iter().map(|one| {
            json!({"type": one.type_, "status": one.holds, "reason": one.reason, "message": told(&one.message)})
        });
        json!({
            "policy": report.rules.policy.to_string(),
            "conditions": conditions.collect::<Vec<_>>(),
            "newest": report.newest.as_ref().map(Judged::seen),
            "covered": report.covered.as_ref().map(Judged::seen),
            "wouldLoseSeconds": report.age(reading.at),
            "volumes": volumes(report),
            "drills": match proof_of(desired, report, reading.at) {
                Proof::NotAsked => Value::Null,
                Proof::Holds { p95 } => json!({"hold": true, "p95Seconds": (!report.rules.secret).then_some(p95)}),
                Proof::Fails { reason, message } => json!({"hold": false, "reason": reason, "message": told(&message)}),
            },
        })
    });
    json!(policies.collect::<Vec<_>>())
}

fn volumes(report: &PolicyReport) -> Vec<Value> {
    let Some(newest) = &report.newest else {
        let never = report.unprotected().into_iter();
        return never
            .map(|(claim, gap)| json!({"claim": claim.to_string(), "uncovered": {"reason": gap.as_str()}}))
            .collect();
    };
    let one = |(claim, verdict): &(ClaimRef, Verdict)| match verdict {
        Verdict::Covered {
            method,
            bytes,
            snapshot,
        } => {
            json!({"claim": format!("{claim}"), "covered": {"method": method.as_str(), "bytes": bytes, "snapshot": snapshot}})
        }
        Verdict::Exempt { reason } => json!({"claim": format!("{claim}"), "exempt": {"reason": reason}}),
        Verdict::Uncovered { gap, message } => {
            json!({"claim": format!("{claim}"), "uncovered": {"reason": gap.as_str(), "message": message}})
        }
    };
    newest.volumes.iter().map(one).collect()
}
