//! From every state, with nothing more going wrong, the migration ends.

use super::{Controller, Search, World, moved, with};
use crate::engine::mini::Fill;
use crate::engine::states::{Hash, Journal, Pass};
use std::collections::HashSet;
use std::fmt::Write;

/// What is known to end: a bit for each state that was seen, and the few worlds on the way that were not.
struct Ending {
    seen: Vec<u64>,
    others: HashSet<World, Hash>,
}

/// Steps that a run without further trouble may take to its end.
const QUIET_STEPS_MAX: usize = 600;

impl Search {
    /// From every state, with nothing more going wrong, the migration ends.
    pub(super) fn all_end(&mut self) {
        let mut ending = Ending {
            seen: vec![0; self.seen.len().div_ceil(64)],
            others: HashSet::default(),
        };
        for index in 0..self.seen.len() {
            let mut path = Vec::new();
            let (mut world, mut mood) = (*self.seen.world(index), 0);
            while !self.states.has_ended(world.stored) && !self.known_to_end(&ending, &world, mood) {
                path.push((world, mood));
                if path.len() > QUIET_STEPS_MAX {
                    self.wrong = Some((self.endless(&path), index));
                    return;
                }
                (world, mood) = self.quiet_step(world, mood);
                world = self.settled(world);
            }
            for (world, mood) in path {
                if mood != 0 {
                    continue;
                }
                match self.seen.covering(&world, self.manner) {
                    Some(index) => ending.seen[index / 64] |= 1 << (index % 64),
                    None => drop(ending.others.insert(world)),
                }
            }
        }
    }

    /// Whether a world is known to end, or one that covers it: nothing that tells them apart counts where nothing more goes wrong.
    fn known_to_end(&self, ending: &Ending, world: &World, mood: u8) -> bool {
        // A turn in which nothing was to be done is gone through again: it is short.
        mood == 0
            && match self.seen.covering(world, self.manner) {
                Some(index) => ending.seen[index / 64] & (1 << (index % 64)) != 0,
                None => ending.others.contains(world),
            }
    }

    fn endless(&self, path: &[(World, u8)]) -> String {
        let mut last = String::new();
        for (world, mood) in &path[path.len() - 40..] {
            let (mini, status) = (self.states.engine(world.engine), self.status(world.stored));
            let _ = write!(
                last,
                "\n  {mood} {:?} {:?} wants {} {:?} pools {:b} nodes {:b} {:?}",
                status.phase,
                world.controllers,
                mini.wanted,
                mini.copies,
                mini.pools,
                mini.nodes,
                status.seen
            );
        }
        format!("without further trouble it does not end; its last steps:{last}\n")
    }

    /// One step of the newest leadership, or, when it has nothing to do, of time. `mood` counts turns that changed nothing.
    fn quiet_step(&mut self, world: World, mood: u8) -> (World, u8) {
        if let Some(act) = world.late {
            let called = self.states.call(world.engine, act)[0];
            return (
                World {
                    late: None,
                    ..moved(world, called.engine)
                },
                0,
            );
        }
        let who = usize::from(world.controllers[1].epoch() > world.controllers[0].epoch());
        match world.controllers[who] {
            Controller::Off => (world, mood),
            Controller::Idle(epoch) => match mood {
                0 | 3 => {
                    let next = self.quiet_read(&world, epoch, world.stored);
                    let mood = if matches!(next, Controller::Idle(_)) {
                        mood + 1
                    } else {
                        0
                    };
                    (with(world, who, next), mood)
                }
                1 => (self.mended(world), 2),
                2 => (self.later(world, Pass::Minute), 3),
                _ => (self.later(world, Pass::Hours), 0),
            },
            Controller::Writing(epoch, journal, act, ends) => {
                let next = self.written(world, who, (epoch, journal, act, ends));
                (next, if ends { 1 } else { 0 })
            }
            Controller::Acting(epoch, journal, act, fresh) => {
                let called = self.states.call(world.engine, act)[0];
                let after = match called.failure {
                    None => self.states.done(journal, act),
                    Some(failure) => Some(self.states.failed(journal, act, failure)),
                };
                let then = after.map_or(Controller::Idle(epoch), |after| {
                    self.noting(epoch, after, true, fresh)
                });
                (with(moved(world, called.engine), who, then), 0)
            }
        }
    }

    fn quiet_read(&mut self, world: &World, epoch: u8, journal: Journal) -> Controller {
        let approved = world.left.withdrawals == self.budget.withdrawals;
        let next = self.states.next(journal, world.engine, epoch, approved);
        Controller::about(next, epoch, journal)
    }

    /// Fills what can be filled.
    fn mended(&mut self, world: World) -> World {
        let mini = self.states.engine(world.engine).clone();
        let mut next = mini.clone();
        for index in 0..mini.copies.len() {
            if mini.whole() > 0 {
                next = next.changed(index, Fill::Whole);
            }
        }
        let engine = self.states.engine_number(next);
        moved(world, engine)
    }
}
