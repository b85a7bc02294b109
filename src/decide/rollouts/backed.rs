//! What backups prove of the claims of a phase.

use super::{Backed, Claim, Claims, named, seconds};
use crate::decide::drills::{Asks, proved};
use crate::model::coverage::Verdict;
use crate::model::ids::ClaimRef;
use crate::model::kinds::drill::DrillRecord;
use crate::model::kinds::rollout::BackupGate;
use crate::model::quantities::span;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Whether the policy exempts a claim, as its newest full backup found it.
fn is_exempt(backed: &Backed, claim: &ClaimRef) -> bool {
    let covered = backed.report.covered.as_ref();
    matches!(
        covered.and_then(|covered| covered.verdict(claim)),
        Some(Verdict::Exempt { .. })
    )
}

/// Whether the policy has to prove anything of a phase: of one whose claims it exempts, each and all, it never will.
pub(super) fn needs(backed: &Backed, all: &Claims) -> Result<(), String> {
    match !all.is_empty() && all.keys().all(|claim| is_exempt(backed, claim)) {
        true => Err("the policy exempts every claim of the phase, and proves nothing of them".to_owned()),
        false => Ok(()),
    }
}

/// Whether what the claim has now is at least as old as what began at that time: one that was made later has the name of what was backed
/// up then, and nothing else of it.
fn is_of(claim: Claim, began: Option<i64>) -> bool {
    match claim {
        Claim::Bound { made: Some(made), .. } => began.is_some_and(|began| made <= began),
        _ => false,
    }
}

/// Whether the newest full backup holds every claim.
pub(super) fn covers(backed: &Backed, claims: &Claims) -> Result<String, String> {
    let covered = backed
        .report
        .covered
        .as_ref()
        .ok_or_else(|| "no backup holds every volume".to_owned())?;
    let started = covered.backup.started.map(Timestamp::as_second);
    let held = |name: &ClaimRef, claim: Claim| match covered.verdict(name) {
        Some(Verdict::Exempt { .. }) => true,
        Some(Verdict::Covered { .. }) => is_of(claim, started),
        _ => false,
    };
    let missing = claims.iter().filter(|(name, claim)| !held(name, **claim));
    let missing: Vec<&ClaimRef> = missing.map(|(name, _)| name).collect();
    let name = &covered.backup.name;
    let exempt = claims.keys().filter(|claim| is_exempt(backed, claim)).count();
    match missing.len() {
        0 if exempt > 0 && backed.told => Ok(format!(
            "backup {name} holds {} of them; its policy exempts {exempt}",
            claims.len() - exempt
        )),
        // Of an encrypted policy no figures are told.
        0 if exempt > 0 => Ok(format!("backup {name} holds them, or its policy exempts them")),
        0 => Ok(format!("backup {name} holds them")),
        count => Err(format!(
            "backup {name} does not hold {}",
            named(missing.iter().map(ToString::to_string), count)
        )),
    }
}

/// Whether the newest full backup holds every claim and is young enough.
pub(super) fn fresh(
    backed: &Backed,
    claims: &Claims,
    gate: &BackupGate,
    now: Timestamp,
) -> Result<String, String> {
    let allowed = gate.within.as_deref().or(backed.spec.rpo.as_deref());
    let allowed = allowed.ok_or_else(|| "the policy promises no rpo".to_owned())?;
    let age = backed
        .report
        .age(now)
        .ok_or_else(|| "no backup holds every volume".to_owned())?;
    // A backup without the claims says nothing of how much of them would be lost.
    covers(backed, claims)?;
    let young = age <= seconds(allowed);
    match (young, backed.told) {
        // An age that is told changes all the time, and with it the status.
        (true, true) => Ok(format!("the newest full backup is no older than {allowed}")),
        (true, false) => Ok("the newest full backup is young enough".to_owned()),
        (false, true) => Err(format!("the newest full backup is older than {allowed}")),
        (false, false) => Err("the newest full backup is too old".to_owned()),
    }
}

/// Whether the drills of the claims' namespaces prove what is asked, and the last of each brought every claim back that the policy does not
/// exempt. A drill of before a claim was moved restored another volume.
pub(super) fn drilled(
    backed: &Backed,
    claims: &Claims,
    within: Option<&str>,
    rto: Option<&str>,
    now: Timestamp,
) -> Result<String, String> {
    let drill = backed
        .spec
        .drill
        .as_ref()
        .ok_or_else(|| "the policy asks for no drills".to_owned())?;
    let asks = Asks {
        evidence_age: within.unwrap_or(&drill.evidence_age),
        rto,
        window: drill.window as usize,
    };
    let drills = &backed.report.drills;
    let (mut slowest, mut missing) = (0, Vec::new());
    let namespaces: BTreeSet<&str> = claims.keys().map(|claim| &*claim.namespace).collect();
    for namespace in namespaces {
        let found = proved(drills, namespace, asks, now);
        let p95 = found.map_err(|(reason, message)| match backed.told {
            true => message,
            false => format!("namespace {namespace}: {reason}"),
        })?;
        slowest = slowest.max(p95);
        let back = came_back(drills, namespace);
        let here = claims.iter().filter(|(claim, _)| claim.namespace == namespace);
        let lacks = here.filter(|(name, claim)| !is_exempt(backed, name) && !back(name, **claim));
        missing.extend(lacks.map(|(name, _)| name));
    }
    if !missing.is_empty() {
        let names = named(missing.iter().map(ToString::to_string), missing.len());
        return Err(format!("the last drill did not restore {names} as it is now"));
    }
    Ok(match rto {
        Some(_) if backed.told => format!("restores take {}", span(slowest)),
        Some(_) => "restores are fast enough".to_owned(),
        None => "the last drills passed".to_owned(),
    })
}

/// Whether the last drill of a namespace restored a claim, out of a backup that began when what the claim has now was there.
fn came_back(drills: &[DrillRecord], namespace: &str) -> impl Fn(&ClaimRef, Claim) -> bool {
    let last = drills.iter().find(|record| record.namespace == namespace);
    let began = last.and_then(|last| last.backup_started_at.as_ref()?.parse::<Timestamp>().ok());
    let began = began.map(Timestamp::as_second);
    let volumes: BTreeSet<&str> = last
        .iter()
        .flat_map(|last| last.volumes.iter().map(String::as_str))
        .collect();
    move |name, claim| volumes.contains(name.name.as_str()) && is_of(claim, began)
}
