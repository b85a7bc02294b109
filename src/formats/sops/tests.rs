//! Claims about reading SOPS; files of the real sops command are read in `tests/sops_real.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
