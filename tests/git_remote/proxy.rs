//! Git by proxies: plain HTTP, CONNECT and SOCKS5, of the source's Secret and of the environment.

use super::tls::{Authority, serve_tls};
use super::{BASIC, TIMEOUT, bare, open, place, secret};
use crate::support::canary::Canary;
use crate::support::say;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::io::git::{Credentials, GitError, Repository};
use couchestor::model::failure::{Class, Failure};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the proxies want. The percent sign must not begin an escape on the way.
pub(super) const LOGIN: (&str, &str) = ("w%61y", "thr%6fugh");

/// Which protocol a proxy speaks.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// HTTP, with CONNECT and without.
    Http,
    Socks5,
}

/// A proxy that goes to the place of the port that it is asked for, whatever the name, and notes what it is asked for.
pub(super) struct Way {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Way {
    /// With a login, nobody else gets through.
    pub(super) async fn start(
        kind: Kind,
        to: &[SocketAddr],
        login: Option<(&'static str, &'static str)>,
    ) -> Self {
        let to = to.to_vec();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let notes = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (notes, to) = (notes.clone(), to.clone());
                tokio::spawn(async move {
                    let start = match kind {
                        Kind::Http => http(&mut socket, login, &notes).await,
                        Kind::Socks5 => socks5(&mut socket, login, &notes).await,
                    };
                    let Some((asked, first)) = start else {
                        return;
                    };
                    let fits = |to: &&SocketAddr| asked.contains(&format!(":{}", to.port()));
                    let Some(to) = to.iter().find(fits) else {
                        return;
                    };
                    let mut server = TcpStream::connect(to).await.unwrap();
                    server.write_all(&first).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut socket, &mut server).await;
                });
            }
        });
        Self { address, asked }
    }

    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// Reads a request's head; gives what was asked for and what the server shall see of it, unless the client was refused.
async fn http(
    socket: &mut TcpStream,
    login: Option<(&str, &str)>,
    notes: &Mutex<Vec<String>>,
) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let line = text.lines().next().unwrap();
    notes
        .lock()
        .unwrap()
        .push(line.trim_end_matches(" HTTP/1.1").to_owned());
    let shown = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
    });
    let wanted =
        login.map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
    if shown != wanted.as_deref() {
        let refusal =
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = socket.write_all(refusal).await;
        return None;
    }
    if !line.starts_with("CONNECT ") {
        // A server understands requests for a proxy too (RFC 9112, section 3.2.2).
        return Some((line.to_owned(), head));
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    Some((line.to_owned(), Vec::new()))
}

/// RFC 1928, with the login of RFC 1929.
async fn socks5(
    socket: &mut TcpStream,
    login: Option<(&str, &str)>,
    notes: &Mutex<Vec<String>>,
) -> Option<(String, Vec<u8>)> {
    async fn text(socket: &mut TcpStream) -> Option<String> {
        let mut bytes = vec![0; socket.read_u8().await.ok()?.into()];
        socket.read_exact(&mut bytes).await.ok()?;
        String::from_utf8(bytes).ok()
    }
    assert_eq!(socket.read_u8().await.ok()?, 5, "the version");
    let methods = text(socket).await?;
    let method = if login.is_some() { 2 } else { 0 };
    if !methods.as_bytes().contains(&method) {
        notes.lock().unwrap().push("no login".to_owned());
        let _ = socket.write_all(&[5, 0xff]).await;
        return None;
    }
    socket.write_all(&[5, method]).await.ok()?;
    if let Some((user, password)) = login {
        assert_eq!(socket.read_u8().await.ok()?, 1, "the login's version");
        let right = text(socket).await? == user;
        let right = text(socket).await? == password && right;
        socket.write_all(&[1, u8::from(!right)]).await.ok()?;
        if !right {
            notes.lock().unwrap().push("wrong login".to_owned());
            return None;
        }
    }
    let mut request = [0; 4];
    socket.read_exact(&mut request).await.ok()?;
    assert_eq!(request[..3], [5, 1, 0], "CONNECT");
    let place = match request[3] {
        1 => std::net::Ipv4Addr::from(socket.read_u32().await.ok()?).to_string(),
        3 => text(socket).await?,
        other => panic!("an address of kind {other}"),
    };
    let port = socket.read_u16().await.ok()?;
    let asked = format!("{place}:{port}");
    notes.lock().unwrap().push(asked.clone());
    socket.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    Some((asked, Vec::new()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_secret_is_gone_through_with_its_own_credentials() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let (_, tip) = bare(folder.path()).await;
    let ours = Authority::new();
    let (plain, _) = super::serve(folder.path(), BASIC).await;
    let (tls, came) = serve_tls(folder.path(), BASIC, &ours, None).await;
    let named = tls.replace("127.0.0.1", "git.invalid");
    let (to_plain, to_tls) = (place(&plain), place(&tls));
    let port = to_tls.port();
    let mut ways = 0;
    for (name, kind, scheme, url, to, asked) in [
        (
            "plain HTTP",
            Kind::Http,
            "http",
            &plain,
            to_plain,
            format!("GET {plain}/info/refs?service=git-upload-pack"),
        ),
        (
            "CONNECT",
            Kind::Http,
            "http",
            &tls,
            to_tls,
            format!("CONNECT 127.0.0.1:{port}"),
        ),
        // Only the proxy can know this name.
        (
            "CONNECT by name",
            Kind::Http,
            "http",
            &named,
            to_tls,
            format!("CONNECT git.invalid:{port}"),
        ),
        (
            "SOCKS5",
            Kind::Socks5,
            "socks5",
            &tls,
            to_tls,
            format!("127.0.0.1:{port}"),
        ),
        (
            "SOCKS5 by name",
            Kind::Socks5,
            "socks5h",
            &named,
            to_tls,
            format!("git.invalid:{port}"),
        ),
    ] {
        let way = Way::start(kind, &[to], Some(LOGIN)).await;
        let address = format!("{scheme}://{}", way.address);
        let fetch = async |clone: &str, more: &[(&str, &str)]| {
            let server = [("username", "ops"), ("password", "right"), ("ca.crt", &ours.pem)];
            let way = [&[("address", address.as_str())], more].concat();
            let credentials = Credentials::from_secret(&secret(&server), url).unwrap();
            let credentials = credentials.with_proxy(&secret(&way)).unwrap();
            open(url, &folder.path().join(clone), credentials)
                .fetch("main")
                .await
        };
        let right = [("username", LOGIN.0), ("password", LOGIN.1)];
        let tips = fetch(name, &right)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(tips.branches["main"], tip, "{name}");
        assert_eq!(way.asked().first(), Some(&asked), "{name}");

        // Wrong ones are shown once, and the server sees nobody.
        came.lock().unwrap().clear();
        let canary = Canary::new();
        let wrong = [("username", LOGIN.0), ("password", canary.secret.as_str())];
        for (what, more) in [("wrong", &wrong[..]), ("none", &[])] {
            let error = fetch(&format!("{name} {what}"), more).await.unwrap_err();
            let text = error.to_string();
            canary.assert_absent(&format!("{text} {error:?}"));
            assert_eq!(way.asked().len(), 1, "{name}, {what}");
            if what == "wrong" || matches!(kind, Kind::Http) {
                assert_eq!(
                    (error.class(), error.reason()),
                    (Class::Stalled, "AuthenticationFailed"),
                    "{name}: {text}"
                );
                assert!(
                    text.contains("the proxy") && text.contains("spec.proxySecretRef"),
                    "{name}: {text}"
                );
            }
        }
        assert!(came.lock().unwrap().is_empty(), "{name}");
        ways += 1;
    }
    say(&format!(
        "git by proxies: {ways} ways, each with the right login, a wrong one and none"
    ));
}

#[tokio::test]
async fn proxies_that_cannot_be_used_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let canary = Canary::new();
    let with = |address: &str, url: &str| {
        let login = [
            ("address", address),
            ("username", "way"),
            ("password", canary.secret.as_str()),
        ];
        let credentials = Credentials::default().with_proxy(&secret(&login))?;
        Repository::new(url, folder.path(), credentials, TIMEOUT, false).map(|_| ())
    };
    for (address, url, words) in [
        ("ftp://127.0.0.1", "https://h/x", "neither http://"),
        ("socks5://", "https://h/x", "cannot be used"),
        ("socks5:///path", "https://h/x", "cannot be used"),
        ("http://", "https://h/x", "cannot be used"),
        ("http://127.0.0.1:99999", "https://h/x", "cannot be used"),
        ("http://127.0.0.1:1", "ssh://git@h/x", "not used for ssh://"),
    ] {
        let error = with(address, url).unwrap_err();
        assert!(
            matches!(error, GitError::Credentials { .. }),
            "{address}: {error}"
        );
        let text = error.to_string();
        assert!(text.contains(words), "{address}: {text}");
        canary.assert_absent(&text);
    }
    assert_eq!(with("socks5://127.0.0.1:1", "https://h/x"), Ok(()));
}

/// Environment, address, proxy of the Secret; what comes of it, and which of the three proxies see anybody.
type Row<'a> = (
    &'a [(&'a str, &'a str)],
    &'a str,
    Option<&'a str>,
    &'a str,
    [bool; 3],
);

/// What the test below asks of a copy of itself whose environment is another.
const CHILD: &str = "COUCHESTOR_TEST_PROXY_CHILD";

/// Fetches as the parent says, and leaves what came of it in a file.
async fn fetch_as_child(task: &str) {
    let task: serde_json::Value = serde_json::from_str(task).unwrap();
    let text = |field: &str| task[field].as_str().unwrap().to_owned();
    let folder = text("folder");
    let mut credentials =
        Credentials::from_secret(&secret(&[("ca.crt", &text("ca"))]), &text("url")).unwrap();
    if let Some(address) = task["proxy"].as_str() {
        credentials = credentials.with_proxy(&secret(&[("address", address)])).unwrap();
    }
    let clone = Path::new(&folder).join("clone");
    let outcome = match open(&text("url"), &clone, credentials).fetch("main").await {
        Ok(tips) => tips.branches["main"].to_string(),
        Err(error) => error.to_string(),
    };
    std::fs::write(Path::new(&folder).join("outcome"), outcome).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_of_the_environment_is_used_unless_the_secret_names_another() {
    if let Ok(task) = std::env::var(CHILD) {
        return fetch_as_child(&task).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, tip) = bare(folder.path()).await;
    let ours = Authority::new();
    let (plain, _) = super::serve(folder.path(), "").await;
    let (tls, _) = serve_tls(folder.path(), "", &ours, None).await;
    let of_environment = Way::start(Kind::Http, &[place(&tls)], None).await;
    let for_plain = Way::start(Kind::Http, &[place(&plain)], Some(LOGIN)).await;
    let of_secret = Way::start(Kind::Http, &[place(&tls)], None).await;
    let (address, other) = (
        format!("http://{}", of_environment.address),
        format!("http://{}", of_secret.address),
    );
    let with_login = format!("http://w%2561y:thr%256fugh@{}", for_plain.address);
    let [named, named_plain] = [&tls, &plain].map(|url| url.replace("127.0.0.1", "git.invalid"));
    let fetched = tip.to_string();
    let rows: [Row; 9] = [
        (&[], &named, None, "Git: ", [false; 3]),
        (
            &[("HTTPS_PROXY", &address)],
            &named,
            None,
            &fetched,
            [true, false, false],
        ),
        (
            &[("https_proxy", &address)],
            &named,
            None,
            &fetched,
            [true, false, false],
        ),
        (
            &[("HTTPS_PROXY", &address)],
            &named_plain,
            None,
            "Git: ",
            [false; 3],
        ),
        (
            &[("HTTP_PROXY", &with_login)],
            &named_plain,
            None,
            &fetched,
            [false, true, false],
        ),
        (
            &[("HTTPS_PROXY", &address), ("NO_PROXY", "a.example,git.invalid")],
            &named,
            None,
            "Git: ",
            [false; 3],
        ),
        (
            &[("HTTPS_PROXY", &address), ("NO_PROXY", "a.example")],
            &named,
            None,
            &fetched,
            [true, false, false],
        ),
        (
            &[("HTTPS_PROXY", &address), ("NO_PROXY", "*")],
            &named,
            Some(&other),
            &fetched,
            [false, false, true],
        ),
        (
            &[("HTTPS_PROXY", &other), ("HTTP_PROXY", &other)],
            &tls,
            None,
            &fetched,
            [false; 3],
        ),
    ];
    say(&format!("git by proxies: {} environments", rows.len()));
    for (number, (environment, url, proxy, outcome, seen)) in rows.into_iter().enumerate() {
        let own = folder.path().join(number.to_string());
        std::fs::create_dir(&own).unwrap();
        let task = serde_json::json!({"folder": own, "url": url, "ca": ours.pem, "proxy": proxy});
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "git_remote::proxy::the_proxy_of_the_environment_is_used_unless_the_secret_names_another",
        ]);
        for name in [
            "HTTPS_PROXY",
            "HTTP_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
            "REQUEST_METHOD",
        ] {
            child.env_remove(name).env_remove(name.to_lowercase());
        }
        child
            .envs(environment.iter().copied())
            .env(CHILD, task.to_string());
        let output = tokio::task::spawn_blocking(move || child.output())
            .await
            .unwrap()
            .unwrap();
        assert!(
            output.status.success(),
            "{number}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        let came = std::fs::read_to_string(own.join("outcome")).unwrap();
        assert!(came.starts_with(outcome), "row {number}: {came}");
        let asked = [&of_environment, &for_plain, &of_secret].map(|way| !way.asked().is_empty());
        assert_eq!(asked, seen, "row {number}: {came}");
    }
}
