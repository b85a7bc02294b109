//! Leadership: one of several controllers acts at a time, by a Kubernetes Lease, and each leadership has a number, its epoch.
//!
//! Two things keep two controllers apart, and only the second is safety:
//!
//! 1. **Time.** A leader may act until [`valid_until`](crate::ha::Term::valid_until), which lies before the moment at which another may take the Lease. Both
//!    are measured on each machine's own monotonic clock; clocks of two machines are never compared. A machine whose monotonic clock
//!    stands still while it is suspended, or that is paused between the check and the call, can act later than it thinks.
//! 2. **The epoch.** It is `spec.leaseTransitions` of the Lease, raised by compare-and-swap, so no two leaderships share one. It stands
//!    in what they write (the journal of each migration, `status.epoch` of each PolicySource, the audit commits), and a controller that
//!    finds a higher one than its own stops.
//!
//! The epoch is not written onto applied objects: it changes with each start, so each start would change every object, and an
//! unchanged repository would not cost nothing any more. It is written once for each source and leadership instead, into the status of
//! the PolicySource, by compare-and-swap and before the first apply: an earlier leader's next status write then conflicts, and on reading
//! again it finds the higher epoch. Between that and its last write, time alone stands: each write checks the term right before it is
//! made, and what it applies is what the verified tree says, so a late apply is set right by the next comparison.
//!
//! Calls to a storage engine that take no condition stay the rest: one that a paused leader had checked, but not yet sent, can arrive
//! after the lease. They are bounded by a timeout that ends before the lease does, and the next leader reads before it acts.

use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Who may take the Lease when. Pure.
pub mod elector;

/// The loop around it.
mod candidate;

pub use candidate::{Candidate, LeaseStore, StoreError, take_epoch};

/// For how long others leave a Lease alone after it was seen to change: client-go's default for Kubernetes' own controllers.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// For how long a leader acts after its last renewal: client-go's default. The five seconds up to the lease's end are for calls that are
/// under way, and for clocks that do not tick alike.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// How often the Lease is renewed or looked at: client-go's default; four renewals may fail in a row.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// What a pause is stretched by at most, in percent, so that candidates do not ask at the same moments: client-go's factor 1.2 for
/// acquiring.
const JITTER_PERCENT: u64 = 20;

/// How long before the lease's end a call must have ended.
const CALL_MARGIN: Duration = Duration::from_secs(1);

/// A leadership, as long as it is known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its number.
    pub epoch: u64,
    /// Nothing new is begun from here on.
    pub valid_until: Instant,
    /// Others may take the Lease from here on, at the earliest.
    pub ends: Instant,
}

/// What a candidate knows of the Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Our leadership, when we lead. It ends at its time even if nobody says so.
    pub term: Option<Term>,
    /// Who leads, as last seen.
    pub holder: Option<String>,
    /// Whether the Lease can be read, so that we could take it.
    pub able: bool,
}

/// A leadership as the turn sees it: its number, and whether it still holds.
#[derive(Clone, Debug)]
pub struct Leadership {
    epoch: u64,
    /// `None`: nobody else is expected, and it holds for as long as the process lives.
    standing: Option<watch::Receiver<Standing>>,
}

impl Leadership {
    /// The leadership of a controller that runs without election.
    pub fn unguarded(epoch: u64) -> Self {
        Self {
            epoch,
            standing: None,
        }
    }

    /// The present leadership of a candidate, when it leads.
    pub fn of(standing: &watch::Receiver<Standing>) -> Option<Self> {
        let term = standing.borrow().term?;
        let leadership = Self {
            epoch: term.epoch,
            standing: Some(standing.clone()),
        };
        leadership.still_leading().then_some(leadership)
    }

    /// Its number: higher than that of each leadership before.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    fn term(&self) -> Option<Term> {
        let standing = self.standing.as_ref()?;
        let term = standing.borrow().term;
        term.filter(|term| term.epoch == self.epoch)
    }

    /// Until when something may be begun; `None` without election.
    pub fn valid_until(&self) -> Option<Instant> {
        // A term that is over was valid until some time before now.
        self.standing.as_ref()?;
        Some(self.term().map_or_else(Instant::now, |term| term.valid_until))
    }

    /// Whether something may be begun now.
    pub fn still_leading(&self) -> bool {
        self.left().is_some()
    }

    /// How long a call that begins now may take; `None` when none may begin.
    pub fn left(&self) -> Option<Duration> {
        if self.standing.is_none() {
            return Some(Duration::MAX);
        }
        let (term, now) = (self.term()?, Instant::now());
        (now < term.valid_until)
            .then(|| (term.ends - CALL_MARGIN).saturating_duration_since(now))
            .filter(|left| !left.is_zero())
    }

    /// Resolves when it is over; never without election.
    pub async fn lost(&self) {
        let Some(mut standing) = self.standing.clone() else {
            return std::future::pending().await;
        };
        while let Some(term) = self.term().filter(|_| self.still_leading()) {
            tokio::select! {
                () = tokio::time::sleep_until(term.valid_until.into()) => {}
                changed = standing.changed() => {
                    if changed.is_err() {
                        // The candidate has ended: what it said last holds until its time.
                        tokio::time::sleep_until(term.valid_until.into()).await;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod simulation;
