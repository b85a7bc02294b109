//! Journals and engines by number: each distinct one is kept once, with what the production code says of it.
//!
//! A journal is brought to a canonical form first: notes and texts go, and a time is kept only as what the code can tell of it
//! (past or not, long ago or not).

use super::guards::{self, Without};
use super::mini::{Fill, Ground, LABEL, Mini};
use crate::support::moves;
use couchestor::execute::journal::{self, Act, ActFailure, Context, Late, Reading, Step};
use couchestor::model::kinds::volume_migration::{ReplicaPlace, VolumeMigrationSpec, VolumeMigrationStatus};
use jiff::Timestamp;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroU16;
use std::rc::Rc;

/// What of a journal can still make a difference.
mod living;

/// The time at which every step is taken.
const NOW: i64 = 1_900_000_000;

/// How time passes between steps, as far as the code can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// A minute: no call that was made before is under way any more.
    Minute,
    /// Long enough for every deadline and all patience.
    Hours,
}

/// A journal's number.
pub type Journal = u32;
/// An engine's number.
pub type Engine = u32;
/// An act's number: small, and never 0, because worlds hold it in millions.
pub type ActNumber = NonZeroU16;

/// A hasher for numbers, of which millions are looked up: nobody chooses them to collide.
#[derive(Default)]
pub struct Fast(u64);

impl Hasher for Fast {
    fn finish(&self) -> u64 {
        // Tables take the first bits and the last ones.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
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

/// Makes such hashers.
pub type Hash = BuildHasherDefault<Fast>;
/// A map by numbers.
type Numbered<Key, Value> = HashMap<Key, Value, Hash>;

/// What comes next, by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Fenced,
    Record(Journal),
    Act(Journal, ActNumber),
    Wait(Journal),
}

pub struct States {
    pub ground: Ground,
    pub without: Option<Without>,
    spec: VolumeMigrationSpec,
    journals: Vec<VolumeMigrationStatus>,
    journal_numbers: HashMap<String, Journal>,
    /// Of each journal what is asked for all the time: its epoch (0 for none), and whether it has ended.
    journal_heads: Vec<(u8, bool)>,
    engines: Vec<Mini>,
    engine_numbers: HashMap<Mini, Engine>,
    engine_copies: Vec<u32>,
    surroundings: Vec<Option<Rc<Surroundings>>>,
    readings: Vec<Reading>,
    acts: Vec<Act>,
    steps: Numbered<(Journal, Engine, u8, bool), Next>,
    passed: Numbered<(Journal, Pass), Journal>,
    failed: Numbered<(Journal, ActNumber, ActFailure), Journal>,
    done: Numbered<(Journal, ActNumber), Option<Journal>>,
    calls: Numbered<(Engine, ActNumber), Rc<[Called]>>,
    with_epochs: Numbered<(Journal, u8), Journal>,
    living: Numbered<(Journal, u32), Journal>,
    living_engines: Numbered<(Engine, u32), Engine>,
    proofs: Numbered<Journal, Journal>,
}

/// What can become of an engine without a call.
#[derive(Debug, Default)]
pub struct Surroundings {
    pub filled: Vec<Engine>,
    pub back: Vec<Engine>,
    pub broken: Vec<Engine>,
    pub replaced: Vec<Engine>,
}

/// What came of a call: the engine then, what went wrong, and whether a copy went (and was complete).
#[derive(Clone, Copy, Debug)]
pub struct Called {
    pub engine: Engine,
    pub failure: Option<ActFailure>,
    pub removed: Option<bool>,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

pub(super) fn text(seconds: i64) -> Option<String> {
    Some(at(seconds).to_string())
}

fn seconds(time: Option<&String>) -> Option<i64> {
    Some(time?.parse::<Timestamp>().unwrap().as_second() - NOW)
}

pub(super) fn nowhere() -> ReplicaPlace {
    ReplicaPlace {
        id: String::new(),
        node: String::new(),
        pool: String::new(),
    }
}

/// The journal with times as what can be told of them, `passed` seconds later.
fn canonical(mut status: VolumeMigrationStatus, passed: i64) -> VolumeMigrationStatus {
    let left = |time: &Option<String>| seconds(time.as_ref()).map(|at| at - passed);
    status.deadline = left(&status.deadline).and_then(|left| if left > 0 { text(300) } else { text(-1) });
    let since = left(&status.phase_since);
    status.phase_since = since.and_then(|since| if since > -1800 { text(-1) } else { text(-1801) });
    let since = left(&status.progress_at);
    status.progress_at = since.and_then(|since| if since > -600 { text(-1) } else { text(-601) });
    let still =
        |time: &Option<String>, ahead: i64| left(time).filter(|left| *left > 0).and_then(|_| text(ahead));
    // That a call was waited out makes a difference later.
    status.unclear_until = still(&status.unclear_until, 60).or(status.unclear_until.and_then(|_| text(-1)));
    status.retry_at = still(&status.retry_at, 10);
    status.synced_since = status.synced_since.and_then(|_| text(-1));
    status.started_at = status.started_at.and_then(|_| text(-1));
    status.finished_at = status.finished_at.and_then(|_| text(-1));
    if let Some(window) = &mut status.window {
        window.since = text(-1);
    }
    status.message = String::new();
    if let Some(ending) = &mut status.ending {
        ending.why = String::new();
    }
    status.journal.clear();
    status.conditions.clear();
    status.result.clear();
    status.estimated_end = None;
    let newest = status.removals.len().saturating_sub(1);
    // Of earlier ones nothing counts but which copy went.
    let mut index = 0;
    status.removals.retain(|removal| {
        index += 1;
        index > newest || removal.gone.is_some()
    });
    let newest = status.removals.len().saturating_sub(1);
    for (index, removal) in status.removals.iter_mut().enumerate() {
        (removal.at, removal.why) = (String::new(), String::new());
        (removal.complete_since, removal.epoch) = (None, None);
        if index < newest {
            removal.complete.clear();
            removal.replica = nowhere();
        }
    }
    status
}

impl States {
    pub fn new(ground: Ground, without: Option<Without>) -> Self {
        Self {
            ground,
            without,
            spec: moves::spec("u"),
            journals: Vec::new(),
            journal_numbers: HashMap::new(),
            journal_heads: Vec::new(),
            engines: Vec::new(),
            engine_numbers: HashMap::new(),
            surroundings: Vec::new(),
            readings: Vec::new(),
            acts: Vec::new(),
            steps: Numbered::default(),
            passed: Numbered::default(),
            failed: Numbered::default(),
            done: Numbered::default(),
            calls: Numbered::default(),
            with_epochs: Numbered::default(),
            living: Numbered::default(),
            living_engines: Numbered::default(),
            engine_copies: Vec::new(),
            proofs: Numbered::default(),
        }
    }

    /// How many journals there are.
    pub fn journals(&self) -> usize {
        self.journals.len()
    }

    pub fn first_journal(&mut self) -> Journal {
        self.journal_number(VolumeMigrationStatus::default())
    }

    fn journal_number(&mut self, status: VolumeMigrationStatus) -> Journal {
        let status = canonical(status, 1);
        self.known(status)
    }

    fn known(&mut self, status: VolumeMigrationStatus) -> Journal {
        let key = serde_json::to_string(&status).unwrap();
        if let Some(number) = self.journal_numbers.get(&key) {
            return *number;
        }
        let number = Journal::try_from(self.journals.len()).unwrap();
        let epoch = u8::try_from(status.epoch.unwrap_or_default()).unwrap();
        self.journal_heads.push((epoch, status.phase.is_final()));
        self.journals.push(status);
        self.journal_numbers.insert(key, number);
        number
    }

    pub fn journal(&self, number: Journal) -> &VolumeMigrationStatus {
        &self.journals[number as usize]
    }

    /// The epoch of the leadership that wrote a journal last; 0 when none has.
    pub fn epoch(&self, number: Journal) -> u8 {
        self.journal_heads[number as usize].0
    }

    pub fn has_ended(&self, number: Journal) -> bool {
        self.journal_heads[number as usize].1
    }

    /// The journal as if another leadership had written it.
    pub fn with_epoch(&mut self, number: Journal, epoch: u8) -> Journal {
        if self.epoch(number) == epoch {
            return number;
        }
        if let Some(known) = self.with_epochs.get(&(number, epoch)) {
            return *known;
        }
        let status = VolumeMigrationStatus {
            epoch: Some(u64::from(epoch)),
            ..self.journal(number).clone()
        };
        let known = self.known(status);
        self.with_epochs.insert((number, epoch), known);
        known
    }

    /// The journal without what is never read again, where only these copies can still be seen.
    pub fn living(&mut self, number: Journal, copies: u32) -> Journal {
        if let Some(known) = self.living.get(&(number, copies)) {
            return *known;
        }
        let status = living::journal(self.journal(number).clone(), copies);
        let known = self.known(status);
        self.living.insert((number, copies), known);
        known
    }

    /// The engine, where only these copies can still be seen.
    pub fn living_engine(&mut self, number: Engine, copies: u32) -> Engine {
        if let Some(known) = self.living_engines.get(&(number, copies)) {
            return *known;
        }
        let mini = self.engine(number).ranked(copies);
        let known = self.engine_number(mini);
        self.living_engines.insert((number, copies), known);
        known
    }

    /// The copies of an engine, as bits.
    pub fn copies(&self, number: Engine) -> u32 {
        self.engine_copies[number as usize]
    }

    /// Of a journal over which another has been written: whether anything spoke for a removal.
    pub fn proof(&mut self, number: Journal) -> Journal {
        if let Some(known) = self.proofs.get(&number) {
            return *known;
        }
        let mut proof = VolumeMigrationStatus::default();
        proof
            .removals
            .extend(self.journal(number).removals.last().cloned());
        for removal in &mut proof.removals {
            removal.complete.clear();
            (removal.replica, removal.gone) = (nowhere(), None);
            (removal.copies, removal.was_complete, removal.asked) = (0, false, false);
        }
        let known = self.known(proof);
        self.proofs.insert(number, known);
        known
    }

    pub fn engine_number(&mut self, mini: Mini) -> Engine {
        if let Some(number) = self.engine_numbers.get(&mini) {
            return *number;
        }
        let number = Engine::try_from(self.engines.len()).unwrap();
        self.readings.push(self.ground.reading(&mini));
        self.surroundings.push(None);
        let copies = mini.copies.iter();
        self.engine_copies
            .push(copies.fold(0, |bits, copy| bits | 1 << copy.id));
        self.engines.push(mini.clone());
        self.engine_numbers.insert(mini, number);
        number
    }

    pub fn engine(&self, number: Engine) -> &Mini {
        &self.engines[number as usize]
    }

    pub fn act(&self, number: ActNumber) -> &Act {
        &self.acts[usize::from(number.get()) - 1]
    }

    fn act_number(&mut self, act: Act) -> ActNumber {
        let known = self.acts.iter().position(|one| *one == act);
        let number = known.unwrap_or_else(|| {
            self.acts.push(act);
            self.acts.len() - 1
        });
        u16::try_from(number + 1).ok().and_then(NonZeroU16::new).unwrap()
    }

    /// What the production code says comes next.
    pub fn next(&mut self, journal: Journal, engine: Engine, epoch: u8, approved: bool) -> Next {
        let key = (journal, engine, epoch, approved);
        if let Some(next) = self.steps.get(&key) {
            return *next;
        }
        let context = Context {
            approved,
            cancel: None,
            hold: None,
            others_cordon: false,
            label: LABEL.to_owned(),
            epoch: u64::from(epoch),
            late: Late::default(),
            now: at(0),
        };
        let mut status = self.journal(journal).clone();
        let mut reading = self.readings[engine as usize].clone();
        guards::deceive(self.without, &mut status, &mut reading, &context);
        let step = journal::next(&self.spec, &status, &reading, &context);
        let next = match step {
            Step::Fenced => Next::Fenced,
            Step::Record(status) => Next::Record(self.journal_number(status)),
            Step::Wait(status) => Next::Wait(self.journal_number(status)),
            Step::Act(status, act) => {
                let act = self.act_number(act);
                Next::Act(self.journal_number(status), act)
            }
        };
        self.steps.insert(key, next);
        next
    }

    /// The journal when time has passed.
    pub fn passed(&mut self, journal: Journal, pass: Pass) -> Journal {
        if let Some(number) = self.passed.get(&(journal, pass)) {
            return *number;
        }
        let seconds = match pass {
            Pass::Minute => journal::LATE_SECS,
            Pass::Hours => 7200,
        };
        let status = canonical(self.journal(journal).clone(), seconds);
        let number = self.known(status);
        self.passed.insert((journal, pass), number);
        number
    }

    /// The journal after an act that failed.
    pub fn failed(&mut self, journal: Journal, act: ActNumber, failure: ActFailure) -> Journal {
        let key = (journal, act, failure);
        if let Some(number) = self.failed.get(&key) {
            return *number;
        }
        let status = journal::failed(
            self.journal(journal),
            self.act(act),
            failure,
            Late::default(),
            at(0),
        );
        let number = self.journal_number(status);
        self.failed.insert(key, number);
        number
    }

    /// The journal after an act that the engine confirmed, if anything is to be written.
    pub fn done(&mut self, journal: Journal, act: ActNumber) -> Option<Journal> {
        if let Some(known) = self.done.get(&(journal, act)) {
            return *known;
        }
        let status = journal::done(self.journal(journal), self.act(act), at(0));
        let number = status.map(|status| self.journal_number(status));
        self.done.insert((journal, act), number);
        number
    }

    /// Everything that could come of a call.
    pub fn call(&mut self, engine: Engine, act: ActNumber) -> Rc<[Called]> {
        if let Some(known) = self.calls.get(&(engine, act)) {
            return Rc::clone(known);
        }
        let asked = guards::asked(
            self.without,
            self.ground.copies,
            self.engine(engine),
            self.act(act),
        );
        let outcomes = self.ground.call(self.engine(engine), &asked);
        let called = outcomes.into_iter().map(|(mini, outcome)| Called {
            engine: self.engine_number(mini),
            failure: outcome.as_ref().err().copied(),
            removed: outcome.ok().flatten().map(|copy| copy.fill == Fill::Whole),
        });
        let called: Rc<[Called]> = called.collect();
        self.calls.insert((engine, act), Rc::clone(&called));
        called
    }

    /// Everything that can become of an engine without a call.
    pub fn surroundings(&mut self, engine: Engine) -> Rc<Surroundings> {
        if let Some(known) = &self.surroundings[engine as usize] {
            return Rc::clone(known);
        }
        let mini = self.engine(engine).clone();
        let mut found = Surroundings::default();
        for (index, copy) in mini.copies.iter().enumerate() {
            let mut changed = |fill| self.engine_number(mini.changed(index, fill));
            match copy.fill {
                Fill::Filling if mini.whole() > 0 => found.filled.push(changed(Fill::Whole)),
                Fill::Broken => found.back.push(changed(Fill::Filling)),
                Fill::Whole if mini.whole() > 1 => found.broken.push(changed(Fill::Broken)),
                _ => {}
            }
        }
        if let Some(broken) = mini.copies.iter().position(|copy| copy.fill == Fill::Broken) {
            for pool in self.ground.open_pools(&mini) {
                let replaced = mini.without(broken).with(pool, mini.wanted);
                found.replaced.push(self.engine_number(replaced));
            }
        }
        let found = Rc::new(found);
        self.surroundings[engine as usize] = Some(Rc::clone(&found));
        found
    }
}
