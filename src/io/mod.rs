//! The outside world, one thing per file; each file hides its client crate.

/// Git over libgit2: list, fetch, read blobs, commit, push.
pub mod git;

/// GitHub, GitLab, Gitea and Forgejo: pull requests.
pub mod forge;

/// Webhooks of forges: hints to fetch now.
pub mod webhook;

/// The Kubernetes API.
pub mod cluster;

/// Prometheus' query API.
pub mod prometheus;

/// Mayastor's REST API.
pub mod mayastor;

/// Whether anything may be changed now.
pub mod guard;

/// Velero's objects: what backups hold.
pub mod velero;

/// Longhorn's custom resources.
pub mod longhorn;

/// Restore drills with Velero.
pub mod drills;

/// Restores that people ask for.
pub mod restores;

/// What those and moves of workloads share.
mod hands;

/// Moves of workloads onto another class.
pub mod workload_moves;

/// Clusters of CloudNativePG, whose operator makes instances anew.
pub mod cnpg;

/// The wall clock.
pub mod clock;
