//! People keep the upper hand over moves: the controller with simulated servers, and the commands as a person types them.

use crate::support::follow::Follow;
use couchestor::sim::prometheus::Load;
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const UUID: &str = "5f3c1c6e-0b1d-4c86-9d5e-2b8f6f0a0001";
const POLICIES: &str = "\
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: cold}
spec: {rank: 10, poolSelector: {matchLabels: {storage-tier: cold}}}
---
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: hot}
spec: {rank: 100, poolSelector: {matchLabels: {storage-tier: hot}}}
";

/// What stops all moves of a source.
mod stops;

/// What the engine is left with, and does by itself.
mod cordons;

/// A controller whose repository moves `db/data-0` to hot.
struct Stage {
    follow: Follow,
}

impl Stage {
    async fn set() -> Self {
        let follow = Follow::new().await;
        follow
            .running
            .prometheus
            .set(&format!("pvc-{UUID}"), Some(Load::random(6120.0, 1.0)));
        follow.commit("p/policies.yaml", POLICIES, &[]);
        std::fs::write(
            follow.folder.path().join("kubeconfig"),
            follow.running.kubernetes.kubeconfig(),
        )
        .unwrap();
        Self { follow }
    }

    fn approve(&self) {
        let assignment = format!(
            "apiVersion: storage.billyronks.io/v1\nkind: TierAssignment\nmetadata: {{name: data-0, namespace: db}}\n\
             spec: {{claim: data-0, volume: pvc-{UUID}, tier: hot}}\n"
        );
        self.follow
            .commit("p/assignments/db/data-0.yaml", &assignment, &[]);
    }

    fn migrations(&self) -> Vec<Value> {
        self.follow.running.kubernetes.list("VolumeMigration")
    }

    fn stall(&self, stall: bool) {
        self.follow
            .running
            .mayastor
            .with(|state| state.rebuilds_stall = stall);
    }

    /// The pools of the volume's copies.
    fn pools(&self) -> Vec<String> {
        self.follow.running.mayastor.with(|state| {
            let copies = state.volumes[UUID].copies.iter();
            copies.map(|copy| copy.pool.clone()).collect()
        })
    }

    async fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        self.follow.found(what, PATIENCE, async || look()).await
    }

    /// Waits until the migration of that place in the order of attempts is in a phase.
    async fn in_phase(&self, attempt: Option<u64>, phase: &str) -> Value {
        self.until(phase, || {
            let mut all = self.migrations().into_iter();
            all.find(|one| one["spec"]["attempt"].as_u64() == attempt && one["status"]["phase"] == phase)
        })
        .await
    }

    /// Waits until the assignment gives this reason for waiting; its condition.
    async fn assignment_waits(&self, reason: &str) -> Value {
        let kubernetes = &self.follow.running.kubernetes;
        let says = || {
            let assignment = kubernetes.get("TierAssignment", Some("db"), "data-0")?;
            let conditions = assignment["status"]["conditions"].as_array()?.clone();
            conditions.into_iter().find(|one| one["reason"] == reason)
        };
        self.until("the assignment's reason", says).await
    }

    /// Waits until nothing keeps the only migration from being deleted.
    async fn can_be_deleted(&self) {
        let free = || {
            let all = self.migrations();
            let finalizers = all[0]["metadata"]["finalizers"].as_array();
            finalizers.is_none_or(Vec::is_empty).then_some(())
        };
        self.until("the end of the finalizer", free).await;
    }

    /// Runs a command as a person does.
    fn types(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_couchestor"));
        command
            .args(arguments)
            .env("KUBECONFIG", self.follow.folder.path().join("kubeconfig"));
        command.output().unwrap()
    }

    fn says(&self, arguments: &[&str], code: i32) -> String {
        let output = self.types(arguments);
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    fn annotate_source(&self, key: &str, value: Option<&str>) {
        let kubernetes = &self.follow.running.kubernetes;
        let mut source = kubernetes
            .get("PolicySource", Some("couchestor-system"), "homelab")
            .unwrap();
        source["metadata"]["annotations"] = value.map_or(json!({}), |value| json!({key: value}));
        self.follow.put(source);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_is_paused_resumed_cancelled_and_tried_again_by_commands() {
    let mut stage = Stage::set().await;
    let before = stage.pools();
    stage.stall(true);
    stage.approve();
    stage.follow.source(json!({}));
    stage.follow.run().await;
    let running = stage.in_phase(None, "WaitSync").await;
    let name = running["metadata"]["name"].as_str().unwrap().to_owned();

    let said = stage.says(&["migrations", "pause", &name, "--why", "disks are hot"], 0);
    assert!(said.contains("begins nothing new"), "{said}");
    let held = |yes: bool| {
        let all = stage.migrations();
        let why = all[0]["status"]["held"]["why"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (why.contains("disks are hot") == yes).then_some(())
    };
    stage.until("the hold", || held(true)).await;
    let shown = stage.says(&["migrations", "show", &name], 0);
    for words in ["paused: disks are hot", "being filled", "Journal"] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    let said = stage.says(&["migrations", "resume", &name], 0);
    assert!(said.contains("goes on"), "{said}");
    stage.until("the end of the hold", || held(false)).await;
    let said = stage.says(&["migrations", "resume", &name], 1);
    assert!(said.contains("not paused by itself"), "{said}");
    let said = stage.says(&["migrations", "retry", &name], 1);
    assert!(said.contains("still runs"), "{said}");

    stage.says(&["migrations", "cancel", &name, "--why", "not today"], 0);
    let ended = stage.in_phase(None, "Cancelled").await;
    assert!(
        ended["status"]["message"].as_str().unwrap().contains("not today"),
        "{ended:#}"
    );
    assert_eq!(
        stage.pools(),
        before,
        "the volume has the copies that it began with"
    );
    let said = stage.says(&["migrations", "cancel", &name], 1);
    assert!(said.contains(&format!("migrations retry {name}")), "{said}");

    // A folder does not tell which commit approved what, and so not that this one was tried.
    let (running, folder) = (&stage.follow.running, stage.follow.folder.path());
    let (mayastor, prometheus) = (running.mayastor.url(), running.prometheus.url());
    let folder = folder.join("repository/p").display().to_string();
    let servers = ["--mayastor-url", &mayastor, "--prometheus-url", &prometheus];
    let said = stage.says(&[&["plan", &folder][..], &servers].concat(), 2);
    let words = format!("db/data-0: {name} ended as Cancelled");
    assert!(
        said.contains(&words) && said.contains(&format!("retry {name}`")),
        "{said}"
    );

    stage.stall(false);
    let near = name.replace(name.chars().last().unwrap(), "~");
    let said = stage.says(&["migrations", "retry", &near], 1);
    assert!(said.contains(&format!("did you mean {name}?")), "{said}");
    stage.says(&["migrations", "retry", &name], 0);
    let again = stage.in_phase(Some(2), "Completed").await;
    assert_eq!(again["metadata"]["name"], format!("{name}-2"));
    assert!(
        stage.pools().iter().all(|pool| pool.starts_with("nvme-")),
        "{:?}",
        stage.pools()
    );
    stage
        .until("the note that the order was acted upon", || {
            let all = stage.migrations();
            let first = all.iter().find(|one| one["metadata"]["name"] == *name)?;
            let said = &first["metadata"]["annotations"]["storage.billyronks.io/retry"];
            (first["status"]["lastHandledRetry"] == *said).then_some(())
        })
        .await;
    let said = stage.says(&["migrations", "retry", &name], 1);
    assert!(said.contains(&format!("see {name}-2")), "{said}");
    let listed: Value = serde_json::from_str(&stage.says(&["migrations", "-o", "json"], 0)).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let text = stage.follow.metrics.text(couchestor::io::clock::now());
    for sample in [
        "couchestor_migration_phase_seconds_count{phase=\"WaitSync\"} 2",
        "couchestor_migration_phase_seconds_count{phase=\"ScaleDown\"} 1",
        "couchestor_migration_phase_seconds_count{phase=\"RollingBack\"} 1",
        // Twice 20 GiB: what was copied before it was cancelled counts too.
        "couchestor_migration_bytes_total{from=\"cold\",to=\"hot\"} 42949672960",
        "couchestor_cordons_held 0",
        "couchestor_replica_tier{tier=\"hot\"} 1",
    ] {
        assert!(
            text.lines().any(|line| line == sample),
            "{sample} is not in:\n{text}\n{:#}",
            stage.follow.status()
        );
    }
    stage.follow.halt().await;
}

/// Deletes an object as `kubectl delete` does.
async fn delete(stage: &Stage, path: &str) {
    let url = format!("{}{path}", stage.follow.running.kubernetes.url());
    let answer = reqwest::Client::new().delete(url).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

fn cordons(stage: &Stage) -> usize {
    stage.follow.running.mayastor.with(|state| {
        let held = state.judge.cordons.iter().filter(|held| held.until.is_none());
        held.count()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_deleted_in_the_middle_is_taken_back_and_recorded_before_it_goes() {
    let mut stage = Stage::set().await;
    let before = stage.pools();
    stage.stall(true);
    stage.approve();
    // Only to a bare repository can be pushed.
    stage.follow.git(&["config", "core.bare", "true"]);
    stage.follow.source(json!({}));
    stage.follow.run().await;
    let running = stage.in_phase(None, "WaitSync").await;
    let (name, uid) = (&running["metadata"]["name"], &running["metadata"]["uid"]);
    let path = format!(
        "/apis/storage.billyronks.io/v1/volumemigrations/{}",
        name.as_str().unwrap()
    );
    delete(&stage, &path).await;
    let gone = || {
        stage
            .migrations()
            .iter()
            .all(|one| one["metadata"]["uid"] != *uid)
            .then_some(())
    };
    stage.until("the end of the object", gone).await;
    let recorded = stage.follow.git(&["log", "--format=%B", "couchestor/audit"]);
    assert!(
        recorded.contains("Result: Cancelled") && recorded.contains("is being deleted"),
        "{recorded}"
    );
    // The approval stands, so the move begins anew.
    stage.stall(false);
    let again = stage.in_phase(None, "Completed").await;
    assert_ne!(again["metadata"]["uid"], *uid);
    assert_ne!(stage.pools(), before);
    stage.can_be_deleted().await;
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moves_of_a_source_that_is_deleted_are_taken_back_and_leave_no_cordon_also_after_a_restart() {
    for restart in [false, true] {
        let mut stage = Stage::set().await;
        let before = stage.pools();
        stage.stall(true);
        stage.approve();
        stage.follow.source(json!({}));
        stage.follow.run().await;
        stage.in_phase(None, "WaitSync").await;
        if restart {
            stage.follow.halt().await;
        }
        delete(
            &stage,
            "/apis/storage.billyronks.io/v1/namespaces/couchestor-system/policysources/homelab",
        )
        .await;
        if restart {
            stage.follow.run().await;
        }
        let ended = stage.in_phase(None, "Cancelled").await;
        let said = ended["status"]["message"].as_str().unwrap();
        assert!(said.contains("homelab was deleted"), "{said}");
        assert_eq!(stage.pools(), before);
        assert_eq!(cordons(&stage), 0);
        stage.can_be_deleted().await;
        stage.follow.halt().await;
    }
}
