//! Claims about substitution: a table of expressions as Flux reads them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests; the seed of random ones is printed, and taken from the environment"
)]

use super::*;
use crate::canary::Canary;
use crate::model::desired::Origin;
use crate::model::places::Places;
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
        substitute(&mut resource, &variables(), &mut Work::default())
            .ok()
            .unwrap();
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
        substitute(&mut resource, &variables, &mut Work::default())
            .ok()
            .unwrap();
        assert_eq!(*resource.value, value);
    }
}

#[test]
fn mistakes_name_their_place_and_no_value_and_secrets_make_their_object_secret() {
    let canary = Canary::new();
    for text in ["${", "${REGION", "${1X}", "${}", "${REGION!}", "${a b}"] {
        let mut resource = object(json!({"a": [{"b/c": format!("{} {text}", canary.word)}]}));
        let wrong = substitute(&mut resource, &variables(), &mut Work::default())
            .err()
            .unwrap();
        assert_eq!(
            (wrong.pointer.as_str(), wrong.rule),
            ("/a/0/b~1c", "substitution")
        );
        canary.assert_absent(&format!("{} {}", wrong.what, wrong.help));
    }
    let deep = (0..30).fold("x".to_owned(), |inner, _| format!("${{GONE:-{inner}}}"));
    let mut resource = object(json!({"v": deep}));
    assert!(substitute(&mut resource, &variables(), &mut Work::default()).is_err());
    let mut resource = object(json!({"k-${COUNT}": "${SECRET}"}));
    substitute(&mut resource, &variables(), &mut Work::default())
        .ok()
        .unwrap();
    assert!(resource.origin.secret);
    assert_eq!(*resource.value, json!({"k-3": "canary"}));
    assert!(Variables::default().set("a-b", String::new(), false).is_err());
}

/// The plain way to take a pattern off an end: every cut, tried with every split of the text between the stars.
fn plainly(text: &str, pattern: &str, how: trim::How) -> String {
    fn fits(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| fits(rest, &text[at..])),
            Some((one, rest)) => {
                text.first().is_some_and(|byte| *one == b'?' || one == byte) && fits(rest, &text[1..])
            }
        }
    }
    let cuts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let mut found = cuts.filter(|cut| {
        let part = if how.from_start {
            &text[..*cut]
        } else {
            &text[*cut..]
        };
        fits(pattern.as_bytes(), part.as_bytes())
    });
    let cut = if how.from_start == how.longest {
        found.next_back()
    } else {
        found.next()
    };
    match cut {
        None => text,
        Some(cut) if how.from_start => &text[cut..],
        Some(cut) => &text[..cut],
    }
    .to_owned()
}

#[test]
fn patterns_take_off_what_trying_every_way_takes_off() {
    let seed =
        std::env::var("COUCHESTOR_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut taken, rounds) = (0, 40_000);
    for _ in 0..rounds {
        let mut word = |letters: &[char], longest: usize| -> String {
            let length = random.usize(..=longest);
            (0..length)
                .map(|_| letters[random.usize(..letters.len())])
                .collect()
        };
        let text = word(&['a', 'b', 'é', '€'], 9);
        let pattern = word(&['a', 'b', 'é', '*', '*', '?'], 6);
        for (from_start, longest) in [(true, true), (true, false), (false, true), (false, false)] {
            let how = trim::How { from_start, longest };
            let found = trim::trim(&text, &pattern, how, &mut Work::default()).unwrap();
            taken += usize::from(found.len() < text.len());
            assert_eq!(
                found,
                plainly(&text, &pattern, how),
                "{text:?} {pattern:?} from the start: {from_start}, longest: {longest}, seed {seed}"
            );
        }
    }
    eprintln!(
        "seed {seed}: {rounds} patterns, {taken} of {} took something off",
        4 * rounds
    );
    assert!(taken > rounds / 4, "seed {seed}");
}

#[test]
fn what_is_long_itself_costs_nothing_besides() {
    let text = format!("{}${{REGION}}\n", "a long text\n".repeat(40_000));
    let mut work = Work::default();
    for number in 0..50 {
        let mut resource = object(json!({"n": number, "data": {"a": text}}));
        let outcome = substitute(&mut resource, &variables(), &mut work);
        assert!(
            outcome.is_ok(),
            "object {number}: {}",
            outcome.err().unwrap().what
        );
    }
}

/// A large value, whose every letter is to be found.
fn with_long() -> Variables {
    let mut variables = variables();
    variables.set("LONG", "x".repeat(100_000), false).unwrap();
    variables
        .set("NUMBERS", format!("[{}]", "1,".repeat(5_000)), false)
        .unwrap();
    variables
}

#[test]
fn what_costs_too_much_is_told_once_and_ends_the_substitution() {
    for (name, text, count, bound) in [
        (
            "long values",
            "x${LONG}",
            300,
            "larger by more than 12582912 bytes",
        ),
        (
            "values that are lists",
            "${NUMBERS}",
            200,
            "steps, so no more is substituted",
        ),
        (
            "searches",
            "${LONG%%*y*}",
            300,
            "steps, so no more is substituted",
        ),
        (
            "searches with ?",
            "${LONG##*?xxxxxxxxxxxxxxxxxxxxxxxxxy}",
            300,
            "steps, so no more is substituted",
        ),
        ("letters", "${LONG^^}", 300, "steps, so no more is substituted"),
        (
            "replacements that find nothing",
            "${LONG//y/z}",
            300,
            "steps, so no more is substituted",
        ),
        ("names", "${EMPTY}", 300_000, "steps, so no more is substituted"),
    ] {
        let mut work = Work::default();
        let mut resource = object(json!({"v": vec![text; count], "last": "${COUNT}"}));
        let wrong = substitute(&mut resource, &with_long(), &mut work).err().unwrap();
        assert_eq!(wrong.rule, "too-much-work", "{name}: {}", wrong.what);
        assert!(wrong.what.contains(bound), "{name}: {}", wrong.what);
        let place: usize = wrong.pointer.strip_prefix("/v/").unwrap().parse().unwrap();
        assert!(place > 0 && place < count - 1, "{name}: {place} of {count}");
        let mut next = object(json!({"v": "${COUNT}"}));
        substitute(&mut next, &with_long(), &mut work).ok().unwrap();
        assert_eq!(next.value["v"], "${COUNT}", "{name}");
    }
}

#[test]
fn an_honest_tree_of_ten_thousand_objects_is_substituted_whole() {
    let mut work = Work::default();
    let text = "host: ${REGION}.${REGION:-none}.example.org, ${WORD%.*} and ${WORD//./-}\n".repeat(5);
    for number in 0..10_000 {
        let mut resource = object(json!({"n": number, "data": {"a": text, "b": "${COUNT}", "c": "${LIST}"}}));
        let outcome = substitute(&mut resource, &variables(), &mut work);
        assert!(
            outcome.is_ok(),
            "object {number}: {}",
            outcome.err().unwrap().what
        );
        assert_eq!(resource.value["data"]["b"], 3);
    }
}

#[test]
fn the_values_of_variables_and_what_they_are_read_as_are_wiped() {
    fn wipes_itself<T: zeroize::ZeroizeOnDrop>(_: &T) {}
    let variables = variables();
    variables.values.values().for_each(wipes_itself);
    let count = crate::model::secret::witness::wiped("canary", || {
        let mut resource = object(json!({"kind": "A", "a": "${SECRET}"}));
        let outcome = substitute(&mut resource, &variables, &mut Work::default());
        assert!(outcome.is_ok() && resource.value["a"] == "canary");
    });
    assert_eq!(count, 2, "the tree that tells texts from numbers, and the object");
}
