//! One request from its path to its answer.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Query, Request as HttpRequest, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, future, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch::Sender;

use super::faults::{Faults, What};
use super::listener::Scissors;
use super::patch::PatchType;
use super::requests::{Request, RequestLog};
use super::route::{decoded, find, manager, route, text, verb};
use super::selectors::Selector;
use super::status::{self, Answer, Refusal};
use super::store::Store;
use super::view::{self, Form};
use super::watch::{self, Wish};
use super::write::{self, Options, Target};
use super::{delete, discovery};

/// The largest body that is read: the real server's limit for one object.
const BODY: usize = 3 * 1024 * 1024;

/// What all requests share.
pub(super) struct Shared {
    pub(super) store: Mutex<Store>,
    pub(super) clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) faults: Faults,
    pub(super) requests: RequestLog,
    pub(super) changes: Sender<u64>,
    pub(super) cuts: Sender<u64>,
    pub(super) gone: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("revision", &self.store().revision())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The objects.
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the objects and wakes the watches if something changed.
    pub(super) fn with_store<T>(&self, work: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store();
        let done = work(&mut store);
        let revision = store.revision();
        drop(store);
        self.changes
            .send_if_modified(|last| std::mem::replace(last, revision) != revision);
        done
    }

    /// The time as objects write it.
    pub(super) fn now(&self) -> String {
        let now = (self.clock)();
        Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
    }
}

/// One request, understood.
struct Call {
    verb: &'static str,
    target: Target,
    query: Vec<(String, String)>,
    form: Form,
    content_type: String,
    options: Options,
    body: Vec<u8>,
}

impl Call {
    fn query(&self, name: &str) -> &str {
        find(&self.query, name)
    }

    fn resource(&self) -> String {
        let resource = self.target.kind.resource();
        match self.target.subresource.as_str() {
            "" => resource,
            sub => format!("{resource}/{sub}"),
        }
    }
}

/// Answers every request.
pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: HttpRequest,
) -> Response {
    if shared.gone.load(Ordering::SeqCst) {
        scissors.cut();
    }
    let (head, body) = request.into_parts();
    let path = decoded(head.uri.path());
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if let ["healthz" | "readyz" | "livez", ..] = parts.as_slice() {
        return "ok".into_response();
    }
    let accept = text(&head.headers, header::ACCEPT);
    let aggregated = accept.contains("as=APIGroupDiscoveryList") && accept.contains("v=v2");
    let found = discovery::answer(
        &shared.store(),
        &parts,
        aggregated && !accept.starts_with("application/json,"),
    );
    if let Some(document) = found {
        shared.requests.note(discovered(&path));
        let kind = if document["kind"] == "APIGroupDiscoveryList" {
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        } else {
            "application/json"
        };
        return ([(header::CONTENT_TYPE, kind)], document.to_string()).into_response();
    }
    let Some(target) = route(&shared.store(), &parts) else {
        shared.requests.note(Request {
            code: 404,
            ..discovered(&path)
        });
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    };
    let Ok(body) = to_bytes(body, BODY).await else {
        return refuse(&status::bad_request(
            "the body is larger than 3 MiB or was cut short",
        ));
    };
    let query = Query::<Vec<(String, String)>>::try_from_uri(&head.uri)
        .map(|query| query.0)
        .unwrap_or_default();
    let content_type = text(&head.headers, header::CONTENT_TYPE);
    let Some(verb) = verb(&head.method, &target, &query, &content_type) else {
        return refuse(&status::not_allowed(&target.kind));
    };
    let options = Options {
        manager: manager(&query, &head.headers, verb),
        dry_run: query.iter().any(|(key, value)| key == "dryRun" && value == "All"),
        force: find(&query, "force") == "true",
        now: shared.now(),
    };
    let body = body.to_vec();
    let call = Call {
        verb,
        target,
        query,
        form: Form::read(&accept),
        content_type,
        options,
        body,
    };
    play(&shared, &scissors, call).await
}

fn discovered(path: &str) -> Request {
    Request {
        verb: "discovery".to_owned(),
        resource: path.to_owned(),
        namespace: String::new(),
        name: String::new(),
        manager: String::new(),
        dry_run: false,
        code: 200,
    }
}

/// Carries the call out, with the fault that is ordered for it.
async fn play(shared: &Arc<Shared>, scissors: &Scissors, call: Call) -> Response {
    let mut log = Request {
        verb: call.verb.to_owned(),
        resource: call.resource(),
        namespace: call.target.namespace.clone(),
        name: call.target.name.clone(),
        manager: call.options.manager.clone(),
        dry_run: call.options.dry_run,
        code: 0,
    };
    let fault = shared.faults.take(call.verb, &log.resource);
    let mut stale = None;
    match fault {
        Some(What::Delay(time)) => tokio::time::sleep(time).await,
        Some(What::Stale(by)) => stale = Some(shared.store().revision().saturating_sub(by)),
        _ => {}
    }
    let answer = match fault {
        Some(What::Answer(code)) => Err(status::ordered(code)),
        Some(What::Conflict) => Err(status::modified(&call.target.kind, &call.target.name)),
        Some(What::Drop) => Err(status::ordered(500)),
        _ => answer(shared, &call, stale),
    };
    if matches!(fault, Some(What::Drop | What::LoseReply)) {
        scissors.cut();
        shared.requests.note(log);
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let response = answer.unwrap_or_else(|refusal| refuse(&refusal));
    log.code = response.status().as_u16();
    shared.requests.note(log);
    match fault {
        Some(What::Torn) => torn(response).await,
        _ => response,
    }
}

/// Half of an answer, and then nothing more.
async fn torn(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    head.headers.insert(header::CONTENT_LENGTH, whole.len().into());
    let begun = stream::once(future::ready(Ok(whole.slice(..whole.len() / 2))));
    let end = stream::once(async {
        // What was sent goes out before the connection ends: hyper flushes when it is asked again.
        tokio::task::yield_now().await;
        Err::<Bytes, _>(std::io::Error::other("cut"))
    });
    Response::from_parts(head, Body::from_stream(begun.chain(end)))
}

fn answer(shared: &Arc<Shared>, call: &Call, stale: Option<u64>) -> Answer<Response> {
    match call.verb {
        "watch" => return Ok(json_response(200, watch::open(shared, wish(call)?))),
        "list" => return Ok(json_response(200, list(shared, call, stale)?.to_string())),
        "get" => return Ok(json_response(200, get(shared, call, stale)?.to_string())),
        _ => {}
    }
    let (code, object) = shared.with_store(|store| write_call(store, call))?;
    let object = match object["kind"] == "Status" {
        true => object,
        false => view::one(
            view::shown(&object, &call.target),
            &call.target,
            call.form,
            (shared.clock)(),
        ),
    };
    Ok(json_response(code, object.to_string()))
}

fn write_call(store: &mut Store, call: &Call) -> Answer<(u16, Value)> {
    let (target, options) = (&call.target, &call.options);
    let object = || -> Answer<Value> {
        let body: Option<Value> = match call.content_type.split(';').next().unwrap_or_default().trim() {
            "" | "application/json" => serde_json::from_slice(&call.body).ok(),
            "application/yaml" => serde_saphyr::from_slice(&call.body).ok(),
            // kubectl's `create` commands send this; `kubectl apply` and `kubectl create -f` do not.
            _ => {
                return Err(status::unsupported_media_type(
                    "application/json, application/yaml",
                ));
            }
        };
        let body = body.ok_or_else(|| status::bad_request("the object provided is neither JSON nor YAML"))?;
        Ok(view::taken(body, target))
    };
    match call.verb {
        "create" if target.subresource == "binding" => bind(store, target, options, &object()?),
        "create" if !target.subresource.is_empty() => Err(status::not_allowed(&target.kind)),
        "create" => write::create(store, target, options, object()?),
        "update" => write::replace(store, target, options, object()?),
        "patch" | "apply" => {
            let how = PatchType::read(&call.content_type).ok_or_else(|| {
                status::unsupported_media_type(
                    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                )
            })?;
            write::patch(store, target, options, how, &call.body)
        }
        _ => delete_call(store, call),
    }
}

/// Puts a pod on a node.
fn bind(store: &mut Store, target: &Target, options: &Options, binding: &Value) -> Answer<(u16, Value)> {
    let mut pod = target.clone();
    pod.subresource.clear();
    let change = json!({"spec": {"nodeName": binding["target"]["name"]}}).to_string();
    write::patch(store, &pod, options, PatchType::Merge, change.as_bytes())?;
    Ok((
        201,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

fn delete_call(store: &mut Store, call: &Call) -> Answer<(u16, Value)> {
    let wishes: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let mut options = call.options.clone();
    options.dry_run |= wishes["dryRun"]
        .as_array()
        .is_some_and(|dry| dry.iter().any(|part| part == "All"));
    if call.verb == "delete" {
        return delete::delete(store, &call.target, &options, &wishes["preconditions"]);
    }
    let selector = Selector::read(
        &call.target.kind,
        call.query("labelSelector"),
        call.query("fieldSelector"),
    )?;
    let namespace = Some(call.target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let mut gone = Vec::new();
    for object in store
        .list(&call.target.kind, namespace)
        .into_iter()
        .filter(|object| selector.takes(object))
    {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let one = Target {
            namespace: text("namespace"),
            name: text("name"),
            ..call.target.clone()
        };
        delete::delete(store, &one, &options, &Value::Null)?;
        gone.push(write::shown(&object, &one));
    }
    let revision = store.revision();
    Ok((
        200,
        view::list(gone, &call.target, Form::Whole, revision, Timestamp::UNIX_EPOCH),
    ))
}

fn selected(call: &Call) -> Answer<Selector> {
    Selector::read(
        &call.target.kind,
        call.query("labelSelector"),
        call.query("fieldSelector"),
    )
}

fn list(shared: &Shared, call: &Call, stale: Option<u64>) -> Answer<Value> {
    let selector = selected(call)?;
    let namespace = Some(call.target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let store = shared.store();
    let (objects, revision) = match stale {
        Some(revision) => (
            store.list_before(&call.target.kind, namespace, revision),
            revision,
        ),
        None => (store.list(&call.target.kind, namespace), store.revision()),
    };
    drop(store);
    let shown: Vec<_> = objects
        .iter()
        .filter(|object| selector.takes(object))
        .map(|object| view::shown(object, &call.target))
        .collect();
    Ok(view::list(
        shown,
        &call.target,
        call.form,
        revision,
        (shared.clock)(),
    ))
}

fn get(shared: &Shared, call: &Call, stale: Option<u64>) -> Answer<Value> {
    let target = &call.target;
    let store = shared.store();
    let object = match stale {
        Some(revision) => store
            .list_before(&target.kind, Some(&target.namespace), revision)
            .into_iter()
            .find(|object| object["metadata"]["name"] == json!(target.name)),
        None => store.get(&target.key()),
    };
    drop(store);
    let object = object.ok_or_else(|| status::not_found(&target.kind, &target.name))?;
    Ok(view::one(
        view::shown(&object, target),
        target,
        call.form,
        (shared.clock)(),
    ))
}

fn wish(call: &Call) -> Answer<Wish> {
    let mark_initial = call.query("sendInitialEvents") == "true";
    let version = call.query("resourceVersion");
    let since = match version.parse::<u64>() {
        _ if version.is_empty() || version == "0" || mark_initial => None,
        Ok(version) => Some(version),
        Err(_) => {
            return Err(status::bad_request(&format!(
                "Invalid value: {version:?}: invalid resource version"
            )));
        }
    };
    Ok(Wish {
        target: call.target.clone(),
        selector: selected(call)?,
        since,
        bookmarks: call.query("allowWatchBookmarks") == "true",
        mark_initial,
        timeout: call.query("timeoutSeconds").parse().ok().map(Duration::from_secs),
        form: call.form,
    })
}

fn json_response(code: u16, body: impl Into<Body>) -> Response {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, [(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

fn refuse(refusal: &Refusal) -> Response {
    json_response(refusal.code, refusal.body.to_string())
}
