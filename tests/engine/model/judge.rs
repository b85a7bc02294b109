//! What must never be seen, in a state or in what a call did.

use super::{Controller, Search, World};
use crate::engine::mini::Copy;
use crate::engine::mini::Fill;
use crate::engine::states::{ActNumber, Called, Engine, Journal};
use couchestor::execute::journal::Act;
use couchestor::model::kinds::volume_migration::{Phase, Removal};

impl Search {
    /// What must never be seen.
    pub(super) fn wrong_with(&self, world: &World) -> Option<String> {
        let (mini, copies) = (self.states.engine(world.engine), self.states.ground.copies);
        let broken = self.budget.broken_copies - world.left.broken_copies;
        if mini.whole() < usize::from(copies - broken.min(copies)) {
            return Some(format!("{} complete copies of {copies}", mini.whole()));
        }
        if mini.copies.len() > usize::from(copies) + 1 || mini.wanted > copies + 1 {
            return Some(format!("{} copies of {copies}", mini.copies.len()));
        }
        let status = self.status(world.stored);
        let acting = |one: &Controller| matches!(one, Controller::Acting(..));
        let quiet = world.late.is_none() && !world.controllers.iter().any(acting);
        if !status.phase.is_final() || !quiet {
            return None;
        }
        if mini.pools != 0 || mini.nodes != 0 {
            return Some(format!("{:?}, and a cordon is left", status.phase));
        }
        let exact = matches!(
            status.phase,
            Phase::Completed | Phase::RolledBack | Phase::Cancelled
        );
        if exact && (mini.copies.len() != usize::from(copies) || mini.wanted != copies) {
            return Some(format!("{:?} with {} copies", status.phase, mini.copies.len()));
        }
        let hot = |pool: u8| pool >= copies && pool < 2 * copies;
        let as_said = match status.phase {
            Phase::Completed => mini.copies.iter().all(|copy| hot(copy.pool)),
            Phase::RolledBack | Phase::Cancelled => mini.copies.iter().all(|copy| copy.pool < copies),
            _ => true,
        };
        // A copy that broke may be replaced anywhere after the end.
        if !as_said && !world.replaced {
            return Some(format!("{:?}, and the copies are elsewhere", status.phase));
        }
        None
    }

    pub(super) fn undisturbed(&self, world: &World) -> bool {
        world.left == self.budget && !world.followed
    }

    /// Whether a removal is justified with what the engine did not show.
    pub(super) fn false_evidence(&self, before: Journal, after: Journal, engine: Engine) -> Option<String> {
        let newest = |journal| self.status(journal).removals.last();
        let rests_on = |one: &Removal| {
            let claims = (one.was_complete, one.complete.clone());
            (one.replica.id.clone(), one.asked, claims)
        };
        let removal = newest(after).filter(|one| Some(rests_on(one)) != newest(before).map(rests_on))?;
        let whole = |id: &String| {
            let mini = self.states.engine(engine);
            let mut copies = mini.copies.iter();
            copies.any(|copy| *id == format!("copy-{}", copy.id) && copy.fill == Fill::Whole)
        };
        if !removal.complete.iter().all(whole) {
            return Some("a removal rests on a copy that is not complete".to_owned());
        }
        let enough = removal.complete.len() >= usize::from(removal.copies);
        (!enough).then(|| "a removal leaves fewer complete copies than the volume has".to_owned())
    }

    /// Judges what a call did to the copies.
    pub(super) fn judge(
        &mut self,
        at: usize,
        world: &World,
        act: ActNumber,
        called: Called,
        journal: Option<Journal>,
    ) {
        let copies = self.states.ground.copies;
        let (before, after) = (
            self.states.engine(world.engine),
            self.states.engine(called.engine),
        );
        let mut wrong = None;
        if let Some(was_whole) = called.removed {
            self.removals += 1;
            if was_whole && after.whole() < usize::from(copies) {
                wrong = Some(format!(
                    "a complete copy was removed, and {} are left",
                    after.whole()
                ));
            }
            let evidence = journal.and_then(|journal| self.status(journal).removals.last());
            if journal.is_some() && evidence.is_none() {
                wrong = Some("a copy was removed without evidence in the journal".to_owned());
            }
        }
        if self.undisturbed(world) && matches!(self.states.act(act), Act::SetReplicas(_)) {
            let new = after.copies.iter().find(|copy| !before.copies.contains(copy));
            let returning = journal.is_some_and(|journal| self.status(journal).returning);
            let meant = if returning { 0..copies } else { copies..2 * copies };
            if new.is_some_and(|copy| !meant.contains(&copy.pool)) {
                wrong = Some("undisturbed, a copy was placed on another tier".to_owned());
            }
            let gone = before.copies.iter().find(|copy| !after.copies.contains(copy));
            let evidence = journal.and_then(|journal| self.status(journal).removals.last());
            let meant = evidence.map(|removal| removal.replica.id.as_str());
            let other = |copy: &Copy| {
                meant.is_some_and(|meant| !meant.is_empty() && meant != format!("copy-{}", copy.id))
            };
            // Before 2.9 nothing but health steers a removal, and that may change before the call arrives.
            if gone.is_some_and(other) && self.states.ground.heeds_cordons() {
                wrong = Some("undisturbed, another copy was removed than was meant".to_owned());
            }
        }
        if self.wrong.is_none() {
            self.wrong = wrong.map(|wrong| (wrong, at));
        }
    }
}
