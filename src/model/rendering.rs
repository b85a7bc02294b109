//! Exact bytes to be written: objects, files, texts. The same input gives the same bytes.

use super::decision::ProposedMove;
use super::desired::Origin;
use super::ids::{ObjectId, PolicyName};
use super::secret::MASK;
use serde_json::Value;
use std::sync::Arc;

/// When an object is applied relative to the others: later stages may need what earlier ones define.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// CustomResourceDefinitions, Namespaces and ClusterRoles.
    Definitions,
    /// StorageClasses and other kinds of class.
    Classes,
    /// Everything else.
    Rest,
}

/// An object as it will be applied.
#[derive(Clone, PartialEq)]
pub struct RenderedObject {
    /// What identifies it.
    pub id: ObjectId,
    /// `apiVersion` as written.
    pub api_version: String,
    /// The object.
    pub value: Arc<Value>,
    /// When it is applied.
    pub stage: Stage,
    /// Whether its values are secret: then they are masked wherever they are shown.
    pub secret: bool,
    /// The file that it comes from.
    pub origin: Origin,
    /// What it was made of, when it is not an object of the repository itself, such as `StorageTier hot`.
    pub made_from: Option<String>,
}

impl std::fmt::Debug for RenderedObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("RenderedObject");
        shown.field("id", &self.id).field("stage", &self.stage);
        match self.secret {
            true => shown.field("value", &MASK),
            false => shown.field("value", &self.value),
        };
        shown
            .field("origin", &self.origin)
            .field("made_from", &self.made_from)
            .finish()
    }
}

/// A file that a proposal writes; `None` removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Path from the repository's root.
    pub path: String,
    /// The new content.
    pub content: Option<Vec<u8>>,
}

/// A proposal as a reviewer will see it: the moves of one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposalText {
    /// What the name of its branch begins with.
    pub branch: String,
    /// Identifies the moves: the same key means the same proposal, however their figures have changed.
    pub key: String,
    /// One line.
    pub title: String,
    /// What a pull request says, in Markdown.
    pub body: String,
    /// The commit's message: title, the body as text, trailers.
    pub commit_message: String,
    /// The files.
    pub files: Vec<FileChange>,
    /// The policy.
    pub policy: PolicyName,
    /// The moves, in order of claim.
    pub moves: Vec<ProposedMove>,
}
