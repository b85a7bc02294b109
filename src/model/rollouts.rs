//! Rollouts as they were judged: which phase is open, and what it waits for.

use super::ids::hex;
use super::kinds::rollout::{CopySpec, PhaseState, PhaseStatus, RolloutPhase};
use super::promotions::Candidate;
use sha2::{Digest, Sha256};

/// A rollout as it was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// The class onto which volumes move, where a phase has no other.
    pub class: String,
    /// Whether it was encrypted: then nobody is told what it says.
    pub secret: bool,
    /// Its phases in order.
    pub phases: Vec<PhaseStatus>,
    /// What the promotion of each of them is decided by.
    pub candidates: Vec<Candidate>,
    /// How volumes are copied.
    pub copy: CopySpec,
}

/// A phase in short, with the class: what was proved or approved of another one says nothing.
pub fn fingerprint(class: &str, phase: &RolloutPhase) -> String {
    let whole = serde_json::to_vec(&(class, phase)).unwrap_or_default();
    hex(&Sha256::digest(&whole)[..8])
}

impl Report {
    /// The phase that is open or soaking, with its place from 1 on; none when all are done.
    pub fn current(&self) -> Option<(usize, &PhaseStatus)> {
        let mut phases = self.phases.iter().zip(1..);
        let current = |(phase, _): &(&PhaseStatus, usize)| phase.state != PhaseState::Done;
        phases.find(current).map(|(phase, place)| (place, phase))
    }
}
