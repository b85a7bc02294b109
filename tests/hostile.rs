//! Hostile folders end with an error that names the file, soon, in little memory and without a panic: the program itself, from the file
//! on disk to what it prints. The whole corpus, with what each case may take, is in `benches/hostile.rs`, which `cargo test` runs too.

use crate::support::canary::Canary;
use couchestor::formats::overlay;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// Which known mistakes reach us.
mod classes;

/// Seconds of CPU time that a process may take before the system ends it, which are the same on a busy machine. The claim is 50 ms in
/// a release build; this is a debug build.
const CPU_SECONDS: u32 = 10;

/// What a process may map. A debug build's program and libraries are a third of it; the claim is 32 MiB of data in a release build,
/// which `benches/hostile.rs` measures.
const MEMORY_KIB: u32 = 200_000;

/// What stands in `a.yaml`, and what the error says.
fn cases() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let laughs = (1..12).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let last = level - 1;
        format!(
            "{text}a{level}: &a{level} [{}]\n",
            vec![format!("*a{last}"); 10].join(", ")
        )
    });
    vec![
        ("aliases", laughs.into_bytes(), "more than 95000 values"),
        ("flow nesting", "[".repeat(100_000).into_bytes(), "a.yaml"),
        ("block nesting", "- ".repeat(50_000).into_bytes(), "a.yaml"),
        ("alias of itself", b"a: &a [*a]\n".to_vec(), "a.yaml"),
        ("huge scalar", vec![b'x'; 6 << 20], "a.yaml"),
        ("bad UTF-8", b"kind: \xff\xfe\n".to_vec(), "a.yaml"),
        ("duplicate key", b"a: 1\na: 2\n".to_vec(), "duplicate key"),
        (
            "many documents",
            "---\na: 1\n".repeat(20_000).into_bytes(),
            "more than 10000 documents",
        ),
        ("control characters", b"kind: \x1b[31m\n".to_vec(), "a.yaml"),
        (
            "a name that turns the text around",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"a\u{202e}b\"}\n"
                .as_bytes()
                .to_vec(),
            "`a\\u{202e}b` is no name of any kind",
        ),
        (
            "a name that colours the terminal",
            b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"\\e[31ma\\nb\"}\n".to_vec(),
            "is no name of any kind",
        ),
        // Each is told of with its place, and the file is looked through once for all of them.
        (
            "thousands of mistakes",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n"
                .repeat(3000)
                .into_bytes(),
            "is defined twice",
        ),
    ]
}

fn validate(folder: &Path) -> std::process::Output {
    Command::new("sh")
        .args(["-c", "ulimit -v $0; ulimit -t $1; shift; exec \"$@\""])
        .arg(MEMORY_KIB.to_string())
        .arg(CPU_SECONDS.to_string())
        .arg(env!("CARGO_BIN_EXE_couchestor"))
        .arg("validate")
        .arg(folder)
        .env("HOME", folder)
        .output()
        .unwrap()
}

#[test]
fn hostile_files_end_with_an_error() {
    for (name, content, says) in cases() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), content).unwrap();
        let output = validate(folder.path());
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let shown: String = text.chars().take(400).collect();
        assert_eq!(output.status.signal(), None, "{name}: {shown}");
        assert_eq!(output.status.code(), Some(1), "{name}: {shown}");
        assert!(text.contains("error") && text.contains(says), "{name}: {shown}");
        assert!(
            !text.contains("panicked") && !text.contains(['\u{1b}', '\u{202e}']),
            "{name}: {shown}"
        );
    }
}

#[test]
fn what_is_rendered_turns_no_text_around_and_reads_as_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {one: \"x\u{202e}y\\u0085\", two: \"a\\nb\u{2066}c\"}\n";
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    for form in ["yaml", "json"] {
        let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
            .args(["render", "-o", form])
            .arg(folder.path())
            .env("HOME", folder.path())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(!printed.contains(['\u{202e}', '\u{2066}', '\u{85}']), "{printed}");
        assert!(printed.contains("\\u202e"), "{printed}");
        let read = couchestor::formats::yaml::load(&printed).unwrap()[0]
            .to_json()
            .unwrap();
        let object = if read.is_array() { &read[0] } else { &read };
        let data = serde_json::json!({"one": "x\u{202e}y\u{85}", "two": "a\nb\u{2066}c"});
        assert_eq!(object["data"], data, "{printed}");
    }
}

#[test]
fn links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kustomization.yaml"), "resources: [a.yaml]\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("a.yaml")).unwrap();
    let output = validate(folder.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("symbolic links") && !text.contains("root:"),
        "{text}"
    );
}

#[test]
fn errors_about_decrypted_text_carry_none_of_it() {
    let canary = Canary::new();
    let quoted = serde_json::to_string(&canary.secret).unwrap();
    let mut refused = 0;
    for broken in [
        format!("kind: A\na: {quoted}\na: {quoted}\n"),
        format!("kind: A\na: [{quoted}\n"),
        format!("kind: [{quoted}]\n"),
        format!("kind: A\na: !!int {quoted}\n"),
        format!("kind: A\na: !!binary {quoted}\n"),
        format!("kind: A\na: *{}\n", &canary.secret[..23]),
        format!("- {quoted}\n"),
        format!("{quoted}\n"),
    ] {
        if let Err(error) = overlay::read_objects("a.yaml", &broken, true) {
            refused += 1;
            canary.assert_absent(&format!("{error} {error:?}"));
        }
    }
    assert!(refused >= 5, "{refused}");
}
