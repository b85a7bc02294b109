//! Claims about substitution: a table of expressions as Flux reads them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::model::desired::{Origin, Places};
use serde_json::json;
use std::sync::Arc;

fn variables() -> Variables {
    let mut variables = Variables::default();
    for (name, value) in [
        ("REGION", "eu-west-1"),
        ("COUNT", "3"),
        ("ON", "true"),
        ("EMPTY", ""),
        ("LIST", "[a, b]"),
        ("WORD", "hello.tar.gz"),
        ("SELF", "${REGION}"),
    ] {
        variables.set(name, value.to_owned(), false).unwrap();
    }
    variables.set("SECRET", "canary".to_owned(), true).unwrap();
    variables
}

fn object(value: Value) -> Resource {
    let origin = Origin {
        path: "a.yaml".into(),
        document: 0,
        line: 1,
        places: Arc::new(Places::default()),
        changed: Vec::new(),
        secret: false,
    };
    Resource {
        value: Arc::new(value),
        origin,
    }
}

#[test]
fn expressions_mean_what_they_mean_in_flux() {
    for (text, expected) in [
        ("${REGION}", json!("eu-west-1")),
        (
            "in ${REGION}, twice ${REGION}",
            json!("in eu-west-1, twice eu-west-1"),
        ),
        ("${COUNT}", json!(3)),
        ("${ON}", json!(true)),
        ("x${COUNT}", json!("x3")),
        ("${LIST}", json!(["a", "b"])),
        ("${EMPTY}", json!(null)),
        ("${GONE}", json!(null)),
        ("a${GONE}b", json!("ab")),
        ("${GONE:-default}", json!("default")),
        ("${EMPTY:=default}", json!("default")),
        ("${GONE=x}", json!("x")),
        ("${GONE:-${REGION}}", json!("eu-west-1")),
        ("${REGION:-default}", json!("eu-west-1")),
        ("$${REGION}", json!("${REGION}")),
        ("cost: $5, ${COUNT}", json!("cost: $5, 3")),
        ("$REGION", json!("$REGION")),
        ("${#REGION}", json!(9)),
        ("${REGION^^}", json!("EU-WEST-1")),
        ("${REGION^}", json!("Eu-west-1")),
        ("${ON,,}", json!(true)),
        ("${REGION:3}", json!("west-1")),
        ("${REGION:3:4}", json!("west")),
        ("${REGION: -1}", json!("1")),
        ("${REGION/-/_}", json!("eu_west-1")),
        ("${REGION//-/_}", json!("eu_west_1")),
        ("${REGION/#eu/us}", json!("us-west-1")),
        ("${REGION/%1/2}", json!("eu-west-2")),
        ("${WORD%.*}", json!("hello.tar")),
        ("${WORD%%.*}", json!("hello")),
        ("${WORD#*.}", json!("tar.gz")),
        ("${WORD##*.}", json!("gz")),
        ("${SELF}", json!("${REGION}")),
        ("{${COUNT}}", json!("{3}")),
    ] {
        let mut resource = object(json!({"spec": {"v": text}}));
        substitute(&mut resource, &variables()).unwrap();
        assert_eq!(resource.value["spec"]["v"], expected, "{text}");
    }
}

#[test]
fn who_opts_out_is_left_alone_and_nothing_happens_without_variables() {
    let value = json!({"metadata": {"annotations": {OPT_OUT: "disabled"}}, "v": "${REGION} $${X}"});
    for (value, variables) in [
        (value.clone(), variables()),
        (json!({"v": "${REGION}"}), Variables::default()),
    ] {
        let mut resource = object(value.clone());
        substitute(&mut resource, &variables).unwrap();
        assert_eq!(*resource.value, value);
    }
}

#[test]
fn mistakes_name_their_place_and_no_value_and_secrets_make_their_object_secret() {
    for text in ["${", "${REGION", "${1X}", "${}", "${REGION!}", "${a b}"] {
        let mut resource = object(json!({"a": [{"b/c": format!("canary {text}")}]}));
        let (what, pointer) = substitute(&mut resource, &variables()).unwrap_err();
        assert_eq!(pointer, "/a/0/b~1c");
        assert!(!what.contains("canary"), "{what}");
    }
    let deep = (0..30).fold("x".to_owned(), |inner, _| format!("${{GONE:-{inner}}}"));
    assert!(substitute(&mut object(json!({"v": deep})), &variables()).is_err());
    let mut resource = object(json!({"k-${COUNT}": "${SECRET}"}));
    substitute(&mut resource, &variables()).unwrap();
    assert!(resource.origin.secret);
    assert_eq!(*resource.value, json!({"k-3": "canary"}));
    assert!(Variables::default().set("a-b", String::new(), false).is_err());
}
