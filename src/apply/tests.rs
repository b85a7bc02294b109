//! Claims about applying, against the simulated API server; `tests/apply.rs` repeats the main ones on the real one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
