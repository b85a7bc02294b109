//! Gitea's and Forgejo's REST API (`/api/v1`), as seen on Gitea 1.26.

use super::github::{change_body, state_of, status_body};
use super::http::Http;
use super::{
    Approval, Change, Comment, CommitId, Face, ForgeError, Label, NewPullRequest, OPEN_PER_PAGE, PER_PAGE,
    PullRequest, PullRequestState, Status, Timestamp,
};
use jiff::SignedDuration;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Pages of one list that are read: fifty things each, which is what Gitea gives at most unless it is told otherwise.
const PAGES_MAX: usize = 40;

/// How long "not mergeable" may mean "not known yet": it is found out within some seconds after a push.
const FINDING_OUT: SignedDuration = SignedDuration::from_secs(10);

/// The colour of a label that nobody chose one for.
const COLOR: &str = "808080";

pub(super) struct Gitea(pub(super) Http);

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct RawLabel {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct Side {
    /// The branch's name, which stays when the branch is deleted; `ref` becomes `refs/pull/N/head` then.
    label: String,
    sha: String,
    #[serde(default)]
    repo_id: i64,
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
    labels: Option<Vec<RawLabel>>,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    merged: bool,
    merged_at: Option<Timestamp>,
    merged_by: Option<User>,
    merge_commit_sha: Option<String>,
    #[serde(default)]
    mergeable: bool,
    updated_at: Timestamp,
}

fn login(user: Option<User>) -> String {
    user.map_or_else(|| "ghost".to_owned(), |user| user.login)
}

impl From<Raw> for PullRequest {
    fn from(raw: Raw) -> Self {
        let state = match (raw.merged, raw.state.as_str()) {
            (true, _) => PullRequestState::Merged,
            (false, "open") => PullRequestState::Open,
            (false, _) => PullRequestState::Closed,
        };
        let settled = raw.updated_at + FINDING_OUT < crate::io::clock::now();
        let mut labels: Vec<String> = raw
            .labels
            .unwrap_or_default()
            .into_iter()
            .map(|label| label.name)
            .collect();
        labels.sort();
        Self {
            number: raw.number,
            url: raw.html_url,
            state,
            title: raw.title,
            body: raw.body.unwrap_or_default(),
            from_fork: raw.head.repo_id != raw.base.repo_id,
            head_branch: raw.head.label,
            head_sha: CommitId(raw.head.sha),
            base_branch: raw.base.label,
            author: login(raw.user),
            labels,
            draft: raw.draft,
            merged_by: raw.merged_by.map(|user| user.login),
            merged_at: raw.merged_at,
            merge_commit: raw.merge_commit_sha.filter(|_| raw.merged).map(CommitId),
            mergeable: (raw.mergeable || settled).then_some(raw.mergeable),
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
    id: u64,
    status: String,
    context: String,
    description: Option<String>,
    target_url: Option<String>,
}

#[derive(Deserialize)]
struct Review {
    id: u64,
    state: String,
    user: Option<User>,
    commit_id: Option<String>,
    submitted_at: Option<Timestamp>,
    #[serde(default)]
    dismissed: bool,
    /// Whether they may write, or a rule of the branch names them.
    #[serde(default)]
    official: bool,
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
            status: 409,
            detail,
        } => ForgeError::Conflict { what, detail },
        error => error,
    }
}

impl Gitea {
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
        Raw::deserialize(value)
            .map(PullRequest::from)
            .map_err(|_| ForgeError::Indeterminate {
                what: what.to_owned(),
                detail: "the answer is not what Gitea's API says".to_owned(),
            })
    }

    async fn pulls(
        &self,
        what: &str,
        query: &[(&str, &str)],
        mut take: impl FnMut(PullRequest) -> ControlFlow<()>,
    ) -> Result<bool, ForgeError> {
        let path = self.path(&["pulls"]);
        self.0
            .list(what, &path, query, PAGES_MAX, |raw: Raw| take(raw.into()))
            .await
    }

    /// Whether there ever was one: a short answer that spares reading all closed ones. `None`: it cannot be asked.
    async fn ever(&self, head: &str, base: &str) -> Result<Option<bool>, ForgeError> {
        if base.contains('/') {
            return Ok(None);
        }
        let mut path = vec!["pulls", base];
        path.extend(head.split('/'));
        let asked = self
            .0
            .get::<Value>("looking for a pull request", &self.path(&path), &[])
            .await;
        match asked {
            Ok(_) => Ok(Some(true)),
            Err(ForgeError::NotFound { .. }) => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }

    /// The first of a list, newest first, that is of these branches.
    async fn first(
        &self,
        state: &str,
        head: &str,
        base: &str,
    ) -> Result<(Option<PullRequest>, bool), ForgeError> {
        let query = [("state", state), ("base_branch", base), ("limit", PER_PAGE)];
        let mut first = None;
        let whole = self
            .pulls("looking for a pull request", &query, |found| {
                if found.head_branch == head && found.base_branch == base && !found.from_fork {
                    first = Some(found);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })
            .await?;
        Ok((first, whole))
    }

    async fn label_ids(&self) -> Result<BTreeMap<String, u64>, ForgeError> {
        let mut ids = BTreeMap::new();
        let take = |label: RawLabel| {
            // Nothing keeps Gitea from having two of one name; the older is used.
            ids.entry(label.name).or_insert(label.id);
            ControlFlow::Continue(())
        };
        let query = [("limit", PER_PAGE)];
        self.0
            .list("listing labels", &self.path(&["labels"]), &query, PAGES_MAX, take)
            .await?;
        Ok(ids)
    }
}

impl Face for Gitea {
    fn http(&self) -> &Http {
        &self.0
    }

    async fn whoami(&self) -> Result<String, ForgeError> {
        let asked = self
            .0
            .get::<User>("asking who we are (scope read:user)", &["user"], &[]);
        Ok(asked.await?.login)
    }

    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let what = "opening a pull request";
        // Labels go by their numbers here; they are added afterwards by name.
        let body = json!({
            "title": new.title,
            "body": new.body,
            "head": new.head_branch,
            "base": new.base_branch,
        });
        let made = self.change(what, Method::POST, &["pulls"], &body).await;
        self.read(what, made.map_err(exists)?)
    }

    async fn find(&self, head: &str, base: &str, open_only: bool) -> Result<Option<PullRequest>, ForgeError> {
        let ever = if open_only {
            Some(true)
        } else {
            self.ever(head, base).await?
        };
        if ever == Some(false) {
            return Ok(None);
        }
        let (open, _) = self.first("open", head, base).await?;
        if open.is_some() || open_only {
            return Ok(open);
        }
        match self.first("closed", head, base).await? {
            (None, false) if ever == Some(true) => {
                Err(super::endless("looking for a closed pull request".to_owned()))
            }
            (found, _) => Ok(found),
        }
    }

    async fn get(&self, number: u64) -> Result<PullRequest, ForgeError> {
        let what = format!("reading pull request {number}");
        let path = ["pulls", &number.to_string()];
        let raw: Raw = self.0.get(&what, &self.path(&path), &[]).await?;
        Ok(raw.into())
    }

    async fn list_open(&self, max: usize) -> Result<Vec<PullRequest>, ForgeError> {
        let query = [("state", "open"), ("limit", OPEN_PER_PAGE)];
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
        let mut ids = self.label_ids().await?;
        for name in names.iter().filter(|name| !ids.contains_key(*name)) {
            let label = Label {
                name: name.clone(),
                color: COLOR.to_owned(),
                description: String::new(),
            };
            self.make_label(&label).await?;
        }
        if names.iter().any(|name| !ids.contains_key(name)) {
            ids = self.label_ids().await?;
        }
        let wanted: Vec<u64> = names.iter().filter_map(|name| ids.get(name).copied()).collect();
        let what = format!("labelling pull request {number}");
        let path = ["issues", &number.to_string(), "labels"];
        self.change(&what, Method::POST, &path, &json!({"labels": wanted}))
            .await
            .map(drop)
    }

    async fn comments(&self, number: u64, since: Option<Timestamp>) -> Result<Vec<Comment>, ForgeError> {
        let since = since.map(|since| since.to_string());
        let query: Vec<(&str, &str)> = since
            .as_deref()
            .map(|since| ("since", since))
            .into_iter()
            .collect();
        let what = format!("reading the comments of pull request {number}");
        let path = ["issues", &number.to_string(), "comments"];
        // This list has no pages.
        let found: Vec<RawComment> = self.0.get(&what, &self.path(&path), &query).await?;
        Ok(found.into_iter().map(Comment::from).collect())
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
        Ok(self.label_ids().await?.into_keys().collect())
    }

    async fn make_label(&self, label: &Label) -> Result<(), ForgeError> {
        let body = json!({
            "name": label.name,
            "color": format!("#{}", label.color),
            "description": label.description,
        });
        self.change("making a label", Method::POST, &["labels"], &body)
            .await
            .map(drop)
            .map_err(exists)
    }

    async fn status(&self, sha: &CommitId, context: &str) -> Result<Option<Status>, ForgeError> {
        let path = self.path(&["commits", sha.as_str(), "statuses"]);
        let mut newest: Option<RawStatus> = None;
        let take = |raw: RawStatus| {
            if raw.context == context && newest.as_ref().is_none_or(|newest| newest.id < raw.id) {
                newest = Some(raw);
            }
            ControlFlow::Continue(())
        };
        let query = [("limit", PER_PAGE)];
        self.0
            .list("reading commit statuses", &path, &query, PAGES_MAX, take)
            .await?;
        Ok(newest.map(|raw| Status {
            context: raw.context,
            state: state_of(&raw.status),
            description: raw.description.unwrap_or_default(),
            url: raw.target_url,
        }))
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
        // It knows merged ones only, by the commit that they ended in.
        let path = self.path(&["commits", sha.as_str(), "pull"]);
        let what = "looking for the pull request of a commit";
        match self.0.get::<Raw>(what, &path, &[]).await {
            Ok(raw) => Ok(vec![raw.into()]),
            Err(ForgeError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn approvals(&self, number: u64) -> Result<Vec<Approval>, ForgeError> {
        let what = format!("reading the reviews of pull request {number}");
        let number = number.to_string();
        let path = self.path(&["pulls", &number, "reviews"]);
        let mut latest: BTreeMap<String, Review> = BTreeMap::new();
        let take = |review: Review| {
            let person = review.user.as_ref().map(|user| user.login.clone());
            let speaks = matches!(review.state.as_str(), "APPROVED" | "REQUEST_CHANGES");
            // A review that was asked of a team has no person.
            if let (Some(person), true) = (person, speaks)
                && latest.get(&person).is_none_or(|known| known.id < review.id)
            {
                latest.insert(person, review);
            }
            ControlFlow::Continue(())
        };
        let query = [("limit", PER_PAGE)];
        if !self.0.list(&what, &path, &query, PAGES_MAX, take).await? {
            return Err(super::endless(what));
        }
        Ok(latest
            .into_iter()
            .filter(|(_, review)| review.state == "APPROVED" && !review.dismissed)
            .map(|(login, review)| Approval {
                trusted: review.official,
                login,
                commit: review.commit_id.filter(|id| !id.is_empty()).map(CommitId),
                at: review.submitted_at,
            })
            .collect())
    }
}
