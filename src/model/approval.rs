//! Authority to move data: a value that only the parser of the verified base tree can make.

use super::ids::{ClaimRef, CommitId, Revision, TierName, VolumeName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The address by which commits are known as our own.
pub const OUR_ADDRESS: &str = "couchestor@storage.billyronks.io";

/// One volume that belongs on a tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The claim, as people know the volume.
    pub claim: ClaimRef,
    /// The PersistentVolume that was meant; another one behind the claim means: ask again.
    pub volume: VolumeName,
    /// The tier that it belongs on.
    pub to: TierName,
    /// The policy that proposed it, if one did.
    pub policy: Option<String>,
}

/// Who approved, when, and in which commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The base revision in which it was read.
    pub revision: Revision,
    /// The commit that brought (or, for a revert, removed) the assignment.
    pub commit: CommitId,
    /// The author of that commit.
    pub author: String,
    /// When it was committed.
    pub at: Timestamp,
    /// The assignment's file.
    pub path: String,
}

/// Something that a person approved by merging it. It can be made by [`crate::parse`] only; a clippy ban on
/// [`Approved::read_from_verified_tree`] holds that, since privacy cannot say "this sibling only".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved<T> {
    what: T,
    approval: Approval,
}

impl<T> Approved<T> {
    /// Makes an approval from what the verified base tree says.
    pub fn read_from_verified_tree(what: T, approval: Approval) -> Self {
        Self { what, approval }
    }

    /// What was approved.
    pub fn what(&self) -> &T {
        &self.what
    }

    /// By whom, when and where.
    pub fn approval(&self) -> &Approval {
        &self.approval
    }
}
