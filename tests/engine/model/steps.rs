//! What can happen next: what the surroundings do, and what a controller does, one step at a time.

use super::{Controller, Manner, Search, World, moved, with};
use crate::engine::guards::Without;
use crate::engine::states::{ActNumber, Engine, Journal, Pass};
use couchestor::execute::journal::ActFailure;

impl Search {
    /// What happens without the controllers.
    pub(super) fn surroundings(&mut self, at: usize, world: World) {
        let around = self.states.surroundings(world.engine);
        for engine in &around.filled {
            self.reach(moved(world, *engine), at, "a copy is filled");
        }
        for engine in &around.back {
            self.reach(moved(world, *engine), at, "a broken copy returns");
        }
        if world.left.broken_copies > 0 {
            for engine in &around.broken {
                let mut next = moved(world, *engine);
                next.left.broken_copies -= 1;
                self.reach(next, at, "a copy breaks");
            }
        }
        if !world.replaced {
            for engine in &around.replaced {
                let mut next = moved(world, *engine);
                next.replaced = true;
                self.reach(next, at, "the engine replaces the broken copy");
            }
        }
        if let Some(act) = world.late {
            for called in self.states.call(world.engine, act).iter().copied() {
                let mut next = moved(world, called.engine);
                next.late = None;
                self.judge(at, &world, act, called, None);
                self.reach(next, at, "a call that was given up is carried out");
            }
        } else {
            for (pass, how) in [(Pass::Minute, "a minute passes"), (Pass::Hours, "hours pass")] {
                let next = self.later(world, pass);
                self.reach(next, at, how);
            }
        }
        if world.left.withdrawals > 0 {
            let mut next = world;
            next.left.withdrawals -= 1;
            self.reach(next, at, "the approval is withdrawn");
        }
        let newest = self.newest(&world);
        let another = match self.manner {
            Manner::Plain(leaderships) => newest < leaderships,
            Manner::Reduced => true,
        };
        if let Some(who) = (0..2).find(|who| another && world.controllers[*who] == Controller::Off) {
            let mut next = with(world, who, Controller::Idle(newest + 1));
            next.followed = true;
            self.reach(next, at, "another controller leads");
        }
        for who in 0..2 {
            if world.left.crashes > 0 && world.controllers[who] != Controller::Off {
                let mut next = with(world, who, Controller::Idle(newest + 1));
                next.left.crashes -= 1;
                self.reach(next, at, "a controller dies and starts again");
            }
        }
    }

    /// What a leadership that another has followed was about to ask is not asked any more after a minute.
    pub(super) fn later(&mut self, world: World, pass: Pass) -> World {
        let mut next = world;
        next.stored = self.states.passed(world.stored, pass);
        next.stored_before = self.states.passed(world.stored_before, pass);
        let newest = self.newest(&world);
        for one in &mut next.controllers {
            *one = match *one {
                Controller::Acting(epoch, ..) if epoch < newest => Controller::Idle(epoch),
                Controller::Acting(epoch, journal, act, fresh) => {
                    Controller::Acting(epoch, self.states.passed(journal, pass), act, fresh)
                }
                Controller::Writing(epoch, journal, act, ends) => {
                    Controller::Writing(epoch, self.states.passed(journal, pass), act, ends)
                }
                other => other,
            };
        }
        next
    }

    pub(super) fn controller(&mut self, at: usize, world: World, who: usize) {
        match world.controllers[who] {
            Controller::Off => {}
            Controller::Idle(epoch) => {
                self.read(at, world, who, (epoch, world.stored), "a turn begins");
                if world.left.stale_reads > 0 && world.stored_before != world.stored {
                    let mut next = world;
                    next.left.stale_reads -= 1;
                    // What it decides is written over what it did not read: it can do no more than look.
                    self.read(
                        at,
                        next,
                        who,
                        (epoch, world.stored_before),
                        "a turn begins with an old journal",
                    );
                }
            }
            Controller::Writing(epoch, journal, act, ends) => {
                let next = self.written(world, who, (epoch, journal, act, ends));
                match next.controllers[who] {
                    Controller::Idle(_) if !ends => {
                        self.read(at, next, who, (epoch, journal), "it writes the journal");
                    }
                    _ => self.reach(next, at, "it writes the journal"),
                }
            }
            Controller::Acting(epoch, journal, act, fresh) => {
                self.acts(at, world, who, (epoch, journal, act, fresh));
            }
        }
    }

    /// Reads the engine, as it is or as it was, and decides.
    fn read(
        &mut self,
        at: usize,
        world: World,
        who: usize,
        (epoch, journal): (u8, Journal),
        how: &'static str,
    ) {
        let next = self.decided(at, &world, epoch, journal, world.engine);
        self.reach(with(world, who, next), at, how);
        if world.left.stale_reads == 0 {
            return;
        }
        for (index, engine) in world.past.into_iter().enumerate() {
            if engine != world.engine && (index == 0 || engine != world.past[0]) {
                let next = self.decided(at, &world, epoch, journal, engine);
                let mut next = with(world, who, next);
                next.left.stale_reads -= 1;
                self.reach(next, at, "it reads what was before, and decides");
            }
        }
    }

    fn decided(
        &mut self,
        at: usize,
        world: &World,
        epoch: u8,
        journal: Journal,
        engine: Engine,
    ) -> Controller {
        // A write over what is not the newest journal fails.
        let precondition = self.states.without != Some(Without::Precondition);
        if self.states.has_ended(journal) || (precondition && journal != world.stored) {
            return Controller::Idle(epoch);
        }
        let approved = world.left.withdrawals == self.budget.withdrawals;
        let next = self.states.next(journal, engine, epoch, approved);
        let step = Controller::about(next, epoch, journal);
        let Controller::Writing(_, after, act, _) = step else {
            return step;
        };
        if self.true_evidence.insert((journal, after, engine))
            && let Some(wrong) = self.false_evidence(journal, after, engine)
            && self.wrong.is_none()
        {
            self.wrong = Some((wrong, at));
        }
        match act {
            Some(act) if self.states.without == Some(Without::JournalFirst) => {
                Controller::Acting(epoch, journal, act, true)
            }
            _ => step,
        }
    }

    pub(super) fn written(
        &mut self,
        world: World,
        who: usize,
        (epoch, journal, act, _): (u8, Journal, Option<ActNumber>, bool),
    ) -> World {
        let then = match act {
            Some(act) => Controller::Acting(epoch, journal, act, true),
            None => Controller::Idle(epoch),
        };
        let mut next = with(world, who, then);
        (next.stored_before, next.stored) = (world.stored, journal);
        if self.states.without == Some(Without::Precondition) {
            return next;
        }
        let other = &mut next.controllers[1 - who];
        *other = match *other {
            // What it is about to write will be refused.
            Controller::Writing(epoch, ..) => Controller::Idle(epoch),
            Controller::Acting(epoch, journal, act, _) => Controller::Acting(epoch, journal, act, false),
            same => same,
        };
        next
    }

    fn acts(
        &mut self,
        at: usize,
        world: World,
        who: usize,
        (epoch, journal, act, fresh): (u8, Journal, ActNumber, bool),
    ) {
        let noted = |search: &mut Self, failure| {
            let after = search.states.failed(journal, act, failure);
            search.noting(epoch, after, true, fresh)
        };
        for called in self.states.call(world.engine, act).iter().copied() {
            self.judge(at, &world, act, called, Some(journal));
            let next = moved(world, called.engine);
            match called.failure {
                Some(failure) => {
                    let then = noted(self, failure);
                    self.reach(with(next, who, then), at, "it acts, and is refused");
                }
                None => match self.states.done(journal, act) {
                    Some(after) => {
                        let then = self.noting(epoch, after, false, fresh);
                        self.reach(with(next, who, then), at, "it acts");
                    }
                    None if fresh => self.read(at, next, who, (epoch, journal), "it acts"),
                    None => self.reach(with(next, who, Controller::Idle(epoch)), at, "it acts"),
                },
            }
            if world.left.unclear_replies > 0 {
                let then = noted(self, ActFailure::Unclear);
                let mut next = with(moved(world, called.engine), who, then);
                next.left.unclear_replies -= 1;
                self.reach(next, at, "it acts, and the reply is lost");
            }
        }
        if world.left.unclear_replies > 0 {
            let then = noted(self, ActFailure::Unclear);
            let mut next = with(world, who, then);
            next.left.unclear_replies -= 1;
            self.reach(next, at, "its call is lost");
            if world.late.is_none() {
                next.late = Some(act);
                self.reach(next, at, "it gives a call up that is still under way");
            }
        }
    }

    /// What it writes after an act, before it goes on or ends its turn, if it still can.
    pub(super) fn noting(&self, epoch: u8, after: Journal, ends: bool, fresh: bool) -> Controller {
        match fresh || self.states.without == Some(Without::Precondition) {
            true => Controller::Writing(epoch, after, None, ends),
            false => Controller::Idle(epoch),
        }
    }
}
