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

/// What Flux's library makes of expressions; `tests/flux/policies.rs` has Flux itself apply the same file.
fn table() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/substitution.json")).unwrap()
}

fn variables_of(table: &Value) -> Variables {
    let mut variables = Variables::default();
    for (name, value) in table["variables"].as_object().unwrap() {
        variables
            .set(name, value.as_str().unwrap().to_owned(), false)
            .unwrap();
    }
    variables
}

/// Of a variable that is not there Flux makes no text, and neither does who knows all of them.
#[test]
fn who_knows_all_variables_refuses_one_that_is_not_there() {
    let table = table();
    let mut variables = variables_of(&table);
    variables.are_all();
    let mut found = Vec::new();
    for row in table["read"].as_array().unwrap() {
        let mut resource = object(json!({"spec": {"v": row[0]}}));
        if let Err(error) = substitute(&mut resource, &variables, &mut Work::default()) {
            assert!(
                error.what.contains("no variable is called `GONE`"),
                "{}",
                error.what
            );
            found.push(row[0].clone());
        }
    }
    assert_eq!(json!(found), table["unset"]);
}

#[test]
fn expressions_mean_what_they_mean_in_flux() {
    let table = table();
    let (variables, mut wrong) = (variables_of(&table), Vec::new());
    for row in table["read"].as_array().unwrap() {
        let mut resource = object(json!({"spec": {"v": row[0]}}));
        let outcome = substitute(&mut resource, &variables, &mut Work::default());
        let found = match outcome {
            Ok(()) => resource.value["spec"]["v"].clone(),
            Err(error) => json!({ "refused": error.what }),
        };
        let same = match (found.as_f64(), row[1].as_f64()) {
            (Some(found), Some(expected)) => found == expected,
            _ => found == row[1],
        };
        if !same {
            wrong.push(format!("{}: {found}, not {}", row[0], row[1]));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn what_flux_refuses_or_nobody_can_mean_is_refused_by_name() {
    let table = table();
    let variables = variables_of(&table);
    for list in ["refusedByFlux", "refusedHere"] {
        for text in table[list].as_array().unwrap() {
            let mut resource = object(json!({"spec": {"v": text}}));
            let outcome = substitute(&mut resource, &variables, &mut Work::default());
            let Err(wrong) = outcome else {
                panic!("{text} became {}", resource.value["spec"]["v"]);
            };
            assert_eq!(wrong.rule, "substitution", "{text}");
            assert!(wrong.pointer.starts_with("/spec/v"), "{text}: {}", wrong.pointer);
        }
    }
}

#[test]
fn a_variable_that_is_no_text_hurts_only_where_it_is_named() {
    let mut variables = variables();
    variables.set_unreadable("BYTES").unwrap();
    let mut resource = object(json!({"v": "${REGION}"}));
    assert!(substitute(&mut resource, &variables, &mut Work::default()).is_ok());
    let mut resource = object(json!({"v": "x-${BYTES}"}));
    let wrong = substitute(&mut resource, &variables, &mut Work::default());
    assert_eq!(wrong.err().unwrap().what, "the value of `BYTES` is no text");
    let before = variables.fingerprint();
    variables.set("BYTES", String::new(), true).unwrap();
    assert_ne!(variables.fingerprint(), before);
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
    // Something is always taken off, or nothing fits.
    let cuts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let empty = if how.from_start { 0 } else { text.len() };
    let cuts = cuts.filter(|cut| *cut != empty);
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
            let Ok(found) = trim::trim(&text, &pattern, how, &mut Work::default()) else {
                let odd = pattern.contains('?') || pattern.bytes().all(|one| one == b'*');
                assert!(!text.is_ascii() && odd, "{text:?} {pattern:?}, seed {seed}");
                continue;
            };
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
