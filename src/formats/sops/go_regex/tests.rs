//! Patterns that Go and Rust read differently.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;

#[test]
fn what_go_writes_otherwise_means_what_it_means_in_go() {
    for (pattern, yes, no) in [
        (
            r"policies/.*\.sops\.ya?ml$",
            "policies/a.sops.yml",
            "policies/a.yaml",
        ),
        (r"^\d+$", "42", "٤٢"),
        (r"^\w+$", "a_1", "ä"),
        (r"^[\d\s]+$", "4 2", "4\u{b}2"),
        (r"^[^\W]$", "a", "ä"),
        (r"^[\D]$", "x", "1"),
        (r"a\b", "aä", "ab"),
        (r"^a{$", "a{", "a"),
        (r"^a{,2}$", "a{,2}", "aa"),
        (r"^a{02}$", "a{02}", "aa"),
        (r"^a{2}$", "aa", "a{2}"),
        (r"^[[]$", "[", "]"),
        (r"^[]a]+$", "]a", "b"),
        (r"^[^]]$", "a", "]"),
        (r"^[a&&b]+$", "a&b", "c"),
        (r"^[a-]+$", "a-", "b"),
        (r"^[[:alpha:]-z]+$", "a-z", "1"),
        (r"^\Qa.b\E$", "a.b", "axb"),
        (r"^\Qa.b", "a.bc", "axb"),
        (r"^\101\x41\x{41}$", "AAA", "101"),
        (r"^\<a\>$", "<a>", "a"),
        (r"^\_\-\/$", "_-/", "x"),
        (r"(?i)^SECRET$", "secret", "secrets"),
        (r"^(?i:A)b$", "ab", "aB"),
        (r"^(?ii-s)a.$", "Ax", "A\n"),
        (r"^(?P<name>a)(?<other>b)$", "ab", "a"),
        (r"^\p{Greek}\pL\P{^Lu}$", "αaA", "aaa"),
        ("^}]$", "}]", "}"),
        ("a|", "", "\u{0}never"),
    ] {
        let regex = GoRegex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        assert!(regex.is_match(yes), "{pattern} on {yes:?}");
        // An empty alternative matches all.
        assert!(pattern == "a|" || !regex.is_match(no), "{pattern} on {no:?}");
    }
}

#[test]
fn what_go_refuses_is_refused() {
    for pattern in [
        "a**",
        "a*+",
        "a{2}{3}",
        "a*??",
        "a{1001}",
        "a{3,2}",
        "(",
        ")",
        "[a",
        "[z-a]",
        r"\1",
        r"\C",
        r"\E",
        r"\y",
        r"\x{110000}",
        r"\x4",
        "\\",
        "(?x)a",
        "(?u)a",
        "(?=a)",
        "(?i",
        "(?-)",
        "(?<1 2>a)",
        r"\p{Nope}",
        "[[:nope:]]",
        "*",
        "(?i)*",
        r"[\b]",
    ] {
        assert!(GoRegex::new(pattern).is_err(), "{pattern}");
    }
    for (pattern, words) in [
        ("a".repeat(TEXT_BYTES_MAX + 1), "more than 1000 bytes"),
        (
            "(((a{1000}){1000}){1000}){1000}".to_owned(),
            "more than 131072 bytes",
        ),
        ("a**".to_owned(), "is no regular expression of Go: "),
    ] {
        let error = GoRegex::new(&pattern).map(|_| ()).unwrap_err();
        assert!(error.contains(words), "{pattern}: {error}");
    }
}
