//! A seeded world of any size: volumes of three tiers on six hundred pools, and policies that tell them apart by labels.

use couchestor::decide::{InFlight, questions};
use couchestor::model::approval::{Approval, Approved, Move};
use couchestor::model::desired::{
    Assignment, Budgets, Desired, Fullness, Measure, Policy, Signal, Tier, TierPools,
};
use couchestor::model::engine::{EngineState, GIB, Health, Node, Pool, Replica, Volume};
use couchestor::model::ids::{ClaimRef, Revision, TierName};
use couchestor::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use couchestor::model::kinds::tier_assignment::DecisionNote;
use couchestor::model::kinds::volume_migration::Phase;
use couchestor::model::migration_brief::MigrationBrief;
use couchestor::model::observation::{ClusterVolume, Pin, Provider, RawAnswer};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Pools, and the nodes that they are on: one pool of each tier on each node.
pub const NODES: usize = 200;
pub const TIERS: [&str; 3] = ["cold", "hot", "warm"];

/// The tiers of a policy from the coldest to the hottest, and the part of the volumes on each.
const ORDER: [(&str, i32); 3] = [("cold", 1), ("warm", 50), ("hot", 100)];

/// StorageClasses, over which policies are spread.
const CLASSES: usize = 4;

/// Load at or above which a volume is hot, and below which it is cold.
pub const HOT: f64 = 5000.0;
pub const COLD: f64 = 500.0;

/// What Git, the cluster, the engine and Prometheus say.
pub struct World {
    pub desired: Desired,
    pub seen: Vec<ClusterVolume>,
    pub engine: EngineState,
    pub answers: BTreeMap<String, RawAnswer>,
    pub in_flight: InFlight,
    pub at: Timestamp,
}

fn labels(pairs: &[(&str, String)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, String)| ((*key).to_owned(), value.clone());
    pairs.iter().map(owned).collect()
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

fn policy(number: usize, signals: &[Signal]) -> Policy {
    Policy {
        name: format!("policy-{number:05}").into(),
        storage_class: format!("mayastor-{}", number % CLASSES),
        claim_labels: labels(&[("app", format!("app-{number:05}"))]),
        signals: signals.to_vec(),
        not_heat_when: Vec::new(),
        sustained: Duration::ZERO,
        hysteresis: 0.1,
        window_text: "1h".into(),
        window: Duration::from_secs(3600),
        excluded_windows: Vec::new(),
        move_windows: Vec::new(),
        rollback: None,
        min_age: Duration::from_secs(3600),
        fullness: Fullness {
            demote_above: None,
            promote_below: Some(0.95),
        },
        budgets: Budgets::default(),
        min_coverage: 0.75,
        cooldown: Duration::from_secs(86_400),
        tiers: ORDER.iter().map(|(name, _)| (*name).into()).collect(),
        max_concurrent: 2,
        timeout: Duration::from_secs(1800),
        enabled: !number.is_multiple_of(50),
        dry_run: false,
        fingerprint: format!("{number:064x}"),
        secret: false,
    }
}

fn tiers() -> BTreeMap<TierName, Tier> {
    let tier = |(name, rank): &(&str, i32)| Tier {
        name: (*name).into(),
        rank: *rank,
        pools: TierPools::Mayastor(labels(&[("tier", (*name).to_owned())])),
        pool_reserve: 10 * GIB,
        storage_class: None,
        max_moves: Some(20),
        cost_per_gib_month: Some(f64::from(*rank) / 100.0),
        secret: false,
    };
    ORDER
        .iter()
        .map(|one| (TierName::from(one.0), tier(one)))
        .collect()
}

/// The world as a builder sees it.
struct Builder {
    random: fastrand::Rng,
    world: World,
    iops: HashMap<String, f64>,
    coverage: HashMap<String, f64>,
    policies: usize,
    /// For each tier and node the bytes that copies take.
    used: Vec<[u64; NODES]>,
}

/// Makes a world. `signals` beside IOPS are latency and request size, up to three in all.
pub fn world(volumes: usize, policies: usize, signals: usize, seed: u64) -> World {
    let all = [
        signal("iops", Measure::Iops, Some(HOT), Some(COLD)),
        signal("latency", Measure::Latency, Some(0.1), None),
        signal("throughput", Measure::Throughput, Some(1e6), None),
    ];
    let signals = &all[..signals];
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    let desired = Desired {
        revision: Revision {
            branch: "main".into(),
            commit: "0123456789012345678901234567890123456789".into(),
        },
        resources: Default::default(),
        tiers: tiers(),
        policies: (0..policies)
            .map(|number| policy(number, signals))
            .map(|policy| (policy.name.clone(), policy))
            .collect(),
        assignments: BTreeMap::new(),
        approved: Vec::new(),
        reverted: BTreeSet::new(),
        promotions: Default::default(),
    };
    let mut builder = Builder {
        random: fastrand::Rng::with_seed(seed),
        world: World {
            desired,
            seen: Vec::with_capacity(volumes),
            engine: EngineState::default(),
            answers: BTreeMap::new(),
            in_flight: InFlight::default(),
            at,
        },
        iops: HashMap::with_capacity(volumes),
        coverage: HashMap::with_capacity(volumes),
        policies,
        used: vec![[0; NODES]; TIERS.len()],
    };
    for number in 0..volumes {
        builder.volume(number, volumes);
    }
    builder.pools();
    // As the parser leaves them.
    let approved = &mut builder.world.desired.approved;
    approved.sort_by(|a, b| a.what().claim.cmp(&b.what().claim));
    let (iops, coverage) = (builder.iops, builder.coverage);
    let mut world = builder.world;
    if let Some(policy) = world.desired.policies.values().find(|policy| policy.enabled) {
        world
            .answers
            .insert(questions::coverage(policy, at), Ok(coverage));
        for signal in signals {
            let factor = match &*signal.name {
                "latency" => 0.001,
                "throughput" => 4096.0,
                _ => 1.0,
            };
            let values = iops.iter().map(|(name, value)| (name.clone(), value * factor));
            world
                .answers
                .insert(questions::value(policy, signal, at), Ok(values.collect()));
        }
    }
    world
}

impl Builder {
    fn one_in(&mut self, of: usize) -> bool {
        self.random.usize(..of) == 0
    }

    fn volume(&mut self, number: usize, of: usize) {
        let uuid = {
            let bits = self.random.u128(..);
            let hex = format!("{bits:032x}");
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            parts.join("-")
        };
        let app = self.random.usize(..self.policies);
        let claim = ClaimRef {
            namespace: format!("team-{:03}", app % 500),
            name: format!("data-app-{app:05}-{number}"),
        };
        let component = ["db", "queue"][app / 2 % 2];
        let now = self.world.at;
        let ago = |seconds: i64| Timestamp::from_second(now.as_second() - seconds).ok();
        let bound = ClusterVolume {
            name: format!("pvc-{uuid}").into(),
            claim,
            claim_labels: labels(&[
                ("app", format!("app-{app:05}")),
                ("component", component.to_owned()),
            ]),
            storage_class: format!("mayastor-{}", app % CLASSES),
            provider: match self.random.usize(..100) {
                0 => Provider::Local,
                1 => Provider::Other("ebs.csi.aws.com".into()),
                _ => Provider::Mayastor(uuid.clone()),
            },
            last_migration: match self.random.usize(..10) {
                0 => ago(3600),
                1 => ago(1_000_000),
                _ => None,
            },
            created: ago(self.random.i64(..10_000_000)),
            pin: match self.random.usize(..200) {
                0 => Some(Pin::Always),
                1 => Some(Pin::Until(now.as_second() - 1)),
                _ => None,
            },
        };
        // Half on cold, three tenths on warm, a fifth on hot; one in five is where it should not be.
        let tier = [0, 0, 0, 0, 0, 2, 2, 2, 1, 1][self.random.usize(..10)];
        let misplaced = self.one_in(5);
        let iops = match (TIERS[tier], misplaced, self.random.bool()) {
            ("cold", true, _) | ("warm", true, true) => self.random.f64() * 20_000.0 + HOT,
            ("cold", false, false) | ("hot", true, _) | ("warm", true, false) => self.random.f64() * COLD,
            ("hot", false, true) => self.random.f64() * 20_000.0 + HOT,
            _ => self.random.f64() * (HOT - COLD) + COLD,
        };
        let name = bound.name.to_string();
        if !self.one_in(100) {
            let coverage = if self.one_in(100) { 0.5 } else { 1.0 };
            self.iops.insert(name.clone(), iops);
            self.coverage.insert(name, coverage);
        }
        let volume = self.copies(uuid, tier);
        let index = self.world.seen.len();
        self.world.seen.push(bound);
        self.world.engine.volumes.insert(volume.uuid.clone(), volume);
        self.history(index, tier, of);
    }

    fn copies(&mut self, uuid: String, tier: usize) -> Volume {
        let size = (1 + self.random.u64(..64)) * GIB;
        let copies = self.random.usize(1..=3);
        let (thin, encrypted) = (self.random.usize(..10) < 4, self.one_in(20));
        let first = self.random.usize(..NODES);
        let replica = |copy: usize| {
            // Every tenth node has encrypted pools.
            let node = match encrypted {
                true => (first + copy * 10) / 10 * 10 % NODES,
                false => {
                    let node = (first + copy * 7) % NODES;
                    if node.is_multiple_of(10) { node + 1 } else { node }
                }
            };
            (copy, node)
        };
        let nodes: BTreeMap<usize, usize> = (0..copies)
            .map(replica)
            .map(|(copy, node)| (node, copy))
            .collect();
        let (mut replicas, healthy) = (Vec::new(), Some(true));
        for node in nodes.keys() {
            self.used[tier][*node] += if thin { size / 2 } else { size };
            replicas.push(Replica {
                id: format!("{uuid}-{node}").into(),
                node: format!("node-{node:03}").into(),
                pool: format!("{}-{node:03}", TIERS[tier]).into(),
                state: Health::Online,
                child: Some(Health::Online),
                healthy,
                rebuild_progress: None,
            });
        }
        let published = !self.one_in(30);
        let topology = self.one_in(20);
        Volume {
            uuid,
            size,
            num_replicas: u8::try_from(replicas.len()).unwrap(),
            created: true,
            busy: false,
            state: Health::Online,
            target_node: published.then(|| replicas[0].node.clone()),
            target_state: published.then_some(Health::Online),
            rebuilds: 0,
            replicas,
            self_heal: true,
            thin,
            snapshots: u32::from(self.one_in(100)),
            cloned: false,
            affinity_group: None,
            encrypted,
            pool_inclusion: BTreeMap::new(),
            node_inclusion: match topology {
                true => labels(&[("zone", format!("zone-{}", self.random.usize(..3)))]),
                false => BTreeMap::new(),
            },
            allowed_nodes: Vec::new(),
            obstacle: None,
        }
    }

    /// One in fifty has an assignment, one in a thousand is moving or proposed, one in two thousand was declined.
    fn history(&mut self, index: usize, tier: usize, of: usize) {
        let seen = self.world.seen[index].clone();
        let app = seen.claim_labels["app"].replace("app-", "policy-");
        let note = DecisionNote {
            policy: app.clone(),
            from: TIERS[tier].into(),
            signal: "iops".into(),
            value: 1.0,
            watermark: Some(HOT),
            window: Some("1h".into()),
            percentile: None,
            also: Vec::new(),
            sustained_for: None,
            after: None,
        };
        let to = if TIERS[tier] == "cold" { "warm" } else { "hot" };
        if self.one_in(50) {
            let assignment = Assignment {
                claim: seen.claim.clone(),
                volume: seen.name.clone(),
                tier: TIERS[tier].into(),
                pin: None,
                accept_snapshots_stay: false,
                decision: Some(note.clone()),
                path: format!("assignments/{}.yaml", seen.claim.name),
                text: String::new(),
                secret: false,
            };
            let what = Move {
                claim: seen.claim.clone(),
                volume: seen.name.clone(),
                to: TIERS[tier].into(),
                policy: Some(app.clone()),
            };
            let approval = Approval {
                revision: self.world.desired.revision.clone(),
                commit: "a".into(),
                author: "Ada".into(),
                at: Timestamp::UNIX_EPOCH,
                path: assignment.path.clone(),
            };
            self.world
                .desired
                .assignments
                .insert(seen.claim.clone(), assignment);
            let approved = Approved::read_from_verified_tree(what, approval);
            self.world.desired.approved.push(approved);
        }
        let rare = self.random.usize(..of.max(2000));
        if rare < 100 {
            self.world.in_flight.migrations.push(MigrationBrief {
                name: format!("migration-{index}"),
                claim: seen.claim.clone(),
                volume: seen.name.clone(),
                from: TIERS[tier].into(),
                to: to.into(),
                policy: Some(app),
                phase: if rare < 2 {
                    Phase::WaitSync
                } else {
                    Phase::Completed
                },
                approved_in: "a".into(),
                latency_before: None,
                attempt: 1,
                retry: None,
                started: Some("2027-01-01T00:00:00Z".into()),
                finished: None,
                copied: None,
            });
        } else if rare < 150 {
            self.world.in_flight.proposals.push(ProposalStatus {
                branch: format!("couchestor/{index}"),
                state: ProposalState::Declined,
                key: "k".into(),
                commit: "c".into(),
                base: "c".into(),
                policy: note.policy.clone(),
                number: None,
                shown: String::new(),
                url: None,
                moves: vec![ProposedMoveStatus {
                    namespace: seen.claim.namespace.clone(),
                    claim: seen.claim.name.clone(),
                    volume: seen.name.to_string(),
                    from: TIERS[tier].into(),
                    to: to.into(),
                    decision: note,
                    accepted: false,
                    approved_in: None,
                }],
                policy_fingerprint: "f".into(),
                title: String::new(),
                body: String::new(),
                since: String::new(),
            });
        }
    }

    /// Nodes, and pools that are about two thirds full.
    fn pools(&mut self) {
        for node in 0..NODES {
            let name = format!("node-{node:03}");
            self.world.engine.nodes.insert(
                name.as_str().into(),
                Node {
                    name: name.as_str().into(),
                    labels: labels(&[("zone", format!("zone-{}", node % 3))]),
                    state: if node == 13 {
                        Health::Offline
                    } else {
                        Health::Online
                    },
                    cordons: Vec::new(),
                    draining: node == 77,
                    version: Some("v2.10.1".to_owned()),
                },
            );
            for (tier, of) in TIERS.iter().zip(&self.used) {
                let pool = format!("{tier}-{node:03}");
                let used = of[node];
                let spread = 1.2 + self.random.f64() * 0.6;
                self.world.engine.pools.insert(
                    pool.as_str().into(),
                    Pool {
                        name: pool.as_str().into(),
                        node: name.as_str().into(),
                        labels: labels(&[
                            ("tier", (*tier).to_owned()),
                            ("openebs.io/created-by", "operator-diskpool".to_owned()),
                        ]),
                        state: Health::Online,
                        capacity: (used as f64 * spread) as u64 + 200 * GIB,
                        used,
                        committed: Some(used),
                        cordoned: node == 100,
                        encrypted: node.is_multiple_of(10),
                    },
                );
            }
        }
    }
}
