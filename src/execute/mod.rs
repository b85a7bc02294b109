//! Carries approved moves out: one journalled step after the other, through the same door after a crash as before.
//!
//! Each turn advances every unfinished migration as far as it goes without waiting. There are no background tasks: what
//! a migration has done and is about to do stands in its VolumeMigration, and nowhere else.

/// What is legal and what comes next. Pure.
pub mod journal;

/// Whether a volume may be touched, and whether a copy may go. Pure.
mod safety;

/// How the engine is brought to do what is meant. Pure.
mod steering;

/// Reads, writes the intent, acts, reads again.
pub mod engine;

/// From an approved move to a VolumeMigration.
pub mod start;

/// Cordons that nobody speaks for. Pure.
pub mod sweep;

/// Restore drills. Pure.
pub mod drill;

/// Restores that people ask for. Pure.
pub mod restore;

/// Moves of workloads onto another class.
pub mod workload_move;

#[cfg(test)]
mod fake;

#[cfg(test)]
mod tests;
