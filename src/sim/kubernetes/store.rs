//! The objects, each with its version, and the bounded history that watches read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::{self, Kind};

/// How many changes a watch can look back: enough for every test to reconnect, few enough to keep memory flat.
const HISTORY: usize = 4096;

/// Where an object is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// API group.
    pub(super) group: String,
    /// Plural.
    pub(super) plural: String,
    /// Namespace; empty for cluster-scoped kinds.
    pub(super) namespace: String,
    /// Name.
    pub(super) name: String,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// The version that it made.
    pub(super) revision: u64,
    /// Which object.
    pub(super) key: Key,
    /// The object before, if there was one.
    pub(super) old: Option<Arc<Value>>,
    /// The object after; a deleted one is shown one last time with the new version.
    pub(super) new: Arc<Value>,
    /// Whether the object is gone.
    pub(super) gone: bool,
}

/// Everything that the server holds.
#[derive(Debug)]
pub(super) struct Store {
    kinds: Vec<Arc<Kind>>,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    revision: u64,
    forgotten: u64,
    names: u64,
}

impl Store {
    /// A server that has just started.
    pub(super) fn new() -> Self {
        Store {
            kinds: kinds::built_in().into_iter().map(Arc::new).collect(),
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            revision: 0,
            forgotten: 0,
            names: 0,
        }
    }

    /// The newest version.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// The newest version that watches can no longer start before.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Drops the history, as a compaction does.
    pub(super) fn forget(&mut self) {
        self.history.clear();
        // One more, so that a watch from the newest version that anyone has read is too old as well.
        self.revision += 1;
        self.forgotten = self.revision;
    }

    /// All served kinds.
    pub(super) fn kinds(&self) -> &[Arc<Kind>] {
        &self.kinds
    }

    /// The kind at a path.
    pub(super) fn kind(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let found = self
            .kinds
            .iter()
            .find(|kind| kind.group == group && kind.plural == plural && kind.version(version).is_some());
        found.cloned()
    }

    /// The kind of an `apiVersion` and `kind`.
    pub(super) fn kind_of(&self, api_version: &str, name: &str) -> Option<Arc<Kind>> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let found = self
            .kinds
            .iter()
            .find(|kind| kind.group == group && kind.kind == name && kind.version(version).is_some());
        found.cloned()
    }

    /// The kind called `Kind` or `Kind.group`.
    pub(super) fn kind_named(&self, name: &str) -> Option<Arc<Kind>> {
        let (name, group) = name
            .split_once('.')
            .map_or((name, None), |(name, group)| (name, Some(group)));
        let found = self
            .kinds
            .iter()
            .find(|kind| kind.kind == name && group.is_none_or(|group| kind.group == group));
        found.cloned()
    }

    /// Where an object of the kind is kept. Both kinds of events are one.
    pub(super) fn key(kind: &Kind, namespace: &str, name: &str) -> Key {
        Key {
            group: if kind.plural == "events" && !kind.custom {
                String::new()
            } else {
                kind.group.clone()
            },
            plural: kind.plural.clone(),
            namespace: if kind.namespaced {
                namespace.to_owned()
            } else {
                String::new()
            },
            name: name.to_owned(),
        }
    }

    /// One object.
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    /// All objects of a kind, by namespace and name.
    pub(super) fn list(&self, kind: &Kind, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let from = Store::key(kind, namespace.unwrap_or(""), "");
        self.objects
            .range(from.clone()..)
            .take_while(|(key, _)| key.group == from.group && key.plural == from.plural)
            .take_while(|(key, _)| {
                namespace.is_none_or(|namespace| !kind.namespaced || key.namespace == namespace)
            })
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// All objects of a kind as they were some versions ago, as far as the history reaches.
    pub(super) fn list_before(&self, kind: &Kind, namespace: Option<&str>, revision: u64) -> Vec<Arc<Value>> {
        let of = Store::key(kind, "", "");
        let mut objects: BTreeMap<Key, Arc<Value>> = BTreeMap::new();
        for (key, object) in self
            .objects
            .iter()
            .filter(|(key, _)| key.group == of.group && key.plural == of.plural)
        {
            objects.insert(key.clone(), Arc::clone(object));
        }
        for change in self
            .history
            .iter()
            .rev()
            .take_while(|change| change.revision > revision)
        {
            match &change.old {
                Some(old) if change.key.plural == of.plural && change.key.group == of.group => {
                    objects.insert(change.key.clone(), Arc::clone(old));
                }
                _ => drop(objects.remove(&change.key)),
            }
        }
        objects.retain(|key, _| {
            namespace.is_none_or(|namespace| !kind.namespaced || key.namespace == namespace)
        });
        objects.into_values().collect()
    }

    /// Everything in a namespace.
    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Key> {
        self.objects
            .keys()
            .filter(|key| key.namespace == namespace)
            .cloned()
            .collect()
    }

    /// Writes an object and gives it the next version.
    pub(super) fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let new = Arc::new(object);
        let old = self.objects.insert(key.clone(), Arc::clone(&new));
        self.note(Change {
            revision: self.revision,
            key,
            old,
            new: Arc::clone(&new),
            gone: false,
        });
        new
    }

    /// Takes an object away.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let old = self.objects.remove(key)?;
        self.revision += 1;
        let mut last = Value::clone(&old);
        last["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let new = Arc::new(last);
        let change = Change {
            revision: self.revision,
            key: key.clone(),
            old: Some(old),
            new: Arc::clone(&new),
            gone: true,
        };
        self.note(change);
        Some(new)
    }

    fn note(&mut self, change: Change) {
        let definition = (change.key.plural == "customresourcedefinitions").then(|| change.clone());
        self.history.push_back(change);
        if self.history.len() > HISTORY
            && let Some(oldest) = self.history.pop_front()
        {
            self.forgotten = oldest.revision;
        }
        if let Some(definition) = definition {
            self.serve(&definition);
        }
    }

    fn serve(&mut self, change: &Change) {
        let Some(kind) = kinds::from_definition(&change.new) else {
            return;
        };
        self.kinds
            .retain(|served| !(served.custom && served.group == kind.group && served.plural == kind.plural));
        if !change.gone {
            return self.kinds.push(Arc::new(kind));
        }
        for object in self.list(&kind, None) {
            let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
            self.remove(&Store::key(&kind, text("namespace"), text("name")));
        }
    }

    /// What happened after the version.
    pub(super) fn since(&self, revision: u64) -> impl Iterator<Item = &Change> {
        let from = self.history.partition_point(|change| change.revision <= revision);
        self.history.range(from..)
    }

    /// A number that was never given out: for uids and generated names.
    pub(super) fn next_number(&mut self) -> u64 {
        self.names += 1;
        self.names
    }
}
