//! The one integration binary; each module below makes claims about one part, against real servers where one can run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests start programs, read the environment and stop at the first surprise"
)]

/// The rules of the house.
mod tidy;

/// Real servers, and what else tests share.
mod support;

/// Committed files that the binary writes.
mod generated;

/// The examples, against kustomize.
mod examples;

/// The controller: the whole loop, killed and restarted.
mod command_line;
mod controller;

/// The controller, killed at random.
mod killed;

/// Two controllers, of which one acts.
mod leadership;

/// Who does not lead changes nothing.
mod guarded;

/// Restore drills.
mod drills;

/// Phases that open on evidence.
mod rollouts;

/// Restores that people ask for.
mod restores;

/// People hold, cancel and retry moves.
mod upper_hand;

/// The migration engine under every fault.
mod engine;

/// Which volumes backups hold.
mod coverage;

/// An unchanged tip costs nothing.
mod unchanged;

/// Mistakes are named.
mod mistakes;
mod monitoring;

/// Files of the real sops command.
mod sops_real;

/// The simulated and the real API server give the same answers.
mod contract;

/// Hostile folders.
mod hostile;

/// Hostile commits.
mod hostile_git;

/// Mutated inputs.
mod fuzz;

/// YAML, against kubectl.
mod yaml_real;

/// Git against real remotes.
mod git_remote;

/// Ten thousand files, five thousand commits.
mod large_repository;

/// Which commit brought which file.
mod provenance;

/// Clones that lost objects.
mod damaged_clone;

/// Commits and tags signed by the real tools.
mod signatures;

/// Sources that demand signatures.
mod verification;

/// Overlays, compared with the real kustomize.
mod overlay_real;

/// Pull requests on every forge.
mod forges;

/// The life of a proposal.
mod proposals;

/// Plans on pull requests.
mod reviews;

/// Longhorn: moves of its volumes, on the simulated and on the real API server.
mod longhorn;

/// Webhooks of forges.
mod webhooks;

/// Moves of workloads onto another class.
mod workload_moves;

/// Branches, tags, ranges, references, commits.
mod references;

/// Bounds are named.
mod bounds;

/// What was encrypted stays unsaid.
mod canaries;

/// `couchestor secrets`.
mod schema;
mod secrets;

/// What policies would have done, out of a real Prometheus.
mod backtest;

/// Several Prometheus servers.
mod preference;

/// From files and claims to what becomes of a volume.
mod verdicts;

/// Backups, in a real Velero.
mod velero;

/// What Flux delivers.
mod flux;

/// Manifests by pull request.
mod delivery;
