//! When drills start, and what they prove.

use crate::decide::drills::{DrillPolicy, Due, Proof, RECORDS_MAX, due, proof, remember};
use crate::model::kinds::backup::BackupPolicySpec;
use crate::model::kinds::drill::{BackupPolicyStatus, BackupSeen, DrillCheck, DrillRecord, DrillRun};
use jiff::Timestamp;
use serde_json::{Value, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn spec(changes: Value) -> BackupPolicySpec {
    let mut spec = json!({
        "location": "s3",
        "schedules": [{"name": "backup", "schedule": "0 2 * * *"}],
        "includedNamespaces": ["database", "monitoring"],
        "rto": "15m",
        "drill": {"schedule": "0 6 * * 0"},
    });
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn backup() -> BackupSeen {
    BackupSeen {
        name: "daily-backup-20261129020000".into(),
        location: "s3".into(),
        started_at: "2026-11-29T02:00:00Z".into(),
        ..BackupSeen::default()
    }
}

fn record(namespace: &str, finished: &str, seconds: u64) -> DrillRecord {
    DrillRecord {
        id: format!("{namespace}-{finished}"),
        namespace: namespace.into(),
        started_at: finished.into(),
        finished_at: finished.into(),
        passed: true,
        restore_seconds: Some(seconds),
        ..DrillRecord::default()
    }
}

fn policy<'a>(name: &'a str, spec: &'a BackupPolicySpec, status: &'a BackupPolicyStatus) -> DrillPolicy<'a> {
    DrillPolicy {
        namespace: "velero",
        name,
        spec,
        status,
        created: Some(at("2026-11-23T00:00:00Z")),
        requested: None,
    }
}

fn started(due: &Due) -> Option<&DrillRun> {
    match due {
        Due::Starts(run) => Some(run),
        _ => None,
    }
}

#[test]
fn a_drill_is_due_for_one_namespace_after_the_other_once_its_schedule_has_come() {
    let spec = spec(json!({}));
    let mut status = BackupPolicyStatus {
        covered: Some(backup()),
        ..BackupPolicyStatus::default()
    };
    let one = |status: &BackupPolicyStatus, now: &str| {
        due(&[policy("daily", &spec, status)], &[], at(now)).remove(0)
    };
    // Made on a Monday, due on Sunday at six.
    assert_eq!(one(&status, "2026-11-29T05:59:59Z"), Due::No);
    let first = one(&status, "2026-11-29T06:00:00Z");
    assert_eq!(started(&first).unwrap().namespace, "database");
    status.drills = vec![record("database", "2026-11-29T06:00:00Z", 60)];
    let second = one(&status, "2026-11-29T06:10:00Z");
    assert_eq!(started(&second).unwrap().namespace, "monitoring");
    remember(
        &mut status.drills,
        record("monitoring", "2026-11-29T06:10:00Z", 60),
    );
    assert_eq!(one(&status, "2026-12-06T05:59:00Z"), Due::No);
    assert!(started(&one(&status, "2026-12-06T06:00:00Z")).is_some());
}

#[test]
fn two_drills_never_share_a_location_or_a_name() {
    let spec = spec(json!({}));
    let idle = BackupPolicyStatus {
        covered: Some(backup()),
        ..BackupPolicyStatus::default()
    };
    let now = at("2026-11-29T06:00:00Z");
    let both = due(&[policy("a", &spec, &idle), policy("b", &spec, &idle)], &[], now);
    let first = started(&both[0]).unwrap().clone();
    assert!(matches!(&both[1], Due::Waits(why) if why.contains("location s3 is under way")));
    let busy = BackupPolicyStatus {
        drill: Some(first.clone()),
        ..idle.clone()
    };
    let again = due(&[policy("b", &spec, &idle), policy("a", &spec, &busy)], &[], now);
    assert!(matches!(again[0], Due::Waits(_)) && again[1] == Due::No);
    let elsewhere = [
        ("velero".to_owned(), "s3".to_owned()),
        ("other".to_owned(), "s4".to_owned()),
    ];
    let alone = due(&[policy("b", &spec, &idle)], &elsewhere, now);
    assert!(matches!(alone[0], Due::Waits(_)), "{alone:?}");
    let alone = due(&[policy("b", &spec, &idle)], &elsewhere[1..], now);
    assert!(matches!(alone[0], Due::Starts(_)), "{alone:?}");
    // In the same second, after the first has ended.
    let mut ended = idle;
    remember(
        &mut ended.drills,
        DrillRecord {
            id: first.id.clone(),
            namespace: "other".into(),
            ..DrillRecord::default()
        },
    );
    let next = due(&[policy("a", &spec, &ended)], &[], now).remove(0);
    assert_ne!(started(&next).unwrap().id, first.id);
}

#[test]
fn what_a_person_asks_for_starts_once_or_is_refused_once() {
    let spec = spec(json!({}));
    let mut status = BackupPolicyStatus {
        covered: Some(backup()),
        ..BackupPolicyStatus::default()
    };
    let now = at("2026-11-24T00:00:00Z");
    let ask = |status: &BackupPolicyStatus, word: &'static str| {
        let asked = DrillPolicy {
            requested: Some(word),
            ..policy("daily", &spec, status)
        };
        due(&[asked], &[], now).remove(0)
    };
    assert_eq!(
        started(&ask(&status, "1/monitoring")).unwrap().namespace,
        "monitoring"
    );
    assert_eq!(started(&ask(&status, "1")).unwrap().namespace, "database");
    assert!(
        matches!(ask(&status, "1/kube-system"), Due::Refused(why) if why.contains("database, monitoring"))
    );
    status.handled_request = Some("1/monitoring".into());
    assert_eq!(ask(&status, "1/monitoring"), Due::No);
    status.covered = None;
    assert!(matches!(ask(&status, "2"), Due::Waits(why) if why.contains("no backup holds every volume")));
}

/// Drills that ended, what the policy promises, and the word for what they prove.
type Proved = (Vec<DrillRecord>, &'static str, &'static str);

#[test]
fn a_proof_holds_while_every_namespace_was_restored_lately_and_fast_enough() {
    let failed = |namespace: &str, finished: &str| DrillRecord {
        passed: false,
        failure: Some("volume data: 41 of 42 bytes".into()),
        ..record(namespace, finished, 60)
    };
    let good = |namespace| record(namespace, "2026-11-28T06:00:00Z", 60);
    let cases: [Proved; 8] = [
        (vec![good("database"), good("monitoring")], "15m", "p95 60"),
        (vec![good("database")], "15m", "NeverDrilled"),
        (vec![], "15m", "NeverDrilled"),
        (
            vec![
                failed("database", "2026-11-28T06:00:00Z"),
                good("database"),
                good("monitoring"),
            ],
            "15m",
            "DrillFailed",
        ),
        (
            vec![
                good("database"),
                failed("database", "2026-11-27T06:00:00Z"),
                good("monitoring"),
            ],
            "15m",
            "p95 60",
        ),
        (
            vec![record("database", "2026-11-20T06:00:00Z", 60), good("monitoring")],
            "15m",
            "EvidenceExpired",
        ),
        (
            vec![
                good("database"),
                record("monitoring", "2026-11-28T06:00:00Z", 901),
            ],
            "15m",
            "TooSlow",
        ),
        // One lucky run does not hide a slow one.
        (
            vec![
                good("database"),
                record("database", "2026-11-21T06:00:00Z", 901),
                good("monitoring"),
            ],
            "15m",
            "TooSlow",
        ),
    ];
    for (drills, rto, word) in cases {
        let spec = spec(json!({"rto": rto}));
        let status = BackupPolicyStatus {
            drills,
            ..BackupPolicyStatus::default()
        };
        let said = match proof(&spec, &status.drills, at("2026-11-29T00:00:00Z")) {
            Proof::Holds { p95 } => format!("p95 {p95}"),
            Proof::Fails { reason, .. } => reason.to_owned(),
            Proof::NotAsked => "none".to_owned(),
        };
        assert_eq!(said, word, "{:#?}", status.drills);
    }
}

#[test]
fn of_older_drills_of_a_namespace_only_what_failed_stays_in_a_status() {
    let check = |name: &str, passed| DrillCheck {
        name: name.into(),
        passed,
        message: String::new(),
    };
    let whole = |namespace: &str, finished: &str| DrillRecord {
        volumes: vec!["a".into()],
        checks: vec![check("volume a", true), check("volume b", false)],
        ..record(namespace, finished, 1)
    };
    let (first, other, last) = (
        whole("often", "2026-02-01T00:00:00Z"),
        whole("rare", "2026-02-02T00:00:00Z"),
        whole("often", "2026-02-03T00:00:00Z"),
    );
    let mut drills = Vec::new();
    for one in [&first, &other, &last] {
        remember(&mut drills, one.clone());
    }
    let slim = DrillRecord {
        volumes: Vec::new(),
        checks: vec![check("volume b", false)],
        ..first
    };
    assert_eq!(drills, [last, other, slim]);
}

#[test]
fn of_many_drills_the_newest_are_remembered_and_one_of_each_namespace() {
    let mut drills = vec![record("rare", "2026-01-01T00:00:00Z", 1)];
    for day in 0..200 {
        remember(
            &mut drills,
            record(
                "often",
                &format!("2026-02-01T00:{:02}:{:02}Z", day / 60, day % 60),
                1,
            ),
        );
    }
    assert_eq!(drills.len(), RECORDS_MAX);
    assert!(drills.iter().any(|one| one.namespace == "rare"));
    assert!(drills[0].finished_at > drills[1].finished_at);
}
