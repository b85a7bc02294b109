//! What was seen, and what need not be seen again: two worlds are one when no step and no judgement can tell them apart, and a world is
//! not followed up when one was seen that can do all the same with more trouble still to come.
//!
//! Every rule here is checked by `what_is_left_out_is_covered`, against a search that leaves nothing out.

use super::{Controller, Manner, Search, World};
use crate::engine::guards::Without;
use crate::engine::states::{Fast, Hash};
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hash as _, Hasher};

/// The states, in the order in which they were found, with where they came from.
#[derive(Default)]
pub(super) struct Seen {
    table: HashTable<u32>,
    worlds: Vec<World>,
    from: Vec<u32>,
    how: Vec<u8>,
    hows: Vec<&'static str>,
}

impl Seen {
    pub(super) fn len(&self) -> usize {
        self.worlds.len()
    }

    pub(super) fn world(&self, index: usize) -> &World {
        &self.worlds[index]
    }

    pub(super) fn worlds(&self) -> impl Iterator<Item = &World> {
        self.worlds.iter()
    }

    /// The state from which one was found first, and how.
    pub(super) fn origin(&self, index: usize) -> (usize, &'static str) {
        (self.from[index] as usize, self.hows[usize::from(self.how[index])])
    }

    /// A state that makes following this one up needless.
    pub(super) fn covering(&self, world: &World, manner: Manner) -> Option<usize> {
        let covers = |index: &u32| {
            let seen = &self.worlds[*index as usize];
            match manner {
                Manner::Plain(_) => seen == world,
                Manner::Reduced => seen.can_all_that(world),
            }
        };
        self.table.find(hash(world), covers).map(|index| *index as usize)
    }

    pub(super) fn add(&mut self, world: World, from: usize, how: &'static str) -> usize {
        let index = self.worlds.len();
        let number = u32::try_from(index).unwrap();
        let worlds = &self.worlds;
        self.table
            .insert_unique(hash(&world), number, |one| hash(&worlds[*one as usize]));
        self.worlds.push(world);
        self.from.push(u32::try_from(from).unwrap());
        let known = self.hows.iter().position(|known| *known == how);
        let how = known.unwrap_or_else(|| {
            self.hows.push(how);
            self.hows.len() - 1
        });
        self.how.push(u8::try_from(how).unwrap());
        index
    }
}

/// Of what two worlds must have in common for one to cover the other.
fn hash(world: &World) -> u64 {
    let mut hasher: Fast = Hash::default().build_hasher();
    hasher.write_u64(u64::from(world.engine) << 32 | u64::from(world.stored));
    for one in world.controllers {
        one.hash(&mut hasher);
    }
    world.late.hash(&mut hasher);
    hasher.finish()
}

impl World {
    /// Whether whatever follows from the other follows from this one too, and is judged at least as strictly.
    ///
    /// More trouble left, older answers at hand, and a replacement still to come only add steps to those that the other has; and of fewer
    /// broken copies, of copies that the engine has not moved, and of a leadership that nobody has followed more is demanded.
    fn can_all_that(&self, other: &Self) -> bool {
        let (left, less) = (self.left, other.left);
        self.engine == other.engine
            && self.stored == other.stored
            && self.stored_before == other.stored_before
            && self.controllers == other.controllers
            && self.late == other.late
            && left.withdrawals == less.withdrawals
            && left.crashes >= less.crashes
            && left.stale_reads >= less.stale_reads
            && left.unclear_replies >= less.unclear_replies
            && left.broken_copies >= less.broken_copies
            && self.replaced <= other.replaced
            && self.followed <= other.followed
            && (0..2).all(|age| other.past[age] == self.past[age] || other.past[age] == other.engine)
    }
}

impl Search {
    /// Forgets what nothing depends on any more.
    pub(super) fn settled(&mut self, mut world: World) -> World {
        let written = self.states.epoch(world.stored);
        if self.states.without != Some(Without::Fencing) {
            for one in &mut world.controllers {
                // It could only be fenced; its process ends, and may lead again some time.
                if matches!(one, Controller::Idle(epoch) if *epoch < written) {
                    *one = Controller::Off;
                }
            }
        }
        if world.left.stale_reads == 0 {
            world.past = [world.engine; 2];
            world.stored_before = world.stored;
        }
        if self.manner == Manner::Reduced {
            self.reduced(world)
        } else {
            world
        }
    }

    /// The world that stands for all that differ from it in nothing that matters.
    pub(super) fn reduced(&mut self, mut world: World) -> World {
        let precondition = self.states.without != Some(Without::Precondition);
        if precondition {
            // What is decided by an old journal cannot be written: one look less is all that comes of it.
            world.stored_before = world.stored;
        }
        if world.past[1] == world.past[0] {
            world.past[1] = world.engine;
        }
        let written = self.states.epoch(world.stored);
        for one in &mut world.controllers {
            // A call of a leadership that can write no more: what it would write is lost, whatever it is.
            if let Controller::Acting(epoch, journal, act, false) = *one
                && precondition
                && epoch < written
            {
                *one = Controller::Acting(0, self.states.proof(journal), act, false);
            }
        }
        if self.states.has_ended(world.stored) {
            world.past = [world.engine; 2];
            for one in &mut world.controllers {
                // There is nothing left to be done in a turn.
                if matches!(one, Controller::Idle(_)) {
                    *one = Controller::Off;
                }
            }
        }
        self.living(&mut world);
        self.ranked(&mut world);
        // Controllers have no names.
        world.controllers.sort_unstable_by(|one, other| other.cmp(one));
        world
    }

    /// Journals without what is never read again, and copies by rank.
    fn living(&mut self, world: &mut World) {
        let [one, other] = world.past;
        let copies = self.states.copies(world.engine) | self.states.copies(one) | self.states.copies(other);
        for engine in [&mut world.engine].into_iter().chain(&mut world.past) {
            *engine = self.states.living_engine(*engine, copies);
        }
        for journal in [&mut world.stored, &mut world.stored_before] {
            *journal = self.states.living(*journal, copies);
        }
        for one in &mut world.controllers {
            if let Controller::Writing(_, journal, ..) | Controller::Acting(_, journal, ..) = one {
                *journal = self.states.living(*journal, copies);
            }
        }
    }

    /// Leaderships by rank: code and judges compare them, and never count.
    fn ranked(&mut self, world: &mut World) {
        let mut there =
            1_u64 << self.states.epoch(world.stored) | 1 << self.states.epoch(world.stored_before);
        for one in world.controllers {
            there |= 1 << one.epoch();
            if let Controller::Writing(_, journal, ..) | Controller::Acting(_, journal, ..) = one {
                there |= 1 << self.states.epoch(journal);
            }
        }
        there >>= 1;
        if there & (there + 1) == 0 {
            return;
        }
        let rank = |epoch: u8| {
            let below = there & ((1_u64 << epoch) - 1);
            u8::try_from(below.count_ones()).unwrap()
        };
        let mut renamed = |journal| {
            let epoch = self.states.epoch(journal);
            self.states.with_epoch(journal, rank(epoch))
        };
        (world.stored, world.stored_before) = (renamed(world.stored), renamed(world.stored_before));
        for one in &mut world.controllers {
            *one = match *one {
                Controller::Off => Controller::Off,
                Controller::Idle(epoch) => Controller::Idle(rank(epoch)),
                Controller::Writing(epoch, journal, act, ends) => {
                    Controller::Writing(rank(epoch), renamed(journal), act, ends)
                }
                Controller::Acting(epoch, journal, act, fresh) => {
                    Controller::Acting(rank(epoch), renamed(journal), act, fresh)
                }
            };
        }
    }
}
