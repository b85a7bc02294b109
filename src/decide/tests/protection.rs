//! Claims about what backups keep from being moved: what is being read waits, and nothing grows colder before its backup is fresh.

use super::world::*;
use crate::model::backups::{BackupRules, Busy, FoundBackup, PolicyKey, Scope, Unseen};
use crate::model::coverage::{BackupReading, Judged, PolicyReport};
use crate::model::kinds::backup::{RuleMethod, VolumeRule};
use crate::model::kinds::drill::DrillRun;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

fn at(seconds_ago: i64) -> Timestamp {
    Timestamp::from_second(NOW - seconds_ago).unwrap()
}

/// A policy that takes namespace `db` and allows a day to be lost, with a whole backup that started an hour ago.
fn backed_up() -> (BackupReading, BackupRules) {
    let rules = BackupRules {
        policy: PolicyKey {
            namespace: "velero".into(),
            name: "nightly".into(),
        },
        location: "s3".into(),
        scope: Scope {
            included: vec!["db".into()],
            ..Scope::default()
        },
        rpo: Some(Duration::from_secs(86_400)),
        ..BackupRules::default()
    };
    let reading = BackupReading {
        at: at(0),
        unseen: None,
        policies: vec![PolicyReport {
            rules: Arc::new(rules.clone()),
            in_scope: vec![claim()],
            newest: None,
            covered: Some(started(3600)),
            reading: None,
            uploading: BTreeMap::new(),
            drill: None,
            drills: Vec::new(),
            trouble: None,
        }],
        locations: Vec::new(),
        excluded_namespaces: BTreeSet::new(),
        restoring: BTreeMap::new(),
        busy: Vec::new(),
    };
    (reading, rules)
}

fn started(seconds_ago: i64) -> Judged {
    Judged {
        backup: FoundBackup {
            name: "nightly-1".into(),
            phase: "Completed".into(),
            started: Some(at(seconds_ago)),
            ..FoundBackup::default()
        },
        volumes: Vec::new(),
    }
}

/// What becomes of an approved move to the hotter and one to the colder tier, and of a proposal to the colder one.
fn verdicts(change: &dyn Fn(&mut BackupReading, &mut BackupRules)) -> [String; 3] {
    let (mut reading, mut rules) = backed_up();
    change(&mut reading, &mut rules);
    reading.policies[0].rules = Arc::new(rules);
    let backups = Some(Arc::new(reading));
    let mut hotter = world();
    hotter.assigned("hot", None);
    hotter.approve("hot");
    let mut colder = world().at(100.0, 1.0);
    colder.on_hot();
    colder.approve_of("cold", None);
    let mut proposed = world().at(100.0, 1.0);
    proposed.on_hot();
    [hotter, colder, proposed].map(|mut world| {
        assert!(
            ["start hot", "start cold", "propose cold"].contains(&world.verdict().as_str()),
            "{}",
            world.verdict()
        );
        world.in_flight.backups.clone_from(&backups);
        world.decided(|decision| assert!(decision.superseded.is_empty(), "what waits is not used up"));
        world.verdict()
    })
}

fn busy(restores: bool, namespace: &str) -> Busy {
    Busy {
        name: "by-hand".into(),
        restores,
        scope: Scope {
            included: vec![namespace.into()],
            ..Scope::default()
        },
    }
}

#[test]
fn what_backups_do_decides_which_moves_start() {
    type Change = fn(&mut BackupReading, &mut BackupRules);
    let free = ["start hot", "start cold", "propose cold"];
    let cases: [(&str, Change, [&str; 3]); 19] = [
        ("fresh and at rest", |_, _| {}, free),
        (
            "a backup reads volumes",
            |reading, _| reading.policies[0].reading = Some("nightly-2".into()),
            ["BackupRuns", "BackupRuns", "propose cold"],
        ),
        (
            "its upload goes on",
            |reading, _| drop(reading.policies[0].uploading.insert(claim(), "nightly-2".into())),
            ["BackupRuns", "BackupRuns", "propose cold"],
        ),
        (
            "the upload of another claim goes on",
            |reading, _| {
                let mut other = claim();
                other.name = "other".into();
                reading.policies[0].uploading.insert(other, "nightly-2".into());
            },
            free,
        ),
        (
            "a drill of its namespace runs",
            |reading, _| {
                reading.policies[0].drill = Some(DrillRun {
                    namespace: "db".into(),
                    ..DrillRun::default()
                });
            },
            ["DrillRuns", "DrillRuns", "propose cold"],
        ),
        (
            "a drill of another namespace runs",
            |reading, _| {
                reading.policies[0].drill = Some(DrillRun {
                    namespace: "web".into(),
                    ..DrillRun::default()
                });
            },
            free,
        ),
        (
            "a restore of its namespace is under way",
            |reading, _| drop(reading.restoring.insert("db".into(), "0f3a".into())),
            ["RestoreRuns", "RestoreRuns", "propose cold"],
        ),
        (
            "a backup of no policy is under way",
            |reading, _| reading.busy.push(busy(false, "d*")),
            ["BackupRuns", "BackupRuns", "propose cold"],
        ),
        (
            "somebody's restore is under way",
            |reading, _| reading.busy.push(busy(true, "db")),
            ["RestoreRuns", "RestoreRuns", "propose cold"],
        ),
        (
            "both, of another namespace",
            |reading, _| reading.busy.extend([busy(false, "web"), busy(true, "web")]),
            free,
        ),
        (
            "a restore of another namespace is under way",
            |reading, _| drop(reading.restoring.insert("web".into(), "0f3a".into())),
            free,
        ),
        (
            "the backup is too old",
            |reading, _| reading.policies[0].covered = Some(started(86_401)),
            ["start hot", "BackupStale", "BackupStale"],
        ),
        (
            "the backup is just young enough",
            |reading, _| reading.policies[0].covered = Some(started(86_400)),
            free,
        ),
        (
            "there is no whole backup",
            |reading, _| reading.policies[0].covered = None,
            ["start hot", "BackupStale", "BackupStale"],
        ),
        (
            "nothing is promised about age",
            |reading, rules| {
                reading.policies[0].covered = None;
                rules.rpo = None;
            },
            free,
        ),
        (
            "the policy exempts it",
            |reading, rules| {
                reading.policies[0].covered = None;
                reading.policies[0].reading = Some("nightly-2".into());
                rules.rules = vec![VolumeRule {
                    storage_classes: vec!["mayastor".into()],
                    claim_labels: BTreeMap::new(),
                    method: RuleMethod::Skip,
                    reason: Some("archived elsewhere".into()),
                }];
            },
            free,
        ),
        (
            "no policy takes it",
            |reading, rules| {
                reading.policies[0].covered = None;
                reading.unseen = Some(Unseen::Unreadable("refused".into()));
                rules.scope.included = vec!["web-*".into()];
            },
            free,
        ),
        (
            "nobody knows",
            |reading, _| {
                reading.policies[0].covered = None;
                reading.unseen = Some(Unseen::Unreadable("refused".into()));
            },
            ["BackupUnknown", "BackupUnknown", "BackupUnknown"],
        ),
        (
            "without Velero nothing runs, and nothing is fresh",
            |reading, _| {
                reading.policies[0].covered = None;
                reading.unseen = Some(Unseen::Absent);
            },
            ["start hot", "BackupStale", "BackupStale"],
        ),
    ];
    for (what, change, expected) in cases {
        assert_eq!(verdicts(&change), expected, "{what}");
    }
}

#[test]
fn an_encrypted_backup_policy_is_not_quoted() {
    let (mut reading, mut rules) = backed_up();
    rules.secret = true;
    reading.policies[0].rules = Arc::new(rules);
    reading.policies[0].covered = None;
    let mut world = world().at(100.0, 1.0);
    world.on_hot();
    world.in_flight.backups = Some(Arc::new(reading));
    let words = world.decided(|decision| decision.left_alone[0].words());
    assert!(
        !words.contains("nightly") && !words.contains("24 h") && !words.contains("1 d"),
        "{words}"
    );
}
