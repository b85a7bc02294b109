//! One encrypted value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.

use crate::formats::yaml::emit::double_quoted;
use aes_gcm::aead::consts::{U12, U32};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// An encrypted value's parts.
pub(super) struct Value {
    data: Vec<u8>,
    iv: Vec<u8>,
    /// `str`, `int`, `float`, `bool`, `bytes`, `time` or `comment`.
    pub(super) kind: String,
}

impl Value {
    /// Reads the notation; `None` if it is anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let inner = text.strip_prefix(super::SEALED)?.strip_suffix(']')?;
        let (mut data, mut iv, mut tag, mut kind) = (None, None, None, None);
        for part in inner.split(',') {
            let (name, value) = part.split_once(':')?;
            match name {
                "data" => data = Some(STANDARD.decode(value).ok()?),
                "iv" => iv = Some(STANDARD.decode(value).ok()?),
                "tag" => tag = Some(STANDARD.decode(value).ok()?),
                "type" => kind = Some(value.to_owned()),
                _ => return None,
            }
        }
        let mut data = data?;
        data.extend(tag?);
        Some(Self {
            data,
            iv: iv?,
            kind: kind?,
        })
    }

    /// Opens the value; `None` if key, path or bytes are not those with which it was sealed.
    pub(super) fn open(&self, key: &[u8], aad: &str) -> Option<Zeroizing<Vec<u8>>> {
        if key.len() != 32 {
            return None;
        }
        let payload = Payload {
            msg: &self.data,
            aad: aad.as_bytes(),
        };
        let key = Key::<AesGcm<Aes256, U32>>::from_slice(key);
        // sops uses nonces of 32 bytes; 12 is what early versions wrote.
        let opened = match self.iv.len() {
            32 => AesGcm::<Aes256, U32>::new(key).decrypt(Nonce::<U32>::from_slice(&self.iv), payload),
            12 => AesGcm::<Aes256, U12>::new(key).decrypt(Nonce::<U12>::from_slice(&self.iv), payload),
            _ => return None,
        };
        opened.ok().map(Zeroizing::new)
    }
}

/// An opened value: what it is in YAML, on one line, and what the MAC covers.
pub(super) struct Clear {
    /// YAML; `None` for a comment, which is no value.
    pub(super) yaml: Option<Zeroizing<String>>,
    /// What is hashed.
    pub(super) hashed: Zeroizing<Vec<u8>>,
}

/// Reads the opened bytes as the type that the notation states. The type is not under the seal, so the bytes have to be
/// of it: else a text could pass for a number and bring YAML of its own. `None` if they are not.
pub(super) fn typed(kind: &str, bytes: Zeroizing<Vec<u8>>) -> Option<Clear> {
    let text = std::str::from_utf8(&bytes);
    let (yaml, hashed) = match kind {
        "comment" => {
            return Some(Clear {
                yaml: None,
                hashed: bytes,
            });
        }
        "int" => {
            let text = text.ok()?.parse::<i64>().ok()?.to_string();
            (text.clone(), text)
        }
        "float" => {
            let number = text.ok()?.parse::<f64>().ok()?;
            let yaml = match number {
                number if number.is_nan() => ".nan".to_owned(),
                f64::INFINITY => ".inf".to_owned(),
                f64::NEG_INFINITY => "-.inf".to_owned(),
                number => number.to_string(),
            };
            let hashed = match yaml.as_str() {
                ".nan" => "NaN".to_owned(),
                ".inf" => "+Inf".to_owned(),
                "-.inf" => "-Inf".to_owned(),
                _ => yaml.clone(),
            };
            (yaml, hashed)
        }
        "bool" => match text.ok()? {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => ("true".to_owned(), "True".to_owned()),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => ("false".to_owned(), "False".to_owned()),
            _ => return None,
        },
        "str" | "bytes" | "time" => {
            let mut yaml = Zeroizing::new(String::new());
            match text {
                Ok(text) => {
                    // Reserved once: growing would leave clear copies behind.
                    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
                    let escaped = |byte: u8| if plain(byte) { 1 } else { 6 };
                    yaml.reserve(text.bytes().map(escaped).sum::<usize>() + 2);
                    double_quoted(text, &mut yaml);
                }
                Err(_) => {
                    yaml.push_str("!!binary ");
                    yaml.push_str(&Zeroizing::new(STANDARD.encode(&*bytes)));
                }
            }
            return Some(Clear {
                yaml: Some(yaml),
                hashed: bytes,
            });
        }
        _ => return None,
    };
    Some(Clear {
        yaml: Some(Zeroizing::new(yaml)),
        hashed: Zeroizing::new(hashed.into_bytes()),
    })
}
