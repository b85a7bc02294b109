//! Claims about deciding: a table of one volume in one changed circumstance each, and a fix-point.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests"
)]

/// The world.
pub(crate) mod world;

/// Rules that every plan keeps.
mod checker;

/// Random worlds.
mod random;

/// Signals, windows, budgets, room.
mod policies;

/// Explanations.
mod explained;

/// What is under way.
mod under_way;

/// Approvals that are used up.
mod superseded;

/// Assignments that are taken back.
mod rollback;

/// What backups keep.
mod protection;

/// What people and failures stop.
mod control;

/// Restore drills.
mod drills;

use crate::model::desired::Policy;
use crate::model::engine::Health;
use crate::model::ids::{PolicyName, TierName};
use crate::model::kinds::volume_migration::Phase;
use crate::model::observation::Provider;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use world::*;

/// A change to the world, and the verdict that follows from it.
type Case = (&'static str, fn(&mut World), &'static str);

#[test]
fn each_circumstance_has_its_verdict() {
    let cases: &[Case] = &[
        ("nothing is special", |_| {}, "propose hot"),
        (
            "just at the watermark",
            |w| *w = world().at(5000.0, 1.0),
            "propose hot",
        ),
        (
            "just below it",
            |w| *w = world().at(4999.0, 1.0),
            "BetweenWatermarks",
        ),
        (
            "idle on the coldest tier",
            |w| *w = world().at(0.0, 1.0),
            "OnRightTier",
        ),
        (
            "too little coverage",
            |w| *w = world().at(6000.0, 0.749),
            "LowCoverage",
        ),
        ("no samples", |w| w.loads = Ok(BTreeMap::new()), "NoData"),
        ("not a number", |w| *w = world().at(f64::NAN, 1.0), "NoData"),
        ("Prometheus is down", |w| w.loads = Err("x".into()), "HeatUnknown"),
        (
            "Mayastor is down",
            |w| w.engine = Err("x".into()),
            "EngineUnknown",
        ),
        (
            "another class",
            |w| w.bound().storage_class = "other".into(),
            "NoPolicy",
        ),
        (
            "another policy takes the claim too",
            |w| {
                let mut other = w.policy().clone();
                other.name = PolicyName("z".into());
                w.desired.policies.insert(other.name.clone(), other);
            },
            "ClaimedTwice",
        ),
        (
            "the policy is off",
            |w| w.policy().enabled = false,
            "PolicyDisabled",
        ),
        (
            "the policy is in dry run",
            |w| w.policy().dry_run = true,
            "DryRun",
        ),
        (
            "the controller is in dry run",
            |w| w.limits.dry_run = true,
            "DryRun",
        ),
        (
            "a local volume",
            |w| w.bound().provider = Provider::Local,
            "NotMovable",
        ),
        (
            "unknown to the engine",
            |w| w.bound().provider = Provider::Mayastor("z".into()),
            "NotInEngine",
        ),
        (
            "on a pool of no tier",
            |w| w.pool("cold-1").labels.clear(),
            "OnNoTier",
        ),
        (
            "moved an hour ago",
            |w| w.bound().last_migration = Timestamp::from_second(NOW - 3600).ok(),
            "CoolingDown",
        ),
        (
            "moved two days ago",
            |w| w.bound().last_migration = Timestamp::from_second(NOW - 172_800).ok(),
            "propose hot",
        ),
        ("degraded", |w| w.volume().state = Health::Degraded, "NotHealthy"),
        ("being rebuilt", |w| w.volume().rebuilds = 1, "NotHealthy"),
        (
            "without a target",
            |w| w.volume().target_node = None,
            "NotPublished",
        ),
        ("with snapshots", |w| w.volume().snapshots = 2, "HasSnapshots"),
        ("pinned", |w| w.volume().pool_inclusion = labels("cold"), "Pinned"),
        ("the pool is full", |w| w.pool("hot-2").used = 90 * GIB, "NoRoom"),
        (
            "the pool is cordoned",
            |w| w.pool("hot-2").cordoned = true,
            "NoPool",
        ),
        (
            "the pool is on the node of the copy",
            |w| w.pool("hot-2").node = "n1".into(),
            "NoPool",
        ),
        ("a migration runs", |w| w.migrated(Phase::WaitSync), "InFlight"),
        ("no budget is left", |w| w.limits.max_open = 0, "OverBudget"),
        ("declined at this load", |w| w.declined(6000.0), "Declined"),
        (
            "declined at a much lower load",
            |w| w.declined(3900.0),
            "propose hot",
        ),
        (
            "declined, and that is still remembered",
            |w| {
                w.declined(6000.0);
                w.limits.rejections_expire = Some(Duration::from_secs(86_401))
            },
            "Declined",
        ),
        (
            "declined, and that is forgotten by now",
            |w| {
                w.declined(6000.0);
                w.limits.rejections_expire = Some(Duration::from_secs(86_400))
            },
            "propose hot",
        ),
        ("approved", |w| w.approve("hot"), "start hot"),
        (
            "approved for where it is",
            |w| {
                w.approve("cold");
                *w.policy() = Policy {
                    enabled: false,
                    ..w.policy().clone()
                }
            },
            "PolicyDisabled",
        ),
        (
            "approved, and failed before",
            |w| {
                w.approve("hot");
                w.migrated(Phase::RolledBack)
            },
            "FailedBefore",
        ),
        (
            "approved for another volume",
            |w| {
                w.approve("hot");
                w.bound().name = "pvc-z".into()
            },
            "OtherVolume",
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = world();
        change(&mut world);
        assert_eq!(world.verdict(), *expected, "{what}");
    }
}

/// A change to the world, why the volume is left alone then, and the words that say what a person can do about it.
type Told = (&'static str, fn(&mut World), &'static str, &'static str);

#[test]
fn what_a_person_can_mend_says_how() {
    let cases: &[Told] = &[
        (
            "a local volume",
            |w| w.bound().provider = Provider::Local,
            "NotMovable",
            "; a Rollout says when their workload may move onto another StorageClass",
        ),
        (
            "several policies take it",
            |w| {
                let mut other = w.policy().clone();
                other.name = PolicyName("z".into());
                w.desired.policies.insert(other.name.clone(), other);
            },
            "ClaimedTwice",
            "; tell their volumeSelectors apart",
        ),
        (
            "pinned by its topology",
            |w| w.volume().pool_inclusion = labels("cold"),
            "Pinned",
            "; give pools of the other tier these labels, or bring its workload onto a StorageClass without them",
        ),
        (
            "with one snapshot",
            |w| w.volume().snapshots = 1,
            "HasSnapshots",
            "its snapshot would stay behind; delete it, let it expire, or write `acceptSnapshotsStay: true` into its TierAssignment",
        ),
        (
            "with two",
            |w| w.volume().snapshots = 2,
            "HasSnapshots",
            "; delete them, let them expire, or write `acceptSnapshotsStay: true` into its TierAssignment",
        ),
        (
            "a clone",
            |w| w.volume().cloned = true,
            "HasSnapshots",
            "; write `acceptSnapshotsStay: true` into its TierAssignment to move it nevertheless",
        ),
        (
            "not published",
            |w| w.volume().target_node = None,
            "NotPublished",
            "; start its workload",
        ),
        (
            "the tier has no pool",
            |w| drop(w.engine.as_mut().unwrap().pools.remove(&"hot-2".into())),
            "NoPool",
            "tier hot has no pool; label one as its poolSelector asks",
        ),
        (
            "its pool is cordoned",
            |w| w.pool("hot-2").cordoned = true,
            "NoPool",
            "; mend one of them, or add one on another node: hot-2",
        ),
        (
            "it failed before",
            |w| {
                w.approve("hot");
                w.migrated(Phase::RolledBack)
            },
            "FailedBefore",
            "; `couchestor migrations retry m` or a new commit on the assignment tries again",
        ),
    ];
    for (what, change, reason, words) in cases {
        let mut world = world();
        change(&mut world);
        let left = world.decided(|decision| {
            let left = decision.left_alone.first().unwrap();
            (left.why.reason().to_owned(), left.words())
        });
        assert_eq!(left.0, *reason, "{what}");
        assert!(left.1.contains(words), "{what}: {}", left.1);
    }
}

#[test]
fn after_a_plan_is_carried_out_nothing_is_planned() {
    let mut world = world();
    assert_eq!(world.verdict(), "propose hot");
    world.on_hot();
    assert_eq!(world.verdict(), "OnRightTier");
}

#[test]
fn a_quiet_volume_on_the_hot_tier_goes_one_step_down() {
    let mut world = world().at(20.0, 1.0);
    world.on_hot();
    assert_eq!(world.verdict(), "propose cold");
}

#[test]
fn a_tier_needs_as_many_nodes_with_room_as_copies_are_to_be_moved() {
    let mut world = world();
    let mut second = world.volume().replicas[0].clone();
    (second.id, second.node, second.pool) = ("r2".to_owned().into(), "n3".into(), "cold-3".into());
    world.volume().replicas.push(second);
    world.volume().num_replicas = 2;
    let engine = world.engine.as_mut().unwrap();
    engine
        .pools
        .insert("cold-3".into(), pool("cold-3", "n3", "cold", 100));
    assert_eq!(world.verdict(), "NoPool");
    let tier: TierName = "hot".into();
    assert!(world.desired.tiers.contains_key(&tier));
}
