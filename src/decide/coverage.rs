//! Which volumes a policy's backups hold, judged volume by volume from Velero's own objects.
//!
//! A Backup that is Completed says little: pods that do not run, hostPath volumes, block devices, volumes without a pod and snapshots
//! that stay on their disks all end so, with a warning at most (Velero 1.18, `pkg/podvolume/backupper.go`). So a volume counts as covered
//! only by an upload of its own claim, by uid, that belongs to that very backup, is complete and names its snapshot.

use crate::formats::duration;
use crate::model::backups::{
    BackupClaim, BackupRules, FoundBackup, FoundPod, PolicyKey, ScheduleOf, Scope, Unseen, Upload,
    VeleroState, Way,
};
use crate::model::coverage::{BackupReading, PolicyReport, Trouble};
use crate::model::desired::Desired;
use crate::model::ids::ClaimRef;
use crate::model::kinds::backup::BackupPolicySpec;
use crate::model::kinds::drill::BackupPolicyStatus;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Locations and their repositories.
mod locations;

/// One volume of one backup.
mod verdict;

#[cfg(test)]
mod tests;

pub use verdict::judge;

/// How many backups of a policy are looked at for one that holds every volume: a month of daily ones. A policy of which none does has
/// nothing that an `rpo` could be measured by.
const LOOKED_AT_MAX: usize = 30;

/// What all policies of a repository promise. What cannot be read is a diagnostic of the parser and promises nothing.
pub fn rules(desired: &Desired) -> Vec<Arc<BackupRules>> {
    let rules = desired.ours("BackupPolicy").map(|(resource, spec)| {
        let mut rules = rules_of(resource.namespace(), resource.name(), spec);
        rules.secret = resource.origin.secret;
        for rule in rules.rules.iter_mut().filter(|_| resource.origin.secret) {
            rule.reason = None;
        }
        Arc::new(rules)
    });
    rules.collect()
}

/// What one policy promises.
pub fn rules_of(namespace: &str, name: &str, spec: BackupPolicySpec) -> BackupRules {
    let schedules = spec.schedules.iter().map(|one| ScheduleOf {
        object: format!("{name}-{}", one.name),
        location: one.location.clone().unwrap_or_else(|| spec.location.clone()),
    });
    BackupRules {
        policy: PolicyKey {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        schedules: schedules.collect(),
        location: spec.location,
        scope: Scope {
            included: spec.included_namespaces,
            excluded: spec.excluded_namespaces,
            labels: spec
                .label_selector
                .map(|one| one.match_labels)
                .unwrap_or_default(),
        },
        method: spec.volumes,
        rules: spec.volume_rules,
        volume_policy: spec.volume_policy.map(|one| one.name),
        rpo: spec.rpo.and_then(|rpo| duration::parse(&rpo).ok()),
        secret: false,
    }
}

/// Everything that coverage is judged by.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Bound claims that some policy may take, in order.
    pub claims: Vec<BackupClaim>,
    /// What was found of Velero.
    pub state: VeleroState,
    /// Uploads by the uid of their backup. A backup that is not here has not been asked about.
    pub uploads: BTreeMap<String, Arc<Vec<Upload>>>,
    /// Pods by namespace. A namespace that is not here has not been asked about.
    pub pods: BTreeMap<String, Vec<FoundPod>>,
    /// What was remembered of policies.
    pub statuses: BTreeMap<PolicyKey, BackupPolicyStatus>,
}

/// What has to be read before more can be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Backups whose uploads are needed: namespace and uid.
    pub uploads: BTreeSet<(String, String)>,
    /// Namespaces whose pods are needed.
    pub pods: BTreeSet<String>,
}

impl Asked {
    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.uploads.is_empty() && self.pods.is_empty()
    }
}

/// Judges all policies, and says what has to be read to judge further. What it asks for it asks for once, so asking and reading end.
pub fn report(
    rules: &[Arc<BackupRules>],
    seen: Result<&Evidence, &Unseen>,
    now: Timestamp,
) -> (BackupReading, Asked) {
    let mut asked = Asked::default();
    let mut reading = BackupReading {
        at: now,
        unseen: seen.err().cloned(),
        policies: Vec::with_capacity(rules.len()),
        locations: Vec::new(),
        excluded_namespaces: BTreeSet::new(),
        restoring: BTreeMap::new(),
        busy: Vec::new(),
    };
    let nothing = Evidence::default();
    let evidence = seen.unwrap_or(&nothing);
    if seen.is_ok() {
        reading.locations = locations::report(&evidence.state, now);
        reading
            .excluded_namespaces
            .clone_from(&evidence.state.excluded_namespaces);
        reading.restoring.clone_from(&evidence.state.restoring);
        reading.busy.clone_from(&evidence.state.busy);
    }
    for one in rules {
        let policy = policy(one, evidence, &reading, &mut asked);
        reading.policies.push(policy);
    }
    (reading, asked)
}

/// Claims that a policy takes: those of its namespaces that carry its labels. A volume whose pod alone carries them is backed up too, and
/// nobody promised that.
pub fn in_scope<'e>(rules: &BackupRules, evidence: &'e Evidence) -> Vec<&'e BackupClaim> {
    let left_out = &evidence.state.excluded_namespaces;
    let takes = |claim: &&BackupClaim| {
        rules.scope.takes_namespace(&claim.claim.namespace, left_out)
            && rules.scope.takes_labels(|key| claim.label(key))
    };
    evidence.claims.iter().filter(takes).collect()
}

fn policy(
    rules: &Arc<BackupRules>,
    evidence: &Evidence,
    reading: &BackupReading,
    asked: &mut Asked,
) -> PolicyReport {
    let claims = in_scope(rules, evidence);
    let status = evidence.statuses.get(&rules.policy);
    let is_promised = |one: &&&BackupClaim| {
        let way = rules.way(&one.storage_class, |key| one.label(key));
        !matches!(way, Way::Exempt(_))
    };
    let in_scope = claims.iter().filter(is_promised);
    let in_scope: Vec<ClaimRef> = in_scope.map(|one| one.claim.clone()).collect();
    let mut report = PolicyReport {
        rules: rules.clone(),
        newest: None,
        covered: None,
        reading: None,
        uploading: BTreeMap::new(),
        drill: status.and_then(|status| status.drill.clone()),
        drills: status.map(|status| status.drills.clone()).unwrap_or_default(),
        trouble: trouble(rules, &evidence.state, reading, !in_scope.is_empty()),
        in_scope,
    };
    let own = |backup: &&FoundBackup| {
        backup.policy == rules.policy.name && backup.namespace == rules.policy.namespace
    };
    let mut backups: Vec<&FoundBackup> = evidence.state.backups.iter().filter(own).collect();
    backups.sort_by(|a, b| (b.at(), &b.name).cmp(&(a.at(), &a.name)));
    for backup in backups.iter().filter(|one| !one.has_ended()) {
        if backup.reads_volumes() {
            report.reading.get_or_insert_with(|| backup.name.clone());
        } else if backup.only_uploads() {
            match evidence.uploads.get(&backup.uid) {
                Some(uploads) => report.uploading.extend(uploading(backup, uploads, &claims)),
                None => drop(
                    asked
                        .uploads
                        .insert((backup.namespace.clone(), backup.uid.clone())),
                ),
            }
        }
    }
    let ended = backups.iter().filter(|one| one.has_ended());
    for backup in ended.take(LOOKED_AT_MAX) {
        // Only what is Completed is asked about: nothing else can be a backup.
        let uploads = match (backup.phase.as_str(), evidence.uploads.get(&backup.uid)) {
            ("Completed", None) => {
                asked
                    .uploads
                    .insert((backup.namespace.clone(), backup.uid.clone()));
                break;
            }
            (_, uploads) => uploads.map_or(&[][..], |uploads| uploads),
        };
        let judged = judge(rules, &claims, backup, uploads, &evidence.pods);
        // Pods say why the newest lacks a volume; of older ones nobody asks.
        if report.newest.is_none() {
            asked.pods.extend(verdict::unexplained(&judged, &evidence.pods));
            report.newest = Some(judged.clone());
        }
        if judged.is_full() {
            report.covered = Some(judged);
            break;
        }
    }
    report
}

fn uploading(backup: &FoundBackup, uploads: &[Upload], claims: &[&BackupClaim]) -> Vec<(ClaimRef, String)> {
    let open = uploads
        .iter()
        .filter(|one| one.is_open() && one.backup == backup.uid);
    let of = |upload: &Upload| claims.iter().find(|claim| claim.uid == upload.claim);
    open.filter_map(|upload| Some((of(upload)?.claim.clone(), backup.name.clone())))
        .collect()
}

/// What of a policy's Schedules, of the node agent and of its locations keeps backups from being made; `uploads` says whether there are
/// volumes whose data is promised: both ways of uploading it are the node agent's.
fn trouble(
    rules: &BackupRules,
    state: &VeleroState,
    reading: &BackupReading,
    uploads: bool,
) -> Option<Trouble> {
    let namespace = &rules.policy.namespace;
    let refused = rules.schedules.iter().find_map(|schedule| {
        let mut found = state.schedules.iter();
        let found = found.find(|one| one.name == schedule.object && one.namespace == *namespace)?;
        (found.phase == "FailedValidation").then_some(found)
    });
    if let Some(refused) = refused {
        let why = match refused.refusals.is_empty() {
            true => "it does not say why".to_owned(),
            false => refused.refusals.join("; "),
        };
        return Some(Trouble::ScheduleRefused(format!(
            "Velero refuses Schedule {}: {why}",
            refused.name
        )));
    }
    let lacks_agent = |agents: &BTreeSet<String>| !agents.contains(namespace);
    if uploads && state.node_agents.as_ref().is_some_and(lacks_agent) {
        return Some(Trouble::NoNodeAgent(format!(
            "Velero in namespace {namespace} has no node agent, so no volume is uploaded; install it (`deployNodeAgent: true` of its chart)"
        )));
    }
    let used: BTreeSet<&str> = rules.schedules.iter().map(|one| one.location.as_str()).collect();
    used.into_iter().find_map(|name| {
        if reading.unseen.is_some() {
            return None;
        }
        let message = match reading.location(namespace, name) {
            Some(location) if location.available => return None,
            Some(location) => location.message.clone(),
            None => "the cluster has no BackupStorageLocation of that name yet".to_owned(),
        };
        Some(Trouble::LocationUnavailable(format!(
            "location {name}: {message}"
        )))
    })
}
