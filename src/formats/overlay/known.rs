//! Patches as they were read, which are wiped when they were encrypted.

use crate::formats::yaml::{self, Node, YamlError};
use crate::model::secret::wipe;
use json_patch::PatchOperation;
use serde::Deserialize;
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
        known.documents.retain(|(value, _)| !value.is_null());
        Ok(known)
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

/// The operations of a JSON patch, with copies of the values that they write.
pub(super) struct Operations {
    pub(super) all: json_patch::Patch,
    secret: bool,
}

impl Operations {
    /// Reads them from the value itself: what a copy of it is taken apart into when it fails would not be wiped.
    pub(super) fn read(value: &Value, secret: bool) -> Option<Self> {
        let all = json_patch::Patch::deserialize(value).ok()?;
        Some(Self { all, secret })
    }
}

impl Drop for Operations {
    fn drop(&mut self) {
        for operation in self.all.0.iter_mut().filter(|_| self.secret) {
            match operation {
                PatchOperation::Add(one) => wipe(&mut one.value),
                PatchOperation::Replace(one) => wipe(&mut one.value),
                PatchOperation::Test(one) => wipe(&mut one.value),
                PatchOperation::Remove(_) | PatchOperation::Move(_) | PatchOperation::Copy(_) => {}
            }
        }
    }
}
