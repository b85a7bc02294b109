//! What a restore would do, looked up in the cluster and shown to a person.

use super::super::screen::size;
use super::super::table::table;
use super::super::{Failed, Output, data, value};
use super::AskedFor;
use crate::decide::coverage::rules_of;
use crate::decide::restores;
use crate::io::cluster::Cluster;
use crate::io::restores::{Found, Restores};
use crate::model::backups::BackupRules;
use crate::model::quantities::span;
use crate::model::restores::{Asked, Fate, Plan, PlannedClaim};
use jiff::Timestamp;

/// How many backups are looked into for one that holds what is asked: a month of daily ones.
const LOOKED_AT_MAX: usize = 30;

/// Backups that were passed over and are shown.
const PASSED_MAX: usize = 3;

/// `restore plan`.
pub(super) async fn print(asked: &AskedFor, output: Output) -> Result<u8, Failed> {
    let cluster = asked.cluster.connect().await?;
    let now = crate::io::clock::now();
    let plan = made(&cluster, &asked.asked(), now).await?;
    match output {
        Output::Text => data(&text(&plan, now)),
        output => value(&serde_json::to_value(&plan)?, output),
    }
    Ok(u8::from(!plan.refusals.is_empty()))
}

/// Reads the cluster and decides: the newest backup that holds all that is asked, or else the newest, and what it lacks.
pub(super) async fn made(cluster: &Cluster, asked: &Asked, now: Timestamp) -> Result<Plan, Failed> {
    let reader = Restores::of(cluster);
    let Found { facts, policies } = reader.facts(&asked.namespace).await?;
    let candidates = match restores::candidates(asked, &facts, now) {
        Ok(candidates) => candidates,
        Err(why) => return Ok(restores::refused(asked, &facts, why)),
    };
    let mut newest = None;
    let mut passed_over = Vec::new();
    for backup in candidates.into_iter().take(LOOKED_AT_MAX) {
        let held = reader.held(backup, &asked.namespace).await?;
        let of = policies.iter().find(|one| {
            one.metadata.name.as_deref() == Some(backup.found.policy.as_str())
                && one.metadata.namespace.as_deref() == Some(backup.found.namespace.as_str())
        });
        let rules = of.map_or_else(BackupRules::default, |one| {
            rules_of(&backup.found.namespace, &backup.found.policy, one.spec.clone())
        });
        let judged = restores::judged(asked, &facts, backup, &held, &rules);
        if judged.missing.is_empty() {
            let mut plan = restores::plan(asked, &facts, backup, judged);
            plan.passed_over = passed_over;
            return Ok(plan);
        }
        let why = judged.missing.iter().map(|one| one.message.clone()).next();
        passed_over.push((backup.found.name.clone(), why.unwrap_or_default()));
        newest.get_or_insert((backup, judged));
    }
    match newest {
        Some((backup, judged)) => Ok(restores::plan(asked, &facts, backup, judged)),
        None => Err(Failed("no backup was looked into".to_owned())),
    }
}

/// The plan as a person reads it.
pub(super) fn text(plan: &Plan, now: Timestamp) -> String {
    let mut text = format!("Restore of namespace {}", plan.namespace);
    if let Some(backup) = &plan.backup {
        let age = backup.started_at.map(|at| now.as_second() - at.as_second());
        let age = age.and_then(|age| u64::try_from(age).ok());
        let policy = match backup.policy.as_str() {
            "" => "of no policy".to_owned(),
            policy => format!("of policy {policy}"),
        };
        text += &format!(
            " from backup {}, {policy} in location {}, started {} ago\n",
            backup.name,
            backup.location,
            age.map_or("an unknown time".to_owned(), span)
        );
    } else {
        text += "\n";
    }
    for (name, why) in plan.passed_over.iter().take(PASSED_MAX) {
        text += &format!("Newer, and passed over: {name}: {why}\n");
    }
    if let more @ 1.. = plan.passed_over.len().saturating_sub(PASSED_MAX) {
        text += &format!("{more} more were passed over\n");
    }
    let rows: Vec<_> = plan.claims.iter().map(row).collect();
    if !rows.is_empty() {
        text += "\n";
        text += &table(&["CLAIM", "BACKUP HOLDS", "IS NOW", "USED BY", "WILL BE"], &rows);
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for one in &plan.workloads {
        let does = match (one.kind.as_str(), one.replicas) {
            ("CronJob", 0) => "stays suspended".to_owned(),
            ("CronJob", _) => "suspended, and resumed".to_owned(),
            (_, 0) => "stays at 0".to_owned(),
            (_, count) => format!("scaled to 0, and back to {count}"),
        };
        rows.push(vec![one.kind.clone(), one.name.clone(), does]);
    }
    for one in &plan.flux {
        let does = if one.suspended {
            "stays suspended"
        } else {
            "suspended, and resumed"
        };
        rows.push(vec![
            one.kind.clone(),
            format!("{}/{}", one.namespace, one.name),
            does.to_owned(),
        ]);
    }
    if !rows.is_empty() {
        text += "\n";
        text += &table(&["MEANWHILE", "NAME", "IS"], &rows);
    }
    if plan.refusals.is_empty() {
        for note in &plan.notes {
            text += &format!("\n{note}.\n");
        }
    }
    for one in &plan.refusals {
        text += &format!("\nRefused ({}): {}.\n", one.reason, one.message);
    }
    text
}

fn row(claim: &PlannedClaim) -> Vec<String> {
    let holds = match (&claim.method, claim.bytes, &claim.missing) {
        (Some(method), Some(count), _) => format!("{} by {method}", size(count)),
        (_, _, Some(_)) => "nothing".to_owned(),
        _ => "-".to_owned(),
    };
    let now = match (claim.exists, claim.volume.as_str()) {
        (false, _) => "not there".to_owned(),
        (true, "") => format!("without a volume, {}", claim.storage_class),
        (true, volume) => format!("{volume}, {}", claim.storage_class),
    };
    let used = match claim.used_by.is_empty() {
        true => "-".to_owned(),
        false => claim.used_by.join(", "),
    };
    let fate = match claim.fate {
        Fate::Created => "created".to_owned(),
        Fate::Replaced => "given a new volume; the old one is kept".to_owned(),
        Fate::LeftAlone => match &claim.missing {
            Some(why) => format!("left alone: {why}"),
            None => "left alone".to_owned(),
        },
    };
    vec![claim.claim.clone(), holds, now, used, fate]
}
