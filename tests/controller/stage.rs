//! What the controller is run in as a process: a real API server, simulated Mayastor and Prometheus, and a repository on the disk.

use crate::engine::verdict::{speaks_of, watched};
use crate::support::cluster::Cluster as Server;
use crate::support::say;
use couchestor::io::cluster::Cluster;
use couchestor::io::git::{self, Credentials, Lease, Repository, Signature};
use couchestor::model::ids::CommitId;
use couchestor::model::kinds::volume_migration::{Removal, VolumeMigration, VolumeMigrationStatus};
use couchestor::model::kinds::{PolicySource, all_crds};
use couchestor::model::rendering::FileChange;
use couchestor::sim::mayastor::MayastorSim;
use couchestor::sim::prometheus::{Load, PrometheusSim};
use couchestor::sim::world::{World, objects};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A new leader waits a minute for a call that the one before it may have left under way.
const STEP_MAX: Duration = Duration::from_secs(180);
pub(crate) const ASSIGNMENT: &str = "policies/homelab/assignments/db/data-0.yaml";
pub(crate) const UUID: &str = "5f3c1c6e-0b1d-4c86-9d5e-2b8f6f0a0001";

/// A cluster, an engine, a repository, and the process that is to look after them.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) cluster: Cluster,
    pub(crate) mayastor: MayastorSim,
    prometheus: PrometheusSim,
    pub(crate) repository: Repository,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) controller: Option<Child>,
}

fn policies() -> Vec<FileChange> {
    fn walk(folder: &Path, root: &Path, files: &mut Vec<FileChange>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                files.push(FileChange {
                    path: name,
                    content: Some(std::fs::read(&path).unwrap()),
                });
            }
        }
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join("policies"), &root, &mut files);
    files
}

fn velero() -> String {
    let items = couchestor::sim::world::velero_crds();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// The controller runs with the ClusterRole of `kubernetes/couchestor.yaml`, the Role in its own namespace, and nothing more.
pub(crate) fn all_rights_that_the_manifests_give(server: &Server) {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes/couchestor.yaml"))
            .unwrap();
    let documents = couchestor::formats::yaml::load(&text).unwrap();
    let roles = documents
        .iter()
        .map(|document| document.to_json().unwrap())
        .filter(|object| object["kind"] == "ClusterRole" || object["kind"] == "Role");
    for role in roles {
        server.kubectl(&["apply", "--server-side", "-f", "-"], &role.to_string());
    }
    server.kubectl(
        &[
            "create",
            "clusterrolebinding",
            "couchestor",
            "--clusterrole=couchestor",
            "--user=couchestor",
        ],
        "",
    );
    let user = [
        "--role=couchestor",
        "--user=couchestor",
        "--namespace=couchestor-system",
    ];
    server.kubectl(
        &[&["create", "rolebinding", "couchestor"], &user[..]].concat(),
        "",
    );
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = Server::start();
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/world.yaml"))
            .unwrap();
        let world = World::read(&text).unwrap();
        let volumes: Vec<_> = world
            .claims
            .iter()
            .filter_map(|claim| claim.volume.clone())
            .collect();
        let mayastor = MayastorSim::start(&world.nodes, &world.pools, &volumes, Duration::from_secs(2))
            .await
            .unwrap();
        let prometheus = PrometheusSim::start().await.unwrap();
        let mut all: Vec<Value> = objects(&world);
        all.extend(
            all_crds()
                .into_iter()
                .map(|crd| serde_json::to_value(crd).unwrap()),
        );
        let key = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/demo.agekey"))
            .unwrap();
        all.push(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "homelab-age", "namespace": "couchestor-system"},
            "stringData": {"demo.agekey": key}}));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": all});
        server.kubectl(&["apply", "--server-side", "-f", "-"], &list.to_string());
        all_rights_that_the_manifests_give(&server);
        server.kubectl(&["apply", "--server-side", "-f", "-"], &velero());
        server.kubectl(
            &[
                "wait",
                "--for=condition=Established",
                "crd",
                "--all",
                "--timeout=30s",
            ],
            "",
        );
        let folder = tempfile::tempdir().unwrap();
        let bare = folder.path().join("repository.git");
        git::init_bare(&bare).unwrap();
        let url = format!("file://{}", bare.display());
        let repository = Repository::new(
            &url,
            &folder.path().join("person"),
            Credentials::default(),
            Duration::from_secs(20),
            true,
        )
        .unwrap();
        std::fs::write(
            folder.path().join("kubeconfig"),
            server.kubeconfig_of_couchestor(),
        )
        .unwrap();
        let cluster = Cluster::from_kubeconfig(&server.kubeconfig()).await.unwrap();
        Self {
            server,
            cluster,
            mayastor,
            prometheus,
            repository,
            folder,
            controller: None,
        }
    }

    pub(crate) fn start_controller(&mut self) {
        self.controller = Some(self.spawn("", &[]));
    }

    /// Starts a controller with a log and a cache of its own.
    pub(crate) fn spawn(&self, name: &str, more: &[&str]) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join(format!("{name}log")))
            .unwrap();
        Command::new(env!("CARGO_BIN_EXE_couchestor"))
            .arg("run")
            .arg("--kubeconfig")
            .arg(self.folder.path().join("kubeconfig"))
            .args([
                "--mayastor-url",
                &self.mayastor.url(),
                "--prometheus-url",
                &self.prometheus.url(),
            ])
            .arg("--cache-dir")
            .arg(self.folder.path().join(format!("{name}cache")))
            .args([
                "--allow-file-urls",
                "--sync-poll-interval-seconds",
                "0.3",
                "--log-level",
                "debug,hyper=info,kube=info,tower=info,h2=info,rustls=info",
            ])
            .args(["--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0"])
            .args(more)
            .stderr(log)
            .spawn()
            .unwrap()
    }

    pub(crate) fn kill_controller(&mut self) {
        if let Some(mut child) = self.controller.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) async fn commit(&self, lease: Lease, files: Vec<FileChange>, message: &str) -> CommitId {
        let who = Signature {
            name: "Ada Operator".into(),
            email: "ada@example.org".into(),
        };
        let parent = match &lease {
            Lease::At(commit) => Some(commit.clone()),
            Lease::Absent => None,
        };
        if parent.is_some() {
            self.repository.fetch("main").await.unwrap();
        }
        let now = couchestor::io::clock::now();
        self.repository
            .push_as(&who, "main", lease, parent, files, message.to_owned(), now)
            .await
            .unwrap()
    }

    fn source(&self) -> Value {
        let url = format!("file://{}", self.folder.path().join("repository.git").display());
        json!({"apiVersion": "storage.billyronks.io/v1", "kind": "PolicySource",
            "metadata": {"name": "homelab", "namespace": "couchestor-system"},
            "spec": {"url": url, "branch": "main", "path": "policies/homelab", "interval": "500ms", "timeout": "20s", "prune": true,
                "decryption": {"secretRef": {"name": "homelab-age"}}}})
    }

    pub(crate) async fn status(&self) -> couchestor::model::kinds::policy_source::PolicySourceStatus {
        let all: Vec<PolicySource> = self.cluster.list().await.unwrap();
        all.into_iter()
            .next()
            .and_then(|source| source.status)
            .unwrap_or_default()
    }

    pub(crate) async fn migrations(&self) -> Vec<VolumeMigration> {
        self.cluster.list().await.unwrap()
    }

    pub(crate) async fn wait<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let until = Instant::now() + STEP_MAX;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if Instant::now() > until {
                let tail = self.newest_lines();
                panic!(
                    "waited for {what}; status: {:#?}\nlog, newest first:\n{}",
                    self.status().await.conditions,
                    tail.join("\n")
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The end of each controller's log.
    fn newest_lines(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        let logs = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with("log"));
        let tail = |path: PathBuf| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.lines().rev().take(30).map(str::to_owned).collect::<Vec<_>>()
        };
        logs.flat_map(tail).collect()
    }

    /// Commit, apply, heat, proposal, merge.
    pub(crate) async fn up_to_the_merge(&mut self) -> CommitId {
        let tip = self
            .commit(Lease::Absent, policies(), "Describe the storage\n")
            .await;
        self.server
            .kubectl(&["apply", "--server-side", "-f", "-"], &self.source().to_string());
        if self.controller.is_none() {
            self.start_controller();
        }
        self.wait("the commit to be applied", async || {
            self.status()
                .await
                .last_applied_revision
                .filter(|revision| revision.ends_with(tip.as_str()))
        })
        .await;
        self.prometheus
            .set(&format!("pvc-{UUID}"), Some(Load::random(6120.0, 1.0)));
        let proposal = self
            .wait("a proposal", async || {
                self.status().await.proposals.into_iter().next()
            })
            .await;
        let moves: Vec<_> = proposal
            .moves
            .iter()
            .map(|one| (one.claim.as_str(), one.to.as_str()))
            .collect();
        assert_eq!(moves, [("data-0", "hot")]);
        let log = self.repository.log_branch(&proposal.branch, 1).await.unwrap();
        let content = self.repository.read_at(&log[0].commit, ASSIGNMENT).await.unwrap();
        let files = vec![FileChange {
            path: ASSIGNMENT.into(),
            content: Some(content),
        }];
        self.commit(Lease::At(tip), files, "Merge the proposal\n").await
    }

    pub(crate) async fn finished(&self, count: usize) -> Vec<VolumeMigration> {
        self.wait("migrations to end and to be recorded", async || {
            let all = self.migrations().await;
            let done = all
                .iter()
                .filter(|one| {
                    one.status
                        .as_ref()
                        .is_some_and(|status| status.audit_commit.is_some())
                })
                .count();
            (done >= count).then_some(all)
        })
        .await
    }

    pub(crate) fn pools(&self) -> Vec<String> {
        self.mayastor.with(|state| {
            state.volumes[UUID]
                .copies
                .iter()
                .map(|copy| copy.pool.clone())
                .collect()
        })
    }

    /// Each phase is an Event on the migration and on its claim, and kstatus reads that it is done.
    pub(super) fn everyone_was_told(&self, status: &VolumeMigrationStatus) {
        let columns = "jsonpath={range .items[*]}{.involvedObject.kind} {.type} {.reason}{\"\\n\"}{end}";
        let events = self
            .server
            .kubectl(&["get", "events", "--all-namespaces", "-o", columns], "");
        for about in ["VolumeMigration", "PersistentVolumeClaim"] {
            for phase in ["Analyze", "ScaleUp", "WaitSync", "ScaleDown", "Completed"] {
                let line = format!("{about} Normal {phase}");
                assert!(
                    events.lines().any(|one| one == line),
                    "{line} is missing in\n{events}"
                );
            }
        }
        let conditions: Vec<(&str, &str)> = status
            .conditions
            .iter()
            .map(|one| (one.type_.as_str(), one.status.as_str()))
            .collect();
        assert_eq!(conditions, [("Ready", "True")]);
        let listed = self.server.kubectl(&["get", "volumemigrations"], "");
        let head = listed.lines().next().unwrap_or_default();
        let head: Vec<&str> = head.split_whitespace().collect();
        let columns = "NAME NAMESPACE CLAIM FROM TO PHASE PROGRESS COPIED ETA AGE";
        assert_eq!(head.join(" "), columns, "{listed}");
    }

    /// `status`, `plan` and `audit`, as a person runs them once the volume has moved.
    pub(super) fn the_commands_tell_of_it(&self) {
        let run = |arguments: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .args(arguments)
                .env("KUBECONFIG", self.server.kubeconfig_path())
                .env("MAYASTOR_URL", self.mayastor.url())
                .env("PROMETHEUS_URL", self.prometheus.url())
                .env("SOPS_AGE_KEY_FILE", "policies/demo.agekey")
                .output()
                .unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let (code, text) = run(&["status"]);
        // No Velero runs here, so nothing is backed up, and that is told.
        let unready = "Velero has not looked at it yet";
        assert!(
            code == Some(1)
                && text.contains("Completed")
                && text.contains("db/data-0")
                && text.contains(unready),
            "{text}"
        );
        let (code, text) = run(&["plan", "policies/homelab"]);
        assert!(
            code == Some(0) && text.contains("already on hot"),
            "{code:?} {text}"
        );
        let bare = self.folder.path().join("repository.git");
        let (code, text) = run(&["audit", "--repository", bare.to_str().unwrap()]);
        assert!(
            code == Some(0) && text.contains("cold → hot") && text.contains("Ada Operator"),
            "{text}"
        );
        let (code, _) = run(&[
            "audit",
            "--repository",
            bare.to_str().unwrap(),
            "--branch",
            "nope",
        ]);
        assert_eq!(
            code,
            Some(1),
            "a branch that is not there is no branch without outcomes"
        );
    }

    /// Every copy that was removed, as the engine knows it, is justified by what stands on the audit branch.
    pub(crate) fn assert_justified(&self) {
        let (removals, records) = self.justified();
        say(&format!(
            "audit branch: {removals} removals are found justified in {records} records"
        ));
    }

    /// How many copies were removed, each of them justified, and how many records there are.
    fn justified(&self) -> (usize, usize) {
        let bare = self.folder.path().join("repository.git");
        let git = |arguments: &[&str]| {
            let read = Command::new("git")
                .arg("-C")
                .arg(&bare)
                .args(arguments)
                .output()
                .unwrap();
            assert!(
                read.status.success(),
                "{arguments:?}: {}",
                String::from_utf8_lossy(&read.stderr)
            );
            String::from_utf8(read.stdout).unwrap()
        };
        let files = git(&["ls-tree", "-r", "--name-only", "couchestor/audit", "migrations/"]);
        let records: Vec<Value> = files
            .lines()
            .map(|file| serde_json::from_str(&git(&["show", &format!("couchestor/audit:{file}")])).unwrap())
            .collect();
        let evidence: Vec<Removal> = records
            .iter()
            .flat_map(|record| record["removals"].as_array().cloned().unwrap_or_default())
            .map(|removal| serde_json::from_value(removal).unwrap())
            .collect();
        let removals = self.mayastor.with(|state| state.judge.removals.clone());
        assert!(!removals.is_empty(), "nothing was removed");
        let count = removals.len();
        for removal in removals {
            let found = evidence
                .iter()
                .find(|one| one.gone.as_deref() == Some(&removal.copy));
            let found = found.unwrap_or_else(|| panic!("{removal:?} stands nowhere in {records:#?}"));
            assert!(
                speaks_of(found, &removal).is_some() && found.epoch.is_some(),
                "{found:?} does not justify {removal:?}"
            );
            watched(found).unwrap_or_else(|wrong| panic!("{wrong}"));
            for copy in found.complete.iter().filter(|copy| **copy != removal.copy) {
                assert!(
                    removal.synced.contains(copy),
                    "{copy} was not complete: {removal:?}"
                );
            }
        }
        (count, records.len())
    }

    pub(crate) fn assert_intact(&self) {
        self.mayastor.with(|state| {
            assert!(
                state.volumes[UUID].fewest_synced >= 1,
                "a moment without a complete copy: {:?}",
                state.log
            );
            let held = state.judge.cordons.iter().filter(|held| held.until.is_none());
            assert_eq!(held.count(), 0, "a cordon stayed: {:?}", state.judge.cordons);
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kill_controller();
    }
}
