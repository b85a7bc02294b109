//! A Cluster of CloudNativePG is moved with the real API server, the real controllers of volumes and claims, and no more rights than the
//! manifests give. Its operator is played, and so are nodes: no database is there.

use super::databases::{
    FILE, HEALTHY, INSTANCES, ROLES, ROLLOUT, SPACE, claim_of, cluster_on, crd, pod_of, status_of,
};
use super::real::{Ground, Line, PATIENCE, are_kept, commit};
use crate::support::line;
use crate::support::objects::{client, get, list, send, text, until_within};
use crate::support::servers;
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const CLUSTER: &str = "/apis/postgresql.cnpg.io/v1/namespaces/pg/clusters/x";
const PODS: &str = "/api/v1/namespaces/pg/pods";
const CLAIMS: &str = "/api/v1/namespaces/pg/persistentvolumeclaims";
const VOLUMES: &str = "/api/v1/persistentvolumes";

const SPACES: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: pg}}";

/// The operator, as long as it lives.
struct Operator {
    stop: Option<Sender<()>>,
    player: Option<std::thread::JoinHandle<()>>,
}

impl Operator {
    fn start(kubeconfig: String) -> Self {
        let (stop, stopped) = channel();
        let player = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(operate(&kubeconfig, &stopped));
        });
        Self {
            stop: Some(stop),
            player: Some(player),
        }
    }

    /// Ends it. What it saw and must not have seen fails here.
    fn end(mut self) {
        drop(self.stop.take());
        if let Some(Err(panic)) = self.player.take().map(std::thread::JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(player) = self.player.take() {
            let _ = player.join();
        }
    }
}

async fn operate(kubeconfig: &str, stopped: &Receiver<()>) {
    let client = client(kubeconfig).await;
    let mut was_whole = false;
    while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
        look(&client, &mut was_whole).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|one| one["type"] == "Ready");
    ready.any(|one| one["status"] == "True") && pod["metadata"]["deletionTimestamp"].is_null()
}

/// One look of the operator: one claim, pod or switch-over at a time.
async fn look(client: &Client, was_whole: &mut bool) {
    let Some(cluster) = get(client, CLUSTER).await else {
        return;
    };
    let (pods, claims) = (list(client, PODS).await, list(client, CLAIMS).await);
    let ready: BTreeSet<&str> = pods
        .iter()
        .filter(|one| is_ready(one))
        .map(|one| text(one, "/metadata/name"))
        .collect();
    let mut primary = text(&cluster, "/status/currentPrimary");
    let target = text(&cluster, "/status/targetPrimary");
    if primary.is_empty() && !pods.is_empty() {
        primary = "x-1";
    }
    // It leads from now on.
    if primary != target && ready.contains(target) {
        primary = target;
    }
    let is_live = |one: &&Value| one["metadata"]["deletionTimestamp"].is_null();
    let of = |one: &Value| text(one, "/metadata/labels/cnpg.io~1instanceName").to_owned();
    for claim in claims.iter().filter(|one| !is_live(one)) {
        assert_ne!(of(claim), primary, "a claim of the primary goes: {claim:#}");
    }
    assert!(
        !*was_whole || ready.len() + 1 >= INSTANCES,
        "more than one instance is missing: {ready:?}"
    );
    let instances: Vec<String> = (1..=INSTANCES).map(|serial| format!("x-{serial}")).collect();
    let live = |instance: &String| {
        claims
            .iter()
            .filter(is_live)
            .filter(|one| of(one) == *instance)
            .count()
    };
    let whole: Vec<&String> = instances.iter().filter(|one| live(one) == ROLES.len()).collect();
    let has_pod = |instance: &str| pods.iter().any(|one| text(one, "/metadata/name") == instance);
    let podless = whole.iter().find(|one| !has_pod(one));
    let mut free = instances.iter().filter(|one| {
        let mut all = claims.iter();
        !has_pod(one) && !whole.contains(one) && !all.any(|claim| of(claim) == **one && !is_live(&claim))
    });
    if let Some(instance) = podless {
        let _ = send(client, "POST", PODS, &pod_of(instance)).await;
    } else if let Some(instance) = free.next().filter(|_| ready.len() == pods.len()) {
        for role in ROLES {
            let class = &cluster["spec"][role.2]["storageClass"];
            let _ = send(client, "POST", CLAIMS, &claim_of(instance, role, class)).await;
        }
    }
    for pod in &pods {
        let name = text(pod, "/metadata/name");
        let role = if name == primary { "primary" } else { "replica" };
        if text(pod, "/metadata/labels/cnpg.io~1instanceRole") != role {
            let label = json!({"metadata": {"labels": {"cnpg.io/instanceRole": role}}});
            let _ = send(client, "PATCH", &format!("{PODS}/{name}"), &label).await;
        }
    }
    let status = status_of(primary, &whole, &pods, ready.len());
    *was_whole |= status["phase"] == HEALTHY;
    if cluster["status"] != status {
        // Whoever has asked for another primary meanwhile is heard with the next look.
        let version = &cluster["metadata"]["resourceVersion"];
        let mut change = json!({"metadata": {"resourceVersion": version}, "status": status});
        for said in ["targetPrimaryTimestamp", "phaseReason"] {
            change["status"][said] = Value::Null;
        }
        let _ = send(client, "PATCH", &format!("{CLUSTER}/status"), &change).await;
    }
}

/// The volumes of all claims, each of which is bound and on a class.
async fn volumes_on(client: &Client, class: &str) -> Vec<Value> {
    until_within(PATIENCE, client, CLUSTER, "a healthy Cluster", |one| {
        one["status"]["phase"] == HEALTHY
    })
    .await;
    let mut volumes = Vec::new();
    for claim in list(client, CLAIMS).await {
        assert_eq!(text(&claim, "/spec/storageClassName"), class, "{claim:#}");
        assert_eq!(claim["status"]["phase"], "Bound", "{claim:#}");
        let path = format!("{VOLUMES}/{}", text(&claim, "/spec/volumeName"));
        let volume = get(client, &path).await.expect("it is bound");
        assert_eq!(
            text(&volume, "/spec/persistentVolumeReclaimPolicy"),
            "Delete",
            "{volume:#}"
        );
        volumes.push(volume);
    }
    assert_eq!(volumes.len(), ROLES.len() * INSTANCES);
    volumes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_controllers_let_a_cluster_be_made_anew_on_another_class() {
    if servers::left_out("the_real_controllers_let_a_cluster_be_made_anew_on_another_class") {
        return;
    }
    let ground = Ground::with(SPACES).await;
    let client = ground.client.clone();
    for (kind, plural) in [("Cluster", "clusters"), ("Backup", "backups")] {
        ground
            .cluster
            .kubectl(&["apply", "-f", "-"], &crd(kind, plural).to_string());
    }
    let every = ["--for=condition=Established", "crd", "--all", "--timeout=60s"];
    ground.cluster.kubectl(&[&["wait"], &every[..]].concat(), "");
    ground
        .cluster
        .kubectl(&["apply", "-f", "-"], &cluster_on("slow").to_string());
    let operator = Operator::start(ground.cluster.kubeconfig());
    let before = volumes_on(&client, "slow").await;

    let folder = tempfile::tempdir().unwrap();
    let running = line::servers().await;
    let mut line = Line::on(&ground, &running, folder.path(), ROLLOUT).await;
    let fingerprint = line.fingerprint(&client).await;
    // Git gives the Cluster the class, and a person promotes.
    ground
        .cluster
        .kubectl(&["apply", "-f", "-"], &cluster_on("fast").to_string());
    let claims = list(&client, CLAIMS).await;
    let claims: Vec<String> = claims
        .iter()
        .map(|one| format!("{SPACE}/{}", text(one, "/metadata/name")))
        .collect();
    let promotion = format!(
        "apiVersion: storage.billyronks.io/v1\nkind: RolloutPromotion\nmetadata: {{name: onto-fast.databases}}\nspec:\n  \
         rollout: onto-fast\n  phase: databases\n  fingerprint: {fingerprint:?}\n  claims: [{}]\n",
        claims.join(", ")
    );
    commit(&line.person, FILE, Some(promotion)).await;
    line.moved(&client, 1).await;

    let after = volumes_on(&client, "fast").await;
    let names = |volumes: &[Value]| -> BTreeSet<String> {
        let names = volumes.iter().map(|one| text(one, "/metadata/name").to_owned());
        names.collect()
    };
    assert!(names(&before).is_disjoint(&names(&after)));
    let cluster = get(&client, CLUSTER).await.unwrap();
    assert_ne!(text(&cluster, "/status/currentPrimary"), "x-1", "{cluster:#}");
    are_kept(&client, &before).await;
    for volume in names(&before) {
        let kept = get(&client, &format!("{VOLUMES}/{volume}")).await.unwrap();
        let of = format!("{SPACE}/{}", text(&kept, "/spec/claimRef/name"));
        assert_eq!(
            text(&kept, "/metadata/annotations/storage.billyronks.io~1kept-of"),
            of
        );
    }
    operator.end();
}
