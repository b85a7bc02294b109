//! Pull requests as every forge knows them (GitLab calls them merge requests), and how long their texts may be.

use crate::model::ids::CommitId;
use jiff::Timestamp;

/// Which forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForgeKind {
    /// github.com and GitHub Enterprise.
    Github,
    /// gitlab.com and GitLab of one's own.
    Gitlab,
    /// Gitea and Forgejo, whose API is the same.
    Gitea,
}

impl ForgeKind {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Github => "GitHub",
            Self::Gitlab => "GitLab",
            Self::Gitea => "Gitea",
        }
    }

    /// The name of the reference that holds a pull request's head.
    pub fn head_reference(self, number: u64) -> String {
        match self {
            Self::Github | Self::Gitea => format!("refs/pull/{number}/head"),
            Self::Gitlab => format!("refs/merge-requests/{number}/head"),
        }
    }

    /// How long texts may be.
    pub fn limits(self) -> Limits {
        match self {
            // github.com answers 422 to more; what Renovate stays below (58,000) leaves room for what GitHub adds.
            Self::Github => Limits {
                title: 256,
                body: 65_536,
                description: 140,
            },
            Self::Gitlab => Limits {
                title: 255,
                body: 1_000_000,
                description: 255,
            },
            Self::Gitea => Limits {
                title: 255,
                body: 1_000_000,
                description: 255,
            },
        }
    }
}

/// Longest name of a commit status: 255 characters on every forge.
pub const CONTEXT_MAX: usize = 255;

/// How long texts may be, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A pull request's title.
    pub title: usize,
    /// A pull request's or a comment's body.
    pub body: usize,
    /// A commit status' description.
    pub description: usize,
}

/// Cuts a text to so many characters; a cut one ends in an ellipsis.
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(max.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// Where a pull request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PullRequestState {
    /// It waits for people.
    Open,
    /// It was closed and not merged: the proposal was turned down.
    Closed,
    /// It was merged.
    Merged,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number within the repository.
    pub number: u64,
    /// Where people see it.
    pub url: String,
    /// Where it stands.
    pub state: PullRequestState,
    /// Its title.
    pub title: String,
    /// Its description.
    pub body: String,
    /// The branch that it brings; it may be deleted by now.
    pub head_branch: String,
    /// The newest commit of that branch.
    pub head_sha: CommitId,
    /// Whether the branch is in another repository.
    pub from_fork: bool,
    /// The branch that it goes to.
    pub base_branch: String,
    /// Who opened it.
    pub author: String,
    /// Its labels by name, sorted.
    pub labels: Vec<String>,
    /// Whether it is a draft.
    pub draft: bool,
    /// Who merged it.
    pub merged_by: Option<String>,
    /// When it was merged.
    pub merged_at: Option<Timestamp>,
    /// The commit on base that merging made. `None` before that: GitHub shows its test merge then, which means nothing.
    pub merge_commit: Option<CommitId>,
    /// Whether Git can merge it, as far as the forge knows by now.
    pub mergeable: Option<bool>,
    /// When anything about it changed last.
    pub updated_at: Timestamp,
}

impl PullRequest {
    /// Whether it waits for people.
    pub fn is_open(&self) -> bool {
        self.state == PullRequestState::Open
    }
}

/// A pull request to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPullRequest {
    /// Its title.
    pub title: String,
    /// Its description.
    pub body: String,
    /// The branch that it brings.
    pub head_branch: String,
    /// The branch that it goes to.
    pub base_branch: String,
    /// Its labels by name.
    pub labels: Vec<String>,
}

/// A label of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its colour: six hexadecimal digits without a mark before them.
    pub color: String,
    /// What it means.
    pub description: String,
}

/// A comment that a person or a program made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its number within the forge.
    pub id: u64,
    /// Who made it.
    pub author: String,
    /// What it says.
    pub body: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Somebody approves: the newest word of each person, and only while it is an approval.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Approval {
    /// Who.
    pub login: String,
    /// The head that was approved; `None` when the forge does not tell, which is an approval of no head in particular.
    pub commit: Option<CommitId>,
    /// When.
    pub at: Option<Timestamp>,
    /// Whether the forge counts them among the repository's own people: on a public repository anybody may say yes.
    pub trusted: bool,
}

impl Approval {
    /// Whether exactly this head was approved.
    pub fn is_of(&self, head: &CommitId) -> bool {
        self.commit.as_ref() == Some(head)
    }
}

/// A commit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitState {
    /// Not known yet.
    Pending,
    /// Good.
    Success,
    /// Bad: the commit is wrong.
    Failure,
    /// It could not be found out.
    Error,
}

/// The line by which a living comment is found again: a comment of HTML, which no forge shows.
///
/// Two hyphens would end it early, so they are parted.
pub fn hidden_marker(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|letter| match letter {
            '<' | '>' => '_',
            letter if letter.is_control() => '_',
            letter => letter,
        })
        .collect();
    format!("<!-- couchestor: {} -->", name.replace("--", "-_"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let table = [
            ("", 5, ""),
            ("five!", 5, "five!"),
            ("sixsix", 5, "sixs…"),
            ("ääääää", 5, "ääää…"),
        ];
        for (text, max, wanted) in table {
            assert_eq!(cut(text, max), wanted);
            assert!(cut(text, max).chars().count() <= max);
        }
    }

    #[test]
    fn a_marker_is_one_comment_of_html_whatever_it_names() {
        for name in ["plan", "a--b", "---", "x --> y", "<!-- z", "two\nlines"] {
            let marker = hidden_marker(name);
            assert_eq!(marker.matches("--").count(), 2, "{marker}");
            assert!(marker.starts_with("<!--") && marker.ends_with("-->"), "{marker}");
            assert!(!marker.contains('\n'), "{marker}");
        }
    }
}
