//! Installation tokens of GitHub Apps (docs.github.com, "Authenticating as a GitHub App installation"), with the keys that Flux
//! reads.

use super::GitError;
use super::credentials::{Hidden, Texts, hidden, wrong};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::time::Duration;

/// The public GitHub.
const GITHUB: &str = "https://api.github.com";

/// A token is not used in its last minutes, so that it does not run out in the middle of a fetch.
const SPARE_SECS: i64 = 300;

/// GitHub allows ten minutes; clocks differ.
const CLAIM_SECS: i64 = 540;

/// Longest answer that is read.
const ANSWER_MAX: usize = 1 << 20;

/// How long GitHub may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An App.
pub(super) struct App {
    id: String,
    installation: Installation,
    key: Hidden,
    base: String,
    token: Mutex<Option<(Hidden, Timestamp)>>,
}

enum Installation {
    Id(String),
    Owner(String),
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

#[derive(Deserialize)]
struct Token {
    token: String,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Found {
    id: u64,
}

#[derive(Deserialize)]
struct Itself {
    slug: String,
}

impl App {
    pub(super) fn read(texts: &Texts) -> Result<Self, GitError> {
        let owner = texts.find(&["githubAppInstallationOwner"])?;
        let id = texts.find(&["githubAppInstallationID"])?;
        let installation = match (id, owner) {
            (Some(id), None) => Installation::Id(id),
            (None, Some(owner)) => Installation::Owner(owner),
            _ => {
                return Err(wrong(
                    "needs exactly one of githubAppInstallationID and githubAppInstallationOwner",
                ));
            }
        };
        let key = texts.need("githubAppPrivateKey")?;
        jsonwebtoken::EncodingKey::from_rsa_pem(key.as_bytes())
            .map_err(|_| wrong("has a githubAppPrivateKey that is no RSA private key in PEM"))?;
        let base = texts.find(&["githubAppBaseURL"])?;
        Ok(Self {
            id: texts.need("githubAppID")?,
            installation,
            key: hidden(key),
            base: base.map_or_else(|| GITHUB.to_owned(), |base| base.trim_end_matches('/').to_owned()),
            token: Mutex::default(),
        })
    }

    /// Forgets the token, because the server refused it.
    pub(super) fn forget(&self) {
        if let Ok(mut token) = self.token.lock() {
            *token = None;
        }
    }

    /// A token that is good for some minutes at least.
    pub(super) async fn token(&self, client: &reqwest::Client, now: Timestamp) -> Result<Hidden, GitError> {
        if let Ok(known) = self.token.lock()
            && let Some((token, until)) = &*known
            && until.as_second() - now.as_second() > SPARE_SECS
        {
            return Ok(token.clone());
        }
        let jwt = self.jwt(now)?;
        let id = match &self.installation {
            Installation::Id(id) => id.clone(),
            Installation::Owner(owner) => {
                let found: Found = self
                    .ask(
                        client.get(format!("{}/users/{owner}/installation", self.base)),
                        &jwt,
                    )
                    .await?;
                found.id.to_string()
            }
        };
        let url = format!("{}/app/installations/{id}/access_tokens", self.base);
        let fresh: Token = self.ask(client.post(url), &jwt).await?;
        let token = hidden(fresh.token);
        if let Ok(mut known) = self.token.lock() {
            *known = Some((token.clone(), fresh.expires_at));
        }
        Ok(token)
    }

    /// The login under which the App comments.
    pub(super) async fn login(&self, client: &reqwest::Client, now: Timestamp) -> Result<String, GitError> {
        let jwt = self.jwt(now)?;
        let itself: Itself = self.ask(client.get(format!("{}/app", self.base)), &jwt).await?;
        Ok(format!("{}[bot]", itself.slug))
    }

    fn jwt(&self, now: Timestamp) -> Result<String, GitError> {
        let claims = Claims {
            // A minute back, because clocks differ.
            iat: now.as_second() - 60,
            exp: now.as_second() + CLAIM_SECS,
            iss: &self.id,
        };
        let unusable = |_| wrong("has a githubAppPrivateKey that cannot sign");
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(self.key.as_bytes()).map_err(unusable)?;
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
        jsonwebtoken::encode(&header, &claims, &key).map_err(unusable)
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        jwt: &str,
    ) -> Result<T, GitError> {
        let failed = |detail: String| GitError::Failed {
            detail: format!("GitHub at {}: {detail}", self.base),
        };
        let told = |error: reqwest::Error| match super::http::told(&error) {
            GitError::HostKey { detail } => GitError::HostKey {
                detail: format!("GitHub at {}: {detail}", self.base),
            },
            GitError::Failed { detail } => failed(detail),
            other => other,
        };
        let mut answer = request
            .bearer_auth(jwt)
            .header("Accept", "application/vnd.github+json")
            .timeout(TIMEOUT)
            .send()
            .await
            .map_err(told)?;
        let status = answer.status();
        if matches!(status.as_u16(), 401 | 403 | 404) {
            return Err(GitError::Denied {
                detail: format!("GitHub answered {status} to the App {}", self.id),
            });
        }
        if !status.is_success() {
            return Err(failed(format!("answered {status}")));
        }
        let mut body = zeroize::Zeroizing::new(Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(told)? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(failed(format!("answered with more than {ANSWER_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        // The answer holds a token; what is wrong with it is not quoted.
        serde_json::from_slice(&body)
            .map_err(|_| failed("answered with something else than its API says".to_owned()))
    }
}
