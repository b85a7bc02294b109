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

/// The command that a comment gives: a line of its own, which nothing stands before or after.
pub fn read(body: &str) -> Option<Command> {
    body.lines().find_map(|line| match line.trim() {
        "/couchestor plan" => Some(Command::Plan),
        "/couchestor hold" => Some(Command::Hold),
        _ => None,
    })
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
