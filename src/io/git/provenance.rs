//! Which commit brought which file of a folder into the branch, along first parents: for a merged proposal, the merge.

use super::{GitError, Repository, failed, oid};
use crate::model::ids::CommitId;
use crate::model::tree::Provenance;
use git2::{Commit, Tree};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;

/// Commits that are looked at. Most leave the folder alone and cost two lookups; a file that is older than all of them
/// is said to come from the oldest.
const COMMITS_MAX: usize = 20_000;

/// Where the files of a folder come from, and who took others out.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The commit that gave each file its present content.
    pub introduced: BTreeMap<String, Provenance>,
    /// The commit that removed each file that is gone.
    pub removed: BTreeMap<String, Provenance>,
}

impl Repository {
    /// Walks the history of a folder.
    ///
    /// # Errors
    /// [`GitError::Failed`] when commits are missing.
    pub async fn history(&self, tip: &CommitId, folder: &str) -> Result<History, GitError> {
        let (tip, folder) = (tip.clone(), folder.to_owned());
        self.locally(move |repository| {
            let mut history = History::default();
            let mut commit = repository.find_commit(oid(&tip)?).map_err(failed)?;
            let present = files(repository, &commit, &folder)?;
            let mut unresolved = present.clone();
            let mut now = present.clone();
            for _ in 0..COMMITS_MAX {
                let parent = commit.parent(0).ok();
                let before = match &parent {
                    Some(parent) if folder_id(parent, &folder) == folder_id(&commit, &folder) => {
                        commit = parent.clone();
                        continue;
                    }
                    Some(parent) => files(repository, parent, &folder)?,
                    None => BTreeMap::new(),
                };
                if before != now {
                    let here = provenance(&commit);
                    unresolved.retain(|path, blob| {
                        let brought = before.get(path) != Some(blob);
                        if brought {
                            history.introduced.insert(path.clone(), here.clone());
                        }
                        !brought
                    });
                    for path in before
                        .keys()
                        .filter(|path| !now.contains_key(*path) && !present.contains_key(*path))
                    {
                        history
                            .removed
                            .entry(path.clone())
                            .or_insert_with(|| here.clone());
                    }
                }
                now = before;
                match parent {
                    Some(parent) => commit = parent,
                    None => break,
                }
            }
            let oldest = provenance(&commit);
            for path in unresolved.into_keys() {
                history.introduced.insert(path, oldest.clone());
            }
            Ok(history)
        })
        .await
    }
}

fn folder_id(commit: &Commit, folder: &str) -> Option<git2::Oid> {
    let tree = commit.tree().ok()?;
    tree.get_path(Path::new(folder)).ok().map(|entry| entry.id())
}

fn files(
    repository: &git2::Repository,
    commit: &Commit,
    folder: &str,
) -> Result<BTreeMap<String, git2::Oid>, GitError> {
    let mut found = BTreeMap::new();
    let Some(id) = folder_id(commit, folder) else {
        return Ok(found);
    };
    let Ok(tree): Result<Tree, _> = repository.find_tree(id) else {
        return Ok(found);
    };
    tree.walk(git2::TreeWalkMode::PreOrder, |below, entry| {
        if entry.kind() == Some(git2::ObjectType::Blob)
            && let Ok(name) = entry.name()
        {
            found.insert(format!("{folder}/{below}{name}"), entry.id());
        }
        git2::TreeWalkResult::Ok
    })
    .map_err(failed)?;
    Ok(found)
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
