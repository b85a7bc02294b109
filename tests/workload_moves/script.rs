//! The script that copies, on real directories.

use couchestor::execute::workload_move::objects::SCRIPT;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Output;

fn copies(script: &str, from: &Path, to: &Path) -> Output {
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args(["-c", script, "copy"])
        .args([from, to])
        .output()
        .unwrap()
}

/// A directory with whatever a volume may hold.
fn volume(at: &Path) {
    fs::create_dir_all(at.join("deep er/and deeper")).unwrap();
    fs::create_dir(at.join("empty")).unwrap();
    fs::create_dir(at.join("lost+found")).unwrap();
    fs::write(at.join("one"), "1").unwrap();
    fs::hard_link(at.join("one"), at.join("deep er/same")).unwrap();
    fs::write(at.join("-rf"), "odd").unwrap();
    fs::write(at.join("new\nline"), "odder").unwrap();
    fs::write(at.join(".hidden"), "hidden").unwrap();
    symlink("one", at.join("link")).unwrap();
    symlink("/nowhere/at all", at.join("dangling")).unwrap();
    let sparse = fs::File::create(at.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    fs::write(at.join("run"), "#!/bin/sh").unwrap();
    fs::set_permissions(at.join("run"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::set_permissions(at.join("empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o2770)).unwrap();
}

#[test]
fn everything_is_copied_as_it_is_and_what_was_there_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    volume(&from);
    fs::create_dir_all(to.join("old/older")).unwrap();
    fs::write(to.join("-rf"), "of an earlier copy").unwrap();
    let output = copies(SCRIPT, &from, &to);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("copied and compared "), "{said}");
    assert_eq!(fs::read_to_string(to.join("new\nline")).unwrap(), "odder");
    assert_eq!(fs::read_to_string(to.join("-rf")).unwrap(), "odd");
    assert_eq!(
        fs::read_link(to.join("dangling")).unwrap().to_str(),
        Some("/nowhere/at all")
    );
    let of = |path: &str| fs::symlink_metadata(to.join(path)).unwrap();
    assert_eq!(
        of("one").ino(),
        of("deep er/same").ino(),
        "one file with two names"
    );
    assert_eq!(of("run").mode() & 0o7777, 0o4750);
    assert_eq!(of("empty").mode() & 0o7777, 0o1777);
    assert_eq!(of("").mode() & 0o7777, 0o2770, "the volume's own mode");
    assert!(
        of("sparse").blocks() * 512 < 1 << 20 && of("sparse").len() == 64 << 20,
        "holes stay holes"
    );
    assert!(!to.join("old").exists());
    // Again onto itself: the same.
    assert!(copies(SCRIPT, &from, &to).status.success());
}

#[test]
fn an_extended_attribute_is_kept_or_the_copy_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir_all(&from).unwrap();
    fs::create_dir_all(&to).unwrap();
    fs::write(from.join("file"), "x").unwrap();
    let set = std::process::Command::new("setfattr")
        .args(["-n", "user.kind", "-v", "rare"])
        .arg(from.join("file"))
        .status();
    if !set.is_ok_and(|status| status.success()) {
        crate::support::say(
            "extended attributes of copies were left out: this machine has no setfattr, or no filesystem with them",
        );
        return;
    }
    assert!(copies(SCRIPT, &from, &to).status.success());
    let read = std::process::Command::new("getfattr")
        .args(["--only-values", "-n", "user.kind"])
        .arg(to.join("file"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stdout), "rare");
}

/// What is spoiled between copying and comparing, as a command of the shell.
const SPOILED: [(&str, &str, &str); 7] = [
    ("a byte", "printf 2 >\"$to/one\"", "contents"),
    ("a mode", "chmod 600 \"$to/.hidden\"", "entries"),
    ("a name", "mv \"$to/one\" \"$to/two\"", "entries"),
    ("a second name", "ln \"$to/.hidden\" \"$to/again\"", "entries"),
    (
        "a broken second name",
        "rm \"$to/one\"; cp \"$to/deep er/same\" \"$to/one\"",
        "entries",
    ),
    ("a link", "ln -sfn elsewhere \"$to/link\"", "entries"),
    ("something missing", "rm -r \"$to/deep er/and deeper\"", "entries"),
];

#[test]
fn whatever_differs_is_found() {
    for (what, spoil, part) in SPOILED {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        volume(&from);
        fs::create_dir_all(&to).unwrap();
        let script = SCRIPT.replace("\nsync\n", &format!("\n{spoil}\n"));
        assert_ne!(script, SCRIPT);
        let output = copies(&script, &from, &to);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(said.contains(&format!("its {part} differ")), "{what}: {said}");
    }
}

#[test]
fn what_cannot_be_read_or_written_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    volume(&from);
    assert!(
        !copies(SCRIPT, &from, &to).status.success(),
        "there is no volume to write to"
    );
    fs::create_dir_all(&to).unwrap();
    assert!(
        !copies(SCRIPT, &folder.path().join("nothing"), &to)
            .status
            .success()
    );
}
