//! A restore that is under way: what the cluster holds of it, and each of its acts. All of them may be done again.

use super::{CLAIMS, CONFIG_MAPS, FLUX, PODS, VOLUMES, WORKLOADS, is_going, mounted, name, replicas};
use crate::io::cluster::{Cluster, ClusterError, Foreign, Live, Which};
use crate::io::drills::{self, Drills, id};
use crate::model::desired::text_at;
use crate::model::drills::{Leftovers, ScratchSeen};
use crate::model::ids::ObjectId;
use crate::model::restores::run::{
    Act, ClaimSeen, FluxRun, Phase, RESTORE_LABEL, RestoreRun, Seen, VolumeNow, WorkloadRun,
};
use crate::model::restores::{LEFT_SECS_MIN, Way};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const VELERO: &str = "velero.io/v1";

/// Annotations and labels that Kubernetes and Velero write for one binding of a claim, and that another must not have.
const OF_ONE_BINDING: [&str; 4] = [
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "velero.io/",
];

/// What looks at a restore and acts for it.
#[derive(Clone, Copy)]
pub struct Driver<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Velero's namespace.
    pub velero: &'a str,
}

/// The kind of a workload or a Flux object.
fn kind(all: &[Foreign], wanted: &str) -> Result<Foreign, ClusterError> {
    let found = all.iter().find(|one| one.kind == wanted).copied();
    found.ok_or_else(|| ClusterError::UnknownKind {
        api_version: "any version".to_owned(),
        kind: wanted.to_owned(),
    })
}

impl Driver<'_> {
    async fn get(&self, kind: &Foreign, namespace: &str, name: &str) -> Result<Option<Live>, ClusterError> {
        let id = id(kind.group, kind.kind, namespace, name);
        match self.cluster.get_object(&kind.api_version(), &id).await {
            Err(ClusterError::UnknownKind { .. }) => Ok(None),
            other => other,
        }
    }

    async fn within(&self, kind: &Foreign, namespace: &str) -> Result<Vec<Value>, ClusterError> {
        let which = Which::default();
        let found = self.cluster.list_foreign_in(kind, namespace, &which).await?;
        Ok(found.unwrap_or_default())
    }

    /// Reads everything that the next step depends on.
    ///
    /// # Errors
    /// Any [`ClusterError`]; then nothing is known, and nothing is done.
    pub async fn look(&self, run: &RestoreRun, now: Timestamp) -> Result<Seen, ClusterError> {
        let drills = Drills::of(self.cluster, self.velero);
        let object = run.object_name();
        let restore = id("velero.io", "Restore", self.velero, &object);
        let restore = self.cluster.get_object(VELERO, &restore).await?;
        let mut seen = Seen {
            backup_lost: self.backup_lost(run, now).await?,
            restore: restore.as_ref().map(|live| drills::restore_of(&live.0)),
            claims: self.claims(&run.namespace).await?,
            users: self.users(run).await?,
            ..Seen::default()
        };
        if run.phase == Phase::Check {
            let held = drills.held(&run.backup, &run.namespace).await?;
            let names = held.as_ref().map(|held| &held.names);
            seen.restored = drills.restored(&object, names).await?;
        }
        for workload in &run.workloads {
            seen.workloads.push(self.replicas(run, workload).await?);
        }
        for flux in &run.flux {
            let found = self
                .get(&kind(&FLUX, &flux.kind)?, &flux.namespace, &flux.name)
                .await?;
            seen.flux
                .push(found.map(|live| live.0["spec"]["suspend"] == true));
        }
        if run.way == Way::Everything {
            return Ok(seen);
        }
        self.scratch(run, restore.as_ref(), &mut seen).await?;
        Ok(seen)
    }

    /// What is there of the scratch namespace and of volumes.
    async fn scratch(
        &self,
        run: &RestoreRun,
        restore: Option<&Live>,
        seen: &mut Seen,
    ) -> Result<(), ClusterError> {
        let ours = |live: &Live| text_at(&live.0, &["metadata", "labels", RESTORE_LABEL]) == run.id;
        let scratch = self
            .cluster
            .get_object("v1", &id("", "Namespace", "", &run.scratch))
            .await?;
        seen.scratch = scratch.as_ref().map(|live| ScratchSeen {
            ours: ours(live),
            going: is_going(&live.0),
        });
        let changes = self.get(&CONFIG_MAPS, self.velero, &run.changes_name()).await?;
        seen.leftovers = match (&changes, restore) {
            (None, None) => Leftovers::Nothing,
            (None, Some(restore)) if is_going(&restore.0) => Leftovers::Going,
            _ => Leftovers::Something,
        };
        if seen.scratch.as_ref().is_some_and(|scratch| scratch.ours) {
            let policy = id("networking.k8s.io", "NetworkPolicy", &run.scratch, "deny-all");
            let policy = self.cluster.get_object("networking.k8s.io/v1", &policy).await?;
            seen.prepared = changes.is_some() && policy.is_some();
            seen.scratch_claims = self.claims(&run.scratch).await?;
            let pods = self.within(&PODS, &run.scratch).await?;
            let going = pods.iter().filter(|one| is_going(one)).count();
            seen.scratch_pods = (pods.len() - going, going);
        }
        let known: BTreeSet<&String> = run
            .claims
            .iter()
            .flat_map(|one| [&one.old_volume, &one.new_volume])
            .flatten()
            .collect();
        let all = self.cluster.list_foreign(&VOLUMES, &Which::default()).await?;
        for one in all.unwrap_or_default() {
            let volume = volume(&one);
            if known.contains(&name(&one).to_owned())
                || [&run.namespace, &run.scratch].contains(&&volume.claim.0)
            {
                seen.volumes.insert(name(&one).to_owned(), volume);
            }
        }
        Ok(())
    }

    /// Why the backup may not be counted on any more.
    async fn backup_lost(&self, run: &RestoreRun, now: Timestamp) -> Result<Option<String>, ClusterError> {
        let name = &run.backup;
        let found = id("velero.io", "Backup", self.velero, name);
        let Some(backup) = self.cluster.get_object(VELERO, &found).await? else {
            return Ok(Some(format!("backup {name} is gone")));
        };
        let phase = text_at(&backup.0, &["status", "phase"]);
        let expires: Option<Timestamp> = text_at(&backup.0, &["status", "expiration"]).parse().ok();
        let soon = expires.is_some_and(|at| at.as_second() - now.as_second() < LEFT_SECS_MIN);
        Ok(match (phase, soon, is_going(&backup.0)) {
            ("Completed", false, false) => None,
            ("Completed", true, false) => Some(format!("backup {name} expires within the hour")),
            _ => Some(format!("backup {name} is being deleted, or is Completed no more")),
        })
    }

    async fn claims(&self, namespace: &str) -> Result<BTreeMap<String, ClaimSeen>, ClusterError> {
        let all = self.within(&CLAIMS, namespace).await?;
        Ok(all.iter().map(|one| (name(one).to_owned(), claim(one))).collect())
    }

    /// Pods of the namespace that use claims of the restore.
    async fn users(&self, run: &RestoreRun) -> Result<BTreeSet<String>, ClusterError> {
        let claims: BTreeSet<&str> = run.claims.iter().map(|one| one.name.as_str()).collect();
        let pods = self.within(&PODS, &run.namespace).await?;
        let uses = |one: &&Value| {
            mounted(one.get("spec"))
                .iter()
                .any(|claim| claims.contains(claim.as_str()))
        };
        Ok(pods.iter().filter(uses).map(|one| name(one).to_owned()).collect())
    }

    async fn replicas(&self, run: &RestoreRun, workload: &WorkloadRun) -> Result<Option<i64>, ClusterError> {
        let found = self
            .get(&kind(&WORKLOADS, &workload.kind)?, &run.namespace, &workload.name)
            .await?;
        Ok(found.map(|live| replicas(&workload.kind, &live.0)))
    }

    /// Makes an object that is not there yet; one that is there is left as it is.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn create(&self, object: &Value) -> Result<(), ClusterError> {
        Drills::of(self.cluster, self.velero).create(object).await
    }

    /// Writes down where a restore is, if nobody has meanwhile.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] when somebody has.
    pub async fn record(&self, record: &Value, version: &str) -> Result<String, ClusterError> {
        let name = name(record);
        let change = json!({"metadata": {"resourceVersion": version}, "data": record["data"]});
        // A second read would take over what somebody has written in between.
        self.cluster
            .patch_foreign(&CONFIG_MAPS, self.velero, name, &change)
            .await
    }

    /// The version of a restore's record; nothing when it is gone.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn version(&self, run: &RestoreRun) -> Result<Option<String>, ClusterError> {
        let found = self.get(&CONFIG_MAPS, self.velero, &run.object_name()).await?;
        Ok(found.map(|live| text_at(&live.0, &["metadata", "resourceVersion"]).to_owned()))
    }

    /// Deletes the record of a restore that has ended.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn forget(&self, run: &RestoreRun) -> Result<(), ClusterError> {
        self.delete(
            "v1",
            &id("", "ConfigMap", self.velero, &run.object_name()),
            |_| true,
        )
        .await
    }

    async fn delete(
        &self,
        version: &str,
        id: &ObjectId,
        may: impl Fn(&Live) -> bool,
    ) -> Result<(), ClusterError> {
        let Some(live) = self.cluster.get_object(version, id).await? else {
            return Ok(());
        };
        match live.uid().filter(|_| may(&live) && !is_going(&live.0)) {
            Some(uid) => self.cluster.delete_object(version, id, uid).await,
            None => Ok(()),
        }
    }

    /// Carries an act out. `Prepare` and `Restore` make objects, which are created elsewhere.
    ///
    /// # Errors
    /// Any [`ClusterError`]; the act is done again with the next look.
    pub async fn act(&self, run: &RestoreRun, seen: &Seen, act: &Act) -> Result<(), ClusterError> {
        let namespace = run.namespace.as_str();
        match act {
            Act::Prepare | Act::Restore => Ok(()),
            Act::Retain(volume) => self.keep(seen, volume, "Retain").await,
            Act::Release(volume, policy) => self.keep(seen, volume, policy).await,
            Act::EndCarriers => self.end_carriers(run).await,
            Act::Suspend(place) => self.suspend(run.flux.get(*place), true).await,
            Act::Resume(place) => self.suspend(run.flux.get(*place), false).await,
            Act::ScaleDown(place) => self.scale(namespace, run.workloads.get(*place), true).await,
            Act::ScaleUp(place) => self.scale(namespace, run.workloads.get(*place), false).await,
            Act::DeleteClaim(place, bound) => match run.claims.get(*place) {
                Some(claim) => self.delete_claim(namespace, &claim.name, bound).await,
                None => Ok(()),
            },
            Act::DeleteScratchClaim(place) => match run.claims.get(*place) {
                Some(claim) => {
                    let bound = claim.new_volume.as_deref().unwrap_or_default();
                    self.delete_claim(&run.scratch, &claim.name, bound).await
                }
                None => Ok(()),
            },
            Act::Reserve(place, volume) => {
                let claim = run.claims.get(*place).map(|one| one.name.as_str());
                let reference = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim,
                    "uid": null, "resourceVersion": null});
                let change = json!({"spec": {"claimRef": reference}});
                self.change_volume(seen, volume, change).await
            }
            Act::MakeClaim(place, volume) => self.make_claim(run, *place, volume.as_deref()).await,
            Act::CleanUp => self.clean_up(run).await,
        }
    }

    async fn keep(&self, seen: &Seen, volume: &str, policy: &str) -> Result<(), ClusterError> {
        let change = json!({"spec": {"persistentVolumeReclaimPolicy": policy}});
        self.change_volume(seen, volume, change).await
    }

    /// Changes a volume that is as it was seen; one that has changed is looked at again first.
    async fn change_volume(&self, seen: &Seen, volume: &str, mut change: Value) -> Result<(), ClusterError> {
        let Some(found) = seen.volumes.get(volume) else {
            return Ok(());
        };
        change["metadata"] = json!({"resourceVersion": found.version});
        match self.cluster.patch_foreign(&VOLUMES, "", volume, &change).await {
            Ok(_) | Err(ClusterError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn end_carriers(&self, run: &RestoreRun) -> Result<(), ClusterError> {
        for pod in self.within(&PODS, &run.scratch).await? {
            let id = id("", "Pod", &run.scratch, name(&pod));
            self.delete("v1", &id, |_| true).await?;
        }
        Ok(())
    }

    async fn suspend(&self, flux: Option<&FluxRun>, suspended: bool) -> Result<(), ClusterError> {
        let Some(flux) = flux else { return Ok(()) };
        // What was not there before is not left there.
        let change = json!({"spec": {"suspend": if suspended { json!(true) } else { Value::Null }}});
        let kind = kind(&FLUX, &flux.kind)?;
        self.cluster
            .patch_foreign(&kind, &flux.namespace, &flux.name, &change)
            .await
            .map(drop)
    }

    async fn scale(
        &self,
        namespace: &str,
        workload: Option<&WorkloadRun>,
        down: bool,
    ) -> Result<(), ClusterError> {
        let Some(workload) = workload else { return Ok(()) };
        let change = match workload.kind.as_str() {
            "CronJob" => json!({"spec": {"suspend": down}}),
            _ if down => json!({"spec": {"replicas": 0}}),
            _ => json!({"spec": {"replicas": workload.replicas}}),
        };
        let kind = kind(&WORKLOADS, &workload.kind)?;
        self.cluster
            .patch_foreign(&kind, namespace, &workload.name, &change)
            .await
            .map(drop)
    }

    /// Deletes a claim that is bound to this volume, once more looking whether the volume stays.
    async fn delete_claim(&self, namespace: &str, claim: &str, bound: &str) -> Result<(), ClusterError> {
        if !bound.is_empty() {
            let volume = self
                .cluster
                .get_object("v1", &id("", "PersistentVolume", "", bound))
                .await?;
            let volume = volume.map(|live| self::volume(&live.0));
            let stays = volume.is_some_and(|one| one.policy == "Retain" && !one.going);
            if !stays {
                return Ok(());
            }
        }
        let id = id("", "PersistentVolumeClaim", namespace, claim);
        let may = |live: &Live| text_at(&live.0, &["spec", "volumeName"]) == bound;
        self.delete("v1", &id, may).await
    }

    async fn make_claim(
        &self,
        run: &RestoreRun,
        place: usize,
        volume: Option<&str>,
    ) -> Result<(), ClusterError> {
        let claim = run.claims.get(place);
        let made = claim.and_then(|one| {
            if run.aborted {
                one.old_claim.as_ref()
            } else {
                one.new_claim.as_ref()
            }
        });
        let Some(mut made) = made.cloned() else {
            return Ok(());
        };
        made["metadata"]["namespace"] = json!(run.namespace);
        if let Some(volume) = volume {
            made["spec"]["volumeName"] = json!(volume);
        }
        self.create(&made).await
    }

    async fn clean_up(&self, run: &RestoreRun) -> Result<(), ClusterError> {
        let ours = |live: &Live| text_at(&live.0, &["metadata", "labels", RESTORE_LABEL]) == run.id;
        self.delete("v1", &id("", "Namespace", "", &run.scratch), ours)
            .await?;
        let restore = id("velero.io", "Restore", self.velero, &run.object_name());
        self.delete(VELERO, &restore, ours).await?;
        self.delete("v1", &id("", "ConfigMap", self.velero, &run.changes_name()), ours)
            .await
    }
}

fn volume(one: &Value) -> VolumeNow {
    let of = |field: &str| text_at(one, &["spec", "claimRef", field]).to_owned();
    VolumeNow {
        policy: text_at(one, &["spec", "persistentVolumeReclaimPolicy"]).to_owned(),
        claim: (of("namespace"), of("name")),
        claim_uid: of("uid"),
        going: is_going(one),
        version: text_at(one, &["metadata", "resourceVersion"]).to_owned(),
    }
}

fn claim(one: &Value) -> ClaimSeen {
    ClaimSeen {
        volume: text_at(one, &["spec", "volumeName"]).to_owned(),
        phase: text_at(one, &["status", "phase"]).to_owned(),
        going: is_going(one),
        manifest: manifest(one),
    }
}

/// A claim as it is made again: without what Kubernetes wrote into it for the volume that it has.
fn manifest(one: &Value) -> Value {
    let kept = |field: &str| -> Value {
        let all = one["metadata"][field].as_object();
        let own = all.into_iter().flatten().filter(|(key, _)| {
            let applied = key.as_str() == "kubectl.kubernetes.io/last-applied-configuration";
            !applied && !OF_ONE_BINDING.iter().any(|prefix| key.starts_with(prefix))
        });
        Value::Object(own.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let mut spec = one["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        for field in ["volumeName", "dataSource", "dataSourceRef"] {
            spec.remove(field);
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name(one),
            "namespace": text_at(one, &["metadata", "namespace"]),
            "labels": kept("labels"),
            "annotations": kept("annotations"),
        },
        "spec": spec,
    })
}
