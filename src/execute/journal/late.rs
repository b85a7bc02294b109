//! How long a call without an answer is waited out.

use std::time::Duration;

/// How long a call that was not clearly answered, or that an earlier leadership may have made, can still be carried out, unless the
/// operator says how long calls take.
pub const LATE_SECS: i64 = 60;

/// How many seconds a call can still be carried out after it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late(i64);

impl Default for Late {
    fn default() -> Self {
        Self(LATE_SECS)
    }
}

impl Late {
    /// Twice as long as callers wait for an answer: nothing that can be asked ends a call which the engine has begun with.
    pub fn of(timeout: Duration) -> Self {
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX / 4);
        Self(seconds.saturating_mul(2).max(1))
    }

    /// In seconds.
    pub(super) fn secs(self) -> i64 {
        self.0
    }
}
