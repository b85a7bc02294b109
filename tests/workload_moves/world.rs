//! A namespace with a StatefulSet whose volume is a real directory, on the simulated API server; everybody who lives there, played; and the
//! line, one turn after the other.

use crate::forges::world::{Host, World as Hub, credentials};
use crate::support::follow::Follow;
use crate::support::line;
pub use crate::support::objects::text;
use crate::support::velero_played::{kinds, others};
use couchestor::formats::sops::Identities;
use couchestor::io::git::{Credentials, Repository};
use couchestor::model::kinds::policy_source::PolicySourceStatus;
use couchestor::sim::kubernetes::KubernetesSim;
use couchestor::turn::leaving::orphans;
use couchestor::turn::{Memory, Source, Turned, turn};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

pub const SPACE: &str = "shop";
pub const CLAIM: &str = "data-shop-0";
/// A second claim of the same pod, in some worlds.
pub const SECOND: &str = "logs-shop-0";
pub const FILE: &str = "p/assignments/rollouts/onto-fast/shops.yaml";

pub const ROLLOUT: &str = "apiVersion: storage.billyronks.io/v1
kind: Rollout
metadata: {name: onto-fast}
spec:
  storageClassName: fast
  phases:
  - name: shops
    workloads: [{namespace: shop}]
";

/// Turns and moments of everybody else in which a move comes to its end.
const TURNS: usize = 120;

/// The move that is under way, or else the one that has ended last.
pub fn newest(sim: &KubernetesSim) -> Option<Value> {
    let mut all = sim.list("WorkloadMove");
    all.sort_by_key(|one| {
        let at = text(one, "/status/finishedAt").to_owned();
        (at.is_empty(), at)
    });
    all.pop()
}

/// The cluster, the repository, and what the controller remembers.
pub struct World {
    pub hub: Option<Hub>,
    pub follow: Follow,
    volumes: tempfile::TempDir,
    /// The claims of the shop's pod.
    pub claims: &'static [&'static str],
    outside: couchestor::turn::World,
    repository: Repository,
    memory: Memory,
    pub before: PolicySourceStatus,
    /// Whether classes make volumes.
    pub provisions: bool,
    /// Whether what is copied loses a byte before it is compared.
    pub loses_a_byte: bool,
    /// Keys of encrypted files.
    pub identities: Identities,
    /// What the source and the controller's options say beside what they mostly do.
    pub says: fn(&mut Source<'_>),
}

impl World {
    /// A shop on class `slow`, and a rollout whose phase is open.
    pub async fn new() -> Self {
        Self::with(None).await
    }

    /// The same with a forge.
    pub async fn with(hub: Option<Hub>) -> Self {
        Self::of(hub, &[CLAIM]).await
    }

    /// A shop with two claims, which move together.
    pub async fn of_two() -> Self {
        Self::of(None, &[CLAIM, SECOND]).await
    }

    async fn of(hub: Option<Hub>, claims: &'static [&'static str]) -> Self {
        let follow = Follow::new().await;
        let outside = line::outside(&follow.running, None).await;
        // What is pushed to has no work tree.
        let bare = match &hub {
            Some(Hub {
                host: Host::Sim(sim), ..
            }) => sim.repository().to_owned(),
            _ => follow.folder.path().join("bare.git"),
        };
        let here = format!("file://{}", bare.display());
        let (url, of_a_person, credentials) = match &hub {
            Some(Hub {
                host: Host::Gitea(repository),
                token,
                ..
            }) => {
                let url = repository.git_url();
                let with_token = format!("http://ann:{}@", repository.gitea.token("ann"));
                (
                    url.clone(),
                    url.replacen("http://", &with_token, 1),
                    credentials(token),
                )
            }
            _ => (here.clone(), here, Credentials::default()),
        };
        follow.git(&["remote", "add", "origin", &of_a_person]);
        match &hub {
            Some(_) => {
                follow.git(&["fetch", "-q", "origin"]);
                follow.git(&["reset", "-q", "--hard", "origin/main"]);
            }
            None => couchestor::io::git::init_bare(&bare).unwrap(),
        }
        follow.commit("p/rollout.yaml", ROLLOUT, &[]);
        follow.git(&["push", "-q", "origin", "main"]);
        let clone = follow.folder.path().join("clone");
        let timeout = Duration::from_secs(20);
        let repository = Repository::new(&url, &clone, credentials, timeout, true).unwrap();
        let world = Self {
            hub,
            follow,
            volumes: tempfile::tempdir().unwrap(),
            claims,
            outside,
            repository,
            memory: Memory::default(),
            before: PolicySourceStatus::default(),
            provisions: true,
            loses_a_byte: false,
            identities: Identities::default(),
            says: |_| {},
        };
        for kind in kinds().into_iter().chain(others()) {
            world.put(kind);
        }
        world.furnish();
        world
    }

    fn furnish(&self) {
        for class in ["slow", "fast"] {
            self.put(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": class},
                "provisioner": "example.org/disk", "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"}));
        }
        self.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}));
        let labels = json!({"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
        self.put(json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "shop", "namespace": SPACE, "labels": labels, "generation": 1},
            "spec": {"replicas": 1, "serviceName": "shop", "selector": {"matchLabels": {"app": "shop"}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
                "template": {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "shop", "image": "shop"}]}}}}));
        self.put(
            json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "apps", "namespace": "flux-system"}, "spec": {"path": "./apps"}}),
        );
        for _ in 0..3 {
            self.tick();
        }
        let home = self.directory(CLAIM).unwrap();
        std::fs::create_dir_all(home.join("sub dir")).unwrap();
        std::fs::write(home.join("sub dir/orders"), "1 2 3").unwrap();
        std::os::unix::fs::symlink("sub dir/orders", home.join("newest")).unwrap();
        for claim in self.claims {
            std::fs::write(self.directory(claim).unwrap().join("whose"), claim).unwrap();
        }
    }

    pub fn sim(&self) -> &KubernetesSim {
        &self.follow.running.kubernetes
    }

    pub fn put(&self, object: Value) -> Value {
        self.sim().put(object).unwrap()
    }

    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let namespace = match kind {
            "PersistentVolume" | "StorageClass" | "WorkloadMove" | "Rollout" | "RolloutPromotion" => None,
            "Kustomization" => Some("flux-system"),
            _ => Some(SPACE),
        };
        self.sim().get(kind, namespace, name)
    }

    fn all(&self, kind: &str) -> Vec<Value> {
        let all = self.sim().list(kind).into_iter();
        all.filter(|one| {
            text(one, "/metadata/namespace") == SPACE || text(one, "/metadata/namespace").is_empty()
        })
        .collect()
    }

    fn folder(&self, volume: &str) -> PathBuf {
        self.volumes.path().join(volume)
    }

    /// The directory that the volume of a bound claim is.
    pub fn directory(&self, claim: &str) -> Option<PathBuf> {
        let claim = self.get("PersistentVolumeClaim", claim)?;
        let bound = text(&claim, "/status/phase") == "Bound";
        bound.then(|| self.folder(text(&claim, "/spec/volumeName")))
    }

    /// The volume of the shop's first claim.
    pub fn volume(&self) -> Value {
        self.volume_of(CLAIM)
    }

    /// The volume of a claim.
    pub fn volume_of(&self, claim: &str) -> Value {
        let claim = self.get("PersistentVolumeClaim", claim).unwrap();
        self.get("PersistentVolume", text(&claim, "/spec/volumeName"))
            .unwrap()
    }

    /// Lines that the shop has written, one for each time that it was started.
    pub fn log(&self) -> usize {
        let log = self
            .directory(CLAIM)
            .map(|home| std::fs::read_to_string(home.join("log")).unwrap_or_default());
        log.map_or(0, |log| log.lines().count())
    }

    /// The promotion of the phase of a rollout, as a person writes it.
    pub fn promotion(&self, rollout: &str, more: &str) -> String {
        let known = self.get("Rollout", rollout).unwrap();
        let fingerprint = text(&known, "/status/phases/0/fingerprint").to_owned();
        assert!(!fingerprint.is_empty(), "{known:#}");
        let claims: Vec<String> = self.claims.iter().map(|claim| format!("shop/{claim}")).collect();
        let claims = claims.join(", ");
        format!(
            "apiVersion: storage.billyronks.io/v1\nkind: RolloutPromotion\nmetadata: {{name: {rollout}.shops}}\nspec:\n  rollout: {rollout}\n  \
             phase: shops\n  fingerprint: {fingerprint:?}\n  claims: [{claims}]\n{more}"
        )
    }

    /// Promotes the phase.
    pub fn promote(&self, more: &str) {
        let file = self.promotion("onto-fast", more);
        self.follow.commit(FILE, &file, &[]);
        self.follow.git(&["push", "-q", "origin", "main"]);
    }

    /// Takes the promotion out.
    pub fn demote(&self) {
        self.follow.git(&["pull", "-q", "--ff-only", "origin", "main"]);
        self.follow.git(&["rm", "-q", FILE]);
        self.follow.git(&["commit", "-q", "-m", "back"]);
        self.follow.git(&["push", "-q", "origin", "main"]);
    }

    /// Changes the promotion's file.
    pub fn amend(&self, from: &str, to: &str) {
        self.follow.git(&["pull", "-q", "--ff-only", "origin", "main"]);
        let text = std::fs::read_to_string(self.follow.folder.path().join("repository").join(FILE)).unwrap();
        assert!(text.contains(from), "{text}");
        self.follow.commit(FILE, &text.replace(from, to), &[]);
        self.follow.git(&["push", "-q", "origin", "main"]);
    }

    /// Some turns, in which nothing new is to happen.
    pub async fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn().await;
            self.tick();
        }
    }

    /// The controller is another process from now on: nothing is remembered.
    pub fn restart(&mut self) {
        self.memory = Memory::default();
    }

    /// One turn.
    pub async fn turn(&mut self) -> Turned {
        let mut source = Source {
            forge: self.hub.as_ref().map(|hub| &hub.forge),
            // Whatever has happened on the forge is looked at.
            hinted: self.hub.is_some(),
            ..line::source(&self.repository, &self.identities)
        };
        (self.says)(&mut source);
        let turned = turn(&self.outside, &source, &self.before, &mut self.memory).await;
        let turned = turned.unwrap_or_default();
        if let Some(inventory) = &turned.inventory {
            self.before.inventory = Some(inventory.clone());
        }
        if let Some(merges) = &turned.merges {
            self.before.merges.clone_from(merges);
        }
        if let Some(proposed) = &turned.proposed {
            self.before.proposals.clone_from(&proposed.records);
        }
        for failure in turned
            .failures
            .iter()
            .filter(|one| !one.reason.contains("Mayastor"))
        {
            crate::support::say(&format!("{}: {}", failure.reason, failure.message));
        }
        turned
    }

    /// What is left of the moves of sources when none is there any more.
    pub async fn orphans(&self) -> usize {
        orphans(&self.outside, &BTreeSet::new()).await.unwrap()
    }

    /// The move that is under way, or else the one that has ended last.
    pub fn newest(&self) -> Option<Value> {
        newest(self.sim())
    }

    pub fn phase(&self) -> String {
        self.newest()
            .map_or(String::new(), |one| text(&one, "/status/phase").to_owned())
    }

    /// Turns until the newest of so many moves has ended in this phase and nothing is under way.
    pub async fn until(&mut self, moves: usize, phase: &str) {
        for _ in 0..TURNS {
            self.turn().await;
            self.tick();
            if self.sim().list("WorkloadMove").len() == moves && self.phase() == phase {
                return;
            }
        }
        panic!(
            "{moves} moves, {phase} never came: {:#?} {:#?}",
            self.sim().list("WorkloadMove"),
            self.get("Rollout", "onto-fast")
        );
    }

    /// One moment of everybody else.
    pub fn tick(&self) {
        self.flux();
        self.stateful_set();
        self.jobs();
        self.volumes();
    }

    fn flux(&self) {
        let suspended = self
            .get("Kustomization", "apps")
            .is_none_or(|one| one["spec"]["suspend"] == true);
        let set = self.get("StatefulSet", "shop").unwrap();
        if !suspended && set["spec"]["replicas"] == 0 {
            self.scale(1);
        }
    }

    /// Scales the shop, as a person or Flux does.
    pub fn scale(&self, replicas: u64) {
        let mut set = self.get("StatefulSet", "shop").unwrap();
        set["spec"]["replicas"] = json!(replicas);
        set["metadata"]["generation"] = json!(set["metadata"]["generation"].as_i64().unwrap() + 1);
        self.put(set);
    }

    fn stateful_set(&self) {
        let mut set = self.get("StatefulSet", "shop").unwrap();
        let wanted = set["spec"]["replicas"].as_i64().unwrap();
        let pod = self.get("Pod", "shop-0");
        if wanted == 0 {
            self.sim().remove("Pod", Some(SPACE), "shop-0");
        } else if pod.is_none() {
            for claim in self.claims {
                if self.get("PersistentVolumeClaim", claim).is_none() {
                    self.put(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                        "metadata": {"name": claim, "namespace": SPACE, "labels": {"app": "shop"}},
                        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "slow", "resources": {"requests": {"storage": "1Gi"}}},
                        "status": {"phase": "Pending"}}));
                }
            }
            let mounted =
                |claim: &&str| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}});
            let volumes: Vec<Value> = self.claims.iter().map(mounted).collect();
            self.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop-0", "namespace": SPACE, "labels": {"app": "shop"},
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "shop", "uid": "u", "controller": true}]},
                "spec": {"containers": [{"name": "shop", "image": "shop"}], "volumes": volumes},
                "status": {"phase": "Pending"}}));
        } else if let (Some(home), Some(mut pod)) = (self.directory(CLAIM), pod)
            && pod["status"]["phase"] == "Pending"
            && self.claims.iter().all(|claim| self.directory(claim).is_some())
        {
            let log = std::fs::read_to_string(home.join("log")).unwrap_or_default();
            std::fs::write(home.join("log"), log + "started\n").unwrap();
            pod["status"]["phase"] = json!("Running");
            self.put(pod);
        }
        let ready = self
            .get("Pod", "shop-0")
            .is_some_and(|pod| pod["status"]["phase"] == "Running");
        let status = json!({"replicas": wanted, "readyReplicas": i64::from(ready), "observedGeneration": set["metadata"]["generation"]});
        if set["status"] != status {
            set["status"] = status;
            self.put(set);
        }
    }

    /// The Job controller and the kubelet: the very script runs on the directories.
    fn jobs(&self) {
        for pod in self.all("Pod") {
            let owner = text(&pod, "/metadata/ownerReferences/0/kind") == "Job";
            let job = text(&pod, "/metadata/ownerReferences/0/name").to_owned();
            if owner && self.get("Job", &job).is_none() {
                self.sim()
                    .remove("Pod", Some(SPACE), text(&pod, "/metadata/name"));
            }
        }
        for mut job in self.all("Job") {
            let name = text(&job, "/metadata/name").to_owned();
            if !job["status"]["conditions"].is_null() {
                continue;
            }
            let spec = &job["spec"]["template"]["spec"];
            self.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("{name}-x"), "namespace": SPACE,
                    "labels": job["spec"]["template"]["metadata"]["labels"],
                    "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": "j", "controller": true}]},
                "spec": spec, "status": {"phase": "Pending"}}));
            let claim = |place: usize| {
                text(spec, &format!("/volumes/{place}/persistentVolumeClaim/claimName")).to_owned()
            };
            let (Some(from), Some(to)) = (self.directory(&claim(0)), self.directory(&claim(1))) else {
                continue;
            };
            let command: Vec<String> =
                serde_json::from_value(spec["containers"][0]["command"].clone()).unwrap();
            assert_eq!((&*command[4], &*command[5]), ("/from", "/to"));
            let mut script = command[2].clone();
            if self.loses_a_byte {
                script = script.replace("\nsync\n", "\nprintf 'x' >\"$to/sub dir/orders\"\n");
            }
            let output = std::process::Command::new(&command[0])
                .args([&command[1], &script, &command[3]])
                .args([from, to])
                .output()
                .unwrap();
            let ended = if output.status.success() {
                "Complete"
            } else {
                "Failed"
            };
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            job["status"] = json!({"conditions": [{"type": ended, "status": "True", "reason": "Ended", "message": said}]});
            self.put(job);
        }
    }

    /// The scheduler, the provisioner, and the controllers of claims and volumes.
    fn volumes(&self) {
        let pods = self.all("Pod");
        for mut claim in self.all("PersistentVolumeClaim") {
            let name = text(&claim, "/metadata/name").to_owned();
            let mounts = |pod: &Value| {
                let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
                volumes
                    .iter()
                    .any(|one| one["persistentVolumeClaim"]["claimName"] == *name)
            };
            if text(&claim, "/spec/volumeName").is_empty() && self.provisions && pods.iter().any(mounts) {
                let volume = format!("pv-{}", text(&claim, "/metadata/uid"));
                std::fs::create_dir_all(self.folder(&volume).join("lost+found")).unwrap();
                self.put(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
                    "spec": {"storageClassName": claim["spec"]["storageClassName"], "persistentVolumeReclaimPolicy": "Delete",
                        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "csi": {"driver": "example.org", "volumeHandle": volume},
                        "claimRef": {"namespace": SPACE, "name": name, "uid": claim["metadata"]["uid"]}},
                    "status": {"phase": "Bound"}}));
                claim["spec"]["volumeName"] = json!(volume);
            }
            let volume = self.get("PersistentVolume", text(&claim, "/spec/volumeName"));
            if let Some(mut volume) = volume.filter(|_| text(&claim, "/status/phase") != "Bound") {
                let of = &volume["spec"]["claimRef"];
                let ours = of["namespace"] == SPACE && of["name"] == *name;
                let uid = text(of, "/uid");
                assert!(ours, "{name} names a volume that is for {of}");
                if uid.is_empty() || uid == text(&claim, "/metadata/uid") {
                    volume["spec"]["claimRef"]["uid"] = claim["metadata"]["uid"].clone();
                    volume["status"]["phase"] = json!("Bound");
                    self.put(volume);
                    claim["status"]["phase"] = json!("Bound");
                    self.put(claim);
                }
            }
        }
        for mut volume in self.all("PersistentVolume") {
            let name = text(&volume, "/metadata/name").to_owned();
            let of = &volume["spec"]["claimRef"];
            if of["namespace"] != SPACE || text(of, "/uid").is_empty() {
                continue;
            }
            let claim = self.get("PersistentVolumeClaim", text(of, "/name"));
            if claim.is_some_and(|claim| claim["metadata"]["uid"] == of["uid"]) {
                continue;
            }
            if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete" {
                self.sim().remove("PersistentVolume", None, &name);
                std::fs::remove_dir_all(self.folder(&name)).unwrap();
            } else if volume["status"]["phase"] != "Released" {
                volume["status"]["phase"] = json!("Released");
                self.put(volume);
            }
        }
    }
}
