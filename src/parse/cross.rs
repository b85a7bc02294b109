//! What the objects of a tree say about each other: two policies for one volume, a tier without pools, a secret for all to read.

use super::understand::Understood;
use crate::formats::{sops, yaml};
use crate::model::desired::{Policy, Resource, TierPools};
use crate::model::diagnostic::{Diagnostic, hidden, shown};
use crate::model::ids::{PolicyName, TierName};
use crate::model::kinds::GROUP;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Policies that may meet on one claim.
mod overlap;

/// The labels of every tree's DiskPools: Mayastor's own kind, whose `spec.topology.labelled` becomes the pool's labels.
const POOL_GROUP: &str = "openebs.io/";

pub(super) fn check(resources: &[Resource], understood: &Understood, diagnostics: &mut Vec<Diagnostic>) {
    claimed_twice(resources, understood, diagnostics);
    tiers_without_pools(resources, understood, diagnostics);
    diagnostics.extend(resources.iter().filter_map(in_the_clear));
    diagnostics.extend(resources.iter().flat_map(secret_values));
    diagnostics.extend(resources.iter().flat_map(no_texts));
    diagnostics.extend(resources.iter().flat_map(no_names));
    overlap::check(&enabled(resources, understood), diagnostics);
}

fn ours<'a>(resources: &'a [Resource], kind: &'static str) -> impl Iterator<Item = &'a Resource> {
    resources
        .iter()
        .filter(move |resource| resource.kind() == kind && resource.api_version().starts_with(GROUP))
}

/// A class and the first label that a policy asks for.
type Key<'a> = (&'a str, Option<(&'a String, &'a String)>);

/// The policies that are at work, with their objects.
fn enabled<'a>(resources: &'a [Resource], understood: &'a Understood) -> Vec<(&'a Resource, &'a Policy)> {
    ours(resources, "StoragePolicy")
        .filter_map(|resource| {
            let name = PolicyName(resource.name().to_owned());
            Some((resource, understood.policies.get(&name)?))
        })
        .filter(|(_, policy)| policy.enabled)
        .collect()
}

/// Two enabled policies of one class, where every claim that the one takes is taken by the other too. Policies whose labels only
/// might meet on one claim are no mistake yet, and [`overlap`] doubts them; the decision leaves such a claim alone and says why.
fn claimed_twice(resources: &[Resource], understood: &Understood, diagnostics: &mut Vec<Diagnostic>) {
    let enabled = enabled(resources, understood);
    // By class and first label, so that nobody is compared with everybody.
    let mut wide: HashMap<Key, Vec<&(&Resource, &Policy)>> = HashMap::new();
    for one in &enabled {
        let key = (one.1.storage_class.as_str(), one.1.claim_labels.iter().next());
        wide.entry(key).or_default().push(one);
    }
    for (resource, policy) in &enabled {
        let keys = std::iter::once(None).chain(policy.claim_labels.iter().map(Some));
        let other = keys
            .filter_map(|label| wide.get(&(policy.storage_class.as_str(), label)))
            .flatten()
            .find(|(_, other)| {
                let all = || {
                    let mut labels = other.claim_labels.iter();
                    labels.all(|(key, value)| policy.claim_labels.get(key) == Some(value))
                };
                // Of two with the same labels the later one is told.
                let same = other.claim_labels == policy.claim_labels;
                other.name != policy.name && all() && (!same || other.name < policy.name)
            });
        let Some((first, other)) = other else { continue };
        diagnostics.push(Diagnostic::error(
            resource.origin.place("/spec/storageClassName"),
            "policy-overlap",
            format!(
                "the claims of StorageClass {} that this policy takes are those of StoragePolicy {} too, at {}",
                resource.origin.told(&policy.storage_class),
                first.origin.told(other.name.as_str()),
                first.origin.place("/spec/storageClassName")
            ),
            "give them `volumeSelector`s that exclude each other, or set `enabled: false` on one",
        ));
    }
}

/// A tree that declares pools declares what a tier can be made of. One that declares none says nothing about them.
fn tiers_without_pools(resources: &[Resource], understood: &Understood, diagnostics: &mut Vec<Diagnostic>) {
    let pools: Vec<BTreeMap<&str, &str>> = resources
        .iter()
        .filter(|resource| resource.kind() == "DiskPool" && resource.api_version().starts_with(POOL_GROUP))
        .map(|resource| {
            let labels = resource.value.pointer("/spec/topology/labelled");
            let labels = labels.and_then(Value::as_object).into_iter().flatten();
            labels
                .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
                .collect()
        })
        .collect();
    if pools.is_empty() {
        return;
    }
    for resource in ours(resources, "StorageTier") {
        let Some(tier) = understood.tiers.get(&TierName(resource.name().to_owned())) else {
            continue;
        };
        let TierPools::Mayastor(wanted) = &tier.pools else {
            continue;
        };
        let serves = |pool: &&BTreeMap<&str, &str>| {
            let mut wanted = wanted.iter();
            wanted.all(|(key, value)| pool.get(key.as_str()) == Some(&value.as_str()))
        };
        if !pools.iter().any(|pool| serves(&pool)) {
            diagnostics.push(Diagnostic::warning(
                resource.origin.place("/spec/poolSelector"),
                "tier-pools",
                format!(
                    "none of the {} DiskPools in this repository has the labels of this tier",
                    pools.len()
                ),
                "label a pool below its `spec.topology.labelled`, or correct the selector",
            ));
        }
    }
}

type Fits = fn(&Value) -> bool;

/// Values that the API server does not take in a Secret, which is often found out at night.
fn secret_values(resource: &Resource) -> Vec<Diagnostic> {
    if resource.kind() != "Secret" || resource.api_version() != "v1" {
        return Vec::new();
    }
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
    let odd = |value: &Value| !value.is_string() && !value.is_null();
    let mut pointers: Vec<String> = Vec::new();
    if metadata.get("namespace").is_some_and(odd) {
        pointers.push("/metadata/namespace".to_owned());
    }
    for field in ["labels", "annotations"] {
        let values = metadata.get(field).and_then(Value::as_object);
        let found = values.into_iter().flatten().filter(|(_, value)| odd(value));
        pointers.extend(found.map(|(key, _)| format!("/metadata/{field}/{}", yaml::escape(key))));
    }
    // The API server takes only texts there too, and of `yes` and `on` Flux makes texts.
    if (resource.api_version(), resource.kind()) == ("v1", "ConfigMap") {
        for field in ["data", "binaryData"] {
            let values = resource.value.get(field).and_then(Value::as_object);
            let found = values.into_iter().flatten().filter(|(_, value)| odd(value));
            pointers.extend(found.map(|(key, _)| format!("/{field}/{}", yaml::escape(key))));
        }
    }
    let wrong = |pointer: String| {
        let mut names = pointer.split('/').skip(1);
        let field = match (names.next(), names.next()) {
            (Some("metadata"), Some(field)) => format!("metadata.{field}"),
            (field, _) => field.unwrap_or_default().to_owned(),
        };
        let message =
            format!("this is no text, as `{field}` must be: YAML reads `y`, `no` and `12` as something else");
        let rule = if field.starts_with("metadata") {
            "metadata-text"
        } else {
            "config-map-value"
        };
        Diagnostic::error(resource.origin.place(&pointer), rule, message, "put it in quotes")
    };
    pointers.into_iter().map(wrong).collect()
}

/// Names that no kind takes: the API server reads them as a part of a path (`ValidatePathSegmentName` of k8s.io/apimachinery), and
/// what cannot be seen, or makes a terminal show something else, is in no name that anybody means. What else a kind refuses is its own:
/// those of RBAC may hold `:`.
fn no_names(resource: &Resource) -> Vec<Diagnostic> {
    // Names of ours are held to more.
    if resource.api_version().starts_with(GROUP) {
        return Vec::new();
    }
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
    if resource.kind() != "Secret" || resource.api_version() != "v1" || resource.origin.secret {
        return None;
    }
    // Left as it is, as Flux leaves it: what is sealed inside stays so.
    let left = super::opts_out(resource);
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
