//! Promotions of rollouts as nouns: what Git lets be moved, what it takes back, and what is found of the workloads.

use super::approval::{Approval, Approved};
use super::decision::ProposedMove;
use super::ids::{ClaimRef, PolicyName};
use super::kinds::rollout::{CopySpec, GateStatus, PhaseMethod};
use super::kinds::workload_move::{FluxName, KindName, MovedClaim};
use super::restores::Refusal;
use std::collections::{BTreeMap, BTreeSet};

/// The folder of promotions, below that of the assignments.
pub const FOLDER: &str = "rollouts";

/// A phase of a rollout that may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// The rollout.
    pub rollout: String,
    /// Its phase.
    pub phase: String,
    /// The phase as it was written.
    pub fingerprint: String,
    /// The claims that may be moved.
    pub claims: BTreeSet<ClaimRef>,
    /// Whether old volumes are kept.
    pub keep_old_volumes: bool,
    /// Whether its file was encrypted: nothing of it is told.
    pub secret: bool,
}

/// A promotion that was taken out again: what it moved is moved back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// The rollout.
    pub rollout: String,
    /// Its phase.
    pub phase: String,
}

/// What the base tree says of promotions.
#[derive(Clone, Debug, Default)]
pub struct Promotions {
    /// Those that stand in it.
    pub standing: Vec<Approved<Promotion>>,
    /// Those that stood in it, and no longer do.
    pub withdrawn: Vec<Approved<Withdrawn>>,
}

/// The file of a promotion.
pub fn path(assignments: &str, rollout: &str, phase: &str) -> String {
    format!("{assignments}/{FOLDER}/{rollout}/{phase}.yaml")
}

/// Rollout and phase of a promotion's file; nothing of any other file.
pub fn of_path<'p>(assignments: &str, path: &'p str) -> Option<(&'p str, &'p str)> {
    let rest = path.strip_prefix(assignments)?.strip_prefix('/')?;
    let rest = rest.strip_prefix(FOLDER)?.strip_prefix('/')?;
    let (rollout, file) = rest.split_once('/')?;
    let phase = file.strip_suffix(".yaml")?;
    (!rollout.is_empty() && !phase.is_empty() && !phase.contains('/')).then_some((rollout, phase))
}

/// What a phase's promotion is decided by, as its rollout was judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// The class onto which it moves.
    pub class: String,
    /// The phase as it is written.
    pub fingerprint: String,
    /// How its workloads move.
    pub method: PhaseMethod,
    /// All of its claims.
    pub claims: BTreeSet<ClaimRef>,
    /// Those that are not on the class.
    pub elsewhere: BTreeSet<ClaimRef>,
    /// Its gates, asked about the claims that are not on the class.
    pub gates: Vec<GateStatus>,
}

impl Candidate {
    /// The names of claims that are not on the class, by namespace.
    pub fn by_namespace(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for claim in &self.elsewhere {
            all.entry(&claim.namespace).or_default().insert(&claim.name);
        }
        all
    }
}

/// Claims that move together, because workloads share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Their namespace.
    pub namespace: String,
    /// The claims.
    pub claims: BTreeSet<String>,
    /// The workloads that use them.
    pub workloads: Vec<KindName>,
    /// How many pods those keep.
    pub pods: i64,
    /// Flux objects that keep either.
    pub flux: Vec<FluxName>,
    /// Why they cannot be moved; nothing when they can.
    pub refusals: Vec<Refusal>,
    /// What goes on with them that is waited for.
    pub waits: Option<String>,
}

/// A move that starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The rollout.
    pub rollout: String,
    /// Its phase.
    pub phase: String,
    /// How it moves.
    pub method: PhaseMethod,
    /// The phase as it was written.
    pub fingerprint: String,
    /// The namespace.
    pub namespace: String,
    /// Claims.
    pub claims: Vec<MovedClaim>,
    /// Workloads that are scaled down.
    pub workloads: Vec<KindName>,
    /// Flux objects that are suspended.
    pub flux: Vec<FluxName>,
    /// The image that copies.
    pub image: String,
    /// How long it may take, as written.
    pub timeout: String,
    /// The move that it takes back.
    pub back: Option<String>,
    /// Whether its rollout or its promotion is encrypted, or that of the move that it takes back.
    pub secret: bool,
    /// Who approved.
    pub approval: Approval,
}

/// A phase whose promotion is to be proposed.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What the proposal is known by.
    pub identity: PolicyName,
    /// The rollout.
    pub rollout: String,
    /// The class.
    pub class: String,
    /// The phase.
    pub phase: String,
    /// Its place, from 1 on.
    pub place: usize,
    /// How many phases there are.
    pub phases: usize,
    /// What it is decided by.
    pub candidate: Candidate,
    /// Whether old volumes are kept.
    pub keep_old_volumes: bool,
    /// What moves together, and what cannot.
    pub groups: Vec<Group>,
    /// The claims, as they are remembered.
    pub moves: Vec<ProposedMove>,
    /// How long workloads were down at most in earlier moves of the rollout, in seconds.
    pub down_before: Option<u64>,
    /// How volumes are copied.
    pub copy: CopySpec,
}
