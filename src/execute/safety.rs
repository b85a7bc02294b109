//! Whether a volume may be touched, and whether a copy may go. Pure.

use super::journal::Reading;
use crate::model::engine::{Health, Rebuild, RebuildState, Replica, Volume};
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

/// The last rebuild of a copy that its target remembers.
pub(super) fn last_rebuild<'a>(reading: &'a Reading, replica: &str) -> Option<&'a Rebuild> {
    let of_it = reading
        .rebuilds
        .iter()
        .flatten()
        .filter(|rebuild| rebuild.child.contains(replica));
    of_it.max_by(|one, other| one.started.cmp(&other.started))
}

/// Whether the target's memory of rebuilds speaks against a copy: the last one of it failed or still goes on. No memory speaks
/// neither way: a target that was moved to another node has none.
pub(super) fn rebuilt(reading: &Reading, replica: &str) -> bool {
    last_rebuild(reading, replica).is_none_or(|last| last.state == RebuildState::Completed)
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
    volume.target_node.as_ref()?;
    Some(
        volume
            .replicas
            .iter()
            .any(|replica| volume.is_beside_target(replica)),
    )
}

/// What stands in a volume's way now, where it has `base` copies beside the one that is added. It is asked before a copy is added, and
/// again before one is removed: hours may lie between, and a snapshot be taken.
pub(super) fn hindrance(
    spec: &VolumeMigrationSpec,
    volume: &Volume,
    base: u8,
    reading: &Reading,
) -> Option<String> {
    let draining = |name| reading.nodes.get(name).is_some_and(|node| node.draining);
    let drained = volume.replicas.iter().map(|replica| &replica.node);
    let drained = drained.chain(&volume.target_node).find(|node| draining(*node));
    let text = if !volume.created {
        "the engine has not finished creating the volume"
    } else if volume.target_node.is_none() {
        "the volume is not mounted by any pod, so no new copy would be filled"
    } else if volume.cloned && !spec.accept_snapshots_stay {
        "the volume was made from a snapshot, which would stay behind"
    } else if volume.snapshots > 0 && !spec.accept_snapshots_stay {
        "the volume has snapshots, which would stay behind"
    } else if !volume.self_heal {
        "the volume has self_heal off"
    } else if volume.affinity_group.is_some() && base < 2 {
        "the volume is of an affinity group, whose volumes Mayastor never lets go from two copies to one"
    } else if base == COPIES_MAX {
        "the volume has as many copies as the engine allows"
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(child: &str, state: RebuildState, started: &str) -> Rebuild {
        Rebuild {
            child: format!("nvmf://127.0.0.1/{child}?uuid={child}"),
            state,
            total: 100,
            recovered: 100,
            started: started.to_owned(),
        }
    }

    #[test]
    fn the_last_rebuild_of_a_copy_speaks_for_it_and_no_memory_speaks_neither_way() {
        use RebuildState::{Completed, Failed, Running};
        let (first, last) = ("2027-01-15T08:00:00Z", "2027-01-15T09:00:00Z");
        for (what, rebuilds, expected) in [
            ("this release tells of none", None, true),
            ("the target was moved", Some(vec![]), true),
            (
                "only another copy is known",
                Some(vec![of("other", Failed, first)]),
                true,
            ),
            ("it is done", Some(vec![of("new", Completed, first)]), true),
            ("it goes on", Some(vec![of("new", Running, first)]), false),
            ("it failed", Some(vec![of("new", Failed, first)]), false),
            (
                "the second time it was done",
                Some(vec![of("new", Completed, last), of("new", Failed, first)]),
                true,
            ),
            (
                "then it failed",
                Some(vec![of("new", Completed, first), of("new", Failed, last)]),
                false,
            ),
        ] {
            let reading = Reading {
                rebuilds,
                ..Reading::default()
            };
            assert_eq!(rebuilt(&reading, "new"), expected, "{what}");
        }
    }
}
