//! One dated, immutable reading of the world. It can be written to a file and read back, so that a plan can be made
//! without a cluster.

use super::engine::EngineState;
use super::ids::{ClaimRef, VolumeName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Who provides a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Provider {
    /// A Mayastor volume, by its uuid.
    Mayastor(String),
    /// OpenEBS LocalPV or another volume that lives on one node.
    Local,
    /// Anything else, by its CSI driver.
    Other(String),
}

/// A bound PersistentVolume with its claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundVolume {
    /// The PersistentVolume.
    pub name: VolumeName,
    /// The claim that it is bound to.
    pub claim: ClaimRef,
    /// The claim's labels.
    pub claim_labels: BTreeMap<String, String>,
    /// Its StorageClass.
    pub storage_class: String,
    /// Who provides it.
    pub provider: Provider,
    /// When couchestor last moved it, from the annotation on the PersistentVolume.
    pub last_migration: Option<Timestamp>,
}

/// One volume's heat over one window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heat {
    /// Mean operations per second.
    pub iops: f64,
    /// Part of the window that has samples, 0 to 1.
    pub coverage: f64,
}

/// Heat by volume over one window; `Err` says why nothing was read. A volume that is missing is unknown, never cold.
pub type HeatTable = Result<BTreeMap<VolumeName, Heat>, String>;

/// One reading of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// When it was taken.
    pub at: Timestamp,
    /// Bound volumes by name.
    pub volumes: BTreeMap<VolumeName, BoundVolume>,
    /// Names of StorageClasses that a volume or a claim refers to.
    pub classes_in_use: BTreeSet<String>,
    /// The storage engine, or why it could not be read: then nothing is decided.
    pub engine: Result<EngineState, String>,
    /// Heat by sampling window, as the policies write it.
    pub heat: BTreeMap<String, HeatTable>,
}
