//! What must hold at the end of every run of the engine, whatever went wrong in it.

use couchestor::model::kinds::volume_migration::{Phase, Removal as Evidence, VolumeMigration};
use couchestor::sim::mayastor::{Actor, Removal, State};
use std::collections::BTreeMap;

/// What an ended run tells.
#[derive(Debug, Default)]
pub struct Ended {
    pub finals: BTreeMap<&'static str, usize>,
    pub removals: usize,
    pub faults: usize,
    /// What was said of those that did not complete.
    pub said: BTreeMap<String, usize>,
}

impl Ended {
    /// Adds what another run tells.
    pub fn add(&mut self, other: Ended) {
        self.removals += other.removals;
        self.faults += other.faults;
        for (said, count) in other.said {
            *self.said.entry(said).or_insert(0) += count;
        }
        for (phase, count) in other.finals {
            *self.finals.entry(phase).or_insert(0) += count;
        }
    }
}

/// Every migration has ended with its number of copies, no copy is lost, no cordon of ours is left, and every removal was written down
/// with its evidence before.
pub fn verdict(state: &State, migrations: &[VolumeMigration]) -> Result<Ended, String> {
    let (mut finals, mut said) = (BTreeMap::new(), BTreeMap::new());
    for one in migrations {
        let status = one.status.clone().unwrap_or_default();
        if !status.phase.is_final() {
            return Err(format!("{:?} never ended: {status:#?}", one.metadata.name));
        }
        let copies = state.volumes[&one.spec.volume_uuid].copies.len();
        let untouched = status.baseline.is_empty();
        if copies != status.baseline.len() && status.phase != Phase::NeedsPerson && !untouched {
            return Err(format!("{:?} with {copies} copies: {status:#?}", status.phase));
        }
        *finals.entry(status.phase.as_str()).or_insert(0) += 1;
        if status.phase != Phase::Completed {
            *said.entry(status.message).or_insert(0) += 1;
        }
    }
    if let Some(loss) = state.judge.losses().next() {
        return Err(format!("a copy that was needed was removed: {loss:?}"));
    }
    if let Some(held) = state.judge.held_by(Actor::Caller).next() {
        return Err(format!("a cordon is left: {held:?}"));
    }
    let all = state.judge.removals.iter();
    let ours: Vec<&Removal> = all.filter(|removal| removal.by == Actor::Caller).collect();
    for removal in &ours {
        justified(removal, migrations)?;
    }
    Ok(Ended {
        finals,
        removals: ours.len(),
        faults: state.faults.happened.len(),
        said,
    })
}

/// Whether the copies are where their migration's end says, in a world in which the engine replaces none by itself.
pub fn as_said(state: &State, migrations: &[VolumeMigration]) -> Result<(), String> {
    for one in migrations {
        let status = one.status.clone().unwrap_or_default();
        let copies = state.volumes[&one.spec.volume_uuid].copies.iter();
        let pools: Vec<&str> = copies.map(|copy| copy.pool.as_str()).collect();
        let tier = match status.phase {
            Phase::Completed => &one.spec.to,
            Phase::RolledBack | Phase::Cancelled => &one.spec.from,
            _ => continue,
        };
        if !pools.iter().all(|pool| pool.starts_with(tier.as_str())) {
            return Err(format!(
                "{:?} with copies on {pools:?}: {status:#?}",
                status.phase
            ));
        }
    }
    Ok(())
}

/// Whether the evidence is of this removal.
fn speaks_of(evidence: &Evidence, removal: &Removal) -> bool {
    evidence.asked
        && (evidence.gone.as_ref() == Some(&removal.copy)
            || evidence.replica.id == removal.copy
            || evidence.replica.id.is_empty()
            || evidence.complete.contains(&removal.copy)
            // The engine may have put an incomplete copy in the place of another since it was read.
            || (!removal.was_synced() && evidence.complete.len() >= usize::from(evidence.copies)))
}

fn justified(removal: &Removal, migrations: &[VolumeMigration]) -> Result<(), String> {
    let of_volume = |one: &&VolumeMigration| one.spec.volume_uuid == removal.volume;
    let statuses = migrations.iter().filter(of_volume).map(|one| &one.status);
    let evidence = statuses
        .clone()
        .flatten()
        .flat_map(|status| &status.removals)
        .find(|one| speaks_of(one, removal));
    match evidence {
        None => {
            let told: Vec<_> = statuses.collect();
            Err(format!("a removal without evidence: {removal:?} {told:#?}"))
        }
        Some(one) if one.complete.len() < usize::from(one.copies) && !one.replica.id.is_empty() => {
            Err(format!("evidence that is none: {one:?}"))
        }
        Some(_) => Ok(()),
    }
}
