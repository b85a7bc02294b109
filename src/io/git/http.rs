//! Git's smart HTTP protocol (gitprotocol-http(5)) over the HTTP client that everything else here uses: with a source's own
//! authority, client certificate and proxy, one try per credential, no way to another host, and a deadline.

use super::credentials::{Credentials, Hidden, Login, ProxyTo, is_loopback};
use super::session::{Received, Session};
use super::{GitError, RECEIVED_BYTES_MAX};
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// Largest request: what we push are small files.
const SENT_BYTES_MAX: usize = 64 << 20;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// How long a connection may take when the whole may take so long.
fn connects_within(timeout: Duration) -> Duration {
    timeout.min(CONNECT_MAX)
}

/// Where a proxy's credentials are.
const OF_THE_PROXY: &str = "its credentials are those of spec.proxySecretRef";

/// Longest address that a refusal quotes.
const QUOTED_MAX: usize = 200;

fn wrong(what: &str) -> GitError {
    GitError::Credentials {
        what: what.to_owned(),
    }
}

/// Makes the client of a source at an address.
///
/// The proxy of its Secret comes first. Without one, those of the environment are used (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`
/// but for the hosts of `NO_PROXY`), as Flux's source-controller does, and never for this machine itself, as in Go
/// (net/http, `ProxyFromEnvironment`).
pub(super) fn client(
    url: &str,
    credentials: &Credentials,
    timeout: Duration,
) -> Result<reqwest::Client, GitError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(connects_within(timeout))
        .read_timeout(timeout)
        // Credentials go to the host of spec.url and to no other.
        .redirect(reqwest::redirect::Policy::none())
        // Some forges answer nobody but git.
        .user_agent(concat!("git/2.45 (couchestor ", env!("CARGO_PKG_VERSION"), ")"));
    if let Some(authority) = &credentials.tls.authority {
        let unreadable = || wrong("has a ca.crt that is no PEM certificate");
        let certificates =
            reqwest::Certificate::from_pem_bundle(authority.as_bytes()).map_err(|_| unreadable())?;
        if certificates.is_empty() {
            return Err(unreadable());
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some(pem) = &credentials.tls.client {
        let identity = reqwest::Identity::from_pem(pem.as_bytes())
            .map_err(|_| wrong("has a tls.crt and tls.key that are no PEM certificate and key"))?;
        builder = builder.identity(identity);
    }
    builder = match &credentials.proxy {
        Some(to) => builder.proxy(proxy(to)?),
        None if is_loopback(url) => builder.no_proxy(),
        None => builder,
    };
    builder
        .build()
        .map_err(|_| wrong("has a ca.crt, tls.crt or tls.key that cannot be used"))
}

fn proxy(to: &ProxyTo) -> Result<reqwest::Proxy, GitError> {
    let unusable = || wrong("of the proxy has an address that cannot be used");
    let address = reqwest::Url::parse(&to.address).map_err(|_| unusable())?;
    // Without a host there is nothing to go to, and the library would panic over the credentials.
    if address.host_str().is_none_or(str::is_empty) {
        return Err(unusable());
    }
    let proxy = reqwest::Proxy::all(address).map_err(|_| unusable())?;
    let Some(username) = &to.username else {
        return Ok(proxy);
    };
    // The library keeps them in the address, where a percent sign begins an escape.
    let escaped = |text: &str| zeroize::Zeroizing::new(text.replace('%', "%25"));
    let password = to.password.as_ref().map_or("", |password| password.as_str());
    Ok(proxy.basic_auth(&escaped(username), &escaped(password)))
}

/// The transport of one operation.
pub(super) struct Http(pub(super) Arc<Session>);

impl SmartSubtransport for Http {
    fn action(&self, url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let (service, list) = match action {
            Service::UploadPackLs => ("git-upload-pack", true),
            Service::UploadPack => ("git-upload-pack", false),
            Service::ReceivePackLs => ("git-receive-pack", true),
            Service::ReceivePack => ("git-receive-pack", false),
        };
        Ok(Box::new(Stream {
            session: self.0.clone(),
            url: url.trim_end_matches('/').to_owned(),
            service,
            list,
            request: Vec::new(),
            answer: None,
            chunk: Vec::new(),
            at: 0,
            received: Received::new(RECEIVED_BYTES_MAX),
            sent_max: SENT_BYTES_MAX,
        }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// One request and its answer.
struct Stream {
    session: Arc<Session>,
    url: String,
    service: &'static str,
    /// Whether the references are asked for.
    list: bool,
    request: Vec<u8>,
    answer: Option<reqwest::Response>,
    chunk: Vec<u8>,
    at: usize,
    received: Received,
    sent_max: usize,
}

impl Stream {
    fn send(&mut self) -> Result<reqwest::Response, GitError> {
        let request = std::mem::take(&mut self.request);
        let mut answer = self.once(&request)?;
        // A token that ran out early is fetched anew, once; nothing else is tried twice.
        if answer.status().as_u16() == 401
            && let Some(app) = self.session.app()
        {
            app.forget();
            answer = self.once(&request)?;
        }
        let status = answer.status();
        match status.as_u16() {
            200 => {}
            401 | 403 => {
                return Err(GitError::Denied {
                    detail: format!("HTTP {status}"),
                });
            }
            407 => {
                return Err(GitError::Denied {
                    detail: format!("the proxy answered HTTP {status}; {OF_THE_PROXY}"),
                });
            }
            300..=399 => {
                let to = answer
                    .headers()
                    .get("location")
                    .and_then(|to| to.to_str().ok())
                    .unwrap_or("elsewhere");
                let to: String = to
                    .split('?')
                    .next()
                    .unwrap_or_default()
                    .chars()
                    .take(QUOTED_MAX)
                    .collect();
                return Err(GitError::Address {
                    url: self.url.clone(),
                    what: format!(
                        "the server sends us to {to}; if that is right, write it into spec.url without /info/refs"
                    ),
                });
            }
            404 => {
                return Err(GitError::Failed {
                    detail: "HTTP 404: there is no such repository, or these credentials may not see it"
                        .to_owned(),
                });
            }
            _ => {
                return Err(GitError::Failed {
                    detail: format!("HTTP {status}"),
                });
            }
        }
        let kind = if self.list { "advertisement" } else { "result" };
        let wanted = format!("application/x-{}-{kind}", self.service);
        let found = answer
            .headers()
            .get("content-type")
            .and_then(|kind| kind.to_str().ok());
        if found != Some(wanted.as_str()) {
            return Err(GitError::Failed {
                detail: "the answer is not that of a Git server; check spec.url".to_owned(),
            });
        }
        Ok(answer)
    }

    fn once(&self, body: &[u8]) -> Result<reqwest::Response, GitError> {
        let client = self.session.client.as_ref().ok_or_else(|| GitError::Failed {
            detail: "there is no client for this address".to_owned(),
        })?;
        let mut request = if self.list {
            client.get(format!("{}/info/refs?service={}", self.url, self.service))
        } else {
            client
                .post(format!("{}/{}", self.url, self.service))
                .header("Content-Type", format!("application/x-{}-request", self.service))
                .header("Accept", format!("application/x-{}-result", self.service))
                .body(body.to_vec())
        };
        request = match &self.session.credentials.login {
            Login::Basic { username, password } => request.basic_auth(username, Some(password.as_str())),
            Login::Bearer { token } => request.bearer_auth(token.as_str()),
            Login::App(app) => {
                let token: Hidden = self.session.wait(app.token(client, crate::io::clock::now()))??;
                request.basic_auth("x-access-token", Some(token.as_str()))
            }
            Login::None | Login::Ssh(_) => request,
        };
        self.session.wait(request.send())?.map_err(|error| told(&error))
    }

    fn fill(&mut self) -> Result<bool, GitError> {
        if self.answer.is_none() {
            self.answer = Some(self.send()?);
        }
        let Some(answer) = &mut self.answer else {
            return Ok(false);
        };
        let Some(chunk) = self.session.wait(answer.chunk())?.map_err(|error| told(&error))? else {
            return Ok(false);
        };
        self.received.add(chunk.len())?;
        self.chunk = chunk.to_vec();
        self.at = 0;
        Ok(true)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at >= self.chunk.len() {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => return Err(std::io::Error::other(self.session.fail(error))),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.request.len() + bytes.len() > self.sent_max {
            let error = GitError::Failed {
                detail: format!("a push has more than {} bytes", self.sent_max),
            };
            return Err(std::io::Error::other(self.session.fail(error)));
        }
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An error of the client, down to its cause; certificates are a matter for a person.
pub(super) fn told(error: &reqwest::Error) -> GitError {
    let mut words = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(inner) = cause {
        words = inner.to_string();
        cause = inner.source();
    }
    if words.is_empty() {
        words = "the connection failed".to_owned();
    }
    // As hyper-util says it for CONNECT and for SOCKS5.
    if ["proxy authorization required", "credentials not accepted"]
        .iter()
        .any(|said| words.contains(said))
    {
        return GitError::Denied {
            detail: format!("the proxy: {words}; {OF_THE_PROXY}"),
        };
    }
    let lower = words.to_lowercase();
    // The alerts are those with which servers refuse a client's certificate (RFC 8446, section 6.2), as rustls names them.
    if [
        "certificate",
        "unknownissuer",
        "unknown issuer",
        "alert: unknownca",
        "alert: accessdenied",
        "alert: decrypterror",
    ]
    .iter()
    .any(|word| lower.contains(word))
    {
        return GitError::HostKey {
            detail: format!("TLS: {words}; {}", remedy(&lower)),
        };
    }
    // With TLS 1.3 a server refuses a missing client certificate after the handshake, and the refusal may come too late to be read.
    if lower.contains("connection was not ready") {
        words = "the server closed the connection; it may demand a client certificate (tls.crt and tls.key in the Secret)".to_owned();
    }
    GitError::Failed { detail: words }
}

/// What to do about a certificate that is not believed.
fn remedy(words: &str) -> &'static str {
    // In an alert it is our certificate that the server speaks of.
    let of_server = |said: &[&str]| !words.contains("alert") && said.iter().any(|one| words.contains(one));
    if of_server(&["expired", "not valid yet"]) {
        return "the server needs a certificate that is valid now, or this machine's clock is wrong";
    }
    if of_server(&["not valid for name", "notvalidforname"]) {
        return "write the name that the certificate is for into spec.url, or have one issued for this name";
    }
    "give the server's authority as ca.crt, and a client certificate as tls.crt and tls.key, in the Secret"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use std::time::Instant;

    /// A stream to an address, with smaller bounds.
    fn stream(url: &str, received: usize, sent_max: usize) -> Stream {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let credentials = Credentials::default();
        let timeout = Duration::from_secs(30);
        let client = client(url, &credentials, timeout).unwrap();
        Stream {
            session: Session::new(&credentials, Some(client), Instant::now() + timeout),
            url: url.to_owned(),
            service: "git-upload-pack",
            list: true,
            request: Vec::new(),
            answer: None,
            chunk: Vec::new(),
            at: 0,
            received: Received::new(received),
            sent_max,
        }
    }

    /// A server whose answer never ends.
    fn endless() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x.git", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n";
            let _ = socket.write_all(head.as_bytes());
            while socket.write_all(&[b'x'; 1000]).is_ok() {}
        });
        url
    }

    #[test]
    fn a_connection_may_take_half_a_minute_and_never_longer_than_the_whole() {
        for (timeout, expected) in [(1, 1), (29, 29), (30, 30), (31, 30), (120, 30)] {
            let within = connects_within(Duration::from_secs(timeout));
            assert_eq!(within, Duration::from_secs(expected), "{timeout} s");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_without_end_is_read_to_its_bound() {
        let url = endless();
        let work = move || {
            let mut stream = stream(&url, 5_000, 0);
            let mut read = Vec::new();
            let outcome = stream.read_to_end(&mut read);
            (outcome.unwrap_err().to_string(), read.len())
        };
        let (words, read) = tokio::task::spawn_blocking(work).await.unwrap();
        assert!(words.contains("the server sent more than 5000 bytes"), "{words}");
        assert!(read <= 5_000, "{read} bytes were handed on");
    }

    #[tokio::test]
    async fn a_push_is_collected_to_its_bound() {
        let mut stream = stream("http://127.0.0.1:1/x.git", 0, 100);
        assert_eq!(stream.write(&[0; 60]).unwrap(), 60);
        assert_eq!(stream.write(&[0; 40]).unwrap(), 40);
        let words = stream.write(&[0]).unwrap_err().to_string();
        assert!(words.contains("a push has more than 100 bytes"), "{words}");
        assert_eq!(stream.request.len(), 100);
    }
}
