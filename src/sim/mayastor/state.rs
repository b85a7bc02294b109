//! Placement, removal and rebuilds of the simulated Mayastor.

use super::{NodeSeed, PoolSeed, VolumeSeed};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

const GIB: u64 = 1 << 30;

/// A fault that a test orders for one coming change of a replica count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and the answer is 503.
    DoneButUnavailable,
    /// It is not done, and the answer is 503.
    Unavailable,
    /// It is refused for want of resources.
    Exhausted,
}

/// A copy.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Its uuid.
    pub id: String,
    /// Its pool.
    pub pool: String,
    /// Part that is filled, 0 to 1.
    pub filled: f64,
    /// Whether it broke.
    pub faulted: bool,
}

impl Copy {
    /// Whether it holds everything.
    pub fn synced(&self) -> bool {
        self.filled >= 1.0 && !self.faulted
    }
}

/// A volume.
#[derive(Clone, Debug)]
pub struct SimVolume {
    /// Size in bytes.
    pub size: u64,
    /// Copies that it should have.
    pub num_replicas: u8,
    /// The node of its target.
    pub target: Option<String>,
    /// Pool labels that its topology demands.
    pub pool_inclusion: BTreeMap<String, String>,
    /// Snapshots.
    pub snapshots: u32,
    /// Its copies, oldest first.
    pub copies: Vec<Copy>,
    /// The smallest number of complete copies that it ever had: what every test asks in the end.
    pub fewest_synced: usize,
}

/// A pool.
#[derive(Clone, Debug)]
pub struct SimPool {
    /// Its node.
    pub node: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Capacity in bytes.
    pub capacity: u64,
    /// Bytes used by others than the volumes here.
    pub used: u64,
    /// Whether it works.
    pub online: bool,
    /// Whether it is cordoned.
    pub cordoned: bool,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct State {
    /// Cordon labels by node; a node that is not here does not exist.
    pub nodes: BTreeMap<String, BTreeSet<String>>,
    /// Nodes that do not answer.
    pub offline: BTreeSet<String>,
    /// Pools by name.
    pub pools: BTreeMap<String, SimPool>,
    /// Volumes by uuid.
    pub volumes: BTreeMap<String, SimVolume>,
    /// Faults for the next changes of replica counts, in order.
    pub faults: VecDeque<Fault>,
    /// How long each change takes: half of it before and half of it after it is done.
    pub change_takes: Duration,
    /// While set, nothing is rebuilt.
    pub rebuilds_stall: bool,
    /// Changes that were made, in order.
    pub log: Vec<String>,
    rebuild: Duration,
    at: Duration,
    made: u64,
}

/// The largest size of a pool or volume of a world, 1 PiB in GiB: sums of thousands of them stay within 64 bits.
const GIB_MAX: u64 = 1 << 20;

/// A size of a world file in bytes.
fn bytes(gib: u64, field: impl Fn() -> String) -> Result<u64, String> {
    match gib <= GIB_MAX {
        true => Ok(gib * GIB),
        false => Err(format!("{} is {gib}; write at most {GIB_MAX}", field())),
    }
}

/// A refusal: HTTP status, kind, words.
pub(super) type Refusal = (u16, &'static str, String);

impl State {
    pub(super) fn new(
        nodes: &[NodeSeed],
        pools: &[PoolSeed],
        volumes: &[VolumeSeed],
        rebuild: Duration,
    ) -> Result<Self, String> {
        let mut state = Self {
            nodes: nodes
                .iter()
                .map(|node| (node.name.clone(), BTreeSet::new()))
                .collect(),
            offline: BTreeSet::new(),
            pools: BTreeMap::new(),
            volumes: BTreeMap::new(),
            faults: VecDeque::new(),
            change_takes: Duration::ZERO,
            rebuilds_stall: false,
            log: Vec::new(),
            rebuild,
            at: Duration::ZERO,
            made: 0,
        };
        for pool in pools {
            if !state.nodes.contains_key(&pool.node) {
                return Err(format!("pool {}: there is no node {}", pool.name, pool.node));
            }
            let seeded = SimPool {
                node: pool.node.clone(),
                labels: pool.labels.clone(),
                capacity: bytes(pool.capacity_gib, || format!("pool {}: capacityGib", pool.name))?,
                used: bytes(pool.used_gib, || format!("pool {}: usedGib", pool.name))?,
                online: true,
                cordoned: false,
            };
            state.pools.insert(pool.name.clone(), seeded);
        }
        for volume in volumes {
            if let Some(missing) = volume.pools.iter().find(|pool| !state.pools.contains_key(*pool)) {
                return Err(format!("volume {}: there is no pool {missing}", volume.uuid));
            }
            let copies: Vec<Copy> = volume
                .pools
                .iter()
                .map(|pool| Copy {
                    id: state.uuid(),
                    pool: pool.clone(),
                    filled: 1.0,
                    faulted: false,
                })
                .collect();
            let seeded = SimVolume {
                size: bytes(volume.size_gib, || format!("volume {}: sizeGib", volume.uuid))?,
                num_replicas: u8::try_from(copies.len()).unwrap_or(u8::MAX),
                target: volume.target.clone(),
                pool_inclusion: volume.pool_inclusion.clone(),
                snapshots: volume.snapshots,
                fewest_synced: copies.len(),
                copies,
            };
            state.volumes.insert(volume.uuid.clone(), seeded);
        }
        Ok(state)
    }

    /// A uuid that differs for each copy and is the same in each run.
    fn uuid(&mut self) -> String {
        self.made += 1;
        format!("0c0ffee0-0000-4000-8000-{:012x}", self.made)
    }

    /// Bytes used on a pool.
    pub fn used(&self, name: &str) -> u64 {
        let own = self.pools.get(name).map_or(0, |pool| pool.used);
        let copies = self.volumes.values().flat_map(|volume| {
            volume
                .copies
                .iter()
                .filter(|copy| copy.pool == name)
                .map(|_| volume.size)
        });
        own + copies.sum::<u64>()
    }

    /// Moves the rebuild clock.
    pub(super) fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = now;
        let share = passed.as_secs_f64() / self.rebuild.as_secs_f64().max(0.001);
        let stall = self.rebuilds_stall;
        for volume in self.volumes.values_mut() {
            // Without a target nothing fills a copy (openebs/openebs#4124).
            let published = volume.target.is_some();
            for copy in volume
                .copies
                .iter_mut()
                .filter(|copy| !copy.faulted && copy.filled < 1.0)
            {
                if published && !stall {
                    copy.filled = (copy.filled + share).min(1.0);
                }
            }
            let synced = volume.copies.iter().filter(|copy| copy.synced()).count();
            volume.fewest_synced = volume.fewest_synced.min(synced);
        }
    }

    /// Whether a volume has all of its copies in order.
    pub fn is_online(&self, volume: &SimVolume) -> bool {
        volume.copies.len() == usize::from(volume.num_replicas) && volume.copies.iter().all(Copy::synced)
    }

    pub(super) fn set_replica_count(&mut self, uuid: &str, count: u8) -> Result<(), Refusal> {
        let fault = self.faults.pop_front();
        match fault {
            Some(Fault::Unavailable) => return Err((503, "Unavailable", "try again".to_owned())),
            Some(Fault::Exhausted) => {
                return Err((507, "ResourceExhausted", "not enough resources".to_owned()));
            }
            _ => {}
        }
        let volume = self
            .volumes
            .get(uuid)
            .ok_or((404, "NotFound", "no such volume".to_owned()))?;
        let have = volume.num_replicas;
        if count == have {
            return Err((412, "ReplicaCountAchieved", format!("it has {count} already")));
        }
        if count < 1 {
            return Err((412, "FailedPrecondition", "the last replica stays".to_owned()));
        }
        if count.abs_diff(have) != 1 {
            return Err((412, "ReplicaChangeCount", "by one at a time".to_owned()));
        }
        if count > have {
            if !self.is_online(volume) {
                return Err((412, "ReplicaIncrease", "the volume is not Online".to_owned()));
            }
            let pool = self.place(uuid).ok_or((
                507,
                "ResourceExhausted",
                "no pool can take a replica".to_owned(),
            ))?;
            let id = self.uuid();
            self.log.push(format!("{uuid}: +{id} on {pool}"));
            if let Some(volume) = self.volumes.get_mut(uuid) {
                volume.num_replicas = count;
                volume.copies.push(Copy {
                    id,
                    pool,
                    filled: 0.0,
                    faulted: false,
                });
            }
        } else {
            let victim = self.victim(uuid);
            if let (Some(volume), Some(victim)) = (self.volumes.get_mut(uuid), victim) {
                let gone = volume.copies.remove(victim);
                volume.num_replicas = count;
                let synced = volume.copies.iter().filter(|copy| copy.synced()).count();
                volume.fewest_synced = volume.fewest_synced.min(synced);
                self.log.push(format!("{uuid}: -{} from {}", gone.id, gone.pool));
            }
        }
        match fault {
            Some(Fault::DoneButUnavailable) => Err((503, "Unavailable", "the answer was lost".to_owned())),
            _ => Ok(()),
        }
    }

    /// The roomiest pool that passes the scheduler's filters: it knows nothing of tiers.
    fn place(&self, uuid: &str) -> Option<String> {
        let volume = self.volumes.get(uuid)?;
        let holds = |node: &str| {
            volume
                .copies
                .iter()
                .any(|copy| self.pools.get(&copy.pool).is_some_and(|pool| pool.node == node))
        };
        self.pools
            .iter()
            .filter(|(_, pool)| pool.online && !pool.cordoned && !self.offline.contains(&pool.node))
            .filter(|(_, pool)| self.nodes.get(&pool.node).is_some_and(BTreeSet::is_empty))
            .filter(|(_, pool)| !holds(&pool.node))
            .filter(|(_, pool)| {
                volume.pool_inclusion.iter().all(|(key, value)| {
                    pool.labels
                        .get(key)
                        .is_some_and(|has| value.is_empty() || has == value)
                })
            })
            .map(|(name, pool)| (pool.capacity.saturating_sub(self.used(name)), name))
            .filter(|(free, _)| *free > volume.size)
            .max()
            .map(|(_, name)| name.clone())
    }

    /// Unhealthy copies first; then those on cordoned nodes; then remote ones before the one beside the target.
    fn victim(&self, uuid: &str) -> Option<usize> {
        let volume = self.volumes.get(uuid)?;
        let rank = |copy: &Copy| {
            let node = self.pools.get(&copy.pool).map(|pool| pool.node.clone());
            let cordoned = node
                .as_ref()
                .and_then(|node| self.nodes.get(node))
                .is_some_and(|labels| !labels.is_empty());
            (copy.synced(), !cordoned, node == volume.target)
        };
        (0..volume.copies.len()).min_by_key(|index| rank(&volume.copies[*index]))
    }
}
