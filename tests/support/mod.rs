//! What tests share: real servers, built on first use, and folders with what they need.

/// Builds servers from their Go modules and finds them again.
pub mod servers;

/// A real Kubernetes API server with etcd.
pub mod cluster;

/// A controller in this process that follows a repository.
pub mod follow;
