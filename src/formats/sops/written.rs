//! The bytes that the sops command writes of an opened file, for who takes it as a whole: a generator, a value of a Secret.
//!
//! An opened file keeps its lines, so that findings name the right ones; the sops command leaves none where its block was. JSON,
//! dotenv, INI and bytes come out as it writes them. Of YAML it writes every value anew: ours are the same values, in double
//! quotes where it may use none, and encrypted comments stay as they are.

use super::Format;
use zeroize::Zeroizing;

/// The bytes, where they differ; the file's name says the format.
pub fn as_written(path: &str, clear: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(clear).ok()?;
    let format = Format::of(path);
    // Reserved once: growing would leave clear copies behind.
    let escapes = text.matches(['<', '>', '&', '\u{2028}', '\u{2029}']).count();
    let mut fresh = Zeroizing::new(Vec::with_capacity(text.len() + 1 + escapes * "\\u003c".len()));
    let mut blank = 0;
    for line in text.lines() {
        if line.trim().is_empty() {
            blank += 1;
            continue;
        }
        let kept = match format {
            Format::Binary => return None,
            Format::Json => 0,
            // What stands at the end of a document was its block.
            Format::Yaml if line.starts_with("---") => 0,
            Format::Yaml | Format::Dotenv | Format::Ini => blank,
        };
        fresh.extend(std::iter::repeat_n(b'\n', kept));
        blank = 0;
        match format {
            Format::Json => line.chars().for_each(|letter| escaped(letter, &mut fresh)),
            _ => fresh.extend_from_slice(line.as_bytes()),
        }
        fresh.push(b'\n');
    }
    (fresh.as_slice() != clear).then_some(fresh)
}

/// A letter as Go writes it into JSON, which may stand in a web page.
fn escaped(letter: char, into: &mut Vec<u8>) {
    let code = match letter {
        '<' => "\\u003c",
        '>' => "\\u003e",
        '&' => "\\u0026",
        '\u{2028}' => "\\u2028",
        '\u{2029}' => "\\u2029",
        other => {
            into.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
    };
    into.extend_from_slice(code.as_bytes());
}
