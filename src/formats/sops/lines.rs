//! The formats of sops that have lines and no tree: dotenv and INI (getsops/sops 3.13, `stores/dotenv` and `stores/ini`).
//!
//! The `sops` block is flattened there: `sops_age__list_0__map_enc` in dotenv, `age__list_0__map_enc` below `[sops]` in INI.

use super::walk::{Leaf, Unbound};
use super::{Metadata, SopsError, Walk};
use crate::formats::yaml::{Key, Kind, Node};
use std::collections::HashSet;
use std::ops::Range;
use zeroize::Zeroizing;

/// Depth of the flattened block; the real one has six levels.
const DEPTH_MAX: usize = 16;

/// Items of one list in the flattened block: as many recipients as nobody has.
const ITEMS_MAX: usize = 1000;

/// Entries and items of the flattened block: four for each of as many recipients as are read.
const ENTRIES_MAX: usize = 4000;

/// The two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    Dotenv,
    Ini,
}

/// One line that holds something.
enum Line<'a> {
    /// A comment's text without its mark, and where that text stands.
    Comment(&'a str, Range<usize>),
    /// A key, its value with escapes resolved, and where the value stands.
    Entry(&'a str, String, Range<usize>),
    /// A section's name.
    Section(&'a str),
}

impl Lines {
    /// Whether a text holds a `sops` block in this format.
    pub(super) fn holds_block(self, text: &str) -> bool {
        let marks: &[&str] = match self {
            Self::Dotenv => &["sops_mac=", "sops_version="],
            Self::Ini => &["[sops]"],
        };
        // Nearly all texts have none anywhere, which is seen faster than their lines are.
        if !marks.iter().any(|mark| text.contains(mark)) {
            return false;
        }
        text.lines().any(|line| match self {
            Self::Dotenv => line.starts_with("sops_mac=") || line.starts_with("sops_version="),
            Self::Ini => line.trim() == "[sops]",
        })
    }

    /// The line on which the `sops` block begins, or one of its entries stands.
    pub(super) fn line_of_block(self, text: &str, entry: Option<&str>) -> Option<u32> {
        let mut inside = false;
        let mut first = None;
        for (line, number) in text.lines().zip(1..) {
            let name = match self {
                Self::Dotenv => line
                    .split_once('=')
                    .and_then(|(key, _)| key.strip_prefix("sops_")),
                Self::Ini if line.trim_start().starts_with('[') => {
                    inside = line.trim() == "[sops]";
                    inside.then_some("")
                }
                Self::Ini => line.split_once('=').map(|(key, _)| key.trim()).filter(|_| inside),
            };
            let Some(name) = name else { continue };
            first = first.or(Some(number));
            if entry == Some(name) {
                return Some(number);
            }
        }
        first
    }

    /// The lines that hold something, one by one: a file may have millions.
    fn read(self, text: &str) -> impl Iterator<Item = Result<(u32, Line<'_>, Range<usize>), SopsError>> {
        let mut at = 0;
        let lines = text.split_inclusive('\n').zip(1..);
        lines.filter_map(move |(whole, number)| {
            let start = at;
            at += whole.len();
            let line = whole.trim_end_matches(['\n', '\r']);
            let read = self.line(line, start, number).transpose()?;
            Some(read.map(|read| (number, read, start..at)))
        })
    }

    fn line(self, line: &str, start: usize, number: u32) -> Result<Option<Line<'_>>, SopsError> {
        let wrong = || SopsError::Line { line: number };
        match self {
            Self::Dotenv => {
                if line.is_empty() {
                    return Ok(None);
                }
                if let Some(comment) = line.strip_prefix('#') {
                    return Ok(Some(Line::Comment(comment, start + 1..start + line.len())));
                }
                let (key, value) = line.split_once('=').ok_or_else(wrong)?;
                let range = start + key.len() + 1..start + line.len();
                Ok(Some(Line::Entry(key, value.replace("\\n", "\n"), range)))
            }
            Self::Ini => {
                let bare = line.trim();
                let offset = start + (line.len() - line.trim_start().len());
                if bare.is_empty() {
                    return Ok(None);
                }
                if bare.starts_with([';', '#']) {
                    let text = bare.trim_start_matches([bare.as_bytes()[0] as char, ' ']);
                    let from = offset + bare.len() - text.len();
                    return Ok(Some(Line::Comment(text, from..offset + bare.len())));
                }
                if let Some(name) = bare.strip_prefix('[') {
                    return Ok(Some(Line::Section(
                        name.strip_suffix(']').ok_or_else(wrong)?.trim(),
                    )));
                }
                let cut = bare.find(['=', ':']).ok_or_else(wrong)?;
                let (key, value) = (bare[..cut].trim(), bare[cut + 1..].trim());
                let from = offset + cut + 1 + (bare[cut + 1..].len() - bare[cut + 1..].trim_start().len());
                let (value, length) = ini_value(value).ok_or_else(wrong)?;
                Ok(Some(Line::Entry(key, value, from..from + length)))
            }
        }
    }
}

/// Which comments sops takes to stand before a value.
///
/// In dotenv those directly before it. In INI its store keeps a comment behind the key that it stands before, and that of a
/// section as the section's first entry (`treeItemFromSection`): so a comment is said of the key after the next, and one
/// before `[section]` of the section's first key.
struct Comments {
    lines: Lines,
    /// Read, and not yet at any key.
    waiting: Vec<String>,
    /// In force for the next key; INI only.
    ahead: Vec<String>,
}

impl Comments {
    fn new(lines: Lines) -> Self {
        Self {
            lines,
            waiting: Vec::new(),
            ahead: Vec::new(),
        }
    }

    /// A comment was read.
    fn comment(&mut self, text: &str) {
        self.waiting.push(text.to_owned());
    }

    /// A section begins.
    fn section(&mut self) {
        self.ahead = std::mem::take(&mut self.waiting);
    }

    /// A key was read: the comments that are said of it.
    fn entry(&mut self) -> Vec<String> {
        let waiting = std::mem::take(&mut self.waiting);
        match self.lines {
            Lines::Dotenv => waiting,
            Lines::Ini => std::mem::replace(&mut self.ahead, waiting),
        }
    }
}

/// An INI value without its quotes, and how many bytes of the line it covers; what follows `#` or `;` is a comment. Values
/// over several lines are not read: sops writes them on one.
fn ini_value(text: &str) -> Option<(String, usize)> {
    for quote in ["\"\"\"", "`"] {
        if let Some(rest) = text.strip_prefix(quote) {
            let end = rest.find(quote)?;
            return Some((rest[..end].to_owned(), end + 2 * quote.len()));
        }
    }
    if text.ends_with('\\') {
        return None;
    }
    let value = match text.find(['#', ';']) {
        Some(cut) => text[..cut].trim_end(),
        None => text,
    };
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return Some((inner.to_owned(), value.len()));
        }
    }
    Some((value.to_owned(), value.len()))
}

/// A value as the format writes it.
fn written(lines: Lines, value: &str) -> Result<Zeroizing<String>, SopsError> {
    let text = match lines {
        Lines::Dotenv => value.replace('\n', "\\n"),
        Lines::Ini if value.contains(['\n', '`', '\r']) => {
            if value.contains(['\n', '\r']) || value.contains("\"\"\"") {
                return Err(SopsError::Unsupported {
                    what: "a value of several lines in INI".to_owned(),
                });
            }
            format!("\"\"\"{value}\"\"\"")
        }
        Lines::Ini if value.contains(['#', ';']) => format!("`{value}`"),
        Lines::Ini if value.trim() != value || value.starts_with(['"', '\'']) => format!("\"{value}\""),
        Lines::Ini => value.to_owned(),
    };
    Ok(Zeroizing::new(text))
}

/// The `sops` block of a text, as a tree.
pub(super) fn block(lines: Lines, text: &str) -> Result<Node, SopsError> {
    let mut root = Tree::default();
    let mut section = "";
    let mut room = ENTRIES_MAX;
    for line in lines.read(text) {
        let (_, line, _) = line?;
        match (lines, line) {
            (_, Line::Section(name)) => section = name,
            (Lines::Dotenv, Line::Entry(key, value, _)) => {
                if let Some(key) = key.strip_prefix("sops_") {
                    root.place(key, value, &mut room)?;
                }
            }
            (Lines::Ini, Line::Entry(key, value, _)) if section == "sops" => {
                root.place(key, value.replace("\\n", "\n"), &mut room)?;
            }
            _ => {}
        }
    }
    Ok(root.node())
}

/// Runs of lines with nothing but comments before a section begins, with its name: such a comment is in it.
fn sections_ahead(lines: Lines, text: &str) -> Result<Vec<(Range<u32>, &str)>, SopsError> {
    let mut sections = Vec::new();
    let mut run = None;
    for line in lines.read(text) {
        let (number, line, _) = line?;
        match line {
            Line::Comment(..) => run = run.or(Some(number)),
            Line::Entry(..) => run = None,
            Line::Section(name) => sections.extend(run.take().map(|from| (from..number, name))),
        }
    }
    Ok(sections)
}

/// Walks over every value: opens what is encrypted, sums up the MAC, and takes the block out.
pub(super) fn walk(lines: Lines, text: &str, walk: &mut Walk<'_>) -> Result<(), SopsError> {
    let mut section = match lines {
        Lines::Dotenv => None,
        Lines::Ini => Some("DEFAULT"),
    };
    let mut comments = Comments::new(lines);
    let (mut sealed, mut some_are_empty) = (HashSet::new(), false);
    let mut ahead = sections_ahead(lines, text)?.into_iter().peekable();
    for line in lines.read(text) {
        let (number, line, whole) = line?;
        while ahead.peek().is_some_and(|(run, _)| run.end <= number) {
            ahead.next();
        }
        let next = ahead
            .peek()
            .filter(|(run, _)| run.contains(&number))
            .map(|(_, name)| *name);
        let ours = match (&line, lines) {
            (Line::Section(name), _) => {
                section = Some(name);
                *name == "sops"
            }
            (Line::Entry(key, ..), Lines::Dotenv) => key.starts_with("sops_"),
            _ => section == Some("sops"),
        };
        if ours {
            let breaks = text[whole.clone()].chars().filter(|one| *one == '\n').collect();
            walk.replace(whole, Zeroizing::new(breaks));
            continue;
        }
        match line {
            Line::Section(_) => comments.section(),
            Line::Comment(comment, range) => {
                let path: Vec<String> = next.or(section).map(str::to_owned).into_iter().collect();
                match walk.comment(&path, comment, number)? {
                    Some(clear) => {
                        comments.comment(&clear);
                        walk.replace(range, clear);
                    }
                    None => comments.comment(comment),
                }
            }
            Line::Entry(key, value, range) => {
                let mut path: Vec<String> = section.map(str::to_owned).into_iter().collect();
                path.push(key.to_owned());
                let said = comments.entry();
                let leaf = Leaf {
                    path: &path,
                    comments: &said,
                    line: number,
                };
                some_are_empty |= value.is_empty();
                if let Some(clear) = walk.text(&leaf, &value)? {
                    walk.replace(range, written(lines, &clear)?);
                    sealed.insert(path);
                }
            }
        }
    }
    if some_are_empty {
        walk.unbound.extend(emptied(lines, text, &sealed)?);
    }
    Ok(())
}

/// The first empty value that stands beside a sealed one of the same name. Many readers take the last of two, so it could take the
/// place of a secret, and no MAC sees that it was added.
fn emptied(lines: Lines, text: &str, sealed: &HashSet<Vec<String>>) -> Result<Option<Unbound>, SopsError> {
    let mut path: Vec<String> = match lines {
        Lines::Dotenv => Vec::new(),
        Lines::Ini => vec!["DEFAULT".to_owned()],
    };
    let depth = path.len();
    for line in lines.read(text) {
        match line? {
            (_, Line::Section(name), _) => path = vec![name.to_owned()],
            (line, Line::Entry(key, value, _), _) if value.is_empty() => {
                path.truncate(depth);
                path.push(key.to_owned());
                if sealed.contains(&path) {
                    return Ok(Some(Unbound { line, path }));
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A tree that is put together from flattened keys.
#[derive(Default)]
struct Tree {
    value: Option<String>,
    entries: Vec<(String, Tree)>,
    items: Vec<Tree>,
}

impl Tree {
    /// Puts a value at its place; `room` is for how many more entries and items the block may have.
    fn place(&mut self, path: &str, value: String, room: &mut usize) -> Result<(), SopsError> {
        let mut take = || {
            *room = room.checked_sub(1).ok_or_else(|| SopsError::Metadata {
                what: format!("has more than {ENTRIES_MAX} entries"),
            })?;
            Ok::<(), SopsError>(())
        };
        let wrong = || SopsError::Metadata {
            what: "has a key that cannot be read".to_owned(),
        };
        let mut at = self;
        let mut rest = path;
        let mut list = false;
        for _ in 0..DEPTH_MAX {
            let next = [rest.find("__map_"), rest.find("__list_")]
                .into_iter()
                .flatten()
                .min();
            let (part, after) = rest.split_at(next.unwrap_or(rest.len()));
            at = if list {
                let index: usize = part.parse().map_err(|_| wrong())?;
                if index >= ITEMS_MAX {
                    return Err(SopsError::Metadata {
                        what: format!("has a list of more than {ITEMS_MAX} items"),
                    });
                }
                while at.items.len() <= index {
                    take()?;
                    at.items.push(Self::default());
                }
                &mut at.items[index]
            } else {
                let position = match at.entries.iter().position(|(key, _)| key == part) {
                    Some(position) => position,
                    None => {
                        take()?;
                        at.entries.push((part.to_owned(), Self::default()));
                        at.entries.len() - 1
                    }
                };
                &mut at.entries[position].1
            };
            if next.is_none() {
                at.value = Some(value);
                return Ok(());
            }
            match after.strip_prefix("__map_") {
                Some(after) => (rest, list) = (after, false),
                None => (rest, list) = (after.strip_prefix("__list_").ok_or_else(wrong)?, true),
            }
        }
        Err(SopsError::Metadata {
            what: format!("has a key of more than {DEPTH_MAX} levels"),
        })
    }

    fn node(self) -> Node {
        let kind = match (self.value, self.items.is_empty()) {
            (Some(text), _) => Kind::Scalar {
                text,
                plain: true,
                tag: None,
            },
            (None, false) => Kind::List(self.items.into_iter().map(Self::node).collect()),
            (None, true) => {
                let key = |text| Key {
                    text,
                    line: 1,
                    column: 1,
                    start: 0,
                    merge: false,
                };
                let entries = self.entries.into_iter();
                Kind::Map(entries.map(|(text, tree)| (key(text), tree.node())).collect())
            }
        };
        Node::made(kind)
    }
}

/// The metadata of a text in lines.
pub(super) fn metadata(lines: Lines, text: &str) -> Result<Metadata, SopsError> {
    Metadata::read(&block(lines, text)?)
}
