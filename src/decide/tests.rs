//! Claims about deciding: a table of one volume in one changed circumstance each, and a fix-point.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use super::{InFlight, Limits, decide};
use crate::model::approval::{Approval, Approved, Move};
use crate::model::desired::{Desired, Policy, Tier, TierPools};
use crate::model::engine::{EngineState, Health, Node, Pool, Replica, Volume};
use crate::model::ids::{ClaimRef, CommitId, PolicyName, Revision, TierName, VolumeName};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};
use crate::model::kinds::tier_assignment::DecisionNote;
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::{BoundVolume, Heat, Observation, Provider};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const GIB: u64 = 1 << 30;
const NOW: i64 = 1_800_000_000;

struct World {
    desired: Desired,
    observation: Observation,
    in_flight: InFlight,
    limits: Limits,
}

fn claim() -> ClaimRef {
    ClaimRef {
        namespace: "db".into(),
        name: "data-0".into(),
    }
}

fn labels(tier: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("tier".to_owned(), tier.to_owned())])
}

fn pool(name: &str, node: &str, tier: &str, free: u64) -> Pool {
    Pool {
        name: name.into(),
        node: node.into(),
        labels: labels(tier),
        state: Health::Online,
        capacity: free * GIB,
        used: 0,
        committed: None,
        cordoned: false,
        encrypted: false,
    }
}

/// A volume of 10 GiB on a cold pool, at 6000 IOPS, with a hot pool free: it should move.
fn world() -> World {
    let tier = |name: &str, rank| Tier {
        name: name.into(),
        rank,
        pools: TierPools::Mayastor(labels(name)),
        pool_reserve: GIB,
        storage_class: None,
    };
    let policy = Policy {
        name: "p".into(),
        storage_class: "mayastor".into(),
        claim_labels: BTreeMap::new(),
        high_watermark: 5000.0,
        low_watermark: 500.0,
        window_text: "1h".into(),
        window: Duration::from_secs(3600),
        min_coverage: 0.75,
        cooldown: Duration::from_secs(86400),
        tiers: vec!["cold".into(), "hot".into()],
        max_concurrent: 2,
        timeout: Duration::from_secs(1800),
        enabled: true,
        dry_run: false,
        fingerprint: "f".into(),
    };
    let replica = Replica {
        id: "r1".to_owned().into(),
        node: "n1".into(),
        pool: "cold-1".into(),
        state: Health::Online,
        child: Some(Health::Online),
        healthy: Some(true),
        rebuild_progress: None,
    };
    let volume = Volume {
        uuid: "u".into(),
        size: 10 * GIB,
        num_replicas: 1,
        created: true,
        busy: false,
        state: Health::Online,
        target_node: Some("n1".into()),
        target_state: Some(Health::Online),
        rebuilds: 0,
        replicas: vec![replica],
        self_heal: true,
        thin: false,
        snapshots: 0,
        cloned: false,
        affinity_group: None,
        encrypted: false,
        pool_inclusion: BTreeMap::new(),
        node_inclusion: BTreeMap::new(),
        allowed_nodes: Vec::new(),
    };
    let node = |name: &str| Node {
        name: name.into(),
        labels: BTreeMap::new(),
        state: Health::Online,
        cordons: Vec::new(),
        draining: false,
        version: None,
    };
    let bound = BoundVolume {
        name: "pvc-u".into(),
        claim: claim(),
        claim_labels: BTreeMap::new(),
        storage_class: "mayastor".into(),
        provider: Provider::Mayastor("u".into()),
        last_migration: None,
    };
    let pools = [pool("cold-1", "n1", "cold", 100), pool("hot-2", "n2", "hot", 100)];
    World {
        desired: Desired {
            revision: Revision {
                branch: "main".into(),
                commit: "c".into(),
            },
            resources: Vec::new(),
            tiers: [tier("hot", 100), tier("cold", 1)]
                .into_iter()
                .map(|tier| (tier.name.clone(), tier))
                .collect(),
            policies: BTreeMap::from([(PolicyName("p".into()), policy)]),
            assignments: BTreeMap::new(),
            approved: Vec::new(),
            reverted: BTreeSet::new(),
        },
        observation: Observation {
            at: Timestamp::from_second(NOW).unwrap(),
            volumes: BTreeMap::from([(VolumeName("pvc-u".into()), bound)]),
            classes_in_use: BTreeSet::new(),
            engine: Ok(EngineState {
                volumes: BTreeMap::from([("u".to_owned(), volume)]),
                pools: pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect(),
                nodes: ["n1", "n2"]
                    .map(node)
                    .into_iter()
                    .map(|node| (node.name.clone(), node))
                    .collect(),
            }),
            heat: BTreeMap::from([("1h".to_owned(), Ok(BTreeMap::new()))]),
        },
        in_flight: InFlight::default(),
        limits: Limits {
            max_open: 3,
            max_concurrent: 2,
            dry_run: false,
        },
    }
    .at(6000.0, 1.0)
}

impl World {
    fn at(mut self, iops: f64, coverage: f64) -> Self {
        let table = BTreeMap::from([(VolumeName("pvc-u".into()), Heat { iops, coverage })]);
        self.observation.heat.insert("1h".into(), Ok(table));
        self
    }

    fn volume(&mut self) -> &mut Volume {
        self.observation
            .engine
            .as_mut()
            .unwrap()
            .volumes
            .get_mut("u")
            .unwrap()
    }

    fn pool(&mut self, name: &str) -> &mut Pool {
        self.observation
            .engine
            .as_mut()
            .unwrap()
            .pools
            .get_mut(&name.into())
            .unwrap()
    }

    fn policy(&mut self) -> &mut Policy {
        self.desired.policies.get_mut(&PolicyName("p".into())).unwrap()
    }

    fn bound(&mut self) -> &mut BoundVolume {
        self.observation
            .volumes
            .get_mut(&VolumeName("pvc-u".into()))
            .unwrap()
    }

    /// The reason why the volume is left alone, or the move that is proposed or started.
    fn verdict(&self) -> String {
        let now = Timestamp::from_second(NOW).unwrap();
        let decision = decide(
            &self.desired,
            &self.observation,
            &self.in_flight,
            self.limits,
            now,
        );
        let total = decision.proposals.len() + decision.starts.len() + decision.left_alone.len();
        assert!(total <= 1, "one volume has one verdict: {decision:?}");
        let proposed = decision
            .proposals
            .first()
            .map(|one| format!("propose {}", one.to));
        let started = decision
            .starts
            .first()
            .map(|one| format!("start {}", one.approved.what().to));
        let left = decision
            .left_alone
            .first()
            .map(|left| left.why.reason().to_owned());
        proposed
            .or(started)
            .or(left)
            .unwrap_or_else(|| "nothing".to_owned())
    }

    fn approve(&mut self, to: &str) {
        let what = Move {
            claim: claim(),
            volume: "pvc-u".into(),
            to: to.into(),
            policy: Some("p".into()),
        };
        let approval = Approval {
            revision: self.desired.revision.clone(),
            commit: CommitId("a".into()),
            author: "Ada".into(),
            at: Timestamp::UNIX_EPOCH,
            path: "x".into(),
        };
        self.desired
            .approved
            .push(Approved::read_from_verified_tree(what, approval));
    }

    fn migrated(&mut self, phase: Phase) {
        self.in_flight.migrations.push(MigrationBrief {
            name: "m".into(),
            claim: claim(),
            volume: "pvc-u".into(),
            from: "cold".into(),
            to: "hot".into(),
            policy: Some("p".into()),
            phase,
            approved_in: CommitId("a".into()),
            finished: None,
        });
    }

    fn declined(&mut self, value: f64) {
        self.in_flight.proposals.push(ProposalStatus {
            branch: "b".into(),
            state: ProposalState::Declined,
            key: "k".into(),
            commit: "c".into(),
            base: "c".into(),
            namespace: "db".into(),
            claim: "data-0".into(),
            volume: "pvc-u".into(),
            from: "cold".into(),
            to: "hot".into(),
            decision: DecisionNote {
                policy: "p".into(),
                from: "cold".into(),
                signal: "iops".into(),
                value,
                watermark: 5000.0,
                window: "1h".into(),
            },
            policy_fingerprint: "f".into(),
            title: String::new(),
            body: String::new(),
            since: String::new(),
        });
    }
}

/// A change to the world, and the verdict that follows from it.
type Case = (&'static str, fn(&mut World), &'static str);

#[test]
fn each_circumstance_has_its_verdict() {
    let cases: [Case; 35] = [
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
        (
            "no samples",
            |w| drop(w.observation.heat.insert("1h".into(), Ok(BTreeMap::new()))),
            "NoData",
        ),
        ("not a number", |w| *w = world().at(f64::NAN, 1.0), "NoData"),
        (
            "Prometheus is down",
            |w| drop(w.observation.heat.insert("1h".into(), Err("x".into()))),
            "HeatUnknown",
        ),
        (
            "Mayastor is down",
            |w| w.observation.engine = Err("x".into()),
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
        ("the pool is full", |w| w.pool("hot-2").used = 90 * GIB, "NoPool"),
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
        assert_eq!(world.verdict(), expected, "{what}");
    }
}

#[test]
fn after_a_plan_is_carried_out_nothing_is_planned() {
    let mut world = world();
    assert_eq!(world.verdict(), "propose hot");
    let replica = &mut world.volume().replicas[0];
    (replica.pool, replica.node) = ("hot-2".into(), "n2".into());
    assert_eq!(world.verdict(), "OnRightTier");
}

#[test]
fn a_quiet_volume_on_the_hot_tier_goes_one_step_down() {
    let mut world = world().at(20.0, 1.0);
    let replica = &mut world.volume().replicas[0];
    (replica.pool, replica.node) = ("hot-2".into(), "n2".into());
    assert_eq!(world.verdict(), "propose cold");
}

#[test]
fn a_tier_needs_as_many_nodes_with_room_as_copies_are_to_be_moved() {
    let mut world = world();
    let mut second = world.volume().replicas[0].clone();
    (second.id, second.node, second.pool) = ("r2".to_owned().into(), "n3".into(), "cold-3".into());
    world.volume().replicas.push(second);
    world.volume().num_replicas = 2;
    let engine = world.observation.engine.as_mut().unwrap();
    engine
        .pools
        .insert("cold-3".into(), pool("cold-3", "n3", "cold", 100));
    assert_eq!(world.verdict(), "NoPool");
    let tier: TierName = "hot".into();
    assert!(world.desired.tiers.contains_key(&tier));
}
