//! What was encrypted comes out of no error: canaries stand at the very places that the errors are about, and everything that
//! is said is searched for them.

use crate::support::canary::Canary;
use crate::support::say;
use crate::support::seal::Sealer;
use couchestor::decrypt::{ClearCache, Vouched, decrypt};
use couchestor::formats::sops::Identities;
use couchestor::formats::substitute::Variables;
use couchestor::model::diagnostic::{Diagnostic, Severity};
use couchestor::model::ids::{BlobId, Revision};
use couchestor::model::tree::{Checkout, Entry, EntryKind};
use couchestor::parse::{ParseCache, parse};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Objects that the API server refuses.
mod applied;

/// Files that do not open.
mod sealed;

/// The situations.
mod situations;

/// How a file is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// Not at all.
    Plain,
    /// Value by value.
    Yaml,
    /// As a whole.
    Whole,
    /// Line by line.
    Lines,
}

/// Files that cannot be used.
pub struct Case {
    pub name: String,
    /// Path below the repository's root, how it is encrypted, its clear text.
    pub files: Vec<(String, As, String)>,
    /// What the error says.
    pub says: &'static str,
}

pub type Texts = BTreeMap<String, String>;

impl Case {
    pub fn new(name: &str, says: &'static str, files: &[(&str, As, &str)]) -> Self {
        let owned = files
            .iter()
            .map(|(path, how, text)| ((*path).to_owned(), *how, (*text).to_owned()));
        Self {
            name: name.to_owned(),
            files: owned.collect(),
            says,
        }
    }

    fn texts(&self, sealer: Option<&Sealer>) -> Texts {
        let text = |how: As, text: &str| match (how, sealer) {
            (As::Plain, _) | (_, None) => text.to_owned(),
            (As::Yaml, Some(sealer)) => sealer.yaml(text),
            (As::Whole, Some(sealer)) => sealer.binary(text),
            (As::Lines, Some(sealer)) => sealer.dotenv(text),
        };
        self.files
            .iter()
            .map(|(path, how, clear)| (path.clone(), text(*how, clear)))
            .collect()
    }
}

/// What the library says of a commit of these files.
pub fn told(files: &Texts, key: &str, variables: &Variables) -> Vec<Diagnostic> {
    let entry = |path: &String| Entry {
        blob: BlobId(path.clone()),
        kind: EntryKind::File,
    };
    let checkout = Checkout {
        revision: Revision {
            branch: "main".into(),
            commit: "0123456789012345678901234567890123456789".into(),
        },
        entries: files.keys().map(|path| (path.clone(), entry(path))).collect(),
        introduced: BTreeMap::new(),
        removed: BTreeMap::new(),
    };
    let read = |blob: &BlobId| Ok(files[blob.as_str()].clone().into_bytes());
    let identities = Identities::parse([("key", key)]).unwrap();
    let mut cache = ClearCache::default();
    let tree = match decrypt(
        &checkout,
        "p",
        "p/assignments",
        &read,
        &identities,
        Vouched::Yes,
        &mut cache,
    ) {
        Ok(tree) => tree,
        Err(refused) => return couchestor::parse::findings(refused, variables),
    };
    let parsed = parse(&tree, &[], variables, &mut ParseCache::default());
    let wrong = |one: &Diagnostic| one.severity == Severity::Error;
    assert_eq!(parsed.desired.is_none(), parsed.diagnostics.iter().any(wrong));
    parsed.diagnostics
}

/// The diagnostics in every form in which the library gives them.
pub fn all_forms(diagnostics: &[Diagnostic]) -> String {
    let shown: String = diagnostics.iter().map(|one| format!("{one}\n")).collect();
    format!(
        "{shown}{diagnostics:?}{diagnostics:#?}{}",
        serde_json::to_string(diagnostics).unwrap()
    )
}

/// What the binary says in all of its commands that read the files.
fn binary(folder: &Path, files: &Texts, key: &str, canary: &Canary) -> (i32, String) {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut commands: Vec<Vec<&str>> = ["text", "json", "sarif"]
        .map(|form| vec!["validate", "p", "-o", form])
        .to_vec();
    commands.extend([
        vec!["render", "p"],
        vec!["plan", "p", "--observation", "none.json"],
        vec!["secrets", "check", "."],
    ]);
    // Keys that an encrypted file shows itself are no secret of it.
    let sealed = files
        .iter()
        .filter(|(_, text)| text.contains("ENC[") && !canary.is_in(text));
    for (path, _) in sealed {
        commands.push(vec!["secrets", "textconv", path]);
        commands.push(vec!["secrets", "diff", path, "other", "-o", "json"]);
    }
    std::fs::write(folder.join("other"), "nothing").unwrap();
    let mut all = String::new();
    let mut first = None;
    for arguments in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
            .current_dir(folder)
            .args(&arguments)
            .env("HOME", folder)
            .env_remove("SOPS_AGE_KEY_FILE")
            .env_remove("XDG_CONFIG_HOME")
            .env("SOPS_AGE_KEY", key)
            .env("RUST_BACKTRACE", "1")
            .output()
            .unwrap();
        first = first.or(output.status.code());
        let text = [output.stdout, output.stderr].concat();
        all.push_str(&format!("$ {arguments:?}\n{}\n", String::from_utf8_lossy(&text)));
    }
    (first.unwrap_or(-1), all)
}

fn secret_variables(canary: &Canary) -> Variables {
    let mut variables = Variables::default();
    variables.set("WORD", canary.word.clone(), true).unwrap();
    variables.set("SECRET", canary.secret.clone(), true).unwrap();
    variables.set("NUMBER", canary.number.to_string(), true).unwrap();
    variables
}

#[test]
fn no_error_about_what_was_encrypted_says_any_of_it() {
    let (mut count, mut clear_leaks) = (0, 0);
    let mut wrong = Vec::new();
    let canary = Canary::new();
    let sealer = Sealer::new();
    for case in situations::all(&canary) {
        count += 1;
        let variables = secret_variables(&canary);
        let diagnostics = told(&case.texts(Some(&sealer)), &sealer.key, &variables);
        let text = all_forms(&diagnostics);
        if !diagnostics.iter().any(|one| one.severity == Severity::Error) || !text.contains(case.says) {
            wrong.push(format!("{}: not {:?} but {diagnostics:#?}", case.name, case.says));
        }
        if canary.is_in(&text) {
            wrong.push(format!("{}: LEAKS {text}", case.name));
        }
        // The same in the clear, to see that the canary stands where the error looks.
        let clear = told(&case.texts(None), &sealer.key, &variables);
        clear_leaks += usize::from(canary.is_in(&all_forms(&clear)));
    }
    say(&format!(
        "{count} situations; in the clear {clear_leaks} of them quote what is wrong, encrypted none"
    ));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(count >= 100 && clear_leaks >= 25, "{count} {clear_leaks}");
}

#[test]
fn no_command_says_any_of_it_either() {
    let canary = Canary::new();
    let sealer = Sealer::new();
    let mut wrong = Vec::new();
    let mut commands = 0;
    // Substitution has no variables on the command line.
    let cases = situations::all(&canary);
    for case in cases.iter().filter(|case| !case.name.starts_with("variable")) {
        let folder = tempfile::tempdir().unwrap();
        let (code, text) = binary(folder.path(), &case.texts(Some(&sealer)), &sealer.key, &canary);
        commands += text.matches("\n$ [").count() + 1;
        if code != 1 || !text.contains(case.says) || text.contains("panicked") {
            wrong.push(format!("{}: {code} {text}", case.name));
        }
        if canary.is_in(&text) {
            let lines: Vec<&str> = text
                .lines()
                .filter(|line| line.starts_with('$') || canary.is_in(line))
                .collect();
            wrong.push(format!("{}: LEAKS {}", case.name, lines.join("\n")));
        }
    }
    say(&format!("{commands} commands"));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}
