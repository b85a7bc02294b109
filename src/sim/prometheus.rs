//! A simulated Prometheus: its query API over a load that is scripted volume by volume.
//!
//! It understands the shapes of query that couchestor sends for its built-in signals, at one time or at the steps of a span, and
//! refuses everything else as Prometheus refuses a typo. Loads have been there for ever, and never change but by the script.

use crate::formats::duration;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use jiff::Timestamp;
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
            .route("/api/v1/query", post(query).get(asked))
            .route("/api/v1/query_range", post(query_range).get(range_asked))
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

type Shared = State<Arc<Mutex<Script>>>;
type Parameters = BTreeMap<String, String>;

/// An answer, or the status, the kind and the words of a refusal.
type Answered = Result<Value, (StatusCode, &'static str, String)>;

/// Steps that Prometheus answers at most.
const POINTS_MAX: f64 = 11_000.0;

/// What is understood, for those who ask for more.
const UNDERSTOOD: &str = "this simulated Prometheus answers what couchestor asks for the built-in signals iops, throughput, latency, \
readLatency, writeLatency, requestSize and readRatio, and for coverage; PromQL of your own needs a real Prometheus";

async fn query(script: Shared, Form(parameters): Form<Parameters>) -> Response {
    respond(script, &parameters, |parameters| {
        Ok((time(parameters, "time")?, None))
    })
}

async fn asked(script: Shared, Query(parameters): Query<Parameters>) -> Response {
    query(script, Form(parameters)).await
}

async fn query_range(script: Shared, Form(parameters): Form<Parameters>) -> Response {
    respond(script, &parameters, |parameters| {
        let first = time(parameters, "start")?;
        Ok((first, Some(steps(parameters, first)?)))
    })
}

async fn range_asked(script: Shared, Query(parameters): Query<Parameters>) -> Response {
    query_range(script, Form(parameters)).await
}

/// When a query is answered: at a time, or from there on at an even distance so many times.
type Times = (f64, Option<(f64, u32)>);

fn respond(
    State(script): Shared,
    parameters: &Parameters,
    times: impl Fn(&Parameters) -> Result<Times, (StatusCode, &'static str, String)>,
) -> Response {
    let script = script.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = times(parameters).and_then(|times| answer(&script, parameters, times));
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err((status, kind, error)) => {
            let body = json!({"status": "error", "errorType": kind, "error": error});
            (status, Json(body)).into_response()
        }
    }
}

fn answer(script: &Script, parameters: &Parameters, (first, steps): Times) -> Answered {
    if let Some(failure) = &script.failure {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "timeout", failure.clone()));
    }
    let text = parameters.get("query").map(String::as_str).unwrap_or_default();
    let value = understood(text).ok_or_else(|| bad("query", UNDERSTOOD))?;
    let result = script.loads.iter().map(|(volume, load)| {
        let (metric, value) = (json!({"pv_name": volume}), value(load).to_string());
        match steps {
            None => json!({"metric": metric, "value": [first, value]}),
            Some((step, count)) => {
                let times = (0..count).map(|index| json!([first + f64::from(index) * step, value]));
                json!({"metric": metric, "values": times.collect::<Vec<_>>()})
            }
        }
    });
    let kind = if steps.is_some() { "matrix" } else { "vector" };
    let result: Vec<Value> = result.collect();
    let mut answer = json!({"status": "success", "data": {"resultType": kind, "result": result}});
    if let Some(warning) = &script.warning {
        answer["warnings"] = json!([warning]);
    }
    Ok(answer)
}

fn bad(parameter: &str, words: &str) -> (StatusCode, &'static str, String) {
    let error = format!("invalid parameter \"{parameter}\": {words}");
    (StatusCode::BAD_REQUEST, "bad_data", error)
}

/// A time, in seconds since the epoch or RFC 3339. Only that of one query may be left out.
fn time(parameters: &Parameters, name: &str) -> Result<f64, (StatusCode, &'static str, String)> {
    let text = parameters.get(name).map(String::as_str).unwrap_or_default();
    let written = || text.parse::<Timestamp>().ok().map(|at| at.as_second() as f64);
    let read = text.parse().ok().or_else(written);
    match read.filter(|at: &f64| at.is_finite()) {
        None if text.is_empty() && name == "time" => Ok(0.0),
        read => read.ok_or_else(|| bad(name, &format!("cannot parse {text:?} to a valid timestamp"))),
    }
}

/// The distance of the steps and their number.
fn steps(parameters: &Parameters, first: f64) -> Result<(f64, u32), (StatusCode, &'static str, String)> {
    let last = time(parameters, "end")?;
    if last < first {
        return Err(bad("end", "end timestamp must not be before start time"));
    }
    let text = parameters.get("step").map(String::as_str).unwrap_or_default();
    let written = || Some(duration::parse(text).ok()?.as_secs_f64());
    let step = text.parse().ok().or_else(written);
    let step: f64 = step.ok_or_else(|| bad("step", &format!("cannot parse {text:?} to a valid duration")))?;
    if step.is_nan() || step <= 0.0 {
        let words = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(bad("step", words));
    }
    let count = ((last - first) / step).floor() + 1.0;
    if count > POINTS_MAX {
        let words = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err((StatusCode::BAD_REQUEST, "bad_data", words.to_owned()));
    }
    Ok((step, count as u32))
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
        // Reads and writes take the same time.
        "(rate(volume_read_latency_us)) / (rate(volume_num_read_ops)) / 1000"
        | "(rate(volume_write_latency_us)) / (rate(volume_num_write_ops)) / 1000" => {
            Some(|load| load.latency_ms)
        }
        _ => None,
    }
}
