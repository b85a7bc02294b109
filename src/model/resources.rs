//! The objects of a tree, in the order of its files and by what they are.

use super::desired::Resource;
use super::kinds::GROUP;
use std::collections::BTreeMap;
use std::ops::Deref;

/// The objects of a tree. Read as a slice they are in the order of the files; whoever looks for some kind looks at that kind's objects
/// alone, since to ask ten thousand objects for their kind again and again is most of what a turn over a large tree would do.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    all: Vec<Resource>,
    kinds: Kinds,
}

/// Positions among all objects, by group and kind.
type Kinds = BTreeMap<String, BTreeMap<String, Vec<usize>>>;

impl From<Vec<Resource>> for Resources {
    fn from(all: Vec<Resource>) -> Self {
        let mut kinds = Kinds::new();
        for (position, resource) in all.iter().enumerate() {
            let (group, kind) = (resource.group(), resource.kind());
            // Looked for first: most are of a kind that is there, and an entry would take copies of its names.
            match kinds.get_mut(group).and_then(|kinds| kinds.get_mut(kind)) {
                Some(positions) => positions.push(position),
                None => {
                    let kinds = kinds.entry(group.to_owned()).or_default();
                    kinds.insert(kind.to_owned(), vec![position]);
                }
            }
        }
        Self { all, kinds }
    }
}

impl Deref for Resources {
    type Target = [Resource];

    fn deref(&self) -> &[Resource] {
        &self.all
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

impl Resources {
    /// The objects of a group and kind, in the order of the files; the group of the core is "".
    pub fn of(&self, group: &str, kind: &str) -> impl Iterator<Item = &Resource> + Clone + use<'_> {
        let positions = self.positions(group, kind).iter();
        positions.filter_map(|position| self.all.get(*position))
    }

    fn positions(&self, group: &str, kind: &str) -> &[usize] {
        let positions = self.kinds.get(group).and_then(|kinds| kinds.get(kind));
        positions.map(Vec::as_slice).unwrap_or_default()
    }

    /// The objects of any of some groups and kinds, all together in the order of the files.
    pub fn of_any(&self, kinds: &[(&str, &str)]) -> Vec<&Resource> {
        let all = kinds.iter().map(|(group, kind)| self.positions(group, kind));
        let mut positions: Vec<usize> = all.flatten().copied().collect();
        positions.sort_unstable();
        let found = positions.into_iter();
        found.filter_map(|position| self.all.get(position)).collect()
    }

    /// The objects of our group, one kind after the other.
    pub fn of_our_group(&self) -> impl Iterator<Item = &Resource> {
        let kinds = self.kinds.get(GROUP).into_iter().flat_map(BTreeMap::values);
        kinds.flatten().filter_map(|position| self.all.get(*position))
    }

    /// The objects of one of our kinds.
    pub fn ours(&self, kind: &str) -> impl Iterator<Item = &Resource> + Clone + use<'_> {
        self.of(GROUP, kind)
    }

    /// Every group with every kind that is there.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.kinds.iter();
        all.flat_map(|(group, kinds)| kinds.keys().map(move |kind| (group.as_str(), kind.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::overlay::read_objects;

    #[test]
    fn objects_are_found_by_group_and_kind_in_the_order_of_the_files() {
        let text = [
            ("v1", "Secret", "a"),
            ("x/v1", "Secret", "b"),
            ("v1", "Secret", "c"),
            ("v1", "ConfigMap", "d"),
            ("v1", "Secret", "e"),
        ]
        .map(|(version, kind, name)| {
            format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\n")
        })
        .join("---\n");
        let resources = Resources::from(read_objects("a.yaml", &text, false).unwrap());
        let names = |group: &str, kind: &str| -> Vec<String> {
            let all = resources.of(group, kind);
            all.map(|one| one.name().to_owned()).collect()
        };
        assert_eq!(names("", "Secret"), ["a", "c", "e"]);
        assert_eq!(names("x", "Secret"), ["b"]);
        assert_eq!(names("", "ConfigMap"), ["d"]);
        assert_eq!(names("x", "ConfigMap"), [""; 0]);
        assert_eq!(names("y", "Secret"), [""; 0]);
        let of_any = resources.of_any(&[
            ("", "ConfigMap"),
            ("x", "Secret"),
            ("", "Secret"),
            ("z", "Secret"),
        ]);
        let of_any: Vec<&str> = of_any.into_iter().map(Resource::name).collect();
        assert_eq!(of_any, ["a", "b", "c", "d", "e"]);
        assert_eq!(resources.ours("StorageTier").count(), 0);
        assert_eq!(resources.of_our_group().count(), 0);
        let kinds: Vec<_> = resources.kinds().collect();
        assert_eq!(kinds, [("", "ConfigMap"), ("", "Secret"), ("x", "Secret")]);
        assert_eq!(resources.len(), 5);
    }
}
