//! People keep the upper hand over moves: the controller with simulated servers, and the commands as a person types them.

use crate::support::follow::Follow;
use couchestor::sim::mayastor::{At, How, Reason, Route};
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

/// As a journal leaves it that was deleted by force, finalizer and all.
#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_of_ours_that_no_journal_speaks_for_is_taken_back_and_told_of_and_those_of_others_stay() {
    let mut stage = Stage::set().await;
    let labels = ["couchestor-0badcafe", "couchestor-of-mine", "maintenance"];
    let node = stage.follow.running.mayastor.with(|state| {
        let node = state.nodes.keys().next().unwrap().clone();
        for label in labels {
            state.cordon_node(&node, label).unwrap();
        }
        node
    });
    stage.follow.source(json!({}));
    stage.follow.run().await;
    stage
        .until("the end of the cordon", || {
            let held = stage
                .follow
                .running
                .mayastor
                .with(|state| state.nodes[&node].cordons.clone());
            let others = ["couchestor-of-mine".to_owned(), "maintenance".to_owned()];
            assert!(others.iter().all(|label| held.contains(label)), "{held:?}");
            (!held.contains(labels[0])).then_some(())
        })
        .await;
    let told = stage
        .until("the Event", || {
            let mut all = stage.follow.running.kubernetes.list("Event").into_iter();
            all.find(|one| one["reason"] == "CordonSwept")
        })
        .await;
    let note = told["message"].as_str().unwrap();
    assert!(note.contains(&node) && note.contains(labels[0]), "{told:#}");
    assert_eq!(told["involvedObject"]["kind"], "PolicySource", "{told:#}");
    stage.follow.halt().await;
}

/// Mayastor takes no cordon back for a while: no other copy of any volume can go to those pools meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_that_is_held_too_long_is_told_of_once_and_counted_until_it_is_gone() {
    let mut stage = Stage::set().await;
    stage.follow.running.mayastor.with(|state| {
        for number in 0..10_000 {
            let at = At::Route(Route::UncordonPool, number);
            state.order(at, How::Unavailable);
        }
    });
    stage.approve();
    stage.follow.source(json!({}));
    stage.follow.run().await;
    let held = |stage: &Stage| {
        let mut all = stage.migrations().into_iter();
        all.find(|one| one["status"]["window"]["confirmed"][0].is_string())
    };
    stage.until("a cordon", || held(&stage)).await;
    stage.follow.halt().await;
    let mut migration = held(&stage).expect("nobody takes it back");
    let since = couchestor::io::clock::now() - Duration::from_secs(180);
    migration["status"]["window"]["since"] = json!(since.to_string());
    stage.follow.put(migration);

    stage.follow.run().await;
    let told = || {
        let events = stage.follow.running.kubernetes.list("Event").into_iter();
        let told: Vec<Value> = events.filter(|one| one["reason"] == "CordonHeld").collect();
        (!told.is_empty()).then_some(told)
    };
    stage.until("the Event", told).await;
    stage.follow.turns(5).await;
    // One on the move, and one on its claim.
    let told: Vec<String> = told()
        .unwrap()
        .iter()
        .map(|one| one["involvedObject"]["kind"].as_str().unwrap().to_owned())
        .collect();
    let moves = told.iter().filter(|kind| *kind == "VolumeMigration").count();
    assert_eq!(moves, 1, "{told:?}");
    let gauge = |name: &str| {
        let text = stage.follow.metrics.text(couchestor::io::clock::now());
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    assert!(gauge("couchestor_cordons_held ") > 0);
    assert!(gauge("couchestor_cordon_held_seconds ") >= 180);

    stage.follow.running.mayastor.with(|state| state.faults.none());
    // Calls whose end nobody knows are waited out for a minute first.
    let completed = async || (stage.migrations()[0]["status"]["phase"] == "Completed").then_some(());
    stage.follow.found("the end", 3 * PATIENCE, completed).await;
    assert_eq!(cordons(&stage), 0);
    stage
        .until("the gauge to fall", || {
            (gauge("couchestor_cordons_held ") == 0).then_some(())
        })
        .await;
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_git_freezes_moves_until_a_commit_removes_it() {
    let mut stage = Stage::set().await;
    stage
        .follow
        .commit("p/FREEZE", "moving house\nuntil Monday\n", &[]);
    stage.approve();
    stage.follow.source(json!({}));
    stage.follow.run().await;
    stage
        .follow
        .until("Moving", &["False/Frozen", "moving house"])
        .await;
    let waits = stage.until("the assignment's reason", || {
        let assignment = stage
            .follow
            .running
            .kubernetes
            .get("TierAssignment", Some("db"), "data-0")?;
        let conditions = assignment["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|one| one["reason"] == "Frozen")
    });
    waits.await;
    assert!(stage.migrations().is_empty(), "nothing starts");
    let said = stage.says(&["status"], 0);
    assert!(
        said.contains("stand still (Frozen)") && said.contains("moving house"),
        "{said}"
    );

    stage.stall(true);
    stage.follow.git(&["rm", "-q", "p/FREEZE"]);
    stage.follow.git(&["commit", "-q", "-m", "Go on"]);
    stage.in_phase(None, "WaitSync").await;
    // A running move stands still, also by a commit that nothing can be made of, and across a restart.
    stage.follow.commit("p/broken.yaml", "kind: [", &[]);
    stage.follow.commit("p/FREEZE", "hands off\n", &[]);
    let held = || {
        let all = stage.migrations();
        let why = all[0]["status"]["held"]["why"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        why.contains("hands off").then_some(())
    };
    stage.until("the hold", held).await;
    stage.follow.halt().await;
    stage.stall(false);
    stage.follow.run().await;
    stage.follow.until("Moving", &["False/Frozen", "hands off"]).await;
    assert!(stage.migrations()[0]["status"]["phase"] != "Completed");
    stage.follow.git(&["rm", "-q", "p/FREEZE", "p/broken.yaml"]);
    stage.follow.git(&["commit", "-q", "-m", "Go on"]);
    stage.in_phase(None, "Completed").await;
    stage.follow.until("Moving", &["True/MovesStart"]).await;
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_on_the_source_pauses_all_of_its_moves() {
    let mut stage = Stage::set().await;
    stage.approve();
    stage.follow.source(json!({}));
    stage.annotate_source("storage.billyronks.io/paused", Some("true"));
    stage.follow.run().await;
    stage
        .follow
        .until("Moving", &["False/Paused", "no reason is given"])
        .await;
    assert!(stage.migrations().is_empty(), "nothing starts");
    let said = stage.says(&["migrations", "resume-all"], 1);
    assert!(said.contains("stops all moves"), "{said}");
    stage.annotate_source("storage.billyronks.io/paused", None);
    stage.in_phase(None, "Completed").await;
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_holds_the_moves_that_an_earlier_start_began() {
    let mut stage = Stage::set().await;
    stage.stall(true);
    stage.approve();
    stage.follow.source(json!({}));
    stage.follow.run().await;
    stage.in_phase(None, "WaitSync").await;
    stage.follow.dry_run = true;
    stage.follow.run().await;
    let held = || {
        let all = stage.migrations();
        let why = all[0]["status"]["held"]["why"].as_str().unwrap_or_default();
        why.contains("--dry-run").then_some(())
    };
    stage.until("the hold", held).await;
    stage.stall(false);
    // Two copies, both complete: all that the removal of the old one would wait for.
    let whole = || {
        stage.follow.running.mayastor.with(|state| {
            let volume = &state.volumes[UUID];
            (volume.copies.len() == 2 && volume.synced().count() == 2).then_some(())
        })
    };
    stage.until("the new copy to be whole", whole).await;
    stage.follow.turns(20).await;
    assert_eq!(stage.migrations()[0]["status"]["phase"], "WaitSync");
    assert_eq!(stage.pools().len(), 2, "{:?}", stage.pools());
    assert_eq!(cordons(&stage), 0);
    stage.follow.dry_run = false;
    stage.follow.run().await;
    stage.in_phase(None, "Completed").await;
    stage.follow.halt().await;
}

/// Two complete copies; time goes by faster there than here.
fn two_whole(stage: &Stage) -> Option<()> {
    stage.follow.running.mayastor.with(|state| {
        state.pass(Duration::from_secs(5));
        let volume = &state.volumes[UUID];
        (volume.copies.len() == 2 && volume.synced().count() == 2).then_some(())
    })
}

/// Mayastor replaces a lost copy wherever it finds room, also on pools of another tier.
#[tokio::test(flavor = "multi_thread")]
async fn a_spare_that_was_built_on_another_tier_is_brought_back_once_after_the_cool_down() {
    let mut stage = Stage::set().await;
    let busy = "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata: {name: busy}\n\
                spec: {tiers: [hot, cold], cooldownPeriod: 15s}\n";
    stage.follow.commit("p/busy.yaml", busy, &[]);
    stage.follow.running.mayastor.with(|state| {
        let two = state.as_someone_else(|state| state.set_replica_count(UUID, 2));
        two.unwrap();
    });
    stage.until("two copies", || two_whole(&stage)).await;
    let hot = |stage: &Stage| {
        stage
            .pools()
            .iter()
            .filter(|pool| pool.starts_with("nvme-"))
            .count()
    };
    stage.approve();
    stage.follow.source(json!({}));
    stage.follow.run().await;
    stage
        .until("the first move", || {
            two_whole(&stage);
            let all = stage.migrations();
            (all.first()?["status"]["phase"] == "Completed").then_some(())
        })
        .await;
    assert_eq!(hot(&stage), 2, "{:?}", stage.pools());

    stage.follow.running.mayastor.with(|state| {
        let copies = &state.volumes[UUID].copies;
        let lost = copies
            .iter()
            .find(|copy| copy.pool == "nvme-4")
            .unwrap()
            .id
            .clone();
        assert!(state.fault_copy(UUID, &lost, Reason::IoError));
        // After the grace the copy is given up.
        state.pass(Duration::from_secs(700));
    });
    stage
        .until("the spare", || {
            two_whole(&stage)?;
            (hot(&stage) == 1).then_some(())
        })
        .await;
    let reason = |wanted: &str| {
        let assignment = stage
            .follow
            .running
            .kubernetes
            .get("TierAssignment", Some("db"), "data-0")?;
        let conditions = assignment["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|one| one["reason"] == wanted)
    };
    let waits = stage.until("its reason", || reason("Drifted")).await;
    let words = waits["message"].as_str().unwrap();
    assert!(words.contains("has placed a copy elsewhere since"), "{waits:#}");
    assert_eq!(stage.migrations().len(), 1, "it waits for the cool-down");
    stage
        .until("the second move", || {
            two_whole(&stage);
            let mut all = stage.migrations().into_iter();
            all.find(|one| one["spec"]["attempt"] == 2 && one["status"]["phase"] == "Completed")
        })
        .await;
    assert_eq!(hot(&stage), 2, "{:?}", stage.pools());
    stage.follow.turns(5).await;
    assert_eq!(stage.migrations().len(), 2, "it is not followed for ever");
    stage.follow.halt().await;
}

/// A migration of another volume that was rolled back just now.
fn rolled_back(number: usize) -> Value {
    let at = couchestor::io::clock::now().to_string();
    json!({
        "apiVersion": "storage.billyronks.io/v1", "kind": "VolumeMigration",
        "metadata": {"name": format!("failed-{number}")},
        "spec": {
            "source": {"namespace": "couchestor-system", "name": "homelab"},
            "claim": {"namespace": "db", "name": format!("gone-{number}")},
            "volume": format!("pvc-gone-{number}"), "volumeUuid": format!("gone-{number}"), "from": "cold", "to": "hot",
            "toPoolLabels": {}, "timeoutSeconds": 60,
            "approved": {"revision": "main", "commit": "c", "author": "Ann", "at": at, "path": "x"},
        },
        "status": {"phase": "RolledBack", "message": "no room", "startedAt": at, "finishedAt": at},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_in_a_row_stop_what_is_new_until_a_person_has_looked() {
    let mut stage = Stage::set().await;
    stage.follow.source(json!({"moves": {"stopAfterFailures": 2}}));
    stage.follow.run().await;
    stage.follow.until("Moving", &["True/MovesStart"]).await;
    stage.follow.put(rolled_back(1));
    stage.follow.put(rolled_back(2));
    stage
        .follow
        .until("Moving", &["False/StoppedAfterFailures", "failed-1, failed-2"])
        .await;
    stage.approve();
    let waits = stage.until("the assignment's reason", || {
        let assignment = stage
            .follow
            .running
            .kubernetes
            .get("TierAssignment", Some("db"), "data-0")?;
        let conditions = assignment["status"]["conditions"].as_array()?.clone();
        conditions
            .into_iter()
            .find(|one| one["reason"] == "StoppedAfterFailures")
    });
    waits.await;
    let events = stage.follow.running.kubernetes.list("Event");
    let told = events
        .iter()
        .filter(|one| one["reason"] == "StoppedAfterFailures");
    assert_eq!(told.count(), 1, "it is told once");
    // A controller that starts anew knows it too.
    stage.follow.run().await;
    stage
        .follow
        .until("Moving", &["False/StoppedAfterFailures"])
        .await;
    assert_eq!(stage.migrations().len(), 2, "nothing starts");
    let said = stage.says(&["migrations", "resume-all"], 0);
    assert!(said.contains("moves start again"), "{said}");
    stage.in_phase(None, "Completed").await;
    stage.follow.until("Moving", &["True/MovesStart"]).await;
    let said = stage.says(&["migrations", "resume-all"], 0);
    assert!(said.contains("no source's moves were stopped"), "{said}");
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
