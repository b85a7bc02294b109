//! Names and words as they may stand in what a forge shows: nobody can be mentioned, linked or led astray by them.

/// Longest name that is shown; Kubernetes allows 253 characters.
const NAME_MAX: usize = 253;

/// Longest run of words that is shown: a reason, a message.
const WORDS_MAX: usize = 300;

/// A name as people read it, wherever a forge shows it: nobody can be mentioned by one, nothing linked, no line or table broken.
/// Kubernetes' own names have no other characters.
pub fn shown(name: &str) -> String {
    let good = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.' | '/');
    let kept = name.chars().take(NAME_MAX);
    kept.map(|one| if good(one) { one } else { '?' }).collect()
}

/// A name where it stands among words, as code, or wherever a template puts it.
pub fn bare(name: &str) -> String {
    unlinked(&shown(name))
}

/// An invisible character that joins what stands beside it (U+2060): a forge sees another word. An entity would be seen in code.
const JOINER: char = '\u{2060}';

/// Breaks what forges make a link of without any sign, in any case: `www.`
/// (https://github.github.com/gfm/#autolinks-extension-), and a number after `GH-` or `GL-`, which is an issue to GitHub and GitLab.
fn unlinked(text: &str) -> String {
    let small = text.to_ascii_lowercase();
    let issue = |before: &str, after: &str| {
        let word = ["gh", "gl"].iter().find_map(|word| before.strip_suffix(word));
        word.is_some_and(|left| !left.ends_with(char::is_alphanumeric))
            && after.starts_with(|next: char| next.is_ascii_digit())
    };
    let mut unlinked = String::with_capacity(text.len());
    for (at, one) in text.char_indices() {
        let (before, after) = (&small[..at], &small[at + one.len_utf8()..]);
        if one == '.' && before.ends_with("www") || one == '-' && issue(before, after) {
            unlinked.push(JOINER);
        }
        unlinked.push(one);
    }
    unlinked
}

/// Words of ours with names and other servers' words in them, as they can stand in a table: every mark of Markdown and HTML is taken
/// for itself, and nobody is mentioned.
pub fn plain(words: &str) -> String {
    let mut plain = String::new();
    for one in words.chars().take(WORDS_MAX) {
        match one {
            '\n' | '\r' | '\t' => plain.push(' '),
            // What moves a cursor or turns the text around.
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            one if one.is_control() => {}
            '@' => plain.push_str("(at)"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '&' => plain.push_str("&amp;"),
            // GitHub looks for issues when the backslash is gone.
            '#' => plain.extend(['\\', one, JOINER]),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '!' | '~' | '$' => plain.extend(['\\', one]),
            // A forge makes links of addresses and of `owner/repository#1`; without the colon there is none.
            ':' => plain.push_str("&#58;"),
            one => plain.push(one),
        }
    }
    unlinked(&plain)
}

/// A text as code: nothing in it means anything to Markdown, nobody is mentioned and nothing linked. What would end it, move a
/// cursor or turn the text around is put differently.
pub fn code(text: &str) -> String {
    let text = crate::model::diagnostic::shown(text).replace('`', "'");
    match text.trim() {
        "" => "` `".to_owned(),
        text => format!("`{text}`"),
    }
}

/// A count with its noun.
pub fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
