//! Claims about what speaks against making a Cluster's instances anew, and what has to be waited for.

use super::*;

/// A Cluster of two, which is well and makes claims of class `fast`.
fn well() -> Seen {
    let claim = |instance: &str| ClaimNow {
        uid: format!("uid-{instance}"),
        class: "slow".to_owned(),
        bytes: 5,
        instance: instance.to_owned(),
        role: DATA.to_owned(),
        bound: true,
        ..ClaimNow::default()
    };
    let pod = |name: &str| PodNow {
        ready: true,
        claims: [name.to_owned()].into(),
        primary: name == "x-1",
        ..PodNow::default()
    };
    let storage = Storage {
        place: "spec.storage.storageClass".to_owned(),
        class: "fast".to_owned(),
        bytes: 5,
        resizes: true,
    };
    Seen {
        name: "x".to_owned(),
        cluster: Some(ClusterNow {
            wanted: 2,
            storage: [(DATA.to_owned(), storage)].into(),
            instances: 2,
            ready: 2,
            names: ["x-1".to_owned(), "x-2".to_owned()].into(),
            phase: HEALTHY.to_owned(),
            primary: "x-1".to_owned(),
            target: "x-1".to_owned(),
            reported: [("x-1".to_owned(), (true, 3)), ("x-2".to_owned(), (false, 3))].into(),
            ..ClusterNow::default()
        }),
        claims: ["x-1", "x-2"].map(|one| (one.to_owned(), claim(one))).into(),
        pods: ["x-1", "x-2"].map(|one| (one.to_owned(), pod(one))).into(),
        ..Seen::default()
    }
}

fn cluster(seen: &mut Seen) -> &mut ClusterNow {
    seen.cluster.as_mut().unwrap()
}

fn claim<'s>(seen: &'s mut Seen, name: &str) -> &'s mut ClaimNow {
    seen.claims.get_mut(name).unwrap()
}

type Change = fn(&mut Seen);

#[test]
fn whatever_keeps_an_instance_from_being_missed_is_waited_for_by_name() {
    assert_eq!(well().waits(), None);
    let rows: [(Change, &str); 23] = [
        (|s| s.cluster = None, "is gone"),
        (|s| cluster(s).going = true, "is gone or being deleted"),
        (|s| cluster(s).hibernated = true, "is hibernated"),
        (|s| cluster(s).fenced = true, "fenced"),
        (|s| cluster(s).maintained = true, "maintenance window"),
        (|s| cluster(s).left_alone = true, "reconciliationLoop"),
        (
            |s| {
                s.backups.insert("nightly".to_owned());
            },
            "Backup nightly",
        ),
        (|s| cluster(s).target = "x-2".to_owned(), "switches over"),
        (|s| cluster(s).primary.clear(), "switches over"),
        (
            |s| cluster(s).phase = "Upgrading cluster".to_owned(),
            "Upgrading cluster",
        ),
        (
            |s| {
                cluster(s).failing.insert("ContinuousArchiving".to_owned());
            },
            "ContinuousArchiving",
        ),
        (|s| cluster(s).ready = 1, "1 of 2"),
        (|s| cluster(s).instances = 3, "3 are there"),
        (
            |s| {
                cluster(s).unsettled.insert("x-3".to_owned());
            },
            "claim x-3",
        ),
        (
            |s| {
                s.pods.remove("x-2");
            },
            "not all of its pods",
        ),
        // An operator that has died says still that all is well.
        (
            |s| s.pods.get_mut("x-2").unwrap().ready = false,
            "x-2 is not ready",
        ),
        (
            |s| s.pods.get_mut("x-2").unwrap().going = true,
            "x-2 is not ready",
        ),
        (
            |s| {
                cluster(s).reported.insert("x-2".to_owned(), (false, 2));
            },
            "x-2 does not report that it follows",
        ),
        (
            |s| s.pods.get_mut("x-2").unwrap().primary = true,
            "x-2 does not report that it follows",
        ),
        (|s| claim(s, "x-2").going = true, "claim x-2 is not bound"),
        (
            |s| claim(s, "x-2").role = "PG_WAL".to_owned(),
            "instance x-2 has no claim PG_DATA",
        ),
        // Somebody's claim with the labels of an instance.
        (
            |s| {
                s.claims.insert("mine".to_owned(), s.claims["x-2"].clone());
            },
            "claim mine says that it is of instance x-2",
        ),
        (
            |s| {
                s.claims.insert("mine".to_owned(), s.claims["x-2"].clone());
                s.pods.get_mut("x-2").unwrap().claims.insert("mine".to_owned());
            },
            "or several",
        ),
    ];
    for (change, words) in rows {
        let mut seen = well();
        change(&mut seen);
        let said = seen.waits().unwrap_or_default();
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn what_a_person_has_to_change_first_is_refused_by_name() {
    assert!(well().refusals("fast").is_empty());
    let storage = |s: &mut Seen| cluster(s).storage.get_mut(DATA).unwrap().class.clear();
    let mut unnamed = well();
    storage(&mut unnamed);
    assert!(
        unnamed.refusals("fast")[0]
            .message
            .contains("whatever class is the default")
    );
    let rows: [(Change, &str); 7] = [
        (|s| s.cluster = None, "ClusterMissing"),
        (|s| cluster(s).wanted = 1, "TooFewInstances"),
        (
            |s| cluster(s).storage.get_mut(DATA).unwrap().class = "slow".to_owned(),
            "ClusterClass",
        ),
        (|s| cluster(s).replica = true, "ReplicaCluster"),
        (|s| cluster(s).synchronous = 1, "SynchronousReplicas"),
        (|s| cluster(s).from_snapshots = true, "VolumeSnapshots"),
        (|s| claim(s, "x-1").bytes = 4, "Resizes"),
    ];
    for (change, reason) in rows {
        let mut seen = well();
        change(&mut seen);
        let found: Vec<&str> = seen.refusals("fast").iter().map(|one| one.reason).collect();
        assert_eq!(found, [reason]);
    }
    // One replica more may confirm commits meanwhile.
    let mut three = well();
    (cluster(&mut three).wanted, cluster(&mut three).synchronous) = (3, 1);
    assert!(three.refusals("fast").is_empty());
}

#[test]
fn who_leads_or_is_about_to_is_known_by_any_sign() {
    let mut seen = well();
    assert!(seen.leads("x-1") && !seen.leads("x-2"));
    assert!(seen.others_are_ready("x-2"));
    cluster(&mut seen).target = "x-2".to_owned();
    assert!(seen.leads("x-1") && seen.leads("x-2"));
    let mut seen = well();
    seen.pods.get_mut("x-2").unwrap().primary = true;
    assert!(seen.leads("x-2"));
    seen.pods.get_mut("x-1").unwrap().going = true;
    assert!(!seen.others_are_ready("x-2"));
}
