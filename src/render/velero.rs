//! BackupLocation and BackupPolicy → Velero's BackupStorageLocation and Schedules.

use super::head;
use crate::model::desired::Resource;
use crate::model::kinds::backup::{AccessMode, BackupLocationSpec, BackupPolicySpec, VolumeMethod};
use serde_json::{Map, Value, json};

const API: &str = "velero.io/v1";

/// The label by which a backup tells its policy.
const POLICY_LABEL: &str = "storage.billyronks.io/backup-policy";

pub(super) fn location(resource: &Resource) -> Option<Value> {
    let spec: BackupLocationSpec = serde_json::from_value(resource.value.get("spec")?.clone()).ok()?;
    let mut object = head(
        API,
        "BackupStorageLocation",
        Some(resource.namespace()),
        resource.name(),
    );
    // The object-store plugin takes every value as a string and refuses keys that it does not know.
    let mut config = Map::new();
    for (key, value) in [
        ("region", spec.region),
        ("s3Url", spec.endpoint),
        ("publicUrl", spec.public_url),
        (
            "s3ForcePathStyle",
            spec.force_path_style.then(|| "true".to_owned()),
        ),
        ("checksumAlgorithm", spec.checksum_algorithm),
    ] {
        if let Some(value) = value {
            config.insert(key.to_owned(), json!(value));
        }
    }
    let mut storage = json!({"bucket": spec.bucket});
    if let Some(prefix) = spec.prefix {
        storage["prefix"] = json!(prefix);
    }
    let mut body = json!({
        "provider": "aws",
        "objectStorage": storage,
        "config": config,
        "credential": {"name": spec.credentials.name, "key": spec.credentials.key},
        "accessMode": match spec.access_mode { AccessMode::ReadWrite => "ReadWrite", AccessMode::ReadOnly => "ReadOnly" },
    });
    // Velero writes `default: false` into all but one location; saying it only where it is true leaves it alone.
    if spec.default {
        body["default"] = json!(true);
    }
    for (key, value) in [
        ("validationFrequency", spec.validation_frequency),
        ("backupSyncPeriod", spec.backup_sync_period),
    ] {
        if let Some(value) = value {
            body[key] = json!(value);
        }
    }
    object.insert("spec".to_owned(), body);
    Some(Value::Object(object))
}

pub(super) fn schedules(resource: &Resource) -> Vec<Value> {
    let Some(spec) = resource
        .value
        .get("spec")
        .and_then(|spec| serde_json::from_value::<BackupPolicySpec>(spec.clone()).ok())
    else {
        return Vec::new();
    };
    spec.schedules
        .iter()
        .map(|schedule| {
            let name = format!("{}-{}", resource.name(), schedule.name);
            let mut object = head(API, "Schedule", Some(resource.namespace()), &name);
            let mut labels = spec.labels.clone();
            labels.insert(POLICY_LABEL.to_owned(), resource.name().to_owned());
            let mut template = json!({
                // Without labels of its own a backup takes those of the schedule, and with them whatever owns it.
                "metadata": {"labels": labels},
                "ttl": schedule.ttl,
                "storageLocation": spec.location,
                "includedNamespaces": spec.included_namespaces,
            });
            if !spec.excluded_namespaces.is_empty() {
                template["excludedNamespaces"] = json!(spec.excluded_namespaces);
            }
            if let Some(selector) = &spec.label_selector {
                template["labelSelector"] = json!({"matchLabels": selector.match_labels});
            }
            if let Some(policy) = &spec.volume_policy {
                template["resourcePolicy"] = json!({"kind": "configmap", "name": policy.name});
            }
            // CSI snapshots need no VolumeSnapshotLocation, and a snapshot that stays on its disk is no backup.
            let (files, snapshots, moved) = match spec.volumes {
                VolumeMethod::FsBackup => (true, false, false),
                VolumeMethod::SnapshotMove => (false, true, true),
                VolumeMethod::None => (false, false, false),
            };
            template["defaultVolumesToFsBackup"] = json!(files);
            template["snapshotVolumes"] = json!(snapshots);
            template["snapshotMoveData"] = json!(moved);
            let body =
                json!({"schedule": schedule.schedule, "paused": schedule.paused, "template": template});
            object.insert("spec".to_owned(), body);
            Value::Object(object)
        })
        .collect()
}
