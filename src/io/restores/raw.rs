//! Objects of a namespace as Kubernetes has them → the facts that restores and moves of workloads are decided by.

use super::{name, texts};
use crate::formats::quantity;
use crate::io::cluster::Foreign;
use crate::io::velero::is_going;
use crate::model::backups::BackupClaim;
use crate::model::desired::text_at;
use crate::model::ids::ClaimRef;
use crate::model::kinds::workload_move::MOVE_LABEL;
use crate::model::restores::run::RETAIN;
use crate::model::restores::{ClaimFacts, Facts, FluxFacts, Owner, PodFacts, ScalerFacts, WorkloadFacts};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Annotations by which Flux leaves alone what is there.
const LEFT_ALONE: [(&str, &str); 2] = [
    ("kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent"),
    ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
];

pub(super) fn claim(one: &Value, volumes: &BTreeMap<&str, &Value>) -> ClaimFacts {
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
        volume_stays: text_at(of, &["spec", "persistentVolumeReclaimPolicy"]) == RETAIN,
        bound: text_at(one, &["status", "phase"]) == "Bound",
        going: is_going(one),
        modes: texts(one, "/spec/accessModes").into_iter().collect(),
        bytes: ["/spec/resources/requests/storage", "/status/capacity/storage"]
            .iter()
            .filter_map(|pointer| quantity::parse_ceil(one.pointer(pointer)?.as_str()?).ok())
            .max()
            .unwrap_or(0),
        left_alone_by_flux: LEFT_ALONE
            .iter()
            .any(|(key, value)| text_at(one, &["metadata", "annotations", key]).eq_ignore_ascii_case(value)),
        moves: text_at(one, &["metadata", "labels", MOVE_LABEL]).to_owned(),
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
pub(in crate::io) fn mounted(spec: Option<&Value>) -> BTreeSet<String> {
    let volumes = spec.and_then(|spec| spec["volumes"].as_array());
    let claims = volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName")?.as_str());
    claims.map(str::to_owned).collect()
}

pub(super) fn pod(one: &Value) -> PodFacts {
    PodFacts {
        name: name(one).to_owned(),
        owner: owner(one),
        ended: matches!(text_at(one, &["status", "phase"]), "Succeeded" | "Failed"),
        claims: mounted(one.get("spec")),
    }
}

pub(super) fn workload(kind: &Foreign, one: &Value) -> WorkloadFacts {
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
pub(in crate::io) fn replicas(kind: &str, one: &Value) -> i64 {
    match kind {
        "CronJob" => i64::from(one["spec"]["suspend"] != true),
        _ => one["spec"]["replicas"].as_i64().unwrap_or(1),
    }
}

pub(super) fn flux(kind: &Foreign, one: &Value, namespace: &str) -> FluxFacts {
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
pub(super) fn kept(kind: &str, one: &Value) -> (String, Value) {
    (format!("{kind}/{}", name(one)), one["metadata"]["labels"].clone())
}

/// Adds to what Flux keeps the objects that carry its labels.
pub(super) fn labelled(facts: &mut Facts, objects: &[(String, Value)]) {
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

pub(super) fn scaler(kind: &Foreign, one: &Value) -> ScalerFacts {
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
