//! Objects that the API server refuses, quoting them: what was encrypted is in no condition, event, log or plan.

use super::told;
use crate::support::canary::Canary;
use crate::support::follow::Follow;
use crate::support::say;
use crate::support::seal::Sealer;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::formats::substitute::Variables;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The answer that lets the simulated server decide, which takes anything.
const TAKEN: u16 = 200;

/// Between the controller and the simulated API server: refuses every apply of a core object in words that quote it,
/// unless it shall be taken.
struct Quoting {
    to: String,
    code: AtomicU16,
    refused: AtomicU64,
    client: reqwest::Client,
}

async fn pass(
    State(quoting): State<Arc<Quoting>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let code = quoting.code.load(Ordering::SeqCst);
    if code != TAKEN && method == Method::PATCH && uri.path().starts_with("/api/v1/") {
        quoting.refused.fetch_add(1, Ordering::SeqCst);
        let words = String::from_utf8_lossy(&body);
        let reason = if code == 422 { "Invalid" } else { "BadRequest" };
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code,
            "message": format!("admission webhook \"x\" denied the request: {words}"),
            "details": {"causes": [{"message": words}]}});
        let code = StatusCode::from_u16(code).unwrap();
        return (code, axum::Json(status)).into_response();
    }
    let mut request = quoting
        .client
        .request(method, format!("{}{uri}", quoting.to))
        .body(body);
    for name in ["content-type", "accept", "authorization"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    let (code, headers) = (answer.status(), answer.headers().clone());
    let kind = headers.get("content-type").cloned();
    // Watches never end, so the answer is passed on as it comes.
    let chunks = futures::stream::unfold(answer, async |mut answer| {
        let chunk = answer.chunk().await.transpose()?;
        Some((chunk, answer))
    });
    let body = axum::body::Body::from_stream(chunks);
    let mut response = (code, body).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert("content-type", kind);
    }
    response
}

/// Gathers all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_quotes_of_an_encrypted_object_is_said_nowhere() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_env_filter(couchestor::telemetry::filter("trace,kube_client::client=trace").unwrap())
        .with_writer(move || writer.clone())
        .finish();
    // The controller works on the runtime's own threads. No other test may set one for the whole process.
    tracing::subscriber::set_global_default(subscriber).expect("no other test has one");
    // The names of keys are not encrypted, so one of them stands in the repository.
    let (canary, named, sealer) = (Canary::new(), Canary::new(), Sealer::new());
    let mut follow = Follow::new().await;
    let quoting = Arc::new(Quoting {
        to: follow.running.kubernetes.url().to_owned(),
        code: AtomicU16::new(422),
        refused: AtomicU64::default(),
        client: reqwest::Client::new(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(pass).with_state(quoting.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let kubeconfig = follow
        .running
        .kubernetes
        .kubeconfig()
        .replace(follow.running.kubernetes.url(), &address);
    follow.kubeconfig = Some(kubeconfig.clone());
    follow.secret("age", json!({"k.agekey": sealer.key}));
    follow.source(json!({"decryption": {"secretRef": {"name": "age"}}}));
    follow.run().await;
    let text = serde_json::to_string(&canary.secret).unwrap();
    let mut said = String::new();
    let objects = [
        ("ConfigMap", format!("data: {{a: {text}}}")),
        // What is no text in a ConfigMap is refused before anybody is asked.
        ("Service", format!("spec: {{selector: {{{}: 5}}}}", named.word)),
        (
            "Secret",
            format!("data: {{a: {}}}", STANDARD.encode(&canary.secret)),
        ),
        (
            "Secret",
            format!("stringData: {{a: {text}, b: \"{}\"}}", canary.number),
        ),
        ("Service", format!("spec: {{clusterIP: {text}}}")),
    ];
    let mut number = 0;
    for code in [422, 400, 403, 500] {
        quoting.code.store(code, Ordering::SeqCst);
        for (kind, rest) in &objects {
            number += 1;
            let name = format!("o{number}");
            let clear = format!(
                "apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: default}}\n{rest}\n"
            );
            follow.commit("p/a.yaml", &sealer.yaml(&clear), &[]);
            follow.until("Ready", &["False", &name]).await;
            said.push_str(&follow.status().to_string());
        }
    }
    let plan = plan(&follow, &kubeconfig, &sealer.key).await;
    // What is on disk after the refusals, and after objects that were taken.
    let witness = Canary::new();
    follow.commit("p/readme.txt", &witness.secret, &[]);
    quoting.code.store(TAKEN, Ordering::SeqCst);
    for number in [0, 2, 3] {
        let (kind, rest) = &objects[number];
        let name = format!("taken-{number}");
        let clear =
            format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: default}}\n{rest}\n");
        let tip = follow.commit("p/a.yaml", &sealer.yaml(&clear), &[]);
        follow.until("Ready", &["True", &tip]).await;
        let there = follow.running.kubernetes.get(kind, Some("default"), &name);
        let there = there.expect("it was taken").to_string();
        assert!(
            canary.is_in(&there),
            "{name} was taken without what was encrypted"
        );
        said.push_str(&follow.status().to_string());
    }
    follow.halt().await;
    let kept = on_disk(&follow.folder.path().join("clones"));
    assert!(witness.is_in(&kept), "what stands in the clear is found on disk");
    canary.assert_absent(&kept);
    for event in follow.running.kubernetes.list("Event") {
        said.push_str(&event.to_string());
    }
    server.abort();
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    // The values of plain objects are shown: the server did quote them.
    say(&format!(
        "{number} objects, {} refusals, {} bytes of status and events, {} of plan, {} of logs, {} on disk",
        quoting.refused.load(Ordering::SeqCst),
        said.len(),
        plan.len(),
        logged.len(),
        kept.len()
    ));
    assert!(said.contains("details of secret objects are not shown"), "{said}");
    for words in ["details of secret objects are not shown", "ConfigMap default/o1"] {
        assert!(logged.contains(words), "the logs say nothing of {words}");
    }
    for text in [&said, &plan, &logged] {
        canary.assert_absent(text);
        named.assert_absent(text);
    }
}

/// All that the files below a folder hold, and the objects of the repositories among them, which Git compresses.
fn on_disk(folder: &Path) -> String {
    let mut bytes = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                bytes.extend(std::fs::read(&path).unwrap());
            }
        }
        if folder.join("objects").is_dir() {
            let output = Command::new("git")
                .arg("--git-dir")
                .arg(&folder)
                .args(["cat-file", "--batch-all-objects", "--batch"])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            bytes.extend(output.stdout);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn plan(follow: &Follow, kubeconfig: &str, key: &str) -> String {
    let folder = follow.folder.path().to_owned();
    let file = folder.join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_couchestor"));
    command
        .current_dir(folder.join("repository"))
        .args(["plan", "p", "-o", "json", "--kubeconfig"])
        .arg(&file)
        .args(["--mayastor-url", &follow.running.mayastor.url()])
        .env("HOME", &folder)
        .env("SOPS_AGE_KEY", key);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(text.contains("objects"), "{text}");
    text
}

#[test]
fn objects_with_secrets_show_none_in_debug() {
    let (canary, sealer) = (Canary::new(), Sealer::new());
    let text = serde_json::to_string(&canary.secret).unwrap();
    let secret = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: {text}}}\n");
    let files = super::Texts::from([("p/a.yaml".to_owned(), sealer.yaml(&secret))]);
    assert!(told(&files, &sealer.key, &Variables::default()).is_empty());
    let read = couchestor::formats::overlay::read_objects("a.yaml", &secret, true).unwrap();
    canary.assert_absent(&format!("{read:?} {read:#?}"));
    let plain = couchestor::formats::overlay::read_objects("a.yaml", &secret, false).unwrap();
    assert!(canary.is_in(&format!("{plain:?}")), "what is plain is shown");
    assert_eq!(read[0].value["data"]["a"], Value::String(canary.secret.clone()));
}
