//! The simulated Kubernetes API server answers as the real one does: the same calls go to both, the answers are compared.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use couchestor::sim::kubernetes::KubernetesSim;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use regex::Regex;
use serde_json::{Value, json};

/// The table of calls; its head says how it is written.
const CALLS: &str = include_str!("contract/calls.txt");

/// One call, and the code that both servers answer it with.
struct Call {
    what: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    code: u16,
    compare: Compare,
}

/// How much of the answer has to be the same.
#[derive(Clone, Copy, PartialEq)]
enum Compare {
    /// All that does not differ from run to run.
    All,
    /// The code only: the real server fills in more than the simulation plays.
    Code,
    /// The code, which may take a moment: the call is repeated until it comes.
    Eventually,
}

/// An answer without what differs from run to run.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    code: u16,
    body: Vec<Value>,
}

/// How often a call is repeated until its code comes: 20 seconds, a slow machine's time to serve a new definition.
const TRIES: usize = 200;

static UID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap());
static TIME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap());

fn calls() -> Vec<Call> {
    CALLS
        .split("\n# ")
        .skip(1)
        .map(|block| read(block.split("\n## ").next().unwrap_or(block)))
        .collect()
}

fn read(block: &'static str) -> Call {
    let mut lines = block.trim().lines();
    let (what, request) = (lines.next().unwrap(), lines.next().unwrap());
    let mut words = request.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (method, path, code) = (word(), word(), word());
    let compare = match word() {
        "code only" => Compare::Code,
        "eventually" => Compare::Eventually,
        "" => Compare::All,
        other => panic!("{what}: {other:?} is no way to compare"),
    };
    let code = code
        .parse()
        .unwrap_or_else(|_| panic!("{what}: {code:?} is no code"));
    Call {
        what,
        method,
        path,
        body: lines.next().unwrap_or_default(),
        code,
        compare,
    }
}

/// Asks the server everything, in order.
async fn ask(client: &Client, calls: &[Call]) -> Vec<Answer> {
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    let mut answers = Vec::new();
    for call in calls {
        let mut answer = ask_one(client, call, &versions).await;
        for _ in 0..TRIES {
            if call.compare != Compare::Eventually || answer.code == call.code {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = ask_one(client, call, &versions).await;
        }
        if let Some(version) = answer
            .body
            .first()
            .and_then(|body| body["metadata"]["resourceVersion"].as_str())
        {
            versions.insert(
                format!("{{rv:{}}}", call.what.replace(' ', "-")),
                version.to_owned(),
            );
        }
        answers.push(answer);
    }
    settle(&mut answers);
    answers
}

async fn ask_one(client: &Client, call: &Call, versions: &BTreeMap<String, String>) -> Answer {
    let (mut path, mut body) = (call.path.to_owned(), call.body.to_owned());
    for (name, version) in versions {
        path = path.replace(name, version);
        body = body.replace(name, version);
    }
    let (method, content_type) = match call.method {
        "MERGE" => ("PATCH", "application/merge-patch+json"),
        "JSON" => ("PATCH", "application/json-patch+json"),
        "STRATEGIC" => ("PATCH", "application/strategic-merge-patch+json"),
        "APPLY" => ("PATCH", "application/apply-patch+yaml"),
        other => (other, "application/json"),
    };
    let request = axum::http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .header("accept", "application/json")
        .header("user-agent", "contract/1")
        .body(kube::client::Body::from(body.into_bytes()))
        .unwrap();
    let response = client
        .send(request)
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", call.what));
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(axum::body::Body::new(response.into_body()), usize::MAX)
        .await
        .unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let body = serde_json::Deserializer::from_str(&text)
        .into_iter::<Value>()
        .collect::<Result<Vec<_>, _>>();
    Answer {
        code,
        body: body.unwrap_or_else(|_| vec![json!(text)]),
    }
}

/// Takes out what differs from run to run; versions become their rank among all that were seen.
fn settle(answers: &mut [Answer]) {
    let mut versions = Vec::new();
    for body in answers.iter_mut().flat_map(|answer| &mut answer.body) {
        // A list's own version counts what others write, too.
        if body["items"].is_array() {
            body["metadata"] = Value::Null;
        }
        collect_versions(body, &mut versions);
    }
    versions.sort_unstable();
    versions.dedup();
    for body in answers.iter_mut().flat_map(|answer| &mut answer.body) {
        settle_value(body, &versions);
    }
}

fn collect_versions(value: &Value, versions: &mut Vec<u64>) {
    match value {
        Value::Object(map) => {
            versions.extend(
                map.get("resourceVersion")
                    .and_then(Value::as_str)
                    .and_then(|text| text.parse::<u64>().ok()),
            );
            map.values().for_each(|inner| collect_versions(inner, versions));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect_versions(inner, versions)),
        _ => {}
    }
}

fn settle_value(value: &mut Value, versions: &[u64]) {
    match value {
        Value::Object(map) => {
            // In a set of fields: whether a struct that is always there counts as a member hangs on Go's types.
            map.remove(".");
            for (key, inner) in map.iter_mut() {
                match (key.as_str(), &inner) {
                    ("resourceVersion", Value::String(text)) => {
                        let rank = text
                            .parse()
                            .ok()
                            .and_then(|version| versions.binary_search(&version).ok());
                        *inner = json!(rank);
                    }
                    ("managedFields", Value::Array(entries)) => {
                        let mut entries = entries.clone();
                        entries.sort_by_key(|entry| {
                            format!(
                                "{}{}{}",
                                entry["manager"], entry["operation"], entry["subresource"]
                            )
                        });
                        *inner = Value::Array(entries);
                    }
                    _ => {}
                }
                settle_value(inner, versions);
            }
            map.retain(|key, inner| {
                let empty = inner.as_object().is_some_and(serde_json::Map::is_empty);
                !(inner.is_null() || empty && matches!(key.as_str(), "details" | "metadata"))
            });
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| settle_value(inner, versions)),
        Value::String(text) => *text = settle_text(text),
        _ => {}
    }
}

fn settle_text(text: &str) -> String {
    TIME.replace_all(&UID.replace_all(text, "UID"), "TIME")
        .into_owned()
}

/// Where two values differ, one line per place.
fn differences(path: &str, real: &Value, sim: &Value, found: &mut Vec<String>) {
    match (real, sim) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            for key in keys {
                let at = format!("{path}.{key}");
                differences(
                    &at,
                    ours.get(key).unwrap_or(&Value::Null),
                    theirs.get(key).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                differences(&format!("{path}[{at}]"), ours, theirs, found);
            }
        }
        _ if real == sim => {}
        _ => found.push(format!("    {path}\n      real: {real}\n      sim:  {sim}")),
    }
}

async fn client(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

async fn simulated() -> (KubernetesSim, Client) {
    let sim = KubernetesSim::start(couchestor::io::clock::now).await.unwrap();
    let client = client(&sim.kubeconfig()).await;
    (sim, client)
}

#[tokio::test]
async fn the_simulation_answers_with_the_codes_that_the_table_says() {
    let calls = calls();
    let (_sim, client) = simulated().await;
    let answers = ask(&client, &calls).await;
    let wrong: Vec<_> = calls
        .iter()
        .zip(&answers)
        .filter(|(call, answer)| call.code != answer.code)
        .map(|(call, answer)| format!("{}: {} wanted, got {answer:?}", call.what, call.code))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_simulation_answers_as_the_real_server_does() {
    if crate::support::servers::left_out("the_simulation_answers_as_the_real_server_does") {
        return;
    }
    let calls = calls();
    let (_sim, simulated) = simulated().await;
    let real = client(&crate::support::cluster::shared().kubeconfig()).await;
    let (real, sim) = (ask(&real, &calls).await, ask(&simulated, &calls).await);
    let mut wrong = Vec::new();
    for ((call, real), sim) in calls.iter().zip(&real).zip(&sim) {
        let mut found = Vec::new();
        if real.code != sim.code || real.code != call.code {
            found.push(format!(
                "    code\n      table: {}\n      real: {}\n      sim:  {}",
                call.code, real.code, sim.code
            ));
        }
        if call.compare == Compare::All {
            differences("", &json!(real.body), &json!(sim.body), &mut found);
        }
        if !found.is_empty() {
            wrong.push(format!(
                "  {} ({} {})\n{}",
                call.what,
                call.method,
                call.path,
                found.join("\n")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} answers differ:\n{}",
        wrong.len(),
        calls.len(),
        wrong.join("\n")
    );
}
