//! Patterns with `*` and `?` that are taken off an end of a text.
//!
//! What stands between two stars is looked for once, as near to where the pattern begins as it is found: nothing is gained by
//! another place further on, so nothing is tried again.

use super::work::{Trouble, Work};
use std::ops::Range;

/// Which end a pattern is taken off, and how much of it.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) from_start: bool,
    pub(super) longest: bool,
}

/// What is left of a text without what a pattern fits at an end, as Flux has it: something is always taken off, so that `*` takes off
/// one letter at least.
///
/// # Errors
/// For sets (`[…]`) and backslashes, and where Flux would cut a letter of several bytes in two.
pub(super) fn trim<'a>(text: &'a str, pattern: &str, how: How, work: &mut Work) -> Result<&'a str, Trouble> {
    let wrong = |what: &str, help| ("substitution", what.to_owned(), help);
    work.step(pattern.len() + text.len() / 8)?;
    if pattern.contains(['[', '\\']) {
        return Err(wrong(
            "a pattern of a substitution has `[` or `\\`, which are not read here",
            "write it with letters, `*` and `?`",
        ));
    }
    let only_stars = !pattern.is_empty() && pattern.bytes().all(|byte| byte == b'*');
    if !text.is_ascii() && (pattern.contains('?') || (only_stars && !how.longest)) {
        return Err(wrong(
            "a pattern of a substitution may cut a letter of more than one byte in two",
            "write the letters themselves in the place of `?`",
        ));
    }
    if only_stars && !how.longest && !text.is_empty() {
        return Ok(if how.from_start {
            &text[1..]
        } else {
            &text[..text.len() - 1]
        });
    }
    Ok(match (cut(text, pattern, how, work)?, how.from_start) {
        (None, _) => text,
        (Some(cut), true) => &text[cut..],
        (Some(cut), false) => &text[..cut],
    })
}

/// Where a text is cut.
fn cut(text: &str, pattern: &str, how: How, work: &mut Work) -> Result<Option<usize>, Trouble> {
    let whole = |at: usize| text.is_char_boundary(at).then_some(at);
    let Some((head, rest)) = pattern.split_once('*') else {
        let found = anchored(text, pattern, how.from_start, work)?;
        return Ok(found.and_then(|found| whole(if how.from_start { found.end } else { found.start })));
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let first = if how.from_start { head } else { tail };
    let last = if how.from_start { tail } else { head };
    let Some(found) = anchored(text, first, how.from_start, work)? else {
        return Ok(None);
    };
    // What is left to look into.
    let mut left = match how.from_start {
        true => found.end..text.len(),
        false => 0..found.start,
    };
    let mut parts = middle.split('*');
    while let Some(part) = if how.from_start {
        parts.next()
    } else {
        parts.next_back()
    } {
        let any = |_: &Range<usize>| true;
        match find(text, part, left.clone(), !how.from_start, any, work)? {
            Some(found) if how.from_start => left.start = found.end,
            Some(found) => left.end = found.start,
            None => return Ok(None),
        }
    }
    let edge = |found: &Range<usize>| if how.from_start { found.end } else { found.start };
    let fits = |found: &Range<usize>| text.is_char_boundary(edge(found));
    let backwards = how.from_start == how.longest;
    Ok(find(text, last, left, backwards, fits, work)?.map(|found| edge(&found)))
}

/// Where a part without stars stands at an end of a text.
fn anchored(
    text: &str,
    part: &str,
    at_start: bool,
    work: &mut Work,
) -> Result<Option<Range<usize>>, Trouble> {
    work.step(part.len())?;
    let Some(start) = text.len().checked_sub(part.len()) else {
        return Ok(None);
    };
    let range = match at_start {
        true => 0..part.len(),
        false => start..text.len(),
    };
    let is_same = same(&text.as_bytes()[range.clone()], part.as_bytes()) == part.len();
    Ok(is_same.then_some(range))
}

/// The first or the last place of a part without stars in a range of a text, of those that fit.
fn find(
    text: &str,
    part: &str,
    range: Range<usize>,
    backwards: bool,
    fits: impl Fn(&Range<usize>) -> bool,
    work: &mut Work,
) -> Result<Option<Range<usize>>, Trouble> {
    if !part.is_empty() && !part.contains('?') {
        return literal(text, part, range, backwards, work);
    }
    let Some(last) = range
        .end
        .checked_sub(part.len())
        .filter(|last| *last >= range.start)
    else {
        return Ok(None);
    };
    for step in 0..=last - range.start {
        let start = if backwards {
            last - step
        } else {
            range.start + step
        };
        let place = start..start + part.len();
        let alike = same(&text.as_bytes()[place.clone()], part.as_bytes());
        work.step(4 + alike)?;
        if alike == part.len() && fits(&place) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// The same for a part that stands for nothing but itself: it never begins or ends inside of a character.
fn literal(
    text: &str,
    part: &str,
    mut range: Range<usize>,
    backwards: bool,
    work: &mut Work,
) -> Result<Option<Range<usize>>, Trouble> {
    while range.start < range.end && !text.is_char_boundary(range.start) {
        range.start += 1;
    }
    while range.end > range.start && !text.is_char_boundary(range.end) {
        range.end -= 1;
    }
    // One step for each byte that can be passed; the search prepares itself with the part.
    work.step(part.len().saturating_mul(4))?;
    let Some(inside) = text
        .get(range.clone())
        .filter(|inside| inside.len() >= part.len())
    else {
        return Ok(None);
    };
    let found = if backwards {
        inside.rfind(part)
    } else {
        inside.find(part)
    };
    let passed = match found {
        None => inside.len(),
        Some(at) if backwards => inside.len() - at,
        Some(at) => at,
    };
    work.step(passed)?;
    Ok(found.map(|at| range.start + at..range.start + at + part.len()))
}

/// How many bytes of two texts of one length are the same, from the start; `?` is the same as any.
fn same(text: &[u8], part: &[u8]) -> usize {
    text.iter()
        .zip(part)
        .take_while(|(byte, one)| **one == b'?' || byte == one)
        .count()
}
