//! Made-up `.sops.yaml` files and paths: our rule is sops' rule, in recipients and selection, and we open what it encrypts; and what `secrets check` finds, sops mends.

use super::{couchestor, text};
use crate::support::{say, seed, servers};
use couchestor::formats::sops::creation_rules::CreationRules;
use couchestor::formats::sops::master_key::MasterKey;
use couchestor::formats::sops::{Identities, inspect, open};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

/// Files that are encrypted in one run.
const FILES: usize = 80;

const PATTERNS: [&str; 16] = [
    r"\.sops\.ya?ml$",
    r"^prod/",
    r"^(dev|prod)/[^/]+\.yaml$",
    r"secret",
    r"(?i)SECRET",
    r"^\w+/\w+\.\w+$",
    r"\d{2,}",
    r"[[:digit:]]\.",
    r"^[^/]*$",
    r"\Qdb.sops\E",
    r"\bdb\b",
    r"db{",
    r"\.(env|ini)$",
    r"^deep/.*/c",
    r"[^\W]x[.]",
    r"^/",
];

const PATHS: [&str; 14] = [
    "db.sops.yaml",
    "prod/db.yaml",
    "prod/secret.yml",
    "dev/db.json",
    "dev/x.env",
    "deep/er/c.ini",
    "deep/er/c12.yaml",
    "Secret.bin",
    "a1.yaml",
    "dbä/db{.yaml",
    "äx.yaml",
    "../outside.yaml",
    "../outside.sops.yaml",
    "prod/no-ending",
];

const SELECTIONS: [&str; 9] = [
    "",
    "encrypted_regex: ^(data|stringData)$",
    "encrypted_regex: 'pass\\b|^\\d+$'",
    "unencrypted_regex: ^(kind|metadata)$",
    "encrypted_suffix: _secret",
    "unencrypted_suffix: _plain",
    "encrypted_comment_regex: ENCRYPT",
    "unencrypted_comment_regex: PLAIN",
    "encrypted_regex: (?i)^DATA$\n  mac_only_encrypted: true",
];

fn plain(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "yaml" | "yml" => {
            "kind: Secret\nmetadata:\n  name: db\n  labels: {a: \"\", b: 1}\ndata:\n  pass: aGk=\n  user_plain: x\n  none: null\n  empty: {}\n  list: [a, 2, {token_secret: t}]\n# ENCRYPT this\n\"12\": y\n# PLAIN this\nother: z\nstringData:\n  enabled: true\n  pi: 3.25\n  # ENCRYPT\n  \"a.b\": |\n    two\n    lines\n---\nkind: Other\ndata: 7\n"
        }
        "json" => {
            "{\"kind\": \"Secret\", \"data\": {\"pass\": \"x\", \"n\": 1}, \"user_plain\": [1, \"a\", {\"k_secret\": null}], \"12\": true}\n"
        }
        "env" => "# ENCRYPT\ndata=x\npass=two words\nuser_plain=y\nk_secret=z\nempty=\n",
        "ini" => {
            "; PLAIN\n[data]\npass = x\nuser_plain = y\n\n; ENCRYPT all\n[other]\n; ENCRYPT\nk_secret = z\n; PLAIN\nstringData = w\nlast = v\n"
        }
        _ => "bytes that are none of the formats\n",
    }
}

struct Maker {
    random: fastrand::Rng,
    keys: [String; 2],
}

impl Maker {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.random.usize(..from.len())]
    }

    fn keys(&mut self) -> String {
        let [a, b] = self.keys.clone();
        match self.random.u8(..7) {
            0 => format!("age: {a}"),
            1 => format!("age: '{a}, {b},'"),
            2 => format!("age: [{b}, {a}]"),
            3 => format!("age: >-\n    {b},\n    {a}"),
            4 => format!("key_groups:\n  - age: [{a}, {b}, {a}]"),
            5 => format!("key_groups:\n  - age: [{a}]\n  - age: [{b}]\n  shamir_threshold: 2"),
            _ => format!("key_groups:\n  - merge: [{{age: [{a}]}}]\n    age: ['{b}']"),
        }
    }

    fn config(&mut self) -> String {
        let mut text = "# made up\nstores: {yaml: {indent: 2}}\ncreation_rules:\n".to_owned();
        for _ in 0..self.random.usize(1..5) {
            let pattern = self.pick(&PATTERNS);
            // Most rules have a pattern; it may stand there empty.
            let _ = match self.random.u8(..8) {
                0 => write!(text, "- "),
                1 => write!(text, "- path_regex: ''\n  "),
                _ => write!(text, "- path_regex: '{pattern}'\n  "),
            };
            let keys = self.keys();
            let _ = writeln!(text, "{keys}\n  {}", self.pick(&SELECTIONS));
        }
        text
    }
}

/// A folder with two age keys, and sops.
struct Bench {
    folder: tempfile::TempDir,
    /// Public keys.
    ours: String,
    other: String,
    /// The private ones.
    keys: String,
}

/// What a command gave.
struct Output {
    code: i32,
    out: String,
    err: String,
}

impl Bench {
    fn new() -> Self {
        let keys = [(); 2].map(|()| {
            let made = Command::new(servers::age_keygen()).output().unwrap();
            assert!(made.status.success());
            String::from_utf8(made.stdout).unwrap()
        });
        let [ours, other] = keys.each_ref().map(|key| {
            let public = key.lines().find_map(|line| line.strip_prefix("# public key: "));
            public.unwrap().to_owned()
        });
        Self {
            folder: tempfile::tempdir().unwrap(),
            ours,
            other,
            keys: keys.concat(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("repo").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(
            path,
            text.replace("OURS", &self.ours).replace("OTHER", &self.other),
        )
        .unwrap();
    }

    fn sops(&self, folder: &str, arguments: &[&str]) -> Output {
        let output = Command::new(servers::sops())
            .current_dir(self.path(folder))
            .env("HOME", self.folder.path())
            .env("SOPS_AGE_KEY", &self.keys)
            .env_remove("SOPS_AGE_KEY_FILE")
            .env_remove("SOPS_CONFIG")
            .env_remove("XDG_CONFIG_HOME")
            .args(arguments)
            .output()
            .unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn as_sets(groups: &[Vec<MasterKey>]) -> Vec<BTreeSet<MasterKey>> {
    groups
        .iter()
        .map(|group| group.iter().cloned().collect())
        .collect()
}

#[test]
fn our_rule_is_the_rule_of_sops() {
    if servers::left_out("our_rule_is_the_rule_of_sops") {
        return;
    }
    let seed = seed("our_rule_is_the_rule_of_sops");
    let bench = Bench::new();
    let mut maker = Maker {
        random: fastrand::Rng::with_seed(seed),
        keys: [bench.ours.clone(), bench.other.clone()],
    };
    let identities =
        Identities::parse([("both", bench.keys.as_str())]).unwrap_or_else(|error| panic!("{error}"));
    let (mut encrypted, mut unmatched) = (0, 0);
    let mut rules_used = BTreeSet::new();
    for _ in 0..FILES {
        let config = maker.config();
        bench.write(".sops.yaml", &config);
        let path = maker.pick(&PATHS);
        bench.write("plain", plain(path));
        // sops looks upward from the folder that it runs in.
        std::fs::create_dir_all(bench.path("below")).unwrap();
        let below = maker.random.bool();
        let (folder, named, input) = match below {
            true => ("below", format!("../{path}"), "../plain"),
            false => ("", path.to_owned(), "plain"),
        };
        let output = bench.sops(folder, &["encrypt", "--filename-override", &named, input]);
        let rules = CreationRules::read(&config).unwrap_or_else(|error| panic!("{error}\n{config}"));
        assert_eq!(rules.problems().count(), 0, "{config}");
        let absolute = bench
            .folder
            .path()
            .join("outside")
            .with_file_name(path.strip_prefix("../").unwrap_or_default());
        let relative = match path.starts_with("../") {
            true => absolute.to_string_lossy().into_owned(),
            false => path.to_owned(),
        };
        let case = format!("{path}\n{config}\n{}", output.err);
        let Some(rule) = rules.rule_for(&relative).unwrap() else {
            assert!(
                output.code != 0 && output.err.contains("no matching creation rules"),
                "{case}"
            );
            unmatched += 1;
            continue;
        };
        assert!(output.code == 0, "{case}");
        encrypted += 1;
        rules_used.insert(rule.number);
        let inspection = inspect(path, &output.out)
            .unwrap_or_else(|error| panic!("{error}\n{case}"))
            .unwrap_or_else(|| panic!("not encrypted: {case}"));
        assert_eq!(as_sets(&inspection.groups), as_sets(&rule.groups), "{case}");
        let binary = !path.contains('.') || path.ends_with(".bin");
        assert_eq!(
            inspection.mac_only_encrypted,
            rule.mac_only_encrypted && !binary,
            "{case}"
        );
        let opened = open(path, output.out.as_bytes(), &identities);
        assert!(
            matches!(opened, Ok(Some(_))),
            "{:?}\n{case}\n{}",
            opened.err(),
            output.out
        );
        let selection = (!binary).then(|| rule.selection.clone().unwrap_or_default());
        assert_eq!(inspection.selection, selection, "{case}");
    }
    say(&format!(
        "{encrypted} files encrypted by rules {rules_used:?}; no rule for {unmatched} (seed {seed})"
    ));
    assert!(encrypted > FILES / 4 && unmatched > 0 && rules_used.len() > 1);
}

#[test]
fn patterns_mean_what_they_mean_to_sops() {
    if servers::left_out("patterns_mean_what_they_mean_to_sops") {
        return;
    }
    let bench = Bench::new();
    bench.write("plain", "a: 1\n");
    let (mut refused, mut alike) = (0, 0);
    for (pattern, path) in [
        (r"^\d$", "٤"),
        (r"^\w$", "ä"),
        (r"^\W$", "ä"),
        (r"a\b", "aä"),
        (r"a\B", "aä"),
        (r"^a{$", "a{"),
        (r"^a{,2}$", "a{,2}"),
        (r"^a{,2}$", "aa"),
        (r"^a{02}$", "aa"),
        (r"^a{2}$", "aa"),
        (r"^[[]$", "["),
        (r"^[]a]$", "]"),
        (r"^[^]]$", "a"),
        (r"^[a&&b]$", "&"),
        (r"^[a&&b]$", "a"),
        (r"^[a--b]$", "-"),
        (r"^[~~a]$", "~"),
        (r"^[a-]$", "-"),
        (r"^[[:alpha:]-z]$", "-"),
        (r"^[[:alpha:]]$", "ä"),
        (r"^[[:^alpha:]]$", "ä"),
        (r"^\Qa.b\E$", "a.b"),
        (r"^\Qa.b", "a.bc"),
        (r"^\101\x41\x{41}$", "AAA"),
        (r"^\<a\>$", "<a>"),
        (r"^\_\-$", "_-"),
        (r"(?i)^k$", "\u{212a}"),
        (r"(?i)^\w$", "\u{17f}"),
        (r"(?i)^[a-z]$", "\u{212a}"),
        (r"(?i)^SS$", "ß"),
        (r"^(?ii-s)a.$", "Ax"),
        (r"(?U)^a+$", "aa"),
        (r"^(?P<n>a)(?<o>b)$", "ab"),
        (r"^(?P<1>a)$", "a"),
        (r"^\pL\P{^Lu}\p{Greek}$", "aBα"),
        (r"^(|a)$", "a"),
        (r"^a||b$", "x"),
        (r"^()$", "a"),
        (r"(?)a", "a"),
        (r"a}]", "a}]"),
        (r"a**", "a"),
        (r"a*+", "a"),
        (r"a*??", "a"),
        (r"a{2}{3}", "a"),
        (r"a{1001}", "a"),
        (r"a{3,2}", "a"),
        (r"\1", "a"),
        (r"\C", "a"),
        (r"\y", "a"),
        (r"(?x)a", "a"),
        (r"(?=a)", "a"),
        (r"(?-)", "a"),
        (r"[z-a]", "a"),
        (r"[[:nope:]]", "a"),
        (r"\p{Nope}", "a"),
        (r"*", "a"),
        (r"(", "a"),
        (r"\b{start}", "a"),
        (r"[\b]", "a"),
        (r"^\z", "a"),
        (r"\Z", "a"),
    ] {
        let config = format!(
            "creation_rules:\n- path_regex: '{pattern}'\n  age: {}\n- age: {}\n",
            bench.ours, bench.other
        );
        bench.write(".sops.yaml", &config);
        let arguments = [
            "encrypt",
            "--input-type",
            "yaml",
            "--output-type",
            "yaml",
            "--filename-override",
            path,
            "plain",
        ];
        let output = bench.sops("", &arguments);
        let rules = CreationRules::read(&config).unwrap_or_else(|error| panic!("{error}"));
        match rules.rule_for(path) {
            Err(_) => {
                assert!(output.code != 0, "sops takes {pattern}, we do not");
                assert!(output.err.contains("regexp"), "{}", output.err);
                refused += 1;
            }
            Ok(rule) => {
                assert!(output.code == 0, "{pattern}: {}", output.err);
                let theirs = if output.out.contains(&bench.ours) { 1 } else { 2 };
                assert_eq!(rule.map(|rule| rule.number), Some(theirs), "{pattern} on {path}");
                alike += 1;
            }
        }
    }
    say(&format!(
        "patterns of rules: {alike} mean what they mean to sops, {refused} refused"
    ));
    assert!(refused > 10);
}

#[test]
fn what_check_finds_sops_mends() {
    if servers::left_out("what_check_finds_sops_mends") {
        return;
    }
    let bench = Bench::new();
    let secret = "kind: Secret\napiVersion: v1\nmetadata: {name: a}\nstringData: {token: x}\n";
    let first = "- path_regex: ^a\n  encrypted_regex: ^stringData$\n  age: OURS";
    let (updatekeys, again) = (
        &["updatekeys", "-y", "a.yaml"][..],
        &["encrypt", "--in-place", "a.yaml"][..],
    );
    for (before, after, words, mend) in [
        (
            first,
            "- path_regex: ^a\n  encrypted_regex: ^stringData$\n  age: OTHER",
            "is not encrypted to age1",
            updatekeys,
        ),
        (
            first,
            "- path_regex: ^a\n  encrypted_regex: ^stringData$\n  age: 'OURS,OTHER'",
            "is not encrypted to age1",
            updatekeys,
        ),
        (
            "- age: [OURS, OTHER]",
            "- age: OURS",
            "still encrypted to age1",
            updatekeys,
        ),
        (
            "- age: OURS",
            "- key_groups: [{age: [OURS]}, {age: [OTHER]}]",
            "is not encrypted to age1",
            updatekeys,
        ),
        (
            "- key_groups: [{age: [OURS]}, {age: [OTHER]}, {age: [OURS]}]\n  shamir_threshold: 3",
            "- key_groups: [{age: [OURS]}, {age: [OTHER]}, {age: [OURS]}]\n  shamir_threshold: 2",
            "asks for 2 of the key groups (shamir_threshold), the file for 3",
            again,
        ),
        (
            first,
            "- path_regex: ^a\n  encrypted_regex: ^(data|stringData)$\n  age: OURS",
            "says encrypted_regex `^(data|stringData)$`",
            again,
        ),
        (
            first,
            "- age: OURS",
            "says unencrypted_suffix `_unencrypted`",
            again,
        ),
        (
            first,
            "- encrypted_suffix: Data\n  age: OURS",
            "says encrypted_suffix `Data`",
            again,
        ),
        (
            "- age: OURS",
            "- age: OURS\n  unencrypted_suffix: _unencrypted",
            "",
            again,
        ),
        (
            "- age: OURS",
            "- age: OURS\n  mac_only_encrypted: true",
            "says true",
            again,
        ),
    ] {
        let config = |rule: &str| bench.write(".sops.yaml", &format!("creation_rules:\n{rule}\n"));
        let check = || couchestor(&bench.path(""), Some(&bench.keys), &["check", "a.yaml"]);
        bench.write("a.yaml", secret);
        config(before);
        assert_eq!(
            bench.sops("", &["encrypt", "--in-place", "a.yaml"]).code,
            0,
            "{before}"
        );
        let fine = check();
        assert_eq!(fine.status.code(), Some(0), "{before}: {}", text(&fine));
        config(after);
        let found = check();
        let told = text(&found);
        assert_eq!(
            found.status.code(),
            Some(i32::from(!words.is_empty())),
            "{after}: {told}"
        );
        let finding = told.lines().find(|line| line.starts_with("a.yaml: "));
        assert!(finding.unwrap_or_default().contains(words), "{after}: {told}");
        let command = match mend {
            [_, _, name] if mend == again => format!("`sops encrypt --in-place {name}`"),
            _ => "`sops updatekeys a.yaml`".to_owned(),
        };
        assert!(words.is_empty() || told.contains(&command), "{after}: {told}");
        if mend == again {
            assert_eq!(bench.sops("", &["decrypt", "--in-place", "a.yaml"]).code, 0);
        }
        let mended = bench.sops("", mend);
        assert_eq!(mended.code, 0, "{after}: {}", mended.err);
        let fine = check();
        assert_eq!(fine.status.code(), Some(0), "{after}: {}", text(&fine));
    }
}

#[test]
fn mistakes_in_the_rules_are_told_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let key = "age1pyyhtmymdm7wmk4ptxpa8r79ej5t6hrs26kt7zpvq6gqmrph74lsnlcjtq";
    let sealed = include_str!("../../policies/base/velero-s3.sops.yaml");
    std::fs::create_dir(folder.path().join("p")).unwrap();
    std::fs::write(folder.path().join("p/a.yaml"), sealed).unwrap();
    let good = format!("encrypted_regex: ^(data|stringData)$\n  age: {key}\n");
    let private = "AGE-SECRET-KEY-1QQQQ";
    for (rules, lines) in [
        (format!("creation_rules:\n- {good}"), &[][..]),
        (
            format!("creation_rules:\n- encrypted_regexp: x\n  {good}"),
            &[".sops.yaml:2:3: sops knows no `encrypted_regexp`"],
        ),
        (
            format!("creation_rules:\n- path_regex: a(\n  {good}"),
            &[".sops.yaml:2:3: `path_regex` is no regular expression of Go"],
        ),
        (
            format!("creation_rules:\n- {good}- age: {private}\n"),
            &[
                ".sops.yaml:4:3: `age` holds what is no age recipient",
                ".sops.yaml:4:3: rule 2 is never reached",
            ],
        ),
        (
            format!("creation_rules:\n- path_regex: ^q/\n  {good}"),
            &["p/a.yaml: no rule of .sops.yaml is for it"],
        ),
        (
            format!("creation_rules:\n- {good}  pgp: 85D77543B3D624B63CEA9E6DBC17301B491B3F21\n"),
            &[
                "p/a.yaml: its recipients are not those of rule 1: it is not encrypted to pgp 85D77543B3…B3F21",
            ],
        ),
        (
            format!("creation_rules:\n- {good}  kms: arn:aws:kms:eu-west-1:1:key/k\n"),
            &[
                "p/a.yaml: its recipients are not those of rule 1: it is not encrypted to kms arn:aws:km…key/k",
            ],
        ),
        (
            "creation_rules: [\n".to_owned(),
            &[".sops.yaml:1:17: this is not YAML here"],
        ),
        (
            "creation_rules: 1\n".to_owned(),
            &[".sops.yaml:1:17: `creation_rules` is no list"],
        ),
    ] {
        std::fs::write(folder.path().join(".sops.yaml"), &rules).unwrap();
        let checked = couchestor(folder.path(), None, &["check", "."]);
        let told = text(&checked);
        assert_eq!(
            checked.status.code(),
            Some(i32::from(!lines.is_empty())),
            "{rules}{told}"
        );
        let findings: Vec<&str> = told.lines().skip(2).collect();
        assert_eq!(findings.len(), lines.len(), "{rules}{told}");
        for (finding, start) in findings.iter().zip(lines) {
            assert!(finding.starts_with(start), "{rules}{told}");
        }
        assert!(!told.contains(private), "{told}");
    }
}
