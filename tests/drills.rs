//! Restore drills of the whole controller, against the simulated API server with a Velero that is played: what it would write after it
//! has restored is written by the test. What the real one does stands in `velero`.

use crate::support::follow::Follow;
use crate::support::velero_played::kinds;
use couchestor::sim::kubernetes::KubernetesSim;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

/// What fails on the way.
mod faults;

/// A drill takes a second or two; a busy machine may need more.
const PATIENCE: Duration = Duration::from_secs(180);

const POLICY: &str = r"
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: s3, namespace: velero}
spec:
  bucket: backups
  region: garage
  endpoint: https://s3.example.org
  forcePathStyle: true
  credentials: {name: velero-s3}
  default: true
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: daily, namespace: velero}
spec:
  location: s3
  includedNamespaces: [database]
  schedules:
    - {name: backup, schedule: 0 2 * * *, ttl: 720h}
  rpo: 26h
  rto: RTO
  drill:
    schedule: 0 5 * * 0
    evidenceAge: 200h
    timeout: TIMEOUT
    sentinels:
      - {namespace: database, claim: data, path: ok}
";

/// How the played Velero and kubelet behave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plays {
    /// Everything comes back.
    Well,
    /// The Restore fails, as one does that was running when Velero was restarted.
    RestartsMidway,
    /// It never ends, as while the bucket cannot be reached.
    NeverEnds,
    /// Neither does it, and there is time.
    Stays,
    /// A byte is missing.
    LosesAByte,
    /// The file is not there.
    LosesTheSentinel,
}

/// Does what Velero and the kubelet would do now.
fn play(sim: &KubernetesSim, plays: Plays) {
    for restore in sim.list("Restore") {
        if restore["status"]["phase"].is_null() {
            carry_out(sim, restore, plays);
        }
    }
    for mut job in sim.list("Job") {
        let image = &job["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(
            image, "docker.io/library/busybox:1.37",
            "what Git says is run, and nothing else"
        );
        if job["status"]["conditions"].is_null() {
            let (kind, reason) = match plays {
                Plays::LosesTheSentinel => ("Failed", "BackoffLimitExceeded"),
                _ => ("Complete", ""),
            };
            job["status"] = json!({"conditions": [{"type": kind, "status": "True", "reason": reason, "message": "seen"}]});
            sim.put(job).unwrap();
        }
    }
}

fn carry_out(sim: &KubernetesSim, mut restore: Value, plays: Plays) {
    let name = restore["metadata"]["name"].clone();
    let ends = |phase: &str| {
        json!({"phase": phase, "completionTimestamp": couchestor::io::clock::now().to_string(),
            "progress": {"itemsRestored": 4, "totalItems": 4}})
    };
    restore["status"] = match plays {
        Plays::NeverEnds | Plays::Stays => {
            json!({"phase": "InProgress", "progress": {"itemsRestored": 1, "totalItems": 4}})
        }
        Plays::RestartsMidway => {
            let mut status = ends("Failed");
            status["failureReason"] =
                json!("found a restore with status \"InProgress\" during the server starting");
            status
        }
        _ => ends("Completed"),
    };
    let done = if plays == Plays::LosesAByte { 41 } else { 42 };
    if !matches!(plays, Plays::NeverEnds | Plays::Stays) {
        let scratch = restore["spec"]["namespaceMapping"]["database"].clone();
        sim.put(json!({"apiVersion": "velero.io/v1", "kind": "PodVolumeRestore",
            "metadata": {"name": format!("{}-1", name.as_str().unwrap()), "namespace": "velero", "labels": {"velero.io/restore-name": name}},
            "spec": {"pod": {"namespace": scratch, "name": "postgres-0"}, "volume": "data"},
            "status": {"phase": "Completed", "progress": {"bytesDone": done, "totalBytes": done}}}))
            .unwrap();
    }
    sim.put(restore).unwrap();
}

/// Commits the policies, and pushes them.
fn publish(follow: &Follow, policies: &str) {
    follow.commit("p/policies.yaml", policies, &[]);
    follow.git(&["push", "-q", "../bare.git", "main"]);
}

struct Stage {
    follow: Follow,
    plays: Plays,
}

const BACKUP: &str = "daily-backup-20261129020000";

impl Stage {
    /// A policy with a backup that holds every volume.
    async fn new(plays: Plays) -> Self {
        let stage = Self::set(plays, true).await;
        stage.change(|policy| {
            policy["status"]["covered"] = json!({"name": BACKUP, "location": "s3", "startedAt": "2026-11-29T02:00:00Z", "phase": "Completed",
                "volumes": 1, "covered": 1, "exempt": 0, "bytes": 42});
        });
        stage
    }

    async fn set(plays: Plays, backed_up: bool) -> Self {
        let mut follow = Follow::new().await;
        for kind in kinds() {
            follow.put(kind);
        }
        // What is pushed to has no work tree.
        follow.git(&["init", "-q", "--bare", "-b", "main", "../bare.git"]);
        let (timeout, rto) = if plays == Plays::NeverEnds {
            ("20s", "2s")
        } else {
            ("10m", "5m")
        };
        publish(&follow, &POLICY.replace("TIMEOUT", timeout).replace("RTO", rto));
        if backed_up {
            follow.put(json!({"apiVersion": "velero.io/v1", "kind": "Backup",
                "metadata": {"name": BACKUP, "namespace": "velero", "uid": "b1", "labels": {"storage.billyronks.io/backup-policy": "daily"}},
                "spec": {"storageLocation": "s3"},
                "status": {"phase": "Completed", "startTimestamp": "2026-11-29T02:00:00Z"}}));
            follow.put(json!({"apiVersion": "velero.io/v1", "kind": "PodVolumeBackup",
                "metadata": {"name": format!("{BACKUP}-1"), "namespace": "velero", "labels": {"velero.io/backup-uid": "b1"},
                    "annotations": {"velero.io/pvc-name": "data"}},
                "spec": {"pod": {"namespace": "database", "name": "postgres-0"}, "volume": "data"},
                "status": {"phase": "Completed", "progress": {"bytesDone": 42, "totalBytes": 42}}}));
        }
        let bare = follow.folder.path().join("bare.git");
        follow.source(json!({"url": format!("file://{}", bare.display())}));
        follow.run().await;
        let stage = Self { follow, plays };
        stage
            .until("the policy is applied", |policy| !policy.is_null())
            .await;
        stage
    }

    fn sim(&self) -> &KubernetesSim {
        &self.follow.running.kubernetes
    }

    fn policy(&self) -> Value {
        let found = self.sim().get("BackupPolicy", Some("velero"), "daily");
        found.unwrap_or_default()
    }

    /// Changes the policy's object, as a person or another part of the controller would.
    fn change(&self, how: impl Fn(&mut Value)) {
        let mut policy = self.policy();
        how(&mut policy);
        self.sim().put(policy).unwrap();
    }

    fn request(&self, word: &str) {
        self.change(|policy| {
            policy["metadata"]["annotations"]["storage.billyronks.io/drill-requested"] = json!(word);
        });
    }

    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let look = async || {
            play(self.sim(), self.plays);
            Some(self.policy()).filter(|policy| holds(policy))
        };
        self.follow.found(what, PATIENCE, look).await
    }

    async fn ended(&self, count: usize) -> Value {
        let drills = |policy: &Value| policy["status"]["drills"].as_array().map_or(0, Vec::len);
        let policy = self
            .until("the drill ends", |policy| {
                drills(policy) >= count && policy["status"]["drill"].is_null()
            })
            .await;
        assert_eq!(drills(&policy), count, "{policy:#}");
        policy["status"]["drills"][0].clone()
    }

    /// Nothing of any drill is left in the cluster.
    fn assert_tidy(&self, what: &str) {
        let of_drills = |kind: &str| -> Vec<String> {
            let named = |one: &Value| one["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let all = self.sim().list(kind);
            all.iter()
                .map(named)
                .filter(|name| name.starts_with("drill-"))
                .collect()
        };
        for kind in ["Namespace", "Restore", "ConfigMap", "Job"] {
            assert_eq!(of_drills(kind), Vec::<String>::new(), "{what}: {kind}");
        }
    }

    /// What the audit branch says of drills, the newest first.
    fn audited(&self) -> Vec<String> {
        let log = self.follow.git(&[
            "--git-dir=../bare.git",
            "log",
            "--format=%(trailers:key=Drill,valueonly,separator=) %(trailers:key=Result,valueonly,separator=)",
            "couchestor/audit",
            "--",
            "drills",
        ]);
        log.lines().map(str::to_owned).collect()
    }

    fn has_audit_branch(&self) -> bool {
        let branches = self
            .follow
            .git(&["--git-dir=../bare.git", "branch", "--list", "couchestor/audit"]);
        !branches.trim().is_empty()
    }

    async fn end(mut self) {
        self.follow.halt().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_is_asked_for_restores_checks_and_leaves_nothing_but_its_evidence() {
    let stage = Stage::new(Plays::Well).await;
    stage.request("now/database");
    let record = stage.ended(1).await;
    assert_eq!(record["passed"], true, "{record:#}");
    assert_eq!(record["backup"], BACKUP);
    let checks: Vec<&str> = record["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|check| check["name"].as_str())
        .collect();
    assert_eq!(checks, ["objects", "volume data", "sentinel data/ok"]);
    assert!(record["restoreSeconds"].is_u64(), "{record:#}");
    stage.assert_tidy("it passed");
    let id = record["id"].as_str().unwrap();
    assert_eq!(stage.audited(), [format!("{id} Passed")]);
    let evidence = stage.follow.git(&[
        "--git-dir=../bare.git",
        "show",
        &format!("couchestor/audit:drills/velero/daily/{id}.json"),
    ]);
    let evidence: Value = serde_json::from_str(&evidence).unwrap();
    assert_eq!(evidence["passed"], true);
    assert!(
        evidence["revision"].as_str().unwrap().contains("main@sha1:"),
        "{evidence:#}"
    );
    let bare = stage.follow.folder.path().join("bare.git");
    let told = Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .args(["audit", "--repository", bare.to_str().unwrap()])
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let lines: Vec<Vec<&str>> = told
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 2, "a drill is no move: {told}");
    assert_eq!(lines[0][1..3], ["DRILL", "OF"], "{told}");
    assert_eq!(lines[1][1..4], ["database", "velero/daily", "Passed"], "{told}");
    let policy = POLICY.replace("TIMEOUT", "10m").replace("RTO", "5m");
    let plan = plan(&stage, &policy, &[]);
    assert!(plan.contains("restored in "), "{plan}");
    // The same word is answered once, another one again.
    stage.follow.turns(3).await;
    stage.ended(1).await;
    stage.request("again");
    let second = stage.ended(2).await;
    assert_ne!(second["id"], record["id"]);
    stage.assert_tidy("twice");
    stage.end().await;
}

/// Whoever may write a BackupPolicy in the cluster has no image look at restored Secrets.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_does_what_git_says_whatever_is_written_into_the_cluster() {
    let stage = Stage::new(Plays::Well).await;
    stage.change(|policy| {
        policy["spec"]["drill"]["image"] = json!("docker.io/evil/looks:1");
        policy["spec"]["drill"]["sentinels"] = json!([]);
        policy["spec"]["drill"]["namespaces"] = json!(["kube-system"]);
    });
    stage.request("now");
    let record = stage.ended(1).await;
    assert_eq!(
        (&record["passed"], &record["namespace"]),
        (&json!(true), &json!("database"))
    );
    let looked = record["checks"].as_array().unwrap().last().unwrap();
    assert_eq!(looked["name"], "sentinel data/ok");
    stage.end().await;
}

/// What keeps a drill waiting is told where people look for what drills have proved.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_waits_says_what_for() {
    let stage = Stage::new(Plays::Well).await;
    let upload = format!("{BACKUP}-1");
    assert!(
        stage
            .sim()
            .remove("PodVolumeBackup", Some("velero"), &upload)
            .is_some()
    );
    stage.request("now");
    let told = |policy: &Value| {
        let mut all = policy["status"]["conditions"].as_array().into_iter().flatten();
        all.any(|one| {
            let message = one["message"].as_str().unwrap_or_default();
            one["type"] == "Drilled"
                && message.contains("one is due, and waits: no backup holds every volume")
        })
    };
    let look = async || {
        // A turn that began before the upload was gone writes down what it saw then, and that is remembered.
        if !stage.policy()["status"]["covered"].is_null() {
            stage.change(|policy| policy["status"]["covered"] = Value::Null);
        }
        Some(stage.policy()).filter(told)
    };
    let found = stage.follow.found("it says what it waits for", PATIENCE, look);
    found.await;
    stage.end().await;
}

/// A drill under way goes on although its source is suspended: what it made does not stay until somebody resumes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_source_ends_its_drills() {
    let stage = Stage::new(Plays::NeverEnds).await;
    stage.request("now");
    stage
        .until("it restores", |policy| {
            policy["status"]["drill"]["phase"] == "Restore"
        })
        .await;
    let bare = stage.follow.folder.path().join("bare.git");
    stage
        .follow
        .source(json!({"url": format!("file://{}", bare.display()), "suspend": true}));
    stage.follow.poke().await;
    let record = stage.ended(1).await;
    assert_eq!(record["passed"], false, "{record:#}");
    stage.assert_tidy("suspended");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_in_a_drill_fails_it_and_leaves_nothing() {
    for (plays, said) in [
        (Plays::RestartsMidway, "during the server starting"),
        (
            Plays::NeverEnds,
            "given up after 20 s: waiting for Velero to restore: InProgress",
        ),
        (Plays::LosesAByte, "41 of 41 bytes, the backup has 42"),
        (Plays::LosesTheSentinel, "BackoffLimitExceeded"),
    ] {
        let stage = Stage::new(plays).await;
        stage.request("now");
        let record = stage.ended(1).await;
        let why = record["failure"].as_str().unwrap_or_default();
        assert!(record["passed"] == false && why.contains(said), "{record:#}");
        stage.assert_tidy(said);
        assert_eq!(stage.audited().len(), 1, "{said}");
        let policy = POLICY.replace("TIMEOUT", "10m").replace("RTO", "5m");
        let plan = plan(&stage, &policy, &[]);
        assert!(
            plan.contains(" DrillFailed ") && plan.contains("Drills of velero/daily: "),
            "{plan}"
        );
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_leaves_git_under_way_leaves_nothing_in_the_cluster() {
    let stage = Stage::new(Plays::Stays).await;
    stage.request("now");
    stage
        .until("it restores", |policy| {
            policy["status"]["drill"]["phase"] == "Restore"
        })
        .await;
    publish(&stage.follow, "# nothing\n");
    stage.until("the policy is pruned", Value::is_null).await;
    let began = Instant::now();
    while stage.sim().list("Namespace").iter().any(|one| {
        one["metadata"]["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("drill-"))
    }) {
        assert!(began.elapsed() < PATIENCE, "the scratch namespace stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.assert_tidy("the policy is gone");
    // And no backup is made any more, by a Schedule that stays.
    let paused = async || {
        let schedule = stage.sim().get("Schedule", Some("velero"), "daily-backup");
        (schedule.expect("it is kept")["spec"]["paused"] == true).then_some(())
    };
    stage
        .follow
        .found("the schedule is paused", PATIENCE, paused)
        .await;
    let told = async || {
        let events = stage.sim().list("Event");
        let mut kept = events.iter().filter(|one| one["reason"] == "Kept");
        kept.any(|one| one.to_string().contains("daily-backup: it is paused"))
            .then_some(())
    };
    stage.follow.found("it is told", PATIENCE, told).await;
    stage.end().await;
}

/// Who takes a policy out by mistake loses no schedule, and hears of it first; who means it says so while it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_whether_a_schedule_that_leaves_would_be_paused_or_removed() {
    let stage = Stage::set(Plays::Well, false).await;
    let policy = POLICY.replace("TIMEOUT", "10m").replace("RTO", "5m");
    let without = policy.split_once("\n---\n").unwrap().0;
    let schedule = || stage.sim().get("Schedule", Some("velero"), "daily-backup");
    let applied = async || schedule().map(drop);
    stage.follow.found("the schedule", PATIENCE, applied).await;
    assert_eq!(planned(&stage, without), ["paused"]);
    assert_eq!(planned(&stage, &policy), [""; 0], "it stays in Git");

    let named = "metadata: {name: daily, namespace: velero}";
    let says =
        "metadata: {name: daily, namespace: velero, annotations: {storage.billyronks.io/prune: enabled}}";
    publish(&stage.follow, &policy.replace(named, says));
    let annotated = async || {
        let annotations = schedule()?["metadata"]["annotations"].clone();
        (annotations["storage.billyronks.io/prune"] == "enabled").then_some(())
    };
    stage.follow.found("the word of Git", PATIENCE, annotated).await;
    assert_eq!(planned(&stage, without), ["pruned"]);
    publish(&stage.follow, without);
    let gone = async || schedule().is_none().then_some(());
    stage
        .follow
        .found("the schedule to be removed", PATIENCE, gone)
        .await;
    assert!(
        stage
            .sim()
            .get("BackupStorageLocation", Some("velero"), "s3")
            .is_some()
    );
    stage.end().await;
}

/// What `couchestor plan` would do with Schedules, for a folder with this file.
fn planned(stage: &Stage, file: &str) -> Vec<String> {
    let plan = plan(stage, file, &["-o", "json"]);
    let plan: Value = serde_json::from_str(&plan).unwrap_or_else(|error| panic!("{error}: {plan}"));
    let objects = plan["objects"].as_array().unwrap_or_else(|| panic!("{plan:#}"));
    let schedules = objects.iter().filter(|one| one["kind"] == "Schedule");
    let action = |one: &Value| one["action"].as_str().unwrap_or_default().to_owned();
    schedules.map(action).collect()
}

/// What `couchestor plan` prints for a folder with this file.
fn plan(stage: &Stage, file: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policies.yaml"), file).unwrap();
    let kubeconfig = stage.follow.folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, stage.sim().kubeconfig()).unwrap();
    let running = &stage.follow.running;
    let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .arg("plan")
        .args(arguments)
        .arg(folder.path())
        .env("KUBECONFIG", &kubeconfig)
        .env("MAYASTOR_URL", running.mayastor.url())
        .env("PROMETHEUS_URL", running.prometheus.url())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    let plan = String::from_utf8(output.stdout).unwrap();
    assert!(!plan.is_empty(), "{words}");
    plan
}
