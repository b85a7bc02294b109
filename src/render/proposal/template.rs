//! Templates of proposals: the built-in one, and those that people keep in their repository.
//!
//! A template may only print, choose and repeat. Instructions and output are bounded, and what could make a value grow (operators
//! that join texts or multiply, lists, captured output) is not part of the language: no template can use up the controller's memory.

use super::page::Page;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, filters, tests};
use std::borrow::Cow;

/// The built-in template.
pub const BUILT_IN: &str = include_str!("../proposal.md.jinja");

/// Largest template.
pub const TEMPLATE_BYTES_MAX: usize = 64 << 10;

/// Longest text that a template makes. GitHub takes 65,536 characters, and the most that a template makes fits there with its mark.
const TEXT_BYTES_MAX: usize = 60_000;

/// Instructions that one text may take; the built-in template takes fifty for a move.
const FUEL: u64 = 100_000;

/// Statements of the language. Others capture output (`set`, `filter`) or hide what follows from the check (`raw`).
const STATEMENTS: [&str; 8] = ["if", "elif", "else", "endif", "for", "endfor", "with", "endwith"];

/// A template of proposals.
#[derive(Clone, Debug)]
pub struct Template {
    /// Where it is kept; empty for the built-in one.
    path: String,
    text: Cow<'static, str>,
}

/// What a template made.
pub(super) struct Written {
    pub(super) title: String,
    pub(super) body: String,
}

/// What is wrong with a template.
struct Wrong {
    line: usize,
    what: String,
    help: &'static str,
}

/// How an attempt to write a text ended.
enum Attempt {
    Written(Written),
    TooLong,
}

impl Template {
    /// The built-in one.
    pub fn built_in() -> Self {
        Self {
            path: String::new(),
            text: Cow::Borrowed(BUILT_IN),
        }
    }

    /// Understands a template and tries it on made-up moves.
    ///
    /// # Errors
    /// What is wrong, with path and line and what to do.
    pub fn read(path: &str, bytes: &[u8]) -> Result<Self, String> {
        let wrong = |line, what: String, help| complaint(path, &Wrong { line, what, help });
        if bytes.len() > TEMPLATE_BYTES_MAX {
            let what = format!(
                "it has {} bytes; {TEMPLATE_BYTES_MAX} are read at most",
                bytes.len()
            );
            return Err(wrong(1, what, "make it shorter"));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            wrong(line, "it is no UTF-8".to_owned(), "save it as UTF-8")
        })?;
        let template = Self {
            path: path.to_owned(),
            text: Cow::Owned(text.to_owned()),
        };
        for page in Page::samples() {
            template.fit(&page).map_err(|wrong| complaint(path, &wrong))?;
        }
        Ok(template)
    }

    /// Writes a page. When the template cannot, the built-in one does, and what is wrong is told.
    pub(super) fn write(&self, page: &Page) -> (Written, Option<String>) {
        match self.fit(page) {
            Ok(written) => (written, None),
            Err(wrong) => {
                let written = Self::built_in().fit(page).ok();
                let written = written.expect("the built-in template writes any page; its tests say so");
                (written, Some(complaint(&self.path, &wrong)))
            }
        }
    }

    /// Writes a page with as much of its lists as fits: first fewer of the volumes that are left alone, then fewer of the moves.
    fn fit(&self, page: &Page) -> Result<Written, Wrong> {
        check(&self.text)?;
        let environment = environment();
        let template = environment
            .template_from_str(&self.text)
            .map_err(|error| wrong(&error))?;
        let attempt = |moves, left| self.attempt(&template, &page.cut(moves, left));
        let (moves, left) = (page.moves.len(), page.left_alone.len());
        if let Attempt::Written(written) = attempt(moves, left)? {
            return Ok(written);
        }
        let mut best = most(left, |left| attempt(moves, left))?;
        if best.is_none() {
            best = most(moves, |moves| attempt(moves.max(1), 0))?;
        }
        best.ok_or_else(|| Wrong {
            line: 1,
            what: format!("it makes more than {TEXT_BYTES_MAX} bytes of a single move"),
            help: "make it shorter",
        })
    }

    fn attempt(&self, template: &minijinja::Template, page: &Page) -> Result<Attempt, Wrong> {
        let mut text = Bounded::default();
        match template.render_captured_to(page, &mut text) {
            Ok(_) => {}
            Err(_) if text.full => return Ok(Attempt::TooLong),
            Err(error) => return Err(wrong(&error)),
        }
        let text = String::from_utf8_lossy(&text.bytes);
        let text = text.trim_start();
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let title: String = first
            .strip_prefix("# ")
            .unwrap_or_default()
            .chars()
            .filter(|one| !one.is_control())
            .collect();
        if title.trim().is_empty() {
            return Err(Wrong {
                line: 1,
                what: "the first line that it makes is no title".to_owned(),
                help: "begin it with a line such as `# {{ summary }}`",
            });
        }
        Ok(Attempt::Written(Written {
            title: title.trim().to_owned(),
            body: rest.trim_start_matches(['\r', '\n']).to_owned(),
        }))
    }
}

/// The attempt with the longest list that fits, among those shorter than `length`.
fn most(length: usize, attempt: impl Fn(usize) -> Result<Attempt, Wrong>) -> Result<Option<Written>, Wrong> {
    let (mut best, mut low, mut high) = (None, 0, length);
    while low < high {
        let middle = low.midpoint(high);
        match attempt(middle)? {
            Attempt::Written(written) => {
                best = Some(written);
                low = middle + 1;
            }
            Attempt::TooLong => high = middle,
        }
    }
    Ok(best)
}

fn environment<'a>() -> Environment<'a> {
    let mut environment = Environment::empty();
    environment.set_keep_trailing_newline(true);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("upper", filters::upper);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("length", filters::length);
    environment.add_test("defined", tests::is_defined);
    environment
}

fn wrong(error: &minijinja::Error) -> Wrong {
    let kind = error.kind();
    let help = match kind {
        ErrorKind::UndefinedError => "docs/pull-requests.md lists the variables",
        ErrorKind::OutOfFuel => "make it simpler",
        ErrorKind::UnknownFilter => "the filters are upper, lower and length",
        ErrorKind::UnknownTest => "the only test is `is defined`",
        _ => "`couchestor schema --template` prints one to start from",
    };
    let detail = error.detail().map(|detail| format!(": {detail}"));
    Wrong {
        line: error.line().unwrap_or(1),
        what: format!("{kind}{}", detail.unwrap_or_default()),
        help,
    }
}

fn complaint(path: &str, wrong: &Wrong) -> String {
    format!("{path}:{}: {}; {}", wrong.line, wrong.what, wrong.help)
}

/// Refuses what is not part of the language. Texts in quotation marks are skipped as minijinja reads them, and whatever could end a
/// tag elsewhere than here is refused.
fn check(text: &str) -> Result<(), Wrong> {
    let mut at = 0;
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    let refuse = |at, what: String| {
        Err(Wrong {
            line: line(at),
            what,
            help: "a template prints values and has `if`, `for` and `with`; docs/pull-requests.md says more",
        })
    };
    while let Some(next) = text[at..].find('{') {
        let begin = at + next;
        let end = match text.as_bytes().get(begin + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                at = begin + 1;
                continue;
            }
        };
        let inner = begin + 2;
        if end == "#}" {
            let Some(length) = text[inner..].find(end) else {
                return refuse(begin, "a comment has no end".to_owned());
            };
            at = inner + length + end.len();
            continue;
        }
        let (bare, length) = match tag(&text[inner..], end) {
            Ok(found) => found,
            Err(what) => return refuse(begin, what),
        };
        let mut words = bare.split(|one: char| !one.is_alphanumeric() && one != '_');
        if end == "%}" {
            let statement = words.clone().find(|word| !word.is_empty()).unwrap_or_default();
            if !STATEMENTS.contains(&statement) {
                return refuse(begin, format!("there is no statement `{statement}`"));
            }
        }
        if words.any(|word| word == "recursive") {
            return refuse(begin, "loops do not call themselves".to_owned());
        }
        at = inner + length;
    }
    Ok(())
}

/// What stands in a tag outside of quotation marks, and how long the tag is with its end.
fn tag(text: &str, end: &str) -> Result<(String, usize), String> {
    let (mut bare, mut quote, mut escaped) = (String::new(), None, false);
    for (at, one) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if one == '\\' => escaped = true,
            Some(mark) if one == mark => quote = None,
            Some(_) => {}
            None if text[at..].starts_with(end) => return Ok((bare, at + end.len())),
            None => match one {
                '"' | '\'' => {
                    quote = Some(one);
                    bare.push(' ');
                }
                ',' | '~' | '+' | '*' | '{' | '}' => return Err(format!("`{one}` has no meaning here")),
                one => bare.push(one),
            },
        }
    }
    Err("a tag has no end".to_owned())
}

/// Takes as much as a text may have.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    full: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > TEXT_BYTES_MAX {
            self.full = true;
            return Err(std::io::Error::other("the text is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
