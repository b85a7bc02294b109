//! What of a tree backups refer to: locations, Secrets, ConfigMaps, StorageClasses, databases.

use super::super::super::others::CLASSES;
use super::super::super::{GROUP_CNPG, near};
use crate::model::backups::EXCLUDE_LABEL;
use crate::model::desired::{Resource, text_at};
use crate::model::kinds::GROUP;
use crate::model::resources::Resources;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A namespace and a name in it.
pub(in crate::parse::understand) type Key<'a> = (&'a str, &'a str);

/// How volumes of a class are made, as far as it matters to their backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::parse::understand) enum Engine<'a> {
    /// Folders on a node's file system: there is no CSI driver, and so no snapshot.
    Hostpath,
    /// LVM volumes that are not thin: their snapshots cannot be restored.
    ThickLvm,
    /// Another CSI driver.
    Csi(&'a str),
    /// Not known.
    Unknown,
}

/// A StorageClass that the tree makes.
#[derive(Clone, Copy, Debug)]
pub(in crate::parse::understand) struct Class<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// How its volumes are made.
    pub(super) engine: Engine<'a>,
    /// Whether it is told by name: not if it was encrypted.
    pub(super) secret: bool,
}

/// The driver of LVM LocalPV.
pub(super) const LVM: &str = "local.csi.openebs.io";

pub(in crate::parse::understand) struct Around<'a> {
    pub(super) locations: BTreeMap<Key<'a>, &'a Resource>,
    pub(super) policies: BTreeMap<Key<'a>, &'a Resource>,
    pub(super) secrets: BTreeMap<Key<'a>, &'a Resource>,
    pub(super) config_maps: BTreeMap<Key<'a>, &'a Resource>,
    pub(super) classes: Vec<Class<'a>>,
    /// Drivers of the VolumeSnapshotClasses that Velero finds by their label.
    pub(super) snapshot_drivers: BTreeSet<&'a str>,
    /// Whether the tree has VolumeSnapshotClasses at all.
    pub(super) has_snapshot_classes: bool,
    /// Clusters of CloudNativePG.
    pub(super) clusters: Vec<&'a Resource>,
    /// Clusters of CloudNativePG with a schedule of backups, by namespace and name.
    scheduled: BTreeSet<Key<'a>>,
    /// Namespaces that are left out of every backup.
    pub(super) excluded: BTreeSet<&'a str>,
    /// Velero's own locations.
    pub(super) raw_locations: Vec<&'a Resource>,
    /// Velero's own places for snapshots of other plugins than CSI's.
    pub(super) snapshot_locations: Vec<&'a Resource>,
    /// Namespaces that the tree makes.
    pub(super) namespaces: BTreeSet<&'a str>,
    /// Velero's own Schedules.
    pub(super) velero_schedules: BTreeSet<Key<'a>>,
    /// Objects whose kind is misspelt, by the kind that was meant: they are told of for that, and not missing.
    misspelt: BTreeSet<(String, Key<'a>)>,
}

impl<'a> Around<'a> {
    pub(in crate::parse::understand) fn of(resources: &'a Resources) -> Self {
        let key = |resource: &'a Resource| (resource.namespace(), resource.name());
        let keyed = |group: &str, kind: &str| -> BTreeMap<Key<'a>, &'a Resource> {
            let all = resources.of(group, kind);
            all.map(|resource| (key(resource), resource)).collect()
        };
        let classes = resources.of_any(&CLASSES).into_iter();
        let classes = classes.filter_map(|one| match one.group() {
            GROUP => of_tier(one),
            _ => Some(of_class(one)),
        });
        let snapshot_classes = resources.of("snapshot.storage.k8s.io", "VolumeSnapshotClass");
        let has_snapshot_classes = snapshot_classes.clone().next().is_some();
        let for_velero = snapshot_classes.filter(|class| is_for_velero(class));
        let databases = resources.of(GROUP_CNPG, "Cluster");
        let schedules = resources.of("velero.io", "Schedule");
        let misspelt = resources.kinds().flat_map(|(group, kind)| {
            let meant = near::meant(group, kind);
            let meant = meant.filter(|meant| *meant != *kind || near::is_slip(group, kind));
            meant.into_iter().flat_map(move |meant| {
                let all = resources.of(group, kind);
                all.map(move |resource| (meant.clone().into_owned(), key(resource)))
            })
        });
        Self {
            locations: keyed(GROUP, "BackupLocation"),
            policies: keyed(GROUP, "BackupPolicy"),
            secrets: keyed("", "Secret"),
            config_maps: keyed("", "ConfigMap"),
            classes: classes.collect(),
            has_snapshot_classes,
            snapshot_drivers: for_velero
                .map(|class| text_at(&class.value, &["driver"]))
                .collect(),
            scheduled: resources
                .of(GROUP_CNPG, "ScheduledBackup")
                .map(|one| (one.namespace(), text_at(&one.value, &["spec", "cluster", "name"])))
                .collect(),
            clusters: databases.collect(),
            excluded: resources
                .of("", "Namespace")
                .filter(|one| text_at(&one.value, &["metadata", "labels", EXCLUDE_LABEL]) == "true")
                .map(Resource::name)
                .collect(),
            raw_locations: resources.of("velero.io", "BackupStorageLocation").collect(),
            snapshot_locations: resources.of("velero.io", "VolumeSnapshotLocation").collect(),
            namespaces: resources.of("", "Namespace").map(Resource::name).collect(),
            velero_schedules: schedules.map(key).collect(),
            misspelt: misspelt.collect(),
        }
    }

    /// Whether a Cluster of CloudNativePG has backups of its own: a place for them, and a time.
    pub(super) fn is_backed_up_itself(&self, cluster: &Resource) -> bool {
        let has = |pointer: &str| match cluster.value.pointer(pointer) {
            Some(Value::Array(all)) => !all.is_empty(),
            Some(value) => !value.is_null(),
            None => false,
        };
        (has("/spec/plugins") || has("/spec/backup"))
            && self.scheduled.contains(&(cluster.namespace(), cluster.name()))
    }

    /// Whether an object of a kind is there but for its kind, which is misspelt.
    pub(super) fn is_misspelt(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let mut all = self.misspelt.iter();
        all.any(|(meant, key)| meant == kind && *key == (namespace, name))
    }
}

/// Velero takes the class with this label, or the default one of the driver.
fn is_for_velero(class: &Resource) -> bool {
    let metadata = |field: &str, key: &str| text_at(&class.value, &["metadata", field, key]) == "true";
    metadata("labels", "velero.io/csi-volumesnapshot-class")
        || metadata("annotations", "snapshot.storage.kubernetes.io/is-default-class")
}

fn of_tier(tier: &Resource) -> Option<Class<'_>> {
    let spec = tier.value.get("spec")?;
    let class = spec.get("storageClass")?;
    let local = |engine: &str| spec.get("local").and_then(|local| local.get(engine));
    let engine = if local("hostpath").is_some() {
        Engine::Hostpath
    } else if let Some(lvm) = local("lvm") {
        match lvm.get("thin").and_then(Value::as_bool) {
            Some(true) => Engine::Csi(LVM),
            _ => Engine::ThickLvm,
        }
    } else if local("zfs").is_some() {
        Engine::Csi("zfs.csi.openebs.io")
    } else if class.get("longhorn").is_some_and(|longhorn| !longhorn.is_null()) {
        Engine::Csi("driver.longhorn.io")
    } else if spec.get("poolSelector").is_some() {
        Engine::Csi("io.openebs.csi-mayastor")
    } else {
        Engine::Unknown
    };
    Some(Class {
        name: class.get("name")?.as_str()?,
        engine,
        secret: tier.origin.secret,
    })
}

fn of_class(class: &Resource) -> Class<'_> {
    let engine = match text_at(&class.value, &["provisioner"]) {
        "openebs.io/local" => Engine::Hostpath,
        LVM if text_at(&class.value, &["parameters", "thinProvision"]) != "yes" => Engine::ThickLvm,
        driver if driver.contains(".csi.") || driver.contains("csi-") || driver == "driver.longhorn.io" => {
            Engine::Csi(driver)
        }
        _ => Engine::Unknown,
    };
    Class {
        name: class.name(),
        engine,
        secret: class.origin.secret,
    }
}

/// Whether a Secret or a ConfigMap has a key, wherever it is written.
pub(super) fn holds(resource: &Resource, key: &str) -> bool {
    ["data", "stringData", "binaryData"].iter().any(|field| {
        resource
            .value
            .get(*field)
            .is_some_and(|data| data.get(key).is_some())
    })
}
