//! Velero's own objects, where they stand in Git beside ours: the same rules as for those that are rendered.

use super::super::Reader;
use super::schedules::{Planned, SCHEDULE_NAME_MAX, from};
use crate::formats::duration;
use crate::formats::yaml::escape;
use crate::model::desired::{Resource, text_at};
use crate::model::secret::MASK;
use serde_json::Value;

/// Filters of one kind and of another, which Velero does not take together (`pkg/util/collections/includes_excludes.go`).
const OLD_FILTERS: [&str; 3] = [
    "includedResources",
    "excludedResources",
    "includeClusterResources",
];
const NEW_FILTERS: [&str; 4] = [
    "includedClusterScopedResources",
    "excludedClusterScopedResources",
    "includedNamespaceScopedResources",
    "excludedNamespaceScopedResources",
];

/// What velero-plugin-for-aws reads of a location (`object_store.go`); another key is an error.
const S3_CONFIG: [&str; 14] = [
    "region",
    "s3Url",
    "publicUrl",
    "kmsKeyId",
    "customerKeyEncryptionFile",
    "customerKeyEncryptionSecret",
    "s3ForcePathStyle",
    "signatureVersion",
    "profile",
    "serverSideEncryption",
    "insecureSkipTLSVerify",
    "enableSharedConfig",
    "tagging",
    "checksumAlgorithm",
];

/// What stands below the template of a Schedule.
fn template<'r>(resource: &'r Resource, field: &str) -> Option<&'r Value> {
    resource.value.pointer(&format!("/spec/template/{field}"))
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let all = value.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

impl<'a> Reader<'a> {
    /// A Schedule of Velero: one that it does not read, that never fires, or whose backups would fail or go nowhere.
    pub(in crate::parse::understand) fn raw_schedule(&mut self, resource: &'a Resource) {
        let text = text_at(&resource.value, &["spec", "schedule"]);
        // What is missing the API server says.
        let cron = match text {
            "" => None,
            text => self.cron(resource, "/spec/schedule", text),
        };
        let ttl = template(resource, "ttl").and_then(Value::as_str);
        if let Some(ttl) = ttl {
            self.duration(resource, "/spec/template/ttl", ttl);
        }
        if let Some(cron) = cron {
            let mut often = false;
            if let Some(gaps) = cron.gaps(from()) {
                often = self.too_often(resource, "/spec/schedule", gaps);
                let ttl = ttl.and_then(|text| duration::parse(text).ok());
                self.kept(resource, "/spec/template", gaps.longest, ttl);
            }
            if !often {
                self.planned.push(Planned {
                    resource,
                    pointer: "/spec/schedule".to_owned(),
                    name: resource.name().to_owned(),
                    cron,
                });
            }
        }
        if resource.name().len() > SCHEDULE_NAME_MAX {
            let message = "the name of this Schedule is too long: Velero makes no backup of it";
            let help = format!(
                "keep it below {SCHEDULE_NAME_MAX} characters: Velero adds a date and puts it into labels"
            );
            self.wrong(resource, "/metadata/name", "value", message, help);
        }
        if resource.value.pointer("/spec/skipImmediately") == Some(&Value::Bool(true)) {
            let message = "Velero writes `false` into this field as soon as it has read it, and Git writes `true` back for ever";
            let help = "take it out; `paused: true` keeps a Schedule from running";
            self.doubt(resource, "/spec/skipImmediately", "value", message, help);
        }
        if resource.value.pointer("/spec/useOwnerReferencesInBackup") == Some(&Value::Bool(true)) {
            let message = "with this Schedule all of its backups are deleted, and their data with them";
            let help = "take it out: backups go when their `ttl` has passed";
            self.doubt(
                resource,
                "/spec/useOwnerReferencesInBackup",
                "value",
                message,
                help,
            );
        }
        self.raw_location_of(resource);
        self.raw_template(resource);
    }

    fn raw_location_of(&mut self, resource: &Resource) {
        let (namespace, name) = (
            resource.namespace(),
            text_at(&resource.value, &["spec", "template", "storageLocation"]),
        );
        let (around, pointer) = (&self.around, "/spec/template/storageLocation");
        let all = around.locations.values().chain(&around.raw_locations);
        let mut here = all.filter(|one| one.namespace() == namespace).peekable();
        // A tree without any leaves them to somebody else.
        if name.is_empty() || here.peek().is_none() {
            return;
        }
        let told = resource.origin.told(name);
        match here.find(|one| one.name() == name) {
            None if around.is_misspelt("BackupLocation", namespace, name) => {}
            None => {
                let message = format!(
                    "there is no BackupLocation or BackupStorageLocation {told} in this namespace: every backup would fail its validation"
                );
                let help = "correct the name, or add the location";
                self.wrong(resource, pointer, "reference", message, help);
            }
            Some(location) if text_at(&location.value, &["spec", "accessMode"]) == "ReadOnly" => {
                let message = format!(
                    "{} {told} is ReadOnly: every backup would fail its validation",
                    location.kind()
                );
                let help = "name a location that may be written, or set its `accessMode: ReadWrite`";
                self.wrong(resource, pointer, "location", message, help);
            }
            Some(_) => {}
        }
    }

    /// What of the backups is told: Velero checks it only when it makes one.
    fn raw_template(&mut self, resource: &Resource) {
        let of = |field: &str| template(resource, field);
        let (included, excluded) = (texts(of("includedNamespaces")), texts(of("excludedNamespaces")));
        self.namespaces(resource, "/spec/template", &included, &excluded);
        let is_written = |field: &&&str| {
            of(field)
                .is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|all| !all.is_empty()))
        };
        if let (Some(_), Some(new)) = (
            OLD_FILTERS.iter().find(is_written),
            NEW_FILTERS.iter().find(is_written),
        ) {
            let message = "filters of two kinds: every backup would fail its validation";
            let help = format!("write {}, or {}", OLD_FILTERS.join(", "), NEW_FILTERS.join(", "));
            self.wrong(resource, &format!("/spec/template/{new}"), "value", message, help);
        }
        if of("labelSelector").is_some() && of("orLabelSelectors").is_some() {
            let message =
                "one selector and several of which one must fit: every backup would fail its validation";
            let help = "keep one of `labelSelector` and `orLabelSelectors`";
            self.wrong(
                resource,
                "/spec/template/orLabelSelectors",
                "value",
                message,
                help,
            );
        }
        let snapshots = texts(of("volumeSnapshotLocations"));
        let here = self.around.snapshot_locations.iter();
        let here = here.filter(|one| one.namespace() == resource.namespace());
        let known: Vec<&str> = here.map(|one| one.name()).collect();
        for (index, name) in snapshots.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let message = format!(
                    "this repository has no VolumeSnapshotLocation {} in this namespace: without it every backup fails its validation",
                    resource.origin.told(name)
                );
                let help = "take it out: snapshots of CSI volumes need none; or add it";
                let pointer = format!("/spec/template/volumeSnapshotLocations/{index}");
                match known.is_empty() {
                    true => self.doubt(resource, &pointer, "reference", message, help),
                    false => self.wrong(resource, &pointer, "reference", message, help),
                }
            }
        }
        if snapshots.is_empty() && of("snapshotVolumes") != Some(&Value::Bool(false)) {
            self.one_snapshot_location(resource, "/spec/template");
        }
        if let Some(policy) = of("resourcePolicy") {
            self.volume_policy(
                resource,
                "/spec/template/resourcePolicy/name",
                text_at(policy, &["name"]),
            );
        }
    }

    /// What the plugin for S3 refuses of a BackupStorageLocation, or the library that writes volumes to it.
    fn raw_config(&mut self, resource: &Resource) {
        let spec = |path: &str| resource.value.pointer(&format!("/spec/{path}"));
        if spec("objectStorage/caCert").is_some() && spec("objectStorage/caCertRef").is_some() {
            let message = "a location with both `caCert` and `caCertRef` is never available";
            let pointer = "/spec/objectStorage/caCertRef";
            self.wrong(resource, pointer, "value", message, "keep one of them");
        }
        let provider = text_at(&resource.value, &["spec", "provider"]);
        let config = spec("config").and_then(Value::as_object);
        let Some(config) = config.filter(|_| matches!(provider, "aws" | "velero.io/aws")) else {
            return;
        };
        let at = |key: &str| format!("/spec/config/{}", escape(key));
        let of = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        for (key, value) in config {
            if !S3_CONFIG.contains(&key.as_str()) {
                let message = "Velero's plugin for S3 knows no such key, and the location is never available";
                let help = format!("correct it to one of {}, or take it out", S3_CONFIG.join(", "));
                self.wrong(resource, &at(key), "value", message, help);
            } else if !value.is_string() {
                let message = "values of `config` are texts, and the API server refuses another";
                self.wrong(resource, &at(key), "value", message, "write it in quotes");
            }
        }
        let host = of("s3Url")
            .split_once("://")
            .map(|(_, host)| host.trim_end_matches('/'));
        if host.is_some_and(|host| host.contains(['/', '?', '#'])) {
            let message =
                "volumes are written to the host alone: a path or a query is refused when a backup runs";
            let help = "write scheme and host, and the folder as `prefix`";
            self.wrong(resource, &at("s3Url"), "endpoint", message, help);
        }
        if of("s3ForcePathStyle") == "true" && of("region").is_empty() {
            let message = "`region` is required with `s3ForcePathStyle`";
            let help = "write the region, or any word if the server has none";
            self.wrong(resource, &at("s3ForcePathStyle"), "missing-field", message, help);
        }
    }

    /// A BackupStorageLocation of Velero that would never be available, or is the default beside another one.
    pub(in crate::parse::understand) fn raw_location(&mut self, resource: &Resource) {
        self.raw_config(resource);
        let is_default = |one: &Resource| one.value.pointer("/spec/default") == Some(&Value::Bool(true));
        if !is_default(resource) {
            return;
        }
        let of_namespace = |one: &&&Resource| one.namespace() == resource.namespace() && is_default(one);
        let ours = self.around.locations.values();
        let before = self.around.raw_locations.iter();
        let before = before.take_while(|one| !std::ptr::eq(**one, resource));
        let other = ours.chain(before).find(of_namespace);
        if let Some(other) = other {
            let name = match other.origin.secret || resource.origin.secret {
                true => MASK,
                false => other.name(),
            };
            let message = format!("{} {name} is the default of this namespace too", other.kind());
            let help =
                "set `default: false` on one: Velero keeps a single default, and writes it into the others";
            self.wrong(resource, "/spec/default", "default-location", message, help);
        }
    }
}
