//! How a kind's values are put together: which maps and lists are one unit, which have parts that someone can own.

use serde_json::{Map, Value};

/// A place in a kind's schema.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape<'a> {
    /// A built-in kind, known by the name of the field we stand in.
    BuiltIn(&'a str),
    /// A node of a CRD's `openAPIV3Schema`.
    Declared(&'a Value),
    /// The top of a custom resource: declared, but `metadata` is built in.
    Root(&'a Value),
    /// Nothing is known: maps have parts, lists are one unit.
    Untyped,
}

/// What a value's parts are.
enum Parts {
    None,
    Fields,
    Items,
    Keyed(Vec<String>),
}

/// The lists of built-in kinds that are maps by some of their items' fields (`x-kubernetes-list-map-keys`).
const KEYED: &[(&str, &[&str])] = &[
    ("conditions", &["type"]),
    ("containers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("env", &["name"]),
    ("hostAliases", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    ("ownerReferences", &["uid"]),
    ("ports", &["containerPort", "protocol"]),
    ("secrets", &["name"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("volumeDevices", &["devicePath"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];

/// The maps of built-in kinds that are one unit (`x-kubernetes-map-type: atomic`).
const ATOMIC: &[&str] = &[
    "configMapKeyRef",
    "dataSource",
    "fieldRef",
    "involvedObject",
    "labelSelector",
    "namespaceSelector",
    "nodeSelector",
    "podSelector",
    "regarding",
    "related",
    "resourceFieldRef",
    "roleRef",
    "secretKeyRef",
    "secretRef",
    "selector",
];

/// One part of a value: its path element, itself, and where it stands in the schema.
pub(super) type Part<'v, 's> = (String, &'v Value, Shape<'s>);

impl<'s> Shape<'s> {
    /// The schema of the field.
    pub(super) fn field(self, name: &'s str) -> Shape<'s> {
        match self {
            Shape::BuiltIn(_) => Shape::BuiltIn(name),
            Shape::Root(_) if name == "metadata" => Shape::BuiltIn(name),
            Shape::Root(node) | Shape::Declared(node) => match properties(node).and_then(|all| all.get(name))
            {
                Some(inner) => Shape::Declared(inner),
                None => match node.get("additionalProperties") {
                    Some(inner @ Value::Object(_)) => Shape::Declared(inner),
                    _ => Shape::Untyped,
                },
            },
            Shape::Untyped => Shape::Untyped,
        }
    }

    fn item(self) -> Shape<'s> {
        match self {
            Shape::Declared(node) | Shape::Root(node) => {
                node.get("items").map_or(Shape::Untyped, Shape::Declared)
            }
            other => other,
        }
    }

    /// Whether the field is one that the schema names, not a key that a user chose.
    pub(super) fn names(self, field: &str) -> bool {
        match self {
            Shape::BuiltIn(parent) => !matches!(parent, "labels" | "annotations" | "data" | "parameters"),
            Shape::Root(node) | Shape::Declared(node) => {
                field == "metadata" || properties(node).is_some_and(|all| all.contains_key(field))
            }
            Shape::Untyped => false,
        }
    }

    /// Whether a value may have the field at all.
    pub(super) fn declares(self, field: &str) -> bool {
        let (Shape::Root(node) | Shape::Declared(node)) = self else {
            return true;
        };
        let open = node["x-kubernetes-preserve-unknown-fields"] == true
            || node["x-kubernetes-embedded-resource"] == true
            || node
                .get("additionalProperties")
                .is_some_and(|additional| *additional != false);
        let top = matches!(self, Shape::Root(_)) && matches!(field, "apiVersion" | "kind" | "metadata");
        open || top || properties(node).is_none_or(|all| all.contains_key(field))
    }

    fn parts_of(self, value: &Value) -> Parts {
        match (value, self) {
            (Value::Object(_), Shape::BuiltIn(name)) if ATOMIC.contains(&name) => Parts::None,
            (Value::Object(_), Shape::Declared(node)) if extension(node, "map-type") == Some("atomic") => {
                Parts::None
            }
            (Value::Object(_), _) => Parts::Fields,
            (Value::Array(_), Shape::BuiltIn("finalizers")) => Parts::Items,
            (Value::Array(items), Shape::BuiltIn(name)) => built_in_keys(name, items),
            (Value::Array(_), Shape::Declared(node)) => match extension(node, "list-type") {
                Some("set") => Parts::Items,
                Some("map") => Parts::Keyed(map_keys(node)),
                _ => Parts::None,
            },
            _ => Parts::None,
        }
    }

    /// Whether the value's parts can be owned one by one.
    pub(super) fn has_parts(self, value: &Value) -> bool {
        !matches!(self.parts_of(value), Parts::None)
    }

    /// The value's parts, or nothing if it is a unit (also when it is empty).
    pub(super) fn parts<'v: 's>(self, value: &'v Value) -> Option<Vec<Part<'v, 's>>> {
        let parts: Vec<_> = match (self.parts_of(value), value) {
            (Parts::Fields, Value::Object(map)) => map
                .iter()
                .map(|(key, inner)| (format!("f:{key}"), inner, self.field(key)))
                .collect(),
            (Parts::Items, Value::Array(items)) => items
                .iter()
                .map(|inner| (format!("v:{inner}"), inner, Shape::Untyped))
                .collect(),
            (Parts::Keyed(keys), Value::Array(items)) => items
                .iter()
                .map(|inner| (self.key_of(&keys, inner), inner, self.item()))
                .collect(),
            _ => return None,
        };
        (!parts.is_empty()).then_some(parts)
    }

    fn key_of(self, keys: &[String], item: &Value) -> String {
        let mut key = Map::new();
        for name in keys {
            let default = match self.item() {
                Shape::Declared(node) => properties(node)
                    .and_then(|all| all.get(name))
                    .and_then(|field| field.get("default")),
                _ => None,
            };
            let value = match (item.get(name).or(default), name.as_str()) {
                (Some(value), _) => value.clone(),
                (None, "protocol") => Value::from("TCP"),
                (None, _) => continue,
            };
            key.insert(name.clone(), value);
        }
        format!("k:{}", Value::Object(key))
    }
}

fn properties(node: &Value) -> Option<&Map<String, Value>> {
    node.get("properties").and_then(Value::as_object)
}

fn extension<'v>(node: &'v Value, name: &str) -> Option<&'v str> {
    node.get(format!("x-kubernetes-{name}")).and_then(Value::as_str)
}

fn map_keys(node: &Value) -> Vec<String> {
    let keys = node.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    keys.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn built_in_keys(name: &str, items: &[Value]) -> Parts {
    // A Service's ports have no containerPort and are keyed by port.
    if name == "ports" && items.iter().any(|item| item.get("containerPort").is_none()) {
        return Parts::Keyed(vec!["port".to_owned(), "protocol".to_owned()]);
    }
    // Lists of strings under the same name (a CRD's `required: [conditions]`) have no keys.
    if items.iter().any(|item| !item.is_object()) {
        return Parts::None;
    }
    match KEYED.iter().find(|(field, _)| *field == name) {
        Some((_, keys)) => Parts::Keyed(keys.iter().map(|&key| key.to_owned()).collect()),
        None => Parts::None,
    }
}
