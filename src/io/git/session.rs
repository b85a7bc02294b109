//! One operation with a remote: what the transports need to know, and what they found out.
//!
//! libgit2 makes a transport by an address alone, so the rest is put beside it for the thread that does the work.

use super::credentials::{Credentials, Login};
use super::{GitError, http, ssh};
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
