//! Objects of an API server as JSON, by path, and waiting for what they say.

use axum::http::Request;
use kube::Client;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long one object may take to say what it should, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(150);

/// An administrator's client; it belongs to the runtime of whoever asks for it.
pub async fn client(kubeconfig: &str) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = kube::config::Kubeconfig::from_yaml(kubeconfig).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

/// The object at a path, or nothing. A server that is busy, or only just starts, is asked again.
pub async fn get(client: &Client, path: &str) -> Option<Value> {
    let began = Instant::now();
    loop {
        let request = Request::get(path).body(Vec::new()).unwrap();
        match client.request::<Value>(request).await {
            Ok(object) => return Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => return None,
            Err(kube::Error::Api(status))
                if (status.code == 429 || status.code >= 500) && began.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => panic!("GET {path}: {error}"),
        }
    }
}

/// The objects of a list; none where nothing has that path.
pub async fn list(client: &Client, path: &str) -> Vec<Value> {
    let found = get(client, path).await;
    let items = found.and_then(|mut found| match found["items"].take() {
        Value::Array(items) => Some(items),
        _ => None,
    });
    items.unwrap_or_default()
}

/// Sends a body, and gives the answer or the server's words.
pub async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let kind = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", kind);
    let request = request.body(serde_json::to_vec(body).unwrap()).unwrap();
    client
        .request::<Value>(request)
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        })
}

/// What stands at a JSON pointer of an object, as text.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Waits until the object at a path is as it should be; `what` names what is waited for.
pub async fn until(client: &Client, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    until_within(PATIENCE, client, path, what, holds).await
}

/// The same, with a limit of one's own.
pub async fn until_within(
    limit: Duration,
    client: &Client,
    path: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let began = Instant::now();
    loop {
        let seen = get(client, path).await;
        if let Some(object) = seen.as_ref().filter(|object| holds(object)) {
            return object.clone();
        }
        assert!(
            began.elapsed() < limit,
            "{what}: not within {limit:?}; {path} is {seen:#?}"
        );
        tokio::time::sleep(LOOK).await;
    }
}
