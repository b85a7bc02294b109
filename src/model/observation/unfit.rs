//! Why a volume could not be moved as it is, whatever the target.

use crate::model::engine::{Abilities, Ability, Health, Obstacle, Volume};
use serde::{Deserialize, Serialize};

/// Why a volume could not be moved as it is now, whatever the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unfit {
    /// The engine has not finished creating it.
    Creating,
    /// So many snapshots would stay behind.
    Snapshots(u32),
    /// It was made from a snapshot.
    Clone,
    /// It has no target, so the engine would not fill a new copy.
    Unpublished,
    /// Its state is not Online.
    State(Health),
    /// Its target is not Online.
    Target,
    /// A copy is being rebuilt.
    Rebuilding,
    /// The engine is changing it.
    Busy,
    /// The engine does not repair it by itself.
    SelfHealOff,
    /// The engine does something with it by itself that stands in the way.
    Obstacle(Obstacle),
    /// It is of an affinity group and has one copy: the engine never lets such volumes go from two copies to one.
    Grouped,
    /// No release is told that heeds cordons when a copy goes, so nobody can say which one would.
    Unsteerable,
    /// It has another number of copies than it should.
    Copies {
        /// Copies that are there.
        has: u8,
        /// Copies that should be.
        wants: u8,
    },
}

impl Unfit {
    /// What speaks against moving a volume in an engine that can do that much; the first thing counts.
    pub fn of(volume: &Volume, can: Abilities) -> Option<Self> {
        let has = u8::try_from(volume.replicas.len()).unwrap_or(u8::MAX);
        let rebuilding = |volume: &Volume| {
            let mut replicas = volume.replicas.iter();
            volume.rebuilds > 0 || replicas.any(|replica| replica.rebuild_progress.is_some())
        };
        Some(if !volume.created {
            Self::Creating
        } else if volume.target_node.is_none() {
            Self::Unpublished
        } else if volume.state != Health::Online {
            Self::State(volume.state)
        } else if volume.target_state != Some(Health::Online) {
            Self::Target
        } else if rebuilding(volume) {
            Self::Rebuilding
        } else if volume.busy {
            Self::Busy
        } else if !volume.self_heal {
            Self::SelfHealOff
        } else if let Some(obstacle) = volume.obstacle {
            Self::Obstacle(obstacle)
        } else if has != volume.num_replicas {
            Self::Copies {
                has,
                wants: volume.num_replicas,
            }
        } else if volume.affinity_group.is_some() && volume.num_replicas < 2 {
            Self::Grouped
        } else if can.removal_heeds_cordons != Ability::Has && !is_foretold(volume) {
            Self::Unsteerable
        // Last, for these may be accepted, and hide nothing else then.
        } else if volume.snapshots > 0 {
            Self::Snapshots(volume.snapshots)
        } else if volume.cloned {
            Self::Clone
        } else {
            return None;
        })
    }
}

/// Whether a release without regard for cordons can only remove the copy that is meant: remote ones go before the one beside the target,
/// and the new one can be beside it only where no copy is.
fn is_foretold(volume: &Volume) -> bool {
    matches!(&volume.replicas[..], [only] if !volume.is_beside_target(only))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::engine::Replica;

    fn volume(copies: u8, target: &str) -> Volume {
        let replica = |index: u8| Replica {
            id: format!("copy-{index}").into(),
            node: format!("n{index}").as_str().into(),
            pool: format!("p{index}").as_str().into(),
            state: Health::Online,
            child: Some(Health::Online),
            healthy: None,
            rebuild_progress: None,
        };
        Volume {
            uuid: "u".into(),
            size: 1,
            num_replicas: copies,
            created: true,
            busy: false,
            state: Health::Online,
            target_node: Some(target.into()),
            target_state: Some(Health::Online),
            rebuilds: 0,
            replicas: (0..copies).map(replica).collect(),
            self_heal: true,
            thin: false,
            snapshots: 0,
            cloned: false,
            affinity_group: None,
            encrypted: false,
            pool_inclusion: Default::default(),
            node_inclusion: Default::default(),
            allowed_nodes: Vec::new(),
            obstacle: None,
        }
    }

    fn heeding(removal_heeds_cordons: Ability) -> Abilities {
        Abilities {
            removal_heeds_cordons,
            ..Abilities::default()
        }
    }

    #[test]
    fn where_cordons_are_not_heeded_only_a_single_remote_copy_can_go() {
        for (what, copies, target, can, expected) in [
            (
                "2.7, beside its target",
                1,
                "n0",
                Ability::Lacks,
                Some(Unfit::Unsteerable),
            ),
            ("2.7, remote", 1, "n7", Ability::Lacks, None),
            (
                "2.7, two copies",
                2,
                "n7",
                Ability::Lacks,
                Some(Unfit::Unsteerable),
            ),
            ("2.9, beside its target", 1, "n0", Ability::Has, None),
            (
                "no node says its version",
                1,
                "n0",
                Ability::Unknown,
                Some(Unfit::Unsteerable),
            ),
            (
                "no node says its version, remote",
                1,
                "n7",
                Ability::Unknown,
                None,
            ),
        ] {
            assert_eq!(
                Unfit::of(&volume(copies, target), heeding(can)),
                expected,
                "{what}"
            );
        }
    }

    #[test]
    fn a_volume_of_a_group_needs_two_copies() {
        for (copies, expected) in [(1, Some(Unfit::Grouped)), (2, None)] {
            let grouped = Volume {
                affinity_group: Some("g".into()),
                ..volume(copies, "n0")
            };
            assert_eq!(Unfit::of(&grouped, heeding(Ability::Has)), expected, "{copies}");
        }
    }
}
