//! What tests share: real servers, built on first use, and folders with what they need.

/// Builds servers from their Go modules and finds them again.
pub mod servers;

/// A real Kubernetes API server with etcd.
pub mod cluster;

/// A controller in this process that follows a repository.
pub mod follow;

/// Velero's kinds, where Velero is played.
pub mod velero_played;

/// Approved moves.
pub mod moves;

/// What cuts a server off.
pub mod door;

/// What kills a process by its own requests.
pub mod gate;

/// A real Gitea.
pub mod gitea;

/// Repositories of any size.
pub mod import;

/// Says something to whoever runs the tests; the macros that print are silent in a test that passes.
pub fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "\n{text}");
}

/// The seed of a test that makes things up: `COUCHESTOR_SEED` when it is set.
pub fn seed(of: &str) -> u64 {
    let fixed = std::env::var("COUCHESTOR_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = fixed.unwrap_or_else(|| fastrand::u64(0..1 << 40));
    say(&format!("{of}: seed {seed} (COUCHESTOR_SEED={seed} repeats it)"));
    seed
}

/// Secrets that must not come out again.
pub mod canary;

/// Encrypted files.
pub mod seal;

/// The line by itself.
pub mod line;

/// Whether servers answer yet.
pub mod ready;

/// Keys of OpenPGP.
pub mod gpg;

/// A real Prometheus with recorded series.
pub mod prometheus;

/// Objects of an API server, as JSON.
pub mod objects;

/// A real S3 server.
pub mod s3;

/// What nodes do, played.
pub mod kubelet;

/// Programs that end with their owner.
pub mod watched;

/// A real Velero.
pub mod velero;

/// Flux's real kustomize-controller.
pub mod flux;
