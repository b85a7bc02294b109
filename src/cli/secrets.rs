//! `secrets check`, `secrets diff` and `secrets textconv`: what people need beside the sops command. No secret value is printed.

use super::folder::{self, KeyArguments};
use super::{Failed, Output, data, no_sarif, table, value, words};
use crate::decrypt::FILE_BYTES_MAX;
use crate::formats::pattern;
use crate::formats::sops::{self, Identities};
use crate::formats::yaml::{self, Kind, Node};
use crate::model::diagnostic::shown;
use crate::model::secret::MASK;
use crate::model::tree::EntryKind;
use regex::Regex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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
        after_help = "Set up once:\n  git config diff.couchestor.textconv 'couchestor secrets textconv'\n  echo '*.sops.yaml diff=couchestor' >> .gitattributes"
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
        Command::Check { path, keys, output } => check(path, &folder::identities(keys)?, *output),
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
                .is_some_and(|raw| raw == value && !raw.starts_with("ENC[AES256_GCM,"))
        };
        // Whoever forgot to encrypt a file did not mean it to be read.
        let forgotten = forgotten(&name, &bytes);
        let secret = values
            .iter()
            .filter(|(key, value)| !shown(key, value) || forgotten(key))
            .map(|(key, _)| key.clone())
            .collect();
        Ok(Self { values, secret, open })
    }

    fn shown(&self, key: &str) -> &str {
        match self.values.get(key) {
            _ if self.secret.contains(key) || !self.open => MASK,
            Some(value) => value,
            None => "",
        }
    }
}

/// Which keys of a file that is not encrypted hold secrets all the same: the data of Secrets, and every line of an environment.
fn forgotten(name: &str, bytes: &[u8]) -> impl Fn(&str) -> bool {
    let lines = matches!(sops::Format::of(name), sops::Format::Dotenv | sops::Format::Ini);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let sealed = text.contains("ENC[AES256_GCM,");
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
                section = format!("{}.", name.trim_end_matches(']'));
            } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';']))
            {
                values.insert(format!("{section}{}", key.trim()), value.trim().to_owned());
            }
        }
        return values;
    }
    match yaml::load(text) {
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

fn leaves(node: &Node, path: &str, values: &mut BTreeMap<String, String>) {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path if path.ends_with(':') => format!("{path}{key}"),
        path => format!("{path}.{key}"),
    };
    match &node.kind {
        Kind::Scalar { text, .. } => {
            values.insert(path.to_owned(), text.clone());
        }
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &below(&index.to_string()), values);
            }
        }
        Kind::Map(entries) => {
            for (key, value) in entries {
                leaves(value, &below(&key.text), values);
            }
        }
    }
}

fn diff(a: &Path, b: &Path, identities: &Identities, output: Output) -> Result<u8, Failed> {
    let (old, new) = (Contents::of(a, identities)?, Contents::of(b, identities)?);
    for (contents, path) in [(&old, a), (&new, b)] {
        if !contents.open {
            words(&format!(
                "{}: no key opens it; what is encrypted is compared as it stands",
                path.display()
            ));
        }
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
        changes.push((key, what, old.shown(key), new.shown(key)));
    }
    match output {
        Output::Text => {
            let rows: Vec<Vec<String>> = changes
                .iter()
                .map(|(key, what, a, b)| {
                    vec![
                        (*what).to_owned(),
                        (*key).clone(),
                        (*a).to_owned(),
                        (*b).to_owned(),
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

fn textconv(file: &Path, identities: &Identities) -> Result<u8, Failed> {
    let contents = Contents::of(file, identities)?;
    let mut text = String::new();
    if !contents.open {
        text.push_str("# no key opens this file: encrypted values are compared as they stand\n");
    }
    for (key, value) in &contents.values {
        let shown = if contents.secret.contains(key) {
            format!("{MASK} {}", identities.masked(value))
        } else {
            value.replace('\n', "\\n")
        };
        text.push_str(&format!("{key}: {shown}\n"));
    }
    data(&text);
    Ok(0)
}

/// One creation rule of `.sops.yaml`.
struct Rule {
    number: usize,
    path: Option<Regex>,
    age: BTreeSet<String>,
}

/// The creation rules that hold for a file: those of the nearest `.sops.yaml` upward, the first that fits its path.
fn rule_for(
    file: &Path,
    root: &Path,
    known: &mut BTreeMap<PathBuf, Vec<Rule>>,
) -> Result<Option<(usize, BTreeSet<String>)>, Failed> {
    let Some(config) = file
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(root))
        .map(|folder| folder.join(".sops.yaml"))
        .find(|path| path.is_file())
    else {
        return Ok(None);
    };
    if !known.contains_key(&config) {
        let rules = rules(&config)?;
        known.insert(config.clone(), rules);
    }
    let base = config.parent().unwrap_or(root);
    let rest = file
        .strip_prefix(base)
        .unwrap_or(file)
        .to_string_lossy()
        .into_owned();
    let rules = known.get(&config).map(Vec::as_slice).unwrap_or_default();
    let found = rules
        .iter()
        .find(|rule| rule.path.as_ref().is_none_or(|path| path.is_match(&rest)));
    Ok(found.map(|rule| (rule.number, rule.age.clone())))
}

fn rules(config: &Path) -> Result<Vec<Rule>, Failed> {
    let wrong = |what: &str| Failed(format!("{}: {what}", config.display()));
    let text = String::from_utf8(read(config)?).map_err(|_| wrong("it is no text"))?;
    let documents = yaml::load(&text).map_err(|error| wrong(&error.to_string()))?;
    let config = documents
        .first()
        .map(Node::to_json)
        .transpose()
        .map_err(|error| wrong(&error.to_string()))?;
    let list = config
        .as_ref()
        .and_then(|config| config["creation_rules"].as_array())
        .cloned()
        .unwrap_or_default();
    let mut rules = Vec::new();
    for (index, rule) in list.iter().enumerate() {
        let path = match rule["path_regex"].as_str() {
            Some(pattern) => Some(
                pattern::compile(pattern)
                    .map_err(|what| wrong(&format!("rule {}: path_regex {what}", index + 1)))?,
            ),
            None => None,
        };
        let mut age = BTreeSet::new();
        let groups = rule["key_groups"].as_array().cloned().unwrap_or_default();
        for part in groups.iter().chain([rule]) {
            match &part["age"] {
                Value::String(keys) => age.extend(keys.split(',').map(|key| key.trim().to_owned())),
                Value::Array(keys) => age.extend(keys.iter().filter_map(Value::as_str).map(str::to_owned)),
                _ => {}
            }
        }
        age.remove("");
        rules.push(Rule {
            number: index + 1,
            path,
            age,
        });
    }
    Ok(rules)
}

fn check(path: &Path, identities: &Identities, output: Output) -> Result<u8, Failed> {
    let (target, root) = folder::located(path, true)?;
    let mut files = Vec::new();
    if target.is_file() {
        files.push(target);
    } else {
        let mut entries = BTreeMap::new();
        folder::list(&target, &target, &mut entries)?;
        let plain = entries.iter().filter(|(_, entry)| entry.kind == EntryKind::File);
        files.extend(plain.map(|(name, _)| target.join(name)));
    }
    let (mut known, mut rows, mut findings) = (BTreeMap::new(), Vec::new(), Vec::new());
    for file in files {
        let name = file
            .strip_prefix(&root)
            .unwrap_or(&file)
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".sops.yaml") && file.file_name().is_some_and(|name| name == ".sops.yaml") {
            continue;
        }
        let rule = rule_for(&file, &root, &mut known)?;
        let bytes = match read(&file) {
            Ok(bytes) => bytes,
            Err(Failed(why)) if rule.is_some() => {
                findings.push((shown(&name).into_owned(), shown(&why).into_owned()));
                continue;
            }
            Err(_) => continue,
        };
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let sealed = match text.contains("sops") {
            true => match sops::recipients(&name, text) {
                // It speaks of sops and is no file of its.
                Err(_) if !text.contains("ENC[AES256_GCM,") => Ok(None),
                other => other,
            },
            false => Ok(None),
        };
        let name = shown(&name).into_owned();
        let mut tell = |what: String| findings.push((name.clone(), shown(&what).into_owned()));
        let (to, opens) = match &sealed {
            Ok(Some(groups)) => {
                let opens = match sops::open_file(&name, &bytes, identities) {
                    Ok(_) => "yes".to_owned(),
                    Err(sops::SopsError::NoKey { .. }) => "no".to_owned(),
                    Err(error) => {
                        tell(error.to_string());
                        "broken".to_owned()
                    }
                };
                let all: BTreeSet<String> = groups.iter().flatten().cloned().collect();
                if let Some((number, age)) = &rule {
                    let sealed: BTreeSet<String> = all
                        .iter()
                        .filter(|one| one.starts_with("age1") || one.starts_with("ssh-"))
                        .cloned()
                        .collect();
                    if !age.is_empty() && *age != sealed {
                        tell(format!(
                            "its recipients are not those of rule {number}; run `sops updatekeys {name}`"
                        ));
                    }
                }
                let words: Vec<String> = groups.iter().map(|group| group.join(", ")).collect();
                (shown(&words.join(" + ")).into_owned(), opens)
            }
            Ok(None) => {
                if let Some((number, _)) = &rule {
                    tell(format!(
                        "rule {number} of .sops.yaml is for it, and it is not encrypted; run `sops encrypt --in-place {name}`"
                    ));
                } else if is_plain_secret(text) {
                    tell("it holds a Secret in plain text; encrypt it with sops".to_owned());
                } else if text.contains("kind: Secret") && yaml::load(text).is_err() {
                    tell(
                        "it seems to hold a Secret in plain text, and is no YAML that can be read".to_owned(),
                    );
                } else {
                    continue;
                }
                ("nobody".to_owned(), "plain".to_owned())
            }
            Err(error) => {
                tell(error.to_string());
                ("?".to_owned(), "broken".to_owned())
            }
        };
        let number = rule.map_or("-".to_owned(), |(number, _)| number.to_string());
        rows.push(vec![name, to, number, opens]);
    }
    match output {
        Output::Text => {
            data(&table::table(&["FILE", "ENCRYPTED TO", "RULE", "OPENS"], &rows));
            for (name, what) in &findings {
                data(&format!("{name}: {what}"));
            }
        }
        output => {
            let files: Vec<Value> = rows
                .iter()
                .map(|row| json!({"file": row[0], "encryptedTo": row[1], "rule": row[2], "opens": row[3]}))
                .collect();
            let findings: Vec<Value> = findings
                .iter()
                .map(|(file, what)| json!({"file": file, "what": what}))
                .collect();
            value(&json!({"files": files, "findings": findings}), output);
        }
    }
    Ok(u8::from(!findings.is_empty()))
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
