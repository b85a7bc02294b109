//! Pull requests on GitHub, GitLab, Gitea and Forgejo: one set of operations, safe to repeat whatever became of the last try.
//!
//! A forge says who did something and when. It never says that something may be done: authority is read from the base branch
//! (`parse`). Every write begins with a read or ends in one, so that a lost answer neither doubles nor loses anything.

use crate::io::git::Credentials;
use crate::io::guard::Guard;
use crate::model::ids::CommitId;
use crate::model::pull_request::{
    Approval, CONTEXT_MAX, Comment, CommitState, ForgeKind, Label, NewPullRequest, PullRequest,
    PullRequestState, cut, hidden_marker,
};
use http::Http;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// Where the API is.
mod address;

/// Typed errors.
mod error;

/// The door for requests.
mod http;

/// Limits.
mod limits;

/// GitHub's API.
mod github;

/// GitLab's API.
mod gitlab;

/// Gitea's and Forgejo's API.
mod gitea;

/// One living comment, statuses, labels.
mod written;

pub use address::Address;
pub use error::ForgeError;
pub use limits::Requests;
pub use written::Commented;

/// How often a write is sent in one call: once, and once more when a read has shown that the first was lost.
const TRIES: usize = 2;

/// Things per page: what all forges give.
const PER_PAGE: &str = "50";

/// Open pull requests per page, of which all are read now and then: what GitHub and GitLab give at most. Gitea gives fewer unless it is
/// told otherwise (`MAX_RESPONSE_ITEMS`, 50), and says that there are more.
const OPEN_PER_PAGE: &str = "100";

/// Bounds that may differ.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long one answer may take.
    pub timeout: Duration,
    /// How many writes a minute may have; GitHub itself allows 80.
    pub writes_per_minute: u32,
    /// Whether anything may be written now.
    pub guard: Guard,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            writes_per_minute: 60,
            guard: Guard::default(),
        }
    }
}

/// What is to be changed of a pull request.
#[derive(Clone, Copy, Default)]
struct Change<'a> {
    text: Option<(&'a str, &'a str)>,
    open: Option<bool>,
}

/// A commit status.
#[derive(Clone, PartialEq, Eq)]
struct Status {
    context: String,
    state: CommitState,
    description: String,
    url: Option<String>,
}

/// What each forge does its own way. Each is one thing asked of the forge; what makes it safe is below.
trait Face {
    fn http(&self) -> &Http;
    async fn whoami(&self) -> Result<String, ForgeError>;
    /// [`ForgeError::Conflict`] when there is an open one already.
    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError>;
    /// The open one, or else (unless `open_only`) the newest.
    async fn find(&self, head: &str, base: &str, open_only: bool) -> Result<Option<PullRequest>, ForgeError>;
    async fn get(&self, number: u64) -> Result<PullRequest, ForgeError>;
    async fn list_open(&self, max: usize) -> Result<Vec<PullRequest>, ForgeError>;
    async fn patch(&self, number: u64, change: Change<'_>) -> Result<PullRequest, ForgeError>;
    async fn add_labels(&self, number: u64, names: &[String]) -> Result<(), ForgeError>;
    /// Oldest first.
    async fn comments(&self, number: u64, since: Option<Timestamp>) -> Result<Vec<Comment>, ForgeError>;
    /// The new comment's number, if the forge said it.
    async fn comment(&self, number: u64, body: &str) -> Result<Option<u64>, ForgeError>;
    async fn get_comment(&self, number: u64, id: u64) -> Result<Comment, ForgeError>;
    async fn edit_comment(&self, number: u64, id: u64, body: &str) -> Result<(), ForgeError>;
    async fn delete_comment(&self, number: u64, id: u64) -> Result<(), ForgeError>;
    async fn labels(&self) -> Result<Vec<String>, ForgeError>;
    /// [`ForgeError::Conflict`] when there is one of that name.
    async fn make_label(&self, label: &Label) -> Result<(), ForgeError>;
    /// The newest status of a context.
    async fn status(&self, sha: &CommitId, context: &str) -> Result<Option<Status>, ForgeError>;
    async fn post_status(&self, sha: &CommitId, status: &Status) -> Result<(), ForgeError>;
    /// How a state is told apart from others by this forge: GitLab has one word for two of them.
    fn seen_as(&self, state: CommitState) -> CommitState {
        state
    }
    async fn approvals(&self, number: u64) -> Result<Vec<Approval>, ForgeError>;
    /// Pull requests that a commit is part of.
    async fn of_commit(&self, sha: &CommitId) -> Result<Vec<PullRequest>, ForgeError>;
}

enum Which {
    Github(github::Github),
    Gitlab(gitlab::Gitlab),
    Gitea(gitea::Gitea),
}

/// Asks the forge that it is.
macro_rules! ask {
    ($forge:expr, $method:ident($($argument:expr),*)) => {
        match &$forge.which {
            Which::Github(face) => face.$method($($argument),*).await,
            Which::Gitlab(face) => face.$method($($argument),*).await,
            Which::Gitea(face) => face.$method($($argument),*).await,
        }
    };
}
use ask;

/// While it lives, a forge is waited for no longer than was allowed.
#[must_use = "the bound ends with it"]
pub struct Allowance<'a>(&'a Forge);

impl Drop for Allowance<'_> {
    fn drop(&mut self) {
        self.0.http().allow(None);
    }
}

/// A client of one repository on a forge. No Debug: it holds a token.
pub struct Forge {
    which: Which,
    me: tokio::sync::OnceCell<String>,
    /// Our living comments by pull request and mark: a list that lags behind may not show them yet.
    living: Mutex<BTreeMap<(u64, String), u64>>,
}

/// A pull request that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// It.
    pub pull_request: PullRequest,
    /// Whether this call opened it.
    pub new: bool,
}

/// A pull request that is now as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// It.
    pub pull_request: PullRequest,
    /// Whether anything had to be written.
    pub written: bool,
}

impl Forge {
    /// Makes a client; nothing is asked yet.
    ///
    /// # Errors
    /// [`ForgeError::Address`] and [`ForgeError::Credentials`] when they cannot work.
    pub fn new(address: &Address, credentials: Credentials, options: Options) -> Result<Self, ForgeError> {
        let http = Http::new(address, credentials, options)?;
        let which = match address.kind {
            ForgeKind::Github => Which::Github(github::Github(http)),
            ForgeKind::Gitlab => Which::Gitlab(gitlab::Gitlab(http)),
            ForgeKind::Gitea => Which::Gitea(gitea::Gitea(http)),
        };
        Ok(Self {
            which,
            me: tokio::sync::OnceCell::new(),
            living: Mutex::default(),
        })
    }

    fn http(&self) -> &Http {
        match &self.which {
            Which::Github(face) => face.http(),
            Which::Gitlab(face) => face.http(),
            Which::Gitea(face) => face.http(),
        }
    }

    /// Which repository of which forge.
    pub fn address(&self) -> &Address {
        self.http().address()
    }

    /// Bounds how long all requests together may take, until what is given back is dropped.
    pub fn allow(&self, budget: Duration) -> Allowance<'_> {
        self.http().allow(Some(budget));
        Allowance(self)
    }

    /// What was asked so far, and what the forge still allows.
    pub fn requests(&self) -> Requests {
        self.http().requests()
    }

    /// Our own login; asked once.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn whoami(&self) -> Result<String, ForgeError> {
        let login = self.me.get_or_try_init(|| async {
            match self.http().app_login().await? {
                Some(login) => Ok(login),
                None => ask!(self, whoami()),
            }
        });
        login.await.cloned()
    }

    /// Opens a pull request, unless one is open for this branch: then that is the answer.
    ///
    /// # Errors
    /// Any [`ForgeError`]. After [`ForgeError::Indeterminate`] and [`ForgeError::Conflict`] call it again later: it looks first.
    pub async fn open(&self, new: &NewPullRequest) -> Result<Opened, ForgeError> {
        self.check_text(&new.title, &new.body)?;
        let before = self.find(&new.head_branch, &new.base_branch).await?;
        if let Some(open) = before.as_ref().filter(|found| found.is_open()) {
            return self.labelled(open.clone(), new, false).await;
        }
        let newest = before.map_or(0, |found| found.number);
        let mut last = None;
        for _ in 0..TRIES {
            match ask!(self, create(new)) {
                Ok(made) => return self.labelled(made, new, true).await,
                // It may have been ours that came first and whose answer was lost, and it may be closed again by now.
                Err(error @ (ForgeError::Indeterminate { .. } | ForgeError::Conflict { .. })) => {
                    let lost = error.is_indeterminate() || last.is_some();
                    let found = self.find(&new.head_branch, &new.base_branch).await?;
                    if let Some(found) = found.filter(|found| found.is_open() || found.number > newest) {
                        return self.labelled(found, new, lost).await;
                    }
                    // It says that there is one and does not show it: a list that lags behind. Asking again is no help now.
                    if !error.is_indeterminate() {
                        return Err(error);
                    }
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| ForgeError::Unreachable {
            what: "opening a pull request".to_owned(),
            detail: "it was not tried".to_owned(),
        }))
    }

    async fn labelled(
        &self,
        found: PullRequest,
        wanted: &NewPullRequest,
        new: bool,
    ) -> Result<Opened, ForgeError> {
        let missing: Vec<String> = wanted
            .labels
            .iter()
            .filter(|name| !found.labels.contains(name))
            .cloned()
            .collect();
        if missing.is_empty() || !found.is_open() {
            return Ok(Opened {
                pull_request: found,
                new,
            });
        }
        // Adding a label twice is adding it once.
        match ask!(self, add_labels(found.number, &missing)) {
            Ok(()) => {}
            Err(error) if error.is_indeterminate() => ask!(self, add_labels(found.number, &missing))?,
            Err(error) => return Err(error),
        }
        let pull_request = self.get(found.number).await?;
        Ok(Opened { pull_request, new })
    }

    /// The pull request from a branch of this repository to another: the open one, or else the newest.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn find(&self, head: &str, base: &str) -> Result<Option<PullRequest>, ForgeError> {
        let found = ask!(self, find(head, base, false))?;
        match found {
            // Lists do not say who merged.
            Some(found) if found.state == PullRequestState::Merged && found.merged_by.is_none() => {
                self.get(found.number).await.map(Some)
            }
            found => Ok(found),
        }
    }

    /// One pull request.
    ///
    /// # Errors
    /// Any [`ForgeError`]; [`ForgeError::NotFound`] when there is none of this number.
    pub async fn get(&self, number: u64) -> Result<PullRequest, ForgeError> {
        ask!(self, get(number))
    }

    /// The open pull requests, newest first; `max` at most.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn list_open(&self, max: usize) -> Result<Vec<PullRequest>, ForgeError> {
        ask!(self, list_open(max))
    }

    /// Gives a pull request this title and this body, if it has others.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn update(&self, number: u64, title: &str, body: &str) -> Result<Changed, ForgeError> {
        self.check_text(title, body)?;
        let change = Change {
            text: Some((title, body)),
            open: None,
        };
        self.settle(number, change, |found| {
            same(&found.title, title) && same(&found.body, body)
        })
        .await
    }

    /// Closes a pull request, unless it is closed or merged.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn close(&self, number: u64) -> Result<Changed, ForgeError> {
        let change = Change {
            text: None,
            open: Some(false),
        };
        self.settle(number, change, |found| !found.is_open()).await
    }

    /// Opens a closed pull request again, unless it is open.
    ///
    /// # Errors
    /// Any [`ForgeError`]; [`ForgeError::Refused`] when it was merged, when its branch is gone, and on GitHub when its branch was
    /// rewritten meanwhile: then only a new one helps.
    pub async fn reopen(&self, number: u64) -> Result<Changed, ForgeError> {
        let change = Change {
            text: None,
            open: Some(true),
        };
        let changed = self
            .settle(number, change, |found| found.state != PullRequestState::Closed)
            .await?;
        match changed.pull_request.is_open() {
            true => Ok(changed),
            false => Err(ForgeError::Refused {
                what: format!("reopening pull request {number}"),
                status: 422,
                detail: "it was merged".to_owned(),
            }),
        }
    }

    /// Changes a pull request until it is as it should be, reading before each further try.
    async fn settle(
        &self,
        number: u64,
        change: Change<'_>,
        done: impl Fn(&PullRequest) -> bool,
    ) -> Result<Changed, ForgeError> {
        let found = self.get(number).await?;
        if done(&found) {
            return Ok(Changed {
                pull_request: found,
                written: false,
            });
        }
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match ask!(self, patch(number, change)) {
                Ok(pull_request) => {
                    return Ok(Changed {
                        pull_request,
                        written: true,
                    });
                }
                Err(error) if error.is_indeterminate() => {
                    let found = self.get(number).await?;
                    if done(&found) {
                        return Ok(Changed {
                            pull_request: found,
                            written: true,
                        });
                    }
                    if tries == 0 {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Who approves a pull request now, and which head each of them saw.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn approvals(&self, number: u64) -> Result<Vec<Approval>, ForgeError> {
        let mut approvals = ask!(self, approvals(number))?;
        approvals.sort();
        Ok(approvals)
    }

    fn check_text(&self, title: &str, body: &str) -> Result<(), ForgeError> {
        let limits = self.address().kind.limits();
        for (name, text, max) in [("title", title, limits.title), ("body", body, limits.body)] {
            let length = text.chars().count();
            if length > max {
                return Err(ForgeError::Refused {
                    what: "writing to the forge".to_owned(),
                    status: 413,
                    detail: format!(
                        "the {name} has {length} characters; {} takes {max}",
                        self.address().kind.name()
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Whether a forge holds a text as we wrote it: forges trim ends and change line ends.
fn same(held: &str, ours: &str) -> bool {
    let lines = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
    lines(held) == lines(ours)
}

/// Of two pull requests of one branch the open one, or else the newer.
fn better(known: Option<PullRequest>, found: PullRequest) -> Option<PullRequest> {
    let rank = |one: &PullRequest| (one.is_open(), one.number);
    match known {
        Some(known) if rank(&known) > rank(&found) => Some(known),
        _ => Some(found),
    }
}

/// Takes one more of a list, unless there are enough.
fn collect(found: &mut Vec<PullRequest>, next: PullRequest, max: usize) -> std::ops::ControlFlow<()> {
    // Pages move when something is opened between two of them.
    if found.len() < max && found.iter().all(|known| known.number != next.number) {
        found.push(next);
    }
    // No page is asked for whose things nobody takes.
    match found.len() < max {
        true => std::ops::ControlFlow::Continue(()),
        false => std::ops::ControlFlow::Break(()),
    }
}

/// A list that must be read whole was not.
fn endless(what: String) -> ForgeError {
    ForgeError::Unreadable {
        what,
        detail: "there are more of them than are read".to_owned(),
    }
}
