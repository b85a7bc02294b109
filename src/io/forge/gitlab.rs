//! GitLab's REST API (docs.gitlab.com/api), where pull requests are merge requests.

use super::http::Http;
use super::{
    Approval, Change, Comment, CommitId, CommitState, Face, ForgeError, Label, NewPullRequest, OPEN_PER_PAGE,
    PER_PAGE, PullRequest, Status, Timestamp,
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use shown::{Approvals, Named, Note, Raw, RawStatus, User, Version, name};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What GitLab shows.
mod shown;

/// Pages of one list that are read.
const PAGES_MAX: usize = 20;

/// What GitLab gives at most per page, for things that are small.
const SMALL_PER_PAGE: &str = "100";

/// What GitLab notes when somebody approves.
const APPROVED: &str = "approved this merge request";

pub(super) struct Gitlab(pub(super) Http);

/// GitLab has one word for a commit that is wrong and for one that could not be judged.
fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Pending => "pending",
        CommitState::Success => "success",
        CommitState::Failure | CommitState::Error => "failed",
    }
}

fn state_of(word: &str) -> CommitState {
    match word {
        "success" => CommitState::Success,
        "failed" | "canceled" => CommitState::Failure,
        _ => CommitState::Pending,
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

impl Gitlab {
    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        // The whole path is one piece of the address, its slashes escaped.
        let mut path = vec!["projects", self.0.address().repository.as_str()];
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
                detail: "the answer is not what GitLab's API says".to_owned(),
            })
    }

    async fn requests(
        &self,
        what: &str,
        query: &[(&str, &str)],
        mut take: impl FnMut(PullRequest) -> ControlFlow<()>,
    ) -> Result<bool, ForgeError> {
        let path = self.path(&["merge_requests"]);
        self.0
            .list(what, &path, query, PAGES_MAX, |raw: Raw| take(raw.into()))
            .await
    }

    /// Notes from the newest to the first that `take` does not want.
    async fn notes(
        &self,
        number: u64,
        take: impl FnMut(Note) -> ControlFlow<()>,
    ) -> Result<bool, ForgeError> {
        let what = format!("reading the notes of merge request {number}");
        let number = number.to_string();
        let path = self.path(&["merge_requests", &number, "notes"]);
        let query = [
            ("sort", "desc"),
            ("order_by", "created_at"),
            ("per_page", SMALL_PER_PAGE),
        ];
        self.0.list(&what, &path, &query, PAGES_MAX, take).await
    }

    /// The head that stood when somebody approved, which GitLab itself does not keep with the approval.
    async fn versions(&self, number: u64) -> Result<Vec<Version>, ForgeError> {
        let what = format!("reading the versions of merge request {number}");
        let number = number.to_string();
        let path = self.path(&["merge_requests", &number, "versions"]);
        let mut versions = Vec::new();
        let take = |version: Version| {
            versions.push(version);
            ControlFlow::Continue(())
        };
        let query = [("per_page", SMALL_PER_PAGE)];
        match self.0.list(&what, &path, &query, PAGES_MAX, take).await? {
            true => Ok(versions),
            false => Err(super::endless(what)),
        }
    }
}

impl Face for Gitlab {
    fn http(&self) -> &Http {
        &self.0
    }

    async fn whoami(&self) -> Result<String, ForgeError> {
        let user: User = self.0.get("asking who we are", &["user"], &[]).await?;
        Ok(user.username)
    }

    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let what = "opening a merge request";
        let body = json!({
            "title": new.title,
            "description": new.body,
            "source_branch": new.head_branch,
            "target_branch": new.base_branch,
            "labels": new.labels.join(","),
        });
        let made = self.change(what, Method::POST, &["merge_requests"], &body).await;
        self.read(what, made.map_err(exists)?)
    }

    async fn find(&self, head: &str, base: &str, open_only: bool) -> Result<Option<PullRequest>, ForgeError> {
        let query = [
            ("state", if open_only { "opened" } else { "all" }),
            ("source_branch", head),
            ("target_branch", base),
            ("order_by", "created_at"),
            ("sort", "desc"),
            ("per_page", PER_PAGE),
        ];
        let mut newest: Option<PullRequest> = None;
        self.requests("looking for a merge request", &query, |found| {
            if found.head_branch == head && found.base_branch == base && !found.from_fork {
                newest = super::better(newest.take(), found);
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok(newest)
    }

    async fn get(&self, number: u64) -> Result<PullRequest, ForgeError> {
        let what = format!("reading merge request {number}");
        let path = ["merge_requests", &number.to_string()];
        let raw: Raw = self.0.get(&what, &self.path(&path), &[]).await?;
        Ok(raw.into())
    }

    async fn list_open(&self, max: usize) -> Result<Vec<PullRequest>, ForgeError> {
        let query = [
            ("state", "opened"),
            ("order_by", "created_at"),
            ("sort", "desc"),
            ("per_page", OPEN_PER_PAGE),
        ];
        let mut found = Vec::new();
        self.requests("listing open merge requests", &query, |next| {
            super::collect(&mut found, next, max)
        })
        .await?;
        Ok(found)
    }

    async fn patch(&self, number: u64, change: Change<'_>) -> Result<PullRequest, ForgeError> {
        let what = format!("changing merge request {number}");
        let mut body = json!({});
        if let Some((title, text)) = change.text {
            body["title"] = json!(title);
            body["description"] = json!(text);
        }
        if let Some(open) = change.open {
            body["state_event"] = json!(if open { "reopen" } else { "close" });
        }
        let path = ["merge_requests", &number.to_string()];
        let made = self.change(&what, Method::PUT, &path, &body).await?;
        self.read(&what, made)
    }

    async fn add_labels(&self, number: u64, names: &[String]) -> Result<(), ForgeError> {
        let what = format!("labelling merge request {number}");
        let path = ["merge_requests", &number.to_string()];
        let body = json!({"add_labels": names.join(",")});
        self.change(&what, Method::PUT, &path, &body).await.map(drop)
    }

    async fn comments(&self, number: u64, since: Option<Timestamp>) -> Result<Vec<Comment>, ForgeError> {
        let mut comments = Vec::new();
        let mut early = false;
        let whole = self
            .notes(number, |note| {
                early = since.is_some_and(|since| note.created_at < since);
                if early {
                    return ControlFlow::Break(());
                }
                if !note.system {
                    comments.push(note.into());
                }
                ControlFlow::Continue(())
            })
            .await?;
        match whole || early {
            true => Ok(comments),
            false => Err(super::endless(format!(
                "reading the notes of merge request {number}"
            ))),
        }
    }

    async fn comment(&self, number: u64, body: &str) -> Result<Option<u64>, ForgeError> {
        let what = format!("commenting merge request {number}");
        let path = ["merge_requests", &number.to_string(), "notes"];
        self.change(&what, Method::POST, &path, &json!({"body": body}))
            .await
            .map(|made| made["id"].as_u64())
    }

    async fn get_comment(&self, number: u64, id: u64) -> Result<Comment, ForgeError> {
        let path = ["merge_requests", &number.to_string(), "notes", &id.to_string()];
        let note: Note = self.0.get("reading our note", &self.path(&path), &[]).await?;
        Ok(note.into())
    }

    async fn edit_comment(&self, number: u64, id: u64, body: &str) -> Result<(), ForgeError> {
        let path = ["merge_requests", &number.to_string(), "notes", &id.to_string()];
        self.change("editing our note", Method::PUT, &path, &json!({"body": body}))
            .await
            .map(drop)
    }

    async fn delete_comment(&self, number: u64, id: u64) -> Result<(), ForgeError> {
        let path = ["merge_requests", &number.to_string(), "notes", &id.to_string()];
        self.change("deleting our second note", Method::DELETE, &path, &Value::Null)
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

    fn seen_as(&self, state: CommitState) -> CommitState {
        state_of(word(state))
    }

    async fn status(&self, sha: &CommitId, context: &str) -> Result<Option<Status>, ForgeError> {
        let path = self.path(&["repository", "commits", sha.as_str(), "statuses"]);
        let mut newest: Option<RawStatus> = None;
        let take = |raw: RawStatus| {
            if raw.name == context && newest.as_ref().is_none_or(|newest| newest.id < raw.id) {
                newest = Some(raw);
            }
            ControlFlow::Continue(())
        };
        // Of each name GitLab shows the newest only, unless it is asked for all.
        let query = [("name", context), ("per_page", SMALL_PER_PAGE)];
        self.0
            .list("reading commit statuses", &path, &query, PAGES_MAX, take)
            .await?;
        Ok(newest.map(|raw| Status {
            context: raw.name,
            state: state_of(&raw.status),
            description: raw.description.unwrap_or_default(),
            url: raw.target_url,
        }))
    }

    async fn post_status(&self, sha: &CommitId, status: &Status) -> Result<(), ForgeError> {
        let mut body = json!({
            "state": word(status.state),
            "name": status.context,
            "description": status.description,
        });
        if let Some(url) = &status.url {
            body["target_url"] = json!(url);
        }
        let path = ["statuses", sha.as_str()];
        let outcome = self
            .change("setting a commit status", Method::POST, &path, &body)
            .await;
        match outcome.map(drop).map_err(exists) {
            // A state cannot be left for itself, and a description changes with the state only.
            Err(ForgeError::Refused {
                what,
                status: 400,
                detail,
            }) if detail.contains("Cannot transition status") => {
                let held = self.status(sha, &status.context).await?;
                match held.is_some_and(|held| held.state == self.seen_as(status.state)) {
                    true => Ok(()),
                    false => Err(ForgeError::Refused {
                        what,
                        status: 400,
                        detail,
                    }),
                }
            }
            outcome => outcome,
        }
    }

    async fn of_commit(&self, sha: &CommitId) -> Result<Vec<PullRequest>, ForgeError> {
        let path = self.path(&["repository", "commits", sha.as_str(), "merge_requests"]);
        let mut found = Vec::new();
        let take = |raw: Raw| {
            found.push(raw.into());
            ControlFlow::Continue(())
        };
        let query = [("per_page", PER_PAGE)];
        let what = "looking for the merge request of a commit";
        self.0.list(what, &path, &query, 1, take).await?;
        Ok(found)
    }

    async fn approvals(&self, number: u64) -> Result<Vec<Approval>, ForgeError> {
        let what = format!("reading the approvals of merge request {number}");
        let path = ["merge_requests", &number.to_string(), "approvals"];
        let found: Approvals = self.0.get(&what, &self.path(&path), &[]).await?;
        if found.approved_by.is_empty() {
            return Ok(Vec::new());
        }
        let versions = self.versions(number).await?;
        let mut noted: BTreeMap<String, Timestamp> = BTreeMap::new();
        if found.approved_by.iter().any(|one| one.approved_at.is_none()) {
            // From the newest to the oldest, so the first of each person counts.
            self.notes(number, |note| {
                if note.system && note.body.as_deref().map(str::trim) == Some(APPROVED) {
                    noted.entry(name(note.author)).or_insert(note.created_at);
                }
                ControlFlow::Continue(())
            })
            .await?;
        }
        Ok(found
            .approved_by
            .into_iter()
            .map(|one| {
                let at = one.approved_at.or_else(|| noted.get(&one.user.username).copied());
                // What came at the very moment of the approval was not seen by who approved.
                let commit = at.and_then(|at| {
                    versions
                        .iter()
                        .filter(|version| version.created_at < at)
                        .max_by_key(|version| version.created_at)
                });
                Approval {
                    // GitLab lets members from Developer on approve, and nobody else.
                    trusted: true,
                    login: one.user.username,
                    commit: commit.map(|version| CommitId(version.head_commit_sha.clone())),
                    at,
                }
            })
            .collect())
    }
}
