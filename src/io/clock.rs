//! The only place that reads the wall clock; everything else is handed a [`jiff::Timestamp`].

/// Returns the current time, whole seconds: nothing that couchestor writes down is finer.
#[expect(clippy::disallowed_methods, reason = "this file is where the clock is read")]
pub fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now)
}
