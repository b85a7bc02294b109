//! Objects of other systems that their owners take and then fail on: StorageClasses of LocalPV, backups of CloudNativePG.

use super::GROUP_CNPG;
use crate::model::desired::{Resource, text_at};
use crate::model::diagnostic::Diagnostic;
use crate::model::kinds::GROUP;
use crate::model::secret::MASK;
use serde_json::Value;

/// The annotation that makes a class the default.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

pub(super) fn check(resources: &[Resource], diagnostics: &mut Vec<Diagnostic>) {
    for resource in resources {
        let group = resource
            .api_version()
            .split_once('/')
            .map_or("", |(group, _)| group);
        match (group, resource.kind()) {
            ("storage.k8s.io", "StorageClass") => local_class(resource, diagnostics),
            (GROUP_CNPG, "ScheduledBackup") => diagnostics.extend(six_fields(resource)),
            (GROUP_CNPG, "Cluster") => diagnostics.extend(old_backup(resource)),
            _ => {}
        }
    }
    default_classes(resources, diagnostics);
}

/// What the provisioner of LocalPV hostpath does not read, or fails on (openebs/dynamic-localpv-provisioner, `config.go`).
fn local_class(class: &Resource, diagnostics: &mut Vec<Diagnostic>) {
    if text_at(&class.value, &["provisioner"]) != "openebs.io/local" {
        return;
    }
    let config = text_at(
        &class.value,
        &["metadata", "annotations", "cas.openebs.io/config"],
    );
    let device = config.lines().any(|line| {
        let value = line.trim().trim_start_matches("- ").strip_prefix("value:");
        value.is_some_and(|value| value.trim().trim_matches(['"', '\'']) == "device")
    });
    let parameters = class.value.get("parameters").and_then(Value::as_object);
    for (pointer, wrong, message, help) in [
        (
            "/parameters",
            parameters.is_some_and(|parameters| !parameters.is_empty()),
            "LocalPV hostpath never reads `parameters`, and makes volumes in its default folder",
            "write them into the annotation cas.openebs.io/config, or make the class with a StorageTier with `local`",
        ),
        (
            "/metadata/annotations/cas.openebs.io~1config",
            device,
            "LocalPV device was taken out of OpenEBS 4.0: no volume would be made",
            "use LVM or ZFS for whole disks: a StorageTier with `local: {lvm: …}` or `local: {zfs: …}`",
        ),
        (
            "/volumeBindingMode",
            text_at(&class.value, &["volumeBindingMode"]) != "WaitForFirstConsumer",
            "a local volume that is made before its pod is scheduled stays pending for ever",
            "write `volumeBindingMode: WaitForFirstConsumer`",
        ),
        (
            "/allowVolumeExpansion",
            class.value.get("allowVolumeExpansion") == Some(&Value::Bool(true)),
            "LocalPV hostpath volumes cannot grow",
            "take it out",
        ),
    ] {
        if wrong {
            diagnostics.push(Diagnostic::error(
                class.origin.place(pointer),
                "storage-class",
                message,
                help,
            ));
        }
    }
}

/// Two default classes: which of them claims get depends on which was made later.
fn default_classes(resources: &[Resource], diagnostics: &mut Vec<Diagnostic>) {
    let mut first: Option<&Resource> = None;
    for resource in resources {
        let (pointer, is_default) = match resource.kind() {
            "StorageTier" if resource.api_version().starts_with(GROUP) => {
                let pointer = "/spec/storageClass/default";
                (
                    pointer,
                    resource.value.pointer(pointer) == Some(&Value::Bool(true)),
                )
            }
            "StorageClass" if resource.api_version().starts_with("storage.k8s.io/") => {
                let said = text_at(&resource.value, &["metadata", "annotations", DEFAULT]);
                (
                    "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
                    said == "true",
                )
            }
            _ => continue,
        };
        if !is_default {
            continue;
        }
        let Some(first) = first else {
            first = Some(resource);
            continue;
        };
        let name = match first.origin.secret || resource.origin.secret {
            true => MASK,
            false => first.name(),
        };
        let message = format!("{} {name} is the default class already", first.kind());
        let help = "let one class be the default";
        diagnostics.push(Diagnostic::error(
            resource.origin.place(pointer),
            "default-class",
            message,
            help,
        ));
    }
}

/// CloudNativePG reads seconds first: with Velero's five fields every backup comes at another time, or none does.
fn six_fields(backup: &Resource) -> Option<Diagnostic> {
    let schedule = text_at(&backup.value, &["spec", "schedule"]);
    let fields = schedule.split_whitespace().count();
    if schedule.is_empty() || schedule.starts_with('@') || fields == 6 {
        return None;
    }
    Some(Diagnostic::error(
        backup.origin.place("/spec/schedule"),
        "database-backup",
        "CloudNativePG needs six fields, seconds first",
        "write a 0 before Velero's five: `0 0 2 * * *`",
    ))
}

fn old_backup(cluster: &Resource) -> Option<Diagnostic> {
    cluster.value.pointer("/spec/backup/barmanObjectStore")?;
    Some(Diagnostic::warning(
        cluster.origin.place("/spec/backup/barmanObjectStore"),
        "database-backup",
        "CloudNativePG 1.31 has no `barmanObjectStore` any more",
        "use its plugin barman-cloud: an ObjectStore, and `plugins` of the Cluster",
    ))
}
