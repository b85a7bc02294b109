//! GitHub Apps: their tokens are asked for, kept, renewed when they run out, and never offered twice after a refusal.

use super::{bare, open, secret};
use axum::extract::State;
use axum::http::HeaderMap;
use couchestor::io::git::Credentials;
use couchestor::model::failure::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone)]
struct GitHub {
    public: Arc<Vec<u8>>,
    tokens: Arc<AtomicUsize>,
}

/// Gives a token to whoever proves to be App 42.
async fn tokens(
    State(github): State<GitHub>,
    headers: HeaderMap,
) -> Result<axum::Json<serde_json::Value>, axum::http::StatusCode> {
    let shown = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_issuer(&["42"]);
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(&github.public).unwrap();
    jsonwebtoken::decode::<serde_json::Value>(shown.trim_start_matches("Bearer "), &key, &validation)
        .map_err(|_| axum::http::StatusCode::UNAUTHORIZED)?;
    github.tokens.fetch_add(1, Ordering::Relaxed);
    let expires = couchestor::io::clock::now() + jiff::SignedDuration::from_hours(1);
    Ok(axum::Json(
        serde_json::json!({"token": "right", "expires_at": expires.to_string()}),
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

#[tokio::test(flavor = "multi_thread")]
async fn a_github_app_proves_itself_and_keeps_its_token() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let (_, tip) = bare(folder.path()).await;
    // base64 of `x-access-token:right`.
    let (url, _) = super::serve(folder.path(), "Basic eC1hY2Nlc3MtdG9rZW46cmlnaHQ=").await;
    let (private, public) = openssl_pair();
    let (strange, _) = openssl_pair();
    let github = GitHub {
        public: Arc::new(public),
        tokens: Arc::default(),
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
    let app = |more: (&str, &str), key: &str| {
        Credentials::github_app(&secret(&[
            ("githubAppID", "42"),
            more,
            ("githubAppPrivateKey", key),
            ("githubAppBaseURL", &base),
        ]))
    };
    for more in [
        ("githubAppInstallationID", "7"),
        ("githubAppInstallationOwner", "org"),
    ] {
        github.tokens.store(0, Ordering::Relaxed);
        let repository = open(&url, &folder.path().join(more.0), app(more, &private).unwrap());
        for _ in 0..3 {
            assert_eq!(repository.fetch("main").await.unwrap().branches["main"], tip);
        }
        assert_eq!(
            github.tokens.load(Ordering::Relaxed),
            1,
            "one token for many fetches"
        );
    }
    let wrong = open(
        &url,
        &folder.path().join("w"),
        app(("githubAppInstallationID", "7"), &strange).unwrap(),
    );
    let error = wrong.fetch("main").await.unwrap_err();
    assert_eq!(error.reason(), "AuthenticationFailed", "{error}");
    assert!(app(("x", "y"), &private).is_err());
    assert!(app(("githubAppInstallationID", "7"), "canary").is_err());
}
