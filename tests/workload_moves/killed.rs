//! The controller as a process of its own, killed at each state that the journal of a move comes to: there, back, and taken back midway. The
//! API server and its controllers are real; nodes are played.

use super::real::{
    Ground, MOVES, PATIENCE, PROMOTION, ROLLOUT, are_kept, commit, judged, nothing_is_left, of, person,
    promotion, volumes,
};
use crate::support::gate::{Asked, Gate};
use crate::support::kubelet::Pod;
use crate::support::line;
use crate::support::objects::{get, list, text};
use crate::support::velero_played::others;
use crate::support::{say, seed, servers};
use couchestor::io::git::Repository;
use couchestor::model::rendering::FileChange;
use couchestor::sim::world::Running;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const APPS: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/apps";
const SHOP: &str = "/apis/apps/v1/namespaces/shop/statefulsets/shop";

/// Each phase, and that the end is recorded; what makes a move and what lets it go.
fn phases(asked: &Asked) -> Option<String> {
    let (_, name) = asked.path.split_once("/workloadmoves")?;
    let status = &asked.body["status"];
    let recorded = match text(status, "/auditCommit") {
        "" => "",
        _ => ", recorded",
    };
    Some(match asked.method.as_str() {
        "POST" => "its creation".to_owned(),
        "PUT" => format!("{}{recorded} of {name}", text(status, "/phase")),
        _ => format!("its finalizer of {name}"),
    })
}

/// The same, and each act that is about to be done.
fn acts(asked: &Asked) -> Option<String> {
    let intent = text(&asked.body["status"], "/intent");
    phases(asked).map(|state| format!("{state} ({intent})"))
}

struct Stage {
    ground: Ground,
    gate: Gate,
    person: Repository,
    _repository: tempfile::TempDir,
    _running: Running,
    /// Volumes that must stay, whatever happens.
    before: Vec<Value>,
    fingerprint: String,
}

impl Stage {
    /// The shop, delivered by Flux, and a controller that has judged the rollout.
    async fn new() -> Self {
        let ground = Ground::new().await;
        let cluster = &ground.cluster;
        cluster.kubectl(&["apply", "-f", "-"], &others()[0].to_string());
        let wait = [
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=60s",
        ];
        cluster.kubectl(&wait, "");
        cluster.kubectl(&["create", "namespace", "flux-system"], "");
        let apps = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "apps", "namespace": "flux-system"}, "spec": {"path": "./apps", "suspend": false}});
        cluster.kubectl(&["apply", "-f", "-"], &apps.to_string());
        let labels = [
            "kustomize.toolkit.fluxcd.io/name=apps",
            "kustomize.toolkit.fluxcd.io/namespace=flux-system",
        ];
        let label = ["label", "--namespace", "shop", "statefulset", "shop"];
        cluster.kubectl(&[&label[..], &labels[..]].concat(), "");
        let before = volumes(&ground.client).await;
        let folder = tempfile::tempdir().unwrap();
        let file = FileChange {
            path: "p/rollout.yaml".to_owned(),
            content: Some(ROLLOUT.as_bytes().to_vec()),
        };
        let running = line::servers().await;
        line::pushed(folder.path(), vec![file]).await;
        let url = format!("file://{}", folder.path().join("repository.git").display());
        let source = json!({"apiVersion": "storage.billyronks.io/v1", "kind": "PolicySource",
            "metadata": {"name": "homelab", "namespace": "couchestor-system"},
            "spec": {"url": url, "path": "p", "interval": "500ms", "prune": true}});
        cluster.kubectl(&["apply", "-f", "-"], &source.to_string());
        let kubeconfig = cluster.kubeconfig_of_couchestor();
        let gate = Gate::before(&kubeconfig, &running, seed("kills of moves of workloads")).await;
        let mut stage = Self {
            person: person(&url, folder.path()),
            ground,
            gate,
            _repository: folder,
            _running: running,
            before,
            fingerprint: String::new(),
        };
        let client = stage.ground.client.clone();
        stage.fingerprint = stage
            .until("the rollout is judged", async || judged(&client).await)
            .await;
        stage
    }

    /// Waits for something to be there; meanwhile no volume of the shop is on its way out.
    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            self.gate.lives();
            self.nothing_is_lost().await;
            if let Some(found) = look().await {
                return found;
            }
            let moves = async || list(&self.ground.client, MOVES).await;
            assert!(
                began.elapsed() < PATIENCE,
                "{what}, not within {PATIENCE:?}: {:#?}\n{:#?}\n{}",
                moves().await,
                self.gate.kills(),
                self.gate.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn nothing_is_lost(&self) {
        for volume in of(&self.before, "/metadata/name") {
            let path = format!("/api/v1/persistentvolumes/{volume}");
            let there = get(&self.ground.client, &path).await;
            let there = there.unwrap_or_else(|| panic!("{volume} is lost"));
            assert_eq!(text(&there, "/metadata/deletionTimestamp"), "", "{there:#}");
        }
    }

    /// Waits until so many moves have ended, each recorded once and let go; gives the newest, by its phase.
    async fn ended(&self, moves: usize) -> String {
        let client = &self.ground.client;
        let over = |one: &Value| {
            !text(one, "/status/finishedAt").is_empty() && one["metadata"]["finalizers"].is_null()
        };
        let all = self
            .until(&format!("{moves} moves end"), async || {
                let all = list(client, MOVES).await;
                (all.len() == moves && all.iter().all(over)).then_some(all)
            })
            .await;
        let log = self.person.log_branch("couchestor/audit", moves + 10).await;
        let log = log.unwrap();
        assert_eq!(log.len(), moves, "each move is recorded once: {log:#?}");
        for one in &all {
            let line = format!("Workload-Move: {}", text(one, "/metadata/name"));
            let of_it = log
                .iter()
                .find(|entry| entry.message.lines().any(|said| said == line));
            let recorded = of_it.map(|entry| entry.commit.to_string());
            assert_eq!(
                recorded.as_deref(),
                one["status"]["auditCommit"].as_str(),
                "{one:#}"
            );
        }
        let newest = all.iter().max_by_key(|one| text(one, "/status/finishedAt"));
        text(newest.unwrap(), "/status/phase").to_owned()
    }

    /// The shop is up on volumes of a class that go with their claims, Flux keeps it, and nothing else is left.
    async fn is_up_on(&self, class: &str) -> Vec<Value> {
        let client = &self.ground.client;
        let now = volumes(client).await;
        assert_eq!(of(&now, "/spec/storageClassName"), [class, class]);
        assert_eq!(
            of(&now, "/spec/persistentVolumeReclaimPolicy"),
            ["Delete", "Delete"]
        );
        let apps = get(client, APPS).await.unwrap();
        assert_ne!(apps["spec"]["suspend"], true, "{apps:#}");
        let shop = get(client, SHOP).await.unwrap();
        assert_eq!(shop["spec"]["replicas"], 2, "{shop:#}");
        nothing_is_left(client).await;
        now
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_state_of_its_journal_a_move_comes_to_the_same_end() {
    if servers::left_out("killed_at_each_state_of_its_journal_a_move_comes_to_the_same_end") {
        return;
    }
    let stage = Stage::new().await;
    let client = &stage.ground.client;

    stage.gate.strike(Some(acts));
    commit(&stage.person, PROMOTION, Some(promotion(&stage.fingerprint))).await;
    assert_eq!(stage.ended(1).await, "Completed");
    let there = stage.is_up_on("fast").await;
    are_kept(client, &stage.before).await;

    stage.gate.strike(Some(phases));
    commit(&stage.person, PROMOTION, None).await;
    assert_eq!(stage.ended(2).await, "Completed");
    let back = stage.is_up_on("slow").await;
    let names = |all| of(all, "/metadata/name").join(" ");
    assert_eq!(names(&back), names(&stage.before), "the old volumes are back");
    are_kept(client, &there).await;

    // The approval is withdrawn while data is copied.
    stage.gate.strike(None);
    stage.ground.kubelet.pod("shop", "couchestor-copy-*", Pod::Waits);
    let again = promotion(&stage.fingerprint) + "  keepOldVolumes: true\n";
    commit(&stage.person, PROMOTION, Some(again)).await;
    let copies = async || {
        let all = list(client, MOVES).await;
        let copies = all.iter().any(|one| text(one, "/status/phase") == "Copy");
        let jobs = list(client, "/apis/batch/v1/namespaces/shop/jobs").await;
        (copies && !jobs.is_empty()).then_some(())
    };
    stage.until("data is copied", copies).await;
    stage.gate.strike(Some(acts));
    commit(&stage.person, PROMOTION, None).await;
    assert_eq!(stage.ended(3).await, "Cancelled");
    let same = stage.is_up_on("slow").await;
    assert_eq!(names(&same), names(&stage.before), "nothing was touched");

    let kills = stage.gate.kills();
    for state in [
        "its creation",
        "Provision",
        "Suspend",
        "ScaleDown",
        "Drain",
        "Copy",
        "Keep",
        "Exchange",
        "ScaleUp",
        "Resume",
        "Ready",
        "CleanUp",
        "Completed",
        "TakingBack",
        "Cancelled",
        "recorded",
        "its finalizer",
    ] {
        assert!(
            kills.iter().any(|kill| kill.contains(state)),
            "{state}: {kills:#?}"
        );
    }
    say(&format!(
        "{} kills at states of three moves of workloads: each came to its end and was recorded once",
        kills.len()
    ));
}
