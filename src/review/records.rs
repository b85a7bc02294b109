//! What is remembered of pull requests, and which of them are looked at.

use crate::model::ids::{CommitId, hex};
use crate::model::kinds::review::ReviewStatus;
use crate::model::pull_request::PullRequest;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// Pull requests that are remembered, and of the open ones the newest that are looked at: some 40 kB of status.
pub const REVIEWS_MAX: usize = 100;

/// Pull requests that are looked at in one turn; the others wait for the next.
pub const PER_TURN_MAX: usize = 20;

/// Forges count in seconds: what happened within so many of the list may have happened after it.
const SETTLED: SignedDuration = SignedDuration::from_secs(3);

/// A pull request that nobody looked at yet.
pub fn new(pull: &PullRequest) -> ReviewStatus {
    ReviewStatus {
        number: pull.number,
        url: pull.url.clone(),
        ..ReviewStatus::default()
    }
}

/// Whether a plan is missing, or speaks of another head or base.
pub fn is_stale(record: &ReviewStatus, pull: &PullRequest, base: &CommitId) -> bool {
    record.said.is_empty() || record.head != pull.head_sha.as_str() || record.base != base.as_str()
}

/// Whether there may be comments that nobody looked at.
pub fn has_news(record: &ReviewStatus, pull: &PullRequest) -> bool {
    let seen = record.seen.parse::<Timestamp>().ok();
    seen.is_none_or(|seen| seen < pull.updated_at)
}

/// Up to when the comments of a pull request are known, once they were read.
pub fn seen(pull: &PullRequest, now: Timestamp) -> String {
    let settled = now.duration_since(pull.updated_at) >= SETTLED;
    let seen = match settled {
        true => pull.updated_at,
        false => pull.updated_at - SignedDuration::from_secs(1),
    };
    seen.to_string()
}

/// For how long nothing is said on a pull request where the forge refused that, in seconds.
const REST_SECS: i64 = 900;

/// Whether the forge refused lately what was to be said there.
pub fn rests(record: &ReviewStatus, now: Timestamp) -> bool {
    let until = record.not_before.as_ref();
    until
        .and_then(|until| until.parse::<Timestamp>().ok())
        .is_some_and(|until| now < until)
}

/// When what was refused is tried again.
pub fn later(now: Timestamp) -> Option<String> {
    let later = now.checked_add(SignedDuration::from_secs(REST_SECS)).ok()?;
    Some(later.to_string())
}

/// Puts a record in its place, or behind the others.
pub fn put(records: &mut Vec<ReviewStatus>, record: ReviewStatus) {
    match records.iter_mut().find(|known| known.number == record.number) {
        Some(known) => *known = record,
        None => records.push(record),
    }
}

/// Forgets the oldest beyond the bound.
pub fn bound(records: &mut Vec<ReviewStatus>) {
    records.sort_by_key(|record| record.number);
    let surplus = records.len().saturating_sub(REVIEWS_MAX);
    records.drain(..surplus);
}

/// A hash of what is said.
pub fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize()[..8])
}
