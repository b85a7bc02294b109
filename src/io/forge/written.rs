//! What is written beside a pull request: one living comment, commit statuses, labels.

use super::{
    CONTEXT_MAX, Comment, CommitId, CommitState, Face, Forge, ForgeError, Label, PullRequest,
    PullRequestState, Status, TRIES, Timestamp, Which, ask, cut, hidden_marker, same,
};
use std::sync::PoisonError;

/// Living comments that are remembered.
const LIVING_MAX: usize = 1000;

/// A living comment that now says what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commented {
    /// Whether anything had to be written.
    pub written: bool,
}

impl Forge {
    /// Comments of people and programs that were made at or after a time, oldest first.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn comments(&self, number: u64, since: Option<Timestamp>) -> Result<Vec<Comment>, ForgeError> {
        let mut comments = ask!(self, comments(number, since))?;
        comments.retain(|comment| since.is_none_or(|since| comment.created_at >= since));
        comments.sort_by_key(|comment| (comment.created_at, comment.id));
        Ok(comments)
    }

    /// Keeps one comment up to date: the one of ours that carries this name in a hidden mark. What it says already is not
    /// written again; of several (two of us may have begun at once) the oldest lives.
    ///
    /// # Errors
    /// Any [`ForgeError`]. After [`ForgeError::Indeterminate`] call it again later: it looks first.
    pub async fn upsert_comment(&self, number: u64, name: &str, body: &str) -> Result<Commented, ForgeError> {
        let marker = hidden_marker(name);
        let text = format!("{marker}\n\n{body}");
        self.check_text("", &text)?;
        let mut own = self.own_comments(number, &marker).await?;
        let mut written = false;
        for surplus in own.iter().skip(1) {
            match ask!(self, delete_comment(number, surplus.id)) {
                Ok(()) | Err(ForgeError::NotFound { .. }) => written = true,
                Err(error) => return Err(error),
            }
        }
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let outcome = match own.first() {
                Some(comment) if same(&comment.body, &text) => return Ok(Commented { written }),
                Some(comment) => ask!(self, edit_comment(number, comment.id, &text)),
                None => ask!(self, comment(number, &text)).map(|id| {
                    if let Some(id) = id {
                        self.remember(number, &marker, id);
                    }
                }),
            };
            let error = match outcome {
                Ok(()) => return Ok(Commented { written: true }),
                // A person deleted it between our look and our write.
                Err(error @ ForgeError::NotFound { .. }) if !own.is_empty() => error,
                Err(error) if error.is_indeterminate() => error,
                Err(error) => return Err(error),
            };
            let begun = !own.is_empty();
            own = self.own_comments(number, &marker).await?;
            written |= own.first().is_some_and(|comment| same(&comment.body, &text));
            // Nothing keeps a second comment from being made, and the list may lag behind: a new one waits for the next call.
            if tries == 0 || (own.is_empty() && !begun) {
                return match own.first() {
                    Some(comment) if same(&comment.body, &text) => Ok(Commented { written: true }),
                    _ => Err(error),
                };
            }
        }
    }

    /// The living comment of this name, if it is there.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn own_comment(&self, number: u64, name: &str) -> Result<Option<Comment>, ForgeError> {
        let own = self.own_comments(number, &hidden_marker(name)).await?;
        Ok(own.into_iter().next())
    }

    async fn own_comments(&self, number: u64, marker: &str) -> Result<Vec<Comment>, ForgeError> {
        let me = self.whoami().await?;
        let is_own =
            |comment: &Comment| comment.author == me && comment.body.trim_start().starts_with(marker);
        let mut own = self.comments(number, None).await?;
        own.retain(is_own);
        let known = {
            let living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
            living.get(&(number, marker.to_owned())).copied()
        };
        // The list lags behind, or a person deleted it.
        if own.is_empty()
            && let Some(known) = known
        {
            match ask!(self, get_comment(number, known)) {
                Ok(comment) => own.extend(Some(comment).filter(is_own)),
                Err(ForgeError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(first) = own.first() {
            self.remember(number, marker, first.id);
        }
        Ok(own)
    }

    fn remember(&self, number: u64, marker: &str, id: u64) {
        let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        living.insert((number, marker.to_owned()), id);
        while living.len() > LIVING_MAX {
            // Of the oldest pull request.
            living.pop_first();
        }
    }

    /// The merged pull request that brought a commit to a branch, if one did.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn merged_as(&self, sha: &CommitId, base: &str) -> Result<Option<PullRequest>, ForgeError> {
        let mut found = ask!(self, of_commit(sha))?;
        found.retain(|one| one.state == PullRequestState::Merged && one.base_branch == base);
        // A commit may be part of several that were merged one after the other: the one that ended in it comes first.
        found.sort_by_key(|one| (one.merge_commit.as_ref() != Some(sha), one.number));
        match found.into_iter().next() {
            // Lists do not say who merged.
            Some(found) if found.merged_by.is_none() => self.get(found.number).await.map(Some),
            found => Ok(found),
        }
    }

    /// Makes the labels that the repository lacks.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn ensure_labels(&self, labels: &[Label]) -> Result<(), ForgeError> {
        let mut known = ask!(self, labels())?;
        for label in labels {
            for again in [false, true] {
                // GitHub and Gitea compare names without regard to case.
                if known
                    .iter()
                    .any(|name| name.to_lowercase() == label.name.to_lowercase())
                {
                    break;
                }
                match ask!(self, make_label(label)) {
                    Ok(()) | Err(ForgeError::Conflict { .. }) => known.push(label.name.clone()),
                    Err(error) if error.is_indeterminate() && !again => known = ask!(self, labels())?,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Gives a commit a status, unless the newest of this context is the same. A description that is too long is cut.
    /// `true`: it was written.
    ///
    /// # Errors
    /// Any [`ForgeError`].
    pub async fn set_status(
        &self,
        sha: &CommitId,
        context: &str,
        state: CommitState,
        description: &str,
        url: Option<&str>,
    ) -> Result<bool, ForgeError> {
        if context.chars().count() > CONTEXT_MAX {
            return Err(ForgeError::Refused {
                what: "setting a commit status".to_owned(),
                status: 413,
                detail: format!("its context has more than {CONTEXT_MAX} characters"),
            });
        }
        let wanted = Status {
            context: context.to_owned(),
            state: self.seen_as(state),
            description: cut(description, self.address().kind.limits().description),
            url: url.map(str::to_owned),
        };
        let post = Status {
            state,
            ..wanted.clone()
        };
        let mut written = false;
        let mut tries = TRIES;
        loop {
            let newest = ask!(self, status(sha, context))?;
            if newest.is_some_and(|newest| alike(&newest, &wanted)) {
                return Ok(written);
            }
            tries -= 1;
            match ask!(self, post_status(sha, &post)) {
                Ok(()) => return Ok(true),
                Err(error) if error.is_indeterminate() && tries > 0 => written = true,
                Err(error) => return Err(error),
            }
        }
    }

    fn seen_as(&self, state: CommitState) -> CommitState {
        match &self.which {
            Which::Github(face) => face.seen_as(state),
            Which::Gitlab(face) => face.seen_as(state),
            Which::Gitea(face) => face.seen_as(state),
        }
    }
}

fn alike(held: &Status, wanted: &Status) -> bool {
    let url = |status: &Status| status.url.clone().unwrap_or_default();
    held.state == wanted.state && same(&held.description, &wanted.description) && url(held) == url(wanted)
}
