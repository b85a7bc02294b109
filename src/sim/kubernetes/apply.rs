//! Server-side apply: merging a configuration into a live object and taking out what its manager let go of. Pure.

use serde_json::{Map, Value};

use super::fields::FieldSet;
use super::ownership::{self, Conflict, Managers, Writer};
use super::schema::Shape;

/// One apply.
pub(super) struct Apply<'a> {
    /// Who applies.
    pub(super) writer: Writer,
    /// Whether to take fields that other managers hold.
    pub(super) force: bool,
    /// The parts that this endpoint does not write.
    pub(super) reset: &'a [&'a [&'a str]],
    /// What to write as the time of a changed entry.
    pub(super) time: String,
}

/// Applies the configuration to the live object.
///
/// # Errors
///
/// What other managers hold and the configuration changes, unless it is forced.
pub(super) fn apply(
    live: &Value,
    config: &Value,
    shape: Shape<'_>,
    apply: &Apply<'_>,
) -> Result<(Value, Managers), Vec<Conflict>> {
    let mut managers = ownership::read(live);
    let claimed = ownership::claimed(config, shape, apply.reset);
    // An applier is the same one in every version of the kind.
    let same = |writer: &&Writer| {
        Writer {
            api_version: apply.writer.api_version.clone(),
            ..(*writer).clone()
        } == apply.writer
    };
    let last = managers.keys().find(same).cloned();
    let before = last.and_then(|writer| managers.remove(&writer));
    let mut merged = merge(Some(live), config, shape);
    for path in apply.reset {
        restore(&mut merged, live, path);
    }
    let (last, time) = before.unwrap_or_default();
    managers.insert(apply.writer.clone(), (claimed, time));
    let held = managers
        .values()
        .fold(FieldSet::default(), |all, (set, _)| all.union(set));
    let dropped = last.with_ancestors().difference(&held.with_ancestors());
    remove(&mut merged, &dropped, &last, shape);

    let changed = ownership::compare(&unmanaged(live), &unmanaged(&merged), shape);
    ownership::note_apply(&mut managers, &apply.writer, &changed, apply.force)?;
    if let Some(entry) = managers.get_mut(&apply.writer)
        && unmanaged(live) != unmanaged(&merged)
    {
        entry.1.clone_from(&apply.time);
    }
    Ok((merged, managers))
}

/// The object without its list of managers: that is not a field that anybody owns.
pub(super) fn unmanaged(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// Puts a field of the live object back: `["f:status"]`.
fn restore(merged: &mut Value, live: &Value, path: &[&str]) {
    let [field] = path else { return };
    let field = field.trim_start_matches("f:");
    match (merged.as_object_mut(), live.get(field)) {
        (Some(merged), Some(value)) => drop(merged.insert(field.to_owned(), value.clone())),
        (Some(merged), None) => drop(merged.remove(field)),
        (None, _) => {}
    }
}

/// Lays the configuration over the live value, part by part.
pub(super) fn merge(live: Option<&Value>, config: &Value, shape: Shape<'_>) -> Value {
    let Some(live) = live.filter(|live| shape.has_parts(live) && shape.has_parts(config)) else {
        return without_nulls(config);
    };
    match (live, config) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let mut merged = ours.clone();
            for (key, value) in theirs.iter().filter(|(_, value)| !value.is_null()) {
                merged.insert(key.clone(), merge(ours.get(key), value, shape.field(key)));
            }
            Value::Object(merged)
        }
        (Value::Array(_), Value::Array(_)) => {
            let ours = shape.parts(live).unwrap_or_default();
            let mut theirs = shape.parts(config).unwrap_or_default();
            let mut merged = Vec::new();
            for (element, item, inner) in ours {
                match theirs.iter().position(|(other, ..)| *other == element) {
                    Some(at) => merged.push(merge(Some(item), theirs.remove(at).1, inner)),
                    None => merged.push(item.clone()),
                }
            }
            merged.extend(theirs.into_iter().map(|(_, item, _)| without_nulls(item)));
            Value::Array(merged)
        }
        _ => without_nulls(config),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, inner)| !inner.is_null());
            Value::Object(
                kept.map(|(key, inner)| (key.clone(), without_nulls(inner)))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// Takes out what was dropped: what was claimed by itself whole, what stood above it only once it is empty.
fn remove(value: &mut Value, dropped: &FieldSet, claimed: &FieldSet, shape: Shape<'_>) {
    let copy = value.clone();
    let none = FieldSet::default();
    let parts = shape.parts(&copy).unwrap_or_default();
    let mut gone = Vec::new();
    for (at, (element, _, inner)) in parts.iter().enumerate() {
        let Some(below) = dropped.get(element) else {
            continue;
        };
        let claimed = claimed.get(element).unwrap_or(&none);
        let key = element.strip_prefix("f:");
        let place = match (&mut *value, key) {
            (Value::Object(map), Some(key)) => map.get_mut(key),
            (Value::Array(items), _) => items.get_mut(at),
            _ => None,
        };
        let Some(place) = place else { continue };
        let whole = below.is_member() && claimed.is_member();
        if !whole {
            remove(place, below, claimed, *inner);
        }
        if whole || (below.is_member() && is_empty(place)) {
            gone.push((at, key));
        }
    }
    for (at, key) in gone.into_iter().rev() {
        match (&mut *value, key) {
            (Value::Object(map), Some(key)) => drop(map.remove(key)),
            (Value::Array(items), _) => drop(items.remove(at)),
            _ => {}
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn by(manager: &str, force: bool) -> Apply<'static> {
        let writer = Writer {
            operation: "Apply".to_owned(),
            manager: manager.to_owned(),
            api_version: "v1".to_owned(),
            subresource: String::new(),
        };
        Apply {
            writer,
            force,
            reset: &[],
            time: "now".to_owned(),
        }
    }

    fn applied(live: &Value, config: &Value, how: &Apply<'_>) -> Result<Value, Vec<String>> {
        let (mut object, managers) = apply(live, config, Shape::BuiltIn(""), how)
            .map_err(|all| all.into_iter().map(|one| one.field).collect::<Vec<_>>())?;
        ownership::write(&mut object, &managers);
        Ok(object)
    }

    #[test]
    fn a_field_goes_when_its_only_manager_no_longer_applies_it() {
        let first = json!({"metadata": {"name": "x"}, "data": {"a": "1", "b": "2"}});
        let live = applied(&json!({"metadata": {"name": "x"}}), &first, &by("me", false)).unwrap();
        let second = json!({"metadata": {"name": "x"}, "data": {"a": "1"}});
        assert_eq!(
            applied(&live, &second, &by("me", false)).unwrap()["data"],
            json!({"a": "1"})
        );
    }

    #[test]
    fn a_field_stays_while_another_manager_applies_it_too() {
        let config = json!({"metadata": {"name": "x"}, "data": {"a": "1"}});
        let live = applied(&json!({"metadata": {"name": "x"}}), &config, &by("me", false)).unwrap();
        let live = applied(&live, &config, &by("you", false)).unwrap();
        let live = applied(&live, &json!({"metadata": {"name": "x"}}), &by("me", false)).unwrap();
        assert_eq!(live["data"], json!({"a": "1"}));
    }

    #[test]
    fn another_managers_field_is_a_conflict_until_it_is_forced() {
        let live = json!({"metadata": {"name": "x"}});
        let live = applied(
            &live,
            &json!({"metadata": {}, "data": {"a": "1"}}),
            &by("me", false),
        )
        .unwrap();
        let theirs = json!({"metadata": {}, "data": {"a": "2"}});
        assert_eq!(
            applied(&live, &theirs, &by("you", false)),
            Err(vec![".data.a".to_owned()])
        );
        let live = applied(&live, &theirs, &by("you", true)).unwrap();
        assert_eq!(live["data"]["a"], "2");
        assert_eq!(
            ownership::read(&live).len(),
            1,
            "the first manager has nothing left"
        );
    }

    #[test]
    fn items_of_a_keyed_list_are_owned_one_by_one() {
        let live = json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "1"}]}});
        let config = json!({"metadata": {}, "spec": {"containers": [{"name": "b", "image": "2"}]}});
        let live = applied(&live, &config, &by("me", false)).unwrap();
        assert_eq!(live["spec"]["containers"].as_array().unwrap().len(), 2);
        let live = applied(&live, &json!({"metadata": {}}), &by("me", false)).unwrap();
        assert_eq!(live["spec"]["containers"], json!([{"name": "a", "image": "1"}]));
    }

    #[test]
    fn applying_the_same_twice_changes_nothing_not_even_a_time() {
        let config = json!({"metadata": {"name": "x"}, "data": {"a": "1"}});
        let live = applied(&json!({"metadata": {"name": "x"}}), &config, &by("me", false)).unwrap();
        let later = Apply {
            time: "later".to_owned(),
            ..by("me", false)
        };
        assert_eq!(applied(&live, &config, &later).unwrap(), live);
    }
}
