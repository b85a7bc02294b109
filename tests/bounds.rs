//! Every bound on what is read says in its error which it is and how large.

/// Encrypted files.
mod sealed;

/// Patches and what else changes objects.
mod patches;

/// Folders and what they build.
mod overlays;

use crate::canaries::{Texts, told};
use crate::support::say;
use crate::support::seal::Sealer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::formats::overlay::{self, InMemory};
use couchestor::formats::signature::Signers;
use couchestor::formats::sops::Identities;
use couchestor::formats::substitute::Variables;
use couchestor::formats::version_range::VersionRange;
use couchestor::formats::{cron, duration, pattern, quantity, yaml};

/// Where every bound of the source is tested.
mod tested;

/// A name of the bound, the words that must be said, and what is said when it is exceeded by one.
type Row = (&'static str, &'static str, String);

fn words<T, E: std::fmt::Display>(outcome: Result<T, E>) -> String {
    outcome.err().map(|error| error.to_string()).unwrap_or_default()
}

fn built(files: &[(impl AsRef<str>, String)]) -> String {
    let mut all = InMemory::default();
    for (path, text) in files {
        all.add(path.as_ref(), text.clone());
    }
    built_from(&all)
}

fn built_from(files: &InMemory) -> String {
    let said = |one: &couchestor::model::diagnostic::Diagnostic| format!("{one}\n");
    match overlay::needed_files("p", files).diagnostics {
        none if none.is_empty() => overlay::build("p", files).1.iter().map(said).collect(),
        diagnostics => diagnostics.iter().map(said).collect(),
    }
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n";

fn of_yaml() -> Vec<Row> {
    vec![
        (
            "levels of a file",
            "more than 100 levels",
            words(yaml::load(&("[".repeat(101) + &"]".repeat(101)))),
        ),
        (
            "values of a file",
            "more than 95000 values",
            words(yaml::load(&"- 1\n".repeat(95_000))),
        ),
        (
            "lists and mappings of a file",
            "more than 20000 lists and mappings",
            words(yaml::load(&"- []\n".repeat(20_000))),
        ),
        (
            "values through aliases",
            "more than 95000 values",
            words(yaml::load(&format!(
                "- &a [{}]\n{}",
                "1,".repeat(1000),
                "- *a\n".repeat(500)
            ))),
        ),
        (
            "bytes that aliases copy",
            "copy more than 8388608 bytes",
            words(yaml::load(&format!(
                "- &a {}\n{}",
                "x".repeat(1 << 20),
                "- *a\n".repeat(20)
            ))),
        ),
        (
            "documents of a file",
            "more than 10000 documents",
            words(yaml::load(&"---\na: 1\n".repeat(10_001))),
        ),
        (
            "empty documents of a file",
            "more than 10000 documents",
            words(yaml::load(&"---\n".repeat(10_001))),
        ),
        (
            "anchors of a file",
            "more than 10000 anchors",
            words(yaml::load(&"- &a 1\n".repeat(10_001))),
        ),
        (
            "words of a file",
            "more than 1000000 words",
            words(yaml::load(&format!("- \"{}\"\n", "* ".repeat(1_000_000)))),
        ),
        (
            "directives of a file",
            "more than 100 lines that start with `%`",
            words(yaml::load(&("\n%X y".repeat(101) + "\n---\na: 1\n"))),
        ),
        (
            "comments where they are read",
            "more than 20000 comments",
            words(yaml::load_commented(&"# a\n".repeat(20_001))),
        ),
    ]
}

fn substituted(text: &str) -> String {
    let files = Texts::from([(
        "p/a.yaml".to_owned(),
        MAP.replace("a: b", &format!("a: '{text}'")),
    )]);
    let mut variables = Variables::default();
    variables.set("LONG", "x".repeat(1 << 19), false).unwrap();
    let said = told(&files, &Sealer::new().key, &variables);
    said.iter().map(|one| format!("{one}\n")).collect()
}

fn read(path: &str, files: usize, text: &str) -> String {
    let mut all = Texts::from([("p/k.yaml".to_owned(), String::new())]);
    for number in 0..files {
        all.insert(path.replace('*', &number.to_string()), text.to_owned());
    }
    let said = told(&all, &Sealer::new().key, &Variables::default());
    said.iter().take(3).map(|one| format!("{one}\n")).collect()
}

/// Everything that is said of one file.
fn read_all(text: &str) -> String {
    let all = Texts::from([("p/a.yaml".to_owned(), text.to_owned())]);
    let said = told(&all, &Sealer::new().key, &Variables::default());
    said.iter().map(|one| format!("{one}\n")).collect()
}

fn of_values() -> Vec<Row> {
    let long = "1h".repeat(51);
    let ranges = "1".repeat(257);
    let policy = "apiVersion: storage.billyronks.io/v1\nkind: BackupPolicy\nmetadata: {name: NAME, namespace: ns}\nspec: {location: l, includedNamespaces: ['*'], schedules: [{name: s, schedule: '0 0 * * *', ttl: 1h}]}\n";
    vec![
        (
            "bytes of a duration",
            "longer than 100 bytes",
            words(duration::parse(&long)),
        ),
        (
            "a duration",
            "longer than a hundred years",
            words(duration::parse("900000h")),
        ),
        (
            "time for which thresholds must be crossed",
            "`sustainedFor` is too short or too long",
            read("p/a.yaml", 1, "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata: {name: x}\nspec: {sustainedFor: 169h, tiers: [a, b]}\n"),
        ),
        (
            "bytes of a quantity",
            "longer than 100 bytes",
            words(quantity::parse_ceil(&"9".repeat(101))),
        ),
        (
            "a quantity",
            "larger than 16 EiB",
            words(quantity::parse_ceil("17Ei")),
        ),
        (
            "bytes of a schedule",
            "longer than 1000 bytes",
            words(cron::check(&"* ".repeat(501))),
        ),
        (
            "bytes of a range of versions",
            "longer than 256 bytes",
            words(VersionRange::parse(&ranges)),
        ),
        (
            "bytes of any pattern",
            "more than 1000 bytes",
            words(pattern::compile(&"a".repeat(1001))),
        ),
        (
            "levels of a substitution",
            "more than 10 levels",
            substituted(&format!("{}x{}", "${A:-".repeat(12), "}".repeat(12))),
        ),
        (
            "bytes of a substitution",
            "more than 1048576 bytes",
            substituted("${LONG}${LONG}x"),
        ),
        (
            "characters of a schedule's name",
            "below 48 characters",
            read("p/a.yaml", 1, &policy.replace("NAME", &"n".repeat(48))),
        ),
        (
            "values of an object of ours",
            "more than 5000 values",
            read("p/a.yaml", 1, &format!("{policy}x: [{}]\n", "1,".repeat(5000))),
        ),
        (
            "bytes of an object of ours",
            "more than 1048576 bytes",
            read("p/a.yaml", 1, &format!("{policy}x: {}\n", "x".repeat(1 << 20))),
        ),
        (
            "mistakes of an object of ours",
            "more than 100 mistakes",
            read_all(&(0..101).map(|n| format!("x{n}: 1\n")).fold(policy.to_owned(), |text, line| text + &line)),
        ),
        (
            "tiers",
            "more than 60 tiers",
            read_all(&(0..257).map(|n| format!("apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {{name: t{n}}}\nspec: {{rank: {n}, poolSelector: {{matchLabels: {{a: b{n}}}}}}}\n---\n")).collect::<String>()),
        ),
        (
            "phases of a rollout",
            "at most 20 phases",
            read_all(&format!(
                "apiVersion: storage.billyronks.io/v1\nkind: Rollout\nmetadata: {{name: r}}\nspec:\n  storageClassName: x\n  phases:\n{}",
                "  - {name: a, workloads: [], soak: 1h}\n".repeat(21)
            )),
        ),
        (
            "letters of a phase's name",
            "at most 63 of them",
            read_all(&format!(
                "apiVersion: storage.billyronks.io/v1\nkind: Rollout\nmetadata: {{name: r}}\nspec:\n  storageClassName: x\n  phases:\n  - {{name: {}, workloads: [{{namespace: a}}]}}\n",
                "a".repeat(64)
            )),
        ),
        (
            "letters of a namespace's name",
            "at most 63 of them",
            read_all(&format!(
                "apiVersion: storage.billyronks.io/v1\nkind: BackupPolicy\nmetadata: {{name: p, namespace: velero}}\nspec:\n  location: s3\n  volumes: fs-backup\n  includedNamespaces: [{}]\n  schedules: [{{name: d, schedule: 0 2 * * *}}]\n",
                "a".repeat(64)
            )),
        ),
        (
            "gates of a phase",
            "at most 20 gates",
            read_all(&format!(
                "apiVersion: storage.billyronks.io/v1\nkind: Rollout\nmetadata: {{name: r}}\nspec:\n  storageClassName: x\n  phases:\n  - name: a\n    workloads: [{{namespace: a}}]\n    gates:\n{}",
                "    - metric: {name: a, query: up, below: 1}\n".repeat(21)
            )),
        ),
        (
            "bytes of a file",
            "larger than 5242880 bytes",
            read("p/a.yaml", 1, &"#".repeat((5 << 20) + 1)),
        ),
        (
            "files with assignments",
            "more than 40000 files",
            read("p/assignments/*.yaml", 40_001, ""),
        ),
    ]
}

fn signers(files: usize, name: &str, text: &str) -> String {
    let names: Vec<String> = (0..files)
        .map(|number| name.replace('*', &number.to_string()))
        .collect();
    words(Signers::parse(names.iter().map(|name| (name.as_str(), text))))
}

fn of_signers() -> Vec<Row> {
    let mut blob = vec![0, 0, 0, 11];
    blob.extend(b"ssh-ed25519");
    blob.extend([0, 0, 0, 32]);
    blob.extend([7; 32]);
    let key = format!("ssh-ed25519 {}\n", STANDARD.encode(blob));
    vec![
        (
            "files of signers",
            "more than 256 keys",
            signers(257, "*.sshpub", &key),
        ),
        (
            "bytes of a file of signers",
            "larger than 1048576 bytes",
            signers(1, "a.sshpub", &"#".repeat((1 << 20) + 1)),
        ),
        (
            "keys of a file of signers",
            "more than 4096 keys",
            signers(1, "a.sshpub", &key.repeat(4097)),
        ),
    ]
}

fn rows() -> Vec<Row> {
    [
        of_yaml(),
        overlays::of_overlays(),
        sealed::of_sops(),
        of_values(),
        of_signers(),
        of_openpgp(),
    ]
    .concat()
}

/// Files with one OpenPGP key more than they may have.
fn of_openpgp() -> Vec<Row> {
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = |arguments: &[&str]| {
        let output = std::process::Command::new("gpg")
            .env("GNUPGHOME", home.path())
            .args([
                "--batch",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
            ])
            .args(arguments)
            .output()
            .expect("this test needs gnupg");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    gpg(&[
        "--quick-generate-key",
        "x@example.org",
        "ed25519",
        "sign",
        "never",
    ]);
    let (public, private) = (
        gpg(&["--armor", "--export"]),
        gpg(&["--armor", "--export-secret-keys"]),
    );
    let _ = std::process::Command::new("gpgconf")
        .env("GNUPGHOME", home.path())
        .args(["--kill", "gpg-agent"])
        .output();
    let keys = |count: usize| Identities::parse([("k.asc", private.repeat(count).as_str())]).map(|_| ());
    assert_eq!(keys(64), Ok(()));
    vec![
        ("OpenPGP keys of a file", "more than 64 keys", words(keys(65))),
        (
            "OpenPGP keys of a file of signers",
            "more than 1024 keys",
            signers(1, "a.asc", &public.repeat(1025)),
        ),
    ]
}

#[test]
fn a_tag_that_is_too_long_is_no_version() {
    let range = VersionRange::parse("*-0")
        .or_else(|_| VersionRange::parse(">=0.0.0-0"))
        .unwrap();
    let tag = |bytes: usize| format!("1.0.0-{}", "a".repeat(bytes - 6));
    assert_eq!(range.newest([tag(256).as_str()]), Some(tag(256).as_str()));
    assert_eq!(range.newest([tag(257).as_str()]), None);
}

#[test]
fn a_folder_with_too_many_files_is_probably_the_wrong_one() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..=200 {
        let below = folder.path().join(number.to_string());
        std::fs::create_dir(&below).unwrap();
        for number in 0..1000 {
            std::fs::File::create(below.join(number.to_string())).unwrap();
        }
    }
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .arg("validate")
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("more than 200000 files lie below"),
        "{said}"
    );
}

#[test]
fn every_bound_is_named_with_its_size() {
    let rows = rows();
    let count = rows.len();
    let wrong: Vec<String> = rows
        .into_iter()
        .filter(|(_, wanted, said)| !said.contains(wanted))
        .map(|(name, wanted, said)| {
            format!(
                "{name}: not {wanted:?} but {:?}",
                said.chars().take(300).collect::<String>()
            )
        })
        .collect();
    say(&format!("{count} bounds, {} without their name", wrong.len()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
