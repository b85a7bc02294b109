//! GitHub Apps: their tokens are asked for, kept, renewed when they run out, and never offered twice after a refusal.

use super::proxy::{Kind, LOGIN, Way};
use super::tls::{Authority, front};
use super::{bare, open, place, secret, serve_those};
use crate::support::canary::Canary;
use crate::support::say;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::io::git::{Credentials, GitError};
use couchestor::model::failure::Failure;
use couchestor::model::ids::CommitId;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What GitHub does.
#[derive(Clone)]
struct GitHub {
    public: Arc<Vec<u8>>,
    /// How many tokens were given.
    given: Arc<Mutex<usize>>,
    /// How many seconds they are good for.
    lifetime: Arc<Mutex<i64>>,
    /// Whether the Git server believes what is given.
    believed: Arc<Mutex<bool>>,
    /// What the Git server wants.
    wanted: Arc<Mutex<String>>,
}

/// How a token travels.
fn shown(number: usize) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("x-access-token:token-{number}"))
    )
}

/// Gives a new token to whoever proves to be App 42.
async fn tokens(
    State(github): State<GitHub>,
    headers: HeaderMap,
) -> Result<axum::Json<serde_json::Value>, StatusCode> {
    let proof = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_issuer(&["42"]);
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(&github.public).unwrap();
    jsonwebtoken::decode::<serde_json::Value>(proof.trim_start_matches("Bearer "), &key, &validation)
        .map_err(|_| StatusCode::UNAUTHORIZED)?;
    let mut given = github.given.lock().unwrap();
    *given += 1;
    if *github.believed.lock().unwrap() {
        *github.wanted.lock().unwrap() = shown(*given);
    }
    let lifetime = jiff::SignedDuration::from_secs(*github.lifetime.lock().unwrap());
    let expires = couchestor::io::clock::now() + lifetime;
    Ok(axum::Json(
        serde_json::json!({"token": format!("token-{given}"), "expires_at": expires.to_string()}),
    ))
}

fn openssl_pair() -> (String, Vec<u8>) {
    let key = std::process::Command::new("openssl")
        .args(["genrsa", "-traditional", "2048"])
        .output()
        .unwrap();
    let private = String::from_utf8(key.stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, &private).unwrap();
    let public = std::process::Command::new("openssl")
        .args(["rsa", "-pubout", "-in"])
        .arg(&path)
        .output()
        .unwrap();
    (private, public.stdout)
}

/// A Git server that wants the newest token of a GitHub.
pub(super) struct Served {
    pub(super) url: String,
    pub(super) base: String,
    pub(super) private: String,
    github: GitHub,
    came: Arc<Mutex<Vec<String>>>,
}

impl Served {
    pub(super) async fn of(root: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wanted = Arc::new(Mutex::new("nobody".to_owned()));
        let (url, came) = serve_those(root, wanted.clone()).await;
        let (private, public) = openssl_pair();
        let github = GitHub {
            public: Arc::new(public),
            given: Arc::default(),
            lifetime: Arc::new(Mutex::new(3600)),
            believed: Arc::new(Mutex::new(true)),
            wanted,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/api/v3", listener.local_addr().unwrap());
        let routes = axum::Router::new()
            .route(
                "/api/v3/app/installations/7/access_tokens",
                axum::routing::post(tokens),
            )
            .route(
                "/api/v3/users/org/installation",
                axum::routing::get(async || axum::Json(serde_json::json!({"id": 7}))),
            )
            .with_state(github.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self {
            url,
            base,
            private,
            github,
            came,
        }
    }

    pub(super) fn given(&self) -> usize {
        *self.github.given.lock().unwrap()
    }
}

/// The same, of a folder with one commit.
struct Stage {
    folder: tempfile::TempDir,
    tip: CommitId,
    served: Served,
}

impl std::ops::Deref for Stage {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.served
    }
}

impl Stage {
    async fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (_, tip) = bare(folder.path()).await;
        let served = Served::of(folder.path()).await;
        Self { folder, tip, served }
    }

    fn app(&self, more: (&str, &str), key: &str) -> Result<Credentials, GitError> {
        Credentials::github_app(&secret(&[
            ("githubAppID", "42"),
            more,
            ("githubAppPrivateKey", key),
            ("githubAppBaseURL", &self.base),
        ]))
    }

    fn open(&self, name: &str) -> couchestor::io::git::Repository {
        let credentials = self.app(("githubAppInstallationID", "7"), &self.private).unwrap();
        open(&self.url, &self.folder.path().join(name), credentials)
    }

    /// What was shown to the Git server since the last time, without repetitions.
    fn offered(&self) -> Vec<String> {
        let mut offered = std::mem::take(&mut *self.came.lock().unwrap());
        offered.dedup();
        offered
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_app_proves_itself_and_keeps_its_token() {
    let stage = Stage::set().await;
    let (strange, _) = openssl_pair();
    for more in [
        ("githubAppInstallationID", "7"),
        ("githubAppInstallationOwner", "org"),
    ] {
        let before = stage.given();
        let credentials = stage.app(more, &stage.private).unwrap();
        let repository = open(&stage.url, &stage.folder.path().join(more.0), credentials);
        for _ in 0..3 {
            assert_eq!(
                repository.fetch("main").await.unwrap().branches["main"],
                stage.tip
            );
        }
        assert_eq!(stage.given() - before, 1, "one token for many fetches");
    }
    let credentials = stage.app(("githubAppInstallationID", "7"), &strange).unwrap();
    let wrong = open(&stage.url, &stage.folder.path().join("w"), credentials);
    let error = wrong.fetch("main").await.unwrap_err();
    assert_eq!(error.reason(), "AuthenticationFailed", "{error}");
    assert!(error.to_string().contains("GitHub answered 401"), "{error}");
    let id = ("githubAppInstallationID", "7");
    let both = [
        ("githubAppID", "42"),
        id,
        ("githubAppInstallationOwner", "org"),
        ("githubAppPrivateKey", &stage.private),
    ];
    let canary = Canary::new();
    let exactly_one = "exactly one of githubAppInstallationID and githubAppInstallationOwner";
    let mut refused = 1;
    for (what, outcome, words) in [
        ("neither", stage.app(("x", "y"), &stage.private), exactly_one),
        ("both", Credentials::github_app(&secret(&both)), exactly_one),
        ("no key", stage.app(id, &canary.word), "no RSA private key"),
        (
            "no App",
            Credentials::github_app(&secret(&both[1..2])),
            "no key githubAppPrivateKey",
        ),
    ] {
        let error = outcome.map(|_| ()).expect_err(what);
        let text = error.to_string();
        assert_eq!(error.reason(), "InvalidCredentials", "{what}: {text}");
        assert!(text.contains(words), "{what}: {text}");
        canary.assert_absent(&text);
        refused += 1;
    }
    say(&format!(
        "GitHub App: 2 ways to name an installation let in, {refused} wrong credentials refused"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_goes_by_the_proxy_and_believes_the_authority_of_its_source_for_both_servers() {
    let stage = Stage::set().await;
    let ours = Authority::new();
    let (api, _) = front(&ours, None, place(&stage.base)).await;
    let (git, _) = front(&ours, None, place(&stage.url)).await;
    let base = format!("https://{api}/api/v3");
    let url = format!("https://{git}/repository.git");
    let fetch = async |name: &str, url: &str, base: &str, more: &[(&str, &str)], way: Option<&Way>| {
        let mut pairs = vec![
            ("githubAppID", "42"),
            ("githubAppInstallationOwner", "org"),
            ("githubAppPrivateKey", stage.private.as_str()),
            ("githubAppBaseURL", base),
        ];
        pairs.extend(more);
        let mut credentials = Credentials::github_app(&secret(&pairs)).unwrap();
        if let Some(way) = way {
            let address = format!("http://{}", way.address);
            let pairs = [
                ("address", address.as_str()),
                ("username", LOGIN.0),
                ("password", LOGIN.1),
            ];
            credentials = credentials.with_proxy(&secret(&pairs)).unwrap();
        }
        open(url, &stage.folder.path().join(name), credentials)
            .fetch("main")
            .await
    };
    let authority = [("ca.crt", ours.pem.as_str())];
    let tips = fetch("own", &url, &base, &authority, None).await.unwrap();
    assert_eq!(tips.branches["main"], stage.tip);
    let given = stage.given();
    let error = fetch("none", &url, &base, &[], None).await.unwrap_err();
    assert_eq!(error.reason(), "HostKeyFailed", "{error}");
    assert!(error.to_string().contains("ca.crt"), "{error}");
    assert_eq!(stage.given(), given, "a stranger was asked for a token");

    // Names that only the proxy knows, so that nothing goes past it.
    let way = Way::start(Kind::Http, &[api, git], Some(LOGIN)).await;
    let [url, base] = [&url, &base].map(|one| one.replace("127.0.0.1", "git.invalid"));
    let tips = fetch("proxy", &url, &base, &authority, Some(&way)).await.unwrap();
    assert_eq!(tips.branches["main"], stage.tip);
    let asked = way.asked();
    for server in [api, git] {
        let wanted = format!("CONNECT git.invalid:{}", server.port());
        assert!(asked.contains(&wanted), "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_renewed_once_and_no_more() {
    let stage = Stage::set().await;
    let repository = stage.open("clone");
    repository.fetch("main").await.unwrap();
    assert_eq!(stage.offered(), [shown(1)]);

    // Revoked: the server says 401, a new one is fetched, and kept.
    *stage.github.wanted.lock().unwrap() = "nobody".to_owned();
    assert_eq!(
        repository.fetch("main").await.unwrap().branches["main"],
        stage.tip
    );
    assert_eq!(stage.offered(), [shown(1), shown(2)]);
    repository.fetch("main").await.unwrap();
    assert_eq!((stage.offered(), stage.given()), (vec![shown(2)], 2));

    // The installation was taken away: GitHub gives tokens that open nothing.
    *stage.github.wanted.lock().unwrap() = "nobody".to_owned();
    *stage.github.believed.lock().unwrap() = false;
    let error = repository.fetch("main").await.unwrap_err();
    assert_eq!(error.reason(), "AuthenticationFailed", "{error}");
    assert!(!error.to_string().contains("token-"), "{error}");
    let offered = std::mem::take(&mut *stage.came.lock().unwrap());
    assert_eq!(offered, [shown(2), shown(3)], "one retry, with a new token");

    // Given back, it works again without a restart.
    *stage.github.believed.lock().unwrap() = true;
    repository.fetch("main").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ran_out_is_not_offered_any_more() {
    let stage = Stage::set().await;
    // Those of five minutes and less are used for one request: a fetch could outlast them.
    let lifetimes = [(3600, true), (360, true), (299, false), (0, false), (-60, false)];
    say(&format!("GitHub App: tokens of {} lifetimes", lifetimes.len()));
    for (lifetime, kept) in lifetimes {
        *stage.github.lifetime.lock().unwrap() = lifetime;
        let repository = stage.open(&lifetime.to_string());
        let before = stage.given();
        for _ in 0..2 {
            assert_eq!(
                repository.fetch("main").await.unwrap().branches["main"],
                stage.tip
            );
        }
        let seen = std::mem::take(&mut *stage.came.lock().unwrap());
        let fresh = stage.given() - before;
        if kept {
            assert_eq!(fresh, 1, "{lifetime} s");
            assert!(seen.iter().all(|one| *one == seen[0]), "{lifetime} s");
        } else {
            let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
            assert_eq!((distinct.len(), fresh), (seen.len(), seen.len()), "{lifetime} s");
            assert!(fresh > 1, "{lifetime} s");
        }
    }
    // Time passes over the last five minutes of one that was kept.
    *stage.github.lifetime.lock().unwrap() = 302;
    let repository = stage.open("passing");
    repository.fetch("main").await.unwrap();
    let old = stage.offered();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    repository.fetch("main").await.unwrap();
    let new = stage.offered();
    assert!(
        !new.is_empty() && new.iter().all(|one| !old.contains(one)),
        "{old:?}, {new:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_github_is_read_to_its_bound() {
    let stage = Stage::set().await;
    for (bytes, words) in [
        (1 << 20, "something else than its API says"),
        ((1 << 20) + 1, "answered with more than 1048576 bytes"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let routes = axum::Router::new().fallback(async move || "x".repeat(bytes));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let credentials = Credentials::github_app(&secret(&[
            ("githubAppID", "42"),
            ("githubAppInstallationID", "7"),
            ("githubAppPrivateKey", &stage.private),
            ("githubAppBaseURL", &base),
        ]));
        let repository = open(
            &stage.url,
            &stage.folder.path().join(bytes.to_string()),
            credentials.unwrap(),
        );
        let error = repository.fetch("main").await.unwrap_err();
        assert_eq!(error.reason(), "GitOperationFailed", "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
