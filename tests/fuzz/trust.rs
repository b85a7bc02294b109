//! What authority hangs on, under mutation: nothing that was changed is believed or opened, and nothing panics.

use super::{assert_names_keys_alone, fuzz, with_canary};
use crate::signatures::{Bench, DATE};
use crate::support::canary::Canary;
use crate::support::seal::Sealer;
use couchestor::formats::overlay;
use couchestor::formats::signature::{Signable, Signers};
use couchestor::formats::sops::creation_rules::CreationRules;
use couchestor::formats::sops::{self, Identities};
use couchestor::formats::substitute::{Variables, Work, substitute};
use couchestor::formats::version_range::VersionRange;
use couchestor::formats::yaml::YamlError;
use std::cell::Cell;

/// A commit without its signatures, as git takes it apart (`parse_signed_commit`): the header and the lines that go on from it.
fn unsigned(commit: &str) -> String {
    let (head, message) = commit.split_once("\n\n").unwrap_or((commit, ""));
    let mut inside = false;
    let kept: Vec<&str> = head
        .split('\n')
        .filter(|line| {
            inside = line.starts_with("gpgsig ")
                || line.starts_with("gpgsig-sha256 ")
                || (inside && line.starts_with(' '));
            !inside
        })
        .collect();
    format!("{}\n\n{message}", kept.join("\n"))
}

/// A tag without the signature at its end.
fn untagged(tag: &str) -> &str {
    let marks = ["-----BEGIN SSH SIGNATURE-----", "-----BEGIN PGP SIGNATURE-----"];
    let at = marks
        .iter()
        .filter_map(|mark| tag.rfind(&format!("\n{mark}")))
        .max();
    &tag[..at.unwrap_or(tag.len())]
}

#[test]
fn a_signed_object_that_was_changed_is_not_believed() {
    let bench = Bench::new();
    let ssh = bench.ssh_key("anna", &["-t", "ed25519"]);
    let gpg = bench.gpg_key("anna@example.org", &["ed25519", "sign", "never"]);
    let signers = Signers::parse([("a.sshpub", ssh.as_str()), ("a.asc", &gpg)]).unwrap();
    let private = bench.path("anna").display().to_string();
    let (mut commits, mut tags) = (Vec::new(), Vec::new());
    for (format, key) in [("ssh", private.as_str()), ("openpgp", "anna@example.org")] {
        commits.push(String::from_utf8(bench.commit(format, key, DATE)).unwrap());
        let (format, key) = (format!("gpg.format={format}"), format!("user.signingkey={key}"));
        let name = format!("v{}", commits.len());
        bench.git(
            &["-c", &format, "-c", &key, "tag", "-s", "-m", "words", &name],
            &[],
        );
        tags.push(String::from_utf8(bench.object("tag", &name)).unwrap());
    }
    let believed = Cell::new(0);
    let texts: Vec<&str> = commits.iter().map(String::as_str).collect();
    fuzz("commit signatures", &texts, |text, _| {
        if signers.verify(text.as_bytes(), Signable::Commit).is_ok() {
            believed.set(believed.get() + 1);
            assert!(
                commits.iter().any(|one| unsigned(one) == unsigned(text)),
                "{text:?}"
            );
        }
        drop(signers.verify(text.as_bytes(), Signable::Tag));
    });
    assert!(
        believed.replace(0) >= 2,
        "not even the commits as they were signed are believed"
    );
    let texts: Vec<&str> = tags.iter().map(String::as_str).collect();
    fuzz("tag signatures", &texts, |text, _| {
        if signers.verify(text.as_bytes(), Signable::Tag).is_ok() {
            believed.set(believed.get() + 1);
            assert!(tags.iter().any(|one| untagged(one) == untagged(text)), "{text:?}");
        }
    });
    assert!(
        believed.get() >= 2,
        "not even the tags as they were signed are believed"
    );
    // Broken keys are no signers, and name their file.
    fuzz("signers", &[&ssh, &gpg], |text, _| {
        for name in ["a.sshpub", "a.asc"] {
            if let Err(error) = Signers::parse([(name, text)]) {
                assert!(
                    error.contains(name) || error.contains("holds no signer"),
                    "{error}: {text:?}"
                );
            }
        }
    });
}

/// The lines that say something, but for those of the block, without their white space (what stands around `=` is kept as it
/// was written). A section of an INI file that holds nothing says nothing, whatever its name: sops has values alone under its MAC.
fn entries(name: &str, text: &str) -> Vec<String> {
    let is_section = |line: &str| name.ends_with(".ini") && line.starts_with('[');
    text.lines()
        .map(str::trim)
        .filter(|line| {
            line.split_once('=')
                .is_some_and(|(_, value)| !value.trim().is_empty())
        })
        .filter(|line| !line.starts_with(['#', ';']) && !is_section(line))
        .map(|line| line.replace(char::is_whitespace, ""))
        .collect()
}

#[test]
fn sealed_lines_open_as_they_were_sealed_or_not_at_all() {
    let sealer = Sealer::new();
    let identities = Identities::parse([("key", sealer.key.as_str())]).unwrap();
    let canary = Canary::new();
    let (word, number) = (&canary.word, canary.number);
    let dotenv = format!("A={word}\nB=two words\nC={number}\n");
    let ini = format!("[s]\na = {word}\nb = two\n[t]\na = {number}\n");
    for (target, name, clear, sealed) in [
        ("sealed dotenv", "f.env", &dotenv, sealer.dotenv(&dotenv)),
        ("sealed ini", "f.ini", &ini, sealer.ini(&ini)),
    ] {
        let (opened, refused) = (Cell::new(0), Cell::new(0));
        // Once found with a tab, which `entries` took for a part of the value.
        let with_tabs = sealed.replace(" = ", "\t=\t ");
        fuzz(target, &[&sealed, &with_tabs], |text, _| {
            match sops::open_file(name, text.as_bytes(), &identities) {
                Ok(Some(clear_again)) => {
                    opened.set(opened.get() + 1);
                    let read = entries(name, clear_again.expose_str().unwrap());
                    assert_eq!(read, entries(name, clear), "{text}");
                }
                Ok(None) => {}
                Err(error) => {
                    refused.set(refused.get() + 1);
                    canary.assert_absent(&format!("{error} {error:?}"));
                }
            }
        });
        assert!(opened.get() > 0, "{target}: not even what was sealed was opened");
        assert!(refused.get() > 100, "{target}: {} were refused", refused.get());
    }
}

#[test]
fn variables_are_substituted_or_refused_without_their_values() {
    let canary = Canary::new();
    let mut variables = Variables::default();
    variables.set("SECRET", canary.word.clone(), true).unwrap();
    variables.set("A", "x".to_owned(), false).unwrap();
    let texts = [
        "${A}-${SECRET}",
        "${A:-${SECRET}} ${B:=c} ${A:+d} ${A:1:2}",
        "$${A} $A ${A^^} ${A,,} ${#A} ${A/x/y} ${A//x/${SECRET}}",
        "${SECRET:1} ${SECRET%y*} ${SECRET##c*}",
    ];
    fuzz("variables", &texts, |text, _| {
        let object = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": text}});
        let Ok(mut read) = overlay::read_objects("a.yaml", &object.to_string(), false) else {
            return;
        };
        let before = read[0].value["data"]["a"].clone();
        match substitute(&mut read[0], &variables, &mut Work::default()) {
            Ok(()) if !text.contains('$') => assert_eq!(read[0].value["data"]["a"], before, "{text:?}"),
            Ok(()) => {
                let secret = canary.is_in(&read[0].value.to_string());
                assert!(
                    !secret || read[0].origin.secret,
                    "a secret went into a plain object: {text:?}"
                );
            }
            Err(error) => {
                let said = [error.rule, &error.what, error.help, &error.pointer].join(" ");
                assert!(!canary.is_in(&said), "{text:?}");
            }
        }
    });
}

#[test]
fn ranges_choose_a_tag_that_is_there_whatever_the_order() {
    let tags = [
        "1.0.0",
        "v1.2.3",
        "1.2.3",
        "2.0.0-rc.1",
        "2.0.0",
        "0.0.1",
        "nightly",
        "10.0.0+b",
    ];
    let backwards: Vec<&str> = tags.iter().rev().copied().collect();
    fuzz(
        "ranges",
        &[
            "^1.2",
            ">=1.0.0 <2.0.0 || 10.x",
            "~1.2.3, !=1.2.4",
            "1.0 - 2.0",
            "*",
        ],
        |text, _| {
            if let Ok(range) = VersionRange::parse(text) {
                let newest = range.newest(tags);
                assert_eq!(newest, range.newest(backwards.iter().copied()), "{text:?}");
                assert!(
                    newest.is_none_or(|tag| tags.contains(&tag) && tag != "nightly"),
                    "{text:?}"
                );
            }
        },
    );
}

#[test]
fn rules_of_sops_are_read_or_refused_at_a_place_in_their_file_and_without_what_they_hold() {
    let canary = Canary::new();
    let good = [
        "creation_rules:\n- path_regex: \\.env$\n  age: age1x,age1y\n- key_groups: [{age: [age1z]}]\n  encrypted_regex: ^data$\n",
        "creation_rules: [{path_regex: '.*', age: [a, b], shamir_threshold: 2}]\n",
        "creation_rules:\n- key_groups:\n  - merge: [{pgp: [A]}, {kms: [{arn: x}]}]\n  mac_only_encrypted: true\n",
    ];
    // Somebody puts a key where a recipient belongs, and other things where others do.
    let wrong = [
        "creation_rules:\n- path_regex: (CANARY\n  age: CANARY\n- encrypted_regex: '[CANARY'\n  age: age1x\n",
        "creation_rules:\n- path_regex: 'CANARY\\q[CANARY'\n  hc_vault_transit_uri: CANARY\n",
        "creation_rules:\n- age: AGE-SECRET-KEY-1CANARY\n  pgp: [CANARY]\n  kms: CANARY\n  encrypted_suffix: CANARY\n  unencrypted_suffix: CANARY\n",
        "creation_rules:\n- shamir_threshold: CANARY\n- key_groups: CANARY\n- CANARY\n",
        "creation_rules:\n- key_groups:\n  - azure_keyvault: [{vaultUrl: CANARY}]\n    gcp_kms: CANARY\n    hckms: [CANARY]\n  mac_only_encrypted: CANARY\n",
        "creation_rules: CANARY\n",
    ];
    let texts = with_canary(&[&good[..], &wrong].concat(), &canary);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (read, refused) = (Cell::new(0), Cell::new(0));
    fuzz("rules of sops", &texts, |text, _| {
        let lines = text.split(['\n', '\r']).count().max(1);
        let told = |error: &YamlError| {
            let line = error.line;
            assert!(line >= 1 && line as usize <= lines + 1, "line {line} of {text:?}");
            refused.set(refused.get() + 1);
            assert_names_keys_alone(&canary, error);
        };
        match CreationRules::read(text) {
            Ok(rules) => {
                read.set(read.get() + 1);
                rules.problems().for_each(told);
                for path in ["a.env", "b/c.yaml", ""] {
                    if let Err(problem) = rules.rule_for(path) {
                        told(problem);
                    }
                }
            }
            Err(error) => told(&error),
        }
    });
    assert!(
        read.get() >= good.len(),
        "not even the texts as they are were read"
    );
    assert!(refused.get() > 100, "{} were told", refused.get());
}
