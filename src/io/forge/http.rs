//! What all forges share: one door for requests, with the token, limits, bounds, a cache of answers and typed errors.

use super::limits::{Count, Counts, Gate, Patience, Requests};
use super::{Address, ForgeError, Options};
use crate::io::git::Credentials;
use crate::model::pull_request::ForgeKind;
use crate::model::secret::MASK;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One answer: a hundred pull requests with the longest bodies that GitHub takes are some twenty megabytes at most.
const BODY_MAX: usize = 32 << 20;

/// Answers that are kept for conditional requests: how many, and how many bytes of them.
const KEPT_MAX: usize = 256;
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Longest words of a forge that are quoted.
const QUOTED_MAX: usize = 200;

/// Where an answer came from.
struct Raw {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// One page of a list.
struct Page {
    body: Arc<Vec<u8>>,
    more: bool,
}

/// An answer that the forge may say is still good.
struct Kept {
    url: String,
    etag: HeaderValue,
    body: Arc<Vec<u8>>,
    more: bool,
}

/// The door.
pub(super) struct Http {
    client: reqwest::Client,
    address: Address,
    base: Url,
    credentials: Credentials,
    options: Options,
    kept: Mutex<VecDeque<Kept>>,
    gate: Mutex<Gate>,
    counts: Counts,
    patience: Patience,
    /// Writes go one after the other.
    writing: tokio::sync::Mutex<()>,
}

impl Http {
    pub(super) fn new(
        address: &Address,
        credentials: Credentials,
        options: Options,
    ) -> Result<Self, ForgeError> {
        let base = Url::parse(&address.api).map_err(|_| ForgeError::Address {
            what: format!("{:?} is no address", address.api),
        })?;
        Ok(Self {
            client: credentials.api_client(&address.api, options.timeout)?,
            address: address.clone(),
            base,
            credentials,
            options,
            kept: Mutex::default(),
            gate: Mutex::default(),
            counts: Counts::default(),
            patience: Patience::default(),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// From now on all requests together may take so long; `None`: as long as they like.
    pub(super) fn allow(&self, budget: Option<Duration>) {
        self.patience.allow(budget);
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn requests(&self) -> Requests {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.counts.read(&gate)
    }

    /// The login of a GitHub App.
    pub(super) async fn app_login(&self) -> Result<Option<String>, ForgeError> {
        Ok(self.credentials.app_login(&self.client).await?)
    }

    /// Reads one thing.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ForgeError> {
        let page = self.page(what, path, query).await?;
        self.parse(what, &page.body)
    }

    /// Reads a list page by page until it ends, `take` has enough, or `pages` were read. `true`: it was read to its end.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &[&str],
        query: &[(&str, &str)],
        pages: usize,
        mut take: impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<bool, ForgeError> {
        for number in 1..=pages {
            let number = number.to_string();
            let mut query = query.to_vec();
            query.push(("page", &number));
            let page = self.page(what, path, &query).await?;
            let items: Vec<T> = self.parse(what, &page.body)?;
            let empty = items.is_empty();
            for item in items {
                if take(item).is_break() {
                    return Ok(false);
                }
            }
            if empty || !page.more {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn page(&self, what: &str, path: &[&str], query: &[(&str, &str)]) -> Result<Page, ForgeError> {
        let url = self.url(path, query);
        let known = self.known(&url);
        let etag = known.as_ref().map(|(etag, _)| etag.clone());
        let raw = self.send(what, Method::GET, &url, None, etag).await?;
        if let (304, Some((_, page))) = (raw.status, known) {
            self.counts.add(Count::Unchanged);
            return Ok(page);
        }
        let more = raw
            .headers
            .get("link")
            .and_then(|link| link.to_str().ok())
            .is_some_and(|link| link.contains("rel=\"next\""));
        let page = Page {
            body: Arc::new(raw.body),
            more,
        };
        if let Some(etag) = raw.headers.get("etag") {
            self.keep(&url, etag, &page);
        }
        Ok(page)
    }

    /// Asks for a change. An answer that is not clear is [`ForgeError::Indeterminate`]: read before it is tried again.
    pub(super) async fn write(
        &self,
        what: &str,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<Value, ForgeError> {
        let url = self.url(path, &[]);
        let _one = self.writing.lock().await;
        {
            let now = crate::io::clock::now();
            let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            gate.write(what, now, self.options.writes_per_minute)?;
        }
        let body = Some(body).filter(|body| !body.is_null());
        let raw = self.send(what, method, &url, body, None).await?;
        if raw.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        // It was done, for its status says so; what it looks like now is read again.
        serde_json::from_slice(&raw.body).map_err(|error| ForgeError::Indeterminate {
            what: what.to_owned(),
            detail: error.to_string(),
        })
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn parse<T: DeserializeOwned>(&self, what: &str, body: &[u8]) -> Result<T, ForgeError> {
        serde_json::from_slice(body).map_err(|error| ForgeError::Unreadable {
            what: what.to_owned(),
            // serde names what it found, which may be anything that the forge sent; the place is enough.
            detail: format!(
                "not what {}'s API says, line {} column {}",
                self.address.kind.name(),
                error.line(),
                error.column()
            ),
        })
    }

    fn known(&self, url: &Url) -> Option<(HeaderValue, Page)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.iter().find(|kept| kept.url == url.as_str())?;
        let page = Page {
            body: kept.body.clone(),
            more: kept.more,
        };
        Some((kept.etag.clone(), page))
    }

    fn keep(&self, url: &Url, etag: &HeaderValue, page: &Page) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.url != url.as_str());
        kept.push_back(Kept {
            url: url.to_string(),
            etag: etag.clone(),
            body: page.body.clone(),
            more: page.more,
        });
        let bytes = |kept: &VecDeque<Kept>| kept.iter().map(|kept| kept.body.len()).sum::<usize>();
        while kept.len() > KEPT_MAX || bytes(&kept) > KEPT_BYTES_MAX {
            kept.pop_front();
        }
    }

    async fn send(
        &self,
        what: &str,
        method: Method,
        url: &Url,
        body: Option<&Value>,
        etag: Option<HeaderValue>,
    ) -> Result<Raw, ForgeError> {
        for again in [false, true] {
            self.gate
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pass(what, crate::io::clock::now())?;
            let token = self.credentials.api_token(&self.client).await?;
            if method != Method::GET {
                self.options.guard.pass()?;
            }
            let began = Instant::now();
            let outcome = self.once(what, &method, url, body, etag.as_ref(), &token).await;
            self.patience.spend(began);
            let outcome = outcome.inspect_err(|_| self.counts.add(Count::Failed))?;
            let now = crate::io::clock::now();
            self.gate.lock().unwrap_or_else(PoisonError::into_inner).note(
                self.address.kind,
                &outcome.headers,
                now,
            );
            // An App's token that ran out early is fetched anew, once.
            if outcome.status == 401 && !again && self.credentials.forget_token() {
                continue;
            }
            return match outcome.status {
                200..=299 => Ok(outcome),
                304 if etag.is_some() => Ok(outcome),
                _ => Err(self.refusal(what, &method, &outcome, now, &token)),
            };
        }
        Err(ForgeError::Denied {
            what: what.to_owned(),
            detail: "HTTP 401".to_owned(),
        })
    }

    async fn once(
        &self,
        what: &str,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
        etag: Option<&HeaderValue>,
        token: &str,
    ) -> Result<Raw, ForgeError> {
        let host = self.base.host_str().unwrap_or_default();
        let timeout = self.patience.left(what, host, self.options.timeout)?;
        self.counts.add(match *method {
            Method::GET => Count::Read,
            _ => Count::Write,
        });
        let mut request = self
            .client
            .request(method.clone(), url.clone())
            .timeout(timeout)
            .header("Authorization", self.authorization(token)?);
        if self.address.kind == ForgeKind::Github {
            request = request
                .header("Accept", "application/vnd.github+json")
                .header("X-GitHub-Api-Version", "2022-11-28");
        } else {
            request = request.header("Accept", "application/json");
        }
        if let Some(etag) = etag {
            request = request.header("If-None-Match", etag);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let lost = |error: reqwest::Error| self.lost(what, method, timeout, &error);
        let mut answer = request.send().await.map_err(lost)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > BODY_MAX {
                return Err(ForgeError::Unreadable {
                    what: what.to_owned(),
                    detail: format!("it has more than {BODY_MAX} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Raw {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body,
        })
    }

    fn authorization(&self, token: &str) -> Result<HeaderValue, ForgeError> {
        let scheme = match self.address.kind {
            ForgeKind::Gitea => "token",
            ForgeKind::Github | ForgeKind::Gitlab => "Bearer",
        };
        let text = zeroize::Zeroizing::new(format!("{scheme} {token}"));
        let mut value = HeaderValue::from_str(&text).map_err(|_| ForgeError::Credentials {
            what: "has a token with characters that no token has".to_owned(),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// No whole answer came.
    fn lost(&self, what: &str, method: &Method, timeout: Duration, error: &reqwest::Error) -> ForgeError {
        let host = self.base.host_str().unwrap_or_default();
        let detail = match () {
            () if error.is_timeout() => {
                format!("{host} took longer than {} s", timeout.as_secs())
            }
            () => {
                let mut words = "the connection failed".to_owned();
                let mut cause = std::error::Error::source(error);
                while let Some(inner) = cause {
                    words = inner.to_string();
                    cause = inner.source();
                }
                format!("{host}: {words}")
            }
        };
        let what = what.to_owned();
        // What was never sent was not done.
        match *method == Method::GET || error.is_connect() || error.is_builder() {
            true => ForgeError::Unreachable { what, detail },
            false => ForgeError::Indeterminate { what, detail },
        }
    }

    fn refusal(&self, what: &str, method: &Method, raw: &Raw, now: Timestamp, token: &str) -> ForgeError {
        let what = what.to_owned();
        let words = quoted(&raw.body, token);
        let detail = match words.is_empty() {
            true => format!("HTTP {}", raw.status),
            false => format!("HTTP {}: {words}", raw.status),
        };
        let limit = self.gate.lock().unwrap_or_else(PoisonError::into_inner).refused(
            raw.status,
            &raw.headers,
            &words,
            now,
        );
        if let Some(until) = limit {
            self.counts.add(Count::Limited);
            if raw.status < 500 {
                return ForgeError::Limited { what, until, detail };
            }
        }
        match raw.status {
            300..=399 => ForgeError::Address {
                what: format!(
                    "{} sends us elsewhere with HTTP {}; was the repository renamed? write its present name",
                    self.base.host_str().unwrap_or_default(),
                    raw.status
                ),
            },
            401 | 403 | 407 => ForgeError::Denied { what, detail },
            404 | 410 => ForgeError::NotFound { what, detail },
            408 | 500..=599 if *method == Method::GET => ForgeError::Unreachable { what, detail },
            408 | 500..=599 => ForgeError::Indeterminate { what, detail },
            status => ForgeError::Refused {
                what,
                status,
                detail: words,
            },
        }
    }
}

/// A forge's words in one line, without the token if it should ever send that back.
fn quoted(body: &[u8], token: &str) -> String {
    let mut words = Vec::new();
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            for key in ["message", "error", "errors", "error_description"] {
                collect(&value[key], &mut words, 0);
            }
        }
        // A proxy's page of HTML says nothing that its status does not say.
        Err(_) => return String::new(),
    }
    let mut text = words.join("; ");
    if !token.is_empty() {
        text = text.replace(token, MASK);
    }
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(QUOTED_MAX)
        .collect()
}

fn collect(value: &Value, words: &mut Vec<String>, depth: usize) {
    if depth > 3 || words.len() > 5 {
        return;
    }
    match value {
        Value::String(text) if !text.is_empty() => words.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, words, depth + 1)),
        Value::Object(fields) => fields.values().for_each(|item| collect(item, words, depth + 1)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_forges_words_are_quoted_in_short_and_without_the_token() {
        #[rustfmt::skip]
        let table = [
            (r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","message":"A pull request already exists for a:b."}]}"#, "A pull request already exists"),
            (r#"{"message":["Another open merge request already exists for this source branch: !3"]}"#, "already exists for this source branch: !3"),
            (r#"{"error":"insufficient_scope"}"#, "insufficient_scope"),
            (r#"{"message":"you sent s3cret\nin a header"}"#, "you sent ••• in a header"),
            ("<html>s3cret</html>", ""),
            ("", ""),
        ];
        for (body, wanted) in table {
            let text = quoted(body.as_bytes(), "s3cret");
            assert!(text.contains(wanted), "{text}");
            assert!(!text.contains("s3cret") && !text.contains('\n'), "{text}");
        }
        let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(10_000));
        assert_eq!(quoted(long.as_bytes(), "").len(), QUOTED_MAX);
    }
}
