//! Create, replace, patch and apply: what the real server checks and changes before an object is kept.

use std::sync::Arc;

use serde_json::{Value, json};

use super::admit;
use super::apply::{self, Apply};
use super::delete::vanish;
use super::kinds::Kind;
use super::ownership::{self, Managers, Writer};
use super::patch::{self, PatchType};
use super::status::{self, Answer, Cause};
use super::store::{Key, Store};
use super::typed;

/// What a request is about.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The kind.
    pub(super) kind: Arc<Kind>,
    /// The version in the path.
    pub(super) version: String,
    /// The namespace in the path; empty if there is none.
    pub(super) namespace: String,
    /// The name in the path; empty for a collection.
    pub(super) name: String,
    /// `status` and the like; empty for the object itself.
    pub(super) subresource: String,
}

/// How to write.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// The field manager.
    pub(super) manager: String,
    /// Whether to keep nothing.
    pub(super) dry_run: bool,
    /// Whether an apply takes fields from others.
    pub(super) force: bool,
    /// The time, as objects write it.
    pub(super) now: String,
}

/// The code and the object.
pub(super) type Written = Answer<(u16, Value)>;

/// Metadata that only the server writes.
const SERVERS: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "resourceVersion",
    "managedFields",
];

impl Target {
    /// Where the object is kept.
    pub(super) fn key(&self) -> Key {
        Store::key(&self.kind, &self.namespace, &self.name)
    }

    /// The object's key in etcd, which some messages show.
    fn registry_key(&self) -> String {
        let group = if self.kind.custom {
            format!("{}/", self.kind.group)
        } else {
            String::new()
        };
        let namespace = if self.kind.namespaced {
            format!("{}/", self.namespace)
        } else {
            String::new()
        };
        format!("/registry/{group}{}/{namespace}{}", self.kind.plural, self.name)
    }

    fn has_status(&self) -> bool {
        self.kind
            .version(&self.version)
            .is_some_and(|version| version.status)
    }

    fn api_version(&self) -> String {
        self.kind.api_version(&self.version)
    }

    /// The parts that this endpoint does not write.
    fn reset(&self) -> &'static [&'static [&'static str]] {
        match (self.subresource.as_str(), self.has_status()) {
            ("status", _) => &[&["f:spec"]],
            // Put in by the server, owned by nobody.
            ("", true) if self.kind.plural == "namespaces" => &[&["f:status"], &["f:spec"]],
            (_, true) => &[&["f:status"]],
            _ => &[],
        }
    }

    fn writer(&self, operation: &str, options: &Options) -> Writer {
        Writer {
            operation: operation.to_owned(),
            manager: options.manager.clone(),
            api_version: self.api_version(),
            subresource: self.subresource.clone(),
        }
    }
}

/// `POST` to a collection.
pub(super) fn create(store: &mut Store, target: &Target, options: &Options, body: Value) -> Written {
    let mut target = target.clone();
    let mut object = body;
    check_type(&target, &object)?;
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    let (name, prefix, namespace) = (text("name"), text("generateName"), text("namespace"));
    if !namespace.is_empty() && namespace != target.namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(status::bad_request(why));
    }
    if !text("resourceVersion").is_empty() {
        return Err(status::version_on_create());
    }
    target.name = if name.is_empty() && !prefix.is_empty() {
        generated(store, &prefix)
    } else {
        name
    };
    object["metadata"]["name"] = json!(target.name);
    if store.get(&target.key()).is_some() {
        return Err(status::already_exists(&target.kind, &target.name));
    }
    keep(store, &target, options, None, object, None).map(|object| (201, object))
}

/// `PUT`.
pub(super) fn replace(store: &mut Store, target: &Target, options: &Options, body: Value) -> Written {
    check_type(target, &body)?;
    check_path(target, &body)?;
    let Some(live) = store.get(&target.key()) else {
        // Leases are the one kind here that a PUT creates.
        return match target.kind.plural.as_str() {
            "leases" => keep(store, target, options, None, body, None).map(|object| (201, object)),
            _ => Err(status::not_found(&target.kind, &target.name)),
        };
    };
    let version = body["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if version.is_empty() && target.kind.must_name_version() {
        return Err(status::version_missing(&target.kind, &target.name));
    }
    keep(store, target, options, Some(&live), body, None).map(|object| (200, object))
}

/// `PATCH`.
pub(super) fn patch(
    store: &mut Store,
    target: &Target,
    options: &Options,
    how: PatchType,
    body: &[u8],
) -> Written {
    if how == PatchType::Apply {
        return apply(store, target, options, body);
    }
    if how == PatchType::Strategic && target.kind.custom {
        let accepted =
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        return Err(status::unsupported_media_type(accepted));
    }
    let live = store
        .get(&target.key())
        .ok_or_else(|| status::not_found(&target.kind, &target.name))?;
    let seen = shown(&live, target);
    let object = patch::patched(&seen, how, body, target.kind.shape(&target.version))?;
    check_path(target, &object)?;
    keep(store, target, options, Some(&live), object, None).map(|object| (200, object))
}

fn apply(store: &mut Store, target: &Target, options: &Options, body: &[u8]) -> Written {
    let config: Value = serde_json::from_slice(body)
        .or_else(|_| serde_saphyr::from_slice(body))
        .map_err(|_| {
            status::bad_request("error decoding YAML: the configuration is neither JSON nor YAML")
        })?;
    if options.manager.is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(status::invalid_object(
            "PatchOptions",
            "meta.k8s.io",
            "",
            &[cause],
        ));
    }
    check_applied(target, &config)?;
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(status::bad_request("metadata.managedFields must be nil"));
    }
    let live = store.get(&target.key());
    if live.is_none() && !target.subresource.is_empty() {
        return Err(status::not_found(&target.kind, &target.name));
    }
    let base = live.as_deref().map_or_else(
        || json!({"apiVersion": target.api_version(), "kind": target.kind.kind, "metadata": {"name": target.name}}),
        |live| shown(live, target),
    );
    let how = Apply {
        writer: target.writer("Apply", options),
        force: options.force,
        reset: target.reset(),
        time: options.now.clone(),
    };
    let (object, managers) = apply::apply(&base, &config, target.kind.shape(&target.version), &how)
        .map_err(|conflicts| status::apply_conflict(&conflicts))?;
    let code = if live.is_some() { 200 } else { 201 };
    keep(store, target, options, live.as_deref(), object, Some(managers)).map(|object| (code, object))
}

fn check_applied(target: &Target, config: &Value) -> Answer<()> {
    let (wanted, found) = (
        target.api_version(),
        config["apiVersion"].as_str().unwrap_or_default(),
    );
    if !found.is_empty() && found != wanted && target.kind.custom {
        let kind = config["kind"].as_str().unwrap_or_default();
        return Err(status::bad_request(&format!(
            "invalid object type: {found}, Kind={kind}"
        )));
    }
    if !found.is_empty() && found != wanted {
        return Err(status::bad_request(&format!(
            "Incorrect version specified in apply patch. Specified patch version: {found}, expected: {wanted}"
        )));
    }
    check_type(target, config)?;
    check_path(target, config)?;
    let Some(problem) = typed::problem(config, target.kind.shape(&target.version)) else {
        return Ok(());
    };
    let text = |name: &str| config["metadata"][name].as_str().unwrap_or_default();
    Err(status::untyped(&format!(
        "failed to create typed patch object ({}/{}; {wanted}, Kind={}): {problem}",
        text("namespace"),
        text("name"),
        target.kind.kind
    )))
}

/// The object as the path's version shows it: versions differ in their name only.
pub(super) fn shown(object: &Value, target: &Target) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = json!(target.api_version());
    object
}

fn check_type(target: &Target, object: &Value) -> Answer<()> {
    let (wanted, found) = (
        target.api_version(),
        object["apiVersion"].as_str().unwrap_or_default(),
    );
    let kind = object["kind"].as_str().unwrap_or_default();
    if found.is_empty() || kind.is_empty() {
        // Built-in kinds are known by the path.
        return match target.kind.custom {
            false => Ok(()),
            true => Err(status::bad_request(&format!(
                "Object 'Kind' is missing in '{object}'"
            ))),
        };
    }
    if found != wanted {
        let why = format!(
            "the API version in the data ({found}) does not match the expected API version ({wanted})"
        );
        return Err(status::bad_request(&why));
    }
    if kind != target.kind.kind {
        let why = format!(
            "the object provided is unrecognized (must be of type {})",
            target.kind.kind
        );
        return Err(status::bad_request(&why));
    }
    Ok(())
}

fn check_path(target: &Target, object: &Value) -> Answer<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if !name.is_empty() && name != target.name {
        let message = format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        );
        return Err(status::bad_request(&message));
    }
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if !namespace.is_empty() && namespace != target.namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(status::bad_request(why));
    }
    Ok(())
}

/// Everything between a wanted object and a kept one.
fn keep(
    store: &mut Store,
    target: &Target,
    options: &Options,
    live: Option<&Value>,
    mut object: Value,
    applied: Option<Managers>,
) -> Answer<Value> {
    let kind = &target.kind;
    match live {
        None => check_namespace(store, target)?,
        Some(live) => check_preconditions(target, &object["metadata"], live)?,
    }
    settle(store, target, options, live, &mut object);
    admit::complete(kind, &target.version, &mut object, live.is_none());
    if kind.plural == "customresourcedefinitions" && target.subresource.is_empty() {
        admit::establish(&mut object, live, &options.now);
    }
    let causes = admit::check(kind, &target.version, live, &object);
    if !causes.is_empty() {
        return Err(status::invalid(kind, &target.name, &causes));
    }
    let before = live.map_or_else(|| json!({}), |live| shown(&apply::unmanaged(live), target));
    let managers = applied.unwrap_or_else(|| {
        let mut managers = live.map(ownership::read).unwrap_or_default();
        let changed = ownership::compare(&before, &object, kind.shape(&target.version));
        let writer = target.writer("Update", options);
        ownership::note_update(&mut managers, writer, &changed, target.reset(), &options.now);
        managers
    });
    count(target, live, &before, &mut object);
    ownership::write(&mut object, &managers);
    if live.is_some_and(|live| shown(live, target) == object) {
        return Ok(object);
    }
    let finished = !object["metadata"]["deletionTimestamp"].is_null()
        && object["metadata"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty);
    if options.dry_run {
        return Ok(object);
    }
    if finished {
        vanish(store, &target.key());
        return Ok(object);
    }
    Ok(Value::clone(&store.put(target.key(), object)))
}

fn check_namespace(store: &Store, target: &Target) -> Answer<()> {
    if !target.kind.namespaced {
        return Ok(());
    }
    let namespaces = store
        .kind("", "v1", "namespaces")
        .expect("namespaces are built in");
    let namespace = store
        .get(&Store::key(&namespaces, "", &target.namespace))
        .ok_or_else(|| status::not_found(&namespaces, &target.namespace))?;
    match namespace["status"]["phase"].as_str() {
        Some("Terminating") => Err(status::terminating(&target.kind, &target.name, &target.namespace)),
        _ => Ok(()),
    }
}

fn check_preconditions(target: &Target, metadata: &Value, live: &Value) -> Answer<()> {
    let (ours, given) = (
        &live["metadata"]["uid"],
        metadata["uid"].as_str().unwrap_or_default(),
    );
    if !given.is_empty() && ours != given {
        let ours = ours.as_str().unwrap_or_default();
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: UID in precondition: {given}, UID in object meta: {ours}",
            target.registry_key()
        );
        return Err(status::conflict(&target.kind, &target.name, &why));
    }
    let version = metadata["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != "0" && live["metadata"]["resourceVersion"] != version {
        return Err(status::modified(&target.kind, &target.name));
    }
    Ok(())
}

/// Puts the server's own metadata in, and what this endpoint does not write back.
fn settle(store: &mut Store, target: &Target, options: &Options, live: Option<&Value>, object: &mut Value) {
    if let Some(live) = live
        && target.subresource == "status"
    {
        let status = object.get("status").cloned();
        *object = live.clone();
        if let Some(map) = object.as_object_mut() {
            match status {
                Some(status) => drop(map.insert("status".to_owned(), status)),
                None => drop(map.remove("status")),
            }
        }
    } else if target.has_status()
        && target.subresource.is_empty()
        && let Some(map) = object.as_object_mut()
    {
        match live.and_then(|live| live.get("status")) {
            Some(status) => drop(map.insert("status".to_owned(), status.clone())),
            None => drop(map.remove("status")),
        }
    }
    object["apiVersion"] = json!(target.api_version());
    object["kind"] = json!(target.kind.kind);
    let number = if live.is_none() { store.next_number() } else { 0 };
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    for &name in SERVERS {
        match live.and_then(|live| live["metadata"].get(name)) {
            Some(value) if name != "managedFields" => drop(metadata.insert(name.to_owned(), value.clone())),
            _ => drop(metadata.remove(name)),
        }
    }
    metadata.retain(|name, value| name != "selfLink" && !value.is_null() && !is_empty(value));
    metadata.insert("name".to_owned(), json!(target.name));
    if target.kind.namespaced {
        metadata.insert("namespace".to_owned(), json!(target.namespace));
    }
    if live.is_none() {
        metadata.insert("uid".to_owned(), json!(uid(number)));
        metadata.insert("creationTimestamp".to_owned(), json!(options.now));
    }
}

/// Empty lists and maps of metadata are left out, as typed servers do.
fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Counts a change of what the user wants.
fn count(target: &Target, live: Option<&Value>, before: &Value, object: &mut Value) {
    if !target.kind.generation {
        return;
    }
    let wanted = |object: &Value| {
        let mut object = object.clone();
        if let Some(map) = object.as_object_mut() {
            map.remove("metadata");
            // The status of a custom resource that has no such subresource is wanted like the rest.
            if target.has_status() || !target.kind.custom {
                map.remove("status");
            }
        }
        object
    };
    let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
    let changed = live.is_none() || wanted(before) != wanted(object);
    object["metadata"]["generation"] = json!(if changed {
        generation + 1
    } else {
        generation.max(1)
    });
}

/// A name after `generateName`: five signs, the same ones in every run.
fn generated(store: &mut Store, prefix: &str) -> String {
    const SIGNS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    // An odd factor spreads neighbouring numbers over all five places.
    let mut number = store.next_number().wrapping_mul(2_654_435_761);
    let mut name = prefix.to_owned();
    for _ in 0..5 {
        let at = usize::try_from(number % SIGNS.len() as u64).unwrap_or(0);
        name.push(char::from(SIGNS[at]));
        number /= SIGNS.len() as u64;
    }
    name
}

/// A uid in the usual form, the same one in every run.
pub(super) fn uid(number: u64) -> String {
    format!("5ca1ab1e-0000-4000-8000-{number:012x}")
}
