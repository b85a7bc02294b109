//! The controller as a process against a real API server, with Mayastor and Prometheus simulated: the whole loop, and the
//! same with the process killed in every act of the journal.

use crate::support::cluster::Cluster as Server;
use crate::support::servers;
use couchestor::io::cluster::Cluster;
use couchestor::io::git::{self, Credentials, Lease, Repository, Signature};
use couchestor::model::ids::CommitId;
use couchestor::model::kinds::volume_migration::{Phase, Removal, VolumeMigration, VolumeMigrationStatus};
use couchestor::model::kinds::{PolicySource, StorageTier, TierAssignment, all_crds};
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
    ["BackupStorageLocation:backupstoragelocations", "Schedule:schedules"]
        .iter()
        .map(|pair| {
            let (kind, plural) = pair.split_once(':').unwrap();
            format!(
                "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.velero.io}}\n\
                 spec:\n  group: velero.io\n  scope: Namespaced\n  names: {{kind: {kind}, plural: {plural}}}\n  versions:\n\
                 \x20 - name: v1\n    served: true\n    storage: true\n    schema:\n      openAPIV3Schema: {{type: object, \
                 x-kubernetes-preserve-unknown-fields: true}}\n"
            )
        })
        .collect()
}

/// The controller runs with the ClusterRole of `kubernetes/couchestor.yaml` and nothing more.
fn all_rights_that_the_manifests_give(server: &Server) {
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
    fn everyone_was_told(&self, status: &VolumeMigrationStatus) {
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
    fn the_commands_tell_of_it(&self) {
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
        assert!(
            code == Some(0) && text.contains("Completed") && text.contains("db/data-0"),
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
        for removal in removals {
            let found = evidence
                .iter()
                .find(|one| one.gone.as_deref() == Some(&removal.copy));
            let found = found.unwrap_or_else(|| panic!("{removal:?} stands nowhere in {records:#?}"));
            assert!(
                found.asked && found.complete.len() >= usize::from(found.copies),
                "{found:?}"
            );
            for copy in &found.complete {
                assert!(
                    removal.synced.contains(copy),
                    "{copy} was not complete: {removal:?}"
                );
            }
        }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_reaches_the_cluster_heat_becomes_a_proposal_a_merge_moves_the_volume_and_a_revert_moves_it_back()
 {
    if servers::left_out("the whole loop") {
        return;
    }
    let mut stage = Stage::set().await;
    let merged = stage.up_to_the_merge().await;
    let all = stage.finished(1).await;
    let status = all[0].status.clone().unwrap();
    assert_eq!(status.phase, Phase::Completed, "{}", status.message);
    assert!(stage.pools()[0].starts_with("nvme-"), "{:?}", stage.pools());
    stage.assert_intact();
    stage.everyone_was_told(&status);
    stage.assert_justified();

    let audit = stage.repository.log_branch("couchestor/audit", 10).await.unwrap();
    assert_eq!(audit.len(), 1);
    for line in [
        "Claim: db/data-0".to_owned(),
        "Result: Completed".to_owned(),
        "Approved-By: Ada Operator <ada@example.org>".to_owned(),
        format!("Approved-Revision: {merged}"),
    ] {
        assert!(
            audit[0].message.contains(&line),
            "{line} is missing in {}",
            audit[0].message
        );
    }
    stage
        .wait("statuses", async || {
            let assignments: Vec<TierAssignment> = stage.cluster.list().await.unwrap();
            let tiers: Vec<StorageTier> = stage.cluster.list().await.unwrap();
            let placed = assignments.iter().any(|one| {
                one.status
                    .as_ref()
                    .is_some_and(|status| status.phase.as_deref() == Some("Placed"))
            });
            let hot = tiers.iter().any(|one| {
                one.metadata.name.as_deref() == Some("hot")
                    && one.status.as_ref().is_some_and(|status| status.volumes == 1)
            });
            (placed && hot).then_some(())
        })
        .await;
    let classes = stage.server.kubectl(&["get", "storageclass", "-o", "name"], "");
    assert!(
        classes.contains("mayastor") && classes.contains("openebs-hostpath"),
        "{classes}"
    );

    stage.the_commands_tell_of_it();
    let gone = vec![FileChange {
        path: ASSIGNMENT.into(),
        content: None,
    }];
    stage.commit(Lease::At(merged), gone, "Revert the move\n").await;
    let all = stage.finished(2).await;
    assert!(all.iter().all(|one| {
        one.status
            .as_ref()
            .is_some_and(|status| status.phase == Phase::Completed)
    }));
    assert!(stage.pools()[0].starts_with("sata-"), "{:?}", stage.pools());
    stage.assert_intact();
    stage
        .wait("the reverted proposal to be left alone", async || {
            stage
                .status()
                .await
                .proposals
                .iter()
                .all(|one| format!("{:?}", one.state) != "Open")
                .then_some(())
        })
        .await;
}

/// What the journal says of each act. Records between which nothing is done follow each other at once; every act lasts a second.
const ACTS: [&str; 6] = [
    "cordon pool",
    "ask for 2 copies",
    "release our cordons",
    "is being filled",
    "cordon node",
    "ask for 1 copies",
];

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_every_act_of_the_journal_a_migration_ends_in_the_same_state() {
    if servers::left_out("killed in every act of the journal") {
        return;
    }
    let mut stage = Stage::set().await;
    // Each change takes a while, before and after it is done, so that the kill falls on either side of it.
    stage
        .mayastor
        .with(|state| state.change_takes = Duration::from_secs(1));
    // Calls are given up after five seconds: a new leadership waits for ten, and not for sixty.
    let impatient = ["--mayastor-timeout-seconds", "5"];
    stage.controller = Some(stage.spawn("", &impatient));
    let merged = stage.up_to_the_merge().await;
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let (mut killed_at, mut random) = (Vec::<&str>::new(), seed);
    // After each kill the next leadership waits for the call that may be under way still.
    let until = Instant::now() + Duration::from_secs(60) * u32::try_from(ACTS.len()).unwrap();
    loop {
        assert!(Instant::now() < until, "{:#?}", stage.migrations().await);
        let status = stage
            .migrations()
            .await
            .into_iter()
            .next()
            .and_then(|one| one.status)
            .unwrap_or_default();
        if status.phase.is_final() && status.audit_commit.is_some() {
            assert_eq!(status.phase, Phase::Completed, "{}", status.message);
            break;
        }
        let note = status.journal.last().map(|record| record.note.clone());
        let acts = |act: &&&str| note.as_ref().is_some_and(|note| note.contains(**act));
        // A leadership that takes over makes a record of its own, so each act is killed once.
        if let Some(act) = ACTS.iter().find(acts).filter(|act| !killed_at.contains(act)) {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            tokio::time::sleep(Duration::from_millis((random >> 33) % 800)).await;
            stage.kill_controller();
            killed_at.push(act);
            stage.controller = Some(stage.spawn("", &impatient));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for act in ACTS {
        assert!(
            killed_at.contains(&act),
            "never killed at {act:?}: {killed_at:#?}"
        );
    }
    assert!(
        stage.pools().len() == 1 && stage.pools()[0].starts_with("nvme-"),
        "{:?}",
        stage.pools()
    );
    stage.assert_intact();
    stage.assert_justified();
    let audit = stage.repository.log_branch("couchestor/audit", 10).await.unwrap();
    assert_eq!(audit.len(), 1, "one outcome is recorded once");
    assert!(audit[0].message.contains(&format!("Approved-Revision: {merged}")));
    assert_eq!(stage.migrations().await.len(), 1);
}
