//! Journals and engines by number: each distinct one is kept once, with what the production code says of it.
//!
//! A journal is brought to a canonical form first: notes and texts go, and a time is kept only as what the code can tell of it
//! (past or not, long ago or not).

use super::guards::{self, Without};
use super::mini::{Ground, LABEL, Mini};
use crate::support::moves;
use couchestor::execute::journal::{self, Act, ActFailure, Context, Late, Reading, Step};
use couchestor::model::kinds::volume_migration::{ReplicaPlace, VolumeMigrationSpec, VolumeMigrationStatus};
use jiff::Timestamp;
use std::collections::HashMap;

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
/// An act's number.
pub type ActNumber = u32;

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
    engines: Vec<Mini>,
    engine_numbers: HashMap<Mini, Engine>,
    readings: Vec<Reading>,
    acts: Vec<Act>,
    steps: HashMap<(Journal, Engine, u8, bool), Next>,
    passed: HashMap<(Journal, Pass), Journal>,
    failed: HashMap<(Journal, ActNumber, ActFailure), Journal>,
    done: HashMap<(Journal, ActNumber), Option<Journal>>,
    calls: HashMap<(Engine, ActNumber), Vec<Called>>,
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

fn text(seconds: i64) -> Option<String> {
    Some(at(seconds).to_string())
}

fn seconds(time: Option<&String>) -> Option<i64> {
    Some(time?.parse::<Timestamp>().unwrap().as_second() - NOW)
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
    status.unclear_until = still(&status.unclear_until, 60);
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
            removal.replica = ReplicaPlace {
                id: String::new(),
                node: String::new(),
                pool: String::new(),
            };
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
            engines: Vec::new(),
            engine_numbers: HashMap::new(),
            readings: Vec::new(),
            acts: Vec::new(),
            steps: HashMap::new(),
            passed: HashMap::new(),
            failed: HashMap::new(),
            done: HashMap::new(),
            calls: HashMap::new(),
        }
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
        self.journals.push(status);
        self.journal_numbers.insert(key, number);
        number
    }

    pub fn journal(&self, number: Journal) -> &VolumeMigrationStatus {
        &self.journals[number as usize]
    }

    pub fn engine_number(&mut self, mini: Mini) -> Engine {
        if let Some(number) = self.engine_numbers.get(&mini) {
            return *number;
        }
        let number = Engine::try_from(self.engines.len()).unwrap();
        self.readings.push(self.ground.reading(&mini));
        self.engines.push(mini.clone());
        self.engine_numbers.insert(mini, number);
        number
    }

    pub fn engine(&self, number: Engine) -> &Mini {
        &self.engines[number as usize]
    }

    pub fn act(&self, number: ActNumber) -> &Act {
        &self.acts[number as usize]
    }

    fn act_number(&mut self, act: Act) -> ActNumber {
        let known = self.acts.iter().position(|one| *one == act);
        let number = known.unwrap_or_else(|| {
            self.acts.push(act);
            self.acts.len() - 1
        });
        ActNumber::try_from(number).unwrap()
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
            &self.acts[act as usize],
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
        let status = journal::done(self.journal(journal), &self.acts[act as usize], at(0));
        let number = status.map(|status| self.journal_number(status));
        self.done.insert((journal, act), number);
        number
    }

    /// Everything that could come of a call.
    pub fn call(&mut self, engine: Engine, act: ActNumber) -> Vec<Called> {
        if let Some(known) = self.calls.get(&(engine, act)) {
            return known.clone();
        }
        let asked = guards::asked(
            self.without,
            self.ground.copies,
            self.engine(engine),
            self.act(act),
        );
        let outcomes = self.ground.call(self.engine(engine), &asked);
        let called: Vec<Called> = outcomes
            .into_iter()
            .map(|(mini, outcome)| Called {
                engine: self.engine_number(mini),
                failure: outcome.as_ref().err().copied(),
                removed: outcome
                    .ok()
                    .flatten()
                    .map(|copy| copy.fill == super::mini::Fill::Whole),
            })
            .collect();
        self.calls.insert((engine, act), called.clone());
        called
    }
}
