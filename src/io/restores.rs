//! What a cluster holds of a namespace that a person wants restored: only reads.

use super::cluster::{Cluster, ClusterError, Foreign, Which};
use super::drills::restore_of;
use super::hands;
pub(super) use super::velero::PODS;
use super::velero::{
    BACKUP_UID, BACKUPS, DATA_UPLOADS, LOCATIONS, NAMESPACES, POD_VOLUME_BACKUPS, RESTORES, VeleroError,
    core, is_going,
};
use crate::model::backups::Method;
use crate::model::desired::text_at;
use crate::model::kinds::{BackupPolicy, WorkloadMove};
use crate::model::restores::run::{RESTORE_LABEL, RESTORE_OF_LABEL, VolumeNow};
use crate::model::restores::{BackupFacts, Facts, Held, NamespaceSeen};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A restore that is under way: what is seen of it, and what is done.
mod run;

/// What is read of objects.
mod raw;

use raw::{claim, flux, labelled, pod, scaler, workload};
pub(super) use raw::{mounted, replicas};

pub use run::Driver;

pub(super) const CLAIMS: Foreign = core("PersistentVolumeClaim", "persistentvolumeclaims");
pub(super) const VOLUMES: Foreign = core("PersistentVolume", "persistentvolumes");
const CONFIG_MAPS: Foreign = core("ConfigMap", "configmaps");
pub(super) const CLASSES: Foreign = Foreign::of("storage.k8s.io", "v1", "StorageClass", "storageclasses");
const SCALERS: [Foreign; 2] = [
    Foreign::of(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    Foreign::of("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
];
pub(super) const WORKLOADS: [Foreign; 6] = [
    Foreign::of("apps", "v1", "Deployment", "deployments"),
    Foreign::of("apps", "v1", "StatefulSet", "statefulsets"),
    Foreign::of("apps", "v1", "ReplicaSet", "replicasets"),
    Foreign::of("apps", "v1", "DaemonSet", "daemonsets"),
    Foreign::of("batch", "v1", "CronJob", "cronjobs"),
    Foreign::of("batch", "v1", "Job", "jobs"),
];
pub(super) const FLUX: [Foreign; 2] = [
    Foreign::of(
        "kustomize.toolkit.fluxcd.io",
        "v1",
        "Kustomization",
        "kustomizations",
    ),
    Foreign::of("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
];

/// Everything that is known of a namespace.
pub struct Found {
    /// What a restore is decided by.
    pub facts: Facts,
    /// The policies of backups.
    pub policies: Vec<BackupPolicy>,
}

/// What is read of a cluster for all of its namespaces at once.
struct Shared {
    volumes: Vec<Value>,
    flux: Vec<(&'static Foreign, Vec<Value>)>,
    classes: BTreeSet<String>,
    policies: Vec<BackupPolicy>,
    restores: Vec<Value>,
    moves: Vec<WorkloadMove>,
}

/// Reads of one cluster.
#[derive(Clone, Copy)]
pub struct Restores<'a>(&'a Cluster);

impl<'a> Restores<'a> {
    /// The restores of a cluster; nothing is asked yet.
    pub fn of(cluster: &'a Cluster) -> Self {
        Self(cluster)
    }

    async fn all(&self, kind: &Foreign) -> Result<Vec<Value>, ClusterError> {
        // A kind that is not installed has no objects.
        let found = self.0.list_foreign(kind, &Which::default()).await?;
        Ok(found.unwrap_or_default())
    }

    async fn within(&self, kind: &Foreign, namespace: &str) -> Result<Vec<Value>, ClusterError> {
        let found = self.0.list_foreign_in(kind, namespace, &Which::default()).await?;
        Ok(found.unwrap_or_default())
    }

    /// Reads all that a restore of a namespace is decided by.
    ///
    /// # Errors
    /// [`VeleroError::Absent`] when Velero is not installed; then there is nothing to restore from.
    pub async fn facts(&self, namespace: &str) -> Result<Found, VeleroError> {
        let backups = self.0.list_foreign(&BACKUPS, &Which::default()).await?;
        let backups = backups.ok_or(VeleroError::Absent)?;
        let shared = self.shared().await?;
        let mut facts = self.around(namespace, &shared).await?;
        facts.backups = backups.into_iter().map(backup).collect::<Result<_, _>>()?;
        facts.busy = busy(namespace, &shared);
        for one in self.records(Some(namespace)).await? {
            let id = text_at(&one, &["metadata", "labels", RESTORE_LABEL]);
            let words = format!("restore {id} of namespace {namespace} is under way");
            facts.busy.push(words);
        }
        facts.uncovered = uncovered(namespace, &shared.policies);
        for one in self.all(&LOCATIONS).await? {
            facts.locations.push(super::velero::location(one)?);
        }
        Ok(Found {
            facts,
            policies: shared.policies,
        })
    }

    /// Reads what belongs to no namespace, or to others too.
    async fn shared(&self) -> Result<Shared, ClusterError> {
        let mut flux = Vec::new();
        for kind in &FLUX {
            flux.push((kind, self.all(kind).await?));
        }
        let classes = self.all(&CLASSES).await?;
        Ok(Shared {
            volumes: self.all(&VOLUMES).await?,
            flux,
            classes: classes.iter().map(|one| name(one).to_owned()).collect(),
            policies: self.0.list_if_installed().await?,
            restores: self.all(&RESTORES).await?,
            moves: self.0.list_if_installed().await?,
        })
    }

    /// Reads what moving the workloads of some namespaces is decided by: all of a restore's but what speaks of backups. Drills, restores
    /// and moves that are under way there are in it. A namespace that could not be read has words why.
    pub async fn of_workloads(
        &self,
        namespaces: impl IntoIterator<Item = String>,
    ) -> BTreeMap<String, Result<Facts, String>> {
        let mut namespaces = namespaces.into_iter().peekable();
        let mut all = BTreeMap::new();
        if namespaces.peek().is_none() {
            return all;
        }
        let shared = match self.shared().await {
            // Once for all namespaces: there may be very many volumes.
            Ok(shared) => Ok((hands::volumes(&shared.volumes), shared)),
            Err(error) => Err(error.to_string()),
        };
        for namespace in namespaces {
            let found = match &shared {
                Ok((volumes, shared)) => {
                    let found = self.workloads(&namespace, shared, volumes).await;
                    found.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.clone()),
            };
            all.insert(namespace, found);
        }
        all
    }

    async fn workloads(
        &self,
        namespace: &str,
        shared: &Shared,
        volumes: &BTreeMap<String, VolumeNow>,
    ) -> Result<Facts, ClusterError> {
        let mut facts = self.around(namespace, shared).await?;
        let label = crate::model::cnpg::CLUSTER_LABEL;
        if facts
            .claims
            .iter()
            .any(|one| one.claim.labels.contains_key(label))
        {
            let driver = super::cnpg::Driver::of(self.0, namespace);
            facts.clusters = driver.all(volumes).await?;
        }
        facts.busy = busy(namespace, shared);
        // Records are ConfigMaps, and whoever moves workloads need not list those: Velero's Restore tells as much while claims are exchanged.
        let labelled = |one: &&Value| text_at(one, &["metadata", "labels", RESTORE_OF_LABEL]) == namespace;
        facts
            .busy
            .extend(shared.restores.iter().filter(labelled).map(|one| {
                let id = text_at(one, &["metadata", "labels", RESTORE_LABEL]);
                format!("restore {id} of namespace {namespace} is under way")
            }));
        Ok(facts)
    }

    async fn around(&self, namespace: &str, shared: &Shared) -> Result<Facts, ClusterError> {
        let named = format!("metadata.name={namespace}");
        let which = Which {
            labels: None,
            fields: Some(named),
        };
        let found = self
            .0
            .list_foreign(&NAMESPACES, &which)
            .await?
            .unwrap_or_default();
        let found = found.iter().find(|one| name(one) == namespace);
        let mut facts = Facts {
            namespace: match found {
                None => NamespaceSeen::Absent,
                Some(one) if is_going(one) => NamespaceSeen::Terminating,
                Some(_) => NamespaceSeen::Active,
            },
            enforces: found.map_or_else(String::new, |one| {
                text_at(one, &["metadata", "labels", "pod-security.kubernetes.io/enforce"]).to_owned()
            }),
            ..Facts::default()
        };
        let volumes: BTreeMap<&str, &Value> = shared.volumes.iter().map(|one| (name(one), one)).collect();
        let claims = self.within(&CLAIMS, namespace).await?;
        facts.claims = claims.iter().map(|one| claim(one, &volumes)).collect();
        let pods = self.within(&PODS, namespace).await?;
        facts.pods = pods.iter().map(pod).collect();
        let mut kept: Vec<(String, Value)> = claims
            .iter()
            .map(|one| raw::kept("PersistentVolumeClaim", one))
            .collect();
        for kind in &WORKLOADS {
            let found = self.within(kind, namespace).await?;
            facts
                .workloads
                .extend(found.iter().map(|one| workload(kind, one)));
            kept.extend(found.iter().map(|one| raw::kept(kind.kind, one)));
        }
        for (kind, found) in &shared.flux {
            facts
                .flux
                .extend(found.iter().map(|one| flux(kind, one, namespace)));
        }
        labelled(&mut facts, &kept);
        for kind in &SCALERS {
            let found = self.within(kind, namespace).await?;
            facts.scalers.extend(found.iter().map(|one| scaler(kind, one)));
        }
        facts.classes.clone_from(&shared.classes);
        Ok(facts)
    }

    /// The records of restores that have not ended, of a namespace (`Some`) or of all.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn records(&self, namespace: Option<&str>) -> Result<Vec<Value>, ClusterError> {
        let of = namespace.map_or(String::new(), |namespace| format!("={namespace}"));
        let which = Which {
            labels: Some(format!("{RESTORE_OF_LABEL}{of}")),
            ..Which::default()
        };
        let mut found = self
            .0
            .list_foreign(&CONFIG_MAPS, &which)
            .await?
            .unwrap_or_default();
        // Whoever may write ConfigMaps of some other namespace must not lead a restore.
        let locations = self.all(&LOCATIONS).await?;
        let within = |one: &Value| text_at(one, &["metadata", "namespace"]).to_owned();
        let velero: BTreeSet<String> = locations.iter().map(within).collect();
        found.retain(|one| velero.contains(&within(one)));
        Ok(found)
    }

    /// What a backup holds of the claims of a namespace.
    ///
    /// # Errors
    /// Any [`VeleroError`].
    pub async fn held(&self, backup: &BackupFacts, namespace: &str) -> Result<Vec<Held>, VeleroError> {
        let which = Which {
            labels: Some(format!("{BACKUP_UID}={}", backup.found.uid)),
            ..Which::default()
        };
        let within = &backup.found.namespace;
        let files: [&[&str]; 2] = [
            &["spec", "pod", "namespace"],
            &["metadata", "annotations", "velero.io/pvc-name"],
        ];
        let snapshots: [&[&str]; 2] = [&["spec", "sourceNamespace"], &["spec", "sourcePVC"]];
        let mut held = Vec::new();
        for (kind, method, [of, claim]) in [
            (&POD_VOLUME_BACKUPS, Method::FsBackup, files),
            (&DATA_UPLOADS, Method::SnapshotMove, snapshots),
        ] {
            // Velero without the data mover's kind has no uploads of it.
            let all = self.0.list_foreign_in(kind, within, &which).await?;
            for one in all.unwrap_or_default() {
                let claim = text_at(&one, claim).to_owned();
                if text_at(&one, of) == namespace && !claim.is_empty() {
                    let upload = super::velero::upload(one, method)?;
                    held.push(Held { claim, upload });
                }
            }
        }
        Ok(held)
    }
}

/// Drills, restores and moves of workloads of a namespace that are under way.
fn busy(namespace: &str, shared: &Shared) -> Vec<String> {
    let drills = shared
        .policies
        .iter()
        .filter_map(|one| one.status.as_ref()?.drill.as_ref());
    let drills = drills.filter(|drill| drill.namespace == namespace);
    let mut busy: Vec<String> = drills
        .map(|drill| format!("drill {} of namespace {namespace} is under way", drill.id))
        .collect();
    for one in &shared.restores {
        let into = one.pointer("/spec/namespaceMapping").and_then(Value::as_object);
        let mapped = into.is_some_and(|into| !into.is_empty() && into.values().all(|to| to != namespace));
        let included = texts(one, "/spec/includedNamespaces");
        let takes = included.is_empty() || included.iter().any(|one| one == namespace || one == "*");
        if !restore_of(one).has_ended() && !mapped && takes {
            let name = name(one);
            busy.push(format!(
                "Velero's Restore {name} into namespace {namespace} is under way"
            ));
        }
    }
    for one in &shared.moves {
        let ended = one.status.as_ref().is_some_and(|status| status.phase.is_final());
        if one.spec.namespace == namespace && !ended {
            let name = one.metadata.name.as_deref().unwrap_or_default();
            busy.push(format!(
                "WorkloadMove {name} of namespace {namespace} is under way"
            ));
        }
    }
    busy
}

pub(super) fn name(one: &Value) -> &str {
    text_at(one, &["metadata", "name"])
}

fn texts(one: &Value, pointer: &str) -> Vec<String> {
    let all = one.pointer(pointer).and_then(Value::as_array);
    let texts = all.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn backup(one: Value) -> Result<BackupFacts, VeleroError> {
    let resources = |pointer: &str| texts(&one, pointer);
    let any = |names: &[String], of: &[&str]| names.iter().any(|name| of.contains(&name.as_str()));
    let included = [
        resources("/spec/includedResources"),
        resources("/spec/includedNamespaceScopedResources"),
    ]
    .concat();
    let excluded = [
        resources("/spec/excludedResources"),
        resources("/spec/excludedNamespaceScopedResources"),
    ]
    .concat();
    let has_pods = (included.is_empty() || any(&included, &["*", "pods", "pod", "po"]))
        && !any(&excluded, &["*", "pods", "pod", "po"]);
    Ok(BackupFacts {
        expires: text_at(&one, &["status", "expiration"]).parse().ok(),
        going: is_going(&one),
        included: resources("/spec/includedNamespaces")
            .into_iter()
            .filter(|pattern| pattern != "*")
            .collect(),
        excluded: resources("/spec/excludedNamespaces"),
        has_pods,
        found: super::velero::backup(one)?,
    })
}

/// Claims of a namespace that the newest backup of a policy does not hold.
fn uncovered(namespace: &str, policies: &[BackupPolicy]) -> BTreeMap<String, Vec<(String, String)>> {
    let newest = policies
        .iter()
        .filter_map(|one| one.status.as_ref()?.newest.as_ref());
    let of = |seen: &crate::model::kinds::drill::BackupSeen| {
        let here = seen.uncovered.iter().filter(|one| one.namespace == namespace);
        // What was made since is no part of that backup.
        let older = here.filter(|one| one.reason != "YoungerThanBackup");
        let claims: Vec<_> = older
            .map(|one| (one.claim.clone(), one.message.clone()))
            .collect();
        (seen.name.clone(), claims)
    };
    newest.map(of).filter(|(_, claims)| !claims.is_empty()).collect()
}
