//! A home of the real gpg with its keys, whose agent is asked to end with it.

use std::path::PathBuf;
use std::process::Command;

pub struct Gpg {
    pub home: PathBuf,
    phrase: &'static str,
}

impl Gpg {
    /// A new home, all of whose keys have this passphrase. gpg's socket needs a short path.
    pub fn new(home: PathBuf, phrase: &'static str) -> Self {
        std::fs::create_dir(&home).expect("a folder");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&home, mode).expect("our own folder");
        Self { home, phrase }
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("gpg")
            .env("GNUPGHOME", &self.home)
            .args(["--batch", "--quiet", "--pinentry-mode", "loopback"])
            .args(["--passphrase", self.phrase])
            .args(arguments)
            .output()
            .expect("this test needs gnupg");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("gpg speaks UTF-8")
    }

    /// Makes a key that does not end.
    pub fn make(&self, who: &str, algorithm: &str, usage: &str) {
        self.run(&["--quick-generate-key", who, algorithm, usage, "never"]);
    }

    /// The fingerprint of a key.
    pub fn fingerprint(&self, who: &str) -> String {
        let listing = self.run(&["--with-colons", "--list-keys", who]);
        let line = listing.lines().find_map(|line| line.strip_prefix("fpr:"));
        let mut parts = line.expect("gpg lists it").split(':');
        parts
            .find(|part| !part.is_empty())
            .expect("gpg lists it")
            .to_owned()
    }

    /// The armored public half of a key.
    pub fn public(&self, who: &str) -> String {
        self.run(&["--armor", "--export", who])
    }

    /// The armored private half of a key.
    pub fn secret(&self, who: &str) -> String {
        self.run(&["--armor", "--export-secret-keys", who])
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .env("GNUPGHOME", &self.home)
            .args(["--kill", "gpg-agent"])
            .output();
    }
}
