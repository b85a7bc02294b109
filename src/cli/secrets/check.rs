//! `secrets check`: whom each file is encrypted to and what it leaves in the clear, against the rules of `.sops.yaml`.

use super::rules::{Configs, Ruling, ruling};
use super::{is_plain_secret, read};
use crate::cli::{Failed, Output, data, folder, table, value};
use crate::decrypt::FILE_BYTES_MAX;
use crate::formats::sops::creation_rules::{CreationRule, NAME};
use crate::formats::sops::master_key::{MasterKey, differences};
use crate::formats::sops::{self, Format, Identities, Inspection, SopsError};
use crate::formats::yaml;
use crate::model::diagnostic::shown;
use crate::model::tree::EntryKind;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What sops does not read, though it looks like it.
const ALTERNATE: &str = ".sops.yml";

/// Something that is not as it should be.
struct Finding {
    file: String,
    /// Line and column, where there is one.
    at: Option<(u32, u32)>,
    what: String,
}

/// Everything that was found.
#[derive(Default)]
struct Report {
    /// File, recipients, rule, whether it opens.
    rows: Vec<[String; 4]>,
    findings: Vec<Finding>,
}

/// `secrets check`.
pub(super) fn check(path: &Path, identities: &Identities, output: Output) -> Result<u8, Failed> {
    let (target, root) = folder::located(path, true)?;
    let (mut configs, mut report) = (Configs::default(), Report::default());
    let below = |path: &Path| {
        let rest = path.strip_prefix(&root).unwrap_or(path);
        rest.to_string_lossy().into_owned()
    };
    for path in files(&target)? {
        let (name, last) = (below(&path), path.file_name().unwrap_or_default());
        if last == NAME {
            configs.read(&path);
            continue;
        }
        if last == ALTERNATE {
            report.tell(&name, None, format!("sops reads no {ALTERNATE}; call it {NAME}"));
            continue;
        }
        let config = configs.of(&path, &root);
        let ruling = ruling(config.as_deref(), &path);
        match read(&path) {
            Ok(bytes) => report.file(&name, &bytes, &ruling, identities),
            // Under a rule, or a broken one, it matters what it is.
            Err(_) if matches!(ruling, Ruling::NoConfig | Ruling::NoRule) && !may_be_secret(&path) => {}
            Err(Failed(why)) => report.tell(&name, None, why),
        }
    }
    let of_files = std::mem::take(&mut report.findings);
    for (path, config) in configs.all() {
        for mistake in config.mistakes() {
            let at = Some((mistake.line, mistake.column));
            report.tell(&below(path), at, format!("{}; {}", mistake.words(), mistake.help));
        }
    }
    // Mistakes of the rules explain what follows.
    report.findings.extend(of_files);
    report.show(output);
    Ok(u8::from(!report.findings.is_empty()))
}

/// The file itself, or the files of the folder.
fn files(target: &Path) -> Result<Vec<PathBuf>, Failed> {
    if target.is_file() {
        return Ok(vec![target.to_owned()]);
    }
    let mut entries = BTreeMap::new();
    folder::list(target, target, &mut entries)?;
    let plain = entries.iter().filter(|(_, entry)| entry.kind == EntryKind::File);
    Ok(plain.map(|(name, _)| target.join(name)).collect())
}

/// A file's name as a shell takes it.
fn quoted(name: &str) -> Cow<'_, str> {
    let plain = |one: char| one.is_ascii_alphanumeric() || "._/-+@%:,=".contains(one);
    match name.chars().all(plain) && !name.starts_with('-') {
        true => Cow::Borrowed(name),
        false => Cow::Owned(format!("'{}'", name.replace('\'', r"'\''"))),
    }
}

/// Whether a file that is too large, or cannot be opened, may hold secrets: its first part says so, or nobody knows.
fn may_be_secret(path: &Path) -> bool {
    let mut start = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX as u64).read_to_end(&mut start));
    read.is_err() || names_secret(&start) || holds_sealed(&start)
}

fn holds_sealed(bytes: &[u8]) -> bool {
    bytes
        .windows(sops::SEALED.len())
        .any(|window| window == sops::SEALED.as_bytes())
}

/// Whether bytes speak of an object of the kind Secret, in YAML or JSON, in whatever encoding and however broken.
fn names_secret(bytes: &[u8]) -> bool {
    // UTF-16 has a zero beside each ASCII letter.
    let text: String = String::from_utf8_lossy(bytes).replace('\0', "");
    text.match_indices("kind").any(|(at, word)| {
        let rest = text[at + word.len()..].trim_start_matches(['"', '\'', ' ']);
        let value = rest
            .strip_prefix(':')
            .map(|rest| rest.trim_start_matches(['"', '\'', ' ', '\t']));
        let after = value.and_then(|value| value.strip_prefix("Secret"));
        after.is_some_and(|after| !after.starts_with(|one: char| one.is_alphanumeric()))
    })
}

/// What to say of a file that is no YAML, if it looks like one with secrets.
fn broken_secret(name: &str, bytes: &[u8]) -> Option<&'static str> {
    // Texts about Secrets are no Secrets.
    if !matches!(Format::of(name), Format::Yaml | Format::Json) {
        return None;
    }
    let what = if holds_sealed(bytes) {
        "it holds encrypted values, and is no YAML that can be read"
    } else if names_secret(bytes) {
        "it seems to hold a Secret in plain text, and is no YAML that can be read"
    } else {
        return None;
    };
    let readable = std::str::from_utf8(bytes).is_ok_and(|text| yaml::load(text).is_ok());
    (!readable).then_some(what)
}

/// The identity of the worked example, which everybody has and which opens nothing else.
const EXAMPLE: &str = include_str!("../../../policies/demo.agekey");

/// Letters of an age identity behind its prefix.
const AGE_LETTERS: usize = 58;

/// What to say of a text that holds a key, or of a file that is made to hold secrets.
fn plain_key(name: &str, text: &str) -> Option<&'static str> {
    const AGE: &str = "AGE-SECRET-KEY-1";
    let age = text.match_indices(AGE).any(|(at, prefix)| {
        let rest = &text[at..];
        let end = rest.find(|one: char| !one.is_ascii_uppercase() && !one.is_ascii_digit() && one != '-');
        let identity = &rest[..end.unwrap_or(rest.len())];
        identity.len() >= prefix.len() + AGE_LETTERS && !EXAMPLE.contains(identity)
    });
    let block = text.lines().any(|line| {
        let line = line.trim();
        line.starts_with("-----BEGIN ")
            && (line.ends_with("PRIVATE KEY-----") || line.ends_with("PRIVATE KEY BLOCK-----"))
    });
    let filled = |line: &str| {
        let line = line.trim_start();
        let value = line
            .split_once('=')
            .map(|(_, value)| value.trim().trim_matches(['"', '\'']));
        !line.starts_with('#') && value.is_some_and(|value| !value.is_empty())
    };
    if age {
        Some(
            "it holds an age identity in plain text: whoever reads the repository opens every file that is encrypted to it; take it out, and make another",
        )
    } else if block {
        Some("it holds a private key in plain text; encrypt the file with sops, and make another key")
    } else if Format::of(name) == Format::Dotenv && text.lines().any(filled) {
        Some(
            "it is an environment in plain text, and no rule is for it; encrypt it with sops, or call it otherwise if nothing in it is secret",
        )
    } else {
        None
    }
}

impl Report {
    fn tell(&mut self, file: &str, at: Option<(u32, u32)>, what: impl AsRef<str>) {
        self.findings.push(Finding {
            file: shown(file).into_owned(),
            at,
            what: shown(what.as_ref()).into_owned(),
        });
    }

    /// Looks at one file.
    fn file(&mut self, name: &str, bytes: &[u8], ruling: &Ruling<'_>, identities: &Identities) {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let sealed = match text.contains("sops") {
            true => match sops::inspect(name, text) {
                // It speaks of sops and is no file of its.
                Err(_) if !text.contains(sops::SEALED) => Ok(None),
                other => other,
            },
            // Its block may be lost.
            false if text.contains(sops::SEALED) => sops::open_file(name, bytes, identities).map(|_| None),
            false => Ok(None),
        };
        let (to, opens) = match &sealed {
            Ok(Some(seen)) => {
                let opens = self.opens(name, text, identities);
                self.against(name, seen, ruling);
                let words: Vec<String> = seen.words.iter().map(|group| group.join(", ")).collect();
                (words.join(" + "), opens)
            }
            Ok(None) => match self.clear(name, bytes, ruling) {
                true => ("nobody".to_owned(), "plain"),
                false => return,
            },
            Err(error) => {
                self.tell(name, Some(sops::place(text, error)), error.to_string());
                ("?".to_owned(), "broken")
            }
        };
        let rule = match ruling {
            Ruling::Rule(rule) => rule.number.to_string(),
            Ruling::Mistake => "?".to_owned(),
            Ruling::NoConfig | Ruling::NoRule => "-".to_owned(),
        };
        let row = [name, &to, &rule, opens];
        self.rows.push(row.map(|cell| shown(cell).into_owned()));
    }

    /// Whether the keys at hand open a file.
    fn opens(&mut self, name: &str, text: &str, identities: &Identities) -> &'static str {
        match sops::open_file(name, text.as_bytes(), identities) {
            Ok(_) => "yes",
            Err(SopsError::NoKey { .. }) => "no",
            Err(error) => {
                self.tell(name, Some(sops::place(text, &error)), error.to_string());
                "broken"
            }
        }
    }

    /// A file that is not encrypted: whether there is something to say.
    fn clear(&mut self, name: &str, bytes: &[u8], ruling: &Ruling<'_>) -> bool {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        if let Ruling::Rule(rule) = ruling {
            let what = format!(
                "rule {} of {NAME} is for it, and it is not encrypted; run `sops encrypt --in-place {}`",
                rule.number,
                quoted(name)
            );
            self.tell(name, None, what);
        } else if is_plain_secret(text) {
            self.tell(
                name,
                None,
                "it holds a Secret in plain text; encrypt it with sops",
            );
        } else if let Some(what) = broken_secret(name, bytes).or_else(|| plain_key(name, text)) {
            self.tell(name, None, what);
        } else {
            return false;
        }
        true
    }

    /// An encrypted file against the rule that is for it.
    fn against(&mut self, name: &str, seen: &Inspection, ruling: &Ruling<'_>) {
        let rule = match ruling {
            Ruling::Rule(rule) => rule,
            // A mistake is told at its own place.
            Ruling::NoConfig | Ruling::Mistake => return,
            Ruling::NoRule => {
                let what = format!(
                    "no rule of {NAME} is for it, so that sops cannot keep its recipients up to date; let a path_regex match its path"
                );
                return self.tell(name, None, what);
            }
        };
        if let Some(what) = other_recipients(seen, rule, name) {
            self.tell(name, None, what);
        }
        // `sops updatekeys` changes recipients only.
        let again = format!(
            "run `sops decrypt --in-place {0}`, then `sops encrypt --in-place {0}`",
            quoted(name)
        );
        let wanted = match rule.shamir_threshold {
            0 => rule.groups.len(),
            threshold => threshold,
        };
        if rule.groups.len() > 1 && seen.groups.len() > 1 && wanted != seen.threshold {
            let what = format!(
                "rule {} asks for {wanted} of the key groups (shamir_threshold), the file for {}; {again}",
                rule.number, seen.threshold
            );
            self.tell(name, None, what);
        }
        // A file that is one value is encrypted whatever the rule selects.
        let Some(selection) = &seen.selection else { return };
        let named = rule.selection.clone().unwrap_or_default();
        if *selection != named {
            let what = format!(
                "it was encrypted by {} `{}`, and rule {} says {} `{}`; {again}",
                selection.name, selection.value, rule.number, named.name, named.value
            );
            self.tell(name, None, what);
        }
        if seen.mac_only_encrypted != rule.mac_only_encrypted {
            let what = format!(
                "it was encrypted with mac_only_encrypted {}, and rule {} says {}; {again}",
                seen.mac_only_encrypted, rule.number, rule.mac_only_encrypted
            );
            self.tell(name, None, what);
        }
    }

    fn show(&self, output: Output) {
        match output {
            Output::Text => {
                let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.to_vec()).collect();
                data(&table::table(&["FILE", "ENCRYPTED TO", "RULE", "OPENS"], &rows));
                for Finding { file, at, what } in &self.findings {
                    match at {
                        Some((line, column)) => data(&format!("{file}:{line}:{column}: {what}")),
                        None => data(&format!("{file}: {what}")),
                    }
                }
            }
            output => {
                let files: Vec<Value> = self
                    .rows
                    .iter()
                    .map(|[file, to, rule, opens]| json!({"file": file, "encryptedTo": to, "rule": rule, "opens": opens}))
                    .collect();
                let findings: Vec<Value> = self
                    .findings
                    .iter()
                    .map(|Finding { file, at, what }| match at {
                        Some((line, column)) => {
                            json!({"file": file, "line": line, "column": column, "what": what})
                        }
                        None => json!({"file": file, "what": what}),
                    })
                    .collect();
                value(&json!({"files": files, "findings": findings}), output);
            }
        }
    }
}

/// Whom the file is encrypted to, against whom the rule names now.
fn other_recipients(seen: &Inspection, rule: &CreationRule, name: &str) -> Option<String> {
    let difference = differences(&seen.groups, &rule.groups);
    let list = |keys: &[MasterKey]| {
        let keys: Vec<String> = keys.iter().map(MasterKey::short).collect();
        keys.join(", ")
    };
    let missing = match difference.missing.as_slice() {
        [] => None,
        keys => Some(format!("it is not encrypted to {}", list(keys))),
    };
    let extra = match difference.extra.as_slice() {
        [] => None,
        keys => Some(format!("it is still encrypted to {}", list(keys))),
    };
    let old = match extra {
        Some(_) => ", and change the secrets: who had the old key can open what was committed",
        None => "",
    };
    let parts: Vec<String> = missing.into_iter().chain(extra).collect();
    (!parts.is_empty()).then(|| {
        format!(
            "its recipients are not those of rule {}: {}; run `sops updatekeys {}`{old}",
            rule.number,
            parts.join(", and "),
            quoted(name)
        )
    })
}
