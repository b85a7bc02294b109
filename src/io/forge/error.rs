//! Why a forge did not do what was asked, and what that means for trying again.

use crate::io::git::GitError;
use crate::io::guard::NotLeading;
use crate::model::failure::{Class, Failure};
use jiff::Timestamp;

/// Why a forge did not do what was asked. No text holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// The address cannot be used.
    #[error("the forge's address: {what}")]
    Address {
        /// What is wrong, and what to write.
        what: String,
    },
    /// The Secret cannot be used.
    #[error("the forge's Secret {what}")]
    Credentials {
        /// What is wrong with it.
        what: String,
    },
    /// The token was refused, or may not do this.
    #[error("{what}: the token was refused ({detail}); check its scopes and that it has not run out")]
    Denied {
        /// What was asked.
        what: String,
        /// The forge's words.
        detail: String,
    },
    /// It does not exist, or the token may not see it.
    #[error("{what}: not found ({detail}); check the repository's name and that the token may see it")]
    NotFound {
        /// What was asked.
        what: String,
        /// The forge's words.
        detail: String,
    },
    /// It was refused, and not done.
    #[error("{what}: refused with HTTP {status}: {detail}")]
    Refused {
        /// What was asked.
        what: String,
        /// The answer's status.
        status: u16,
        /// The forge's words.
        detail: String,
    },
    /// Somebody else did it first, or the forge does not show it yet.
    #[error("{what}: {detail}")]
    Conflict {
        /// What was asked.
        what: String,
        /// In words.
        detail: String,
    },
    /// Nothing may be asked before a certain time.
    #[error("{what}: not before {until} ({detail})")]
    Limited {
        /// What was asked.
        what: String,
        /// When it may be asked again.
        until: Timestamp,
        /// Whose limit it is.
        detail: String,
    },
    /// Another controller leads, or may.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// It could not be asked; nothing was done.
    #[error("{what}: {detail}")]
    Unreachable {
        /// What was asked.
        what: String,
        /// What happened.
        detail: String,
    },
    /// It may have been done or not: read before anything is tried again.
    #[error("{what}: no clear answer ({detail})")]
    Indeterminate {
        /// What was asked.
        what: String,
        /// What happened.
        detail: String,
    },
    /// The answer cannot be read.
    #[error("{what}: the answer cannot be read: {detail}")]
    Unreadable {
        /// What was asked.
        what: String,
        /// Why.
        detail: String,
    },
}

impl ForgeError {
    /// When the forge may be asked again, if it said so.
    pub fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::Limited { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Whether what was asked may have been done.
    pub fn is_indeterminate(&self) -> bool {
        matches!(self, Self::Indeterminate { .. })
    }
}

impl Failure for ForgeError {
    fn class(&self) -> Class {
        match self {
            Self::Address { .. } | Self::Credentials { .. } | Self::Denied { .. } | Self::NotFound { .. } => {
                Class::Stalled
            }
            Self::Refused { .. } | Self::Limited { .. } => Class::Waiting,
            Self::Conflict { .. }
            | Self::NotLeading(_)
            | Self::Unreachable { .. }
            | Self::Indeterminate { .. }
            | Self::Unreadable { .. } => Class::Retry,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Address { .. } => "InvalidURL",
            Self::Credentials { .. } => "InvalidCredentials",
            Self::Denied { .. } => "AuthenticationFailed",
            Self::NotFound { .. } => "RepositoryNotFound",
            Self::Refused { .. } => "ForgeRefused",
            Self::Conflict { .. } => "Conflict",
            Self::NotLeading(_) => "NotLeading",
            Self::Limited { .. } => "RateLimited",
            Self::Unreachable { .. } | Self::Indeterminate { .. } | Self::Unreadable { .. } => {
                "ForgeUnavailable"
            }
        }
    }
}

impl From<GitError> for ForgeError {
    fn from(error: GitError) -> Self {
        let what = "asking GitHub for the App's token".to_owned();
        match error {
            GitError::Address { what, .. } => Self::Address { what },
            GitError::Credentials { what } => Self::Credentials { what },
            GitError::Denied { detail } => Self::Denied { what, detail },
            error => Self::Unreachable {
                what,
                detail: error.to_string(),
            },
        }
    }
}
