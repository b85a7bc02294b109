//! Which names belong to whom; the refusals stand in a table of tests/restores.rs.

use super::*;
use crate::model::restores::{Owner, PodFacts, ScalerFacts, WorkloadFacts};

fn named(kind: &str, name: &str) -> Owner {
    Owner {
        group: "apps".into(),
        kind: kind.into(),
        name: name.into(),
    }
}

fn facts() -> Facts {
    let deployment = WorkloadFacts {
        itself: named("Deployment", "web"),
        replicas: 2,
        ..WorkloadFacts::default()
    };
    let replica_set = WorkloadFacts {
        itself: named("ReplicaSet", "web-1"),
        owner: Some(named("Deployment", "web")),
        ..WorkloadFacts::default()
    };
    let stateful = WorkloadFacts {
        itself: named("StatefulSet", "db"),
        replicas: 0,
        templates: ["data-db-".to_owned()].into(),
        ..WorkloadFacts::default()
    };
    Facts {
        namespace: NamespaceSeen::Active,
        workloads: vec![deployment, replica_set, stateful],
        pods: vec![PodFacts {
            name: "web-1-x".into(),
            owner: Some(named("ReplicaSet", "web-1")),
            ended: false,
            claims: ["files".to_owned()].into(),
        }],
        ..Facts::default()
    }
}

/// A plan that gives one claim a new volume.
fn restores_of(claim: &str) -> Plan {
    Plan {
        way: Way::Volumes,
        claims: vec![PlannedClaim {
            claim: claim.into(),
            method: Some("fs-backup"),
            bytes: Some(1),
            missing: None,
            exists: true,
            volume: String::new(),
            storage_class: String::new(),
            used_by: vec![],
            fate: Fate::Replaced,
        }],
        ..Plan::default()
    }
}

#[test]
fn the_workloads_of_a_claim_are_those_that_people_wrote_also_while_they_have_no_pods() {
    for (claim, expected) in [
        ("files", &["web"][..]),
        ("data-db-0", &["db"]),
        ("data-db-12", &["db"]),
        ("data-db-x", &[]),
        ("data-db-", &[]),
        ("other", &[]),
    ] {
        let mut plan = restores_of(claim);
        users::add(&facts(), &mut plan);
        let names: Vec<&str> = plan.workloads.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((names, plan.refusals), (expected.to_vec(), vec![]), "{claim}");
    }
}

#[test]
fn what_scales_by_itself_is_told_or_refused() {
    for (kind, target, paused, told, refused) in [
        ("HorizontalPodAutoscaler", "StatefulSet/db", false, 1, 0),
        ("HorizontalPodAutoscaler", "StatefulSet/other", false, 0, 0),
        ("ScaledObject", "StatefulSet/db", false, 0, 1),
        ("ScaledObject", "StatefulSet/db", true, 0, 0),
        ("ScaledObject", "Deployment/db", false, 0, 0),
    ] {
        let mut facts = facts();
        facts.scalers = vec![ScalerFacts {
            kind: kind.into(),
            name: "x".into(),
            target: target.into(),
            paused,
        }];
        let mut plan = restores_of("data-db-0");
        users::add(&facts, &mut plan);
        let counts = (plan.notes.len(), plan.refusals.len());
        assert_eq!(counts, (told, refused), "{kind} of {target}");
    }
}

#[test]
fn a_backup_takes_namespaces_as_velero_does() {
    for (included, excluded, expected) in [
        (&[][..], &[][..], true),
        (&["db", "web"], &[], true),
        (&["d*"], &[], true),
        (&["web"], &[], false),
        (&[], &["db"], false),
    ] {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let backup = BackupFacts {
            included: list(included),
            excluded: list(excluded),
            ..BackupFacts::default()
        };
        assert_eq!(takes(&backup, "db"), expected, "{included:?} {excluded:?}");
    }
}
