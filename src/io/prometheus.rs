//! Prometheus' query API: one aggregated query per signal, whatever the number of volumes.

use crate::model::failure::{Class, Failure};
use crate::model::timeline::Span;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// One answer: a hundred thousand series are about 20 MB.
const BODY_MAX: usize = 64 << 20;

/// Prometheus' own default for a query is two minutes; a turn should not wait that long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer about a span may take longer: nobody's turn waits for it, and Prometheus itself ends a query after two minutes.
const RANGE_TIMEOUT: Duration = Duration::from_secs(130);

/// Steps that Prometheus answers at most (`exceeded maximum resolution of 11,000 points per timeseries`).
const POINTS_MAX: i64 = 11_000;

/// Values in one answer about a span: at some 35 bytes each they stay below [`BODY_MAX`].
const VALUES_MAX: i64 = 1_000_000;

/// Why there is no heat.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrometheusError {
    /// It did not answer.
    #[error("Prometheus at {url} did not answer: {detail}; check --prometheus-url")]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        detail: String,
    },
    /// It refused the query.
    #[error("Prometheus refused the query: {detail}")]
    Refused {
        /// Its words.
        detail: String,
    },
    /// It answered in part.
    #[error("Prometheus answered in part only: {detail}")]
    Partial {
        /// Its warnings.
        detail: String,
    },
    /// Its answer cannot be read.
    #[error("Prometheus' answer cannot be read: {detail}")]
    Unreadable {
        /// Why.
        detail: String,
    },
}

impl Failure for PrometheusError {
    fn class(&self) -> Class {
        Class::Retry
    }

    fn reason(&self) -> &'static str {
        "PrometheusUnavailable"
    }
}

/// A client.
#[derive(Clone)]
pub struct Prometheus {
    http: reqwest::Client,
    /// In order of preference.
    urls: Vec<String>,
}

impl Prometheus {
    /// Makes a client for servers in order of preference, separated by commas.
    ///
    /// # Errors
    /// [`PrometheusError::Unreachable`] when the TLS set-up fails.
    pub fn new(urls: &str) -> Result<Self, PrometheusError> {
        let trimmed = urls
            .split(',')
            .map(|url| url.trim().trim_end_matches('/').to_owned());
        let urls: Vec<String> = trimmed.filter(|url| !url.is_empty()).collect();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| PrometheusError::Unreachable {
                url: urls.join(", "),
                detail: error.to_string(),
            })?;
        Ok(Self { http, urls })
    }

    /// Asks one query at a time, and reads the value of each volume. A volume without a value is not in the answer. Of several
    /// servers the first that answers is believed.
    ///
    /// # Errors
    /// The last server's [`PrometheusError`], also when an answer is complete in part only: then nothing may be decided.
    pub async fn ask(&self, query: &str, at: Timestamp) -> Result<HashMap<String, f64>, PrometheusError> {
        let mut failed = None;
        for url in &self.urls {
            if let Some(settled) = settled(self.ask_one(url, query, at).await, &mut failed) {
                return settled;
            }
        }
        Err(failed.unwrap_or_else(no_address))
    }

    async fn ask_one(
        &self,
        url: &str,
        query: &str,
        at: Timestamp,
    ) -> Result<HashMap<String, f64>, PrometheusError> {
        let form = [("query", query), ("time", &at.as_second().to_string())];
        let mut values = HashMap::new();
        for series in self
            .post::<Instant>(&format!("{url}/api/v1/query"), url, &form, TIMEOUT)
            .await?
        {
            let (Some(value), Some(volume)) = (finite(&series.value.1), series.metric.get("pv_name")) else {
                continue;
            };
            if values.insert(volume.clone(), value).is_some() {
                return Err(several(volume));
            }
        }
        Ok(values)
    }

    /// Asks for one figure: the query is a scalar or has a single series.
    ///
    /// # Errors
    /// As [`Prometheus::ask`]; also [`PrometheusError::Unreadable`] for no value, for several, and for one that is not finite.
    pub async fn figure(&self, query: &str, at: Timestamp) -> Result<f64, PrometheusError> {
        let mut failed = None;
        for url in &self.urls {
            if let Some(settled) = settled(self.figure_one(url, query, at).await, &mut failed) {
                return settled;
            }
        }
        Err(failed.unwrap_or_else(no_address))
    }

    async fn figure_one(&self, url: &str, query: &str, at: Timestamp) -> Result<f64, PrometheusError> {
        let form = [("query", query), ("time", &at.as_second().to_string())];
        let address = format!("{url}/api/v1/query");
        let all = self.post::<Figure>(&address, url, &form, TIMEOUT).await?;
        let unreadable = |detail: String| PrometheusError::Unreadable { detail };
        let values: Vec<&str> = all.iter().filter_map(Figure::text).collect();
        match &*values {
            [] => Err(unreadable("the query has no value".to_owned())),
            [one] => finite(one).ok_or_else(|| unreadable(format!("the query's value is {one}"))),
            several => Err(unreadable(format!(
                "the query has {} values; bring them together, as in `sum(…)`",
                several.len()
            ))),
        }
    }

    /// Asks for a query's value at each step of a span, which is what asking it at each of these times would give. What is asked at
    /// one time is bounded: see [`parts`].
    ///
    /// # Errors
    /// As [`Prometheus::ask`]; also [`PrometheusError::Refused`] for more steps than Prometheus answers.
    pub async fn ask_range(&self, query: &str, span: Span) -> Result<Ranges, PrometheusError> {
        if span.steps() > POINTS_MAX {
            let detail = format!("{} steps are asked, {POINTS_MAX} are answered", span.steps());
            return Err(PrometheusError::Refused { detail });
        }
        let mut failed = None;
        for url in &self.urls {
            if let Some(settled) = settled(self.ask_range_one(url, query, span).await, &mut failed) {
                return settled;
            }
        }
        Err(failed.unwrap_or_else(no_address))
    }

    async fn ask_range_one(&self, url: &str, query: &str, span: Span) -> Result<Ranges, PrometheusError> {
        let [start, end, step] = [span.first, span.last, span.step].map(|number| number.to_string());
        let form = [
            ("query", query),
            ("start", &start),
            ("end", &end),
            ("step", &step),
        ];
        let address = format!("{url}/api/v1/query_range");
        let mut ranges = Ranges::new();
        for series in self.post::<Matrix>(&address, url, &form, RANGE_TIMEOUT).await? {
            let Some(volume) = series.metric.get("pv_name") else {
                continue;
            };
            let points = series.values.iter();
            // Times come back as they were asked: whole seconds.
            let known = points.filter_map(|(at, text)| Some((at.round() as i64, finite(text)?)));
            if ranges.insert(volume.clone(), known.collect()).is_some() {
                return Err(several(volume));
            }
        }
        Ok(ranges)
    }

    /// By POST: a query that leaves out many windows is longer than addresses may be.
    async fn post<T: DeserializeOwned>(
        &self,
        address: &str,
        url: &str,
        form: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Vec<T>, PrometheusError> {
        let unreachable = |detail: String| PrometheusError::Unreachable {
            url: url.to_owned(),
            detail,
        };
        let lost = |error: reqwest::Error| unreachable(causes(&error.without_url()));
        let asked = self.http.post(address).timeout(timeout).form(form);
        let mut response = asked.send().await.map_err(lost)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_MAX {
                return Err(PrometheusError::Unreadable {
                    detail: format!("it is larger than {BODY_MAX} bytes"),
                });
            }
        }
        let status = response.status();
        let answer: Answer<T> = serde_json::from_slice(&body).map_err(|error| match status.is_success() {
            true => PrometheusError::Unreadable {
                detail: error.to_string(),
            },
            false => unreachable(status.to_string()),
        })?;
        if answer.status != "success" {
            return Err(match status.is_server_error() {
                true => unreachable(answer.error),
                false => PrometheusError::Refused { detail: answer.error },
            });
        }
        if !answer.warnings.is_empty() {
            return Err(PrometheusError::Partial {
                detail: answer.warnings.join("; "),
            });
        }
        Ok(answer.data.result)
    }
}

/// An error with what caused it: the outermost alone says only that sending failed.
fn causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        told = format!("{told}: {inner}");
        cause = inner.source();
    }
    told
}

/// What a server has settled: nothing when the next one is asked, because this one did not answer. Another would refuse the same text.
fn settled<T>(
    found: Result<T, PrometheusError>,
    failed: &mut Option<PrometheusError>,
) -> Option<Result<T, PrometheusError>> {
    match found {
        Ok(_) | Err(PrometheusError::Refused { .. }) => Some(found),
        Err(error) => {
            *failed = Some(error);
            None
        }
    }
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

fn several(volume: &str) -> PrometheusError {
    PrometheusError::Unreadable {
        detail: format!(
            "it has several values for {volume}; bring them together, as in `max by (pv_name) (…)`"
        ),
    }
}

fn no_address() -> PrometheusError {
    PrometheusError::Unreachable {
        url: String::new(),
        detail: "no address is given".to_owned(),
    }
}

/// Values of each volume with their times, in seconds since the epoch and in order.
pub type Ranges = HashMap<String, Vec<(i64, f64)>>;

/// A span in parts, each of which is one answer of bounded size for so many series.
pub fn parts(span: Span, series: usize) -> Vec<Span> {
    let series = i64::try_from(series.max(1)).unwrap_or(i64::MAX);
    span.parts((VALUES_MAX / series).clamp(1, POINTS_MAX))
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Answer<T> {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default = "Data::none")]
    data: Data<T>,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Data<T> {
    #[serde(default = "Vec::new")]
    result: Vec<T>,
}

impl<T> Data<T> {
    fn none() -> Self {
        Self { result: Vec::new() }
    }
}

#[derive(Deserialize)]
struct Instant {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

/// What is in an answer that has one value: a series, or the two parts of a scalar, its time and its value.
#[derive(Deserialize)]
#[serde(untagged)]
enum Figure {
    Series { value: (f64, String) },
    Time(#[expect(dead_code, reason = "it tells the form of an answer")] f64),
    Scalar(String),
}

impl Figure {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Series { value } => Some(&value.1),
            Self::Scalar(text) => Some(text),
            Self::Time(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Matrix {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_in_parts_asks_each_time_once() {
        for (steps, series) in [
            (1, 1),
            (720, 3),
            (720, 100_000),
            (50_000, 1),
            (11_001, 7),
            (1000, 30_000),
        ] {
            let span = Span {
                first: 1_800_000_000,
                last: 1_800_000_000 + (steps - 1) * 900,
                step: 900,
            };
            let parts = parts(span, series);
            assert_eq!(parts.iter().map(|part| part.steps()).sum::<i64>(), steps);
            assert!(parts.windows(2).all(|two| two[0].last + 900 == two[1].first));
            assert!(parts.iter().all(|part| {
                let values = part.steps() * i64::try_from(series).unwrap_or(0);
                part.steps() <= POINTS_MAX && (values <= VALUES_MAX || part.steps() == 1)
            }));
        }
    }
}
