//! `replacements`: a value of one object, put into fields of others.

use super::kustomization::{FieldOptions, Replacement, ReplacementSource, ReplacementTarget};
use super::object::{Named, Object};
use super::select::Selector;
use super::work::{self, Work};
use crate::formats::yaml;
use crate::model::secret::{MASK, Wiped};
use serde_json::{Map, Value};

/// What went wrong: a message and what to do.
type Trouble = (String, &'static str);

/// Why a replacement was not carried out.
pub(super) enum Failed {
    /// The build did too much.
    TooMuch(work::Trouble),
    /// Something is wrong with it.
    Wrong(Trouble),
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self::Wrong(trouble)
    }
}

/// What it takes to follow a path, in looks, and to set what it leads to.
const PATH_LOOKS: usize = 4;

/// Longest text that is put together from parts, as an object of the API server takes it.
const PARTS_BYTES_MAX: usize = 1 << 20;

const DEFAULT_PATH: &str = "metadata.name";

/// Carries one replacement out. `encrypted` says whether its own text was.
pub(super) fn apply(
    objects: &mut [Object],
    replacement: &Replacement,
    encrypted: bool,
    work: &mut Work,
) -> Result<(), Failed> {
    if replacement.targets.is_empty() {
        return Err((
            "a replacement needs a source and at least one target".to_owned(),
            "write `source:` and `targets:`",
        )
            .into());
    }
    let (value, secret, is_name) = match (&replacement.source, &replacement.source_value) {
        (Some(source), None) => {
            work.look(objects.len()).map_err(Failed::TooMuch)?;
            let (value, secret) = value_of(objects, source, encrypted)?;
            let is_name = NAMES_OF_OBJECTS.contains(&path_of(source));
            (value, secret || encrypted, is_name)
        }
        (None, Some(text)) => (plain(text), encrypted, false),
        _ => {
            return Err((
                "a replacement needs exactly one of `source` and `sourceValue`".to_owned(),
                "keep one of them",
            )
                .into());
        }
    };
    // A copy of our own, which may be of what was encrypted.
    let fresh = Fresh {
        value: Wiped(value),
        secret,
        encrypted,
        is_name,
    };
    for target in &replacement.targets {
        let selectors = target.select.iter().chain(&target.reject);
        let looks: usize = selectors.map(Selector::looks).sum();
        work.look(objects.len().saturating_mul(looks))
            .map_err(Failed::TooMuch)?;
        put(objects, target, &fresh, work)?;
    }
    Ok(())
}

/// What objects are called by: no secret, also of an encrypted one.
const NAMES_OF_OBJECTS: [&str; 4] = ["apiVersion", "kind", DEFAULT_PATH, "metadata.namespace"];

/// What a replacement puts into its targets.
struct Fresh {
    value: Wiped,
    /// Whether it comes from what was encrypted.
    secret: bool,
    /// Whether the replacement's own text was.
    encrypted: bool,
    /// Whether it is a part of what its source is called.
    is_name: bool,
}

/// Where a source's value is.
fn path_of(source: &ReplacementSource) -> &str {
    match source.field_path.as_str() {
        "" => DEFAULT_PATH,
        path => path,
    }
}

/// A value as an unquoted scalar of that text.
fn plain(text: &str) -> Value {
    yaml::load_wiped(text)
        .ok()
        .and_then(|documents| documents.first()?.to_json().ok())
        .filter(|value| !value.is_object() && !value.is_array() && !value.is_null())
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn value_of(
    objects: &[Object],
    source: &ReplacementSource,
    encrypted: bool,
) -> Result<(Value, bool), Trouble> {
    let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    let selects = |id: Named| {
        let wanted = Named {
            namespace: &source.namespace,
            ..id
        };
        is(&source.kind, id.kind)
            && is(&source.name, id.name)
            && (source.namespace.is_empty() || wanted.effective_namespace() == id.effective_namespace())
            && is(&source.group, id.group)
            && is(&source.version, id.version)
    };
    let mut found = objects.iter().filter(|object| object.all_named().any(selects));
    let (Some(object), None) = (found.next(), found.next()) else {
        return Err((
            "the source of this replacement is not one object".to_owned(),
            "name it by kind, name and namespace",
        ));
    };
    let path = path_of(source);
    let parts = parts(path);
    chosen_well(&parts, encrypted)?;
    let missing = || (no_field(object, path, encrypted), "correct `fieldPath`");
    let mut at = &*object.resource.value;
    for part in &parts {
        at = step(at, part).ok_or_else(missing)?;
    }
    let empty = match at {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    if empty {
        return Err(missing());
    }
    let value = refined(at, &source.options)?;
    Ok((value, object.resource.origin.secret))
}

fn no_field(object: &Object, path: &str, encrypted: bool) -> String {
    let path = if encrypted { MASK } else { path };
    format!("{} has no field `{path}`", object.resource.label())
}

fn refined(value: &Value, options: &FieldOptions) -> Result<Value, Trouble> {
    if options.delimiter.is_empty() {
        return Ok(value.clone());
    }
    let text = scalar(value).ok_or_else(|| {
        (
            "`delimiter` cuts texts, and the source is a list or a map".to_owned(),
            "drop the option, or choose another field",
        )
    })?;
    let pieces: Vec<&str> = text.split(&options.delimiter).collect();
    let piece = usize::try_from(options.index)
        .ok()
        .and_then(|index| pieces.get(index));
    match (piece, value) {
        (Some(piece), Value::String(_)) => Ok(Value::String((*piece).to_owned())),
        (Some(piece), _) => Ok(plain(piece)),
        (None, _) => Err((
            format!(
                "the source has {} parts, and `index` is {}",
                pieces.len(),
                options.index
            ),
            "count from 0",
        )),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The parts of a path: separated by dots, of which `\.` and those inside of `[…]` do not count.
fn parts(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut inside = false;
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        let Some(part) = parts.last_mut() else { break };
        match letter {
            '\\' if letters.peek() == Some(&'.') => {
                letters.next();
                part.push('.');
            }
            '[' if part.is_empty() => {
                inside = true;
                part.push('[');
            }
            ']' if inside => {
                inside = false;
                part.push(']');
            }
            '.' if !inside => parts.push(String::new()),
            other => part.push(other),
        }
    }
    for part in &mut parts {
        // `[a.b]` is a key with a dot in it; `[a=b]` chooses an item, and `[a]` means nothing.
        if part.starts_with('[') && part.ends_with(']') && !part.contains('=') && part.contains('.') {
            *part = part.trim_matches(['[', ']']).to_owned();
        }
    }
    parts
}

/// One step down where there is one way.
fn step<'a>(value: &'a Value, part: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(part),
        Value::Array(items) => match chosen(part) {
            Some((key, wanted)) => items.iter().find(|item| is_item(item, key, wanted)),
            None => match part {
                "-" => items.last(),
                index => items.get(index.parse::<usize>().ok()?),
            },
        },
        _ => None,
    }
}

/// Refuses brackets that choose nothing.
fn chosen_well(parts: &[String], encrypted: bool) -> Result<(), Trouble> {
    let lost = |part: &&String| part.starts_with('[') && part.ends_with(']') && !part.contains('=');
    match parts.iter().find(lost) {
        None => Ok(()),
        Some(part) => Err((
            format!("`{}` chooses no item", if encrypted { MASK } else { part }),
            "write `[key=value]` for an item of a list, and a key of a map without brackets",
        )),
    }
}

fn chosen(part: &str) -> Option<(&str, &str)> {
    part.strip_prefix('[')?.strip_suffix(']')?.split_once('=')
}

fn is_item(item: &Value, key: &str, wanted: &str) -> bool {
    let value = if key.is_empty() { Some(item) } else { item.get(key) };
    value.and_then(scalar).is_some_and(|text| text == wanted)
}

fn put(
    objects: &mut [Object],
    target: &ReplacementTarget,
    fresh: &Fresh,
    work: &mut Work,
) -> Result<(), Failed> {
    let (value, encrypted) = (&*fresh.value, fresh.encrypted);
    let Some(select) = &target.select else {
        return Err((
            "a target needs `select:`".to_owned(),
            "say which objects it means",
        )
            .into());
    };
    let default = [DEFAULT_PATH.to_owned()];
    let paths = if target.field_paths.is_empty() {
        default.as_slice()
    } else {
        &target.field_paths
    };
    for object in objects.iter_mut() {
        let rejected = target.reject.iter().any(|reject| {
            let by_words =
                !(reject.labels.is_empty() && reject.annotations.is_empty()) && reject.fits_words(object);
            by_words || (!reject.names_nothing() && object.all_named().any(|id| reject.takes_id(id)))
        });
        if rejected || !select.fits_words(object) || !object.all_named().any(|id| select.takes_id(id)) {
            continue;
        }
        object.resource.origin.secret |= fresh.secret;
        let called = (fresh.secret && !fresh.is_name).then(|| object.id());
        for path in paths {
            let looks = PATH_LOOKS + path.len() / 8;
            work.look(looks).map_err(Failed::TooMuch)?;
            let parts = parts(path);
            chosen_well(&parts, encrypted)?;
            let mut set = |found: &mut Value| {
                work.look(1).map_err(Failed::TooMuch)?;
                work.put(value, parts.len()).map_err(Failed::TooMuch)?;
                set(found, value, &target.options, work)
            };
            let made = if target.options.create { Some(value) } else { None };
            let count = visit(object.resource.value_mut(), &parts, made, &mut set)?;
            if called
                .as_ref()
                .is_some_and(|called| called.named() != object.named())
            {
                // Status, Events, labels and inventory call objects by these, and so does the API server.
                return Err((
                    "the replacement makes an encrypted value a part of what an object is called, which everybody sees".to_owned(),
                    "take `apiVersion`, `kind`, name and namespace from what is not encrypted",
                )
                    .into());
            }
            // Everything that follows puts something into it.
            if !object.resource.value["metadata"].is_object() {
                return Err((
                    "the replacement leaves an object without metadata".to_owned(),
                    "name a field below `metadata`",
                )
                    .into());
            }
            if count == 0 {
                return Err((
                    no_field(object, path, encrypted),
                    "correct the path, or write `create: true` below `options`",
                )
                    .into());
            }
        }
    }
    Ok(())
}

/// Runs something on every value that a path leads to, and counts them. With `made`, what is missing is made.
fn visit(
    value: &mut Value,
    path: &[String],
    made: Option<&Value>,
    act: &mut dyn FnMut(&mut Value) -> Result<(), Failed>,
) -> Result<usize, Failed> {
    let Some((part, rest)) = path.split_first() else {
        act(value)?;
        return Ok(1);
    };
    let next_is_list = rest
        .first()
        .is_some_and(|next| chosen(next).is_some() || next.parse::<usize>().is_ok());
    match value {
        Value::Array(items) => {
            if part == "*" {
                let mut count = 0;
                for item in items {
                    count += visit(item, rest, made, act)?;
                }
                return Ok(count);
            }
            if let Some((key, wanted)) = chosen(part) {
                let mut count = 0;
                let mut seen = false;
                for item in items.iter_mut().filter(|item| is_item(item, key, wanted)) {
                    seen = true;
                    count += visit(item, rest, made, act)?;
                }
                if !seen && made.is_some() {
                    let mut item = Map::new();
                    item.insert(key.to_owned(), plain(wanted));
                    items.push(Value::Object(item));
                    if let Some(item) = items.last_mut() {
                        count += visit(item, rest, made, act)?;
                    }
                }
                return Ok(count);
            }
            let index = match part.as_str() {
                "-" => items.len().checked_sub(1),
                index => index.parse().ok(),
            };
            // The place behind the last is one to make.
            if let Some(made) = made.filter(|_| part != "-" && index == Some(items.len())) {
                items.push(fresh(made, rest, next_is_list));
            }
            match index.and_then(|index| items.get_mut(index)) {
                Some(item) => visit(item, rest, made, act),
                None => Ok(0),
            }
        }
        Value::Object(map) => {
            if part == "*" {
                let mut count = 0;
                for item in map.values_mut() {
                    count += visit(item, rest, made, act)?;
                }
                return Ok(count);
            }
            if map.get(part).is_none_or(Value::is_null) {
                let Some(made) = made else { return Ok(0) };
                map.insert(part.clone(), fresh(made, rest, next_is_list));
            }
            match map.get_mut(part) {
                Some(next) => visit(next, rest, made, act),
                None => Ok(0),
            }
        }
        Value::String(_) => Err((
            "the path leads into a text; values inside of texts are not replaced".to_owned(),
            "name the whole field, or use `delimiter` and `index`",
        )
            .into()),
        _ => Ok(0),
    }
}

/// What is made on the way to a value.
fn fresh(made: &Value, rest: &[String], next_is_list: bool) -> Value {
    match (rest, next_is_list) {
        ([], _) => empty_like(made),
        (_, true) => Value::Array(Vec::new()),
        (_, false) => Value::Object(Map::new()),
    }
}

fn empty_like(value: &Value) -> Value {
    match value {
        Value::Object(_) => Value::Object(Map::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

fn set(found: &mut Value, value: &Value, options: &FieldOptions, work: &mut Work) -> Result<(), Failed> {
    let mut fresh = value.clone();
    if !options.delimiter.is_empty() {
        let (Some(old), Some(text)) = (scalar(found), scalar(value)) else {
            return Err((
                "`delimiter` cuts texts, and this is a list or a map".to_owned(),
                "drop the option, or choose another field",
            )
                .into());
        };
        // Before it is made: what is put into itself doubles each time.
        let bytes = old.len() + options.delimiter.len() + text.len();
        if bytes > PARTS_BYTES_MAX {
            return Err((
                format!("`delimiter` puts a text of more than {PARTS_BYTES_MAX} bytes together"),
                "the API server takes no object as large; make the parts shorter",
            )
                .into());
        }
        work.write(bytes).map_err(Failed::TooMuch)?;
        work.look(bytes / 64).map_err(Failed::TooMuch)?;
        let mut pieces: Vec<String> = old.split(&options.delimiter).map(str::to_owned).collect();
        match usize::try_from(options.index) {
            Err(_) => pieces.insert(0, text),
            Ok(index) if index >= pieces.len() => pieces.push(text),
            Ok(index) => pieces[index] = text,
        }
        fresh = Value::String(pieces.join(&options.delimiter));
    }
    // A scalar keeps the type of the field that it goes into.
    *found = match (&*found, scalar(&fresh)) {
        (Value::String(_), Some(text)) => Value::String(text),
        (Value::String(_) | Value::Number(_) | Value::Bool(_), None) => {
            return Err((
                "the field holds one value, and the source is a list or a map".to_owned(),
                "choose another source or field",
            )
                .into());
        }
        // A field that was made takes the source's type. (kustomize forgets the quotes, so that "1" becomes 1.)
        (old @ (Value::Number(_) | Value::Bool(_)), Some(text)) => {
            let typed = plain(&text);
            let same = match (old, &typed) {
                (Value::Number(old), Value::Number(new)) => old.is_f64() || !new.is_f64(),
                (Value::Bool(_), Value::Bool(_)) => true,
                _ => false,
            };
            if !same {
                return Err((
                    "the field holds a number or a boolean, and the new value is none of its kind".to_owned(),
                    "choose another source or field",
                )
                    .into());
            }
            typed
        }
        _ => fresh,
    };
    Ok(())
}
