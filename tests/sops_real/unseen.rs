//! Edits that the MAC of a SOPS file does not see, which all its readers accept: which of them are refused here, where, and why the
//! rest is let through.

use super::bound::{generated, read, sealed};
use super::{key, sops};
use crate::support::canary::Canary;
use crate::support::{say, servers};
use couchestor::decrypt::Vouched;
use couchestor::formats::sops::Identities;
use couchestor::formats::substitute::Variables;
use couchestor::model::diagnostic::Severity;
use couchestor::parse::{ParseCache, parse};

const SECRET: &str = "apiVersion: v1
kind: Secret
metadata:
    name: s
    labels:
        first: v1
        second: Secret
        third: aa
        fourth: a
stringData:
    number: \"42\"
    truth: \"True\"
    text: canary
";

const POLICY: &str = "apiVersion: storage.billyronks.io/v1
kind: StoragePolicy
metadata:
    name: p
    labels:
        first: v1
        second: Secret
        third: aa
        fourth: a
spec:
    highWatermarkIOPS: 5000
    lowWatermarkIOPS: 500
    storageClassName: \"42\"
    nvmePoolSelector: {matchLabels: {storage-tier: hot}}
    sataPoolSelector: {matchLabels: {storage-tier: cold}}
";

/// An object of a kind that nobody here knows the fields of.
const FOREIGN: &str = "apiVersion: example.org/v1
kind: Thing
metadata:
    name: t
    labels:
        first: v1
        second: Secret
        third: aa
        fourth: a
spec:
    number: \"42\"
    truth: \"True\"
    size: 7
    text: canary
";

/// All values of the object are encrypted, and nothing else.
const INSIDE: &str = "encrypted_regex: '^(stringData|spec)$'";

/// One value is.
const ONE: &str = "encrypted_regex: '^(number|highWatermarkIOPS)$'";

/// All, and the MAC covers nothing else.
const ALONE: &str = "encrypted_regex: '^(stringData|spec)$', mac_only_encrypted: true";

/// Why an edit is let through where nobody vouches for the commit.
const AS_ANY: &str = "a name and labels are trusted as those of every plain object of the repository are";
const NOT_OURS: &str =
    "the file is somebody else's object, whose clear part is trusted as any plain object is";
const NO_VALUE: &str =
    "it adds nothing to what is applied that the repository could not hold in a plain object";

const NOT_KNOWN: &str = "which type a field has is known to its schema alone, and whoever applies the object is told what does not fit it";

const SAME: &str = "a whole number reads the same as one or the other";

const EMPTY_LINE: &str = "sops leaves an empty value of these formats as it is under any rule, so that honest files have some; it takes no \
                          other value away and holds nothing";

/// What becomes of an edit.
enum Verdict {
    /// Refused where nobody vouches for the commit, in these words; where it is signed, the MAC's reach is no matter.
    Unsigned(&'static str),
    /// Refused in any case.
    Always(&'static str),
    /// Let through, for this reason.
    Accepted(&'static str),
}

use Verdict::{Accepted, Always, Unsigned};

/// The edit, the plain text, the rule, what is replaced by what, and the verdict.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    (&'static str, &'static str),
    Verdict,
);

fn rows() -> Vec<Row> {
    let renamed = ("        first: ", "        other: ");
    let moved = (
        "first: v1\n        second: Secret",
        "first: v1Sec\n        second: ret",
    );
    let swapped = ("third: aa\n        fourth: a\n", "third: a\n        fourth: aa\n");
    let mut rows: Vec<Row> = vec![];
    for plain in [SECRET, POLICY, FOREIGN] {
        rows.extend([
            ("a clear key renamed", plain, INSIDE, renamed, Accepted(AS_ANY)),
            (
                "characters moved between clear values",
                plain,
                INSIDE,
                moved,
                Accepted(AS_ANY),
            ),
            ("clear values swapped", plain, INSIDE, swapped, Accepted(AS_ANY)),
        ]);
    }
    for (what, added) in [
        ("null added", "spec:\n    enabled: null\n"),
        ("an empty map added", "spec:\n    enabled: {}\n"),
        ("an empty list added", "spec:\n    enabled: []\n"),
        ("an empty text added", "spec:\n    enabled: \"\"\n"),
    ] {
        rows.push((
            what,
            POLICY,
            INSIDE,
            ("spec:\n", added),
            Unsigned("`spec.enabled` is not encrypted, or empty"),
        ));
    }
    for (what, added) in [
        ("an empty map added", "stringData:\n    more: {}\n"),
        ("an empty list added", "stringData:\n    more: []\n"),
    ] {
        rows.push((
            what,
            SECRET,
            INSIDE,
            ("stringData:\n", added),
            Always("is no value of a Secret's stringData"),
        ));
    }
    rows.extend([
        (
            "null added",
            SECRET,
            INSIDE,
            ("stringData:\n", "stringData:\n    more: null\n"),
            Accepted(NO_VALUE),
        ),
        (
            "an empty text added",
            SECRET,
            INSIDE,
            ("stringData:\n", "stringData:\n    more: \"\"\n"),
            Accepted(NO_VALUE),
        ),
        // The type is not under the seal.
        (
            "a text called a number",
            SECRET,
            INSIDE,
            ("    number: ENC", "int"),
            Always("is no value of a Secret's stringData"),
        ),
        (
            "a text called a truth",
            SECRET,
            INSIDE,
            ("    truth: ENC", "bool"),
            Always("is no value of a Secret's stringData"),
        ),
        (
            "a text called a number",
            POLICY,
            INSIDE,
            ("    storageClassName: ENC", "int"),
            Always("`storageClassName` needs a text"),
        ),
        (
            "a number called a text",
            POLICY,
            INSIDE,
            ("    highWatermarkIOPS: ENC", "str"),
            Always("`highWatermarkIOPS` needs a whole number"),
        ),
        (
            "a number called a float",
            POLICY,
            INSIDE,
            ("    highWatermarkIOPS: ENC", "float"),
            Accepted(SAME),
        ),
        // A policy of which a part stands in the clear is refused as it is.
        (
            "none, and a part stands in the clear",
            POLICY,
            ONE,
            ("", ""),
            Unsigned("`spec.lowWatermarkIOPS` is not encrypted"),
        ),
        (
            "none, and the MAC covers nothing clear",
            POLICY,
            ALONE,
            ("", ""),
            Unsigned("mac_only_encrypted"),
        ),
        (
            "a clear value changed",
            POLICY,
            ALONE,
            ("name: p", "name: q"),
            Unsigned("mac_only_encrypted"),
        ),
        (
            "a clear value changed",
            SECRET,
            ALONE,
            ("name: s", "name: q"),
            Unsigned("mac_only_encrypted"),
        ),
    ]);
    rows.extend(foreign());
    rows
}

/// Edits of an object whose fields nobody here knows.
fn foreign() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (what, added) in [
        ("null added", "spec:\n    more: null\n"),
        ("an empty map added", "spec:\n    more: {}\n"),
        ("an empty list added", "spec:\n    more: []\n"),
        ("an empty text added", "spec:\n    more: \"\"\n"),
    ] {
        rows.push((what, FOREIGN, INSIDE, ("spec:\n", added), Accepted(NO_VALUE)));
    }
    for (what, edit) in [
        ("a text called a number", ("    number: ENC", "int")),
        ("a text called a truth", ("    truth: ENC", "bool")),
        ("a number called a text", ("    size: ENC", "str")),
        ("a number called a float", ("    size: ENC", "float")),
    ] {
        rows.push((what, FOREIGN, INSIDE, edit, Accepted(NOT_KNOWN)));
    }
    rows.extend([
        (
            "none, and a part stands in the clear",
            FOREIGN,
            ONE,
            ("", ""),
            Accepted(NOT_OURS),
        ),
        (
            "a clear key of its spec renamed",
            FOREIGN,
            ONE,
            ("    truth: ", "    other: "),
            Accepted(NOT_OURS),
        ),
        (
            "none, and the MAC covers nothing clear",
            FOREIGN,
            ALONE,
            ("", ""),
            Unsigned("mac_only_encrypted"),
        ),
        (
            "a clear value changed",
            FOREIGN,
            ALONE,
            ("name: t", "name: q"),
            Unsigned("mac_only_encrypted"),
        ),
    ]);
    rows
}

/// Calls a sealed value another type, or replaces what is clear.
fn edited(text: &str, (from, to): (&str, &str)) -> String {
    if from.ends_with("ENC") {
        let at = text.find(from).expect("it is sealed");
        let (before, rest) = text.split_at(at);
        let (line, rest) = rest.split_once('\n').expect("a line");
        let (value, _) = line.rsplit_once(",type:").expect("the notation");
        return format!("{before}{value},type:{to}]\n{rest}");
    }
    text.replacen(from, to, 1)
}

/// Decrypts and reads a commit of one file; what is wrong with it.
fn refused(text: &str, identities: &Identities, vouched: Vouched) -> Vec<String> {
    let told = match read("f.yaml", text, identities, vouched) {
        Ok(tree) => parse(&tree, &[], &Variables::default(), &mut ParseCache::default()).diagnostics,
        Err(told) => told,
    };
    let wrong = told.iter().filter(|one| one.severity == Severity::Error);
    wrong.map(ToString::to_string).collect()
}

#[test]
fn what_no_mac_sees_is_refused_or_let_through_for_a_reason() {
    if servers::left_out("what_no_mac_sees_is_refused_or_let_through_for_a_reason") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let (mut wrong, mut accepted) = (Vec::new(), 0);
    let canary = Canary::new();
    for (what, plain, rule, edit, verdict) in rows() {
        let plain = &plain.replace("canary", &canary.word);
        let kind = plain.lines().nth(1).unwrap();
        let text = sealed(folder.path(), &ours.public, "plain.yaml", plain, rule);
        let tampered = edited(&text, edit);
        assert_eq!(tampered == text, edit.0.is_empty(), "{what}, {kind}");
        // The sops command takes them all.
        std::fs::write(folder.path().join("tampered.yaml"), &tampered).unwrap();
        sops(folder.path(), &["decrypt", "tampered.yaml"], Some(&ours));
        let of = |vouched| refused(&tampered, &identities, vouched);
        let (unsigned, signed) = (of(Vouched::No), of(Vouched::Yes));
        let says = |told: &[String], words: &str| told.iter().any(|one| one.contains(words));
        let (right, reason) = match verdict {
            Unsigned(words) => (says(&unsigned, words) && !says(&signed, "sops-unbound"), words),
            Always(words) => (says(&unsigned, words) && says(&signed, words), words),
            Accepted(reason) => {
                accepted += 1;
                (unsigned.is_empty() && signed.is_empty(), reason)
            }
        };
        if !right {
            wrong.push(format!(
                "{what}, {kind}, {rule}: {reason}: {unsigned:?}, signed {signed:?}"
            ));
        }
        canary.assert_absent(&format!("{unsigned:?}{signed:?}"));
    }
    say(&format!(
        "{} edits of YAML that no MAC sees: {accepted} let through for a reason, the rest refused",
        rows().len()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Edits of files of lines.
fn lines() -> [Row; 9] {
    let (all, env, ini) = ("encrypted_regex: ''", "SECRET=canary\n", "[s]\nsecret = canary\n");
    let some = "encrypted_regex: '^SECRET'";
    let emptied = "is not encrypted, or empty";
    [
        (
            "an empty value added",
            env,
            all,
            ("SECRET=", "MORE=\nSECRET="),
            Accepted(EMPTY_LINE),
        ),
        (
            "an empty value taken away",
            "SECRET=canary\nMORE=\n",
            all,
            ("MORE=\n", ""),
            Accepted(EMPTY_LINE),
        ),
        (
            "an empty value added",
            ini,
            all,
            ("[s]\n", "[s]\nmore =\n"),
            Accepted(EMPTY_LINE),
        ),
        (
            "an empty value taken away",
            "[s]\nsecret = canary\nmore =\n",
            all,
            ("more", "# more"),
            Accepted(EMPTY_LINE),
        ),
        // Whoever reads the last of two values would have lost the secret.
        (
            "an empty value of the secret's name added",
            env,
            all,
            ("sops_", "SECRET=\nsops_"),
            Unsigned(emptied),
        ),
        (
            "an empty value of the secret's name added before it",
            env,
            all,
            ("SECRET=", "SECRET=\nSECRET="),
            Unsigned(emptied),
        ),
        (
            "an empty value of the secret's name added",
            ini,
            all,
            ("[sops]", "[s]\nsecret =\n[sops]"),
            Unsigned(emptied),
        ),
        (
            "a clear name changed",
            "SECRET=canary\nNAME=x\n",
            some,
            ("NAME=", "OTHER="),
            Unsigned(emptied),
        ),
        (
            "a value added",
            env,
            all,
            ("SECRET=", "MORE=x\nSECRET="),
            Always("should be encrypted and is not"),
        ),
    ]
}

#[test]
fn what_no_mac_sees_in_lines_is_refused_or_let_through_for_a_reason() {
    if servers::left_out("what_no_mac_sees_in_lines_is_refused_or_let_through_for_a_reason") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    let canary = Canary::new();
    let (mut wrong, mut accepted) = (Vec::new(), 0);
    for (what, plain, rule, (from, to), verdict) in lines() {
        let format = if plain.starts_with('[') { "ini" } else { "env" };
        let plain = plain.replace("canary", &canary.word);
        let text = sealed(
            folder.path(),
            &ours.public,
            &format!("plain.{format}"),
            &plain,
            rule,
        );
        let tampered = text.replacen(from, to, 1);
        assert_ne!(tampered, text, "{what}, {format}");
        let name = format!("tampered.{format}");
        std::fs::write(folder.path().join(&name), &tampered).unwrap();
        // The sops command takes all but what is plainly not encrypted.
        if !matches!(verdict, Always(_)) {
            sops(folder.path(), &["decrypt", &name], Some(&ours));
        }
        let of = |vouched| -> Vec<String> {
            let told = generated(&[(name.as_str(), tampered.as_str())], &identities, vouched).map(|_| ());
            let told = told.err().into_iter().flatten();
            told.map(|one| format!("{} ({})", one, one.rule)).collect()
        };
        let (unsigned, signed) = (of(Vouched::No), of(Vouched::Yes));
        let says = |told: &[String], words: &str| told.iter().any(|one| one.contains(words));
        let right = match verdict {
            Unsigned(words) => says(&unsigned, words) && says(&unsigned, "sops-unbound") && signed.is_empty(),
            Always(words) => says(&unsigned, words) && says(&signed, words),
            Accepted(reason) => {
                accepted += 1;
                !reason.is_empty() && unsigned.is_empty() && signed.is_empty()
            }
        };
        if !right {
            wrong.push(format!("{what}, {format}: {unsigned:?}, signed {signed:?}"));
        }
        canary.assert_absent(&format!("{unsigned:?}{signed:?}"));
    }
    say(&format!(
        "{} edits of lines that no MAC sees: {accepted} let through for a reason, the rest refused",
        lines().len()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
