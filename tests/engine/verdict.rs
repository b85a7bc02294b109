//! What must hold at the end of every run of the engine, whatever went wrong in it.

use couchestor::model::kinds::volume_migration::{Phase, Removal as Evidence, VolumeMigration};
use couchestor::sim::mayastor::{Actor, Cordoned, Held, Removal, State};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What an ended run tells.
#[derive(Debug, Default)]
pub struct Ended {
    pub finals: BTreeMap<&'static str, usize>,
    pub removals: usize,
    /// Removals that took another copy than was meant, of those that could be spared.
    pub others: usize,
    pub faults: usize,
    /// What was said of those that did not complete.
    pub said: BTreeMap<String, usize>,
}

impl Ended {
    /// Adds what another run tells.
    pub fn add(&mut self, other: Ended) {
        self.removals += other.removals;
        self.others += other.others;
        self.faults += other.faults;
        for (said, count) in other.said {
            *self.said.entry(said).or_insert(0) += count;
        }
        for (phase, count) in other.finals {
            *self.finals.entry(phase).or_insert(0) += count;
        }
    }
}

/// A number of copies was about to be asked for, and what the journal said by then of removals.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Duration,
    pub volume: String,
    pub evidence: Vec<Evidence>,
}

/// What the one who watched a run knows.
#[derive(Debug, Default)]
pub struct Known {
    /// In order.
    pub asked: Vec<Asked>,
    /// Volumes that people have scaled.
    pub scaled: BTreeSet<String>,
    /// Pools of whose cordons the engine never had a clear answer. They bear no labels, so whose one is that is there later nobody can
    /// tell.
    pub doubtful: BTreeSet<String>,
}

/// Every migration has ended with its number of copies, of which there never was more than one too many; no copy is lost, no cordon of
/// ours is left and none of others was taken; and every removal was written down with its evidence before it was asked for. People who
/// scale a volume answer for its number of copies.
pub fn verdict(state: &State, migrations: &[VolumeMigration], known: &Known) -> Result<Ended, String> {
    let (mut finals, mut said) = (BTreeMap::new(), BTreeMap::new());
    for one in migrations {
        let status = one.status.clone().unwrap_or_default();
        if !status.phase.is_final() {
            return Err(format!("{:?} never ended: {status:#?}", one.metadata.name));
        }
        let volume = &state.volumes[&one.spec.volume_uuid];
        let (copies, began) = (volume.copies.len(), volume.seed.pools.len());
        let ours = !known.scaled.contains(&one.spec.volume_uuid);
        let by_itself = |gone: &Removal| gone.by == Actor::Reconciler && gone.volume == one.spec.volume_uuid;
        // The engine takes broken copies away, and may find no place for others.
        let fewer = copies < began && !state.judge.removals.iter().any(by_itself);
        let other = usize::from(volume.num_replicas) != began || copies > began || fewer;
        if ours && other && status.phase != Phase::NeedsPerson {
            return Err(format!("{:?} with {copies} copies: {status:#?}", status.phase));
        }
        if ours && volume.most_copies > began + 1 {
            return Err(format!(
                "{} copies of {began} at a time: {status:#?}",
                volume.most_copies
            ));
        }
        *finals.entry(status.phase.as_str()).or_insert(0) += 1;
        if status.phase != Phase::Completed {
            *said.entry(status.message).or_insert(0) += 1;
        }
    }
    for one in migrations {
        let status = one.status.clone().unwrap_or_default();
        for evidence in &status.removals {
            if evidence.gone.as_deref() == Some("") {
                return Err(format!("nobody saw which copy went: {evidence:?}"));
            }
            watched(evidence)?;
        }
        if let Some(wrong) = status
            .journal
            .iter()
            .find(|entry| entry.note.contains("which must not be"))
        {
            return Err(format!("a step that must not be: {wrong:?}"));
        }
    }
    if let Some(loss) = state.judge.losses().next() {
        return Err(format!("a copy that was needed was removed: {loss:?}"));
    }
    if let Some(held) = state.judge.held_by(Actor::Caller).next() {
        return Err(format!("a cordon is left: {held:?}"));
    }
    let doubtful = |held: &&Held| matches!(&held.what, Cordoned::Pool(pool) if known.doubtful.contains(pool));
    if let Some(taken) = state.judge.taken_from_others().find(|held| !doubtful(held)) {
        return Err(format!("a cordon of somebody else was taken back: {taken:?}"));
    }
    let all = state.judge.removals.iter();
    let ours: Vec<&Removal> = all.filter(|removal| removal.by == Actor::Caller).collect();
    let mut others = 0;
    for removal in &ours {
        let justice = justified(removal, &known.asked).map_err(|wrong| {
            let its = state.log.iter().filter(|line| line.starts_with(&removal.volume));
            format!("{wrong}; copies came and went: {:#?}", its.collect::<Vec<_>>())
        })?;
        others += usize::from(justice == Justice::AnotherSpared);
    }
    Ok(Ended {
        finals,
        removals: ours.len(),
        others,
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

/// The old copy goes only when two readings, a second apart, have said that every copy is complete.
pub(crate) fn watched(evidence: &Evidence) -> Result<(), String> {
    if !evidence.was_complete || !evidence.asked || !evidence.why.starts_with("all other copies are complete")
    {
        return Ok(());
    }
    let time = |text: &str| text.parse::<Timestamp>().ok();
    let (since, at) = (
        evidence.complete_since.as_deref().and_then(time),
        time(&evidence.at),
    );
    match (since, at) {
        (Some(since), Some(at)) if at.as_second() - since.as_second() >= 1 => Ok(()),
        _ => Err(format!("the copies were not seen to stay complete: {evidence:?}")),
    }
}

/// What the evidence makes of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Justice {
    /// The copy that was meant went.
    AsMeant,
    /// Another one went that could be spared as well.
    AnotherSpared,
}

/// Whether the evidence is of this removal: it names the copy, and those that hold everything without it.
pub(crate) fn speaks_of(evidence: &Evidence, removal: &Removal) -> Option<Justice> {
    let kept = evidence.complete.iter().filter(|id| **id != removal.copy).count();
    let enough = kept >= usize::from(evidence.copies);
    if !evidence.asked {
        return None;
    }
    if evidence.replica.id == removal.copy {
        return enough.then_some(Justice::AsMeant);
    }
    // The copy that was meant stays, and holds everything: it did when this was written, or has been filled since.
    let stays = evidence.was_complete || removal.synced.contains(&evidence.replica.id);
    let left = removal.synced.iter().filter(|id| **id != removal.copy).count();
    let in_its_place =
        stays && kept + 1 >= usize::from(evidence.copies) && left >= usize::from(evidence.copies);
    // An incomplete copy goes before all others: one that broke since, or one more that was agreed to and not seen yet.
    let unseen = evidence.replica.id.is_empty();
    if !removal.was_synced() {
        // It was complete when this was written, and broke before the call: nobody could know, and nothing complete is taken.
        let broke = evidence.complete.contains(&removal.copy);
        return (enough || unseen || in_its_place || broke).then_some(Justice::AnotherSpared);
    }
    // The one that was to be taken back had vanished, and one that came since was filled: whichever of them went, enough are left.
    let unspent = evidence.gone.as_ref().is_none_or(|gone| *gone == removal.copy);
    let of_too_many = unspent && !evidence.was_complete && left >= usize::from(evidence.copies);
    let swapped = in_its_place && evidence.complete.contains(&removal.copy);
    (swapped || of_too_many).then_some(Justice::AnotherSpared)
}

fn justified(removal: &Removal, asked: &[Asked]) -> Result<Justice, String> {
    let before = |one: &&Asked| one.volume == removal.volume && one.at <= removal.at;
    // What a later journal says of the same removal counts: which copy went may be known by then.
    let mut written: BTreeMap<(&str, &str), &Evidence> = BTreeMap::new();
    for one in asked.iter().filter(before).flat_map(|one| &one.evidence) {
        written.insert((&one.at, &one.replica.id), one);
    }
    let of_it = written.values().filter_map(|one| speaks_of(one, removal));
    match of_it.min_by_key(|justice| *justice != Justice::AsMeant) {
        Some(justice) => Ok(justice),
        None => Err(format!(
            "a removal without evidence that was written before: {removal:?} {:#?}",
            written.values().collect::<Vec<_>>()
        )),
    }
}
