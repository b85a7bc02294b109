//! What branches of proposals are called: each has a name of its own, which is never used again.
//!
//! A forge remembers a branch for longer than it is there. Gitea closes a pull request that is opened from the name of a branch that
//! was deleted a moment ago, and that would read as a no.

use crate::io::git::Tips;
use crate::model::kinds::policy_source::ProposalStatus;
use jiff::Timestamp;

/// Stands between stem and stamp. No name of Kubernetes holds it, so no policy's name can look like another one's with a stamp; and a
/// slash would collide with branches of older releases, which have no stamp.
const BETWEEN: char = '_';

/// How a stamp looks, such as `20261121-143005`.
const STAMP: &str = "%Y%m%d-%H%M%S";

/// Digits and hyphen of a stamp.
const STAMP_LENGTH: usize = 15;

/// The name of a branch that is made now.
pub(super) fn fresh(stem: &str, now: Timestamp) -> String {
    format!("{stem}{BETWEEN}{}", now.strftime(STAMP))
}

/// Whether a branch has the name of a proposal with this stem; those of older releases have no stamp.
pub(super) fn is_of(stem: &str, branch: &str) -> bool {
    let Some(rest) = branch.strip_prefix(stem) else {
        return false;
    };
    let stamp = |stamp: &str| {
        stamp.len() == STAMP_LENGTH
            && stamp.bytes().enumerate().all(|(place, one)| match place {
                8 => one == b'-',
                _ => one.is_ascii_digit(),
            })
    };
    rest.is_empty() || rest.strip_prefix(BETWEEN).is_some_and(stamp)
}

/// Branches with this stem of which no record speaks, the newest first: stamps sort by time. Some may be another cluster's.
pub(super) fn unrecorded<'a>(
    stem: &str,
    tips: &'a Tips,
    recorded: &[ProposalStatus],
) -> impl Iterator<Item = &'a str> {
    let names = tips.branches.keys().map(String::as_str);
    names
        .rev()
        .filter(move |branch| is_of(stem, branch) && recorded.iter().all(|record| record.branch != *branch))
}

/// Branches with this stem that were not there before, beside one of our own.
pub(super) fn raced<'a>(
    stem: &str,
    own: &str,
    before: &Tips,
    now: &'a Tips,
) -> impl Iterator<Item = &'a str> {
    let names = now.branches.keys().map(String::as_str);
    names
        .filter(move |branch| *branch != own && is_of(stem, branch) && !before.branches.contains_key(*branch))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_name_says_whose_it_is_and_when_it_was_made() {
        let at = "2026-11-21T14:30:05Z".parse().unwrap();
        let made = fresh("couchestor/moves/a", at);
        assert_eq!(made, "couchestor/moves/a_20261121-143005");
        for (stem, branch, of) in [
            ("c/moves/a", "c/moves/a_20261121-143005", true),
            ("c/moves/a", "c/moves/a", true),
            ("c/moves/a", "c/moves/a-20261121-143005", false),
            ("c/moves/a", "c/moves/a-20261121_20261121-143005", false),
            ("c/moves/a", "c/moves/ab_20261121-143005", false),
            ("c/moves/a", "c/moves/a_mine", false),
            ("c/moves/a", "c/moves/a_20261121x143005", false),
            ("c/moves/a", "c/moves/a_20261121-1430055", false),
        ] {
            assert_eq!(is_of(stem, branch), of, "{branch}");
        }
    }
}
