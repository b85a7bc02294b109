//! Sets of fields as `metadata.managedFields` writes them (`fieldsV1`): a tree of path elements.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of paths. An element is written as the wire does: `f:name`, `k:{"name":"x"}` or `v:"x"`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct FieldSet {
    here: bool,
    below: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// Reads `fieldsV1`; an empty object below the top is a member, `.` makes its parent one.
    pub(super) fn read(fields: &Value) -> Self {
        let mut set = FieldSet::default();
        for (element, inner) in fields.as_object().into_iter().flatten() {
            if element == "." {
                set.here = true;
                continue;
            }
            let mut child = FieldSet::read(inner);
            if child.below.is_empty() {
                child.here = true;
            }
            set.below.insert(element.clone(), child);
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(super) fn write(&self) -> Value {
        let mut fields = Map::new();
        if self.here && !self.below.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, child) in &self.below {
            fields.insert(element.clone(), child.write());
        }
        Value::Object(fields)
    }

    /// Whether no path is a member.
    pub(super) fn is_empty(&self) -> bool {
        !self.here && self.below.values().all(FieldSet::is_empty)
    }

    /// Whether this very node is a member.
    pub(super) fn is_member(&self) -> bool {
        self.here
    }

    /// Makes this very node a member.
    pub(super) fn mark(&mut self) {
        self.here = true;
    }

    /// The same set without this very node.
    pub(super) fn unmarked(mut self) -> FieldSet {
        self.here = false;
        self
    }

    /// The node below, made if it is missing.
    pub(super) fn child(&mut self, element: &str) -> &mut FieldSet {
        self.below.entry(element.to_owned()).or_default()
    }

    /// The node below.
    pub(super) fn get(&self, element: &str) -> Option<&FieldSet> {
        self.below.get(element)
    }

    /// Makes the path a member.
    pub(super) fn insert(&mut self, path: &[String]) {
        match path.split_first() {
            None => self.here = true,
            Some((element, rest)) => self.child(element).insert(rest),
        }
    }

    /// Takes a whole subtree out.
    pub(super) fn cut(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => drop(self.below.remove(*last)),
            [first, rest @ ..] => {
                if let Some(child) = self.below.get_mut(*first) {
                    child.cut(rest);
                }
            }
        }
        self.tidy();
    }

    /// Members of either.
    pub(super) fn union(&self, other: &FieldSet) -> FieldSet {
        let mut set = self.clone();
        set.here |= other.here;
        for (element, theirs) in &other.below {
            let ours = set.child(element);
            *ours = ours.union(theirs);
        }
        set
    }

    /// Members of both.
    pub(super) fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |ours, theirs| ours && theirs)
    }

    /// Members of this one that the other lacks.
    pub(super) fn difference(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |ours, theirs| ours && !theirs)
    }

    fn combine(&self, other: &FieldSet, keep: fn(bool, bool) -> bool) -> FieldSet {
        let none = FieldSet::default();
        let mut set = FieldSet {
            here: keep(self.here, other.here),
            below: BTreeMap::new(),
        };
        for (element, ours) in &self.below {
            let child = ours.combine(other.below.get(element).unwrap_or(&none), keep);
            set.below.insert(element.clone(), child);
        }
        set.tidy();
        set
    }

    /// The same set with everything that stands above a member.
    pub(super) fn with_ancestors(&self) -> FieldSet {
        let below: BTreeMap<_, _> = self
            .below
            .iter()
            .map(|(element, child)| (element.clone(), child.with_ancestors()))
            .collect();
        let here = self.here || below.values().any(|child| !child.is_empty());
        FieldSet { here, below }
    }

    /// Every member as the error messages write it: `.spec.containers[name="a"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    fn collect(&self, prefix: &str, found: &mut Vec<String>) {
        if self.here && !prefix.is_empty() {
            found.push(prefix.to_owned());
        }
        for (element, child) in &self.below {
            child.collect(&format!("{prefix}{}", spoken(element)), found);
        }
    }

    fn tidy(&mut self) {
        self.below.retain(|_, child| !child.is_empty());
    }
}

fn spoken(element: &str) -> String {
    match element.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("v:", value)) => format!("[={value}]"),
        Some(("k:", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let pairs: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        _ => format!(".{element}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::FieldSet;

    #[test]
    fn a_set_survives_being_written_and_read() {
        let wire = json!({"f:spec": {"f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:value": {}}}},
            "f:metadata": {"f:finalizers": {"v:\"x\"": {}}}});
        assert_eq!(FieldSet::read(&wire).write(), wire);
    }

    #[test]
    fn paths_are_written_as_the_servers_conflict_messages_do() {
        let wire = json!({"f:spec": {"f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:value": {}}}},
            "f:metadata": {"f:finalizers": {"v:\"x\"": {}}}});
        assert_eq!(
            FieldSet::read(&wire).paths(),
            [
                ".metadata.finalizers[=\"x\"]",
                ".spec.env[name=\"A\"]",
                ".spec.env[name=\"A\"].value"
            ]
        );
    }

    #[test]
    fn difference_and_intersection_split_a_set() {
        let all = FieldSet::read(&json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}}));
        let some = FieldSet::read(&json!({"f:b": {"f:c": {}}}));
        let (both, rest) = (all.intersection(&some), all.difference(&some));
        assert_eq!(both.paths(), [".b.c"]);
        assert_eq!(rest.paths(), [".a", ".b"]);
        assert_eq!(both.union(&rest), all);
    }
}
