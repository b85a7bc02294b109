//! Comments on pull requests that are obeyed: by whom, and once.

use crate::model::pull_request::Comment;

/// What somebody may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The plan is made anew, and a hold ends.
    Plan,
    /// The status fails until a plan is asked for.
    Hold,
}

/// The command that a comment gives: a line of its own, which nothing stands before or after, and which its author says: what is
/// quoted, code, or hidden in a comment of HTML is said by nobody.
pub fn read(body: &str) -> Option<Command> {
    let mut around = Around::default();
    body.lines()
        .filter(|line| around.is_said(line))
        .find_map(|line| match line.trim() {
            "/couchestor plan" => Some(Command::Plan),
            "/couchestor hold" => Some(Command::Hold),
            _ => None,
        })
}

/// What stands around a line. In doubt a line is taken for a part of what stands around it, since a command can be given again.
#[derive(Default)]
struct Around {
    /// The mark, its length and its indent of a code block that has no end yet.
    fence: Option<(char, usize, usize)>,
    /// The end of a piece of HTML in which nothing is said.
    html: Option<&'static str>,
    /// Whether the paragraph began as a quotation: its later lines belong to it without a mark.
    quoted: bool,
    /// Whether the paragraph has code that goes on in the next line.
    code: bool,
}

/// Pieces of HTML in which nothing is said, and their ends.
const UNSAID: [(&str, &str); 4] = [
    ("<!--", "-->"),
    ("<pre", "</pre"),
    ("<code", "</code"),
    ("<blockquote", "</blockquote"),
];

/// A line that begins so far in is code.
const CODE_INDENT: usize = 4;

impl Around {
    /// Whether the next line is said by the comment's author.
    fn is_said(&mut self, line: &str) -> bool {
        let bare = line.trim();
        let indent = line
            .chars()
            .take_while(|one| one.is_whitespace())
            .map(|one| if one == '\t' { CODE_INDENT } else { 1 })
            .sum();
        if let Some((mark, length, outer)) = self.fence {
            let ends = bare.chars().all(|one| one == mark) && bare.chars().count() >= length;
            if ends && indent < outer + CODE_INDENT {
                self.fence = None;
            }
            return false;
        }
        if let Some(end) = self.html {
            if line.to_ascii_lowercase().contains(end) {
                self.html = None;
            }
            return false;
        }
        if bare.is_empty() {
            (self.quoted, self.code) = (false, false);
            return false;
        }
        let said = !self.quoted && !self.code && indent < CODE_INDENT;
        // The mark of an item of a list may stand before any of these.
        let inner = bare.trim_start_matches(['-', '*', '+', ' ', '\t']);
        let inner = inner.trim_start_matches(|one: char| one.is_ascii_digit());
        let inner = inner.trim_start_matches(['.', ')', ' ', '\t']);
        for mark in ['`', '~'] {
            let length = inner.chars().take_while(|one| *one == mark).count();
            if length >= 3 && !(mark == '`' && inner[length..].contains('`')) {
                self.fence = Some((mark, length, indent));
                return false;
            }
        }
        self.quoted |= inner.starts_with('>');
        let small = line.to_ascii_lowercase();
        for (begin, end) in UNSAID {
            if let Some(at) = small.find(begin)
                && !small[at..].contains(end)
            {
                self.html = Some(end);
            }
        }
        if line.matches('`').count() % 2 == 1 {
            self.code = !self.code;
        }
        said
    }
}

/// The newest command of somebody who may give one among the comments that were not looked at yet, and the newest comment of all:
/// what was said before it is never looked at again.
pub fn newest(comments: &[Comment], looked_at: u64, from: &[String]) -> (u64, Option<(Command, String)>) {
    let fresh = || comments.iter().filter(|comment| comment.id > looked_at);
    // Logins differ in more than case on no forge.
    let may = |comment: &&Comment| {
        from.iter()
            .any(|login| login.eq_ignore_ascii_case(&comment.author))
    };
    let given = fresh()
        .filter(may)
        .filter_map(|comment| Some((comment.id, read(&comment.body)?, comment.author.clone())))
        .max_by_key(|(id, ..)| *id);
    let last = fresh().map(|comment| comment.id).max().unwrap_or(looked_at);
    (last, given.map(|(_, command, author)| (command, author)))
}
