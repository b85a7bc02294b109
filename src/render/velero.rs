//! BackupLocation and BackupPolicy → Velero's BackupStorageLocation, Schedules and volume policies.
//!
//! Only fields that are ours are written: Velero itself writes `skipImmediately` and `default: false` into the specs, and owner references in
//! backups (`useOwnerReferencesInBackup`) would delete them with their Schedule.

use super::head;
use crate::formats::yaml::emit::emit;
use crate::model::backups::POLICY_LABEL;
use crate::model::desired::{Resource, text_at};
use crate::model::kinds::backup::{
    AccessMode, BackupHook, BackupLocationSpec, BackupPolicySpec, BackupSchedule, HookCommand, OnError,
    RuleMethod, VOLUME_POLICY, VolumeMethod, VolumeRule,
};
use crate::model::kinds::{PRUNE, PRUNE_ENABLED};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const API: &str = "velero.io/v1";

pub(super) fn location(resource: &Resource) -> Option<Value> {
    let spec: BackupLocationSpec = serde_json::from_value(resource.value.get("spec")?.clone()).ok()?;
    let mut object = head(
        API,
        "BackupStorageLocation",
        Some(resource.namespace()),
        resource.name(),
    );
    let mut storage = json!({"bucket": spec.bucket});
    if let Some(prefix) = &spec.prefix {
        storage["prefix"] = json!(prefix);
    }
    if let Some(pem) = &spec.ca_cert {
        // A field of bytes, which Kubernetes writes in base64.
        storage["caCert"] = json!(base64(pem.as_bytes()));
    }
    if let Some(secret) = &spec.ca_cert_ref {
        storage["caCertRef"] = json!({"name": secret.name, "key": secret.key});
    }
    let mut body = json!({
        "provider": "aws",
        "objectStorage": storage,
        "config": config(&spec),
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

/// The object-store plugin takes every value as a string and refuses keys that it does not know.
fn config(spec: &BackupLocationSpec) -> Map<String, Value> {
    let tags: Vec<String> = spec
        .tags
        .iter()
        .map(|(key, value)| format!("{}={}", in_query(key), in_query(value)))
        .collect();
    [
        ("region", spec.region.clone()),
        ("s3Url", spec.endpoint.clone()),
        ("publicUrl", spec.public_url.clone()),
        (
            "s3ForcePathStyle",
            spec.force_path_style.then(|| "true".to_owned()),
        ),
        ("checksumAlgorithm", spec.checksum_algorithm.clone()),
        ("serverSideEncryption", spec.server_side_encryption.clone()),
        ("kmsKeyId", spec.kms_key_id.clone()),
        (
            "customerKeyEncryptionSecret",
            spec.customer_key_encryption_secret.clone(),
        ),
        ("tagging", (!tags.is_empty()).then(|| tags.join("&"))),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), json!(value?))))
    .collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A text as the query of an address holds it.
fn in_query(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// A policy's Schedules, and the volume policy that they refer to.
pub(super) fn policy(resource: &Resource) -> Vec<Value> {
    let Some(spec) = resource
        .value
        .get("spec")
        .and_then(|spec| serde_json::from_value::<BackupPolicySpec>(spec.clone()).ok())
    else {
        return Vec::new();
    };
    let schedules = spec.schedules.iter().map(|one| schedule(resource, &spec, one));
    volume_policy(resource, &spec)
        .into_iter()
        .chain(schedules)
        .collect()
}

fn schedule(resource: &Resource, spec: &BackupPolicySpec, schedule: &BackupSchedule) -> Value {
    let name = format!("{}-{}", resource.name(), schedule.name);
    let mut object = head(API, "Schedule", Some(resource.namespace()), &name);
    // That it may go when it leaves Git is said while it is there.
    let (key, said) = (PRUNE[0], ["metadata", "annotations", PRUNE[0]]);
    if text_at(&resource.value, &said) == PRUNE_ENABLED
        && let Some(metadata) = object.get_mut("metadata")
    {
        metadata["annotations"] = json!({key: PRUNE_ENABLED});
    }
    let mut template = json!({
        // Without labels of its own a backup takes those of the schedule, and with them whatever owns it.
        "metadata": {"labels": labels(resource, spec)},
        "ttl": schedule.ttl,
        "storageLocation": schedule.location.as_ref().unwrap_or(&spec.location),
        "includedNamespaces": spec.included_namespaces,
    });
    if !spec.excluded_namespaces.is_empty() {
        template["excludedNamespaces"] = json!(spec.excluded_namespaces);
    }
    if let Some(selector) = &spec.label_selector {
        template["labelSelector"] = json!({"matchLabels": selector.match_labels});
    }
    if !spec.hooks.is_empty() {
        template["hooks"] = json!({"resources": spec.hooks.iter().map(hook).collect::<Vec<_>>()});
    }
    let own = (!spec.volume_rules.is_empty()).then(|| format!("{}-{VOLUME_POLICY}", resource.name()));
    if let Some(name) = spec.volume_policy.as_ref().map(|one| &one.name).or(own.as_ref()) {
        template["resourcePolicy"] = json!({"kind": "configmap", "name": name});
    }
    // CSI snapshots need no VolumeSnapshotLocation, and a snapshot that stays on its disk is no backup.
    let moved = spec.takes_snapshots();
    template["defaultVolumesToFsBackup"] = json!(spec.volumes == VolumeMethod::FsBackup);
    template["snapshotVolumes"] = json!(moved);
    template["snapshotMoveData"] = json!(moved);
    let body = json!({"schedule": schedule.schedule, "paused": schedule.paused, "template": template});
    object.insert("spec".to_owned(), body);
    Value::Object(object)
}

fn labels(resource: &Resource, spec: &BackupPolicySpec) -> BTreeMap<String, String> {
    let mut labels = spec.labels.clone();
    labels.insert(POLICY_LABEL.to_owned(), resource.name().to_owned());
    labels
}

fn hook(hook: &BackupHook) -> Value {
    let mut one = json!({"name": hook.name});
    if !hook.namespaces.is_empty() {
        one["includedNamespaces"] = json!(hook.namespaces);
    }
    if let Some(selector) = &hook.selector {
        one["labelSelector"] = json!({"matchLabels": selector.match_labels});
    }
    for (when, command) in [("pre", &hook.pre), ("post", &hook.post)] {
        if let Some(command) = command {
            one[when] = json!([{"exec": exec(command)}]);
        }
    }
    one
}

fn exec(command: &HookCommand) -> Value {
    let mut exec = json!({
        "command": command.command,
        "onError": match command.on_error { OnError::Fail => "Fail", OnError::Continue => "Continue" },
    });
    for (key, value) in [("container", &command.container), ("timeout", &command.timeout)] {
        if let Some(value) = value {
            exec[key] = json!(value);
        }
    }
    exec
}

/// The rules as Velero reads them: the first that matches counts, and there must be exactly one key. The last one says the policy's default, so
/// that no volume falls through to what else would decide about it.
fn volume_policy(resource: &Resource, spec: &BackupPolicySpec) -> Option<Value> {
    if spec.volume_rules.is_empty() || spec.volume_policy.is_some() {
        return None;
    }
    let name = format!("{}-{VOLUME_POLICY}", resource.name());
    let mut object = head("v1", "ConfigMap", Some(resource.namespace()), &name);
    // A claim without a volume has no data, and would make the backup fail in part.
    let unbound = json!({"conditions": {"pvcPhase": ["Pending", "Lost"]}, "action": {"type": "skip"}});
    let default = match spec.volumes {
        VolumeMethod::FsBackup => "fs-backup",
        VolumeMethod::SnapshotMove => "snapshot",
        VolumeMethod::None => "skip",
    };
    let rules: Vec<Value> = std::iter::once(unbound)
        .chain(spec.volume_rules.iter().map(rule))
        .chain([json!({"conditions": {}, "action": {"type": default}})])
        .collect();
    let policy = emit(&json!({"version": "v1", "volumePolicies": rules}));
    object.insert("data".to_owned(), json!({"policy.yaml": policy}));
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.insert("labels".to_owned(), json!({POLICY_LABEL: resource.name()}));
    }
    Some(Value::Object(object))
}

fn rule(rule: &VolumeRule) -> Value {
    let mut conditions = Map::new();
    if !rule.storage_classes.is_empty() {
        conditions.insert("storageClass".to_owned(), json!(rule.storage_classes));
    }
    if !rule.claim_labels.is_empty() {
        conditions.insert("pvcLabels".to_owned(), json!(rule.claim_labels));
    }
    let action = match rule.method {
        RuleMethod::FsBackup => "fs-backup",
        RuleMethod::SnapshotMove => "snapshot",
        RuleMethod::Skip => "skip",
    };
    json!({"conditions": conditions, "action": {"type": action}})
}
