//! Claims about deciding: a table of one volume in one changed circumstance each, and a fix-point.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use super::{InFlight, Limits, decide, explain, questions};
use crate::formats::week::WeekWindow;
use crate::model::approval::{Approval, Approved, Move};
use crate::model::decision::{Decision, LeftAlone};
use crate::model::desired::{
    Assignment, Budgets, Desired, Fullness, Measure, Policy, Signal, Tier, TierPools,
};
use crate::model::engine::{EngineState, Health, Node, Pool, Replica, Volume};
use crate::model::ids::{ClaimRef, CommitId, PolicyName, Revision, TierName, VolumeName};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};
use crate::model::kinds::tier_assignment::DecisionNote;
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::{ClusterVolume, Observation, Pin, Provider, RawAnswer};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const GIB: u64 = 1 << 30;
const NOW: i64 = 1_800_000_000;

fn note(value: f64) -> DecisionNote {
    DecisionNote {
        policy: "p".into(),
        from: "cold".into(),
        signal: "iops".into(),
        value,
        watermark: Some(5000.0),
        window: Some("1h".into()),
    }
}

/// What Prometheus knows of a volume, by the name of the signal.
type Load = BTreeMap<&'static str, f64>;

struct World {
    desired: Desired,
    seen: Vec<ClusterVolume>,
    engine: Result<EngineState, String>,
    /// Load by volume, or why Prometheus does not answer.
    loads: Result<BTreeMap<String, Load>, String>,
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
        max_moves: None,
        cost_per_gib_month: None,
    };
    let policy = Policy {
        name: "p".into(),
        storage_class: "mayastor".into(),
        claim_labels: BTreeMap::new(),
        signals: vec![signal("iops", Measure::Iops, Some(5000.0), Some(500.0))],
        not_heat_when: Vec::new(),
        sustained: Duration::ZERO,
        hysteresis: 0.1,
        excluded_windows: Vec::new(),
        move_windows: Vec::new(),
        min_age: Duration::ZERO,
        fullness: Fullness::default(),
        budgets: Budgets::default(),
        secret: false,
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
    let bound = ClusterVolume {
        name: "pvc-u".into(),
        claim: claim(),
        claim_labels: BTreeMap::new(),
        storage_class: "mayastor".into(),
        provider: Provider::Mayastor("u".into()),
        last_migration: None,
        created: None,
        pin: None,
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
        seen: vec![bound],
        engine: Ok(EngineState {
            volumes: BTreeMap::from([("u".to_owned(), volume)]),
            pools: pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect(),
            nodes: ["n1", "n2"]
                .map(node)
                .into_iter()
                .map(|node| (node.name.clone(), node))
                .collect(),
        }),
        loads: Ok(BTreeMap::new()),
        in_flight: InFlight::default(),
        limits: Limits {
            max_open: 3,
            max_concurrent: 2,
            dry_run: false,
        },
    }
    .at(6000.0, 1.0)
}

fn signal(name: &str, measure: Measure, above: Option<f64>, below: Option<f64>) -> Signal {
    Signal {
        name: name.into(),
        measure,
        percentile: None,
        above,
        below,
    }
}

impl World {
    fn at(self, iops: f64, coverage: f64) -> Self {
        self.with(&[("iops", iops), ("coverage", coverage)])
    }

    fn with(mut self, load: &[(&'static str, f64)]) -> Self {
        let known = self
            .loads
            .as_mut()
            .unwrap()
            .entry("pvc-u".to_owned())
            .or_default();
        known.extend(load.iter().copied());
        self
    }

    /// What Prometheus answers to every question of the policies.
    fn answers(&self, now: Timestamp) -> BTreeMap<String, RawAnswer> {
        let of = |name: &str| -> RawAnswer {
            let loads = self.loads.as_ref().map_err(Clone::clone)?;
            let known = |(volume, load): (&String, &Load)| Some((volume.clone(), *load.get(name)?));
            Ok(loads.iter().filter_map(known).collect())
        };
        let mut answers = BTreeMap::new();
        for policy in self.desired.policies.values().filter(|policy| policy.enabled) {
            answers.insert(questions::coverage(policy, now), of("coverage"));
            for signal in policy.signals.iter().chain(&policy.not_heat_when) {
                let asked = questions::signal_of(policy, signal, now);
                answers.insert(asked.value, of(&signal.name));
                if let Some((least, greatest)) = asked.extremes {
                    answers.insert(least, of(&format!("least {}", signal.name)));
                    answers.insert(greatest, of(&format!("greatest {}", signal.name)));
                }
            }
        }
        assert!(
            questions(&self.desired, now)
                .iter()
                .all(|question| answers.contains_key(question))
        );
        answers
    }

    fn observation(&self) -> Observation {
        let now = Timestamp::from_second(NOW).unwrap();
        Observation::assemble(
            now,
            self.seen.clone(),
            BTreeSet::new(),
            self.engine.clone(),
            self.answers(now),
        )
    }

    fn decided<T>(&self, read: impl FnOnce(&Decision) -> T) -> T {
        let observation = self.observation();
        let now = observation.at;
        read(&decide(
            &self.desired,
            &observation,
            &self.in_flight,
            self.limits,
            now,
        ))
    }

    fn volume(&mut self) -> &mut Volume {
        self.engine.as_mut().unwrap().volumes.get_mut("u").unwrap()
    }

    fn pool(&mut self, name: &str) -> &mut Pool {
        self.engine.as_mut().unwrap().pools.get_mut(&name.into()).unwrap()
    }

    fn policy(&mut self) -> &mut Policy {
        self.desired.policies.get_mut(&PolicyName("p".into())).unwrap()
    }

    fn tier(&mut self, name: &str) -> &mut Tier {
        self.desired.tiers.get_mut(&TierName(name.into())).unwrap()
    }

    fn bound(&mut self) -> &mut ClusterVolume {
        &mut self.seen[0]
    }

    fn on_hot(&mut self) {
        let replica = &mut self.volume().replicas[0];
        (replica.pool, replica.node) = ("hot-2".into(), "n2".into());
    }

    /// Another volume, `gibs` large, on a pool.
    fn beside(&mut self, name: &str, gibs: u64, pool: &str, node: &str, iops: f64) {
        let mut bound = self.seen[0].clone();
        bound.name = VolumeName(format!("pvc-{name}"));
        bound.claim.name = name.to_owned();
        bound.provider = Provider::Mayastor(name.to_owned());
        self.seen.push(bound);
        let mut volume = self.volume().clone();
        (volume.uuid, volume.size) = (name.to_owned(), gibs * GIB);
        (volume.replicas[0].pool, volume.replicas[0].node) = (pool.into(), node.into());
        self.engine
            .as_mut()
            .unwrap()
            .volumes
            .insert(name.to_owned(), volume);
        let load = Load::from([("iops", iops), ("coverage", 1.0)]);
        self.loads.as_mut().unwrap().insert(format!("pvc-{name}"), load);
    }

    fn assigned(&mut self, to: &str, pin: Option<Pin>) {
        let assignment = Assignment {
            claim: claim(),
            volume: "pvc-u".into(),
            tier: to.into(),
            pin,
            decision: Some(note(6000.0)),
            path: "x".into(),
            text: String::new(),
            secret: false,
        };
        self.desired.assignments.insert(claim(), assignment);
    }

    fn window(&mut self, from: &str, to: &str) -> WeekWindow {
        WeekWindow::read(&[], from, to, None).unwrap()
    }

    /// The reason why the volume is left alone, or the move that is proposed or started.
    fn verdict(&self) -> String {
        self.decided(verdict_of)
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
            started: None,
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
            decision: note(value),
            policy_fingerprint: "f".into(),
            title: String::new(),
            body: String::new(),
            since: String::new(),
        });
    }
}

fn verdict_of(decision: &Decision) -> String {
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

/// Two signals and an exception: busy, slow, and not a backup.
fn with_signals(world: &mut World) {
    let policy = world.policy();
    policy.signals = vec![
        signal("iops", Measure::Iops, Some(1000.0), Some(100.0)),
        signal("latency", Measure::Latency, Some(5.0), None),
    ];
    policy.not_heat_when = vec![
        signal("requestSize", Measure::RequestSize, Some(262_144.0), None),
        signal("readRatio", Measure::ReadRatio, Some(0.95), None),
    ];
}

#[test]
fn several_signals_must_agree_and_a_backup_is_no_heat() {
    let random = [("requestSize", 8192.0), ("readRatio", 0.5)];
    let backup = [("requestSize", 1_048_576.0), ("readRatio", 1.0)];
    for (what, load, kind, hot, expected) in [
        (
            "busy and slow",
            &[("iops", 2000.0), ("latency", 8.0)][..],
            &random,
            false,
            "propose hot",
        ),
        (
            "busy and fast",
            &[("iops", 2000.0), ("latency", 1.0)],
            &random,
            false,
            "BetweenWatermarks",
        ),
        (
            "slow and idle",
            &[("iops", 200.0), ("latency", 8.0)],
            &random,
            false,
            "BetweenWatermarks",
        ),
        (
            "a backup",
            &[("iops", 2000.0), ("latency", 8.0)],
            &backup,
            false,
            "NotHeat",
        ),
        (
            "nothing is done, so nothing takes long",
            &[("iops", 0.0)],
            &random,
            true,
            "propose cold",
        ),
        (
            "busy, and nobody knows how slow",
            &[("iops", 2000.0)],
            &random,
            false,
            "BetweenWatermarks",
        ),
        ("nothing is known", &[], &random, false, "NoData"),
        (
            "only latency is known",
            &[("latency", 8.0)],
            &random,
            true,
            "NoData",
        ),
    ] {
        let mut world = world();
        with_signals(&mut world);
        world.loads = Ok(BTreeMap::new());
        let mut world = world.with(&[("coverage", 1.0)]).with(load).with(kind);
        if hot {
            world.on_hot();
        }
        assert_eq!(world.verdict(), expected, "{what}");
    }
    // A backup that also writes is none.
    let mut world = world().with(&[("latency", 8.0), ("requestSize", 1_048_576.0), ("readRatio", 0.6)]);
    with_signals(&mut world);
    assert_eq!(world.verdict(), "propose hot");
}

#[test]
fn thresholds_must_be_crossed_for_as_long_as_the_policy_says() {
    let mut busy = world().with(&[("least iops", 4000.0), ("greatest iops", 9000.0)]);
    busy.policy().sustained = Duration::from_secs(1800);
    assert_eq!(busy.verdict(), "NotSustained");
    let mut busy = busy.with(&[("least iops", 5000.0)]);
    assert_eq!(busy.verdict(), "propose hot");
    busy.loads
        .as_mut()
        .unwrap()
        .get_mut("pvc-u")
        .unwrap()
        .remove("least iops");
    assert_eq!(
        busy.verdict(),
        "NotSustained",
        "what is not known has not been sustained"
    );
    let mut idle = world()
        .at(20.0, 1.0)
        .with(&[("least iops", 0.0), ("greatest iops", 600.0)]);
    idle.policy().sustained = Duration::from_secs(1800);
    idle.on_hot();
    assert_eq!(idle.verdict(), "NotSustained");
    assert_eq!(idle.with(&[("greatest iops", 300.0)]).verdict(), "propose cold");
}

#[test]
fn age_pins_and_fullness_keep_a_volume_where_it_is() {
    let hour = |world: &mut World| world.policy().min_age = Duration::from_secs(3600);
    let cases: &[Case] = &[
        (
            "younger than an hour",
            |w| w.bound().created = Timestamp::from_second(NOW - 3599).ok(),
            "TooYoung",
        ),
        (
            "an hour old",
            |w| w.bound().created = Timestamp::from_second(NOW - 3600).ok(),
            "propose hot",
        ),
        ("of unknown age", |_| {}, "propose hot"),
        (
            "kept by annotation",
            |w| w.bound().pin = Some(Pin::Always),
            "Kept",
        ),
        (
            "kept until later",
            |w| w.bound().pin = Some(Pin::Until(NOW + 1)),
            "Kept",
        ),
        (
            "kept until now",
            |w| w.bound().pin = Some(Pin::Until(NOW)),
            "propose hot",
        ),
        (
            "kept by a word that nobody understands",
            |w| w.bound().pin = Some(Pin::Unreadable),
            "Kept",
        ),
        (
            "kept by its assignment",
            |w| w.assigned("cold", Some(Pin::Always)),
            "Kept",
        ),
        (
            "assigned to where it is",
            |w| w.assigned("cold", None),
            "propose hot",
        ),
        (
            "the hot tier would be too full",
            |w| w.policy().fullness.promote_below = Some(0.05),
            "TierFull",
        ),
        (
            "the hot tier is just empty enough",
            |w| w.policy().fullness.promote_below = Some(0.10),
            "propose hot",
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = world();
        hour(&mut world);
        change(&mut world);
        assert_eq!(world.verdict(), *expected, "{what}");
    }
    for (used, expected) in [(69, "TierHasRoom"), (70, "propose cold")] {
        let mut world = world().at(20.0, 1.0);
        world.on_hot();
        world.policy().fullness.demote_above = Some(0.7);
        world.pool("hot-2").used = used * GIB;
        assert_eq!(world.verdict(), expected, "{used} % full");
    }
}

#[test]
fn an_approved_move_is_looked_at_once_more_before_it_starts() {
    let cases: &[Case] = &[
        ("still busy", |_| {}, "start hot"),
        (
            "a little less busy",
            |w| {
                w.loads
                    .as_mut()
                    .unwrap()
                    .get_mut("pvc-u")
                    .unwrap()
                    .insert("iops", 4501.0)
                    .map_or((), drop)
            },
            "start hot",
        ),
        (
            "not busy any more",
            |w| {
                w.loads
                    .as_mut()
                    .unwrap()
                    .get_mut("pvc-u")
                    .unwrap()
                    .insert("iops", 4499.0)
                    .map_or((), drop)
            },
            "NoLongerHolds",
        ),
        ("nobody knows", |w| w.loads = Err("x".into()), "start hot"),
        (
            "pinned by a person",
            |w| {
                w.assigned("hot", Some(Pin::Always));
                w.loads
                    .as_mut()
                    .unwrap()
                    .get_mut("pvc-u")
                    .unwrap()
                    .insert("iops", 0.0);
            },
            "start hot",
        ),
        (
            "no window is open", // it is 08:00 UTC
            |w| w.policy().move_windows = vec![WeekWindow::read(&[], "09:00", "10:00", None).unwrap()],
            "OutsideWindow",
        ),
        (
            "a window is open",
            |w| w.policy().move_windows = vec![WeekWindow::read(&[], "07:00", "09:00", None).unwrap()],
            "start hot",
        ),
        (
            "the tier has moves enough",
            |w| {
                w.tier("hot").max_moves = Some(1);
                w.migrated(Phase::WaitSync);
                w.in_flight.migrations[0].volume = "pvc-other".into();
                w.in_flight.migrations[0].claim.name = "other".into();
            },
            "OverBudget",
        ),
        (
            "an hour's moves are used up",
            |w| {
                w.policy().budgets.moves_per_hour = Some(1);
                w.migrated(Phase::Completed);
                w.in_flight.migrations[0].volume = "pvc-other".into();
                w.in_flight.migrations[0].claim.name = "other".into();
                w.in_flight.migrations[0].started =
                    Some(Timestamp::from_second(NOW - 3599).unwrap().to_string());
            },
            "OverBudget",
        ),
        (
            "the hour is over",
            |w| {
                w.policy().budgets.moves_per_hour = Some(1);
                w.migrated(Phase::Completed);
                w.in_flight.migrations[0].volume = "pvc-other".into();
                w.in_flight.migrations[0].claim.name = "other".into();
                w.in_flight.migrations[0].started =
                    Some(Timestamp::from_second(NOW - 3600).unwrap().to_string());
            },
            "start hot",
        ),
        (
            "a move larger than the hour's bytes starts alone",
            |w| w.policy().budgets.bytes_per_hour = Some(GIB),
            "start hot",
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = world();
        world.approve("hot");
        world.assigned("hot", None);
        change(&mut world);
        assert_eq!(world.verdict(), *expected, "{what}");
    }
}

#[test]
fn moves_of_one_plan_share_the_room_that_there_is() {
    // Room for one of two: the smaller one carries as much load with fewer bytes.
    let mut world = world();
    world.limits.max_open = 10;
    world.pool("hot-2").used = 86 * GIB;
    world.beside("small", 4, "cold-1", "n1", 6000.0);
    let plan = world.decided(|decision| {
        let moves: Vec<String> = decision
            .proposals
            .iter()
            .map(|one| one.claim.name.clone())
            .collect();
        let left: Vec<_> = decision
            .left_alone
            .iter()
            .map(|left| (left.claim().1.to_owned(), left.why.reason()))
            .collect();
        (moves, left)
    });
    assert_eq!(
        plan,
        (vec!["small".to_owned()], vec![("data-0".to_owned(), "NoRoom")])
    );
}

#[test]
fn colder_volumes_make_room_for_hotter_ones_first() {
    let mut world = world();
    world.limits.max_open = 10;
    world.pool("hot-2").used = 95 * GIB;
    world.beside("idle", 20, "hot-2", "n2", 0.0);
    world.beside("idler", 30, "hot-2", "n2", 0.0);
    world.beside("busy", 40, "hot-2", "n2", 9000.0);
    let plan = world.decided(|decision| {
        let moves: Vec<String> = decision
            .proposals
            .iter()
            .map(|one| format!("{} to {}", one.claim.name, one.to))
            .collect();
        let left: Vec<_> = decision.left_alone.iter().map(LeftAlone::words).collect();
        (moves, left)
    });
    let (moves, left) = plan;
    assert_eq!(
        moves,
        ["idle to cold", "idler to cold"],
        "both have left the hot tier's pool of candidates: {left:?}"
    );
    assert!(
        left.iter()
            .any(|words| words.contains("hot has no room until db/idle has left it")),
        "{left:?}"
    );
}

#[test]
fn the_price_of_a_move_is_the_difference_of_the_tiers() {
    let mut world = world();
    (
        world.tier("hot").cost_per_gib_month,
        world.tier("cold").cost_per_gib_month,
    ) = (Some(0.30), Some(0.05));
    let cost = world
        .decided(|decision| decision.proposals[0].monthly_cost)
        .unwrap();
    assert!((cost - 2.5).abs() < 1e-9, "{cost}");
    world.tier("cold").cost_per_gib_month = None;
    assert_eq!(world.decided(|decision| decision.proposals[0].monthly_cost), None);
}

#[test]
fn thin_copies_need_a_promise_that_can_be_kept() {
    for (committed, used, expected) in [
        (0, 0, "propose hot"),
        (240, 0, "propose hot"),
        (241, 0, "NoPool"), // 250 % of 100 GiB are promised with it
        (0, 96, "NoPool"),  // 4 GiB of 10 and the reserve must be free
        (0, 95, "propose hot"),
    ] {
        let mut world = world();
        world.volume().thin = true;
        let pool = world.pool("hot-2");
        (pool.committed, pool.used) = (Some(committed * GIB), used * GIB);
        assert_eq!(world.verdict(), expected, "{committed} GiB promised, {used} used");
    }
}

#[test]
fn load_in_excluded_windows_is_not_asked_for() {
    let mut world = world();
    let night = world.window("07:30", "07:45");
    let policy = world.policy();
    policy.excluded_windows = vec![night];
    let asked: Vec<String> = questions(&world.desired, Timestamp::from_second(NOW).unwrap())
        .into_iter()
        .collect();
    let (from, to) = (NOW - 1800, NOW - 900);
    assert_eq!(
        asked,
        [
            format!(
                "avg_over_time(((sum by (pv_name) (rate(volume_num_read_ops[300s])) + sum by (pv_name) (rate(volume_num_write_ops[300s]))) unless on () ((vector(time()) >= {from} < {to})))[3600s:60s])"
            ),
            format!(
                "count_over_time(((sum by (pv_name) (volume_num_read_ops)) unless on () ((vector(time()) >= {from} < {to})))[1h:60s]) / 45"
            ),
        ]
    );
}

#[test]
fn what_was_encrypted_is_said_in_no_proposal_and_no_reason() {
    let mut world = world();
    world.policy().secret = true;
    let (note, words) = world.decided(|decision| {
        (
            decision.proposals[0].note.clone(),
            format!("{:?}", decision.proposals[0].note),
        )
    });
    assert_eq!((note.watermark, note.window), (None, None));
    assert!(!words.contains("5000"), "{words}");
    world.policy().fullness.promote_below = Some(0.0423);
    let words = world.decided(|decision| decision.left_alone[0].words());
    assert_eq!(words, "hot would be too full");
}

#[test]
fn one_volume_is_explained_in_full() {
    let mut world = world();
    with_signals(&mut world);
    let world = world.with(&[("latency", 1.0), ("requestSize", 8192.0), ("readRatio", 0.5)]);
    let observation = world.observation();
    let decision = decide(
        &world.desired,
        &observation,
        &world.in_flight,
        world.limits,
        observation.at,
    );
    let explain = |claim: &ClaimRef| {
        explain::explain(
            &world.desired,
            &observation,
            &world.in_flight,
            world.limits,
            observation.at,
            claim,
            &decision,
        )
    };
    let explained = explain(&claim()).unwrap();
    assert_eq!(explained.verdict, "latency 1.00 ms lies between the thresholds");
    let says: Vec<_> = explained
        .signals
        .iter()
        .map(|one| (one.name.as_str(), one.says))
        .collect();
    assert_eq!(says, [("iops", "hot"), ("latency", "neither")]);
    assert_eq!(explained.pools.len(), 1);
    assert_eq!(explained.pools[0].excluded, None);
    let nobody = ClaimRef {
        namespace: "db".into(),
        name: "nobody".into(),
    };
    assert_eq!(explain(&nobody), None);
}
