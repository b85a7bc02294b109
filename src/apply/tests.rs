//! Claims about applying, against the simulated API server; `tests/controller.rs` applies to the real one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::{Action, Applied, ApplyMemory, Options, apply};
use crate::canary::Canary;
use crate::io::cluster::Cluster;
use crate::model::desired::Origin;
use crate::model::ids::ObjectId;
use crate::model::kinds::policy_source::Inventory;
use crate::model::places::Places;
use crate::model::rendering::{RenderedObject, Stage};
use crate::sim::kubernetes::KubernetesSim;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn object(value: Value) -> RenderedObject {
    let text = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let api_version = text("/apiVersion");
    let id = ObjectId {
        group: api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
            .to_owned(),
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
    };
    let origin = Origin {
        path: "f.yaml".into(),
        document: 0,
        line: 3,
        places: Arc::new(Places::default()),
        changed: Vec::new(),
        secret: false,
    };
    let stage = if id.kind == "StorageClass" {
        Stage::Classes
    } else {
        Stage::Rest
    };
    RenderedObject {
        stage,
        id,
        api_version,
        secret: false,
        origin,
        made_from: Some("StorageTier t".into()),
        value: std::sync::Arc::new(value),
    }
}

fn map(value: &str) -> RenderedObject {
    object(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default"}, "data": {"k": value}}),
    )
}

fn class(repl: &str) -> RenderedObject {
    object(
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"},
        "provisioner": "io.openebs.csi-mayastor", "parameters": {"repl": repl}}),
    )
}

struct World {
    sim: KubernetesSim,
    cluster: Cluster,
    memory: ApplyMemory,
    inventory: Inventory,
    used: BTreeSet<String>,
}

impl World {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sim = KubernetesSim::start(crate::io::clock::now).await.unwrap();
        sim.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}))
            .unwrap();
        let cluster = Cluster::from_kubeconfig(&sim.kubeconfig()).await.unwrap();
        Self {
            sim,
            cluster,
            memory: ApplyMemory::default(),
            inventory: Inventory::default(),
            used: BTreeSet::new(),
        }
    }

    async fn apply(&mut self, objects: &[RenderedObject]) -> Applied {
        let options = Options {
            prune: true,
            previous: &self.inventory,
            classes_in_use: Some(&self.used),
            full: true,
        };
        let applied = apply(&self.cluster, objects, options, &mut self.memory).await;
        self.inventory = applied.inventory.clone();
        applied
    }

    fn writes(&self) -> u64 {
        self.cluster.requests().writes.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn only_what_differs_is_written_and_what_left_is_removed() {
    let mut world = World::new().await;
    assert_eq!(world.apply(&[map("1"), class("1")]).await.changes(), 2);
    let settled = world.writes();
    assert_eq!(world.apply(&[map("1"), class("1")]).await.changes(), 0);
    assert_eq!(world.writes(), settled, "a comparison writes nothing");
    let changed = world.apply(&[map("2"), class("1")]).await;
    assert_eq!(changed.changes(), 1);
    assert!(
        changed
            .actions
            .contains(&(map("2").id.clone(), Action::Configured)),
        "{:?}",
        changed.actions
    );
    let pruned = world.apply(&[class("1")]).await;
    assert!(
        pruned.actions.contains(&(map("2").id.clone(), Action::Pruned)),
        "{:?}",
        pruned.actions
    );
    assert_eq!(world.inventory.entries.len(), 1);
}

#[tokio::test]
async fn the_secret_of_a_location_stays_as_long_as_the_location() {
    let mut world = World::new().await;
    for crd in crate::sim::world::velero_crds() {
        world.sim.put(crd).unwrap();
    }
    let location = object(
        json!({"apiVersion": "velero.io/v1", "kind": "BackupStorageLocation",
        "metadata": {"name": "s3", "namespace": "default"}, "spec": {"provider": "aws", "credential": {"name": "key", "key": "cloud"}}}),
    );
    let (key, other) = (secret("key", "a", &json!({})), secret("other", "a", &json!({})));
    world.apply(&[location.clone(), key.clone(), other.clone()]).await;
    let left = world.apply(&[map("1")]).await;
    let done = |id: &ObjectId| {
        left.actions
            .iter()
            .find(|(own, _)| own == id)
            .map(|(_, action)| action)
    };
    assert!(matches!(done(&location.id), Some(Action::Kept(_))), "{left:?}");
    assert!(
        matches!(done(&key.id), Some(Action::Kept(why)) if why.contains("BackupStorageLocation s3")),
        "{left:?}"
    );
    assert_eq!(done(&other.id), Some(&Action::Pruned), "{left:?}");
    // Who deletes the location has no need of its Secret any more.
    world.sim.remove("BackupStorageLocation", Some("default"), "s3");
    let gone = world.apply(&[map("1")]).await;
    assert!(
        gone.actions.contains(&(key.id.clone(), Action::Pruned)),
        "{gone:?}"
    );
}

#[tokio::test]
async fn a_class_in_use_is_kept_until_nothing_uses_it() {
    let mut world = World::new().await;
    world.apply(&[class("1")]).await;
    world.used.insert("fast".into());
    let kept = world.apply(&[]).await;
    assert!(
        matches!(&kept.actions[..], [(_, Action::Kept(_))]),
        "{:?}",
        kept.actions
    );
    // Why is told once, and again after it was wanted meanwhile.
    let said = |applied: &Applied| {
        let all = applied.newly_kept.iter();
        all.map(|(id, why)| format!("{id}: {why}")).collect::<Vec<_>>()
    };
    assert_eq!(said(&kept).len(), 1, "{kept:?}");
    assert!(said(&kept)[0].contains("fast: "), "{kept:?}");
    assert_eq!(said(&world.apply(&[]).await), [""; 0]);
    assert_eq!(said(&world.apply(&[class("1")]).await), [""; 0]);
    assert_eq!(said(&world.apply(&[]).await), said(&kept));
    world.used.clear();
    assert_eq!(world.apply(&[]).await.changes(), 1);
}

#[tokio::test]
async fn a_change_that_the_api_refuses_says_what_to_do_and_nothing_is_pruned_meanwhile() {
    let mut world = World::new().await;
    world.apply(&[map("1"), class("1")]).await;
    let refused = world.apply(&[class("2")]).await;
    assert_eq!(refused.failures.len(), 1);
    assert!(
        refused.failures[0]
            .message
            .contains("updates to parameters are forbidden"),
        "{:?}",
        refused.failures
    );
    assert!(
        refused.failures[0].help.contains("StorageTier t a new name"),
        "{:?}",
        refused.failures
    );
    assert_eq!(refused.changes(), 0);
    assert_eq!(
        world.inventory.entries.len(),
        2,
        "both are still there, and known to be ours"
    );
}

#[tokio::test]
async fn a_secret_that_the_api_refuses_is_in_no_failure() {
    let mut world = World::new().await;
    let canary = Canary::new();
    let mut secret = object(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "No_Name", "namespace": "default"},
        "stringData": {"k": canary.secret, "n": canary.number}}),
    );
    secret.secret = true;
    let refused = world.apply(&[secret]).await;
    assert_eq!(refused.failures.len(), 1, "{:?}", refused.actions);
    canary.assert_absent(&format!("{:?} {:?}", refused.failures, refused.actions));
}

fn secret(name: &str, value: &str, annotations: &Value) -> RenderedObject {
    object(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "data": {"repository-password": value}}),
    )
}

#[tokio::test]
async fn the_password_of_the_repositories_is_made_once_and_never_changed() {
    let mut world = World::new().await;
    let password = |value: &str| secret("velero-repo-credentials", value, &json!({}));
    let first = world.apply(&[password("YQ==")]).await;
    assert_eq!((first.changes(), first.failures.len()), (1, 0));
    let again = world.apply(&[password("YQ==")]).await;
    assert_eq!((again.changes(), again.failures.len()), (0, 0));
    let other = world.apply(&[password("Yg==")]).await;
    let [failure] = other.failures.as_slice() else {
        panic!("{other:?}")
    };
    assert!(
        failure.message.contains("cannot be read with another one"),
        "{failure:?}"
    );
    assert_eq!(other.changes(), 0);
}

#[tokio::test]
async fn what_is_made_once_is_left_as_it_is() {
    let mut world = World::new().await;
    let once = json!({"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"});
    let first = world.apply(&[secret("s", "YQ==", &once)]).await;
    assert_eq!(first.changes(), 1);
    let other = world.apply(&[secret("s", "Yg==", &once)]).await;
    assert_eq!((other.changes(), other.failures.len()), (0, 0));
    let free = world.apply(&[secret("s", "Yg==", &json!({}))]).await;
    assert_eq!(free.changes(), 1);
}

fn schedule(paused: bool, annotations: &Value) -> RenderedObject {
    object(
        json!({"apiVersion": "velero.io/v1", "kind": "Schedule", "metadata": {"name": "daily-backup", "namespace": "default", "annotations": annotations},
        "spec": {"schedule": "0 2 * * *", "paused": paused, "template": {"ttl": "720h"}}}),
    )
}

#[tokio::test]
async fn a_schedule_that_leaves_is_paused_and_kept_and_goes_on_when_it_comes_back() {
    let mut world = World::new().await;
    for kind in crate::sim::world::velero_crds() {
        world.sim.put(kind).unwrap();
    }
    let live = |world: &World| world.sim.get("Schedule", Some("default"), "daily-backup");
    let wanted = schedule(false, &json!({}));
    assert_eq!(world.apply(std::slice::from_ref(&wanted)).await.changes(), 1);
    // Velero writes into it too.
    let mut written = live(&world).unwrap();
    written["spec"]["skipImmediately"] = json!(false);
    world.sim.put(written).unwrap();

    let left = world.apply(&[]).await;
    let [(_, why)] = left.newly_kept.as_slice() else {
        panic!("{left:?}")
    };
    assert!(why.starts_with("it is paused"), "{why}");
    assert_eq!((left.changes(), left.failures.len()), (0, 0), "{left:?}");
    let paused = live(&world).unwrap();
    let spec = json!({"schedule": "0 2 * * *", "paused": true, "template": {"ttl": "720h"}, "skipImmediately": false});
    assert_eq!(paused["spec"], spec, "nothing else of it changes");
    assert_eq!(world.inventory.entries.len(), 1, "it is not forgotten");
    // It is told once, and paused again where somebody lets it run.
    let settled = world.writes();
    let again = world.apply(&[]).await;
    assert_eq!((again.newly_kept.len(), world.writes()), (0, settled));
    let mut runs = live(&world).unwrap();
    runs["spec"]["paused"] = json!(false);
    world.sim.put(runs).unwrap();
    world.apply(&[]).await;
    assert_eq!(live(&world).unwrap()["spec"]["paused"], true);

    // As it was applied before, by the same process, whose memory is of no use here.
    let options = Options {
        prune: true,
        previous: &world.inventory,
        classes_in_use: Some(&world.used),
        full: false,
    };
    let back = apply(&world.cluster, &[wanted], options, &mut world.memory).await;
    assert_eq!(back.changes(), 1, "{back:?}");
    assert_eq!(live(&world).unwrap()["spec"]["paused"], false);
    let managed = live(&world).unwrap()["metadata"]["managedFields"].clone();
    let owners = managed.as_array().unwrap().iter();
    let owners = owners.filter(|one| one.pointer("/fieldsV1/f:spec/f:paused").is_some());
    let owners: Vec<&Value> = owners.map(|one| &one["manager"]).collect();
    assert_eq!(owners, ["couchestor"], "{managed:#}");

    let may_go = schedule(false, &json!({"storage.billyronks.io/prune": "enabled"}));
    world.apply(&[may_go]).await;
    assert_eq!(world.apply(&[]).await.changes(), 1);
    assert_eq!(live(&world), None);
}

#[tokio::test]
async fn while_nothing_is_pruned_a_schedule_that_leaves_goes_on() {
    let mut world = World::new().await;
    for kind in crate::sim::world::velero_crds() {
        world.sim.put(kind).unwrap();
    }
    world.apply(&[schedule(false, &json!({}))]).await;
    let options = Options {
        prune: false,
        previous: &world.inventory,
        classes_in_use: Some(&world.used),
        full: true,
    };
    let kept = apply(&world.cluster, &[], options, &mut world.memory).await;
    assert!(matches!(&kept.actions[..], [(_, Action::Kept(_))]), "{kept:?}");
    let live = world
        .sim
        .get("Schedule", Some("default"), "daily-backup")
        .unwrap();
    assert_eq!(live["spec"]["paused"], false);
}
