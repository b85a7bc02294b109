//! From the decision to a complete copy where it is to go: nothing is removed here.

use super::{ATTEMPTS_MAX, Act, At, STALL_SECS, STEADY_SECS, Step, progress};
use crate::execute::safety::{self, fully_synced, is_local, place, rebuilt, synced};
use crate::execute::steering::{self, candidates};
use crate::model::engine::{Pool, Replica, Volume};
use crate::model::kinds::volume_migration::{Adding, Phase};

impl At<'_> {
    pub(super) fn pending(&mut self) -> Step {
        if let Some(why) = self.unwanted() {
            let said = format!("{why} before anything was done");
            return self.finish(Phase::Cancelled, &said);
        }
        if let Some(why) = self.held() {
            return self.wait(&why);
        }
        let now = self.context.now;
        self.status.started_at = Some(now.to_string());
        self.set_deadline();
        self.record(
            Phase::Analyze,
            "checking the volume, its copies and the target pools",
        )
    }

    pub(super) fn set_deadline(&mut self) {
        let timeout = i64::try_from(self.spec.timeout_seconds).unwrap_or(i64::MAX);
        self.status.deadline = Some(self.at(self.context.now, timeout));
    }

    pub(super) fn analyze(&mut self, volume: &Volume) -> Step {
        if let Some(step) = self.settle_first() {
            return step;
        }
        self.status.adding = None;
        if volume.num_replicas == 0 || volume.replicas.is_empty() {
            return self.finish(Phase::Superseded, "the volume has no copies");
        }
        if self.status.removals.is_empty() && !self.status.returning {
            self.status.baseline = volume.replicas.iter().map(place).collect();
            self.status.baseline.sort();
            self.status.local_before = is_local(volume);
        }
        if let Some(ended) = self.stopped_before_acting(volume) {
            return ended;
        }
        if let Some(why) = self.held() {
            return self.wait(&why);
        }
        if self.backs_off() {
            return self.wait(&self.status.message.clone());
        }
        if let Some(hindrance) = safety::hindrance(self.spec, volume, volume.num_replicas, self.reading) {
            return self.wait(&hindrance);
        }
        self.begin_copy(volume)
    }

    fn begin_copy(&mut self, volume: &Volume) -> Step {
        let goal = self.goal();
        let (name, old) = (goal.name(), goal.old_copies(volume, self.reading));
        let found = candidates(&goal, volume, self.reading);
        let Some(victim) = old.first().cloned() else {
            return self.arrived();
        };
        progress::expect(&mut self.status, volume, old.len());
        if found.target.is_empty() {
            return self.wait(&format!("no pool of {name} can take a copy now"));
        }
        if let Some(why) = steering::unsteerable(self.reading, volume, &victim, Some(&found)) {
            return self.give_up(volume, &why);
        }
        let by_pools = !self.status.no_pool_cordons;
        let window = match steering::steer(&found, self.reading, by_pools) {
            Ok(window) => window,
            Err(why) => return self.give_up(volume, &why),
        };
        if self.context.others_cordon && window.is_some() {
            return self.wait("another migration is placing a copy");
        }
        let cordons = window
            .as_ref()
            .map_or(0, |window| window.pools.len() + window.nodes.len());
        let note = match cordons {
            0 => format!("about to add a copy on {name}"),
            some => format!("about to set {some} cordons for one call and to add a copy on {name}"),
        };
        self.status.adding = Some(Adding {
            before: volume
                .replicas
                .iter()
                .map(|replica| replica.id.to_string())
                .collect(),
            num_replicas: volume.num_replicas,
            asked: false,
            again: false,
            agreed: false,
        });
        self.status.victim = Some(victim);
        self.status.added = None;
        self.status.synced_since = None;
        self.status.window = window.map(|window| self.open(window));
        self.record(Phase::ScaleUp, &note)
    }

    /// All copies are where they are to be.
    pub(super) fn arrived(&mut self) -> Step {
        if !self.status.returning {
            let said = format!("all copies are on {}", self.spec.to);
            return self.finish(Phase::Completed, &said);
        }
        let ending = self.ending();
        let said = format!("{}; the copies are on the pools that they came from", ending.why);
        self.finish(ending.phase, &said)
    }

    /// Ends what cannot be done at all; copies that were moved before go back.
    fn give_up(&mut self, volume: &Volume, why: &str) -> Step {
        self.end_or_return(volume, Phase::RolledBack, why)
    }

    /// Ends or waits while nothing of the present copy has been done.
    fn stopped_before_acting(&mut self, volume: &Volume) -> Option<Step> {
        if let Some(why) = self.unwanted() {
            return Some(self.end_or_return(volume, Phase::Cancelled, &why));
        }
        if self.overdue() && self.held().is_none() {
            let waited = self.status.message.clone();
            let why = format!("the volume could not be moved within the timeout ({waited})");
            return Some(self.end_or_return(volume, Phase::RolledBack, &why));
        }
        if self.status.attempts >= ATTEMPTS_MAX {
            let why = self.status.message.clone();
            return Some(self.end_or_return(volume, Phase::RolledBack, &why));
        }
        None
    }

    pub(super) fn scale_up(&mut self, volume: &Volume) -> Step {
        let Some(adding) = self.status.adding.clone() else {
            return self.back_to_analyze("somebody else changes the number of copies; looking again");
        };
        let is_new = |replica: &&Replica| !adding.before.iter().any(|id| id == replica.id.as_str());
        let new: Vec<&Replica> = volume.replicas.iter().filter(is_new).collect();
        let goal = self.goal();
        let landed = new.iter().find(|one| goal.reached(self.reading, one)).copied();
        if let Some(new) = landed.or(new.first().copied()) {
            return self.placed(new, landed.is_some());
        }
        let agreed = adding.agreed || volume.num_replicas > adding.num_replicas;
        let stop = self.stop_placing();
        if let Some((phase, why)) = stop {
            return self.roll_back(phase, &why);
        }
        if agreed {
            if let Some(step) = self.release_first() {
                return step;
            }
            let said = format!(
                "{} has agreed to one more copy and has not placed it yet",
                self.engine()
            );
            return self.wait(&said);
        }
        let impossible = self.status.no_pool_cordons
            && self
                .status
                .window
                .as_ref()
                .is_some_and(|window| !window.pools.is_empty());
        let fewer = volume.num_replicas < adding.num_replicas;
        if fewer || impossible || self.held().is_some() || self.backs_off() {
            return self.back_to_analyze("nothing was added; looking again");
        }
        if let Some(hindrance) = safety::hindrance(self.spec, volume, adding.num_replicas, self.reading) {
            return self.back_to_analyze(&hindrance);
        }
        // Before any cordon is set: a window that does not suffice would be given back at once, and set again.
        let found = candidates(&self.goal(), volume, self.reading);
        let planned = |pool: &&Pool| {
            let window = self.status.window.as_ref();
            window.is_some_and(|window| {
                window.pools.iter().any(|name| name == pool.name.as_str())
                    || window.nodes.iter().any(|name| name == pool.node.as_str())
            })
        };
        if found.target.is_empty() || !found.astray.iter().all(planned) {
            return self.back_to_analyze("the pools have changed; looking again");
        }
        if let Some(step) = self.cordon_next() {
            return step;
        }
        if !found.astray.is_empty() {
            return self.back_to_analyze("the pools have changed; looking again");
        }
        if let Some(adding) = &mut self.status.adding {
            (adding.again, adding.asked) = (adding.asked, true);
        }
        let count = adding.num_replicas.saturating_add(1);
        self.act(&format!("ask for {count} copies"), Act::SetReplicas(count))
    }

    fn placed(&mut self, new: &Replica, landed: bool) -> Step {
        if let Some(step) = self.release_first() {
            return step;
        }
        self.status.added = Some(place(new));
        self.status.attempts = 0;
        if !landed {
            let name = self.goal().name();
            let engine = self.engine();
            let why = format!("{engine} placed the copy on {}, which is not of {name}", new.pool);
            return self.roll_back(Phase::RolledBack, &why);
        }
        self.status.progress_percent = None;
        self.status.progress_at = Some(self.context.now.to_string());
        self.record(
            Phase::WaitSync,
            &format!("{} on {} is being filled", new.id, new.pool),
        )
    }

    /// Why no copy is to be added any more.
    fn stop_placing(&self) -> Option<(Phase, String)> {
        if let Some(why) = self.unwanted() {
            Some((Phase::Cancelled, why))
        } else if self.held().is_some() {
            None
        } else if self.overdue() {
            let why = "no copy was added within the timeout";
            Some((Phase::RolledBack, why.to_owned()))
        } else if self.status.attempts >= ATTEMPTS_MAX {
            Some((Phase::RolledBack, self.status.message.clone()))
        } else {
            None
        }
    }

    /// Closes the window and thinks again, once no call can add a copy any more.
    fn back_to_analyze(&mut self, why: &str) -> Step {
        if let Some(step) = self.settle_first() {
            return step;
        }
        let asked = self.status.adding.as_ref().is_some_and(|adding| adding.asked);
        if asked && !self.confirmed("nothing was added") {
            return self.wait("no copy was added, as it seems; looking again");
        }
        let refused = self.status.attempts > 0 && self.backs_off();
        let why = if refused {
            self.status.message.clone()
        } else {
            why.to_owned()
        };
        self.record(Phase::Analyze, &why)
    }

    pub(super) fn wait_sync(&mut self, volume: &Volume) -> Step {
        if let Some(step) = self.release_first() {
            return step;
        }
        let (Some(added), Some(adding)) = (self.status.added.clone(), self.status.adding.clone()) else {
            return self.finish_released(Phase::NeedsPerson, "the journal lost which copy was added");
        };
        let new = volume
            .replicas
            .iter()
            .find(|replica| replica.id.as_str() == added.id);
        let Some(new) = new else {
            let why = "the new copy vanished while it was being filled";
            return match self.confirmed(why) {
                true => self.roll_back(Phase::RolledBack, why),
                false => self.wait(why),
            };
        };
        if let Some(why) = self.unwanted() {
            return self.roll_back(Phase::Cancelled, &why);
        }
        let whole = synced(new);
        progress::follow(&mut self.status, volume, self.reading, new, self.context.now);
        if let Some(why) = self.held() {
            self.status.synced_since = None;
            return self.wait(&why);
        }
        if self.overdue() {
            let why = match whole {
                true => format!(
                    "the old copy could not go within the timeout ({})",
                    self.status.message
                ),
                false => "the new copy was not complete within the timeout".to_owned(),
            };
            return self.roll_back(Phase::RolledBack, &why);
        }
        if !whole && self.seconds_since(self.status.progress_at.as_deref()) >= STALL_SECS {
            let why = "the new copy made no progress for ten minutes";
            return self.roll_back(Phase::RolledBack, why);
        }
        let count = adding.num_replicas.saturating_add(1);
        if volume.num_replicas != count || !fully_synced(volume) || !rebuilt(self.reading, &added.id) {
            self.status.synced_since = None;
            let said = match whole {
                false => format!("{} on {} is being filled", added.id, added.pool),
                true => format!("{} is complete; waiting for the other copies", added.id),
            };
            return self.wait(&said);
        }
        let Some(since) = self.status.synced_since.clone() else {
            self.status.synced_since = Some(self.context.now.to_string());
            return self.wait("all copies are complete; looking once more before anything is removed");
        };
        if self.seconds_since(Some(&since)) < STEADY_SECS {
            return self.wait("all copies are complete; looking once more before anything is removed");
        }
        if self.spec.preserve && !self.status.returning {
            return self.finish(
                Phase::Preserved,
                "the new copy is complete, and the old ones are kept as asked",
            );
        }
        self.remove_old(volume)
    }
}
