//! Every interleaving of two controllers, the engine and what can go wrong, over the production journal: a breadth-first search
//! that keeps each state once.
//!
//! What the search assumes: a call of a leadership that another has followed is carried out within [`LATE_SECS`] or never (calls end
//! after 30 seconds, and a leader stops before its Lease ends); the API server refuses a write over what was not read.
//!
//! [`LATE_SECS`]: couchestor::execute::journal::LATE_SECS

use super::guards::Without;
use super::mini::{Fill, Ground};
use super::states::{ActNumber, Engine, Journal, Next, Pass, States};
use couchestor::execute::journal::ActFailure;
use couchestor::model::kinds::volume_migration::{Phase, VolumeMigrationStatus};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hash::{BuildHasherDefault, Hasher};

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

/// Where one controller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Controller {
    /// Not started yet.
    Off,
    /// Between turns; 0 when a newer leadership has written, so that it would only be fenced.
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
    /// What the engine was before, while stale reads are left.
    past: [Engine; 2],
    stored: Journal,
    stored_before: Journal,
    controllers: [Controller; 2],
    /// A call whose caller has given up, and that is still under way.
    late: Option<ActNumber>,
    left: Budget,
    /// Whether the engine has replaced a broken copy.
    replaced: bool,
}

/// What was found.
pub struct Found {
    pub states: usize,
    pub transitions: usize,
    pub finals: BTreeMap<Phase, usize>,
    pub removals: usize,
    /// What is wrong, and how it came to be.
    pub violation: Option<String>,
}

/// A hasher for states, of which millions are looked up: nobody chooses them to collide.
#[derive(Default)]
struct Fast(u64);

impl Hasher for Fast {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.unsigned_abs() as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

struct Search {
    states: States,
    budget: Budget,
    seen: HashMap<World, (u32, &'static str), BuildHasherDefault<Fast>>,
    order: Vec<World>,
    transitions: usize,
    removals: usize,
    wrong: Option<(String, usize)>,
}

/// More states than any run here has: reached, the search says so instead of running on.
const STATES_MAX: usize = 60_000_000;

/// Searches everything.
pub fn search(ground: Ground, budget: Budget, without: Option<Without>) -> Found {
    let mut states = States::new(ground, without);
    let engine = states.engine_number(ground.start());
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
    };
    let mut search = Search {
        states,
        budget,
        seen: HashMap::default(),
        order: Vec::new(),
        transitions: 0,
        removals: 0,
        wrong: None,
    };
    search.reach(start, 0, "start");
    let mut at = 0;
    while at < search.order.len() && search.wrong.is_none() {
        if search.order.len() > STATES_MAX {
            search.wrong = Some((format!("more than {STATES_MAX} states"), at));
            break;
        }
        search.expand(at);
        at += 1;
    }
    if search.wrong.is_none() {
        search.all_end();
    }
    search.found()
}

impl Search {
    fn reach(&mut self, world: World, from: usize, how: &'static str) {
        let world = self.settled(world);
        self.transitions += 1;
        if self.seen.contains_key(&world) {
            return;
        }
        let index = self.order.len();
        self.seen.insert(world, (u32::try_from(from).unwrap(), how));
        self.order.push(world);
        if let Some(wrong) = self.wrong_with(&world)
            && self.wrong.is_none()
        {
            self.wrong = Some((wrong, index));
        }
    }

    /// Forgets what nothing depends on any more.
    fn settled(&self, mut world: World) -> World {
        if world.left.stale_reads == 0 {
            world.past = [world.engine; 2];
            world.stored_before = world.stored;
        }
        let written = self.status(world.stored).epoch.unwrap_or_default();
        for one in &mut world.controllers {
            if matches!(one, Controller::Idle(epoch) if u64::from(*epoch) < written) {
                *one = Controller::Idle(0);
            }
        }
        world
    }

    fn status(&self, journal: Journal) -> &VolumeMigrationStatus {
        self.states.journal(journal)
    }

    /// The newest leadership that there has been.
    fn newest(&self, world: &World) -> u8 {
        let epochs = world.controllers.iter().map(|one| one.epoch());
        let written = self.status(world.stored).epoch.unwrap_or_default();
        epochs
            .max()
            .unwrap_or_default()
            .max(u8::try_from(written).unwrap_or(u8::MAX))
    }

    fn expand(&mut self, at: usize) {
        let world = self.order[at];
        self.surroundings(at, world);
        for who in 0..2 {
            self.controller(at, world, who);
        }
    }

    /// What happens without the controllers.
    fn surroundings(&mut self, at: usize, world: World) {
        let mini = self.states.engine(world.engine).clone();
        for (index, copy) in mini.copies.iter().enumerate() {
            let (next, how) = match copy.fill {
                Fill::Filling if mini.whole() > 0 => (mini.changed(index, Fill::Whole), "a copy is filled"),
                Fill::Broken => (mini.changed(index, Fill::Filling), "a broken copy returns"),
                _ => continue,
            };
            let engine = self.states.engine_number(next);
            self.reach(moved(world, engine), at, how);
        }
        if world.left.broken_copies > 0 && mini.whole() > 1 {
            for (index, _) in mini
                .copies
                .iter()
                .enumerate()
                .filter(|(_, copy)| copy.fill == Fill::Whole)
            {
                let engine = self.states.engine_number(mini.changed(index, Fill::Broken));
                let mut next = moved(world, engine);
                next.left.broken_copies -= 1;
                self.reach(next, at, "a copy breaks");
            }
        }
        if !world.replaced {
            let broken = mini.copies.iter().position(|copy| copy.fill == Fill::Broken);
            for pool in broken.map_or(Vec::new(), |_| self.states.ground.open_pools(&mini)) {
                let without = mini.without(broken.unwrap_or_default());
                let engine = self.states.engine_number(without.with(pool, mini.wanted));
                let mut next = moved(world, engine);
                next.replaced = true;
                self.reach(next, at, "the engine replaces the broken copy");
            }
        }
        if let Some(act) = world.late {
            for called in self.states.call(world.engine, act) {
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
        if world.controllers[1] == Controller::Off {
            let mut next = world;
            next.controllers[1] = Controller::Idle(self.newest(&world) + 1);
            self.reach(next, at, "a second controller leads");
        }
        for who in 0..2 {
            // One that dies between turns differs in nothing from one that a second controller follows.
            let busy = matches!(
                world.controllers[who],
                Controller::Writing(..) | Controller::Acting(..)
            );
            if world.left.crashes > 0 && busy {
                let mut next = world;
                next.left.crashes -= 1;
                next.controllers[who] = Controller::Idle(self.newest(&world) + 1);
                self.reach(next, at, "a controller dies and starts again");
            }
        }
    }

    /// What a leadership that another has followed was about to ask is not asked any more after a minute.
    fn later(&mut self, world: World, pass: Pass) -> World {
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

    fn controller(&mut self, at: usize, world: World, who: usize) {
        match world.controllers[who] {
            Controller::Off | Controller::Idle(0) => {}
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
        if self.status(journal).phase.is_final() || (precondition && journal != world.stored) {
            return Controller::Idle(epoch);
        }
        let approved = world.left.withdrawals == self.budget.withdrawals;
        let next = self.states.next(journal, engine, epoch, approved);
        let step = Controller::about(next, epoch, journal);
        let Controller::Writing(_, after, act, _) = step else {
            return step;
        };
        if let Some(wrong) = self.false_evidence(journal, after, engine)
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

    fn written(
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
        for called in self.states.call(world.engine, act) {
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
    fn noting(&self, epoch: u8, after: Journal, ends: bool, fresh: bool) -> Controller {
        match fresh || self.states.without == Some(Without::Precondition) {
            true => Controller::Writing(epoch, after, None, ends),
            false => Controller::Idle(epoch),
        }
    }

    fn found(self) -> Found {
        let mut finals = BTreeMap::new();
        for world in &self.order {
            let phase = self.status(world.stored).phase;
            if phase.is_final() {
                *finals.entry(phase).or_insert(0) += 1;
            }
        }
        let violation = self.wrong.as_ref().map(|(wrong, at)| self.told(wrong, *at));
        Found {
            states: self.order.len(),
            transitions: self.transitions,
            finals,
            removals: self.removals,
            violation,
        }
    }

    /// What is wrong, and the steps that lead there.
    fn told(&self, wrong: &str, at: usize) -> String {
        let mut steps = Vec::new();
        let mut index = at;
        loop {
            let world = self.order[index];
            let (from, how) = self.seen[&world];
            let (mini, status) = (self.states.engine(world.engine), self.status(world.stored));
            steps.push(format!(
                "{how}: {:?} {:?} wants {} {:?} pools {:b} nodes {:b}",
                status.phase, world.controllers, mini.wanted, mini.copies, mini.pools, mini.nodes
            ));
            if index == 0 {
                break;
            }
            index = from as usize;
        }
        let mut text = format!("{wrong}, after {} steps:\n", steps.len() - 1);
        for step in steps.iter().rev() {
            let _ = writeln!(text, "  {step}");
        }
        let world = self.order[at];
        let _ = writeln!(text, "{:#?}", self.status(world.stored));
        text
    }
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
