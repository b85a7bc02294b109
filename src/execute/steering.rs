//! How the engine is brought to place a copy on the right pool and to remove the right one: it takes no orders, but it heeds
//! cordons. Pure.

use super::journal::Reading;
use super::safety::place;
use crate::model::engine::{Ability, Health, Node, Pool, Replica, Volume};
use crate::model::ids::{NodeName, PoolName};
use crate::model::kinds::volume_migration::{
    ReplicaPlace, VolumeMigrationSpec, VolumeMigrationStatus, Window,
};
use std::collections::BTreeSet;

/// Where copies are to go: to the target tier, or, on the way back, to the pools that they came from.
pub(super) struct Goal<'a> {
    spec: &'a VolumeMigrationSpec,
    pools: Option<BTreeSet<&'a str>>,
}

impl<'a> Goal<'a> {
    pub(super) fn of(spec: &'a VolumeMigrationSpec, status: &'a VolumeMigrationStatus) -> Self {
        let baseline = || status.baseline.iter().map(|place| place.pool.as_str()).collect();
        Self {
            spec,
            pools: status.returning.then(baseline),
        }
    }

    /// Whether a pool is one to which copies are to go.
    pub(super) fn holds(&self, pool: &Pool) -> bool {
        match &self.pools {
            Some(pools) => pools.contains(pool.name.as_str()),
            None => {
                !self.spec.to_pool_labels.is_empty()
                    && self
                        .spec
                        .to_pool_labels
                        .iter()
                        .all(|(key, value)| pool.labels.get(key) == Some(value))
            }
        }
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        match self.pools {
            Some(_) => "the pools that they came from".to_owned(),
            None => self.spec.to.clone(),
        }
    }

    /// Whether a copy lies where it is to go.
    pub(super) fn reached(&self, reading: &Reading, replica: &Replica) -> bool {
        reading
            .pools
            .get(&replica.pool)
            .is_some_and(|pool| self.holds(pool))
    }

    /// The copies that are still to be moved, remote ones first: a copy beside the target serves reads fastest.
    pub(super) fn old_copies(&self, volume: &Volume, reading: &Reading) -> Vec<ReplicaPlace> {
        let elsewhere = |replica: &&Replica| !self.reached(reading, replica);
        let mut old: Vec<&Replica> = volume.replicas.iter().filter(elsewhere).collect();
        old.sort_by_key(|replica| (volume.is_beside_target(replica), replica.id.clone()));
        old.into_iter().map(place).collect()
    }
}

/// Pools that could take the new copy: those where it is to go, and those that must be kept from taking it.
pub(super) struct Candidates<'a> {
    /// Usable pools of the goal.
    pub(super) target: Vec<&'a Pool>,
    /// Pools that the engine might choose instead.
    pub(super) astray: Vec<&'a Pool>,
}

/// Sorts the pools that Mayastor's scheduler would consider for one more copy (`controller/scheduling/volume_policy`): online, not
/// cordoned, on an online node without cordon or drain that holds no copy of the volume, admitted by its topology, alike in
/// encryption. What would be astray counts whatever its room: room changes while one looks.
pub(super) fn candidates<'a>(goal: &Goal, volume: &Volume, reading: &'a Reading) -> Candidates<'a> {
    let mut found = Candidates {
        target: Vec::new(),
        astray: Vec::new(),
    };
    let reserve = goal.spec.pool_reserve_bytes;
    for pool in reading.pools.values() {
        let admitted = reading.nodes.get(&pool.node).is_some_and(|node| {
            node.state == Health::Online
                && node.cordons.is_empty()
                && !node.draining
                && admits(volume, pool, node)
        });
        let dead = matches!(pool.state, Health::Unknown | Health::Faulted | Health::Offline);
        if !admitted || dead || pool.cordoned {
            continue;
        }
        if !goal.holds(pool) {
            found.astray.push(pool);
        } else if pool.state == Health::Online && pool.has_room(volume.size, volume.thin, reserve) {
            found.target.push(pool);
        }
    }
    found
}

/// Whether topology, encryption and the copies that are there leave a pool to the volume.
fn admits(volume: &Volume, pool: &Pool, node: &Node) -> bool {
    let carries = |labels: &std::collections::BTreeMap<String, String>, key, value: &String| {
        labels
            .get(key)
            .is_some_and(|has| value.is_empty() || has == value)
    };
    let mut inclusion = volume.pool_inclusion.iter();
    let mut node_inclusion = volume.node_inclusion.iter();
    !volume.replicas.iter().any(|replica| replica.node == pool.node)
        && (volume.allowed_nodes.is_empty() || volume.allowed_nodes.contains(&pool.node))
        && inclusion.all(|(key, value)| carries(&pool.labels, key, value))
        && node_inclusion.all(|(key, value)| carries(&node.labels, key, value))
        && volume.encrypted == pool.encrypted
}

/// The cordons with which a new copy can land only where it is to go; `None` when none are needed.
///
/// # Errors
/// In words, why no cordons can do that.
pub(super) fn steer(found: &Candidates, reading: &Reading, by_pools: bool) -> Result<Option<Window>, String> {
    if found.astray.is_empty() {
        return Ok(None);
    }
    if by_pools && reading.abilities.pool_cordons != Ability::Lacks {
        return Ok(Some(Window {
            pools: found.astray.iter().map(|pool| pool.name.to_string()).collect(),
            ..Window::default()
        }));
    }
    let nodes: BTreeSet<&NodeName> = found.astray.iter().map(|pool| &pool.node).collect();
    let open = found.target.iter().any(|pool| !nodes.contains(&pool.node));
    if !open {
        return Err(
            "this release of Mayastor has no cordons for pools, and each node with a fitting pool has other pools too, \
             so a copy cannot be steered"
                .to_owned(),
        );
    }
    let nodes: Vec<String> = nodes.into_iter().map(ToString::to_string).collect();
    if !leaves_target_node(reading, &nodes) {
        return Err("cordoning the other nodes would leave none for the targets of volumes".to_owned());
    }
    Ok(Some(Window {
        nodes,
        ..Window::default()
    }))
}

/// Whether a target could still be started somewhere while these nodes are cordoned: a cordon keeps targets off too, and the volumes
/// of a node that fails in that moment need one.
pub(super) fn leaves_target_node(reading: &Reading, cordoned: &[String]) -> bool {
    reading.nodes.values().any(|node| {
        node.state == Health::Online
            && node.cordons.is_empty()
            && !node.draining
            && !cordoned.iter().any(|name| name == node.name.as_str())
    })
}

/// Why nobody can be sure that the engine removes this copy and no other.
///
/// Releases that heed cordons remove the copy of a cordoned node first. Older ones remove remote copies before the one beside the
/// target (`ChildSorters`), so only the single remote one can be foretold. What no version tells is taken for an older one: it
/// could be found out only by a removal that may go wrong.
pub(super) fn unsteerable(
    reading: &Reading,
    volume: &Volume,
    victim: &ReplicaPlace,
    coming: Option<&Candidates>,
) -> Option<String> {
    if reading.abilities.removal_heeds_cordons == Ability::Has {
        return None;
    }
    let target = volume.target_node.as_ref();
    let mut remote = volume
        .replicas
        .iter()
        .filter(|replica| !volume.is_beside_target(replica));
    let only = remote.next().is_some_and(|first| first.id.as_str() == victim.id) && remote.next().is_none();
    let lands_beside = coming.is_none_or(|found| found.target.iter().all(|pool| target == Some(&pool.node)));
    match target.is_some() && only && lands_beside {
        true => None,
        false => {
            let which = match reading.abilities.removal_heeds_cordons {
                Ability::Unknown => "no node says which release of Mayastor this is, and those before 2.9 do",
                Ability::Has | Ability::Lacks => "this release of Mayastor does",
            };
            Some(format!(
                "{which} not heed cordons when a copy is removed, so another could go than {} on {}",
                victim.id, victim.pool
            ))
        }
    }
}

/// The first cordon of a window that is not set yet.
pub(super) fn unset(window: &Window, reading: &Reading, label: &str) -> Option<Unset> {
    let pool = window.pools.iter().find(|name| {
        let pool = reading.pools.get(&PoolName((*name).clone()));
        pool.is_some_and(|pool| !pool.cordoned)
    });
    if let Some(pool) = pool {
        return Some(Unset::Pool(pool.clone()));
    }
    let mut nodes = window.all_nodes();
    let node = nodes.find(|name| {
        let node = reading.nodes.get(&NodeName((*name).clone()));
        node.is_some_and(|node| !node.cordons.iter().any(|held| held == label))
    });
    node.cloned().map(Unset::Node)
}

/// A cordon that is to be set.
pub(super) enum Unset {
    Pool(String),
    Node(String),
}

/// Whether any cordon of a window is still set.
pub(super) fn is_held(window: &Window, reading: &Reading, label: &str) -> bool {
    let pool = |name: &String| {
        let pool = reading.pools.get(&PoolName(name.clone()));
        pool.is_some_and(|pool| pool.cordoned)
    };
    let node = |name: &String| {
        let node = reading.nodes.get(&NodeName(name.clone()));
        node.is_some_and(|node| node.cordons.iter().any(|held| held == label))
    };
    window.pools.iter().any(pool) || window.all_nodes().any(node)
}
