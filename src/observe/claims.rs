//! Kubernetes' claims and volumes → the bound claims that backup policies may take, and those that wait for a volume. Pure.

use crate::model::backups::{BackupClaim, BackupRules};
use crate::model::ids::ClaimRef;
use crate::model::observation::UnboundClaim;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The bound claims that some policy may take, in order. Namespaces that Velero leaves out are not known here and are in it.
pub fn bound(
    rules: &[Arc<BackupRules>],
    volumes: &[PersistentVolume],
    claims: &[PersistentVolumeClaim],
) -> Vec<BackupClaim> {
    if rules.is_empty() {
        return Vec::new();
    }
    let by_name: HashMap<&str, &PersistentVolume> = volumes
        .iter()
        .filter_map(|volume| Some((volume.metadata.name.as_deref()?, volume)))
        .collect();
    let none = BTreeSet::new();
    let one = |claim: &PersistentVolumeClaim| {
        let (meta, spec) = (&claim.metadata, claim.spec.as_ref()?);
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let labels = meta.labels.clone().unwrap_or_default();
        let taken = rules.iter().any(|rules| {
            rules.scope.takes_namespace(namespace, &none)
                && rules
                    .scope
                    .takes_labels(|key| labels.get(key).map(String::as_str))
        });
        let volume = by_name.get(spec.volume_name.as_deref()?).filter(|_| taken)?;
        let of = volume.spec.as_ref()?;
        // A claim may name a volume that is another's.
        let back = of.claim_ref.as_ref()?;
        let ours = back.namespace == meta.namespace && back.name == meta.name;
        let again = back.uid.is_some() && meta.uid.is_some() && back.uid != meta.uid;
        if !ours || again {
            return None;
        }
        Some(BackupClaim {
            claim: ClaimRef {
                namespace: namespace.to_owned(),
                name: meta.name.clone().unwrap_or_default(),
            },
            uid: meta.uid.clone().unwrap_or_default(),
            labels,
            storage_class: of.storage_class_name.clone().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|at| at.0),
            block: of.volume_mode.as_deref() == Some("Block"),
            host_path: of.host_path.is_some(),
            csi: of.csi.is_some(),
        })
    };
    let mut found: Vec<BackupClaim> = claims.iter().filter_map(one).collect();
    found.sort_by(|a, b| a.claim.cmp(&b.claim));
    found
}

/// The claims in some namespaces that have no volume yet, in order.
pub fn unbound(namespaces: &BTreeSet<String>, claims: &[PersistentVolumeClaim]) -> Vec<UnboundClaim> {
    let one = |claim: &PersistentVolumeClaim| {
        let meta = &claim.metadata;
        let namespace = meta.namespace.clone().filter(|one| namespaces.contains(one))?;
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        let named = claim.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some());
        (!named || phase.is_some_and(|phase| phase != "Bound")).then(|| UnboundClaim {
            claim: ClaimRef {
                namespace,
                name: meta.name.clone().unwrap_or_default(),
            },
            labels: meta.labels.clone().unwrap_or_default(),
        })
    };
    let mut found: Vec<UnboundClaim> = claims.iter().filter_map(one).collect();
    found.sort_by(|a, b| a.claim.cmp(&b.claim));
    found
}
