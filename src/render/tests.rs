//! Claims about rendering a class; whole folders are compared in `tests/examples.rs`, proposals in `tests/controller.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::storage_class;
use crate::model::desired::{Origin, Resource};
use crate::model::places::Places;
use serde_json::{Value, json};
use std::sync::Arc;

fn class(spec: Value) -> Value {
    let value = json!({"apiVersion": "storage.billyronks.io/v1", "kind": "StorageTier", "metadata": {"name": "t"}, "spec": spec});
    let origin = Origin {
        path: "t.yaml".into(),
        document: 0,
        line: 1,
        places: Arc::new(Places::default()),
        changed: Vec::new(),
        secret: false,
    };
    storage_class::render(&Resource {
        value: Arc::new(value),
        origin,
    })
    .unwrap()
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
