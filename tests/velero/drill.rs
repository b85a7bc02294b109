//! Coverage and drills of the whole controller, on what the real Velero makes of rendered objects: with the rights of the manifest, on a
//! real API server; nodes and node agents are played.

use crate::support::follow::Follow;
use crate::support::gate::{Asked, Gate};
use crate::support::kubelet::{Copy, Kubelet};
use crate::support::objects::{get, list, send, text, until, until_within};
use crate::support::velero::Velero;
use crate::support::{seed, servers, velero};
use kube::Client;
use serde_json::{Value, json};
use std::time::Duration;

const VELERO: &str = "velero-drills";
const POLICY: &str = "/apis/storage.billyronks.io/v1/namespaces/velero-drills/backuppolicies/real";

const SOURCE: &str = "/apis/storage.billyronks.io/v1/namespaces/couchestor-system/policysources/drills";

/// A drill takes some ten seconds: namespaces end slowly.
const PATIENCE: Duration = Duration::from_secs(240);

/// Each stage of a drill, as it is written into the status of its policy.
fn stages(asked: &Asked) -> Option<String> {
    if !asked.path.ends_with("/backuppolicies/real/status") {
        return None;
    }
    let status = &asked.body["status"];
    let (phase, since) = (
        text(status, "/drill/phase"),
        text(status, "/drill/restoreStartedAt"),
    );
    let restores = if since.is_empty() { "" } else { ", restoring" };
    let ended = !status["drills"].as_array().is_none_or(Vec::is_empty);
    match (phase, ended) {
        ("", true) => Some("its end".to_owned()),
        ("", false) => None,
        (phase, _) => Some(format!("{phase}{restores}")),
    }
}

struct Stage {
    follow: Follow,
    client: Client,
    velero: Velero,
    kubelet: &'static Kubelet,
}

impl Stage {
    /// A workload, a Velero of its own, and a controller that follows a repository with its policy.
    async fn new() -> Self {
        let mut follow = Follow::new().await;
        let velero = velero::alone(VELERO);
        velero.s3.bucket("drilled");
        let kubelet = velero::kubelet();
        let cluster = velero::cluster();
        cluster.kubectl(&["apply", "-f", "-"], include_str!("drill.yaml"));
        kubelet.copy("drilled", "data", Copy::Whole(4096));
        kubelet.copy("drilled", "tables", Copy::Whole(512));
        kubelet.copy("drill-drilled-*", "tables", Copy::Whole(512));
        cluster.kubectl(&["create", "namespace", "couchestor-system"], "");
        rights();
        let policy = include_str!("policy.yaml")
            .replace("VELERO", VELERO)
            .replace("URL", &velero.s3.url());
        // What is pushed to has no work tree.
        follow.git(&["init", "-q", "--bare", "-b", "main", "../bare.git"]);
        follow.commit("p/policy.yaml", &policy, &[]);
        follow.git(&["push", "-q", "../bare.git", "main"]);
        let url = format!("file://{}", follow.folder.path().join("bare.git").display());
        let source = json!({"apiVersion": "storage.billyronks.io/v1", "kind": "PolicySource",
            "metadata": {"name": "drills", "namespace": "couchestor-system"},
            "spec": {"url": url, "path": "p", "interval": "2s", "prune": true}});
        cluster.kubectl(&["apply", "-f", "-"], &source.to_string());
        follow.kubeconfig = Some(cluster.kubeconfig_of_couchestor());
        follow.run().await;
        let client = velero::admin().await;
        let ready = |source: &Value| {
            let mut all = source["status"]["conditions"].as_array().into_iter().flatten();
            all.any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        until(&client, SOURCE, "the repository is applied", ready).await;
        Self {
            client,
            follow,
            velero,
            kubelet,
        }
    }

    async fn policy(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until_within(PATIENCE, &self.client, POLICY, what, holds).await
    }

    /// The rendered Schedule is due at once, because its last backup is made to lie years back; the Backup that Velero then makes.
    async fn fired(&self) -> Value {
        let path = self.velero.path("schedules", "real-day");
        let enabled = |one: &Value| one["status"]["phase"] == "Enabled";
        until(&self.client, &path, "the rendered schedule is Enabled", enabled).await;
        // Velero looks at a schedule once a minute, and at once when something in it changes that is not ours.
        let long_ago = json!({"status": {"lastBackup": "2020-01-01T00:00:00Z"},
            "spec": {"template": {"csiSnapshotTimeout": "11m"}}});
        send(&self.client, "PATCH", &path, &long_ago).await.unwrap();
        let backups = self.velero.path("backups", "");
        let made = |all: &Value| !all["items"].as_array().is_none_or(Vec::is_empty);
        let all = until(&self.client, backups.trim_end_matches('/'), "its backup", made).await;
        let name = text(&all["items"][0], "/metadata/name");
        self.velero.ended(&self.client, "backups", name).await
    }

    /// Backups are looked at once a minute, and when somebody asks.
    async fn look(&self, word: &str) {
        let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": word}}});
        send(&self.client, "PATCH", SOURCE, &patch).await.unwrap();
    }

    async fn ask(&self, word: &str) {
        let patch = json!({"metadata": {"annotations": {"storage.billyronks.io/drill-requested": word}}});
        send(&self.client, "PATCH", POLICY, &patch).await.unwrap();
    }

    /// The drill under way, once Velero has made the pod.
    async fn restoring(&self) -> (String, Value) {
        let restores = |policy: &Value| policy["status"]["drill"]["phase"] == "Restore";
        let policy = self.policy("a drill restores", restores).await;
        let scratch = text(&policy, "/status/drill/scratch").to_owned();
        let pod = format!("/api/v1/namespaces/{scratch}/pods/database.0");
        let pod = until(&self.client, &pod, "the restored pod", |_| true).await;
        (scratch, pod)
    }

    /// The newest record once there are so many, and nothing is left of any drill.
    async fn ended(&self, count: usize) -> Value {
        let over = |policy: &Value| {
            policy["status"]["drills"].as_array().map_or(0, Vec::len) == count
                && policy["status"]["drill"].is_null()
        };
        let policy = self.policy(&format!("drill {count} ends"), over).await;
        let drilled = |one: &&Value| text(one, "/metadata/name").starts_with("drill-");
        for path in [
            "/api/v1/namespaces".to_owned(),
            format!("/api/v1/namespaces/{VELERO}/configmaps"),
            self.velero.path("restores", "").trim_end_matches('/').to_owned(),
        ] {
            let left = list(&self.client, &path).await;
            assert_eq!(left.iter().find(drilled), None, "drill {count} left something");
        }
        policy["status"]["drills"][0].clone()
    }
}

/// What `couchestor manifests` gives the controller, for the user of these tests.
fn rights() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes/couchestor.yaml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    for kind in ["ClusterRole", "Role"] {
        let of_kind = |text: &&str| text.contains(&format!("kind: {kind}\n"));
        let role = manifest.split("\n---\n").find(of_kind).unwrap();
        velero::cluster().kubectl(&["apply", "-f", "-"], role);
    }
    let user = "--user=couchestor";
    let wide = [
        "create",
        "clusterrolebinding",
        "drills",
        "--clusterrole=couchestor",
        user,
    ];
    velero::cluster().kubectl(&wide, "");
    let own = [
        "create",
        "rolebinding",
        "drills",
        "--role=couchestor",
        user,
        "--namespace=couchestor-system",
    ];
    velero::cluster().kubectl(&own, "");
}

fn checks(record: &Value) -> Vec<&str> {
    let all = record["checks"].as_array().into_iter().flatten();
    all.filter_map(|check| check["name"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_the_real_velero_is_judged_restored_by_drills_and_leaves_evidence() {
    if servers::left_out("a_backup_of_the_real_velero_is_judged_restored_by_drills_and_leaves_evidence") {
        return;
    }
    let mut stage = Stage::new().await;
    let path = "/api/v1/namespaces/drilled/pods/database.0";
    until(&stage.client, path, "the workload runs", |pod| {
        text(pod, "/status/phase") == "Running"
    })
    .await;
    stage.velero.located(&stage.client, "real", "Available").await;

    // The Schedule that we render makes Backups by whose labels coverage finds them.
    let backup = stage.fired().await;
    let name = text(&backup, "/metadata/name").to_owned();
    assert_eq!(text(&backup, "/status/phase"), "Completed", "{backup:#?}");
    assert!(name.starts_with("real-day-"), "{name}");
    assert_eq!(
        text(&backup, "/metadata/labels/velero.io~1schedule-name"),
        "real-day"
    );
    stage.look("after the backup").await;
    let found = |policy: &Value| text(policy, "/status/covered/name") == name;
    let policy = stage.policy("the backup is found", found).await;
    let covered = &policy["status"]["covered"];
    assert_eq!(
        (&covered["volumes"], &covered["covered"], &covered["bytes"]),
        (&json!(2), &json!(2), &json!(4096 + 512)),
        "{covered:#}"
    );

    // A drill, held up in its midst, to be looked at; the process is killed at each of its stages.
    stage.kubelet.copy("drill-drilled-*", "data", Copy::Waits);
    stage.follow.halt().await;
    let (user, seed) = (
        velero::cluster().kubeconfig_of_couchestor(),
        seed("kills of a drill"),
    );
    let gate = Gate::before(&user, &stage.follow.running, seed).await;
    gate.strike(Some(stages));
    stage.ask("first").await;
    let (scratch, pod) = stage.restoring().await;
    keeps_still(&pod);
    let claim = "/persistentvolumeclaims/data";
    let original = get(&stage.client, &format!("/api/v1/namespaces/drilled{claim}"))
        .await
        .unwrap();
    let copy = format!("/api/v1/namespaces/{scratch}{claim}");
    let bound = |claim: &Value| text(claim, "/status/phase") == "Bound";
    let copy = until(&stage.client, &copy, "the claim is bound", bound).await;
    assert_ne!(copy["spec"]["volumeName"], original["spec"]["volumeName"]);
    let inside = |kind: &str| format!("/api/v1/namespaces/{scratch}/{kind}");
    assert!(get(&stage.client, &inside("configmaps/settings")).await.is_some());
    assert!(list(&stage.client, &inside("services")).await.is_empty());
    let deployments = format!("/apis/apps/v1/namespaces/{scratch}/deployments");
    assert!(list(&stage.client, &deployments).await.is_empty());
    stage.kubelet.copy("drill-drilled-*", "data", Copy::Whole(4096));
    let record = stage.ended(1).await;
    assert_eq!(record["passed"], true, "{record:#}");
    assert_eq!(record["backup"], name.as_str());
    assert_eq!(
        checks(&record),
        [
            "objects",
            "volume data",
            "volume database.0/cache",
            "volume tables",
            "sentinel data/ok"
        ],
        "{record:#}"
    );
    assert!(record["restoreSeconds"].is_u64(), "{record:#}");
    let id = text(&record, "/id");
    let evidence = format!("couchestor/audit:drills/{VELERO}/real/{id}.json");
    let evidence = stage.follow.git(&["--git-dir=../bare.git", "show", &evidence]);
    let evidence: Value = serde_json::from_str(&evidence).unwrap();
    assert_eq!(
        (&evidence["passed"], &evidence["restoreSeconds"]),
        (&json!(true), &record["restoreSeconds"])
    );
    let audit = ["--git-dir=../bare.git", "log", "--format=%B", "couchestor/audit"];
    let audit = stage.follow.git(&audit);
    assert_eq!(audit.matches(&format!("Drill: {id}")).count(), 1, "{audit}");
    gate.strike(None);
    gate.lives();
    let kills = gate.kills();
    for state in [
        "Pending",
        "Prepare",
        "Restore",
        "restoring",
        "Check",
        "CleanUp",
        "its end",
    ] {
        assert!(
            kills.iter().any(|kill| kill.contains(state)),
            "{state}: {kills:#?}"
        );
    }

    // Velero calls a restore complete that lacks bytes. A drill does not.
    stage.kubelet.copy(
        "drill-drilled-*",
        "data",
        Copy::Short {
            done: 10,
            total: 4096,
        },
    );
    stage.ask("second").await;
    let record = stage.ended(2).await;
    let why = text(&record, "/failure");
    assert!(
        record["passed"] == false && why.contains("volume data: Completed: 10 of 4096 bytes"),
        "{record:#}"
    );

    // Velero is killed in the midst of a drill.
    stage.kubelet.copy("drill-drilled-*", "data", Copy::Waits);
    stage.ask("third").await;
    stage.restoring().await;
    stage.velero.restart();
    let record = stage.ended(3).await;
    let why = text(&record, "/failure");
    assert!(
        record["passed"] == false && why.contains("during the server starting"),
        "{record:#}"
    );

    // The bucket cannot be reached: Velero refuses to restore, the drill says why, its namespace goes. The Restore goes when Velero has
    // the bucket again, and only then the drill is over.
    stage.velero.s3.go();
    stage.velero.located(&stage.client, "real", "Unavailable").await;
    stage.ask("fourth").await;
    let gives_up = |policy: &Value| {
        text(policy, "/status/drill/message").starts_with("waiting for Velero to let Restore")
    };
    let policy = stage.policy("the fourth drill gives up", gives_up).await;
    let drill = &policy["status"]["drill"];
    assert!(
        text(drill, "/failure").contains("The BSL real is unavailable"),
        "{drill:#}"
    );
    let scratch = format!("/api/v1/namespaces/{}", text(drill, "/scratch"));
    assert_eq!(get(&stage.client, &scratch).await, None);
    stage.velero.s3.come_back();
    let record = stage.ended(4).await;
    assert_eq!(record["passed"], false, "{record:#}");

    // A volume comes that no backup holds yet: it is named as that.
    let more = include_str!("shop.yaml")
        .replace("NAMESPACE", "drilled")
        .replace("name: data", "name: more");
    velero::cluster().kubectl(
        &["apply", "-f", "-"],
        &more.replace("claimName: data", "claimName: more"),
    );
    let claim = "/api/v1/namespaces/drilled/persistentvolumeclaims/more";
    let bound = |claim: &Value| text(claim, "/status/phase") == "Bound";
    until(&stage.client, claim, "the new volume is there", bound).await;
    stage.look("after the volume").await;
    let told = |policy: &Value| policy["status"]["newest"]["volumes"] == 3;
    let policy = stage.policy("the volume is missed", told).await;
    let newest = &policy["status"]["newest"];
    assert_eq!(newest["covered"], 2, "{newest:#}");
    let missed = &newest["uncovered"][0];
    assert_eq!(
        (text(missed, "/claim"), text(missed, "/reason")),
        ("more", "YoungerThanBackup")
    );
}

/// What the real Velero made of a pod by the changes that a drill gives it.
fn keeps_still(pod: &Value) {
    let spec = &pod["spec"];
    let containers = spec["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1, "{spec:#}");
    assert_eq!(containers[0]["image"], "docker.io/library/busybox:1.37");
    assert_eq!(containers[0]["command"], json!(["sh", "-c", "sleep 86400"]));
    assert!(
        containers[0]["args"].is_null() && containers[0]["env"].is_null(),
        "{spec:#}"
    );
    assert!(
        spec["hostNetwork"].is_null() && spec["hostPID"].is_null(),
        "{spec:#}"
    );
    assert_eq!(spec["automountServiceAccountToken"], false);
    let first = spec["initContainers"].as_array().unwrap();
    let names: Vec<&str> = first.iter().map(|one| text(one, "/name")).collect();
    assert_eq!(
        names,
        ["restore-wait", "empties", "migrates"],
        "Velero's own comes first, as it was"
    );
    assert_ne!(first[0]["image"], "docker.io/library/busybox:1.37");
    for one in &first[1..] {
        assert_eq!(one["image"], "docker.io/library/busybox:1.37", "{one:#}");
        assert_eq!(one["command"], json!(["sh", "-c", "true"]), "{one:#}");
        assert!(one["args"].is_null(), "{one:#}");
    }
}
