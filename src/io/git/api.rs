//! What a forge's API takes from a source's Secret: a token, an authority and a proxy.

use super::GitError;
use super::credentials::{Credentials, Hidden, Login, Texts, hidden, is_loopback, tls, wrong};
use super::github_app::App;
use crate::model::secret::SecretText;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

impl Credentials {
    /// Reads a Secret for a forge's API: the keys of a GitHub App, or a token as `token`, `bearerToken` or `password`.
    ///
    /// # Errors
    /// Which key is missing or unreadable.
    pub fn for_api(data: &BTreeMap<String, SecretText>) -> Result<Self, GitError> {
        let texts = Texts(data);
        let login = if data.contains_key("githubAppID") {
            Login::App(Arc::new(App::read(&texts)?))
        } else {
            let token = texts.find(&["token", "bearerToken", "password"])?;
            let token = token.map(|token| token.trim().to_owned()).unwrap_or_default();
            if token.is_empty() {
                return Err(wrong(
                    "has no token for the forge's API: give it a key token (bearerToken and password are read too), or those of a GitHub App",
                ));
            }
            // A header takes no control characters; without this check the client would refuse it with less to say.
            if token.chars().any(|letter| !letter.is_ascii_graphic()) {
                return Err(wrong("has a token with characters that no token has"));
            }
            Login::Bearer { token: hidden(token) }
        };
        Ok(Self {
            login,
            tls: tls(&texts)?,
            proxy: None,
        })
    }

    /// Makes a client for a forge's API.
    pub(crate) fn api_client(&self, url: &str, timeout: Duration) -> Result<reqwest::Client, GitError> {
        if url.starts_with("http://") && !is_loopback(url) {
            return Err(wrong("would travel in clear over http://; use https://"));
        }
        super::http::client(url, self, timeout)
    }

    /// The token, or one of the App's installation.
    pub(crate) async fn api_token(&self, client: &reqwest::Client) -> Result<Hidden, GitError> {
        match &self.login {
            Login::Bearer { token } => Ok(token.clone()),
            Login::Basic { password, .. } => Ok(password.clone()),
            Login::App(app) => app.token(client, crate::io::clock::now()).await,
            Login::None | Login::Ssh(_) => Err(wrong(
                "has no token for the forge's API: give one with a key token",
            )),
        }
    }

    /// Forgets an App's token, because it was refused. `false` when there is nothing to try instead.
    pub(crate) fn forget_token(&self) -> bool {
        if let Login::App(app) = &self.login {
            app.forget();
            return true;
        }
        false
    }

    /// The login of an App, which no installation token may ask for; `None` for other credentials.
    pub(crate) async fn app_login(&self, client: &reqwest::Client) -> Result<Option<String>, GitError> {
        match &self.login {
            Login::App(app) => Ok(Some(app.login(client, crate::io::clock::now()).await?)),
            _ => Ok(None),
        }
    }
}
