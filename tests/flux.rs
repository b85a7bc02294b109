//! What Flux delivers: `flux/` and `policies/` against its real kustomize-controller, with the kinds of all that it applies.

use crate::support::flux::{Flux, applied};
use crate::support::objects::{get, send, text, until};
use crate::support::s3::S3;
use crate::support::{servers, velero};
use crate::velero::{Folder, keys};
use couchestor::formats::yaml;
use kube::Client;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const NOW: &str = "2026-01-01T00:00:00Z";

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// Every document of `flux/`, with its file.
fn documents() -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("flux"), &mut found);
    found.sort();
    let mut all = Vec::new();
    for file in found {
        let name = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        for document in yaml::load(&text).unwrap() {
            all.push((name.clone(), document.to_json().unwrap()));
        }
    }
    all
}

#[test]
fn the_layout_is_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for (file, one) in documents() {
        let metadata = &one["metadata"];
        let annotation = text(metadata, "/annotations/kustomize.toolkit.fluxcd.io~1prune");
        assert!(
            !text(&one, "/apiVersion").contains("toolkit.fluxcd.io/v1beta"),
            "{file} is of a beta"
        );
        seen += 1;
        match text(&one, "/kind") {
            "Namespace" => {
                assert_eq!(annotation, "disabled", "{file}");
                assert!(
                    !text(metadata, "/labels/pod-security.kubernetes.io~1enforce").is_empty(),
                    "{file}"
                );
                let folder = format!("flux/apps/{}/namespace.yaml", text(metadata, "/name"));
                assert_eq!(file, folder, "the folder is the namespace");
            }
            "Secret" => {
                assert!(
                    file.ends_with(".sops.yaml") && one.get("sops").is_some(),
                    "{file} is not encrypted"
                );
                assert_eq!(annotation, "disabled", "{file}");
                // Of `stringData` that nobody decrypts, Flux applies the ciphertext and calls it well; `data` it refuses.
                assert!(
                    one.get("data").is_some() && one.get("stringData").is_none(),
                    "{file}"
                );
            }
            "Kustomization" if text(&one, "/apiVersion").starts_with("kustomize.toolkit") => {
                let path = text(&one, "/spec/path").trim_start_matches("./");
                assert!(root.join(path).is_dir(), "{file}: {path} is no folder");
            }
            _ => seen -= 1,
        }
    }
    assert!(seen >= 9, "only {seen} documents were looked at");
}

/// Plays helm-controller: what a HelmRelease says when its chart is installed.
async fn installed(client: &Client, namespace: &str, name: &str) {
    let path = format!("/apis/helm.toolkit.fluxcd.io/v2/namespaces/{namespace}/helmreleases/{name}");
    let release = until(client, &path, "the HelmRelease", |_| true).await;
    assert_eq!(
        text(&release, "/spec/install/strategy/name"),
        "RetryOnFailure",
        "what all releases have in common"
    );
    well(client, &path).await;
}

/// An object says that it is well.
async fn well(client: &Client, path: &str) {
    let there = until(client, path, "an object to be called well", |_| true).await;
    let generation = &there["metadata"]["generation"];
    let ready = json!({"type": "Ready", "status": "True", "reason": "Well", "message": "", "lastTransitionTime": NOW, "observedGeneration": generation});
    let status = json!({"status": {"observedGeneration": generation, "conditions": [ready]}});
    send(client, "PATCH", &format!("{path}/status"), &status)
        .await
        .unwrap();
}

async fn secret(client: &Client, name: &str, key: &str) -> String {
    use base64::Engine;
    let path = format!("/api/v1/namespaces/velero/secrets/{name}");
    let found = get(client, &path)
        .await
        .unwrap_or_else(|| panic!("{path} is not there"));
    let value = found["data"][key].as_str().unwrap_or_default();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(value).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_delivers_all_of_it_and_a_second_round_changes_nothing() {
    if servers::left_out("flux_delivers_all_of_it_and_a_second_round_changes_nothing") {
        return;
    }
    let _one = velero::EXAMPLE.lock().await;
    let (velero, _kubelet) = (velero::shared(), velero::kubelet());
    let client = velero::admin().await;
    let flux = Flux::start();
    let cluster = velero::cluster();

    // What bootstrapping makes, and the entry.
    let repository = json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": {"name": "flux-system", "namespace": "flux-system"}, "spec": {"interval": "1h", "url": "ssh://git@git.example.org/home/ops.git"}});
    cluster.kubectl(&["apply", "-f", "-"], &repository.to_string());
    flux.publish(
        &client,
        "flux-system",
        "flux-system",
        &["flux", "policies", "kubernetes"],
    )
    .await;
    cluster.kubectl(&["apply", "-f", "-"], include_str!("../flux/cluster/ks.yaml"));
    flux.until(&client, "flux-system", "cluster-apps", true, "").await;

    // Velero gets its configuration first, and the charts are waited for.
    flux.until(&client, "velero", "velero-config", true, "").await;
    assert_eq!(
        secret(&client, "velero-repo-credentials", "repository-password").await,
        "not-a-secret-make-your-own"
    );
    installed(&client, "openebs-system", "localpv-provisioner").await;
    flux.until(&client, "openebs-system", "localpv-provisioner", true, "")
        .await;
    installed(&client, "velero", "velero").await;
    flux.until(&client, "velero", "velero", true, "").await;

    // couchestor's own manifests, of its own repository; its pods run as far as a played node can say.
    flux.publish(&client, "couchestor-system", "couchestor", &["kubernetes"])
        .await;
    flux.until(&client, "couchestor-system", "couchestor", true, "")
        .await;

    // couchestor would render these; with a schedule that Velero refuses, the source is not called well.
    let (access, key) = keys(&Folder::of_the_example("http://127.0.0.1:1").rendered());
    let s3 = S3::start(&access, &key, "openebs-backups");
    let mut rendered = Folder::of_the_example(&s3.url()).rendered();
    let schedule = rendered
        .iter_mut()
        .find(|one| one["kind"] == "Schedule")
        .expect("the example has one");
    let good = schedule["spec"]["schedule"].clone();
    schedule["spec"]["schedule"] = json!("61 25 * * *");
    let apply = |rendered: &[Value]| {
        let all = json!({"apiVersion": "v1", "kind": "List", "items": rendered}).to_string();
        cluster.kubectl(
            &[
                "apply",
                "--server-side",
                "--force-conflicts",
                "--field-manager=couchestor",
                "-f",
                "-",
            ],
            &all,
        );
    };
    for namespace in ["database", "monitoring", "network"] {
        cluster.kubectl(
            &["apply", "-f", "-"],
            &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"),
        );
    }
    apply(&rendered);
    well(
        &client,
        "/apis/storage.billyronks.io/v1/namespaces/couchestor-system/policysources/homelab",
    )
    .await;
    let path = velero.path("schedules", "daily-backup");
    until(&client, &path, "Velero refuses the schedule", |one| {
        one["status"]["phase"] == "FailedValidation"
    })
    .await;
    flux.until(
        &client,
        "couchestor-system",
        "couchestor-source",
        false,
        "Schedule/velero/daily-backup",
    )
    .await;
    rendered
        .iter_mut()
        .find(|one| one["kind"] == "Schedule")
        .expect("it is there")["spec"]["schedule"] = good;
    apply(&rendered);
    velero.located(&client, "s3", "Available").await;
    until(&client, &path, "Velero takes the schedule", |one| {
        one["status"]["phase"] == "Enabled"
    })
    .await;
    flux.again(&client, "couchestor-system", "couchestor-source", "mended")
        .await;
    flux.until(&client, "couchestor-system", "couchestor-source", true, "")
        .await;

    // The policies themselves can be applied too: their kinds take them, and their Secret arrives decrypted.
    for folder in ["homelab", "second"] {
        let spec = json!({"interval": "1h", "path": format!("./policies/{folder}"), "prune": false, "decryption": {"provider": "sops"},
            "sourceRef": {"kind": "GitRepository", "name": "flux-system"}});
        let policies = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "policies", "namespace": "flux-system"}, "spec": spec});
        cluster.kubectl(&["apply", "-f", "-"], &policies.to_string());
        flux.until(&client, "flux-system", "policies", true, "").await;
        assert!(
            secret(&client, "velero-s3", "cloud")
                .await
                .contains("aws_secret_access_key=protects-nothing")
        );
    }

    // A second round.
    let all = [
        ("flux-system", "cluster-apps"),
        ("flux-system", "policies"),
        ("velero", "velero-config"),
        ("velero", "velero"),
        ("openebs-system", "localpv-provisioner"),
        ("couchestor-system", "couchestor"),
        ("couchestor-system", "couchestor-source"),
    ];
    let mut looked_at = 0;
    for (namespace, name) in all {
        let before = applied(&client, &flux.until(&client, namespace, name, true, "").await).await;
        flux.again(&client, namespace, name, "second").await;
        let after = applied(&client, &flux.until(&client, namespace, name, true, "").await).await;
        assert_eq!(before, after, "{namespace}/{name}");
        looked_at += after.len();
    }
    assert!(looked_at > 30, "only {looked_at} objects were looked at");
}
