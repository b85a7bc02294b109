//! Flux's real kustomize-controller applies what was merged, and takes over what couchestor has applied before: nothing is removed or
//! made anew on the way there and back.

use super::{FOLDER, MAP, Stage};
use crate::support::flux::{Flux, NAMESPACE, applied, root};
use crate::support::objects::{get, send, text, until};
use crate::support::servers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

const SOURCE: &str = "/apis/storage.billyronks.io/v1/namespaces/couchestor-system/policysources/homelab";
const DASHBOARD: &str = "/api/v1/namespaces/monitoring/configmaps/dashboard";
const GRAFANA: &str = "/api/v1/namespaces/monitoring/secrets/grafana";

/// Everything that is rendered, by where it is.
const OBJECTS: [&str; 6] = [
    DASHBOARD,
    GRAFANA,
    "/apis/storage.k8s.io/v1/storageclasses/mayastor",
    "/apis/storage.k8s.io/v1/storageclasses/mayastor-hot",
    "/apis/storage.billyronks.io/v1/storagetiers/cold",
    "/apis/storage.billyronks.io/v1/storagetiers/hot",
];

struct Handover {
    stage: Stage,
    flux: Flux,
    client: Client,
}

impl Handover {
    async fn set() -> Self {
        let flux = Flux::start();
        flux.define(&[&root().join("kubernetes/crds.yaml")]);
        let client = flux.admin().await;
        let mut stage = Stage::set().await;
        for namespace in ["couchestor-system", "monitoring"] {
            flux.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
        }
        for namespace in ["couchestor-system", NAMESPACE] {
            flux.age_key(namespace, "keys", &stage.sealer.key);
        }
        let spec = json!({"url": format!("file://{}", stage.remote()), "path": "p", "interval": "1s", "prune": true,
            "decryption": {"secretRef": {"name": "keys"}}});
        flux.apply(
            &json!({"apiVersion": "storage.billyronks.io/v1", "kind": "PolicySource",
            "metadata": {"name": "homelab", "namespace": "couchestor-system"}, "spec": spec}),
        );
        stage.follow.kubeconfig = Some(flux.cluster.kubeconfig());
        stage.follow.run().await;
        Self { stage, flux, client }
    }

    async fn deliver(&self, delivery: Value) {
        let patch = json!({"spec": {"delivery": delivery}});
        send(&self.client, "PATCH", SOURCE, &patch).await.unwrap();
    }

    async fn ready(&self, words: &[&str]) -> Value {
        let said = |source: &Value| {
            let conditions = source.pointer("/status/conditions").and_then(Value::as_array);
            let ready = conditions
                .into_iter()
                .flatten()
                .find(|one| one["type"] == "Ready");
            let ready = ready.map(ToString::to_string).unwrap_or_default();
            words.iter().all(|word| ready.contains(word))
        };
        until(&self.client, SOURCE, &format!("Ready says {words:?}"), said).await
    }

    async fn tip(&self) -> String {
        self.stage.git(&["rev-parse", "main"])
    }

    /// What source-controller and Flux do with the tip.
    async fn reconciled(&self) {
        let of = PathBuf::from(self.stage.remote());
        let own = (NAMESPACE, "storage");
        let revision = self.flux.put_out(&self.client, own, &of).await;
        self.flux.apply(
            &json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "storage", "namespace": NAMESPACE},
            "spec": {"interval": "1h", "path": format!("./{FOLDER}"), "prune": true, "wait": false,
                "sourceRef": {"kind": "GitRepository", "name": "storage"},
                "decryption": {"provider": "sops", "secretRef": {"name": "keys"}}}}),
        );
        applied(&self.client, own, &revision).await;
    }

    /// The objects that are there, with what nobody may change on the way.
    async fn objects(&self) -> BTreeMap<&'static str, Value> {
        let mut found = BTreeMap::new();
        for path in OBJECTS {
            if let Some(one) = get(&self.client, path).await {
                let kept = ["spec", "data", "parameters", "provisioner"].map(|key| one[key].clone());
                found.insert(path, json!([one["metadata"]["uid"], kept]));
            }
        }
        found
    }
}

fn managers(object: &Value) -> Vec<&str> {
    let all = object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten();
    let of_spec = all.filter(|one| one["operation"] == "Apply");
    of_spec.map(|one| text(one, "/manager")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_takes_over_what_couchestor_applied_and_nothing_is_lost_there_and_back() {
    if servers::left_out("flux_takes_over_what_couchestor_applied_and_nothing_is_lost_there_and_back") {
        return;
    }
    let mut handover = Handover::set().await;
    let client = handover.client.clone();
    handover.ready(&["ReconciliationSucceeded", "applied"]).await;
    let before = handover.objects().await;
    assert_eq!(before.len(), OBJECTS.len());

    // From here on couchestor only proposes; all stays as it is, and is still couchestor's.
    handover.deliver(json!({"mode": "commit", "path": FOLDER})).await;
    handover.ready(&["DeliveryProposed"]).await;
    handover.stage.merge();
    let tip = handover.tip().await;
    let source = handover.ready(&["delivered", &tip]).await;
    assert_eq!(
        source["status"]["inventory"]["entries"].as_array().unwrap().len(),
        OBJECTS.len()
    );
    assert_eq!(handover.objects().await, before);

    // Flux applies the folder: then nothing of it is couchestor's any more.
    handover.reconciled().await;
    let secret = get(&client, GRAFANA).await.unwrap();
    let clear = STANDARD.decode(text(&secret, "/data/password")).unwrap();
    assert_eq!(String::from_utf8(clear).unwrap(), handover.stage.canary.secret);
    let now = format!("reconcile.fluxcd.io/requestedAt={}", couchestor::io::clock::now());
    let annotate = [
        "annotate",
        "policysources.storage.billyronks.io",
        "homelab",
        "-n",
        "couchestor-system",
        &now,
    ];
    handover.flux.cluster.kubectl(&annotate, "");
    let handed = |source: &Value| source["status"]["inventory"]["entries"] == json!([]);
    until(&client, SOURCE, "all is handed over", handed).await;
    assert_eq!(handover.objects().await, before);
    for path in OBJECTS {
        let one = get(&client, path).await.unwrap();
        assert_eq!(managers(&one), ["kustomize-controller"], "{path}");
    }
    // What couchestor knows of its kinds it writes there as ever.
    let tier = "/apis/storage.billyronks.io/v1/storagetiers/cold";
    until(&client, tier, "the tier's status", |one| {
        !one["status"]["conditions"].is_null()
    })
    .await;

    // What leaves Git leaves the folder, and Flux removes it.
    handover.stage.follow.git(&["rm", "-q", "p/map.yaml"]);
    handover.stage.follow.git(&["commit", "-q", "-m", "Without"]);
    handover.stage.follow.git(&["push", "-q", "origin", "main"]);
    handover.ready(&["DeliveryProposed", "1 removed"]).await;
    handover.stage.merge();
    let tip = handover.tip().await;
    handover.ready(&["delivered", &tip]).await;
    assert!(
        get(&client, DASHBOARD).await.is_some(),
        "couchestor removes nothing"
    );
    handover.reconciled().await;
    assert_eq!(get(&client, DASHBOARD).await, None);

    // Back again: couchestor applies, and removes nothing that Flux applies.
    let before = handover.objects().await;
    handover.deliver(json!({"mode": "apply"})).await;
    handover.ready(&["applied", &tip]).await;
    assert_eq!(handover.objects().await, before);
    handover.stage.follow.git(&["rm", "-q", "p/secret.sops.yaml"]);
    handover.stage.commit("p/map.yaml", MAP);
    let tip = handover.tip().await;
    handover.ready(&["applied", &tip]).await;
    assert!(get(&client, DASHBOARD).await.is_some());
    assert!(
        get(&client, GRAFANA).await.is_some(),
        "Flux applies it still, so Flux removes it"
    );
    handover.stage.follow.halt().await;
}
