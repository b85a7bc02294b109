//! Kinds of others that are misspelt: the API server knows none of them, which is found out when they are applied.

use super::schema::{closest, of_kind, ours_like};
use crate::model::desired::Resource;
use crate::model::diagnostic::Diagnostic;
use crate::model::kinds::GROUP;
use std::borrow::Cow;

/// Letters by which a group is taken for ours all the same.
const GROUP_SLIPS: usize = 4;

/// All kinds of some groups, of which every cluster that couchestor works in has the same; other groups are not judged.
const KINDS: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "Binding",
            "ComponentStatus",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "List",
            "Namespace",
            "Node",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    (
        "apps",
        &[
            "ControllerRevision",
            "DaemonSet",
            "Deployment",
            "ReplicaSet",
            "StatefulSet",
        ],
    ),
    ("batch", &["CronJob", "Job"]),
    (
        "networking.k8s.io",
        &[
            "IPAddress",
            "Ingress",
            "IngressClass",
            "NetworkPolicy",
            "ServiceCIDR",
        ],
    ),
    ("policy", &["PodDisruptionBudget"]),
    (
        "rbac.authorization.k8s.io",
        &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
    ),
    (
        "snapshot.storage.k8s.io",
        &["VolumeSnapshot", "VolumeSnapshotClass", "VolumeSnapshotContent"],
    ),
    (
        "storage.k8s.io",
        &[
            "CSIDriver",
            "CSINode",
            "CSIStorageCapacity",
            "StorageClass",
            "VolumeAttachment",
            "VolumeAttributesClass",
        ],
    ),
    (
        "velero.io",
        &[
            "Backup",
            "BackupRepository",
            "BackupStorageLocation",
            "DataDownload",
            "DataUpload",
            "DeleteBackupRequest",
            "DownloadRequest",
            "PodVolumeBackup",
            "PodVolumeRestore",
            "Restore",
            "Schedule",
            "ServerStatusRequest",
            "VolumeSnapshotLocation",
        ],
    ),
];

fn group(resource: &Resource) -> &str {
    let version = resource.api_version();
    version.split_once('/').map_or("", |(group, _)| group)
}

/// Whether an object is of a kind of ours but for a slip in its group.
pub(super) fn is_slip(resource: &Resource) -> bool {
    let group = group(resource);
    let near = || group.is_empty() || strsim::damerau_levenshtein(group, GROUP) <= GROUP_SLIPS;
    group != GROUP && of_kind(resource.kind()).is_some() && near()
}

/// The kind of ours, or of one of the groups above, that an object is of or was meant to be of.
pub(super) fn meant(resource: &Resource) -> Option<Cow<'_, str>> {
    let kind = resource.kind();
    if is_slip(resource) || group(resource) == GROUP && of_kind(kind).is_some() {
        return Some(Cow::Borrowed(kind));
    }
    if group(resource) == GROUP {
        return ours_like(kind).map(Cow::Owned);
    }
    let (_, kinds) = KINDS.iter().find(|(known, _)| *known == group(resource))?;
    match kinds.contains(&kind) {
        true => Some(Cow::Borrowed(kind)),
        false => like(kind, kinds).map(Cow::Owned),
    }
}

fn like(kind: &str, kinds: &[&str]) -> Option<String> {
    let names: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    closest(kind, names.iter())
}

/// A kind that is none of its group's, and like one of them.
pub(super) fn check(resource: &Resource) -> Option<Diagnostic> {
    let version = resource.api_version();
    let (_, kinds) = KINDS.iter().find(|(known, _)| *known == group(resource))?;
    let kind = resource.kind();
    if kinds.contains(&kind) {
        return None;
    }
    let near = like(kind, kinds)?;
    Some(Diagnostic::warning(
        resource.origin.place("/kind"),
        "unknown-kind",
        format!(
            "{} has no kind {}",
            resource.origin.told(version),
            resource.origin.told(kind)
        ),
        format!("write {near}"),
    ))
}
