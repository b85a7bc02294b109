//! Webhooks over a real listener: who is believed, and how little anybody else can do.

use crate::support::cluster::free_port;
use crate::support::follow::Follow;
use couchestor::formats::webhook::Sender;
use couchestor::io::webhook::{BODY_MAX, PATH, Webhooks};
use couchestor::model::secret::SecretText;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::time::Duration;
use tokio::sync::mpsc;

const SECRET: &str = "canary-of-a-webhook-secret";

struct Served {
    webhooks: Webhooks,
    pokes: mpsc::Receiver<couchestor::io::webhook::Poke>,
    url: String,
    client: reqwest::Client,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn served(secrets: &[(&str, &str)]) -> Served {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (poke, pokes) = mpsc::channel(2);
    let webhooks = Webhooks::new(poke);
    let secrets = secrets
        .iter()
        .map(|(name, secret)| ((*name).to_owned(), SecretText::new(secret.as_bytes().to_vec())));
    webhooks.set_secrets(secrets.collect());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", listener.local_addr().unwrap());
    let routes = webhooks.routes();
    let server = tokio::spawn(async move {
        axum::serve(listener, routes).await.unwrap();
    });
    Served {
        webhooks,
        pokes,
        url,
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        server,
    }
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Served {
    async fn send(&self, id: &str, signature: Option<&str>, body: &[u8]) -> u16 {
        let mut request = self
            .client
            .post(&self.url)
            .header("X-GitHub-Event", "push")
            .header("X-GitHub-Delivery", id);
        if let Some(signature) = signature {
            request = request.header("X-Hub-Signature-256", format!("sha256={signature}"));
        }
        let answer = request.body(body.to_vec()).send().await.unwrap();
        let status = answer.status().as_u16();
        assert!(!answer.text().await.unwrap().contains(SECRET));
        status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_delivery_is_a_hint_once_and_others_are_none() {
    let mut served = served(&[("other", "another secret"), ("policies", SECRET)]).await;
    let body = br#"{"ref":"refs/heads/main"}"#;
    let right = signature(SECRET, body);
    let large = vec![b'x'; BODY_MAX + 1];
    let large_right = signature(SECRET, &large);
    let wrong = signature("wrong key", body);
    type Sent<'a> = (&'a str, &'a str, Option<&'a str>, &'a [u8], u16);
    #[rustfmt::skip]
    let table: [Sent<'_>; 8] = [
        ("it is not signed", "1", None, body, 401),
        ("it is signed with another key", "1", Some(&wrong), body, 401),
        ("one byte was changed", "1", Some(&right), br#"{"ref":"refs/heads/mail"}"#, 401),
        ("it is too large", "1", Some(&large_right), &large, 413),
        ("it is right", "1", Some(&right), body, 202),
        ("it is sent again", "1", Some(&right), body, 200),
        ("it is sent again under another number, which is not signed", "2", Some(&right), body, 200),
        ("it has a number that was seen", "1", Some(&signature(SECRET, b"{}")), b"{}", 200),
    ];
    for (what, id, signature, body, status) in table {
        assert_eq!(served.send(id, signature, body).await, status, "{what}");
    }
    let poke = served.pokes.try_recv().unwrap();
    assert_eq!(
        (poke.name.as_str(), poke.sender, poke.event.as_str()),
        ("policies", Sender::Github, "push")
    );
    assert!(served.pokes.try_recv().is_err(), "one hint");
    let counts = served.webhooks.deliveries();
    assert_eq!((counts.accepted, counts.repeated, counts.refused), (1, 3, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_nobody_is_served() {
    for secrets in [&[][..], &[("policies", "")][..]] {
        let mut served = served(secrets).await;
        let body = b"{}";
        assert_eq!(served.send("1", Some(&signature("", body)), body).await, 403);
        assert!(served.pokes.try_recv().is_err());
        // A secret that comes later is believed at once.
        let secret = SecretText::new(SECRET.as_bytes().to_vec());
        served.webhooks.set_secrets(vec![("policies".to_owned(), secret)]);
        assert_eq!(served.send("1", Some(&signature(SECRET, body)), body).await, 202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_the_queue_full_counts_when_it_comes_again() {
    let mut served = served(&[("policies", SECRET)]).await;
    let mut answers = Vec::new();
    for number in [0, 1, 2, 2] {
        let body = format!("{{\"n\":{number}}}");
        let signature = signature(SECRET, body.as_bytes());
        let status = served
            .send(&number.to_string(), Some(&signature), body.as_bytes())
            .await;
        answers.push(status);
        if answers.len() == 3 {
            assert!(served.pokes.try_recv().is_ok());
        }
    }
    assert_eq!(answers, [202, 202, 503, 202]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_never_end_leave_room_for_nobody_and_hold_little() {
    use tokio::io::AsyncWriteExt;
    let served = served(&[("policies", SECRET)]).await;
    let address = served
        .url
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head =
            format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: push\r\nContent-Length: 100\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        slow.push(socket);
    }
    let body = b"{}";
    let right = signature(SECRET, body);
    let mut status = 0;
    for _ in 0..50 {
        status = served.send("1", Some(&right), body).await;
        if status == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status, 503, "a ninth is turned away");
    drop(slow);
    for _ in 0..100 {
        status = served.send("2", Some(&right), body).await;
        if status != 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(matches!(status, 200 | 202), "{status}");
}

/// What a real Gitea sends is believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_gitea_is_believed() {
    use serde_json::json;
    if crate::support::servers::left_out("webhooks::a_real_gitea_is_believed") {
        return;
    }
    let mut served = served(&[("policies", SECRET)]).await;
    let repository = crate::support::gitea::shared().repository().await;
    let hook = json!({
        "type": "gitea", "active": true, "events": ["push", "pull_request"],
        "config": {"url": served.url, "content_type": "json", "secret": SECRET},
    });
    repository.done("chief", "POST", "/hooks", &hook).await;
    repository.push("topic", Some("main"), "new", "text").await;
    let poke = tokio::time::timeout(Duration::from_secs(60), served.pokes.recv()).await;
    let poke = poke.expect("Gitea sends within a minute").unwrap();
    assert_eq!((poke.name.as_str(), poke.sender), ("policies", Sender::Gitea));
    assert_eq!(served.webhooks.deliveries().refused, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_looks_at_once_when_a_forge_says_so_and_not_when_a_stranger_does() {
    let mut follow = Follow::new().await;
    follow.secret("hook", serde_json::json!({"token": SECRET}));
    let first = follow.commit("p/kustomization.yaml", "resources: []\n", &[]);
    // Without a hint nobody would look for an hour.
    follow.source(serde_json::json!({"interval": "1h", "webhookSecretRef": {"name": "hook"}}));
    follow.run().await;
    follow.until("Ready", &["True", first.as_str()]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", listener.local_addr().unwrap());
    let routes = follow.webhooks.as_ref().unwrap().routes();
    let server = tokio::spawn(async move {
        axum::serve(listener, routes).await.unwrap();
    });
    let second = follow.commit("p/kustomization.yaml", "resources: []\n# more\n", &[]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |secret: &str, body: &str| {
        let answer = client
            .post(&url)
            .header("X-GitHub-Event", "push")
            .header("X-GitHub-Delivery", body)
            .header(
                "X-Hub-Signature-256",
                format!("sha256={}", signature(secret, body.as_bytes())),
            )
            .body(body.to_owned());
        answer.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send("a stranger's", "{\"a\": 1}").await, 401);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        follow.condition("Ready").contains(&first),
        "a stranger moves nothing"
    );
    assert_eq!(send(SECRET, "{\"a\": 2}").await, 202);
    follow.until("Ready", &["True", second.as_str()]).await;
    follow.halt().await;
    server.abort();
}

/// The controller as people run it; it ends with this.
struct Controller(std::process::Child);

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address on loopback that nobody listens on.
fn free() -> String {
    format!("127.0.0.1:{}", free_port())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_hears_webhooks_where_it_is_told_to() {
    let follow = Follow::new().await;
    follow.secret("hook", serde_json::json!({"token": SECRET}));
    let first = follow.commit("p/kustomization.yaml", "resources: []\n", &[]);
    // Without a hint nobody would look for an hour.
    follow.source(serde_json::json!({"interval": "1h", "webhookSecretRef": {"name": "hook"}}));
    let home = tempfile::tempdir().unwrap();
    let kubeconfig = home.path().join("kubeconfig");
    std::fs::write(&kubeconfig, follow.running.kubernetes.kubeconfig()).unwrap();
    let hook = free();
    let (mayastor, prometheus) = (follow.running.mayastor.url(), follow.running.prometheus.url());
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .args([
            "run",
            "--allow-file-urls",
            "--webhook-addr",
            &hook,
            "--kubeconfig",
        ])
        .arg(&kubeconfig)
        .args(["--mayastor-url", &mayastor, "--prometheus-url", &prometheus])
        .args(["--metrics-addr", &free(), "--health-addr", &free(), "--cache-dir"])
        .arg(home.path().join("cache"))
        .env("HOME", home.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _controller = Controller(child);
    follow.until("Ready", &["True", first.as_str()]).await;
    let second = follow.commit("p/kustomization.yaml", "resources: []\n# more\n", &[]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |signed_with: &str, body: &str| {
        let answer = client
            .post(format!("http://{hook}{PATH}"))
            .header("X-GitHub-Event", "push")
            .header("X-GitHub-Delivery", body)
            .header(
                "X-Hub-Signature-256",
                format!("sha256={}", signature(signed_with, body.as_bytes())),
            )
            .body(body.to_owned());
        answer.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send("a stranger's", "{\"a\": 1}").await, 401);
    assert_eq!(send(SECRET, "{\"a\": 2}").await, 202);
    follow.until("Ready", &["True", second.as_str()]).await;
}
