//! Repository → [`Checkout`](crate::model::tree::Checkout): lists and fetches in one connection, reads no blob, and does nothing for an unchanged tip.

use crate::io::git::{GitError, Repository, Tips};
use crate::model::ids::Revision;
use crate::model::tree::Checkout;

/// What a fetch found.
#[derive(Debug)]
pub enum Fetched {
    /// The tip that is known already.
    Unchanged(Tips),
    /// A new tip.
    Changed(Box<Checkout>, Tips),
}

/// Fetches a branch.
///
/// # Errors
/// Any [`GitError`].
pub async fn fetch(
    repository: &Repository,
    branch: &str,
    assignments: &str,
    known: Option<&Revision>,
) -> Result<Fetched, GitError> {
    let tips = repository.fetch(branch).await?;
    let commit = tips
        .branches
        .get(branch)
        .cloned()
        .ok_or_else(|| GitError::NoBranch {
            branch: branch.to_owned(),
        })?;
    let revision = Revision {
        branch: branch.to_owned(),
        commit,
    };
    if known == Some(&revision) {
        return Ok(Fetched::Unchanged(tips));
    }
    let entries = repository.entries(&revision.commit).await?;
    let history = repository.history(&revision.commit, assignments).await?;
    let checkout = Checkout {
        revision,
        entries,
        introduced: history.introduced,
        removed: history.removed,
    };
    Ok(Fetched::Changed(Box::new(checkout), tips))
}
