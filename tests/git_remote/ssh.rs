//! Git over ssh, against OpenSSH's own server on loopback.

use super::{TIMEOUT, bare, push, secret};
use crate::support::canary::Canary;
use crate::support::cluster::free_port;
use crate::support::say;
use base64::prelude::{BASE64_STANDARD, Engine};
use couchestor::io::git::{Credentials, GitError, Lease, Repository};
use couchestor::model::failure::Failure;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Identities that may log in.
const KEYS: [&str; 8] = [
    "anna",
    "phrase",
    "rsa",
    "flux",
    "ecdsa",
    "ecdsa_pem",
    "rsa_pem",
    "rsa_pkcs8",
];

/// A server with host keys of three kinds and some keys that may log in.
pub(super) struct Server {
    pub(super) folder: tempfile::TempDir,
    child: Child,
    pub(super) port: u16,
}

fn keygen(folder: &Path, name: &str, options: &[&str]) {
    let status = Command::new("ssh-keygen")
        .current_dir(folder)
        .args(["-q", "-C", "", "-f", name])
        .args(options)
        .status()
        .expect("this test needs openssh-client");
    assert!(status.success());
}

impl Server {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        keygen(folder.path(), "host_ed25519", &["-t", "ed25519", "-N", ""]);
        keygen(folder.path(), "host_rsa", &["-t", "rsa", "-N", ""]);
        keygen(
            folder.path(),
            "host_ecdsa",
            &["-t", "ecdsa", "-b", "256", "-N", ""],
        );
        keygen(folder.path(), "anna", &["-t", "ed25519", "-N", ""]);
        // What `flux create secret git` makes unless it is told otherwise: ECDSA, P-384, PKCS#8.
        let flux = ["-t", "ecdsa", "-b", "384", "-m", "PKCS8", "-N", ""];
        keygen(folder.path(), "flux", &flux);
        keygen(folder.path(), "ecdsa", &["-t", "ecdsa", "-b", "521", "-N", ""]);
        keygen(
            folder.path(),
            "ecdsa_pem",
            &["-t", "ecdsa", "-m", "PEM", "-N", ""],
        );
        keygen(folder.path(), "rsa_pem", &["-t", "rsa", "-m", "PEM", "-N", ""]);
        keygen(
            folder.path(),
            "rsa_pkcs8",
            &["-t", "rsa", "-m", "PKCS8", "-N", ""],
        );
        keygen(folder.path(), "phrase", &["-t", "ed25519", "-N", "open sesame"]);
        keygen(folder.path(), "rsa", &["-t", "rsa", "-N", ""]);
        keygen(folder.path(), "eve", &["-t", "ed25519", "-N", ""]);
        keygen(folder.path(), "authority", &["-t", "ed25519", "-N", ""]);
        let certified = Command::new("ssh-keygen")
            .current_dir(folder.path())
            .args([
                "-q",
                "-s",
                "authority",
                "-I",
                "host",
                "-h",
                "-n",
                "127.0.0.1",
                "host_ed25519.pub",
            ])
            .status();
        assert!(certified.unwrap().success());
        let keys: String = KEYS
            .iter()
            .map(|name| std::fs::read_to_string(path(&format!("{name}.pub"))).unwrap())
            .collect();
        std::fs::write(path("authorized_keys"), keys).unwrap();
        let port = free_port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nHostKey {}\nHostKey {}\nHostCertificate {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nLogLevel VERBOSE\nMaxAuthTries 2\n",
            path("host_ed25519").display(),
            path("host_rsa").display(),
            path("host_ecdsa").display(),
            path("host_ed25519-cert.pub").display(),
            path("authorized_keys").display()
        );
        std::fs::write(path("sshd_config"), config).unwrap();
        let log = std::fs::File::create(path("log")).unwrap();
        let program = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .expect("this test needs OpenSSH's server: install openssh-server");
        // sshd run by root wants a folder to shut itself into.
        let _ = std::fs::create_dir_all("/run/sshd");
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(path("sshd_config"))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(path("log")).unwrap_or_default();
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "sshd did not start: {log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { folder, child, port }
    }

    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// A line of `known_hosts` for a host key.
    pub(super) fn known(&self, key: &str) -> String {
        let public = self.read(&format!("{key}.pub"));
        let mut fields = public.split_whitespace();
        format!(
            "[127.0.0.1]:{} {} {}\n",
            self.port,
            fields.next().unwrap(),
            fields.next().unwrap()
        )
    }

    pub(super) fn url(&self, repository: &Path) -> String {
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let output = Command::new("id").arg("-un").output();
        let user = output.map_or(user, |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        });
        format!("ssh://{user}@127.0.0.1:{}{}", self.port, repository.display())
    }

    fn open(&self, url: &str, clone: &str, pairs: &[(&str, &str)]) -> Result<Repository, GitError> {
        let credentials = Credentials::from_secret(&secret(pairs), url)?;
        Repository::new(
            url,
            &self.folder.path().join("clones").join(clone),
            credentials,
            TIMEOUT,
            false,
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_keys_open_what_they_should_and_each_is_offered_once() {
    let server = Server::start();
    let (_, tip) = bare(server.folder.path()).await;
    let url = server.url(&server.folder.path().join("repository.git"));
    let known = server.known("host_ed25519");
    let phrase = ("password", "open sesame");
    for (name, begins) in [
        ("flux", "-----BEGIN PRIVATE KEY-----"),
        ("ecdsa", "-----BEGIN OPENSSH PRIVATE KEY-----"),
        ("ecdsa_pem", "-----BEGIN EC PRIVATE KEY-----"),
        ("rsa_pem", "-----BEGIN RSA PRIVATE KEY-----"),
        ("rsa_pkcs8", "-----BEGIN PRIVATE KEY-----"),
    ] {
        assert!(server.read(name).starts_with(begins), "{name}");
    }
    for name in KEYS {
        let more = (name == "phrase").then_some(phrase);
        let identity = server.read(name);
        let mut pairs = vec![("identity", identity.as_str()), ("known_hosts", known.as_str())];
        pairs.extend(more);
        let repository = server.open(&url, name, &pairs).unwrap();
        assert_eq!(
            repository.fetch("main").await.unwrap().branches["main"],
            tip,
            "{name}"
        );
    }
    let anna = server.read("anna");
    let repository = server
        .open(&url, "anna", &[("identity", &anna), ("known_hosts", &known)])
        .unwrap();
    let next = push(&repository, "couchestor/x", Lease::Absent, Some(tip), "pushed")
        .await
        .unwrap();
    assert_eq!(
        repository.fetch("main").await.unwrap().branches["couchestor/x"],
        next
    );

    let before = server.read("log").matches("Failed publickey").count();
    let eve = server.read("eve");
    let stranger = server
        .open(&url, "eve", &[("identity", &eve), ("known_hosts", &known)])
        .unwrap();
    let error = stranger.fetch("main").await.unwrap_err();
    assert_eq!(error.reason(), "AuthenticationFailed", "{error}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let offered = server.read("log").matches("Failed publickey").count() - before;
    assert_eq!(offered, 1, "the key was offered {offered} times");
    let missing = server.url(&server.folder.path().join("nothing.git"));
    let error = server
        .open(
            &missing,
            "nothing",
            &[("identity", &anna), ("known_hosts", &known)],
        )
        .unwrap()
        .fetch("main")
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("does not appear to be a git repository"),
        "{error}"
    );
    say(&format!(
        "git over ssh: {} kinds of identities let in by sshd, a strange one offered once",
        KEYS.len()
    ));
}

/// A key of this curve whose number OpenSSH writes in fewer than `bytes` bytes, for its leading zeros.
fn short_key(folder: &Path, curve: &str, bytes: usize, tries: usize) -> String {
    for _ in 0..tries {
        let _ = std::fs::remove_file(folder.join("short"));
        keygen(folder, "short", &["-t", "ecdsa", "-b", curve, "-N", ""]);
        let text = std::fs::read_to_string(folder.join("short")).unwrap();
        let inner: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let raw = BASE64_STANDARD.decode(inner).unwrap();
        let name = format!("nistp{curve}").into_bytes();
        let at = raw.windows(name.len()).rposition(|some| some == name).unwrap() + name.len();
        let length = |at: usize| u32::from_be_bytes(raw[at..at + 4].try_into().unwrap()) as usize;
        let number = at + 4 + length(at);
        if length(number) < bytes {
            return text;
        }
    }
    panic!("none of {tries} keys was short");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ecdsa_key_whose_number_begins_with_zeros_opens_too_or_says_how_to_write_it() {
    let server = Server::start();
    let (_, tip) = bare(server.folder.path()).await;
    let url = server.url(&server.folder.path().join("repository.git"));
    let known = server.known("host_ed25519");
    let folder = server.folder.path();
    let admit = || {
        let keys = server.read("authorized_keys") + &server.read("short.pub");
        std::fs::write(folder.join("authorized_keys"), keys).unwrap();
    };
    let open = |clone: &str, identity: &str, password: &str| {
        let pairs = [
            ("identity", identity),
            ("known_hosts", known.as_str()),
            ("password", password),
        ];
        let count = if password.is_empty() { 2 } else { 3 };
        server.open(&url, clone, &pairs[..count])
    };
    let rewritten = |options: &[&str]| {
        let status = Command::new("ssh-keygen")
            .current_dir(folder)
            .args(["-q", "-p", "-P", "", "-f", "short"])
            .args(options)
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        server.read("short")
    };

    let key = short_key(folder, "521", 66, 200);
    admit();
    let tips = open("521", &key, "").unwrap().fetch("main").await.unwrap();
    assert_eq!(tips.branches["main"], tip);
    let sealed = rewritten(&["-N", "open sesame"]);
    let repository = open("sealed", &sealed, "open sesame").unwrap();
    assert_eq!(repository.fetch("main").await.unwrap().branches["main"], tip);

    let key = short_key(folder, "256", 32, 10_000);
    admit();
    let error = open("256", &key, "").map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("`ssh-keygen -p -m PEM -f FILE`"), "{error}");
    let pem = rewritten(&["-m", "PEM", "-N", ""]);
    let repository = open("pem", &pem, "").unwrap();
    assert_eq!(repository.fetch("main").await.unwrap().branches["main"], tip);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_one_word_to_the_shell_of_the_server() {
    let server = Server::start();
    let (_, tip) = bare(server.folder.path()).await;
    let (known, anna) = (server.known("host_ed25519"), server.read("anna"));
    // What a shell would do with a part of such a path, if it were no single word.
    let sown = server.folder.path().join("sown");
    let touch = format!("touch {}", sown.display());
    let mut read = 0;
    for (number, name) in [
        "it's; touch x.git".to_owned(),
        "two words.git".to_owned(),
        format!("a'; {touch}; 'b.git"),
        format!("a\\'; {touch}; '\\b.git"),
        format!("$({touch})`{touch}`.git"),
        format!("\"; {touch}; \"c & d | e > f*~.git"),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = server.folder.path();
        let path = folder.join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::rename(folder.join("repository.git"), &path).unwrap();
        let pairs = [("identity", anna.as_str()), ("known_hosts", known.as_str())];
        let repository = server
            .open(&server.url(&path), &number.to_string(), &pairs)
            .unwrap();
        let tips = repository.fetch("main").await;
        let tips = tips.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(tips.branches["main"], tip, "{name}");
        assert!(!sown.exists(), "{name}");
        read += 1;
        std::fs::rename(&path, folder.join("repository.git")).unwrap();
    }
    say(&format!(
        "git over ssh: {read} paths that a shell would act on, each one word to the server"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_believed_by_its_key_alone() {
    let server = Server::start();
    let (_, tip) = bare(server.folder.path()).await;
    let url = server.url(&server.folder.path().join("repository.git"));
    let anna = server.read("anna");
    let ed25519 = server.known("host_ed25519");
    let hashed = {
        std::fs::write(server.folder.path().join("hosts"), &ed25519).unwrap();
        keygen_hash(server.folder.path());
        server.read("hosts")
    };
    assert!(hashed.starts_with("|1|"));
    let (rsa_only, ecdsa_only) = (server.known("host_rsa"), server.known("host_ecdsa"));
    let other = ed25519.replace("[127.0.0.1]", "[192.0.2.1]");
    let wrong = server.known("eve");
    // The server has a certificate of it, which OpenSSH's own client would believe.
    let authority = format!("@cert-authority {}", server.known("authority"));
    let both = format!("{authority}{ed25519}");
    assert_eq!(believed_by_openssh(&server, &authority), "believed");
    assert_ne!(believed_by_openssh(&server, &wrong), "believed");
    let revoked = format!("@revoked {ed25519}{ed25519}");
    let (mut believed, mut disbelieved) = (0, 0);
    for (name, known, refused) in [
        ("plain", ed25519.as_str(), None),
        ("hashed", hashed.as_str(), None),
        // The server has an ed25519 key too, and would show it first.
        ("rsa only", rsa_only.as_str(), None),
        ("ecdsa only", ecdsa_only.as_str(), None),
        ("unknown", other.as_str(), Some("is not in known_hosts")),
        ("nothing known", "# nobody\n", Some("is not in known_hosts")),
        ("wrong", wrong.as_str(), Some("is another one")),
        ("authority", authority.as_str(), Some("certificate authority")),
        ("authority and key", both.as_str(), None),
        ("revoked", revoked.as_str(), Some("is revoked")),
    ] {
        let repository = server
            .open(&url, name, &[("identity", &anna), ("known_hosts", known)])
            .unwrap();
        match (repository.fetch("main").await, refused) {
            (Ok(tips), None) => {
                assert_eq!(tips.branches["main"], tip);
                believed += 1;
            }
            (Err(error), Some(words)) => {
                assert_eq!(error.reason(), "HostKeyFailed", "{name}: {error}");
                assert!(error.to_string().contains(words), "{name}: {error}");
                disbelieved += 1;
            }
            (outcome, _) => panic!("{name}: {outcome:?}"),
        }
    }
    say(&format!(
        "git over ssh: {believed} forms of known_hosts believed, {disbelieved} refused"
    ));
}

/// Whether OpenSSH's own client goes on to log in.
fn believed_by_openssh(server: &Server, known: &str) -> String {
    let hosts = server.folder.path().join("hosts-of-openssh");
    std::fs::write(&hosts, known).unwrap();
    let output = Command::new("ssh")
        .args([
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "BatchMode=yes",
        ])
        .args([
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "GlobalKnownHostsFile=none",
            "-o",
        ])
        .arg(format!("UserKnownHostsFile={}", hosts.display()))
        .arg("-i")
        .arg(server.folder.path().join("eve"))
        .args(["-p", &server.port.to_string(), "127.0.0.1", "true"])
        .output()
        .expect("this test needs openssh-client");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Eve's key is refused by a host that is believed.
    match said.contains("Permission denied") {
        true => "believed".to_owned(),
        false => said,
    }
}

fn keygen_hash(folder: &Path) {
    let status = Command::new("ssh-keygen")
        .current_dir(folder)
        .args(["-q", "-H", "-f", "hosts"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_that_cannot_be_used_are_named_and_silent_servers_time_out() {
    let folder = tempfile::tempdir().unwrap();
    let (canary, wrong) = (Canary::new(), Canary::new());
    keygen(folder.path(), "phrase", &["-t", "ed25519", "-N", &canary.secret]);
    let phrase = std::fs::read_to_string(folder.path().join("phrase")).unwrap();
    for (pairs, words) in [
        (
            vec![("identity", canary.word.as_str()), ("known_hosts", "x")],
            "no ssh private key",
        ),
        (
            vec![("identity", phrase.as_str()), ("known_hosts", "x")],
            "no password for it",
        ),
        (
            vec![
                ("identity", phrase.as_str()),
                ("known_hosts", "x"),
                ("password", wrong.secret.as_str()),
            ],
            "cannot be opened with its password",
        ),
    ] {
        let error = Credentials::from_secret(&secret(&pairs), "ssh://git@h/x")
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
        canary.assert_absent(&error);
        wrong.assert_absent(&error);
    }
    keygen(folder.path(), "key", &["-t", "ed25519", "-N", ""]);
    let key = std::fs::read_to_string(folder.path().join("key")).unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ssh://git@{}/x.git", silent.local_addr().unwrap());
    let credentials =
        Credentials::from_secret(&secret(&[("identity", &key), ("known_hosts", "x")]), &url).unwrap();
    let repository = Repository::new(
        &url,
        &folder.path().join("c"),
        credentials,
        Duration::from_secs(1),
        false,
    )
    .unwrap();
    let began = Instant::now();
    let error = repository.fetch("main").await.unwrap_err();
    assert!(matches!(error, GitError::Timeout { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}
