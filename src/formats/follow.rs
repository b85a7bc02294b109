//! What a source follows: `spec.ref`, as Flux reads it.

use super::version_range::VersionRange;
use crate::model::ids::CommitId;
use crate::model::kinds::policy_source::Reference;

/// What is followed.
#[derive(Clone, Debug)]
pub enum Follow {
    /// The tip of the source's branch.
    Branch,
    /// A tag.
    Tag(String),
    /// The newest tag in a range of versions.
    Versions(VersionRange),
    /// Any reference by its full name.
    Reference(String),
    /// One commit, for ever.
    Commit(CommitId),
}

impl Follow {
    /// Reads `spec.ref`; the later of its fields wins, as with Flux.
    ///
    /// # Errors
    /// The field, and what to write instead.
    pub fn read(reference: Option<&Reference>) -> Result<Self, (&'static str, String)> {
        let Some(reference) = reference else {
            return Ok(Self::Branch);
        };
        if let Some(commit) = &reference.commit {
            let whole = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            return match whole {
                true => Ok(Self::Commit(CommitId(commit.to_ascii_lowercase()))),
                false => Err(("spec.ref.commit", "write all 40 digits".to_owned())),
            };
        }
        if let Some(name) = &reference.name {
            return match name.starts_with("refs/") {
                true => Ok(Self::Reference(name.clone())),
                false => Err((
                    "spec.ref.name",
                    "write the full name, such as refs/heads/main".to_owned(),
                )),
            };
        }
        if let Some(range) = &reference.semver {
            let range = VersionRange::parse(range).map_err(|what| ("spec.ref.semver", what))?;
            return Ok(Self::Versions(range));
        }
        Ok(reference.tag.clone().map_or(Self::Branch, Self::Tag))
    }
}
