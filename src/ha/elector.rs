//! Who may take the Lease when, and what a candidate does next. No clock, no waiting, no client: times come with the events.

use super::{LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD, Term};
use crate::model::lease::LeaseRecord;
use jiff::{SignedDuration, Timestamp};
use std::time::{Duration, Instant};

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// On the monotonic clock: what is decided by.
    pub at: Instant,
    /// On the wall clock: what people read in the Lease.
    pub wall: Timestamp,
}

/// What a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A new leadership.
    Take,
    /// The same goes on.
    Renew,
    /// Somebody else may lead at once.
    Release,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The pause is over.
    Wake,
    /// The Lease was read; `None`: there is none.
    Read(Option<LeaseRecord>),
    /// The highest epoch that stands in anything that a leader wrote.
    Surveyed(u64),
    /// The Lease or the epochs could not be read.
    NotRead,
    /// A write was done.
    Wrote(Write, LeaseRecord),
    /// A write was not done: somebody else was first, or it is not allowed.
    Refused(Purpose),
    /// A write may have been done or not.
    Unclear(Write),
    /// The process ends.
    Release,
}

/// A write of the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What for.
    pub purpose: Purpose,
    /// What the Lease will say; its version is the one that it must have until then.
    pub record: LeaseRecord,
    /// When it was decided, which is before it is sent: a term is counted from here.
    pub decided: Instant,
}

/// What to do next; the answer is the next event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the Lease.
    Read,
    /// Find the highest epoch that stands in anything that a leader wrote.
    Survey,
    /// Write the Lease.
    Write(Write),
    /// Wait for about so long.
    Pause(Duration),
    /// Nothing any more.
    Done,
}

/// What a candidate knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    me: String,
    /// The Lease as last seen, and since when it has said that.
    seen: Option<(Option<LeaseRecord>, Instant)>,
    term: Option<Term>,
    /// A write of which we do not know whether it was done.
    doubt: Option<Write>,
    /// What our last draft said of its time: no two drafts are equal, so that what is found can be told from what was sent before.
    drafted: Option<Timestamp>,
    /// Whether the Lease must be read before it is written again.
    reread: bool,
    releasing: bool,
}

impl State {
    /// Of a candidate that has seen nothing yet. No other may ever have the same name.
    pub fn new(me: String) -> Self {
        Self {
            me,
            seen: None,
            term: None,
            doubt: None,
            drafted: None,
            reread: true,
            releasing: false,
        }
    }

    /// Our leadership, when we have one.
    pub fn term(&self) -> Option<Term> {
        self.term
    }

    /// Who leads, as last seen.
    pub fn holder(&self) -> Option<&str> {
        self.record()?.holder.as_deref()
    }

    fn record(&self) -> Option<&LeaseRecord> {
        self.seen.as_ref()?.0.as_ref()
    }

    fn is_mine(&self) -> bool {
        self.holder() == Some(self.me.as_str())
    }

    /// Whether the Lease may be taken: nobody has it, it is ours from a leadership that we lost, or it has not changed for as long as
    /// its holder asked for.
    fn is_free(&self, now: Instant) -> bool {
        let Some((record, since)) = &self.seen else {
            return false;
        };
        let Some(record) = record else { return true };
        match &record.holder {
            None => true,
            Some(_) if self.is_mine() => true,
            Some(_) => now.saturating_duration_since(*since) >= record.duration.max(LEASE_DURATION),
        }
    }

    fn see(&mut self, found: Option<LeaseRecord>, now: Instant) {
        let same = match (&self.seen, &found) {
            (Some((Some(before), _)), Some(found)) => before.says_the_same_as(found),
            (Some((None, _)), None) => true,
            _ => false,
        };
        let since = self.seen.as_ref().map(|(_, since)| *since);
        self.seen = Some((found, since.filter(|_| same).unwrap_or(now)));
    }

    fn write(&mut self, purpose: Purpose, epoch: u64, now: Moment) -> Action {
        let before = self.record().cloned().unwrap_or_default();
        // A write that changes nothing leaves the resourceVersion as it is, and others would take it for silence: a clock that stands
        // still or is set back must not do that.
        // Nor may two drafts be equal: a lost one that arrives late would be taken for the later one, whose term ends later.
        let after = before
            .renewed
            .max(self.drafted)
            .and_then(|at| at.checked_add(SignedDuration::from_micros(1)).ok());
        let wall = Timestamp::from_microsecond(now.wall.as_microsecond()).unwrap_or(now.wall);
        let renewed = after.map_or(wall, |after| after.max(wall));
        self.drafted = Some(renewed);
        let acquired = match purpose {
            Purpose::Take => Some(renewed),
            Purpose::Renew | Purpose::Release => before.acquired,
        };
        Action::Write(Write {
            purpose,
            record: LeaseRecord {
                holder: (purpose != Purpose::Release).then(|| self.me.clone()),
                epoch,
                duration: LEASE_DURATION,
                acquired,
                renewed: Some(renewed),
                version: before.version,
            },
            decided: now.at,
        })
    }

    /// A write of ours is known to be done.
    fn done(&mut self, write: &Write, written: LeaseRecord, now: Moment) -> Action {
        self.see(Some(written), now.at);
        self.reread = false;
        let epoch = write.record.epoch;
        match write.purpose {
            Purpose::Release => return Action::Done,
            // The leadership that it renews was over before its answer came; the next one has its own number.
            Purpose::Renew if self.term.is_none_or(|term| term.epoch != epoch) => {
                self.reread = true;
                return self.rest();
            }
            Purpose::Take | Purpose::Renew => {}
        }
        let term = Term {
            epoch,
            valid_until: write.decided + RENEW_DEADLINE,
            ends: write.decided + LEASE_DURATION,
        };
        self.term = Some(term).filter(|term| now.at < term.valid_until);
        if self.releasing {
            return self.release(now);
        }
        Action::Pause(RETRY_PERIOD)
    }

    fn rest(&self) -> Action {
        if self.releasing {
            Action::Done
        } else {
            Action::Pause(RETRY_PERIOD)
        }
    }

    fn release(&mut self, now: Moment) -> Action {
        // Nothing is done in this leadership any more from the moment at which others may hear that it is over.
        match self.term.take() {
            Some(term) => self.write(Purpose::Release, term.epoch, now),
            None => Action::Done,
        }
    }

    fn read(&mut self, found: Option<LeaseRecord>, now: Moment) -> Action {
        self.see(found, now.at);
        let doubt = self.doubt.take();
        self.reread = false;
        if let (Some(write), Some(found)) = (&doubt, self.record().cloned())
            && found.says_the_same_as(&write.record)
        {
            return self.done(write, found, now);
        }
        if let Some(term) = self.term {
            match self.record() {
                Some(record) if self.is_mine() && record.epoch == term.epoch => {
                    if self.releasing {
                        return self.release(now);
                    }
                    // One that was in doubt was not done yet: after the pause it is tried again.
                    return match doubt {
                        Some(_) => self.rest(),
                        None => self.write(Purpose::Renew, term.epoch, now),
                    };
                }
                // Older than what we wrote ourselves: an answer out of a cache.
                Some(record) if record.epoch < term.epoch => {
                    self.reread = true;
                    return self.rest();
                }
                _ => self.term = None,
            }
        }
        if self.releasing {
            return Action::Done;
        }
        match doubt {
            None if self.is_free(now.at) => Action::Survey,
            _ => self.rest(),
        }
    }
}

/// What a candidate does after an event, and what it knows then. Every way from a pause to the next holds a bounded number of requests.
pub fn next(state: &State, event: Event, now: Moment) -> (State, Action) {
    let mut state = state.clone();
    if state.term.is_some_and(|term| now.at >= term.valid_until) {
        state.term = None;
    }
    let action = match event {
        Event::Wake => match state.term {
            Some(term) if !state.reread => state.write(Purpose::Renew, term.epoch, now),
            _ => Action::Read,
        },
        Event::Read(found) => state.read(found, now),
        Event::Surveyed(floor) => {
            let epoch = state.record().map_or(0, |record| record.epoch).max(floor);
            match state.is_free(now.at) && !state.releasing {
                true => state.write(Purpose::Take, epoch.saturating_add(1), now),
                false => state.rest(),
            }
        }
        Event::NotRead => {
            state.reread = true;
            state.rest()
        }
        Event::Wrote(write, written) => state.done(&write, written, now),
        Event::Refused(_) => {
            state.reread = true;
            state.rest()
        }
        Event::Unclear(write) => {
            state.doubt = Some(write);
            state.reread = true;
            match state.releasing {
                true => Action::Done,
                false => Action::Read,
            }
        }
        Event::Release => {
            state.releasing = true;
            match state.reread && state.term.is_some() {
                true => Action::Read,
                false => state.release(now),
            }
        }
    };
    (state, action)
}

#[cfg(test)]
mod tests;
