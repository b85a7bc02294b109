//! What is served where: the lists that `kubectl` and kube's `Discovery` read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::Kind;
use super::store::Store;

const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// The document at the path, if it is one of discovery's. `aggregated` is what newer clients ask for.
pub(super) fn answer(store: &Store, path: &[&str], aggregated: bool) -> Option<Value> {
    match path {
        ["version"] => Some(
            json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0+couchestor-sim",
            "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none",
            "compiler": "rustc", "platform": "linux/amd64"}),
        ),
        ["api"] if aggregated => Some(aggregate(store, |group| group.is_empty())),
        ["apis"] if aggregated => Some(aggregate(store, |group| !group.is_empty())),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["apis"] => {
            let all = groups(store);
            let listed: Vec<_> = all
                .iter()
                .filter(|(name, _)| !name.is_empty())
                .map(|(name, versions)| group(name, versions))
                .collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}))
        }
        ["api", "v1"] => resources(store, "", "v1"),
        ["apis", name] => {
            let all = groups(store);
            let mut found = group(name, all.get(*name)?);
            found["kind"] = json!("APIGroup");
            found["apiVersion"] = json!("v1");
            Some(found)
        }
        ["apis", group, version] => resources(store, group, version),
        ["openapi", "v3"] => Some(open_api_index(store)),
        ["openapi", "v3", "api", "v1"] => Some(open_api(store, "", "v1")),
        ["openapi", "v3", "apis", group, version] => Some(open_api(store, group, version)),
        _ => None,
    }
}

/// Every group with its versions, the preferred one first.
fn groups(store: &Store) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in store.kinds() {
        let versions = groups.entry(kind.group.clone()).or_default();
        for version in &kind.versions {
            if !versions.contains(&version.name) {
                versions.push(version.name.clone());
            }
        }
    }
    groups
}

fn group(name: &str, versions: &[String]) -> Value {
    let version = |version: &String| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"name": name, "versions": versions.iter().map(version).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(version)})
}

fn served<'s>(store: &'s Store, group: &'s str, version: &'s str) -> impl Iterator<Item = &'s Arc<Kind>> {
    store
        .kinds()
        .iter()
        .filter(move |kind| kind.group == group && kind.version(version).is_some())
}

fn resources(store: &Store, group: &str, version: &str) -> Option<Value> {
    let mut listed = Vec::new();
    for kind in served(store, group, version) {
        let mut entry = json!({"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": VERBS});
        if !kind.short.is_empty() {
            entry["shortNames"] = json!(kind.short);
        }
        if !kind.categories.is_empty() {
            entry["categories"] = json!(kind.categories);
        }
        listed.push(entry);
        if kind.version(version).is_some_and(|version| version.status) {
            listed.push(
                json!({"name": format!("{}/status", kind.plural), "singularName": "",
                "namespaced": kind.namespaced, "kind": kind.kind, "verbs": ["get", "patch", "update"]}),
            );
        }
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    (!listed.is_empty()).then(|| {
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed})
    })
}

fn aggregate(store: &Store, wanted: fn(&str) -> bool) -> Value {
    let resource = |group: &str, version: &str, kind: &Kind| {
        let response = json!({"group": group, "version": version, "kind": kind.kind});
        let mut entry = json!({"resource": kind.plural, "responseKind": response, "verbs": VERBS,
            "scope": if kind.namespaced { "Namespaced" } else { "Cluster" }, "singularResource": kind.singular,
            "shortNames": kind.short, "categories": kind.categories});
        if kind.version(version).is_some_and(|version| version.status) {
            entry["subresources"] = json!([{"subresource": "status", "responseKind": response, "verbs": ["get", "patch", "update"]}]);
        }
        entry
    };
    let items: Vec<_> = groups(store)
        .iter()
        .filter(|(group, _)| wanted(group))
        .map(|(group, versions)| {
            let versions: Vec<_> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<_> = served(store, group, version)
                        .map(|kind| resource(group, version, kind))
                        .collect();
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn open_api_index(store: &Store) -> Value {
    let mut paths = serde_json::Map::new();
    for (group, versions) in groups(store) {
        for version in versions {
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            // kubectl caches by hash: it changes with every write, so that a new CRD is seen.
            let url = format!("/openapi/v3/{path}?hash={:016X}", store.revision());
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// As much of OpenAPI as `kubectl apply` needs to leave validation to the server, and `kubectl explain` to explain
/// custom resources.
fn open_api(store: &Store, group: &str, version: &str) -> Value {
    let mut paths = serde_json::Map::new();
    let mut schemas = serde_json::Map::new();
    for kind in served(store, group, version) {
        let gvk = json!({"group": group, "version": version, "kind": kind.kind});
        let root = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        let place = if kind.namespaced {
            "/namespaces/{namespace}/"
        } else {
            "/"
        };
        let operation = json!({"x-kubernetes-group-version-kind": gvk, "responses": {},
            "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]});
        paths.insert(
            format!("{root}{place}{}/{{name}}", kind.plural),
            json!({"get": operation, "patch": operation, "put": operation}),
        );
        let schema = kind.version(version).and_then(|version| version.schema.clone());
        let mut schema = schema.unwrap_or_else(|| json!({"type": "object"}));
        schema["x-kubernetes-group-version-kind"] = json!([gvk]);
        schemas.insert(format!("{group}.{version}.{}", kind.kind), schema);
    }
    json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.34.0"}, "paths": paths,
        "components": {"schemas": schemas}})
}
