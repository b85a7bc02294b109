//! What a cluster holds of a namespace that a person wants restored: only reads.

use super::cluster::{Cluster, ClusterError, Foreign, Which};
use super::drills::restore_of;
use super::velero::{
    BACKUP_UID, BACKUPS, DATA_UPLOADS, LOCATIONS, NAMESPACES, POD_VOLUME_BACKUPS, PODS, RESTORES,
    VeleroError, core, is_going,
};
use crate::model::backups::{BackupClaim, Method};
use crate::model::desired::text_at;
use crate::model::ids::ClaimRef;
use crate::model::kinds::BackupPolicy;
use crate::model::restores::run::{RESTORE_LABEL, RESTORE_OF_LABEL};
use crate::model::restores::{
    BackupFacts, ClaimFacts, Facts, FluxFacts, Held, NamespaceSeen, Owner, PodFacts, ScalerFacts,
    WorkloadFacts,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A restore that is under way: what is seen of it, and what is done.
mod run;

pub use run::Driver;

const CLAIMS: Foreign = core("PersistentVolumeClaim", "persistentvolumeclaims");
const VOLUMES: Foreign = core("PersistentVolume", "persistentvolumes");
const CONFIG_MAPS: Foreign = core("ConfigMap", "configmaps");
const CLASSES: Foreign = Foreign::of("storage.k8s.io", "v1", "StorageClass", "storageclasses");
const SCALERS: [Foreign; 2] = [
    Foreign::of(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    Foreign::of("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
];
const WORKLOADS: [Foreign; 6] = [
    Foreign::of("apps", "v1", "Deployment", "deployments"),
    Foreign::of("apps", "v1", "StatefulSet", "statefulsets"),
    Foreign::of("apps", "v1", "ReplicaSet", "replicasets"),
    Foreign::of("apps", "v1", "DaemonSet", "daemonsets"),
    Foreign::of("batch", "v1", "CronJob", "cronjobs"),
    Foreign::of("batch", "v1", "Job", "jobs"),
];
const FLUX: [Foreign; 2] = [
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
        let policies: Vec<BackupPolicy> = match self.0.list().await {
            Err(ClusterError::Api { code: 404, .. }) => Vec::new(),
            found => found?,
        };
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
            backups: backups.into_iter().map(backup).collect::<Result<_, _>>()?,
            busy: self.busy(namespace, &policies).await?,
            uncovered: uncovered(namespace, &policies),
            ..Facts::default()
        };
        for one in self.all(&LOCATIONS).await? {
            facts.locations.push(super::velero::location(one)?);
        }
        let volumes = self.all(&VOLUMES).await?;
        let volumes: BTreeMap<&str, &Value> = volumes.iter().map(|one| (name(one), one)).collect();
        let claims = self.within(&CLAIMS, namespace).await?;
        facts.claims = claims.iter().map(|one| claim(one, &volumes)).collect();
        let pods = self.within(&PODS, namespace).await?;
        facts.pods = pods.iter().map(pod).collect();
        let mut kept: Vec<(String, Value)> = claims
            .iter()
            .map(|one| kept("PersistentVolumeClaim", one))
            .collect();
        for kind in &WORKLOADS {
            let found = self.within(kind, namespace).await?;
            facts
                .workloads
                .extend(found.iter().map(|one| workload(kind, one)));
            kept.extend(found.iter().map(|one| self::kept(kind.kind, one)));
        }
        for kind in &FLUX {
            let found = self.all(kind).await?;
            facts
                .flux
                .extend(found.iter().map(|one| flux(kind, one, namespace)));
        }
        labelled(&mut facts, &kept);
        for kind in &SCALERS {
            let found = self.within(kind, namespace).await?;
            facts.scalers.extend(found.iter().map(|one| scaler(kind, one)));
        }
        let classes = self.all(&CLASSES).await?;
        facts.classes = classes.iter().map(|one| name(one).to_owned()).collect();
        Ok(Found { facts, policies })
    }

    /// Drills and restores of a namespace that are under way.
    async fn busy(&self, namespace: &str, policies: &[BackupPolicy]) -> Result<Vec<String>, ClusterError> {
        let drills = policies
            .iter()
            .filter_map(|one| one.status.as_ref()?.drill.as_ref());
        let drills = drills.filter(|drill| drill.namespace == namespace);
        let mut busy: Vec<String> = drills
            .map(|drill| format!("drill {} of namespace {namespace} is under way", drill.id))
            .collect();
        for one in self.all(&RESTORES).await? {
            let into = one.pointer("/spec/namespaceMapping").and_then(Value::as_object);
            let mapped = into.is_some_and(|into| !into.is_empty() && into.values().all(|to| to != namespace));
            let included = texts(&one, "/spec/includedNamespaces");
            let takes = included.is_empty() || included.iter().any(|one| one == namespace || one == "*");
            if !restore_of(&one).has_ended() && !mapped && takes {
                let name = name(&one);
                busy.push(format!(
                    "Velero's Restore {name} into namespace {namespace} is under way"
                ));
            }
        }
        for one in self.records(Some(namespace)).await? {
            let id = text_at(&one, &["metadata", "labels", RESTORE_LABEL]);
            busy.push(format!("restore {id} of namespace {namespace} is under way"));
        }
        Ok(busy)
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

fn name(one: &Value) -> &str {
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

fn claim(one: &Value, volumes: &BTreeMap<&str, &Value>) -> ClaimFacts {
    let volume = text_at(one, &["spec", "volumeName"]);
    let of = volumes.get(volume).copied().unwrap_or(&Value::Null);
    let class = match text_at(of, &["spec", "storageClassName"]) {
        "" => text_at(one, &["spec", "storageClassName"]),
        class => class,
    };
    ClaimFacts {
        claim: BackupClaim {
            claim: ClaimRef {
                namespace: text_at(one, &["metadata", "namespace"]).to_owned(),
                name: name(one).to_owned(),
            },
            uid: text_at(one, &["metadata", "uid"]).to_owned(),
            labels: labels(one),
            storage_class: class.to_owned(),
            created: text_at(one, &["metadata", "creationTimestamp"]).parse().ok(),
            block: text_at(one, &["spec", "volumeMode"]) == "Block",
            host_path: of.pointer("/spec/hostPath").is_some(),
            csi: of.pointer("/spec/csi").is_some(),
        },
        volume: volume.to_owned(),
        volume_gone: !volume.is_empty() && of.is_null(),
        volume_going: is_going(of),
        volume_stays: text_at(of, &["spec", "persistentVolumeReclaimPolicy"]) == "Retain",
    }
}

fn labels(one: &Value) -> BTreeMap<String, String> {
    let all = one.pointer("/metadata/labels").and_then(Value::as_object);
    let texts = all.into_iter().flatten();
    texts
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The controller of an object.
fn owner(one: &Value) -> Option<Owner> {
    let all = one
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)?;
    let controller = all.iter().find(|one| one["controller"] == true)?;
    let version = text_at(controller, &["apiVersion"]);
    Some(Owner {
        group: version.rsplit_once('/').map_or("", |(group, _)| group).to_owned(),
        kind: text_at(controller, &["kind"]).to_owned(),
        name: text_at(controller, &["name"]).to_owned(),
    })
}

/// Claims that a pod, or pods of a template, mount by name.
fn mounted(spec: Option<&Value>) -> BTreeSet<String> {
    let volumes = spec.and_then(|spec| spec["volumes"].as_array());
    let claims = volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName")?.as_str());
    claims.map(str::to_owned).collect()
}

fn pod(one: &Value) -> PodFacts {
    PodFacts {
        name: name(one).to_owned(),
        owner: owner(one),
        ended: matches!(text_at(one, &["status", "phase"]), "Succeeded" | "Failed"),
        claims: mounted(one.get("spec")),
    }
}

fn workload(kind: &Foreign, one: &Value) -> WorkloadFacts {
    let template = match kind.kind {
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    let made = one
        .pointer("/spec/volumeClaimTemplates")
        .and_then(Value::as_array);
    let templates = made
        .into_iter()
        .flatten()
        .map(|made| format!("{}-{}-", name(made), name(one)));
    WorkloadFacts {
        itself: Owner {
            group: kind.group.to_owned(),
            kind: kind.kind.to_owned(),
            name: name(one).to_owned(),
        },
        owner: owner(one),
        labels: labels(one),
        replicas: replicas(kind.kind, one),
        claims: mounted(one.pointer(template)),
        templates: templates.collect(),
        deletes_claims: text_at(
            one,
            &["spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"],
        ) == "Delete",
    }
}

/// How many pods a workload keeps; of a CronJob, whether it starts Jobs.
fn replicas(kind: &str, one: &Value) -> i64 {
    match kind {
        "CronJob" => i64::from(one["spec"]["suspend"] != true),
        _ => one["spec"]["replicas"].as_i64().unwrap_or(1),
    }
}

fn flux(kind: &Foreign, one: &Value, namespace: &str) -> FluxFacts {
    // Kustomizations list what they keep: `<namespace>_<name>_<group>_<kind>`.
    let inventory = one.pointer("/status/inventory/entries").and_then(Value::as_array);
    let ids = inventory
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["id"].as_str());
    let entries: Vec<(&str, &str, &str)> = ids
        .filter_map(|id| {
            let mut parts = id.splitn(4, '_');
            let (of, name, _, kind) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            Some((of, kind, name))
        })
        .collect();
    let keeps = entries.iter().filter(|(of, ..)| *of == namespace);
    let volumes = entries
        .iter()
        .filter(|(of, kind, _)| of.is_empty() && *kind == "PersistentVolume");
    let own = text_at(one, &["metadata", "namespace"]);
    let target = match text_at(one, &["spec", "targetNamespace"]) {
        "" => own,
        target => target,
    };
    FluxFacts {
        kind: kind.kind.to_owned(),
        namespace: own.to_owned(),
        name: name(one).to_owned(),
        suspended: one["spec"]["suspend"] == true,
        keeps: keeps.map(|(_, kind, name)| format!("{kind}/{name}")).collect(),
        volumes: volumes.map(|(.., name)| (*name).to_owned()).collect(),
        installs: kind.kind == "HelmRelease" && target == namespace,
    }
}

/// An object by kind and name, with its labels.
fn kept(kind: &str, one: &Value) -> (String, Value) {
    (format!("{kind}/{}", name(one)), one["metadata"]["labels"].clone())
}

/// Adds to what Flux keeps the objects that carry its labels.
fn labelled(facts: &mut Facts, objects: &[(String, Value)]) {
    for flux in &mut facts.flux {
        let group = match flux.kind.as_str() {
            "Kustomization" => "kustomize.toolkit.fluxcd.io",
            _ => "helm.toolkit.fluxcd.io",
        };
        let (by_name, by_namespace) = (format!("{group}/name"), format!("{group}/namespace"));
        let keeps = objects.iter().filter(|(_, labels)| {
            labels[by_name.as_str()] == *flux.name && labels[by_namespace.as_str()] == *flux.namespace
        });
        flux.keeps.extend(keeps.map(|(object, _)| object.clone()));
    }
}

fn scaler(kind: &Foreign, one: &Value) -> ScalerFacts {
    let target = &one["spec"]["scaleTargetRef"];
    let scaled = match text_at(target, &["kind"]) {
        "" => "Deployment",
        kind => kind,
    };
    let said = |key: &str| text_at(one, &["metadata", "annotations", key]);
    ScalerFacts {
        kind: kind.kind.to_owned(),
        name: name(one).to_owned(),
        target: format!("{scaled}/{}", text_at(target, &["name"])),
        paused: said("autoscaling.keda.sh/paused") == "true"
            || said("autoscaling.keda.sh/paused-replicas") == "0",
    }
}
