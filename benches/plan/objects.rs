//! The world's volumes as the API server lists them, to be joined with their claims.

use couchestor::model::observation::{ClusterVolume, Provider};
use couchestor::observe::volumes::join;
use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PersistentVolumeSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

fn driver(of: &Provider) -> CSIPersistentVolumeSource {
    let (driver, handle) = match of {
        Provider::Mayastor(uuid) => ("io.openebs.csi-mayastor", uuid.as_str()),
        Provider::Longhorn(name) => ("driver.longhorn.io", name.as_str()),
        Provider::Local => ("local.csi.openebs.io", "local"),
        Provider::Other(driver) => (driver.as_str(), "other"),
    };
    CSIPersistentVolumeSource {
        driver: driver.to_owned(),
        volume_handle: handle.to_owned(),
        ..CSIPersistentVolumeSource::default()
    }
}

fn persistent_volume(of: &ClusterVolume) -> PersistentVolume {
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(of.name.to_string()),
            creation_timestamp: of.created.map(Time),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            claim_ref: Some(ObjectReference {
                namespace: Some(of.claim.namespace.clone()),
                name: Some(of.claim.name.clone()),
                ..ObjectReference::default()
            }),
            storage_class_name: Some(of.storage_class.clone()),
            csi: Some(driver(&of.provider)),
            ..PersistentVolumeSpec::default()
        }),
        ..PersistentVolume::default()
    }
}

fn claim(of: &ClusterVolume) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            namespace: Some(of.claim.namespace.clone()),
            name: Some(of.claim.name.clone()),
            labels: Some(of.claim_labels.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            storage_class_name: Some(of.storage_class.clone()),
            volume_name: Some(of.name.to_string()),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// CPU milliseconds in which volumes are joined with their claims, each in the order in which they are listed.
pub fn joined(seen: &[ClusterVolume], cpu_millis: fn() -> f64) -> f64 {
    let mut volumes: Vec<PersistentVolume> = seen.iter().map(persistent_volume).collect();
    volumes.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut claims: Vec<PersistentVolumeClaim> = seen.iter().map(claim).collect();
    let key = |of: &PersistentVolumeClaim| (of.metadata.namespace.clone(), of.metadata.name.clone());
    claims.sort_by_cached_key(key);
    let began = cpu_millis();
    let found = join(volumes, claims);
    let took = cpu_millis() - began;
    assert_eq!(found.volumes.len(), seen.len());
    took
}
