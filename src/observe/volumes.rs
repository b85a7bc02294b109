//! Kubernetes' PersistentVolumes and claims → compact records. Pure.

use crate::model::ids::{ClaimRef, VolumeName};
use crate::model::kinds::{LAST_MIGRATION, PINNED};
use crate::model::observation::{ClusterVolume, Pin, Provider};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};
use std::collections::{BTreeSet, HashMap};

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
pub fn join(volumes: Vec<PersistentVolume>, mut claims: Vec<PersistentVolumeClaim>) -> ClusterVolumes {
    let mut found = ClusterVolumes::default();
    // Places, not claims: those are large. Whoever makes a claim chooses what it names, so this table is one that nobody can crowd.
    let mut by_volume: HashMap<String, usize> = HashMap::with_capacity(claims.len());
    for (place, claim) in claims.iter_mut().enumerate() {
        let Some(spec) = &mut claim.spec else { continue };
        in_use(&mut found.classes_in_use, spec.storage_class_name.as_deref());
        if let Some(volume) = spec.volume_name.take() {
            by_volume.insert(volume, place);
        }
    }
    found.volumes.reserve_exact(by_volume.len().min(volumes.len()));
    for volume in volumes {
        let (Some(name), Some(spec)) = (volume.metadata.name, volume.spec) else {
            continue;
        };
        in_use(&mut found.classes_in_use, spec.storage_class_name.as_deref());
        let (Some(reference), Some(place)) = (&spec.claim_ref, by_volume.remove(&name)) else {
            continue;
        };
        let meta = std::mem::take(&mut claims[place].metadata);
        if reference.namespace != meta.namespace || reference.name != meta.name {
            continue;
        }
        let annotations = volume.metadata.annotations.as_ref();
        let annotation = annotations.and_then(|all| all.get(LAST_MIGRATION));
        let pin = meta.annotations.as_ref().and_then(|all| all.get(PINNED));
        found.volumes.push(ClusterVolume {
            name: VolumeName(name),
            claim: ClaimRef {
                namespace: meta.namespace.unwrap_or_default(),
                name: meta.name.unwrap_or_default(),
            },
            last_migration: annotation.and_then(|at| at.parse().ok()),
            created: volume.metadata.creation_timestamp.map(|at| at.0),
            pin: pin.and_then(|text| pinned(text)),
            claim_labels: meta.labels.unwrap_or_default(),
            provider: provider(&spec),
            storage_class: spec.storage_class_name.unwrap_or_default(),
        });
    }
    found
}

/// Notes a StorageClass. There are few, so it is copied only when it is new.
fn in_use(classes: &mut BTreeSet<String>, class: Option<&str>) {
    if let Some(class) = class.filter(|class| !classes.contains(*class)) {
        classes.insert(class.to_owned());
    }
}

fn provider(spec: &PersistentVolumeSpec) -> Provider {
    match &spec.csi {
        Some(csi) if csi.driver == MAYASTOR => Provider::Mayastor(csi.volume_handle.clone()),
        Some(csi) if csi.driver == LONGHORN => Provider::Longhorn(csi.volume_handle.clone()),
        Some(csi) if LOCAL.contains(&csi.driver.as_str()) => Provider::Local,
        Some(csi) => Provider::Other(csi.driver.clone()),
        None if spec.local.is_some() || spec.host_path.is_some() => Provider::Local,
        None => Provider::Other("in-tree".to_owned()),
    }
}

/// What the annotation says; "false" is as good as none.
fn pinned(text: &str) -> Option<Pin> {
    match text.trim() {
        "true" => Some(Pin::Always),
        "false" | "" => None,
        until => Some(Pin::until(until).unwrap_or(Pin::Unreadable)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaimSpec};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    fn named(namespace: Option<&str>, name: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: namespace.map(str::to_owned),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        }
    }

    fn volume(name: &str, claim: &str, class: &str) -> PersistentVolume {
        PersistentVolume {
            metadata: named(None, name),
            spec: Some(PersistentVolumeSpec {
                claim_ref: Some(ObjectReference {
                    namespace: Some("db".to_owned()),
                    name: Some(claim.to_owned()),
                    ..ObjectReference::default()
                }),
                storage_class_name: Some(class.to_owned()),
                ..PersistentVolumeSpec::default()
            }),
            ..PersistentVolume::default()
        }
    }

    fn claim(name: &str, volume: Option<&str>, class: &str) -> PersistentVolumeClaim {
        PersistentVolumeClaim {
            metadata: named(Some("db"), name),
            spec: Some(PersistentVolumeClaimSpec {
                storage_class_name: Some(class.to_owned()),
                volume_name: volume.map(str::to_owned),
                ..PersistentVolumeClaimSpec::default()
            }),
            ..PersistentVolumeClaim::default()
        }
    }

    #[test]
    fn a_volume_is_joined_with_the_claim_that_names_it_and_that_it_names() {
        let volumes = vec![
            volume("pv-a", "a", "one"),
            volume("pv-of-another", "c", "two"),
            volume("pv-without-claim", "gone", "three"),
        ];
        let claims = vec![
            claim("b", Some("pv-of-another"), "one"),
            claim("a", Some("pv-a"), "four"),
            claim("waits", None, "five"),
        ];
        let found = join(volumes, claims);
        let joined: Vec<(&str, &str)> = found
            .volumes
            .iter()
            .map(|one| (one.name.as_str(), one.claim.name.as_str()))
            .collect();
        assert_eq!(joined, [("pv-a", "a")]);
        assert_eq!(
            found.volumes[0].storage_class, "one",
            "the volume's, not the claim's"
        );
        let classes: Vec<&str> = found.classes_in_use.iter().map(String::as_str).collect();
        assert_eq!(
            classes,
            ["five", "four", "one", "three", "two"],
            "whether joined or not"
        );
    }
}
