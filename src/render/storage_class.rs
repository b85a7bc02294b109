//! StorageTier → StorageClass.
//!
//! Mayastor: `poolHasTopologyKey` keeps volumes on pools that have the tier's labels at all, so that they can be moved
//! between tiers later; `poolAffinityTopologyLabel` (`pinned: true`) ties them to this tier for ever, because a Mayastor
//! volume's topology cannot be changed. Longhorn: tags of disks are the tier's labels, with empty values; `diskSelector` (`pinned: true`)
//! ties volumes to them. Its parameters are those that `csi/util.go` of longhorn-manager reads. LocalPV hostpath reads its settings from annotations and never from `parameters`;
//! LVM and ZFS are CSI drivers with parameters.

use super::head;
use crate::formats::yaml::emit::emit;
use crate::model::desired::Resource;
use crate::model::kinds::storage_tier::{
    BindingMode, Hostpath, LocalEngine, LonghornParameters, Lvm, MayastorParameters, ReclaimPolicy,
    StorageClassTemplate, StorageTierSpec, Zfs,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The annotation that makes a class the default.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

pub(super) fn render(tier: &Resource) -> Option<Value> {
    let spec: StorageTierSpec = serde_json::from_value(tier.value.get("spec")?.clone()).ok()?;
    let class = spec.storage_class?;
    let mut object = head("storage.k8s.io/v1", "StorageClass", None, &class.name);
    let mut annotations = class.annotations.clone();
    if class.default {
        annotations.insert(DEFAULT.to_owned(), "true".to_owned());
    }
    if let Some(selector) = &spec.pool_selector {
        let labels = &selector.match_labels;
        let (provisioner, parameters) = match &class.longhorn {
            Some(parameters) => ("driver.longhorn.io", longhorn(parameters, labels)),
            None => {
                let parameters = class.mayastor.clone().unwrap_or_default();
                ("io.openebs.csi-mayastor", mayastor(&parameters, labels))
            }
        };
        object.insert("provisioner".to_owned(), json!(provisioner));
        object.insert("parameters".to_owned(), parameters);
        object.insert(
            "allowVolumeExpansion".to_owned(),
            json!(class.allow_volume_expansion.unwrap_or(true)),
        );
    } else if let Some(local) = &spec.local {
        put_local(&mut object, &mut annotations, local, class.allow_volume_expansion);
    }
    object.insert(
        "reclaimPolicy".to_owned(),
        json!(match class.reclaim_policy {
            ReclaimPolicy::Delete => "Delete",
            ReclaimPolicy::Retain => "Retain",
        }),
    );
    object.insert(
        "volumeBindingMode".to_owned(),
        json!(binding_mode(&class, spec.local.is_some())),
    );
    if !class.mount_options.is_empty() {
        object.insert("mountOptions".to_owned(), json!(class.mount_options));
    }
    put_metadata(&mut object, "labels", &class.labels);
    put_metadata(&mut object, "annotations", &annotations);
    Some(Value::Object(object))
}

fn put_local(
    object: &mut Map<String, Value>,
    annotations: &mut BTreeMap<String, String>,
    local: &LocalEngine,
    may_grow: Option<bool>,
) {
    let (driver, parameters) = match (&local.hostpath, &local.lvm, &local.zfs) {
        (Some(folders), ..) => {
            object.insert("provisioner".to_owned(), json!("openebs.io/local"));
            annotations.insert("openebs.io/cas-type".to_owned(), "local".to_owned());
            annotations.insert("cas.openebs.io/config".to_owned(), hostpath(folders));
            return;
        }
        (None, Some(group), _) => ("local.csi.openebs.io", lvm(group)),
        (None, None, Some(pool)) => ("zfs.csi.openebs.io", zfs(pool)),
        // It was refused when it was read.
        (None, None, None) => return,
    };
    object.insert("provisioner".to_owned(), json!(driver));
    object.insert("parameters".to_owned(), parameters);
    object.insert("allowVolumeExpansion".to_owned(), json!(may_grow.unwrap_or(true)));
}

fn binding_mode(class: &StorageClassTemplate, local: bool) -> &'static str {
    match class.volume_binding_mode {
        // A local volume that is made before its pod is scheduled stays pending for ever.
        _ if local => "WaitForFirstConsumer",
        Some(BindingMode::WaitForFirstConsumer) => "WaitForFirstConsumer",
        Some(BindingMode::Immediate) | None => "Immediate",
    }
}

fn put_metadata(object: &mut Map<String, Value>, field: &str, entries: &BTreeMap<String, String>) {
    if !entries.is_empty()
        && let Some(Value::Object(metadata)) = object.get_mut("metadata")
    {
        metadata.insert(field.to_owned(), json!(entries));
    }
}

fn mayastor(parameters: &MayastorParameters, labels: &BTreeMap<String, String>) -> Value {
    let mut map: BTreeMap<&str, String> = BTreeMap::new();
    map.insert("protocol", "nvmf".to_owned());
    map.insert("repl", parameters.replicas.to_string());
    if parameters.thin {
        map.insert("thin", "true".to_owned());
    }
    if parameters.encrypted {
        map.insert("encrypted", "true".to_owned());
    }
    if parameters.sts_affinity_group {
        map.insert("stsAffinityGroup", "true".to_owned());
    }
    for (key, value) in [
        ("fsType", parameters.fs_type.clone()),
        (
            "maxSnapshots",
            parameters.max_snapshots.map(|number| number.to_string()),
        ),
        (
            "ioTimeout",
            parameters.io_timeout.map(|number| number.to_string()),
        ),
    ] {
        if let Some(value) = value {
            map.insert(key, value);
        }
    }
    let lines: Vec<String> = labels
        .iter()
        .map(|(key, value)| {
            if parameters.pinned {
                format!("{key}: {value}\n")
            } else {
                format!("{key}\n")
            }
        })
        .collect();
    let topology = if parameters.pinned {
        "poolAffinityTopologyLabel"
    } else {
        "poolHasTopologyKey"
    };
    map.insert(topology, lines.concat());
    json!(map)
}

/// Auto-balance and data locality are off whatever Longhorn's settings say: with either Longhorn takes copies away by itself, and such
/// volumes are not moved.
fn longhorn(parameters: &LonghornParameters, labels: &BTreeMap<String, String>) -> Value {
    let mut map: BTreeMap<&str, String> = BTreeMap::new();
    map.insert("numberOfReplicas", parameters.replicas.to_string());
    map.insert("dataLocality", "disabled".to_owned());
    map.insert("replicaAutoBalance", "disabled".to_owned());
    if parameters.pinned {
        let tags: Vec<&str> = labels.keys().map(String::as_str).collect();
        map.insert("diskSelector", tags.join(","));
    }
    if !parameters.node_selector.is_empty() {
        map.insert("nodeSelector", parameters.node_selector.join(","));
    }
    let minutes = parameters.stale_replica_timeout.map(|number| number.to_string());
    for (key, value) in [
        ("fsType", parameters.fs_type.clone()),
        ("dataEngine", parameters.data_engine.clone()),
        ("staleReplicaTimeout", minutes),
    ] {
        if let Some(value) = value {
            map.insert(key, value);
        }
    }
    json!(map)
}

fn hostpath(hostpath: &Hostpath) -> String {
    let mut config = vec![
        json!({"name": "StorageType", "value": "hostpath"}),
        json!({"name": "BasePath", "value": hostpath.base_path}),
    ];
    if !hostpath.node_affinity_labels.is_empty() {
        config.push(json!({"name": "NodeAffinityLabels", "list": hostpath.node_affinity_labels}));
    }
    emit(&Value::Array(config))
}

fn lvm(lvm: &Lvm) -> Value {
    let mut map = BTreeMap::from([("storage", "lvm"), ("volgroup", lvm.volume_group.as_str())]);
    if lvm.thin {
        map.insert("thinProvision", "yes");
    }
    if let Some(file_system) = &lvm.fs_type {
        map.insert("fsType", file_system);
    }
    json!(map)
}

fn zfs(zfs: &Zfs) -> Value {
    let mut map = BTreeMap::from([("poolname", zfs.pool.as_str()), ("fstype", zfs.fs_type.as_str())]);
    if zfs.thin {
        map.insert("thinprovision", "yes");
    }
    for (key, value) in [
        ("compression", &zfs.compression),
        ("recordsize", &zfs.record_size),
    ] {
        if let Some(value) = value {
            map.insert(key, value);
        }
    }
    json!(map)
}
