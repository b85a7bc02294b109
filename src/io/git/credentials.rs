//! Credentials, from Secrets with Flux's keys. No Debug: they hold secrets.

use super::GitError;
use super::github_app::App;
use crate::model::secret::SecretText;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A secret text, shared and wiped.
pub(super) type Hidden = Arc<Zeroizing<String>>;

/// How to show who we are, whom to believe, and by which way to go.
#[derive(Clone, Default)]
pub struct Credentials {
    pub(super) login: Login,
    pub(super) tls: Tls,
    pub(super) proxy: Option<ProxyTo>,
}

#[derive(Clone, Default)]
pub(super) enum Login {
    #[default]
    None,
    Basic {
        username: String,
        password: Hidden,
    },
    Bearer {
        token: Hidden,
    },
    Ssh(SshKey),
    App(Arc<App>),
}

/// What ssh needs.
#[derive(Clone)]
pub(super) struct SshKey {
    pub(super) identity: Hidden,
    pub(super) known_hosts: String,
    pub(super) password: Option<Hidden>,
}

/// What TLS needs.
#[derive(Clone, Default)]
pub(super) struct Tls {
    /// Authorities that are believed beside the system's, as PEM.
    pub(super) authority: Option<String>,
    /// A client's certificate and its key, as one PEM.
    pub(super) client: Option<Hidden>,
}

/// A proxy.
#[derive(Clone)]
pub(super) struct ProxyTo {
    pub(super) address: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<Hidden>,
}

/// The texts of one Secret.
pub(super) struct Texts<'a>(pub(super) &'a BTreeMap<String, SecretText>);

impl Texts<'_> {
    /// The value of the first of these keys that is there.
    pub(super) fn find(&self, keys: &[&str]) -> Result<Option<String>, GitError> {
        let Some((key, value)) = keys.iter().find_map(|key| Some((*key, self.0.get(*key)?))) else {
            return Ok(None);
        };
        match value.expose_str() {
            Ok(text) => Ok(Some(text.trim_end_matches('\n').to_owned())),
            Err(_) => Err(wrong(format!("has a key {key} that is no text"))),
        }
    }

    pub(super) fn need(&self, key: &str) -> Result<String, GitError> {
        self.find(&[key])?
            .ok_or_else(|| wrong(format!("has no key {key}")))
    }

    fn hidden(&self, key: &str) -> Result<Option<Hidden>, GitError> {
        Ok(self.find(&[key])?.map(hidden))
    }
}

pub(super) fn hidden(text: String) -> Hidden {
    Arc::new(Zeroizing::new(text))
}

pub(super) fn wrong(what: impl Into<String>) -> GitError {
    GitError::Credentials { what: what.into() }
}

impl Credentials {
    /// Reads a Secret for an address.
    ///
    /// # Errors
    /// Which key is missing or unreadable.
    pub fn from_secret(data: &BTreeMap<String, SecretText>, url: &str) -> Result<Self, GitError> {
        let texts = Texts(data);
        if url.starts_with("ssh://") {
            let key = SshKey {
                identity: hidden(format!("{}\n", texts.need("identity")?)),
                known_hosts: texts.need("known_hosts")?,
                password: texts.hidden("password")?,
            };
            super::ssh::check_key(&key)?;
            return Ok(Self {
                login: Login::Ssh(key),
                ..Self::default()
            });
        }
        let tls = tls(&texts)?;
        let login = if let Some(token) = texts.hidden("bearerToken")? {
            Login::Bearer { token }
        } else if data.contains_key("username") || data.contains_key("password") {
            Login::Basic {
                username: texts.need("username")?,
                password: hidden(texts.need("password")?),
            }
        } else if tls.authority.is_some() || tls.client.is_some() || data.is_empty() {
            Login::None
        } else {
            return Err(wrong(
                "has no key that is read: username and password, bearerToken, identity and known_hosts, ca.crt, tls.crt and tls.key",
            ));
        };
        Ok(Self {
            login,
            tls,
            proxy: None,
        })
    }

    /// Reads a Secret of a GitHub App (`provider: github`).
    ///
    /// # Errors
    /// Which key is missing or unreadable.
    pub fn github_app(data: &BTreeMap<String, SecretText>) -> Result<Self, GitError> {
        let texts = Texts(data);
        Ok(Self {
            login: Login::App(Arc::new(App::read(&texts)?)),
            tls: tls(&texts)?,
            proxy: None,
        })
    }

    /// Goes by the proxy of a Secret with `address` and, when the proxy wants them, `username` and `password`.
    ///
    /// # Errors
    /// Which key is missing or unreadable.
    pub fn with_proxy(mut self, data: &BTreeMap<String, SecretText>) -> Result<Self, GitError> {
        let texts = Texts(data);
        let address = texts.need("address")?;
        if !["http://", "https://", "socks5://", "socks5h://"]
            .iter()
            .any(|scheme| address.starts_with(scheme))
        {
            return Err(wrong(
                "of the proxy has an address that is neither http://, https:// nor socks5://",
            ));
        }
        self.proxy = Some(ProxyTo {
            address,
            username: texts.find(&["username"])?,
            password: texts.hidden("password")?,
        });
        Ok(self)
    }

    /// Refuses an address that cannot work with these credentials.
    pub(super) fn check(&self, url: &str) -> Result<(), GitError> {
        match (&self.login, url.starts_with("ssh://")) {
            (_, true) if self.proxy.is_some() => Err(wrong(
                "of the proxy is not used for ssh://; use https://, or drop spec.proxySecretRef",
            )),
            (Login::Ssh(_), true) => Ok(()),
            (Login::Basic { .. } | Login::Bearer { .. } | Login::App(_), _)
                if url.starts_with("http://") && !is_loopback(url) =>
            {
                Err(wrong("would travel in clear over http://; use https://"))
            }
            (_, true) => Err(wrong(
                "is needed for ssh://: give spec.secretRef a Secret with identity and known_hosts",
            )),
            _ => Ok(()),
        }
    }
}

pub(super) fn tls(texts: &Texts) -> Result<Tls, GitError> {
    let authority = texts.find(&["ca.crt", "caFile"])?;
    let certificate = texts.find(&["tls.crt", "certFile"])?;
    let key = texts.find(&["tls.key", "keyFile"])?;
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(hidden(format!("{certificate}\n{key}\n"))),
        (None, None) => None,
        (Some(_), None) => return Err(wrong("has a tls.crt and no tls.key")),
        (None, Some(_)) => return Err(wrong("has a tls.key and no tls.crt")),
    };
    Ok(Tls { authority, client })
}

/// Whether an address is one of this machine.
pub(super) fn is_loopback(url: &str) -> bool {
    let authority = url
        .split_once("://")
        .map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    matches!(
        authority.rsplit_once(':').map_or(authority, |(host, _)| host),
        "127.0.0.1" | "localhost" | "[::1]"
    )
}
