//! A move and its way back, with the real API server and the real controllers of volumes, claims, StatefulSets and Jobs. Nodes are played: no
//! byte of any volume is there.

use crate::controller::all_rights_that_the_manifests_give;
use crate::support::cluster::{Cluster, free_port};
use crate::support::kubelet::Kubelet;
use crate::support::line;
use crate::support::objects::{client, get, list, text, until_within};
use crate::support::say;
use crate::support::servers;
use crate::support::watched::Watched;
use couchestor::formats::sops::Identities;
use couchestor::io::git::{Lease, Repository};
use couchestor::model::kinds::policy_source::PolicySourceStatus;
use couchestor::model::rendering::FileChange;
use couchestor::sim::world::Running;
use couchestor::turn::{Memory, World as Outside, turn};
use kube::Client;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// What volumes, claims, workloads and Jobs need of Kubernetes.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,persistentvolume-binder-controller,\
    persistentvolumeclaim-protection-controller,persistentvolume-protection-controller,statefulset-controller,job-controller";

/// A move takes some twenty looks of everybody, and the machine may be busy with other things.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// Phases out of which no move comes by waiting.
const FAILED: [&str; 4] = ["RolledBack", "NeedsPerson", "Superseded", "Cancelled"];

pub(super) const ROLLOUT: &str = "apiVersion: storage.billyronks.io/v1
kind: Rollout
metadata: {name: onto-fast}
spec:
  storageClassName: fast
  phases:
  - {name: shops, workloads: [{namespace: shop}]}
";

/// The class that workloads leave, and the one that they move onto.
const CLASSES: &str = "apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: slow}
provisioner: slow.example.org
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: fast.example.org
";

const SHOP: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: shop, namespace: shop}
spec:
  replicas: 2
  serviceName: shop
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: shop, image: shop, volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], storageClassName: slow, resources: {requests: {storage: 1Gi}}}
";

/// Moves of workloads, at the API server.
pub(super) const MOVES: &str = "/apis/storage.billyronks.io/v1/workloadmoves";

/// Where the promotion of the phase lies.
pub(super) const PROMOTION: &str = "p/assignments/rollouts/onto-fast/shops.yaml";

/// The real API server with its controllers, a played node, the rights that the manifests give, and the shop.
pub(super) struct Ground {
    // They end in this order: who asks the server ends before it.
    pub(super) kubelet: Kubelet,
    pub(super) client: Client,
    _manager: Watched,
    pub(super) cluster: Cluster,
}

impl Ground {
    pub(super) async fn new() -> Self {
        Self::with(SHOP).await
    }

    /// The same with other objects than the shop, beside the two classes.
    pub(super) async fn with(objects: &str) -> Self {
        let cluster = Cluster::start();
        let manager = servers::kube_controller_manager();
        let (port, kubeconfig) = (free_port(), cluster.kubeconfig_path());
        let manager = Watched::start(
            &format!(
                "'{}' --kubeconfig='{}' --controllers={CONTROLLERS} --leader-elect=false --bind-address=127.0.0.1 --secure-port={port} \
                 --cert-dir=certs --use-service-account-credentials=false",
                manager.display(),
                kubeconfig.display()
            ),
            |_| {},
        );
        cluster.kubectl(
            &["apply", "--server-side", "-f", "-"],
            include_str!("../../kubernetes/crds.yaml"),
        );
        let every = ["--for=condition=Established", "crd", "--all", "--timeout=60s"];
        cluster.kubectl(&[&["wait"], &every[..]].concat(), "");
        cluster.kubectl(&["create", "namespace", "couchestor-system"], "");
        all_rights_that_the_manifests_give(&cluster);
        let kubelet = Kubelet::start(cluster.kubeconfig());
        cluster.kubectl(&["apply", "-f", "-"], CLASSES);
        cluster.kubectl(&["apply", "-f", "-"], objects);
        let client = client(&cluster.kubeconfig()).await;
        Self {
            kubelet,
            client,
            _manager: manager,
            cluster,
        }
    }
}

/// The promotion of the phase of this fingerprint.
pub(super) fn promotion(fingerprint: &str) -> String {
    format!(
        "apiVersion: storage.billyronks.io/v1\nkind: RolloutPromotion\nmetadata: {{name: onto-fast.shops}}\nspec:\n  rollout: onto-fast\n  \
         phase: shops\n  fingerprint: {fingerprint:?}\n  claims: [shop/data-shop-0, shop/data-shop-1]\n"
    )
}

/// A person's clone of the repository in the folder.
pub(super) fn person(url: &str, folder: &Path) -> Repository {
    let timeout = Duration::from_secs(20);
    Repository::new(url, &folder.join("other"), Default::default(), timeout, true).unwrap()
}

/// A person's commit.
pub(super) async fn commit(person: &Repository, path: &str, text: Option<String>) {
    let tips = person.fetch_all().await.unwrap();
    let tip = tips.branches["main"].clone();
    let file = FileChange {
        path: path.to_owned(),
        content: text.map(String::into_bytes),
    };
    let at = couchestor::io::clock::now();
    let (lease, files) = (Lease::At(tip.clone()), vec![file]);
    let pushed = person.push("main", lease, Some(tip), files, "change\n".into(), at);
    pushed.await.unwrap();
}

/// The fingerprint of the rollout's phase, once it was judged.
pub(super) async fn judged(client: &Client) -> Option<String> {
    let rollout = get(client, "/apis/storage.billyronks.io/v1/rollouts/onto-fast").await?;
    let fingerprint = text(&rollout, "/status/phases/0/fingerprint");
    (!fingerprint.is_empty()).then(|| fingerprint.to_owned())
}

/// The controller's line on a repository.
pub(super) struct Line {
    outside: Outside,
    repository: Repository,
    pub(super) person: Repository,
    memory: Memory,
    before: PolicySourceStatus,
}

impl Line {
    /// The line on a new repository with one file, by the rights of couchestor.
    pub(super) async fn on(ground: &Ground, running: &Running, folder: &Path, rollout: &str) -> Self {
        let file = FileChange {
            path: "p/rollout.yaml".to_owned(),
            content: Some(rollout.as_bytes().to_vec()),
        };
        let repository = line::pushed(folder, vec![file]).await;
        let url = format!("file://{}", folder.join("repository.git").display());
        Self {
            outside: line::outside(running, Some(&ground.cluster.kubeconfig_of_couchestor())).await,
            repository,
            person: person(&url, folder),
            memory: Memory::default(),
            before: PolicySourceStatus::default(),
        }
    }

    async fn turn(&mut self) {
        let identities = Identities::default();
        let source = line::source(&self.repository, &identities);
        let turned = match turn(&self.outside, &source, &self.before, &mut self.memory).await {
            Ok(turned) => turned,
            // The API server is busy; the next turn sees to it.
            Err(failure) => {
                say(&format!("{}: {}", failure.reason, failure.message));
                return;
            }
        };
        if let Some(inventory) = turned.inventory {
            self.before.inventory = Some(inventory);
        }
        if let Some(proposed) = turned.proposed {
            self.before.proposals = proposed.records;
        }
    }

    /// Turns until the rollout was judged, and gives what its phase is known by.
    pub(super) async fn fingerprint(&mut self, client: &Client) -> String {
        let began = Instant::now();
        loop {
            self.turn().await;
            if let Some(fingerprint) = judged(client).await {
                return fingerprint;
            }
            assert!(began.elapsed() < PATIENCE, "it was never judged");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Turns until every move has ended, and there are so many.
    pub(super) async fn moved(&mut self, client: &Client, moves: usize) {
        let began = Instant::now();
        loop {
            self.turn().await;
            let all = list(client, MOVES).await;
            let failed = |one: &&Value| FAILED.contains(&text(one, "/status/phase"));
            let failed: Vec<&Value> = all.iter().filter(failed).collect();
            assert!(failed.is_empty(), "it does not succeed any more: {failed:#?}");
            let done = all.iter().filter(|one| text(one, "/status/phase") == "Completed");
            if done.count() == moves {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{moves} moves never ended: {all:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The volume of each claim of the shop, once both are bound and their pods run.
pub(super) async fn volumes(client: &Client) -> Vec<Value> {
    until_within(
        PATIENCE,
        client,
        "/apis/apps/v1/namespaces/shop/statefulsets/shop",
        "two shops",
        |one| one["status"]["readyReplicas"] == 2,
    )
    .await;
    let mut volumes = Vec::new();
    for claim in ["data-shop-0", "data-shop-1"] {
        let path = format!("/api/v1/namespaces/shop/persistentvolumeclaims/{claim}");
        let claim = until_within(PATIENCE, client, &path, "a bound claim", |one| {
            one["status"]["phase"] == "Bound"
        })
        .await;
        let path = format!("/api/v1/persistentvolumes/{}", text(&claim, "/spec/volumeName"));
        let volume = until_within(PATIENCE, client, &path, "a bound volume", |one| {
            one["status"]["phase"] == "Bound"
        })
        .await;
        assert_eq!(
            claim["spec"]["storageClassName"],
            volume["spec"]["storageClassName"]
        );
        volumes.push(volume);
    }
    volumes
}

pub(super) fn of<'v>(volumes: &'v [Value], pointer: &str) -> Vec<&'v str> {
    volumes.iter().map(|one| text(one, pointer)).collect()
}

/// Volumes that a move has left stay when nobody has them.
pub(super) async fn are_kept(client: &Client, volumes: &[Value]) {
    for volume in of(volumes, "/metadata/name") {
        let path = format!("/api/v1/persistentvolumes/{volume}");
        let kept = get(client, &path).await.expect("it is kept");
        assert_eq!(text(&kept, "/spec/persistentVolumeReclaimPolicy"), "Retain");
        until_within(PATIENCE, client, &path, "a volume that is nobody's", |one| {
            text(one, "/status/phase") == "Released"
        })
        .await;
    }
}

/// Of a move nothing is left but the volumes that it keeps.
pub(super) async fn nothing_is_left(client: &Client) {
    let left = list(client, "/api/v1/namespaces/shop/persistentvolumeclaims").await;
    assert_eq!(left.len(), 2, "{left:#?}");
    let jobs = list(client, "/apis/batch/v1/namespaces/shop/jobs").await;
    assert!(jobs.is_empty(), "{jobs:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_controllers_bind_what_is_exchanged_and_what_is_taken_back() {
    if servers::left_out("the_real_controllers_bind_what_is_exchanged_and_what_is_taken_back") {
        return;
    }
    let ground = Ground::new().await;
    let client = ground.client.clone();
    let before = volumes(&client).await;

    let folder = tempfile::tempdir().unwrap();
    let running = line::servers().await;
    let mut line = Line::on(&ground, &running, folder.path(), ROLLOUT).await;
    let fingerprint = line.fingerprint(&client).await;
    commit(&line.person, PROMOTION, Some(promotion(&fingerprint))).await;
    line.moved(&client, 1).await;
    let after = volumes(&client).await;
    assert_eq!(of(&after, "/spec/storageClassName"), ["fast", "fast"]);
    assert_eq!(
        of(&after, "/spec/persistentVolumeReclaimPolicy"),
        ["Delete", "Delete"]
    );
    are_kept(&client, &before).await;

    commit(&line.person, PROMOTION, None).await;
    line.moved(&client, 2).await;
    let back = volumes(&client).await;
    assert_eq!(
        of(&back, "/metadata/name"),
        of(&before, "/metadata/name"),
        "the old volumes are back"
    );
    assert_eq!(
        of(&back, "/spec/persistentVolumeReclaimPolicy"),
        ["Delete", "Delete"]
    );
    for new in of(&after, "/metadata/name") {
        let new = get(&client, &format!("/api/v1/persistentvolumes/{new}"))
            .await
            .expect("it is kept too");
        assert_eq!(text(&new, "/spec/persistentVolumeReclaimPolicy"), "Retain");
    }
    nothing_is_left(&client).await;
}
