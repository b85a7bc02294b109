//! A restore that is under way: what the cluster holds of it, and each of its acts. All of them may be done again.

use super::{CONFIG_MAPS, PODS, is_going, name};
use crate::io::cluster::{Cluster, ClusterError, Live};
use crate::io::drills::{self, Drills, id};
use crate::io::hands::Hands;
use crate::model::desired::text_at;
use crate::model::drills::{Leftovers, ScratchSeen};
use crate::model::restores::run::{
    Act, FluxRun, Phase, RESTORE_LABEL, RETAIN, RestoreRun, Seen, WorkloadRun,
};
use crate::model::restores::{LEFT_SECS_MIN, Way};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const VELERO: &str = "velero.io/v1";

/// What looks at a restore and acts for it.
#[derive(Clone, Copy)]
pub struct Driver<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Velero's namespace.
    pub velero: &'a str,
}

impl<'a> Driver<'a> {
    fn hands(&self) -> Hands<'a> {
        Hands(self.cluster)
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
            claims: self.hands().claims(&run.namespace).await?,
            users: self.users(run).await?,
            ..Seen::default()
        };
        if run.phase == Phase::Check {
            let held = drills.held(&run.backup, &run.namespace).await?;
            let names = held.as_ref().map(|held| &held.names);
            seen.restored = drills.restored(&object, names).await?;
        }
        for workload in &run.workloads {
            let (kind, name) = (&workload.kind, &workload.name);
            let replicas = self.hands().replicas(&run.namespace, kind, name).await?;
            seen.workloads.push(replicas);
        }
        for flux in &run.flux {
            let (kind, namespace, name) = (&flux.kind, &flux.namespace, &flux.name);
            seen.flux
                .push(self.hands().suspended(kind, namespace, name).await?);
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
        let changes = self
            .hands()
            .get(&CONFIG_MAPS, self.velero, &run.changes_name())
            .await?;
        seen.leftovers = match (&changes, restore) {
            (None, None) => Leftovers::Nothing,
            (None, Some(restore)) if is_going(&restore.0) => Leftovers::Going,
            _ => Leftovers::Something,
        };
        if seen.scratch.as_ref().is_some_and(|scratch| scratch.ours) {
            let policy = id("networking.k8s.io", "NetworkPolicy", &run.scratch, "deny-all");
            let policy = self.cluster.get_object("networking.k8s.io/v1", &policy).await?;
            seen.prepared = changes.is_some() && policy.is_some();
            seen.scratch_claims = self.hands().claims(&run.scratch).await?;
            let pods = self.hands().within(&PODS, &run.scratch).await?;
            let going = pods.iter().filter(|one| is_going(one)).count();
            seen.scratch_pods = (pods.len() - going, going);
        }
        let known: BTreeSet<&String> = run
            .claims
            .iter()
            .flat_map(|one| [&one.old_volume, &one.new_volume])
            .flatten()
            .collect();
        seen.volumes = self.hands().volumes().await?;
        seen.volumes.retain(|name, volume| {
            known.contains(name) || [&run.namespace, &run.scratch].contains(&&volume.claim.0)
        });
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

    /// Pods of the namespace that use claims of the restore.
    async fn users(&self, run: &RestoreRun) -> Result<BTreeSet<String>, ClusterError> {
        let claims: BTreeSet<&str> = run.claims.iter().map(|one| one.name.as_str()).collect();
        let users = self.hands().users(&run.namespace, &claims).await?;
        Ok(users.into_keys().collect())
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
        let found = self
            .hands()
            .get(&CONFIG_MAPS, self.velero, &run.object_name())
            .await?;
        Ok(found.map(|live| text_at(&live.0, &["metadata", "resourceVersion"]).to_owned()))
    }

    /// Deletes the record of a restore that has ended.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn forget(&self, run: &RestoreRun) -> Result<(), ClusterError> {
        let record = id("", "ConfigMap", self.velero, &run.object_name());
        self.hands().delete("v1", &record, |_| true).await
    }

    /// Carries an act out. `Prepare` and `Restore` make objects, which are created elsewhere.
    ///
    /// # Errors
    /// Any [`ClusterError`]; the act is done again with the next look.
    pub async fn act(&self, run: &RestoreRun, seen: &Seen, act: &Act) -> Result<(), ClusterError> {
        let (namespace, hands) = (run.namespace.as_str(), self.hands());
        match act {
            Act::Prepare | Act::Restore => Ok(()),
            Act::Retain(volume) => hands.keep(seen.volumes.get(volume), volume, RETAIN).await,
            Act::Release(volume, policy) => hands.keep(seen.volumes.get(volume), volume, policy).await,
            Act::EndCarriers => self.end_carriers(run).await,
            Act::Suspend(place) => self.suspend(run.flux.get(*place), true).await,
            Act::Resume(place) => self.suspend(run.flux.get(*place), false).await,
            Act::ScaleDown(place) => self.scale(namespace, run.workloads.get(*place), true).await,
            Act::ScaleUp(place) => self.scale(namespace, run.workloads.get(*place), false).await,
            Act::DeleteClaim(place, bound) => match run.claims.get(*place) {
                Some(claim) => hands.delete_claim(namespace, &claim.name, bound).await,
                None => Ok(()),
            },
            Act::DeleteScratchClaim(place) => match run.claims.get(*place) {
                Some(claim) => {
                    let bound = claim.new_volume.as_deref().unwrap_or_default();
                    hands.delete_claim(&run.scratch, &claim.name, bound).await
                }
                None => Ok(()),
            },
            Act::Reserve(place, volume) => {
                let Some(claim) = run.claims.get(*place) else {
                    return Ok(());
                };
                let claim = (namespace, claim.name.as_str());
                hands.reserve(seen.volumes.get(volume), volume, claim).await
            }
            Act::MakeClaim(place, volume) => self.make_claim(run, *place, volume.as_deref()).await,
            Act::CleanUp => self.clean_up(run).await,
        }
    }

    async fn end_carriers(&self, run: &RestoreRun) -> Result<(), ClusterError> {
        for pod in self.hands().within(&PODS, &run.scratch).await? {
            let id = id("", "Pod", &run.scratch, name(&pod));
            self.hands().delete("v1", &id, |_| true).await?;
        }
        Ok(())
    }

    async fn suspend(&self, flux: Option<&FluxRun>, suspended: bool) -> Result<(), ClusterError> {
        let Some(flux) = flux else { return Ok(()) };
        let flux = (flux.kind.as_str(), flux.namespace.as_str(), flux.name.as_str());
        self.hands().suspend(flux, suspended).await
    }

    async fn scale(
        &self,
        namespace: &str,
        workload: Option<&WorkloadRun>,
        down: bool,
    ) -> Result<(), ClusterError> {
        let Some(workload) = workload else { return Ok(()) };
        let up_to = workload.replicas.unwrap_or(0);
        let named = (workload.kind.as_str(), workload.name.as_str());
        self.hands()
            .scale(namespace, named, (!down).then_some(up_to))
            .await
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
        let hands = self.hands();
        let scratch = id("", "Namespace", "", &run.scratch);
        hands.delete("v1", &scratch, ours).await?;
        let restore = id("velero.io", "Restore", self.velero, &run.object_name());
        hands.delete(VELERO, &restore, ours).await?;
        let changes = id("", "ConfigMap", self.velero, &run.changes_name());
        hands.delete("v1", &changes, ours).await
    }
}
