//! What a plan says of backups: each schedule with its next runs, where they go, how long they are kept, and which promise they serve.

use crate::formats::cron::{self, Cron};
use crate::formats::duration;
use crate::model::desired::{Desired, Resource};
use crate::model::kinds::backup::{BackupLocationSpec, BackupPolicySpec, BackupSchedule};
use jiff::Timestamp;
use serde::Serialize;

/// Runs that are told of each schedule.
const RUNS: usize = 5;

/// What a schedule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Makes {
    /// Backups.
    Backups,
    /// Drills: restores of the newest backup into a scratch namespace.
    Drills,
}

/// One schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedSchedule {
    /// What it is for.
    pub makes: Makes,
    /// Namespace and name of its BackupPolicy.
    pub policy: String,
    /// Namespace and name of Velero's Schedule; of drills, which are no object of Velero's, the policy's.
    pub schedule: String,
    /// The expression.
    pub cron: String,
    /// Whether it pauses.
    pub paused: bool,
    /// The BackupLocation.
    pub location: Option<String>,
    /// Its bucket, with the folder in it.
    pub bucket: Option<String>,
    /// How long a backup is kept, or how long a drill proves anything: a Go duration.
    pub kept: String,
    /// Which of the policy's promises it keeps, such as `rpo 26h`.
    pub serves: Vec<String>,
    /// The next runs, the soonest first. Those of `@every` are counted from now; Velero counts them from the last backup.
    pub next: Vec<Timestamp>,
}

/// All schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedBackups {
    /// In order of policies, as these write them.
    pub schedules: Vec<PlannedSchedule>,
    /// How many more there are in policies that were encrypted, of which nothing is told.
    pub hidden: usize,
}

/// A location with what it says.
type Location<'d> = (&'d Resource, BackupLocationSpec);

/// The schedules of a revision, and when they are due after `now`.
pub fn planned(desired: &Desired, now: Timestamp) -> PlannedBackups {
    let mut all = PlannedBackups::default();
    let locations: Vec<Location> = desired.ours("BackupLocation").collect();
    for (policy, spec) in desired.ours::<BackupPolicySpec>("BackupPolicy") {
        let of_policy = of_policy(policy, &spec, &locations, now);
        match policy.origin.secret {
            true => all.hidden += of_policy.len(),
            false => all.schedules.extend(of_policy),
        }
    }
    all
}

fn of_policy(
    policy: &Resource,
    spec: &BackupPolicySpec,
    locations: &[Location],
    now: Timestamp,
) -> Vec<PlannedSchedule> {
    let name = format!("{}/{}", policy.namespace(), policy.name());
    let rpo = spec.rpo.as_deref().and_then(|text| duration::parse(text).ok());
    let keeps = |cron: &Cron| rpo.is_some_and(|rpo| cron.gaps(now).is_some_and(|gaps| gaps.longest <= rpo));
    let read: Vec<(&BackupSchedule, Option<Cron>)> = spec
        .schedules
        .iter()
        .map(|schedule| (schedule, cron::parse(&schedule.schedule).ok()))
        .collect();
    let goes_on = |(schedule, cron): &&(&BackupSchedule, Option<Cron>)| {
        !schedule.paused && cron.as_ref().is_some_and(keeps)
    };
    let by_itself = read.iter().any(|one| goes_on(&one));
    let mut all: Vec<PlannedSchedule> = read
        .iter()
        .map(|(schedule, cron)| {
            let location = schedule.location.as_ref().unwrap_or(&spec.location);
            let keeps = cron.as_ref().is_some_and(keeps);
            let promise = spec.rpo.as_deref().filter(|_| !schedule.paused);
            let serves = match (promise, by_itself, keeps) {
                (Some(rpo), true, true) => vec![format!("rpo {rpo}")],
                // They take turns, or the policy would have been refused.
                (Some(rpo), false, _) => vec![format!("rpo {rpo}, with the others")],
                _ => Vec::new(),
            };
            PlannedSchedule {
                makes: Makes::Backups,
                policy: name.clone(),
                schedule: format!("{name}-{}", schedule.name),
                cron: schedule.schedule.clone(),
                paused: schedule.paused,
                location: Some(location.clone()),
                bucket: bucket(policy, location, locations),
                kept: schedule.ttl.clone(),
                serves,
                next: runs(cron.as_ref().filter(|_| !schedule.paused), now),
            }
        })
        .collect();
    if let Some(drill) = &spec.drill {
        all.push(PlannedSchedule {
            makes: Makes::Drills,
            policy: name.clone(),
            schedule: name,
            cron: drill.schedule.clone(),
            paused: false,
            location: None,
            bucket: None,
            kept: drill.evidence_age.clone(),
            serves: spec.rto.iter().map(|rto| format!("rto {rto}")).collect(),
            next: runs(cron::parse(&drill.schedule).ok().as_ref(), now),
        });
    }
    all
}

fn runs(cron: Option<&Cron>, now: Timestamp) -> Vec<Timestamp> {
    cron.map(|cron| cron.runs(now, RUNS)).unwrap_or_default()
}

/// The bucket of a location, unless that was encrypted.
fn bucket(policy: &Resource, name: &str, locations: &[Location]) -> Option<String> {
    let mut locations = locations.iter();
    let (location, spec) =
        locations.find(|(one, _)| one.name() == name && one.namespace() == policy.namespace())?;
    if location.origin.secret {
        return None;
    }
    Some(match &spec.prefix {
        None => spec.bucket.clone(),
        Some(prefix) => format!("{}/{prefix}", spec.bucket),
    })
}
