//! Claims about the server as a `kube` client sees it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod};
use kube::api::{
    Api, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Config, Discovery, Resource};
use serde_json::{Value, json};

use super::{KubernetesSim, On, What};

async fn started() -> (KubernetesSim, Client) {
    let sim = KubernetesSim::start(|| Timestamp::from_second(1_700_000_000).unwrap())
        .await
        .unwrap();
    let client = client_of(&sim).await;
    (sim, client)
}

async fn client_of(sim: &KubernetesSim) -> Client {
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&sim.kubeconfig()).unwrap();
    Client::try_from(
        Config::from_custom_kubeconfig(kubeconfig, &Default::default())
            .await
            .unwrap(),
    )
    .unwrap()
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": value}})).unwrap()
}

fn applied(name: &str, value: &str) -> Patch<Value> {
    Patch::Apply(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}}),
    )
}

fn widget_definition() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.org"},
        "spec": {"group": "example.org", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}]}})
}

#[tokio::test]
async fn an_object_can_be_created_read_listed_patched_and_deleted() {
    let (sim, client) = started().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let made = maps
        .create(&PostParams::default(), &config_map("x", "1"))
        .await
        .unwrap();
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    let change = Patch::Merge(json!({"data": {"a": "2"}}));
    maps.patch("x", &PatchParams::default(), &change).await.unwrap();
    assert_eq!(maps.get("x").await.unwrap().data.unwrap()["a"], "2");
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    maps.delete("x", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("x").await.unwrap().is_none());
    assert_eq!((sim.requests().writes(), sim.requests().reads()), (3, 3));
}

#[tokio::test]
async fn applying_the_same_again_writes_nothing() {
    let (sim, client) = started().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let how = PatchParams::apply("me");
    maps.patch("x", &how, &applied("x", "1")).await.unwrap();
    let before = sim.revision();
    maps.patch("x", &how, &applied("x", "1")).await.unwrap();
    assert_eq!(sim.revision(), before);
    maps.patch("x", &how.clone().dry_run(), &applied("x", "2"))
        .await
        .unwrap();
    assert_eq!(sim.revision(), before, "a dry run keeps nothing");
    assert_eq!(sim.requests().count("apply", "configmaps"), 3);
}

#[tokio::test]
async fn a_watcher_hears_every_change_even_across_cuts_and_compactions() {
    let (sim, client) = started().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    sim.put(serde_json::to_value(config_map("x", "0")).unwrap())
        .unwrap();
    let config = watcher::Config::default();
    let mut heard = std::pin::pin!(watcher(maps.clone(), config).filter_map(|event| async {
        match event.ok()? {
            watcher::Event::Apply(map) | watcher::Event::InitApply(map) => Some(map.data?["a"].clone()),
            _ => None,
        }
    }));
    let mut next = async || {
        tokio::time::timeout(Duration::from_secs(20), heard.next())
            .await
            .unwrap()
            .unwrap()
    };
    assert_eq!(next().await, "0");
    sim.put(serde_json::to_value(config_map("x", "1")).unwrap())
        .unwrap();
    assert_eq!(next().await, "1");
    sim.cut_watches();
    sim.put(serde_json::to_value(config_map("x", "2")).unwrap())
        .unwrap();
    assert_eq!(next().await, "2");
    sim.put(serde_json::to_value(config_map("x", "3")).unwrap())
        .unwrap();
    sim.forget_history();
    sim.cut_watches();
    while next().await != "3" {}
}

#[tokio::test]
async fn a_definition_is_served_as_soon_as_it_is_written() {
    let (sim, client) = started().await;
    sim.put(widget_definition()).unwrap();
    let gvk = GroupVersionKind::gvk("example.org", "v1", "Widget");
    for discovery in [
        Discovery::new(client.clone()).run().await.unwrap(),
        Discovery::new(client.clone()).run_aggregated().await.unwrap(),
    ] {
        let (resource, capabilities) = discovery.resolve_gvk(&gvk).unwrap();
        assert_eq!(resource.plural, "widgets");
        assert!(
            capabilities
                .subresources
                .iter()
                .any(|(sub, _)| sub.plural == "status")
        );
        assert!(
            discovery
                .resolve_gvk(&GroupVersionKind::gvk("storage.k8s.io", "v1", "StorageClass"))
                .is_some()
        );
    }
    let (resource, _) = kube::discovery::pinned_kind(&client, &gvk).await.unwrap();
    let widgets: Api<DynamicObject> = Api::namespaced_with(client, "default", &resource);
    let body = |name: &str, spec: Value| {
        json!({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec,
            "status": {"phase": "Ready"}})
    };
    let created = serde_json::from_value(body("c", json!({"size": 1, "colour": "red"}))).unwrap();
    let made = widgets.create(&PostParams::default(), &created).await.unwrap();
    assert_eq!(
        made.data["spec"],
        json!({"size": 1}),
        "a create prunes unknown fields"
    );
    let strange = Patch::Apply(body("w", json!({"size": 1, "colour": "red"})));
    match widgets.patch("w", &PatchParams::apply("me"), &strange).await {
        Err(kube::Error::Api(status)) => assert!(
            status
                .message
                .ends_with(".spec.colour: field not declared in schema")
        ),
        other => panic!("an apply refuses unknown fields, got {other:?}"),
    }
    let applied = Patch::Apply(body("w", json!({"size": 1})));
    let made = widgets
        .patch("w", &PatchParams::apply("me"), &applied)
        .await
        .unwrap();
    assert!(made.data.get("status").is_none(), "status is a subresource");
    let status = json!({"status": {"phase": "Ready"}, "spec": {"size": 9}});
    let made = widgets
        .patch_status("w", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    assert_eq!(
        (&made.data["status"]["phase"], &made.data["spec"]["size"]),
        (&json!("Ready"), &json!(1))
    );
    assert_eq!(made.metadata.generation, Some(1));
}

#[tokio::test]
async fn an_event_of_the_recorder_is_seen_in_the_core_group() {
    let (sim, client) = started().await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": {}});
    let pod: Pod = serde_json::from_value(sim.put(pod).unwrap()).unwrap();
    let recorder = Recorder::new(
        client.clone(),
        Reporter {
            controller: "me".into(),
            instance: None,
        },
    );
    let event = kube::runtime::events::Event {
        type_: kube::runtime::events::EventType::Normal,
        reason: "Moved".into(),
        note: Some("to the hot tier".into()),
        action: "Move".into(),
        secondary: None,
    };
    recorder.publish(&event, &pod.object_ref(&())).await.unwrap();
    let events: Api<Event> = Api::default_namespaced(client);
    let found = events
        .list(&ListParams::default().fields("involvedObject.name=p"))
        .await
        .unwrap();
    assert_eq!(found.items[0].message.as_deref(), Some("to the hot tier"));
    assert_eq!(found.items[0].reason.as_deref(), Some("Moved"));
}

#[tokio::test]
async fn a_lost_reply_is_a_write_that_happened() {
    let (sim, client) = started().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    sim.faults().order(On::Writes, 1, What::LoseReply);
    assert!(
        maps.create(&PostParams::default(), &config_map("x", "1"))
            .await
            .is_err()
    );
    assert!(sim.get("ConfigMap", Some("default"), "x").is_some());
    sim.faults().order(On::of("create", "configmaps"), 1, What::Drop);
    assert!(
        maps.create(&PostParams::default(), &config_map("y", "1"))
            .await
            .is_err()
    );
    assert!(sim.get("ConfigMap", Some("default"), "y").is_none());
    assert_eq!(sim.faults().left(), 0);
    assert_eq!(
        sim.requests()
            .all()
            .iter()
            .filter(|request| request.code == 0)
            .count(),
        2
    );
}

#[tokio::test]
async fn ordered_refusals_come_in_order_and_write_nothing() {
    let (sim, client) = started().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    sim.faults().order(On::Writes, 1, What::Answer(500));
    sim.faults().order(On::Any, 1, What::Conflict);
    for wanted in [500, 409] {
        match maps.create(&PostParams::default(), &config_map("x", "1")).await {
            Err(kube::Error::Api(status)) => assert_eq!(status.code, wanted),
            other => panic!("expected {wanted}, got {other:?}"),
        }
    }
    maps.create(&PostParams::default(), &config_map("x", "1"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stale_read_shows_the_world_of_some_versions_ago() {
    let (sim, client) = started().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for value in ["1", "2", "3"] {
        sim.put(serde_json::to_value(config_map("x", value)).unwrap())
            .unwrap();
    }
    sim.faults().order(On::Reads, 2, What::Stale(2));
    assert_eq!(maps.get("x").await.unwrap().data.unwrap()["a"], "1");
    assert_eq!(
        maps.list(&ListParams::default()).await.unwrap().items[0]
            .data
            .as_ref()
            .unwrap()["a"],
        "1"
    );
    assert_eq!(maps.get("x").await.unwrap().data.unwrap()["a"], "3");
}

#[tokio::test]
async fn an_object_with_finalizers_stays_until_they_are_gone() {
    let (sim, client) = started().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let mut map = config_map("x", "1");
    map.metadata.finalizers = Some(vec!["example.org/wait".to_owned()]);
    maps.create(&PostParams::default(), &map).await.unwrap();
    let left = maps
        .delete("x", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(left.metadata.deletion_timestamp.is_some());
    let change = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("x", &PatchParams::default(), &change).await.unwrap();
    assert!(sim.get("ConfigMap", Some("default"), "x").is_none());
}

#[tokio::test]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let (sim, client) = started().await;
    let mut map = config_map("x", "1");
    map.metadata.namespace = Some("db".to_owned());
    sim.put(serde_json::to_value(&map).unwrap()).unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete("db", &DeleteParams::default()).await.unwrap();
    assert!(sim.get("ConfigMap", Some("db"), "x").is_none());
    let maps: Api<ConfigMap> = Api::namespaced(client, "db");
    map.metadata.namespace = None;
    match maps.create(&PostParams::default(), &map).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.message, "namespaces \"db\" not found"),
        other => panic!("expected 404, got {other:?}"),
    }
}

#[tokio::test]
async fn a_streaming_list_says_where_the_beginning_ends() {
    let (sim, client) = started().await;
    sim.put(serde_json::to_value(config_map("x", "1")).unwrap())
        .unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let events = watcher(maps, watcher::Config::default().streaming_lists());
    let first: Vec<_> = tokio::time::timeout(Duration::from_secs(20), events.take(3).try_collect())
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(
        first.as_slice(),
        [
            watcher::Event::Init,
            watcher::Event::InitApply(_),
            watcher::Event::InitDone
        ]
    ));
}

#[tokio::test]
async fn a_server_that_is_gone_answers_nobody() {
    let (sim, client) = started().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    maps.list(&ListParams::default()).await.unwrap();
    drop(sim);
    assert!(maps.list(&ListParams::default()).await.is_err());
}

#[tokio::test]
async fn deleting_a_definition_deletes_its_objects_before_the_eyes_of_watchers() {
    let (sim, client) = started().await;
    sim.put(widget_definition()).unwrap();
    let widget =
        json!({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {}});
    sim.put(widget).unwrap();
    let gvk = GroupVersionKind::gvk("example.org", "v1", "Widget");
    let (resource, _) = kube::discovery::pinned_kind(&client, &gvk).await.unwrap();
    let widgets: Api<DynamicObject> = Api::all_with(client, &resource);
    let version = sim.revision().to_string();
    let mut heard = widgets
        .watch(&kube::api::WatchParams::default(), &version)
        .await
        .unwrap()
        .boxed();
    sim.remove("CustomResourceDefinition", None, "widgets.example.org")
        .unwrap();
    assert!(matches!(
        heard.try_next().await.unwrap(),
        Some(kube::api::WatchEvent::Deleted(_))
    ));
    assert!(widgets.list(&ListParams::default()).await.is_err());
    assert!(sim.list("Widget").is_empty());
}

#[tokio::test]
async fn a_watch_says_how_far_it_is_before_it_ends() {
    let (sim, client) = started().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let from = sim.revision().to_string();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}});
    sim.put(namespace).unwrap();
    let how = kube::api::WatchParams::default().timeout(1);
    let heard: Vec<_> = maps
        .watch(&how, &from)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    match heard.as_slice() {
        [kube::api::WatchEvent::Bookmark(mark)] => {
            assert_eq!(mark.metadata.resource_version, sim.revision().to_string());
        }
        other => panic!("one bookmark is wanted, got {other:?}"),
    }
}
