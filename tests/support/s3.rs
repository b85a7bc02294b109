//! A real S3 server on loopback, with one bucket that is a folder.

use super::{ready, servers};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ready takes a hundredth of a second on an idle machine.
const READY_MAX: Duration = Duration::from_secs(60);

/// A running server; it ends with its owner, and with this process.
pub struct S3 {
    port: u16,
    keys: (String, String),
    folder: tempfile::TempDir,
    /// A shell that holds the other end of a pipe; none while the server is gone.
    watchdog: Option<Child>,
}

impl S3 {
    /// Starts one that takes this access key and its secret, with this bucket.
    pub fn start(access: &str, secret: &str, bucket: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("couchestor-s3-")
            .tempdir()
            .unwrap();
        std::fs::create_dir_all(folder.path().join("buckets").join(bucket)).unwrap();
        let mut server = Self {
            port: super::cluster::free_port(),
            keys: (access.to_owned(), secret.to_owned()),
            folder,
            watchdog: None,
        };
        server.come_back();
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The text that Velero's plugin takes as credentials.
    pub fn credentials(&self) -> String {
        let (access, secret) = &self.keys;
        format!("[default]\naws_access_key_id={access}\naws_secret_access_key={secret}\n")
    }

    /// Ends the server; its objects stay.
    pub fn go(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            let _ = watchdog.wait();
        }
    }

    /// Starts it again, at the same address and with the same objects.
    pub fn come_back(&mut self) {
        let script = format!(
            "trap '' INT\n'{binary}' --host 127.0.0.1 --port {port} --access-key '{access}' --secret-key '{secret}' '{root}' \
             > '{log}' 2>&1 &\ns=$!\nread x\nkill -9 $s\nwait $s 2> /dev/null\n",
            binary = servers::s3s_fs().display(),
            port = self.port,
            access = self.keys.0,
            secret = self.keys.1,
            root = self.root().display(),
            log = self.folder.path().join("log").display(),
        );
        let mut watchdog = Command::new("sh");
        self.watchdog = Some(
            watchdog
                .arg("-c")
                .arg(script)
                .stdin(Stdio::piped())
                .spawn()
                .expect("sh is there"),
        );
        // Who asks for nothing in particular is answered with an error, so a connection has to do.
        ready::wait(
            "s3s-fs",
            READY_MAX,
            || TcpStream::connect(("127.0.0.1", self.port)).is_ok(),
            || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default(),
        );
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("buckets")
    }

    /// Adds a bucket.
    pub fn bucket(&self, name: &str) {
        std::fs::create_dir_all(self.root().join(name)).unwrap();
    }

    /// Puts an object into a bucket, behind everybody's back.
    pub fn put(&self, bucket: &str, key: &str, content: &str) {
        let file = self.root().join(bucket).join(key);
        std::fs::create_dir_all(file.parent().expect("a key has a bucket")).unwrap();
        std::fs::write(file, content).unwrap();
    }

    /// The keys of a bucket's objects below a prefix, sorted.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(root, &path, found);
                } else if let Ok(key) = path.strip_prefix(root) {
                    found.push(key.to_string_lossy().into_owned());
                }
            }
        }
        let root = self.root().join(bucket);
        let mut found = Vec::new();
        walk(&root, &root, &mut found);
        found.retain(|key| key.starts_with(prefix));
        found.sort();
        found
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.go();
    }
}
