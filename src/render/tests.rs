//! Claims about rendering a class; whole folders are compared in `tests/examples.rs`, proposals in `tests/controller.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::{storage_class, velero};
use crate::model::desired::{Origin, Resource};
use crate::model::places::Places;
use serde_json::{Value, json};
use std::sync::Arc;

fn class(spec: Value) -> Value {
    storage_class::render(&resource("StorageTier", &spec)).unwrap()
}

fn resource(kind: &str, spec: &Value) -> Resource {
    let metadata = json!({"name": "t", "namespace": "velero"});
    let value =
        json!({"apiVersion": "storage.billyronks.io/v1", "kind": kind, "metadata": metadata, "spec": spec});
    let origin = Origin {
        path: "t.yaml".into(),
        document: 0,
        line: 1,
        places: Arc::new(Places::default()),
        changed: Vec::new(),
        secret: false,
    };
    Resource {
        value: Arc::new(value),
        origin,
    }
}

#[test]
fn volumes_may_use_any_labelled_pool_unless_the_tier_pins_them() {
    let spec = |pinned: bool| {
        json!({"rank": 1, "poolSelector": {"matchLabels": {"tier": "hot"}},
               "storageClass": {"name": "fast", "default": true, "mayastor": {"replicas": 3, "pinned": pinned}}})
    };
    let free = class(spec(false));
    assert_eq!(
        free["parameters"],
        json!({"protocol": "nvmf", "repl": "3", "poolHasTopologyKey": "tier\n"})
    );
    assert_eq!(
        free["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"],
        "true"
    );
    assert_eq!(
        class(spec(true))["parameters"]["poolAffinityTopologyLabel"],
        "tier: hot\n"
    );
}

#[test]
fn a_local_class_says_everything_in_annotations_and_waits_for_its_consumer() {
    let local = class(
        json!({"rank": 1, "local": {"hostpath": {"basePath": "/data"}}, "storageClass": {"name": "local"}}),
    );
    assert_eq!(local.get("parameters"), None);
    assert_eq!(local["volumeBindingMode"], "WaitForFirstConsumer");
    assert_eq!(
        local["metadata"]["annotations"]["cas.openebs.io/config"],
        "- name: StorageType\n  value: hostpath\n- name: BasePath\n  value: /data\n"
    );
}

#[test]
fn a_class_of_longhorn_lets_nothing_be_balanced_and_names_tags_only_when_it_is_pinned() {
    let spec = |pinned: bool| {
        json!({"rank": 1, "poolSelector": {"matchLabels": {"nvme": "", "fast": ""}},
               "storageClass": {"name": "fast", "longhorn": {"replicas": 2, "pinned": pinned}}})
    };
    let free = class(spec(false));
    assert_eq!(free["provisioner"], "driver.longhorn.io");
    assert_eq!(
        free["parameters"],
        json!({"numberOfReplicas": "2", "dataLocality": "disabled", "replicaAutoBalance": "disabled"})
    );
    assert_eq!(class(spec(true))["parameters"]["diskSelector"], "fast,nvme");
}

#[test]
fn classes_of_lvm_and_zfs_have_their_parameters_and_may_grow() {
    let of = |local: Value| class(json!({"rank": 1, "local": local, "storageClass": {"name": "local"}}));
    for (local, provisioner, parameters) in [
        (
            json!({"lvm": {"volumeGroup": "vg", "thin": true, "fsType": "xfs"}}),
            "local.csi.openebs.io",
            json!({"storage": "lvm", "volgroup": "vg", "thinProvision": "yes", "fsType": "xfs"}),
        ),
        (
            json!({"lvm": {"volumeGroup": "vg"}}),
            "local.csi.openebs.io",
            json!({"storage": "lvm", "volgroup": "vg"}),
        ),
        (
            json!({"zfs": {"pool": "tank/k8s", "compression": "zstd", "recordSize": "16k"}}),
            "zfs.csi.openebs.io",
            json!({"poolname": "tank/k8s", "fstype": "zfs", "compression": "zstd", "recordsize": "16k"}),
        ),
    ] {
        let class = of(local);
        assert_eq!(class["provisioner"], provisioner);
        assert_eq!(class["parameters"], parameters);
        assert_eq!(class["volumeBindingMode"], "WaitForFirstConsumer");
        assert_eq!(class["allowVolumeExpansion"], true);
        assert_eq!(class["metadata"].get("annotations"), None);
    }
}

/// A policy with everything in it.
fn policy() -> Value {
    json!({
        "location": "near", "includedNamespaces": ["db"], "excludedNamespaces": ["cache"],
        "labelSelector": {"matchLabels": {"backup": "yes"}}, "labels": {"team": "ops"}, "volumes": "none",
        "volumeRules": [
            {"claimLabels": {"role": "wal"}, "method": "skip", "reason": "archived"},
            {"storageClasses": ["zfs"], "method": "snapshot-move"},
            {"storageClasses": ["folders"], "claimLabels": {"keep": "yes"}, "method": "fs-backup"},
        ],
        "hooks": [{
            "name": "freeze", "namespaces": ["db"], "selector": {"matchLabels": {"app": "db"}},
            "pre": {"container": "db", "command": ["freeze"], "timeout": "30s"}, "post": {"command": ["thaw"], "onError": "Continue"},
        }],
        "schedules": [
            {"name": "day", "schedule": "0 2 * * *"},
            {"name": "far", "schedule": "0 3 * * 0", "ttl": "2160h", "location": "far", "paused": true},
        ],
        "rpo": "24h", "drill": {"schedule": "@weekly"},
    })
}

#[test]
fn a_policy_becomes_one_schedule_for_each_of_its_own_and_one_volume_policy() {
    let made = velero::policy(&resource("BackupPolicy", &policy()));
    let [rules, day, far] = made.as_slice() else {
        panic!("{made:?}")
    };
    assert_eq!(rules["kind"], "ConfigMap");
    assert_eq!(rules["metadata"]["name"], "t-volume-policy");
    assert_eq!(
        rules["data"],
        json!({"policy.yaml": "\
version: v1
volumePolicies:
  - action:
      type: skip
    conditions:
      pvcPhase:
        - Pending
        - Lost
  - action:
      type: skip
    conditions:
      pvcLabels:
        role: wal
  - action:
      type: snapshot
    conditions:
      storageClass:
        - zfs
  - action:
      type: fs-backup
    conditions:
      pvcLabels:
        keep: \"yes\"
      storageClass:
        - folders
  - action:
      type: skip
    conditions: {}
"})
    );
    let template = &day["spec"]["template"];
    assert_eq!(
        template["resourcePolicy"],
        json!({"kind": "configmap", "name": "t-volume-policy"})
    );
    assert_eq!(
        template["metadata"]["labels"],
        json!({"storage.billyronks.io/backup-policy": "t", "team": "ops"})
    );
    assert_eq!(
        (&template["storageLocation"], &template["ttl"]),
        (&json!("near"), &json!("720h"))
    );
    assert_eq!(
        (&template["snapshotMoveData"], &template["snapshotVolumes"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(template["defaultVolumesToFsBackup"], false);
    assert_eq!(
        template["hooks"],
        json!({"resources": [{
            "name": "freeze", "includedNamespaces": ["db"], "labelSelector": {"matchLabels": {"app": "db"}},
            "pre": [{"exec": {"container": "db", "command": ["freeze"], "onError": "Fail", "timeout": "30s"}}],
            "post": [{"exec": {"command": ["thaw"], "onError": "Continue"}}],
        }]})
    );
    let other = &far["spec"]["template"];
    assert_eq!(
        (&other["storageLocation"], &other["ttl"]),
        (&json!("far"), &json!("2160h"))
    );
    assert_eq!(far["spec"]["paused"], true);
    for schedule in [day, far] {
        let text = schedule.to_string();
        assert!(
            !text.contains("skipImmediately") && !text.contains("useOwnerReferences"),
            "{text}"
        );
    }
}

#[test]
fn a_location_says_everything_in_texts_that_the_plugin_knows() {
    let made = velero::location(&resource(
        "BackupLocation",
        &json!({
            "bucket": "b", "prefix": "home", "region": "r", "endpoint": "https://s3", "forcePathStyle": true, "checksumAlgorithm": "",
            "caCert": "-----BEGIN CERTIFICATE-----\n", "serverSideEncryption": "aws:kms", "kmsKeyId": "k",
            "tags": {"cost centre": "7", "by": "velero"}, "credentials": {"name": "s"},
        }),
    ))
    .unwrap();
    assert_eq!(
        made["spec"],
        json!({
            "provider": "aws", "accessMode": "ReadWrite", "credential": {"name": "s", "key": "cloud"},
            "objectStorage": {"bucket": "b", "prefix": "home", "caCert": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="},
            "config": {
                "region": "r", "s3Url": "https://s3", "s3ForcePathStyle": "true", "checksumAlgorithm": "", "serverSideEncryption": "aws:kms",
                "kmsKeyId": "k", "tagging": "by=velero&cost%20centre=7",
            },
        })
    );
    let by_reference =
        json!({"bucket": "b", "caCertRef": {"name": "ca", "key": "ca.crt"}, "credentials": {"name": "s"}});
    let made = velero::location(&resource("BackupLocation", &by_reference)).unwrap();
    assert_eq!(
        made["spec"]["objectStorage"],
        json!({"bucket": "b", "caCertRef": {"name": "ca", "key": "ca.crt"}})
    );
}

#[test]
fn schedules_may_go_only_where_their_policy_says_so() {
    let made = |said: &str| {
        let mut resource = resource("BackupPolicy", &policy());
        let mut value = Value::clone(&resource.value);
        value["metadata"]["annotations"] = json!({"storage.billyronks.io/prune": said});
        resource.value = Arc::new(value);
        let made = velero::policy(&resource).into_iter();
        let schedules = made.filter(|one| one["kind"] == "Schedule");
        schedules
            .map(|one| one["metadata"].get("annotations").cloned())
            .collect::<Vec<_>>()
    };
    let says = Some(json!({"storage.billyronks.io/prune": "enabled"}));
    assert_eq!(made("enabled"), [says.clone(), says]);
    for other in ["", "disabled", "true"] {
        assert_eq!(made(other), [None, None], "{other}");
    }
}
