//! The bodies of refusals: `metav1.Status` with the reasons, codes and sentences of the real server.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::ownership::Conflict;

/// A refusal: an HTTP code and the `Status` that explains it.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// The HTTP code.
    pub(super) code: u16,
    /// The `Status`.
    pub(super) body: Box<Value>,
}

/// What a part of the server answers.
pub(super) type Answer<T> = Result<T, Refusal>;

/// What is wrong with one field.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    /// `FieldValueInvalid` and the like.
    pub(super) reason: &'static str,
    /// The path without a leading dot.
    pub(super) field: String,
    /// The sentence.
    pub(super) message: String,
}

impl Cause {
    /// The field may not be what it is.
    pub(super) fn forbidden(field: &str, why: &str) -> Self {
        Cause {
            reason: "FieldValueForbidden",
            field: field.to_owned(),
            message: format!("Forbidden: {why}"),
        }
    }

    /// The field is missing.
    pub(super) fn required(field: &str, why: &str) -> Self {
        let message = match why {
            "" => "Required value".to_owned(),
            why => format!("Required value: {why}"),
        };
        Cause {
            reason: "FieldValueRequired",
            field: field.to_owned(),
            message,
        }
    }

    /// The field's value is not allowed.
    pub(super) fn invalid(field: &str, value: &Value, why: &str) -> Self {
        Cause {
            reason: "FieldValueInvalid",
            field: field.to_owned(),
            message: format!("Invalid value: {value}: {why}"),
        }
    }
}

fn refusal(code: u16, reason: &str, message: &str, details: &Value) -> Refusal {
    let mut body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "code": code});
    if !reason.is_empty() {
        body["reason"] = json!(reason);
    }
    if details.as_object().is_some_and(|details| !details.is_empty()) {
        body["details"] = details.clone();
    }
    Refusal {
        code,
        body: Box::new(body),
    }
}

/// Names the object as `details` do; `kind` holds the plural, as the real server writes it.
fn details(kind: &Kind, name: &str) -> Value {
    let mut details = json!({"kind": kind.plural});
    if !name.is_empty() {
        details["name"] = json!(name);
    }
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    details
}

/// 404: no such object.
pub(super) fn not_found(kind: &Kind, name: &str) -> Refusal {
    refusal(
        404,
        "NotFound",
        &format!("{} {name:?} not found", kind.resource()),
        &details(kind, name),
    )
}

/// 409: the name is taken.
pub(super) fn already_exists(kind: &Kind, name: &str) -> Refusal {
    refusal(
        409,
        "AlreadyExists",
        &format!("{} {name:?} already exists", kind.resource()),
        &details(kind, name),
    )
}

/// 409: the object is not what the caller last read.
pub(super) fn modified(kind: &Kind, name: &str) -> Refusal {
    conflict(
        kind,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )
}

/// 409 for another reason.
pub(super) fn conflict(kind: &Kind, name: &str, why: &str) -> Refusal {
    let message = format!(
        "Operation cannot be fulfilled on {} {name:?}: {why}",
        kind.resource()
    );
    refusal(409, "Conflict", &message, &details(kind, name))
}

/// 409: other managers hold what an apply changes.
pub(super) fn apply_conflict(conflicts: &[Conflict]) -> Refusal {
    let causes: Vec<_> = conflicts
        .iter()
        .map(|one| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", one.with),
                "field": one.field})
        })
        .collect();
    let message = match conflicts {
        [one] => format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            one.with, one.field
        ),
        many => format!("Apply failed with {} conflicts: {}", many.len(), listed(many)),
    };
    refusal(409, "Conflict", &message, &json!({"causes": causes}))
}

fn listed(conflicts: &[Conflict]) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut last = "";
    for one in conflicts {
        if one.with != last {
            texts.push(format!("conflicts with {}:", one.with));
            last = &one.with;
        }
        texts.push(format!("- {}", one.field));
    }
    texts.join("\n")
}

/// 422: the object is not valid.
pub(super) fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Refusal {
    invalid_object(&kind.kind, &kind.group, name, causes)
}

/// 422 for something that is no served kind.
pub(super) fn invalid_object(kind: &str, group: &str, name: &str, causes: &[Cause]) -> Refusal {
    let texts: Vec<_> = causes
        .iter()
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect();
    let text = match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let qualified = match group {
        "" => kind.to_owned(),
        group => format!("{kind}.{group}"),
    };
    let listed: Vec<_> = causes
        .iter()
        .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
        .collect();
    let mut details = json!({"kind": kind, "causes": listed});
    if !name.is_empty() {
        details["name"] = json!(name);
    }
    if !group.is_empty() {
        details["group"] = json!(group);
    }
    refusal(
        422,
        "Invalid",
        &format!("{qualified} {name:?} is invalid: {text}"),
        &details,
    )
}

/// 400: the request itself is wrong.
pub(super) fn bad_request(message: &str) -> Refusal {
    refusal(400, "BadRequest", message, &json!({}))
}

/// 403: no new objects in a namespace that is going away.
pub(super) fn terminating(kind: &Kind, name: &str, namespace: &str) -> Refusal {
    let message = format!(
        "{} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
        kind.resource()
    );
    let mut details = details(kind, name);
    details["causes"] = json!([{"reason": "NamespaceTerminating",
        "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}]);
    refusal(403, "Forbidden", &message, &details)
}

/// 405: the resource has no such verb.
pub(super) fn not_allowed(kind: &Kind) -> Refusal {
    let message = "the server does not allow this method on the requested resource";
    refusal(405, "MethodNotAllowed", message, &details(kind, ""))
}

/// 415: the body's type is not understood here.
pub(super) fn unsupported_media_type(accepted: &str) -> Refusal {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {accepted}"
    );
    refusal(415, "UnsupportedMediaType", &message, &json!({}))
}

/// 410: the version is older than the history that is kept.
pub(super) fn expired(asked: u64, oldest: u64) -> Refusal {
    refusal(
        410,
        "Expired",
        &format!("too old resource version: {asked} ({oldest})"),
        &json!({}),
    )
}

/// An ordered failure.
pub(super) fn ordered(code: u16) -> Refusal {
    let (reason, message) = match code {
        401 => ("Unauthorized", "Unauthorized"),
        403 => (
            "Forbidden",
            "forbidden: the simulation was told to refuse this request",
        ),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => ("Timeout", "the request timed out"),
        _ => (
            "InternalError",
            "Internal error occurred: the simulation was told to fail this request",
        ),
    };
    refusal(code, reason, message, &json!({}))
}

/// 200: what a deletion answers when the object is gone.
pub(super) fn deleted(kind: &Kind, name: &str, uid: &Value) -> Value {
    let mut details = details(kind, name);
    details["uid"] = uid.clone();
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// 422: the patch does not fit the object.
pub(super) fn rejected() -> Refusal {
    refusal(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
        &json!({}),
    )
}

/// 500: a new object cannot have a version yet.
pub(super) fn version_on_create() -> Refusal {
    refusal(
        500,
        "",
        "resourceVersion should not be set on objects to be created",
        &json!({}),
    )
}

/// 422: an update has to say which version it is of. The real server names the resource here, not the kind.
pub(super) fn version_missing(kind: &Kind, name: &str) -> Refusal {
    let cause = Cause::invalid(
        "metadata.resourceVersion",
        &json!(0),
        "must be specified for an update",
    );
    invalid_object(&kind.plural, &kind.group, name, &[cause])
}

/// 409: the object of that name is not the one that was meant to be deleted. The real server names the kind here.
pub(super) fn another_object(kind: &Kind, name: &str, why: &str) -> Refusal {
    let message = format!(
        "Operation cannot be fulfilled on {} {name:?}: {why}",
        kind.qualified_kind()
    );
    let mut details = details(kind, name);
    details["kind"] = json!(kind.kind);
    refusal(409, "Conflict", &message, &details)
}

/// 500: an applied configuration does not fit the schema. The real server gives no reason and no details.
pub(super) fn untyped(message: &str) -> Refusal {
    refusal(500, "", message, &json!({}))
}
