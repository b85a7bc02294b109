//! What a restore would do, and everything that it would silently do wrong: those are refused, with what to do.
//!
//! Velero (1.18) makes no claim anew that exists, makes a volume anew and empty when it holds no data of it, and brings data only together with
//! pods that nobody else starts. None of that is an error to it, so it is looked for here, before anything is changed.

use crate::decide::coverage::judge;
use crate::model::backups::{BackupClaim, BackupRules, Upload, Way as Means};
use crate::model::coverage::{Gap, Verdict};
use crate::model::ids::ClaimRef;
use crate::model::restores::{
    Asked, BackupFacts, Chosen, ClaimFacts, Facts, Fate, Held, LEFT_SECS_MIN, NamespaceSeen, Plan,
    PlannedClaim, Refusal, Way,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What keeps volumes in use, and what would undo a restore.
pub(super) mod users;

#[cfg(test)]
mod tests;

/// How many claims one restore takes: its record is one object of the cluster.
pub const CLAIMS_MAX: usize = 50;

/// How many workloads and Flux objects together.
pub const OTHERS_MAX: usize = 100;

fn refusal(reason: &'static str, message: impl Into<String>) -> Refusal {
    Refusal {
        reason,
        message: message.into(),
    }
}

/// Whether a backup takes a namespace.
fn takes(backup: &BackupFacts, namespace: &str) -> bool {
    let any = |patterns: &[String]| {
        let mut all = patterns.iter();
        all.any(|one| crate::model::backups::matches(one, namespace))
    };
    (backup.included.is_empty() || any(&backup.included)) && !any(&backup.excluded)
}

/// Why nothing may be restored from a backup, whatever it holds.
pub fn unfit(backup: &BackupFacts, namespace: &str, now: Timestamp) -> Option<Refusal> {
    let name = &backup.found.name;
    let left = backup.expires.map(|at| at.as_second() - now.as_second());
    if backup.going || backup.found.phase == "Deleting" {
        return Some(refusal(
            "BackupDeleting",
            format!("backup {name} is being deleted; choose another one"),
        ));
    }
    if backup.found.phase != "Completed" {
        let phase = match backup.found.phase.as_str() {
            "" => "New",
            phase => phase,
        };
        return Some(refusal(
            "BackupNotCompleted",
            format!(
                "backup {name} is {phase}, so nothing in it is counted; `velero backup describe {name}` says more"
            ),
        ));
    }
    if !takes(backup, namespace) {
        return Some(refusal(
            "NamespaceNotInBackup",
            format!("backup {name} does not take namespace {namespace}; choose another one"),
        ));
    }
    match left {
        Some(..=0) => Some(refusal(
            "BackupExpired",
            format!("backup {name} has expired; choose another one"),
        )),
        Some(1..LEFT_SECS_MIN) => Some(refusal(
            "BackupExpires",
            format!("backup {name} expires within the hour, and Velero deletes it then; choose another one"),
        )),
        _ => None,
    }
}

/// The backups that may be chosen, the newest first.
pub fn candidates<'f>(
    asked: &Asked,
    facts: &'f Facts,
    now: Timestamp,
) -> Result<Vec<&'f BackupFacts>, Refusal> {
    let mut all: Vec<&BackupFacts> = facts.backups.iter().collect();
    all.sort_by(|a, b| (b.found.at(), &b.found.name).cmp(&(a.found.at(), &a.found.name)));
    if let Some(wanted) = &asked.backup {
        let Some(found) = all.iter().find(|one| one.found.name == *wanted) else {
            let words = format!("there is no Backup {wanted}; `velero backup get` lists them");
            return Err(refusal("BackupUnknown", words));
        };
        return match unfit(found, &asked.namespace, now) {
            Some(why) => Err(why),
            None => Ok(vec![found]),
        };
    }
    let of_policy = |one: &&BackupFacts| {
        asked
            .policy
            .as_ref()
            .is_none_or(|policy| one.found.policy == *policy)
    };
    let mut fit: Vec<&BackupFacts> = all.into_iter().filter(of_policy).collect();
    fit.retain(|one| unfit(one, &asked.namespace, now).is_none());
    match fit.is_empty() {
        false => Ok(fit),
        true => {
            let of = asked
                .policy
                .as_ref()
                .map_or(String::new(), |policy| format!(" of BackupPolicy {policy}"));
            let words = format!(
                "no backup{of} of namespace {} is Completed, has not expired and does not within the hour; `couchestor status` shows what is missing",
                asked.namespace
            );
            Err(refusal("NoBackup", words))
        }
    }
}

/// What is held against what is asked: the claims of a plan, and why they cannot be restored.
pub struct Judged {
    /// The claims, in order.
    pub claims: Vec<PlannedClaim>,
    /// What the backup does not hold.
    pub missing: Vec<Refusal>,
}

/// Judges what a backup holds of what is asked.
pub fn judged(
    asked: &Asked,
    facts: &Facts,
    backup: &BackupFacts,
    held: &[Held],
    rules: &BackupRules,
) -> Judged {
    let mut out = Judged {
        claims: Vec::new(),
        missing: Vec::new(),
    };
    let live: BTreeMap<&str, &ClaimFacts> = facts
        .claims
        .iter()
        .map(|one| (one.claim.claim.name.as_str(), one))
        .collect();
    let names: BTreeSet<&str> = match asked.claims.is_empty() {
        false => asked.claims.iter().map(String::as_str).collect(),
        true => held
            .iter()
            .map(|one| one.claim.as_str())
            .chain(live.keys().copied())
            .collect(),
    };
    let mut exempt: BTreeSet<String> = BTreeSet::new();
    for name in names {
        let there = live.get(name).copied();
        let found = verdict(name, there, (&asked.namespace, backup), held, rules);
        let claim = planned(name, there, facts, asked, &found);
        if let Verdict::Uncovered { gap, message } = &found
            && claim.missing.is_some()
            && (*gap != Gap::YoungerThanBackup || !asked.claims.is_empty())
        {
            out.missing
                .push(not_held(&backup.found.name, name, message, asked));
        }
        if let Verdict::Exempt { reason } = &found {
            exempt.insert(name.to_owned());
            if !asked.claims.is_empty() {
                out.missing
                    .push(not_held(&backup.found.name, name, reason, asked));
            }
        }
        out.claims.push(claim);
    }
    // A newer backup without any volume of the namespace must not hide an older one with all of them.
    let nothing = out.claims.iter().all(|one| one.bytes.is_none());
    let younger = |one: &PlannedClaim| one.exists && one.missing.is_some() && !exempt.contains(&one.claim);
    if asked.claims.is_empty() && nothing && out.missing.is_empty() && out.claims.iter().any(younger) {
        out.missing
            .push(nothing_held(&backup.found.name, &asked.namespace));
    }
    // Of claims that are gone nothing tells but what was judged when they were there.
    for (name, reason) in facts.uncovered.get(&backup.found.name).into_iter().flatten() {
        let wanted = asked.claims.is_empty() && !out.claims.iter().any(|one| one.claim == *name);
        if wanted {
            out.missing
                .push(not_held(&backup.found.name, name, reason, asked));
        }
    }
    out
}

fn nothing_held(backup: &str, namespace: &str) -> Refusal {
    let words = format!("backup {backup} holds no volume of namespace {namespace}; choose another one");
    refusal("NothingHeld", words)
}

fn not_held(backup: &str, claim: &str, why: &str, asked: &Asked) -> Refusal {
    let otherwise = match asked.claims.is_empty() {
        true => "; choose another backup, or with --claim those that it holds",
        false => "; choose another backup",
    };
    refusal(
        "NotHeld",
        format!(
            "backup {backup} holds no data of claim {claim}, and Velero would make it empty: {why}{otherwise}"
        ),
    )
}

/// What coverage says of one claim, by its name: a claim that was made again since has another uid, and its data is there all the same.
fn verdict(
    name: &str,
    there: Option<&ClaimFacts>,
    (namespace, backup): (&str, &BackupFacts),
    held: &[Held],
    rules: &BackupRules,
) -> Verdict {
    let gone = || BackupClaim {
        claim: ClaimRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        ..BackupClaim::default()
    };
    let mut claim = there.map_or_else(gone, |one| one.claim.clone());
    "asked".clone_into(&mut claim.uid);
    let own = held.iter().filter(|one| one.claim == name);
    let uploads: Vec<Upload> = own
        .map(|one| Upload {
            claim: claim.uid.clone(),
            ..one.upload.clone()
        })
        .collect();
    // Data that is there is restored, whatever a rule says by now.
    let exempt = matches!(
        rules.way(&claim.storage_class, |key| claim.label(key)),
        Means::Exempt(_)
    );
    let any = BackupRules::default();
    let rules = if exempt && !uploads.is_empty() {
        &any
    } else {
        rules
    };
    let judged = judge(rules, &[&claim], &backup.found, &uploads, &BTreeMap::new());
    let first = judged.volumes.into_iter().next();
    first.map_or(
        Verdict::Uncovered {
            gap: Gap::NoRecord,
            message: "nothing was written down of it".to_owned(),
        },
        |(_, verdict)| verdict,
    )
}

fn planned(
    name: &str,
    there: Option<&ClaimFacts>,
    facts: &Facts,
    asked: &Asked,
    found: &Verdict,
) -> PlannedClaim {
    let users = facts.pods.iter().filter(|pod| pod.claims.contains(name));
    let mut claim = PlannedClaim {
        claim: name.to_owned(),
        method: None,
        bytes: None,
        missing: None,
        exists: there.is_some(),
        volume: there.map(|one| one.volume.clone()).unwrap_or_default(),
        storage_class: there
            .map(|one| one.claim.storage_class.clone())
            .unwrap_or_default(),
        used_by: users.map(|pod| pod.name.clone()).collect(),
        fate: Fate::LeftAlone,
    };
    match found {
        Verdict::Covered { method, bytes, .. } => {
            (claim.method, claim.bytes) = (Some(method.as_str()), Some(*bytes));
            claim.fate = match (there.is_some(), asked.replace) {
                (false, _) => Fate::Created,
                (true, true) => Fate::Replaced,
                (true, false) => Fate::LeftAlone,
            };
        }
        Verdict::Exempt { reason } => claim.missing = Some(reason.clone()),
        Verdict::Uncovered { message, .. } => claim.missing = Some(message.clone()),
    }
    claim
}

/// The plan for a chosen backup.
pub fn plan(asked: &Asked, facts: &Facts, backup: &BackupFacts, judged: Judged) -> Plan {
    let empty = facts.claims.is_empty() && facts.workloads.is_empty() && facts.pods.is_empty();
    let whole = facts.namespace == NamespaceSeen::Absent || asked.claims.is_empty() && empty;
    let mut plan = Plan {
        namespace: asked.namespace.clone(),
        way: if whole { Way::Everything } else { Way::Volumes },
        backup: Some(chosen(backup)),
        claims: judged.claims,
        refusals: judged.missing,
        ..Plan::default()
    };
    plan.refusals.extend(around(asked, facts, backup, &plan));
    plan.refusals.extend(claims(asked, facts, backup, &plan));
    users::add(facts, &mut plan);
    let restored = plan.claims.iter().filter(|one| one.bytes.is_some()).count();
    if restored > CLAIMS_MAX || plan.workloads.len() + plan.flux.len() > OTHERS_MAX {
        let words = format!(
            "one restore takes at most {CLAIMS_MAX} claims and {OTHERS_MAX} workloads and Flux objects; restore some claims at a time with --claim"
        );
        plan.refusals.push(refusal("TooMany", words));
    }
    notes(&mut plan);
    plan
}

/// A plan that says only why it is refused.
pub fn refused(asked: &Asked, facts: &Facts, why: Refusal) -> Plan {
    let mut plan = Plan {
        namespace: asked.namespace.clone(),
        refusals: vec![why],
        ..Plan::default()
    };
    plan.refusals.extend(busy(asked, facts));
    plan
}

fn chosen(backup: &BackupFacts) -> Chosen {
    let found = &backup.found;
    Chosen {
        namespace: found.namespace.clone(),
        name: found.name.clone(),
        policy: found.policy.clone(),
        location: found.location.clone(),
        started_at: found.started,
        expires_at: backup.expires,
    }
}

/// What goes on in the namespace.
fn busy(asked: &Asked, facts: &Facts) -> Vec<Refusal> {
    let namespace = &asked.namespace;
    let mut out = Vec::new();
    if facts.namespace == NamespaceSeen::Terminating {
        let words = format!(
            "namespace {namespace} is being deleted; wait until it is gone, or find out what holds it"
        );
        out.push(refusal("NamespaceTerminating", words));
    }
    out.extend(
        facts
            .busy
            .iter()
            .map(|what| refusal("Busy", format!("{what}; wait for its end"))),
    );
    for one in &facts.backups {
        let runs = one.found.reads_volumes() || one.found.only_uploads();
        if runs && !one.going && takes(one, namespace) {
            let words = format!(
                "backup {} of namespace {namespace} is under way; wait for its end",
                one.found.name
            );
            out.push(refusal("BackupRuns", words));
        }
    }
    out
}

/// What is wrong around the restore: with the namespace, the location, the backup.
fn around(asked: &Asked, facts: &Facts, backup: &BackupFacts, plan: &Plan) -> Vec<Refusal> {
    let namespace = &asked.namespace;
    let mut out = busy(asked, facts);
    if facts.namespace == NamespaceSeen::Absent && !asked.claims.is_empty() {
        let words =
            format!("there is no namespace {namespace} for the claims; restore all of it without --claim");
        out.push(refusal("NamespaceAbsent", words));
    }
    let (of, name) = (&backup.found.namespace, &backup.found.location);
    let location = facts
        .locations
        .iter()
        .find(|one| one.namespace == *of && one.name == *name);
    match location {
        None => out.push(refusal(
            "LocationMissing",
            format!("backup {} is in location {name}, which is not in this cluster; declare it as a BackupLocation", backup.found.name),
        )),
        Some(location) if location.phase != "Available" => {
            let why = if location.message.is_empty() { "it does not say why" } else { &location.message };
            let words = format!("Velero cannot reach location {name}: {why}; mend it first, or nothing can be read from there");
            out.push(refusal("LocationUnavailable", words));
        }
        Some(_) => {}
    }
    let by_pods = plan.claims.iter().any(|one| one.method == Some("fs-backup"));
    if by_pods && !backup.has_pods {
        let words = format!(
            "backup {} left pods out, and Velero restores what fs-backup has read only through the pods that it restores; choose another backup",
            backup.found.name
        );
        out.push(refusal("PodsNotInBackup", words));
    }
    out
}

/// What is wrong with claims that would be restored.
fn claims(asked: &Asked, facts: &Facts, backup: &BackupFacts, plan: &Plan) -> Vec<Refusal> {
    let mut out = Vec::new();
    let held: Vec<&PlannedClaim> = plan.claims.iter().filter(|one| one.bytes.is_some()).collect();
    for one in &held {
        if one.exists && !asked.replace {
            let words = format!(
                "claim {} exists, and Velero would leave it as it is, or write over its files; with --replace it gets a new volume, and the old one is kept",
                one.claim
            );
            out.push(refusal("ClaimExists", words));
        }
        let live = facts
            .claims
            .iter()
            .find(|live| live.claim.claim.name == one.claim);
        if live.is_some_and(|live| live.volume_gone) {
            let words = format!(
                "claim {} has lost its volume {}, which is there no more; delete the claim first, and it is made again",
                one.claim, one.volume
            );
            out.push(refusal("VolumeGone", words));
        }
        let declares = facts.flux.iter().find(|flux| flux.volumes.contains(&one.volume));
        if let Some(flux) = declares.filter(|_| live.is_some_and(|live| !live.volume_stays)) {
            let words = format!(
                "volume {} of claim {} is declared in Git, by {} {}/{}, which would undo that it is kept; write \
                 persistentVolumeReclaimPolicy: Retain in Git first",
                one.volume, one.claim, flux.kind, flux.namespace, flux.name
            );
            out.push(refusal("VolumeFromGit", words));
        }
        if live.is_some_and(|live| live.volume_going) {
            let words = format!(
                "volume {} of claim {} is being deleted, and would be gone with the claim instead of being kept; save what is on it first, \
                 then delete the claim",
                one.volume, one.claim
            );
            out.push(refusal("VolumeGoing", words));
        }
        if one.exists && !one.storage_class.is_empty() && !facts.classes.contains(&one.storage_class) {
            let words = format!(
                "claim {} is of StorageClass {}, which is not in this cluster, so no volume would be made; declare it first",
                one.claim, one.storage_class
            );
            out.push(refusal("StorageClassMissing", words));
        }
    }
    if held.is_empty() && plan.refusals.is_empty() && plan.way == Way::Volumes {
        out.push(nothing_held(&backup.found.name, &asked.namespace));
    }
    out
}

fn notes(plan: &mut Plan) {
    match plan.way {
        Way::Everything => plan.notes.push(
            "nothing of the namespace is there: Velero restores everything that the backup has of it. What else the backup should hold is \
             told by `velero backup describe --details`"
                .to_owned(),
        ),
        Way::Volumes => plan.notes.push(
            "the data is restored into a scratch namespace and compared first; nothing of this namespace is touched before that. Objects \
             other than claims stay as they are"
                .to_owned(),
        ),
    }
}
