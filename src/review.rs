//! What a pull request would change: two revisions, and what was decided for each → the parts of a
//! [`Plan`](crate::model::review::Plan). Pure.

use crate::model::approval::{Approved, Move};
use crate::model::decision::{Decision, LeftAlone, ProposedMove};
use crate::model::desired::{Desired, text_at};
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::ids::{ClaimRef, ObjectId, TierName};
use crate::model::kinds::{PRUNE, PRUNE_ENABLED, is_schedule};
use crate::model::rendering::RenderedObject;
use crate::model::review::{Change, Fate, ObjectChange, PlannedMove, ScheduleChange, Tried};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Two values of a field.
mod fields;

/// Comments that are obeyed.
pub mod command;

/// What is remembered of pull requests.
pub mod records;

#[cfg(test)]
mod tests;

/// Kinds that are named although the object was encrypted; of another one not even the kind is told.
const KINDS: [&str; 10] = [
    "Secret",
    "ConfigMap",
    "StorageClass",
    "StorageTier",
    "StoragePolicy",
    "TierAssignment",
    "BackupLocation",
    "BackupPolicy",
    "BackupStorageLocation",
    "Schedule",
];

/// Compares what is rendered. `public` says of an object that was encrypted whether its kind and name stand in the clear in the
/// repository all the same; `pauses`, whether Schedules that leave Git are paused by us and kept.
pub fn compare(
    before: &[RenderedObject],
    after: &[RenderedObject],
    pauses: bool,
    public: &dyn Fn(Change, &RenderedObject) -> bool,
) -> Vec<ObjectChange> {
    let by_id = |objects: &'_ [RenderedObject]| -> BTreeMap<ObjectId, usize> {
        let named = objects.iter().enumerate();
        named.map(|(index, object)| (object.id.clone(), index)).collect()
    };
    let (old, new) = (by_id(before), by_id(after));
    let mut changes = Vec::new();
    for (id, index) in &new {
        let object = &after[*index];
        match old.get(id).map(|index| &before[*index]) {
            None => changes.push(change(Change::Created, None, object, public)),
            Some(known) if known.value != object.value => {
                changes.push(change(Change::Changed, Some(known), object, public));
            }
            Some(_) => {}
        }
    }
    for (_, index) in old.iter().filter(|(id, _)| !new.contains_key(*id)) {
        let gone = &before[*index];
        let said = text_at(&gone.value, &["metadata", "annotations", PRUNE[0]]);
        let paused = pauses && is_schedule(&gone.id) && said != PRUNE_ENABLED;
        let how = if paused { Change::Paused } else { Change::Deleted };
        changes.push(change(how, None, gone, public));
    }
    changes
}

fn change(
    change: Change,
    before: Option<&RenderedObject>,
    object: &RenderedObject,
    public: &dyn Fn(Change, &RenderedObject) -> bool,
) -> ObjectChange {
    let secret = object.secret || before.is_some_and(|before| before.secret);
    let sealed = object.origin.secret || before.is_some_and(|before| before.origin.secret);
    let told = !sealed || object.made_from.is_none() && public(change, object);
    let kind = KINDS.iter().find(|kind| **kind == object.id.kind);
    let (fields, more_fields) = match before.filter(|_| !secret) {
        Some(before) => fields::differing(&before.value, &object.value),
        None => (Vec::new(), 0),
    };
    ObjectChange {
        change,
        kind: match told {
            true => object.id.kind.clone(),
            false => kind.map_or("object", |kind| kind).to_owned(),
        },
        name: told.then(|| match object.id.namespace.as_str() {
            "" => object.id.name.clone(),
            namespace => format!("{namespace}/{}", object.id.name),
        }),
        path: object.origin.path.to_string(),
        made_from: object.made_from.clone().filter(|_| told),
        secret,
        fields,
        more_fields,
        tried: Tried::No,
    }
}

/// The kinds and names that stand in the clear in a file.
pub fn names_in_the_clear(documents: &[Value]) -> BTreeSet<(String, String)> {
    let text =
        |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let named = |document: &Value| Some((text(document, "/kind")?, text(document, "/metadata/name")?));
    documents.iter().filter_map(named).collect()
}

/// Schedules of Velero that change, in order of name. What was encrypted is left out.
pub fn schedules(before: &[RenderedObject], after: &[RenderedObject]) -> Vec<ScheduleChange> {
    let of = |objects: &[RenderedObject]| -> BTreeMap<String, String> {
        let schedules = objects.iter().filter(|object| {
            object.id.kind == "Schedule" && object.id.group == "velero.io" && !object.secret
        });
        let cron = |object: &RenderedObject| {
            let spec = object.value.get("spec");
            let text = spec.and_then(|spec| spec.get("schedule")).and_then(Value::as_str);
            let paused = spec.and_then(|spec| spec.get("paused")).and_then(Value::as_bool) == Some(true);
            format!(
                "{}{}",
                text.unwrap_or_default(),
                if paused { " (paused)" } else { "" }
            )
        };
        schedules
            .map(|object| {
                (
                    format!("{}/{}", object.id.namespace, object.id.name),
                    cron(object),
                )
            })
            .collect()
    };
    let (old, new) = (of(before), of(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| ScheduleChange {
            name: name.clone(),
            before: old.get(name).cloned(),
            after: new.get(name).cloned(),
        })
        .collect()
}

/// What a tried object has to wait for, if the pull request itself brings it.
pub fn comes_later(object: &RenderedObject, created: &[&RenderedObject]) -> Option<&'static str> {
    created.iter().find_map(|other| match other.id.kind.as_str() {
        "Namespace" if other.id.group.is_empty() && other.id.name == object.id.namespace => {
            Some("can only be tried once its Namespace is there")
        }
        "CustomResourceDefinition" => {
            let text = |pointer: &str| other.value.pointer(pointer).and_then(Value::as_str);
            let defines = text("/spec/group") == Some(object.id.group.as_str())
                && text("/spec/names/kind") == Some(object.id.kind.as_str());
            defines.then_some("can only be tried once its CustomResourceDefinition is there")
        }
        _ => None,
    })
}

/// The diagnostics that are news: all errors, and the warnings that the base branch does not have.
pub fn news(found: Vec<Diagnostic>, base: &[Diagnostic]) -> Vec<Diagnostic> {
    let known: BTreeSet<(&str, &str, &str)> = base
        .iter()
        .map(|one| (one.place.path.as_str(), one.rule.as_str(), one.message.as_str()))
        .collect();
    let key = |one: &Diagnostic| {
        let key = (one.place.path.as_str(), one.rule.as_str(), one.message.as_str());
        known.contains(&key)
    };
    found
        .into_iter()
        .filter(|one| one.severity == Severity::Error || !key(one))
        .collect()
}

/// What changes for volumes, between what is decided for the base branch and for the head.
pub fn moves(base: &Desired, head: &Desired, before: &Decision, after: &Decision) -> Vec<PlannedMove> {
    let veil = Veil::of(base, head);
    let mut moves = Vec::new();
    let mut approved = BTreeSet::new();
    for one in newly_approved(base, head) {
        let what = one.what();
        approved.insert(&what.claim);
        let start = after.starts.iter().find(|start| start.approved.what() == what);
        let left = after.left_alone.iter().find(|left| left.is(&what.claim));
        let (fate, from, words) = match (start, left) {
            (Some(start), _) => (Fate::Moves, Some(&start.from), String::new()),
            // It is there already.
            (None, Some(left)) if left.tier == Some(&what.to) => continue,
            (None, left) => (
                Fate::Waits,
                left.and_then(|left| left.tier),
                left.map(LeftAlone::words).unwrap_or_default(),
            ),
        };
        let hidden = head
            .assignments
            .get(&what.claim)
            .is_some_and(|assignment| assignment.secret);
        moves.push(PlannedMove {
            fate,
            claim: veil.claim(&what.claim, hidden),
            from: veil.tier(from),
            to: veil.tier(Some(&what.to)),
            words: if hidden { String::new() } else { words },
        });
    }
    let same = |a: &ProposedMove, b: &ProposedMove| a.claim == b.claim && a.to == b.to;
    let only_in = |these: &'_ [ProposedMove], those: &[ProposedMove]| -> Vec<ProposedMove> {
        let news = these
            .iter()
            .filter(|one| !those.iter().any(|other| same(one, other)));
        news.cloned().collect()
    };
    let added = only_in(&after.proposals, &before.proposals);
    let gone = only_in(&before.proposals, &after.proposals);
    let of = |fate: Fate, one: ProposedMove| PlannedMove {
        fate,
        claim: Some(one.claim.to_string()),
        from: veil.tier(Some(&one.from)),
        to: veil.tier(Some(&one.to)),
        words: veil.policy(one.policy.as_str()),
    };
    moves.extend(added.into_iter().map(|one| of(Fate::Proposed, one)));
    let gone = gone.into_iter().filter(|one| !approved.contains(&one.claim));
    moves.extend(gone.map(|one| of(Fate::NotProposed, one)));
    moves.sort();
    moves
}

/// What the head approves and the base does not.
fn newly_approved<'a>(base: &'a Desired, head: &'a Desired) -> impl Iterator<Item = &'a Approved<Move>> {
    let key = |one: &'a Approved<Move>| (&one.what().claim, &one.what().volume, &one.what().to);
    let known: BTreeSet<_> = base.approved.iter().map(key).collect();
    head.approved.iter().filter(move |one| !known.contains(&key(one)))
}

/// Names that were encrypted, and are told to nobody.
struct Veil<'a> {
    tiers: BTreeSet<&'a str>,
    policies: BTreeSet<&'a str>,
}

impl<'a> Veil<'a> {
    fn of(base: &'a Desired, head: &'a Desired) -> Self {
        let of = |kind: &'static str| -> BTreeSet<&'a str> {
            let all = base.resources.ours(kind).chain(head.resources.ours(kind));
            let sealed = all.filter(|one| one.origin.secret);
            sealed.map(|one| one.name()).collect()
        };
        Self {
            tiers: of("StorageTier"),
            policies: of("StoragePolicy"),
        }
    }

    fn policy(&self, name: &str) -> String {
        match self.policies.contains(name) {
            true => "an encrypted StoragePolicy".to_owned(),
            false => format!("StoragePolicy {name}"),
        }
    }

    fn tier(&self, name: Option<&TierName>) -> Option<String> {
        let name = name.filter(|name| !self.tiers.contains(name.as_str()));
        name.map(|name| name.to_string())
    }

    fn claim(&self, claim: &ClaimRef, hidden: bool) -> Option<String> {
        (!hidden).then(|| claim.to_string())
    }
}
