//! The rules of the house, held by reading the source: who may import whom, what pure code may name, how files open.

use std::path::{Path, PathBuf};

const STAGES: [&str; 11] = [
    "fetch", "decrypt", "parse", "observe", "decide", "render", "review", "apply", "propose", "execute",
    "record",
];

/// Files that may name every stage: the line, and the edge.
const EVERYWHERE: [&str; 5] = ["turn.rs", "turn/", "wiring/", "lib.rs", "cli/"];

const PURE: [&str; 14] = [
    "backtest/",
    "model/",
    "parse/",
    "decide/",
    "render/",
    "review.rs",
    "review/",
    "formats/",
    "execute/journal/",
    "execute/drill/",
    "execute/restore/",
    "execute/safety.rs",
    "ha/elector.rs",
    "execute/steering.rs",
];

/// Words that pure code does not use, and why.
const IMPURE: [(&str, &str); 7] = [
    ("async fn", "pure code waits for nothing"),
    ("tokio::", "pure code waits for nothing"),
    ("tracing::", "a report is the log of pure code"),
    ("std::env", "the environment is read at the edge"),
    ("std::fs", "files are read at the edge"),
    ("clock::now", "time is an argument"),
    ("crate::io::", "clients live in io, and pure code has none"),
];

/// Client crates and the only places that may name them.
const CLIENTS: [(&str, &[&str]); 9] = [
    ("russh::", &["io/git/ssh.rs"]),
    ("jsonwebtoken::", &["io/git/github_app.rs"]),
    (
        "pgp::",
        &["formats/signature/openpgp.rs", "formats/sops/openpgp.rs"],
    ),
    ("git2::", &["io/git/", "sim/forge/"]),
    ("kube::", &["io/cluster/", "model/kinds/", "sim/kubernetes/"]),
    (
        "reqwest::",
        &[
            "io/git/",
            "io/forge/",
            "io/mayastor/",
            "io/prometheus.rs",
            "sim/kubernetes/",
            "sim/mayastor/tests/",
        ],
    ),
    ("axum::", &["sim/", "cli/run.rs", "io/webhook.rs"]),
    (
        "prometheus_client::",
        &["telemetry/metrics.rs", "telemetry/backups.rs"],
    ),
    ("granit_parser::", &["formats/yaml/"]),
];

/// Longer files want a second room. Those that are longer today are named, so that none is added in silence.
const LINES_MAX: usize = 500;
const LONGER: [&str; 1] = ["io/git/mod.rs"];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// A line of code without its comment; tests may do as they like.
fn code(text: &str) -> Vec<(usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
        .collect()
}

fn is_test(name: &str) -> bool {
    name.ends_with("tests.rs") || name.ends_with("fake.rs") || name.contains("/tests/")
}

fn stage_of(name: &str) -> Option<&'static str> {
    STAGES
        .into_iter()
        .find(|stage| name == format!("{stage}.rs") || name.starts_with(&format!("{stage}/")))
}

#[test]
fn every_file_opens_with_a_sentence() {
    for (name, text) in sources() {
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//! ") && first.len() > 20,
            "{name} opens with {first:?}"
        );
    }
}

#[test]
fn stages_meet_only_in_the_line() {
    for (name, text) in sources() {
        let Some(own) = stage_of(&name).filter(|_| !is_test(&name)) else {
            continue;
        };
        for (line, code) in code(&text) {
            assert!(
                !code.contains("use crate::{"),
                "{name}:{line}: name each import by its full path"
            );
            for stage in STAGES.into_iter().filter(|stage| *stage != own) {
                assert!(
                    !code.contains(&format!("crate::{stage}::")),
                    "{name}:{line}: stage {own} imports stage {stage}"
                );
            }
        }
    }
}

#[test]
fn houses_below_the_line_import_no_stage() {
    for (name, text) in sources() {
        let below = ["ha/", "io/", "sim/", "formats/", "model/"]
            .iter()
            .any(|house| name.starts_with(house));
        if !below || EVERYWHERE.iter().any(|free| name.starts_with(free)) {
            continue;
        }
        for (line, code) in code(&text) {
            for stage in STAGES {
                assert!(
                    !code.contains(&format!("crate::{stage}::")),
                    "{name}:{line}: imports stage {stage}"
                );
            }
            if name.starts_with("model/") {
                assert!(
                    !code.contains("crate::formats") && !code.contains("crate::io"),
                    "{name}:{line}: nouns import nothing"
                );
            }
        }
    }
}

#[test]
fn pure_code_names_nothing_that_acts() {
    for (name, text) in sources() {
        // The Live record that a pruning verdict reads is data, though io defines it.
        if is_test(&name) || !PURE.iter().any(|pure| name.starts_with(pure)) {
            continue;
        }
        for (line, code) in code(&text) {
            for (word, because) in IMPURE {
                assert!(!code.contains(word), "{name}:{line}: `{word}`: {because}");
            }
        }
    }
}

#[test]
fn each_client_is_named_in_one_place() {
    for (name, text) in sources() {
        for (line, code) in code(&text) {
            for (client, places) in CLIENTS {
                let boundary = code.find(client).is_some_and(|at| {
                    !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
                });
                let allowed = places.iter().any(|place| name.starts_with(place));
                assert!(
                    !boundary || allowed,
                    "{name}:{line}: {client} belongs into {places:?}"
                );
            }
        }
    }
}

#[test]
fn files_stay_short_or_are_named_here() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(
            lines <= LINES_MAX || LONGER.contains(&name.as_str()),
            "{name} has {lines} lines"
        );
    }
}

/// Help is to be read where there is no other network; what a user fills in with his own server is no link.
#[test]
fn no_diagnostic_sends_anybody_outside() {
    const READERS: [&str; 4] = ["formats/", "parse", "decrypt.rs", "model/"];
    let mut templates = 0;
    for (name, text) in sources() {
        if is_test(&name) || !READERS.iter().any(|reader| name.starts_with(reader)) {
            continue;
        }
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        let lines = text[..end].lines().map(str::trim).enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.starts_with("//")) {
            for (at, scheme) in line.match_indices("://") {
                let before = &line[..at];
                let host = &line[at + scheme.len()..];
                let is_link = before.ends_with("http") || before.ends_with("https");
                let own = ["VAULT/", "HOST:"].iter().any(|own| host.starts_with(own));
                templates += usize::from(own);
                let names_host = host.starts_with(|first: char| first.is_ascii_alphanumeric());
                assert!(
                    !is_link || own || !names_host,
                    "{name}:{}: a link to https://{host}",
                    index + 1
                );
            }
        }
    }
    assert_eq!(templates, 2, "the addresses of the user's own vaults");
}
