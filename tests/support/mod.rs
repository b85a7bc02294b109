//! What tests share: real servers, built on first use, and folders with what they need.

/// Builds servers from their Go modules and finds them again.
pub mod servers;

/// A real Kubernetes API server with etcd.
pub mod cluster;

/// Secrets that must not come out again.
pub mod canary;
