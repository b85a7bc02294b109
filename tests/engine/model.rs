//! Every interleaving of two controllers, the engine and what can go wrong, over the production journal: a search
//! that keeps each state once.
//!
//! What the search assumes: a call of a leadership that another has followed is carried out within [`LATE_SECS`] or never (calls end
//! after 30 seconds, and a leader stops before its Lease ends); the API server refuses a write over what was not read.
//!
//! [`LATE_SECS`]: couchestor::execute::journal::LATE_SECS

use super::guards::Without;
use super::mini::Ground;
use super::states::{ActNumber, Engine, Journal, Next, States};
use couchestor::model::kinds::volume_migration::{Phase, VolumeMigrationStatus};
use seen::Seen;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt::Write;

/// What can happen next.
mod steps;

/// What was seen, and what need not be seen again.
mod seen;

/// What must never be seen.
mod judge;

/// What must always come.
mod ending;

/// What may go wrong in one run, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub crashes: u8,
    pub stale_reads: u8,
    pub unclear_replies: u8,
    pub broken_copies: u8,
    pub withdrawals: u8,
}

/// How worlds are told from one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Each as it is: leaderships have numbers, of which there are so many.
    Plain(u8),
    /// Only by what can make a difference; leadership changes as often as it likes. See [`seen`].
    Reduced,
}

/// Where one controller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Controller {
    /// Not started yet, or ended: a newer leadership has written, so that it could only be fenced.
    Off,
    /// Between turns.
    Idle(u8),
    /// It has read and decided, and is about to write; to act after that, or to end its turn. Reading follows at once on what it did
    /// before: whatever others do in between could as well have been done before that.
    Writing(u8, Journal, Option<ActNumber>, bool),
    /// It has written and is about to act; whether nobody has written since.
    Acting(u8, Journal, ActNumber, bool),
}

impl Controller {
    /// What follows from a decision.
    fn about(next: Next, epoch: u8, journal: Journal) -> Self {
        match next {
            Next::Fenced => Self::Idle(epoch),
            Next::Wait(after) if after == journal => Self::Idle(epoch),
            Next::Wait(after) => Self::Writing(epoch, after, None, true),
            Next::Record(after) => Self::Writing(epoch, after, None, false),
            Next::Act(after, act) => Self::Writing(epoch, after, Some(act), false),
        }
    }

    fn epoch(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Idle(epoch) | Self::Writing(epoch, ..) | Self::Acting(epoch, ..) => epoch,
        }
    }
}

/// Everything at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    engine: Engine,
    /// What the engine was before, while stale reads are left; the same as now where there is nothing else to be read.
    past: [Engine; 2],
    stored: Journal,
    stored_before: Journal,
    controllers: [Controller; 2],
    /// A call whose caller has given up, and that is still under way.
    late: Option<ActNumber>,
    left: Budget,
    /// Whether the engine has replaced a broken copy.
    replaced: bool,
    /// Whether leadership has ever changed.
    followed: bool,
}

/// What was found.
pub struct Found {
    pub states: usize,
    pub transitions: usize,
    pub finals: BTreeMap<Phase, usize>,
    pub removals: usize,
    /// Different journals in them.
    pub journals: usize,
    /// What is wrong, and how it came to be.
    pub violation: Option<String>,
}

pub struct Search {
    states: States,
    budget: Budget,
    manner: Manner,
    seen: Seen,
    /// States that are still to be followed up, by how much has gone wrong in them.
    waiting: Vec<VecDeque<u32>>,
    transitions: usize,
    removals: usize,
    /// Decisions of which it is known that no removal in them rests on what the engine did not show.
    true_evidence: HashSet<(Journal, Journal, Engine), super::states::Hash>,
    wrong: Option<(String, usize)>,
}

/// More states than any run here has: reached, the search says so instead of running on.
const STATES_MAX: usize = 60_000_000;

/// Searches everything.
pub fn search(ground: Ground, budget: Budget, without: Option<Without>) -> Found {
    Search::all(States::new(ground, without), budget, Manner::Reduced).found()
}

/// What the reductions leave out and should not: a world of a search without any that no world covers of one with all of them; or
/// how many worlds either has. The first has so many leaderships.
pub fn uncovered(ground: Ground, budget: Budget, leaderships: u8) -> Result<(usize, usize), String> {
    let plain = Search::all(States::new(ground, None), budget, Manner::Plain(leaderships));
    let (all, ends) = (plain.seen, plain.wrong);
    let mut reduced = Search::all(plain.states, budget, Manner::Reduced);
    if ends.is_some() || reduced.wrong.is_some() {
        return Err(format!(
            "{ends:?} in all, {:?} in the reduced ones",
            reduced.wrong
        ));
    }
    for world in all.worlds() {
        let stands_for_it = reduced.settled(*world);
        if reduced.seen.covering(&stands_for_it, Manner::Reduced).is_none() {
            let status = reduced.status(world.stored);
            return Err(format!("nothing covers {world:?} with {status:#?}"));
        }
    }
    Ok((all.len(), reduced.seen.len()))
}

impl Search {
    /// Follows everything up.
    fn all(mut states: States, budget: Budget, manner: Manner) -> Self {
        let engine = states.engine_number(states.ground.start());
        let stored = states.first_journal();
        let start = World {
            engine,
            past: [engine; 2],
            stored,
            stored_before: stored,
            controllers: [Controller::Idle(1), Controller::Off],
            late: None,
            left: budget,
            replaced: false,
            followed: false,
        };
        let mut search = Self {
            states,
            budget,
            manner,
            seen: Seen::default(),
            waiting: Vec::new(),
            transitions: 0,
            removals: 0,
            true_evidence: HashSet::default(),
            wrong: None,
        };
        let most = states_max();
        search.reach(start, 0, "start");
        while let Some(at) = search.next_waiting() {
            if search.wrong.is_some() {
                break;
            }
            if search.seen.len() > most {
                let said = format!(
                    "more than {most} states: ask for less with COUCHESTOR_MODEL, or, at some seventy bytes each, for more with \
                     COUCHESTOR_MODEL_STATES"
                );
                search.wrong = Some((said, at));
                break;
            }
            search.expand(at);
        }
        if search.wrong.is_none() {
            search.all_end();
        }
        search
    }

    /// The next state to follow up: those in which less went wrong come first, because they make others needless.
    fn next_waiting(&mut self) -> Option<usize> {
        let mut queues = self.waiting.iter_mut();
        queues.find_map(VecDeque::pop_front).map(|at| at as usize)
    }

    fn reach(&mut self, world: World, from: usize, how: &'static str) {
        let world = self.settled(world);
        self.transitions += 1;
        if self.seen.covering(&world, self.manner).is_some() {
            return;
        }
        let index = self.seen.add(world, from, how);
        let trouble = self.trouble(&world);
        if self.waiting.len() <= trouble {
            self.waiting.resize_with(trouble + 1, VecDeque::new);
        }
        self.waiting[trouble].push_back(u32::try_from(index).unwrap());
        if let Some(wrong) = self.wrong_with(&world)
            && self.wrong.is_none()
        {
            self.wrong = Some((wrong, index));
        }
    }

    /// How much has gone wrong.
    fn trouble(&self, world: &World) -> usize {
        let (all, left) = (self.budget, world.left);
        let counted = [
            all.crashes - left.crashes,
            all.stale_reads - left.stale_reads,
            all.unclear_replies - left.unclear_replies,
            all.broken_copies - left.broken_copies,
            u8::from(world.replaced),
            u8::from(world.followed),
        ];
        counted.into_iter().map(usize::from).sum()
    }

    fn status(&self, journal: Journal) -> &VolumeMigrationStatus {
        self.states.journal(journal)
    }

    /// The newest leadership that there has been.
    fn newest(&self, world: &World) -> u8 {
        let [one, other] = world.controllers;
        one.epoch()
            .max(other.epoch())
            .max(self.states.epoch(world.stored))
    }

    fn expand(&mut self, at: usize) {
        let world = *self.seen.world(at);
        self.surroundings(at, world);
        for who in 0..2 {
            self.controller(at, world, who);
        }
    }

    fn found(self) -> Found {
        let mut finals = BTreeMap::new();
        for world in self.seen.worlds() {
            if self.states.has_ended(world.stored) {
                *finals.entry(self.status(world.stored).phase).or_insert(0) += 1;
            }
        }
        let violation = self.wrong.as_ref().map(|(wrong, at)| self.told(wrong, *at));
        Found {
            states: self.seen.len(),
            transitions: self.transitions,
            finals,
            removals: self.removals,
            journals: self.states.journals(),
            violation,
        }
    }

    /// What is wrong, and the steps that lead there.
    fn told(&self, wrong: &str, at: usize) -> String {
        let mut steps = Vec::new();
        let mut index = at;
        loop {
            let (world, (from, how)) = (self.seen.world(index), self.seen.origin(index));
            let (mini, status) = (self.states.engine(world.engine), self.status(world.stored));
            steps.push(format!(
                "{how}: {:?} {:?} wants {} {:?} pools {:b} nodes {:b}",
                status.phase, world.controllers, mini.wanted, mini.copies, mini.pools, mini.nodes
            ));
            if index == 0 {
                break;
            }
            index = from;
        }
        let mut text = format!("{wrong}, after {} steps:\n", steps.len() - 1);
        for step in steps.iter().rev() {
            let _ = writeln!(text, "  {step}");
        }
        let world = self.seen.world(at);
        let _ = writeln!(text, "{:#?}", self.status(world.stored));
        text
    }
}

/// The limit, or what the environment asks for.
fn states_max() -> usize {
    let asked = std::env::var("COUCHESTOR_MODEL_STATES").ok();
    asked.map_or(STATES_MAX, |text| {
        text.parse()
            .expect("COUCHESTOR_MODEL_STATES is a number of states")
    })
}

fn with(mut world: World, who: usize, controller: Controller) -> World {
    world.controllers[who] = controller;
    world
}

fn moved(mut world: World, engine: Engine) -> World {
    if engine != world.engine {
        world.past = [world.engine, world.past[0]];
    }
    world.engine = engine;
    world
}
