//! Opens SOPS files with rops, a reader that was written independently of ours and of sops: for each path on standard input one
//! line, the content as JSON or `null` where rops cannot read it.

use rops::cryptography::{cipher::AES256GCM, hasher::SHA512};
use rops::file::RopsFile;
use rops::file::format::{FileFormat, JsonFileFormat, YamlFileFormat};
use rops::file::state::EncryptedFile;
use std::io::BufRead;

fn open<F: FileFormat>(text: &str) -> Option<String> {
    let file: RopsFile<EncryptedFile<AES256GCM, SHA512>, F> = text.parse().ok()?;
    let clear = file.decrypt::<JsonFileFormat>().ok()?;
    serde_json::to_string(&clear.into_inner_map()).ok()
}

fn main() -> std::io::Result<()> {
    for path in std::io::stdin().lock().lines() {
        let path = path?;
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // What rops has not foreseen may end in a panic; that is a file that it cannot read.
        let opened = std::panic::catch_unwind(|| match path.ends_with(".json") {
            true => open::<JsonFileFormat>(&text),
            false => open::<YamlFileFormat>(&text),
        });
        println!("{}", opened.ok().flatten().unwrap_or_else(|| "null".to_owned()));
    }
    Ok(())
}
