//! couchestor keeps a cluster's storage as a Git repository says, and asks by pull request before it moves data.
//!
//! ```text
//!   policy repository (Git)                                   the cluster
//!  ┌───────────────────────────┐  fetch, decrypt, parse   ┌──────────────────────────────┐
//!  │ tiers, policies, backups  │ ───────────────────────▶ │ StorageClasses, Schedules,   │
//!  │ assignments: claim → tier │  render, apply           │ status, Mayastor replicas    │
//!  └────────────▲──────────────┘                          └──────────────┬───────────────┘
//!               │ a person merges                                        │ observe: heat, placement, room
//!         proposal branch  ◀──────── propose ◀──────── decide ◀──────────┘
//!               │ merged = approved
//!               └──────────▶ execute (journalled) ──────▶ record (status, events, audit branch)
//! ```
//!
//! # Where things are
//!
//! Read [`turn`] first: it is the whole controller on a page. Then [`model`], the nouns that travel between the stages.
//! The modules below stand in reading order.
//!
//! # The rule
//!
//! 1. Stages never import stages. They meet in [`turn`] only, through [`model`].
//! 2. [`model`], [`parse`], [`decide`], [`render`], [`review`], [`formats`] and `execute::journal` are pure: no async, no clock, no
//!    randomness, no environment, no logging, no client. They return reports.
//! 3. An outside client crate is named in one file of [`io`].
//! 4. [`ha`] and [`sim`] never import a stage; traits between houses are implemented in [`wiring`].
//! 5. Deciding takes `now` and returns the plan together with the reasons for all that it left alone.
//! 6. Nothing but [`parse`] can make an [`model::approval::Approved`]: authority to move data is a value, read from Git.
//!
//! `tests/tidy.rs` and the bans of `.clippy.toml` hold these rules.
//!
//! # Where a change goes
//!
//! | you want to | go to |
//! | --- | --- |
//! | add a field to a kind | [`model::kinds`], then `couchestor crds` and `couchestor schema` |
//! | refuse a mistake in a policy file | [`parse`] |
//! | read another file format or overlay feature | [`formats`] |
//! | change what is proposed, or why not | [`decide`] |
//! | change an object, a branch or a text that we write | [`render`] |
//! | change what is found out about a pull request | [`review`], `turn/planning.rs` |
//! | talk to another server | a new file in [`io`] and, if tests cannot start it, in [`sim`] |
//! | change how data is moved | `execute::journal` (what is legal), `execute::engine` (what is done) |
//! | change who leads when | [`ha`], `wiring/leadership.rs`; what may be done then: [`io::guard`] |
//! | add a command or a flag | [`cli`] |

/// The line: every stage in order, and nothing else.
pub mod turn;

/// The nouns that travel between stages.
pub mod model;

/// Git repository → [`model::tree::Checkout`].
pub mod fetch;

/// [`model::tree::Checkout`] → [`model::tree::ClearTree`].
pub mod decrypt;

/// [`model::tree::ClearTree`] → [`model::desired::Desired`] and diagnostics. Pure.
pub mod parse;

/// The world → one dated [`model::observation::Observation`].
pub mod observe;

/// Desired and observed → [`model::decision::Decision`] and the reasons for the rest. Pure.
pub mod decide;

/// Decisions and desires → exact bytes. Pure.
pub mod render;

/// A pull request → what merging it would change. Pure.
pub mod review;

/// Objects → the cluster, server-side, only what differs.
pub mod apply;

/// Rendered proposals → branches.
pub mod propose;

/// Approved moves → journalled steps against the storage engine.
pub mod execute;

/// Outcomes → status, events, metrics and the audit branch.
pub mod record;

/// File formats, each usable by itself. Pure.
pub mod formats;

/// The outside world, one thing per file.
pub mod io;

/// Leadership: who may act, and in which epoch.
pub mod ha;

/// Simulated servers that speak the real protocols over loopback.
pub mod sim;

/// What policies would have done with recorded load. Pure.
pub mod backtest;

/// Logging and metrics.
pub mod telemetry;

/// Puts clients, stages and loops together.
pub mod wiring;

/// What a user types.
pub mod cli;

/// Secrets that tests plant and look for in what comes out.
#[cfg(test)]
#[path = "../tests/support/canary.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::new_without_default,
    reason = "it is written for the integration tests"
)]
mod canary;
