//! Manifests that are delivered by pull request: which files, and what of them is ours.

use super::diagnostic::Place;
use super::kinds::policy_source::Inventory;
use std::collections::{BTreeMap, BTreeSet};

/// Where manifests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The folder, from the root of the repository, without slashes at its ends.
    pub path: String,
    /// The branch.
    pub branch: String,
}

/// A file as it should lie in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its bytes. Nothing in them was decrypted.
    pub content: Vec<u8>,
    /// What it holds, as people are told.
    pub what: String,
}

/// All that is delivered, by the path below the folder; without the kustomization, which also lists what is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifests {
    /// The files.
    pub files: BTreeMap<String, Manifest>,
    /// The objects in them.
    pub inventory: Inventory,
}

/// An object that cannot be delivered. No text of what was encrypted stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeliverable {
    /// Where it comes from.
    pub place: Place,
    /// Why not, and what to do.
    pub why: String,
}

/// What lies in the folder already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Every file, by the path below the folder, with the name of its content (see [`super::ids::BlobId`]).
    pub files: BTreeMap<String, String>,
    /// Those that couchestor has written there.
    pub ours: BTreeSet<String>,
}
