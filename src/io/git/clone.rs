//! The clone on disk: work on it is done by one thread at a time, and a clone that lacks objects is made anew.

/// The packs of the clone: whether they are whole, and fewer of them.
mod packs;

use super::session::Session;
use super::{GitError, Inner, Repository, Tips, callbacks, failed, without_userinfo};
use crate::model::diagnostic::shown;
use git2::{ErrorClass, FetchOptions, RemoteRedirect};
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a thread may go on after its deadline until the caller stops waiting for it.
const GRACE: Duration = Duration::from_secs(5);

/// A damaged clone is made anew this often at most: when the remote itself is broken, or the disk, a clone per look would only
/// add load.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// What was fetched so far and is fetched again for a new clone: branch, tag, audit and the proposals that are open.
const FOLLOWED_MAX: usize = 64;

/// How much is kept of what a server says beside the data.
const SAID_MAX: usize = 500;

/// What to do when the remote itself seems to lack something.
const REMOTE_HELP: &str = "run `git fsck` in the remote repository and repair it";

impl Repository {
    /// Runs something that talks to the remote, with a deadline. If the clone turns out to be damaged, it is made anew and the
    /// work is done once more.
    pub(super) async fn remotely<T: Send + 'static>(
        &self,
        work: impl Fn(&Inner, Instant) -> Result<T, GitError> + Send + Sync + 'static,
    ) -> Result<T, GitError> {
        let work = Arc::new(work);
        match self.attempt(work.clone()).await {
            Err(GitError::Damaged { detail }) => {
                self.mend(&detail).await?;
                self.attempt(work).await.map_err(GitError::again)
            }
            result => result,
        }
    }

    /// Runs something on the clone alone, likewise.
    pub(super) async fn locally<T: Send + 'static>(
        &self,
        work: impl Fn(&git2::Repository) -> Result<T, GitError> + Send + Sync + 'static,
    ) -> Result<T, GitError> {
        self.remotely(move |inner, _| work(&inner.open()?)).await
    }

    async fn attempt<T: Send + 'static>(
        &self,
        work: Arc<impl Fn(&Inner, Instant) -> Result<T, GitError> + Send + Sync + 'static>,
    ) -> Result<T, GitError> {
        let limit = self.inner.timeout;
        let timeout = || GitError::Timeout {
            seconds: limit.as_secs(),
        };
        let busy = self.inner.busy.clone();
        let guard = tokio::time::timeout(limit, busy.lock_owned())
            .await
            .map_err(|_| timeout())?;
        let inner = self.inner.clone();
        let deadline = Instant::now() + limit;
        let task = tokio::task::spawn_blocking(move || {
            // The guard goes with the thread: the next call waits for it even if nobody waits for this one any more.
            let _guard = guard;
            work(&inner, deadline)
        });
        match tokio::time::timeout(limit + GRACE, task).await {
            Ok(Ok(Err(GitError::Failed { .. }))) if Instant::now() >= deadline => Err(timeout()),
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(GitError::Failed {
                detail: "the Git thread ended early".to_owned(),
            }),
            Err(_) => Err(timeout()),
        }
    }

    /// Clones anew in the place of a clone that lacks something. No [`super::Blobs`] of this repository may be open: libgit2 keeps
    /// the packs of open ones.
    ///
    /// # Errors
    /// [`GitError::Damaged`] when this was done not long ago, or the remote is damaged too; what the fetch says otherwise.
    pub async fn mend(&self, detail: &str) -> Result<(), GitError> {
        let now = Instant::now();
        if let Ok(mut renewed) = self.inner.renewed.lock() {
            if let Some(at) = *renewed
                && now.duration_since(at) < RENEW_EVERY
            {
                let minutes = RENEW_EVERY.as_secs() / 60;
                return Err(GitError::Damaged {
                    detail: format!(
                        "{detail}; it was made anew less than {minutes} minutes ago: check its disk, or {REMOTE_HELP}"
                    ),
                });
            }
            *renewed = Some(now);
        }
        let url = without_userinfo(&self.inner.url);
        tracing::warn!(%url, detail, "the clone is damaged; it is thrown away and cloned anew");
        let outcome = self.attempt(Arc::new(Inner::renew)).await;
        match outcome {
            Ok(()) => Ok(()),
            Err(GitError::Damaged { detail }) => Err(GitError::Damaged {
                detail: format!("{detail}, while it was cloned anew: {REMOTE_HELP}"),
            }),
            Err(error) => {
                // The remote could not be asked; the next look may try again.
                if let Ok(mut renewed) = self.inner.renewed.lock() {
                    *renewed = None;
                }
                Err(error)
            }
        }
    }
}

impl GitError {
    /// The same damage in a clone that was just made.
    pub(crate) fn again(self) -> Self {
        match self {
            Self::Damaged { detail } => Self::Damaged {
                detail: format!("{detail}, and the one that was made anew is damaged as well: {REMOTE_HELP}"),
            },
            error => error,
        }
    }
}

impl Inner {
    pub(super) fn open(&self) -> Result<git2::Repository, GitError> {
        match git2::Repository::open_bare(&self.directory) {
            Ok(repository) if self.is_sound() => Ok(repository),
            // A clone that cannot be opened (none yet, or one cut short by a crash) is begun anew.
            _ => {
                let _ = std::fs::remove_dir_all(&self.directory);
                let _ = std::fs::remove_dir_all(self.beside());
                self.hashed.store(true, Ordering::Relaxed);
                git2::Repository::init_bare(&self.directory).map_err(failed)
            }
        }
    }

    /// Whether libgit2 may be let at these files. The packs are hashed once, before their first use: libgit2 takes an index as it
    /// is, and a broken one makes it read outside of its memory.
    fn is_sound(&self) -> bool {
        if self.has_loose_objects() {
            return false;
        }
        if self.hashed.load(Ordering::Relaxed) {
            return true;
        }
        let sound = packs::hold(&self.directory.join("objects/pack"));
        if !sound {
            let url = without_userinfo(&self.url);
            tracing::warn!(%url, "a pack of the clone is damaged; it is thrown away and cloned anew");
        }
        self.hashed.store(true, Ordering::Relaxed);
        sound
    }

    /// We write packs only. libgit2 1.9 never ends reading a loose object that was cut short (`git_zstream_get_output` waits for
    /// more), so one that got here by whatever way is not looked at.
    fn has_loose_objects(&self) -> bool {
        let entries = std::fs::read_dir(self.directory.join("objects"));
        entries.into_iter().flatten().flatten().any(|entry| {
            let name = entry.file_name();
            name.len() == 2
                && name
                    .to_string_lossy()
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit())
        })
    }

    /// Where a new clone is made; no object of Kubernetes can have such a name, so it is nobody else's clone.
    fn beside(&self) -> PathBuf {
        let mut name = self.directory.file_name().unwrap_or_default().to_owned();
        name.push("~new");
        self.directory.with_file_name(name)
    }

    /// Fetches all that was fetched so far into a new clone, which then takes the place of the old one.
    fn renew(&self, deadline: Instant) -> Result<(), GitError> {
        let beside = self.beside();
        let _ = std::fs::remove_dir_all(&beside);
        let refspecs: Vec<String> = self
            .followed
            .lock()
            .map(|followed| followed.iter().cloned().collect())
            .unwrap_or_default();
        let repository = git2::Repository::init_bare(&beside).map_err(failed)?;
        if !refspecs.is_empty() {
            self.fetch_into(&repository, &refspecs, deadline)?;
        }
        drop(repository);
        let moved = std::fs::remove_dir_all(&self.directory)
            .or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
            .and_then(|()| std::fs::rename(&beside, &self.directory));
        moved.map_err(|error| GitError::Failed {
            detail: format!("{}: {error}", self.directory.display()),
        })
    }

    pub(super) fn fetch_branches(&self, refspecs: &[String], deadline: Instant) -> Result<Tips, GitError> {
        if let Ok(mut followed) = self.followed.lock() {
            for refspec in refspecs {
                let to = |spec: &str| spec.rsplit(':').next().map(str::to_owned);
                followed.retain(|known| to(known) != to(refspec));
                followed.push_back(refspec.clone());
            }
            while followed.len() > FOLLOWED_MAX {
                followed.pop_front();
            }
        }
        let repository = self.open()?;
        let tips = self.fetch_into(&repository, refspecs, deadline)?;
        // libgit2 takes a reference's word for it that the object is here, and fetches nothing then.
        let database = repository.odb().map_err(failed)?;
        for reference in repository.references().map_err(failed)? {
            if let Some(id) = reference.map_err(failed)?.target() {
                database.read_header(id).map_err(failed)?;
            }
        }
        // What was fetched is here, merged or not; the next fetch tries again.
        if let Err(error) = packs::merge(&repository, deadline) {
            let url = without_userinfo(&self.url);
            tracing::warn!(%url, %error, "the packs of the clone could not be merged");
        }
        Ok(tips)
    }

    fn fetch_into(
        &self,
        repository: &git2::Repository,
        refspecs: &[String],
        deadline: Instant,
    ) -> Result<Tips, GitError> {
        let mut remote = repository.remote_anonymous(&self.url).map_err(failed)?;
        let session = Session::new(&self.credentials, self.client.clone(), deadline);
        let said = RefCell::new(Vec::new());
        let mut callbacks = callbacks(deadline);
        callbacks.sideband_progress(|words| {
            let mut said = said.borrow_mut();
            said.extend_from_slice(words);
            let beyond = said.len().saturating_sub(SAID_MAX);
            said.drain(..beyond);
            Instant::now() < deadline
        });
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks)
            .follow_redirects(RemoteRedirect::None)
            .download_tags(git2::AutotagOption::None);
        session
            .during(|| remote.fetch(refspecs, Some(&mut options), None))
            .map_err(|error| with_words(session.translate(error), &said.borrow()))?;
        drop(options);
        let tips = Tips::read(remote.list().map_err(failed)?);
        Ok(tips)
    }
}

/// A server that gives up says why beside the data, and libgit2 only that the data ended.
fn with_words(error: GitError, said: &[u8]) -> GitError {
    let said = String::from_utf8_lossy(said);
    let lines = said.split(['\n', '\r']).map(str::trim);
    let mut bad = lines.filter(|line| line.contains("fatal: ") || line.contains("error: "));
    match (error, bad.next_back()) {
        (GitError::Failed { detail }, Some(line)) => GitError::Failed {
            detail: format!("{detail}; the server says: {}", shown(line)),
        },
        (error, _) => error,
    }
}

/// Whether libgit2 says that the object database or the references are broken: not what a commit holds, and not the network.
pub(super) fn is_damage(error: &git2::Error) -> bool {
    let says = |words: &str| error.message().contains(words);
    match error.class() {
        ErrorClass::Odb | ErrorClass::Zlib => true,
        ErrorClass::Object => says("failed to parse loose object"),
        ErrorClass::Os => says("invalid packfile"),
        ErrorClass::Reference => says("corrupted"),
        // A server leaves out what the clone said that it has.
        ErrorClass::Indexer => says("missing delta bases") || says("packfile is missing"),
        _ => false,
    }
}
