//! Patches as they were read, which are wiped when they were encrypted.

use crate::formats::yaml::{self, Kind, Node, YamlError};
use crate::model::secret::wipe;
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

/// A patch as it was read: its documents, with their values. All of it is wiped when it was encrypted.
pub(super) struct Known {
    pub(super) text: Zeroizing<String>,
    pub(super) secret: bool,
    pub(super) documents: Vec<(Value, Node)>,
}

impl Known {
    pub(super) fn read(text: &str, secret: bool) -> Result<Self, YamlError> {
        let mut known = Self {
            text: Zeroizing::new(text.to_owned()),
            secret,
            documents: Vec::new(),
        };
        let nodes = yaml::load(text)?;
        known.documents = nodes.into_iter().map(|node| (Value::Null, node)).collect();
        for (value, node) in &mut known.documents {
            *value = node.to_json()?;
        }
        let read = std::mem::take(&mut known.documents);
        for (value, node) in read.into_iter().filter(|(value, _)| !value.is_null()) {
            known.add(value, node);
        }
        Ok(known)
    }

    /// Adds a document; of a `List` its items, each of which is a patch.
    fn add(&mut self, mut value: Value, mut node: Node) {
        let list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        let values = match value.get_mut("items") {
            Some(Value::Array(values)) if list => std::mem::take(values),
            _ => return self.documents.push((value, node)),
        };
        let Kind::Map(entries) = &mut node.kind else {
            return;
        };
        let items = entries.iter_mut().find(|(key, _)| key.text == "items");
        if let Some((_, items)) = items
            && let Kind::List(items) = &mut items.kind
        {
            self.documents
                .extend(values.into_iter().zip(std::mem::take(items)));
        }
        // What stood beside the items belongs to none of them.
        if self.secret {
            wipe(&mut value);
            node.zeroize();
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        for (value, node) in self.documents.iter_mut().filter(|_| self.secret) {
            wipe(value);
            node.zeroize();
        }
    }
}
