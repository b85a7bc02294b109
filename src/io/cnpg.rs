//! Clusters of CloudNativePG: what the cluster holds of them, and each act of making their instances anew. All acts may be done again.

use super::cluster::{Cluster, ClusterError, Foreign};
use super::hands::Hands;
use super::restores::{CLAIMS, PODS, mounted, name};
use super::velero::is_going;
use crate::formats::quantity;
use crate::model::cnpg::{Act, CLUSTER_LABEL, ClaimNow, ClusterNow, Clusters, DATA, PodNow, Seen, Storage};
use crate::model::desired::text_at;
use crate::model::kinds::workload_move::{KEPT_OF, MOVE_LABEL};
use crate::model::restores::run::{RETAIN, VolumeNow};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const GROUP: &str = "postgresql.cnpg.io";
const CLUSTERS: Foreign = Foreign::of(GROUP, "v1", "Cluster", "clusters");
const BACKUPS: Foreign = Foreign::of(GROUP, "v1", "Backup", "backups");

/// `status.phase` of Backups that have ended (`api/v1/backup_types.go`); all others may still read an instance.
const ENDED: [&str; 4] = [
    "completed",
    "failed",
    "walArchivingFailing",
    "invalid backup definition",
];

/// Conditions of a Cluster that must not be false: a switch-over waits until the old primary has archived its WAL.
const CONDITIONS: [&str; 3] = ["Ready", "ContinuousArchiving", "ConsistentSystemID"];

/// Lists of a Cluster's status that hold claims which are in no use.
const UNSETTLED: [&str; 4] = ["danglingPVC", "initializingPVC", "resizingPVC", "unusablePVC"];

/// What `status.phase` of a Cluster says from the moment at which another primary is asked for (`PhaseSwitchover`).
const SWITCHING: &str = "Switchover in progress";

/// What looks at the Clusters of a namespace and acts on them.
#[derive(Clone, Copy)]
pub struct Driver<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
}

impl<'a> Driver<'a> {
    /// What drives the Clusters of a namespace.
    pub fn of(cluster: &'a Cluster, namespace: &'a str) -> Self {
        Self { cluster, namespace }
    }

    fn hands(&self) -> Hands<'a> {
        Hands(self.cluster)
    }

    /// What is known of the Clusters of the namespace, those that only their claims speak of too; not their volumes. All volumes, of which
    /// there may be very many, were read before: they say the classes of claims.
    ///
    /// # Errors
    /// Any [`ClusterError`]; then nothing is known, and nothing is done.
    pub async fn all(&self, volumes: &BTreeMap<String, VolumeNow>) -> Result<Clusters, ClusterError> {
        let claims = self.hands().within(&CLAIMS, self.namespace).await?;
        self.read(&claims, volumes).await
    }

    /// The same, where the claims were read before too.
    async fn read(
        &self,
        claims: &[Value],
        volumes: &BTreeMap<String, VolumeNow>,
    ) -> Result<Clusters, ClusterError> {
        let hands = self.hands();
        let mut all = Clusters::new();
        if !claims.iter().any(|one| !cluster_of(one).is_empty()) {
            return Ok(all);
        }
        let backups = hands.within(&BACKUPS, self.namespace).await?;
        let clusters = hands.within(&CLUSTERS, self.namespace).await?;
        // Pods last: which of them leads is held against what the Cluster says.
        let pods = hands.within(&PODS, self.namespace).await?;
        for one in &clusters {
            let seen = all.entry(name(one).to_owned()).or_default();
            seen.cluster = Some(cluster(one, &backups));
        }
        for one in claims.iter().filter(|one| !cluster_of(one).is_empty()) {
            let seen = all.entry(cluster_of(one).to_owned()).or_default();
            seen.claims.insert(name(one).to_owned(), claim(one, volumes));
        }
        // Pods of Jobs and of poolers have the label as well.
        let is_instance =
            |one: &&Value| text_at(one, &["metadata", "labels", "cnpg.io/podRole"]) == "instance";
        for one in pods.iter().filter(is_instance) {
            if let Some(seen) = all.get_mut(cluster_of(one)) {
                seen.pods.insert(name(one).to_owned(), pod(one));
            }
        }
        for (name, seen) in &mut all {
            let of_it = |one: &&Value| text_at(one, &["spec", "cluster", "name"]) == name;
            let runs = |one: &&Value| !ENDED.contains(&text_at(one, &["status", "phase"]));
            let running = backups.iter().filter(of_it).filter(runs);
            seen.backups = running.map(|one| self::name(one).to_owned()).collect();
            seen.name.clone_from(name);
        }
        Ok(all)
    }

    /// Everything that is known of one of them.
    ///
    /// # Errors
    /// Any [`ClusterError`]; then nothing is known, and nothing is done.
    pub async fn look(&self, cluster: &str) -> Result<Seen, ClusterError> {
        let hands = self.hands();
        let claims = hands.within(&CLAIMS, self.namespace).await?;
        let volumes = hands.volumes().await?;
        let found = self.read(&claims, &volumes).await?.remove(cluster);
        let seen = found.unwrap_or_else(|| Seen {
            name: cluster.to_owned(),
            ..Seen::default()
        });
        Ok(Seen { volumes, ..seen })
    }

    /// Carries an act out. What deletes looks once more first, and leaves it be where the instance leads by now, or is not what was seen.
    ///
    /// # Errors
    /// Any [`ClusterError`]; the act is done again with the next look.
    pub async fn act(&self, seen: &Seen, mark: &str, act: &Act) -> Result<(), ClusterError> {
        let (hands, namespace) = (self.hands(), self.namespace);
        match act {
            Act::Retain(volume) => hands.keep(seen.volumes.get(volume), volume, RETAIN).await,
            Act::Release(volume, policy) => hands.keep(seen.volumes.get(volume), volume, policy).await,
            Act::Mark { volume, claim } => {
                let of = format!("{namespace}/{claim}");
                let change =
                    json!({"metadata": {"labels": {MOVE_LABEL: mark}, "annotations": {KEPT_OF: of}}});
                hands
                    .change_volume(seen.volumes.get(volume), volume, change)
                    .await
            }
            Act::DeleteClaim { claim, uid, first } => self.delete_claim(&seen.name, claim, uid, *first).await,
            Act::DeletePod { pod, uid } => {
                let now = self.look(&seen.name).await?;
                let found = now.pods.get(pod).filter(|one| one.uid == *uid && !one.going);
                match found.filter(|_| !now.leads(pod) && now.others_are_ready(pod)) {
                    // Whoever has become the primary since has another version, and a request that comes late is refused.
                    Some(found) => {
                        let version = &found.version;
                        gone(
                            self.cluster
                                .delete_foreign(&PODS, namespace, pod, uid, version)
                                .await,
                        )
                    }
                    None => Ok(()),
                }
            }
            Act::SwitchOver { from, to } => self.switch_over(&seen.name, from, to).await,
        }
    }

    async fn delete_claim(
        &self,
        cluster: &str,
        claim: &str,
        uid: &str,
        first: bool,
    ) -> Result<(), ClusterError> {
        let now = self.look(cluster).await?;
        let Some(found) = now.claims.get(claim).filter(|one| one.uid == uid && !one.going) else {
            return Ok(());
        };
        let volume = now.volumes.get(&found.volume);
        let stays = volume.is_some_and(|one| one.policy == RETAIN && !one.going && one.claim_uid == uid);
        let well = match first {
            true => now.waits().is_none(),
            false => now.others_are_ready(&found.instance),
        };
        if !stays || !well || now.leads(&found.instance) {
            return Ok(());
        }
        let deleted = self
            .cluster
            .delete_foreign(&CLAIMS, self.namespace, claim, uid, &found.version);
        gone(deleted.await)
    }

    /// What `kubectl cnpg promote` does: the status of the Cluster names the instance that is to lead, and the instances' managers see to it
    /// (`internal/cmd/plugin/promote/promote.go`).
    async fn switch_over(&self, cluster: &str, from: &str, to: &str) -> Result<(), ClusterError> {
        let now = self.look(cluster).await?;
        let ready = now.pods.get(to).is_some_and(|pod| pod.ready && !pod.going);
        let leads = |one: &&ClusterNow| one.primary == from && one.target == from;
        let Some(found) = now.cluster.as_ref().filter(leads).filter(|_| ready) else {
            return Ok(());
        };
        // With microseconds, as Go's layout of the operator has it (`pgTime.GetCurrentTimestamp`).
        let at = super::clock::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let change = json!({
            "metadata": {"resourceVersion": found.version},
            "status": {"targetPrimary": to, "targetPrimaryTimestamp": at, "phase": SWITCHING,
                "phaseReason": format!("Switching over to {to}")},
        });
        let asked = self
            .cluster
            .patch_foreign_status(&CLUSTERS, self.namespace, cluster, &change);
        gone(asked.await)
    }
}

/// What somebody has changed since is looked at again.
fn gone(done: Result<(), ClusterError>) -> Result<(), ClusterError> {
    match done {
        Err(ClusterError::Conflict { .. }) => Ok(()),
        done => done,
    }
}

fn cluster_of(one: &Value) -> &str {
    text_at(one, &["metadata", "labels", CLUSTER_LABEL])
}

fn bytes(one: Option<&Value>) -> u64 {
    one.and_then(Value::as_str)
        .and_then(|text| quantity::parse_ceil(text).ok())
        .unwrap_or_default()
}

/// What the spec says of claims of a role: `storageClass`, or else the one of its `pvcTemplate`.
fn storage(place: &str, one: &Value) -> Storage {
    let template = &one["pvcTemplate"];
    let (class, field) = match text_at(one, &["storageClass"]) {
        "" => (
            text_at(template, &["storageClassName"]),
            "pvcTemplate.storageClassName",
        ),
        class => (class, "storageClass"),
    };
    let field = if class.is_empty() { "storageClass" } else { field };
    let size = one
        .get("size")
        .or(template.pointer("/resources/requests/storage"));
    Storage {
        place: format!("{place}.{field}"),
        class: class.to_owned(),
        bytes: bytes(size),
        resizes: one["resizeInUseVolumes"] != false,
    }
}

fn cluster(one: &Value, backups: &[Value]) -> ClusterNow {
    let (spec, status) = (&one["spec"], &one["status"]);
    let number = |of: &Value, field: &str| of[field].as_i64().unwrap_or_default();
    let says = |key: &str| text_at(one, &["metadata", "annotations", key]);
    let mut storages = BTreeMap::from([(DATA.to_owned(), storage("spec.storage", &spec["storage"]))]);
    if spec["walStorage"].is_object() {
        let wal = storage("spec.walStorage", &spec["walStorage"]);
        storages.insert("PG_WAL".to_owned(), wal);
    }
    for space in spec["tablespaces"].as_array().into_iter().flatten() {
        let named = text_at(space, &["name"]);
        let place = format!("spec.tablespaces[{named}].storage");
        let role = format!("PG_TABLESPACE/{named}");
        storages.insert(role, storage(&place, &space["storage"]));
    }
    let synchronous = &spec["postgresql"]["synchronous"];
    let stands_still = synchronous.is_object() && synchronous["dataDurability"] != "preferred";
    let reported = status["instancesReportedState"].as_object();
    let reported = reported.into_iter().flatten().map(|(instance, state)| {
        let report = (state["isPrimary"] == true, number(state, "timeLineID"));
        (instance.clone(), report)
    });
    let conditions = status["conditions"].as_array();
    let failing = conditions
        .into_iter()
        .flatten()
        .filter(|one| one["status"] == "False");
    let failing = failing.map(|one| text_at(one, &["type"]));
    let unsettled = UNSETTLED.iter().flat_map(|list| texts(&status[list]));
    let snapshot = |backup: &&Value| {
        text_at(backup, &["spec", "cluster", "name"]) == name(one)
            && [&backup["status"], &backup["spec"]]
                .iter()
                .any(|of| of["method"] == "volumeSnapshot")
            && text_at(backup, &["status", "phase"]) == "completed"
    };
    ClusterNow {
        version: text_at(one, &["metadata", "resourceVersion"]).to_owned(),
        going: is_going(one),
        wanted: spec["instances"].as_i64().unwrap_or(1),
        storage: storages,
        supervised: text_at(spec, &["primaryUpdateStrategy"]) == "supervised",
        hibernated: says("cnpg.io/hibernation") == "on",
        fenced: !matches!(says("cnpg.io/fencedInstances"), "" | "[]"),
        left_alone: says("cnpg.io/reconciliationLoop") == "disabled",
        maintained: spec["nodeMaintenanceWindow"]["inProgress"] == true,
        replica: spec["replica"].is_object() && spec["replica"]["enabled"] != false,
        synchronous: if stands_still {
            number(synchronous, "number")
        } else {
            0
        },
        from_snapshots: spec["bootstrap"]["recovery"]["volumeSnapshots"].is_object()
            || backups.iter().any(|backup| snapshot(&backup)),
        instances: number(status, "instances"),
        ready: number(status, "readyInstances"),
        names: texts(&status["instanceNames"]).collect(),
        phase: text_at(status, &["phase"]).to_owned(),
        primary: text_at(status, &["currentPrimary"]).to_owned(),
        target: text_at(status, &["targetPrimary"]).to_owned(),
        reported: reported.collect(),
        unsettled: unsettled.collect(),
        failing: failing
            .filter(|one| CONDITIONS.contains(one))
            .map(str::to_owned)
            .collect(),
    }
}

fn texts(list: &Value) -> impl Iterator<Item = String> {
    let all: BTreeSet<String> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    all.into_iter()
}

fn claim(one: &Value, volumes: &BTreeMap<String, VolumeNow>) -> ClaimNow {
    let label = |key: &str| text_at(one, &["metadata", "labels", key]);
    let volume = text_at(one, &["spec", "volumeName"]);
    let of_volume = volumes.get(volume).map_or("", |one| &one.class);
    let role = match (label("cnpg.io/pvcRole"), label("cnpg.io/tablespaceName")) {
        (role, "") => role.to_owned(),
        (role, space) => format!("{role}/{space}"),
    };
    ClaimNow {
        uid: text_at(one, &["metadata", "uid"]).to_owned(),
        version: text_at(one, &["metadata", "resourceVersion"]).to_owned(),
        volume: volume.to_owned(),
        class: match of_volume {
            "" => text_at(one, &["spec", "storageClassName"]).to_owned(),
            class => class.to_owned(),
        },
        bytes: bytes(one.pointer("/spec/resources/requests/storage")),
        instance: label("cnpg.io/instanceName").to_owned(),
        role,
        bound: text_at(one, &["status", "phase"]) == "Bound",
        going: is_going(one),
    }
}

fn pod(one: &Value) -> PodNow {
    let conditions = one.pointer("/status/conditions").and_then(Value::as_array);
    let ready = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
    PodNow {
        uid: text_at(one, &["metadata", "uid"]).to_owned(),
        version: text_at(one, &["metadata", "resourceVersion"]).to_owned(),
        ready: conditions.into_iter().flatten().any(ready),
        going: is_going(one),
        claims: mounted(one.get("spec")),
        primary: text_at(one, &["metadata", "labels", "cnpg.io/instanceRole"]) == "primary",
    }
}
