//! What Flux delivers: `flux/`, as it lies there.

use crate::support::objects::text;
use couchestor::formats::yaml;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The whole of it, applied by Flux.
mod delivered;

/// Variables and what stays sealed, by Flux and by us.
mod meaning;

/// The policies, applied by Flux.
mod policies;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// Every document of `flux/`, with its file.
fn documents() -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("flux"), &mut found);
    found.sort();
    let mut all = Vec::new();
    for file in found {
        let name = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        for document in yaml::load(&text).unwrap() {
            all.push((name.clone(), document.to_json().unwrap()));
        }
    }
    all
}

#[test]
fn the_layout_is_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for (file, one) in documents() {
        let metadata = &one["metadata"];
        let annotation = text(metadata, "/annotations/kustomize.toolkit.fluxcd.io~1prune");
        assert!(
            !text(&one, "/apiVersion").contains("toolkit.fluxcd.io/v1beta"),
            "{file} is of a beta"
        );
        seen += 1;
        match text(&one, "/kind") {
            "Namespace" => {
                assert_eq!(annotation, "disabled", "{file}");
                assert!(
                    !text(metadata, "/labels/pod-security.kubernetes.io~1enforce").is_empty(),
                    "{file}"
                );
                let folder = format!("flux/apps/{}/namespace.yaml", text(metadata, "/name"));
                assert_eq!(file, folder, "the folder is the namespace");
            }
            "Secret" => {
                assert!(
                    file.ends_with(".sops.yaml") && one.get("sops").is_some(),
                    "{file} is not encrypted"
                );
                assert_eq!(annotation, "disabled", "{file}");
                // Of `stringData` that nobody decrypts, Flux applies the ciphertext and calls it well; `data` it refuses.
                assert!(
                    one.get("data").is_some() && one.get("stringData").is_none(),
                    "{file}"
                );
            }
            "Kustomization" if text(&one, "/apiVersion").starts_with("kustomize.toolkit") => {
                let path = text(&one, "/spec/path").trim_start_matches("./");
                assert!(root.join(path).is_dir(), "{file}: {path} is no folder");
            }
            _ => seen -= 1,
        }
    }
    assert!(seen >= 9, "only {seen} documents were looked at");
}
