//! Programs that end with whoever started them.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A program in a process group of its own and a folder of its own; it ends with its owner, and with this process.
pub struct Watched {
    folder: tempfile::TempDir,
    watchdog: Child,
}

impl Watched {
    /// Starts it; `prepare` may set what it finds in its environment and its folder.
    pub fn start(command: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("couchestor-server-")
            .tempdir()
            .unwrap();
        std::fs::create_dir_all(folder.path().join("tmp")).unwrap();
        // The group, because plugins would outlive what started them.
        let script = format!(
            "trap '' INT\nsetsid {command} > log 2>&1 &\np=$!\nread -r nothing\nkill -9 \"-$p\"\nwait 2> /dev/null\n"
        );
        let mut shell = Command::new("sh");
        // Velero keeps the credentials of locations below its TMPDIR, by namespace, and Flux what it builds.
        shell
            .args(["-c", &script])
            .current_dir(folder.path())
            .env("HOME", folder.path());
        shell
            .env("TMPDIR", folder.path().join("tmp"))
            .stdin(Stdio::piped());
        prepare(&mut shell);
        let watchdog = shell.spawn().expect("sh is there");
        Self { folder, watchdog }
    }

    /// The end of its log, newest line first.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().rev().take(400).collect::<Vec<_>>().join("\n")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it; a second time there is nothing to kill.
    pub fn kill(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.kill();
    }
}
