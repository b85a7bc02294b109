//! What is covered, by what proof, and what is said where there is none.

use super::*;
use crate::model::backups::{FoundLocation, FoundRepository, FoundSchedule, Method};
use crate::model::coverage::{Gap, Judged, Verdict};
use crate::model::kinds::backup::{RuleMethod, VolumeMethod, VolumeRule};
use std::borrow::Cow;
use std::time::Duration;

/// What is reported of several backups.
mod reports;

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
        rpo: Some(Duration::from_secs(86_400)),
        ..BackupRules::default()
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
