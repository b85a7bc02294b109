//! Commits without a work tree, pushes with a lease, and branches that only grow.

use super::session::Session;
use super::{GitError, Inner, Repository, failed, oid};
use crate::io::guard::NotLeading;
use crate::model::approval::OUR_ADDRESS;
use crate::model::ids::CommitId;
use crate::model::rendering::FileChange;
use git2::build::TreeUpdateBuilder;
use git2::{FileMode, ObjectType, Odb, Oid, PushOptions, RemoteRedirect};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Instant;

/// Above the priority of the clone's own files.
const MEMORY_PRIORITY: i32 = 1000;

/// How often an append is tried when others append to the same branch.
const APPEND_TRIES: usize = 5;

/// How many of a branch's newest commits are searched for a record that was written before a crash.
const SEARCH_MAX: usize = 500;

/// Where a remote branch must be for a push to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It must not exist.
    Absent,
    /// It must be at this commit.
    At(CommitId),
}

/// Who commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Name.
    pub name: String,
    /// Address.
    pub email: String,
}

impl Default for Signature {
    fn default() -> Self {
        Self {
            name: "couchestor".to_owned(),
            email: OUR_ADDRESS.to_owned(),
        }
    }
}

/// One commit of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The commit.
    pub commit: CommitId,
    /// Its first parent.
    pub parent: Option<CommitId>,
    /// The committer's address.
    pub committer: String,
    /// When it was committed.
    pub at: Timestamp,
    /// Its message.
    pub message: String,
}

impl Repository {
    /// Makes a commit on top of another (or a root) and pushes it to a branch.
    ///
    /// # Errors
    /// [`GitError::LeaseLost`] when the branch is not where the lease says; nothing is changed then.
    pub async fn push(
        &self,
        branch: &str,
        lease: Lease,
        parent: Option<CommitId>,
        files: Vec<FileChange>,
        message: String,
        at: Timestamp,
    ) -> Result<CommitId, GitError> {
        self.push_as(&Signature::default(), branch, lease, parent, files, message, at)
            .await
    }

    /// The same as somebody else: the person of the demo and of tests.
    ///
    /// # Errors
    /// As [`Repository::push`].
    #[expect(clippy::too_many_arguments, reason = "a commit has that many parts")]
    pub async fn push_as(
        &self,
        who: &Signature,
        branch: &str,
        lease: Lease,
        parent: Option<CommitId>,
        files: Vec<FileChange>,
        message: String,
        at: Timestamp,
    ) -> Result<CommitId, GitError> {
        let (branch, who) = (branch.to_owned(), who.clone());
        self.remotely(move |inner, deadline| {
            let commit = inner.commit(&who, parent.as_ref(), &files, &message, at)?;
            inner.push(&branch, Some(&commit), &lease, deadline)?;
            Ok(commit)
        })
        .await
    }

    /// Deletes a remote branch if it is still at a commit.
    ///
    /// # Errors
    /// [`GitError::LeaseLost`] when it is not.
    pub async fn delete_branch(&self, branch: &str, at: CommitId) -> Result<(), GitError> {
        let branch = branch.to_owned();
        self.remotely(move |inner, deadline| inner.push(&branch, None, &Lease::At(at.clone()), deadline))
            .await
    }

    /// Adds a commit to a branch that only grows, and makes the branch if it is absent. The message must hold the
    /// trailer: if a commit with it is there already, that one is returned, so that a crash repeats nothing.
    ///
    /// # Errors
    /// Any [`GitError`].
    pub async fn append(
        &self,
        branch: &str,
        files: Vec<FileChange>,
        message: String,
        trailer: String,
        at: Timestamp,
    ) -> Result<CommitId, GitError> {
        let branch = branch.to_owned();
        self.remotely(move |inner, deadline| {
            let mut outcome = Err(GitError::LeaseLost {
                branch: branch.clone(),
            });
            for _ in 0..APPEND_TRIES {
                let tips =
                    inner.fetch_branches(&[format!("+refs/heads/{branch}:refs/heads/{branch}")], deadline)?;
                let tip = tips.branches.get(&branch).cloned();
                if let Some(tip) = &tip
                    && let Some(found) = inner
                        .log(tip, SEARCH_MAX)?
                        .into_iter()
                        .find(|entry| entry.message.lines().any(|line| line == trailer))
                {
                    return Ok(found.commit);
                }
                let commit = inner.commit(&Signature::default(), tip.as_ref(), &files, &message, at)?;
                let lease = tip.map_or(Lease::Absent, Lease::At);
                outcome = inner
                    .push(&branch, Some(&commit), &lease, deadline)
                    .map(|()| commit);
                if !matches!(outcome, Err(GitError::LeaseLost { .. })) {
                    break;
                }
            }
            outcome
        })
        .await
    }

    /// The newest commits of a remote branch along first parents; none if the branch is absent.
    ///
    /// # Errors
    /// Any [`GitError`].
    pub async fn log_branch(&self, branch: &str, limit: usize) -> Result<Vec<LogEntry>, GitError> {
        let branch = branch.to_owned();
        self.remotely(move |inner, deadline| {
            let tips =
                inner.fetch_branches(&[format!("+refs/heads/{branch}:refs/heads/{branch}")], deadline)?;
            tips.branches
                .get(&branch)
                .map_or(Ok(Vec::new()), |tip| inner.log(tip, limit))
        })
        .await
    }

    /// A file at a commit that is here.
    ///
    /// # Errors
    /// [`GitError::Failed`] when commit or file is missing.
    pub async fn read_at(&self, commit: &CommitId, path: &str) -> Result<Vec<u8>, GitError> {
        let (commit, path) = (commit.clone(), path.to_owned());
        self.locally(move |repository| {
            let tree = repository
                .find_commit(oid(&commit)?)
                .and_then(|commit| commit.tree())
                .map_err(failed)?;
            let entry = tree.get_path(std::path::Path::new(&path)).map_err(failed)?;
            Ok(repository
                .find_blob(entry.id())
                .map_err(failed)?
                .content()
                .to_vec())
        })
        .await
    }

    /// A plain file of at most `max` bytes at a commit that is here; or why there is none, in words.
    ///
    /// # Errors
    /// [`GitError::Failed`] when the commit is missing.
    pub async fn plain_file_at(
        &self,
        commit: &CommitId,
        path: &str,
        max: usize,
    ) -> Result<Result<Vec<u8>, String>, GitError> {
        let (commit, path) = (commit.clone(), path.to_owned());
        self.locally(move |repository| {
            let tree = repository
                .find_commit(oid(&commit)?)
                .and_then(|commit| commit.tree())
                .map_err(failed)?;
            let entry = match tree.get_path(std::path::Path::new(&path)) {
                Ok(entry) => entry,
                Err(error) if error.code() == git2::ErrorCode::NotFound => {
                    return Ok(Err("there is no such file".to_owned()));
                }
                Err(error) => return Err(failed(error)),
            };
            let plain = [
                i32::from(git2::FileMode::Blob),
                i32::from(git2::FileMode::BlobExecutable),
            ];
            if !plain.contains(&entry.filemode()) {
                return Ok(Err("it is no plain file".to_owned()));
            }
            let database = repository.odb().map_err(failed)?;
            let (size, _) = database.read_header(entry.id()).map_err(failed)?;
            if size > max {
                return Ok(Err(format!("it has {size} bytes; {max} are read at most")));
            }
            let blob = repository.find_blob(entry.id()).map_err(failed)?;
            Ok(Ok(blob.content().to_vec()))
        })
        .await
    }
}

impl Inner {
    fn commit(
        &self,
        who: &Signature,
        parent: Option<&CommitId>,
        files: &[FileChange],
        message: &str,
        at: Timestamp,
    ) -> Result<CommitId, GitError> {
        let repository = self.open()?;
        let database = repository.odb().map_err(failed)?;
        // In memory until `keep` makes one pack of them: the clone holds no loose objects.
        database
            .add_new_mempack_backend(MEMORY_PRIORITY)
            .map_err(failed)?;
        let parent = parent
            .map(|parent| repository.find_commit(oid(parent)?).map_err(failed))
            .transpose()?;
        let empty = repository
            .treebuilder(None)
            .and_then(|builder| builder.write())
            .map_err(failed)?;
        let base = match &parent {
            Some(parent) => parent.tree().map_err(failed)?,
            None => repository.find_tree(empty).map_err(failed)?,
        };
        let mut update = TreeUpdateBuilder::new();
        let mut made = BTreeSet::from([empty]);
        for file in files {
            match &file.content {
                Some(content) => {
                    let blob = repository.blob(content).map_err(failed)?;
                    made.insert(blob);
                    update.upsert(file.path.as_str(), blob, FileMode::Blob);
                }
                None => {
                    update.remove(file.path.as_str());
                }
            }
        }
        let tree = update.create_updated(&repository, &base).map_err(failed)?;
        let tree = repository.find_tree(tree).map_err(failed)?;
        let signature = git2::Signature::new(&who.name, &who.email, &git2::Time::new(at.as_second(), 0))
            .map_err(failed)?;
        let parents: Vec<&git2::Commit> = parent.iter().collect();
        let commit = repository
            .commit(None, &signature, &signature, message, &tree, &parents)
            .map_err(failed)?;
        made.insert(commit);
        for file in files {
            made.extend(trees(&repository, tree.id(), &file.path)?);
        }
        keep(&repository, &database, &made)?;
        Ok(CommitId(commit.to_string()))
    }

    fn guard(&self) -> Result<(), NotLeading> {
        self.guard.get().map_or(Ok(()), |guard| guard.pass().map(drop))
    }

    /// Pushes a commit, or deletes the branch. The server's own idea of the branch, which it states at the start of the push
    /// and checks again at its end, is compared with the lease.
    fn push(
        &self,
        branch: &str,
        commit: Option<&CommitId>,
        lease: &Lease,
        deadline: Instant,
    ) -> Result<(), GitError> {
        let repository = self.open()?;
        let mut remote = repository.remote_anonymous(&self.url).map_err(failed)?;
        let target = format!("refs/heads/{branch}");
        let local = format!("refs/couchestor/{branch}");
        let refspec = match commit {
            Some(commit) => {
                repository
                    .reference(&local, oid(commit)?, true, "push")
                    .map_err(failed)?;
                format!("+{local}:{target}")
            }
            None => format!(":{target}"),
        };
        let session = Session::new(&self.credentials, self.client.clone(), deadline);
        let lost = std::cell::Cell::new(false);
        let unled = std::cell::Cell::new(false);
        let refused = std::cell::RefCell::new(None);
        let outcome = {
            let mut callbacks = super::callbacks(deadline);
            callbacks.push_negotiation(|updates| {
                let found = updates
                    .first()
                    .map(git2::PushUpdate::src)
                    .filter(|id| !id.is_zero());
                let wanted = match lease {
                    Lease::Absent => None,
                    Lease::At(commit) => Some(commit.as_str().to_owned()),
                };
                if found.map(|id| id.to_string()) == wanted {
                    // The last moment at which nothing is sent yet.
                    if self.guard().is_ok() {
                        return Ok(());
                    }
                    unled.set(true);
                    return Err(git2::Error::from_str("not the leader any more"));
                }
                lost.set(true);
                Err(git2::Error::from_str("the branch has moved"))
            });
            callbacks.push_update_reference(|_, status| {
                if let Some(status) = status {
                    *refused.borrow_mut() = Some(status.to_owned());
                }
                Ok(())
            });
            let mut options = PushOptions::new();
            options
                .remote_callbacks(callbacks)
                .follow_redirects(RemoteRedirect::None);
            session.during(|| remote.push(&[refspec.as_str()], Some(&mut options)))
        };
        if let Ok(mut reference) = repository.find_reference(&local) {
            let _ = reference.delete();
        }
        if lost.get() {
            return Err(GitError::LeaseLost {
                branch: branch.to_owned(),
            });
        }
        if unled.get() {
            return Err(GitError::NotLeading(NotLeading));
        }
        outcome.map_err(|error| session.translate(error))?;
        match refused.into_inner() {
            // The server found the branch moved between the start and the end of the push.
            Some(detail)
                if detail.contains("fetch first")
                    || detail.contains("failed to update ref")
                    || detail.contains("cannot lock ref") =>
            {
                Err(GitError::LeaseLost {
                    branch: branch.to_owned(),
                })
            }
            Some(detail) => Err(GitError::Refused {
                branch: branch.to_owned(),
                detail,
            }),
            None => Ok(()),
        }
    }

    fn log(&self, tip: &CommitId, limit: usize) -> Result<Vec<LogEntry>, GitError> {
        let repository = self.open()?;
        let mut entries = Vec::new();
        let mut next = Some(repository.find_commit(oid(tip)?).map_err(failed)?);
        while let Some(commit) = next.take() {
            if entries.len() >= limit {
                break;
            }
            entries.push(LogEntry {
                commit: CommitId(commit.id().to_string()),
                parent: commit.parent_id(0).ok().map(|id| CommitId(id.to_string())),
                committer: String::from_utf8_lossy(commit.committer().email_bytes()).into_owned(),
                at: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
                message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
            });
            if commit.parent_count() > 0 {
                next = Some(commit.parent(0).map_err(failed)?);
            }
        }
        Ok(entries)
    }
}

/// The root and the folders that lead to a file.
fn trees(repository: &git2::Repository, root: Oid, path: &str) -> Result<Vec<Oid>, GitError> {
    let mut found = vec![root];
    let mut id = root;
    for name in path.split('/') {
        let tree = repository.find_tree(id).map_err(failed)?;
        match tree.get_name(name) {
            Some(entry) if entry.kind() == Some(ObjectType::Tree) => id = entry.id(),
            _ => break,
        }
        found.push(id);
    }
    Ok(found)
}

/// Writes objects that are in memory into the clone, as a pack.
fn keep(repository: &git2::Repository, database: &Odb, objects: &BTreeSet<Oid>) -> Result<(), GitError> {
    let mut pack = repository.packbuilder().map_err(failed)?;
    for id in objects {
        pack.insert_object(*id, None).map_err(failed)?;
    }
    let mut bytes = git2::Buf::new();
    pack.write_buf(&mut bytes).map_err(failed)?;
    let mut writer = database.packwriter().map_err(failed)?;
    writer.write_all(&bytes).map_err(|error| GitError::Failed {
        detail: format!("the clone cannot be written: {error}"),
    })?;
    writer.commit().map(drop).map_err(failed)
}
