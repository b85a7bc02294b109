//! Which commit brought which file of a folder into the branch, along first parents: for a merged proposal, the merge.
//!
//! What the last tip said is remembered, so that a new tip costs the commits since then and not the whole history.

use super::trees::{self, Names};
use super::{GitError, Inner, Repository, failed, oid};
use crate::model::ids::{BlobId, CommitId};
use crate::model::tree::{EntryKind, Provenance};
use git2::{Commit, ObjectType, Oid};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Commits that are looked at. Most leave the folder alone and cost two lookups; a file that is older than all of them
/// is said to come from the oldest.
const COMMITS_MAX: usize = 20_000;

/// Files, present and removed, of a history that is remembered: some 15 MB. A larger one is walked anew for each tip.
const REMEMBERED_MAX: usize = 50_000;

/// Where the files of a folder come from, and who took others out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The commit that gave each file its present content.
    pub introduced: BTreeMap<String, Provenance>,
    /// The commit that removed each file that is gone.
    pub removed: BTreeMap<String, Provenance>,
}

/// What the last tip said. It holds for ever, as commits never change; only the newest is kept.
pub(super) struct Remembered {
    tip: Oid,
    folder: String,
    history: History,
}

impl Repository {
    /// Walks the history of a folder, down to the tip that was asked for last if that is among the first parents.
    ///
    /// # Errors
    /// [`GitError::Failed`] when commits are missing.
    pub async fn history(&self, tip: &CommitId, folder: &str) -> Result<History, GitError> {
        let (tip, folder) = (tip.clone(), folder.to_owned());
        self.remotely(move |inner, _| inner.history(oid(&tip)?, &folder))
            .await
    }

    /// How many commits were looked at for their files' provenance, ever.
    pub fn commits_walked(&self) -> u64 {
        self.inner.commits_walked.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn history(&self, tip: Oid, folder: &str) -> Result<History, GitError> {
        let repository = self.open()?;
        let known = match self.remembered.lock() {
            Ok(mut slot) => slot.take().filter(|known| known.folder == folder),
            Err(_) => None,
        };
        let history = self.walk(&repository, tip, folder, known)?;
        if history.introduced.len() + history.removed.len() <= REMEMBERED_MAX
            && let Ok(mut slot) = self.remembered.lock()
        {
            *slot = Some(Remembered {
                tip,
                folder: folder.to_owned(),
                history: history.clone(),
            });
        }
        Ok(history)
    }

    fn walk(
        &self,
        repository: &git2::Repository,
        tip: Oid,
        folder: &str,
        known: Option<Remembered>,
    ) -> Result<History, GitError> {
        let mut commit = repository.find_commit(tip).map_err(failed)?;
        let mut id = folder_id(repository, &commit, folder)?;
        let mut walk = Walk::new(files(repository, id, folder)?);
        for _ in 0..COMMITS_MAX {
            if let Some(known) = known.as_ref().filter(|known| known.tip == commit.id()) {
                return Ok(walk.joined(&known.history));
            }
            self.commits_walked.fetch_add(1, Ordering::Relaxed);
            if commit.parent_count() == 0 {
                walk.step(&commit, BTreeMap::new());
                break;
            }
            let parent = commit.parent(0).map_err(failed)?;
            let below = folder_id(repository, &parent, folder)?;
            if below != id {
                walk.step(&commit, files(repository, below, folder)?);
            }
            (commit, id) = (parent, below);
        }
        Ok(walk.ended(&commit))
    }
}

/// A walk from a tip towards the root.
struct Walk {
    history: History,
    /// The tip's files.
    present: BTreeMap<String, BlobId>,
    /// Those whose commit was not met yet.
    unresolved: BTreeMap<String, BlobId>,
    /// The files of the commit that is looked at.
    now: BTreeMap<String, BlobId>,
}

impl Walk {
    fn new(present: BTreeMap<String, BlobId>) -> Self {
        Self {
            history: History::default(),
            unresolved: present.clone(),
            now: present.clone(),
            present,
        }
    }

    /// Notes what a commit did to the files that its first parent has.
    fn step(&mut self, commit: &Commit, before: BTreeMap<String, BlobId>) {
        if before != self.now {
            let here = provenance(commit);
            let introduced = &mut self.history.introduced;
            self.unresolved.retain(|path, blob| {
                let brought = before.get(path) != Some(blob);
                if brought {
                    introduced.insert(path.clone(), here.clone());
                }
                !brought
            });
            let gone = |path: &&String| !self.now.contains_key(*path) && !self.present.contains_key(*path);
            for path in before.keys().filter(gone) {
                // The newest removal was met first.
                let removed = self.history.removed.entry(path.clone());
                removed.or_insert_with(|| here.clone());
            }
        }
        self.now = before;
    }

    /// The rest is as the commit said that was reached. What no commit since then touched is what it had.
    fn joined(mut self, known: &History) -> History {
        for path in self.unresolved.into_keys() {
            if let Some(commit) = known.introduced.get(&path) {
                self.history.introduced.insert(path, commit.clone());
            }
        }
        for (path, commit) in &known.removed {
            if !self.present.contains_key(path) {
                let removed = self.history.removed.entry(path.clone());
                removed.or_insert_with(|| commit.clone());
            }
        }
        self.history
    }

    /// The rest comes from the oldest commit, or from before it.
    fn ended(mut self, oldest: &Commit) -> History {
        let oldest = provenance(oldest);
        for path in self.unresolved.into_keys() {
            self.history.introduced.insert(path, oldest.clone());
        }
        self.history
    }
}

/// The tree of a folder in a commit, if it has that folder. A tree that is not here is an error, not an absent folder.
fn folder_id(repository: &git2::Repository, commit: &Commit, folder: &str) -> Result<Option<Oid>, GitError> {
    let mut id = commit.tree_id();
    for name in folder.split('/') {
        let tree = repository.find_tree(id).map_err(failed)?;
        match tree.get_name(name) {
            Some(entry) if entry.kind() == Some(ObjectType::Tree) => id = entry.id(),
            _ => return Ok(None),
        }
    }
    Ok(Some(id))
}

/// The files of a folder by their paths from the repository's root.
fn files(
    repository: &git2::Repository,
    folder_id: Option<Oid>,
    folder: &str,
) -> Result<BTreeMap<String, BlobId>, GitError> {
    let Some(id) = folder_id else {
        return Ok(BTreeMap::new());
    };
    let found = trees::files(repository, id, &format!("{folder}/"), Names::LeftOut)?;
    let blobs = found
        .into_iter()
        .filter(|(_, entry)| entry.kind != EntryKind::Submodule)
        .map(|(path, entry)| (path, entry.blob));
    Ok(blobs.collect())
}

fn provenance(commit: &Commit) -> Provenance {
    let author = commit.author();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Provenance {
        commit: CommitId(commit.id().to_string()),
        author: format!("{} <{}>", text(author.name_bytes()), text(author.email_bytes())),
        committed_at: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
        summary: commit.summary().ok().flatten().unwrap_or_default().to_owned(),
    }
}
