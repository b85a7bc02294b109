//! Git against real remotes on loopback: `git http-backend` behind HTTP, bare folders, and servers that misbehave.

use crate::support::canary::Canary;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use couchestor::io::git::{self, Credentials, GitError, Lease, Repository, Signature};
use couchestor::model::failure::{Class, Failure};
use couchestor::model::ids::CommitId;
use couchestor::model::rendering::FileChange;
use couchestor::model::secret::SecretText;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// TLS.
mod tls;

/// Proxies.
mod proxy;

/// GitHub Apps.
mod github_app;

/// OpenSSH.
mod ssh;

/// The same by a controller, which knows its sources' Secrets only.
mod followed;

/// Connections that end, hang or lie.
mod cut;

/// What nothing new costs.
mod unchanged;

const TIMEOUT: Duration = Duration::from_secs(10);

fn open(url: &str, clone: &Path, credentials: Credentials) -> Repository {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Repository::new(url, clone, credentials, TIMEOUT, true).unwrap()
}

fn file(path: &str, text: &str) -> Vec<FileChange> {
    vec![FileChange {
        path: path.into(),
        content: Some(text.as_bytes().to_vec()),
    }]
}

fn secret(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretText> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), SecretText::new(value.as_bytes().to_vec())))
        .collect()
}

async fn push(
    repository: &Repository,
    branch: &str,
    lease: Lease,
    parent: Option<CommitId>,
    text: &str,
) -> Result<CommitId, GitError> {
    let now = couchestor::io::clock::now();
    repository
        .push(
            branch,
            lease,
            parent,
            file("a.yaml", text),
            format!("{text}\n"),
            now,
        )
        .await
}

/// A bare repository with one commit, and its address.
async fn bare(folder: &Path) -> (String, CommitId) {
    let path = folder.join("repository.git");
    git::init_bare(&path).unwrap();
    let url = format!("file://{}", path.display());
    let person = open(&url, &folder.join("person"), Credentials::default());
    let tip = push(&person, "main", Lease::Absent, None, "one").await.unwrap();
    (url, tip)
}

#[derive(Clone)]
struct Backend {
    root: PathBuf,
    /// What `Authorization` must be; every value that came is noted.
    wanted: Arc<Mutex<String>>,
    came: Arc<Mutex<Vec<String>>>,
}

/// `git http-backend` as a CGI program behind one route for everything.
async fn backend(
    State(backend): State<Backend>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = move |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let authorization = header("authorization");
    if !authorization.is_empty() {
        backend.came.lock().unwrap().push(authorization.clone());
    }
    if authorization != *backend.wanted.lock().unwrap() {
        return (
            StatusCode::UNAUTHORIZED,
            [("WWW-Authenticate", "Basic realm=\"git\"")],
            "no",
        )
            .into_response();
    }
    tokio::task::spawn_blocking(move || {
        let mut child = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &backend.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REMOTE_USER", "ops")
            .env("REQUEST_METHOD", method.as_str())
            .env("PATH_INFO", uri.path())
            .env("QUERY_STRING", uri.query().unwrap_or_default())
            .env("CONTENT_TYPE", header("content-type"))
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test needs the git command");
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&body)));
        let output = child.wait_with_output().unwrap().stdout;
        writer.join().unwrap();
        let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&output[..end]).into_owned();
        let mut response = output[end + 4..].to_vec().into_response();
        for line in head.lines() {
            match line.split_once(": ") {
                Some(("Status", status)) => *response.status_mut() = status[..3].parse().unwrap(),
                Some(("Content-Type", kind)) => drop(
                    response
                        .headers_mut()
                        .insert("content-type", kind.parse().unwrap()),
                ),
                _ => {}
            }
        }
        response
    })
    .await
    .unwrap()
}

/// Serves the repositories of a folder; requests with another `Authorization` are refused.
pub async fn serve(root: &Path, wanted: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    serve_those(root, Arc::new(Mutex::new(wanted.to_owned()))).await
}

/// The same, with an `Authorization` that may change.
async fn serve_those(root: &Path, wanted: Arc<Mutex<String>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let came: Arc<Mutex<Vec<String>>> = Arc::default();
    let state = Backend {
        root: root.to_owned(),
        wanted,
        came: came.clone(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/repository.git", listener.local_addr().unwrap());
    let routes = axum::Router::new().fallback(backend).with_state(state);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, came)
}

/// The address that a URL names.
fn place(url: &str) -> SocketAddr {
    url.split('/').nth(2).unwrap().parse().unwrap()
}

/// base64 of `ops:right`.
const BASIC: &str = "Basic b3BzOnJpZ2h0";

#[tokio::test(flavor = "multi_thread")]
async fn basic_credentials_fetch_and_push_and_wrong_ones_are_offered_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_, tip) = bare(folder.path()).await;
    let config = ["-C", "repository.git", "config", "http.receivepack", "true"];
    assert!(
        Command::new("git")
            .current_dir(folder.path())
            .args(config)
            .status()
            .unwrap()
            .success()
    );
    let (url, came) = serve(folder.path(), BASIC).await;
    let with = |password: &str| {
        Credentials::from_secret(&secret(&[("username", "ops"), ("password", password)]), &url).unwrap()
    };

    let right = open(&url, &folder.path().join("right"), with("right"));
    assert_eq!(right.fetch("main").await.unwrap().branches["main"], tip);
    let next = push(&right, "main", Lease::At(tip.clone()), Some(tip), "two")
        .await
        .unwrap();
    assert_eq!(right.fetch("main").await.unwrap().branches["main"], next);

    came.lock().unwrap().clear();
    let canary = Canary::new();
    let wrong = open(&url, &folder.path().join("wrong"), with(&canary.secret));
    let error = wrong.fetch("main").await.unwrap_err();
    assert_eq!(
        (error.class(), error.reason()),
        (Class::Stalled, "AuthenticationFailed"),
        "{error}"
    );
    canary.assert_absent(&format!("{error} {error:?}"));
    assert_eq!(
        came.lock().unwrap().len(),
        1,
        "an account must not be locked by repetition"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_is_sent_as_such_and_one_that_ran_out_is_offered_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_, tip) = bare(folder.path()).await;
    let wanted = Arc::new(Mutex::new("Bearer t0ken".to_owned()));
    let (url, came) = serve_those(folder.path(), wanted.clone()).await;
    let with = |token: &str| Credentials::from_secret(&secret(&[("bearerToken", token)]), &url).unwrap();
    let repository = open(&url, &folder.path().join("clone"), with("t0ken"));
    assert_eq!(repository.fetch("main").await.unwrap().branches["main"], tip);
    let canary = Canary::new();
    let wrong = open(&url, &folder.path().join("wrong"), with(&canary.word));
    // Then the right one runs out.
    for (name, repository, offered) in [
        ("wrong", &wrong, canary.word.as_str()),
        ("expired", &repository, "t0ken"),
    ] {
        came.lock().unwrap().clear();
        let error = repository.fetch("main").await.unwrap_err();
        assert_eq!(
            (error.class(), error.reason()),
            (Class::Stalled, "AuthenticationFailed"),
            "{name}: {error}"
        );
        assert!(!error.to_string().contains(offered), "{name}: {error}");
        canary.assert_absent(&format!("{error} {error:?}"));
        assert_eq!(*came.lock().unwrap(), [format!("Bearer {offered}")], "{name}");
        *wanted.lock().unwrap() = "Bearer another".to_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_ends_in_a_timeout() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.git", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let timeout = Duration::from_secs(1);
    let repository = Repository::new(
        &url,
        &folder.path().join("c"),
        Credentials::default(),
        timeout,
        false,
    )
    .unwrap();
    let began = Instant::now();
    let error = repository.fetch("main").await.unwrap_err();
    assert_eq!(error.class(), Class::Retry, "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
    drop(listener);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_changes_nothing_and_an_unchanged_tip_reads_no_blob() {
    let folder = tempfile::tempdir().unwrap();
    let (url, tip) = bare(folder.path()).await;
    let (ours, theirs) = (
        open(&url, &folder.path().join("ours"), Credentials::default()),
        open(&url, &folder.path().join("theirs"), Credentials::default()),
    );
    ours.fetch("main").await.unwrap();
    theirs.fetch("main").await.unwrap();
    let branch = "couchestor/tier/db/data-0";
    let first = push(&ours, branch, Lease::Absent, Some(tip.clone()), "ours")
        .await
        .unwrap();
    let again = push(&theirs, branch, Lease::Absent, Some(tip.clone()), "theirs").await;
    assert_eq!(
        again,
        Err(GitError::LeaseLost {
            branch: branch.into()
        })
    );
    let edited = push(
        &theirs,
        branch,
        Lease::At(first.clone()),
        Some(tip.clone()),
        "edited",
    )
    .await
    .unwrap();
    let refresh = push(
        &ours,
        branch,
        Lease::At(first.clone()),
        Some(tip.clone()),
        "refreshed",
    )
    .await;
    assert_eq!(
        refresh,
        Err(GitError::LeaseLost {
            branch: branch.into()
        })
    );
    assert!(ours.delete_branch(branch, first).await.is_err());
    assert_eq!(ours.fetch("main").await.unwrap().branches[branch], edited);
    assert_eq!(ours.blob_reads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_appended_once_however_often_it_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let (url, _) = bare(folder.path()).await;
    let repository = open(&url, &folder.path().join("c"), Credentials::default());
    let now = couchestor::io::clock::now();
    let append = async |name: &str| {
        let trailer = format!("Migration: {name}");
        let message = format!("Completed\n\n{trailer}\n");
        repository
            .append(
                "couchestor/audit",
                file(&format!("{name}.json"), "{}"),
                message,
                trailer,
                now,
            )
            .await
            .unwrap()
    };
    let first = append("a").await;
    let second = append("b").await;
    assert_eq!((append("a").await, append("b").await), (first.clone(), second));
    let log = repository.log_branch("couchestor/audit", 10).await.unwrap();
    assert_eq!(log.len(), 2);
    assert_eq!(log[1].commit, first);
    assert_eq!(
        (log[1].parent.clone(), log[1].committer.clone()),
        (None, Signature::default().email)
    );
}

#[test]
fn addresses_and_secrets_that_cannot_work_are_refused_with_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |url: &str| {
        Repository::new(url, folder.path(), Credentials::default(), TIMEOUT, false)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let canary = Canary::new();
    let [in_https, in_http] = [
        "https://ops:PW@git.example.org/x.git",
        "http://ops:PW@127.0.0.1/x.git",
    ]
    .map(|url| url.replace("PW", &canary.word));
    for (url, hint) in [
        ("git@git.example.org:home/ops.git", "write ssh://"),
        ("file:///srv/ops.git", "--allow-file-urls"),
        (in_https.as_str(), "into the Secret"),
        ("ssh://git@git.example.org/x.git", "identity and known_hosts"),
        (&in_http, "into the Secret"),
        ("ftp://git.example.org/x.git", "use https:// or ssh://"),
    ] {
        let refusal = refusal(url);
        assert!(refusal.contains(hint), "{refusal}");
        canary.assert_absent(&refusal);
    }
    for (keys, missing) in [
        (vec!["identity"], "known_hosts"),
        (vec!["known_hosts"], "identity"),
    ] {
        let pairs: Vec<(&str, &str)> = keys.into_iter().map(|key| (key, "x")).collect();
        let error = Credentials::from_secret(&secret(&pairs), "ssh://git@h/x")
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("no key {missing}")), "{error}");
    }
}
