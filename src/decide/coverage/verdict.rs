//! One volume of one backup: covered by its own upload, exempt by the policy, or uncovered for a reason with something to do about it.

use crate::model::backups::{
    BackupClaim, BackupRules, EXCLUDE_LABEL, FoundBackup, FoundPod, Method, Upload, Way,
};
use crate::model::coverage::{Gap, Judged, Verdict};
use crate::model::ids::ClaimRef;
use std::collections::{BTreeMap, HashMap};

type Pods = BTreeMap<String, Vec<FoundPod>>;

/// Judges a backup. `claims` are those in scope of its policy; `pods` are as they are now, and only tell why nothing was written down.
pub fn judge(
    rules: &BackupRules,
    claims: &[&BackupClaim],
    backup: &FoundBackup,
    uploads: &[Upload],
    pods: &Pods,
) -> Judged {
    let mut of_claim: HashMap<&str, Vec<&Upload>> = HashMap::new();
    let own = uploads
        .iter()
        .filter(|one| one.backup == backup.uid && !one.backup.is_empty());
    for upload in own.filter(|one| !one.claim.is_empty()) {
        of_claim.entry(&upload.claim).or_default().push(upload);
    }
    let volumes = claims.iter().map(|claim| {
        let own = of_claim.get(claim.uid.as_str()).map_or(&[][..], |own| own);
        (claim.claim.clone(), one(rules, claim, backup, own, pods))
    });
    Judged {
        backup: backup.clone(),
        volumes: volumes.collect(),
    }
}

fn one(
    rules: &BackupRules,
    claim: &BackupClaim,
    backup: &FoundBackup,
    own: &[&Upload],
    pods: &Pods,
) -> Verdict {
    let way = rules.way(&claim.storage_class, |key| claim.label(key));
    if let Way::Exempt(reason) = way {
        return Verdict::Exempt { reason };
    }
    let (gap, message) = match proved(own) {
        Ok(covered) if backup.phase == "Completed" => return covered,
        _ if backup.phase != "Completed" => (
            Gap::BackupNotCompleted,
            format!(
                "backup {0} ended as {1}, so nothing in it is counted; `velero backup describe {0}` says why",
                backup.name, backup.phase
            ),
        ),
        Err(Some(wrong)) => wrong,
        _ => unrecorded(rules, &way, claim, backup, pods),
    };
    Verdict::Uncovered { gap, message }
}

/// The proof that a claim's data is in the bucket, or what is wrong with what was written down; nothing when nothing was.
fn proved(own: &[&Upload]) -> Result<Verdict, Option<(Gap, String)>> {
    let mut wrong = None;
    for upload in own {
        match flaw(upload) {
            None => {
                return Ok(Verdict::Covered {
                    method: upload.method,
                    bytes: upload.total,
                    snapshot: upload.snapshot.clone(),
                });
            }
            Some(flaw) => drop(wrong.get_or_insert(flaw)),
        }
    }
    Err(wrong)
}

/// Why an upload proves nothing.
fn flaw(upload: &Upload) -> Option<(Gap, String)> {
    let kind = match upload.method {
        Method::FsBackup => "PodVolumeBackup",
        Method::SnapshotMove => "DataUpload",
    };
    let what = format!("{kind} {}", upload.name);
    Some(match upload.phase.as_str() {
        "Failed" | "Canceled" => {
            let why = match upload.message.as_str() {
                "" => "it does not say why; look at the log of the node agent",
                why => why,
            };
            (Gap::UploadFailed, format!("{what} is {}: {why}", upload.phase))
        }
        "Completed" if upload.done != upload.total => {
            let (done, total) = (upload.done, upload.total);
            (
                Gap::UploadIncomplete,
                format!("{what} read {done} of {total} bytes; look at the log of the node agent"),
            )
        }
        "Completed" if upload.snapshot.is_empty() => (
            Gap::NoSnapshotId,
            format!(
                "{what} names no snapshot, so there is nothing to restore; look at the log of the node agent"
            ),
        ),
        "Completed" if upload.uploader == "restic" => (
            Gap::Restic,
            format!("{what} was made by restic, which Velero 1.19 restores no more; set uploaderType: kopia"),
        ),
        "Completed" => return None,
        phase => (
            Gap::UploadIncomplete,
            format!("{what} stands at {phase} although its backup has ended; does the node agent run?"),
        ),
    })
}

/// Why nothing was written down of a volume, as far as the cluster tells.
fn unrecorded(
    rules: &BackupRules,
    way: &Way,
    claim: &BackupClaim,
    backup: &FoundBackup,
    pods: &Pods,
) -> (Gap, String) {
    if claim
        .created
        .zip(backup.started)
        .is_some_and(|(created, started)| created > started)
    {
        let message =
            "its claim was made after the backup had started; the next backup should hold it".to_owned();
        return (Gap::YoungerThanBackup, message);
    }
    if claim.host_path {
        let message = "it is a hostPath volume, which Velero skips; use a `local` volume, or write a volume rule with method: skip \
                       and the reason";
        return (Gap::HostPath, message.to_owned());
    }
    if *way == Way::SnapshotMove {
        return unmoved(claim, backup);
    }
    if claim.block {
        let message =
            "it is a block device, and fs-backup reads files; write a volume rule with method: snapshot-move"
                .to_owned();
        return (Gap::BlockMode, message);
    }
    // Without a look at the pods the word is the general one.
    let namespace = pods.get(&claim.claim.namespace);
    namespace.and_then(|pods| by_pods(rules, &claim.claim, pods)).unwrap_or_else(|| {
        let message = match &rules.volume_policy {
            Some(policy) => format!(
                "nothing was written down of it; ConfigMap {policy} may skip it: write volumeRules instead, where a skip has a reason"
            ),
            None => "nothing was written down of it; `velero backup logs` shows what was skipped".to_owned(),
        };
        (Gap::NoRecord, message)
    })
}

/// Why no snapshot was moved to the bucket.
fn unmoved(claim: &BackupClaim, backup: &FoundBackup) -> (Gap, String) {
    if !claim.csi {
        let message = "no CSI driver provides it, so there are no snapshots to move; write a volume rule with method: fs-backup".to_owned();
        return (Gap::NotCsi, message);
    }
    if !backup.moves_data || backup.snapshots > 0 {
        let message = "snapshots were taken and none of it left its disk, so it is lost with that disk; see that snapshotMoveData is on and \
                       the node agent runs";
        return (Gap::SnapshotNotMoved, message.to_owned());
    }
    let message = "no snapshot was taken of it; is there a VolumeSnapshotClass of its driver with the label \
                   velero.io/csi-volumesnapshot-class, and does Velero run with the feature EnableCSI?";
    (Gap::NoRecord, message.to_owned())
}

/// What the pods that mount a claim now say of it.
fn by_pods(rules: &BackupRules, claim: &ClaimRef, pods: &[FoundPod]) -> Option<(Gap, String)> {
    let mounts = |pod: &&FoundPod| pod.mounts.iter().any(|(_, mounted)| *mounted == claim.name);
    let mounting: Vec<&FoundPod> = pods.iter().filter(mounts).collect();
    let Some(first) = mounting.first() else {
        let message = "no pod mounts it, and fs-backup reads through pods; start its workload, write a volume rule with method: \
                       snapshot-move, or one with method: skip and the reason";
        return Some((Gap::NotMounted, message.to_owned()));
    };
    let label = |pod: &FoundPod, key: &str| pod.labels.get(key).cloned();
    let selected = |pod: &FoundPod| {
        let out = label(pod, EXCLUDE_LABEL).as_deref() == Some("true");
        !out && rules
            .scope
            .takes_labels(|key| pod.labels.get(key).map(String::as_str))
    };
    let Some(taken) = mounting.iter().find(|pod| selected(pod)) else {
        let message = format!(
            "pod {} mounts it and is not in the backup; give it the labels of the policy's labelSelector",
            first.name
        );
        return Some((Gap::PodNotSelected, message));
    };
    let Some(running) = mounting
        .iter()
        .find(|pod| selected(pod) && pod.phase == "Running")
    else {
        let message = format!(
            "pod {} is {}, and Velero skips volumes of pods that do not run; mend the pod",
            taken.name, taken.phase
        );
        return Some((Gap::PodNotRunning, message));
    };
    let left_out =
        |(volume, mounted): &&(String, String)| *mounted == claim.name && running.excluded.contains(volume);
    running.mounts.iter().find(left_out).map(|(volume, _)| {
        let message = format!(
            "the annotation backup.velero.io/backup-volumes-excludes of pod {} names {volume}; take it out, or write a volume rule with \
             method: skip and the reason",
            running.name
        );
        (Gap::ExcludedByPod, message)
    })
}

/// Namespaces whose pods would tell why volumes of a backup have nothing written down of them.
pub(super) fn unexplained(judged: &Judged, pods: &Pods) -> Vec<String> {
    let unknown = judged.gaps().filter(|(_, gap, _)| *gap == Gap::NoRecord);
    let namespaces = unknown.map(|(claim, ..)| claim.namespace.clone());
    namespaces
        .filter(|namespace| !pods.contains_key(namespace))
        .collect()
}
