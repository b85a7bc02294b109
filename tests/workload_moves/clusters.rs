//! Clusters of CloudNativePG, whose operator makes one instance after the other anew on another class.

use super::databases::{Databases, INSTANCES, SPACE};
use super::world::text;
use crate::support::say;
use couchestor::sim::kubernetes::{On, What};
use serde_json::{Value, json};
use std::time::Duration;

/// More writes than a move has, with those of statuses and Events.
const WRITES_MAX: usize = 200;

/// How many writes are passed over between two that are struck: each costs a whole world.
const STRIDE: usize = 6;

/// All instances are on the class with every row, and every volume that was left is kept and marked.
fn assert_on(world: &Databases, class: &str, kept: usize, what: &str) {
    let now = world.volumes_of(class);
    assert_eq!(now.len(), 2 * INSTANCES, "{what}");
    let claims = world.sim().list("PersistentVolumeClaim");
    let claims = claims
        .iter()
        .filter(|one| text(one, "/metadata/namespace") == SPACE);
    assert_eq!(claims.clone().count(), 2 * INSTANCES, "{what}");
    for claim in claims.filter(|one| text(one, "/metadata/labels/cnpg.io~1pvcRole") == "PG_DATA") {
        let rows = world.rows_on(text(claim, "/spec/volumeName"));
        assert_eq!(rows, world.rows, "{what}: a row is lost: {claim:#}");
    }
    let mut left = world.sim().list("PersistentVolume");
    left.retain(|one| text(one, "/spec/claimRef/namespace") == SPACE);
    left.retain(|one| !now.contains(text(one, "/metadata/name")));
    assert_eq!(left.len(), kept, "{what}: {left:#?}");
    for one in left {
        assert_eq!(
            text(&one, "/spec/persistentVolumeReclaimPolicy"),
            "Retain",
            "{what}"
        );
        assert_ne!(
            text(&one, "/metadata/labels/storage.billyronks.io~1workload-move"),
            "",
            "{what}"
        );
        let of = format!("{SPACE}/{}", text(&one, "/spec/claimRef/name"));
        let said = text(&one, "/metadata/annotations/storage.billyronks.io~1kept-of");
        assert_eq!(said, of, "{what}");
    }
    for volume in now {
        let one = world.get("PersistentVolume", &volume).unwrap();
        assert_eq!(
            text(&one, "/spec/persistentVolumeReclaimPolicy"),
            "Delete",
            "{what}"
        );
    }
}

/// A Cluster on class `slow` to which Git has given class `fast`, promoted.
async fn promoted() -> Databases {
    let mut world = Databases::new().await;
    world.turn().await;
    world.class("fast");
    world.promote("");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_moved_when_git_gives_it_the_class_and_moved_back_when_it_takes_it_back() {
    let mut world = Databases::new().await;
    world.turn().await;
    world.promote("");
    world.turns(4).await;
    let said = world.told();
    assert!(
        said.contains("refused (ClusterClass): Cluster x makes claims of slow (spec.storage.storageClass); let Git say fast there first"),
        "{said}"
    );
    assert!(world.sim().list("WorkloadMove").is_empty());

    world.class("fast");
    world.until(1, "Completed").await;
    assert_on(&world, "fast", 2 * INSTANCES, "promoted");
    assert_ne!(world.primary(), "x-1");
    let one = world.newest().unwrap();
    assert_eq!(text(&one, "/spec/told"), "Cluster/x");
    assert_eq!(text(&one, "/spec/method"), "cnpg");
    assert_eq!(one["status"]["rounds"], INSTANCES, "{one:#}");
    world.turns(3).await;
    assert_eq!(world.told(), "promoted; its claims are on the class");
    assert_eq!(world.sim().list("WorkloadMove").len(), 1);
    world.follow.git(&["fetch", "-q", "origin"]);
    let audit = world
        .follow
        .git(&["log", "--format=%B", "origin/couchestor/audit"]);
    assert!(
        audit.contains("Completed: Cluster/x of pg from slow to fast"),
        "{audit}"
    );
    let events = world.sim().list("Event");
    for reason in ["Reclone", "SwitchOver", "Completed"] {
        assert!(
            events.iter().any(|one| one["reason"] == reason),
            "{reason}: {events:#?}"
        );
    }

    // Back again, and that is Git's to say as well.
    world.demote();
    world.turns(4).await;
    let said = world.told();
    assert!(said.contains("let Git say slow there first"), "{said}");
    world.class("slow");
    world.until(2, "Completed").await;
    assert_on(&world, "slow", 4 * INSTANCES, "taken back");
    let one = world.newest().unwrap();
    assert_ne!(text(&one, "/spec/back"), "", "{one:#}");
}

/// Moves there while the nth write is struck, and the controller starts anew after it; whether it was struck.
async fn struck(world: &mut Databases, place: usize, what: &What) -> bool {
    let faults = world.sim().faults();
    faults.order(On::Writes, place - 1, What::Delay(Duration::ZERO));
    faults.order(On::Writes, 1, what.clone());
    for _ in 0..80 {
        world.turns(1).await;
        let faults = world.sim().faults();
        if faults.left() == 0 {
            world.restart();
            world.until(1, "Completed").await;
            return true;
        }
        if world.phase() == "Completed" {
            faults.clear();
            return false;
        }
    }
    panic!("it never ended: {:#?}", world.newest());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_comes_to_the_same_end_whatever_write_is_lost() {
    same_end(1, What::Drop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_comes_to_the_same_end_whatever_answer_is_lost() {
    same_end(1 + STRIDE / 2, What::LoseReply).await;
}

async fn same_end(first: usize, what: What) {
    let (mut count, mut whole) = (0, false);
    for place in (first..WRITES_MAX).step_by(STRIDE) {
        let mut world = promoted().await;
        let struck = struck(&mut world, place, &what).await;
        assert_on(&world, "fast", 2 * INSTANCES, &format!("{what:?} at {place}"));
        if !struck {
            whole = true;
            break;
        }
        count += 1;
    }
    assert!(count > 5, "{count}");
    assert!(whole, "a move writes more than {WRITES_MAX} times");
    say(&format!(
        "moves of a Cluster were struck by {what:?} at {count} writes, and came to the same end"
    ));
}

/// Turns until an instance is being made anew.
async fn first_gone(world: &mut Databases) {
    for _ in 0..40 {
        world.turn().await;
        if world.names("Pod", "/metadata/name").len() < INSTANCES {
            return;
        }
        world.tick();
    }
    panic!("nothing was taken away: {:#?} {}", world.newest(), world.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_operator_that_has_died_or_a_clone_that_is_never_ready_nothing_more_is_deleted() {
    for dead in [true, false] {
        let mut world = promoted().await;
        first_gone(&mut world).await;
        (world.operator, world.clones) = (!dead, false);
        let left = world.volumes_of("slow");
        world.turns(10).await;
        // Claims that go for want of a pod may be seen with the first of these turns.
        assert!(world.volumes_of("slow").len() >= left.len() - 2);
        let later = world.volumes_of("slow");
        world.restart();
        world.turns(10).await;
        assert_eq!(world.volumes_of("slow"), later, "{:#?}", world.newest());
        assert_eq!(world.phase(), "Reclone");
        (world.operator, world.clones) = (true, true);
        world.until(1, "Completed").await;
        assert_on(&world, "fast", 2 * INSTANCES, "mended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_midway_and_a_pod_that_a_person_deletes_change_nothing() {
    let mut world = promoted().await;
    first_gone(&mut world).await;
    world.until_whole().await;
    // Two instances may be missing by this: the one that is made anew, and the primary.
    world.may_miss = 2;
    let primary = world.primary();
    world.sim().remove("Pod", Some(SPACE), &primary);
    world.turns(6).await;
    assert_ne!(world.primary(), primary);
    world.sim().remove("Pod", Some(SPACE), "x-3");
    world.until(1, "Completed").await;
    assert_on(&world, "fast", 2 * INSTANCES, "failed over");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_midway_leaves_a_whole_cluster_and_says_what_stands() {
    let mut world = promoted().await;
    first_gone(&mut world).await;
    let mut one = world.newest().unwrap();
    one["metadata"]["annotations"] = json!({"storage.billyronks.io/cancel": "it is Black Friday"});
    world.put(one);
    world.until(1, "Cancelled").await;
    let one: Value = world.newest().unwrap();
    let said = text(&one, "/status/message");
    assert!(
        said.contains("it is Black Friday") && said.contains("Cluster x is whole"),
        "{said}"
    );
    assert_eq!(world.volumes_of("fast").len(), 2);
    assert_eq!(world.volumes_of("slow").len(), 2 * (INSTANCES - 1));
    let waits = "commit any change to the promotion to have it tried again";
    world.turns(2).await;
    assert!(world.told().contains(waits), "{}", world.told());
    // And tried again it goes on with what is left.
    world.promote("  keepOldVolumes: true\n");
    world.until(2, "Completed").await;
    assert_on(&world, "fast", 2 * INSTANCES, "tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_not_well_or_is_being_backed_up_is_not_begun() {
    let mut world = promoted().await;
    let backup = |phase: &str| {
        json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Backup", "metadata": {"name": "nightly", "namespace": SPACE},
            "spec": {"cluster": {"name": "x"}, "method": "plugin"}, "status": {"phase": phase}})
    };
    world.put(backup("running"));
    world.turns(4).await;
    assert!(
        world.told().contains("Backup nightly of Cluster x is under way"),
        "{}",
        world.told()
    );
    let mut cluster = world.cluster();
    cluster["metadata"]["annotations"] = json!({"cnpg.io/fencedInstances": "[\"x-2\"]"});
    world.put(cluster);
    world.turns(2).await;
    assert!(world.told().contains("fenced instances"), "{}", world.told());
    assert!(world.sim().list("WorkloadMove").is_empty());
    let mut cluster = world.cluster();
    cluster["metadata"]["annotations"] = json!({});
    world.put(cluster);
    world.put(backup("completed"));
    world.until(1, "Completed").await;
    assert_on(&world, "fast", 2 * INSTANCES, "well again");
}

impl Databases {
    /// Lets everybody else go on until all instances are there and ready.
    async fn until_whole(&mut self) {
        for _ in 0..20 {
            self.tick();
            if text(&self.cluster(), "/status/phase") == "Cluster in healthy state" {
                return;
            }
        }
        panic!("it is never whole: {:#?}", self.cluster());
    }
}
