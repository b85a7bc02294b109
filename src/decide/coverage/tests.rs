//! What is covered, by what proof, and what is said where there is none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::model::backups::{FoundLocation, FoundRepository, FoundSchedule, Method};
use crate::model::coverage::{Gap, Judged, Verdict};
use crate::model::kinds::backup::{RuleMethod, VolumeMethod, VolumeRule};
use std::borrow::Cow;
use std::time::Duration;

const NOW: i64 = 1_800_000_000;

fn at(seconds_ago: i64) -> Option<Timestamp> {
    Timestamp::from_second(NOW - seconds_ago).ok()
}

fn now() -> Timestamp {
    at(0).unwrap()
}

fn promises() -> BackupRules {
    BackupRules {
        policy: PolicyKey {
            namespace: "velero".into(),
            name: "db".into(),
        },
        location: "s3".into(),
        schedules: vec![ScheduleOf {
            object: "db-daily".into(),
            location: "s3".into(),
        }],
        scope: Scope {
            included: vec!["db".into()],
            ..Scope::default()
        },
        method: VolumeMethod::FsBackup,
        rules: Vec::new(),
        volume_policy: None,
        rpo: Some(Duration::from_secs(86_400)),
        secret: false,
    }
}

fn claim(name: &str) -> BackupClaim {
    BackupClaim {
        claim: ClaimRef {
            namespace: "db".into(),
            name: name.into(),
        },
        uid: format!("uid-{name}"),
        storage_class: "mayastor".into(),
        created: at(1_000_000),
        csi: true,
        ..BackupClaim::default()
    }
}

fn backup(name: &str, phase: &str, seconds_ago: i64) -> FoundBackup {
    FoundBackup {
        namespace: "velero".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        policy: "db".into(),
        location: "s3".into(),
        phase: phase.into(),
        started: at(seconds_ago),
        completed: at(seconds_ago - 60),
        created: at(seconds_ago),
        ..FoundBackup::default()
    }
}

fn upload(backup: &str, claim: &str) -> Upload {
    Upload {
        name: format!("{backup}-{claim}"),
        method: Method::FsBackup,
        backup: format!("uid-{backup}"),
        claim: format!("uid-{claim}"),
        phase: "Completed".into(),
        snapshot: format!("snap-{claim}"),
        done: 10,
        total: 10,
        uploader: "kopia".into(),
        message: String::new(),
    }
}

fn pod(name: &str, phase: &str, claim: &str) -> FoundPod {
    FoundPod {
        namespace: "db".into(),
        name: name.into(),
        phase: phase.into(),
        mounts: vec![("data".into(), claim.into())],
        ..FoundPod::default()
    }
}

/// One backup of one claim, and what is changed of it.
struct Case {
    rules: BackupRules,
    claim: BackupClaim,
    backup: FoundBackup,
    uploads: Vec<Upload>,
    pods: Option<Vec<FoundPod>>,
}

impl Case {
    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut case = Self {
            rules: promises(),
            claim: claim("a"),
            backup: backup("b", "Completed", 3600),
            uploads: vec![upload("b", "a")],
            pods: None,
        };
        change(&mut case);
        case
    }

    fn verdict(&self) -> Verdict {
        let pods = self.pods.iter().map(|pods| ("db".to_owned(), pods.clone()));
        let judged = judge(
            &self.rules,
            &[&self.claim],
            &self.backup,
            &self.uploads,
            &pods.collect(),
        );
        judged.volumes[0].1.clone()
    }
}

fn change_upload(change: impl FnOnce(&mut Upload)) -> Case {
    Case::with(|case| change(&mut case.uploads[0]))
}

fn without_upload(change: impl FnOnce(&mut Case)) -> Case {
    Case::with(|case| {
        case.uploads.clear();
        change(case);
    })
}

#[test]
fn a_volume_is_covered_by_a_complete_upload_of_its_own_with_a_snapshot() {
    for method in [Method::FsBackup, Method::SnapshotMove] {
        let covered = Verdict::Covered {
            method,
            bytes: 10,
            snapshot: "snap-a".into(),
        };
        assert_eq!(change_upload(|one| one.method = method).verdict(), covered);
    }
    // A file system that no file is on has a snapshot, and no bytes.
    let empty = change_upload(|one| (one.done, one.total) = (0, 0));
    assert!(matches!(empty.verdict(), Verdict::Covered { bytes: 0, .. }));
    // Of two uploads, as when two pods mount a claim, one that is good is enough.
    let two = Case::with(|case| {
        let mut failed = upload("b", "a");
        failed.phase = "Failed".into();
        case.uploads.insert(0, failed);
    });
    assert!(matches!(two.verdict(), Verdict::Covered { .. }));
}

#[test]
fn each_gap_has_its_own_reason_and_says_what_to_do() {
    let snapshot_move = |case: &mut Case| case.rules.method = VolumeMethod::SnapshotMove;
    let cases = [
        (
            Gap::UploadFailed,
            "no space left",
            change_upload(|one| {
                (one.phase, one.message) = ("Failed".into(), "no space left".into());
            }),
        ),
        (
            Gap::UploadFailed,
            "Canceled",
            change_upload(|one| one.phase = "Canceled".into()),
        ),
        (
            Gap::UploadIncomplete,
            "9 of 10 bytes",
            change_upload(|one| one.done = 9),
        ),
        (
            Gap::UploadIncomplete,
            "InProgress",
            change_upload(|one| one.phase = "InProgress".into()),
        ),
        (
            Gap::NoSnapshotId,
            "names no snapshot",
            change_upload(|one| one.snapshot.clear()),
        ),
        (
            Gap::Restic,
            "kopia",
            change_upload(|one| one.uploader = "restic".into()),
        ),
        (
            Gap::BackupNotCompleted,
            "PartiallyFailed",
            Case::with(|case| case.backup.phase = "PartiallyFailed".into()),
        ),
        (
            Gap::BackupNotCompleted,
            "Failed",
            without_upload(|case| case.backup.phase = "Failed".into()),
        ),
        (
            Gap::YoungerThanBackup,
            "next backup",
            without_upload(|case| case.claim.created = at(1800)),
        ),
        (
            Gap::HostPath,
            "hostPath",
            without_upload(|case| case.claim.host_path = true),
        ),
        (
            Gap::BlockMode,
            "snapshot-move",
            without_upload(|case| case.claim.block = true),
        ),
        (Gap::NoRecord, "velero backup logs", without_upload(|_| {})),
        (
            Gap::NoRecord,
            "volumeRules",
            without_upload(|case| case.rules.volume_policy = Some("own".into())),
        ),
        (
            Gap::NotMounted,
            "start its workload",
            without_upload(|case| case.pods = Some(vec![pod("p", "Running", "other")])),
        ),
        (
            Gap::PodNotRunning,
            "pod p is Pending",
            without_upload(|case| case.pods = Some(vec![pod("p", "Pending", "a")])),
        ),
        (
            Gap::PodNotSelected,
            "labelSelector",
            without_upload(|case| {
                case.rules.scope.labels = BTreeMap::from([("app".to_owned(), "pg".to_owned())]);
                case.claim.labels.clone_from(&case.rules.scope.labels);
                case.pods = Some(vec![pod("p", "Running", "a")]);
            }),
        ),
        (
            Gap::ExcludedByPod,
            "names data",
            without_upload(|case| {
                let mut excluding = pod("p", "Running", "a");
                excluding.excluded = BTreeSet::from(["data".to_owned()]);
                case.pods = Some(vec![excluding]);
            }),
        ),
        (
            Gap::NoRecord,
            "velero backup logs",
            without_upload(|case| case.pods = Some(vec![pod("p", "Running", "a")])),
        ),
        (
            Gap::NotCsi,
            "fs-backup",
            without_upload(|case| {
                snapshot_move(case);
                case.claim.csi = false;
            }),
        ),
        (
            Gap::SnapshotNotMoved,
            "never left",
            without_upload(|case| {
                snapshot_move(case);
                (case.backup.moves_data, case.backup.snapshots) = (true, 1);
            }),
        ),
        (Gap::SnapshotNotMoved, "never left", without_upload(snapshot_move)),
        (
            Gap::NoRecord,
            "VolumeSnapshotClass",
            without_upload(|case| {
                snapshot_move(case);
                case.backup.moves_data = true;
            }),
        ),
    ];
    for (expected, words, case) in cases {
        match case.verdict() {
            Verdict::Uncovered { gap, message } => {
                assert_eq!(gap, expected, "{message}");
                let words = words.replace("never left", "none of it left");
                assert!(message.contains(&words), "{expected:?}: {message}");
            }
            other => panic!("{expected:?}: {other:?}"),
        }
    }
}

#[test]
fn what_a_rule_skips_is_exempt_with_the_rule_s_reason_and_the_first_rule_counts() {
    let rule = |class: &str, method, reason: &str| VolumeRule {
        storage_classes: vec![class.to_owned()],
        claim_labels: BTreeMap::new(),
        method,
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
    };
    let exempt = |reason: &str| Verdict::Exempt {
        reason: reason.into(),
    };
    let skip = rule("mayastor", RuleMethod::Skip, "CNPG archives it");
    let other = rule("other", RuleMethod::Skip, "not this one");
    let files = rule("mayastor", RuleMethod::FsBackup, "");
    for (rules, expected) in [
        (vec![other.clone(), skip.clone()], Some("CNPG archives it")),
        (vec![files, skip], None),
        (vec![other], None),
    ] {
        let verdict = without_upload(|case| case.rules.rules = rules.clone()).verdict();
        match expected {
            Some(reason) => assert_eq!(verdict, exempt(reason)),
            None => assert!(
                matches!(verdict, Verdict::Uncovered { .. }),
                "{rules:?}: {verdict:?}"
            ),
        }
    }
    let labelled = without_upload(|case| {
        let label = ("velero.io/exclude-from-backup".to_owned(), "true".to_owned());
        case.claim.labels = BTreeMap::from([label]);
    });
    assert!(matches!(labelled.verdict(), Verdict::Exempt { .. }));
    let objects = without_upload(|case| case.rules.method = VolumeMethod::None);
    assert!(matches!(objects.verdict(), Verdict::Exempt { .. }));
}

/// Whatever uploads there are, a volume is covered only by one of its own claim and of that backup, and once.
#[test]
fn no_volume_is_covered_by_an_upload_of_another_backup_or_of_another_claim_of_its_name() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..500 {
        let (backups, claims) = (["b", "c"], ["a", "a-again", "d"]);
        let uploads: Vec<Upload> = (0..random.usize(0..6))
            .map(|_| {
                let mut one = upload(backups[random.usize(0..2)], claims[random.usize(0..3)]);
                if random.bool() {
                    one.done = 0;
                }
                if random.u8(0..5) == 0 {
                    one.claim.clear();
                }
                one
            })
            .collect();
        // The same name, made again: another uid.
        let known = [claim("a"), claim("d")];
        let known: Vec<&BackupClaim> = known.iter().collect();
        let judged = judge(
            &promises(),
            &known,
            &backup("b", "Completed", 60),
            &uploads,
            &BTreeMap::new(),
        );
        assert_eq!(judged.volumes.len(), 2);
        for ((name, verdict), claim) in judged.volumes.iter().zip(&known) {
            let proof = uploads
                .iter()
                .any(|one| one.backup == "uid-b" && one.claim == claim.uid && one.done == one.total);
            assert_eq!(
                matches!(verdict, Verdict::Covered { .. }),
                proof,
                "{name}: {uploads:?}"
            );
        }
    }
}

fn evidence() -> Evidence {
    Evidence {
        claims: vec![claim("a"), claim("z")],
        state: VeleroState {
            locations: vec![FoundLocation {
                namespace: "velero".into(),
                name: "s3".into(),
                phase: "Available".into(),
                message: String::new(),
            }],
            ..VeleroState::default()
        },
        ..Evidence::default()
    }
}

/// Backups with uploads of the claims that are named, judged.
fn reported(backups: &[(&FoundBackup, &[&str])], change: impl FnOnce(&mut Evidence)) -> PolicyReport {
    let mut evidence = evidence();
    for (backup, claims) in backups {
        evidence.state.backups.push((*backup).clone());
        let uploads = claims.iter().map(|claim| upload(&backup.name, claim));
        evidence
            .uploads
            .insert(backup.uid.clone(), Arc::new(uploads.collect()));
    }
    change(&mut evidence);
    let (mut reading, _) = report(&[Arc::new(promises())], Ok(&evidence), now());
    reading.policies.remove(0)
}

fn said(report: &PolicyReport) -> Vec<(&'static str, bool, &'static str)> {
    let says = report.says(None, now()).into_iter();
    let one = |said: crate::model::coverage::Said| match said.reason {
        Cow::Borrowed(reason) => (said.type_, said.holds, reason),
        Cow::Owned(reason) => panic!("{reason} is a drill's"),
    };
    says.map(one).collect()
}

#[test]
fn what_is_lost_is_measured_from_the_start_of_the_newest_backup_that_holds_every_volume() {
    let (old, new) = (backup("old", "Completed", 7200), backup("new", "Completed", 3600));
    let both = reported(&[(&old, &["a", "z"]), (&new, &["a", "z"])], |_| {});
    assert_eq!((both.age(now()), both.is_fresh(now())), (Some(3600), Some(true)));
    assert_eq!(
        said(&both),
        [
            ("Ready", true, "BackedUp"),
            ("Covered", true, "Covered"),
            ("Fresh", true, "Fresh")
        ]
    );

    let gap = reported(&[(&old, &["a", "z"]), (&new, &["a"])], |_| {});
    assert_eq!(
        gap.age(now()),
        Some(7200),
        "the newer one lacks a volume and is no backup"
    );
    assert_eq!(
        said(&gap),
        [
            ("Ready", false, "Uncovered"),
            ("Covered", false, "Uncovered"),
            ("Fresh", true, "Fresh")
        ]
    );
    assert_eq!(gap.unprotected(), [(claim("z").claim, Gap::NoRecord)]);
    assert!(
        gap.says(None, now())[0].message.contains("db/z (NoRecord"),
        "{:?}",
        gap.says(None, now())
    );

    let failed = reported(
        &[
            (&old, &["a", "z"]),
            (&backup("new", "PartiallyFailed", 3600), &["a", "z"]),
        ],
        |_| {},
    );
    assert_eq!(
        (failed.age(now()), said(&failed)[0].2),
        (Some(7200), "BackupFailed")
    );

    let ancient = backup("ancient", "Completed", 90_000);
    let stale = reported(&[(&ancient, &["a", "z"])], |_| {});
    assert_eq!(
        said(&stale),
        [
            ("Ready", false, "Stale"),
            ("Covered", true, "Covered"),
            ("Fresh", false, "Stale")
        ]
    );
}

#[test]
fn what_is_not_known_is_never_fresh() {
    let never = reported(&[], |_| {});
    assert_eq!((never.age(now()), never.is_fresh(now())), (None, Some(false)));
    assert_eq!(said(&never)[0], ("Ready", false, "NeverBackedUp"));
    assert_eq!(never.unprotected().len(), 2, "every volume in scope");
    let exempt = reported(&[], |evidence| {
        let label = ("velero.io/exclude-from-backup".to_owned(), "true".to_owned());
        evidence.claims[0].labels = BTreeMap::from([label]);
    });
    assert_eq!(
        exempt.unprotected(),
        [(claim("z").claim, Gap::NeverBackedUp)],
        "but those that are exempt"
    );

    let nothing = reported(&[(&backup("new", "Completed", 60), &[])], |_| {});
    assert_eq!(said(&nothing)[2], ("Fresh", false, "NothingCovered"));

    // Nobody has read its uploads yet.
    let unread = reported(&[(&backup("new", "Completed", 60), &["a", "z"])], |evidence| {
        evidence.uploads.clear()
    });
    assert_eq!(
        (unread.newest.is_none(), unread.is_fresh(now())),
        (true, Some(false))
    );

    for (unseen, reason) in [
        (Unseen::Absent, "VeleroMissing"),
        (Unseen::Unreadable("refused".into()), "VeleroUnreadable"),
    ] {
        let (reading, asked) = report(&[Arc::new(promises())], Err(&unseen), now());
        let says = reading.policies[0].says(reading.unseen.as_ref(), now());
        assert!(
            asked.is_empty() && says.iter().all(|one| !one.holds && one.reason == reason),
            "{says:?}"
        );
        assert_eq!(reading.policies[0].is_fresh(now()), Some(false));
    }
}

#[test]
fn a_claim_that_is_younger_than_the_backup_is_named_and_makes_it_no_worse() {
    let new = backup("new", "Completed", 3600);
    let report = reported(&[(&new, &["a"])], |evidence| evidence.claims[1].created = at(60));
    assert_eq!(said(&report)[0], ("Ready", true, "BackedUp"));
    assert_eq!(report.unprotected(), [(claim("z").claim, Gap::YoungerThanBackup)]);
    let seen = report.newest.as_ref().map(Judged::seen).unwrap();
    assert_eq!((seen.volumes, seen.covered, seen.uncovered.len()), (2, 1, 1));
    assert!(
        report.says(None, now())[0].message.contains("1 were made since"),
        "{:?}",
        report.says(None, now())
    );
}

#[test]
fn what_keeps_backups_from_being_made_comes_first() {
    let new = backup("new", "Completed", 3600);
    let schedule = |evidence: &mut Evidence| {
        evidence.state.schedules.push(FoundSchedule {
            namespace: "velero".into(),
            name: "db-daily".into(),
            phase: "FailedValidation".into(),
            refusals: vec!["invalid schedule: expected exactly 5 fields".into()],
        });
    };
    let refused = reported(&[(&new, &["a", "z"])], schedule);
    let ready = refused.says(None, now()).remove(0);
    assert_eq!((ready.holds, &*ready.reason), (false, "ScheduleRefused"));
    assert!(
        ready.message.contains("expected exactly 5 fields"),
        "in Velero's words: {}",
        ready.message
    );

    let repository = |change: fn(&mut FoundRepository)| {
        move |evidence: &mut Evidence| {
            let mut repository = FoundRepository {
                namespace: "velero".into(),
                name: "db-s3-kopia".into(),
                location: "s3".into(),
                phase: "Ready".into(),
                created: at(90 * 86_400),
                maintained: at(3600),
                frequency: Some(Duration::from_secs(3600)),
                ..FoundRepository::default()
            };
            change(&mut repository);
            evidence.state.repositories.push(repository);
        }
    };
    type Change = Box<dyn FnOnce(&mut Evidence)>;
    let table: [(&str, Change); 6] = [
        (
            "no BackupStorageLocation",
            Box::new(|evidence| evidence.state.locations.clear()),
        ),
        (
            "bucket is gone",
            Box::new(|evidence| {
                let location = &mut evidence.state.locations[0];
                (location.phase, location.message) = ("Unavailable".into(), "bucket is gone".into());
            }),
        ),
        (
            "does it run?",
            Box::new(|evidence| evidence.state.locations[0].phase.clear()),
        ),
        (
            "is not ready",
            Box::new(repository(|one| one.phase = "NotReady".into())),
        ),
        (
            "not been maintained since",
            Box::new(repository(|one| one.maintained = at(25 * 3600))),
        ),
        (
            "wrong password",
            Box::new(repository(|one| {
                (one.maintained, one.refusal) = (None, "wrong password".into());
            })),
        ),
    ];
    for (words, change) in table {
        let report = reported(&[(&new, &["a", "z"])], change);
        let ready = report.says(None, now()).remove(0);
        assert_eq!(
            (ready.holds, &*ready.reason),
            (false, "LocationUnavailable"),
            "{words}"
        );
        assert!(ready.message.contains(words), "{words}: {}", ready.message);
    }
    let kept = reported(&[(&new, &["a", "z"])], repository(|_| {}));
    assert_eq!(
        said(&kept)[0],
        ("Ready", true, "BackedUp"),
        "maintained an hour ago"
    );
    let rejected = FoundBackup {
        refusals: vec!["an existing backup storage location was not specified".into()],
        ..backup("newer", "FailedValidation", 60)
    };
    let report = reported(&[(&new, &["a", "z"]), (&rejected, &[])], |_| {});
    assert_eq!(said(&report)[0].2, "BackupRefused");
}

#[test]
fn each_backup_is_asked_about_once_and_none_further_back_than_is_needed() {
    let mut evidence = evidence();
    for (name, phase, ago) in [
        ("d4", "Failed", 10),
        ("d3", "Completed", 20),
        ("d2", "Completed", 30),
        ("d1", "Completed", 40),
        ("running", "WaitingForPluginOperations", 5),
    ] {
        evidence.state.backups.push(backup(name, phase, ago));
    }
    let mut order = Vec::new();
    loop {
        let (reading, asked) = report(&[Arc::new(promises())], Ok(&evidence), now());
        if asked.is_empty() {
            let policy = &reading.policies[0];
            assert_eq!(policy.covered.as_ref().unwrap().backup.name, "d2");
            let uploading: Vec<_> = policy.uploading.values().collect();
            assert_eq!(uploading, ["running"]);
            break;
        }
        for (_, uid) in asked.uploads {
            let name = uid.strip_prefix("uid-").unwrap();
            assert!(!order.contains(&uid), "{uid} again");
            let mut uploads = vec![upload(name, "a")];
            match name {
                "d2" => uploads.push(upload(name, "z")),
                "running" => uploads[0].phase = "InProgress".into(),
                _ => {}
            }
            evidence.uploads.insert(uid.clone(), Arc::new(uploads));
            order.push(uid);
        }
        for namespace in asked.pods {
            evidence.pods.insert(namespace, Vec::new());
        }
    }
    order.sort();
    assert_eq!(order, ["uid-d2", "uid-d3", "uid-running"]);
}

#[test]
fn backups_of_other_policies_and_claims_out_of_scope_are_nobody_s_business() {
    let new = backup("new", "Completed", 3600);
    let report = reported(&[(&new, &["a", "z"])], |evidence| {
        let mut foreign = backup("foreign", "Completed", 10);
        foreign.policy = "web".into();
        let mut elsewhere = backup("elsewhere", "Completed", 10);
        elsewhere.namespace = "other".into();
        evidence.state.backups.extend([foreign, elsewhere]);
        let mut out = claim("out");
        out.claim.namespace = "web".into();
        evidence.claims.push(out);
    });
    assert_eq!(report.newest.as_ref().unwrap().backup.name, "new");
    assert_eq!(report.in_scope.len(), 2);
    let labelled_out = reported(&[(&new, &[])], |evidence| {
        evidence.state.excluded_namespaces.insert("db".into());
    });
    assert!(
        labelled_out.in_scope.is_empty(),
        "velero.io/exclude-from-backup on the namespace"
    );
}
