//! Flux's own kustomize-controller puts variables into objects and leaves sealed what asks for it: what it applies is what `couchestor render`
//! says, and what it refuses is refused here too.

use super::policies::differences;
use crate::support::canary::Canary;
use crate::support::flux::{self, Flux, NAMESPACE, Ops, applied, refused};
use crate::support::objects::get;
use crate::support::seal::Sealer;
use crate::support::{say, servers};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

/// A kind that holds anything.
fn anything(flux: &Flux, kind: &str) {
    let plural = format!("{}s", kind.to_lowercase());
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    flux.apply(&json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.org")},
        "spec": {"group": "example.org", "scope": "Cluster", "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}}));
    let name = format!("crd/{plural}.example.org");
    flux.cluster.kubectl(
        &["wait", "--for=condition=Established", &name, "--timeout=60s"],
        "",
    );
}

fn write(ops: &Ops, path: &str, object: &Value) {
    let path = ops.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, object.to_string()).unwrap();
}

/// A Kustomization of a folder of the repository of this name.
fn follow(flux: &Flux, repository: &str, folder: &str, more: &Value) {
    let mut spec = json!({"interval": "1h", "path": format!("./{folder}"), "prune": true,
        "sourceRef": {"kind": "GitRepository", "name": repository}});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    flux.apply(
        &json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": format!("{repository}-{folder}"), "namespace": NAMESPACE}, "spec": spec}),
    );
}

fn render(folder: &Path, key: &Path, more: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .args(["render", "--show-secrets", "-o", "json"])
        .arg(folder)
        .args(more)
        .env("SOPS_AGE_KEY_FILE", key)
        .env("HOME", folder)
        .output()
        .unwrap()
}

fn rendered(output: &Output, kind: &str, name: &str) -> Value {
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let objects: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = objects
        .into_iter()
        .filter(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no {kind} {name}: {words}"))
}

fn row(name: &str, rows: Vec<Value>) -> Value {
    json!({"apiVersion": "example.org/v1", "kind": "Table", "metadata": {"name": name}, "spec": {"rows": rows}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flux_puts_in_for_variables_is_what_render_puts_in() {
    if servers::left_out("what_flux_puts_in_for_variables_is_what_render_puts_in") {
        return;
    }
    let table: Value = serde_json::from_str(include_str!("../golden/substitution.json")).unwrap();
    let list = |name: &str| table[name].as_array().unwrap().clone();
    let (flux, ops) = (flux::shared(), Ops::of(&[]));
    let client = flux.admin().await;
    anything(flux, "Table");
    let unset = list("unset");
    let read: Vec<Value> = list("read")
        .into_iter()
        .filter(|row| !unset.contains(&row[0]))
        .collect();
    let asked = read.iter().map(|row| json!({"v": row[0]})).collect();
    let expected = row("read", read.iter().map(|row| json!({"v": row[1]})).collect());
    write(&ops, "read/a.yaml", &row("read", asked));
    // Whose label or annotation says so is left as it is, by its very name: nothing of ours is asked how that is written.
    let disabled = json!({"kustomize.toolkit.fluxcd.io/substitute": "disabled"});
    let otherwise = json!({"kustomize.toolkit.fluxcd.io/substitute": "enabled"});
    let left = ["labels", "annotations"].map(|field| {
        let mut object = row(
            &format!("left-by-{field}"),
            vec![json!({"v": "${REGION} $${REGION}"})],
        );
        object["metadata"][field] = disabled.clone();
        object
    });
    let mut taken = row("taken", vec![json!({"v": "${REGION}"})]);
    taken["metadata"]["labels"] = otherwise.clone();
    taken["metadata"]["annotations"] = otherwise;
    for object in left.iter().chain([&taken]) {
        let name = object["metadata"]["name"].as_str().unwrap();
        write(&ops, &format!("read/{name}.yaml"), object);
    }
    // What makes Flux's library fall over is no verdict of its.
    let refusals: Vec<Value> = unset
        .iter()
        .cloned()
        .chain(list("refusedByFlux"))
        .filter(|text| !text.to_string().contains("9223372036854775807"))
        .collect();
    for (number, text) in refusals.iter().enumerate() {
        let name = format!("refused{number}");
        write(
            &ops,
            &format!("{name}/a.yaml"),
            &row(&name, vec![json!({ "v": text })]),
        );
    }
    ops.commit("Rows");
    let mut variables = table["variables"].as_object().unwrap().clone();
    let arguments: Vec<String> = variables
        .iter()
        .flat_map(|(name, value)| {
            [
                "--substitute".to_owned(),
                format!("{name}={}", value.as_str().unwrap()),
            ]
        })
        .collect();
    // Two of them come from objects, with their line breaks.
    let [line, lines] = ["NL", "TWO"].map(|name| variables.remove(name).unwrap());
    for (kind, field, data) in [
        ("ConfigMap", "data", json!({ "NL": line })),
        ("Secret", "stringData", json!({ "TWO": lines })),
    ] {
        let name = json!({"name": "meaning", "namespace": NAMESPACE});
        flux.apply(&json!({"apiVersion": "v1", "kind": kind, "metadata": name, field: data}));
    }
    let from = json!([{"kind": "ConfigMap", "name": "meaning"}, {"kind": "Secret", "name": "meaning"}]);
    let post = json!({"postBuild": {"substitute": variables, "substituteFrom": from}});
    let revision = flux.put_out(&client, (NAMESPACE, "meaning"), ops.path()).await;
    follow(flux, "meaning", "read", &post);
    for number in 0..refusals.len() {
        follow(flux, "meaning", &format!("refused{number}"), &post);
    }
    applied(&client, (NAMESPACE, "meaning-read"), &revision).await;
    let seen = get(&client, "/apis/example.org/v1/tables/read").await.unwrap();
    let mut found = Vec::new();
    differences(&seen, &expected, "", &mut found);
    assert_eq!(found, Vec::<String>::new(), "by Flux");
    let ours = render(&ops.path().join("read"), Path::new(""), &arguments);
    differences(&rendered(&ours, "Table", "read"), &expected, "", &mut found);
    assert_eq!(found, Vec::<String>::new(), "by render");
    taken["spec"]["rows"][0]["v"] = variables["REGION"].clone();
    for object in left.iter().chain([&taken]) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let seen = get(&client, &format!("/apis/example.org/v1/tables/{name}"))
            .await
            .unwrap();
        assert_eq!(seen["spec"], object["spec"], "{name} by Flux");
        let ours = rendered(&ours, "Table", name);
        for part in ["spec", "metadata"] {
            assert_eq!(ours[part], object[part], "{name} by render");
        }
    }
    for (number, text) in refusals.iter().enumerate() {
        let name = format!("meaning-refused{number}");
        let why = refused(&client, (NAMESPACE, &name), "BuildFailed").await;
        assert!(why.contains("post build failed"), "{text}: {why}");
        // Without the cluster nobody knows whether a variable is there: the controller refuses it, `render` does not.
        if unset.contains(text) {
            assert!(why.contains("variable not set"), "{text}: {why}");
            continue;
        }
        let folder = ops.path().join(format!("refused{number}"));
        let ours = render(&folder, Path::new(""), &arguments);
        let words =
            String::from_utf8_lossy(&ours.stderr).into_owned() + &String::from_utf8_lossy(&ours.stdout);
        assert!(
            !ours.status.success() && words.contains("substitution"),
            "{text}: {words}"
        );
    }
    say(&format!(
        "variables: {} texts as Flux puts them in, {} refused as it refuses them",
        read.len(),
        refusals.len()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flux_opens_inside_of_secrets_is_what_render_opens() {
    if servers::left_out("what_flux_opens_inside_of_secrets_is_what_render_opens") {
        return;
    }
    let (flux, ops, sealer) = (flux::shared(), Ops::of(&[]), Sealer::new());
    let client = flux.admin().await;
    anything(flux, "Sealed");
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("key");
    std::fs::write(&key, &sealer.key).unwrap();
    flux.age_key(NAMESPACE, "sealed-age", &sealer.key);
    let file = sealer.yaml("{auths: {r: {auth: x}}}");
    let packed = |text: &str| json!(STANDARD.encode(text));
    let secret = |name: &str, annotations: Value, data: Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "data": data,
            "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations}})
    };
    let disabled = json!({"kustomize.toolkit.fluxcd.io/decrypt": "Disabled"});
    let left = secret("left", disabled.clone(), json!({"a.json": packed(&file)}));
    write(&ops, "opened/left.yaml", &left);
    let data = json!({"a.json": packed(&file), "of.dockerconfigjson": packed(&file),
        "blob": packed(&sealer.binary("bytes")), "b.env": packed(&sealer.dotenv("K=v")), "plain": packed("as it is")});
    write(&ops, "opened/opened.yaml", &secret("opened", json!({}), data));
    // The fields of a whole object stay sealed, for a controller that opens them itself.
    let whole: Value = serde_json::from_str(
        &sealer.secret(&json!({"apiVersion": "example.org/v1", "kind": "Sealed",
        "metadata": {"name": "whole", "annotations": disabled}, "data": {"k": "v"}})),
    )
    .unwrap();
    write(&ops, "opened/whole.yaml", &whole);
    let canary = Canary::new();
    let held = sealer.yaml(&json!({"auths": {"r": {"auth": canary.word, "n": canary.number}}}).to_string());
    let wrong = secret("wrong", json!({}), json!({"noending": packed(&held)}));
    write(&ops, "wrong/a.yaml", &wrong);
    ops.commit("Sealed");
    let revision = flux.put_out(&client, (NAMESPACE, "sealed"), ops.path()).await;
    let decryption = json!({"decryption": {"provider": "sops", "secretRef": {"name": "sealed-age"}}});
    follow(flux, "sealed", "opened", &decryption);
    follow(flux, "sealed", "wrong", &decryption);
    applied(&client, (NAMESPACE, "sealed-opened"), &revision).await;
    let ours = render(&ops.path().join("opened"), &key, &[]);
    let path = |name: &str| format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}");
    let kept = get(&client, &path("left")).await.unwrap();
    assert_eq!(kept["data"], left["data"], "by Flux");
    assert_eq!(
        rendered(&ours, "Secret", "left")["data"],
        left["data"],
        "by render"
    );
    let seen = get(&client, &path("opened")).await.unwrap();
    let opened = rendered(&ours, "Secret", "opened");
    let clear = |object: &Value, key: &str| {
        String::from_utf8(STANDARD.decode(object["data"][key].as_str().unwrap()).unwrap()).unwrap()
    };
    for key in ["blob", "b.env", "plain"] {
        assert_eq!(clear(&opened, key), clear(&seen, key), "{key}");
    }
    assert_eq!(clear(&seen, "blob"), "bytes");
    for key in ["a.json", "of.dockerconfigjson"] {
        let [seen, opened]: [Value; 2] =
            [&seen, &opened].map(|one| serde_json::from_str(&clear(one, key)).unwrap());
        assert_eq!(seen, json!({"auths": {"r": {"auth": "x"}}}), "{key}");
        assert_eq!(opened, seen, "{key}");
    }
    let seen = get(&client, "/apis/example.org/v1/sealeds/whole").await.unwrap();
    let ours_whole = rendered(&ours, "Sealed", "whole");
    for field in ["data", "sops"] {
        assert_eq!(seen[field], whole[field], "{field} by Flux");
        assert_eq!(ours_whole[field], whole[field], "{field} by render");
    }
    let why = refused(&client, (NAMESPACE, "sealed-wrong"), "BuildFailed").await;
    assert!(
        why.contains("noending") && why.contains("decrypted binary"),
        "{why}"
    );
    let ours = render(&ops.path().join("wrong"), &key, &[]);
    let words = String::from_utf8_lossy(&ours.stderr).into_owned() + &String::from_utf8_lossy(&ours.stdout);
    assert!(!ours.status.success() && words.contains("`noending`"), "{words}");
    canary.assert_absent(&words);
    say(
        "sealed inside of Secrets: 5 values opened as Flux opens them, 2 objects left sealed, 1 refused by both",
    );
}
