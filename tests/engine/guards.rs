//! The guards of the engine, and how each is taken out without touching the production code: it is shown, or its calls become, what
//! the guard exists to refuse.

use super::mini::{LABEL, Mini};
use couchestor::execute::journal::{Act, Context, Reading};
use couchestor::model::engine::Health;
use couchestor::model::ids::{NodeName, PoolName};
use couchestor::model::kinds::volume_migration::{Phase, VolumeMigrationStatus};

/// A guard that is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// A journal with a higher epoch is not touched, and a new leadership first writes its own.
    Fencing,
    /// Journals are written only over what was read.
    Precondition,
    /// The intent is written before the act.
    JournalFirst,
    /// A new copy is waited for until it is complete.
    Sync,
    /// Before a copy goes, all copies are looked at again.
    HealthAtRemoval,
    /// While a call may be under way nothing is concluded.
    Unclear,
    /// Counts of copies are asked for as such, not as one more or one less.
    AbsoluteCount,
    /// Cordons are given back before anything else.
    Release,
    /// Pools that are not of the target tier are cordoned while a copy is placed.
    Steering,
    /// The node of the copy that is to go is cordoned while it goes.
    VictimCordon,
}

impl Without {
    pub const ALL: [Self; 10] = [
        Self::Fencing,
        Self::Precondition,
        Self::JournalFirst,
        Self::Sync,
        Self::HealthAtRemoval,
        Self::Unclear,
        Self::AbsoluteCount,
        Self::Release,
        Self::Steering,
        Self::VictimCordon,
    ];
}

impl Without {
    /// What it is that goes wrong first without the guard, in the words of the search.
    pub fn prevents(self) -> &'static str {
        match self {
            Self::Fencing | Self::Precondition | Self::JournalFirst | Self::Unclear => "a cordon is left",
            Self::Sync | Self::HealthAtRemoval => "a removal rests on a copy that is not complete",
            Self::AbsoluteCount => "3 copies of 1",
            Self::Release => "without further trouble it does not end",
            Self::Steering => "undisturbed, a copy was placed on another tier",
            Self::VictimCordon => "undisturbed, another copy was removed than was meant",
        }
    }
}

/// Shows the production code what would satisfy a guard.
pub fn deceive(
    without: Option<Without>,
    status: &mut VolumeMigrationStatus,
    reading: &mut Reading,
    context: &Context,
) {
    match without {
        Some(Without::Fencing) => status.epoch = Some(context.epoch),
        Some(Without::Sync) if status.phase == Phase::WaitSync => look_whole(reading),
        Some(Without::HealthAtRemoval) if status.phase == Phase::ScaleDown => look_whole(reading),
        Some(Without::Unclear) => status.unclear_until = None,
        Some(Without::Release) if status.phase != Phase::ScaleUp && status.phase != Phase::ScaleDown => {
            reading.pools.values_mut().for_each(|pool| pool.cordoned = false);
            reading.nodes.values_mut().for_each(|node| node.cordons.clear());
        }
        Some(Without::Steering) if status.phase <= Phase::ScaleUp => {
            let cold = reading
                .pools
                .values_mut()
                .filter(|pool| pool.labels["tier"] == "cold");
            cold.for_each(|pool| pool.cordoned = true);
        }
        Some(Without::VictimCordon) if status.phase == Phase::ScaleDown => {
            reading
                .nodes
                .values_mut()
                .for_each(|node| node.cordons = vec![LABEL.to_owned()]);
        }
        _ => {}
    }
    if without == Some(Without::Release) {
        forget_window(status, reading);
    }
}

/// Once the copy is there or gone, the code is to think that it holds no cordons.
fn forget_window(status: &mut VolumeMigrationStatus, reading: &mut Reading) {
    let Some(volume) = &reading.volume else { return };
    let placed = status
        .adding
        .as_ref()
        .is_some_and(|adding| volume.num_replicas != adding.num_replicas);
    let done = match status.phase {
        Phase::ScaleUp => placed,
        Phase::ScaleDown => !placed,
        _ => true,
    };
    let Some(window) = status.window.clone().filter(|_| done) else {
        return;
    };
    for pool in window.pools {
        reading.pools.get_mut(&PoolName(pool)).unwrap().cordoned = false;
    }
    for node in window.nodes.into_iter().chain(window.node) {
        reading.nodes.get_mut(&NodeName(node)).unwrap().cordons.clear();
    }
}

fn look_whole(reading: &mut Reading) {
    let Some(volume) = &mut reading.volume else { return };
    volume.state = Health::Online;
    volume.target_state = Some(Health::Online);
    volume.rebuilds = 0;
    for replica in &mut volume.replicas {
        replica.state = Health::Online;
        replica.child = Some(Health::Online);
        replica.healthy = replica.healthy.map(|_| true);
        replica.rebuild_progress = None;
    }
}

/// What is asked of the engine instead of an act.
pub fn asked(without: Option<Without>, copies: u8, mini: &Mini, act: &Act) -> Act {
    match act {
        Act::SetReplicas(count) if without == Some(Without::AbsoluteCount) => {
            let more = *count > copies;
            Act::SetReplicas(if more { mini.wanted + 1 } else { mini.wanted - 1 })
        }
        act => act.clone(),
    }
}
