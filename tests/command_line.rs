//! What scripts, pipes and people in a hurry rely on: exit codes, lost output, empty variables, odd files, and nothing secret shown.

use crate::support::canary::Canary;
use crate::support::seal::Sealer;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Links to folders.
mod linked;

/// What masks tell.
mod masks;

/// Several at one time.
mod several;

/// Servers that do not answer.
mod silent;

/// Commands against simulated servers.
mod simulated;

/// One controller taken over from by another.
mod superseded;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_couchestor"));
    command.current_dir(folder).args(arguments).env("HOME", folder);
    for name in ["SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// Two tiers and a policy, to whose spec more can be added.
const POLICIES: &str = "apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: hot}
spec: {rank: 2, poolSelector: {matchLabels: {storage-tier: hot}}}
---
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: cold}
spec: {rank: 1, poolSelector: {matchLabels: {storage-tier: cold}}}
---
apiVersion: storage.billyronks.io/v1
kind: StoragePolicy
metadata: {name: busy}
spec:
  tiers: [hot, cold]
";

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n";

#[test]
fn output_that_is_lost_is_a_failure_and_a_closed_pipe_is_none() {
    let folder = folder(&[("p/a.yaml", MAP)]);
    for arguments in [
        &["schema"][..],
        &["crds"],
        &["completions", "bash"],
        &["render", "p"],
        &["validate", "p", "-o", "json"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut lost = command(folder.path(), arguments);
        let lost = lost.stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(lost.status.code(), Some(1), "{arguments:?}");
        assert!(
            said(&lost).contains("could not be written"),
            "{arguments:?}: {}",
            said(&lost)
        );
        let mut child = command(folder.path(), arguments);
        let mut child = child
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let closed = child.wait_with_output().unwrap();
        assert_eq!(closed.status.code(), Some(0), "{arguments:?}: {}", said(&closed));
    }
}

#[test]
fn an_empty_variable_is_none_and_a_pipe_among_the_files_is_not_read() {
    let folder = folder(&[
        ("p/kustomization.yaml", "resources: [a.yaml]\n"),
        ("p/a.yaml", MAP),
    ]);
    let mut empty = command(folder.path(), &["validate", "p"]);
    let empty = empty.env("SOPS_AGE_KEY_FILE", "").output().unwrap();
    assert!(empty.status.success(), "{}", said(&empty));
    let mut homeless = command(folder.path(), &["validate", "p"]);
    let homeless = homeless
        .env("HOME", "")
        .env("XDG_CONFIG_HOME", "")
        .output()
        .unwrap();
    assert!(homeless.status.success(), "{}", said(&homeless));
    std::fs::remove_file(folder.path().join("p/a.yaml")).unwrap();
    let made = Command::new("mkfifo")
        .arg(folder.path().join("p/a.yaml"))
        .status()
        .unwrap();
    assert!(made.success());
    for arguments in [&["validate", "p"][..], &["secrets", "check", "p"]] {
        let mut child = command(folder.path(), arguments);
        let mut child = child
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                panic!("{arguments:?} waits for a pipe");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(said(&run(folder.path(), &["validate", "p"])).contains("not-a-file"));
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let folder = folder(&[
        ("p/a.yaml", MAP),
        ("o.json", "{}"),
        ("docs/README.md", "# Storage\n"),
    ]);
    for (arguments, words) in [
        (&["validate", "docs"][..], "no objects found in docs"),
        (&["validate", "docs", "-o", "json"], "no objects found in docs"),
        (
            &["secrets", "check", "p", "-o", "sarif"],
            "only `validate` writes SARIF",
        ),
        (
            &["secrets", "diff", "p/a.yaml", "p/a.yaml", "-o", "sarif"],
            "only `validate` writes SARIF",
        ),
        (&["render", "p", "-o", "sarif"], "only `validate` writes SARIF"),
        (
            &["plan", "p", "--observation", "o.json", "-o", "sarif"],
            "only `validate` writes SARIF",
        ),
        (&["validate", "p/a.yaml"], "give the folder"),
        (&["validate", "p", "--assignments", "nope"], "there is no folder"),
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn nothing_that_was_decrypted_or_forgotten_is_shown() {
    let sealer = Sealer::new();
    let canary = Canary::new();
    let clear = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b, labels: {l: CANARY}, annotations: {a: CANARY}}\ndata: {d: CANARY}\n".replace("CANARY", &canary.word);
    let secret = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: s, namespace: b}, stringData: {pw: CANARY}}\n".replace("CANARY", &canary.word);
    let folder = folder(&[
        ("p/a.yaml", &sealer.yaml(&clear)),
        ("q/s.yaml", &secret),
        ("q/s.env", &format!("PW={}\n", canary.word)),
        (".gitattributes", "*.sops.yaml diff=couchestor\n"),
        (".sops.yaml", "creation_rules: [{path_regex: big, age: age1x}]\n"),
        ("q/big.yaml", &"#".repeat(6 << 20)),
        (
            "q/broken.yaml",
            &format!("kind: Secret\nstringData: {{pw: [{}\n", canary.word),
        ),
    ]);
    let mut shown = command(folder.path(), &["render", "p"]);
    let shown = shown.env("SOPS_AGE_KEY", &sealer.key).output().unwrap();
    assert!(
        shown.status.success() && said(&shown).contains("name: a"),
        "{}",
        said(&shown)
    );
    canary.assert_absent(&said(&shown));
    for arguments in [
        &["validate", "q"][..],
        &["secrets", "textconv", "q/s.yaml"],
        &["secrets", "textconv", "q/s.env"],
        &["secrets", "diff", "q/s.env", "q/s.yaml"],
    ] {
        let shown = said(&run(folder.path(), arguments));
        assert!(!shown.is_empty(), "{arguments:?}");
        canary.assert_absent(&shown);
    }
    let checked = run(folder.path(), &["secrets", "check", "."]);
    let told = said(&checked);
    canary.assert_absent(&told);
    assert_eq!(checked.status.code(), Some(1));
    for (path, words) in [
        ("q/s.yaml", "a Secret in plain text"),
        ("q/big.yaml", "bytes"),
        ("q/broken.yaml", "no YAML"),
    ] {
        let found = told
            .lines()
            .any(|line| line.starts_with(path) && line.contains(words));
        assert!(found, "{path} {words}\n{told}");
    }
    assert!(!told.contains(".gitattributes:"), "{told}");
}

#[test]
fn what_the_readme_says_is_so() {
    let folder = tempfile::tempdir().unwrap();
    let readme = include_str!("../README.md");
    let blocks: Vec<&str> = readme
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|block| !block.contains("cargo "))
        .collect();
    assert_eq!(blocks.len(), 2);
    let binaries = Path::new(env!("CARGO_BIN_EXE_couchestor")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.current_dir(folder.path()).args(["-e", "-c", script]);
        for name in ["SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command.env("HOME", folder.path()).env("PATH", &path);
        command.output().unwrap()
    };
    let ran = shell(&blocks.concat());
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(said(&ran).contains("nothing wrong found") && said(&ran).contains("kind: StorageClass"));
    // Where keys come from.
    let (sealer, canary) = (Sealer::new(), Canary::new());
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "ops/storage/a.sops.yaml",
        &sealer.yaml(&MAP.replace("{name: a", &format!("{{name: {}", canary.word))),
    );
    write("key", &sealer.key);
    let diff = "cd ops && git add . && git -c user.name=a -c user.email=a@b commit -qm a && git rm -q --cached storage/a.sops.yaml && SOPS_AGE_KEY_FILE=../key git diff HEAD --cached";
    for (script, code, words) in [
        (
            "cd ops/storage && couchestor validate .",
            1,
            "storage/a.sops.yaml:",
        ),
        ("cd ops && couchestor validate storage", 1, "no key opens it"),
        (
            "cd ops && couchestor validate storage --age-key ../key",
            0,
            "nothing wrong found",
        ),
        (
            "cd ops && SOPS_AGE_KEY_FILE=../key couchestor validate storage",
            0,
            "nothing wrong found",
        ),
        (
            "cd ops && SOPS_AGE_KEY=$(cat ../key) couchestor validate storage",
            0,
            "nothing wrong found",
        ),
        (
            "mkdir -p .config/sops/age && cp key .config/sops/age/keys.txt && cd ops && couchestor validate storage",
            0,
            "nothing wrong found",
        ),
        ("couchestor secrets diff ops/storage/tiers.yaml key", 1, "KEY"),
        ("couchestor secrets diff key key", 0, ""),
        ("couchestor validat", 2, "validate"),
        (diff, 0, "-metadata.name: •••"),
    ] {
        let output = shell(script);
        assert_eq!(output.status.code(), Some(code), "{script}: {}", said(&output));
        assert!(said(&output).contains(words), "{script}: {}", said(&output));
        canary.assert_absent(&said(&output));
    }
}

#[test]
fn variables_are_those_of_the_source_that_reads_the_folder_and_those_that_are_given() {
    let tier = "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {name: t}\nspec:\n  rank: ${RANK:-10}\n  poolSelector: {matchLabels: {storage-tier: cold}}\n";
    let source = |rank: &str| {
        format!(
            "apiVersion: storage.billyronks.io/v1\nkind: PolicySource\nmetadata: {{name: home, namespace: couchestor-system}}\nspec:\n  url: https://git.example.org/a.git\n  branch: main\n  path: p\n  postBuild: {{substitute: {{RANK: \"{rank}\", OTHER: x}}}}\n"
        )
    };
    let map = MAP.to_owned() + "data: {k: \"${OTHER:-none}\"}\n";
    let (seven, eight) = (source("7"), source("8"));
    let folder = folder(&[
        ("p/t.yaml", tier),
        ("q/t.yaml", tier),
        ("q/source.yaml", &seven),
        ("r/t.yaml", tier),
        ("r/a.yaml", &seven),
        ("r/b.yaml", &eight.replace("name: home", "name: other")),
        ("elsewhere.yaml", &eight),
        ("none.yaml", MAP),
        ("maps/m.yaml", &map),
    ]);
    for (arguments, code, words) in [
        // Without any variable nothing is put in, as in Flux.
        (
            &["validate", "p"][..],
            1,
            "`rank` needs a whole number, not a text",
        ),
        (
            &["validate", "p", "--substitute", "OTHER=1"],
            0,
            "nothing wrong found",
        ),
        (
            &[
                "render",
                "maps",
                "--substitute",
                "OTHER=five",
                "--substitute",
                "X=1",
            ],
            0,
            "k: five",
        ),
        (&["render", "maps", "--source", "elsewhere.yaml"], 0, "k: x"),
        (
            &[
                "render",
                "maps",
                "--source",
                "elsewhere.yaml",
                "--substitute",
                "OTHER=nine",
            ],
            0,
            "k: nine",
        ),
        (
            &["validate", "p", "--source", "elsewhere.yaml"],
            0,
            "nothing wrong found",
        ),
        (&["validate", "r"], 1, "several PolicySources here have variables"),
        (
            &["validate", "p", "--source", "none.yaml"],
            1,
            "holds 0 PolicySources",
        ),
        (&["validate", "p", "--source", "gone.yaml"], 1, "gone.yaml"),
        (&["validate", "p", "--substitute", "RANK"], 1, "write NAME=VALUE"),
        (
            &["validate", "p", "--substitute", "1=2"],
            1,
            "is no name of a variable",
        ),
    ] {
        let output = run(folder.path(), arguments);
        let told = said(&output);
        assert!(told.contains(words), "{arguments:?}: {told}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    }
    // The one in the folder.
    let told = said(&run(folder.path(), &["validate", "q"]));
    assert!(!told.contains("`rank`"), "{told}");
}

#[test]
fn the_line_of_a_finding_is_shown_wherever_no_secret_stands_in_its_document() {
    let tier = "apiVersion: storage.billyronks.io/v1\nkind: StoragTier\nmetadata: {name: t}\n";
    let canary = Canary::new();
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: y}}\nstringData: {{a: {}}}\n",
        canary.word
    );
    let shown = "2 | kind: StoragTier\n    | ^^^^";
    for (what, text, words) in [
        ("plain", tier.to_owned(), shown),
        ("a mark of the encoding", format!("\u{feff}{tier}"), shown),
        ("returns alone", tier.replace('\n', "\r"), shown),
        ("Windows", tier.replace('\n', "\r\n"), shown),
        ("a Secret behind it", format!("{tier}---\n{secret}"), shown),
        (
            "a Secret before it",
            format!("{secret}---\n{tier}"),
            "7 | kind: StoragTier",
        ),
        (
            "a key in the first line behind a mark",
            "\u{feff}y: 1\n".to_owned(),
            "1 | y: 1\n    | ^",
        ),
    ] {
        let folder = folder(&[("p/a.yaml", &text)]);
        let told = said(&run(folder.path(), &["validate", "p"]));
        assert!(told.contains(words), "{what}: {told}");
        canary.assert_absent(&told);
    }
}

#[test]
fn messages_say_what_was_read_and_each_thing_once() {
    let tier = |rank: &str| {
        format!(
            "apiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {{name: t}}\nspec:\n  rank: {rank}\n  poolSelector: {{matchLabels: {{storage-tier: cold}}}}\n"
        )
    };
    for (files, words) in [
        (
            vec![("p/a.yaml", MAP.to_owned() + "data: {y: a}\n")],
            "YAML reads `y` as true; put it in quotes",
        ),
        (
            vec![("p/a.yaml", MAP.to_owned() + "data: {no: a}\n")],
            "YAML reads `no` as false",
        ),
        (
            vec![("p/a.yaml", MAP.to_owned() + "data: {12: a}\n")],
            "YAML reads `12` as a number",
        ),
        (
            vec![("p/a.yaml", tier("9999999999999999999999"))],
            "needs a whole number, not one as large",
        ),
        (
            vec![("p/a.yaml", tier("1.5"))],
            "needs a whole number, not one with a fraction",
        ),
        (
            vec![("p/a.yaml", tier("\"1\""))],
            "needs a whole number, not a text",
        ),
        (
            vec![
                (
                    "p/kustomization.yaml",
                    "configMapGenerator: [{name: a, files: [d]}]\n".to_owned(),
                ),
                ("p/d/x", "x".to_owned()),
            ],
            "d does not exist",
        ),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let told = said(&run(folder(&files).path(), &["validate", "p"]));
        assert_eq!(told.matches(words).count(), 1, "{words}: {told}");
    }
}
