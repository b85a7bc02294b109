//! `secrets check`, `secrets diff` and `secrets textconv`: what people need beside the sops command. No secret value is printed.

use super::folder::{self, KeyArguments};
use super::{Failed, Output, data, no_sarif, table, value, words};
use crate::decrypt::FILE_BYTES_MAX;
use crate::formats::sops::{self, Identities};
use crate::formats::yaml::{self, Kind, Node, Tag};
use crate::model::secret::{MASK, wipe_text};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// `secrets check`.
mod check;

/// The rules of `.sops.yaml`.
mod rules;

/// As many digits as [`Identities::masked`] gives.
const MARK_DIGITS: usize = 8;

/// Subcommands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Say of each file whom it is encrypted to, by which rule of .sops.yaml, whether it should be, and whether your key opens it.
    #[command(
        after_help = "Examples:\n  couchestor secrets check .\n  couchestor secrets check policies --age-key ~/.config/sops/age/keys.txt -o json\n\nExit codes: 0 all in order, 1 something is not."
    )]
    Check {
        /// A file or folder.
        path: PathBuf,
        #[command(flatten)]
        keys: KeyArguments,
        /// How to print.
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Say which keys differ between two files, with the values masked.
    #[command(
        after_help = "Examples:\n  couchestor secrets diff old.sops.yaml new.sops.yaml\n\nExit codes: 0 same, 1 different or trouble."
    )]
    Diff {
        /// The old file.
        a: PathBuf,
        /// The new file.
        b: PathBuf,
        #[command(flatten)]
        keys: KeyArguments,
        /// How to print.
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Print a file with its secrets masked, equal ones equally, so that `git diff` shows which keys changed.
    #[command(
        after_help = "Masks are made with your own keys (--age-key and the usual places), so that nobody who reads the diff can try values out. Without\na key, secrets that stand in the clear get none, and their changes are not shown.\n\nSet up once:\n  git config diff.couchestor.textconv 'couchestor secrets textconv'\n  echo '*.sops.yaml diff=couchestor' >> .gitattributes"
    )]
    Textconv {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        keys: KeyArguments,
    },
}

/// `secrets`.
pub fn secrets(command: &Command) -> Result<u8, Failed> {
    if let Command::Check { output, .. } | Command::Diff { output, .. } = command {
        no_sarif(*output)?;
    }
    match command {
        Command::Check { path, keys, output } => check::check(path, &folder::identities(keys)?, *output),
        Command::Diff { a, b, keys, output } => diff(a, b, &folder::identities(keys)?, *output),
        Command::Textconv { file, keys } => textconv(file, &folder::identities(keys)?),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    let wrong = |error: &dyn std::fmt::Display| Failed(format!("{}: {error}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
    if length > FILE_BYTES_MAX as u64 {
        return Err(wrong(&format!("the file has more than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(|error| wrong(&error))
}

/// A file's values by their path, and which of them are secret.
struct Contents {
    values: BTreeMap<String, String>,
    secret: BTreeSet<String>,
    /// Whether it was opened, or needed no opening.
    open: bool,
}

impl Drop for Contents {
    fn drop(&mut self) {
        self.values.values_mut().for_each(wipe_text);
    }
}

impl Contents {
    fn of(path: &Path, identities: &Identities) -> Result<Self, Failed> {
        let bytes = read(path)?;
        let name = path.to_string_lossy();
        let raw = flatten(&name, &bytes);
        let ours = |key: &String| key == "sops" || key.starts_with("sops.") || key.starts_with("sops_");
        // What stands in one encrypted value has no keys that the file shows.
        let whole = || raw.keys().filter(|key| !ours(key)).eq(["data"]);
        let (mut values, open) = match sops::open_file(&name, &bytes, identities) {
            Ok(Some(clear)) if sops::Format::of(&name) == sops::Format::Binary && whole() => {
                let text = sops::fingerprint(clear.expose());
                (BTreeMap::from([("(content)".to_owned(), text)]), true)
            }
            Ok(Some(clear)) => (flatten(&name, clear.expose()), true),
            Ok(None) => (raw.clone(), true),
            Err(_) => (raw.clone(), false),
        };
        values.retain(|key, _| !ours(key));
        // Nothing is shown but what the file itself shows.
        let shown = |key: &str, value: &str| {
            raw.get(key)
                .is_some_and(|raw| raw == value && !raw.starts_with(sops::SEALED))
        };
        // Whoever forgot to encrypt a file did not mean it to be read.
        let forgotten = forgotten(&name, &bytes);
        let secret = values
            .iter()
            .filter(|(key, value)| !shown(key, value) || forgotten(key) || holds_key(value))
            .map(|(key, _)| key.clone())
            .collect();
        Ok(Self { values, secret, open })
    }

    /// A value as it may be shown beside that of another file, where it may be secret; none where there is none.
    fn shown(&self, key: &str, other: &Self) -> Option<&str> {
        let value = self.values.get(key)?;
        match self.secret.contains(key) || other.secret.contains(key) || !self.open {
            true => Some(MASK),
            false => Some(value),
        }
    }
}

/// Whether a value holds a private key, wherever that is: an age identity, or one of ssh, TLS or OpenPGP. The words alone do to hide it:
/// YAML reads the lines of a key as one.
fn holds_key(text: &str) -> bool {
    let marks = ["AGE-SECRET-KEY-", "PRIVATE KEY-----", "PRIVATE KEY BLOCK-----"];
    marks.iter().any(|mark| text.contains(mark))
}

/// Which keys of a file that is not encrypted hold secrets all the same: the data of Secrets, and every line of an environment.
fn forgotten(name: &str, bytes: &[u8]) -> impl Fn(&str) -> bool {
    let lines = matches!(sops::Format::of(name), sops::Format::Dotenv | sops::Format::Ini);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let sealed = text.contains(sops::SEALED);
    let secret = is_plain_secret(text);
    move |key: &str| {
        let data = |part: &str| matches!(part, "data" | "stringData");
        !sealed && (lines || secret && key.split(['.', ':']).any(data))
    }
}

/// Values by path: of YAML and JSON by keys and indices, of lines by name, of anything else the whole.
fn flatten(name: &str, bytes: &[u8]) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let Ok(text) = std::str::from_utf8(bytes) else {
        values.insert("(bytes)".to_owned(), sops::fingerprint(bytes));
        return values;
    };
    if matches!(sops::Format::of(name), sops::Format::Dotenv | sops::Format::Ini) {
        let mut section = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[') {
                section = format!("{}.", escaped(name.trim_end_matches(']')));
            } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';']))
            {
                values.insert(
                    format!("{section}{}", escaped(key.trim())),
                    value.trim().to_owned(),
                );
            }
        }
        return values;
    }
    match yaml::load_wiped(text) {
        Ok(documents) => {
            for (number, document) in documents.iter().enumerate() {
                let start = if documents.len() > 1 {
                    format!("{number}:")
                } else {
                    String::new()
                };
                leaves(document, &start, &mut values);
            }
        }
        Err(_) => {
            values.insert("(text)".to_owned(), sops::fingerprint(bytes));
        }
    }
    values
}

/// A key as a part of a path, in which dots and colons part it from others.
fn escaped(key: &str) -> Cow<'_, str> {
    match key.contains(['.', ':', '\\']) {
        true => Cow::Owned(key.replace('\\', "\\\\").replace('.', "\\.").replace(':', "\\:")),
        false => Cow::Borrowed(key),
    }
}

/// A scalar with its type: a text that would be read as something else stands in quotes.
fn typed(text: &str, plain: bool, tag: Option<Tag>) -> String {
    let is_text = |plain: bool, tag: Option<&str>| {
        matches!(yaml::scalar::resolve(text, plain, tag), Some(Value::String(_)))
    };
    match is_text(plain, tag.map(Tag::name)) && !is_text(true, None) {
        true => format!("\"{text}\""),
        false => text.to_owned(),
    }
}

fn leaves(node: &Node, path: &str, values: &mut BTreeMap<String, String>) {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path if path.ends_with(':') => format!("{path}{key}"),
        path => format!("{path}.{key}"),
    };
    match &node.kind {
        Kind::Scalar { text, plain, tag } => {
            values.insert(path.to_owned(), typed(text, *plain, *tag));
        }
        // What is empty is told of too: to take it away is a change.
        Kind::List(items) if items.is_empty() => {
            values.insert(path.to_owned(), "[]".to_owned());
        }
        Kind::Map(entries) if entries.is_empty() => {
            values.insert(path.to_owned(), "{}".to_owned());
        }
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &below(&index.to_string()), values);
            }
        }
        Kind::Map(entries) => {
            for (key, value) in entries {
                leaves(value, &below(&escaped(&key.text)), values);
            }
        }
    }
}

fn diff(a: &Path, b: &Path, identities: &Identities, output: Output) -> Result<u8, Failed> {
    let (mut old, mut new) = (Contents::of(a, identities)?, Contents::of(b, identities)?);
    let closed: Vec<&Path> = [(&old, a), (&new, b)]
        .into_iter()
        .filter_map(|(contents, path)| (!contents.open).then_some(path))
        .collect();
    if closed.len() == 1 {
        // What one holds in the clear is never what the other holds encrypted: both are compared as they stand.
        let nobody = Identities::default();
        (old, new) = (Contents::of(a, &nobody)?, Contents::of(b, &nobody)?);
    }
    for path in closed {
        words(&format!(
            "{}: it does not open, and `couchestor secrets check` says to whom it is encrypted; what is encrypted is compared as it stands",
            path.display()
        ));
    }
    let keys: BTreeSet<&String> = old.values.keys().chain(new.values.keys()).collect();
    let mut changes = Vec::new();
    for key in keys {
        let what = match (old.values.get(key), new.values.get(key)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "removed",
            _ => "added",
        };
        changes.push((key, what, old.shown(key, &new), new.shown(key, &old)));
    }
    match output {
        Output::Text => {
            let rows: Vec<Vec<String>> = changes
                .iter()
                .map(|(key, what, a, b)| {
                    vec![
                        (*what).to_owned(),
                        (*key).clone(),
                        a.unwrap_or_default().to_owned(),
                        b.unwrap_or_default().to_owned(),
                    ]
                })
                .collect();
            if !rows.is_empty() {
                data(&table::table(&["WHAT", "KEY", "OLD", "NEW"], &rows));
            }
        }
        output => {
            let all: Vec<Value> = changes
                .iter()
                .map(|(key, what, a, b)| json!({"key": key, "change": what, "old": a, "new": b}))
                .collect();
            value(&Value::Array(all), output);
        }
    }
    Ok(u8::from(!changes.is_empty()))
}

/// What tells equal masked values from others. Both sides of a diff are processes of their own, so it must rest on something that both
/// have and that no reader of the diff has: the keys that open the files. What stands there encrypted may be tried out by anybody.
fn mark(value: &str, identities: &Identities) -> Option<String> {
    let digest = || {
        sops::fingerprint(value.as_bytes())
            .chars()
            .take(MARK_DIGITS)
            .collect()
    };
    let sealed = value.starts_with(sops::SEALED);
    identities.masked(value).or_else(|| sealed.then(digest))
}

fn textconv(file: &Path, identities: &Identities) -> Result<u8, Failed> {
    let contents = Contents::of(file, identities)?;
    let mut text = String::new();
    if !contents.open {
        text.push_str("# this file does not open, and `couchestor secrets check` says to whom it is encrypted: encrypted values are compared as they stand\n");
    }
    let mut lines = String::new();
    let mut unmarked = false;
    for (key, value) in &contents.values {
        let shown = if contents.secret.contains(key) {
            let mark = mark(value, identities);
            unmarked |= mark.is_none();
            format!("{MASK} {}", mark.unwrap_or_default())
        } else {
            value.replace('\n', "\\n")
        };
        lines.push_str(format!("{key}: {shown}").trim_end());
        lines.push('\n');
    }
    if unmarked {
        text.push_str("# secret values in the clear are told apart with a key of yours, and there is none: changes of them are not shown\n");
    }
    text.push_str(&lines);
    data(&text);
    Ok(0)
}

/// Whether a text holds a Secret with something in it, also one in a list.
fn is_plain_secret(text: &str) -> bool {
    fn filled(object: &Node) -> bool {
        let has = |key: &str| matches!(object.get(key).map(|node| &node.kind), Some(Kind::Map(entries)) if !entries.is_empty());
        let items = match object.get("items").map(|node| &node.kind) {
            Some(Kind::List(items)) => items.as_slice(),
            _ => &[],
        };
        let secret = object.get("kind").and_then(Node::text) == Some("Secret");
        secret && (has("data") || has("stringData")) || items.iter().any(filled)
    }
    text.contains("Secret") && yaml::load(text).is_ok_and(|documents| documents.iter().any(filled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::witness::wiped;

    #[test]
    fn the_values_of_a_file_that_is_compared_are_wiped_with_its_tree() {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), "kind: A\nk: canary\n").unwrap();
        let contents = Contents::of(file.path(), &Identities::default()).unwrap();
        assert_eq!(wiped("canary", || drop(contents)), 1);
        let count = wiped("canary", || {
            flatten("a.yaml", b"k: canary\n");
        });
        assert_eq!(count, 1);
    }
}
