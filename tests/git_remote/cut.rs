//! Connections that end, hang or lie, at the start and in the middle of a pack: each ends in words that say so, the last good
//! revision stays, and the next fetch works.

use super::ssh::Server;
use super::tls::{Authority, front};
use super::{BASIC, bare, open, place, secret, serve};
use crate::support::canary::Canary;
use crate::support::{say, seed};
use couchestor::io::git::{Credentials, Lease, Repository};
use couchestor::model::failure::{Class, Failure};
use couchestor::model::ids::CommitId;
use couchestor::model::rendering::FileChange;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that answers every connection with the same bytes and hangs up.
async fn answers(bytes: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x.git", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(bytes).await;
            });
        }
    });
    (url, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_cut_answers_and_other_hosts_end_in_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let canary = Canary::new();
    let mut ended = 0;
    for (name, bytes, words) in [
        ("no http", &b"garbage garbage garbage\r\n\r\n"[..], "invalid HTTP version"),
        ("nothing", &b""[..], "connection closed before message completed"),
        ("a page", &b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"[..], "not that of a Git server"),
        (
            "no packets",
            &b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nContent-Length: 12\r\n\r\nzzzzgarbage!"[..],
            "bad packet length",
        ),
        (
            "cut in the middle",
            &b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nContent-Length: 500\r\n\r\n001e# service=git-upl"[..],
            "end of file before message length reached",
        ),
        ("another host", &b"HTTP/1.1 302 Found\r\nLocation: https://evil.example.org/x.git\r\nContent-Length: 0\r\n\r\n"[..], "sends us to https://evil.example.org"),
        ("refused", &b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"[..], "refused the credentials"),
        ("missing", &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..], "no such repository"),
        ("broken", &b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"[..], "500"),
    ] {
        let (url, count) = answers(bytes).await;
        let credentials = Credentials::from_secret(&secret(&[("bearerToken", &canary.word)]), &url).unwrap();
        let error = open(&url, &folder.path().join("c"), credentials).fetch("main").await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(words), "{name}: {text}");
        canary.assert_absent(&text);
        assert!(count.load(Ordering::Relaxed) <= 2, "{name} was tried {count:?} times");
        ended += 1;
    }
    say(&format!(
        "connections: {ended} answers over http that are none, each said in words"
    ));
}

/// A server that says something at once, and then hangs up or says nothing more.
async fn greets(bytes: &'static [u8], hangs_up: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let _ = socket.write_all(bytes).await;
                if hangs_up {
                    let _ = socket.shutdown().await;
                }
                // What is heard is taken, so that the end is no reset.
                let mut heard = [0; 4096];
                while matches!(socket.read(&mut heard).await, Ok(1..)) {}
            });
        }
    });
    (address, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn greetings_that_are_garbage_are_cut_or_never_come_end_in_words_over_tls_and_ssh() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let canary = Canary::new();
    let keys = Server::start();
    let identity = keys.read("anna");
    let limit = Duration::from_secs(2);
    let mut ended = 0;
    for (name, over, bytes, hangs_up, words) in [
        (
            "garbage",
            "https",
            &b"garbage garbage garbage\r\n\r\n"[..],
            false,
            "corrupt message",
        ),
        ("cut", "https", &b"\x16\x03\x03\x00\x7a\x02"[..], true, "eof"),
        ("nothing", "https", &b""[..], true, "eof"),
        (
            "silence",
            "https",
            &b""[..],
            false,
            "took longer than spec.timeout",
        ),
        ("garbage", "ssh", &b"garbage garbage\r\n"[..], true, "ssh: "),
        ("endless garbage", "ssh", &[b'x'; 100_000][..], false, "ssh: "),
        ("cut", "ssh", &b"SSH-2.0-Open"[..], true, "ssh: "),
        (
            "cut after the greeting",
            "ssh",
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            true,
            "ssh: ",
        ),
        (
            "garbage after the greeting",
            "ssh",
            &b"SSH-2.0-OpenSSH_9.2\r\nHTTP/1.1 400 Bad Request\r\n\r\n"[..],
            true,
            "ssh: ",
        ),
        ("nothing", "ssh", &b""[..], true, "ssh: "),
        ("silence", "ssh", &b""[..], false, "took longer than spec.timeout"),
    ] {
        let (address, count) = greets(bytes, hangs_up).await;
        let url = format!("{over}://{address}/x.git");
        let key = [("identity", identity.as_str()), ("known_hosts", "# nobody\n")];
        let token = [("bearerToken", canary.word.as_str())];
        let pairs = if over == "ssh" { &key[..] } else { &token[..] };
        let credentials = Credentials::from_secret(&secret(pairs), &url).unwrap();
        let clone = folder.path().join("c");
        let repository = Repository::new(&url, &clone, credentials, limit, false).unwrap();
        let error = repository.fetch("main").await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.class(), Class::Retry, "{over}, {name}: {text}");
        assert!(text.contains(words) && text.len() < 600, "{over}, {name}: {text}");
        canary.assert_absent(&format!("{error} {error:?}"));
        ended += 1;
        assert!(
            count.load(Ordering::Relaxed) <= 2,
            "{over}, {name} was tried {count:?} times"
        );
    }
    say(&format!(
        "connections: {ended} greetings over TLS and ssh that are none, each said in words"
    ));
}

/// What happens to a connection after so many bytes of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It is closed.
    Cut,
    /// One byte is another one.
    Garbage,
    /// Nothing more comes.
    Hang,
}

/// A relay between us and a server; what it is told holds for the bytes that come from then on.
struct Relay {
    address: SocketAddr,
    plan: Arc<Mutex<(Fault, usize)>>,
}

impl Relay {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Mutex::new((Fault::None, 0)));
        let told = plan.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(to).await.unwrap();
                tokio::spawn(pass(client, server, told.clone()));
            }
        });
        Self { address, plan }
    }

    fn tell(&self, fault: Fault, after: usize) {
        *self.plan.lock().unwrap() = (fault, after);
    }

    fn left(&self) -> usize {
        self.plan.lock().unwrap().1
    }
}

/// Carries bytes both ways until the plan says otherwise.
async fn pass(client: TcpStream, server: TcpStream, plan: Arc<Mutex<(Fault, usize)>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let forth = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
        let mut bytes = &mut buffer[..count];
        let (fault, left) = *plan.lock().unwrap();
        let reached = fault != Fault::None && left < count;
        *plan.lock().unwrap() = (fault, left.saturating_sub(count));
        if reached {
            match fault {
                Fault::Garbage => {
                    bytes[left] ^= 0x55;
                    plan.lock().unwrap().0 = Fault::None;
                }
                _ => bytes = &mut bytes[..left],
            }
        }
        if to_client.write_all(bytes).await.is_err() {
            break;
        }
        match fault {
            Fault::Cut if reached => break,
            Fault::Hang if reached => tokio::time::sleep(Duration::from_secs(60)).await,
            _ => {}
        }
    }
    forth.abort();
}

/// Bytes of the file that is fetched; they cannot be compressed.
const LARGE: usize = 300_000;

/// What comes before the pack has fewer bytes than this, over ssh too.
const BEFORE_PACK: usize = 10_000;

/// How long a hanging fetch waits: any other takes less, on a busy machine too.
const SHORT: Duration = Duration::from_secs(20);

/// What is followed, and where its clone is.
struct Followed<'a> {
    repository: Repository,
    clone: &'a Path,
    relay: Relay,
}

impl Followed<'_> {
    /// Where the clone's branch stands, and its files.
    async fn stands(&self) -> (String, usize) {
        let clone = git2::Repository::open_bare(self.clone).unwrap();
        let id = clone.refname_to_id("refs/heads/main").unwrap().to_string();
        let files = self.repository.entries(&CommitId(id.clone())).await.unwrap();
        (id, files.len())
    }
}

/// Pushes a file that cannot be compressed.
async fn push_large(
    person: &Repository,
    tip: CommitId,
    number: usize,
    random: &mut fastrand::Rng,
) -> (CommitId, Vec<u8>) {
    let mut content = vec![0; LARGE];
    random.fill(&mut content);
    let change = FileChange {
        path: format!("{number}.bin"),
        content: Some(content.clone()),
    };
    let (lease, now) = (Lease::At(tip.clone()), couchestor::io::clock::now());
    let pushed = person.push("main", lease, Some(tip), vec![change], "large\n".to_owned(), now);
    (pushed.await.unwrap(), content)
}

/// Spoils a fetch again and again, at places that the generator draws, between fetches that succeed.
async fn spoiled(
    followed: Followed<'_>,
    person: &Repository,
    mut tip: CommitId,
    random: &mut fastrand::Rng,
    over: &str,
) {
    let broken = match over {
        "ssh" => "the connection broke off",
        "https" => "without sending TLS close_notify",
        _ => "end of file before message length reached",
    };
    let tips = followed.repository.fetch("main").await.unwrap();
    assert_eq!(tips.branches["main"], tip);
    // Over ssh and TLS no garbage gets through; over http it is found where the pack is read.
    let garbled: &[&str] = match over {
        "ssh" => &[broken],
        "https" => &["connection error", "decrypt"],
        _ => &["zlib", "pack"],
    };
    let broken = &[broken][..];
    let (cut, garbage) = ((Fault::Cut, 4, broken), (Fault::Garbage, 1, garbled));
    let hang = (Fault::Hang, 1, &["took longer than spec.timeout (20 s)"][..]);
    let mut faults = 0;
    for (number, (fault, times, words)) in [cut, garbage, hang, garbage, cut, garbage]
        .into_iter()
        .enumerate()
    {
        let good = followed.stands().await;
        let (next, content) = push_large(person, tip, number, random).await;
        tip = next;
        for _ in 0..times {
            let after = random.usize(BEFORE_PACK..LARGE);
            followed.relay.tell(fault, after);
            let began = Instant::now();
            let outcome = followed.repository.fetch("main").await;
            let which = format!("over {over}, {fault:?} after {after} bytes: {outcome:?}");
            assert_eq!(followed.relay.left(), 0, "it was never reached: {which}");
            faults += 1;
            assert!(began.elapsed() < Duration::from_secs(90), "{which}");
            let error = match outcome {
                // Garbage in a pack looks like a damaged clone, which is made anew from the remote: that must be right then.
                Ok(tips) if fault == Fault::Garbage && over == "http" => {
                    assert_eq!(tips.branches["main"], tip, "{which}");
                    assert_eq!(followed.stands().await.0, tip.to_string(), "{which}");
                    continue;
                }
                outcome => outcome.unwrap_err(),
            };
            let expected = match fault {
                Fault::Hang => "Timeout",
                Fault::Garbage if error.reason() == "CloneDamaged" && over == "http" => "CloneDamaged",
                _ => "GitOperationFailed",
            };
            assert_eq!(
                (error.class(), error.reason()),
                (Class::Retry, expected),
                "{which}"
            );
            let text = error.to_string();
            assert!(words.iter().any(|word| text.contains(word)), "{which}");
            assert_eq!(followed.stands().await, good, "{which}");
        }
        followed.relay.tell(Fault::None, 0);
        let tips = followed.repository.fetch("main").await.unwrap();
        assert_eq!(tips.branches["main"], tip);
        assert_eq!(followed.stands().await, (tip.to_string(), good.1 + 1));
        let entries = followed.repository.entries(&tip).await.unwrap();
        let blob = &entries[&format!("{number}.bin")].blob;
        assert!(
            followed.repository.blobs().unwrap().read(blob, LARGE).unwrap() == content,
            "{number}"
        );
    }
    say(&format!(
        "connections: {faults} faults in the middle of packs over {over}"
    ));
}

/// Follows a repository through a relay, while a person pushes to the repository itself, and spoils what is fetched.
async fn spoiled_behind(
    relay: Relay,
    url: &str,
    login: &[(&str, &str)],
    folder: &Path,
    (file, tip): (String, CommitId),
) {
    let (over, _) = url.split_once(':').unwrap();
    let mut random = fastrand::Rng::with_seed(seed(&format!("packs spoiled over {over}")));
    let credentials = Credentials::from_secret(&secret(login), url).unwrap();
    let clone = &folder.join("clone");
    let repository = Repository::new(url, clone, credentials, SHORT, false).unwrap();
    let person = open(&file, &folder.join("another"), Credentials::default());
    person.fetch("main").await.unwrap();
    let followed = Followed {
        repository,
        clone,
        relay,
    };
    spoiled(followed, &person, tip, &mut random, over).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_cut_spoiled_or_never_ends_over_http_changes_nothing() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let made = bare(folder.path()).await;
    let (plain, _) = serve(folder.path(), BASIC).await;
    let relay = Relay::start(place(&plain)).await;
    let url = format!("http://{}/repository.git", relay.address);
    let login = [("username", "ops"), ("password", "right")];
    spoiled_behind(relay, &url, &login, folder.path(), made).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_cut_spoiled_or_never_ends_over_tls_changes_nothing() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let made = bare(folder.path()).await;
    let (plain, _) = serve(folder.path(), BASIC).await;
    let ours = Authority::new();
    // The faults are on the wire: what is spoiled is what TLS carries.
    let (address, _) = front(&ours, None, place(&plain)).await;
    let relay = Relay::start(address).await;
    let url = format!("https://{}/repository.git", relay.address);
    let login = [("username", "ops"), ("password", "right"), ("ca.crt", &ours.pem)];
    spoiled_behind(relay, &url, &login, folder.path(), made).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_cut_spoiled_or_never_ends_over_ssh_changes_nothing() {
    let server = Server::start();
    let folder = server.folder.path();
    let made = bare(folder).await;
    let relay = Relay::start(SocketAddr::from(([127, 0, 0, 1], server.port))).await;
    let port = |text: String| {
        text.replace(
            &format!(":{}", server.port),
            &format!(":{}", relay.address.port()),
        )
    };
    let url = port(server.url(&folder.join("repository.git")));
    let (identity, known) = (server.read("anna"), port(server.known("host_ed25519")));
    let login = [("identity", identity.as_str()), ("known_hosts", known.as_str())];
    spoiled_behind(relay, &url, &login, folder, made).await;
}
