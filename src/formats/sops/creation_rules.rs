//! `.sops.yaml` as the sops command reads it: which rule a file falls under, and what that rule says.
//!
//! The facts are those of getsops/sops 3.13, `config/config.go` and `cmd/sops/main.go`:
//! - the command looks for `.sops.yaml` (never `.sops.yml`) in the folder that it runs in, then upward, 100 folders at most;
//! - a file's path is compared relative to the folder of that `.sops.yaml`, and as it is if it lies outside;
//! - the first rule whose `path_regex` is found somewhere in the path, or that has none, is the one; there is no second;
//! - a `path_regex` that cannot be read stops the search with an error, and what is wrong with other rules does not matter;
//! - `destination_rules` and `stores` say nothing about encryption; keys that sops does not know are passed over in silence.

use super::go_regex::GoRegex;
use super::master_key::MasterKey;
use super::metadata::{self, Selection};
use super::rule_keys;
use crate::formats::yaml::{Kind, Node, Tag, YamlError, load, scalar};

/// The name of the file; nothing else is read by sops.
pub const NAME: &str = ".sops.yaml";

/// Folders upward in which it is looked for.
pub const FOLDERS_MAX: usize = 100;

/// Largest file that is read.
pub const BYTES_MAX: usize = 1 << 20;

/// Rules of one file: more than any repository has.
const RULES_MAX: usize = 10_000;

const ROOT_KEYS: [&str; 3] = ["creation_rules", "destination_rules", "stores"];

const RULE_KEYS: [&str; 18] = [
    "path_regex",
    "kms",
    "aws_profile",
    "age",
    "pgp",
    "gcp_kms",
    "hckms",
    "azure_keyvault",
    "hc_vault_transit_uri",
    "key_groups",
    "shamir_threshold",
    "unencrypted_suffix",
    "encrypted_suffix",
    "unencrypted_regex",
    "encrypted_regex",
    "unencrypted_comment_regex",
    "encrypted_comment_regex",
    "mac_only_encrypted",
];

/// The file.
pub struct CreationRules {
    /// The rules in order.
    pub rules: Vec<CreationRule>,
    /// What sops passes over though somebody meant something by it.
    pub remarks: Vec<YamlError>,
}

/// One rule.
pub struct CreationRule {
    /// Its place in the list, from 1.
    pub number: usize,
    /// Its line.
    pub line: u32,
    /// The files that it is for; all, if there is none.
    pub path_regex: Option<String>,
    matcher: Option<Result<GoRegex, YamlError>>,
    /// Whom files are sealed to, by group.
    pub groups: Vec<Vec<MasterKey>>,
    /// How many groups it takes; 0 means all.
    pub shamir_threshold: usize,
    /// Which values are encrypted; all but those below keys that end in `_unencrypted`, if it says nothing.
    pub selection: Option<Selection>,
    /// Whether the MAC covers encrypted values only.
    pub mac_only_encrypted: bool,
    /// Why sops encrypts no file by it, or not what it says.
    pub problem: Option<YamlError>,
}

impl CreationRules {
    /// Reads the file.
    ///
    /// # Errors
    /// Where sops can read nothing of it.
    pub fn read(text: &str) -> Result<Self, YamlError> {
        if text.len() > BYTES_MAX {
            return Err(YamlError {
                line: 1,
                column: 1,
                message: format!("the file is larger than {BYTES_MAX} bytes"),
                help: "a few rules are enough".to_owned(),
                key: None,
            });
        }
        let documents = load(text)?;
        let mut read = Self {
            rules: Vec::new(),
            remarks: Vec::new(),
        };
        let Some(root) = documents.first() else {
            return Ok(read);
        };
        if !matches!(root.kind, Kind::Map(_)) {
            return Err(wrong(root, "this is no mapping", "write `creation_rules:` first"));
        }
        read.unknown(root, &ROOT_KEYS);
        let Some(list) = root.get("creation_rules").filter(|node| !is_null(node)) else {
            return Ok(read);
        };
        let Kind::List(items) = &list.kind else {
            return Err(wrong(
                list,
                "`creation_rules` is no list",
                "begin each rule with `-`",
            ));
        };
        if items.len() > RULES_MAX {
            let message = format!("there are more than {RULES_MAX} rules");
            return Err(wrong(list, &message, "join some"));
        }
        for item in items {
            read.unknown(item, &RULE_KEYS);
            let rule = CreationRule::read(read.rules.len() + 1, item)?;
            if let Some(before) = read.rules.iter().find(|rule| rule.path_regex.is_none()) {
                let message = format!(
                    "rule {} is never reached: rule {} has no `path_regex` and takes every file",
                    rule.number, before.number
                );
                let help = "put the rule without `path_regex` last";
                read.remarks.push(wrong(item, &message, help));
            }
            read.rules.push(rule);
        }
        Ok(read)
    }

    fn unknown(&mut self, node: &Node, known: &[&str]) {
        let Kind::Map(entries) = &node.kind else { return };
        for (key, _) in entries
            .iter()
            .filter(|(key, _)| !known.contains(&key.text.as_str()))
        {
            self.remarks.push(YamlError {
                line: key.line,
                column: key.column,
                message: format!("sops knows no `{}` here and passes over it", key.text),
                help: format!("there are: {}", known.join(", ")),
                key: None,
            });
        }
    }

    /// The rule for a file, by its path relative to the folder of `.sops.yaml`.
    ///
    /// # Errors
    /// What is wrong with the rule, or with the `path_regex` of one before it.
    pub fn rule_for(&self, path: &str) -> Result<Option<&CreationRule>, &YamlError> {
        for rule in &self.rules {
            let matches = match &rule.matcher {
                None => true,
                Some(Ok(regex)) => regex.is_match(path),
                Some(Err(error)) => return Err(error),
            };
            if matches {
                return match &rule.problem {
                    Some(problem) => Err(problem),
                    None => Ok(Some(rule)),
                };
            }
        }
        Ok(None)
    }

    /// All that is wrong with it.
    pub fn problems(&self) -> impl Iterator<Item = &YamlError> {
        self.rules.iter().flat_map(|rule| {
            let path = rule.matcher.as_ref().and_then(|matcher| matcher.as_ref().err());
            path.into_iter().chain(&rule.problem)
        })
    }
}

impl CreationRule {
    fn read(number: usize, item: &Node) -> Result<Self, YamlError> {
        if !matches!(item.kind, Kind::Map(_)) && !is_null(item) {
            return Err(wrong(
                item,
                "a rule is a mapping",
                "write `- path_regex: …` and below it `age: …`",
            ));
        }
        let path_regex = text(item, "path_regex")?;
        let matcher = path_regex
            .as_deref()
            .map(|pattern| GoRegex::new(pattern).map_err(|why| pattern_wrong(item, "path_regex", &why)));
        let shamir_threshold = match text(item, "shamir_threshold")? {
            None => 0,
            Some(count) => count
                .parse()
                .map_err(|_| wrong_at(item, "shamir_threshold", "is no number", "write a number"))?,
        };
        let mac_only_encrypted = match text(item, "mac_only_encrypted")?.as_deref() {
            None => false,
            Some(value) => match scalar::resolve(value, true, None) {
                Some(serde_json::Value::Bool(value)) => value,
                _ => {
                    let help = "write true or false";
                    return Err(wrong_at(item, "mac_only_encrypted", "is no boolean", help));
                }
            },
        };
        let mut selections = Vec::new();
        for name in metadata::SELECTIONS {
            if let Some(value) = text(item, name)? {
                selections.push(Selection { name, value });
            }
        }
        let (groups, mut problem) = match rule_keys::groups(item)? {
            Ok(groups) => (groups, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        if let Err(error) = selected(item, &selections) {
            problem = problem.or(Some(error));
        }
        // As its Shamir package wants it; with one group sops splits nothing.
        if groups.len() > 1 && shamir_threshold != 0 && !(2..=groups.len()).contains(&shamir_threshold) {
            let what = format!("is {shamir_threshold}, and there are {} key groups", groups.len());
            let help = format!("write 2 to {}", groups.len());
            problem = problem.or(Some(wrong_at(item, "shamir_threshold", &what, &help)));
        }
        Ok(Self {
            number,
            line: item.line,
            path_regex,
            matcher,
            groups,
            shamir_threshold,
            selection: selections.pop(),
            mac_only_encrypted,
            problem,
        })
    }
}

/// Whether the selection can be used.
fn selected(item: &Node, selections: &[Selection]) -> Result<(), YamlError> {
    if let [_, second, ..] = selections {
        let help = "keep one; sops takes one per rule";
        return Err(wrong_at(item, second.name, "is a second selection", help));
    }
    for one in selections.iter().filter(|one| one.name.ends_with("_regex")) {
        GoRegex::new(&one.value).map_err(|why| pattern_wrong(item, one.name, &why))?;
    }
    Ok(())
}

fn pattern_wrong(item: &Node, name: &str, why: &str) -> YamlError {
    wrong_at(item, name, why, "correct the pattern")
}

/// A string, or whatever else Go reads into one; `None` for an empty one.
fn text(item: &Node, name: &str) -> Result<Option<String>, YamlError> {
    let Some(node) = item.get(name).filter(|node| !is_null(node)) else {
        return Ok(None);
    };
    let text = node
        .text()
        .ok_or_else(|| wrong_at(item, name, "is no single value", "write one value"))?;
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

pub(super) fn is_null(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar { text, plain, tag } => {
            scalar::resolve(text, *plain, tag.map(Tag::name)) == Some(serde_json::Value::Null)
        }
        _ => false,
    }
}

pub(super) fn wrong(node: &Node, message: &str, help: &str) -> YamlError {
    YamlError {
        line: node.line,
        column: node.column,
        message: message.to_owned(),
        help: help.to_owned(),
        key: None,
    }
}

/// Says something of a key of a mapping, at the key's place.
pub(super) fn wrong_at(item: &Node, name: &str, what: &str, help: &str) -> YamlError {
    let key = match &item.kind {
        Kind::Map(entries) => entries.iter().find(|(key, _)| key.text == name),
        _ => None,
    };
    let (line, column) = key.map_or((item.line, item.column), |(key, _)| (key.line, key.column));
    YamlError {
        line,
        column,
        message: format!("`{name}` {what}"),
        help: help.to_owned(),
        key: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use crate::formats::sops::master_key::KeyKind;

    const ONE: &str = "age1pyyhtmymdm7wmk4ptxpa8r79ej5t6hrs26kt7zpvq6gqmrph74lsnlcjtq";

    fn read(text: &str) -> CreationRules {
        CreationRules::read(&text.replace("ONE", ONE)).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn the_first_rule_whose_pattern_is_found_in_the_path_is_the_one() {
        let rules = read(
            "creation_rules:\n- path_regex: ^prod/.*\\.yaml$\n  age: ONE\n- path_regex: \\.yaml$\n  age: ONE\n- age: ONE\n",
        );
        for (path, number) in [
            ("prod/a.yaml", 1),
            ("x/prod/a.yaml", 2),
            ("a.yaml", 2),
            ("/elsewhere/a.yaml", 2),
            ("a.json", 3),
        ] {
            let rule = rules.rule_for(path).ok().flatten().map(|rule| rule.number);
            assert_eq!(rule, Some(number), "{path}");
        }
        let without = read("creation_rules: [{path_regex: x, age: ONE}]\n");
        assert!(without.rule_for("a").is_ok_and(|rule| rule.is_none()));
        for nothing in ["", "stores: {}\n", "creation_rules:\n", "creation_rules: []\n"] {
            let rules = read(nothing);
            assert!(rules.rule_for("a").is_ok_and(|rule| rule.is_none()), "{nothing}");
        }
    }

    #[test]
    fn keys_may_be_written_in_each_way_that_sops_takes() {
        let key = |kind, id: &str| MasterKey::new(kind, id);
        let age = key(KeyKind::Age, ONE);
        for (rule, groups) in [
            ("age: ONE", vec![vec![age.clone()]]),
            ("age: ' ONE , ONE,'", vec![vec![age.clone(), age.clone()]]),
            ("age: [ONE]", vec![vec![age.clone()]]),
            ("age: >-\n    ONE,\n    ONE", vec![vec![age.clone(), age.clone()]]),
            (
                "pgp: 'AB CD, EF'",
                vec![vec![key(KeyKind::Pgp, "ABCD"), key(KeyKind::Pgp, "EF")]],
            ),
            (
                "kms: arn:aws:kms:x+arn:aws:iam:y\n  aws_profile: p",
                vec![vec![key(KeyKind::Kms, "arn:aws:kms:x+arn:aws:iam:y||p")]],
            ),
            (
                "key_groups: [{age: [ONE, ONE]}, {pgp: [A], merge: [{pgp: [B, A]}]}]\n  age: ignored",
                vec![
                    vec![age.clone()],
                    vec![key(KeyKind::Pgp, "B"), key(KeyKind::Pgp, "A")],
                ],
            ),
            (
                "key_groups: [{kms: [{arn: a, role: r, context: {k: v, a: b}}], gcp_kms: [{resource_id: g}], hckms: [{key_id: h}], azure_keyvault: [{vaultUrl: u, key: k, version: v}]}]",
                vec![vec![
                    key(KeyKind::Kms, "a+r|a:b,k:v"),
                    key(KeyKind::GcpKms, "g"),
                    key(KeyKind::HcKms, "h"),
                    key(KeyKind::AzureKv, "u/keys/k/v"),
                ]],
            ),
            (
                "azure_keyvault: https://v.example/keys/k\n  hc_vault_transit_uri: https://h:8200/v1/a/b/keys/n",
                vec![vec![
                    key(KeyKind::AzureKv, "https://v.example/keys/k/"),
                    key(KeyKind::HcVault, "https://h:8200/v1/a/b/keys/n"),
                ]],
            ),
        ] {
            let rules = read(&format!("creation_rules:\n- {rule}\n"));
            let problems: Vec<_> = rules.problems().collect();
            assert!(problems.is_empty(), "{rule}: {problems:?}");
            assert_eq!(rules.rules[0].groups, groups, "{rule}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_key() {
        let secret = "AGE-SECRET-KEY-1QQQQ";
        for (text, line, message) in [
            ("- 1\n", 1, "this is no mapping"),
            ("creation_rules: 1\n", 1, "no list"),
            ("creation_rules:\n- x\n", 2, "a rule is a mapping"),
            (
                "creation_rules:\n- age: ONE\n  path_regex: [a]\n",
                3,
                "no single value",
            ),
            (
                "creation_rules:\n- age: ONE\n  shamir_threshold: x\n",
                3,
                "no number",
            ),
            (
                "creation_rules:\n- age: ONE\n  mac_only_encrypted: 2\n",
                3,
                "no boolean",
            ),
            ("creation_rules:\n- age: ONE\n  key_groups: x\n", 3, "no list"),
            ("creation_rules:\n- age: ONE\n  age: ONE\n", 3, "duplicate"),
        ] {
            let error = CreationRules::read(&text.replace("ONE", ONE))
                .map(|_| ())
                .unwrap_err();
            assert!(error.line == line && error.message.contains(message), "{error}");
        }
        for (rule, line, message) in [
            ("path_regex: a(\n  age: ONE", 2, "`path_regex`"),
            ("path_regex: a\n  age: nobody", 3, "no age recipient"),
            ("age: KEY", 2, "no age recipient"),
            ("age: ssh-dss AAAA", 2, "no age recipient"),
            ("age: 12", 2, "no string"),
            ("path_regex: a", 2, "names nobody"),
            ("hc_vault_transit_uri: x", 2, "Vault"),
            ("azure_keyvault: x", 2, "Azure"),
            (
                "age: ONE\n  encrypted_regex: a\n  encrypted_suffix: b",
                3,
                "second selection",
            ),
            ("age: ONE\n  encrypted_regex: a**", 3, "`encrypted_regex`"),
            (
                "key_groups: [{age: [ONE]}, {age: [ONE]}]\n  shamir_threshold: 1",
                3,
                "there are 2 key groups",
            ),
            (
                "key_groups: [{age: [ONE]}, {age: [ONE]}]\n  shamir_threshold: 3",
                3,
                "there are 2 key groups",
            ),
        ] {
            let rules = read(&format!("creation_rules:\n- {}\n", rule.replace("KEY", secret)));
            let problems: Vec<_> = rules.problems().collect();
            assert_eq!(problems.len(), 1, "{rule}: {problems:?}");
            assert!(
                problems[0].line == line && problems[0].message.contains(message),
                "{}",
                problems[0]
            );
            assert!(!format!("{problems:?}").contains(secret));
            assert!(rules.rule_for("a").is_err(), "{rule}");
        }
    }

    #[test]
    fn a_mistake_stops_the_search_only_where_sops_gets_to_it() {
        let rules = read(
            "creation_rules:\n- path_regex: ^a\n  age: ONE\n- path_regex: ^b\n  age: wrong\n- path_regex: (\n  age: ONE\n- age: ONE\n",
        );
        for (path, fine) in [("a", true), ("b", false), ("c", false)] {
            assert_eq!(rules.rule_for(path).is_ok(), fine, "{path}");
        }
    }

    #[test]
    fn what_sops_passes_over_in_silence_is_said() {
        let rules =
            read("creation_rule: []\ncreation_rules:\n- age: ONE\n  encrypted_regexp: x\n- age: ONE\n");
        let lines: Vec<u32> = rules.remarks.iter().map(|remark| remark.line).collect();
        assert_eq!(lines, [1, 4, 5]);
    }
}
