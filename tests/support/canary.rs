//! A secret that is planted in an input and must not come out again, in whatever form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

pub struct Canary {
    pub secret: String,
    forms: Vec<String>,
}

impl Canary {
    pub fn new() -> Self {
        let secret = format!("canary-{:016x}-\"q", fastrand::u64(..));
        let mut forms = vec![secret[..23].to_owned(), serde_json::to_string(&secret).unwrap()];
        forms.push(secret.bytes().map(|byte| format!("{byte:02x}")).collect());
        // What base64 makes of it depends on how many bytes stand before; the ends depend on the neighbours.
        for before in 0..3 {
            let packed = STANDARD_NO_PAD.encode(format!("{}{secret}", "x".repeat(before)));
            forms.push(packed[4..packed.len() - 4].to_owned());
        }
        Self { secret, forms }
    }

    pub fn assert_absent(&self, text: &str) {
        for form in &self.forms {
            assert!(!text.contains(form.as_str()), "a secret came out in {text}");
            assert!(
                !text.to_lowercase().contains(&form.to_lowercase()),
                "a secret came out in {text}"
            );
        }
    }
}
