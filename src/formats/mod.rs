//! File formats, each usable by itself and each pure: text in, values and positions out.

/// YAML as kubectl reads it, with the place of every value, and edits that keep all other bytes.
pub mod yaml;

/// SOPS documents encrypted to age recipients.
pub mod sops;

/// Folders and `kustomization.yaml`: which files belong together, and how they change each other.
pub mod overlay;

/// Regular expressions.
pub mod pattern;

/// Cron expressions as Velero reads them.
pub mod cron;

/// Kubernetes quantities (`10Gi`, `500m`).
pub mod quantity;

/// Go durations (`1h30m`), the only ones that Kubernetes and Velero read.
pub mod duration;

/// Signatures of Git commits and tags.
pub mod signature;

/// Ranges of semantic versions, as Flux selects tags with them.
pub mod version_range;

/// What a source follows: its branch, a tag, a range of versions, a reference or a commit.
pub mod follow;

/// Signatures of webhooks.
pub mod webhook;

/// Flux's post-build substitution.
pub mod substitute;

/// Names of container images.
pub mod image;
