//! What backups prove of the claims of a phase.

use super::{Backed, Claim, Claims, named, seconds};
use crate::model::coverage::Verdict;
use crate::model::ids::ClaimRef;
use crate::model::kinds::rollout::BackupGate;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Whether the newest full backup holds every claim.
pub(super) fn covers(backed: &Backed, claims: &Claims) -> Result<String, String> {
    let covered = backed
        .report
        .covered
        .as_ref()
        .ok_or_else(|| "no backup holds every volume".to_owned())?;
    let volumes = covered.volumes.iter();
    let verdicts: BTreeMap<&ClaimRef, &Verdict> = volumes.map(|(claim, verdict)| (claim, verdict)).collect();
    let started = covered.backup.started.map(Timestamp::as_second);
    let held = |name: &ClaimRef, claim: Claim| match (verdicts.get(name), claim) {
        (Some(Verdict::Exempt { .. }), _) => true,
        // One that was made later has the name of what the backup holds, and nothing else of it.
        (Some(Verdict::Covered { .. }), Claim::Bound { made: Some(made), .. }) => {
            started.is_some_and(|started| made <= started)
        }
        _ => false,
    };
    let missing = claims.iter().filter(|(name, claim)| !held(name, **claim));
    let missing: Vec<&ClaimRef> = missing.map(|(name, _)| name).collect();
    let name = &covered.backup.name;
    let is_exempt = |name: &&ClaimRef| matches!(verdicts.get(*name), Some(Verdict::Exempt { .. }));
    let exempt = claims.keys().filter(is_exempt).count();
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
