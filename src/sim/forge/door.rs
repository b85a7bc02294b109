//! One door for all requests to a simulated forge: the token, faults, limits, ETags and pages.

use super::faults::Fault;
use super::{LOGIN, Shared, app, github, gitlab};
use crate::model::pull_request::ForgeKind;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest request.
const BODY_MAX: usize = 8 << 20;

/// When a window that is used up begins anew, in seconds from now.
const WINDOW_SECS: i64 = 2;

/// One request, taken apart.
pub(super) struct Asked {
    pub(super) method: Method,
    /// The path below the API's own, unescaped.
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Value,
    /// Whose token it was.
    pub(super) who: &'static str,
}

impl Asked {
    /// A text of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A text of the body.
    pub(super) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }
}

/// An answer.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) more: bool,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self::of(200, body)
    }

    pub(super) fn of(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            more: false,
        }
    }

    pub(super) fn not_found() -> Self {
        Self::of(404, json!({"message": "Not Found"}))
    }

    /// One page of a list.
    pub(super) fn page(items: Vec<Value>, asked: &Asked, default: usize) -> Self {
        let number = |name: &str| asked.query(name).and_then(|text| text.parse::<usize>().ok());
        let per_page = number("per_page").unwrap_or(default).clamp(1, 100);
        let page = number("page").unwrap_or(1).max(1);
        let more = items.len() > page * per_page;
        let items = items
            .into_iter()
            .skip((page - 1) * per_page)
            .take(per_page)
            .collect();
        Self {
            status: 200,
            body: Value::Array(items),
            more,
        }
    }
}

/// A change that is asked for, until it is answered.
struct Writing(Arc<Shared>);

impl Writing {
    fn begin(shared: &Arc<Shared>) -> Self {
        let mut traffic = shared.traffic();
        traffic.writing += 1;
        traffic.writing_most = traffic.writing_most.max(traffic.writing);
        Self(shared.clone())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.traffic().writing -= 1;
    }
}

/// Answers one request.
pub(super) async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let _writing = (request.method() != Method::GET).then(|| Writing::begin(&shared));
    let (head, body) = request.into_parts();
    let address = head.uri.to_string();
    let name = format!("{} {address}", head.method);
    shared.traffic().requests.push(name.clone());
    if let Some(answer) = app::answer(&shared, &head.method, head.uri.path(), &head.headers) {
        return send(&answer, &shared, None);
    }
    let Some(who) = who(&shared, &head.headers) else {
        return send(
            &Answer::of(401, json!({"message": "Bad credentials"})),
            &shared,
            None,
        );
    };
    let fault = shared.traffic().faults.take(&name);
    if let Some(refused) = before(&shared, fault) {
        return refused;
    }
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
        return send(&Answer::of(413, json!({"message": "too large"})), &shared, None);
    };
    let Some(asked) = take_apart(&shared, &head.method, &head.uri, &body, who) else {
        return send(&Answer::not_found(), &shared, None);
    };
    let answer = match shared.kind {
        ForgeKind::Gitlab => gitlab::answer(&mut shared.state(), &asked),
        _ => github::answer(&mut shared.state(), &asked),
    };
    let answer = remember(
        &shared,
        &asked.method,
        &address,
        answer,
        fault == Some(Fault::Stale),
    );
    match fault {
        Some(Fault::LostReply) => cut(),
        Some(Fault::ErrorAfter) => plain(502),
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            send(&answer, &shared, None)
        }
        Some(Fault::Race) if can_be_taken(&asked) && answer.status < 300 => {
            send(&taken(&shared), &shared, None)
        }
        _ => {
            let known = (asked.method == Method::GET).then_some(&head.headers);
            send(&answer, &shared, Some(known))
        }
    }
}

/// Whose token it is.
fn who(shared: &Shared, headers: &HeaderMap) -> Option<&'static str> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = match header("authorization") {
        Some(text) => text.strip_prefix("Bearer ")?,
        None if shared.kind == ForgeKind::Gitlab => header("private-token")?,
        None => return None,
    };
    if token == shared.token {
        return Some(LOGIN);
    }
    app::is_installation(shared, token).then_some(app::LOGIN_OF_APP)
}

/// What happens instead of doing what was asked.
fn before(shared: &Shared, fault: Option<Fault>) -> Option<Response> {
    if shared.traffic().budget == Some(0) {
        let answer = Answer::of(403, json!({"message": "API rate limit exceeded for user ID 1."}));
        return Some(send(&answer, shared, None));
    }
    let limited = |status: u16, words: &str, seconds: u32| {
        let mut response = send(&Answer::of(status, json!({"message": words})), shared, None);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        Some(response)
    };
    match fault {
        Some(Fault::ErrorBefore) => Some(plain(500)),
        Some(Fault::Cut) => Some(cut()),
        Some(Fault::TooMany(seconds)) => limited(429, "Too Many Requests", seconds),
        Some(Fault::Secondary(seconds)) => limited(
            403,
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            seconds,
        ),
        _ => None,
    }
}

/// What exists once only.
fn can_be_taken(asked: &Asked) -> bool {
    let last = asked.path.last().map(String::as_str);
    asked.method == Method::POST
        && asked.path.len() < 5
        && matches!(last, Some("pulls" | "merge_requests" | "labels"))
}

/// Somebody else was faster.
fn taken(shared: &Shared) -> Answer {
    match shared.kind {
        ForgeKind::Gitlab => Answer::of(
            409,
            json!({"message": ["Another open merge request already exists for this source branch: !1"]}),
        ),
        _ => Answer::of(
            422,
            json!({"message": "Validation Failed", "errors": [{"message": "A pull request already exists for acme:x."}]}),
        ),
    }
}

/// Keeps what reads show; a list that lags behind shows what it showed before.
fn remember(shared: &Shared, method: &Method, address: &str, answer: Answer, stale: bool) -> Answer {
    if *method != Method::GET {
        return answer;
    }
    let mut traffic = shared.traffic();
    let shown = traffic.shown.entry(address.to_owned()).or_default();
    if shown[0].as_ref().is_none_or(|newest| newest.body != answer.body) {
        shown[1] = shown[0].take();
        shown[0] = Some(answer.clone());
    }
    // Lists lag behind; single things do not.
    match stale && answer.body.is_array() {
        true => shown[1].clone().unwrap_or(answer),
        false => answer,
    }
}

fn take_apart(
    shared: &Shared,
    method: &Method,
    uri: &axum::http::Uri,
    body: &Bytes,
    who: &'static str,
) -> Option<Asked> {
    let root = match shared.kind {
        ForgeKind::Gitlab => "/api/v4/",
        _ => "/api/v3/",
    };
    let path = uri.path().strip_prefix(root)?.split('/').map(unescaped).collect();
    let query = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (unescaped(name), unescaped(&value.replace('+', " "))))
        .collect();
    let body = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(body).ok()?,
    };
    Some(Asked {
        method: method.clone(),
        path,
        query,
        body,
        who,
    })
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer that breaks off after its head.
fn cut() -> Response {
    let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
    let mut response = Response::new(Body::from_stream(broken));
    response.headers_mut().insert(header::CONTENT_LENGTH, 1000.into());
    response
}

fn plain(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, "<html>something broke</html>").into_response()
}

/// Sends an answer; with the request's headers it may be "unchanged", which costs nothing.
fn send(answer: &Answer, shared: &Shared, asked: Option<Option<&HeaderMap>>) -> Response {
    let text = match &answer.body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let etag = format!("W/\"{:x}\"", Sha256::digest(format!("{text}{}", answer.more)));
    let known = asked
        .flatten()
        .and_then(|headers| headers.get(header::IF_NONE_MATCH))
        .is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let unchanged = known && answer.status == 200;
    let status = if unchanged { 304 } else { answer.status };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match unchanged {
        true => status.into_response(),
        false => (status, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
    };
    let headers = response.headers_mut();
    if asked.flatten().is_some()
        && answer.status == 200
        && let Ok(etag) = etag.parse()
    {
        headers.insert(header::ETAG, etag);
    }
    if answer.more {
        let link = "<http://localhost/next>; rel=\"next\"";
        headers.insert(header::LINK, header::HeaderValue::from_static(link));
    }
    let mut traffic = shared.traffic();
    if let Some(budget) = &mut traffic.budget {
        if !unchanged {
            *budget = budget.saturating_sub(1);
        }
        let reset = crate::io::clock::now().as_second() + WINDOW_SECS;
        let (remaining, reset) = ((*budget).into(), reset.into());
        let names = match shared.kind {
            ForgeKind::Gitlab => ("ratelimit-remaining", "ratelimit-reset"),
            _ => ("x-ratelimit-remaining", "x-ratelimit-reset"),
        };
        headers.insert(names.0, remaining);
        headers.insert(names.1, reset);
    }
    response
}
