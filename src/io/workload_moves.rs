//! A move of workloads that is under way: what the cluster holds of it, and each of its acts. All of them may be done again.

use super::cluster::{Cluster, ClusterError, Foreign, Live};
use super::drills::id;
use super::hands::Hands;
use super::restores::{CLASSES, replicas};
use super::velero::is_going;
use crate::model::desired::text_at;
use crate::model::kinds::workload_move::{KEPT_OF, MOVE_LABEL, WorkloadMoveSpec, WorkloadMoveStatus};
use crate::model::restores::run::RETAIN;
use crate::model::workload_moves::{Act, JobNow, JobOutcome, Seen, WorkloadNow};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const JOBS: Foreign = Foreign::of("batch", "v1", "Job", "jobs");

/// What things of a move are called, as its journal has it.
pub struct Names {
    /// The move's id.
    pub id: String,
    /// The claims beside its claims, in order.
    pub copies: Vec<String>,
    /// The Jobs that copy them, in order.
    pub jobs: Vec<String>,
}

/// What looks at a move and acts for it.
#[derive(Clone, Copy)]
pub struct Driver<'a> {
    cluster: &'a Cluster,
    spec: &'a WorkloadMoveSpec,
    names: &'a Names,
}

impl<'a> Driver<'a> {
    /// What drives a move.
    pub fn of(cluster: &'a Cluster, spec: &'a WorkloadMoveSpec, names: &'a Names) -> Self {
        Self { cluster, spec, names }
    }

    fn hands(&self) -> Hands<'a> {
        Hands(self.cluster)
    }

    /// Reads everything that the next step depends on.
    ///
    /// # Errors
    /// Any [`ClusterError`]; then nothing is known, and nothing is done.
    pub async fn look(&self) -> Result<Seen, ClusterError> {
        let (hands, spec) = (self.hands(), self.spec);
        let namespace = spec.namespace.as_str();
        // Pods last: what uses claims by then was made by a workload that was seen before.
        let mut seen = Seen {
            claims: hands.claims(namespace).await?,
            volumes: hands.volumes().await?,
            ..Seen::default()
        };
        let classes = self
            .cluster
            .list_foreign(&CLASSES, &super::cluster::Which::default())
            .await?;
        let named = classes
            .iter()
            .flatten()
            .map(|one| text_at(one, &["metadata", "name"]).to_owned());
        seen.classes = named.collect();
        for (place, name) in self.names.jobs.iter().enumerate() {
            if let Some(live) = hands.get(&JOBS, namespace, name).await? {
                seen.jobs.insert(place, self.job(&live));
            }
        }
        for one in &spec.workloads {
            let found = hands.workload(namespace, &one.kind, &one.name).await?;
            seen.workloads
                .push(found.map(|live| workload(&one.kind, &live.0)));
        }
        for one in &spec.flux {
            let found = hands.suspended(&one.kind, &one.namespace, &one.name).await?;
            seen.flux.push(found);
        }
        let own = spec.claims.iter().map(|one| one.name.as_str());
        let claims: BTreeSet<&str> = own.chain(self.names.copies.iter().map(String::as_str)).collect();
        for (pod, labels) in hands.users(namespace, &claims).await? {
            match labels[MOVE_LABEL] == *self.names.id {
                true => seen.carriers.insert(pod),
                false => seen.users.insert(pod),
            };
        }
        Ok(seen)
    }

    fn job(&self, live: &Live) -> JobNow {
        let conditions = live.0["status"]["conditions"].as_array();
        let holds = |kind: &str| {
            let mut all = conditions.into_iter().flatten();
            all.find(|one| one["type"] == kind && one["status"] == "True")
                .cloned()
        };
        let outcome = match (holds("Failed"), holds("Complete")) {
            (Some(why), _) => JobOutcome::Failed(format!(
                "Job {} failed: {} {}; its pod's log says more",
                text_at(&live.0, &["metadata", "name"]),
                text_at(&why, &["reason"]),
                text_at(&why, &["message"])
            )),
            (None, Some(_)) => JobOutcome::Succeeded,
            (None, None) => JobOutcome::Runs,
        };
        JobNow {
            ours: text_at(&live.0, &["metadata", "labels", MOVE_LABEL]) == self.names.id,
            outcome,
            going: is_going(&live.0),
        }
    }

    fn claim(&self, place: usize) -> &'a str {
        self.spec
            .claims
            .get(place)
            .map_or("", |claim| claim.name.as_str())
    }

    fn copy(&self, place: usize) -> &'a str {
        self.names.copies.get(place).map_or("", String::as_str)
    }

    /// Carries an act out. `made` is the object that it makes, if it makes any; one of its name that is there already stays.
    ///
    /// # Errors
    /// Any [`ClusterError`]; the act is done again with the next look.
    pub async fn act(
        &self,
        status: &WorkloadMoveStatus,
        seen: &Seen,
        act: &Act,
        made: Option<Value>,
    ) -> Result<(), ClusterError> {
        let (hands, spec) = (self.hands(), self.spec);
        let namespace = spec.namespace.as_str();
        let ours = |live: &Live| text_at(&live.0, &["metadata", "labels", MOVE_LABEL]) == self.names.id;
        let flux = |place: &usize| {
            let one = spec.flux.get(*place);
            one.map(|one| (one.kind.as_str(), one.namespace.as_str(), one.name.as_str()))
        };
        let workload = |place: &usize| {
            let one = spec.workloads.get(*place);
            one.map(|one| (one.kind.as_str(), one.name.as_str()))
        };
        match act {
            Act::MakeCopyClaim(..) | Act::MakeJob(_) | Act::MakeClaim(..) => match made {
                Some(object) => super::drills::Drills::of(self.cluster, "").create(&object).await,
                None => Ok(()),
            },
            Act::Suspend(place) | Act::Resume(place) => match flux(place) {
                Some(flux) => hands.suspend(flux, matches!(act, Act::Suspend(_))).await,
                None => Ok(()),
            },
            Act::ScaleDown(place) => match workload(place) {
                Some(workload) => hands.scale(namespace, workload, None).await,
                None => Ok(()),
            },
            Act::ScaleUp(place) => match (workload(place), status.workloads.get(*place)) {
                (Some(workload), Some(known)) => hands.scale(namespace, workload, Some(known.replicas)).await,
                _ => Ok(()),
            },
            Act::DeleteJob(place) => {
                let name = self.names.jobs.get(*place).map_or("", String::as_str);
                hands
                    .delete("batch/v1", &id("batch", "Job", namespace, name), ours)
                    .await
            }
            Act::Retain(volume) => hands.keep(seen.volumes.get(volume), volume, RETAIN).await,
            Act::Release(volume, policy) => hands.keep(seen.volumes.get(volume), volume, policy).await,
            Act::Mark(place, volume) => {
                let of = format!("{namespace}/{}", self.claim(*place));
                let change = json!({"metadata": {"labels": {MOVE_LABEL: self.names.id}, "annotations": {KEPT_OF: of}}});
                hands
                    .change_volume(seen.volumes.get(volume), volume, change)
                    .await
            }
            Act::DeleteClaim(place, bound) => {
                // Once more: a claim that a pod uses lingers, and the pod goes on writing to what was copied. The next look sees it.
                let claim = self.claim(*place);
                match hands.users(namespace, &BTreeSet::from([claim])).await?.is_empty() {
                    true => hands.delete_claim(namespace, claim, bound).await,
                    false => Ok(()),
                }
            }
            Act::DeleteCopyClaim(place, bound) => {
                hands.delete_claim(namespace, self.copy(*place), bound).await
            }
            Act::DropCopyClaim(place) => {
                let copy = id("", "PersistentVolumeClaim", namespace, self.copy(*place));
                hands.delete("v1", &copy, ours).await
            }
            Act::Reserve(place, volume) => {
                let claim = (namespace, self.claim(*place));
                hands.reserve(seen.volumes.get(volume), volume, claim).await
            }
            Act::ReserveCopy(place, volume) => {
                let claim = (namespace, self.copy(*place));
                hands.reserve(seen.volumes.get(volume), volume, claim).await
            }
        }
    }

    /// Reads the volumes alone.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn volumes(&self) -> Result<Seen, ClusterError> {
        Ok(Seen {
            volumes: self.hands().volumes().await?,
            ..Seen::default()
        })
    }

    /// Lets a kept volume go: its provisioner deletes it, if it is as it was seen.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn release(&self, seen: &Seen, volume: &str, policy: &str) -> Result<(), ClusterError> {
        self.hands().keep(seen.volumes.get(volume), volume, policy).await
    }
}

fn workload(kind: &str, one: &Value) -> WorkloadNow {
    let number = |pointer: &str| one.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let replicas = replicas(kind, one);
    let generation = number("/metadata/generation");
    let ready = match kind {
        "CronJob" => true,
        _ => {
            number("/status/observedGeneration") >= generation && number("/status/readyReplicas") >= replicas
        }
    };
    WorkloadNow {
        replicas,
        generation,
        ready,
    }
}
