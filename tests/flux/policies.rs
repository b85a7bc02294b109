//! Flux's own kustomize-controller applies `policies/`, as people do who follow a policy repository with Flux too: what it applies is what
//! `couchestor render` says, but for what couchestor makes of it.

use crate::support::flux::{self, NAMESPACE, Ops, applied, kustomization, refused, root};
use crate::support::objects::{get, text};
use crate::support::seal::Sealer;
use crate::support::servers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::model::ids::ObjectId;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What `couchestor render` says of a folder, in clear, by inventory id: objects of the files, without those that are made of them.
fn files_of(folder: &str) -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .args(["render", folder, "--show-secrets", "-o", "json"])
        .current_dir(root())
        .env("SOPS_AGE_KEY_FILE", root().join("policies/demo.agekey"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let objects: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    // Velero's objects, StorageClasses, and volume policies, which are ConfigMaps.
    let made = |one: &Value| {
        ["velero.io/v1", "storage.k8s.io/v1"].contains(&text(one, "/apiVersion"))
            || one
                .pointer("/metadata/labels/storage.billyronks.io~1backup-policy")
                .is_some()
    };
    let of_files = objects.into_iter().filter(|one| !made(one));
    of_files.map(|one| (id(&one).inventory_id(), one)).collect()
}

fn id(object: &Value) -> ObjectId {
    let group = text(object, "/apiVersion")
        .split_once('/')
        .map_or("", |(group, _)| group);
    ObjectId {
        group: group.to_owned(),
        kind: text(object, "/kind").to_owned(),
        namespace: text(object, "/metadata/namespace").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
    }
}

/// Where an object of these files is.
fn path(object: &Value) -> String {
    let (version, namespace) = (text(object, "/apiVersion"), text(object, "/metadata/namespace"));
    let plural = match text(object, "/kind").to_lowercase() {
        kind if kind.ends_with('y') => format!("{}ies", kind.trim_end_matches('y')),
        kind => format!("{kind}s"),
    };
    let within = if namespace.is_empty() {
        String::new()
    } else {
        format!("namespaces/{namespace}/")
    };
    let root = if version.contains('/') { "apis" } else { "api" };
    format!(
        "/{root}/{version}/{within}{plural}/{}",
        text(object, "/metadata/name")
    )
}

/// What of `asked` is not so in `seen`, by path; the server adds defaults, and Flux its labels.
pub(super) fn differences(seen: &Value, asked: &Value, at: &str, found: &mut Vec<String>) {
    match (seen, asked) {
        (Value::Object(seen), Value::Object(asked)) => {
            for (key, asked) in asked {
                let seen = seen.get(key).unwrap_or(&Value::Null);
                differences(seen, asked, &format!("{at}/{key}"), found);
            }
        }
        (Value::Array(seen), Value::Array(asked)) if seen.len() == asked.len() => {
            for (index, (seen, asked)) in seen.iter().zip(asked).enumerate() {
                differences(seen, asked, &format!("{at}/{index}"), found);
            }
        }
        (Value::Number(seen), Value::Number(asked)) if seen.as_f64() == asked.as_f64() => {}
        _ if seen == asked => {}
        _ => found.push(format!("{at}: {seen} and not {asked}")),
    }
}

/// A Secret as the server keeps it.
fn kept(object: &Value) -> Value {
    let mut kept = object.clone();
    if let Some(Value::Object(clear)) = kept.as_object_mut().and_then(|all| all.remove("stringData")) {
        for (key, value) in clear {
            kept["data"][key] = json!(STANDARD.encode(value.as_str().unwrap()));
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flux_applies_of_policies_is_what_render_says() {
    if servers::left_out("what_flux_applies_of_policies_is_what_render_says") {
        return;
    }
    let (flux, ops) = (flux::shared(), Ops::of(&["policies"]));
    let client = flux.admin().await;
    for namespace in ["velero", "monitoring"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        flux.apply(&namespace);
    }
    let key = std::fs::read_to_string(root().join("policies/demo.agekey")).unwrap();
    flux.age_key(NAMESPACE, "policies-age", &key);
    let own = (NAMESPACE, "policies");
    let mut revision = flux.put_out(&client, own, ops.path()).await;
    let follow = |folder: &str| {
        flux.apply(&json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": own.1, "namespace": own.0},
            "spec": {"interval": "1h", "path": format!("./{folder}"), "prune": true, "wait": true, "timeout": "1m",
                "sourceRef": {"kind": "GitRepository", "name": own.1},
                "decryption": {"provider": "sops", "secretRef": {"name": "policies-age"}}}}));
    };
    let mut before: BTreeMap<String, Value> = BTreeMap::new();
    for folder in ["policies/homelab", "policies/second"] {
        follow(folder);
        let seen = applied(&client, own, &revision).await;
        let files = files_of(folder);
        let entries = seen["status"]["inventory"]["entries"].as_array().unwrap();
        let entries: BTreeSet<&str> = entries.iter().map(|entry| text(entry, "/id")).collect();
        assert_eq!(entries, files.keys().map(String::as_str).collect(), "{folder}");
        for (id, asked) in &files {
            let seen = get(&client, &path(asked))
                .await
                .unwrap_or_else(|| panic!("{id} is not there"));
            let mut found = Vec::new();
            // What is made once stays as the first folder made it.
            let once =
                text(asked, "/metadata/annotations/kustomize.toolkit.fluxcd.io~1ssa") == "IfNotPresent";
            let asked = before.get(id).filter(|_| once).unwrap_or(asked);
            differences(&seen, &kept(asked), "", &mut found);
            assert_eq!(found, Vec::<String>::new(), "{folder}: {id}");
            assert_eq!(
                text(&seen, "/metadata/labels/kustomize.toolkit.fluxcd.io~1name"),
                own.1
            );
        }
        for (id, old) in before.iter().filter(|(id, _)| !files.contains_key(*id)) {
            assert_eq!(get(&client, &path(old)).await, None, "{id} left the folder");
        }
        before = files;
    }
    // What couchestor makes of tiers and backups is couchestor's alone.
    let made = [
        "/apis/storage.k8s.io/v1/storageclasses/mayastor",
        "/apis/velero.io/v1/namespaces/velero/schedules/daily-backup",
    ];
    for path in made {
        assert_eq!(get(&client, path).await, None, "{path}");
    }

    // A commit that another key would be needed for: it is said, and what was applied stays.
    let secret = "/api/v1/namespaces/velero/secrets/velero-s3";
    let stands = get(&client, secret).await.unwrap();
    flux.age_key(NAMESPACE, "policies-age", &Sealer::new().key);
    ops.edit(
        "policies/second/dashboards.yaml",
        "Storage of the second cluster",
        "Storage",
    );
    ops.commit("Rename the dashboard");
    revision = flux.put_out(&client, own, ops.path()).await;
    let why = refused(&client, own, "BuildFailed").await;
    assert!(
        why.contains("Secret") && why.contains("cannot get sops data key"),
        "{why}"
    );
    assert_eq!(get(&client, secret).await.unwrap()["data"], stands["data"]);
    let dashboard = "/api/v1/namespaces/monitoring/configmaps/storage-dashboard";
    let dashboard = get(&client, dashboard).await.unwrap();
    assert_eq!(text(&dashboard, "/data/title"), "Storage of the second cluster");
    flux.age_key(NAMESPACE, "policies-age", &key);
    flux.ask(own.0, own.1);
    applied(&client, own, &revision).await;

    // Its Kustomization goes, and what it brought goes with it, but for the password without which no backup could be read.
    let delete = [
        "delete",
        "kustomizations.kustomize.toolkit.fluxcd.io",
        "-n",
        own.0,
        own.1,
    ];
    flux.cluster.kubectl(&delete, "");
    assert_eq!(get(&client, &kustomization(own.0, own.1)).await, None);
    for (id, old) in &before {
        let stays = id == "velero_velero-repo-credentials__Secret";
        assert_eq!(get(&client, &path(old)).await.is_some(), stays, "{id}");
    }
}
