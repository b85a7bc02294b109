//! ConfigMaps with a volume policy of Velero's own, read as strictly as Velero reads them when a backup runs (`internal/resourcepolicies`).

use crate::formats::{quantity, yaml};
use crate::model::desired::Resource;
use serde_json::{Map, Value};

/// Fields of a condition.
const CONDITIONS: [&str; 7] = [
    "capacity",
    "storageClass",
    "nfs",
    "csi",
    "volumeTypes",
    "pvcLabels",
    "pvcPhase",
];

/// What can be done with a volume.
const ACTIONS: [&str; 4] = ["skip", "fs-backup", "snapshot", "custom"];

/// What is wrong, at a JSON pointer of the ConfigMap. It quotes nothing of the text, which may have been encrypted.
pub(super) fn check(config_map: &Resource) -> Result<(), (String, String)> {
    let data = config_map.value.get("data").and_then(Value::as_object);
    let Some((key, text)) = data
        .filter(|data| data.len() == 1)
        .and_then(|data| data.iter().next())
    else {
        let count = data.map_or(0, Map::len);
        return Err((
            "/data".to_owned(),
            format!("a volume policy stands below exactly one key, and there are {count}"),
        ));
    };
    let pointer = format!("/data/{}", yaml::escape(key));
    let text = text.as_str().unwrap_or_default();
    policy(text).map_err(|message| (pointer, message))
}

fn policy(text: &str) -> Result<(), String> {
    let documents = yaml::load(text).map_err(|_| "the volume policy is no YAML".to_owned())?;
    let document = documents.first().and_then(|document| document.to_json().ok());
    let Some(Value::Object(policy)) = document else {
        return Err("the volume policy is no mapping".to_owned());
    };
    fields(
        &policy,
        &["version", "volumePolicies", "includeExcludePolicy"],
        "the volume policy",
    )?;
    if policy.get("version").and_then(Value::as_str) != Some("v1") {
        return Err("the version of a volume policy is v1".to_owned());
    }
    let rules = match policy.get("volumePolicies") {
        Some(Value::Array(rules)) => rules.as_slice(),
        None | Some(Value::Null) => &[],
        Some(_) => return Err("`volumePolicies` is no list".to_owned()),
    };
    for (index, rule) in rules.iter().enumerate() {
        rule_fits(rule).map_err(|wrong| format!("entry {} of `volumePolicies`: {wrong}", index + 1))?;
    }
    Ok(())
}

fn rule_fits(rule: &Value) -> Result<(), String> {
    let Value::Object(rule) = rule else {
        return Err("it is no mapping".to_owned());
    };
    fields(rule, &["conditions", "action"], "it")?;
    match rule.get("conditions") {
        Some(Value::Object(conditions)) => condition_fits(conditions)?,
        None | Some(Value::Null) => {}
        Some(_) => return Err("`conditions` is no mapping".to_owned()),
    }
    let Some(Value::Object(action)) = rule.get("action") else {
        return Err("`action` is missing".to_owned());
    };
    fields(action, &["type", "parameters"], "`action`")?;
    match action.get("type").and_then(Value::as_str) {
        Some(kind) if ACTIONS.contains(&kind) => Ok(()),
        _ => Err(format!("the type of `action` is one of {}", ACTIONS.join(", "))),
    }
}

fn condition_fits(conditions: &Map<String, Value>) -> Result<(), String> {
    fields(conditions, &CONDITIONS, "`conditions`")?;
    for list in ["storageClass", "volumeTypes", "pvcPhase"] {
        let texts = |value: &Value| {
            value
                .as_array()
                .is_some_and(|all| all.iter().all(Value::is_string))
        };
        if conditions.get(list).is_some_and(|value| !texts(value)) {
            return Err(format!("`{list}` is no list of texts"));
        }
    }
    for map in ["nfs", "csi", "pvcLabels"] {
        if conditions.get(map).is_some_and(|value| !value.is_object()) {
            return Err(format!("`{map}` is no mapping"));
        }
    }
    let inner = |map: &str| conditions.get(map).and_then(Value::as_object);
    if let Some(nfs) = inner("nfs") {
        fields(nfs, &["server", "path"], "`nfs`")?;
    }
    if let Some(csi) = inner("csi") {
        fields(csi, &["driver", "volumeAttributes"], "`csi`")?;
    }
    let text = |value: &Value| value.is_string() || value.is_null();
    let labels = inner("pvcLabels").into_iter().flatten();
    if labels.into_iter().any(|(_, value)| !text(value)) {
        return Err("a value of `pvcLabels` is no text".to_owned());
    }
    match conditions.get("capacity") {
        Some(value) => capacity_fits(value.as_str().unwrap_or_default()),
        None => Ok(()),
    }
}

/// Two quantities, of which either may be left out; the first is the smaller one (`parseCapacity`).
fn capacity_fits(text: &str) -> Result<(), String> {
    let help = || {
        "`capacity` is written as `from,to`, such as \"10Gi,\", and the first is not the larger one"
            .to_owned()
    };
    let (from, to) = text.split_once(',').ok_or_else(help)?;
    let read = |part: &str| match part.trim() {
        "" => Ok(None),
        part => quantity::parse_ceil(part).map(Some).map_err(|_| help()),
    };
    match (read(from)?, read(to)?) {
        // Nothing, and naught, stand for no bound.
        (Some(from), Some(to)) if to > 0 && from > to => Err(help()),
        _ => Ok(()),
    }
}

/// Velero refuses what it does not know; the name is not repeated, it may have been encrypted.
fn fields(map: &Map<String, Value>, known: &[&str], whose: &str) -> Result<(), String> {
    match map.keys().all(|key| known.contains(&key.as_str())) {
        true => Ok(()),
        false => Err(format!("{whose} has other fields than {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::policy;

    #[test]
    fn volume_policies_are_read_as_strictly_as_velero_reads_them() {
        let rule = "version: v1\nvolumePolicies:\n- conditions: {CONDITIONS}\n  action: {type: fs-backup}\n";
        let plain = rule.replace("CONDITIONS", "");
        for (text, wrong) in [
            (plain.clone(), ""),
            (
                rule.replace(
                    "CONDITIONS",
                    "storageClass: [a], csi: {driver: d}, capacity: '0,10Gi', pvcPhase: [Lost]",
                ),
                "",
            ),
            ("version: v1\n".to_owned(), ""),
            (plain.replace("v1", "v2"), "version"),
            (plain.replace("version: v1\n", ""), "version"),
            (rule.replace("CONDITIONS", "storageclass: [a]"), "other fields"),
            (rule.replace("CONDITIONS", "storageClass: a"), "no list"),
            (rule.replace("CONDITIONS", "pvcLabels: [a]"), "no mapping"),
            (rule.replace("CONDITIONS", "capacity: 10Gi"), "`from,to`"),
            (rule.replace("CONDITIONS", "capacity: 'a,b'"), "`from,to`"),
            (rule.replace("CONDITIONS", "capacity: '1Gi,5Gi,6Gi'"), "`from,to`"),
            (rule.replace("CONDITIONS", "capacity: '10Gi,5Gi'"), "`from,to`"),
            (rule.replace("CONDITIONS", "capacity: '10Gi,'"), ""),
            (rule.replace("CONDITIONS", "capacity: ',5Gi'"), ""),
            (rule.replace("CONDITIONS", "csi: {drivr: d}"), "other fields"),
            (
                rule.replace(
                    "CONDITIONS",
                    "csi: {driver: d, volumeAttributes: {a: b}}, nfs: {server: s, path: p}",
                ),
                "",
            ),
            (rule.replace("CONDITIONS", "nfs: {host: h}"), "other fields"),
            (rule.replace("CONDITIONS", "pvcLabels: {a: 3}"), "no text"),
            (plain.replace("fs-backup", "fsbackup"), "type"),
            (
                plain.replace("  action: {type: fs-backup}\n", ""),
                "`action` is missing",
            ),
            (plain.replace("action:", "actions:"), "other fields"),
            ("a: [".to_owned(), "no YAML"),
            ("- a\n".to_owned(), "no mapping"),
        ] {
            let found = policy(&text).err().unwrap_or_default();
            assert!(
                found.contains(wrong) && found.is_empty() == wrong.is_empty(),
                "{text}\n{found}"
            );
        }
    }
}
