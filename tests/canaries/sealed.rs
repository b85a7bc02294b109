//! Files that do not open: changed, moved, cut, sealed to others. Their clear text holds nothing but canaries.

use super::{Texts, all_forms, binary, told};
use crate::support::canary::Canary;
use crate::support::say;
use crate::support::seal::Sealer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::formats::substitute::Variables;

/// Two encrypted values of a text, from the notation's start to its end.
fn values(text: &str) -> Vec<String> {
    let parts = text.split("ENC[").skip(1);
    parts
        .map(|part| format!("ENC[{}]", part.split(']').next().unwrap()))
        .collect()
}

/// Name, file name, content, what the error says.
fn cases(canary: &Canary, sealer: &Sealer) -> Vec<(&'static str, &'static str, String, &'static str)> {
    let clear = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {word}}}\nstringData: {{a: {text}, b: {text}, c: {number}, d: true}}\n",
        word = canary.word,
        text = serde_json::to_string(&canary.secret).unwrap(),
        number = canary.number,
    );
    let good = sealer.yaml(&clear);
    let all = values(&good);
    // apiVersion, kind, metadata.name, the MAC, stringData.a to d: JSON's keys are sorted.
    let (mac, a, b, number) = (&all[3], &all[4], &all[5], &all[6]);
    let other = Sealer::new();
    let whole = sealer.binary(&canary.secret.repeat(9));
    let lines = sealer.dotenv(&format!("A={}\nB={}\n", canary.secret, canary.number));
    let ini = sealer.ini(&format!("[here]\nA = {}\nB = {}\n", canary.secret, canary.number));
    let cut = |text: &str, share: usize| text[..text.len() * share / 10].to_owned();
    let fresh = |clear: &str, aad: &str, kind: &str| sealer.value(clear.as_bytes(), aad, kind);
    let inner = |text: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {}}}\ndata: {{k.yaml: {}}}\n",
            canary.word,
            STANDARD.encode(text)
        )
    };
    let wrong_mac = good.replace(mac, &fresh("00", "2026-01-02T03:04:05Z", "str"));
    let changed_line = lines.replacen("A=", "C=", 1);
    let marked = format!(
        "{w}: QUVTMjU2X0dDT\n{w}: 1\n",
        w = serde_json::to_string(&canary.secret).unwrap()
    );
    vec![
        ("wrong MAC", "a.yaml", wrong_mac.clone(), "the MAC does not match"),
        (
            "MAC that is a value",
            "a.yaml",
            good.replace(mac, a),
            "the MAC does not match",
        ),
        (
            "MAC in the clear",
            "a.yaml",
            good.replace(mac, "0123"),
            "not an encrypted value",
        ),
        (
            "no MAC",
            "a.yaml",
            good.replace("\"mac\"", "\"mak\""),
            "has no `mac`",
        ),
        (
            "no date",
            "a.yaml",
            good.replace("\"lastmodified\"", "\"last\""),
            "has no `lastmodified`",
        ),
        (
            "other date",
            "a.yaml",
            good.replace("2026", "2025"),
            "the MAC does not match",
        ),
        (
            "values that changed places",
            "a.yaml",
            good.replace(a, "@").replace(b, a).replace('@', b),
            "a value does not decrypt",
        ),
        (
            "value under another key",
            "a.yaml",
            good.replace("\"b\":", "\"e\":"),
            "a value does not decrypt",
        ),
        (
            "text that is called a number",
            "a.yaml",
            good.replace(a, &a.replace("type:str", "type:int")),
            "a value does not decrypt",
        ),
        (
            "text that is called a truth",
            "a.yaml",
            good.replace(a, &a.replace("type:str", "type:bool")),
            "a value does not decrypt",
        ),
        (
            "number that is called a float",
            "a.yaml",
            good.replace(number, &number.replace("type:int", "type:float")),
            "is no value of a Secret's stringData",
        ),
        (
            "unknown type",
            "a.yaml",
            good.replace(a, &a.replace("type:str", "type:what")),
            "a value does not decrypt",
        ),
        (
            "no type",
            "a.yaml",
            good.replace(a, &a.replace(",type:str", "")),
            "should be encrypted and is not",
        ),
        (
            "value that was resealed",
            "a.yaml",
            good.replace(a, &fresh("x", "stringData:a:", "str")),
            "the MAC does not match",
        ),
        (
            "value that was taken out",
            "a.yaml",
            good.replace(a, ""),
            "the MAC does not match",
        ),
        (
            "value in the clear beside it",
            "a.yaml",
            good.replace(a, "x"),
            "should be encrypted and is not",
        ),
        (
            "flipped bit",
            "a.yaml",
            good.replace(a, &a.replacen("data:", "data:AAAA", 1)),
            "a value does not decrypt",
        ),
        (
            "short nonce",
            "a.yaml",
            good.replace(a, "ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]"),
            "a value does not decrypt",
        ),
        (
            "no base64",
            "a.yaml",
            good.replace(a, &a.replacen("data:", "data:*", 1)),
            "should be encrypted and is not",
        ),
        (
            "cut in the middle",
            "a.yaml",
            cut(&good, 3),
            "this is not YAML here",
        ),
        (
            "cut in the block",
            "a.yaml",
            cut(&good, 9),
            "this is not YAML here",
        ),
        (
            "sealed to another",
            "a.yaml",
            other.yaml(&clear),
            "no key opens it",
        ),
        (
            "sealed data key that is broken",
            "a.yaml",
            good.replace("BEGIN AGE", "BEGIN OLD"),
            "no key opens it",
        ),
        (
            "data key of another file",
            "a.yaml",
            good.replacen(&sealer.public, "age1x", 1)
                .replace("YWdlLWVuY3J5cHRpb24", "YWdlLWVuY3J5cHRpb25"),
            "no key opens it",
        ),
        (
            "two rules",
            "a.yaml",
            good.replace(
                "\"mac\"",
                "\"encrypted_regex\": \"a\", \"encrypted_suffix\": \"b\", \"mac\"",
            ),
            "more than one rule",
        ),
        (
            "rule that is none",
            "a.yaml",
            good.replace("\"mac\"", "\"encrypted_regex\": \"(\", \"mac\""),
            "no regular expression",
        ),
        (
            "other rule",
            "a.yaml",
            good.replace("\"mac\"", "\"encrypted_regex\": \"^b$\", \"mac\""),
            "the MAC does not match",
        ),
        (
            "block that is a text",
            "a.yaml",
            good.replace("\"sops\": {", "\"sops\": \"x\", \"was\": {"),
            "the file has no `sops` block",
        ),
        (
            "whole: wrong MAC",
            "a.bin",
            whole.replace(&values(&whole)[1], &values(&whole)[0]),
            "the MAC does not match",
        ),
        (
            "whole: other key",
            "a.bin",
            other.binary(&canary.secret),
            "no key opens it",
        ),
        (
            "whole: no text in data",
            "a.bin",
            sealer.yaml(&format!("data: {{x: {}}}\n", canary.word)),
            "`data` is no text",
        ),
        ("whole: cut", "a.bin", cut(&whole, 5), "this is not YAML here"),
        (
            "lines: renamed",
            "a.env",
            changed_line,
            "a value does not decrypt",
        ),
        (
            "lines: no line",
            "a.env",
            format!("{}\n{lines}", canary.word),
            "this is no line of such a file",
        ),
        (
            "lines: other key",
            "a.env",
            other.dotenv(&format!("A={}\n", canary.secret)),
            "no key opens it",
        ),
        (
            "lines: one added",
            "a.env",
            format!("X=1\n{lines}"),
            "should be encrypted and is not",
        ),
        (
            "lines: no MAC",
            "a.env",
            lines.replace("sops_mac=", "sops_mak="),
            "has no `mac`",
        ),
        (
            "INI: renamed",
            "a.ini",
            ini.replacen("A = ", "C = ", 1),
            "a value does not decrypt",
        ),
        (
            "INI: moved to another section",
            "a.ini",
            ini.replacen("[here]", "[there]", 1),
            "a value does not decrypt",
        ),
        (
            "INI: no line",
            "a.ini",
            format!("{}\n{ini}", canary.word),
            "this is no line of such a file",
        ),
        (
            "INI: other key",
            "a.ini",
            other.ini(&format!("[here]\nA = {}\n", canary.secret)),
            "no key opens it",
        ),
        (
            "INI: one added",
            "a.ini",
            ini.replacen("[here]\n", "[here]\nX = 1\n", 1),
            "should be encrypted and is not",
        ),
        (
            "INI: taken out",
            "a.ini",
            ini.lines()
                .filter(|line| !line.starts_with("A = "))
                .map(|line| format!("{line}\n"))
                .collect(),
            "the MAC does not match",
        ),
        (
            "INI: no MAC",
            "a.ini",
            ini.replace("\nmac = ", "\nmak = "),
            "has no `mac`",
        ),
        (
            "inside: wrong MAC",
            "a.yaml",
            inner(&wrong_mac),
            "the MAC does not match",
        ),
        (
            "inside: sealed to another",
            "a.yaml",
            inner(&other.yaml(&clear)),
            "no key opens it",
        ),
        (
            "inside of an encrypted file: wrong MAC",
            "a.yaml",
            sealer.yaml(&inner(&wrong_mac)),
            "the MAC does not match",
        ),
        (
            "inside of an encrypted text that is no YAML",
            "a.bin",
            sealer.binary(&marked),
            "duplicate key •••",
        ),
    ]
}

#[test]
fn a_file_that_does_not_open_says_none_of_its_text() {
    let canary = Canary::new();
    let sealer = Sealer::new();
    let mut wrong = Vec::new();
    let cases = cases(&canary, &sealer);
    let count = cases.len();
    for (name, file, text, says) in cases {
        let generator = format!("secretGenerator:\n- {{name: s, files: [{file}]}}\n");
        let resources = format!("resources: [{file}]\n");
        let kustomization = if file == "a.yaml" { resources } else { generator };
        let files = Texts::from([
            ("p/kustomization.yaml".to_owned(), kustomization),
            (format!("p/{file}"), text),
        ]);
        let told = all_forms(&told(&files, &sealer.key, &Variables::default()));
        let folder = tempfile::tempdir().unwrap();
        let (code, said) = binary(folder.path(), &files, &sealer.key, &canary);
        if code != 1 || says.is_empty() || !said.contains(says) || !told.contains(says) {
            wrong.push(format!("{name}: {code}, not {says:?} but {told}"));
        }
        for text in [&told, &said] {
            if canary.is_in(text) || text.contains("panicked") {
                wrong.push(format!("{name}: LEAKS {text}"));
            }
        }
    }
    say(&format!("{count} files, each refused by its own words"));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}
