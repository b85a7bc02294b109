//! Encrypts as the sops command does, in this process: for tests that need many encrypted files, also wrong ones.

use aes_gcm::aead::consts::{U12, U32};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Key, Nonce};
use age::secrecy::ExposeSecret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::formats::yaml;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};
use std::io::Write;

const WHEN: &str = "2026-01-02T03:04:05Z";

/// A key pair, and a data key that is sealed to it.
pub struct Sealer {
    /// `AGE-SECRET-KEY-1…`
    pub key: String,
    /// `age1…`
    pub public: String,
    /// Whether values have nonces of twelve bytes, as those of early versions of sops.
    pub short_nonces: bool,
    data_key: [u8; 32],
    sealed: String,
}

impl Sealer {
    pub fn new() -> Self {
        Self::of(&age::x25519::Identity::generate())
    }

    /// The same key pair with another data key, as each file of the sops command has its own.
    pub fn anew(&self) -> Self {
        Self::of(&self.key.parse().unwrap())
    }

    fn of(identity: &age::x25519::Identity) -> Self {
        let recipient = identity.to_public();
        let mut data_key = [0; 32];
        data_key.fill_with(|| fastrand::u8(..));
        let encryptor =
            age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
        let mut sealed = Vec::new();
        let armor =
            age::armor::ArmoredWriter::wrap_output(&mut sealed, age::armor::Format::AsciiArmor).unwrap();
        let mut writer = encryptor.wrap_output(armor).unwrap();
        writer.write_all(&data_key).unwrap();
        writer
            .finish()
            .and_then(age::armor::ArmoredWriter::finish)
            .unwrap();
        Self {
            key: identity.to_string().expose_secret().to_owned(),
            public: recipient.to_string(),
            short_nonces: false,
            data_key,
            sealed: String::from_utf8(sealed).unwrap(),
        }
    }

    /// One value in the notation of sops.
    pub fn value(&self, clear: &[u8], aad: &str, kind: &str) -> String {
        let mut nonce = [0; 32];
        nonce.fill_with(|| fastrand::u8(..));
        let payload = Payload {
            msg: clear,
            aad: aad.as_bytes(),
        };
        let key = Key::<AesGcm<Aes256, U32>>::from_slice(&self.data_key);
        let nonce = &nonce[..if self.short_nonces { 12 } else { 32 }];
        let both = match self.short_nonces {
            true => AesGcm::<Aes256, U12>::new(key).encrypt(Nonce::<U12>::from_slice(nonce), payload),
            false => AesGcm::<Aes256, U32>::new(key).encrypt(Nonce::<U32>::from_slice(nonce), payload),
        }
        .unwrap();
        let (data, tag) = both.split_at(both.len() - 16);
        let [data, nonce, tag] = [data, nonce, tag].map(|bytes| STANDARD.encode(bytes));
        format!("ENC[AES256_GCM,data:{data},iv:{nonce},tag:{tag},type:{kind}]")
    }

    fn block(&self, mac: &Sha512) -> Value {
        let sum: String = mac
            .clone()
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        json!({
            "age": [{"recipient": self.public, "enc": self.sealed}],
            "lastmodified": WHEN,
            "mac": self.value(sum.as_bytes(), WHEN, "str"),
            "version": "3.13.0",
        })
    }

    fn walk(&self, value: &Value, path: &mut Vec<String>, mac: &mut Sha512) -> Value {
        let aad = || format!("{}:", path.join(":"));
        let mut seal = |clear: &str, kind: &str| {
            mac.update(clear);
            json!(self.value(clear.as_bytes(), &aad(), kind))
        };
        match value {
            Value::Null => Value::Null,
            Value::Bool(true) => seal("True", "bool"),
            Value::Bool(false) => seal("False", "bool"),
            Value::Number(number) if number.is_f64() => seal(&number.to_string(), "float"),
            Value::Number(number) => seal(&number.to_string(), "int"),
            Value::String(text) if text.is_empty() => json!(""),
            Value::String(text) => seal(text, "str"),
            Value::Array(items) => items.iter().map(|item| self.walk(item, path, mac)).collect(),
            Value::Object(map) => {
                let mut sealed = Map::new();
                for (key, value) in map {
                    path.push(key.clone());
                    sealed.insert(key.clone(), self.walk(value, path, mac));
                    path.pop();
                }
                Value::Object(sealed)
            }
        }
    }

    /// A YAML text of one document, every value of it encrypted; JSON on one line, which is YAML.
    pub fn yaml(&self, text: &str) -> String {
        let clear = yaml::load(text).unwrap()[0].to_json().unwrap();
        let mut mac = Sha512::new();
        let mut sealed = self.walk(&clear, &mut Vec::new(), &mut mac);
        sealed["sops"] = self.block(&mac);
        format!("{}\n", serde_json::to_string_pretty(&sealed).unwrap())
    }

    /// A Secret with only its values encrypted, as Flux wants it (`encrypted_regex`).
    pub fn secret(&self, object: &Value) -> String {
        let mut mac = Sha512::new();
        let mut sealed = self.walk(object, &mut Vec::new(), &mut mac);
        for (key, clear) in object.as_object().unwrap() {
            if !["data", "stringData"].contains(&key.as_str()) {
                sealed[key] = clear.clone();
            }
        }
        sealed["sops"] = self.block(&mac);
        sealed["sops"]["encrypted_regex"] = json!("^(data|stringData)$");
        format!("{}\n", serde_json::to_string_pretty(&sealed).unwrap())
    }

    /// Any bytes, as sops keeps those of a file whose name tells no format.
    pub fn binary(&self, bytes: &str) -> String {
        self.yaml(&json!({"data": bytes}).to_string())
    }

    /// `[section]` and `key = value` lines.
    pub fn ini(&self, text: &str) -> String {
        let mut mac = Sha512::new();
        let (mut sealed, mut section) = (String::new(), "DEFAULT");
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
                sealed.push_str(&format!("{line}\n"));
                continue;
            }
            let (key, value) = line.split_once(" = ").unwrap();
            mac.update(value);
            let value = self.value(value.as_bytes(), &format!("{section}:{key}:"), "str");
            sealed.push_str(&format!("{key} = {value}\n"));
        }
        let fields = self.flat(&mac);
        let fields: String = fields
            .iter()
            .map(|(name, text)| format!("{name} = {text}\n"))
            .collect();
        format!("{sealed}\n[sops]\n{fields}")
    }

    /// The block of a format without a tree.
    fn flat(&self, mac: &Sha512) -> Vec<(&'static str, String)> {
        let block = self.block(mac);
        let field = |pointer: &str| {
            let text = block.pointer(pointer).and_then(Value::as_str).unwrap();
            text.replace('\n', "\\n")
        };
        [
            ("age__list_0__map_recipient", "/age/0/recipient"),
            ("age__list_0__map_enc", "/age/0/enc"),
            ("lastmodified", "/lastmodified"),
            ("mac", "/mac"),
            ("version", "/version"),
        ]
        .map(|(name, pointer)| (name, field(pointer)))
        .to_vec()
    }

    /// `NAME=value` lines.
    pub fn dotenv(&self, text: &str) -> String {
        let mut mac = Sha512::new();
        let mut sealed = String::new();
        for line in text.lines() {
            let (name, value) = line.split_once('=').unwrap();
            mac.update(value);
            let value = self.value(value.as_bytes(), &format!("{name}:"), "str");
            sealed.push_str(&format!("{name}={value}\n"));
        }
        for (name, text) in self.flat(&mac) {
            sealed.push_str(&format!("sops_{name}={text}\n"));
        }
        sealed
    }
}
