//! The new copy is taken back, and what was moved before goes back to where it was.

use super::{ATTEMPTS_MAX, Act, At, Step};
use crate::execute::safety::{fully_synced, keeps_copies_without, place, synced};
use crate::execute::steering::{leaves_target_node, unsteerable};
use crate::model::engine::{Ability, Replica, Volume};
use crate::model::kinds::volume_migration::{Ending, Phase, ReplicaPlace, Window};

impl At<'_> {
    /// How it will end, as far as that is known.
    pub(super) fn ending(&self) -> Ending {
        self.status.ending.clone().unwrap_or(Ending {
            phase: Phase::RolledBack,
            why: "it was taken back".to_owned(),
        })
    }

    /// Ends with the volume as it was. Where copies were moved already they go back first; where even that fails, a person is needed:
    /// all copies are complete, on two tiers.
    pub(super) fn end_or_return(&mut self, volume: &Volume, phase: Phase, why: &str) -> Step {
        let there = |place: &ReplicaPlace| {
            let same = |replica: &Replica| replica.id.as_str() == place.id;
            volume.replicas.iter().any(same)
        };
        let as_it_was = self.status.baseline.iter().all(there);
        if self.status.returning {
            let ending = self.ending();
            let said = format!(
                "{}; not all copies could be brought back ({why}); all that are there are kept",
                ending.why
            );
            return self.finish_released(Phase::NeedsPerson, &said);
        }
        if as_it_was || self.status.baseline.is_empty() {
            let acted = !self.status.removals.is_empty() || self.status.added.is_some();
            let said = match acted || self.status.phase != Phase::Analyze {
                true => format!("{why}; the volume is as it was"),
                false => format!("{why}; nothing was done"),
            };
            return self.finish_released(phase, &said);
        }
        if let Some(step) = self.settle_first() {
            return step;
        }
        self.status.returning = true;
        self.status.ending = Some(Ending {
            phase,
            why: why.to_owned(),
        });
        (self.status.adding, self.status.added, self.status.victim) = (None, None, None);
        (self.status.attempts, self.status.retry_at) = (0, None);
        self.set_deadline();
        self.record(
            Phase::Analyze,
            &format!("{why}; bringing the copies back to the pools that they came from"),
        )
    }

    pub(super) fn rolling_back(&mut self, volume: &Volume) -> Step {
        let placing = |window: &Window| !window.pools.is_empty() || !window.nodes.is_empty();
        if self.status.window.as_ref().is_some_and(placing)
            && let Some(step) = self.release_first()
        {
            return step;
        }
        let Some(adding) = self.status.adding.clone() else {
            return self.finish_released(Phase::NeedsPerson, "the journal lost what had been added");
        };
        let base = adding.num_replicas;
        let extra = volume
            .replicas
            .iter()
            .find(|replica| !adding.before.iter().any(|id| id == replica.id.as_str()));
        if volume.num_replicas == base {
            return self.taken_back(volume, base);
        }
        if volume.num_replicas != base.saturating_add(1) {
            return self.count_is_not_ours();
        }
        if self.status.attempts >= ATTEMPTS_MAX {
            let why = format!(
                "{}; the extra copy could not be taken back: {}",
                self.ending().why,
                self.status.message
            );
            return self.finish_released(Phase::NeedsPerson, &why);
        }
        if self.held().is_some() || self.backs_off() {
            if let Some(step) = self.release_first() {
                return step;
            }
            let said = self.held().unwrap_or_else(|| self.status.message.clone());
            return self.wait(&said);
        }
        self.take_back(volume, base, extra.map(place))
    }

    /// The count is what it was: waits until the copies are, too.
    fn taken_back(&mut self, volume: &Volume, base: u8) -> Step {
        if volume.replicas.len() > usize::from(base) {
            let said = format!(
                "{} has agreed to one copy less and has not removed it yet",
                self.engine()
            );
            return self.patiently(&said);
        }
        if let Some(step) = self.settle_first() {
            return step;
        }
        let asked = self.status.adding.as_ref().is_some_and(|adding| adding.asked);
        if asked && !self.confirmed("the extra copy is gone") {
            return self.patiently("the extra copy is gone, as it seems; looking again");
        }
        self.removed(volume);
        if !fully_synced(volume) {
            return self.patiently("the extra copy is gone; waiting for the volume to be online");
        }
        let ending = self.ending();
        self.end_or_return(volume, ending.phase, &ending.why)
    }

    /// The engine removes unhealthy copies first, and then one whose node is cordoned. An incomplete copy may become complete before the
    /// call arrives, so its node is cordoned too where that helps; a complete one goes only if the volume does not need it, and if it
    /// is certain that the engine takes no other.
    fn take_back(&mut self, volume: &Volume, base: u8, extra: Option<ReplicaPlace>) -> Step {
        let why = format!("the move is taken back: {}", self.ending().why);
        let Some(extra) = extra else {
            let not_seen = ReplicaPlace {
                id: String::new(),
                node: String::new(),
                pool: String::new(),
            };
            self.removing(volume, &not_seen, base, &why);
            self.asking();
            let note = format!("ask for {base} copies; the one more has not been seen");
            return self.act(&note, Act::SetReplicas(base));
        };
        let is_whole = |replica: &&Replica| synced(replica);
        let (of_extra, others): (Vec<_>, Vec<_>) = volume
            .replicas
            .iter()
            .partition(|replica| replica.id.as_str() == extra.id);
        if !others.iter().all(is_whole) || others.len() < usize::from(base) {
            return self.patiently("a copy from before is not complete, so the new one is kept for now");
        }
        let whole = of_extra.iter().all(is_whole);
        if whole && !keeps_copies_without(volume, &extra.id, base) {
            return self.patiently("waiting until the volume keeps its copies without the new one");
        }
        if whole && let Some(why) = unsteerable(self.reading, volume, &extra, None) {
            return self.patiently(&why);
        }
        if let Some(step) = self.cordon_extra(&extra, whole) {
            return step;
        }
        self.removing(volume, &extra, base, &why);
        self.asking();
        let what = if whole { "" } else { "the incomplete " };
        let note = format!("ask for {base} copies, so that {what}{} goes", extra.id);
        self.act(&note, Act::SetReplicas(base))
    }

    /// Cordons the node of the copy that is to go; `None` when that is done or needless.
    fn cordon_extra(&mut self, extra: &ReplicaPlace, whole: bool) -> Option<Step> {
        if self.reading.abilities.removal_heeds_cordons == Ability::Lacks {
            return None;
        }
        let window = self.status.window.as_ref();
        if window.is_some_and(|window| window.node.as_deref() == Some(extra.node.as_str())) {
            return self.cordon_next();
        }
        let hindered = self.context.others_cordon
            || !leaves_target_node(self.reading, std::slice::from_ref(&extra.node));
        if !whole && hindered && window.is_none() {
            return None;
        }
        Some(self.open_window_back(extra))
    }

    fn open_window_back(&mut self, extra: &ReplicaPlace) -> Step {
        if let Some(step) = self.release_first() {
            return step;
        }
        if self.context.others_cordon {
            return self.wait("another migration is placing or removing a copy");
        }
        if !leaves_target_node(self.reading, std::slice::from_ref(&extra.node)) {
            return self.patiently("cordoning the copy's node would leave none for the targets of volumes");
        }
        self.status.window = Some(self.open(Window {
            node: Some(extra.node.clone()),
            ..Window::default()
        }));
        self.record(
            Phase::RollingBack,
            &format!(
                "about to cordon {} for one call and to take {} back",
                extra.node, extra.id
            ),
        )
    }
}
