//! What GitLab's API shows, as far as it is read.

use crate::model::ids::CommitId;
use crate::model::pull_request::{Comment, PullRequest, PullRequestState};
use jiff::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) username: String,
}

#[derive(Deserialize)]
pub(super) struct Raw {
    iid: u64,
    web_url: String,
    state: String,
    title: String,
    description: Option<String>,
    source_branch: String,
    target_branch: String,
    source_project_id: Option<u64>,
    target_project_id: Option<u64>,
    sha: Option<String>,
    author: Option<User>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    draft: bool,
    merged_at: Option<Timestamp>,
    merge_user: Option<User>,
    /// Before GitLab 14.7.
    merged_by: Option<User>,
    merge_commit_sha: Option<String>,
    squash_commit_sha: Option<String>,
    detailed_merge_status: Option<String>,
    #[serde(default)]
    has_conflicts: bool,
    updated_at: Timestamp,
}

impl From<Raw> for PullRequest {
    fn from(raw: Raw) -> Self {
        let state = match raw.state.as_str() {
            "merged" => PullRequestState::Merged,
            "closed" => PullRequestState::Closed,
            // "locked" is a moment within merging.
            _ => PullRequestState::Open,
        };
        let mergeable = match raw.detailed_merge_status.as_deref() {
            _ if raw.has_conflicts => Some(false),
            None | Some("checking" | "unchecked" | "preparing" | "approvals_syncing") => None,
            Some("conflict" | "broken_status" | "commits_status") => Some(false),
            // What is left is a matter of rules and people, not of Git.
            Some(_) => Some(true),
        };
        let head = raw.sha.unwrap_or_default();
        // A fast-forward makes no commit of its own; then base ends in what was proposed.
        let merged = raw
            .merge_commit_sha
            .or(raw.squash_commit_sha)
            .unwrap_or_else(|| head.clone());
        let mut labels = raw.labels;
        labels.sort();
        Self {
            number: raw.iid,
            url: raw.web_url,
            state,
            title: raw.title,
            body: raw.description.unwrap_or_default(),
            head_branch: raw.source_branch,
            head_sha: CommitId(head),
            from_fork: raw.source_project_id.is_none() || raw.source_project_id != raw.target_project_id,
            base_branch: raw.target_branch,
            author: name(raw.author),
            labels,
            draft: raw.draft,
            merged_by: raw.merge_user.or(raw.merged_by).map(|user| user.username),
            merged_at: raw.merged_at,
            merge_commit: (state == PullRequestState::Merged).then_some(CommitId(merged)),
            mergeable,
            updated_at: raw.updated_at,
        }
    }
}

pub(super) fn name(user: Option<User>) -> String {
    user.map_or_else(|| "ghost".to_owned(), |user| user.username)
}

#[derive(Deserialize)]
pub(super) struct Note {
    pub(super) id: u64,
    pub(super) body: Option<String>,
    pub(super) author: Option<User>,
    #[serde(default)]
    pub(super) system: bool,
    pub(super) created_at: Timestamp,
}

impl From<Note> for Comment {
    fn from(note: Note) -> Self {
        Self {
            id: note.id,
            author: name(note.author),
            body: note.body.unwrap_or_default(),
            created_at: note.created_at,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct RawStatus {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) description: Option<String>,
    pub(super) target_url: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Approvals {
    #[serde(default)]
    pub(super) approved_by: Vec<ApprovedBy>,
}

#[derive(Deserialize)]
pub(super) struct ApprovedBy {
    pub(super) user: User,
    /// Only newer versions tell.
    pub(super) approved_at: Option<Timestamp>,
}

#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) head_commit_sha: String,
    pub(super) created_at: Timestamp,
}
