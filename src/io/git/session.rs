//! One operation with a remote: what the transports need to know, and what they found out.
//!
//! libgit2 makes a transport by an address alone, so the rest is put beside it for the thread that does the work.

use super::credentials::{Credentials, Login};
use super::{GitError, RECEIVED_BYTES_MAX, http, ssh};
use git2::RemoteCallbacks;
use git2::transport::Transport;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// What one operation needs.
pub(super) struct Session {
    pub(super) runtime: Handle,
    pub(super) deadline: Instant,
    pub(super) credentials: Credentials,
    /// For `http://` and `https://`.
    pub(super) client: Option<reqwest::Client>,
    verdict: Mutex<Option<GitError>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Session>>> = const { RefCell::new(None) };
}

impl Session {
    /// A session of this thread, which must be one for blocking work inside of a runtime.
    pub(super) fn new(
        credentials: &Credentials,
        client: Option<reqwest::Client>,
        deadline: Instant,
    ) -> Arc<Self> {
        Arc::new(Self {
            runtime: Handle::current(),
            deadline,
            credentials: credentials.clone(),
            client,
            verdict: Mutex::default(),
        })
    }

    /// Runs something during which libgit2's transports belong to this session.
    pub(super) fn during<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        CURRENT.with(|current| *current.borrow_mut() = Some(self.clone()));
        let result = work();
        CURRENT.with(|current| *current.borrow_mut() = None);
        result
    }

    /// Keeps the first thing that went wrong: what libgit2 makes of it is less clear.
    pub(super) fn fail(&self, error: GitError) -> git2::Error {
        let words = error.to_string();
        if let Ok(mut verdict) = self.verdict.lock() {
            verdict.get_or_insert(error);
        }
        git2::Error::from_str(&words)
    }

    /// The error of an operation that ended with one of libgit2's.
    pub(super) fn translate(&self, error: git2::Error) -> GitError {
        let verdict = self.verdict.lock().ok().and_then(|mut verdict| verdict.take());
        verdict.unwrap_or_else(|| super::failed(error))
    }

    /// Waits for something until the deadline.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, GitError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let late = || GitError::Failed {
            detail: "the server took too long".to_owned(),
        };
        if left == Duration::ZERO {
            return Err(late());
        }
        self.runtime
            .block_on(tokio::time::timeout(left, work))
            .map_err(|_| late())
    }

    /// Whether somebody logs in as a GitHub App.
    pub(super) fn app(&self) -> Option<&super::github_app::App> {
        match &self.credentials.login {
            Login::App(app) => Some(app),
            _ => None,
        }
    }
}

/// Counts what a server sends.
pub(super) struct Received {
    count: usize,
    max: usize,
}

impl Received {
    pub(super) fn new(max: usize) -> Self {
        Self { count: 0, max }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn add(&mut self, more: usize) -> Result<(), GitError> {
        self.count = self.count.saturating_add(more);
        match self.count > self.max {
            true => Err(GitError::Failed {
                detail: format!("the server sent more than {} bytes", self.max),
            }),
            false => Ok(()),
        }
    }
}

/// What ends an operation at its deadline, or when the server sends more than a repository of policies holds.
pub(super) fn callbacks<'a>(deadline: Instant) -> RemoteCallbacks<'a> {
    callbacks_within(deadline, RECEIVED_BYTES_MAX)
}

fn callbacks_within<'a>(deadline: Instant, max: usize) -> RemoteCallbacks<'a> {
    let late = move || Instant::now() >= deadline;
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(move |progress| {
        // Our transports count for themselves; folders are read by libgit2's own.
        let enough = Received::new(max).add(progress.received_bytes());
        if let (Err(error), Ok(session)) = (&enough, current()) {
            session.fail(error.clone());
        }
        !late() && enough.is_ok()
    });
    callbacks.sideband_progress(move |_| !late());
    callbacks
}

fn current() -> Result<Arc<Session>, git2::Error> {
    CURRENT
        .with(|current| current.borrow().clone())
        .ok_or_else(|| git2::Error::from_str("no operation is under way"))
}

/// Puts our transports in the place of libgit2's own, which know neither a source's own authority nor its proxy.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for scheme in ["http", "https"] {
            let made = |remote: &git2::Remote<'_>| Transport::smart(remote, true, http::Http(current()?));
            #[expect(unsafe_code, reason = "git2 marks this as unsafe because no other thread may be registering; this runs once")]
            // SAFETY: called once, before the first remote of this process is opened.
            let registered = unsafe { git2::transport::register(scheme, made) };
            debug_assert!(registered.is_ok(), "a scheme is registered once");
        }
        let made = |remote: &git2::Remote<'_>| Transport::smart(remote, false, ssh::Ssh(current()?));
        #[expect(unsafe_code, reason = "git2 marks this as unsafe because no other thread may be registering; this runs once")]
        // SAFETY: as above.
        let registered = unsafe { git2::transport::register("ssh", made) };
        debug_assert!(registered.is_ok(), "a scheme is registered once");
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn what_a_server_sends_is_counted_to_the_last_byte() {
        let mut received = Received::new(10);
        assert_eq!(received.add(4), Ok(()));
        assert_eq!(received.add(6), Ok(()));
        let words = received.add(1).unwrap_err().to_string();
        assert!(words.contains("the server sent more than 10 bytes"), "{words}");
        assert!(Received::new(10).add(usize::MAX).is_err() && received.add(usize::MAX).is_err());
    }

    #[tokio::test]
    async fn a_folder_with_too_much_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let source = git2::Repository::init_bare(folder.path().join("source")).unwrap();
        // It cannot be compressed: each block is the hash of its number.
        let numbers = 0..5_000_u32;
        let content: Vec<u8> = numbers
            .flat_map(|number| {
                let id = git2::Oid::hash_object(git2::ObjectType::Blob, &number.to_be_bytes());
                id.unwrap().as_bytes().to_vec()
            })
            .collect();
        let blob = source.blob(&content).unwrap();
        let mut tree = source.treebuilder(None).unwrap();
        tree.insert("large", blob, 0o100_644).unwrap();
        let tree = source.find_tree(tree.write().unwrap()).unwrap();
        let who = git2::Signature::new("A", "a@example.org", &git2::Time::new(0, 0)).unwrap();
        source
            .commit(Some("refs/heads/main"), &who, &who, "large", &tree, &[])
            .unwrap();

        let fetch = |name: &str, max: usize| {
            let clone = git2::Repository::init_bare(folder.path().join(name)).unwrap();
            let mut remote = clone.remote_anonymous(source.path().to_str().unwrap()).unwrap();
            let deadline = Instant::now() + Duration::from_secs(60);
            let session = Session::new(&Credentials::default(), None, deadline);
            let mut options = git2::FetchOptions::new();
            options.remote_callbacks(callbacks_within(deadline, max));
            session
                .during(|| remote.fetch(&["refs/heads/main:refs/heads/main"], Some(&mut options), None))
                .map_err(|error| session.translate(error))
        };
        assert_eq!(fetch("whole", content.len() + 10_000), Ok(()));
        let error = fetch("bounded", 50_000).unwrap_err().to_string();
        assert!(error.contains("sent more than 50000 bytes"), "{error}");
    }
}
