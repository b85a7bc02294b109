//! Git over TLS: every credential belongs to its source alone.

use super::{TIMEOUT, bare, open, place, push, secret, serve};
use crate::support::canary::Canary;
use crate::support::say;
use couchestor::io::git::{Credentials, Lease, Repository};
use couchestor::model::failure::{Class, Failure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority of our own.
pub(super) struct Authority {
    pub(super) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate and its key, as PEM.
    pub(super) fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_for(names, (1975, 4096))
    }

    /// One that is valid from the start of a year to the start of another.
    fn issue_for(&self, names: &[&str], (from, to): (i32, i32)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// Speaks TLS in front of a server that does not; with `clients`, only to certificates of that authority. Gives the address, and
/// how many connections came.
pub(super) async fn front(
    ours: &Authority,
    clients: Option<&Authority>,
    inside: SocketAddr,
) -> (SocketAddr, Arc<AtomicUsize>) {
    front_showing(ours.issue(&["127.0.0.1", "git.invalid"]), clients, inside).await
}

/// The same with this certificate and key.
async fn front_showing(
    (certificate, key): (String, String),
    clients: Option<&Authority>,
    inside: SocketAddr,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = match clients {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let config = config.with_single_cert(chain, key).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let connections: Arc<AtomicUsize> = Arc::default();
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut outside) = acceptor.accept(socket).await else {
                    return;
                };
                let Ok(mut inside) = tokio::net::TcpStream::connect(inside).await else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    (address, connections)
}

/// Serves a folder's repositories over TLS; with `clients`, only to certificates of that authority.
pub(super) async fn serve_tls(
    root: &Path,
    wanted: &str,
    ours: &Authority,
    clients: Option<&Authority>,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let (plain, came) = serve(root, wanted).await;
    let (address, _) = front(ours, clients, place(&plain)).await;
    (format!("https://{address}/repository.git"), came)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_believed_for_its_own_source_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (_, tip) = bare(folder.path()).await;
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (url, _) = serve_tls(folder.path(), "", &ours, None).await;
    let fetch = async |name: &str, credentials: Credentials| {
        open(&url, &folder.path().join(name), credentials)
            .fetch("main")
            .await
    };
    let with = |authority: &Authority| {
        Credentials::from_secret(&secret(&[("ca.crt", &authority.pem)]), &url).unwrap()
    };
    assert_eq!(fetch("right", with(&ours)).await.unwrap().branches["main"], tip);
    // The first source's authority is not believed for the second, nor is nobody's.
    for credentials in [Credentials::default(), with(&theirs)] {
        let error = fetch("wrong", credentials).await.unwrap_err();
        assert_eq!(
            (error.class(), error.reason()),
            (Class::Stalled, "HostKeyFailed"),
            "{error}"
        );
        assert!(error.to_string().contains("ca.crt"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_or_another_time_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (_, tip) = bare(folder.path()).await;
    let ours = Authority::new();
    let (plain, came) = serve(folder.path(), super::BASIC).await;
    let canary = Canary::new();
    let (mut believed, mut refused) = (0, 0);
    let ever = (1975, 4096);
    for (name, names, years, words) in [
        ("right", ["127.0.0.1"], ever, None),
        (
            "another name",
            ["git.example.org"],
            ever,
            Some(["not valid for name", "into spec.url"]),
        ),
        (
            "expired",
            ["127.0.0.1"],
            (1990, 2001),
            Some(["expired", "valid now"]),
        ),
        (
            "not yet",
            ["127.0.0.1"],
            (4000, 4096),
            Some(["not valid yet", "valid now"]),
        ),
    ] {
        let (address, connections) = front_showing(ours.issue_for(&names, years), None, place(&plain)).await;
        let url = format!("https://{address}/repository.git");
        let password = words.map_or("right", |_| canary.word.as_str());
        let pairs = [
            ("ca.crt", ours.pem.as_str()),
            ("username", "ops"),
            ("password", password),
        ];
        let credentials = Credentials::from_secret(&secret(&pairs), &url).unwrap();
        came.lock().unwrap().clear();
        let fetched = open(&url, &folder.path().join(name), credentials)
            .fetch("main")
            .await;
        let Some(words) = words else {
            assert_eq!(fetched.unwrap().branches["main"], tip);
            believed += 1;
            continue;
        };
        let error = fetched.unwrap_err();
        assert_eq!(
            (error.class(), error.reason()),
            (Class::Stalled, "HostKeyFailed"),
            "{name}: {error}"
        );
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{name}: {text}");
        canary.assert_absent(&format!("{error} {error:?}"));
        assert_eq!(came.lock().unwrap().len(), 0, "{name}: the password was shown");
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{name}");
        refused += 1;
    }
    say(&format!(
        "git over TLS: {believed} certificate believed, {refused} refused before the password is shown"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_opens_what_demands_one() {
    let folder = tempfile::tempdir().unwrap();
    let (_, tip) = bare(folder.path()).await;
    let (server, clients) = (Authority::new(), Authority::new());
    let (plain, _) = serve(folder.path(), "").await;
    let (address, connections) = front(&server, Some(&clients), place(&plain)).await;
    let url = format!("https://{address}/repository.git");
    let (certificate, key) = clients.issue(&["couchestor"]);
    let theirs = Authority::new();
    let (strange, strange_key) = theirs.issue(&["eve"]);
    let fetch = async |name: &str, pairs: &[(&str, &str)]| {
        let credentials = Credentials::from_secret(&secret(pairs), &url)?;
        Repository::new(&url, &folder.path().join(name), credentials, TIMEOUT, false)?
            .fetch("main")
            .await
    };
    let right = [
        ("ca.crt", server.pem.as_str()),
        ("tls.crt", &certificate),
        ("tls.key", &key),
    ];
    assert_eq!(fetch("right", &right).await.unwrap().branches["main"], tip);
    // The names that Flux wrote before it took those of Kubernetes; they count where the others are not.
    let earlier = [
        ("caFile", server.pem.as_str()),
        ("certFile", &certificate),
        ("keyFile", &key),
    ];
    assert_eq!(fetch("earlier", &earlier).await.unwrap().branches["main"], tip);
    let strange_earlier = [
        ("caFile", theirs.pem.as_str()),
        ("certFile", &strange),
        ("keyFile", &strange_key),
    ];
    let both = [&right[..], &strange_earlier].concat();
    assert_eq!(fetch("both", &both).await.unwrap().branches["main"], tip);
    let shadowed = [&earlier[..], &[("ca.crt", theirs.pem.as_str())]].concat();
    let error = fetch("shadowed", &shadowed).await.unwrap_err();
    assert_eq!(error.reason(), "HostKeyFailed", "{error}");
    let wrong = [
        ("ca.crt", server.pem.as_str()),
        ("tls.crt", &strange),
        ("tls.key", &strange_key),
    ];
    let refused = [("without", &right[..1]), ("wrong", &wrong)];
    say(&format!(
        "git over TLS: 1 client certificate believed, {} clients without the right one refused",
        refused.len()
    ));
    for (name, pairs) in refused {
        connections.store(0, Ordering::SeqCst);
        let error = fetch(name, pairs).await.unwrap_err();
        let text = error.to_string();
        // The server says no after the handshake of TLS 1.3; whether its reason can still be read is a matter of chance.
        let verdict = (error.class(), error.reason());
        let known = [
            (Class::Stalled, "HostKeyFailed"),
            (Class::Retry, "GitOperationFailed"),
        ];
        assert!(known.contains(&verdict), "{name}: {verdict:?} {text}");
        assert!(
            text.contains("tls.crt") && text.contains("tls.key"),
            "{name}: {text}"
        );
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{name}: {text}");
    }
    let canary = Canary::new();
    for (pairs, words) in [
        (&right[..2], "no tls.key"),
        (
            &[("tls.key", canary.secret.as_str()), ("tls.crt", &canary.word)][..],
            "no PEM certificate and key",
        ),
        (&[("ca.crt", canary.word.as_str())][..], "ca.crt"),
    ] {
        let error = fetch("broken", pairs).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        canary.assert_absent(&error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_credentials_over_tls_fetch_and_push_and_a_wrong_password_is_tried_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_, tip) = bare(folder.path()).await;
    let config = std::process::Command::new("git")
        .current_dir(folder.path())
        .args(["-C", "repository.git", "config", "http.receivepack", "true"])
        .status();
    assert!(config.unwrap().success());
    let ours = Authority::new();
    let (url, came) = serve_tls(folder.path(), super::BASIC, &ours, None).await;
    let with = |password: &str| {
        let pairs = [
            ("username", "ops"),
            ("password", password),
            ("ca.crt", ours.pem.as_str()),
        ];
        Credentials::from_secret(&secret(&pairs), &url).unwrap()
    };
    let right = open(&url, &folder.path().join("right"), with("right"));
    right.fetch("main").await.unwrap();
    let next = push(&right, "main", Lease::At(tip.clone()), Some(tip), "two")
        .await
        .unwrap();
    assert_eq!(right.fetch("main").await.unwrap().branches["main"], next);
    came.lock().unwrap().clear();
    let canary = Canary::new();
    let wrong = open(&url, &folder.path().join("wrong"), with(&canary.secret));
    let error = wrong.fetch("main").await.unwrap_err();
    assert_eq!(error.reason(), "AuthenticationFailed");
    canary.assert_absent(&format!("{error} {error:?}"));
    assert_eq!(came.lock().unwrap().len(), 1);
}
