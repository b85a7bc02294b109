//! A move of workloads that is under way: what is seen of it, and what is done.

use super::restores::run::{ClaimSeen, VolumeNow};
use std::collections::{BTreeMap, BTreeSet};

/// How a Job that copies stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JobOutcome {
    /// It has yet to end.
    #[default]
    Runs,
    /// Everything was copied, and is the same.
    Succeeded,
    /// It was not, for this reason.
    Failed(String),
}

/// A Job that copies, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobNow {
    /// Whether it carries the move's label: any other is somebody's.
    pub ours: bool,
    /// How it stands.
    pub outcome: JobOutcome,
    /// Whether it is being deleted.
    pub going: bool,
}

/// A workload as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkloadNow {
    /// How many pods it keeps; of a CronJob, whether it starts Jobs.
    pub replicas: i64,
    /// How often its spec was changed.
    pub generation: i64,
    /// Whether all of its pods are ready.
    pub ready: bool,
}

/// Everything that the next step depends on, read at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Claims of the namespace.
    pub claims: BTreeMap<String, ClaimSeen>,
    /// PersistentVolumes of this move, by name.
    pub volumes: BTreeMap<String, VolumeNow>,
    /// Jobs that copy, by the places of their claims.
    pub jobs: BTreeMap<usize, JobNow>,
    /// Workloads in the order of the spec; nothing of one that is gone.
    pub workloads: Vec<Option<WorkloadNow>>,
    /// Whether each Flux object is suspended, in the order of the spec; nothing of one that is gone.
    pub flux: Vec<Option<bool>>,
    /// Pods that use the claims and are not the move's own.
    pub users: BTreeSet<String>,
    /// The move's own pods.
    pub carriers: BTreeSet<String>,
    /// StorageClasses.
    pub classes: BTreeSet<String>,
}

/// What is done. Each of them may be done again; numbers are places in the lists of the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Make the claim beside the old one, bound to a volume that is there already if one is named.
    MakeCopyClaim(usize, Option<String>),
    /// Suspend a Flux object.
    Suspend(usize),
    /// Scale a workload down to nothing.
    ScaleDown(usize),
    /// Make the Job that copies a claim.
    MakeJob(usize),
    /// Delete it, with its pod.
    DeleteJob(usize),
    /// Keep a volume when its claim goes.
    Retain(String),
    /// Say again what becomes of a volume after its claim.
    Release(String, String),
    /// Write on a volume that is kept which claim had it.
    Mark(usize, String),
    /// Delete a claim that is bound to this volume, which stays.
    DeleteClaim(usize, String),
    /// Delete the claim beside it, which is bound to this volume, which stays.
    DeleteCopyClaim(usize, String),
    /// Delete the claim beside it with whatever was copied: nobody has used it.
    DropCopyClaim(usize),
    /// Let a volume be for the claim, and for no other.
    Reserve(usize, String),
    /// Let a volume be for the claim beside it, and for no other.
    ReserveCopy(usize, String),
    /// Make the claim, bound to this volume.
    MakeClaim(usize, String),
    /// Scale a workload up to what it was.
    ScaleUp(usize),
    /// Resume a Flux object.
    Resume(usize),
}
