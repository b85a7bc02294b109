//! One volume of a Mayastor in a few bytes, with every choice that the engine could make: what the model checker plays against.
//!
//! The rules are those of openebs/mayastor-control-plane: one copy per node, placement on any pool that is not cordoned
//! (`scheduling/volume_policy`), removal of unhealthy copies first, then, from 2.9 on, of those on cordoned nodes, then of remote
//! ones (`ChildSorters`). Where its weights would choose, every choice is tried.

use couchestor::execute::journal::{Act, ActFailure, Reading};
use couchestor::model::engine::{Abilities, Health, Node, Pool, Replica, Volume};
use couchestor::sim::mayastor::Profile;
use std::collections::BTreeMap;

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fill {
    Whole,
    Filling,
    Broken,
}

/// A copy; pools and nodes have the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Copy {
    pub id: u8,
    pub pool: u8,
    pub fill: Fill,
}

/// The world that a run starts in: `copies` cold pools with a copy each, as many hot ones, and a cold one to spare.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    pub copies: u8,
    pub release: Profile,
    /// The node of the volume's target.
    pub target: u8,
}

/// The volume, and the cordons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mini {
    pub wanted: u8,
    pub copies: Vec<Copy>,
    /// Pools that are cordoned, as bits.
    pub pools: u16,
    /// Nodes that carry our label, as bits.
    pub nodes: u16,
    made: u8,
}

const UUID: &str = "u";

/// The label of the model's migration.
pub const LABEL: &str = "couchestor-model";

fn pool_name(pool: u8) -> String {
    format!("p{pool}")
}

fn node_name(node: u8) -> String {
    format!("n{node}")
}

fn number(name: &str) -> u8 {
    name[1..].parse().unwrap()
}

fn copy_name(id: u8) -> String {
    format!("copy-{id}")
}

/// How many of these copies were made before one.
fn rank(id: u8, copies: u32) -> u8 {
    u8::try_from((copies & ((1 << id) - 1)).count_ones()).unwrap()
}

/// The name of a copy by its rank among those that can still be seen; all others are one.
pub fn ranked_name(name: &str, copies: u32) -> String {
    let id = name.strip_prefix("copy-").and_then(|id| id.parse::<u8>().ok());
    match id.filter(|id| copies & (1 << id) != 0) {
        Some(id) => copy_name(rank(id, copies)),
        None => "gone".to_owned(),
    }
}

impl Ground {
    /// Whether a copy on a cordoned node goes first.
    pub fn heeds_cordons(self) -> bool {
        self.release.capabilities().removal_minds_cordons
    }

    pub fn pools(self) -> u8 {
        2 * self.copies + 1
    }

    fn is_hot(self, pool: u8) -> bool {
        (self.copies..2 * self.copies).contains(&pool)
    }

    pub fn start(self) -> Mini {
        let copies = (0..self.copies).map(|index| Copy {
            id: index,
            pool: index,
            fill: Fill::Whole,
        });
        Mini {
            wanted: self.copies,
            copies: copies.collect(),
            pools: 0,
            nodes: 0,
            made: self.copies,
        }
    }

    /// What the production code gets to read of it.
    pub fn reading(self, mini: &Mini) -> Reading {
        let online = |yes: bool| if yes { Health::Online } else { Health::Degraded };
        let healthy = |copy: &Copy| {
            self.release
                .capabilities()
                .tells_health
                .then_some(copy.fill == Fill::Whole)
        };
        let replica = |copy: &Copy| Replica {
            id: copy_name(copy.id).into(),
            node: node_name(copy.pool).as_str().into(),
            pool: pool_name(copy.pool).as_str().into(),
            // An empty copy is Online too.
            state: match copy.fill {
                Fill::Broken => Health::Faulted,
                _ => Health::Online,
            },
            child: Some(match copy.fill {
                Fill::Whole => Health::Online,
                Fill::Filling => Health::Degraded,
                Fill::Broken => Health::Faulted,
            }),
            healthy: healthy(copy),
            rebuild_progress: (copy.fill == Fill::Filling).then_some(50),
        };
        let filling = mini.copies.iter().filter(|copy| copy.fill == Fill::Filling);
        let volume = Volume {
            uuid: UUID.into(),
            // Without bytes, progress has no numbers in which states could differ.
            size: 0,
            num_replicas: mini.wanted,
            created: true,
            busy: false,
            state: online(mini.is_online()),
            target_node: Some(node_name(self.target).as_str().into()),
            target_state: Some(online(mini.is_online())),
            rebuilds: u32::try_from(filling.count()).unwrap(),
            replicas: mini.copies.iter().map(replica).collect(),
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
        let nodes: BTreeMap<_, _> = (0..self.pools())
            .map(|node| {
                let name: couchestor::model::ids::NodeName = node_name(node).as_str().into();
                let cordons = match mini.nodes & (1 << node) {
                    0 => Vec::new(),
                    _ => vec![LABEL.to_owned()],
                };
                let node = Node {
                    name: name.clone(),
                    labels: BTreeMap::new(),
                    state: Health::Online,
                    cordons,
                    draining: false,
                    version: Some(self.release.capabilities().version.to_owned()),
                };
                (name, node)
            })
            .collect();
        let pools = (0..self.pools()).map(|pool| {
            let name: couchestor::model::ids::PoolName = pool_name(pool).as_str().into();
            let tier = if self.is_hot(pool) { "hot" } else { "cold" };
            let made = Pool {
                name: name.clone(),
                node: node_name(pool).as_str().into(),
                labels: BTreeMap::from([("tier".to_owned(), tier.to_owned())]),
                state: Health::Online,
                capacity: 1 << 30,
                used: 0,
                committed: None,
                cordoned: mini.pools & (1 << pool) != 0,
                encrypted: false,
            };
            (name, made)
        });
        Reading {
            volume: Some(volume),
            pools: pools.collect(),
            abilities: Abilities::of(nodes.values()),
            nodes,
            rebuilds: None,
        }
    }

    /// Everything that could come of a call.
    pub fn call(self, mini: &Mini, act: &Act) -> Vec<(Mini, Result<Option<Copy>, ActFailure>)> {
        match act {
            Act::CordonPool(_) if !self.release.capabilities().pool_cordon => {
                vec![(mini.clone(), Err(ActFailure::NoPoolCordons))]
            }
            Act::CordonPool(name) => {
                let bit = 1 << number(name);
                if mini.pools & bit != 0 {
                    return vec![(mini.clone(), Err(ActFailure::AlreadyCordoned))];
                }
                let mut after = mini.clone();
                after.pools |= bit;
                vec![(after, Ok(None))]
            }
            Act::CordonNode(name, _) => {
                let mut after = mini.clone();
                after.nodes |= 1 << number(name);
                vec![(after, Ok(None))]
            }
            Act::Release(window, _) => {
                let mut after = mini.clone();
                for pool in &window.pools {
                    after.pools &= !(1 << number(pool));
                }
                for node in window.all_nodes() {
                    after.nodes &= !(1 << number(node));
                }
                vec![(after, Ok(None))]
            }
            Act::SetReplicas(count) => self.set_replicas(mini, *count),
        }
    }

    fn set_replicas(self, mini: &Mini, count: u8) -> Vec<(Mini, Result<Option<Copy>, ActFailure>)> {
        let refused = |failure| vec![(mini.clone(), Err(failure))];
        if count == mini.wanted {
            return refused(ActFailure::CountAchieved);
        }
        if count.abs_diff(mini.wanted) != 1 || count == 0 {
            return refused(ActFailure::Refused);
        }
        if count > mini.wanted {
            let pools = self.open_pools(mini);
            if !mini.is_online() || pools.is_empty() {
                return refused(ActFailure::Refused);
            }
            return pools
                .into_iter()
                .map(|pool| (mini.with(pool, count), Ok(None)))
                .collect();
        }
        let victims = self.victims(mini, count);
        if victims.is_empty() {
            let mut after = mini.clone();
            after.wanted = count;
            return vec![(after, Ok(None))];
        }
        victims
            .into_iter()
            .map(|victim| {
                let mut after = mini.clone();
                after.wanted = count;
                after.copies.retain(|copy| *copy != victim);
                (after, Ok(Some(victim)))
            })
            .collect()
    }

    /// Pools that a new copy may go to.
    pub fn open_pools(self, mini: &Mini) -> Vec<u8> {
        let closed = mini.pools | mini.nodes;
        (0..self.pools())
            .filter(|pool| closed & (1 << pool) == 0)
            .filter(|pool| mini.copies.iter().all(|copy| copy.pool != *pool))
            .collect()
    }

    fn victims(self, mini: &Mini, count: u8) -> Vec<Copy> {
        if mini.copies.len() <= usize::from(count) {
            return Vec::new();
        }
        let whole = |copy: &Copy| copy.fill == Fill::Whole;
        let rank = |copy: &Copy| {
            let cordoned = self.heeds_cordons() && mini.nodes & (1 << copy.pool) != 0;
            (whole(copy), !cordoned, copy.pool == self.target)
        };
        let first = mini.copies.iter().map(rank).min();
        let same = |copy: &&Copy| Some(rank(copy)) == first;
        mini.copies.iter().filter(same).copied().collect()
    }
}

impl Mini {
    pub fn whole(&self) -> usize {
        self.copies.iter().filter(|copy| copy.fill == Fill::Whole).count()
    }

    fn is_online(&self) -> bool {
        self.copies.len() == usize::from(self.wanted) && self.whole() == self.copies.len()
    }

    /// With copies named by their rank among those that can still be seen: names are compared, and never come back.
    pub fn ranked(&self, copies: u32) -> Self {
        let mut after = self.clone();
        for copy in &mut after.copies {
            copy.id = rank(copy.id, copies);
        }
        after.made = u8::try_from(copies.count_ones()).unwrap();
        after
    }

    /// With one copy more, that is still empty.
    pub fn with(&self, pool: u8, wanted: u8) -> Self {
        let mut after = self.clone();
        after.copies.push(Copy {
            id: after.made,
            pool,
            fill: Fill::Filling,
        });
        after.made += 1;
        after.wanted = wanted;
        after
    }

    /// With a copy in another state.
    pub fn changed(&self, index: usize, fill: Fill) -> Self {
        let mut after = self.clone();
        after.copies[index].fill = fill;
        after
    }

    /// Without a copy.
    pub fn without(&self, index: usize) -> Self {
        let mut after = self.clone();
        after.copies.remove(index);
        after
    }
}
