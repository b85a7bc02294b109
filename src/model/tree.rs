//! What a commit holds: first a listing of blobs, then the clear text of those that matter.

use super::diagnostic::Diagnostic;
use super::ids::{BlobId, CommitId, Revision};
use super::secret::SecretText;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// How Git says a tree entry is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A plain file, executable or not.
    File,
    /// A symbolic link: refused wherever a policy would be read through it.
    Symlink,
    /// A submodule: refused likewise.
    Submodule,
}

/// One entry of a commit's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The blob that holds the content.
    pub blob: BlobId,
    /// What the entry is.
    pub kind: EntryKind,
}

/// The commit that brought a file into the base branch, along first parents: for a merged pull request, the merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The commit.
    pub commit: CommitId,
    /// Its author, `Name <email>`.
    pub author: String,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// The first line of its message.
    pub summary: String,
}

/// A commit by its listing; no blob has been read yet.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// The commit.
    pub revision: Revision,
    /// All files of the repository by their path from its root.
    pub entries: BTreeMap<String, Entry>,
    /// For each file of the assignments folder: the commit that gave it its present content.
    pub introduced: BTreeMap<String, Provenance>,
    /// For each file that once was in the assignments folder and no longer is: the commit that removed it.
    pub removed: BTreeMap<String, Provenance>,
}

/// One file in clear.
#[derive(Clone)]
pub struct ClearFile {
    /// The blob that it was read from.
    pub blob: BlobId,
    /// Its text after decryption.
    pub text: SecretText,
    /// Whether it was encrypted: then nothing of its values may be shown.
    pub secret: bool,
    /// What of an encrypted file is bound to its place by nothing but a signed commit.
    pub doubts: Vec<Diagnostic>,
}

/// The files that the policy path needs, in clear.
#[derive(Clone)]
pub struct ClearTree {
    /// The commit.
    pub revision: Revision,
    /// The folder that is built, from the repository's root; empty for the root itself.
    pub root: String,
    /// The folder of the TierAssignments, from the repository's root.
    pub assignments: String,
    /// The files by path from the repository's root.
    pub files: BTreeMap<String, ClearFile>,
    /// Files that belong to it and could not be read. Nothing is made of a tree that has any.
    pub broken: BTreeSet<String>,
    /// What is doubtful about encrypted files, for a tree whose commit is not known.
    pub doubts: Vec<Diagnostic>,
    /// See [`Checkout::introduced`].
    pub introduced: BTreeMap<String, Provenance>,
    /// See [`Checkout::removed`].
    pub removed: BTreeMap<String, Provenance>,
}

/// Why a commit is not given out.
pub struct Refused {
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// What could be read all the same, so that what is wrong with that is found in the same run. Nothing is ever made of it.
    pub rest: Option<Box<ClearTree>>,
}

impl std::fmt::Debug for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rest may hold secrets.
        self.diagnostics.fmt(f)
    }
}
