//! Where a volume is, and which pools could take a copy of it.

use crate::model::decision::Why;
use crate::model::desired::{Tier, TierPools};
use crate::model::engine::{EngineState, Health, Pool, Volume, gib};
use crate::model::ids::{PoolName, TierName};
use crate::model::observation::{BoundVolume, Provider};
use std::collections::BTreeSet;

/// The engine's record of a bound volume.
pub fn engine_volume<'a>(bound: &BoundVolume, engine: &'a EngineState) -> Option<&'a Volume> {
    match &bound.provider {
        Provider::Mayastor(uuid) => engine.volumes.get(uuid),
        Provider::Local | Provider::Other(_) => None,
    }
}

/// Whether a pool belongs to a tier: it carries every label of the tier's selector.
pub fn belongs(pool: &Pool, tier: &Tier) -> bool {
    match &tier.pools {
        TierPools::Mayastor(labels) => {
            !labels.is_empty()
                && labels
                    .iter()
                    .all(|(key, value)| pool.labels.get(key) == Some(value))
        }
        TierPools::Local => false,
    }
}

/// The one tier to which the pools of all of a volume's copies belong.
pub fn tier_of<'a>(
    volume: &Volume,
    engine: &EngineState,
    tiers: impl Iterator<Item = &'a Tier>,
) -> Option<TierName> {
    let mut found = tiers.filter(|tier| {
        !volume.replicas.is_empty()
            && volume.replicas.iter().all(|replica| {
                engine
                    .pools
                    .get(&replica.pool)
                    .is_some_and(|pool| belongs(pool, tier))
            })
    });
    match (found.next(), found.next()) {
        (Some(tier), None) => Some(tier.name.clone()),
        _ => None,
    }
}

/// Why a volume could not be moved as it is now, whatever the target.
pub fn unfit(volume: &Volume) -> Option<Why> {
    let detail = if !volume.created {
        "Mayastor has not finished creating it".to_owned()
    } else if volume.snapshots > 0 || volume.cloned {
        return Some(Why::HasSnapshots {
            snapshots: volume.snapshots,
        });
    } else if volume.target_node.is_none() {
        return Some(Why::NotPublished);
    } else if volume.state != Health::Online {
        format!("Mayastor calls it {:?}", volume.state)
    } else if volume.target_state != Some(Health::Online) {
        "its target is not Online".to_owned()
    } else if volume.rebuilds > 0
        || volume
            .replicas
            .iter()
            .any(|replica| replica.rebuild_progress.is_some())
    {
        "a copy of it is being rebuilt".to_owned()
    } else if volume.busy {
        "Mayastor is changing it".to_owned()
    } else if !volume.self_heal {
        "its policy has self_heal off".to_owned()
    } else if volume.replicas.len() != usize::from(volume.num_replicas) {
        format!(
            "it has {} of {} copies",
            volume.replicas.len(),
            volume.num_replicas
        )
    } else {
        return None;
    };
    Some(Why::NotHealthy { detail })
}

/// The pools of a tier that could take a copy of a volume now, the roomiest first.
///
/// # Errors
/// [`Why::Pinned`] or [`Why::NoPool`] with what excluded each pool, also when there are fewer nodes with a usable
/// pool than copies to be moved.
pub fn candidates(volume: &Volume, engine: &EngineState, tier: &Tier) -> Result<Vec<PoolName>, Why> {
    let mut excluded = Vec::new();
    let mut usable: Vec<&Pool> = Vec::new();
    let members: Vec<&Pool> = engine.pools.values().filter(|pool| belongs(pool, tier)).collect();
    if !members.is_empty() && members.iter().all(|pool| !admits(volume, pool)) {
        let labels: Vec<String> = volume
            .pool_inclusion
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        return Err(Why::Pinned {
            labels: labels.join(", "),
        });
    }
    for pool in members {
        match exclusion(volume, engine, tier, pool) {
            Some(reason) => excluded.push(format!("{} {reason}", pool.name)),
            None => usable.push(pool),
        }
    }
    let to_move = volume
        .replicas
        .iter()
        .filter(|replica| {
            !engine
                .pools
                .get(&replica.pool)
                .is_some_and(|pool| belongs(pool, tier))
        })
        .count();
    let nodes: BTreeSet<_> = usable.iter().map(|pool| &pool.node).collect();
    if nodes.len() < to_move {
        if !nodes.is_empty() {
            excluded.push(format!(
                "{to_move} copies need as many nodes, and only {} has room",
                nodes.len()
            ));
        }
        return Err(Why::NoPool {
            tier: tier.name.clone(),
            excluded,
        });
    }
    usable.sort_by(|a, b| b.free().cmp(&a.free()).then(a.name.cmp(&b.name)));
    Ok(usable.into_iter().map(|pool| pool.name.clone()).collect())
}

fn admits(volume: &Volume, pool: &Pool) -> bool {
    // An empty value stands for "any value of this key" (the StorageClass parameter poolHasTopologyKey).
    volume.pool_inclusion.iter().all(|(key, value)| {
        pool.labels
            .get(key)
            .is_some_and(|has| value.is_empty() || has == value)
    })
}

fn exclusion(volume: &Volume, engine: &EngineState, tier: &Tier, pool: &Pool) -> Option<String> {
    let node = engine.nodes.get(&pool.node);
    let needed = volume.size.saturating_add(tier.pool_reserve);
    if pool.state != Health::Online {
        Some(format!("is {:?}", pool.state))
    } else if pool.cordoned {
        Some("is cordoned".to_owned())
    } else if node.is_none_or(|node| node.state != Health::Online) {
        Some(format!("is on {}, which is not Online", pool.node))
    } else if node.is_some_and(|node| !node.cordons.is_empty() || node.draining) {
        Some(format!("is on {}, which is cordoned", pool.node))
    } else if volume.replicas.iter().any(|replica| replica.node == pool.node) {
        Some(format!("is on {}, which holds a copy already", pool.node))
    } else if !volume.allowed_nodes.is_empty() && !volume.allowed_nodes.contains(&pool.node) {
        Some(format!("is on {}, which the volume may not use", pool.node))
    } else if !node.is_some_and(|node| {
        volume.node_inclusion.iter().all(|(key, value)| {
            node.labels
                .get(key)
                .is_some_and(|has| value.is_empty() || has == value)
        })
    }) {
        Some(format!(
            "is on {}, which lacks the labels that the volume demands",
            pool.node
        ))
    } else if !admits(volume, pool) {
        Some("lacks the labels that the volume demands".to_owned())
    } else if volume.encrypted != pool.encrypted {
        Some(
            if volume.encrypted {
                "is not encrypted"
            } else {
                "is encrypted"
            }
            .to_owned(),
        )
    } else if pool.free() < needed {
        Some(format!(
            "has {} free, {} are needed",
            gib(pool.free()),
            gib(needed)
        ))
    } else {
        None
    }
}
