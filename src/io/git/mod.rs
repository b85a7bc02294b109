//! Git over libgit2: list and fetch in one connection, read blobs by id, commit without a work tree, push with a lease.
//!
//! libgit2 blocks, so everything that talks to a remote runs on a thread for blocking work, one at a time per repository. The
//! bytes go by our own transports, which know each source's credentials and its deadline.

use crate::io::guard::{Guard, NotLeading};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{BlobId, CommitId};
use crate::model::tree::Entry;
use git2::{ErrorCode, Oid};
use session::{Session, callbacks};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// For a forge's API.
mod api;

/// The clone on disk.
mod clone;

/// Credentials, from Secrets with Flux's keys.
mod credentials;

/// Tokens of GitHub Apps.
mod github_app;

/// Smart HTTP.
mod http;

/// Host keys.
pub mod known_hosts;

/// What a merge would bring.
mod merge;

/// Raw objects.
mod objects;

/// One operation with a remote.
mod session;

/// ssh.
mod ssh;

/// What stands in a tree.
mod trees;

/// Commits, pushes and the audit branch.
mod write;

/// Which commit brought which file.
mod provenance;

pub use credentials::Credentials;
pub use merge::Merged;
pub use objects::blob_id;
pub use write::{Lease, LogEntry, Signature};

/// A repository of policies is a few megabytes; this ends a clone of something else.
const RECEIVED_BYTES_MAX: usize = 2 << 30;

/// Why Git did not do what was asked. No text holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// The address cannot be used.
    #[error("{url}: {what}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong, and what to write.
        what: String,
    },
    /// The Secret cannot be used.
    #[error("the Git Secret {what}")]
    Credentials {
        /// What is wrong with it.
        what: String,
    },
    /// The server refused the credentials.
    #[error("the server refused the credentials: {detail}; check the Secret of spec.secretRef")]
    Denied {
        /// Its words.
        detail: String,
    },
    /// The server is not the one that it should be.
    #[error("{detail}")]
    HostKey {
        /// What is wrong.
        detail: String,
    },
    /// The branch does not exist.
    #[error("there is no branch {branch}; check spec.branch")]
    NoBranch {
        /// The branch.
        branch: String,
    },
    /// What is followed does not exist.
    #[error("there is no {name}; check spec.ref")]
    NoReference {
        /// Its name.
        name: String,
    },
    /// Time is up.
    #[error("Git took longer than spec.timeout ({seconds} s)")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// The remote branch is not where it was thought to be.
    #[error("{branch} was changed by somebody else meanwhile")]
    LeaseLost {
        /// The branch.
        branch: String,
    },
    /// Another controller leads, or may.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The server refused a push.
    #[error("the server refused the push of {branch}: {detail}")]
    Refused {
        /// The branch.
        branch: String,
        /// Its words.
        detail: String,
    },
    /// The commit holds what Git itself refuses, or too much.
    #[error("{path}: error[{rule}]: {what}; push a commit without it")]
    Tree {
        /// The path, as far as it can be shown.
        path: String,
        /// The rule's stable name.
        rule: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The clone lacks objects, or holds broken ones.
    #[error("the clone is damaged: {detail}")]
    Damaged {
        /// What is missing, and what to do.
        detail: String,
    },
    /// Anything else.
    #[error("Git: {detail}")]
    Failed {
        /// libgit2's words.
        detail: String,
    },
}

impl Failure for GitError {
    fn class(&self) -> Class {
        match self {
            Self::Address { .. }
            | Self::Credentials { .. }
            | Self::Denied { .. }
            | Self::HostKey { .. }
            | Self::Tree { .. } => Class::Stalled,
            Self::NoBranch { .. } | Self::NoReference { .. } | Self::Refused { .. } => Class::Waiting,
            Self::Timeout { .. }
            | Self::LeaseLost { .. }
            | Self::NotLeading(_)
            | Self::Damaged { .. }
            | Self::Failed { .. } => Class::Retry,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Address { .. } => "InvalidURL",
            Self::Credentials { .. } => "InvalidCredentials",
            Self::Denied { .. } => "AuthenticationFailed",
            Self::HostKey { .. } => "HostKeyFailed",
            Self::NoBranch { .. } => "BranchNotFound",
            Self::NoReference { .. } => "ReferenceNotFound",
            Self::Timeout { .. } => "Timeout",
            Self::LeaseLost { .. } => "Conflict",
            Self::NotLeading(_) => "NotLeading",
            Self::Refused { .. } => "PushRefused",
            Self::Tree { .. } => "InvalidTree",
            Self::Damaged { .. } => "CloneDamaged",
            Self::Failed { .. } => "GitOperationFailed",
        }
    }
}

/// Where the remote's references stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tips {
    /// Every branch by name.
    pub branches: BTreeMap<String, CommitId>,
    /// Every tag by name.
    pub tags: BTreeMap<String, TagTip>,
    /// Every reference by its full name.
    pub references: BTreeMap<String, CommitId>,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagTip {
    /// The tag object; for a tag without one, the commit.
    pub object: String,
    /// The commit.
    pub commit: CommitId,
}

impl Tips {
    fn read(heads: &[git2::RemoteHead<'_>]) -> Self {
        let mut tips = Self::default();
        for head in heads {
            let (name, id) = (head.name(), head.oid().to_string());
            if let Some(branch) = name.strip_prefix("refs/heads/") {
                tips.branches.insert(branch.to_owned(), CommitId(id.clone()));
            }
            if let Some(tag) = name.strip_prefix("refs/tags/") {
                match tag.strip_suffix("^{}") {
                    // The commit that an annotated tag names follows the tag itself.
                    Some(tag) => {
                        if let Some(tip) = tips.tags.get_mut(tag) {
                            tip.commit = CommitId(id.clone());
                        }
                    }
                    None => {
                        let tip = TagTip {
                            object: id.clone(),
                            commit: CommitId(id.clone()),
                        };
                        tips.tags.insert(tag.to_owned(), tip);
                    }
                }
            }
            tips.references.insert(name.to_owned(), CommitId(id));
        }
        tips
    }
}

/// One remote repository with its bare clone; clones of this value share both.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    directory: PathBuf,
    credentials: Credentials,
    client: Option<reqwest::Client>,
    timeout: Duration,
    guard: OnceLock<Guard>,
    busy: Arc<tokio::sync::Mutex<()>>,
    blob_reads: AtomicU64,
    commits_walked: AtomicU64,
    /// What the last tip's history was.
    remembered: Mutex<Option<provenance::Remembered>>,
    /// What was fetched, newest last.
    followed: Mutex<VecDeque<String>>,
    /// Whether the packs that were there at the start were hashed.
    hashed: AtomicBool,
    /// When the clone was last thrown away.
    renewed: Mutex<Option<Instant>>,
}

impl Repository {
    /// Describes a repository; nothing is opened yet.
    ///
    /// # Errors
    /// [`GitError::Address`] for addresses that couchestor does not use.
    pub fn new(
        url: &str,
        directory: &Path,
        credentials: Credentials,
        timeout: Duration,
        allow_file: bool,
    ) -> Result<Self, GitError> {
        let refuse = |what: &str| {
            Err(GitError::Address {
                url: without_userinfo(url),
                what: what.to_owned(),
            })
        };
        match url.split_once("://") {
            None => return refuse("write ssh://user@host/path instead of user@host:path"),
            Some(("file", _)) if !allow_file => return refuse("file:// is read only with --allow-file-urls"),
            Some(("file" | "ssh", _)) => {}
            Some(("http" | "https", rest)) => {
                if rest
                    .split('/')
                    .next()
                    .is_some_and(|authority| authority.contains('@'))
                {
                    return refuse(
                        "put user and password into the Secret of spec.secretRef, not into the address",
                    );
                }
            }
            Some((scheme, _)) => return refuse(&format!("{scheme}:// is not read; use https:// or ssh://")),
        }
        session::register();
        credentials.check(url)?;
        let client = if url.starts_with("http") {
            Some(http::client(url, &credentials, timeout)?)
        } else {
            None
        };
        Ok(Self {
            inner: Arc::new(Inner {
                url: url.to_owned(),
                directory: directory.to_owned(),
                credentials,
                client,
                timeout,
                guard: OnceLock::new(),
                busy: Arc::default(),
                blob_reads: AtomicU64::new(0),
                commits_walked: AtomicU64::new(0),
                remembered: Mutex::default(),
                followed: Mutex::default(),
                hashed: AtomicBool::new(false),
                renewed: Mutex::default(),
            }),
        })
    }

    /// The same repository with a rule about when it may be pushed to; the first rule holds.
    #[must_use]
    pub fn guarded(self, guard: Guard) -> Self {
        let _ = self.inner.guard.set(guard);
        self
    }

    /// How many blobs were read, ever.
    pub fn blob_reads(&self) -> u64 {
        self.inner.blob_reads.load(Ordering::Relaxed)
    }

    /// Lists the remote's branches and fetches one of them, in one connection. A tip that is here already costs nothing more.
    ///
    /// # Errors
    /// Any [`GitError`].
    pub async fn fetch(&self, branch: &str) -> Result<Tips, GitError> {
        let branch = branch.to_owned();
        self.remotely(move |inner, deadline| {
            let tips =
                inner.fetch_branches(&[format!("+refs/heads/{branch}:refs/heads/{branch}")], deadline)?;
            if !tips.branches.contains_key(&branch) {
                let branch = branch.clone();
                return Err(GitError::NoBranch { branch });
            }
            Ok(tips)
        })
        .await
    }

    /// Lists the remote's references and fetches nothing.
    ///
    /// # Errors
    /// Any [`GitError`].
    pub async fn list(&self) -> Result<Tips, GitError> {
        self.remotely(|inner, deadline| inner.list(deadline)).await
    }

    /// Lists the remote's references and fetches one of them by its full name, in one connection.
    ///
    /// # Errors
    /// Any [`GitError`].
    pub async fn fetch_reference(&self, name: &str) -> Result<Tips, GitError> {
        let name = name.to_owned();
        self.remotely(move |inner, deadline| {
            let tips = inner.fetch_branches(&[format!("+{name}:refs/couchestor/followed")], deadline)?;
            if !tips.references.contains_key(&name) {
                let name = name.clone();
                return Err(GitError::NoReference { name });
            }
            Ok(tips)
        })
        .await
    }

    /// Lists the remote's references and fetches all branches and tags.
    ///
    /// # Errors
    /// Any [`GitError`].
    pub async fn fetch_all(&self) -> Result<Tips, GitError> {
        let specs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"].map(str::to_owned);
        self.remotely(move |inner, deadline| inner.fetch_branches(&specs, deadline))
            .await
    }

    /// Whether a commit is here.
    ///
    /// # Errors
    /// [`GitError::Failed`] when the clone cannot be opened.
    pub async fn has(&self, commit: &CommitId) -> Result<bool, GitError> {
        let commit = commit.clone();
        self.locally(move |repository| match repository.find_commit(oid(&commit)?) {
            Ok(_) => Ok(true),
            // It is asked before it is fetched.
            Err(error) if error.code() == ErrorCode::NotFound => Ok(false),
            Err(error) => Err(failed(error)),
        })
        .await
    }

    /// Lists all files of a commit.
    ///
    /// # Errors
    /// [`GitError::Failed`] when the commit is not here.
    pub async fn entries(&self, commit: &CommitId) -> Result<BTreeMap<String, Entry>, GitError> {
        let commit = commit.clone();
        self.locally(move |repository| {
            let commit = repository.find_commit(oid(&commit)?).map_err(failed)?;
            let tree = commit.tree_id();
            trees::files(repository, tree, "", trees::Names::Refused)
        })
        .await
    }

    /// A reader of blobs that are here.
    ///
    /// # Errors
    /// [`GitError::Failed`] when the clone cannot be opened.
    pub fn blobs(&self) -> Result<Blobs, GitError> {
        Ok(Blobs {
            repository: self.inner.open()?,
            owner: self.clone(),
            damage: RefCell::default(),
        })
    }
}

/// Reads blobs from the clone's object database.
pub struct Blobs {
    repository: git2::Repository,
    owner: Repository,
    damage: RefCell<Option<String>>,
}

impl Blobs {
    /// Reads one blob, unless it is larger than `max` bytes.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(&self, id: &BlobId, max: usize) -> Result<Vec<u8>, String> {
        self.owner.inner.blob_reads.fetch_add(1, Ordering::Relaxed);
        self.look(id, max).map_err(|error| match error {
            GitError::Damaged { detail } => {
                self.damage.borrow_mut().get_or_insert(detail.clone());
                detail
            }
            GitError::Failed { detail } => detail,
            error => error.to_string(),
        })
    }

    fn look(&self, id: &BlobId, max: usize) -> Result<Vec<u8>, GitError> {
        let id = Oid::from_str(id.as_str()).map_err(failed)?;
        let database = self.repository.odb().map_err(failed)?;
        let (size, _) = database.read_header(id).map_err(failed)?;
        if size > max {
            return Err(GitError::Failed {
                detail: format!("the file has {size} bytes; {max} are read at most"),
            });
        }
        let blob = self.repository.find_blob(id).map_err(failed)?;
        Ok(blob.content().to_vec())
    }

    /// The first thing that could not be read because the clone is damaged: [`Repository::mend`] makes it anew.
    pub fn damage(&self) -> Option<String> {
        self.damage.borrow().clone()
    }
}

impl Inner {
    fn list(&self, deadline: Instant) -> Result<Tips, GitError> {
        let repository = self.open()?;
        let mut remote = repository.remote_anonymous(&self.url).map_err(failed)?;
        let session = Session::new(&self.credentials, self.client.clone(), deadline);
        session.during(|| {
            let connection = remote
                .connect_auth(git2::Direction::Fetch, Some(callbacks(deadline)), None)
                .map_err(|error| session.translate(error))?;
            Ok(Tips::read(connection.list().map_err(failed)?))
        })
    }
}

fn without_userinfo(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => url.rsplit('@').next().unwrap_or_default().to_owned(),
    }
}

fn oid(commit: &CommitId) -> Result<Oid, GitError> {
    Oid::from_str(commit.as_str()).map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of map_err")]
fn failed(error: git2::Error) -> GitError {
    let detail = error.message().to_owned();
    match clone::is_damage(&error) {
        true => GitError::Damaged { detail },
        false => GitError::Failed { detail },
    }
}

/// Makes an empty bare repository whose main branch is `main`.
///
/// # Errors
/// [`GitError::Failed`] when the folder cannot be written.
pub fn init_bare(path: &Path) -> Result<(), GitError> {
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).initial_head("main");
    git2::Repository::init_opts(path, &options)
        .map(drop)
        .map_err(failed)
}
