//! Files whose variables ask for more than they say.

use super::*;

/// A map of so many values.
fn in_map(value: &str, count: usize) -> String {
    format!(
        "{}data:\n{}",
        head("ConfigMap", "m"),
        numbered(count, |n| format!("  k{n}: {value}\n"))
    )
}

pub fn substitutions() -> Vec<fn(&Sealer) -> Case> {
    vec![
        |_| {
            one(
                "a value of many variables",
                format!(
                    "{}data: {{a: '{}'}}\n",
                    head("ConfigMap", "m"),
                    "${LONG}".repeat(100_000)
                ),
            )
        },
        |_| {
            one(
                "many values of a variable",
                format!(
                    "{}data:\n{}",
                    head("ConfigMap", "m"),
                    numbered(20_000, |n| format!("  k{n}: '${{LONG}}'\n"))
                ),
            )
        },
        |_| {
            one(
                "defaults in defaults",
                format!(
                    "{}data: {{a: '{}x{}'}}\n",
                    head("ConfigMap", "m"),
                    "${A:-".repeat(500_000),
                    "}".repeat(500_000)
                ),
            )
        },
        |_| {
            one(
                "unclosed variables",
                format!(
                    "{}data: {{a: '{}'}}\n",
                    head("ConfigMap", "m"),
                    "${".repeat(1_000_000)
                ),
            )
        },
        |_| {
            one(
                "replacing every letter",
                format!(
                    "{}data: {{a: '${{LONG//x/${{LONG}}}}'}}\n",
                    head("ConfigMap", "m")
                ),
            )
        },
        |_| {
            one(
                "replacing again and again",
                format!(
                    "{}data: {{a: '{}'}}\n",
                    head("ConfigMap", "m"),
                    "${LONG//x/zzzzzzzzzz}".repeat(2_000)
                ),
            )
        },
        |_| {
            one(
                "patterns of many stars",
                format!(
                    "{}data: {{a: '${{LONG##{}b}}'}}\n",
                    head("ConfigMap", "m"),
                    "*x".repeat(1000)
                ),
            )
        },
        |_| {
            one(
                "patterns over and over",
                format!(
                    "{}data:\n{}",
                    head("ConfigMap", "m"),
                    numbered(1000, |n| format!("  k{n}: '${{LONG%%*y*}}'\n"))
                ),
            )
        },
        |_| one("one letter for each of a value", in_map("${LONG//x/y}", 1_000)),
        |_| {
            one(
                "patterns with many ?",
                in_map(&format!("${{LONG##*{}y}}", "?x".repeat(500)), 100),
            )
        },
        |_| one("large letters", in_map("${LONG^^}", 1_000)),
        |_| {
            one(
                "lists in defaults",
                in_map(&format!("${{A:-[{}]}}", "1,".repeat(20_000)), 50),
            )
        },
        |_| {
            one(
                "variables that are not there",
                in_map(&"${A}".repeat(100), 10_000),
            )
        },
        |_| {
            one("variables in many objects", {
                let all: Vec<String> = (0..5_000)
                    .map(|n| map(n).replace("a: b", "a: '${SHORT}-${SHORT:-x}', b: '${A:=${SHORT}}'"))
                    .collect();
                all.join("---\n")
            })
            .of(5_000)
        },
    ]
}
