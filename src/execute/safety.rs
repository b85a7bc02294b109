//! Whether a volume may be touched, and whether a copy may go. Pure.

use super::journal::Reading;
use crate::model::engine::{Health, Pool, Replica, Volume};
use crate::model::kinds::volume_migration::{ReplicaPlace, VolumeMigrationSpec};

/// Whether a replica holds all of the volume's data. `state: Online` alone says nothing: an empty replica is Online too
/// (openebs/openebs#4124); what counts is its state as a child of the target.
pub(super) fn synced(replica: &Replica) -> bool {
    replica.child == Some(Health::Online)
        && replica.state == Health::Online
        && replica.healthy != Some(false)
        && replica.rebuild_progress.is_none()
}

/// Whether every copy is complete and nothing is going on.
pub(super) fn fully_synced(volume: &Volume) -> bool {
    volume.state == Health::Online
        && volume.target_state == Some(Health::Online)
        && volume.rebuilds == 0
        && !volume.busy
        && volume.replicas.len() == usize::from(volume.num_replicas)
        && volume.replicas.iter().all(synced)
}

/// Whether the volume keeps `copies` complete copies without one of them. This is the rule that never bends.
pub(super) fn keeps_copies_without(volume: &Volume, id: &str, copies: u8) -> bool {
    let kept = volume
        .replicas
        .iter()
        .filter(|replica| replica.id.as_str() != id && synced(replica))
        .count();
    volume.rebuilds == 0 && kept >= usize::from(copies) && copies > 0
}

/// Whether a pool belongs to the migration's target tier.
pub(super) fn on_target(spec: &VolumeMigrationSpec, pool: &Pool) -> bool {
    !spec.to_pool_labels.is_empty()
        && spec
            .to_pool_labels
            .iter()
            .all(|(key, value)| pool.labels.get(key) == Some(value))
}

/// The copies that are not on the target tier, remote ones first: a copy beside the target serves reads fastest.
pub(super) fn old_copies(
    spec: &VolumeMigrationSpec,
    volume: &Volume,
    reading: &Reading,
) -> Vec<ReplicaPlace> {
    let mut old: Vec<&Replica> = volume
        .replicas
        .iter()
        .filter(|replica| {
            !reading
                .pools
                .get(&replica.pool)
                .is_some_and(|pool| on_target(spec, pool))
        })
        .collect();
    old.sort_by_key(|replica| {
        (
            volume.target_node.as_ref() == Some(&replica.node),
            replica.id.clone(),
        )
    });
    old.into_iter().map(place).collect()
}

/// A replica's place, as the journal writes it.
pub(super) fn place(replica: &Replica) -> ReplicaPlace {
    ReplicaPlace {
        id: replica.id.to_string(),
        node: replica.node.to_string(),
        pool: replica.pool.to_string(),
    }
}

/// Why the volume cannot be touched now. Everything here may pass by itself.
pub(super) fn hindrance(volume: &Volume) -> Option<String> {
    let text = if !volume.created {
        "Mayastor has not finished creating the volume"
    } else if volume.target_node.is_none() {
        "the volume is not mounted by any pod, so Mayastor would not fill a new copy"
    } else if volume.snapshots > 0 || volume.cloned {
        "the volume has snapshots, which would stay behind"
    } else if !volume.self_heal {
        "the volume has self_heal off"
    } else if !fully_synced(volume) {
        "not all copies of the volume are online and complete"
    } else {
        return None;
    };
    Some(text.to_owned())
}

/// Pools that could take the new copy: those of the target tier, and those that must be kept from taking it.
pub(super) struct Candidates {
    /// Names of usable pools of the target tier.
    pub target: Vec<String>,
    /// Names of pools that Mayastor might choose instead.
    pub astray: Vec<String>,
}

/// Sorts the pools that Mayastor's scheduler would consider for one more copy: online, not cordoned, on an online node
/// without cordon or drain that holds no copy of the volume, admitted by its topology, with room, and alike in encryption.
pub(super) fn candidates(spec: &VolumeMigrationSpec, volume: &Volume, reading: &Reading) -> Candidates {
    let mut found = Candidates {
        target: Vec::new(),
        astray: Vec::new(),
    };
    for pool in reading.pools.values() {
        let Some(node) = reading.nodes.get(&pool.node) else {
            continue;
        };
        let considered = pool.state != Health::Unknown
            && pool.state != Health::Faulted
            && !pool.cordoned
            && node.state == Health::Online
            && node.cordons.is_empty()
            && !node.draining
            && !volume.replicas.iter().any(|replica| replica.node == pool.node)
            && (volume.allowed_nodes.is_empty() || volume.allowed_nodes.contains(&pool.node))
            && volume.pool_inclusion.iter().all(|(key, value)| {
                pool.labels
                    .get(key)
                    .is_some_and(|has| value.is_empty() || has == value)
            })
            && volume.encrypted == pool.encrypted;
        if !considered {
            continue;
        }
        if !on_target(spec, pool) {
            found.astray.push(pool.name.to_string());
        } else if pool.state == Health::Online
            && pool.free() >= volume.size.saturating_add(spec.pool_reserve_bytes)
        {
            found.target.push(pool.name.to_string());
        }
    }
    found
}
