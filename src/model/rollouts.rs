//! Rollouts as they were judged: which phase is open, and what it waits for.

use super::kinds::rollout::{PhaseState, PhaseStatus};

/// A rollout as it was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// The class onto which volumes move.
    pub class: String,
    /// Whether it was encrypted: then nobody is told what it says.
    pub secret: bool,
    /// Its phases in order.
    pub phases: Vec<PhaseStatus>,
}

impl Report {
    /// The phase that is open or soaking, with its place from 1 on; none when all are done.
    pub fn current(&self) -> Option<(usize, &PhaseStatus)> {
        let mut phases = self.phases.iter().zip(1..);
        let current = |(phase, _): &(&PhaseStatus, usize)| phase.state != PhaseState::Done;
        phases.find(current).map(|(phase, place)| (place, phase))
    }
}
