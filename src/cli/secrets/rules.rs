//! Finds the `.sops.yaml` of a file, and in it the file's rule.

use super::read;
use crate::cli::Failed;
use crate::formats::sops::creation_rules::{CreationRule, CreationRules, NAME};
use crate::formats::yaml::YamlError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// One `.sops.yaml`.
pub(super) struct Config {
    folder: PathBuf,
    /// What it says, or why it says nothing.
    pub(super) rules: Result<CreationRules, YamlError>,
}

/// What a `.sops.yaml` says of a file.
pub(super) enum Ruling<'a> {
    /// There is none.
    NoConfig,
    /// This rule is for it.
    Rule(&'a CreationRule),
    /// None of its rules is for it.
    NoRule,
    /// A mistake in it is in the way.
    Mistake,
}

impl Config {
    fn ruling(&self, file: &Path) -> Ruling<'_> {
        let relative = file.strip_prefix(&self.folder).unwrap_or(file);
        match &self.rules {
            Err(_) => Ruling::Mistake,
            Ok(rules) => match rules.rule_for(&relative.to_string_lossy()) {
                Ok(Some(rule)) => Ruling::Rule(rule),
                Ok(None) => Ruling::NoRule,
                Err(_) => Ruling::Mistake,
            },
        }
    }

    /// What is wrong in it, and what sops passes over.
    pub(super) fn mistakes(&self) -> Vec<&YamlError> {
        match &self.rules {
            Err(wrong) => vec![wrong],
            Ok(rules) => {
                let mut all: Vec<&YamlError> = rules.problems().chain(&rules.remarks).collect();
                all.sort_by_key(|one| (one.line, one.column));
                all
            }
        }
    }
}

/// What is for a file, with the file that says it.
pub(super) fn ruling<'a>(config: Option<&'a Config>, file: &Path) -> Ruling<'a> {
    config.map_or(Ruling::NoConfig, |config| config.ruling(file))
}

/// All that were read.
#[derive(Default)]
pub(super) struct Configs(BTreeMap<PathBuf, Rc<Config>>);

impl Configs {
    /// The nearest one upward from a file, but not above the repository's root.
    pub(super) fn of(&mut self, file: &Path, root: &Path) -> Option<Rc<Config>> {
        let path = file
            .ancestors()
            .skip(1)
            .take_while(|folder| folder.starts_with(root))
            .map(|folder| folder.join(NAME))
            .find(|path| path.is_file())?;
        Some(self.read(&path))
    }

    /// Reads one, once.
    pub(super) fn read(&mut self, path: &Path) -> Rc<Config> {
        if let Some(known) = self.0.get(path) {
            return Rc::clone(known);
        }
        let failed = |message: String| YamlError {
            line: 1,
            column: 1,
            message,
            help: "make it a readable file".to_owned(),
            key: None,
        };
        let text = read(path)
            .map_err(|Failed(why)| failed(why))
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| failed("it is no text".to_owned())));
        let config = Rc::new(Config {
            folder: path.parent().unwrap_or(Path::new("/")).to_owned(),
            rules: text.and_then(|text| CreationRules::read(&text)),
        });
        self.0.insert(path.to_owned(), Rc::clone(&config));
        config
    }

    /// All, with where they are.
    pub(super) fn all(&self) -> impl Iterator<Item = (&PathBuf, &Rc<Config>)> {
        self.0.iter()
    }
}
