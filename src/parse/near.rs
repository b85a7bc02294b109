//! Kinds of others that are misspelt: the API server knows none of them, which is found out when they are applied.

use super::schema::{closest, of_kind, ours_like};
use crate::model::desired::Resource;
use crate::model::diagnostic::Diagnostic;
use crate::model::kinds::GROUP;
use crate::model::resources::Resources;
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

/// Whether a group and kind are those of a kind of ours but for a slip in the group.
pub(super) fn is_slip(group: &str, kind: &str) -> bool {
    let known = || of_kind(kind).is_some();
    match group {
        GROUP => false,
        "" => known(),
        // Both may be misspelt: nobody else has such a group.
        group => near_ours(group) && (known() || ours_like(kind).is_some()),
    }
}

/// Whether a group is ours but for a few letters.
fn near_ours(group: &str) -> bool {
    group.len().abs_diff(GROUP.len()) <= GROUP_SLIPS
        && strsim::damerau_levenshtein(group, GROUP) <= GROUP_SLIPS
}

/// The objects that are of a kind, or were meant to be.
pub(super) fn meant_as<'a>(
    resources: &'a Resources,
    wanted: &'static str,
) -> impl Iterator<Item = &'a Resource> {
    let kinds = resources.kinds();
    let kinds = kinds.filter(move |(group, kind)| meant(group, kind).as_deref() == Some(wanted));
    kinds.flat_map(|(group, kind)| resources.of(group, kind))
}

/// The kind that a group and kind are, or were meant to be: one of ours, or of the groups above.
pub(super) fn meant<'k>(group: &str, kind: &'k str) -> Option<Cow<'k, str>> {
    if is_slip(group, kind) || group == GROUP {
        return match of_kind(kind) {
            Some(_) => Some(Cow::Borrowed(kind)),
            None => ours_like(kind).map(Cow::Owned),
        };
    }
    let (_, kinds) = KINDS.iter().find(|(known, _)| *known == group)?;
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
    let (_, kinds) = KINDS.iter().find(|(known, _)| *known == resource.group())?;
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
