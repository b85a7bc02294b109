//! How often a forge may be asked: what it said about that, our own bound on writes, and what was asked so far.

use super::ForgeError;
use crate::model::pull_request::ForgeKind;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is waited when a forge refuses without saying how long (docs.github.com, "Rate limits for the REST API": at least
/// one minute).
const UNSAID: SignedDuration = SignedDuration::from_secs(60);

/// GitHub's window is an hour; a forge that asks for more than this is not believed.
const WAIT_MAX: SignedDuration = SignedDuration::from_hours(2);

/// What was asked of a forge, ever, and what it still allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Reads.
    pub reads: u64,
    /// Reads that were answered with "unchanged", which costs nothing on GitHub.
    pub unchanged: u64,
    /// Writes.
    pub writes: u64,
    /// Refusals because of a limit.
    pub limited: u64,
    /// Requests without a whole answer.
    pub failed: u64,
    /// What the forge still allows in this window, if it says so.
    pub remaining: Option<u64>,
    /// Before when nothing is asked.
    pub not_before: Option<Timestamp>,
}

/// What is counted.
pub(super) enum Count {
    Read,
    Unchanged,
    Write,
    Limited,
    Failed,
}

/// The counters.
#[derive(Default)]
pub(super) struct Counts {
    reads: AtomicU64,
    unchanged: AtomicU64,
    writes: AtomicU64,
    limited: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    pub(super) fn add(&self, what: Count) {
        let counter = match what {
            Count::Read => &self.reads,
            Count::Unchanged => &self.unchanged,
            Count::Write => &self.writes,
            Count::Limited => &self.limited,
            Count::Failed => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self, gate: &Gate) -> Requests {
        Requests {
            reads: self.reads.load(Ordering::Relaxed),
            unchanged: self.unchanged.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            limited: self.limited.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            remaining: gate.remaining,
            not_before: gate.not_before,
        }
    }
}

/// Whether a request may go out now.
#[derive(Default)]
pub(super) struct Gate {
    not_before: Option<Timestamp>,
    remaining: Option<u64>,
    /// The minute that writes are counted in, by its first second.
    minute: Option<Timestamp>,
    written: u32,
}

fn number(headers: &HeaderMap, names: &[&str]) -> Option<i64> {
    names
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok()?.trim().parse().ok())
}

/// `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    if let Some(seconds) = number(headers, &["retry-after"]) {
        // Our clock shows whole seconds, so that one may be almost over.
        return Some(now + SignedDuration::from_secs(seconds.clamp(0, WAIT_MAX.as_secs()) + 1));
    }
    let text = headers.get("retry-after")?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp())
}

fn reset(headers: &HeaderMap) -> Option<Timestamp> {
    let at = number(headers, &["x-ratelimit-reset", "ratelimit-reset"])?;
    Timestamp::from_second(at).ok()
}

impl Gate {
    /// Lets a request pass, or says when one may.
    pub(super) fn pass(&mut self, what: &str, now: Timestamp) -> Result<(), ForgeError> {
        match self.not_before {
            Some(until) if until > now => Err(ForgeError::Limited {
                what: what.to_owned(),
                until,
                detail: "the forge asked us to wait".to_owned(),
            }),
            _ => {
                self.not_before = None;
                Ok(())
            }
        }
    }

    /// Lets a write pass: ours are bounded, so that no mistake of ours floods people.
    pub(super) fn write(&mut self, what: &str, now: Timestamp, per_minute: u32) -> Result<(), ForgeError> {
        let minute = SignedDuration::from_secs(60);
        // A clock that was set back begins a new minute, too.
        let begun = self.minute.filter(|begun| *begun <= now && now < *begun + minute);
        let begun = begun.unwrap_or_else(|| {
            self.written = 0;
            now
        });
        self.minute = Some(begun);
        if self.written >= per_minute {
            return Err(ForgeError::Limited {
                what: what.to_owned(),
                until: begun + minute,
                detail: format!("our own limit of {per_minute} writes a minute"),
            });
        }
        self.written += 1;
        Ok(())
    }

    /// Notes what an answer says about the window.
    pub(super) fn note(&mut self, kind: ForgeKind, headers: &HeaderMap, now: Timestamp) {
        let Some(remaining) = number(headers, &["x-ratelimit-remaining", "ratelimit-remaining"]) else {
            return;
        };
        self.remaining = u64::try_from(remaining).ok();
        // GitHub bans who goes on asking; the others just refuse.
        if remaining <= 0
            && kind != ForgeKind::Gitea
            && let Some(until) = reset(headers)
        {
            self.wait(until, now);
        }
    }

    /// When to ask again after a refusal, if it is one because of a limit.
    pub(super) fn refused(
        &mut self,
        status: u16,
        headers: &HeaderMap,
        words: &str,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let said = retry_after(headers, now);
        let used_up = number(headers, &["x-ratelimit-remaining", "ratelimit-remaining"]) == Some(0);
        let secondary = words.to_lowercase().contains("secondary rate limit")
            || words.to_lowercase().contains("abuse detection");
        let until = match status {
            429 => said
                .or_else(|| reset(headers).filter(|_| used_up))
                .unwrap_or(now + UNSAID),
            403 if said.is_some() || used_up || secondary => said
                .or_else(|| reset(headers).filter(|_| used_up))
                .unwrap_or(now + UNSAID),
            503 => said?,
            _ => return None,
        };
        Some(self.wait(until, now))
    }

    fn wait(&mut self, until: Timestamp, now: Timestamp) -> Timestamp {
        let until = until.clamp(now, now + WAIT_MAX);
        let until = self.not_before.map_or(until, |known| known.max(until));
        self.not_before = Some(until);
        until
    }
}

/// How long a forge may still be waited for, and how long that was in the beginning, when that is bounded.
#[derive(Default)]
pub(super) struct Patience(Mutex<Option<(Duration, Duration)>>);

impl Patience {
    pub(super) fn allow(&self, budget: Option<Duration>) {
        let mut allowed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *allowed = budget.map(|budget| (budget, budget));
    }

    /// How long the next request may take. Nothing was sent when there is no time left.
    pub(super) fn left(&self, what: &str, host: &str, timeout: Duration) -> Result<Duration, ForgeError> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(timeout),
            Some((Duration::ZERO, budget)) => Err(ForgeError::Unreachable {
                what: what.to_owned(),
                detail: format!(
                    "{host} has taken the {} s that a turn may wait for it; the next turn goes on",
                    budget.as_secs()
                ),
            }),
            Some((left, _)) => Ok(left.min(timeout)),
        }
    }

    /// Takes what a request has taken from what is allowed.
    pub(super) fn spend(&self, began: Instant) {
        let mut allowed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((left, _)) = allowed.as_mut() {
            *left = left.saturating_sub(began.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    type Pairs<'a> = &'a [(&'static str, &'a str)];

    fn headers(pairs: Pairs<'_>) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_refusal_says_until_when() {
        let secondary = "You have exceeded a secondary rate limit. Please wait";
        let reset = "1800000500";
        let date = jiff::fmt::rfc2822::to_string(&at(90).to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
        #[rustfmt::skip]
        let table: [(u16, Pairs<'_>, &str, Option<i64>); 13] = [
            (429, &[("retry-after", "30")], "", Some(31)),
            (429, &[], "", Some(60)),
            (429, &[("retry-after", &date)], "", Some(90)),
            (429, &[("ratelimit-remaining", "0"), ("ratelimit-reset", reset)], "", Some(500)),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset)], "", Some(500)),
            (403, &[("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", reset)], secondary, Some(60)),
            (403, &[("retry-after", "5")], "", Some(6)),
            (403, &[("x-ratelimit-remaining", "7")], "Resource not accessible by integration", None),
            (403, &[], "", None),
            (503, &[("retry-after", "5")], "", Some(6)),
            (503, &[], "", None),
            (422, &[("retry-after", "5")], "", None),
            (429, &[("retry-after", "999999999")], "", Some(7200)),
        ];
        for (status, pairs, words, wanted) in table {
            let mut gate = Gate::default();
            let until = gate.refused(status, &headers(pairs), words, at(0));
            assert_eq!(until, wanted.map(at), "{status} {pairs:?}");
            assert_eq!(
                gate.pass("x", at(0)).is_err(),
                wanted.is_some(),
                "{status} {pairs:?}"
            );
            if let Some(wanted) = wanted {
                assert!(gate.pass("x", at(wanted - 1)).is_err());
                assert!(gate.pass("x", at(wanted)).is_ok());
            }
        }
    }

    #[test]
    fn a_window_that_is_used_up_closes_the_gate_until_it_begins_anew() {
        let used = headers(&[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1800000100"),
        ]);
        let mut gate = Gate::default();
        gate.note(ForgeKind::Github, &used, at(0));
        let error = gate.pass("reading", at(50)).unwrap_err();
        assert_eq!(error.not_before(), Some(at(100)));
        assert!(gate.pass("reading", at(100)).is_ok());
    }

    #[test]
    fn our_own_writes_are_bounded() {
        let mut gate = Gate::default();
        for _ in 0..3 {
            gate.write("x", at(0), 3).unwrap();
        }
        let error = gate.write("x", at(59), 3).unwrap_err();
        assert_eq!(error.not_before(), Some(at(60)));
        gate.write("x", at(60), 3).unwrap();
    }
}
