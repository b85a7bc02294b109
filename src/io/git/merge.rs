//! What a branch would hold after a merge, found out in memory: nothing is committed, and the clone is not written to.

use super::trees::{self, Names};
use super::{GitError, Repository, failed, oid};
use crate::model::ids::{BlobId, CommitId};
use crate::model::tree::{Entry, EntryKind};
use git2::{ErrorCode, MergeOptions};
use std::collections::{BTreeMap, BTreeSet};

/// Above the priority of the clone's own files.
const MEMORY_PRIORITY: i32 = 1000;

/// Merge bases of merge bases that are looked at; histories that cross more often are somebody's joke.
const RECURSION_MAX: u32 = 4;

/// Bytes that are kept of files that the merge itself writes, because both sides changed them; no policy is nearly as large.
const MADE_BYTES_MAX: usize = 64 << 20;

/// Conflicts that are named.
const CONFLICTS_MAX: usize = 100;

/// What came of merging a head onto a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// All files afterwards; with conflicts, those of the head.
    pub entries: BTreeMap<String, Entry>,
    /// Files that the merge wrote, since both sides had changed them: they are in no object database. `None`: they are too large.
    pub made: BTreeMap<BlobId, Option<Vec<u8>>>,
    /// Files that differ from those of the base, and from those where the two parted when there is a conflict.
    pub changed: BTreeSet<String>,
    /// Files that both sides changed and that do not fit together.
    pub conflicts: Vec<String>,
}

impl Repository {
    /// Merges a commit onto another, both of which are here. Renamed files are not looked for, since that costs as much as whoever
    /// pushed the head likes; what was renamed on one side and changed on the other is a conflict.
    ///
    /// # Errors
    /// [`GitError::Tree`] when the head holds what Git refuses, [`GitError::Failed`] when one of them is not here.
    pub async fn merged(&self, base: &CommitId, head: &CommitId) -> Result<Merged, GitError> {
        let (base, head) = (base.clone(), head.clone());
        self.locally(move |repository| merged(repository, &base, &head))
            .await
    }

    /// Whether a commit is in the history of another one, or is that one. One that is not here is not.
    ///
    /// # Errors
    /// [`GitError::Failed`] when the tip is not here.
    pub async fn contains(&self, tip: &CommitId, commit: &CommitId) -> Result<bool, GitError> {
        let (tip, commit) = (tip.clone(), commit.clone());
        self.locally(move |repository| {
            let (tip, commit) = (oid(&tip)?, oid(&commit)?);
            match repository.find_commit(commit) {
                Ok(_) => Ok(tip == commit || repository.graph_descendant_of(tip, commit).map_err(failed)?),
                Err(error) if error.code() == ErrorCode::NotFound => Ok(false),
                Err(error) => Err(failed(error)),
            }
        })
        .await
    }
}

fn merged(repository: &git2::Repository, base: &CommitId, head: &CommitId) -> Result<Merged, GitError> {
    let files = |commit: &git2::Commit| trees::files(repository, commit.tree_id(), "", Names::Refused);
    let base = repository.find_commit(oid(base)?).map_err(failed)?;
    let head = repository.find_commit(oid(head)?).map_err(failed)?;
    let (before, theirs) = (files(&base)?, files(&head)?);
    if repository
        .graph_descendant_of(head.id(), base.id())
        .map_err(failed)?
    {
        return Ok(Merged {
            changed: differing(&before, &theirs),
            entries: theirs,
            ..Merged::default()
        });
    }
    let database = repository.odb().map_err(failed)?;
    database
        .add_new_mempack_backend(MEMORY_PRIORITY)
        .map_err(failed)?;
    let mut options = MergeOptions::new();
    options.find_renames(false).recursion_limit(RECURSION_MAX);
    let index = repository
        .merge_commits(&base, &head, Some(&options))
        .map_err(failed)?;
    if index.has_conflicts() {
        let mut conflicts = BTreeSet::new();
        for conflict in index.conflicts().map_err(failed)? {
            let conflict = conflict.map_err(failed)?;
            let side = conflict.our.or(conflict.their).or(conflict.ancestor);
            conflicts.extend(side.map(|side| String::from_utf8_lossy(&side.path).into_owned()));
        }
        let parted = match repository.merge_base(base.id(), head.id()) {
            Ok(parted) => files(&repository.find_commit(parted).map_err(failed)?)?,
            Err(error) if error.code() == ErrorCode::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed(error)),
        };
        return Ok(Merged {
            changed: differing(&parted, &theirs),
            entries: theirs,
            conflicts: conflicts.into_iter().take(CONFLICTS_MAX).collect(),
            ..Merged::default()
        });
    }
    let mut merged = Merged::default();
    let known: BTreeSet<&BlobId> = before
        .values()
        .chain(theirs.values())
        .map(|entry| &entry.blob)
        .collect();
    let mut bytes = 0_usize;
    for entry in index.iter() {
        // Names that are no text are left out of every listing.
        let Ok(path) = String::from_utf8(entry.path.clone()) else {
            continue;
        };
        let blob = BlobId(entry.id.to_string());
        let kind = match entry.mode {
            0o120_000 => EntryKind::Symlink,
            0o160_000 => EntryKind::Submodule,
            _ => EntryKind::File,
        };
        if kind == EntryKind::File && !known.contains(&blob) && !merged.made.contains_key(&blob) {
            let content = repository.find_blob(entry.id).map_err(failed)?.content().to_vec();
            bytes += content.len();
            let kept = (bytes <= MADE_BYTES_MAX).then_some(content);
            merged.made.insert(blob.clone(), kept);
        }
        merged.entries.insert(path, Entry { blob, kind });
    }
    merged.changed = differing(&before, &merged.entries);
    Ok(merged)
}

/// Paths at which two listings differ.
fn differing(before: &BTreeMap<String, Entry>, after: &BTreeMap<String, Entry>) -> BTreeSet<String> {
    let changed = after
        .iter()
        .filter(|(path, entry)| before.get(*path) != Some(entry));
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    changed.map(|(path, _)| path).chain(gone).cloned().collect()
}
