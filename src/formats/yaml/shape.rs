//! Texts that the parser should not begin with: it takes long before it says anything about them.

use super::YamlError;

/// Directives of one file: there are two, `%YAML` and `%TAG`, and the parser is slow with them.
const DIRECTIVES_MAX: usize = 100;

/// Words of one file, which are what stands between blanks and line breaks: within quotes each takes the parser as long as a dozen
/// letters. All definitions of prometheus-operator 0.93, which are mostly prose, have 321,135 in 4.5 MB.
const WORDS_MAX: usize = 1_000_000;

/// Refuses lines that start with `%` in such a number that they cannot be meant, as the parser reads all of a document's
/// directives before it says anything; and so many words that few of them can be any.
pub(super) fn check(text: &str) -> Result<(), YamlError> {
    let is_break = |byte: u8| (byte == b'\n') | (byte == b'\r');
    let is_blank = |byte: u8| is_break(byte) | (byte == b' ') | (byte == b'\t');
    let bytes = text.as_bytes();
    if count(bytes, |before, here| (here == b'%') & is_break(before)) > DIRECTIVES_MAX {
        return Err(too_many_directives(text));
    }
    match count(bytes, |before, here| is_blank(before) & !is_blank(here)) > WORDS_MAX {
        true => Err(YamlError {
            line: 1,
            column: 1,
            message: format!("the file has more than {WORDS_MAX} words"),
            help: "split the file".to_owned(),
            key: None,
        }),
        false => Ok(()),
    }
}

/// How many bytes, with the byte before each, are something. Without branches and in small numbers, so that the machine counts many
/// at once: it is done for every file.
fn count(bytes: &[u8], is: impl Fn(u8, u8) -> bool) -> usize {
    const PIECE: usize = 128;
    let pieces = bytes
        .chunks(PIECE)
        .zip(bytes.get(1..).unwrap_or_default().chunks(PIECE));
    let of_piece = |(before, here): (&[u8], &[u8])| {
        let pairs = before.iter().zip(here);
        let sum: u8 = pairs.map(|(before, here)| u8::from(is(*before, *here))).sum();
        usize::from(sum)
    };
    pieces.map(of_piece).sum()
}

fn too_many_directives(text: &str) -> YamlError {
    let lines = text.lines().zip(1..);
    let line = lines
        .filter(|(line, _)| line.starts_with('%'))
        .nth(DIRECTIVES_MAX)
        .map_or(1, |(_, line)| line);
    YamlError {
        line,
        column: 1,
        message: format!(
            "the file has more than {DIRECTIVES_MAX} lines that start with `%`, as directives do"
        ),
        help: "take the directives out, or indent the text".to_owned(),
        key: None,
    }
}
