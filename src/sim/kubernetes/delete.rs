//! Deletions: preconditions, finalizers, and the end of a namespace.

use serde_json::{Value, json};

use super::status::{self, Answer};
use super::store::{Key, Store};
use super::write::{Options, Target, Written, shown};

/// `DELETE` of one object; `wanted` are the preconditions.
pub(super) fn delete(store: &mut Store, target: &Target, options: &Options, wanted: &Value) -> Written {
    let live = store
        .get(&target.key())
        .ok_or_else(|| status::not_found(&target.kind, &target.name))?;
    check_preconditions_of_deletion(target, wanted, &live)?;
    let held = live["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|finalizers| !finalizers.is_empty());
    if !held {
        if !options.dry_run {
            if target.kind.plural == "namespaces" && target.kind.group.is_empty() {
                return Ok((200, end_namespace(store, target, options, &live)));
            }
            // The answer carries the version of the deletion itself.
            if let Some(gone) = vanish(store, &target.key()) {
                return Ok((200, farewell(target, &gone)));
            }
        }
        return Ok((200, farewell(target, &live)));
    }
    if !live["metadata"]["deletionTimestamp"].is_null() {
        return Ok((200, shown(&live, target)));
    }
    let mut object = Value::clone(&live);
    object["metadata"]["deletionTimestamp"] = json!(options.now);
    object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    if let Some(generation) = object["metadata"]["generation"].as_i64() {
        object["metadata"]["generation"] = json!(generation + 1);
    }
    if !options.dry_run {
        object = Value::clone(&store.put(target.key(), object));
    }
    Ok((200, shown(&object, target)))
}

fn check_preconditions_of_deletion(target: &Target, wanted: &Value, live: &Value) -> Answer<()> {
    let table = [
        (
            "uid",
            "UID",
            "The object might have been deleted and then recreated",
        ),
        (
            "resourceVersion",
            "ResourceVersion",
            "The object might have been modified",
        ),
    ];
    for (name, spoken, perhaps) in table {
        let (ours, given) = (
            live["metadata"][name].as_str().unwrap_or_default(),
            wanted[name].as_str(),
        );
        if let Some(given) = given.filter(|given| *given != ours) {
            let why = format!(
                "the {spoken} in the precondition ({given}) does not match the {spoken} in record ({ours}). {perhaps}"
            );
            return Err(status::another_object(&target.kind, &target.name, &why));
        }
    }
    Ok(())
}

/// What the last deletion of an object answers: some built-in kinds show the object, the others a `Status`.
fn farewell(target: &Target, live: &Value) -> Value {
    match target.kind.plural.as_str() {
        "persistentvolumeclaims"
        | "persistentvolumes"
        | "pods"
        | "serviceaccounts"
        | "storageclasses"
        | "csidrivers"
        | "csinodes"
        | "volumeattachments"
            if !target.kind.custom =>
        {
            shown(live, target)
        }
        _ => status::deleted(&target.kind, &target.name, &live["metadata"]["uid"]),
    }
}

/// Empties a namespace and takes it away; it stays, terminating, while something in it has finalizers.
fn end_namespace(store: &mut Store, target: &Target, options: &Options, live: &Value) -> Value {
    let mut object = live.clone();
    object["metadata"]["deletionTimestamp"] = json!(options.now);
    object["status"]["phase"] = json!("Terminating");
    let object = Value::clone(&store.put(target.key(), object));
    for key in store.in_namespace(&target.name) {
        let held = store
            .get(&key)
            .is_some_and(|object| object["metadata"]["finalizers"].is_array());
        match (held, store.get(&key)) {
            (true, Some(held)) => {
                let mut held = Value::clone(&held);
                held["metadata"]["deletionTimestamp"] = json!(options.now);
                store.put(key, held);
            }
            _ => drop(store.remove(&key)),
        }
    }
    if store.in_namespace(&target.name).is_empty() {
        store.remove(&target.key());
    }
    object
}

/// Takes an object away, and with it the namespace that was waiting for it.
pub(super) fn vanish(store: &mut Store, key: &Key) -> Option<Value> {
    let gone = store.remove(key)?;
    let namespaces = store
        .kind("", "v1", "namespaces")
        .expect("namespaces are built in");
    let namespace = Store::key(&namespaces, "", &key.namespace);
    let waiting = store
        .get(&namespace)
        .is_some_and(|namespace| namespace["status"]["phase"] == "Terminating");
    if waiting && store.in_namespace(&key.namespace).is_empty() {
        store.remove(&namespace);
    }
    Some(Value::clone(&gone))
}
