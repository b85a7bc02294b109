//! Repository → [`Checkout`](crate::model::tree::Checkout): lists and fetches in one connection, reads no blob, and does nothing for an unchanged tip.
//! A tip whose signature is demanded and does not hold goes no further.

pub use crate::formats::follow::Follow;
use crate::formats::signature::{self, OBJECT_BYTES_MAX, Refusal, Signable, Signers};
use crate::io::git::{GitError, Repository, Tips};
use crate::model::ids::{CommitId, Revision};
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

/// A followed tip.
struct Found {
    revision: Revision,
    tips: Tips,
    tag: Option<FollowedTag>,
}

/// Looks where the source stands, and fetches what is not here yet. A tip that is known costs one connection.
async fn find(
    repository: &Repository,
    branch: &str,
    follow: &Follow,
    known: Option<&Revision>,
) -> Result<Found, GitError> {
    let at = |name: &str, commit: CommitId| Revision {
        branch: name.to_owned(),
        commit,
    };
    match follow {
        Follow::Branch => {
            let tips = repository.fetch(branch).await?;
            let commit = tips
                .branches
                .get(branch)
                .cloned()
                .ok_or_else(|| GitError::NoBranch {
                    branch: branch.to_owned(),
                })?;
            Ok(Found {
                revision: at(branch, commit),
                tips,
                tag: None,
            })
        }
        Follow::Tag(name) => {
            let tips = repository.fetch_reference(&format!("refs/tags/{name}")).await?;
            tagged(name, tips)
        }
        Follow::Versions(range) => {
            let tips = repository.list().await?;
            let name = range
                .newest(tips.tags.keys().map(String::as_str))
                .map(str::to_owned)
                .ok_or_else(|| GitError::NoReference {
                    name: "tag in the range of spec.ref.semver".to_owned(),
                })?;
            let found = tagged(&name, tips)?;
            if known != Some(&found.revision) {
                let tips = repository.fetch_reference(&format!("refs/tags/{name}")).await?;
                return tagged(&name, tips);
            }
            Ok(found)
        }
        Follow::Reference(name) => {
            let tips = repository.fetch_reference(name).await?;
            let commit = tips
                .references
                .get(name)
                .cloned()
                .ok_or_else(|| GitError::NoReference { name: name.clone() })?;
            Ok(Found {
                revision: at(name, commit),
                tips,
                tag: None,
            })
        }
        Follow::Commit(commit) => {
            let tips = if repository.has(commit).await? {
                repository.list().await?
            } else {
                repository.fetch_all().await?
            };
            if !repository.has(commit).await? {
                return Err(GitError::NoReference {
                    name: format!("commit {commit} in any branch or tag"),
                });
            }
            Ok(Found {
                revision: at(branch, commit.clone()),
                tips,
                tag: None,
            })
        }
    }
}

fn tagged(name: &str, tips: Tips) -> Result<Found, GitError> {
    let tip = tips
        .tags
        .get(name)
        .cloned()
        .ok_or_else(|| GitError::NoReference {
            name: format!("tag {name}"),
        })?;
    Ok(Found {
        revision: Revision {
            branch: name.to_owned(),
            commit: tip.commit,
        },
        tips,
        tag: Some(FollowedTag {
            name: name.to_owned(),
            object: tip.object,
        }),
    })
}

/// Fetches what is followed.
///
/// # Errors
/// Any [`GitError`].
pub async fn fetch(
    repository: &Repository,
    branch: &str,
    follow: &Follow,
    verification: Option<&Verification>,
    assignments: &str,
    known: Option<&Revision>,
) -> Result<Fetched, GitError> {
    let Found { revision, tips, tag } = find(repository, branch, follow, known).await?;
    if known == Some(&revision) {
        return Ok(Fetched::Unchanged(tips));
    }
    let verified = match verification {
        Some(verification) => match verify(repository, &revision, tag.as_ref(), verification).await? {
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
