//! The part of a plan that says when backups are made, as people read it, and what is known of them.

use super::super::table::table;
use crate::decide;
use crate::io::cluster::Cluster;
use crate::model::coverage::BackupReading;
use crate::model::desired::Desired;
use crate::observe::claims;
use crate::render::backups::{Makes, PlannedBackups, PlannedSchedule};
use crate::turn::observing;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of backups, where the folder has a policy of them.
pub(super) async fn known(
    cluster: &Cluster,
    desired: &Desired,
    volumes: &[PersistentVolume],
    bound: &[PersistentVolumeClaim],
    now: Timestamp,
) -> Option<Arc<BackupReading>> {
    let rules = decide::coverage::rules(desired);
    let claims = claims::bound(&rules, volumes, bound);
    if rules.is_empty() {
        return None;
    }
    let looked = observing::look(cluster, &rules, &claims, &mut BTreeMap::new(), now).await;
    Some(Arc::new(looked))
}

/// The text, or none when there are no schedules.
pub(super) fn text(backups: &PlannedBackups, now: Timestamp) -> Option<String> {
    let all = &backups.schedules;
    if all.is_empty() && backups.hidden == 0 {
        return None;
    }
    let drills = all.iter().filter(|one| one.makes == Makes::Drills).count();
    let mut text = format!("Backup schedules: {}, drills: {drills}\n", all.len() - drills);
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    if !rows.is_empty() {
        text += &table(&["SCHEDULE", "WHEN", "GOES TO", "KEPT", "KEEPS"], &rows);
        let runs: Vec<Vec<String>> = all.iter().map(|one| next(one, now)).collect();
        text += "\n";
        text += &table(&["SCHEDULE", "NEXT RUNS (UTC)", "", "", "", ""], &runs);
    }
    if all.iter().any(|one| one.cron.contains("@every")) {
        text += "Runs of @every are counted from now; Velero counts them from the last backup.\n";
    }
    if backups.hidden > 0 {
        text += &format!(
            "Of {} more, in encrypted policies, nothing is shown.\n",
            backups.hidden
        );
    }
    Some(text)
}

fn name(one: &PlannedSchedule) -> String {
    match one.makes {
        Makes::Backups => one.schedule.clone(),
        Makes::Drills => format!("{} (drill)", one.schedule),
    }
}

fn row(one: &PlannedSchedule) -> Vec<String> {
    let to = match (&one.location, &one.bucket) {
        (Some(location), Some(bucket)) => format!("{location} ({bucket})"),
        (Some(location), None) => location.clone(),
        (None, _) => "a scratch namespace".to_owned(),
    };
    let keeps = match one.serves.is_empty() {
        true => "-".to_owned(),
        false => one.serves.join(", "),
    };
    // What a drill proves is believed for so long, and is kept for longer.
    let kept = match one.makes {
        Makes::Backups => one.kept.clone(),
        Makes::Drills => format!("{} (proof)", one.kept),
    };
    vec![name(one), one.cron.clone(), to, kept, keeps]
}

fn next(one: &PlannedSchedule, now: Timestamp) -> Vec<String> {
    let mut row = vec![name(one)];
    match one.paused {
        true => row.push("paused".to_owned()),
        false => row.extend(one.next.iter().map(|run| shown(*run, now))),
    }
    row
}

/// A time to the minute, with the year where it is another.
fn shown(run: Timestamp, now: Timestamp) -> String {
    let year = |at: Timestamp| TimeZone::UTC.to_datetime(at).year();
    let form = match year(run) == year(now) {
        true => "%a %d %b %H:%M",
        false => "%d %b %Y %H:%M",
    };
    run.strftime(form).to_string()
}
