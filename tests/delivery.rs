//! `delivery: commit`: what is rendered is written into Git by pull request, and whoever applies that folder applies it.

use crate::support::canary::Canary;
use crate::support::follow::Follow;
use crate::support::seal::Sealer;
use crate::support::servers;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

/// On forges.
mod forges;

/// What cannot be delivered.
mod refused;

/// What Flux applies of it, and what it takes over.
mod applied;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where manifests go in these tests.
const FOLDER: &str = "clusters/homelab";

const TIERS: &str = "\
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: cold}
spec:
  rank: 10
  poolSelector: {matchLabels: {storage-tier: cold}}
  storageClass: {name: mayastor, mayastor: {replicas: 1, fsType: ext4}}
---
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: hot}
spec:
  rank: 100
  poolSelector: {matchLabels: {storage-tier: hot}}
  storageClass: {name: mayastor-hot, mayastor: {replicas: 1, fsType: ext4}}
";

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dashboard, namespace: monitoring}\ndata: {title: Storage}\n";

/// An encrypted Secret.
fn secret(sealer: &Sealer, canary: &Canary) -> String {
    sealer.secret(&json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "grafana", "namespace": "monitoring"}, "stringData": {"password": canary.secret}}))
}

/// A repository that is followed, with keys for what is encrypted in it.
struct Stage {
    follow: Follow,
    sealer: Sealer,
    canary: Canary,
}

impl Stage {
    /// Everything of the first commit was proposed, merged and delivered.
    async fn merged() -> Self {
        let mut stage = Self::set().await;
        stage.source(json!({}));
        stage.follow.run().await;
        stage.proposed().await;
        stage.merge();
        stage.delivered().await;
        stage
    }

    async fn set() -> Self {
        let stage = Self {
            follow: Follow::new().await,
            sealer: Sealer::new(),
            canary: Canary::new(),
        };
        let remote = stage.remote();
        stage.follow.git(&["init", "-q", "--bare", "-b", "main", &remote]);
        stage.follow.git(&["remote", "add", "origin", &remote]);
        stage.commit("p/tiers.yaml", TIERS);
        stage.commit("p/map.yaml", MAP);
        stage.commit("p/secret.sops.yaml", &secret(&stage.sealer, &stage.canary));
        stage.follow.secret("keys", json!({"k.agekey": stage.sealer.key}));
        stage
    }

    /// The repository that is followed; people have a clone.
    fn remote(&self) -> String {
        self.follow.folder.path().join("remote.git").display().to_string()
    }

    /// Runs git on what is followed.
    fn git(&self, arguments: &[&str]) -> String {
        let remote = format!("--git-dir={}", self.remote());
        self.follow.git(&[&[remote.as_str()], arguments].concat())
    }

    /// A person commits a file to main and pushes it.
    fn commit(&self, path: &str, text: &str) {
        self.follow.commit(path, text, &[]);
        self.follow.git(&["push", "-q", "origin", "main"]);
    }

    fn source(&self, more: Value) {
        let mut spec = json!({"url": format!("file://{}", self.remote()), "decryption": {"secretRef": {"name": "keys"}},
            "delivery": {"mode": "commit", "path": FOLDER}});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        self.follow.source(spec);
    }

    /// Branches of deliveries.
    fn branches(&self) -> Vec<String> {
        let heads = "refs/heads/couchestor/delivery";
        let listed = self.git(&["for-each-ref", "--format=%(refname:short)", heads]);
        listed.lines().map(str::to_owned).collect()
    }

    /// The files of the folder on a branch.
    fn files(&self, branch: &str) -> BTreeMap<String, String> {
        let listed = self.git(&["ls-tree", "-r", "--name-only", branch, "--", FOLDER]);
        let read = |path: &str| {
            let text = self.git(&["show", &format!("{branch}:{path}")]);
            (
                path.trim_start_matches(FOLDER).trim_start_matches('/').to_owned(),
                text,
            )
        };
        listed.lines().map(read).collect()
    }

    /// A person merges the only delivery into a branch.
    fn merge_into(&self, base: &str) {
        let branch = format!("origin/{}", self.branches().remove(0));
        self.follow.git(&["fetch", "-q", "origin"]);
        self.follow.git(&["checkout", "-q", base]);
        self.follow
            .git(&["merge", "-q", "--no-ff", "-m", "Merge", &branch]);
        self.follow.git(&["push", "-q", "origin", base]);
        self.follow.git(&["checkout", "-q", "main"]);
    }

    fn merge(&self) {
        self.merge_into("main");
    }

    async fn proposed(&self) -> String {
        until("the proposal", || !self.branches().is_empty()).await;
        self.branches().remove(0)
    }

    async fn delivered(&self) {
        let tip = self.git(&["rev-parse", "main"]);
        self.follow
            .until("Ready", &["True/ReconciliationSucceeded: delivered", &tip])
            .await;
    }
}

/// Waits until it holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rendered_is_proposed_kept_up_to_date_and_done_when_it_is_merged() {
    let mut stage = Stage::set().await;
    stage.source(json!({}));
    stage.follow.run().await;
    let said = stage
        .follow
        .until("Ready", &["True/DeliveryProposed", "merge couchestor/delivery/"])
        .await;
    assert!(said.contains("Deliver storage manifests: 6 new"), "{said}");
    let branch = stage.proposed().await;
    let files = stage.files(&branch);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "_sealed/p/secret.sops.yaml",
        "kustomization.yaml",
        "monitoring/configmap_dashboard.yaml",
        "storageclass.storage.k8s.io_mayastor-hot.yaml",
        "storageclass.storage.k8s.io_mayastor.yaml",
        "storagetier.storage.billyronks.io_cold.yaml",
        "storagetier.storage.billyronks.io_hot.yaml",
    ];
    assert_eq!(names, expected);
    // What was encrypted lies there as it lies in the policies, and nothing else tells of it.
    assert_eq!(
        stage.git(&[
            "rev-parse",
            &format!("{branch}:{FOLDER}/_sealed/p/secret.sops.yaml")
        ]),
        stage.git(&["rev-parse", "main:p/secret.sops.yaml"])
    );
    let log = stage.git(&["log", "--format=%B", &branch]);
    let status = stage.follow.status();
    for text in files.values().chain([&log, &status.to_string()]) {
        stage.canary.assert_absent(text);
    }
    // Nothing of it is applied.
    let kubernetes = &stage.follow.running.kubernetes;
    for kind in ["StorageClass", "StorageTier", "ConfigMap"] {
        let all = kubernetes.list(kind);
        let ours = |one: &&Value| {
            ["mayastor-hot", "hot", "dashboard"]
                .iter()
                .any(|name| one["metadata"]["name"] == *name)
        };
        assert_eq!(all.iter().find(ours), None, "{kind}");
    }
    assert_eq!(stage.follow.status()["lastAppliedRevision"], Value::Null);
    assert_eq!(stage.follow.status()["inventory"], Value::Null);

    // Something else is rendered: the same branch, made anew.
    stage.commit("p/map.yaml", &MAP.replace("Storage", "Disks"));
    let changed = || stage.files(&branch)["monitoring/configmap_dashboard.yaml"].contains("Disks");
    until("the proposal is kept up to date", changed).await;
    assert_eq!(stage.branches(), [branch.as_str()]);
    // Something else is committed that is not rendered: nothing is done.
    let commit = stage.git(&["rev-parse", &branch]);
    stage.commit("README.md", "words\n");
    stage.follow.turns(3).await;
    assert_eq!(stage.git(&["rev-parse", &branch]), commit);

    stage.merge();
    stage.delivered().await;
    until("the branch is gone", || stage.branches().is_empty()).await;
    let status = stage.follow.status();
    assert_eq!(status["delivery"]["revision"], status["lastAppliedRevision"]);
    assert_eq!(
        status["delivery"]["inventory"]["entries"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
    let commits = stage.git(&["rev-list", "--all", "--count"]);
    stage.follow.turns(3).await;
    assert_eq!(stage.git(&["rev-list", "--all", "--count"]), commits);
    assert_eq!(stage.branches(), [""; 0]);
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_git_leaves_the_folder_but_for_what_is_used_and_what_is_others() {
    let mut stage = Stage::merged().await;
    // Of somebody else's, beside ours.
    stage.commit(&format!("{FOLDER}/monitoring/theirs.yaml"), MAP);
    // Volumes are of class mayastor, and none is of mayastor-hot.
    let no_classes: String = TIERS
        .lines()
        .filter(|line| !line.contains("storageClass"))
        .fold(String::new(), |text, line| text + line + "\n");
    stage.commit("p/tiers.yaml", &no_classes);
    stage
        .follow
        .git(&["rm", "-q", "p/map.yaml", "p/secret.sops.yaml"]);
    stage.follow.git(&["commit", "-q", "-m", "Without"]);
    stage.follow.git(&["push", "-q", "origin", "main"]);
    stage
        .follow
        .until("Ready", &["DeliveryProposed", "3 removed"])
        .await;
    stage.merge();
    stage.delivered().await;
    let files = stage.files("main");
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "kustomization.yaml",
        "monitoring/theirs.yaml",
        "storageclass.storage.k8s.io_mayastor.yaml",
        "storagetier.storage.billyronks.io_cold.yaml",
        "storagetier.storage.billyronks.io_hot.yaml",
    ];
    assert_eq!(names, expected);
    let list = &files["kustomization.yaml"];
    assert!(
        list.contains("- storageclass.storage.k8s.io_mayastor.yaml") && !list.contains("theirs"),
        "{list}"
    );
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_branch_is_never_written_to_and_a_no_is_remembered() {
    let mut stage = Stage::set().await;
    stage.source(json!({}));
    stage.follow.run().await;
    let branch = stage.proposed().await;
    let state = |state: &str| {
        let status = stage.follow.status();
        let all = status["delivery"]["proposals"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        all.iter().any(|one| one["state"] == state)
    };
    until("it is recorded", || state("Open")).await;
    let theirs = commit_on(&stage.follow, &branch, "notes.md");
    until("it is known to be theirs", || state("Edited")).await;
    stage.commit("p/map.yaml", &MAP.replace("Storage", "Disks"));
    stage.follow.turns(3).await;
    assert_eq!(stage.git(&["rev-parse", &branch]), theirs);
    assert_eq!(stage.branches(), [branch.as_str()]);

    // They throw it away: that is a no to what it was made for, and to nothing else.
    stage.commit("p/map.yaml", MAP);
    stage.follow.turns(2).await;
    stage.git(&["branch", "-q", "-D", &branch]);
    let said = stage.follow.until("Ready", &["True/DeliveryDeclined"]).await;
    stage.canary.assert_absent(&said);
    stage.follow.turns(3).await;
    assert_eq!(stage.branches(), [""; 0]);
    stage.commit("p/map.yaml", &MAP.replace("Storage", "Volumes"));
    until("it is asked again", || !stage.branches().is_empty()).await;
    assert_ne!(stage.branches(), [branch.as_str()]);
    stage.follow.halt().await;
}

/// A person adds a file to a branch; gives the commit.
fn commit_on(follow: &Follow, branch: &str, file: &str) -> String {
    follow.git(&["fetch", "-q", "origin"]);
    follow.git(&["checkout", "-q", "-B", "theirs", &format!("origin/{branch}")]);
    let commit = follow.commit(file, "by hand\n", &[]);
    follow.git(&["push", "-q", "origin", &format!("theirs:{branch}")]);
    follow.git(&["checkout", "-q", "main"]);
    commit
}

#[tokio::test(flavor = "multi_thread")]
async fn another_branch_may_take_the_manifests() {
    let mut stage = Stage::set().await;
    // The whole repository is read, and nothing of the other branch.
    stage.source(json!({"path": "", "delivery": {"mode": "commit", "path": "rendered", "branch": "deploy"}}));
    stage.follow.run().await;
    stage
        .follow
        .until("Ready", &["False/BranchNotFound", "there is no branch deploy"])
        .await;
    stage.git(&["branch", "deploy", "main~2"]);
    stage.follow.git(&["fetch", "-q", "origin", "deploy:deploy"]);
    let branch = stage.proposed().await;
    assert_eq!(
        stage.git(&["merge-base", &branch, "deploy"]),
        stage.git(&["rev-parse", "deploy"])
    );
    // The branch is another one while a person has not answered: what was asked for is taken back, and asked for there.
    stage.git(&["branch", "other", "main~1"]);
    stage.follow.git(&["fetch", "-q", "origin", "other:other"]);
    stage.source(json!({"path": "", "delivery": {"mode": "commit", "path": "rendered", "branch": "other"}}));
    let based_on = |base: &str| {
        let branches = stage.branches();
        let tip = stage.git(&["rev-parse", base]);
        branches.len() == 1 && stage.git(&["merge-base", &branches[0], base]) == tip
    };
    until("it is asked for there", || based_on("other")).await;
    stage.merge_into("other");
    stage.delivered().await;
    until("nothing is asked for", || stage.branches().is_empty()).await;
    assert_eq!(
        stage.git(&["ls-tree", "-r", "--name-only", "deploy", "rendered"]),
        ""
    );
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kustomize_builds_the_folder_as_render_says_it() {
    if servers::left_out("kustomize_builds_the_folder_as_render_says_it") {
        return;
    }
    let mut stage = Stage::merged().await;
    let repository = stage.follow.folder.path().join("repository");
    let built = Command::new(servers::kustomize())
        .current_dir(&repository)
        .args(["build", FOLDER])
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let mut built: BTreeMap<String, Value> =
        couchestor::formats::yaml::load(&String::from_utf8(built.stdout).unwrap())
            .unwrap()
            .iter()
            .map(|one| one.to_json().unwrap())
            .map(|one| (format!("{} {}", one["kind"], one["metadata"]["name"]), one))
            .collect();
    // The one that is encrypted is opened by Flux.
    let sealed = built.len();
    built.retain(|_, one| one.get("sops").is_none());
    assert_eq!(built.len() + 1, sealed);
    let rendered = Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .current_dir(&repository)
        .args(["render", "p", "-o", "json"])
        .env("SOPS_AGE_KEY", &stage.sealer.key)
        .output()
        .unwrap();
    let rendered: Vec<Value> = serde_json::from_slice(&rendered.stdout).unwrap();
    for one in rendered.iter().filter(|one| one["kind"] != "Secret") {
        let name = format!("{} {}", one["kind"], one["metadata"]["name"]);
        assert_eq!(built.remove(&name).as_ref(), Some(one), "{name}");
    }
    assert_eq!(built, BTreeMap::new());
    stage.follow.halt().await;
}
