//! Repository → [`Checkout`](crate::model::tree::Checkout): lists and fetches in one connection, reads no blob, and does nothing for an unchanged tip.
//! A tip whose signature is demanded and does not hold goes no further.

use crate::formats::signature::{self, OBJECT_BYTES_MAX, Refusal, Signable, Signers};
use crate::io::git::{GitError, Repository, Tips};
use crate::model::ids::Revision;
use crate::model::kinds::policy_source::VerifyMode;
use crate::model::tree::Checkout;

/// Which signatures are demanded.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Of what.
    pub mode: VerifyMode,
    /// By whom.
    pub signers: Signers,
}

/// What a fetch found.
#[derive(Debug)]
pub enum Fetched {
    /// The tip that is known already.
    Unchanged(Tips),
    /// A new tip.
    Changed(Box<Checkout>, Tips, Option<Verified>),
    /// A new tip whose signature does not hold.
    Unverified(Revision, Tips, String),
}

/// A tip whose signatures hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was checked, in words.
    pub message: String,
}

/// Fetches a branch.
///
/// # Errors
/// Any [`GitError`].
pub async fn fetch(
    repository: &Repository,
    branch: &str,
    verification: Option<&Verification>,
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
    let verified = match verification {
        Some(verification) => match verify(repository, &revision, None, verification).await? {
            Ok(verified) => Some(verified),
            Err(message) => return Ok(Fetched::Unverified(revision, tips, message)),
        },
        None => None,
    };
    let entries = repository.entries(&revision.commit).await?;
    let history = repository.history(&revision.commit, assignments).await?;
    let checkout = Checkout {
        revision,
        entries,
        introduced: history.introduced,
        removed: history.removed,
    };
    Ok(Fetched::Changed(Box::new(checkout), tips, verified))
}

/// A tag by its name and the object that it is.
pub struct FollowedTag {
    /// The name.
    pub name: String,
    /// The tag object, or the commit itself for a tag without one.
    pub object: String,
}

async fn verify(
    repository: &Repository,
    revision: &Revision,
    tag: Option<&FollowedTag>,
    verification: &Verification,
) -> Result<Result<Verified, String>, GitError> {
    let mut words = Vec::new();
    if matches!(verification.mode, VerifyMode::Tag | VerifyMode::TagAndHead) {
        let Some(tag) = tag else {
            return Ok(Err(format!(
                "{revision}: spec.verify.mode {} needs spec.ref.tag or spec.ref.semver, and no tag is followed",
                verification.mode.as_str()
            )));
        };
        let what = format!("tag {}", tag.name);
        let outcome = if tag.object == revision.commit.as_str() {
            // A tag without an object of its own has no room for a signature.
            Err(Refusal::Unsigned)
        } else {
            let object = repository.object(&tag.object, OBJECT_BYTES_MAX).await?;
            match signature::tagged(&object) {
                Some((id, name)) if (id, name) != (revision.commit.as_str(), tag.name.as_str()) => {
                    Err(Refusal::Elsewhere {
                        name: name.to_owned(),
                        object: id.to_owned(),
                    })
                }
                _ => verification.signers.verify(&object, Signable::Tag),
            }
        };
        match outcome {
            Ok(signed) => words.push(format!("{what} by {} ({})", signed.key, signed.file)),
            Err(refusal) => return Ok(Err(format!("{what} ({revision}) is not trusted: {refusal}"))),
        }
    }
    if matches!(verification.mode, VerifyMode::Head | VerifyMode::TagAndHead) {
        let object = repository
            .object(revision.commit.as_str(), OBJECT_BYTES_MAX)
            .await?;
        match verification.signers.verify(&object, Signable::Commit) {
            Ok(signed) => words.push(format!(
                "commit {} by {} ({})",
                revision.commit, signed.key, signed.file
            )),
            Err(refusal) => return Ok(Err(format!("commit {revision} is not trusted: {refusal}"))),
        }
    }
    Ok(Ok(Verified {
        message: format!("verified the signature of {}", words.join(" and of ")),
    }))
}
