//! What no server here can be: nodes. Plays the scheduler, the kubelet, provisioners, CSI's snapshotter and Velero's node agent, by
//! patching what they would patch.
//!
//! A [`Kubelet`] runs beside an API server with kube-controller-manager, as `support::velero` starts them. Without being told
//! anything it makes every pod run on its one node, pods of Jobs succeed, every claim that a pod mounts bound to a new local volume, and every
//! PodVolumeBackup, PodVolumeRestore, DataUpload and DataDownload complete. A test tells it otherwise, by namespace and name, before or while it happens:
//!
//! ```ignore
//! let kubelet = velero::kubelet();
//! kubelet.pod("shop", "web-0", Pod::Waits);               // never runs: Velero leaves its volumes out, and says Completed
//! kubelet.copy("shop", "data-web-0", Copy::Whole(4096));  // this many bytes go to the bucket, and come back
//! kubelet.copy("shop", "data-web-0", Copy::Short { done: 10, total: 4096 });
//! kubelet.copy("shop", "data-web-0", Copy::Fails("disk on fire"));
//! kubelet.copy("shop", "data-web-0", Copy::Waits);        // slow: until the next word about it
//! kubelet.pod("drill-shop-1", "check", Pod::Fails);       // the pod of a Job fails
//! ```
//!
//! Restores are told with the namespace that is restored into. A volume that was backed up with so many bytes is restored with as
//! many. No byte of any volume is there: what the node agent would have copied is numbers in statuses. A namespace or name may end in `*`;
//! what is told about exactly that name in exactly that namespace comes first, and then what was told last.

use super::objects::{client, get, list, send, text};
use kube::Client;
use serde_json::{Value, json};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The node.
pub const NODE: &str = "played";

/// Between two looks at what there is to do.
const LOOK: Duration = Duration::from_millis(200);

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pod {
    /// It runs; a pod of a Job succeeds.
    Runs,
    /// It is scheduled and never starts.
    Waits,
    /// It fails.
    Fails,
}

/// What becomes of a volume's copy, to the bucket or from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Copy {
    /// All of it is copied: so many bytes.
    Whole(u64),
    /// It is called complete, with fewer bytes than there are.
    Short { done: u64, total: u64 },
    /// It fails with these words.
    Fails(&'static str),
    /// It is under way for as long as nobody says otherwise.
    Waits,
}

#[derive(Clone, Default)]
struct Script {
    pods: Vec<(String, String, Pod)>,
    copies: Vec<(String, String, Copy)>,
}

/// The node, as long as it lives.
pub struct Kubelet {
    script: Arc<Mutex<Script>>,
    /// Closing it ends the player.
    stop: Option<Sender<()>>,
    player: Option<std::thread::JoinHandle<()>>,
}

/// What is told about a name, or about names that begin like it.
fn told<T: std::marker::Copy>(said: &[(String, String, T)], namespace: &str, name: &str) -> Option<T> {
    let exact = |(place, of, _): &&(String, String, T)| place == namespace && of == name;
    let fits = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    };
    let wide = |(place, of, _): &&(String, String, T)| fits(place, namespace) && fits(of, name);
    let last = said.iter().rev();
    let found = last.clone().find(exact).or_else(|| last.clone().find(wide));
    found.map(|(_, _, one)| *one)
}

impl Kubelet {
    /// Starts to play, for every Velero of the cluster.
    pub fn start(kubeconfig: String) -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let (stop, stopped) = channel();
        let given = script.clone();
        let player = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(play(&kubeconfig, &given, &stopped));
        });
        Self {
            script,
            stop: Some(stop),
            player: Some(player),
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What becomes of a pod.
    pub fn pod(&self, namespace: &str, name: &str, becomes: Pod) {
        self.tell(|script| {
            script.pods.push((namespace.to_owned(), name.to_owned(), becomes));
        });
    }

    /// What becomes of the copies of a claim's volume, to the bucket and from it.
    pub fn copy(&self, namespace: &str, claim: &str, becomes: Copy) {
        self.tell(|script| {
            script
                .copies
                .push((namespace.to_owned(), claim.to_owned(), becomes));
        });
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(player) = self.player.take() {
            let _ = player.join();
        }
    }
}

async fn play(kubeconfig: &str, script: &Mutex<Script>, stopped: &Receiver<()>) {
    let client = client(kubeconfig).await;
    let player = Player { client };
    player.furnish().await;
    while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
        let script = script.lock().unwrap_or_else(PoisonError::into_inner).clone();
        player.agents().await;
        player.claims().await;
        player.pods(&script).await;
        player.copies(&script, "podvolumebackups").await;
        player.copies(&script, "podvolumerestores").await;
        player.snapshots().await;
        player.moves(&script, "datauploads").await;
        player.moves(&script, "datadownloads").await;
        tokio::time::sleep(LOOK).await;
    }
}

struct Player {
    client: Client,
}

fn now() -> String {
    let now = couchestor::io::clock::now();
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Player {
    /// Changes an object; one that is gone meanwhile needs no change, and the next look sees a conflict.
    async fn patch(&self, path: &str, patch: &Value) {
        let _ = send(&self.client, "PATCH", path, patch).await;
    }

    /// The node. Velero's node agents come with each Velero, as its chart brings them.
    async fn furnish(&self) {
        let labels = json!({"kubernetes.io/os": "linux", "kubernetes.io/hostname": NODE});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}});
        let _ = send(&self.client, "POST", "/api/v1/nodes", &node).await;
    }

    /// The node agents' DaemonSets, whose controller nobody is.
    async fn agents(&self) {
        for set in list(&self.client, "/apis/apps/v1/daemonsets").await {
            if set["status"]["numberReady"] == 1 {
                continue;
            }
            let path = format!(
                "/apis/apps/v1/namespaces/{}/daemonsets/{}/status",
                text(&set, "/metadata/namespace"),
                text(&set, "/metadata/name")
            );
            let counts = json!({"currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 1});
            self.patch(&path, &json!({"status": counts})).await;
        }
    }

    /// The provisioners: a volume for each claim that waits, and none for those whose claims are gone.
    async fn claims(&self) {
        for claim in list(&self.client, "/api/v1/persistentvolumeclaims").await {
            if text(&claim, "/status/phase") == "Bound" || !text(&claim, "/spec/volumeName").is_empty() {
                continue;
            }
            let class = text(&claim, "/spec/storageClassName");
            let path = format!("/apis/storage.k8s.io/v1/storageclasses/{class}");
            let Some(class) = get(&self.client, &path).await.filter(|_| !class.is_empty()) else {
                continue;
            };
            let metadata = &claim["metadata"];
            let volume = format!("pvc-{}", text(metadata, "/uid"));
            let on = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}]);
            let mut volume = json!({
                "apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": {"name": volume, "annotations": {"pv.kubernetes.io/provisioned-by": class["provisioner"]}},
                "spec": {
                    "accessModes": claim["spec"]["accessModes"],
                    "capacity": claim["spec"]["resources"]["requests"],
                    "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": metadata["namespace"],
                        "name": metadata["name"], "uid": metadata["uid"]},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": on}]}},
                    "persistentVolumeReclaimPolicy": class["reclaimPolicy"],
                    "storageClassName": class["metadata"]["name"],
                    "volumeMode": "Filesystem",
                },
            });
            match text(&class, "/provisioner") {
                "openebs.io/local" => {
                    let path = format!("/var/openebs/local/{}", text(&volume, "/metadata/name"));
                    volume["spec"]["local"] = json!({"path": path});
                }
                driver => {
                    let handle = volume["metadata"]["name"].clone();
                    volume["spec"]["csi"] = json!({"driver": driver, "volumeHandle": handle});
                }
            }
            let _ = send(&self.client, "POST", "/api/v1/persistentvolumes", &volume).await;
        }
        for volume in list(&self.client, "/api/v1/persistentvolumes").await {
            let released = text(&volume, "/status/phase") == "Released";
            if released && text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete" {
                let path = format!("/api/v1/persistentvolumes/{}", text(&volume, "/metadata/name"));
                let _ = send(&self.client, "DELETE", &path, &json!({})).await;
            }
        }
    }

    /// The scheduler and the kubelet.
    async fn pods(&self, script: &Script) {
        let restores = list(&self.client, "/apis/velero.io/v1/podvolumerestores").await;
        let pods = list(&self.client, "/api/v1/pods").await;
        let claims = list(&self.client, "/api/v1/persistentvolumeclaims").await;
        for pod in pods {
            let (namespace, name) = (text(&pod, "/metadata/namespace"), text(&pod, "/metadata/name"));
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
            if !text(&pod, "/metadata/deletionTimestamp").is_empty() {
                let _ = send(&self.client, "DELETE", &path, &json!({"gracePeriodSeconds": 0})).await;
                continue;
            }
            if text(&pod, "/spec/nodeName").is_empty() {
                let to = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}});
                let _ = send(&self.client, "POST", &format!("{path}/binding"), &to).await;
                continue;
            }
            // No volume is mounted before its claim is bound.
            if text(&pod, "/status/phase") != "Running" && !bound(&pod, &claims) {
                continue;
            }
            let becomes = told(&script.pods, namespace, name).unwrap_or(Pod::Runs);
            // Velero's first container waits for the volumes.
            let mine = restores
                .iter()
                .filter(|one| one["spec"]["pod"]["uid"] == pod["metadata"]["uid"]);
            let filled = mine.clone().all(|one| text(one, "/status/phase") == "Completed");
            let waits = pod["spec"]["initContainers"].as_array().into_iter().flatten();
            let mut waits = waits.filter(|container| container["name"] == "restore-wait");
            let filled = waits.next().is_none() || (mine.count() > 0 && filled);
            let job = text(&pod, "/metadata/ownerReferences/0/kind") == "Job";
            let phase = match becomes {
                _ if !filled => "Pending",
                Pod::Waits => "Pending",
                Pod::Fails => "Failed",
                Pod::Runs if job => "Succeeded",
                Pod::Runs => "Running",
            };
            let seen = text(&pod, "/status/phase");
            let over = ["Succeeded", "Failed"].contains(&seen);
            if seen == phase && (phase == "Pending" || pod["status"]["conditions"][1]["type"] == "Ready")
                || over
            {
                continue;
            }
            self.patch(&format!("{path}/status"), &status(&pod, phase)).await;
        }
    }

    /// The node agent: PodVolumeBackups and PodVolumeRestores have no status of their own, they are patched whole.
    async fn copies(&self, script: &Script, kind: &str) {
        for copy in list(&self.client, &format!("/apis/velero.io/v1/{kind}")).await {
            let folder = format!(
                "/apis/velero.io/v1/namespaces/{}/{kind}",
                text(&copy, "/metadata/namespace")
            );
            let phase = text(&copy, "/status/phase");
            if ["Completed", "Failed", "Canceled"].contains(&phase) {
                continue;
            }
            let (namespace, pod) = (text(&copy, "/spec/pod/namespace"), text(&copy, "/spec/pod/name"));
            let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
            let claim = get(&self.client, &path).await.and_then(|pod| {
                let mut volumes = pod["spec"]["volumes"].as_array()?.iter();
                let volume = volumes.find(|volume| volume["name"] == copy["spec"]["volume"])?;
                Some(text(volume, "/persistentVolumeClaim/claimName").to_owned())
            });
            // A pod that is gone cannot be asked for its claim; what is told about it then holds by the volume's name.
            let claim = claim.unwrap_or_else(|| text(&copy, "/spec/volume").to_owned());
            let size = copy["spec"]["snapshotSize"].as_u64().unwrap_or(1024);
            let becomes = told(&script.copies, namespace, &claim).unwrap_or(Copy::Whole(size));
            let name = text(&copy, "/metadata/name");
            let canceled = copy["spec"]["cancel"] == true;
            let mut patch = match becomes {
                _ if canceled => json!({"phase": "Canceled", "message": "canceled"}),
                Copy::Waits if phase == "InProgress" => continue,
                Copy::Waits => json!({"phase": "InProgress", "startTimestamp": now()}),
                Copy::Fails(words) => json!({"phase": "Failed", "message": words}),
                Copy::Whole(bytes) => {
                    json!({"phase": "Completed", "progress": {"bytesDone": bytes, "totalBytes": bytes}})
                }
                Copy::Short { done, total } => {
                    json!({"phase": "Completed", "progress": {"bytesDone": done, "totalBytes": total}})
                }
            };
            if becomes != Copy::Waits || canceled {
                patch["completionTimestamp"] = json!(now());
                if text(&copy, "/status/startTimestamp").is_empty() {
                    patch["startTimestamp"] = json!(now());
                }
            }
            if kind == "podvolumebackups" && patch["phase"] == "Completed" {
                patch["snapshotID"] = json!(format!("played-{name}"));
                patch["path"] = json!(format!(
                    "/host_pods/{}/volumes/{claim}",
                    text(&copy, "/spec/pod/uid")
                ));
            }
            self.patch(&format!("{folder}/{name}"), &json!({"status": patch}))
                .await;
        }
    }
}

/// Snapshots, and what data movers copy of them.
impl Player {
    /// CSI's snapshotter: each snapshot is ready at once.
    async fn snapshots(&self) {
        let api = "/apis/snapshot.storage.k8s.io/v1";
        for snapshot in list(&self.client, &format!("{api}/volumesnapshots")).await {
            if !snapshot["status"].is_null() {
                continue;
            }
            let metadata = &snapshot["metadata"];
            let class = text(&snapshot, "/spec/volumeSnapshotClassName");
            let Some(class) = get(&self.client, &format!("{api}/volumesnapshotclasses/{class}")).await else {
                continue;
            };
            let name = format!("snapcontent-{}", text(metadata, "/uid"));
            let content = json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
                "metadata": {"name": name},
                "spec": {"deletionPolicy": class["deletionPolicy"], "driver": class["driver"],
                    "source": {"volumeHandle": "played"}, "volumeSnapshotClassName": class["metadata"]["name"],
                    "volumeSnapshotRef": {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}}});
            let contents = format!("{api}/volumesnapshotcontents");
            let _ = send(&self.client, "POST", &contents, &content).await;
            let ready =
                json!({"status": {"snapshotHandle": name, "readyToUse": true, "restoreSize": 1 << 30}});
            self.patch(&format!("{contents}/{name}/status"), &ready).await;
            let ready = json!({"status": {"boundVolumeSnapshotContentName": name, "readyToUse": true, "restoreSize": "1Gi"}});
            let path = format!(
                "{api}/namespaces/{}/volumesnapshots/{}/status",
                text(metadata, "/namespace"),
                text(metadata, "/name")
            );
            self.patch(&path, &ready).await;
        }
    }

    /// The node agent's data mover.
    async fn moves(&self, script: &Script, kind: &str) {
        for copy in list(&self.client, &format!("/apis/velero.io/v2alpha1/{kind}")).await {
            if ["Completed", "Failed", "Canceled"].contains(&text(&copy, "/status/phase")) {
                continue;
            }
            let spec = &copy["spec"];
            let (namespace, claim) = match kind {
                "datauploads" => (text(spec, "/sourceNamespace"), text(spec, "/sourcePVC")),
                _ => (
                    text(spec, "/targetVolume/namespace"),
                    text(spec, "/targetVolume/pvc"),
                ),
            };
            let size = spec["snapshotSize"].as_u64().unwrap_or(1024);
            let name = text(&copy, "/metadata/name");
            let mut status = match told(&script.copies, namespace, claim).unwrap_or(Copy::Whole(size)) {
                Copy::Waits => continue,
                Copy::Fails(words) => json!({"phase": "Failed", "message": words}),
                Copy::Whole(bytes) => {
                    json!({"phase": "Completed", "progress": {"bytesDone": bytes, "totalBytes": bytes}})
                }
                Copy::Short { done, total } => {
                    json!({"phase": "Completed", "progress": {"bytesDone": done, "totalBytes": total}})
                }
            };
            status["startTimestamp"] = json!(now());
            status["completionTimestamp"] = json!(now());
            if kind == "datauploads" {
                status["snapshotID"] = json!(format!("played-{name}"));
                status["nodeOS"] = json!("linux");
            }
            let path = format!(
                "/apis/velero.io/v2alpha1/namespaces/{}/{kind}/{name}",
                text(&copy, "/metadata/namespace")
            );
            self.patch(&path, &json!({"status": status})).await;
        }
    }
}

/// Whether every claim that a pod mounts is bound.
fn bound(pod: &Value, claims: &[Value]) -> bool {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let mut mounted = volumes.filter_map(|one| one.pointer("/persistentVolumeClaim/claimName"));
    mounted.all(|wanted| {
        let of_it = |one: &&Value| {
            one["metadata"]["namespace"] == pod["metadata"]["namespace"] && one["metadata"]["name"] == *wanted
        };
        claims
            .iter()
            .find(of_it)
            .is_some_and(|one| one["status"]["phase"] == "Bound")
    })
}

/// A pod's status in a phase.
fn status(pod: &Value, phase: &str) -> Value {
    let state = match phase {
        "Running" => json!({"running": {"startedAt": now()}}),
        "Pending" => json!({"waiting": {"reason": "PodInitializing"}}),
        "Succeeded" => json!({"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now()}}),
        _ => json!({"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": now()}}),
    };
    let ready = phase == "Running";
    let of = |list: &str, state: &Value| -> Vec<Value> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        let one = |container: &Value| json!({"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0, "ready": ready, "state": state});
        containers.map(one).collect()
    };
    let first = match phase {
        "Pending" => json!({"running": {"startedAt": now()}}),
        _ => json!({"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now()}}),
    };
    let condition = |kind: &str, holds: bool| {
        let holds = if holds { "True" } else { "False" };
        json!({"type": kind, "status": holds, "lastTransitionTime": now()})
    };
    let conditions = json!([
        condition("PodScheduled", true),
        condition("Ready", ready),
        condition("ContainersReady", ready),
        condition("Initialized", phase != "Pending"),
    ]);
    json!({"status": {"phase": phase, "conditions": conditions, "startTime": now(),
        "containerStatuses": of("containers", &state), "initContainerStatuses": of("initContainers", &first)}})
}
