//! Kubernetes' PersistentVolumes and claims → compact records. Pure.

use crate::model::ids::{ClaimRef, VolumeName};
use crate::model::kinds::{LAST_MIGRATION, PINNED};
use crate::model::observation::{ClusterVolume, Pin, Provider};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use std::collections::{BTreeMap, BTreeSet};

/// The CSI driver of Mayastor.
const MAYASTOR: &str = "io.openebs.csi-mayastor";

/// The CSI driver of Longhorn (`LonghornDriverName` in longhorn-manager's `types`); its handles are names of volumes.
const LONGHORN: &str = "driver.longhorn.io";

/// CSI drivers whose volumes live on one node.
const LOCAL: [&str; 2] = ["local.csi.openebs.io", "zfs.csi.openebs.io"];

/// What the cluster says about volumes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterVolumes {
    /// Bound volumes.
    pub volumes: Vec<ClusterVolume>,
    /// StorageClasses that a volume or claim refers to.
    pub classes_in_use: BTreeSet<String>,
}

/// Joins volumes with their claims. A volume whose claim is gone, or is bound to another volume, is left out.
pub fn join(volumes: Vec<PersistentVolume>, claims: Vec<PersistentVolumeClaim>) -> ClusterVolumes {
    let mut found = ClusterVolumes::default();
    let mut by_volume: BTreeMap<String, PersistentVolumeClaim> = BTreeMap::new();
    for claim in claims {
        let Some(spec) = &claim.spec else { continue };
        found.classes_in_use.extend(spec.storage_class_name.clone());
        if let Some(volume) = spec.volume_name.clone() {
            by_volume.insert(volume, claim);
        }
    }
    for volume in volumes {
        let (Some(name), Some(spec)) = (volume.metadata.name.clone(), &volume.spec) else {
            continue;
        };
        found.classes_in_use.extend(spec.storage_class_name.clone());
        let (Some(reference), Some(claim)) = (&spec.claim_ref, by_volume.remove(&name)) else {
            continue;
        };
        let meta = claim.metadata;
        if reference.namespace != meta.namespace || reference.name != meta.name {
            continue;
        }
        let annotation = volume
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(LAST_MIGRATION));
        let pin = meta.annotations.as_ref().and_then(|all| all.get(PINNED));
        found.volumes.push(ClusterVolume {
            name: VolumeName(name),
            claim: ClaimRef {
                namespace: meta.namespace.unwrap_or_default(),
                name: meta.name.unwrap_or_default(),
            },
            claim_labels: meta.labels.unwrap_or_default(),
            storage_class: spec.storage_class_name.clone().unwrap_or_default(),
            provider: match &spec.csi {
                Some(csi) if csi.driver == MAYASTOR => Provider::Mayastor(csi.volume_handle.clone()),
                Some(csi) if csi.driver == LONGHORN => Provider::Longhorn(csi.volume_handle.clone()),
                Some(csi) if LOCAL.contains(&csi.driver.as_str()) => Provider::Local,
                Some(csi) => Provider::Other(csi.driver.clone()),
                None if spec.local.is_some() || spec.host_path.is_some() => Provider::Local,
                None => Provider::Other("in-tree".to_owned()),
            },
            last_migration: annotation.and_then(|at| at.parse().ok()),
            created: volume.metadata.creation_timestamp.map(|at| at.0),
            pin: pin.and_then(|text| pinned(text)),
        });
    }
    found
}

/// What the annotation says; "false" is as good as none.
fn pinned(text: &str) -> Option<Pin> {
    match text.trim() {
        "true" => Some(Pin::Always),
        "false" | "" => None,
        until => Some(Pin::until(until).unwrap_or(Pin::Unreadable)),
    }
}
