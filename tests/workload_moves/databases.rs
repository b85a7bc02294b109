//! A Cluster of CloudNativePG on the simulated API server: its operator, its instances and an application that writes are played, with
//! volumes that are directories; and the line, one turn after the other.

use super::world::{newest, text};
use crate::support::follow::Follow;
use crate::support::line;
use couchestor::formats::sops::Identities;
use couchestor::io::git::{Credentials, Repository};
use couchestor::model::kinds::policy_source::PolicySourceStatus;
use couchestor::sim::kubernetes::KubernetesSim;
use couchestor::turn::{Memory, Turned, turn};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

pub const SPACE: &str = "pg";
pub const FILE: &str = "p/assignments/rollouts/onto-fast/databases.yaml";

pub const ROLLOUT: &str = "apiVersion: storage.billyronks.io/v1
kind: Rollout
metadata: {name: onto-fast}
spec:
  storageClassName: fast
  phases:
  - name: databases
    method: cnpg
    workloads: [{namespace: pg, selector: {matchLabels: {cnpg.io/cluster: x}}}]
";

/// Turns and moments of everybody else in which a move comes to its end.
const TURNS: usize = 150;

/// How many instances there are, each with a claim for its data and one for its WAL.
pub const INSTANCES: usize = 3;
/// Roles of claims, what their names end in, and the field of the Cluster's spec that speaks of them.
pub const ROLES: [(&str, &str, &str); 2] = [("PG_DATA", "", "storage"), ("PG_WAL", "-wal", "walStorage")];

pub const HEALTHY: &str = "Cluster in healthy state";

/// The Cluster as Git has it, on a class.
pub fn cluster_on(class: &str) -> Value {
    let storage = json!({"size": "1Gi", "storageClass": class});
    json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "x", "namespace": SPACE},
        "spec": {"instances": INSTANCES, "storage": storage, "walStorage": storage}})
}

/// A claim of an instance, as the operator makes it.
pub fn claim_of(instance: &str, (role, ends, _): (&str, &str, &str), class: &Value) -> Value {
    let labels = json!({"cnpg.io/cluster": "x", "cnpg.io/instanceName": instance, "cnpg.io/pvcRole": role});
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": format!("{instance}{ends}"), "namespace": SPACE, "labels": labels},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}})
}

/// The pod of an instance, likewise.
pub fn pod_of(instance: &str) -> Value {
    let volumes = ROLES.map(|(_, ends, field)| {
        json!({"name": field.to_lowercase(), "persistentVolumeClaim": {"claimName": format!("{instance}{ends}")}})
    });
    let labels =
        json!({"cnpg.io/cluster": "x", "cnpg.io/podRole": "instance", "cnpg.io/instanceName": instance});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": instance, "namespace": SPACE, "labels": labels},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "postgres", "image": "postgres"}], "volumes": volumes}})
}

/// What the operator says of the Cluster: who leads, the instances that have all of their claims, and the pods with how many are ready.
pub fn status_of(primary: &str, whole: &[&String], pods: &[Value], ready: usize) -> Value {
    let well = ready == INSTANCES && whole.len() == INSTANCES && pods.len() == INSTANCES;
    let reported = pods.iter().map(|pod| {
        let name = text(pod, "/metadata/name").to_owned();
        let state = json!({"isPrimary": name == primary, "timeLineID": 1});
        (name, state)
    });
    json!({"currentPrimary": primary, "targetPrimary": primary, "instances": whole.len(), "readyInstances": ready,
        "instanceNames": whole, "instancesReportedState": reported.collect::<serde_json::Map<_, _>>(),
        "phase": if well { HEALTHY } else { "Creating a new replica" },
        "conditions": [{"type": "Ready", "status": if well { "True" } else { "False" }}]})
}

pub fn crd(kind: &str, plural: &str) -> Value {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.postgresql.cnpg.io")},
        "spec": {"group": "postgresql.cnpg.io", "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": any}}]}})
}

/// The cluster, the repository, and what the controller remembers.
pub struct Databases {
    pub follow: Follow,
    volumes: tempfile::TempDir,
    outside: couchestor::turn::World,
    repository: Repository,
    memory: Memory,
    before: PolicySourceStatus,
    /// Whether the operator lives, and whether what it makes becomes ready.
    pub operator: bool,
    pub clones: bool,
    /// Rows that the application has written.
    pub rows: usize,
    /// Instances that may be missing: more than one by what a test does itself.
    pub may_miss: usize,
}

impl Databases {
    pub async fn new() -> Self {
        let follow = Follow::new().await;
        let outside = line::outside(&follow.running, None).await;
        let bare = follow.folder.path().join("bare.git");
        follow.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
        couchestor::io::git::init_bare(&bare).unwrap();
        follow.commit("p/rollout.yaml", ROLLOUT, &[]);
        follow.git(&["push", "-q", "origin", "main"]);
        let url = format!("file://{}", bare.display());
        let clone = follow.folder.path().join("clone");
        let timeout = Duration::from_secs(20);
        let repository = Repository::new(&url, &clone, Credentials::default(), timeout, true).unwrap();
        let mut world = Self {
            follow,
            volumes: tempfile::tempdir().unwrap(),
            outside,
            repository,
            memory: Memory::default(),
            before: PolicySourceStatus::default(),
            operator: true,
            clones: true,
            rows: 0,
            may_miss: INSTANCES,
        };
        world.furnish();
        world
    }

    fn furnish(&mut self) {
        self.put(crd("Cluster", "clusters"));
        self.put(crd("Backup", "backups"));
        for class in ["slow", "fast"] {
            self.put(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": class},
                "provisioner": "example.org/disk", "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"}));
        }
        self.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}));
        self.put(cluster_on("slow"));
        for _ in 0..20 {
            self.tick();
        }
        assert_eq!(self.phase_of_cluster(), HEALTHY);
        self.may_miss = 1;
    }

    pub fn sim(&self) -> &KubernetesSim {
        &self.follow.running.kubernetes
    }

    pub fn put(&self, object: Value) -> Value {
        self.sim().put(object).unwrap()
    }

    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let inside = ["Cluster", "Pod", "PersistentVolumeClaim", "Backup"].contains(&kind);
        self.sim().get(kind, inside.then_some(SPACE), name)
    }

    fn within(&self, kind: &str) -> Vec<Value> {
        let mut all = self.sim().list(kind);
        all.retain(|one| text(one, "/metadata/namespace") == SPACE);
        all
    }

    pub fn cluster(&self) -> Value {
        self.get("Cluster", "x").unwrap()
    }

    fn phase_of_cluster(&self) -> String {
        text(&self.cluster(), "/status/phase").to_owned()
    }

    pub fn primary(&self) -> String {
        text(&self.cluster(), "/status/currentPrimary").to_owned()
    }

    /// What Git says of the Cluster, as Flux applies it.
    pub fn class(&self, class: &str) {
        let mut cluster = self.cluster();
        for (_, _, field) in ROLES {
            cluster["spec"][field]["storageClass"] = json!(class);
        }
        self.put(cluster);
    }

    fn folder(&self, volume: &str) -> PathBuf {
        self.volumes.path().join(volume)
    }

    /// The rows on a volume.
    pub fn rows_on(&self, volume: &str) -> usize {
        let rows = std::fs::read_to_string(self.folder(volume).join("rows"));
        rows.map_or(0, |rows| rows.lines().count())
    }

    pub fn volumes_of(&self, class: &str) -> BTreeSet<String> {
        let claims = self.within("PersistentVolumeClaim");
        let on = claims
            .iter()
            .filter(|one| text(one, "/spec/storageClassName") == class);
        on.map(|one| text(one, "/spec/volumeName").to_owned()).collect()
    }

    /// Promotes the phase, with all of its claims.
    pub fn promote(&self, more: &str) {
        let known = self.get("Rollout", "onto-fast").unwrap();
        let fingerprint = text(&known, "/status/phases/0/fingerprint").to_owned();
        assert!(!fingerprint.is_empty(), "{known:#}");
        let claims = self.within("PersistentVolumeClaim");
        let claims: Vec<String> = claims
            .iter()
            .map(|one| format!("{SPACE}/{}", text(one, "/metadata/name")))
            .collect();
        let file = format!(
            "apiVersion: storage.billyronks.io/v1\nkind: RolloutPromotion\nmetadata: {{name: onto-fast.databases}}\nspec:\n  \
             rollout: onto-fast\n  phase: databases\n  fingerprint: {fingerprint:?}\n  claims: [{}]\n{more}",
            claims.join(", ")
        );
        self.follow.commit(FILE, &file, &[]);
        self.follow.git(&["push", "-q", "origin", "main"]);
    }

    /// Takes the promotion out.
    pub fn demote(&self) {
        self.follow.git(&["rm", "-q", FILE]);
        self.follow.git(&["commit", "-q", "-m", "back"]);
        self.follow.git(&["push", "-q", "origin", "main"]);
    }

    /// The controller is another process from now on.
    pub fn restart(&mut self) {
        self.memory = Memory::default();
    }

    /// One turn.
    pub async fn turn(&mut self) -> Turned {
        let identities = Identities::default();
        let source = line::source(&self.repository, &identities);
        let turned = turn(&self.outside, &source, &self.before, &mut self.memory).await;
        let turned = turned.unwrap_or_default();
        if let Some(inventory) = &turned.inventory {
            self.before.inventory = Some(inventory.clone());
        }
        turned
    }

    pub async fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn().await;
            self.tick();
        }
    }

    /// The move that is under way, or else the one that has ended last.
    pub fn newest(&self) -> Option<Value> {
        newest(self.sim())
    }

    pub fn phase(&self) -> String {
        self.newest()
            .map_or(String::new(), |one| text(&one, "/status/phase").to_owned())
    }

    /// What is said of the phase's promotion.
    pub fn told(&self) -> String {
        let rollout = self.get("Rollout", "onto-fast").unwrap();
        text(&rollout, "/status/phases/0/promotion").to_owned()
    }

    /// Turns until the newest of so many moves has ended in this phase and nothing is under way.
    pub async fn until(&mut self, moves: usize, phase: &str) {
        for _ in 0..TURNS {
            self.turns(1).await;
            if self.sim().list("WorkloadMove").len() == moves && self.phase() == phase {
                return;
            }
        }
        panic!(
            "{moves} moves, {phase} never came: {:#?} {} {:#?}",
            self.sim().list("WorkloadMove"),
            self.told(),
            self.cluster()
        );
    }

    /// One moment of everybody else.
    pub fn tick(&mut self) {
        self.invariants();
        self.claims();
        if self.operator {
            self.operate();
        }
        self.write();
    }

    fn is_ready(pod: &Value) -> bool {
        text(pod, "/status/conditions/0/status") == "True"
    }

    /// What must hold whatever is done, and wherever it is broken off.
    fn invariants(&self) {
        let ready = self
            .within("Pod")
            .iter()
            .filter(|pod| Self::is_ready(pod))
            .count();
        assert!(
            ready + self.may_miss >= INSTANCES,
            "{ready} of {INSTANCES} are ready"
        );
        let primary = self.primary();
        for claim in self.within("PersistentVolumeClaim") {
            if claim["metadata"]["deletionTimestamp"].is_null() {
                continue;
            }
            assert_ne!(
                text(&claim, "/metadata/labels/cnpg.io~1instanceName"),
                primary,
                "a claim of the primary is being deleted"
            );
            let volume = self
                .get("PersistentVolume", text(&claim, "/spec/volumeName"))
                .unwrap();
            assert_eq!(
                text(&volume, "/spec/persistentVolumeReclaimPolicy"),
                "Retain",
                "a claim goes whose volume goes too"
            );
        }
    }

    /// The controllers of claims and volumes: a claim that a pod uses stays until that is gone.
    fn claims(&self) {
        for claim in self.within("PersistentVolumeClaim") {
            let name = text(&claim, "/metadata/name");
            let instance = text(&claim, "/metadata/labels/cnpg.io~1instanceName");
            if claim["metadata"]["deletionTimestamp"].is_null() || self.get("Pod", instance).is_some() {
                continue;
            }
            self.sim().remove("PersistentVolumeClaim", Some(SPACE), name);
            let volume = text(&claim, "/spec/volumeName");
            let mut volume = self.get("PersistentVolume", volume).unwrap();
            assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Retain");
            volume["status"]["phase"] = json!("Released");
            self.put(volume);
        }
        for volume in self.sim().list("PersistentVolume") {
            let released = text(&volume, "/status/phase") == "Released";
            if released && text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete" {
                let name = text(&volume, "/metadata/name");
                self.sim().remove("PersistentVolume", None, name);
                std::fs::remove_dir_all(self.folder(name)).unwrap();
            }
        }
    }

    /// Makes the claims of an instance that are not there, on volumes with what the primary holds.
    fn make(&self, serial: usize) {
        let (instance, primary) = (format!("x-{serial}"), self.primary());
        for one @ (role, ends, field) in ROLES {
            let name = format!("{instance}{ends}");
            if self.get("PersistentVolumeClaim", &name).is_some() {
                continue;
            }
            let class = self.cluster()["spec"][field]["storageClass"].clone();
            let mut claim = claim_of(&instance, one, &class);
            claim["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
            let claim = self.put(claim);
            let uid = text(&claim, "/metadata/uid").to_owned();
            let volume = format!("pv-{uid}");
            std::fs::create_dir_all(self.folder(&volume)).unwrap();
            let of = self.get("PersistentVolumeClaim", &primary);
            if let Some(of) = of.filter(|_| role == "PG_DATA") {
                let from = self.folder(text(&of, "/spec/volumeName")).join("rows");
                if from.exists() {
                    std::fs::copy(from, self.folder(&volume).join("rows")).unwrap();
                }
            }
            self.put(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
                "spec": {"storageClassName": class, "persistentVolumeReclaimPolicy": "Delete", "accessModes": ["ReadWriteOnce"],
                    "capacity": {"storage": "1Gi"}, "csi": {"driver": "example.org", "volumeHandle": volume},
                    "claimRef": {"namespace": SPACE, "name": name, "uid": uid}},
                "status": {"phase": "Bound"}}));
            let mut claim = claim;
            claim["spec"]["volumeName"] = json!(volume);
            claim["status"] = json!({"phase": "Bound"});
            self.put(claim);
        }
    }

    fn operate(&mut self) {
        let mut cluster = self.cluster();
        let status = |field: &str| text(&cluster["status"], &format!("/{field}")).to_owned();
        let (mut primary, target) = (status("currentPrimary"), status("targetPrimary"));
        let ready = |name: &str| self.get("Pod", name).is_some_and(|pod| Self::is_ready(&pod));
        if primary != target && ready(&target) {
            primary.clone_from(&target);
        }
        let pods: BTreeSet<String> = self.names("Pod", "/metadata/name");
        if !primary.is_empty() && !pods.contains(&primary) {
            primary = pods.iter().find(|one| ready(one)).cloned().unwrap_or(primary);
        }
        let live = |one: &Value| one["metadata"]["deletionTimestamp"].is_null();
        let claims: Vec<Value> = self
            .within("PersistentVolumeClaim")
            .into_iter()
            .filter(live)
            .collect();
        let of = |instance: &str| {
            let mine = |one: &&Value| text(one, "/metadata/labels/cnpg.io~1instanceName") == instance;
            claims.iter().filter(mine).count()
        };
        let instances: Vec<String> = (1..=INSTANCES).map(|serial| format!("x-{serial}")).collect();
        let whole: Vec<&String> = instances.iter().filter(|one| of(one) == ROLES.len()).collect();
        let podless = whole.iter().find(|one| !pods.contains(**one));
        let terminating = |name: &str| {
            self.get("PersistentVolumeClaim", name)
                .is_some_and(|one| !live(&one))
        };
        let free = (1..=INSTANCES).find(|serial| {
            let name = format!("x-{serial}");
            !whole.contains(&&name)
                && !terminating(&name)
                && !terminating(&format!("{name}-wal"))
                && !pods.contains(&name)
        });
        let all_ready = pods.iter().all(|one| ready(one));
        if let Some(instance) = podless {
            let mut pod = pod_of(instance);
            pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]});
            self.put(pod);
        } else if let Some(serial) = free.filter(|_| all_ready) {
            self.make(serial);
        } else if self.clones {
            for mut pod in self.within("Pod") {
                if !Self::is_ready(&pod) {
                    pod["status"]["conditions"][0]["status"] = json!("True");
                    self.put(pod);
                }
            }
        }
        if primary.is_empty() && !self.names("Pod", "/metadata/name").is_empty() {
            primary = "x-1".to_owned();
        }
        for mut pod in self.within("Pod") {
            let role = if text(&pod, "/metadata/name") == primary {
                "primary"
            } else {
                "replica"
            };
            if text(&pod, "/metadata/labels/cnpg.io~1instanceRole") != role {
                pod["metadata"]["labels"]["cnpg.io/instanceRole"] = json!(role);
                self.put(pod);
            }
        }
        let pods = self.within("Pod");
        let ready = pods.iter().filter(|pod| Self::is_ready(pod)).count();
        let now = status_of(&primary, &whole, &pods, ready);
        if cluster["status"] != now {
            cluster["status"] = now;
            self.put(cluster);
        }
    }

    pub fn names(&self, kind: &str, pointer: &str) -> BTreeSet<String> {
        let all = self.within(kind);
        all.iter().map(|one| text(one, pointer).to_owned()).collect()
    }

    fn is_up(&self, instance: &str) -> bool {
        self.get("Pod", instance).is_some_and(|pod| Self::is_ready(&pod))
    }

    /// The application writes a row, which every instance that is ready gets.
    fn write(&mut self) {
        let primary = self.primary();
        if !self.is_up(&primary) {
            return;
        }
        self.rows += 1;
        let rows: String = (1..=self.rows).map(|row| format!("{row}\n")).collect();
        for pod in self.names("Pod", "/metadata/name") {
            let claim = self
                .get("PersistentVolumeClaim", &pod)
                .filter(|_| self.is_up(&pod));
            if let Some(claim) = claim {
                let volume = self.folder(text(&claim, "/spec/volumeName"));
                std::fs::write(volume.join("rows"), &rows).unwrap();
            }
        }
    }
}
