//! What a request asks for: its path, verb, query and field manager.

use axum::http::{HeaderMap, Method, header};

use super::patch::PatchType;
use super::store::Store;
use super::write::Target;

/// What the path is about.
pub(super) fn route(store: &Store, parts: &[&str]) -> Option<Target> {
    let (group, version, rest) = match parts {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..]
            if !rest.is_empty() && !matches!(rest, ["status" | "finalize"] if group.is_empty()) =>
        {
            (*namespace, rest)
        }
        rest => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (plural, "", ""),
        [plural, name] => (plural, *name, ""),
        [plural, name, subresource] => (plural, *name, *subresource),
        _ => return None,
    };
    let kind = store.kind(group, version, plural)?;
    let status = kind.version(version).is_some_and(|version| version.status);
    let served = match subresource {
        "" => true,
        "status" => status,
        "binding" => kind.plural == "pods",
        "finalize" => kind.plural == "namespaces",
        _ => false,
    };
    let placed = !kind.namespaced || !namespace.is_empty() || name.is_empty();
    (served && placed && (kind.namespaced || namespace.is_empty())).then(|| Target {
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        kind,
    })
}

/// What the request does; nothing if the resource has no such verb.
pub(super) fn verb(
    method: &Method,
    target: &Target,
    query: &[(String, String)],
    content_type: &str,
) -> Option<&'static str> {
    let watching = matches!(find(query, "watch"), "true" | "1");
    match (method.as_str(), target.name.is_empty()) {
        ("GET", _) if watching => Some("watch"),
        ("GET", true) => Some("list"),
        ("GET", false) => Some("get"),
        // A namespaced object needs a namespace to be made in.
        ("POST", true) if target.kind.namespaced && target.namespace.is_empty() => None,
        ("POST", true) => Some("create"),
        ("POST", false) if !target.subresource.is_empty() => Some("create"),
        ("PUT", false) => Some("update"),
        ("PATCH", false) if PatchType::read(content_type) == Some(PatchType::Apply) => Some("apply"),
        ("PATCH", false) => Some("patch"),
        ("DELETE", true) => Some("deletecollection"),
        ("DELETE", false) if target.subresource.is_empty() => Some("delete"),
        _ => None,
    }
}

/// Who writes: what the client says, or else the first word of its user agent; an apply has to say.
pub(super) fn manager(query: &[(String, String)], headers: &HeaderMap, verb: &str) -> String {
    match (find(query, "fieldManager"), verb) {
        ("", "apply") => String::new(),
        ("", _) => {
            let agent = text(headers, header::USER_AGENT);
            let name = agent.split('/').next().unwrap_or_default();
            if name.is_empty() {
                "unknown".to_owned()
            } else {
                name.to_owned()
            }
        }
        (manager, _) => manager.to_owned(),
    }
}

/// A header as text.
pub(super) fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

/// Undoes percent-encoding.
pub(super) fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|code| u8::from_str_radix(code, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first value of a query parameter; empty if it is not given.
pub(super) fn find<'q>(query: &'q [(String, String)], name: &str) -> &'q str {
    query
        .iter()
        .find(|(key, _)| key == name)
        .map_or("", |(_, value)| value)
}
