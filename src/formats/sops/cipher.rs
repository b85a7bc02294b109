//! One encrypted value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.

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
        let inner = text.strip_prefix("ENC[AES256_GCM,")?.strip_suffix(']')?;
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

/// A clear value as one line of YAML.
pub(super) fn as_yaml(kind: &str, clear: &str) -> Zeroizing<String> {
    Zeroizing::new(match kind {
        "int" | "float" => clear.to_owned(),
        "bool" => clear.to_ascii_lowercase(),
        _ => serde_json::Value::String(clear.to_owned()).to_string(),
    })
}
