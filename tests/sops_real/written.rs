//! What a generator takes from an encrypted file, and what stands encrypted inside of a Secret, is what the sops command decrypts
//! it to, byte by byte; of YAML the values are, and the bytes where sops puts them in double quotes too.

use super::bound::{generated, sealed};
use super::{key, sops, values};
use crate::support::{say, servers};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::decrypt::Vouched;
use couchestor::formats::sops::{Identities, open_inside};
use couchestor::formats::substitute::Variables;
use couchestor::parse::{ParseCache, parse};

/// Files and whether their bytes are the same, or their values only.
const FILES: [(&str, &str, bool); 9] = [
    (
        "a.json",
        r#"{"a": "text", "b": {"c": [1, "x", true, null, []]}, "z": "<&> é"}"#,
        true,
    ),
    ("c.env", "# head\nA=1\nB=two words\n# mid\nC=\"q\"\n\nD=\n", true),
    ("d.ini", "; head\n[s]\na = b\n; mid\nc = d e\n\n[t]\nx=1\n", true),
    ("e.txt", "some bytes\n\n  here\n\n\n", true),
    ("f.bin", "no line break", true),
    (
        "g.yaml",
        "a: 1\nb: true\nc: \"42\"\nd: [1.5, \"yes\"]\ne: {f: \"\"}\n",
        true,
    ),
    ("h.yaml", "a: 1\n---\nb: \"2\"\n---\nc: true\n", true),
    (
        "i.yaml",
        "# head\na: text\nb:\n    - x # item\n    - 'y: z'\nd: |\n    l1\n    l2\n",
        false,
    ),
    ("j.yaml", "a: it's\nb: ' lead'\nc: 0644\nd: 2001-01-01\n", false),
];

#[test]
fn a_file_that_is_taken_whole_has_the_bytes_of_the_sops_command() {
    if servers::left_out("a_file_that_is_taken_whole_has_the_bytes_of_the_sops_command") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = key(folder.path(), "ours");
    let identities = Identities::parse([("ours", ours.file.as_str())]).unwrap();
    for (name, plain, bytes) in FILES {
        let file = sealed(folder.path(), &ours.public, name, plain, "encrypted_regex: ''");
        std::fs::write(folder.path().join(name), &file).unwrap();
        let theirs = sops(folder.path(), &["decrypt", name], Some(&ours));
        let tree = generated(&[(name, &file)], &identities, Vouched::Yes);
        let tree = tree.unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        let parsed = parse(&tree, &[], &Variables::default(), &mut ParseCache::default());
        let desired = parsed
            .desired
            .unwrap_or_else(|| panic!("{name}: {:?}", parsed.diagnostics));
        let made = desired.resources[0].value["data"][name].as_str().unwrap();
        let made = String::from_utf8(STANDARD.decode(made).unwrap()).unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{{name}: {}}}\n",
            STANDARD.encode(&file)
        );
        let inside = open_inside(&text, &identities).unwrap().unwrap();
        let inside = values(inside.text.expose_str().unwrap()).remove(0);
        let inside = STANDARD.decode(inside["data"][name].as_str().unwrap()).unwrap();
        assert_eq!(String::from_utf8(inside).unwrap(), made, "{name}");
        if bytes {
            assert_eq!(made, theirs, "{name}");
        } else {
            assert_eq!(values(&made), values(&theirs), "{name}");
            assert_ne!(made, theirs, "{name} is the same now; say so");
        }
    }
    let bytes = FILES.iter().filter(|(_, _, bytes)| *bytes).count();
    say(&format!(
        "sops written: {bytes} files with the bytes of the sops command, {} with its values",
        FILES.len() - bytes
    ));
}
