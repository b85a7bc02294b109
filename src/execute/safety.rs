//! Whether a volume may be touched, and whether a copy may go. Pure.

use super::journal::Reading;
use crate::model::engine::{Health, RebuildState, Replica, Volume};
use crate::model::kinds::volume_migration::{ReplicaPlace, VolumeMigrationSpec};

/// Mayastor takes at most so many copies (`replica_count` is a byte).
const COPIES_MAX: u8 = u8::MAX;

/// Whether a replica holds all of the volume's data. `state: Online` alone says nothing: an empty replica is Online too
/// (openebs/openebs#4124). What counts is its state as a child of the target; a volume without a target has no copy that is known to
/// be complete.
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

/// Whether the target's memory of rebuilds speaks against a copy: the last one of it failed or still goes on. No memory speaks
/// neither way: a target that was moved to another node has none.
pub(super) fn rebuilt(reading: &Reading, replica: &str) -> bool {
    let of_it = reading
        .rebuilds
        .iter()
        .flatten()
        .filter(|rebuild| rebuild.child.contains(replica));
    of_it
        .max_by(|one, other| one.started.cmp(&other.started))
        .is_none_or(|last| last.state == RebuildState::Completed)
}

/// Uuids of the complete copies but for one.
pub(super) fn complete_without(volume: &Volume, id: &str) -> Vec<String> {
    let others = volume.replicas.iter().filter(|replica| replica.id.as_str() != id);
    others
        .filter(|replica| synced(replica))
        .map(|replica| replica.id.to_string())
        .collect()
}

/// Whether the volume keeps `copies` complete copies without one of them. This is the rule that never bends.
pub(super) fn keeps_copies_without(volume: &Volume, id: &str, copies: u8) -> bool {
    copies > 0 && volume.rebuilds == 0 && complete_without(volume, id).len() >= usize::from(copies)
}

/// A replica's place, as the journal writes it.
pub(super) fn place(replica: &Replica) -> ReplicaPlace {
    ReplicaPlace {
        id: replica.id.to_string(),
        node: replica.node.to_string(),
        pool: replica.pool.to_string(),
    }
}

/// Whether a copy lies beside the volume's target; `None` without a target.
pub(super) fn is_local(volume: &Volume) -> Option<bool> {
    let node = volume.target_node.as_ref()?;
    Some(volume.replicas.iter().any(|replica| replica.node == *node))
}

/// Why the volume cannot be touched now. Everything here may pass by itself.
pub(super) fn hindrance(spec: &VolumeMigrationSpec, volume: &Volume, reading: &Reading) -> Option<String> {
    let draining = |name| reading.nodes.get(name).is_some_and(|node| node.draining);
    let drained = volume.replicas.iter().map(|replica| &replica.node);
    let drained = drained.chain(&volume.target_node).find(|node| draining(*node));
    let text = if !volume.created {
        "Mayastor has not finished creating the volume"
    } else if volume.target_node.is_none() {
        "the volume is not mounted by any pod, so no new copy would be filled"
    } else if (volume.snapshots > 0 || volume.cloned) && !spec.accept_snapshots_stay {
        "the volume has snapshots, which would stay behind"
    } else if !volume.self_heal {
        "the volume has self_heal off"
    } else if volume.affinity_group.is_some() && volume.num_replicas < 2 {
        "the volume is of an affinity group, whose volumes Mayastor never lets go from two copies to one"
    } else if volume.num_replicas == COPIES_MAX {
        "the volume has as many copies as Mayastor allows"
    } else if let Some(obstacle) = volume.obstacle {
        return Some(obstacle.to_string());
    } else if let Some(node) = drained {
        return Some(format!("node {node} is being drained"));
    } else if !fully_synced(volume) {
        "not all copies of the volume are online and complete"
    } else {
        return None;
    };
    Some(text.to_owned())
}
