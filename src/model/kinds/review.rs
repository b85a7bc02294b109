//! The parts of `PolicySource` that speak of plans on pull requests: who may command them, and what was said on each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Plans on pull requests: what merging each would change, in a comment that is kept up to date and as the commit status
/// `couchestor/plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plans {
    /// Whether they are made; this needs a forge.
    #[serde(default = "enabled")]
    pub enabled: bool,

    /// Comments that are obeyed.
    #[serde(default)]
    pub commands: Commands,
}

impl Default for Plans {
    fn default() -> Self {
        Self {
            enabled: enabled(),
            commands: Commands::default(),
        }
    }
}

fn enabled() -> bool {
    true
}

/// Comments that are obeyed, each once: a line `/couchestor plan` (make it anew, and let go of a hold) or `/couchestor hold` (the
/// status fails until somebody writes `/couchestor plan`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Commands {
    /// The logins of those who are obeyed; nobody is, when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
}

/// What came of looking at a pull request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReviewResult {
    /// It touches nothing that couchestor reads.
    #[default]
    Untouched,
    /// Its plan can be carried out.
    Planned,
    /// Something in it is wrong.
    Refused,
    /// It does not fit onto the base branch.
    Conflict,
    /// Somebody who may said that it has to wait.
    Held,
}

/// A pull request that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewStatus {
    /// Its number.
    pub number: u64,
    /// Where people see it.
    pub url: String,
    /// The head that was looked at.
    pub head: String,
    /// The tip of the base branch at the time.
    pub base: String,
    /// What came of it.
    pub result: ReviewResult,
    /// A hash of what was said last, in the comment and as a status; empty when it has yet to be said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// Whether it has a comment.
    #[serde(default)]
    pub commented: bool,
    /// Up to when its comments are known, RFC 3339.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seen: String,
    /// The newest comment that was looked at for commands.
    #[serde(default)]
    pub last_comment: u64,
    /// Before when nothing is said there, RFC 3339, because the forge refused it: the token may not, or the conversation is locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// The commit on the base branch that merged it, until its result is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<String>,
}
