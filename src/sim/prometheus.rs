//! A simulated Prometheus: its query API over a load that is scripted volume by volume.
//!
//! It understands the shapes of query that couchestor sends, and refuses everything else as Prometheus refuses a typo.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// One volume's load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Operations per second.
    pub iops: f64,
    /// Part of every window that has samples.
    pub coverage: f64,
    /// Mean bytes of an operation.
    pub request_bytes: f64,
    /// Part of the operations that read.
    pub read_ratio: f64,
    /// Mean time of an operation, in milliseconds.
    pub latency_ms: f64,
}

impl Load {
    /// Small random requests, half of them reads, as a database makes them.
    pub fn random(iops: f64, coverage: f64) -> Self {
        Self {
            iops,
            coverage,
            request_bytes: 8192.0,
            read_ratio: 0.5,
            latency_ms: 2.0,
        }
    }
}

/// What it answers.
#[derive(Debug, Default)]
struct Script {
    loads: BTreeMap<String, Load>,
    failure: Option<String>,
    warning: Option<String>,
}

/// The running simulator; it ends when it is dropped.
pub struct PrometheusSim {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    server: tokio::task::JoinHandle<()>,
}

impl PrometheusSim {
    /// Starts without any series.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> Result<Self, String> {
        let script: Arc<Mutex<Script>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let routes = Router::new()
            .route("/api/v1/query", post(query))
            .route("/-/healthy", get(|| async { "Prometheus Server is Healthy.\n" }))
            .with_state(script.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            script,
            server,
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Scripts the load of a PersistentVolume; `None` takes its series away.
    pub fn set(&self, volume: &str, load: Option<Load>) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        match load {
            Some(load) => script.loads.insert(volume.to_owned(), load),
            None => script.loads.remove(volume),
        };
    }

    /// Makes every query fail, or be answered with a warning.
    pub fn fail(&self, failure: Option<&str>, warning: Option<&str>) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.failure = failure.map(str::to_owned);
        script.warning = warning.map(str::to_owned);
    }
}

impl Drop for PrometheusSim {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn query(
    State(script): State<Arc<Mutex<Script>>>,
    Form(parameters): Form<BTreeMap<String, String>>,
) -> Response {
    let script = script.lock().unwrap_or_else(PoisonError::into_inner);
    let refuse = |status: StatusCode, kind: &str, error: &str| {
        (
            status,
            Json(json!({"status": "error", "errorType": kind, "error": error})),
        )
            .into_response()
    };
    if let Some(failure) = &script.failure {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "timeout", failure);
    }
    let text = parameters.get("query").map(String::as_str).unwrap_or_default();
    let Some(value) = understood(text) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "bad_data",
            "invalid parameter \"query\": parse error",
        );
    };
    let result: Vec<Value> = script
        .loads
        .iter()
        .map(|(volume, load)| json!({"metric": {"pv_name": volume}, "value": [0, value(load).to_string()]}))
        .collect();
    let mut answer = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    if let Some(warning) = &script.warning {
        answer["warnings"] = json!([warning]);
    }
    Json(answer).into_response()
}

/// What a query asks of a load that never changes: its means, percentiles and extremes are all the same.
fn understood(text: &str) -> Option<fn(&Load) -> f64> {
    // Loads are there for ever, so that it was watched for long enough holds for all.
    let text = text
        .split_once(" and on (pv_name) (count_over_time(")
        .map_or(text, |(value, _)| value);
    let stepped = Regex::new(
        r"^(?:(?:avg|min|max)_over_time\(|quantile_over_time\([0-9.]+, )\((?s:(.*))\)\[\d+s:\d+s\]\)$",
    )
    .ok()?;
    let text = stepped
        .captures(text)
        .and_then(|parts| parts.get(1))
        .map_or(text, |inner| inner.as_str());
    let coverage =
        Regex::new(r"^count_over_time\(\((?s:.*)sum by \(pv_name\) \(volume_num_read_ops\)(?s:.*)\)\[[0-9a-z.]+:\d+s\]\) / \d+$").ok()?;
    if coverage.is_match(text) {
        return Some(|load| load.coverage);
    }
    let excluded = Regex::new(r"^\((.*?)\) unless on \(\) \(.*\)$").ok()?;
    let text = excluded
        .captures(text)
        .and_then(|parts| parts.get(1))
        .map_or(text, |inner| inner.as_str());
    let text = text
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(") >= 0"))
        .unwrap_or(text);
    let ranges = Regex::new(r"\[[0-9a-z.]+\]").ok()?;
    let plain = ranges.replace_all(text, "").replace("sum by (pv_name) ", "");
    match plain.as_str() {
        "(rate(volume_num_read_ops)) + (rate(volume_num_write_ops))" => Some(|load| load.iops),
        "(rate(volume_bytes_read)) + (rate(volume_bytes_written))" => {
            Some(|load| load.iops * load.request_bytes)
        }
        "((rate(volume_bytes_read)) + (rate(volume_bytes_written))) / ((rate(volume_num_read_ops)) + (rate(volume_num_write_ops)))" => {
            Some(|load| load.request_bytes)
        }
        "(rate(volume_num_read_ops)) / ((rate(volume_num_read_ops)) + (rate(volume_num_write_ops)))" => {
            Some(|load| load.read_ratio)
        }
        "((rate(volume_read_latency_us)) + (rate(volume_write_latency_us))) / ((rate(volume_num_read_ops)) + (rate(volume_num_write_ops))) / 1000" => {
            Some(|load| load.latency_ms)
        }
        _ => None,
    }
}
