//! A real Gitea on loopback: one per test process, each test with a repository of its own.

use super::{ready, servers};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Ready takes a second on an idle machine.
const READY_MAX: Duration = Duration::from_secs(90);

/// A merge is refused for some seconds after a push, while Gitea finds out whether it can be done.
const MERGE_MAX: Duration = Duration::from_secs(30);

/// Who there is; the first is the administrator, the second is us.
pub const PEOPLE: [&str; 4] = ["chief", "couchestor-bot", "ann", "ben"];

/// A running Gitea. It ends with this process: a watchdog holds the other end of a pipe.
pub struct Gitea {
    pub url: String,
    tokens: Vec<String>,
    client: reqwest::Client,
    _watchdog: Child,
}

/// The Gitea that the tests of this process share.
pub fn shared() -> &'static Gitea {
    static SHARED: OnceLock<Gitea> = OnceLock::new();
    SHARED.get_or_init(Gitea::start)
}

fn ini(folder: &Path, pages: &Path, port: u16) -> String {
    format!(
        r#"APP_NAME = test
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
SQLITE_JOURNAL_MODE = WAL
[repository]
ROOT = {folder}/repositories
[server]
PROTOCOL = http
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
DISABLE_SSH = true
OFFLINE_MODE = true
STATIC_ROOT_PATH = {pages}
APP_DATA_PATH = {folder}/data
[security]
INSTALL_LOCK = true
SECRET_KEY = not-a-secret
[webhook]
ALLOWED_HOST_LIST = loopback
[log]
LEVEL = warn
ROOT_PATH = {folder}/log
[session]
PROVIDER = memory
[cron]
ENABLED = false
[cron.update_checker]
ENABLED = false
[actions]
ENABLED = false
[packages]
ENABLED = false
[oauth2]
ENABLED = false
[service]
DISABLE_REGISTRATION = true
"#,
        folder = folder.display(),
        pages = pages.display(),
    )
}

impl Gitea {
    fn start() -> Self {
        let (binary, pages) = servers::gitea();
        let folder = tempfile::Builder::new()
            .prefix("couchestor-gitea-")
            .tempdir()
            .unwrap()
            .keep();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        std::fs::write(folder.join("app.ini"), ini(&folder, &pages, port)).unwrap();
        let call = |arguments: &[&str]| command(&binary, &folder, arguments);
        call(&["migrate"]);
        let tokens = PEOPLE
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let email = format!("{name}@example.org");
                let mut make = vec!["admin", "user", "create", "--username", name, "--email", &email];
                make.extend(["--password", "not-A-secret-1", "--must-change-password=false"]);
                if index == 0 {
                    make.push("--admin");
                }
                call(&make);
                let token = ["admin", "user", "generate-access-token", "--username", name];
                let token = [&token[..], &["--token-name", "test", "--scopes", "all", "--raw"]].concat();
                // Warnings may stand before and after it.
                let said = call(&token);
                let is_token = |line: &&str| line.len() == 40 && line.chars().all(|c| c.is_ascii_hexdigit());
                said.lines().map(str::trim).find(is_token).unwrap().to_owned()
            })
            .collect();
        let script = format!(
            "trap '' INT\ncd '{folder}'\n'{binary}' --config app.ini web > web.log 2>&1 &\ng=$!\nread x\nkill -9 $g\ncd /\nrm -rf '{folder}'\n",
            folder = folder.display(),
            binary = binary.display(),
        );
        let watchdog = at_home(Command::new("sh").arg("-c").arg(script), &folder)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh is there");
        wait_until_ready(port, &folder);
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            url: format!("http://127.0.0.1:{port}"),
            tokens,
            // A connection belongs to the runtime of the test that opened it.
            client: reqwest::Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
            _watchdog: watchdog,
        }
    }

    pub fn token(&self, who: &str) -> &str {
        let at = PEOPLE.iter().position(|name| *name == who);
        &self.tokens[at.unwrap_or_else(|| panic!("{who} is nobody"))]
    }

    /// One request as a person; the answer's status and body.
    pub async fn ask(&self, who: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self
            .client
            .request(method, format!("{}/api/v1{path}", self.url))
            .timeout(Duration::from_secs(60))
            .header("Authorization", format!("token {}", self.token(who)))
            .json(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// A request that works.
    pub async fn done(&self, who: &str, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(who, method, path, body).await;
        assert!(status < 300, "{who} {method} {path}: {status} {answer}");
        answer
    }

    /// A new repository, with a first commit on main, in which everybody may write.
    pub async fn repository(&'static self) -> Repository {
        let name = format!("policies-{:08x}", fastrand::u32(..));
        let path = format!("/repos/chief/{name}");
        let new = json!({"name": name, "auto_init": true, "default_branch": "main"});
        self.done("chief", "POST", "/user/repos", &new).await;
        for who in &PEOPLE[1..] {
            let path = format!("{path}/collaborators/{who}");
            self.done("chief", "PUT", &path, &json!({"permission": "write"}))
                .await;
        }
        Repository {
            gitea: self,
            name: format!("chief/{name}"),
            path,
        }
    }
}

/// A repository on it.
pub struct Repository {
    pub gitea: &'static Gitea,
    pub name: String,
    path: String,
}

impl Repository {
    pub fn git_url(&self) -> String {
        format!("{}/{}.git", self.gitea.url, self.name)
    }

    pub async fn done(&self, who: &str, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("{}{path}", self.path);
        self.gitea.done(who, method, &path, body).await
    }

    /// Adds a commit with a new file to a branch, which is made from another if one is given.
    pub async fn push(&self, branch: &str, from: Option<&str>, file: &str, text: &str) -> String {
        use base64::Engine;
        let content = base64::engine::general_purpose::STANDARD.encode(text);
        let mut body = json!({
            "branch": from.unwrap_or(branch),
            "files": [{"operation": "create", "path": file, "content": content}],
            "message": format!("Change {branch}"),
        });
        if from.is_some() {
            body["new_branch"] = json!(branch);
        }
        let answer = self.done("ann", "POST", "/contents", &body).await;
        answer["commit"]["sha"].as_str().unwrap().to_owned()
    }

    pub async fn tip(&self, branch: &str) -> String {
        let path = format!("/branches/{branch}");
        let found = self.done("ann", "GET", &path, &Value::Null).await;
        found["commit"]["id"].as_str().unwrap().to_owned()
    }

    /// Merges as a person, as soon as Gitea knows that it can be done.
    pub async fn merge(&self, number: u64, how: &str, who: &str) {
        let path = format!("{}/pulls/{number}/merge", self.path);
        let until = Instant::now() + MERGE_MAX;
        loop {
            let (status, answer) = self.gitea.ask(who, "POST", &path, &json!({"Do": how})).await;
            if status == 200 {
                return;
            }
            assert!(
                status == 405 && Instant::now() < until,
                "merging {number} by {how}: {status} {answer}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Git and Gitea keep their settings here, not with whoever runs the tests; in a container that may be root.
fn at_home<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command
        .env("HOME", folder)
        .env("GITEA_WORK_DIR", folder)
        .env("I_AM_BEING_UNSAFE_RUNNING_AS_ROOT", "true")
}

fn command(binary: &PathBuf, folder: &Path, arguments: &[&str]) -> String {
    let output = at_home(
        Command::new(binary).arg("--config").arg(folder.join("app.ini")),
        folder,
    )
    .current_dir(folder)
    .args(arguments)
    .output()
    .expect("gitea starts");
    assert!(
        output.status.success(),
        "gitea {arguments:?}: {} {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn wait_until_ready(port: u16, folder: &Path) {
    let log = || std::fs::read_to_string(folder.join("web.log")).unwrap_or_default();
    ready::wait("Gitea", READY_MAX, || ready::answers(port, "/api/healthz"), log);
}
