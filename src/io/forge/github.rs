//! GitHub's REST API (docs.github.com/rest), of github.com and of Enterprise Server.

use super::http::Http;
use super::{
    Approval, Change, Comment, CommitId, CommitState, Face, ForgeError, Label, NewPullRequest, OPEN_PER_PAGE,
    PER_PAGE, PullRequest, PullRequestState, Status, Timestamp,
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Pages of one list that are read.
const PAGES_MAX: usize = 20;

/// What GitHub gives at most per page, for things that are small.
const SMALL_PER_PAGE: &str = "100";

pub(super) struct Github(pub(super) Http);

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    branch: String,
    sha: String,
    /// Nothing when a fork was deleted.
    repo: Option<Repository>,
}

#[derive(Deserialize)]
struct Raw {
    number: u64,
    html_url: String,
    state: String,
    title: String,
    body: Option<String>,
    head: Side,
    base: Side,
    user: Option<User>,
    #[serde(default)]
    labels: Vec<Named>,
    #[serde(default)]
    draft: bool,
    merged_at: Option<Timestamp>,
    merged_by: Option<User>,
    merge_commit_sha: Option<String>,
    mergeable: Option<bool>,
    updated_at: Timestamp,
}

/// Whose account was deleted.
fn login(user: Option<User>) -> String {
    user.map_or_else(|| "ghost".to_owned(), |user| user.login)
}

impl From<Raw> for PullRequest {
    fn from(raw: Raw) -> Self {
        let state = match (raw.merged_at, raw.state.as_str()) {
            (Some(_), _) => PullRequestState::Merged,
            (None, "open") => PullRequestState::Open,
            (None, _) => PullRequestState::Closed,
        };
        let merged = state == PullRequestState::Merged;
        let ids = |side: &Side| side.repo.as_ref().map(|repo| repo.id);
        let mut labels: Vec<String> = raw.labels.into_iter().map(|label| label.name).collect();
        labels.sort();
        Self {
            number: raw.number,
            url: raw.html_url,
            state,
            title: raw.title,
            body: raw.body.unwrap_or_default(),
            from_fork: ids(&raw.head).is_none() || ids(&raw.head) != ids(&raw.base),
            head_branch: raw.head.branch,
            head_sha: CommitId(raw.head.sha),
            base_branch: raw.base.branch,
            author: login(raw.user),
            labels,
            draft: raw.draft,
            merged_by: raw.merged_by.map(|user| user.login),
            merged_at: raw.merged_at,
            merge_commit: raw.merge_commit_sha.filter(|_| merged).map(CommitId),
            mergeable: raw.mergeable,
            updated_at: raw.updated_at,
        }
    }
}

#[derive(Deserialize)]
struct RawComment {
    id: u64,
    body: Option<String>,
    user: Option<User>,
    created_at: Timestamp,
}

#[derive(Deserialize)]
struct RawStatus {
    state: String,
    context: String,
    description: Option<String>,
    target_url: Option<String>,
}

#[derive(Deserialize)]
struct Review {
    state: String,
    user: Option<User>,
    commit_id: Option<String>,
    submitted_at: Option<Timestamp>,
    #[serde(default)]
    author_association: String,
}

/// Reviewers who belong to the repository; `CONTRIBUTOR` and less are anybody.
const OWN_PEOPLE: [&str; 3] = ["OWNER", "MEMBER", "COLLABORATOR"];

/// The word for a state, which Gitea shares.
pub(super) fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Pending => "pending",
        CommitState::Success => "success",
        CommitState::Failure => "failure",
        CommitState::Error => "error",
    }
}

pub(super) fn state_of(word: &str) -> CommitState {
    match word {
        "success" => CommitState::Success,
        "failure" => CommitState::Failure,
        "error" | "warning" => CommitState::Error,
        _ => CommitState::Pending,
    }
}

pub(super) fn status_body(status: &Status) -> Value {
    json!({
        "state": word(status.state),
        "context": status.context,
        "description": status.description,
        "target_url": status.url.clone().unwrap_or_default(),
    })
}

pub(super) fn change_body(change: Change<'_>) -> Value {
    let mut body = json!({});
    if let Some((title, text)) = change.text {
        body["title"] = json!(title);
        body["body"] = json!(text);
    }
    if let Some(open) = change.open {
        body["state"] = json!(if open { "open" } else { "closed" });
    }
    body
}

impl From<RawComment> for Comment {
    fn from(raw: RawComment) -> Self {
        Self {
            id: raw.id,
            author: login(raw.user),
            body: raw.body.unwrap_or_default(),
            created_at: raw.created_at,
        }
    }
}

/// A refusal that means "there is one already".
fn exists(error: ForgeError) -> ForgeError {
    match error {
        ForgeError::Refused {
            what,
            status: 422,
            detail,
        } if detail.contains("already exists") || detail.contains("already_exists") => {
            ForgeError::Conflict { what, detail }
        }
        error => error,
    }
}

impl Github {
    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let address = self.0.address();
        let mut path = vec!["repos", address.owner(), address.name()];
        path.extend(rest);
        path
    }

    async fn change(
        &self,
        what: &str,
        method: Method,
        rest: &[&str],
        body: &Value,
    ) -> Result<Value, ForgeError> {
        self.0.write(what, method, &self.path(rest), body).await
    }

    fn read(&self, what: &str, value: Value) -> Result<PullRequest, ForgeError> {
        // It was done; what it looks like is read again.
        Raw::deserialize(value)
            .map(PullRequest::from)
            .map_err(|_| ForgeError::Indeterminate {
                what: what.to_owned(),
                detail: "the answer is not what GitHub's API says".to_owned(),
            })
    }

    async fn pulls(
        &self,
        what: &str,
        query: &[(&str, &str)],
        mut take: impl FnMut(PullRequest) -> ControlFlow<()>,
    ) -> Result<bool, ForgeError> {
        self.0
            .list(what, &self.path(&["pulls"]), query, PAGES_MAX, |raw: Raw| {
                take(raw.into())
            })
            .await
    }
}

impl Face for Github {
    fn http(&self) -> &Http {
        &self.0
    }

    async fn whoami(&self) -> Result<String, ForgeError> {
        let user: User = self.0.get("asking who we are", &["user"], &[]).await?;
        Ok(user.login)
    }

    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let what = "opening a pull request";
        let body = json!({
            "title": new.title,
            "body": new.body,
            "head": new.head_branch,
            "base": new.base_branch,
            "maintainer_can_modify": true,
        });
        let made = self.change(what, Method::POST, &["pulls"], &body).await;
        self.read(what, made.map_err(exists)?)
    }

    async fn find(&self, head: &str, base: &str, open_only: bool) -> Result<Option<PullRequest>, ForgeError> {
        // Without its owner the branch is silently not filtered by.
        let owned = format!("{}:{head}", self.0.address().owner());
        let query = [
            ("state", if open_only { "open" } else { "all" }),
            ("head", owned.as_str()),
            ("base", base),
            ("sort", "created"),
            ("direction", "desc"),
            ("per_page", PER_PAGE),
        ];
        let mut newest: Option<PullRequest> = None;
        self.pulls("looking for a pull request", &query, |found| {
            if found.head_branch == head && found.base_branch == base && !found.from_fork {
                newest = super::better(newest.take(), found);
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok(newest)
    }

    async fn get(&self, number: u64) -> Result<PullRequest, ForgeError> {
        let what = format!("reading pull request {number}");
        let raw: Raw = self
            .0
            .get(&what, &self.path(&["pulls", &number.to_string()]), &[])
            .await?;
        Ok(raw.into())
    }

    async fn list_open(&self, max: usize) -> Result<Vec<PullRequest>, ForgeError> {
        let query = [
            ("state", "open"),
            ("sort", "created"),
            ("direction", "desc"),
            ("per_page", OPEN_PER_PAGE),
        ];
        let mut found = Vec::new();
        self.pulls("listing open pull requests", &query, |next| {
            super::collect(&mut found, next, max)
        })
        .await?;
        Ok(found)
    }

    async fn patch(&self, number: u64, change: Change<'_>) -> Result<PullRequest, ForgeError> {
        let what = format!("changing pull request {number}");
        let path = ["pulls", &number.to_string()];
        let made = self
            .change(&what, Method::PATCH, &path, &change_body(change))
            .await?;
        self.read(&what, made)
    }

    async fn add_labels(&self, number: u64, names: &[String]) -> Result<(), ForgeError> {
        let what = format!("labelling pull request {number}");
        let path = ["issues", &number.to_string(), "labels"];
        self.change(&what, Method::POST, &path, &json!({"labels": names}))
            .await
            .map(drop)
    }

    async fn comments(&self, number: u64, since: Option<Timestamp>) -> Result<Vec<Comment>, ForgeError> {
        let since = since.map(|since| since.to_string());
        let mut query = vec![("per_page", SMALL_PER_PAGE)];
        query.extend(since.as_deref().map(|since| ("since", since)));
        let number = number.to_string();
        let path = self.path(&["issues", &number, "comments"]);
        let mut comments = Vec::new();
        let what = format!("reading the comments of pull request {number}");
        let take = |raw: RawComment| {
            comments.push(raw.into());
            ControlFlow::Continue(())
        };
        match self.0.list(&what, &path, &query, PAGES_MAX, take).await? {
            true => Ok(comments),
            false => Err(super::endless(what)),
        }
    }

    async fn comment(&self, number: u64, body: &str) -> Result<Option<u64>, ForgeError> {
        let what = format!("commenting pull request {number}");
        let path = ["issues", &number.to_string(), "comments"];
        self.change(&what, Method::POST, &path, &json!({"body": body}))
            .await
            .map(|made| made["id"].as_u64())
    }

    async fn get_comment(&self, _number: u64, id: u64) -> Result<Comment, ForgeError> {
        let path = ["issues", "comments", &id.to_string()];
        let raw: RawComment = self.0.get("reading our comment", &self.path(&path), &[]).await?;
        Ok(raw.into())
    }

    async fn edit_comment(&self, _number: u64, id: u64, body: &str) -> Result<(), ForgeError> {
        let path = ["issues", "comments", &id.to_string()];
        self.change(
            "editing our comment",
            Method::PATCH,
            &path,
            &json!({"body": body}),
        )
        .await
        .map(drop)
    }

    async fn delete_comment(&self, _number: u64, id: u64) -> Result<(), ForgeError> {
        let path = ["issues", "comments", &id.to_string()];
        self.change("deleting our second comment", Method::DELETE, &path, &Value::Null)
            .await
            .map(drop)
    }

    async fn labels(&self) -> Result<Vec<String>, ForgeError> {
        let mut names = Vec::new();
        let take = |label: Named| {
            names.push(label.name);
            ControlFlow::Continue(())
        };
        let query = [("per_page", SMALL_PER_PAGE)];
        self.0
            .list("listing labels", &self.path(&["labels"]), &query, PAGES_MAX, take)
            .await?;
        Ok(names)
    }

    async fn make_label(&self, label: &Label) -> Result<(), ForgeError> {
        let body = json!({"name": label.name, "color": label.color, "description": label.description});
        self.change("making a label", Method::POST, &["labels"], &body)
            .await
            .map(drop)
            .map_err(exists)
    }

    async fn status(&self, sha: &CommitId, context: &str) -> Result<Option<Status>, ForgeError> {
        let path = self.path(&["commits", sha.as_str(), "statuses"]);
        let mut newest = None;
        let take = |raw: RawStatus| {
            if raw.context != context {
                return ControlFlow::Continue(());
            }
            newest = Some(Status {
                context: raw.context,
                state: state_of(&raw.state),
                description: raw.description.unwrap_or_default(),
                url: raw.target_url,
            });
            ControlFlow::Break(())
        };
        let query = [("per_page", SMALL_PER_PAGE)];
        self.0
            .list("reading commit statuses", &path, &query, PAGES_MAX, take)
            .await?;
        Ok(newest)
    }

    async fn post_status(&self, sha: &CommitId, status: &Status) -> Result<(), ForgeError> {
        let path = ["statuses", sha.as_str()];
        self.change(
            "setting a commit status",
            Method::POST,
            &path,
            &status_body(status),
        )
        .await
        .map(drop)
    }

    async fn of_commit(&self, sha: &CommitId) -> Result<Vec<PullRequest>, ForgeError> {
        let path = self.path(&["commits", sha.as_str(), "pulls"]);
        let mut found = Vec::new();
        let take = |raw: Raw| {
            found.push(raw.into());
            ControlFlow::Continue(())
        };
        let query = [("per_page", PER_PAGE)];
        let what = "looking for the pull request of a commit";
        self.0.list(what, &path, &query, 1, take).await?;
        Ok(found)
    }

    async fn approvals(&self, number: u64) -> Result<Vec<Approval>, ForgeError> {
        let what = format!("reading the reviews of pull request {number}");
        let number = number.to_string();
        let path = self.path(&["pulls", &number, "reviews"]);
        // They come in the order of time; only these words change a person's mind.
        let mut latest: BTreeMap<String, Option<Approval>> = BTreeMap::new();
        let take = |review: Review| {
            let login = login(review.user);
            match review.state.as_str() {
                "APPROVED" => {
                    let approval = Approval {
                        trusted: OWN_PEOPLE.contains(&review.author_association.as_str()),
                        login: login.clone(),
                        commit: review.commit_id.map(CommitId),
                        at: review.submitted_at,
                    };
                    latest.insert(login, Some(approval));
                }
                "CHANGES_REQUESTED" | "DISMISSED" => {
                    latest.insert(login, None);
                }
                _ => {}
            }
            ControlFlow::Continue(())
        };
        let query = [("per_page", SMALL_PER_PAGE)];
        match self.0.list(&what, &path, &query, PAGES_MAX, take).await? {
            true => Ok(latest.into_values().flatten().collect()),
            // A later word may be on a page that was not read.
            false => Err(super::endless(what)),
        }
    }
}
