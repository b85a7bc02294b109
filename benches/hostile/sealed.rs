//! Encrypted files whose blocks, recipients or values are many, huge or broken.

use super::*;

pub fn sealed() -> Vec<fn(&Sealer) -> Case> {
    fn block(recipients: &str) -> String {
        format!(
            "a: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\nsops:\n  mac: x\n  lastmodified: y\n{recipients}"
        )
    }
    vec![
        |sealer| {
            one("10,000 recipients", {
                let enc = sealer.yaml("a: b\n");
                let value: serde_json::Value = serde_json::from_str(&enc).unwrap();
                let enc = value["sops"]["age"][0]["enc"]
                    .as_str()
                    .unwrap()
                    .replace('\n', "\n      ");
                let other = Sealer::new();
                let _ = other;
                let one = format!("  - recipient: age1x\n    enc: |\n      {enc}\n").replace("YWdl", "YWdm");
                let count = FULL / one.len();
                block(&format!("  age:\n{}", one.repeat(count.min(10_000))))
            })
        },
        |_| {
            one("10,000 recipients that are others", {
                let sealed = Sealer::new().yaml("a: b\n");
                let value: serde_json::Value = serde_json::from_str(&sealed).unwrap();
                let enc = value["sops"]["age"][0]["enc"]
                    .as_str()
                    .unwrap()
                    .replace('\n', "\n      ");
                let one = format!("  - recipient: age1x\n    enc: |\n      {enc}\n");
                let count = FULL / one.len();
                block(&format!("  age:\n{}", one.repeat(count.min(10_000))))
            })
        },
        |_| {
            one("scrypt with a huge work factor", {
                let mut text = String::from("-----BEGIN AGE ENCRYPTED FILE-----\n");
                let body = base64(b"age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 40\nZV/AhotwSGqaPCU43cepl4WYUouAa17a3xpu4G2yi5k\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n0123456789012345");
                text.push_str(&body);
                text.push_str("\n-----END AGE ENCRYPTED FILE-----");
                let one = format!(
                    "  - recipient: age1x\n    enc: |\n      {}\n",
                    text.replace('\n', "\n      ")
                );
                block(&format!("  age:\n{}", one.repeat(1000)))
            })
        },
        |_| {
            one("1 MiB of an age header", {
                let stanzas = "-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n".repeat(9_000);
                let body = base64(format!("age-encryption.org/v1\n{stanzas}---").as_bytes());
                let lines: Vec<&str> = body
                    .as_bytes()
                    .chunks(64)
                    .map(|line| std::str::from_utf8(line).unwrap())
                    .collect();
                let armored = format!(
                    "-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----",
                    lines.join("\n")
                );
                block(&format!(
                    "  age:\n  - recipient: age1x\n    enc: |\n      {}\n",
                    armored.replace('\n', "\n      ")
                ))
            })
        },
        |_| {
            one(
                "1 MiB of metadata",
                block(&format!("  age: []\n  x: {}\n", "y".repeat(1 << 20))),
            )
        },
        |_| {
            one(
                "a recipient of 4 MiB",
                block(&format!(
                    "  age:\n  - {{recipient: {}, enc: x}}\n",
                    "y".repeat(4 << 20)
                )),
            )
        },
        |_| {
            one(
                "a rule of 1 MiB",
                block(&format!("  encrypted_regex: '{}'\n", "a?".repeat(1 << 19))),
            )
        },
        |_| {
            one(
                "an expensive rule",
                block(&format!(
                    "  encrypted_regex: '{}'\n",
                    "(\\w{1,90}){1,90}".repeat(200)
                )),
            )
        },
        |_| {
            one(
                "many key groups",
                block(&format!(
                    "  shamir_threshold: 200\n  key_groups:\n{}",
                    "  - age: []\n".repeat(100_000)
                )),
            )
        },
        |sealer| {
            one("many encrypted values", {
                let all: Vec<String> = (0..20_000).map(|n| format!("\"k{n}\": {n}")).collect();
                sealer.yaml(&format!("{{{}}}", all.join(", ")))
            })
        },
        |sealer| {
            one(
                "one huge encrypted value",
                sealer.yaml(&format!("a: {}\n", "x".repeat(3 << 20))),
            )
        },
        |sealer| {
            one("many encrypted values that are broken", {
                let good = sealer.yaml("a: 1\n");
                let more = numbered(9_000, |n| {
                    format!("\"z{n}\": \"ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]\",\n")
                });
                good.replacen('{', &format!("{{{more}"), 1)
            })
        },
        |_| {
            case(
                "lines of a huge block",
                vec![
                    (
                        "p/kustomization.yaml".to_owned(),
                        "secretGenerator: [{name: s, envs: [v.env]}]\n".to_owned(),
                    ),
                    (
                        "p/v.env".to_owned(),
                        format!(
                            "A=ENC[AES256_GCM,data:AA==]\nsops_mac=x\nsops_lastmodified=y\n{}",
                            numbered(100_000, |n| format!("sops_age__list_{n}__map_recipient=x\n"))
                        ),
                    ),
                ],
            )
        },
        |_| {
            case(
                "deep flattened keys",
                vec![
                    (
                        "p/kustomization.yaml".to_owned(),
                        "secretGenerator: [{name: s, envs: [v.env]}]\n".to_owned(),
                    ),
                    (
                        "p/v.env".to_owned(),
                        format!(
                            "A=ENC[AES256_GCM,data:AA==]\nsops_mac=x\nsops_a{}=x\n",
                            "__list_999".repeat(100_000)
                        ),
                    ),
                ],
            )
        },
        |_| {
            case(
                "lists of lists in flattened keys",
                vec![
                    (
                        "p/kustomization.yaml".to_owned(),
                        "secretGenerator: [{name: s, envs: [v.env]}]\n".to_owned(),
                    ),
                    (
                        "p/v.env".to_owned(),
                        format!(
                            "A=ENC[AES256_GCM,data:AA==]\nsops_mac=x\n{}",
                            numbered(20_000, |n| format!(
                                "sops_a__list_{}__list_999__list_999=x\n",
                                n % 1000
                            ))
                        ),
                    ),
                ],
            )
        },
        |_| {
            case(
                "many flattened keys",
                vec![
                    (
                        "p/kustomization.yaml".to_owned(),
                        "secretGenerator: [{name: s, envs: [v.env]}]\n".to_owned(),
                    ),
                    (
                        "p/v.env".to_owned(),
                        format!(
                            "A=ENC[AES256_GCM,data:AA==]\nsops_mac=x\n{}",
                            numbered(200_000, |n| format!("sops_k{n}=x\n"))
                        ),
                    ),
                ],
            )
        },
        |sealer| {
            one("many encrypted files inside of a Secret", {
                let inner = base64(sealer.yaml("a: b\n").as_bytes());
                let data = numbered(2_000, |n| format!("  k{n}.yaml: {inner}\n"));
                format!("{}data:\n{data}", head("Secret", "s"))
            })
        },
    ]
}
