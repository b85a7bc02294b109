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
use std::process::Command;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Between the controller and the simulated API server: refuses every apply of a core object in words that quote it.
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
    if method == Method::PATCH && uri.path().starts_with("/api/v1/") {
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
    // Another test may have one already; then this one sees no logs, and says so below.
    let heard = tracing::subscriber::set_global_default(subscriber).is_ok();
    let (canary, sealer) = (Canary::new(), Sealer::new());
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
        ("ConfigMap", format!("data: {{a: {{{}: 5}}}}", canary.word)),
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
    for event in follow.running.kubernetes.list("Event") {
        said.push_str(&event.to_string());
    }
    let plan = plan(&follow, &kubeconfig, &sealer.key).await;
    follow.halt().await;
    server.abort();
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    // The values of plain objects are shown: the server did quote them.
    say(&format!(
        "{number} objects, {} refusals, {} bytes of status and events, {} of plan, {} of logs",
        quoting.refused.load(Ordering::SeqCst),
        said.len(),
        plan.len(),
        logged.len()
    ));
    assert!(said.contains("details of secret objects are not shown"), "{said}");
    assert!(!heard || logged.contains("o1"), "{logged}");
    for text in [&said, &plan, &logged] {
        canary.assert_absent(text);
    }
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
