//! What is not delivered: then nothing is, it is said what and why, and no word of what was encrypted is told or written.

use super::{FOLDER, MAP, PATIENCE, Stage, until};
use serde_json::{Value, json};

/// A Secret in plain text.
const PLAIN: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: plain, namespace: monitoring}\nstringData: {a: b}\n";

/// Files of a commit, and what is said of it.
type Situation = (&'static str, Vec<(String, String)>, &'static str);

fn situations(stage: &Stage) -> Vec<Situation> {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let canary = &stage.canary;
    let tier = json!({"apiVersion": "storage.billyronks.io/v1", "kind": "StorageTier", "metadata": {"name": "secret"},
        "spec": {"rank": 5, "costPerGiBMonth": canary.number, "poolSelector": {"matchLabels": {"storage-tier": "secret"}},
            "storageClass": {"name": "secret", "mayastor": {"replicas": 1, "fsType": "ext4"}}}});
    let password = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "velero-repo-credentials", "namespace": "velero"},
        "stringData": {"repository-password": canary.secret}});
    let once = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "velero-repo-credentials", "namespace": "velero",
            "annotations": {"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}},
        "stringData": {"repository-password": canary.secret}});
    let named = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": canary.word, "namespace": "monitoring"}, "stringData": {"a": canary.secret}});
    let overlay = |more: &str| format!("resources: [tiers.yaml, map.yaml, secret.sops.yaml]\n{more}");
    vec![
        (
            "a Secret in plain text",
            vec![file("p/plain.yaml", PLAIN)],
            "p/plain.yaml:1:1: it is a Secret in plain text",
        ),
        (
            "a class of an encrypted tier",
            vec![file("p/tier.sops.yaml", &stage.sealer.yaml(&tier.to_string()))],
            "it is made from a file that was encrypted",
        ),
        (
            "an overlay that changes what was encrypted",
            vec![file(
                "p/kustomization.yaml",
                &overlay("labels: [{pairs: {team: storage}}]\n"),
            )],
            "changes what was encrypted",
        ),
        (
            "a name that is encrypted",
            vec![file("p/named.sops.yaml", &stage.sealer.yaml(&named.to_string()))],
            "its kind or metadata is encrypted too",
        ),
        (
            "a patch of what was encrypted",
            vec![file(
                "p/kustomization.yaml",
                &overlay(
                    "patches: [{target: {kind: Secret}, patch: '[{op: add, path: /stringData/b, value: c}]'}]\n",
                ),
            )],
            "changes what was encrypted",
        ),
        (
            "a password that Flux would remove with its file",
            vec![file("p/password.sops.yaml", &stage.sealer.secret(&once))],
            "kustomize.toolkit.fluxcd.io/prune: disabled",
        ),
        (
            "a password that Flux would change with its file",
            vec![file("p/password.sops.yaml", &stage.sealer.secret(&password))],
            "kustomize.toolkit.fluxcd.io/ssa: IfNotPresent",
        ),
        (
            "a namespace that Flux would remove with its file",
            vec![file(
                "p/namespace.sops.yaml",
                &stage
                    .sealer
                    .secret(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kept"}})),
            )],
            "p/namespace.sops.yaml:1:1: data may lie behind it",
        ),
        (
            "a class that Flux would remove with its file",
            vec![file(
                "p/class.sops.yaml",
                &stage
                    .sealer
                    .secret(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
                    "metadata": {"name": "kept"}, "provisioner": "example.org/disk"})),
            )],
            "p/class.sops.yaml:1:1: data may lie behind it, or volumes be of it",
        ),
        (
            "a folder that is somebody else's",
            vec![file(
                &format!("{FOLDER}/kustomization.yaml"),
                "resources: [a.yaml]\n",
            )],
            "clusters/homelab/kustomization.yaml was not written for PolicySource couchestor-system/homelab",
        ),
        (
            "a folder with a kustomization by another name",
            vec![file(&format!("{FOLDER}/Kustomization"), "resources: [a.yaml]\n")],
            "clusters/homelab/Kustomization was not written for PolicySource",
        ),
        (
            "a file that is somebody else's",
            vec![file(
                &format!("{FOLDER}/monitoring/configmap_dashboard.yaml"),
                MAP,
            )],
            "monitoring/configmap_dashboard.yaml in clusters/homelab is not couchestor's",
        ),
        (
            "a file where a folder should be",
            vec![file(&format!("{FOLDER}/monitoring"), "words\n")],
            "monitoring in clusters/homelab is not couchestor's",
        ),
        (
            "no folder",
            vec![file("clusters", "words\n")],
            "clusters is no folder",
        ),
        (
            "manifests that are read again",
            vec![
                file(
                    "p/kustomization.yaml",
                    &format!("resources: [tiers.yaml, ../{FOLDER}/a.yaml]\n"),
                ),
                file(&format!("{FOLDER}/a.yaml"), MAP),
            ],
            "it lies in the folder that manifests are delivered to",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_tell_a_secret_or_take_a_file_is_refused_whole() {
    let mut stage = Stage::set().await;
    stage.source(json!({}));
    for (index, (what, files, words)) in situations(&stage).into_iter().enumerate() {
        for (path, text) in &files {
            stage.follow.commit(path, text, &[]);
        }
        stage.follow.git(&["push", "-q", "origin", "main"]);
        if index == 0 {
            stage.follow.run().await;
        }
        // What is said is said of this commit, and not of the one before it.
        let tip = stage.follow.git(&["rev-parse", "main"]);
        let attempted = async || {
            let status = stage.follow.status();
            let revision = status["lastAttemptedRevision"].as_str()?;
            revision.ends_with(&tip).then_some(())
        };
        stage.follow.found(what, PATIENCE, attempted).await;
        let said = stage
            .follow
            .until("Ready", &["False/DeliveryRefused", words])
            .await;
        assert!(said.contains("nothing is delivered"), "{what}: {said}");
        let status = stage.follow.status();
        stage.canary.assert_absent(&status.to_string());
        assert_eq!(status["lastAppliedRevision"], Value::Null, "{what}");
        assert_eq!(stage.branches(), [""; 0], "{what}");
        // The next situation comes in the same push as the end of this one.
        for (path, _) in &files {
            stage.follow.git(&["rm", "-q", path]);
        }
        stage.follow.git(&["commit", "-q", "-m", "Back"]);
    }
    stage.follow.git(&["push", "-q", "origin", "main"]);
    stage.proposed().await;
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_out_of_a_secret_is_written_nowhere() {
    let mut stage = Stage::set().await;
    stage
        .follow
        .secret("variables", json!({"TITLE": stage.canary.word}));
    stage.commit("p/map.yaml", &MAP.replace("title: Storage", "title: '${TITLE}'"));
    stage.source(json!({"postBuild": {"substituteFrom": [{"kind": "Secret", "name": "variables"}]}}));
    stage.follow.run().await;
    let said = stage
        .follow
        .until("Ready", &["False/DeliveryRefused", "p/map.yaml:1:1"])
        .await;
    stage.canary.assert_absent(&said);
    assert_eq!(stage.branches(), [""; 0]);
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_stays_while_the_next_cannot_be() {
    let mut stage = Stage::merged().await;
    let before = stage.files("main");
    stage.commit("p/plain.yaml", PLAIN);
    stage.follow.until("Ready", &["False/DeliveryRefused"]).await;
    assert_eq!((stage.files("main"), stage.branches()), (before, Vec::new()));
    stage.follow.git(&["rm", "-q", "p/plain.yaml"]);
    stage.follow.git(&["commit", "-q", "-m", "Back"]);
    stage.follow.git(&["push", "-q", "origin", "main"]);
    stage.delivered().await;
    until("nothing is proposed", || stage.branches().is_empty()).await;
    stage.follow.halt().await;
}
