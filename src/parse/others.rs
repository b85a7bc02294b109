//! Objects of other systems that their owners take and then fail on: StorageClasses of LocalPV, backups of CloudNativePG, Velero itself.

use super::GROUP_CNPG;
use crate::formats::cron;
use crate::model::desired::{Resource, text_at};
use crate::model::diagnostic::Diagnostic;
use crate::model::kinds::GROUP;
use crate::model::kinds::backup::{BackupPolicySpec, VOLUME_POLICY};
use crate::model::resources::Resources;
use crate::model::secret::MASK;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What StorageClasses are made of.
pub(super) const CLASSES: [(&str, &str); 2] = [(GROUP, "StorageTier"), ("storage.k8s.io", "StorageClass")];

/// The annotation that makes a class the default.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

pub(super) fn check(resources: &Resources, diagnostics: &mut Vec<Diagnostic>) {
    for class in resources.of("storage.k8s.io", "StorageClass") {
        local_class(class, diagnostics);
    }
    diagnostics.extend(resources.of(GROUP_CNPG, "ScheduledBackup").filter_map(six_fields));
    diagnostics.extend(resources.of(GROUP_CNPG, "Cluster").filter_map(old_backup));
    for release in resources.of("helm.toolkit.fluxcd.io", "HelmRelease") {
        if velero(release, &CHART, diagnostics) || is_chart(release) {
            uploads(resources, release, diagnostics);
        }
    }
    for deployment in resources.of("apps", "Deployment") {
        if velero(deployment, &DEPLOYMENT, diagnostics) {
            snapshots_of(resources, deployment, diagnostics);
        }
    }
    default_classes(resources, diagnostics);
    made_twice(resources, diagnostics);
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

/// What our kinds become in the cluster beside objects of the same name: they would be applied one over the other for ever. Of Schedules,
/// and of two objects that are written as they are, it is told elsewhere.
fn made_twice(resources: &Resources, diagnostics: &mut Vec<Diagnostic>) {
    type Made<'a> = (&'static str, &'a str, Cow<'a, str>);
    let mut first: BTreeMap<Made, &Resource> = BTreeMap::new();
    for (group, kind) in [
        ("storage.k8s.io", "StorageClass"),
        ("velero.io", "BackupStorageLocation"),
        ("", "ConfigMap"),
    ] {
        let all = resources.of(group, kind);
        first.extend(all.map(|one| ((kind, one.namespace(), Cow::from(one.name())), one)));
    }
    let makes = |resource: &'_ Resource| match resource.kind() {
        "StorageTier" => {
            let name = resource
                .value
                .pointer("/spec/storageClass/name")
                .and_then(Value::as_str);
            Some(("StorageClass", name?.to_owned(), "/spec/storageClass/name"))
        }
        "BackupLocation" => Some((
            "BackupStorageLocation",
            resource.name().to_owned(),
            "/metadata/name",
        )),
        _ => {
            let rules = resource
                .value
                .pointer("/spec/volumeRules")
                .and_then(Value::as_array);
            rules.filter(|rules| !rules.is_empty())?;
            let name = format!("{}-{VOLUME_POLICY}", resource.name());
            Some(("ConfigMap", name, "/spec/volumeRules"))
        }
    };
    let ours = ["StorageTier", "BackupLocation", "BackupPolicy"];
    for resource in ours.into_iter().flat_map(|kind| resources.ours(kind)) {
        let Some((kind, name, pointer)) = makes(resource) else {
            continue;
        };
        let namespace = match kind {
            "StorageClass" => "",
            _ => resource.namespace(),
        };
        let other = match first.entry((kind, namespace, Cow::from(name.clone()))) {
            Entry::Vacant(vacant) => {
                vacant.insert(resource);
                continue;
            }
            Entry::Occupied(other) => *other.get(),
        };
        let (name, whose) = match other.origin.secret || resource.origin.secret {
            true => (MASK, MASK),
            false => (name.as_str(), other.name()),
        };
        let rule = match kind {
            "StorageClass" => "storage-class",
            _ => "name",
        };
        diagnostics.push(Diagnostic::error(
            resource.origin.place(pointer),
            rule,
            format!("{} {whose} makes {kind} {name} already", other.kind()),
            "give one of them another name",
        ));
    }
}

/// Two default classes: which of them claims get depends on which was made later.
fn default_classes(resources: &Resources, diagnostics: &mut Vec<Diagnostic>) {
    let mut first: Option<&Resource> = None;
    for resource in resources.of_any(&CLASSES) {
        let (pointer, is_default) = match resource.group() {
            GROUP => {
                let pointer = "/spec/storageClass/default";
                let said = resource.value.pointer(pointer);
                (pointer, said == Some(&Value::Bool(true)))
            }
            _ => {
                let said = text_at(&resource.value, &["metadata", "annotations", DEFAULT]);
                let pointer = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
                (pointer, said == "true")
            }
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
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let (message, help) = match *fields {
        [] => return None,
        [first, ..] if first.starts_with('@') => return None,
        [second, minute, hour, day, month, weekday] => {
            // Each by itself, in the place of one that reads alike, and the days of a month with the month that must have them.
            let of_week = if weekday == "?" { "*" } else { weekday };
            let of_month = if day == "?" { "*" } else { day };
            let read = [
                format!("{second} * * * *"),
                format!("{minute} {hour} {of_month} {month} *"),
                format!("0 0 * * {of_week}"),
            ];
            if read.iter().all(|text| cron::parse(text).is_ok()) {
                return None;
            }
            (
                "CloudNativePG does not read this, or it is never due",
                "write second, minute, hour, day of month, month and day of week, such as `0 0 2 * * *`",
            )
        }
        _ => (
            "CloudNativePG needs six fields, seconds first",
            "write a 0 before Velero's five: `0 0 2 * * *`",
        ),
    };
    let place = backup.origin.place("/spec/schedule");
    Some(Diagnostic::error(place, "database-backup", message, help))
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

/// Where an object that installs Velero says what.
struct Installed {
    /// The containers that bring plugins.
    plugins: &'static str,
    /// The server's image, or its tag.
    server: &'static str,
    /// What uploads volumes, by itself or among arguments.
    uploader: &'static str,
}

/// The values of Velero's Helm chart.
const CHART: Installed = Installed {
    plugins: "/spec/values/initContainers",
    server: "/spec/values/image/tag",
    uploader: "/spec/values/configuration/uploaderType",
};

const DEPLOYMENT: Installed = Installed {
    plugins: "/spec/template/spec/initContainers",
    server: "/spec/template/spec/containers/0/image",
    uploader: "/spec/template/spec/containers/0/args",
};

/// Plugins whose minor version is Velero's less four (the compatibility tables in their READMEs).
const PAIRED: [&str; 3] = [
    "velero-plugin-for-aws",
    "velero-plugin-for-gcp",
    "velero-plugin-for-microsoft-azure",
];

/// The first version that has CSI's plugin built in.
const CSI_BUILT_IN: (u32, u32) = (1, 14);

/// The first version that makes no backups with restic.
const RESTIC_GONE: (u32, u32) = (1, 17);

/// How far the minor versions of Velero and its plugins are apart.
const APART: u32 = 4;

/// Major and minor version of a tag such as `v1.14.1`, or of an image with one.
fn version(text: &str) -> Option<(u32, u32)> {
    let tag = text.split('@').next()?.rsplit(':').next()?;
    let mut parts = tag.strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The image's name, without registry, tag and digest.
fn image_name(image: &str) -> &str {
    let path = image.split('@').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default()
}

/// A Velero that would not start, or make no backup of a volume: plugins of other versions, or what it no longer has.
/// Whether it is one is answered.
fn velero(resource: &Resource, at: &Installed, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let plugins = resource.value.pointer(at.plugins).and_then(Value::as_array);
    let images = plugins
        .into_iter()
        .flatten()
        .map(|one| text_at(one, &["image"]))
        .enumerate();
    let images: Vec<(usize, &str)> = images
        .filter(|(_, image)| image_name(image).starts_with("velero-plugin-for-"))
        .collect();
    if images.is_empty() {
        return false;
    }
    let place = |pointer: &str| resource.origin.place(pointer);
    let server = resource.value.pointer(at.server).and_then(Value::as_str);
    let server = server.and_then(version);
    for (index, image) in images {
        let (name, pointer) = (image_name(image), format!("{}/{index}/image", at.plugins));
        if name == "velero-plugin-for-csi" && server.is_none_or(|server| server >= CSI_BUILT_IN) {
            let message = "Velero has done this itself since 1.14, and does not start with this plugin";
            let help = "take it out, and start Velero with `--features=EnableCSI`";
            diagnostics.push(Diagnostic::error(place(&pointer), "velero", message, help));
        }
        if let (true, Some((major, minor)), Some((of, plugin))) =
            (PAIRED.contains(&name), server, version(image))
            && of == major
            && plugin + APART != minor
        {
            let (message, help) = match (resource.origin.secret, minor.checked_sub(APART)) {
                (false, Some(fits)) => (
                    format!(
                        "{name} {of}.{plugin} is made for Velero {of}.{}, and this is {major}.{minor}",
                        plugin + APART
                    ),
                    format!("write v{of}.{fits} and the newest patch of it"),
                ),
                _ => (
                    "this plugin is not made for this version of Velero".to_owned(),
                    "take the version that the table in the plugin's README gives".to_owned(),
                ),
            };
            // They may work together all the same; nobody tests that they do.
            diagnostics.push(Diagnostic::warning(place(&pointer), "velero", message, help));
        }
    }
    let uploader = resource.value.pointer(at.uploader);
    let restic = match uploader {
        Some(Value::String(uploader)) => uploader == "restic",
        Some(Value::Array(arguments)) => arguments.iter().any(|one| one == "--uploader-type=restic"),
        _ => false,
    };
    if restic && server.is_none_or(|server| server >= RESTIC_GONE) {
        // https://velero.io/docs/v1.19/upgrade-to-1.19
        let message = "Velero makes no backups with restic any more, and 1.19 does not restore any either";
        diagnostics.push(Diagnostic::error(
            place(at.uploader),
            "velero",
            message,
            "write kopia",
        ));
    }
    true
}

/// Whether a release is of Velero's chart, by the chart's name or by that of the object that it comes from.
fn is_chart(release: &Resource) -> bool {
    let spec = |path: &[&str]| text_at(&release.value, path) == "velero";
    spec(&["spec", "chart", "spec", "chart"]) || spec(&["spec", "chartRef", "name"])
}

/// The policies of a namespace.
fn policies_of(resources: &Resources, namespace: &str) -> Vec<BackupPolicySpec> {
    let policies = resources.ours("BackupPolicy");
    let policies = policies.filter(|policy| policy.namespace() == namespace);
    let specs = policies.filter_map(|policy| BackupPolicySpec::deserialize(policy.value.get("spec")?).ok());
    specs.collect()
}

/// What the policies of the same namespace need of a server that is installed by itself. Its node agent is another object, and may come
/// from elsewhere.
fn snapshots_of(resources: &Resources, deployment: &Resource, diagnostics: &mut Vec<Diagnostic>) {
    let arguments = deployment
        .value
        .pointer(DEPLOYMENT.uploader)
        .and_then(Value::as_array);
    let texts = arguments.into_iter().flatten().filter_map(Value::as_str);
    let mut features = texts.filter_map(|text| text.strip_prefix("--features="));
    let csi = features.any(|all| all.split(',').any(|one| one.trim() == "EnableCSI"));
    let specs = policies_of(resources, deployment.namespace());
    if !csi && specs.iter().any(BackupPolicySpec::takes_snapshots) {
        diagnostics.push(Diagnostic::warning(
            deployment.origin.place(DEPLOYMENT.uploader),
            "velero",
            "without the feature EnableCSI Velero takes no CSI snapshots, and policies of this repository ask for them",
            "add the argument `--features=EnableCSI`",
        ));
    }
}

/// What the policies of the same namespace need of a Velero that the chart installs. Values from elsewhere may say it.
fn uploads(resources: &Resources, release: &Resource, diagnostics: &mut Vec<Diagnostic>) {
    if release.value.pointer("/spec/valuesFrom").is_some() {
        return;
    }
    let target = text_at(&release.value, &["spec", "targetNamespace"]);
    let namespace = if target.is_empty() {
        release.namespace()
    } else {
        target
    };
    let specs = policies_of(resources, namespace);
    let value = |pointer: &str| release.value.pointer(pointer);
    let agent = value("/spec/values/deployNodeAgent") == Some(&Value::Bool(true));
    let features = value("/spec/values/configuration/features").and_then(Value::as_str);
    let csi = features.is_some_and(|all| all.split(',').any(|one| one.trim() == "EnableCSI"));
    for (needed, pointer, message, help) in [
        (
            !agent && specs.iter().any(BackupPolicySpec::uploads),
            "/spec/values/deployNodeAgent",
            "without its node agent Velero uploads no volume, and policies of this repository ask for it",
            "write `deployNodeAgent: true` into the values",
        ),
        (
            !csi && specs.iter().any(BackupPolicySpec::takes_snapshots),
            "/spec/values/configuration/features",
            "without this feature Velero takes no CSI snapshots, and policies of this repository ask for them",
            "write `features: EnableCSI` below `configuration` of the values",
        ),
    ] {
        if needed {
            diagnostics.push(Diagnostic::warning(
                release.origin.place(pointer),
                "velero",
                message,
                help,
            ));
        }
    }
}
