//! What is reported of a policy from several backups: what would be lost, what is unknown, and what comes first.

use super::*;

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

    for (agents, exempt, expected) in [
        (None, false, "BackedUp"),
        (Some("velero"), false, "BackedUp"),
        (Some("elsewhere"), false, "NoNodeAgent"),
        (Some("elsewhere"), true, "BackedUp"),
    ] {
        let claims = if exempt { &[][..] } else { &["a", "z"][..] };
        let report = reported(&[(&new, claims)], |evidence| {
            let agents = agents.map(|namespace: &str| BTreeSet::from([namespace.to_owned()]));
            evidence.state.node_agents = agents;
            if exempt {
                evidence.claims.clear();
            }
        });
        let ready = report.says(None, now()).remove(0);
        assert_eq!(
            (&*ready.reason, ready.holds),
            (expected, expected == "BackedUp"),
            "{ready:?}"
        );
    }

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
