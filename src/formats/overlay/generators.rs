//! ConfigMaps and Secrets made from files and literals, and the hash of their content in their names.

use super::Files;
use super::build::Build;
use super::kustomization::{Generator, GeneratorOptions, Kustomization};
use super::object::{Behavior, Index, Object, Source};
use crate::formats::sops;
use crate::model::desired::{Origin, Resource};
use crate::model::diagnostic::Place;
use crate::model::places::Places;
use crate::model::secret::{MASK, Wiped};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Longest key of a ConfigMap or Secret (`IsConfigMapKey` of Kubernetes' validation).
const KEY_BYTES_MAX: usize = 253;

/// Data of one ConfigMap or Secret (`MaxSecretSize` of the Kubernetes API).
const DATA_BYTES_MAX: usize = 1 << 20;

/// Entries of one ConfigMap or Secret. The API server counts no entries, only bytes; but nobody keeps as many in one object.
const KEYS_MAX: usize = 10_000;

/// Data of everything that one path generates.
const GENERATED_BYTES_MAX: usize = 64 << 20;

/// What it takes to generate an object of a kustomization that was built before: to read its entry, to make it and to sum it up, and
/// the bytes that it holds besides its data.
const GENERATE_AGAIN_LOOKS: usize = 20;
const GENERATE_AGAIN_BYTES: usize = 3 << 10;

/// What went wrong: a message and what to do.
pub(super) type Trouble = (String, &'static str);

/// The two kinds that are generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ConfigMap,
    Secret,
}

/// A value, and whether its file was encrypted.
type Pairs = BTreeMap<String, (Zeroizing<Vec<u8>>, bool)>;

/// Makes one object. `resolve` turns a path of the kustomization into one of the repository.
pub(super) fn generate(
    kind: Kind,
    generator: &Generator,
    global: &GeneratorOptions,
    files: &dyn Files,
    resolve: &mut dyn FnMut(&str) -> Result<String, Trouble>,
    file: &str,
) -> Result<Object, Trouble> {
    let pairs = pairs(generator, files, resolve)?;
    let secret = pairs.values().any(|(_, secret)| *secret);
    let mut value = json!({
        "apiVersion": "v1",
        "kind": match kind { Kind::ConfigMap => "ConfigMap", Kind::Secret => "Secret" },
        "metadata": {"name": generator.name},
    });
    if !generator.namespace.is_empty() {
        value["metadata"]["namespace"] = json!(generator.namespace);
    }
    match kind {
        Kind::ConfigMap => fill_config_map(&mut value, &pairs),
        Kind::Secret => {
            let type_ = if generator.type_.is_empty() {
                "Opaque"
            } else {
                &generator.type_
            };
            value["type"] = json!(type_);
            let data: Map<String, Value> = pairs
                .iter()
                .map(|(key, (bytes, _))| (key.clone(), json!(STANDARD.encode(bytes))))
                .collect();
            if !data.is_empty() {
                value["data"] = Value::Object(data);
            }
        }
    }
    let options = generator.options.over(global);
    for (field, pairs) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        if !pairs.is_empty() {
            value["metadata"][field] = json!(pairs);
        }
    }
    if options.immutable {
        value["immutable"] = json!(true);
    }
    let origin = Origin {
        path: file.into(),
        document: 0,
        line: generator.place.line,
        places: Arc::new(Places::default()),
        changed: Vec::new(),
        secret,
    };
    let source = Source::Generator {
        file: file.to_owned(),
        kind: match kind {
            Kind::ConfigMap => "ConfigMapGenerator",
            Kind::Secret => "SecretGenerator",
        },
    };
    let mut object = Object::new(
        Resource {
            value: Arc::new(value),
            origin,
        },
        source,
    );
    object.hash = !options.disable_name_suffix_hash;
    object.behavior = generator.behavior;
    Ok(object)
}

fn fill_config_map(value: &mut Value, pairs: &Pairs) {
    for (key, (bytes, _)) in pairs {
        match std::str::from_utf8(bytes) {
            Ok(text) => value["data"][key] = json!(text),
            Err(_) => value["binaryData"][key] = json!(STANDARD.encode(bytes)),
        }
    }
}

fn pairs(
    generator: &Generator,
    files: &dyn Files,
    resolve: &mut dyn FnMut(&str) -> Result<String, Trouble>,
) -> Result<Pairs, Trouble> {
    let mut pairs = Pairs::new();
    // A key is hidden when it stands in an encrypted file; those of `files` stand in the kustomization.
    let mut total = 0_usize;
    let mut add = |key: &str, hidden: bool, bytes: &[u8], secret: bool| {
        // Looked at before anything is kept: a file can be named many times.
        total = total.saturating_add(bytes.len());
        if total > DATA_BYTES_MAX {
            return Err((
                format!("a ConfigMap or Secret holds more than {DATA_BYTES_MAX} bytes"),
                "the API server takes no more; take files out",
            ));
        }
        if pairs.len() == KEYS_MAX {
            return Err((
                format!("a ConfigMap or Secret has more than {KEYS_MAX} entries"),
                "bring values together in files, or split it",
            ));
        }
        if key.len() > KEY_BYTES_MAX {
            return Err((
                format!("a key of a ConfigMap or Secret is longer than {KEY_BYTES_MAX} bytes"),
                "shorten it",
            ));
        }
        let good = !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let told = if hidden { MASK } else { key };
        if !good || key == "." || key.starts_with("..") {
            return Err((
                format!("`{told}` is no key of a ConfigMap or Secret"),
                "use letters, digits, dots, dashes and underscores",
            ));
        }
        match pairs.insert(key.to_owned(), (Zeroizing::new(bytes.to_vec()), secret)) {
            None => Ok(()),
            Some(_) => Err((format!("the key `{told}` is given twice"), "keep one of them")),
        }
    };
    for reference in &generator.envs {
        let path = resolve(reference)?;
        let bytes = read(files, &path, reference)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            (
                format!("{reference} is no text"),
                "write a file of `NAME=value` lines",
            )
        })?;
        for (index, line) in text.lines().enumerate() {
            let line = if index == 0 {
                line.trim_start_matches('\u{feff}')
            } else {
                line
            };
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            if key.is_empty() || key.starts_with(|first: char| first.is_ascii_digit()) || key.contains(' ') {
                return Err((
                    format!("{reference}, line {}: this is no name of a variable", index + 1),
                    "write `NAME=value`",
                ));
            }
            let secret = files.secret(&path);
            add(key, secret, value.as_bytes(), secret)
                .map_err(|(what, help)| (format!("{reference}, line {}: {what}", index + 1), help))?;
        }
    }
    for literal in &generator.literals {
        let Some((key, value)) = literal.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err((
                "a literal is not of the form `key=value`".to_owned(),
                "write `key=value`",
            ));
        };
        add(key, false, unquoted(value).as_bytes(), false)?;
    }
    for source in &generator.files {
        let (key, reference) = match source.matches('=').count() {
            0 => (source.rsplit('/').next().unwrap_or(source), source.as_str()),
            1 => source.split_once('=').unwrap_or((source, "")),
            _ => ("", ""),
        };
        if key.is_empty() || reference.is_empty() {
            return Err((
                format!("`{source}` is neither a path nor `key=path`"),
                "write `key=path`",
            ));
        }
        let path = resolve(reference)?;
        let bytes = read(files, &path, reference)?;
        let secret = files.secret(&path);
        // Flux takes the bytes that the sops command writes.
        let written = match secret && bytes.len() <= DATA_BYTES_MAX {
            true => sops::as_written(&path, &bytes),
            false => None,
        };
        add(
            key,
            false,
            written.as_deref().map_or(&*bytes, Vec::as_slice),
            secret,
        )?;
    }
    Ok(pairs)
}

/// A file's bytes; not copied, since a file that is too large may be named many times.
fn read<'f>(files: &'f dyn Files, path: &str, reference: &str) -> Result<Cow<'f, [u8]>, Trouble> {
    files
        .bytes(path)
        .ok_or_else(|| (format!("{reference} does not exist"), super::build::ABSENT))
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

impl Build<'_> {
    /// Counts what a kustomization generates as objects of the files, since each has an entry of its own, and the next time as copies
    /// that cost their making; says whether they may be made.
    pub(super) fn may_generate(&mut self, again: bool, path: &str, found: &Kustomization) -> bool {
        let count = found.config_maps.len() + found.secrets.len();
        if self.only_names || !again {
            self.work.objects += count;
            return true;
        }
        self.work.copies += count;
        let written = self.work.write(count.saturating_mul(GENERATE_AGAIN_BYTES));
        let place = Place::file(path);
        self.may_look(count, GENERATE_AGAIN_LOOKS, &place) && self.may(written, &place)
    }
}

/// The bytes of what was generated.
///
/// # Errors
/// When all that was generated is too much.
pub(super) fn bounded(fresh: &Object, before: usize) -> Result<usize, Trouble> {
    let secret = fresh.resource.kind() == "Secret";
    let bytes: usize = [("data", secret), ("binaryData", true)]
        .into_iter()
        .map(|(field, base64)| {
            let values = fresh.resource.value.get(field).and_then(Value::as_object);
            let texts = values
                .into_iter()
                .flatten()
                .filter_map(|(_, value)| value.as_str());
            let length: usize = texts.map(str::len).sum();
            if base64 { length / 4 * 3 } else { length }
        })
        .sum();
    if before + bytes > GENERATED_BYTES_MAX {
        return Err((
            format!("the generators of this path make more than {GENERATED_BYTES_MAX} bytes"),
            "point spec.path at a smaller folder",
        ));
    }
    Ok(bytes)
}

/// Puts a generated object among the others: beside them, in the place of one, or over one.
pub(super) fn absorb(objects: &mut Vec<Object>, index: &mut Index, mut fresh: Object) -> Result<(), Trouble> {
    let id = fresh.id();
    match (index.by_id(id.named()), fresh.behavior) {
        ([], Behavior::Create) => {
            index.add(objects.len(), &fresh);
            objects.push(fresh);
            Ok(())
        }
        ([], _) => Err((
            format!("there is no {} to merge with or to replace", fresh.resource.id()),
            "drop `behavior`, or correct the name",
        )),
        ([_], Behavior::Create) => Err((
            format!("there is already a {}", fresh.resource.id()),
            "write `behavior: merge` or `behavior: replace`, or choose another name",
        )),
        (&[position], behavior) => {
            let old = &objects[position];
            inherit(&mut fresh, old, behavior);
            index.add(position, &fresh);
            objects[position] = fresh;
            Ok(())
        }
        (_, _) => Err((
            format!("several objects are or were called {}", fresh.resource.id()),
            "choose another name",
        )),
    }
}

fn inherit(fresh: &mut Object, old: &Object, behavior: Behavior) {
    let value = fresh.resource.value_mut();
    for field in ["labels", "annotations"] {
        lay_over(value, &old.resource.value, &["metadata", field]);
    }
    value["metadata"]["name"] = old.resource.value["metadata"]["name"].clone();
    match old.resource.value["metadata"].get("namespace") {
        Some(namespace) => value["metadata"]["namespace"] = namespace.clone(),
        None => {
            if let Some(metadata) = value["metadata"].as_object_mut() {
                metadata.remove("namespace");
            }
        }
    }
    if behavior == Behavior::Merge {
        for field in ["data", "binaryData"] {
            lay_over(value, &old.resource.value, &[field]);
        }
        fresh.source = old.source.clone();
    }
    fresh.before.clone_from(&old.before);
    fresh.prefixes.clone_from(&old.prefixes);
    fresh.suffixes.clone_from(&old.suffixes);
    fresh.behavior = old.behavior;
    // A plain object that is merged with keeps its plain name.
    fresh.hash &= old.hash;
    fresh.resource.origin.secret |= old.resource.origin.secret;
}

/// Puts the entries of the old map below those of the new one.
fn lay_over(value: &mut Value, old: &Value, path: &[&str]) {
    let Some(Value::Object(old)) = path.iter().try_fold(old, |at, part| at.get(part)) else {
        return;
    };
    let mut at = value;
    for part in path {
        if !at.get(*part).is_some_and(Value::is_object) {
            at[*part] = Value::Object(Map::new());
        }
        at = &mut at[*part];
    }
    if let Value::Object(map) = at {
        for (key, value) in old {
            map.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Adds hashes to the names of what was generated.
pub(super) fn add_hashes(objects: &mut [Object]) {
    for object in objects.iter_mut().filter(|object| object.hash) {
        let hash = hash(&object.resource.value);
        object.remember();
        let name = format!("{}-{hash}", object.resource.name());
        object.resource.value_mut()["metadata"]["name"] = json!(name);
    }
}

/// kustomize's hash (`api/hasher`): the first ten hexadecimal digits of a SHA-256 over a JSON text of the content, without
/// the digits that could spell words.
fn hash(value: &Value) -> String {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let field = |name: &str| match value.get(name) {
        Some(found) if !found.is_null() => found.clone(),
        _ => json!(""),
    };
    // kustomize looks the name up by a path that leads nowhere, so no name counts; every hash in the world depends on it.
    let mut all = json!({"kind": text("/kind"), "name": "", "data": field("data")});
    let more = if text("/kind") == "Secret" {
        all["type"] = json!(text("/type"));
        "stringData"
    } else {
        "binaryData"
    };
    if value.get(more).is_some_and(Value::is_object) {
        all[more] = value[more].clone();
    }
    let all = Wiped(all);
    let sum = Sha256::digest(go_json(&all).as_bytes());
    sum.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .take(10)
        .map(|digit| match digit {
            0 => 'g',
            1 => 'h',
            3 => 'k',
            10 => 'm',
            14 => 't',
            other => char::from_digit(u32::from(other), 16).unwrap_or('?'),
        })
        .collect()
}

/// JSON as Go writes it: keys sorted (they are), and the characters that HTML would see escaped.
fn go_json(value: &Value) -> Zeroizing<String> {
    let plain = Zeroizing::new(value.to_string());
    let escaped = |letter: char| match letter {
        '<' => Some("\\u003c"),
        '>' => Some("\\u003e"),
        '&' => Some("\\u0026"),
        '\u{2028}' => Some("\\u2028"),
        '\u{2029}' => Some("\\u2029"),
        _ => None,
    };
    let longer = plain.chars().filter_map(escaped).map(str::len).sum::<usize>();
    // Reserved once: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(plain.len() + longer));
    for letter in plain.chars() {
        match escaped(letter) {
            Some(word) => text.push_str(word),
            None => text.push(letter),
        }
    }
    // serde_json writes \b and \f short, Go long.
    for (short, long) in [("\\b", "\\u0008"), ("\\f", "\\u000c")] {
        if text.contains(short) {
            text = Zeroizing::new(text.replace(short, long));
        }
    }
    text
}
