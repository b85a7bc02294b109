//! The old copy goes: only while the volume keeps its full number of complete copies without it, and with the evidence written first.

use super::{ATTEMPTS_MAX, Act, At, REMOVALS_MAX, Step};
use crate::execute::safety::{
    complete_without, fully_synced, hindrance, keeps_copies_without, rebuilt, synced,
};
use crate::execute::steering::{leaves_target_node, unsteerable};
use crate::model::engine::Volume;
use crate::model::kinds::volume_migration::{Adding, Phase, Removal, ReplicaPlace, Window};

impl At<'_> {
    pub(super) fn remove_old(&mut self, volume: &Volume) -> Step {
        let old = self.goal().old_copies(volume, self.reading);
        let meant = self.status.victim.as_ref();
        let meant = meant.filter(|meant| old.iter().any(|one| one.id == meant.id));
        let Some(victim) = meant.or(old.first()).cloned() else {
            let why = "no copy is left elsewhere that could be removed";
            return self.roll_back(Phase::RolledBack, why);
        };
        if self.backs_off() {
            return self.wait(&self.status.message.clone());
        }
        if let Some(hindrance) = self.hindrance(volume) {
            // A snapshot goes again, a drain ends: until the deadline the new copy is kept for that.
            return self.wait(&format!("{hindrance}; {} stays for now", victim.id));
        }
        if let Some(why) = unsteerable(self.reading, volume, &victim, None) {
            return self.roll_back(Phase::RolledBack, &why);
        }
        if self.context.others_cordon {
            return self.wait("another migration is placing or removing a copy");
        }
        if !leaves_target_node(self.reading, std::slice::from_ref(&victim.node)) {
            return self.wait("cordoning the copy's node would leave none for the targets of volumes");
        }
        let Some(copies) = self.status.adding.as_ref().map(|adding| adding.num_replicas) else {
            return self.finish_released(Phase::NeedsPerson, "the journal lost how many copies there were");
        };
        let why = format!("all other copies are complete, and {} is filled", self.added());
        self.removing(volume, &victim, copies, &why);
        let note = format!(
            "about to cordon {} for one call and to remove {} from {}",
            victim.node, victim.id, victim.pool
        );
        self.status.window = Some(self.open(Window {
            node: Some(victim.node.clone()),
            ..Window::default()
        }));
        self.status.victim = Some(victim);
        self.record(Phase::ScaleDown, &note)
    }

    /// What has come up since the copy was added.
    fn hindrance(&self, volume: &Volume) -> Option<String> {
        let base = self.status.adding.as_ref()?.num_replicas;
        hindrance(self.spec, volume, base, self.reading)
    }

    fn added(&self) -> &str {
        self.status
            .added
            .as_ref()
            .map_or("the new one", |added| added.id.as_str())
    }

    /// Writes down what speaks for a removal. The same one again replaces what was written before it was asked.
    pub(super) fn removing(&mut self, volume: &Volume, victim: &ReplicaPlace, copies: u8, why: &str) {
        let evidence = Removal {
            at: self.context.now.to_string(),
            replica: victim.clone(),
            why: why.to_owned(),
            copies,
            complete: complete_without(volume, &victim.id),
            was_complete: volume
                .replicas
                .iter()
                .any(|one| one.id.as_str() == victim.id && synced(one)),
            complete_since: self.status.synced_since.clone(),
            epoch: Some(self.context.epoch),
            asked: false,
            gone: None,
        };
        let removals = &mut self.status.removals;
        match removals.last_mut() {
            Some(last) if last.gone.is_none() && last.replica.id == victim.id => {
                *last = Removal {
                    asked: last.asked,
                    ..evidence
                };
            }
            _ => removals.push(evidence),
        }
        if removals.len() > REMOVALS_MAX {
            removals.remove(0);
        }
    }

    /// Notes that the removal which is written down last is about to be asked for.
    pub(super) fn asking(&mut self) {
        if let Some(last) = self.status.removals.last_mut() {
            last.asked = true;
        }
    }

    /// Notes which copy a removal took: that of the two readings which is there no more.
    pub(super) fn removed(&mut self, volume: &Volume) {
        let there = |id: &str| volume.replicas.iter().any(|replica| replica.id.as_str() == id);
        let Some(last) = self.status.removals.last_mut() else {
            return;
        };
        if last.asked && last.gone.is_none() {
            // Of a copy that was not seen nobody knows which one it was.
            let before = std::iter::once(&last.replica.id).chain(&last.complete);
            let mut before = before.filter(|id| !id.is_empty());
            last.gone = before.find(|id| !there(id)).cloned();
        }
    }

    pub(super) fn scale_down(&mut self, volume: &Volume) -> Step {
        let (Some(victim), Some(adding), Some(added)) = (
            self.status.victim.clone(),
            self.status.adding.clone(),
            self.status.added.clone(),
        ) else {
            return self.finish_released(
                Phase::NeedsPerson,
                "the journal lost which copy was to be removed",
            );
        };
        if volume.num_replicas == adding.num_replicas {
            return self.after_removal(volume, &adding, &victim, &added);
        }
        if volume.num_replicas != adding.num_replicas.saturating_add(1) {
            return self.count_is_not_ours();
        }
        let has = |id: &str| volume.replicas.iter().any(|replica| replica.id.as_str() == id);
        let safe = fully_synced(volume)
            && rebuilt(self.reading, &added.id)
            && keeps_copies_without(volume, &victim.id, adding.num_replicas)
            && has(&victim.id)
            && has(&added.id);
        let refused = self.status.attempts >= ATTEMPTS_MAX;
        // An old answer can look like the end of the removal, and have the cordon given back that steers it.
        let unsteered = self.status.window.is_none();
        if !safe
            || unsteered
            || self.unwanted().is_some()
            || self.held().is_some()
            || refused
            || self.backs_off()
            || self.hindrance(volume).is_some()
        {
            return self.not_now(volume, refused);
        }
        if let Some(step) = self.cordon_next() {
            return step;
        }
        let why = format!("all other copies are complete, and {} is filled", added.id);
        self.removing(volume, &victim, adding.num_replicas, &why);
        self.asking();
        let count = adding.num_replicas;
        self.act(
            &format!("ask for {count} copies, so that {} goes", victim.id),
            Act::SetReplicas(count),
        )
    }

    /// Leaves the removal undone, once no call can remove a copy any more.
    fn not_now(&mut self, volume: &Volume, refused: bool) -> Step {
        if let Some(step) = self.settle_first() {
            return step;
        }
        if let Some(why) = self.unwanted() {
            return self.roll_back(Phase::Cancelled, &why);
        }
        if refused {
            let why = self.status.message.clone();
            return self.roll_back(Phase::RolledBack, &why);
        }
        self.status.synced_since = None;
        let why = if self.backs_off() {
            self.status.message.clone()
        } else if let Some(why) = self.held() {
            why
        } else if let Some(hindrance) = self.hindrance(volume) {
            format!("nothing was removed: {hindrance}")
        } else {
            "nothing was removed; looking once more whether every copy is complete".to_owned()
        };
        self.record(Phase::WaitSync, &why)
    }

    fn after_removal(
        &mut self,
        volume: &Volume,
        adding: &Adding,
        victim: &ReplicaPlace,
        added: &ReplicaPlace,
    ) -> Step {
        if volume.replicas.len() > usize::from(adding.num_replicas) {
            let said = format!(
                "{} has agreed to one copy less and has not removed it yet",
                self.engine()
            );
            return self.patiently(&said);
        }
        let there = |id: &str| volume.replicas.iter().any(|replica| replica.id.as_str() == id);
        let (victim_there, added_there) = (there(&victim.id), there(&added.id));
        // With the new copy there it is a reading from after it was added, so a copy has gone since. Looks count once no call can add
        // a copy again any more.
        if !added_there && (self.unclear() || !self.confirmed("the new copy is gone")) {
            return self.patiently("the new copy is gone, as it seems; looking again");
        }
        self.removed(volume);
        if let Some(step) = self.release_first() {
            return step;
        }
        if !fully_synced(volume) {
            return self.patiently("a copy is gone as asked; waiting for the volume to be online");
        }
        // What was to go and what was added is known until nothing can change any more: a process that ends here is followed by another.
        if self.unclear() {
            return self.wait("a call that nobody answered may still be carried out");
        }
        // Such a call may have added a copy again, and this answer be from before that.
        let waited_out = self.status.unclear_until.is_some();
        if waited_out && added_there && !self.confirmed("no copy was added again") {
            return self.wait("a copy is gone as asked; looking again, because a call was waited out");
        }
        self.status.unclear_until = None;
        (self.status.victim, self.status.added) = (None, None);
        self.status.synced_since = None;
        self.status.attempts = 0;
        if victim_there && !added_there {
            let why = format!("{} removed the new copy {} instead", self.engine(), added.id);
            return self.end_or_return(volume, Phase::RolledBack, &why);
        }
        let left = self.goal().old_copies(volume, self.reading).len();
        if left == 0 {
            return self.arrived();
        }
        let note = match victim_there {
            false => format!("{} is gone; {left} copies are still to be moved", victim.id),
            true => format!(
                "{} removed another copy than {}; {left} copies are still to be moved",
                self.engine(),
                victim.id
            ),
        };
        self.record(Phase::Analyze, &note)
    }

    /// Waits for what only others can set right, and leaves it to a person in the end.
    pub(super) fn patiently(&mut self, what: &str) -> Step {
        if let Some(step) = self.release_first() {
            return step;
        }
        match self.out_of_patience() && self.held().is_none() {
            true => self.finish(Phase::NeedsPerson, &format!("gave up waiting: {what}")),
            false => self.wait(what),
        }
    }

    /// An answer that says so may be an old one, or an API server's that has just begun; only several in a row are believed. Who had
    /// asked for a copy, or for one less, has to see what became of that.
    pub(super) fn unknown_to_the_engine(&mut self) -> Step {
        if let Some(step) = self.release_first() {
            return step;
        }
        if !self.confirmed("the engine does not know the volume") {
            return self.wait("the engine does not know the volume, as it seems; looking again");
        }
        let engine = self.engine();
        let asked = self.status.adding.as_ref().is_some_and(|adding| adding.asked)
            || self.status.removals.iter().any(|removal| removal.asked);
        match asked {
            false => self.finish(Phase::Superseded, &format!("{engine} no longer knows the volume")),
            true => self.finish(
                Phase::NeedsPerson,
                &format!("{engine} no longer knows the volume, whose copies were being moved; look whether it was deleted on purpose"),
            ),
        }
    }

    /// Somebody else changes the number of copies: no count is ours to set then.
    pub(super) fn count_is_not_ours(&mut self) -> Step {
        self.patiently("somebody else has changed the volume's number of copies, so none is removed")
    }
}
