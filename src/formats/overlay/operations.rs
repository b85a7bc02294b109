//! JSON patches as kustomize applies them (json-patch 4 for Go), which is more than RFC 6902 has: `replace` of a key that is not
//! there adds it, places of a list may be counted from its end, and annotations have a map to go into.
//!
//! What kustomize takes and nobody can mean is refused: an operation without its value, a path that does not begin with a slash
//! (its first name would be forgotten), and a copy of what is not there (which would be null).

use super::work::{self, Work};
use crate::formats::yaml;
use serde_json::{Map, Value};

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
}

impl Verb {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "add" => Self::Add,
            "remove" => Self::Remove,
            "replace" => Self::Replace,
            "move" => Self::Move,
            "copy" => Self::Copy,
            "test" => Self::Test,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Replace => "replace",
            Self::Move => "move",
            Self::Copy => "copy",
            Self::Test => "test",
        }
    }
}

/// An operation, whose value stays where the patch has it.
pub(super) struct Operation<'a> {
    pub(super) verb: Verb,
    path: Pointer,
    /// Where `move` and `copy` take it from; empty for the others.
    from: Pointer,
    /// What the others write or expect; null for `remove`.
    value: &'a Value,
}

/// The names of a JSON pointer; none for the whole object.
#[derive(Default)]
struct Pointer(Vec<String>);

impl Pointer {
    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let names = text.strip_prefix('/')?.split('/');
        let plain = names.map(yaml::unescape);
        Some(Self(plain.collect()))
    }

    /// The pointer to the first so many of the names.
    fn text(&self, names: usize) -> String {
        let parts = self.0.iter().take(names);
        parts.map(|name| format!("/{}", yaml::escape(name))).collect()
    }

    fn whole(&self) -> String {
        self.text(self.0.len())
    }

    /// Whether what an object is called stands there.
    fn names_it(&self) -> bool {
        let first = self.0.first().map(String::as_str);
        first.is_none_or(|first| matches!(first, "apiVersion" | "kind" | "metadata"))
    }
}

/// Why an operation cannot be carried out.
pub(super) struct Failure {
    /// Its number, from 0.
    pub(super) number: usize,
    /// Where in the object.
    pub(super) pointer: String,
    /// What is wrong there.
    pub(super) what: &'static str,
}

impl<'a> Operation<'a> {
    /// Reads a list of them.
    ///
    /// # Errors
    /// The number of the first that is none, from 0, and why. It quotes nothing.
    pub(super) fn read_all(list: &'a [Value]) -> Result<Vec<Self>, (usize, &'static str)> {
        let read = |(number, one)| Self::read(one).map_err(|what| (number, what));
        list.iter().enumerate().map(read).collect()
    }

    fn read(value: &'a Value) -> Result<Self, &'static str> {
        let text = |field: &str| value.get(field).and_then(Value::as_str);
        let verb = text("op").ok_or("an operation needs `op`")?;
        let verb = Verb::read(verb).ok_or("`op` is none of add, remove, replace, move, copy and test")?;
        let pointer = |field: &str, missing| Pointer::read(text(field).ok_or(missing)?).ok_or(NO_SLASH);
        let path = pointer("path", "an operation needs `path`")?;
        let from = match verb {
            Verb::Move | Verb::Copy => pointer("from", "`move` and `copy` need `from`")?,
            _ => Pointer::default(),
        };
        let valued = matches!(verb, Verb::Add | Verb::Replace | Verb::Test);
        let value = match value.get("value") {
            None if valued => {
                return Err("`add`, `replace` and `test` need `value`; write `null` if it is that");
            }
            Some(value) if valued => value,
            _ => &Value::Null,
        };
        Ok(Self {
            verb,
            path,
            from,
            value,
        })
    }

    /// Whether it may change what an object is called.
    pub(super) fn renames(&self) -> bool {
        match self.verb {
            Verb::Test => false,
            Verb::Move => self.path.names_it() || self.from.names_it(),
            _ => self.path.names_it(),
        }
    }
}

const NO_SLASH: &str = "`path` and `from` begin with `/`";

/// Applies operations. Those that copy may double what is there, and those that move may put it deeper each time: they are counted
/// one by one. The inner error is the one that fails.
pub(super) fn apply(
    object: &mut Value,
    operations: &[Operation],
    work: &mut Work,
) -> Result<Result<(), Failure>, work::Trouble> {
    // kustomize keeps annotations of its own while it works, so that there is always a map of them.
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && metadata.get("annotations").is_none_or(Value::is_null)
    {
        metadata.insert("annotations".to_owned(), Value::Object(Map::new()));
    }
    for (number, operation) in operations.iter().enumerate() {
        let from = match operation.verb {
            Verb::Move | Verb::Copy => find(object, &operation.from).ok(),
            _ => None,
        };
        work.put(from.unwrap_or(&Value::Null), operation.path.0.len())?;
        if let Err((pointer, what)) = one(object, operation) {
            return Ok(Err(Failure {
                number,
                pointer,
                what,
            }));
        }
    }
    // Everything that follows puts something into it.
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    match (metadata, operations.len().checked_sub(1)) {
        (Some(metadata), _) => settle(metadata),
        (None, Some(number)) => {
            return Ok(Err(Failure {
                number,
                pointer: "/metadata".to_owned(),
                what: "is no map behind it",
            }));
        }
        (None, None) => {}
    }
    Ok(Ok(()))
}

/// Annotations are texts, and no map of them is left empty.
fn settle(metadata: &mut Map<String, Value>) {
    let Some(annotations) = metadata.get_mut("annotations") else {
        return;
    };
    for value in annotations.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if matches!(value, Value::Bool(_) | Value::Number(_)) {
            *value = Value::String(value.to_string());
        }
    }
    let empty = annotations.is_null() || annotations.as_object().is_some_and(Map::is_empty);
    if empty {
        metadata.remove("annotations");
    }
}

type Wrong = (String, &'static str);

fn one(object: &mut Value, operation: &Operation) -> Result<(), Wrong> {
    let path = &operation.path;
    match operation.verb {
        Verb::Add => add(object, path, operation.value.clone()),
        Verb::Remove => take(object, path).map(drop),
        Verb::Replace if path.0.is_empty() => {
            *object = operation.value.clone();
            Ok(())
        }
        Verb::Replace => match parent(object, path)? {
            (Inside::Map(map), key) => {
                map.insert(key.to_owned(), operation.value.clone());
                Ok(())
            }
            (Inside::List(items), key) => {
                let position = position(key, items.len(), || path.whole())?;
                items[position] = operation.value.clone();
                Ok(())
            }
        },
        Verb::Move => {
            let value = take(object, &operation.from)?;
            add(object, path, value)
        }
        Verb::Copy => {
            let value = find(object, &operation.from)?.clone();
            add(object, path, value)
        }
        Verb::Test => match find(object, path) {
            Ok(found) if same(found, operation.value) => Ok(()),
            Ok(_) => Err((path.whole(), "has another value than `test` asks for")),
            // Nothing is the same as null.
            Err((at, GONE)) if operation.value.is_null() && at == path.whole() => Ok(()),
            Err(wrong) => Err(wrong),
        },
    }
}

const GONE: &str = "is not there";

/// What a text or number is.
const FLAT: &str = "is neither a map nor a list";

/// What an operation works in.
enum Inside<'a> {
    Map(&'a mut Map<String, Value>),
    List(&'a mut Vec<Value>),
}

/// The value at a pointer.
fn find<'a>(object: &'a Value, pointer: &Pointer) -> Result<&'a Value, Wrong> {
    let mut place = object;
    for (depth, name) in pointer.0.iter().enumerate() {
        let here = || pointer.text(depth + 1);
        place = match place {
            Value::Object(map) => map.get(name).ok_or_else(|| (here(), GONE))?,
            Value::Array(items) => &items[position(name, items.len(), here)?],
            Value::Null => return Err((pointer.text(depth), GONE)),
            _ => return Err((pointer.text(depth), FLAT)),
        };
    }
    Ok(place)
}

/// What the last name of a pointer stands in, and that name.
fn parent<'a, 'p>(object: &'a mut Value, pointer: &'p Pointer) -> Result<(Inside<'a>, &'p str), Wrong> {
    let Some((last, way)) = pointer.0.split_last() else {
        return Err((String::new(), "the object itself can only be replaced or tested"));
    };
    let mut place = object;
    for (depth, name) in way.iter().enumerate() {
        let here = || pointer.text(depth + 1);
        place = match place {
            Value::Object(map) => map.get_mut(name).ok_or_else(|| (here(), GONE))?,
            Value::Array(items) => {
                let position = position(name, items.len(), here)?;
                &mut items[position]
            }
            Value::Null => return Err((pointer.text(depth), GONE)),
            _ => return Err((pointer.text(depth), FLAT)),
        };
    }
    match place {
        Value::Object(map) => Ok((Inside::Map(map), last)),
        Value::Array(items) => Ok((Inside::List(items), last)),
        Value::Null => Err((pointer.text(way.len()), GONE)),
        _ => Err((pointer.text(way.len()), FLAT)),
    }
}

fn add(object: &mut Value, pointer: &Pointer, value: Value) -> Result<(), Wrong> {
    match parent(object, pointer)? {
        (Inside::Map(map), key) => {
            map.insert(key.to_owned(), value);
        }
        (Inside::List(items), "-") => items.push(value),
        (Inside::List(items), key) => {
            let position = position(key, items.len() + 1, || pointer.whole())?;
            items.insert(position, value);
        }
    }
    Ok(())
}

fn take(object: &mut Value, pointer: &Pointer) -> Result<Value, Wrong> {
    match parent(object, pointer)? {
        (Inside::Map(map), key) => map.remove(key).ok_or_else(|| (pointer.whole(), GONE)),
        (Inside::List(items), key) => {
            let position = position(key, items.len(), || pointer.whole())?;
            Ok(items.remove(position))
        }
    }
}

/// A place below `end`, written as Go reads numbers: with a sign or zeros before it. Those below 0 are counted back from `end`.
fn position(name: &str, end: usize, here: impl Fn() -> String) -> Result<usize, Wrong> {
    let number: i64 = name
        .parse()
        .map_err(|_| (here(), "is in a list, whose places are numbers"))?;
    let far = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
    let found = if number < 0 {
        end.checked_sub(far)
    } else {
        Some(far)
    };
    found
        .filter(|position| *position < end)
        .ok_or_else(|| (here(), "is past the end of the list"))
}

/// Whether two values are one; null is the same as nothing.
fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(a), Value::Object(b)) => {
            let both = |(key, a)| b.get(key).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(both)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}
