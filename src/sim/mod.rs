//! Simulated servers that speak the real protocols over loopback, for what no test can start: used by `demo`,
//! `simulate` and the fault tests through the same clients that the controller uses.

/// A Kubernetes API server.
pub mod kubernetes;

/// GitHub and GitLab.
pub mod forge;

/// Mayastor's control plane.
pub mod mayastor;

/// Longhorn's controllers.
pub mod longhorn;

/// Prometheus' query API.
pub mod prometheus;

/// A world file, from which all of them are started.
pub mod world;
