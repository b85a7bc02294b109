//! Commits and tags signed by the real `git` with `ssh-keygen` and `gpg`: the ones that hold are believed, and nothing else.

use crate::support::say;
use couchestor::formats::signature::{Signable, Signers};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Keys that may not sign, and weak digests.
mod refused;

/// A folder with a repository, keys of both kinds and nothing of the user's own configuration.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        bench.git(&["init", "-q", "-b", "main", "repository"], &[]);
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env("HOME", self.folder.path())
            .env("GNUPGHOME", self.folder.path().join("gnupg"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Anna")
            .env("GIT_AUTHOR_EMAIL", "anna@example.org")
            .env("GIT_COMMITTER_NAME", "Anna")
            .env("GIT_COMMITTER_EMAIL", "anna@example.org");
        command
    }

    fn run(command: &mut Command) -> Vec<u8> {
        let output = command.output().unwrap_or_else(|error| {
            panic!("{command:?} did not start ({error}): these tests need git, openssh-client and gnupg")
        });
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    pub fn git(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let repository = self.path("repository");
        let folder = if repository.exists() {
            repository
        } else {
            self.folder.path().to_owned()
        };
        let mut command = self.command("git", &folder);
        command.args(arguments).envs(environment.iter().copied());
        String::from_utf8(Self::run(&mut command))
            .expect("git speaks UTF-8")
            .trim()
            .to_owned()
    }

    /// The raw object that a name stands for.
    pub fn object(&self, kind: &str, name: &str) -> Vec<u8> {
        let mut command = self.command("git", &self.path("repository"));
        command.args(["cat-file", kind, name]);
        Self::run(&mut command)
    }

    /// Makes an SSH key; gives the text of its public half.
    pub fn ssh_key(&self, name: &str, options: &[&str]) -> String {
        let mut command = self.command("ssh-keygen", self.folder.path());
        command
            .args(["-q", "-N", "", "-C", name, "-f", name])
            .args(options);
        Self::run(&mut command);
        std::fs::read_to_string(self.path(&format!("{name}.pub"))).expect("ssh-keygen wrote it")
    }

    /// Makes an OpenPGP key; gives its armored public half.
    pub fn gpg_key(&self, user: &str, options: &[&str]) -> String {
        let home = self.path("gnupg");
        if !home.exists() {
            std::fs::create_dir(&home).expect("a folder");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(&home, mode).expect("our own folder");
        }
        let mut command = self.command("gpg", self.folder.path());
        command
            .args([
                "--batch",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
                "--quick-generate-key",
                user,
            ])
            .args(options);
        Self::run(&mut command);
        self.gpg_export(user)
    }

    fn gpg(&self, arguments: &[&str]) -> String {
        let mut command = self.command("gpg", self.folder.path());
        command
            .args([
                "--batch",
                "--quiet",
                "--yes",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
            ])
            .args(arguments);
        String::from_utf8(Self::run(&mut command)).expect("gpg speaks UTF-8")
    }

    fn gpg_export(&self, user: &str) -> String {
        self.gpg(&["--armor", "--export", user])
    }

    /// Commits with a signature and gives the raw commit.
    pub fn commit(&self, format: &str, key: &str, date: &str) -> Vec<u8> {
        self.git(
            &[
                "-c",
                &format!("gpg.format={format}"),
                "-c",
                &format!("user.signingkey={key}"),
                "commit",
                "-q",
                "-S",
                "--allow-empty",
                "-m",
                "Set the watermark\n\nBecause it was wrong.",
            ],
            &[("GIT_COMMITTER_DATE", date), ("GIT_AUTHOR_DATE", date)],
        );
        self.object("commit", "HEAD")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // gpg leaves an agent behind, which ends with its home; asking it is quicker.
        let _ = self
            .command("gpgconf", self.folder.path())
            .args(["--kill", "gpg-agent"])
            .output();
    }
}

pub const DATE: &str = "2026-03-01T12:00:00Z";

fn signers(files: &[(&str, &str)]) -> Signers {
    Signers::parse(files.iter().copied()).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(signers: &Signers, object: &[u8], kind: Signable) -> String {
    match signers.verify(object, kind) {
        Ok(signed) => panic!("believed: {signed:?}"),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn commits_and_tags_signed_with_every_kind_of_ssh_key_are_believed() {
    let bench = Bench::new();
    let mut kinds = 0;
    for (name, options) in [
        ("ed25519", vec!["-t", "ed25519"]),
        ("rsa", vec!["-t", "rsa", "-b", "2048"]),
        ("p256", vec!["-t", "ecdsa", "-b", "256"]),
        ("p384", vec!["-t", "ecdsa", "-b", "384"]),
        ("p521", vec!["-t", "ecdsa", "-b", "521"]),
    ] {
        let public = bench.ssh_key(name, &options);
        let file = format!("{name}.sshpub");
        let ours = signers(&[(&file, &public), ("readme.txt", "not a key")]);
        let private = bench.path(name).display().to_string();
        let commit = bench.commit("ssh", &private, DATE);
        let signed = ours
            .verify(&commit, Signable::Commit)
            .unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let print = String::from_utf8(Bench::run(
            bench
                .command("ssh-keygen", bench.folder.path())
                .args(["-l", "-f", name]),
        ))
        .expect("ssh-keygen speaks UTF-8");
        assert!(print.contains(&signed.key), "{print} {signed:?}");
        assert_eq!(signed.file, file);
        let tag = format!("v-{name}");
        bench.git(
            &[
                "-c",
                "gpg.format=ssh",
                "-c",
                &format!("user.signingkey={private}"),
                "tag",
                "-s",
                "-m",
                "Release",
                &tag,
            ],
            &[("GIT_COMMITTER_DATE", DATE)],
        );
        let object = bench.object("tag", &tag);
        assert!(ours.verify(&object, Signable::Tag).is_ok(), "{name}");
        // A tag's signature vouches for no commit, and the other way round.
        assert!(ours.verify(&object, Signable::Commit).is_err());
        assert!(ours.verify(&commit, Signable::Tag).is_err());
        kinds += 1;
    }
    say(&format!(
        "signatures: a commit and a tag by each of {kinds} kinds of ssh keys believed"
    ));
}

#[test]
fn a_changed_byte_a_strange_key_and_another_purpose_are_refused() {
    let bench = Bench::new();
    let public = bench.ssh_key("anna", &["-t", "ed25519"]);
    let other = bench.ssh_key("eve", &["-t", "ed25519"]);
    let commit = bench.commit("ssh", &bench.path("anna").display().to_string(), DATE);
    let ours = signers(&[("anna.sshpub", &public)]);
    assert!(ours.verify(&commit, Signable::Commit).is_ok());
    // Every byte that was signed counts. The armor around the signature has a few that say nothing (its version is one); a
    // change there leaves what was signed as it was.
    let header = commit
        .windows(7)
        .position(|bytes| bytes == b"gpgsig ")
        .expect("it is signed");
    let end = header
        + commit[header..]
            .windows(2)
            .position(|bytes| bytes == b"\n\n")
            .expect("a message follows");
    let inside = header + "gpgsig -----BEGIN SSH SIGNATURE-----".len()..end;
    let counted = (0..commit.len()).filter(|at| !inside.contains(at));
    let mut changes = 0;
    for at in counted {
        let mut changed = commit.clone();
        changed[at] ^= 1;
        assert!(
            ours.verify(&changed, Signable::Commit).is_err(),
            "byte {at} does not count"
        );
        changes += 1;
    }
    let unknown = refusal(&signers(&[("eve.sshpub", &other)]), &commit, Signable::Commit);
    assert!(
        unknown.contains("SHA256:") && unknown.contains("none of the keys"),
        "{unknown}"
    );
    bench.git(&["commit", "-q", "--allow-empty", "-m", "unsigned"], &[]);
    let unsigned = refusal(&ours, &bench.object("commit", "HEAD"), Signable::Commit);
    assert!(unsigned.contains("not signed"), "{unsigned}");

    // The same key signs a file: that is no commit, whatever the file says.
    let text = String::from_utf8(bench.object("commit", "HEAD")).expect("a commit is text here");
    std::fs::write(bench.path("payload"), &text).expect("our folder");
    Bench::run(
        bench
            .command("ssh-keygen", bench.folder.path())
            .args(["-Y", "sign", "-q", "-n", "file", "-f", "anna", "payload"]),
    );
    let signature = std::fs::read_to_string(bench.path("payload.sig")).expect("ssh-keygen wrote it");
    let header = format!("gpgsig {}\n\n", signature.trim_end().replace('\n', "\n "));
    let forged = text.replacen("\n\n", &format!("\n{header}"), 1);
    let foreign = refusal(&ours, forged.as_bytes(), Signable::Commit);
    assert!(foreign.contains("does not hold"), "{foreign}");
    say(&format!("signatures: {changes} changed bytes refused"));
}

#[test]
fn an_ssh_key_counts_only_inside_of_its_window() {
    let bench = Bench::new();
    let public = bench.ssh_key("anna", &["-t", "ed25519"]);
    let commit = bench.commit("ssh", &bench.path("anna").display().to_string(), DATE);
    let mut windows = 0;
    for (options, expected) in [
        ("valid-after=\"20260301\"", None),
        ("valid-after=\"20260301120000Z\"", None),
        ("valid-before=\"20260301120001Z\"", None),
        ("valid-after=\"20260301120001Z\"", Some("valid only after")),
        ("valid-before=\"20260301120000Z\"", Some("valid only before")),
        ("valid-before=\"20260301\"", Some("valid only before")),
        ("valid-after=\"20250101\",valid-before=\"20270101\"", None),
    ] {
        let ours = signers(&[("team.sshpub", &format!("anna@example.org {options} {public}"))]);
        windows += 1;
        match expected {
            None => assert!(ours.verify(&commit, Signable::Commit).is_ok(), "{options}"),
            Some(text) => {
                let why = refusal(&ours, &commit, Signable::Commit);
                assert!(why.contains(text), "{options}: {why}");
            }
        }
    }
    // One window that fits is enough.
    let two = format!("anna valid-before=\"20200101\" {public}anna valid-after=\"20260101\" {public}");
    assert!(
        signers(&[("team.sshpub", &two)])
            .verify(&commit, Signable::Commit)
            .is_ok()
    );
    say(&format!("signatures: {windows} windows of validity"));
}

#[test]
fn commits_and_tags_signed_with_openpgp_keys_are_believed() {
    let bench = Bench::new();
    let mut kinds = 0;
    for (user, options) in [
        ("eddsa@example.org", ["ed25519", "sign", "never"]),
        ("rsa@example.org", ["rsa2048", "sign", "never"]),
        ("nist@example.org", ["nistp256", "sign", "never"]),
        ("sub@example.org", ["ed25519", "cert", "never"]),
    ] {
        let mut public = bench.gpg_key(user, &options);
        if options[1] == "cert" {
            // The usual way: the primary key certifies only, a subkey signs.
            let listing = bench.gpg(&["--with-colons", "--list-keys", user]);
            let fingerprint = listing
                .lines()
                .find_map(|line| line.strip_prefix("fpr:"))
                .and_then(|rest| rest.split(':').find(|part| !part.is_empty()))
                .expect("gpg lists it");
            bench.gpg(&["--quick-add-key", fingerprint, "ed25519", "sign", "never"]);
            public = bench.gpg_export(user);
        }
        let ours = signers(&[("all.asc", &public)]);
        let commit = bench.commit("openpgp", user, DATE);
        let signed = ours
            .verify(&commit, Signable::Commit)
            .unwrap_or_else(|refusal| panic!("{user}: {refusal}"));
        let known = bench.gpg(&["--with-colons", "--with-subkey-fingerprint", "--list-keys", user]);
        assert!(known.contains(&signed.key), "{known} {signed:?}");
        bench.git(
            &[
                "-c",
                &format!("user.signingkey={user}"),
                "tag",
                "-s",
                "-m",
                "Release",
                &format!("v-{user}"),
            ],
            &[("GIT_COMMITTER_DATE", DATE)],
        );
        assert!(
            ours.verify(&bench.object("tag", &format!("v-{user}")), Signable::Tag)
                .is_ok(),
            "{user}"
        );
        let mut changed = commit.clone();
        *changed.last_mut().expect("a commit has bytes") ^= 1;
        let why = refusal(&ours, &changed, Signable::Commit);
        assert!(why.contains("does not hold"), "{why}");
        kinds += 1;
    }
    let both = [
        bench.gpg_export("eddsa@example.org"),
        bench.gpg_export("rsa@example.org"),
    ]
    .concat();
    let commit = bench.commit("openpgp", "rsa@example.org", DATE);
    assert!(
        signers(&[("both.asc", &both)])
            .verify(&commit, Signable::Commit)
            .is_ok(),
        "two blocks in one file"
    );
    let unknown = refusal(
        &signers(&[("a.asc", &bench.gpg_export("eddsa@example.org"))]),
        &commit,
        Signable::Commit,
    );
    assert!(unknown.contains("none of the keys"), "{unknown}");
    say(&format!(
        "signatures: a commit and a tag by each of {kinds} kinds of OpenPGP keys believed"
    ));
}

#[test]
fn openpgp_keys_that_are_revoked_or_expired_are_refused() {
    let bench = Bench::new();
    bench.gpg_key("old@example.org", &["ed25519", "sign", "never"]);
    let commit = bench.commit("openpgp", "old@example.org", DATE);
    let before = signers(&[("old.asc", &bench.gpg_export("old@example.org"))]);
    assert!(before.verify(&commit, Signable::Commit).is_ok());
    let listing = bench.gpg(&["--with-colons", "--list-keys", "old@example.org"]);
    let fingerprint = listing
        .lines()
        .find_map(|line| line.strip_prefix("fpr:"))
        .and_then(|rest| rest.split(':').find(|part| !part.is_empty()))
        .expect("gpg lists it");
    let revocation =
        std::fs::read_to_string(bench.path(&format!("gnupg/openpgp-revocs.d/{fingerprint}.rev")))
            .expect("gpg makes one with each key");
    // gpg puts a colon before the block, so that nobody imports it by accident.
    std::fs::write(
        bench.path("revocation"),
        revocation.replace(":-----BEGIN", "-----BEGIN"),
    )
    .expect("our folder");
    bench.gpg(&["--import", &bench.path("revocation").display().to_string()]);
    let revoked = signers(&[("old.asc", &bench.gpg_export("old@example.org"))]);
    let why = refusal(&revoked, &commit, Signable::Commit);
    assert!(why.contains("revoked"), "{why}");

    // An expired key: its certificate says that it lived for two seconds, and the signature is younger.
    bench.gpg_key("brief@example.org", &["ed25519", "sign", "never"]);
    std::thread::sleep(std::time::Duration::from_millis(4100));
    let commit = bench.commit("openpgp", "brief@example.org", DATE);
    let listing = bench.gpg(&["--with-colons", "--list-keys", "brief@example.org"]);
    let fingerprint = listing
        .lines()
        .find_map(|line| line.strip_prefix("fpr:"))
        .and_then(|rest| rest.split(':').find(|part| !part.is_empty()))
        .expect("gpg lists it");
    let born: i64 = listing
        .lines()
        .find(|line| line.starts_with("pub:"))
        .and_then(|line| line.split(':').nth(5)?.parse().ok())
        .expect("gpg lists its birth");
    // gpg refuses a life that has ended already; its clock is turned back to say so.
    bench.gpg(&[
        "--faked-system-time",
        &format!("{}!", born + 1),
        "--quick-set-expire",
        fingerprint,
        "seconds=1",
    ]);
    let expired = signers(&[("brief.asc", &bench.gpg_export("brief@example.org"))]);
    let why = refusal(&expired, &commit, Signable::Commit);
    assert!(why.contains("valid only before"), "{why}");
}
