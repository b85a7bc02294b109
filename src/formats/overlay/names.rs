//! References by name, which follow when a prefix, a suffix, a hash or a namespace changes what an object is called.
//!
//! kustomize's table of references (kustomize 5.8, `builtinpluginconsts/namereference.go`), and its way of choosing between
//! several objects that were once called the same (`filters/nameref`).

use super::fields::Spec;
use super::object::{Id, NO_NAMESPACE, Named, Object, is_cluster_scoped};
use super::references::{Target, table};
use serde_json::Value;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

/// How many objects of the same name may be compared for all references of a build.
const LOOKS_MAX: usize = 100_000;

/// Lets every reference follow its object.
pub(super) fn follow(objects: &mut [Object]) -> Result<(), String> {
    // Nothing to do where nothing was renamed.
    if objects.iter().all(|object| object.before.is_empty()) {
        return Ok(());
    }
    let table = table();
    let candidates = Candidates::new(objects);
    for object in objects.iter_mut() {
        let first = object.first_named().to_id();
        let Some(rows) = table.get(first.kind.as_str()) else {
            continue;
        };
        let referrer = Referrer::of(object);
        for (target, spec) in rows.iter().filter(|(_, spec)| spec.fits(first.named())) {
            let mut value = std::mem::take(object.resource.value_mut());
            let here = Spec {
                group: String::new(),
                version: String::new(),
                kind: String::new(),
                ..spec.clone()
            };
            let outcome = here.visit(&mut value, &|| Value::Null, &mut |found| {
                candidates.update(found, target, &spec.path, &referrer)
            });
            *object.resource.value_mut() = value;
            outcome.map_err(|what| match object.resource.origin.secret {
                // The words quote the name.
                true => format!(
                    "a reference by name in {} fits several objects, or has no name",
                    object.resource.label()
                ),
                false => format!("{}: {what}", object.resource.id()),
            })?;
        }
    }
    Ok(())
}

/// What matters of the object that refers.
struct Referrer {
    id: Id,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    role: Option<(String, String)>,
    /// Namespaces of the service accounts that a RoleBinding names.
    namespaces: BTreeSet<String>,
}

impl Referrer {
    fn of(object: &Object) -> Self {
        let role = object.resource.value.get("roleRef").and_then(|role| {
            Some((
                role.get("apiGroup")?.as_str()?.to_owned(),
                role.get("kind")?.as_str()?.to_owned(),
            ))
        });
        let subjects = object.resource.value.get("subjects").and_then(Value::as_array);
        let namespaces = subjects
            .into_iter()
            .flatten()
            .filter(|subject| subject["kind"] == "ServiceAccount")
            .filter_map(|subject| subject["namespace"].as_str().map(str::to_owned))
            .collect();
        Self {
            id: object.id(),
            prefixes: object.prefixes.clone(),
            suffixes: object.suffixes.clone(),
            role,
            namespaces: if object.id().kind == "RoleBinding" {
                namespaces
            } else {
                BTreeSet::new()
            },
        }
    }
}

/// What matters of an object that may be referred to.
struct Candidate {
    now: Id,
    first_namespace: String,
    before: Vec<Id>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

struct Candidates {
    all: Vec<Candidate>,
    /// Positions by each name that an object had and each kind that it was, and by its namespace for those who reach no other.
    of_name: HashMap<(String, String), OfName>,
    /// Namespaces that objects had first.
    first_namespaces: BTreeSet<String>,
    /// How many candidates were looked at.
    looks: Cell<usize>,
}

#[derive(Default)]
struct OfName {
    all: Vec<usize>,
    by_namespace: HashMap<String, Vec<usize>>,
}

impl Candidates {
    fn new(objects: &[Object]) -> Self {
        let mut candidates = Self {
            all: Vec::new(),
            of_name: HashMap::new(),
            first_namespaces: BTreeSet::new(),
            looks: Cell::new(0),
        };
        for (position, object) in objects.iter().enumerate() {
            let now = object.id();
            let before: Vec<Id> = object
                .all_named()
                .take(object.before.len())
                .map(Named::to_id)
                .collect();
            let kinds: BTreeSet<&str> = before.iter().map(|id| id.kind.as_str()).collect();
            let names: BTreeSet<&str> = before.iter().map(|id| id.name.as_str()).collect();
            for (kind, name) in kinds
                .iter()
                .flat_map(|kind| names.iter().map(move |name| (kind, name)))
            {
                let key = ((*kind).to_owned(), (*name).to_owned());
                let of_name = candidates.of_name.entry(key).or_default();
                of_name.all.push(position);
                let namespace = now.effective_namespace().to_owned();
                of_name.by_namespace.entry(namespace).or_default().push(position);
            }
            let first_namespace = object.first_named().effective_namespace().to_owned();
            candidates.first_namespaces.insert(first_namespace.clone());
            candidates.all.push(Candidate {
                now,
                first_namespace,
                before,
                prefixes: object.prefixes.clone(),
                suffixes: object.suffixes.clone(),
            });
        }
        candidates
    }

    /// Those that were called so and that the referrer may reach, and some more.
    fn of_name(&self, name: &str, kind: &str, referrer: &Referrer) -> Vec<&Candidate> {
        let Some(of_name) = self.of_name.get(&(kind.to_owned(), name.to_owned())) else {
            return Vec::new();
        };
        // Who has a namespace reaches its own, what has none, and service accounts that it names.
        let free = is_cluster_scoped(&referrer.id.group, &referrer.id.kind);
        let own = referrer.id.effective_namespace();
        let narrow = !free && kind != "ServiceAccount" && !of_name.by_namespace.contains_key(NO_NAMESPACE);
        let positions = match narrow {
            true => of_name.by_namespace.get(own).map_or(&[][..], Vec::as_slice),
            false => &of_name.all,
        };
        self.looks.set(self.looks.get() + positions.len());
        positions
            .iter()
            .filter_map(|position| self.all.get(*position))
            .collect()
    }

    fn update(
        &self,
        found: &mut Value,
        target: &Target,
        path: &str,
        referrer: &Referrer,
    ) -> Result<(), String> {
        match found {
            Value::Array(items) => items
                .iter_mut()
                .try_for_each(|item| self.update(item, target, path, referrer)),
            Value::String(name) => {
                let chosen = self.choose(name, target, path, referrer, None)?;
                if let Some(chosen) = chosen {
                    name.clone_from(&chosen.now.name);
                }
                Ok(())
            }
            Value::Object(map) => {
                let Some(name) = map.get("name").and_then(Value::as_str).map(str::to_owned) else {
                    return Err(format!("`{path}` has no `name`"));
                };
                let namespace = map.get("namespace").and_then(Value::as_str).map(str::to_owned);
                let chosen = self.choose(&name, target, path, referrer, Some(namespace.as_deref()))?;
                let Some(chosen) = chosen else { return Ok(()) };
                map.insert("name".to_owned(), Value::String(chosen.now.name.clone()));
                // kustomize takes "" for "any", not for `default`, and so does not write it.
                if !chosen.now.namespace.is_empty() {
                    map.insert(
                        "namespace".to_owned(),
                        Value::String(chosen.now.namespace.clone()),
                    );
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The object that a name means. `map` is given for references that are maps, with the namespace that they name.
    fn choose(
        &self,
        name: &str,
        target: &Target,
        path: &str,
        referrer: &Referrer,
        map: Option<Option<&str>>,
    ) -> Result<Option<&Candidate>, String> {
        let (group, version, kind) = target;
        let is_target = |id: &Id| {
            (group.is_empty() || id.group == *group)
                && (version.is_empty() || id.version == *version)
                && id.kind == *kind
        };
        let is_role = |one: &Candidate| match &referrer.role {
            Some((group, kind)) if path.ends_with("roleRef/name") => one
                .before
                .iter()
                .any(|id| (group.is_empty() || id.group == *group) && (kind.is_empty() || id.kind == *kind)),
            _ => true,
        };
        let in_namespace = |one: &Candidate, namespace: &str, by_first: bool| {
            let own = if by_first {
                one.first_namespace.as_str()
            } else {
                one.now.effective_namespace()
            };
            own == namespace
        };
        let of_name = self.of_name(name, kind, referrer);
        if self.looks.get() > LOOKS_MAX {
            return Err(format!(
                "more than {LOOKS_MAX} objects of the same name are compared for references; give them names of their own"
            ));
        }
        let mut found: Vec<&Candidate> = match map.flatten() {
            None => of_name,
            Some(namespace) => {
                let first: Vec<&Candidate> = of_name
                    .iter()
                    .copied()
                    .filter(|one| in_namespace(one, namespace, true))
                    .collect();
                if self.first_namespaces.contains(namespace) {
                    first
                } else {
                    of_name
                        .into_iter()
                        .filter(|one| in_namespace(one, namespace, false))
                        .collect()
                }
            }
        };
        found.retain(|one| {
            one.before.iter().any(|id| id.name == name)
                && one.before.iter().any(is_target)
                && is_role(one)
                && reaches(referrer, one)
        });
        if found.len() > 1 {
            let alike: Vec<&Candidate> = found
                .iter()
                .copied()
                .filter(|one| same_affixes(one, referrer, true))
                .collect();
            found = alike;
            if found.len() > 1 {
                found.retain(|one| same_affixes(one, referrer, false));
            }
        }
        let identical = found.windows(2).all(|two| {
            two[0].now.name == two[1].now.name
                && (map.is_none() || two[0].now.namespace == two[1].now.namespace)
        });
        match found.as_slice() {
            [] => Ok(None),
            [first, ..] if identical => Ok(Some(first)),
            _ => Err(format!(
                "`{path}` says {name}, which several objects were called; give them names of their own"
            )),
        }
    }
}

/// Whether one may refer to the other: same namespace, or one of them has none.
fn reaches(referrer: &Referrer, one: &Candidate) -> bool {
    let free = |id: &Id| is_cluster_scoped(&id.group, &id.kind);
    if free(&referrer.id) || free(&one.now) {
        return true;
    }
    let same = referrer.id.effective_namespace() == one.now.effective_namespace();
    same || (one.now.kind == "ServiceAccount" && referrer.namespaces.contains(&one.now.namespace))
}

fn same_affixes(one: &Candidate, referrer: &Referrer, empty_fits: bool) -> bool {
    let same = |a: &[String], b: &[String]| {
        let either = a.is_empty() || b.is_empty();
        if either && empty_fits {
            return true;
        }
        let length = a.len().min(b.len());
        if length == 0 && (a.len() != b.len()) {
            return false;
        }
        a[a.len() - length..] == b[b.len() - length..]
    };
    same(&one.prefixes, &referrer.prefixes) && same(&one.suffixes, &referrer.suffixes)
}
