//! The nouns that travel between the stages: plain data, nothing from the rest of the crate, nothing that acts.

/// Names of things, each a type of its own.
pub mod ids;

/// The custom resources as written: the only source of CRDs, JSON schemas and the parser's field lists.
pub mod kinds;

/// Text that may hold a secret.
pub mod secret;

/// What a commit holds: a listing of blobs, and then their clear text.
pub mod tree;

/// What is wrong in a file, where, and what to write instead.
pub mod diagnostic;

/// What the repository asks for, understood and validated.
pub mod desired;

/// The objects of a tree, by what they are.
pub mod resources;

/// Manifests that are delivered by pull request.
pub mod delivery;

/// Clusters of CloudNativePG, and what speaks against making their instances anew.
pub mod cnpg;

/// Restore drills as they are seen from outside.
pub mod drills;

/// Where values stand in their file.
pub mod places;

/// The policies of a revision.
pub mod policies;

/// What they select volumes by.
pub(crate) mod selectors;

/// Authority to move data, which only the verified base tree gives.
pub mod approval;

/// The storage engine's volumes, replicas, pools and nodes.
pub mod engine;

/// One dated, immutable reading of the world.
pub mod observation;

/// How it is put together.
mod joining;

/// What may be said of encrypted policies.
pub mod masked;

/// When a pin ends.
mod pin;

/// Where each claim's volume stands in it.
mod claims;

/// Loads and times as people read them.
pub mod quantities;

/// Tables that are quick.
pub(crate) mod quick;

/// A migration in brief.
pub mod migration_brief;

/// How long moves take.
pub mod pace;

/// What should happen now, and why everything else should not.
pub mod decision;

/// Exact bytes to be written: objects, files, texts.
pub mod rendering;

/// What merging a pull request would change.
pub mod review;

/// How a migration ended, as it is recorded.
pub mod outcome;

/// Pull requests as every forge knows them.
pub mod pull_request;

/// Conditions of objects.
pub mod conditions;

/// What kind of failure an error is: that decides when to try again.
pub mod failure;

/// Windows of the week.
pub mod week;

/// What backup policies promise, and what Velero says.
pub mod backups;

/// Which volumes backups hold, and what follows from it.
pub mod coverage;

/// Which phases of rollouts are open.
pub mod rollouts;

/// Which of them may be carried out.
pub mod promotions;

/// Moves of workloads that are under way.
pub mod workload_moves;

/// Restores that people ask for.
pub mod restores;

/// Volumes with what is looked at of all of them.
pub mod glance;

/// Why a volume is left alone.
pub mod why;

/// What keeps approved moves from starting.
pub mod moves;

/// Times at an even distance.
pub mod timeline;

/// The Lease of the leader election.
pub mod lease;
