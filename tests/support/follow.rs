//! A controller in this process that follows a real repository on disk, against the simulated servers; a person commits with
//! the real `git`.

use crate::support::line;
use couchestor::io::webhook::Webhooks;
use couchestor::sim::world::Running;
use couchestor::telemetry::Metrics;
use couchestor::wiring::{self, Health, Hook, Settings};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NAMESPACE: &str = "couchestor-system";
/// A turn takes a tenth of a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Follow {
    pub folder: tempfile::TempDir,
    pub running: Running,
    /// What the controller connects with, instead of the simulated server's own.
    pub kubeconfig: Option<String>,
    /// The controller's webhooks, while it runs.
    pub webhooks: Option<Webhooks>,
    /// The newest controller's.
    pub metrics: Metrics,
    /// Whether the controller is started to change nothing.
    pub dry_run: bool,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    controller: Option<tokio::task::JoinHandle<()>>,
}

impl Follow {
    /// Starts the servers; a repository with an empty branch `main` is there, the controller does not run yet.
    pub async fn new() -> Self {
        let running = line::servers().await;
        let follow = Self {
            folder: tempfile::tempdir().expect("a folder"),
            running,
            kubeconfig: None,
            webhooks: None,
            metrics: Metrics::default(),
            dry_run: false,
            stop: None,
            controller: None,
        };
        follow.git(&["init", "-q", "-b", "main", "."]);
        follow
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// Runs `git` in the repository, with nothing of the user's own configuration, and gives what it prints.
    pub fn git(&self, arguments: &[&str]) -> String {
        std::fs::create_dir_all(self.repository()).expect("our own folder");
        let output = Command::new("git")
            .current_dir(self.repository())
            .env("HOME", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Anna")
            .env("GIT_AUTHOR_EMAIL", "anna@example.org")
            .env("GIT_COMMITTER_NAME", "Anna")
            .env("GIT_COMMITTER_EMAIL", "anna@example.org")
            .args(arguments)
            .output()
            .expect("these tests need git");
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .expect("git speaks UTF-8")
            .trim()
            .to_owned()
    }

    /// Writes a file and commits it with more options for `git commit`; gives the commit's id.
    pub fn commit(&self, path: &str, text: &str, options: &[&str]) -> String {
        let file = self.repository().join(path);
        std::fs::create_dir_all(file.parent().expect("a file has a folder")).expect("our own folder");
        std::fs::write(file, text).expect("our own folder");
        self.git(&["add", "-A"]);
        self.git(&[&["commit", "-q", "-m", path], options].concat());
        self.git(&["rev-parse", "HEAD"])
    }

    /// Puts an object into the cluster.
    pub fn put(&self, object: Value) {
        self.running.kubernetes.put(object).expect("an object");
    }

    /// Puts a Secret into the controller's namespace.
    pub fn secret(&self, name: &str, data: Value) {
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        self.put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}));
    }

    /// Puts the PolicySource `homelab`, with more fields of its spec.
    pub fn source(&self, more: Value) {
        let mut spec = json!({"url": format!("file://{}", self.repository().display()), "path": "p", "interval": "1s", "prune": true});
        for (key, value) in more.as_object().expect("fields") {
            spec[key] = value.clone();
        }
        self.put(
            json!({"apiVersion": "storage.billyronks.io/v1", "kind": "PolicySource",
            "metadata": {"name": "homelab", "namespace": NAMESPACE}, "spec": spec}),
        );
    }

    /// How a controller is started.
    pub fn settings(&self) -> Settings {
        Settings {
            directory: self.folder.path().join("clones"),
            allow_file_urls: true,
            max_concurrent: 2,
            dry_run: self.dry_run,
            preserve: false,
            poll: Duration::from_millis(100),
        }
    }

    /// Starts the controller, or starts it again.
    pub async fn run(&mut self) {
        self.halt().await;
        let world = line::outside(&self.running, self.kubeconfig.as_deref()).await;
        self.metrics = world.metrics.clone();
        let settings = self.settings();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (poke, pokes) = tokio::sync::mpsc::channel(8);
        let webhooks = Webhooks::new(poke);
        self.webhooks = Some(webhooks.clone());
        let mut hook = Some(Hook { webhooks, pokes });
        self.stop = Some(stop);
        self.controller = Some(tokio::spawn(async move {
            let health = Arc::new(Health::default());
            let stop = std::pin::pin!(async {
                let _ = stopped.await;
            });
            wiring::run(&world, &settings, &health, &mut hook, stop).await;
        }));
    }

    /// Stops the controller.
    pub async fn halt(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(controller) = self.controller.take() {
            controller.await.expect("the controller ends in order");
        }
    }

    /// How many turns the controller has taken since it was started.
    pub fn taken(&self) -> u64 {
        self.metrics.turns.get()
    }

    /// Waits until the controller has taken so many turns from beginning to end, however long that takes on a busy machine.
    pub async fn turns(&self, count: u64) {
        let (began, before) = (Instant::now(), self.taken());
        // One may be under way, and began before what the test has done last.
        while self.taken() <= before + count {
            assert!(
                began.elapsed() < PATIENCE,
                "{} turns of {count} were taken in {PATIENCE:?}: {}",
                self.taken() - before,
                self.status()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks for a turn now, as a person does: with an annotation, beside what the controller writes meanwhile.
    pub async fn poke(&self) {
        let at = couchestor::io::clock::now().to_string();
        let url = self.running.kubernetes.url();
        let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": at}}});
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("nothing about it can fail")
            .patch(format!(
                "{url}/apis/storage.billyronks.io/v1/namespaces/{NAMESPACE}/policysources/homelab"
            ))
            .header("Authorization", "Bearer sim")
            .header("Content-Type", "application/merge-patch+json")
            .body(patch.to_string());
        let answer = answer.send().await.expect("loopback");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// The source's status.
    pub fn status(&self) -> Value {
        self.running
            .kubernetes
            .get("PolicySource", Some(NAMESPACE), "homelab")
            .map(|source| source["status"].clone())
            .unwrap_or_default()
    }

    /// One condition of the source, as `status/reason: message`.
    pub fn condition(&self, kind: &str) -> String {
        let status = self.status();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .find(|one| one["type"] == kind)
            .map(|one| {
                let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
                format!("{}/{}: {}", text("status"), text("reason"), text("message"))
            })
            .unwrap_or_default()
    }

    /// Waits until there is what is looked for.
    pub async fn found<T>(&self, what: &str, patience: Duration, look: impl AsyncFn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(
                began.elapsed() < patience,
                "{what} never came: {:#} {:#?}",
                self.status(),
                self.running.kubernetes.list("VolumeMigration")
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a condition says all of this.
    pub async fn until(&self, kind: &str, words: &[&str]) -> String {
        let began = Instant::now();
        loop {
            let now = self.condition(kind);
            if !now.is_empty() && words.iter().all(|word| now.contains(word)) {
                return now;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{kind} never said {words:?}; it says {now:?} in {}",
                self.status()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
