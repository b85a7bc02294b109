//! Candidates over a simulated Lease in virtual time: lost replies, late writes, old answers, pauses, clocks that jump. Never two of them
//! may act at once, and epochs only rise.

use super::elector::{Action, Event, Moment, Purpose, State, Write, next};
use crate::model::lease::LeaseRecord;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const CANDIDATES: usize = 3;
const SEEDS: u64 = 2000;
/// Ten minutes: some tens of leaderships.
const SPAN: Duration = Duration::from_secs(600);

struct Candidate {
    state: State,
    /// When it wakes, and with what.
    due: (Duration, Event),
    /// How far its wall clock is off, in seconds.
    off: i64,
}

#[derive(Default)]
struct Store {
    past: Vec<Option<LeaseRecord>>,
    /// Writes whose sender has given up, and when they arrive nevertheless.
    late: BTreeMap<(Duration, usize), Write>,
    /// Leaderships in order, as the Lease had them.
    epochs: Vec<u64>,
}

impl Store {
    fn now(&self) -> Option<LeaseRecord> {
        self.past.last().cloned().flatten()
    }

    /// Compare and swap.
    fn put(&mut self, write: &Write) -> Option<LeaseRecord> {
        let now = self.now();
        if now.as_ref().and_then(|now| now.version.clone()) != write.record.version {
            return None;
        }
        let version = self.past.len().to_string();
        let record = LeaseRecord {
            version: Some(version),
            ..write.record.clone()
        };
        assert!(
            now.is_none_or(|now| !now.says_the_same_as(&record)),
            "a write that changes nothing is silence to the others"
        );
        if write.purpose == Purpose::Take {
            self.epochs.push(record.epoch);
        }
        self.past.push(Some(record.clone()));
        Some(record)
    }
}

/// When a candidate may act in one leadership.
#[derive(Clone, Copy, Debug)]
struct Span {
    who: usize,
    epoch: u64,
    from: Instant,
    until: Instant,
}

/// One run: when candidates may have acted, and the leaderships.
fn run(seed: u64) -> (BTreeMap<u64, Span>, Vec<u64>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let begin = Instant::now();
    let mut store = Store::default();
    let mut spans: BTreeMap<u64, Span> = BTreeMap::new();
    let mut all: Vec<Candidate> = (0..CANDIDATES)
        .map(|number| Candidate {
            state: State::new(format!("candidate-{number}")),
            due: (Duration::from_millis(random.u64(0..3000)), Event::Wake),
            off: random.i64(-100_000..100_000),
        })
        .collect();
    let mut restarts = 0_usize;
    loop {
        let number = (0..CANDIDATES)
            .min_by_key(|number| all[*number].due.0)
            .unwrap_or_default();
        let (now, event) = (all[number].due.0, all[number].due.1.clone());
        if now > SPAN {
            return (spans, store.epochs);
        }
        while let Some(entry) = store.late.first_entry().filter(|entry| entry.key().0 <= now) {
            let write = entry.remove();
            store.put(&write);
        }
        if random.u32(0..100) < 3 {
            all[number].off += random.i64(-7200..7200);
        }
        let wall = Timestamp::from_second(1_800_000_000 + all[number].off).unwrap_or(Timestamp::UNIX_EPOCH);
        let moment = Moment {
            at: begin + now,
            wall,
        };
        let (state, action) = next(&all[number].state, event, moment);
        all[number].state = state;
        let at = begin + now;
        let term = all[number].state.term();
        // What it led until now and does not lead any more has ended, at the latest now: it says so, or has nothing to do any more.
        for span in spans.values_mut().filter(|span| span.who == number) {
            if term.is_none_or(|term| term.epoch != span.epoch) {
                span.until = span.until.min(at);
            }
        }
        if let Some(term) = term {
            let (epoch, until) = (term.epoch, term.valid_until);
            let first = Span {
                who: number,
                epoch,
                from: at,
                until,
            };
            let span = spans.entry(epoch).or_insert(first);
            assert_eq!(span.who, number, "COUCHESTOR_SEED={seed}: two of epoch {epoch}");
            span.until = until;
        }
        // A pause of the whole process, sometimes past its lease; before the call or after it.
        let stopped = match random.u32(0..100) {
            0 => Duration::from_secs(random.u64(10..40)),
            _ => Duration::ZERO,
        };
        let took = Duration::from_millis(random.u64(1..200));
        let (wait, event) = match action {
            Action::Read => (took, read(&store, &mut random)),
            Action::Survey => (
                took,
                Event::Surveyed(store.epochs.iter().copied().max().unwrap_or_default()),
            ),
            Action::Write(write) => (took, wrote(&mut store, write, now + stopped + took, &mut random)),
            Action::Pause(pause) => (pause + pause * random.u32(0..21) / 100, Event::Wake),
            Action::Done => {
                restarts += 1;
                all[number].state = State::new(format!("candidate-{number}-{restarts}"));
                (took, Event::Wake)
            }
        };
        let released = event == Event::Wake && random.u32(0..200) == 0;
        let event = if released { Event::Release } else { event };
        // A call is given up after five seconds, whatever it would have answered.
        all[number].due = (now + wait + stopped, event);
    }
}

fn read(store: &Store, random: &mut fastrand::Rng) -> Event {
    let back = match random.u32(0..100) {
        0..10 => return Event::NotRead,
        10..25 => random.usize(1..4),
        _ => 0,
    };
    let index = store.past.len().checked_sub(1 + back);
    Event::Read(index.map_or_else(|| store.now(), |index| store.past[index].clone()))
}

fn wrote(store: &mut Store, write: Write, at: Duration, random: &mut fastrand::Rng) -> Event {
    match random.u32(0..100) {
        // The request never arrived, or arrives when nobody waits for it any more.
        0..8 => Event::Unclear(write),
        8..14 => {
            let late = at + Duration::from_millis(random.u64(0..20_000));
            let count = store.late.len();
            store.late.insert((late, count), write.clone());
            Event::Unclear(write)
        }
        // It was done, and the answer got lost.
        14..24 => {
            store.put(&write);
            Event::Unclear(write)
        }
        _ => match store.put(&write) {
            Some(record) => Event::Wrote(write, record),
            None => Event::Refused(write.purpose),
        },
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a seed to play again")]
fn no_two_candidates_ever_may_act_at_once_and_epochs_strictly_rise() {
    let base: u64 = std::env::var("COUCHESTOR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1);
    let (mut leaderships, mut changes) = (0, 0);
    for seed in base..base + SEEDS {
        let (spans, epochs) = run(seed);
        assert!(
            epochs.is_sorted_by(|before, after| before < after),
            "COUCHESTOR_SEED={seed}: {epochs:?}"
        );
        let mut by_time: Vec<Span> = spans.into_values().collect();
        by_time.sort_by_key(|span| (span.from, span.until));
        for pair in by_time.windows(2) {
            assert!(
                pair[0].until <= pair[1].from && pair[0].epoch < pair[1].epoch,
                "COUCHESTOR_SEED={seed}: {pair:?}"
            );
        }
        leaderships += by_time.len();
        changes += by_time
            .windows(2)
            .filter(|pair| pair[0].who != pair[1].who)
            .count();
    }
    #[expect(clippy::print_stderr, reason = "a test says what it saw")]
    {
        eprintln!("{leaderships} leaderships, {changes} changes of the leader, in {SEEDS} runs of {SPAN:?}");
    }
    assert!(changes > 1000, "the leader hardly ever changed: {changes}");
}
