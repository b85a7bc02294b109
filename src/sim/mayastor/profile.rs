//! Releases of Mayastor that differ in what matters to a move, and how.

use serde::{Deserialize, Serialize};

/// A release that the simulator can play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// 2.7.1: neither topology nor cordons say which replica goes.
    #[serde(rename = "2.7")]
    V2_7,
    /// 2.9: both do.
    #[serde(rename = "2.9")]
    V2_9,
    /// 2.10: pools can be cordoned.
    #[default]
    #[serde(rename = "2.10")]
    V2_10,
    /// 2.12.1: labels with slashes, larger replicas, offline rebuilds on request.
    #[serde(rename = "2.12")]
    V2_12,
}

/// What a release does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What its nodes say that they run.
    pub version: &'static str,
    /// `/pools/{id}/cordon` exists (mayastor-control-plane #1002, #1004, #1031: 2.10); before, 404.
    pub pool_cordon: bool,
    /// A replica whose node or pool doesn't fit the volume's topology goes first (#906, #914, #916: after 2.7, in 2.8).
    pub removal_minds_topology: bool,
    /// A replica on a cordoned node goes before others (#968, April 2025; taken for 2.9, its exact tag isn't confirmed).
    pub removal_minds_cordons: bool,
    /// `healthy` of a replica and `health` of a volume are told. The release that brought them isn't confirmed: a profile
    /// without them has to exist, since clients must take them for optional.
    pub tells_health: bool,
    /// A volume without a target is judged by the health of its replicas. Older releases count the replicas that are there,
    /// full or empty (openebs/openebs#4124).
    pub judges_unpublished: bool,
    /// Labels with slashes reach their routes (2.12.1).
    pub labels_with_slashes: bool,
    /// A pool can be `Suspected` (2.11.0).
    pub suspects_pools: bool,
    /// A replica takes its size rounded up to 1 MiB, and 8 MiB for its label (2.12.0).
    pub large_labels: bool,
    /// A volume without a target can be rebuilt, if that is switched on (#1108, #1161, #1196; the tag isn't confirmed).
    pub offline_rebuild: bool,
}

impl Profile {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V2_7, Self::V2_9, Self::V2_10, Self::V2_12];

    /// What it does.
    pub fn capabilities(self) -> Capabilities {
        let oldest = Capabilities {
            version: "v2.7.1",
            pool_cordon: false,
            removal_minds_topology: false,
            removal_minds_cordons: false,
            tells_health: false,
            judges_unpublished: false,
            labels_with_slashes: false,
            suspects_pools: false,
            large_labels: false,
            offline_rebuild: false,
        };
        let steerable = Capabilities {
            version: "v2.9.0",
            removal_minds_topology: true,
            removal_minds_cordons: true,
            tells_health: true,
            judges_unpublished: true,
            ..oldest
        };
        match self {
            Self::V2_7 => oldest,
            Self::V2_9 => steerable,
            Self::V2_10 => Capabilities {
                version: "v2.10.0",
                pool_cordon: true,
                ..steerable
            },
            Self::V2_12 => Capabilities {
                version: "v2.12.1",
                pool_cordon: true,
                labels_with_slashes: true,
                suspects_pools: true,
                large_labels: true,
                offline_rebuild: true,
                ..steerable
            },
        }
    }
}
