//! Git over ssh, by russh: one key, offered once, to a host whose key stands in the Secret's `known_hosts`.

use super::credentials::{Login, SshKey, wrong};
use super::known_hosts;
use super::session::Session;
use super::{GitError, RECEIVED_BYTES_MAX};
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use russh::client::{self, Handle};
use russh::keys::ssh_key::{Algorithm, EcdsaCurve, HashAlg, PublicKey};
use russh::keys::{PrivateKeyWithHashAlg, decode_secret_key};
use russh::{Channel, ChannelMsg};
use std::borrow::Cow;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

/// How much of what the server says beside the protocol is kept.
const WORDS_MAX: usize = 500;

/// Refuses a key that cannot be used, before anybody is asked anything.
pub(super) fn check_key(key: &SshKey) -> Result<(), GitError> {
    private_key(key).map(|_| ())
}

fn private_key(key: &SshKey) -> Result<russh::keys::PrivateKey, GitError> {
    let phrase = key.password.as_ref().map(|password| password.as_str());
    decode_secret_key(&key.identity, phrase).map_err(|error| {
        let what = match error {
            russh::keys::Error::KeyIsEncrypted => "has an identity with a passphrase, and no password for it",
            _ if phrase.is_some() => "has an identity that cannot be opened with its password",
            _ => "has an identity that is no ssh private key",
        };
        wrong(what)
    })
}

/// The transport of one operation.
pub(super) struct Ssh(pub(super) Arc<Session>);

impl SmartSubtransport for Ssh {
    fn action(&self, url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        // libgit2 goes on with the stream of the listing for the rest.
        let command = match action {
            Service::UploadPackLs | Service::UploadPack => "git-upload-pack",
            Service::ReceivePackLs | Service::ReceivePack => "git-receive-pack",
        };
        let stream = open(&self.0, url, command).map_err(|error| self.0.fail(error))?;
        Ok(Box::new(stream))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// The parts of `ssh://user@host:port/path`.
struct Address<'a> {
    user: &'a str,
    host: &'a str,
    port: u16,
    path: String,
}

fn address(url: &str) -> Option<Address<'_>> {
    let (authority, path) = url.strip_prefix("ssh://")?.split_once('/')?;
    let (user, place) = authority.rsplit_once('@').unwrap_or(("git", authority));
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let path = if path.starts_with('~') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Some(Address {
        user,
        host,
        port: port.map_or(Some(22), |port| port.parse().ok())?,
        path,
    })
}

/// Compares the server's key with those that are known.
struct Client {
    known_hosts: String,
    host: String,
    port: u16,
    refusal: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKey) -> Result<bool, Self::Error> {
        let raw = key.to_bytes().unwrap_or_default();
        match known_hosts::check(&self.known_hosts, &self.host, self.port, &raw) {
            Ok(()) => Ok(true),
            Err(refusal) => {
                if let Ok(mut kept) = self.refusal.lock() {
                    *kept = Some(refusal);
                }
                Ok(false)
            }
        }
    }
}

/// Host key algorithms of the kinds that `known_hosts` has for this host: a server that has several shows the one we can check.
fn algorithms(kinds: &[String]) -> Vec<Algorithm> {
    let known = |kind: &str| kinds.iter().any(|one| one == kind);
    let mut all = Vec::new();
    if known("ssh-ed25519") {
        all.push(Algorithm::Ed25519);
    }
    for (kind, curve) in [
        ("ecdsa-sha2-nistp256", EcdsaCurve::NistP256),
        ("ecdsa-sha2-nistp384", EcdsaCurve::NistP384),
        ("ecdsa-sha2-nistp521", EcdsaCurve::NistP521),
    ] {
        if known(kind) {
            all.push(Algorithm::Ecdsa { curve });
        }
    }
    if known("ssh-rsa") {
        all.push(Algorithm::Rsa {
            hash: Some(HashAlg::Sha512),
        });
        all.push(Algorithm::Rsa {
            hash: Some(HashAlg::Sha256),
        });
    }
    all
}

fn open(session: &Arc<Session>, url: &str, command: &str) -> Result<Stream, GitError> {
    let Login::Ssh(key) = &session.credentials.login else {
        return Err(wrong("is needed for ssh://"));
    };
    let address = address(url).ok_or_else(|| GitError::Address {
        url: url.to_owned(),
        what: "write ssh://user@host/path".to_owned(),
    })?;
    let private = Arc::new(private_key(key)?);
    let refusal = Arc::new(Mutex::new(None));
    let handler = Client {
        known_hosts: key.known_hosts.clone(),
        host: address.host.to_owned(),
        port: address.port,
        refusal: refusal.clone(),
    };
    let mut config = client::Config {
        nodelay: true,
        ..client::Config::default()
    };
    let kinds = algorithms(&known_hosts::kinds(&key.known_hosts, address.host, address.port));
    if !kinds.is_empty() {
        config.preferred.key = Cow::Owned(kinds);
    }
    let failed = |error: &dyn std::fmt::Display| GitError::Failed {
        detail: format!("ssh: {error}"),
    };
    let outcome = session.wait(async {
        let mut handle = client::connect(Arc::new(config), (address.host, address.port), handler)
            .await
            .map_err(|error| failed(&error))?;
        let hash = match handle.best_supported_rsa_hash().await {
            Ok(Some(hash)) => hash,
            _ => Some(HashAlg::Sha512),
        };
        let key = PrivateKeyWithHashAlg::new(private, hash);
        let shown = handle
            .authenticate_publickey(address.user, key)
            .await
            .map_err(|error| failed(&error))?;
        if !shown.success() {
            return Err(GitError::Denied {
                detail: format!("the key of {} was refused", address.user),
            });
        }
        let channel = handle
            .channel_open_session()
            .await
            .map_err(|error| failed(&error))?;
        let quoted = address.path.replace('\'', "'\\''");
        channel
            .exec(true, format!("{command} '{quoted}'"))
            .await
            .map_err(|error| failed(&error))?;
        Ok((handle, channel))
    })?;
    // What the host key check found is clearer than what the library makes of it.
    if let Some(detail) = refusal.lock().ok().and_then(|mut kept| kept.take()) {
        return Err(GitError::HostKey { detail });
    }
    let (handle, channel) = outcome?;
    Ok(Stream {
        session: session.clone(),
        _handle: handle,
        channel,
        bytes: Vec::new(),
        at: 0,
        received: 0,
        words: String::new(),
        status: None,
        closed: false,
    })
}

/// The command's input and output.
struct Stream {
    session: Arc<Session>,
    /// The connection ends with it.
    _handle: Handle<Client>,
    channel: Channel<client::Msg>,
    bytes: Vec<u8>,
    at: usize,
    received: usize,
    words: String,
    status: Option<u32>,
    /// Whether the server said that this is all, which a broken connection does not.
    closed: bool,
}

impl Stream {
    /// Waits for more of the command's output; `false` at its end.
    fn fill(&mut self) -> Result<bool, GitError> {
        loop {
            let message = self.session.wait(self.channel.wait())?;
            match message {
                Some(ChannelMsg::Data { data }) => {
                    self.received += data.len();
                    if self.received > RECEIVED_BYTES_MAX {
                        return Err(GitError::Failed {
                            detail: format!("the server sent more than {RECEIVED_BYTES_MAX} bytes"),
                        });
                    }
                    self.bytes = data.to_vec();
                    self.at = 0;
                    return Ok(true);
                }
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    let room = WORDS_MAX.saturating_sub(self.words.len());
                    let words = String::from_utf8_lossy(&data);
                    self.words
                        .extend(words.chars().filter(|one| !one.is_control()).take(room));
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
                Some(ChannelMsg::Eof) if self.status.is_none() => {}
                Some(ChannelMsg::Close | ChannelMsg::Eof) => {
                    self.closed = true;
                    return self.end();
                }
                None => return self.end(),
                Some(_) => {}
            }
        }
    }

    fn end(&self) -> Result<bool, GitError> {
        match self.status {
            Some(0) => Ok(false),
            None if !self.closed => Err(self.broke_off()),
            None if self.received > 0 && self.words.is_empty() => Ok(false),
            _ => Err(GitError::Failed {
                detail: format!("the server ended the command: {}", self.words.trim()),
            }),
        }
    }
}

impl Stream {
    fn broke_off(&self) -> GitError {
        GitError::Failed {
            detail: format!("ssh: the connection broke off after {} bytes", self.received),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at >= self.bytes.len() {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => return Err(std::io::Error::other(self.session.fail(error))),
            }
        }
        let count = buffer.len().min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.session.wait(self.channel.data(bytes));
        // The library knows no other reason than that there is nobody any more.
        let outcome = sent.and_then(|sent| sent.map_err(|_| self.broke_off()));
        match outcome {
            Ok(()) => Ok(bytes.len()),
            Err(error) => Err(std::io::Error::other(self.session.fail(error))),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
