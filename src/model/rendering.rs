//! Exact bytes to be written: objects, files, texts. The same input gives the same bytes.

use super::decision::ProposedMove;
use super::desired::Origin;
use super::ids::{ObjectId, PolicyName};
use super::kinds::policy_source::InventoryEntry;
use super::secret::{MASK, wipe};
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

impl RenderedObject {
    /// What an inventory says of it.
    pub fn inventory_entry(&self) -> InventoryEntry {
        let version = self.api_version.rsplit('/').next();
        InventoryEntry {
            id: self.id.inventory_id(),
            v: version.unwrap_or_default().to_owned(),
        }
    }
}

impl Drop for RenderedObject {
    fn drop(&mut self) {
        // It may outlive the object that it was made of.
        if self.secret
            && let Some(value) = Arc::get_mut(&mut self.value)
        {
            wipe(value);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::places::Places;
    use crate::model::secret::witness::wiped;
    use serde_json::json;

    fn rendered(value: &Arc<Value>, secret: bool) -> RenderedObject {
        RenderedObject {
            id: ObjectId {
                group: String::new(),
                kind: "Secret".to_owned(),
                namespace: "n".to_owned(),
                name: "s".to_owned(),
            },
            api_version: "v1".to_owned(),
            value: value.clone(),
            stage: Stage::Rest,
            secret,
            origin: Origin {
                path: "a.yaml".into(),
                document: 0,
                line: 1,
                places: Arc::new(Places::default()),
                changed: Vec::new(),
                secret,
            },
            made_from: None,
        }
    }

    #[test]
    fn the_last_of_the_secret_objects_that_share_a_value_wipes_it() {
        let value = Arc::new(json!({"data": {"k": "canary"}}));
        let (first, last) = (rendered(&value, true), rendered(&value, true));
        drop(value);
        assert_eq!(wiped("canary", || drop(first)), 0);
        assert_eq!(wiped("canary", || drop(last)), 1);
    }
}
