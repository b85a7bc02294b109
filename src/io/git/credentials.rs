//! Credentials, from Secrets with Flux's keys; each is offered once, so that a wrong one locks no account.

use super::known_hosts;
use super::{GitError, failed};
use crate::model::secret::SecretText;
use git2::cert::Cert;
use git2::{CertificateCheckStatus, Cred, CredentialType, ErrorCode};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// How to show who we are. No Debug: it holds secrets.
#[derive(Clone, Default)]
pub struct Credentials {
    kind: Kind,
}

#[derive(Clone, Default)]
enum Kind {
    #[default]
    None,
    Basic {
        username: String,
        password: Arc<Zeroizing<String>>,
    },
    Bearer {
        token: Arc<Zeroizing<String>>,
    },
    Ssh {
        identity: Arc<Zeroizing<String>>,
        known_hosts: String,
        password: Option<Arc<Zeroizing<String>>>,
    },
}

impl Credentials {
    /// Reads a Secret.
    ///
    /// # Errors
    /// Which key is missing or unreadable.
    pub fn from_secret(data: &BTreeMap<String, SecretText>, url: &str) -> Result<Self, GitError> {
        let text = |key: &str| -> Result<Option<String>, GitError> {
            data.get(key)
                .map(|value| {
                    value
                        .expose_str()
                        .map(|text| text.trim_end_matches('\n').to_owned())
                })
                .transpose()
                .map_err(|_| GitError::Credentials {
                    what: format!("has a key {key} that is no text"),
                })
        };
        let missing = |key: &str| GitError::Credentials {
            what: format!("has no key {key}"),
        };
        let secret = |text: String| Arc::new(Zeroizing::new(text));
        let kind = if url.starts_with("ssh://") {
            Kind::Ssh {
                identity: secret(format!(
                    "{}\n",
                    text("identity")?.ok_or_else(|| missing("identity"))?
                )),
                known_hosts: text("known_hosts")?.ok_or_else(|| missing("known_hosts"))?,
                password: text("password")?.map(secret),
            }
        } else if let Some(token) = text("bearerToken")? {
            Kind::Bearer { token: secret(token) }
        } else if data.contains_key("username") || data.contains_key("password") {
            Kind::Basic {
                username: text("username")?.ok_or_else(|| missing("username"))?,
                password: secret(text("password")?.ok_or_else(|| missing("password"))?),
            }
        } else if data.contains_key("ca.crt") || data.is_empty() {
            Kind::None
        } else {
            return Err(GitError::Credentials {
                what: "has no key that is read: username and password, bearerToken, identity and known_hosts, ca.crt".to_owned(),
            });
        };
        if let Some(authority) = text("ca.crt")? {
            trust(&authority)?;
        }
        Ok(Self { kind })
    }

    /// Refuses an address that cannot work with these credentials.
    pub(super) fn check(&self, url: &str) -> Result<(), GitError> {
        match (&self.kind, url.starts_with("ssh://")) {
            (Kind::Ssh { .. }, true) => Ok(()),
            (Kind::Basic { .. } | Kind::Bearer { .. }, _)
                if url.starts_with("http://") && !is_loopback(url) =>
            {
                Err(GitError::Credentials {
                    what: "would travel in clear over http://; use https://".to_owned(),
                })
            }
            (_, true) => Err(GitError::Credentials {
                what: "is needed for ssh://: give spec.secretRef a Secret with identity and known_hosts"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn headers(&self) -> Vec<Zeroizing<String>> {
        match &self.kind {
            Kind::Bearer { token } => vec![Zeroizing::new(format!(
                "Authorization: Bearer {}",
                token.as_str()
            ))],
            _ => Vec::new(),
        }
    }
}

/// What was told to the server in one connection, and what became of it.
#[derive(Default)]
pub(super) struct Told {
    offers: Cell<u32>,
    host_key: RefCell<Option<String>>,
    pub(super) lease: RefCell<Option<GitError>>,
}

impl Told {
    pub(super) fn credential(
        &self,
        credentials: &Credentials,
        user: Option<&str>,
        allowed: CredentialType,
    ) -> Result<Cred, git2::Error> {
        // Over ssh libgit2 first asks for the user's name only; that is no offer.
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user.unwrap_or("git"));
        }
        if self.offers.replace(self.offers.get() + 1) > 0 {
            return Err(git2::Error::new(
                ErrorCode::Auth,
                git2::ErrorClass::Callback,
                "they were offered once and refused",
            ));
        }
        match &credentials.kind {
            Kind::Basic { username, password } if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) => {
                Cred::userpass_plaintext(username, password)
            }
            Kind::Ssh {
                identity, password, ..
            } if allowed.contains(CredentialType::SSH_KEY) => {
                let phrase = password.as_ref().map(|password| password.as_str());
                Cred::ssh_key_from_memory(user.unwrap_or("git"), None, identity, phrase)
            }
            _ => Err(git2::Error::new(
                ErrorCode::Auth,
                git2::ErrorClass::Callback,
                "the Secret holds nothing that it accepts",
            )),
        }
    }

    pub(super) fn certificate(
        &self,
        credentials: &Credentials,
        url: &str,
        certificate: &Cert,
        host: &str,
    ) -> Result<CertificateCheckStatus, git2::Error> {
        let Some(host_key) = certificate.as_hostkey() else {
            // For TLS this leaves the verdict to OpenSSL; answering "ok" would switch verification off.
            return Ok(CertificateCheckStatus::CertificatePassthrough);
        };
        let Kind::Ssh { known_hosts, .. } = &credentials.kind else {
            return Err(git2::Error::from_str("there are no known hosts"));
        };
        let refusal = match host_key.hostkey() {
            Some(key) => known_hosts::check(known_hosts, host, port(url), key).err(),
            None => Some("the server showed no host key".to_owned()),
        };
        match refusal {
            None => Ok(CertificateCheckStatus::CertificateOk),
            Some(refusal) => {
                *self.host_key.borrow_mut() = Some(refusal.clone());
                Err(git2::Error::new(
                    ErrorCode::Certificate,
                    git2::ErrorClass::Ssh,
                    refusal,
                ))
            }
        }
    }

    pub(super) fn translate(&self, error: git2::Error) -> GitError {
        if let Some(lost) = self.lease.borrow().clone() {
            return lost;
        }
        if let Some(detail) = self.host_key.borrow().clone() {
            return GitError::HostKey { detail };
        }
        match error.code() {
            ErrorCode::Auth => GitError::Denied {
                detail: error.message().to_owned(),
            },
            ErrorCode::Certificate => GitError::HostKey {
                detail: format!(
                    "the server's certificate is not trusted: {}; give its authority as ca.crt in the Secret",
                    error.message()
                ),
            },
            _ if error.message().contains("401") || error.message().contains("403") => GitError::Denied {
                detail: error.message().to_owned(),
            },
            _ => failed(error),
        }
    }
}

fn is_loopback(url: &str) -> bool {
    let authority = url
        .split_once("://")
        .map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    matches!(
        authority.rsplit_once(':').map_or(authority, |(host, _)| host),
        "127.0.0.1" | "localhost" | "[::1]"
    )
}

fn port(url: &str) -> u16 {
    let authority = url
        .split_once("://")
        .map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .unwrap_or(22)
}

/// Adds an authority to those that libgit2 trusts, next to the system's.
fn trust(authority: &str) -> Result<(), GitError> {
    let broken = |error: &dyn std::fmt::Display| GitError::Credentials {
        what: format!("has a ca.crt that cannot be used: {error}"),
    };
    let file = tempfile::NamedTempFile::new().map_err(|error| broken(&error))?;
    std::fs::write(file.path(), authority).map_err(|error| broken(&error))?;
    #[expect(
        unsafe_code,
        reason = "git2 marks this as unsafe because OpenSSL's store is shared by the process"
    )]
    // SAFETY: OpenSSL locks the store while it adds a certificate; nothing is removed or read back here.
    let outcome = unsafe { git2::opts::set_ssl_cert_file(file.path()) };
    outcome.map_err(|error| broken(&error.message()))
}
