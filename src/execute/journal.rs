//! What is legal and what comes next: from what the journal says and what a fresh reading shows to the next step.
//!
//! Pure. Recovery is the normal path: a crash, a lost reply and a restart all end in "read again and ask [`next`](crate::execute::journal::next)". Every
//! act is recorded before it is done, and every act is either idempotent or checked against the reading first.

use super::safety::{self, fully_synced, keeps_copies_without, old_copies, place, synced};
use crate::model::conditions;
use crate::model::engine::{Node, Pool, Volume};
use crate::model::ids::{NodeName, PoolName};
use crate::model::kinds::volume_migration::{
    Adding, Ending, JournalRecord, Phase, ReplicaPlace, VolumeMigrationSpec, VolumeMigrationStatus, Window,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// How often a step is tried before the migration is rolled back: enough for a storage node that restarts, few
/// enough that a refusal is not repeated for half an hour.
const ATTEMPTS_MAX: u8 = 5;

/// A copy that makes no progress for so long is stalled: Mayastor itself gives a child ten minutes to come back.
const STALL_SECS: i64 = 600;

/// Two readings of "fully synced" must be at least this far apart: a state that flaps must not be taken for a steady one.
const STEADY_SECS: i64 = 1;

/// The journal keeps this many records: a move of sixteen copies writes fewer.
const RECORDS_MAX: usize = 100;

/// The engine at one moment, as far as one volume is concerned.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The volume, unless the engine says that it does not exist.
    pub volume: Option<Volume>,
    /// All pools.
    pub pools: BTreeMap<PoolName, Pool>,
    /// All nodes.
    pub nodes: BTreeMap<NodeName, Node>,
}

/// What the step may rely on beside the reading.
#[derive(Clone, Debug)]
pub struct Context {
    /// Whether the base tree still approves the move.
    pub approved: bool,
    /// Whether another migration holds cordons: then none may be added, for they would steer its volume too.
    pub others_cordon: bool,
    /// The label of this migration's node cordons; without slashes, which Mayastor before 2.12.1 cannot remove.
    pub label: String,
    /// The epoch of the leadership that acts: it stands in everything that is written, and a journal with a higher one is not touched.
    pub epoch: u64,
    /// Now.
    pub now: Timestamp,
}

/// One call to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Keep new copies off a pool.
    CordonPool(String),
    /// Keep new copies off a node, and make its copy the first to go.
    CordonNode(String, String),
    /// Take back every cordon of a window (the label is the node's).
    Release(Window, String),
    /// Have this many copies.
    SetReplicas(u8),
}

/// What comes next. A step is taken only after its status has been written.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write the status and ask again.
    Record(VolumeMigrationStatus),
    /// Write the status, then act, then read again.
    Act(VolumeMigrationStatus, Act),
    /// Write the status if it differs, and come back with the next turn.
    Wait(VolumeMigrationStatus),
}

/// Says what comes next for a migration that has not ended.
pub fn next(
    spec: &VolumeMigrationSpec,
    status: &VolumeMigrationStatus,
    reading: &Reading,
    context: &Context,
) -> Step {
    let mut at = At {
        spec,
        status: status.clone(),
        reading,
        context,
    };
    let Some(volume) = &reading.volume else {
        return at.volume_gone();
    };
    match status.phase {
        Phase::Pending => at.pending(),
        Phase::Analyze => at.analyze(volume),
        Phase::ScaleUp => at.scale_up(volume),
        Phase::WaitSync => at.wait_sync(volume),
        Phase::ScaleDown => at.scale_down(volume),
        Phase::RollingBack => at.rolling_back(volume),
        _ => Step::Wait(status.clone()),
    }
}

/// How a migration ends that was superseded before it began: nothing is read of the engine, and nothing done.
pub fn superseded(
    spec: &VolumeMigrationSpec,
    status: &VolumeMigrationStatus,
    now: Timestamp,
) -> Option<VolumeMigrationStatus> {
    let why = spec.superseded.as_ref().filter(|_| !status.phase.is_final())?;
    let mut status = status.clone();
    let phase = Phase::Superseded;
    (status.phase, status.message) = (phase, why.clone());
    status.finished_at = Some(now.to_string());
    conditions::set(
        &mut status.conditions,
        "Ready",
        false,
        phase.as_str(),
        why,
        None,
        now,
    );
    status.journal.push(JournalRecord {
        at: now.to_string(),
        step: phase.as_str().to_owned(),
        note: why.clone(),
    });
    Some(status)
}

struct At<'a> {
    spec: &'a VolumeMigrationSpec,
    status: VolumeMigrationStatus,
    reading: &'a Reading,
    context: &'a Context,
}

impl At<'_> {
    fn pending(&mut self) -> Step {
        if !self.context.approved {
            return self.finish(
                Phase::Cancelled,
                "the approval was withdrawn before anything was done",
            );
        }
        let now = self.context.now;
        let timeout = i64::try_from(self.spec.timeout_seconds).unwrap_or(i64::MAX);
        let deadline = Timestamp::from_second(now.as_second().saturating_add(timeout)).unwrap_or(now);
        self.status.started_at = Some(now.to_string());
        self.status.deadline = Some(deadline.to_string());
        self.record(
            Phase::Analyze,
            "checking the volume, its copies and the target pools",
        )
    }

    fn analyze(&mut self, volume: &Volume) -> Step {
        if let Some(step) = self.release_first() {
            return step;
        }
        if volume.num_replicas == 0 || volume.replicas.is_empty() {
            return self.finish(Phase::Superseded, "the volume has no copies");
        }
        if self.status.baseline.is_empty() {
            self.status.baseline = volume.replicas.iter().map(place).collect();
            self.status.baseline.sort();
        }
        if let Some(ended) = self.stopped_before_acting() {
            return ended;
        }
        if let Some(hindrance) = safety::hindrance(volume) {
            return self.wait(&hindrance);
        }
        let Some(victim) = old_copies(self.spec, volume, self.reading).into_iter().next() else {
            return self.finish(Phase::Completed, &format!("all copies are on {}", self.spec.to));
        };
        let candidates = safety::candidates(self.spec, volume, self.reading);
        if candidates.target.is_empty() {
            return self.wait(&format!("no pool of {} can take a copy now", self.spec.to));
        }
        if self.context.others_cordon && !candidates.astray.is_empty() {
            return self.wait("another migration is placing a copy");
        }
        self.status.adding = Some(Adding {
            before: volume
                .replicas
                .iter()
                .map(|replica| replica.id.to_string())
                .collect(),
            num_replicas: volume.num_replicas,
        });
        self.status.victim = Some(victim);
        self.status.added = None;
        self.status.synced_since = None;
        self.status.attempts = 0;
        let note = match candidates.astray.len() {
            0 => format!("about to add a copy on {}", self.spec.to),
            some => format!(
                "about to cordon {some} other pools for one call and to add a copy on {}",
                self.spec.to
            ),
        };
        self.status.window = (!candidates.astray.is_empty()).then_some(Window {
            pools: candidates.astray,
            node: None,
        });
        self.record(Phase::ScaleUp, &note)
    }

    /// Ends or waits while nothing of the present loop has been done.
    fn stopped_before_acting(&mut self) -> Option<Step> {
        let moved_some = !self
            .status
            .journal
            .iter()
            .all(|record| record.step != "ScaleDown");
        let (phase, why) = if !self.context.approved {
            (Phase::Cancelled, "the approval was withdrawn")
        } else if self.overdue() {
            (
                Phase::RolledBack,
                "the volume could not be moved within the timeout",
            )
        } else {
            return None;
        };
        Some(match moved_some {
            false => self.finish(phase, &format!("{why}; nothing was done")),
            true => self.finish(
                Phase::NeedsPerson,
                &format!(
                    "{why}; some copies are on {} already, all are complete",
                    self.spec.to
                ),
            ),
        })
    }

    fn scale_up(&mut self, volume: &Volume) -> Step {
        let Some(adding) = self.status.adding.clone() else {
            return self.finish_released(Phase::NeedsPerson, "the journal lost what was being added");
        };
        let new = volume
            .replicas
            .iter()
            .find(|replica| !adding.before.contains(&replica.id.to_string()));
        if let Some(new) = new {
            if let Some(step) = self.release_first() {
                return step;
            }
            self.status.added = Some(place(new));
            let landed = self
                .reading
                .pools
                .get(&new.pool)
                .is_some_and(|pool| safety::on_target(self.spec, pool));
            if !landed {
                let why = format!(
                    "Mayastor placed the copy on {}, which is not of {}",
                    new.pool, self.spec.to
                );
                return self.roll_back(Phase::RolledBack, &why);
            }
            self.status.progress_at = Some(self.context.now.to_string());
            return self.record(
                Phase::WaitSync,
                &format!("{} on {} is being filled", new.id, new.pool),
            );
        }
        let stop = if !self.context.approved {
            Some((Phase::Cancelled, "the approval was withdrawn".to_owned()))
        } else if self.overdue() {
            Some((
                Phase::RolledBack,
                "no copy was added within the timeout".to_owned(),
            ))
        } else if self.status.attempts >= ATTEMPTS_MAX {
            Some((Phase::RolledBack, self.status.message.clone()))
        } else {
            None
        };
        if let Some((phase, why)) = stop {
            return self.roll_back(phase, &why);
        }
        if volume.num_replicas > adding.num_replicas {
            return self.wait("Mayastor has agreed to one more copy and has not placed it yet");
        }
        let uncordoned = self
            .status
            .window
            .iter()
            .flat_map(|window| &window.pools)
            .find(|pool| {
                self.reading
                    .pools
                    .get(&PoolName((*pool).clone()))
                    .is_some_and(|pool| !pool.cordoned)
            });
        if let Some(pool) = uncordoned.cloned() {
            return self.act(&format!("cordon pool {pool}"), Act::CordonPool(pool));
        }
        let count = adding.num_replicas.saturating_add(1);
        self.act(&format!("ask for {count} copies"), Act::SetReplicas(count))
    }

    fn wait_sync(&mut self, volume: &Volume) -> Step {
        if let Some(step) = self.release_first() {
            return step;
        }
        let (Some(added), Some(adding)) = (self.status.added.clone(), self.status.adding.clone()) else {
            return self.finish_released(Phase::NeedsPerson, "the journal lost which copy was added");
        };
        let Some(new) = volume
            .replicas
            .iter()
            .find(|replica| replica.id.as_str() == added.id)
        else {
            return self.roll_back(
                Phase::RolledBack,
                "the new copy vanished while it was being filled",
            );
        };
        if !self.context.approved {
            return self.roll_back(Phase::Cancelled, "the approval was withdrawn");
        }
        if self.overdue() {
            return self.roll_back(
                Phase::RolledBack,
                "the new copy was not complete within the timeout",
            );
        }
        let progress = new.rebuild_progress.or(synced(new).then_some(100));
        if progress != self.status.progress_percent {
            self.status.progress_percent = progress;
            self.status.progress_at = Some(self.context.now.to_string());
        } else if !synced(new) && self.seconds_since(self.status.progress_at.as_deref()) >= STALL_SECS {
            return self.roll_back(Phase::RolledBack, "the new copy made no progress for ten minutes");
        }
        let count = adding.num_replicas.saturating_add(1);
        if volume.num_replicas != count || !fully_synced(volume) {
            self.status.synced_since = None;
            return self.wait(&format!("{} on {} is being filled", added.id, added.pool));
        }
        let Some(since) = self.status.synced_since.clone() else {
            self.status.synced_since = Some(self.context.now.to_string());
            return self.wait("all copies are complete; looking once more before anything is removed");
        };
        if self.seconds_since(Some(&since)) < STEADY_SECS {
            return self.wait("all copies are complete; looking once more before anything is removed");
        }
        if self.spec.preserve {
            return self.finish(
                Phase::Preserved,
                "the new copy is complete, and the old ones are kept as asked",
            );
        }
        self.remove_old(volume)
    }

    fn remove_old(&mut self, volume: &Volume) -> Step {
        let victim = match self.status.victim.clone() {
            Some(victim)
                if volume
                    .replicas
                    .iter()
                    .any(|replica| replica.id.as_str() == victim.id) =>
            {
                victim
            }
            _ => match old_copies(self.spec, volume, self.reading).into_iter().next() {
                Some(victim) => victim,
                None => {
                    return self
                        .roll_back(Phase::RolledBack, "no copy is left on the old tier to be removed");
                }
            },
        };
        if self.context.others_cordon {
            return self.wait("another migration is placing or removing a copy");
        }
        let note = format!(
            "about to cordon {} for one call and to remove {} from {}",
            victim.node, victim.id, victim.pool
        );
        self.status.window = Some(Window {
            pools: Vec::new(),
            node: Some(victim.node.clone()),
        });
        self.status.victim = Some(victim);
        self.status.attempts = 0;
        self.record(Phase::ScaleDown, &note)
    }

    fn scale_down(&mut self, volume: &Volume) -> Step {
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
        let has = |id: &str| volume.replicas.iter().any(|replica| replica.id.as_str() == id);
        if volume.num_replicas == adding.num_replicas {
            if volume.replicas.len() > usize::from(adding.num_replicas) {
                return self.wait("Mayastor has agreed to one copy less and has not removed it yet");
            }
            return self.after_removal(volume, &victim, &added, has(&victim.id), has(&added.id));
        }
        let safe = fully_synced(volume)
            && keeps_copies_without(volume, &victim.id, adding.num_replicas)
            && has(&victim.id)
            && has(&added.id);
        if !safe || !self.context.approved || self.status.attempts >= ATTEMPTS_MAX {
            if let Some(step) = self.release_first() {
                return step;
            }
            if !self.context.approved {
                return self.roll_back(Phase::Cancelled, "the approval was withdrawn");
            }
            if self.status.attempts >= ATTEMPTS_MAX {
                let why = self.status.message.clone();
                return self.roll_back(Phase::RolledBack, &why);
            }
            self.status.synced_since = None;
            return self.record(
                Phase::WaitSync,
                "a copy is no longer complete; nothing was removed",
            );
        }
        let ours = self
            .reading
            .nodes
            .get(&NodeName(victim.node.clone()))
            .is_some_and(|node| node.cordons.contains(&self.context.label));
        if !ours {
            let label = self.context.label.clone();
            return self.act(
                &format!("cordon node {}", victim.node),
                Act::CordonNode(victim.node, label),
            );
        }
        let count = adding.num_replicas;
        self.act(
            &format!("ask for {count} copies, so that {} goes", victim.id),
            Act::SetReplicas(count),
        )
    }

    fn after_removal(
        &mut self,
        volume: &Volume,
        victim: &ReplicaPlace,
        added: &ReplicaPlace,
        victim_there: bool,
        added_there: bool,
    ) -> Step {
        if let Some(step) = self.release_first() {
            return step;
        }
        if !victim_there && added_there {
            if !fully_synced(volume) {
                return self.wait("the old copy is gone; waiting for the volume to be online");
            }
            self.status.victim = None;
            self.status.added = None;
            self.status.adding = None;
            self.status.synced_since = None;
            let left = old_copies(self.spec, volume, self.reading).len();
            if left == 0 {
                return self.finish(Phase::Completed, &format!("all copies are on {}", self.spec.to));
            }
            return self.record(
                Phase::Analyze,
                &format!("{} is gone; {left} copies are still to be moved", victim.id),
            );
        }
        if victim_there && !added_there {
            return self.finish(
                Phase::RolledBack,
                &format!(
                    "Mayastor removed the new copy {} instead; the volume is as it was",
                    added.id
                ),
            );
        }
        self.finish(
            Phase::NeedsPerson,
            "Mayastor removed a copy that was not meant; all that are left are kept",
        )
    }

    fn rolling_back(&mut self, volume: &Volume) -> Step {
        if self
            .status
            .window
            .as_ref()
            .is_some_and(|window| !window.pools.is_empty())
            && let Some(step) = self.release_first()
        {
            return step;
        }
        let ending = self.status.ending.clone().unwrap_or(Ending {
            phase: Phase::RolledBack,
            why: String::new(),
        });
        let base = self
            .status
            .adding
            .as_ref()
            .map_or(volume.num_replicas, |adding| adding.num_replicas);
        let before: Vec<String> = self
            .status
            .adding
            .as_ref()
            .map(|adding| adding.before.clone())
            .unwrap_or_default();
        let extra = volume
            .replicas
            .iter()
            .find(|replica| !before.is_empty() && !before.contains(&replica.id.to_string()));
        if volume.num_replicas <= base && extra.is_none() {
            if let Some(step) = self.release_first() {
                return step;
            }
            let intact = before
                .iter()
                .all(|id| volume.replicas.iter().any(|replica| replica.id.as_str() == id));
            return if intact {
                self.finish(ending.phase, &format!("{}; the volume is as it was", ending.why))
            } else {
                self.finish(
                    Phase::NeedsPerson,
                    &format!("{}; a copy from before is gone, and not by our doing", ending.why),
                )
            };
        }
        if self.status.attempts >= ATTEMPTS_MAX {
            if let Some(step) = self.release_first() {
                return step;
            }
            let why = format!(
                "{}; the extra copy could not be taken back: {}",
                ending.why, self.status.message
            );
            return self.finish(Phase::NeedsPerson, &why);
        }
        if volume.num_replicas <= base {
            return self.wait("Mayastor has agreed to one copy less and has not removed it yet");
        }
        self.take_back(volume, base, extra.map(place))
    }

    /// The engine removes unhealthy copies first, so an incomplete copy is certain to be the one that goes. A complete
    /// one goes first only while its node is cordoned, and only if the volume does not need it.
    fn take_back(&mut self, volume: &Volume, base: u8, extra: Option<ReplicaPlace>) -> Step {
        let Some(extra) = extra else {
            return self.act(&format!("ask for {base} copies"), Act::SetReplicas(base));
        };
        let others_complete = volume
            .replicas
            .iter()
            .filter(|replica| replica.id.as_str() != extra.id)
            .all(synced);
        if !others_complete {
            return match self.overdue_by(STALL_SECS) {
                true => self.finish_released(
                    Phase::NeedsPerson,
                    "a copy from before is not complete, so the new one was kept",
                ),
                false => self.wait("a copy from before is not complete, so the new one is kept for now"),
            };
        }
        let complete = volume
            .replicas
            .iter()
            .any(|replica| replica.id.as_str() == extra.id && synced(replica));
        if !complete {
            return self.act(
                &format!("ask for {base} copies, so that the incomplete {} goes", extra.id),
                Act::SetReplicas(base),
            );
        }
        if !keeps_copies_without(volume, &extra.id, base) {
            return self.wait("waiting until the volume keeps its copies without the new one");
        }
        let held = self
            .status
            .window
            .as_ref()
            .is_some_and(|window| window.node.as_deref() == Some(extra.node.as_str()));
        if !held {
            if let Some(step) = self.release_first() {
                return step;
            }
            if self.context.others_cordon {
                return self.wait("another migration is placing or removing a copy");
            }
            self.status.window = Some(Window {
                pools: Vec::new(),
                node: Some(extra.node.clone()),
            });
            return self.record(
                Phase::RollingBack,
                &format!(
                    "about to cordon {} for one call and to take {} back",
                    extra.node, extra.id
                ),
            );
        }
        let label = self.context.label.clone();
        let ours = self
            .reading
            .nodes
            .get(&NodeName(extra.node.clone()))
            .is_some_and(|node| node.cordons.contains(&label));
        match ours {
            false => self.act(
                &format!("cordon node {}", extra.node),
                Act::CordonNode(extra.node, label),
            ),
            true => self.act(
                &format!("ask for {base} copies, so that {} goes", extra.id),
                Act::SetReplicas(base),
            ),
        }
    }

    fn volume_gone(&mut self) -> Step {
        self.finish_released(Phase::Superseded, "Mayastor no longer knows the volume")
    }

    /// Gives cordons back before anything else: `None` when there are none, or when they are seen to be gone.
    fn release_first(&mut self) -> Option<Step> {
        let window = self.status.window.clone()?;
        let pool_held = window.pools.iter().any(|pool| {
            self.reading
                .pools
                .get(&PoolName(pool.clone()))
                .is_some_and(|pool| pool.cordoned)
        });
        let node_held = window.node.iter().any(|node| {
            self.reading
                .nodes
                .get(&NodeName(node.clone()))
                .is_some_and(|node| node.cordons.contains(&self.context.label))
        });
        if !pool_held && !node_held {
            self.status.window = None;
            return None;
        }
        let label = self.context.label.clone();
        Some(self.act("release our cordons", Act::Release(window, label)))
    }

    fn finish_released(&mut self, phase: Phase, message: &str) -> Step {
        match self.release_first() {
            Some(step) => step,
            None => self.finish(phase, message),
        }
    }

    fn roll_back(&mut self, phase: Phase, why: &str) -> Step {
        self.status.ending = Some(Ending {
            phase,
            why: why.to_owned(),
        });
        self.status.attempts = 0;
        self.record(Phase::RollingBack, why)
    }

    fn finish(&mut self, phase: Phase, message: &str) -> Step {
        self.status.finished_at = Some(self.context.now.to_string());
        self.status.result = self
            .reading
            .volume
            .iter()
            .flat_map(|volume| volume.replicas.iter().map(place))
            .collect();
        self.status.result.sort();
        let done = matches!(phase, Phase::Completed | Phase::Preserved);
        let (list, reason) = (&mut self.status.conditions, phase.as_str());
        conditions::set(list, "Ready", done, reason, message, None, self.context.now);
        self.record(phase, message)
    }

    fn record(&mut self, phase: Phase, note: &str) -> Step {
        self.status.phase = phase;
        note.clone_into(&mut self.status.message);
        self.note(phase.as_str(), note);
        Step::Record(self.status.clone())
    }

    fn act(&mut self, note: &str, act: Act) -> Step {
        let phase = self.status.phase;
        self.note(phase.as_str(), note);
        Step::Act(self.status.clone(), act)
    }

    fn wait(&mut self, message: &str) -> Step {
        message.clone_into(&mut self.status.message);
        Step::Wait(self.status.clone())
    }

    /// The same intent again adds no record: a retry is not news, and the journal stays short.
    fn note(&mut self, step: &str, note: &str) {
        let journal = &mut self.status.journal;
        if journal
            .last()
            .is_some_and(|last| last.step == step && last.note == note)
        {
            return;
        }
        journal.push(JournalRecord {
            at: self.context.now.to_string(),
            step: step.to_owned(),
            note: note.to_owned(),
        });
        if journal.len() > RECORDS_MAX {
            journal.remove(0);
        }
    }

    fn overdue(&self) -> bool {
        self.overdue_by(0)
    }

    fn overdue_by(&self, seconds: i64) -> bool {
        self.status
            .deadline
            .as_deref()
            .is_some_and(|deadline| self.seconds_since(Some(deadline)) >= seconds)
    }

    /// Seconds since a recorded time; negative while it lies ahead, and 0 when there is none.
    fn seconds_since(&self, at: Option<&str>) -> i64 {
        at.and_then(|at| at.parse::<Timestamp>().ok())
            .map_or(0, |at| self.context.now.as_second() - at.as_second())
    }
}
