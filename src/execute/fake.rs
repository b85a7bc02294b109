//! A storage engine and a journal store in memory, with crashes and lost replies at any effect that a test names.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::engine::{EngineError, JournalStore, StorageEngine, StoreError};
use super::journal::{Act, Reading};
use super::safety::synced;
use crate::model::engine::{Abilities, Ability, Health, Node, Pool, Rebuild, Replica, Volume};
use crate::model::kinds::volume_migration::{
    ApprovedBy, Named, Phase, VolumeMigration, VolumeMigrationSpec, VolumeMigrationStatus,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

pub(super) const GIB: u64 = 1 << 30;
const START: i64 = 1_800_000_000;

/// What goes wrong at an effect (a journal write or an act), counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The process dies before it.
    CrashBefore(usize),
    /// The process dies after it.
    CrashAfter(usize),
    /// An act is done and its reply is lost.
    LoseReply(usize),
    /// An act is not done and its answer is unclear.
    NotDone(usize),
}

pub(super) struct State {
    pub(super) volume: Volume,
    pub(super) pools: BTreeMap<String, Pool>,
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) stored: VolumeMigration,
    pub(super) trouble: Option<Trouble>,
    /// Percent by which a copy is filled with each reading.
    pub(super) fill: u8,
    /// Whether pool cordons are ignored, as an engine without them would.
    pub(super) blind: bool,
    pub(super) abilities: Abilities,
    /// So many readings that follow say that there is no such volume.
    pub(super) unknown: usize,
    /// What the target remembers of rebuilds.
    pub(super) rebuilds: Option<Vec<Rebuild>>,
    pub(super) effects: usize,
    pub(super) acts: Vec<String>,
    /// The fewest complete copies that the volume ever had.
    pub(super) fewest: usize,
    dead: bool,
    made: usize,
    seconds: i64,
}

pub(super) struct Fake(Mutex<State>);

pub(super) fn pool(name: &str, node: &str, tier: &str, free: u64) -> Pool {
    Pool {
        name: name.into(),
        node: node.into(),
        labels: BTreeMap::from([("tier".to_owned(), tier.to_owned())]),
        state: Health::Online,
        capacity: free * GIB,
        used: 0,
        committed: None,
        cordoned: false,
        encrypted: false,
    }
}

fn replica(id: &str, node: &str, pool: &str) -> Replica {
    Replica {
        id: id.to_owned().into(),
        node: node.into(),
        pool: pool.into(),
        state: Health::Online,
        child: Some(Health::Online),
        healthy: Some(true),
        rebuild_progress: None,
    }
}

impl Fake {
    /// A volume of 10 GiB with this many copies on cold pools, its target beside the first; two hot pools, and one cold
    /// pool that is roomier than they are.
    pub(super) fn with_copies(copies: u8) -> Self {
        let mut pools = vec![
            pool("hot-1", "h1", "hot", 50),
            pool("hot-2", "h2", "hot", 40),
            pool("spare", "s1", "cold", 900),
        ];
        let mut replicas = Vec::new();
        for index in 1..=copies {
            let (node, name) = (format!("c{index}"), format!("cold-{index}"));
            pools.push(pool(&name, &node, "cold", 500));
            replicas.push(replica(&format!("old-{index}"), &node, &name));
        }
        let node = |name: &str| Node {
            name: name.into(),
            labels: BTreeMap::new(),
            state: Health::Online,
            cordons: Vec::new(),
            draining: false,
            version: None,
        };
        let nodes = pools
            .iter()
            .map(|pool| (pool.node.to_string(), node(pool.node.as_str())))
            .collect();
        let volume = Volume {
            uuid: "u".into(),
            size: 10 * GIB,
            num_replicas: copies,
            created: true,
            busy: false,
            state: Health::Online,
            target_node: Some("c1".into()),
            target_state: Some(Health::Online),
            rebuilds: 0,
            replicas,
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
        Self(Mutex::new(State {
            fewest: usize::from(copies),
            volume,
            pools: pools
                .into_iter()
                .map(|pool| (pool.name.to_string(), pool))
                .collect(),
            nodes,
            stored: migration(),
            trouble: None,
            fill: 40,
            blind: false,
            abilities: Abilities {
                pool_cordons: Ability::Has,
                removal_heeds_cordons: Ability::Has,
            },
            unknown: 0,
            rebuilds: None,
            effects: 0,
            acts: Vec::new(),
            dead: false,
            made: 0,
            seconds: 0,
        }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_second(START + self.state().seconds).unwrap()
    }

    /// A process that starts again after it died.
    pub(super) fn revive(&self) {
        self.state().dead = false;
    }
}

fn migration() -> VolumeMigration {
    VolumeMigration::new(
        "m",
        VolumeMigrationSpec {
            source: Named {
                namespace: "s".into(),
                name: "s".into(),
            },
            claim: Named {
                namespace: "db".into(),
                name: "data-0".into(),
            },
            volume: "pvc-u".into(),
            volume_uuid: "u".into(),
            from: "cold".into(),
            to: "hot".into(),
            to_pool_labels: BTreeMap::from([("tier".to_owned(), "hot".to_owned())]),
            pool_reserve_bytes: GIB,
            policy: None,
            timeout_seconds: 300,
            latency_before_ms: None,
            preserve: false,
            accept_snapshots_stay: false,
            superseded: None,
            attempt: None,
            approved: ApprovedBy {
                pull_request: None,
                merged_by: None,
                reviewed_by: Vec::new(),
                revision: "main@sha1:x".into(),
                commit: "x".into(),
                author: "Ada".into(),
                at: String::new(),
                path: "p".into(),
            },
        },
    )
}

impl State {
    /// The engine as a journal says that it left it: its cordons set, and the copy that it added there.
    pub(super) fn resume(&mut self, status: VolumeMigrationStatus) {
        if let Some(added) = &status.added {
            let new = replica(&added.id, &added.node, &added.pool);
            self.volume.replicas.push(new);
            self.volume.num_replicas += 1;
            self.made += 1;
            if status.phase == Phase::WaitSync {
                let new = self.volume.replicas.last_mut().unwrap();
                (new.child, new.healthy, new.rebuild_progress) =
                    (Some(Health::Degraded), Some(false), status.progress_percent);
            }
        }
        let window = status.window.clone().unwrap_or_default();
        for name in &window.pools {
            self.pools.get_mut(name).unwrap().cordoned = true;
        }
        for name in window.all_nodes() {
            let label = super::start::cordon_label("m");
            self.nodes.get_mut(name).unwrap().cordons.push(label);
        }
        self.stored.status = Some(status);
        self.settle();
    }

    fn settle(&mut self) {
        let complete = self.volume.replicas.iter().all(synced);
        let full = self.volume.replicas.len() == usize::from(self.volume.num_replicas);
        let state = if complete && full {
            Health::Online
        } else {
            Health::Degraded
        };
        self.volume.state = state;
        self.volume.target_state = Some(state);
        let filling = self
            .volume
            .replicas
            .iter()
            .filter(|one| one.rebuild_progress.is_some())
            .count();
        self.volume.rebuilds = u32::try_from(filling).unwrap();
        self.fewest = self
            .fewest
            .min(self.volume.replicas.iter().filter(|one| synced(one)).count());
    }

    fn pass_time(&mut self) {
        self.seconds += 1;
        let fill = self.fill;
        for one in self.volume.replicas.iter_mut() {
            let Some(progress) = one.rebuild_progress else {
                continue;
            };
            let progress = progress.saturating_add(fill);
            one.rebuild_progress = (progress < 100).then_some(progress);
            if progress >= 100 {
                (one.child, one.healthy) = (Some(Health::Online), Some(true));
            }
        }
        self.settle();
    }

    /// The effect's number, and whether the process is dead before it.
    fn begin(&mut self) -> Option<usize> {
        let number = self.effects;
        if self.dead {
            return None;
        }
        self.effects += 1;
        if self.trouble == Some(Trouble::CrashBefore(number)) {
            self.dead = true;
            return None;
        }
        Some(number)
    }

    fn end(&mut self, number: usize) -> bool {
        if self.trouble == Some(Trouble::CrashAfter(number)) {
            self.dead = true;
        }
        !self.dead
    }

    fn set_replicas(&mut self, count: u8) -> Result<(), EngineError> {
        let have = self.volume.num_replicas;
        if count == have {
            return Err(EngineError::CountAchieved(count.to_string()));
        }
        assert_eq!(count.abs_diff(have), 1, "a count changes by one");
        if count > have {
            let holds = |node: &str| self.volume.replicas.iter().any(|one| one.node.as_str() == node);
            let chosen = self
                .pools
                .values()
                .filter(|pool| {
                    pool.state == Health::Online
                        && (!pool.cordoned || self.blind)
                        && !holds(pool.node.as_str())
                })
                .filter(|pool| {
                    self.nodes[pool.node.as_str()].cordons.is_empty() && pool.free() > self.volume.size
                })
                .max_by_key(|pool| pool.free());
            let Some(chosen) = chosen else {
                return Err(EngineError::Refused("ResourceExhausted".into()));
            };
            self.made += 1;
            let mut new = replica(
                &format!("new-{}", self.made),
                chosen.node.as_str(),
                chosen.name.as_str(),
            );
            (new.child, new.healthy, new.rebuild_progress) = (Some(Health::Degraded), Some(false), Some(0));
            self.volume.replicas.push(new);
        } else {
            let rank = |one: &Replica| {
                let cordoned = !self.nodes[one.node.as_str()].cordons.is_empty();
                (
                    synced(one),
                    !cordoned,
                    self.volume.target_node.as_ref() == Some(&one.node),
                )
            };
            let victim = (0..self.volume.replicas.len())
                .min_by_key(|index| rank(&self.volume.replicas[*index]))
                .unwrap();
            self.volume.replicas.remove(victim);
        }
        self.volume.num_replicas = count;
        self.settle();
        Ok(())
    }

    fn carry_out(&mut self, act: &Act) -> Result<(), EngineError> {
        self.acts.push(format!("{act:?}"));
        match act {
            Act::SetReplicas(count) => self.set_replicas(*count),
            Act::CordonPool(name) => {
                let pool = self.pools.get_mut(name).unwrap();
                if pool.cordoned {
                    return Err(EngineError::AlreadyCordoned(name.clone()));
                }
                pool.cordoned = true;
                Ok(())
            }
            Act::CordonNode(name, label) => {
                self.nodes.get_mut(name).unwrap().cordons.push(label.clone());
                Ok(())
            }
            Act::Release(window, label) => {
                for name in &window.pools {
                    self.pools.get_mut(name).unwrap().cordoned = false;
                }
                for name in window.all_nodes() {
                    self.nodes
                        .get_mut(name)
                        .unwrap()
                        .cordons
                        .retain(|held| held != label);
                }
                Ok(())
            }
        }
    }
}

impl StorageEngine for Fake {
    async fn reading(&self, _volume_uuid: &str) -> Result<Reading, EngineError> {
        let mut state = self.state();
        if state.dead {
            return Err(EngineError::Unreachable("dead".into()));
        }
        state.pass_time();
        let known = state.unknown == 0;
        state.unknown = state.unknown.saturating_sub(1);
        Ok(Reading {
            volume: known.then(|| state.volume.clone()),
            pools: state
                .pools
                .values()
                .map(|pool| (pool.name.clone(), pool.clone()))
                .collect(),
            nodes: state
                .nodes
                .values()
                .map(|node| (node.name.clone(), node.clone()))
                .collect(),
            rebuilds: state.rebuilds.clone(),
            abilities: state.abilities,
        })
    }

    async fn act(&self, _volume_uuid: &str, act: &Act) -> Result<(), EngineError> {
        let mut state = self.state();
        let dead = || EngineError::Indeterminate("dead".into());
        let number = state.begin().ok_or_else(dead)?;
        if state.trouble == Some(Trouble::NotDone(number)) {
            return Err(EngineError::Indeterminate("not done".into()));
        }
        let outcome = state.carry_out(act);
        if !state.end(number) {
            return Err(dead());
        }
        if state.trouble == Some(Trouble::LoseReply(number)) {
            return Err(EngineError::Indeterminate("the reply was lost".into()));
        }
        outcome
    }
}

impl JournalStore for Fake {
    async fn write(&self, migration: &mut VolumeMigration) -> Result<(), StoreError> {
        let mut state = self.state();
        let dead = || StoreError::Failed("dead".into());
        let number = state.begin().ok_or_else(dead)?;
        state.stored = migration.clone();
        if state.end(number) { Ok(()) } else { Err(dead()) }
    }
}
