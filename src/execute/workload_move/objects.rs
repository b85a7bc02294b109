//! What a move makes: a claim beside each claim, and a Job that copies from the one to the other.

use crate::execute::start::short_hash;
use crate::model::kinds::workload_move::{MOVE_LABEL, MovedClaim, WorkloadMoveSpec};
use crate::model::workload_moves::Act;
use serde_json::{Value, json};

/// What copies and compares.
pub const SCRIPT: &str = include_str!("copy.sh");

/// Bytes that a name may have.
const NAME_MAX: usize = 253;

/// The id of a move, which ends the names of what it makes.
pub fn id(name: &str) -> String {
    short_hash(name)
}

/// The claim beside a claim.
pub fn copy_claim(claim: &str, id: &str) -> String {
    let end = format!("-couchestor-{id}");
    let mut name = claim.to_owned();
    name.truncate(NAME_MAX - end.len());
    name.trim_end_matches(['-', '.']).to_owned() + &end
}

/// Whether a claim is of the name that some move gives to the one beside this claim.
pub fn is_beside(name: &str, claim: &str) -> bool {
    let id = name.rsplit_once("-couchestor-").map(|(_, id)| id);
    id.is_some_and(|id| copy_claim(claim, id) == name)
}

/// The Job that copies the claim at a place.
pub fn job(id: &str, place: usize) -> String {
    format!("couchestor-copy-{id}-{place}")
}

fn labels(id: &str) -> Value {
    json!({MOVE_LABEL: id, "app.kubernetes.io/managed-by": "couchestor"})
}

/// Has the spec of a claim ask for what the claim moves onto.
fn onto_class(spec: &mut Value, claim: &MovedClaim) {
    spec["storageClassName"] = json!(claim.to);
    spec["resources"]["requests"]["storage"] = json!(claim.bytes.to_string());
    if let Some(spec) = spec.as_object_mut() {
        // It is about the old volume.
        spec.remove("selector");
        spec.remove("volumeAttributesClassName");
    }
}

/// The claim as it is made beside the old one, of which `old` is the manifest.
pub fn copy_of(
    spec: &WorkloadMoveSpec,
    id: &str,
    claim: &MovedClaim,
    old: &Value,
    volume: Option<&str>,
) -> Value {
    let mut made = old["spec"].clone();
    onto_class(&mut made, claim);
    if let Some(volume) = volume {
        made["volumeName"] = json!(volume);
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": copy_claim(&claim.name, id), "namespace": spec.namespace, "labels": labels(id)},
        "spec": made,
    })
}

/// The claim as it is made again, on its new volume; or, as it was, on its old one.
pub fn made_again(claim: &MovedClaim, old: &Value, volume: &str) -> Value {
    let mut made = old.clone();
    let spec = &mut made["spec"];
    spec["volumeName"] = json!(volume);
    if volume == claim.volume {
        return made;
    }
    onto_class(spec, claim);
    made
}

/// The Job that copies a claim: once, as root, without a token, out of sight of meshes.
pub fn copying(spec: &WorkloadMoveSpec, id: &str, place: usize, claim: &MovedClaim) -> Value {
    let mounts = json!([
        {"name": "from", "mountPath": "/from", "readOnly": true},
        {"name": "to", "mountPath": "/to"},
    ]);
    let claim_of = |name: &str, claim: String, read_only: bool| json!({"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": read_only}});
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job(id, place), "namespace": spec.namespace, "labels": labels(id)},
        "spec": {
            // A second try would not do better; a pod that goes with its node is made again.
            "backoffLimit": 0,
            "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]},
            "activeDeadlineSeconds": spec.timeout_seconds,
            "template": {
                "metadata": {
                    "labels": labels(id).as_object().map(|all| {
                        let mut all = all.clone();
                        all.insert("sidecar.istio.io/inject".to_owned(), json!("false"));
                        all
                    }),
                    "annotations": {"linkerd.io/inject": "disabled", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                },
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "copy",
                        "image": spec.image,
                        "command": ["/bin/sh", "-c", SCRIPT, "copy", "/from", "/to"],
                        "terminationMessagePolicy": "FallbackToLogsOnError",
                        "securityContext": {"allowPrivilegeEscalation": false},
                        "volumeMounts": mounts,
                    }],
                    "volumes": [
                        claim_of("from", claim.name.clone(), false),
                        claim_of("to", copy_claim(&claim.name, id), false),
                    ],
                },
            },
        },
    })
}

/// An act as the journal tells it.
pub fn told(spec: &WorkloadMoveSpec, act: &Act) -> String {
    let claim = |place: &usize| spec.claims.get(*place).map_or("", |one| one.name.as_str());
    let workload = |place: &usize| {
        spec.workloads
            .get(*place)
            .map_or(String::new(), |one| format!("{} {}", one.kind, one.name))
    };
    let flux = |place: &usize| {
        let one = spec.flux.get(*place);
        one.map_or(String::new(), |one| {
            format!("{} {}/{}", one.kind, one.namespace, one.name)
        })
    };
    match act {
        Act::MakeCopyClaim(place, None) => format!("make a claim beside {}", claim(place)),
        Act::MakeCopyClaim(place, Some(volume)) => {
            format!("make a claim beside {} for volume {volume}", claim(place))
        }
        Act::Suspend(place) => format!("suspend {}", flux(place)),
        Act::Resume(place) => format!("resume {}", flux(place)),
        Act::ScaleDown(place) => format!("scale {} down", workload(place)),
        Act::ScaleUp(place) => format!("scale {} up", workload(place)),
        Act::MakeJob(place) => format!("copy claim {}", claim(place)),
        Act::DeleteJob(place) => format!("delete the Job of claim {}", claim(place)),
        Act::Retain(volume) => format!("keep volume {volume} from being deleted"),
        Act::Release(volume, policy) => format!("set volume {volume} to {policy}"),
        Act::Mark(_, volume) => format!("mark volume {volume}, which is kept"),
        Act::DeleteClaim(place, _) => format!("delete claim {}, whose volumes stay", claim(place)),
        Act::DeleteCopyClaim(place, _) => {
            format!("delete the claim beside {}, whose volume stays", claim(place))
        }
        Act::DropCopyClaim(place) => format!("delete the claim beside {} with what was copied", claim(place)),
        Act::Reserve(place, volume) => format!("reserve volume {volume} for claim {}", claim(place)),
        Act::ReserveCopy(place, volume) => {
            format!("reserve volume {volume} for the claim beside {}", claim(place))
        }
        Act::MakeClaim(place, volume) => format!("make claim {} on volume {volume}", claim(place)),
    }
}
