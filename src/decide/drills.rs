//! Which restore drill starts now, why others wait, and what drills have proved so far.

use crate::formats::{cron, duration};
use crate::model::coverage::age;
use crate::model::drills::scratch_name;
use crate::model::ids::hex;
use crate::model::kinds::backup::BackupPolicySpec;
pub use crate::model::kinds::backup::drilled_namespaces as namespaces;
use crate::model::kinds::drill::{BackupPolicyStatus, DrillPhase, DrillRecord, DrillRun};
use crate::model::quantities::span;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// Drills that are remembered in a status; the audit branch has all of them.
pub const RECORDS_MAX: usize = 50;

/// A BackupPolicy with what was found of its drills.
#[derive(Clone, Debug)]
pub struct DrillPolicy<'a> {
    /// Its namespace, which is Velero's.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it says.
    pub spec: &'a BackupPolicySpec,
    /// What is known of it.
    pub status: &'a BackupPolicyStatus,
    /// When its object was made: a schedule counts from then.
    pub created: Option<Timestamp>,
    /// What a person asks for.
    pub requested: Option<&'a str>,
}

/// What becomes of a policy's drills now.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// Nothing.
    No,
    /// One is due, and cannot start.
    Waits(String),
    /// This one starts.
    Starts(Box<DrillRun>),
    /// What a person asked for cannot be done; it is answered once.
    Refused(String),
}

/// What becomes of each policy's drills, in their order: one drill at a time for each location, and the first in the list comes first.
/// `elsewhere` are namespaces and locations of drills that run for policies which are not in the list.
pub fn due(policies: &[DrillPolicy], elsewhere: &[(String, String)], now: Timestamp) -> Vec<Due> {
    let running = policies
        .iter()
        .filter_map(|policy| Some((policy.namespace, policy.status.drill.as_ref()?.location.as_str())));
    let elsewhere = elsewhere
        .iter()
        .map(|(namespace, location)| (namespace.as_str(), location.as_str()));
    let mut busy: Vec<(&str, &str)> = running.chain(elsewhere).collect();
    let mut all = Vec::with_capacity(policies.len());
    for policy in policies {
        let mut due = of_policy(policy, now);
        if let Due::Starts(run) = &due {
            let covered = policy.status.covered.as_ref();
            let location = covered.map_or("", |backup| backup.location.as_str());
            match busy.contains(&(policy.namespace, location)) {
                true => {
                    due = Due::Waits(format!(
                        "another drill from location {} is under way",
                        run.location
                    ));
                }
                false => busy.push((policy.namespace, location)),
            }
        }
        all.push(due);
    }
    all
}

fn of_policy(policy: &DrillPolicy, now: Timestamp) -> Due {
    let Some(drill) = &policy.spec.drill else {
        return Due::No;
    };
    if policy.status.drill.is_some() {
        return Due::No;
    }
    let known = namespaces(policy.spec, drill);
    let request = policy
        .requested
        .filter(|request| policy.status.handled_request.as_deref() != Some(*request));
    let namespace = match request {
        Some(request) => match request.split_once('/').map(|(_, namespace)| namespace) {
            Some(wanted) if !known.contains(&wanted) => {
                return Due::Refused(format!(
                    "namespace {wanted} is not among those that are drilled: {}",
                    known.join(", ")
                ));
            }
            Some(wanted) => Some(wanted),
            None => oldest(policy, &known),
        },
        None => {
            let Ok(schedule) = cron::parse(&drill.schedule) else {
                return Due::No;
            };
            let late = |namespace: &&str| {
                let since = last_started(policy, namespace).or(policy.created);
                let next = since.and_then(|since| schedule.next(since));
                next.is_some_and(|next| next <= now)
            };
            known.iter().copied().find(late)
        }
    };
    let Some(namespace) = namespace else {
        return Due::No;
    };
    let Some(backup) = &policy.status.covered else {
        return Due::Waits("no backup holds every volume, so that there is nothing to drill".to_owned());
    };
    let id = drill_id(policy, namespace, now);
    Due::Starts(Box::new(DrillRun {
        scratch: scratch_name("drill", namespace, &id),
        id,
        phase: DrillPhase::Pending,
        backup: backup.name.clone(),
        location: backup.location.clone(),
        backup_started_at: Some(backup.started_at.clone()),
        namespace: namespace.to_owned(),
        started_at: now.to_string(),
        requested: request.map(str::to_owned),
        ..DrillRun::default()
    }))
}

/// Names what a drill makes. No two drills have the same, also not two of one second.
fn drill_id(policy: &DrillPolicy, namespace: &str, now: Timestamp) -> String {
    let before = policy
        .status
        .drills
        .first()
        .map_or("", |record| record.id.as_str());
    let whole = format!("{}/{}/{namespace}/{now}/{before}", policy.namespace, policy.name);
    hex(&Sha256::digest(whole.as_bytes())[..4])
}

fn last<'a>(policy: &DrillPolicy<'a>, namespace: &str) -> Option<&'a DrillRecord> {
    policy
        .status
        .drills
        .iter()
        .find(|record| record.namespace == namespace)
}

fn last_started(policy: &DrillPolicy, namespace: &str) -> Option<Timestamp> {
    last(policy, namespace)?.started_at.parse().ok()
}

/// The namespace whose last drill is the longest ago.
fn oldest<'n>(policy: &DrillPolicy, known: &[&'n str]) -> Option<&'n str> {
    let all = known.iter().copied();
    all.min_by_key(|namespace| last_started(policy, namespace))
}

/// What drills have proved.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// The policy asks for none.
    NotAsked,
    /// Every namespace was restored lately, and fast enough. The 95th percentile of the seconds of its slowest namespace.
    Holds {
        /// Seconds.
        p95: u64,
    },
    /// It does not hold: in one word and in words.
    Fails {
        /// `NeverDrilled`, `DrillFailed`, `EvidenceExpired` or `TooSlow`.
        reason: &'static str,
        /// What is wrong.
        message: String,
    },
}

/// What drills have proved until now. What is not known is not proved.
pub fn proof(spec: &BackupPolicySpec, drills: &[DrillRecord], now: Timestamp) -> Proof {
    let Some(drill) = &spec.drill else {
        return Proof::NotAsked;
    };
    let asks = Asks {
        evidence_age: &drill.evidence_age,
        rto: spec.rto.as_deref(),
        window: drill.window as usize,
    };
    let mut slowest = 0;
    for namespace in namespaces(spec, drill) {
        match proved(drills, namespace, asks, now) {
            Ok(p95) => slowest = slowest.max(p95),
            Err((reason, message)) => return Proof::Fails { reason, message },
        }
    }
    Proof::Holds { p95: slowest }
}

/// What the drills of a namespace must have proved. Durations are Go's.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'a> {
    /// How long a drill proves anything.
    pub evidence_age: &'a str,
    /// How long a restore may take.
    pub rto: Option<&'a str>,
    /// Over how many of the last drills that is asked.
    pub window: usize,
}

/// How long 95 of 100 restores of a namespace take at most, in seconds, where its drills prove what is asked. The newest stand first.
///
/// # Errors
/// What they do not prove: in one word, one of those of [`Proof::Fails`], and in words.
pub fn proved(
    drills: &[DrillRecord],
    namespace: &str,
    asks: Asks,
    now: Timestamp,
) -> Result<u64, (&'static str, String)> {
    let of_namespace = || drills.iter().filter(|record| record.namespace == namespace);
    let never = |message: String| ("NeverDrilled", message);
    let last = of_namespace()
        .next()
        .ok_or_else(|| never(format!("namespace {namespace} was never restored in a drill")))?;
    let at = &last.finished_at;
    if !last.passed {
        let why = last.failure.as_deref().unwrap_or("no reason was written down");
        let message = format!("the last drill of namespace {namespace} failed at {at}: {why}");
        return Err(("DrillFailed", message));
    }
    let seconds = |text: &str| duration::parse(text).map_or(0, |length| length.as_secs());
    let age = at.parse::<Timestamp>().ok().and_then(|at| age(at, now));
    if age.unwrap_or(u64::MAX) > seconds(asks.evidence_age) {
        let allowed = asks.evidence_age;
        let message = format!(
            "namespace {namespace} was last restored at {at}, and a drill proves something for {allowed}"
        );
        return Err(("EvidenceExpired", message));
    }
    let took = of_namespace().filter(|record| record.passed).take(asks.window);
    let took = took.filter_map(|record| record.restore_seconds).collect();
    let p95 = percentile_95(took).ok_or_else(|| {
        never(format!(
            "it is not known how long a restore of namespace {namespace} takes"
        ))
    })?;
    match asks.rto {
        Some(rto) if p95 > seconds(rto) => {
            let message = format!(
                "restoring namespace {namespace} takes {} (95th percentile of the last {} drills), and {rto} is promised",
                span(p95),
                asks.window
            );
            Err(("TooSlow", message))
        }
        _ => Ok(p95),
    }
}

/// The value that 95 of 100 do not exceed, by nearest rank: of fewer than twenty it is the greatest.
fn percentile_95(mut all: Vec<u64>) -> Option<u64> {
    all.sort_unstable();
    let rank = (all.len() * 95).div_ceil(100);
    all.get(rank.checked_sub(1)?).copied()
}

/// Puts a drill's record before the others, and forgets the oldest of too many. The newest of each namespace stays, for it says when the
/// next one is due, and which volumes came back; of older ones stays what failed, for a status must not outgrow what etcd takes.
pub fn remember(drills: &mut Vec<DrillRecord>, record: DrillRecord) {
    let older = drills.iter_mut();
    for older in older.filter(|older| older.namespace == record.namespace) {
        older.volumes.clear();
        older.checks.retain(|check| !check.passed);
    }
    drills.insert(0, record);
    while drills.len() > RECORDS_MAX {
        let is_spare = |index: &usize| {
            let one = &drills[*index];
            drills[..*index]
                .iter()
                .any(|newer| newer.namespace == one.namespace)
        };
        match (0..drills.len()).rev().find(is_spare) {
            Some(index) => drop(drills.remove(index)),
            None => return,
        }
    }
}
