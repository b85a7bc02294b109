//! A small world in which decisions are made: one volume, one policy, two tiers.

use crate::decide::{InFlight, Limits, decide, questions};
use crate::model::approval::{Approval, Approved, Move};
use crate::model::decision::Decision;
use crate::model::desired::{
    Assignment, Budgets, Desired, Fullness, Measure, Policy, Signal, Tier, TierPools,
};
use crate::model::engine::{EngineState, Health, Node, Pool, Replica, Volume};
use crate::model::ids::{ClaimRef, CommitId, PolicyName, Revision, TierName, VolumeName};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use crate::model::kinds::tier_assignment::DecisionNote;
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::{ClusterVolume, Observation, Pin, Provider, RawAnswer};
use crate::model::resources::Resources;
use crate::model::week::WeekWindow;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn note(value: f64) -> DecisionNote {
    DecisionNote {
        policy: "p".into(),
        from: "cold".into(),
        signal: "iops".into(),
        value,
        watermark: Some(5000.0),
        window: Some("1h".into()),
        percentile: None,
        also: Vec::new(),
        sustained_for: None,
        after: None,
    }
}

/// What Prometheus knows of a volume, by the name of the signal.
pub(crate) type Load = BTreeMap<&'static str, f64>;

pub(crate) struct World {
    pub(crate) desired: Desired,
    pub(crate) seen: Vec<ClusterVolume>,
    pub(crate) engine: Result<EngineState, String>,
    /// Load by volume, or why Prometheus does not answer.
    pub(crate) loads: Result<BTreeMap<String, Load>, String>,
    pub(crate) in_flight: InFlight,
    pub(crate) limits: Limits,
}

pub(crate) fn claim() -> ClaimRef {
    ClaimRef {
        namespace: "db".into(),
        name: "data-0".into(),
    }
}

pub(crate) fn labels(tier: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("tier".to_owned(), tier.to_owned())])
}

pub(crate) fn pool(name: &str, node: &str, tier: &str, free: u64) -> Pool {
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
pub(crate) fn world() -> World {
    let tier = |name: &str, rank| Tier {
        name: name.into(),
        rank,
        pools: TierPools::Mayastor(labels(name)),
        pool_reserve: GIB,
        storage_class: None,
        max_moves: None,
        cost_per_gib_month: None,
        secret: false,
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
        rollback: None,
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
        obstacle: None,
    };
    let node = |name: &str| Node {
        name: name.into(),
        labels: BTreeMap::new(),
        state: Health::Online,
        cordons: Vec::new(),
        draining: false,
        version: Some("v2.10.1".to_owned()),
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
            resources: Resources::default(),
            tiers: [tier("hot", 100), tier("cold", 1)]
                .into_iter()
                .map(|tier| (tier.name.clone(), tier))
                .collect(),
            policies: BTreeMap::from([(PolicyName("p".into()), policy)]).into(),
            assignments: BTreeMap::new(),
            approved: Vec::new(),
            reverted: BTreeSet::new(),
            promotions: Default::default(),
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
            rejections_expire: None,
            max_concurrent: 2,
            dry_run: false,
        },
    }
    .at(6000.0, 1.0)
}

pub(crate) fn signal(name: &str, measure: Measure, above: Option<f64>, below: Option<f64>) -> Signal {
    Signal {
        name: name.into(),
        measure,
        percentile: None,
        above,
        below,
    }
}

impl World {
    pub(crate) fn at(self, iops: f64, coverage: f64) -> Self {
        self.with(&[("iops", iops), ("coverage", coverage)])
    }

    pub(crate) fn with(mut self, load: &[(&'static str, f64)]) -> Self {
        let known = self
            .loads
            .as_mut()
            .unwrap()
            .entry("pvc-u".to_owned())
            .or_default();
        known.extend(load.iter().copied());
        self
    }

    /// Another load of the volume.
    pub(crate) fn now_at(&mut self, iops: f64) {
        let loads = self.loads.as_mut().unwrap();
        loads.get_mut("pvc-u").unwrap().insert("iops", iops);
    }

    /// What Prometheus answers to every question of the policies.
    pub(crate) fn answers(&self, now: Timestamp) -> BTreeMap<String, RawAnswer> {
        let of = |name: &str| -> RawAnswer {
            let loads = self.loads.as_ref().map_err(Clone::clone)?;
            let known = |(volume, load): (&String, &Load)| Some((volume.clone(), *load.get(name)?));
            Ok(loads.iter().filter_map(known).collect())
        };
        let mut answers = BTreeMap::new();
        for policy in self.desired.policies.values().filter(|policy| policy.enabled) {
            answers.insert(questions::coverage(policy, now), of("coverage"));
            answers.insert(questions::latency(policy, now), of("latency"));
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

    pub(crate) fn observation(&self) -> Observation {
        let now = Timestamp::from_second(NOW).unwrap();
        Observation::assemble(
            now,
            self.seen.clone(),
            BTreeSet::new(),
            self.engine.clone(),
            self.answers(now),
        )
    }

    pub(crate) fn decided<T>(&self, read: impl FnOnce(&Decision) -> T) -> T {
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

    pub(crate) fn volume(&mut self) -> &mut Volume {
        self.engine.as_mut().unwrap().volumes.get_mut("u").unwrap()
    }

    pub(crate) fn pool(&mut self, name: &str) -> &mut Pool {
        self.engine.as_mut().unwrap().pools.get_mut(&name.into()).unwrap()
    }

    pub(crate) fn policy(&mut self) -> &mut Policy {
        self.desired.policies.get_mut(&PolicyName("p".into())).unwrap()
    }

    pub(crate) fn tier(&mut self, name: &str) -> &mut Tier {
        self.desired.tiers.get_mut(&TierName(name.into())).unwrap()
    }

    pub(crate) fn bound(&mut self) -> &mut ClusterVolume {
        &mut self.seen[0]
    }

    pub(crate) fn on_hot(&mut self) {
        let replica = &mut self.volume().replicas[0];
        (replica.pool, replica.node) = ("hot-2".into(), "n2".into());
    }

    /// Another volume, `gibs` large, on a pool.
    pub(crate) fn beside(&mut self, name: &str, gibs: u64, pool: &str, node: &str, iops: f64) {
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

    pub(crate) fn assigned(&mut self, to: &str, pin: Option<Pin>) {
        let assignment = Assignment {
            claim: claim(),
            volume: "pvc-u".into(),
            tier: to.into(),
            pin,
            accept_snapshots_stay: false,
            decision: Some(note(6000.0)),
            path: "x".into(),
            text: String::new(),
            secret: false,
        };
        self.desired.assignments.insert(claim(), assignment);
    }

    pub(crate) fn window(&mut self, from: &str, to: &str) -> WeekWindow {
        WeekWindow::read(&[], from, to, None).unwrap()
    }

    /// The reason why the volume is left alone, or the move that is proposed or started.
    pub(crate) fn verdict(&self) -> String {
        self.decided(verdict_of)
    }

    pub(crate) fn approve(&mut self, to: &str) {
        self.approve_of(to, Some("p"));
    }

    /// Approved as a policy proposed it, or as a person wrote it.
    pub(crate) fn approve_of(&mut self, to: &str, policy: Option<&str>) {
        let what = Move {
            claim: claim(),
            volume: "pvc-u".into(),
            to: to.into(),
            policy: policy.map(Into::into),
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

    pub(crate) fn migrated(&mut self, phase: Phase) {
        self.in_flight.migrations.push(MigrationBrief {
            name: "m".into(),
            claim: claim(),
            volume: "pvc-u".into(),
            from: "cold".into(),
            to: "hot".into(),
            policy: Some("p".into()),
            phase,
            approved_in: CommitId("a".into()),
            latency_before: None,
            attempt: 1,
            retry: None,
            started: None,
            finished: None,
            copied: None,
        });
    }

    pub(crate) fn declined(&mut self, value: f64) {
        self.in_flight.proposals.push(ProposalStatus {
            branch: "b".into(),
            policy: "p".into(),
            state: ProposalState::Declined,
            key: "k".into(),
            commit: "c".into(),
            base: "c".into(),
            number: None,
            shown: String::new(),
            url: None,
            moves: vec![ProposedMoveStatus {
                namespace: "db".into(),
                claim: "data-0".into(),
                volume: "pvc-u".into(),
                from: "cold".into(),
                to: "hot".into(),
                decision: note(value),
                accepted: false,
                approved_in: None,
            }],
            policy_fingerprint: "f".into(),
            title: String::new(),
            body: String::new(),
            since: Timestamp::from_second(NOW - 86_400).unwrap().to_string(),
        });
    }
}

pub(crate) fn verdict_of(decision: &Decision) -> String {
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
