//! Git over ssh, by russh: one key, offered once, to a host whose key stands in the Secret's `known_hosts`.

use super::credentials::{Login, SshKey, wrong};
use super::known_hosts;
use super::session::{Received, Session};
use super::{GitError, RECEIVED_BYTES_MAX};
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use russh::client::{self, Handle};
use russh::keys::ssh_key::private::{EcdsaKeypair, KeypairData};
use russh::keys::ssh_key::{self, Algorithm, EcdsaCurve, HashAlg, PublicKey};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};
use russh::{Channel, ChannelMsg};
use std::borrow::Cow;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

/// How much of what the server says beside the protocol is kept.
const WORDS_MAX: usize = 500;

/// What a private key in OpenSSH's own format begins with.
const OPENSSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";

/// Refuses a key that cannot be used, before anybody is asked anything.
pub(super) fn check_key(key: &SshKey) -> Result<(), GitError> {
    private_key(key).map(|_| ())
}

fn private_key(key: &SshKey) -> Result<PrivateKey, GitError> {
    let phrase = key.password.as_ref().map(|password| password.as_str());
    let private = decode_secret_key(&key.identity, phrase).map_err(|error| {
        let what = match error {
            russh::keys::Error::KeyIsEncrypted => "has an identity with a passphrase, and no password for it",
            // OpenSSH leaves leading zeros of the number out: one ECDSA key of some five hundred is shorter than this reads.
            russh::keys::Error::SshKey(ssh_key::Error::Encoding(_)) if key.identity.contains(OPENSSH) => {
                "has an identity in OpenSSH's format that cannot be read; \
                 `ssh-keygen -p -m PEM -f FILE` writes it in another one, or make a new key"
            }
            _ if phrase.is_some() => "has an identity that cannot be opened with its password",
            _ => "has an identity that is no ssh private key",
        };
        wrong(what)
    })?;
    Ok(aligned(private))
}

/// The same key with its number at its place: ssh-key before 0.7 reads a P-521 number that OpenSSH wrote without its
/// leading zeros, which one of four is, to the left instead of the right (RustCrypto/SSH pull request 356).
fn aligned(key: PrivateKey) -> PrivateKey {
    let KeypairData::Ecdsa(EcdsaKeypair::NistP521 { public, private }) = key.key_data() else {
        return key;
    };
    let read = private.as_slice();
    let right = (1..=2).find_map(|missing| {
        let scalar = Zeroizing::new([&vec![0; missing], &read[..read.len() - missing]].concat());
        let secret = p521::SecretKey::from_slice(&scalar).ok()?;
        (p521::EncodedPoint::from(secret.public_key()) == *public).then_some(secret)
    });
    let moved = right.map(|secret| {
        let pair = EcdsaKeypair::NistP521 {
            public: *public,
            private: secret.into(),
        };
        PrivateKey::new(KeypairData::Ecdsa(pair), "")
    });
    match moved {
        Some(Ok(moved)) => moved,
        _ => key,
    }
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
        output: Output::new(RECEIVED_BYTES_MAX),
    })
}

/// The command's input and output.
struct Stream {
    session: Arc<Session>,
    /// The connection ends with it.
    _handle: Handle<Client>,
    channel: Channel<client::Msg>,
    output: Output,
}

/// What came of the command.
struct Output {
    bytes: Vec<u8>,
    at: usize,
    received: Received,
    words: String,
    status: Option<u32>,
    /// Whether the server said that this is all, which a broken connection does not.
    closed: bool,
}

impl Output {
    fn new(max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            at: 0,
            received: Received::new(max),
            words: String::new(),
            status: None,
            closed: false,
        }
    }

    /// Takes one message, or the end of all; says whether there is more of the command's output, as soon as that is known.
    fn take(&mut self, message: Option<ChannelMsg>) -> Result<Option<bool>, GitError> {
        match message {
            Some(ChannelMsg::Data { data }) => {
                self.received.add(data.len())?;
                self.bytes = data.to_vec();
                self.at = 0;
                return Ok(Some(true));
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
                return self.end().map(Some);
            }
            None => return self.end().map(Some),
            Some(_) => {}
        }
        Ok(None)
    }

    fn end(&self) -> Result<bool, GitError> {
        match self.status {
            Some(0) => Ok(false),
            None if !self.closed => Err(self.broke_off()),
            None if self.received.count() > 0 && self.words.is_empty() => Ok(false),
            _ => Err(GitError::Failed {
                detail: format!("the server ended the command: {}", self.words.trim()),
            }),
        }
    }

    fn broke_off(&self) -> GitError {
        GitError::Failed {
            detail: format!(
                "ssh: the connection broke off after {} bytes",
                self.received.count()
            ),
        }
    }
}

impl Stream {
    /// Waits for more of the command's output; `false` at its end.
    fn fill(&mut self) -> Result<bool, GitError> {
        loop {
            let message = self.session.wait(self.channel.wait())?;
            if let Some(more) = self.output.take(message)? {
                return Ok(more);
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.output.at >= self.output.bytes.len() {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => return Err(std::io::Error::other(self.session.fail(error))),
            }
        }
        let output = &mut self.output;
        let count = buffer.len().min(output.bytes.len() - output.at);
        buffer[..count].copy_from_slice(&output.bytes[output.at..output.at + count]);
        output.at += count;
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.session.wait(self.channel.data(bytes));
        // The library knows no other reason than that there is nobody any more.
        let outcome = sent.and_then(|sent| sent.map_err(|_| self.output.broke_off()));
        match outcome {
            Ok(()) => Ok(bytes.len()),
            Err(error) => Err(std::io::Error::other(self.session.fail(error))),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    /// A name, what comes, and words of how it ends.
    type Row = (&'static str, Vec<Option<ChannelMsg>>, Result<(), &'static str>);

    fn data(count: usize) -> Option<ChannelMsg> {
        Some(ChannelMsg::Data {
            data: vec![b'x'; count].into(),
        })
    }

    fn words(text: &str) -> Option<ChannelMsg> {
        Some(ChannelMsg::ExtendedData {
            data: text.as_bytes().to_vec().into(),
            ext: 1,
        })
    }

    fn status(exit_status: u32) -> Option<ChannelMsg> {
        Some(ChannelMsg::ExitStatus { exit_status })
    }

    #[test]
    fn the_end_of_the_output_is_what_the_server_says() {
        let (eof, close) = (|| Some(ChannelMsg::Eof), || Some(ChannelMsg::Close));
        let table: [Row; 9] = [
            ("in order", vec![data(5), eof(), status(0), close()], Ok(())),
            ("the status first", vec![data(5), status(0), eof()], Ok(())),
            ("without a status", vec![data(5), eof(), close()], Ok(())),
            ("the bound", vec![data(6), data(4), status(0), close()], Ok(())),
            (
                "one byte more",
                vec![data(6), data(5)],
                Err("the server sent more than 10 bytes"),
            ),
            (
                "lost",
                vec![data(5), None],
                Err("the connection broke off after 5 bytes"),
            ),
            (
                "lost after the output",
                vec![data(5), eof(), None],
                Err("broke off after 5 bytes"),
            ),
            (
                "refused",
                vec![words("no \u{1b}such thing\n"), status(128), close()],
                Err("no such thing"),
            ),
            ("nothing", vec![close()], Err("the server ended the command")),
        ];
        for (name, messages, expected) in table {
            let mut output = Output::new(10);
            let mut end = Ok(());
            for message in messages {
                match output.take(message) {
                    Ok(Some(false)) => break,
                    Ok(_) => {}
                    Err(error) => end = Err(error.to_string()),
                }
            }
            match (end, expected) {
                (Ok(()), Ok(())) => {}
                (Err(error), Err(part)) if error.contains(part) => {}
                (end, expected) => panic!("{name}: {end:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn what_the_server_says_beside_the_data_is_kept_to_its_bound() {
        let mut output = Output::new(10);
        for _ in 0..3 {
            output.take(words(&"w".repeat(400))).unwrap();
        }
        assert_eq!(output.words.len(), WORDS_MAX);
    }
}
