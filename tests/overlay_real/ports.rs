//! Ports of one number under several protocols: every small list of them, patched with every other, in one tree.

use super::verdicts::{Replaced, same_object};
use super::{Tree, ours, theirs};
use crate::support::{say, servers};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a port may say of its protocol: nothing, which means TCP.
const PROTOCOLS: [&str; 3] = ["", "TCP", "UDP"];

/// Lists of one or two ports that are different ones.
fn lists() -> Vec<Vec<&'static str>> {
    let meant = |protocol: &str| if protocol == "UDP" { 1 } else { 0 };
    let mut lists: Vec<Vec<&str>> = PROTOCOLS.iter().map(|one| vec![*one]).collect();
    for first in PROTOCOLS {
        for second in PROTOCOLS {
            if meant(first) != meant(second) {
                lists.push(vec![first, second]);
            }
        }
    }
    lists
}

fn port(protocol: &str, fields: Value) -> Value {
    let mut port = fields;
    port["port"] = json!(53);
    if !protocol.is_empty() {
        port["protocol"] = json!(protocol);
    }
    port
}

fn meant(port: &Value) -> &str {
    port["protocol"].as_str().unwrap_or("TCP")
}

/// What the API server's reading of both makes of them, by protocol.
fn merged(old: &[Value], new: &[Value]) -> BTreeMap<String, Value> {
    let mut ports: BTreeMap<String, Value> = old
        .iter()
        .map(|port| (meant(port).to_owned(), port.clone()))
        .collect();
    for port in new {
        if port.get("$patch").is_some() {
            ports.remove(meant(port));
            continue;
        }
        let merged = ports.entry(meant(port).to_owned()).or_insert_with(|| json!({}));
        for (key, value) in port.as_object().expect("a port") {
            merged[key] = value.clone();
        }
    }
    ports
}

#[test]
fn a_port_is_known_by_its_number_and_its_protocol() {
    if servers::left_out("a_port_is_known_by_its_number_and_its_protocol") {
        return;
    }
    // Two ways for a list of ports to stand in an object, with the name of the number.
    let service = |name: &str, ports: &[Value]| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports}});
    let pod = |name: &str, ports: &[Value]| {
        let renamed = |port: &Value| {
            let mut port = port.clone();
            let number = port.as_object_mut().expect("a port").remove("port");
            port["containerPort"] = number.expect("a number");
            port
        };
        let ports: Vec<Value> = ports.iter().map(renamed).collect();
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "ports": ports}]}})
    };
    let (mut objects, mut patches, mut cases) = (Vec::new(), Vec::new(), Vec::new());
    for old in lists() {
        for new in lists() {
            for deletes in [false, true] {
                let before: Vec<Value> = old
                    .iter()
                    .map(|one| port(one, json!({"name": format!("of-{one}")})))
                    .collect();
                let change = |(number, one): (usize, &&str)| match deletes {
                    true => port(one, json!({"$patch": "delete"})),
                    false => port(one, json!({"nodePort": 30_000 + number})),
                };
                let after: Vec<Value> = new.iter().enumerate().map(change).collect();
                let name = format!("case-{:03}", cases.len());
                objects.extend([service(&name, &before), pod(&name, &before)]);
                patches.extend([service(&name, &after), pod(&name, &after)]);
                let mut all = old.iter().chain(&new).map(|one| one.is_empty());
                let first = all.next();
                let half_said = all.any(|one| Some(one) != first);
                cases.push((before, after, half_said));
            }
        }
    }
    let written = |all: &[Value]| -> String { all.iter().map(|one| format!("---\n{one}\n")).collect() };
    let tree = Tree::from([
        ("over/a.yaml".to_owned(), written(&objects)),
        ("over/p.yaml".to_owned(), written(&patches)),
        (
            "over/kustomization.yaml".to_owned(),
            "resources: [a.yaml]\npatches: [{path: p.yaml}]\n".to_owned(),
        ),
    ]);
    let ours = ours(&tree, "over").expect("all of it can be built");
    let theirs = theirs(&tree, "over").expect("kustomize builds it");
    assert_eq!((ours.len(), theirs.len()), (objects.len(), objects.len()));
    let mut lost = 0;
    for (position, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        let (before, after, half_said) = &cases[position / 2];
        let at = ["/spec/ports", "/spec/containers/0/ports"][position % 2];
        let by_protocol: BTreeMap<String, Value> = our
            .pointer(at)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|port| {
                let mut port = port.clone();
                if let Some(number) = port.as_object_mut().and_then(|port| port.remove("containerPort")) {
                    port["port"] = number;
                }
                (meant(&port).to_owned(), port)
            })
            .collect();
        assert_eq!(
            by_protocol,
            merged(before, after),
            "{before:?} patched with {after:?}"
        );
        let same = same_object(our, their, &Replaced::default()).is_some();
        assert!(
            same || *half_said,
            "{before:?} patched with {after:?}\nours   {our}\ntheirs {their}"
        );
        lost += usize::from(!same);
    }
    say(&format!(
        "ports: {} lists, {lost} of which kustomize loses an item",
        ours.len()
    ));
    assert!(lost > 0, "the reason for not following kustomize is gone");
}
