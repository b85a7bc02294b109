//! What is wrong with an object by itself: its kind, its names, texts that are none, values that are not sealed or still are.

use super::{near, schema, word};
use crate::formats::{sops, yaml};
use crate::model::desired::{Resource, text_at};
use crate::model::diagnostic::{Diagnostic, hidden, shown};
use crate::model::kinds::{API_VERSION, GROUP};
use crate::model::tree::ClearTree;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Says everything that is wrong with an object.
pub(super) fn check(resource: &Resource, tree: &ClearTree, found: &mut Vec<Diagnostic>) {
    match resource.group() {
        GROUP => found.extend(ours(resource)),
        group => {
            found.extend(somebody_elses(resource, group));
            found.extend(no_names(resource));
        }
    }
    found.extend(sealed(resource, tree));
    found.extend(no_texts(resource));
    match (resource.api_version(), resource.kind()) {
        ("v1", "Secret") => {
            found.extend(in_the_clear(resource));
            found.extend(secret_values(resource));
        }
        ("v1", "ConfigMap") => found.extend(config_map_values(resource)),
        _ => {}
    }
}

/// What is wrong with the kind of an object that is none of ours, or was to be one.
fn somebody_elses(resource: &Resource, group: &str) -> Option<Diagnostic> {
    if !near::is_slip(group, resource.kind()) {
        return near::check(resource);
    }
    // A slip in the group would make it somebody else's object, which nobody reads.
    let kind = resource.origin.told(resource.kind());
    Some(Diagnostic::error(
        resource.origin.place("/apiVersion"),
        "unknown-kind",
        format!("there is no {kind} of this apiVersion"),
        format!("write {API_VERSION}"),
    ))
}

/// What is wrong with an object of our group: its kind, its fields, its names.
fn ours(resource: &Resource) -> Vec<Diagnostic> {
    let error = |pointer: &str, message: String, help: &str| {
        vec![Diagnostic::error(
            resource.origin.place(pointer),
            "unknown-kind",
            message,
            help,
        )]
    };
    if resource.api_version() != API_VERSION {
        let message = format!("{} does not exist", resource.origin.told(resource.api_version()));
        return error("/apiVersion", message, &format!("write {API_VERSION}"));
    }
    match resource.kind() {
        "VolumeMigration" => error(
            "/kind",
            "a VolumeMigration is not written by hand".to_owned(),
            "write a TierAssignment instead",
        ),
        "WorkloadMove" => error(
            "/kind",
            "a WorkloadMove is not written by hand".to_owned(),
            "write a RolloutPromotion instead",
        ),
        kind => match schema::of_kind(kind) {
            Some(schema) => {
                let mut found = schema::check(resource, schema);
                found.extend(names(resource));
                found
            }
            None => error(
                "/kind",
                format!("there is no kind {}", resource.origin.told(kind)),
                &schema::suggestion(kind),
            ),
        },
    }
}

/// Names that the API server would refuse.
fn names(resource: &Resource) -> Vec<Diagnostic> {
    let (name, namespace) = (resource.name(), resource.namespace());
    let class = text_at(&resource.value, &["spec", "storageClass", "name"]);
    let subdomain = |name: &str| name.len() <= 253 && name.split('.').all(word);
    [
        ("/metadata/name", subdomain(name), name),
        (
            "/metadata/namespace",
            namespace.is_empty() || namespace.len() <= 63 && word(namespace),
            namespace,
        ),
        (
            "/spec/storageClass/name",
            class.is_empty() || subdomain(class),
            class,
        ),
    ]
    .into_iter()
    .filter(|(_, fits, _)| !fits)
    .map(|(pointer, _, text)| {
        Diagnostic::error(
            resource.origin.place(pointer),
            "name",
            format!("{} is no name that Kubernetes takes", resource.origin.told(text)),
            "write lower case letters, digits and -, at most 253 of them (a namespace: 63)",
        )
    })
    .collect()
}

/// Where an object says whether it is to be decrypted.
fn opt_out() -> String {
    format!("/metadata/annotations/{}", yaml::escape(sops::OPT_OUT))
}

/// Whether a built object says that it is to be left as it is, as [`sops::opts_out`] asks of a file's.
fn opts_out(resource: &Resource) -> bool {
    let says = text_at(&resource.value, &["metadata", "annotations", sops::OPT_OUT]);
    says.eq_ignore_ascii_case("disabled")
}

/// What is wrong with whether an object is sealed: Flux asks the built object whether it is to be decrypted, and here it is the file's
/// that is asked.
fn sealed(resource: &Resource, tree: &ClearTree) -> Option<Diagnostic> {
    let disabled = opts_out(resource);
    let place = |pointer: &str| resource.origin.place(pointer);
    if !disabled {
        let block = text_at(&resource.value, &["sops", "mac"]);
        let what = "this object is still encrypted: its file says that it is not to be decrypted, and the built object does not";
        let help = "take the annotation kustomize.toolkit.fluxcd.io/decrypt out of the file";
        return (!block.is_empty()).then(|| Diagnostic::error(place("/sops"), "sops", what, help));
    }
    let file = tree
        .files
        .get(&*resource.origin.path)
        .filter(|file| file.secret)?;
    let own = yaml::load_wiped(file.text.expose_str().ok()?).ok()?;
    let own = own.get(resource.origin.document)?;
    (!sops::opts_out(own)).then(|| {
        let what = "this object is not to be decrypted, which its encrypted file does not say";
        let help = "write the annotation kustomize.toolkit.fluxcd.io/decrypt into the file itself";
        Diagnostic::error(place(&opt_out()), "sops", what, help)
    })
}

type Fits = fn(&Value) -> bool;

/// Values that the API server does not take in a Secret, which is often found out at night.
fn secret_values(resource: &Resource) -> Vec<Diagnostic> {
    let text = |value: &Value| value.is_string() || value.is_null();
    let base64 = |value: &Value| match value {
        Value::String(text) => STANDARD
            .decode(
                text.bytes()
                    .filter(|byte| !byte.is_ascii_whitespace())
                    .collect::<Vec<u8>>(),
            )
            .is_ok(),
        other => other.is_null(),
    };
    let fields: [(&str, Fits, &str); 2] = [
        (
            "data",
            base64,
            "write it in base64, or below `stringData` as it is",
        ),
        ("stringData", text, "put it in quotes"),
    ];
    let mut found = Vec::new();
    for (field, fits, help) in fields {
        let values = resource.value.get(field).and_then(Value::as_object);
        for (key, _) in values.into_iter().flatten().filter(|(_, value)| !fits(value)) {
            found.push(Diagnostic::error(
                resource.origin.place(&format!("/{field}/{}", yaml::escape(key))),
                "secret-value",
                format!(
                    "`{}` is no value of a Secret's {field}",
                    resource.origin.told(key)
                ),
                help,
            ));
        }
    }
    found
}

/// Metadata that must be text and is none, because YAML reads `y`, `no` or `12` as something else: the API server refuses it.
fn no_texts(resource: &Resource) -> Vec<Diagnostic> {
    let Some(metadata) = resource.value.get("metadata").and_then(Value::as_object) else {
        return Vec::new();
    };
    let mut pointers: Vec<String> = Vec::new();
    if metadata.get("namespace").is_some_and(odd) {
        pointers.push("/metadata/namespace".to_owned());
    }
    for field in ["labels", "annotations"] {
        pointers.extend(odd_values(metadata.get(field), &format!("/metadata/{field}")));
    }
    let wrong = |pointer: String| {
        let field = pointer.split('/').nth(2).unwrap_or_default();
        no_text(resource, &pointer, "metadata-text", &format!("metadata.{field}"))
    };
    pointers.into_iter().map(wrong).collect()
}

/// The same of a ConfigMap's values: the API server takes only texts there too, and of `yes` and `on` Flux makes texts.
fn config_map_values(resource: &Resource) -> Vec<Diagnostic> {
    let of = |field: &'static str| {
        let pointers = odd_values(resource.value.get(field), &format!("/{field}"));
        pointers
            .into_iter()
            .map(move |pointer| no_text(resource, &pointer, "config-map-value", field))
    };
    ["data", "binaryData"].into_iter().flat_map(of).collect()
}

/// Whether a value is no text, and not nothing either.
fn odd(value: &Value) -> bool {
    !value.is_string() && !value.is_null()
}

/// Pointers of the values of a mapping that are no texts.
fn odd_values(mapping: Option<&Value>, pointer: &str) -> Vec<String> {
    let values = mapping.and_then(Value::as_object);
    let found = values.into_iter().flatten().filter(|(_, value)| odd(value));
    found
        .map(|(key, _)| format!("{pointer}/{}", yaml::escape(key)))
        .collect()
}

fn no_text(resource: &Resource, pointer: &str, rule: &str, field: &str) -> Diagnostic {
    let message =
        format!("this is no text, as `{field}` must be: YAML reads `y`, `no` and `12` as something else");
    Diagnostic::error(resource.origin.place(pointer), rule, message, "put it in quotes")
}

/// Names that no kind takes: the API server reads them as a part of a path (`ValidatePathSegmentName` of k8s.io/apimachinery), and
/// what cannot be seen, or makes a terminal show something else, is in no name that anybody means. What else a kind refuses is its own:
/// those of RBAC may hold `:`.
fn no_names(resource: &Resource) -> Vec<Diagnostic> {
    let unseen = |letter: char| {
        let empty = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
        hidden(letter) || letter.is_whitespace() || empty
    };
    let bad = |name: &str| matches!(name, "." | "..") || name.contains(['/', '%']) || name.contains(unseen);
    let names = [
        ("/metadata/name", resource.name()),
        ("/metadata/namespace", resource.namespace()),
    ];
    let wrong = |(pointer, name): (&str, &str)| {
        let place = resource.origin.place(pointer);
        let message = format!(
            "`{}` is no name of any kind: a name has no `/`, `%`, blanks, line breaks or letters that cannot be seen",
            shown(resource.origin.told(name))
        );
        Diagnostic::error(place, "name", message, "write letters, digits, `-` and `.`")
    };
    names
        .into_iter()
        .filter(|(_, name)| bad(name))
        .map(wrong)
        .collect()
}

/// A Secret whose values stand in Git for all to read.
fn in_the_clear(resource: &Resource) -> Option<Diagnostic> {
    if resource.origin.secret {
        return None;
    }
    // Left as it is, as Flux leaves it: what is sealed inside stays so.
    let left = opts_out(resource);
    let clear = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !left || !sops::may_hold(text),
        _ => true,
    };
    let field = ["stringData", "data"].into_iter().find(|field| {
        let values = resource.value.get(*field).and_then(Value::as_object);
        values.is_some_and(|values| values.values().any(clear))
    })?;
    Some(Diagnostic::warning(
        resource.origin.place(&format!("/{field}")),
        "plain-secret",
        format!("the values of Secret {} are not encrypted", resource.name()),
        "encrypt the file with sops, and change the values: they stay in Git's history",
    ))
}
