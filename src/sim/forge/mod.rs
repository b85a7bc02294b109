//! Simulated GitHub and GitLab: their REST APIs over loopback, over a real bare repository in which people push and merge.
//!
//! The rules are those of the forges' own documents and of what Renovate, Kargo and Atlantis learned about them. Gitea is not
//! here: tests start the real one.

use crate::model::pull_request::ForgeKind;
use axum::Router;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;

/// The repository.
mod git;

/// Pull requests and what is said about them.
mod state;

/// What goes wrong.
mod faults;

/// One door for all requests.
mod door;

/// GitHub Apps.
mod app;

/// What GitHub answers.
mod github;

/// What GitLab answers.
mod gitlab;

pub use faults::Fault;
pub use git::MergeBy;
pub use state::{Pull, Review, Said, SimStatus, Standing, State, Verdict};

/// The repository's path on the forge.
pub const REPOSITORY: &str = "acme/policies";

/// Who the token belongs to.
pub const LOGIN: &str = "couchestor-bot";

/// The running simulator; it ends when it is dropped.
pub struct ForgeSim {
    address: SocketAddr,
    repository: PathBuf,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

pub(super) struct Shared {
    kind: ForgeKind,
    token: String,
    state: Mutex<State>,
    tokens: Mutex<app::Tokens>,
    traffic: Mutex<Traffic>,
}

/// What went over the wire.
#[derive(Default)]
struct Traffic {
    faults: faults::Faults,
    /// Method and path of each request.
    requests: Vec<String>,
    /// Answers to reads by address, for lists that lag behind: the newest, and the one before it.
    shown: BTreeMap<String, [Option<door::Answer>; 2]>,
    /// Requests that are allowed in this window, if they are counted.
    budget: Option<u32>,
    /// Changes that are asked for and not answered yet, and the most that ever were.
    writing: usize,
    writing_most: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sync();
        state
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ForgeSim {
    /// Starts a forge with one repository in a folder, which is made with an empty first commit if it is not there; `token` is
    /// the one that is let in.
    ///
    /// # Errors
    /// When no port can be opened, or the folder cannot be used.
    pub async fn start(kind: ForgeKind, repository: &Path, token: &str) -> Result<Self, String> {
        if kind == ForgeKind::Gitea {
            return Err("Gitea is not simulated; start the real one".to_owned());
        }
        let git = git::Git::open(repository)?;
        let shared = Arc::new(Shared {
            kind,
            token: token.to_owned(),
            state: Mutex::new(State::new(kind, git)),
            tokens: Mutex::default(),
            traffic: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let routes = Router::new().fallback(door::serve).with_state(shared.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            repository: repository.to_owned(),
            shared,
            server,
        })
    }

    /// Its address, as it would be of an instance of one's own; the API is below `/api/v3` and `/api/v4`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The repository's folder, which Git may clone from and push to.
    pub fn repository(&self) -> &Path {
        &self.repository
    }

    /// Adds a commit with these files to a branch and returns it; from another branch or commit if one is given, which makes
    /// the branch or rewrites it.
    ///
    /// # Errors
    /// What Git says.
    pub fn push(&self, branch: &str, from: Option<&str>, files: &[(&str, &str)]) -> Result<String, String> {
        let mut state = self.shared.state();
        let at = i64::try_from(state.id()).unwrap_or(0);
        let commit = state.git.push(branch, from, files, at)?;
        state.sync();
        Ok(commit)
    }

    /// Deletes a branch.
    ///
    /// # Errors
    /// What Git says.
    pub fn delete_branch(&self, branch: &str) -> Result<(), String> {
        let mut state = self.shared.state();
        state.git.delete(branch)?;
        state.sync();
        Ok(())
    }

    /// The newest commit of a branch.
    pub fn tip(&self, branch: &str) -> Option<String> {
        self.shared.state().git.tip(branch)
    }

    /// Merges as a person; returns the new tip of base.
    ///
    /// # Errors
    /// Why it cannot be merged.
    pub fn merge(&self, number: u64, how: MergeBy, who: &str) -> Result<String, String> {
        self.shared.state().merge(number, how, who)
    }

    /// Closes as a person, or opens again.
    ///
    /// # Errors
    /// The forge's words.
    pub fn turn(&self, number: u64, open: bool) -> Result<(), String> {
        self.shared.state().turn(number, open).map_err(|(_, words)| words)
    }

    /// Reviews as a person; [`Verdict::Dismiss`] takes that person's reviews away.
    ///
    /// # Errors
    /// When there is no such pull request.
    pub fn review(&self, number: u64, who: &str, verdict: Verdict) -> Result<(), String> {
        self.shared.state().review(number, who, verdict)
    }

    /// Comments as a person.
    ///
    /// # Errors
    /// When there is no such pull request.
    pub fn comment(&self, number: u64, who: &str, text: &str) -> Result<u64, String> {
        self.shared
            .state()
            .say(number, who, text, false)
            .map_err(|(_, words)| words)
    }

    /// Opens a pull request as a person, from a branch of the repository or of a fork.
    ///
    /// # Errors
    /// The forge's words.
    pub fn open(
        &self,
        who: &str,
        title: &str,
        branches: (&str, &str),
        from_fork: bool,
    ) -> Result<u64, String> {
        self.shared
            .state()
            .open(who, title, "", branches, from_fork)
            .map_err(|(_, words)| words)
    }

    /// Looks at or changes what it knows.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.shared.state())
    }

    /// Orders a fault for a request to come; 0 is the next one.
    pub fn fault(&self, after: usize, fault: Fault) {
        self.shared.traffic().faults.order(after, fault);
    }

    /// The most changes that ever were asked for at once.
    pub fn writes_at_once(&self) -> usize {
        self.shared.traffic().writing_most
    }

    /// Orders faults by chance: one request in `one_in` meets one of these.
    pub fn faults_by_chance(&self, seed: u64, one_in: u64, of: &[Fault]) {
        self.shared.traffic().faults.chance(seed, one_in, of);
    }

    /// Ends all faults.
    pub fn no_faults(&self) {
        self.shared.traffic().faults.none();
    }

    /// The faults that happened, each with its request.
    pub fn happened(&self) -> Vec<String> {
        self.shared.traffic().faults.happened()
    }

    /// Method and path of each request so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.traffic().requests.clone()
    }

    /// Takes back the token of the App's installation; returns how many were given.
    pub fn take_back_token(&self) -> u64 {
        let mut tokens = self.shared.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.take_back();
        tokens.given()
    }

    /// Allows so many requests more in this window; conditional ones that change nothing are free. `None`: no limit.
    pub fn budget(&self, requests: Option<u32>) {
        self.shared.traffic().budget = requests;
    }
}

impl Drop for ForgeSim {
    fn drop(&mut self) {
        self.server.abort();
    }
}
