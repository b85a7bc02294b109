//! Ranges of semantic versions, as Flux selects tags with them: `>=1.2.0 <2.0.0`, `1.x`, `~1.4`, `^2 || ^3`, `^1 !=1.4.x`.

use nodejs_semver::{Range, Version};

/// Longest range that is read; real ones have a few dozen characters.
const RANGE_MAX: usize = 256;

/// Longest tag that is compared; longer ones are no versions.
const TAG_MAX: usize = 256;

/// A range: alternatives, of which one must hold.
#[derive(Clone, Debug)]
pub struct VersionRange {
    alternatives: Vec<Alternative>,
}

#[derive(Clone, Debug)]
struct Alternative {
    /// All of these hold. Each is npm's reading of one word: of words that contradict each other, such as `~1.4 >=1.5`, the
    /// library would make "or".
    bounds: Vec<Range>,
    /// What `!=` names, which npm does not have.
    excluded: Vec<Excluded>,
    /// Whether a bound names a pre-release: then pre-releases anywhere inside of the range count, as in the library that
    /// Flux uses (Masterminds/semver 3.4, `containsPre`); npm's own reading takes only those of the bound's version.
    prereleases: bool,
}

impl VersionRange {
    /// Reads a range.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let help = || {
            format!("`{text}` is no range of versions; write one such as `>=1.2.0 <2.0.0`, `~1.4` or `1.x`")
        };
        if text.len() > RANGE_MAX {
            return Err(format!("the range is longer than {RANGE_MAX} bytes"));
        }
        let alternatives: Option<Vec<Alternative>> = text.split("||").map(Alternative::read).collect();
        Ok(Self {
            alternatives: alternatives.ok_or_else(help)?,
        })
    }

    /// The newest of these tags that is a version in the range. A leading `v` is allowed, as Flux allows it; of two tags
    /// for one version the last by name wins, so that the answer does not depend on the order of the server.
    pub fn newest<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        tags.into_iter()
            .filter_map(|tag| Some((version(tag)?, tag)))
            .filter(|(version, _)| self.holds(version))
            .max_by(|(a, a_tag), (b, b_tag)| a.cmp(b).then_with(|| a_tag.cmp(b_tag)))
            .map(|(_, tag)| tag)
    }

    fn holds(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|one| one.holds(version))
    }
}

impl Alternative {
    fn read(part: &str) -> Option<Self> {
        // A comma means "and", and so does a blank.
        let spaced = part.replace(',', " ");
        let mut rest = String::new();
        let mut excluded = Vec::new();
        let mut pieces = spaced.split(NOT);
        let mut before = pieces.next().unwrap_or_default();
        rest.push_str(before);
        for (number, piece) in pieces.enumerate() {
            // It begins a word of its own, and is no end of `1.0.0 - 2.0.0`.
            let apart = before.ends_with(char::is_whitespace) || (number == 0 && before.is_empty());
            let apart = apart && !before.trim_end().ends_with('-');
            let word = piece.trim_start();
            let end = word.find(char::is_whitespace).unwrap_or(word.len());
            let apart = apart && !word[end..].trim_start().starts_with('-');
            excluded.push(Excluded::read(&word[..end]).filter(|_| apart)?);
            rest.push_str(&word[end..]);
            before = piece;
        }
        let bounds = bounds(&rest)?;
        if bounds.is_empty() && excluded.is_empty() {
            return None;
        }
        let named = |(before, after): (&str, &str)| {
            before.ends_with(|last: char| last.is_ascii_digit()) && !after.is_empty()
        };
        let mut signs = rest.split_whitespace().filter_map(|word| word.split_once('-'));
        Some(Self {
            bounds,
            prereleases: signs.any(named) || excluded.iter().any(|one| one.version.is_prerelease()),
            excluded,
        })
    }

    fn holds(&self, version: &Version) -> bool {
        let inside = |bound: &Range| version.satisfies_with_prerelease(bound, true);
        (self.prereleases || !version.is_prerelease())
            && self.bounds.iter().all(inside)
            && !self.excluded.iter().any(|one| one.names(version))
    }
}

/// The bounds that stand side by side; `>= 1.0.0` and `1.0.0 - 2.0.0` are one each.
fn bounds(text: &str) -> Option<Vec<Range>> {
    let sign = |letter: char| "<>=~^".contains(letter);
    let mut whole: Vec<String> = Vec::new();
    // Whether the last one goes on with the next word.
    let mut open = false;
    for word in text.split_whitespace() {
        let number = word.trim_start_matches(sign);
        // npm skips over signs that it does not know.
        if number.contains(sign) || number.contains('!') || (word == "-" && open) {
            return None;
        }
        match whole.last_mut() {
            Some(last) if word == "-" => last.push_str(" - "),
            Some(last) if open => last.push_str(word),
            _ => whole.push(word.to_owned()),
        }
        open = word == "-" || number.is_empty();
    }
    let read = |one: &String| Range::parse(as_npm_writes(one).as_deref().unwrap_or(one)).ok();
    (!open).then(|| whole.iter().map(read).collect()).flatten()
}

/// What the library that Flux uses (Masterminds/semver 3.4) reads otherwise than npm. `~0.0.0` is `>=0.0.0`, and not `<0.1.0` too
/// (`constraintTilde`); so is one with a pre-release, but none that leaves a part open. `=>` and `=<` are signs (`constraintOps`).
fn as_npm_writes(bound: &str) -> Option<String> {
    for (sign, plain) in [("=>", ">="), ("=<", "<=")] {
        if let Some(version) = bound.strip_prefix(sign) {
            return Some(format!("{plain}{version}"));
        }
    }
    let version = bound.strip_prefix('~')?;
    let version = version.strip_prefix('>').unwrap_or(version);
    let version = version.strip_prefix('v').unwrap_or(version);
    let core = version.split(['-', '+']).next()?;
    (core == "0.0.0").then(|| format!(">={version}"))
}

/// Begins what must not be.
const NOT: &str = "!=";

/// The version or the versions after `!=`, as Masterminds/semver 3.4 reads them (`parseConstraint`, `constraintNotEqual`).
#[derive(Clone, Debug)]
struct Excluded {
    /// With zeros for what was left open.
    version: Version,
    open: Open,
}

/// What a version leaves open: `1.x` and `1` the minor part and the patch, `1.2.x` and `1.2` the patch.
#[derive(Clone, Copy, Debug)]
enum Open {
    Nothing,
    Patch,
    Minor,
}

impl Excluded {
    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (core, more) = text.split_at(end);
        let parts: Option<Vec<Option<u64>>> = core.split('.').map(part).collect();
        let parts = parts.filter(|parts| parts.len() <= 3)?;
        let at = |index: usize| parts.get(index).copied().flatten();
        let ([major, minor, patch], open) = match (at(0), at(1), at(2)) {
            // As the library does it: an open major part means 0.0.0, and not every version.
            (None, _, _) => ([0; 3], Open::Nothing),
            (Some(major), None, _) => ([major, 0, 0], Open::Minor),
            (Some(major), Some(minor), None) => ([major, minor, 0], Open::Patch),
            (Some(major), Some(minor), Some(patch)) => ([major, minor, patch], Open::Nothing),
        };
        // npm lets a lone sign at the end pass.
        let version = Version::parse(format!("{major}.{minor}.{patch}{more}")).ok();
        let version = version.filter(|_| !matches!(more, "-" | "+"))?;
        Some(Self { version, open })
    }

    fn names(&self, other: &Version) -> bool {
        let own = &self.version;
        let minor = (own.major(), own.minor()) == (other.major(), other.minor());
        match self.open {
            Open::Minor => own.major() == other.major(),
            // Pre-releases of an open patch are others, as in the library.
            Open::Patch => minor && own.pre_release() == other.pre_release(),
            // What stands after a plus sign says nothing about the order of versions.
            Open::Nothing => own == other,
        }
    }
}

/// A number, or nothing for `x`; not a part at all otherwise.
fn part(text: &str) -> Option<Option<u64>> {
    match text {
        "x" | "X" | "*" => Some(None),
        "" => None,
        digits => {
            let number = digits.bytes().all(|byte| byte.is_ascii_digit());
            number.then(|| digits.parse().ok().map(Some)).flatten()
        }
    }
}

/// `1.2.3` or `v1.2.3`, and nothing shorter.
fn version(tag: &str) -> Option<Version> {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let strict = core.split('.').count() == 3
        && core
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    (strict && tag.len() <= TAG_MAX)
        .then(|| Version::parse(text).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn the_newest_tag_in_the_range_is_taken() {
        let tags = [
            "0.9.0",
            "v1.0.0",
            "1.2.3",
            "v1.4.0",
            "1.4.0-rc.1",
            "1.4.1-rc.1",
            "2.0.0-beta.1",
            "2.0.0",
            "v10.0.0",
            "latest",
            "1.9",
            "nightly-2.1.0",
            "v",
            "3.0.0+build.5",
            "01.2.3",
        ];
        for (range, expected) in [
            ("1.x", Some("v1.4.0")),
            (">=1.0.0 <1.3.0", Some("1.2.3")),
            (">= 1.0.0, < 1.3.0", Some("1.2.3")),
            ("~1.4", Some("v1.4.0")),
            ("^1.2", Some("v1.4.0")),
            ("1.0.0 - 1.3.0", Some("1.2.3")),
            ("^1 || ^2", Some("2.0.0")),
            ("~1.4.0-0", Some("1.4.1-rc.1")),
            (">=1.4.0-0 <2.0.0", Some("2.0.0-beta.1")),
            (">=1.4.0-0 <2.0.0-0", Some("1.4.1-rc.1")),
            ("~1.4.0-0 || ^1", Some("1.4.1-rc.1")),
            ("~1.3.0-0 || ^1", Some("v1.4.0")),
            ("*", Some("v10.0.0")),
            ("1.2.3", Some("1.2.3")),
            ("=1.2.3", Some("1.2.3")),
            ("3.x", Some("3.0.0+build.5")),
            // From the very first on, whatever the tilde says elsewhere.
            ("~0.0.0", Some("v10.0.0")),
            ("~> 0.0.0", Some("v10.0.0")),
            ("~v0.0.0 <2", Some("v1.4.0")),
            ("~0.0.0-0 <1.4.1", Some("1.4.1-rc.1")),
            ("=>1.2.0", Some("v10.0.0")),
            ("=<1.2.3", Some("1.2.3")),
            ("=> 1.2.0, =< 1.4", Some("v1.4.0")),
            ("~0.0", None),
            ("~0.0.x", None),
            ("~0", Some("0.9.0")),
            ("^0.0.0", None),
            (">20", None),
            // What contradicts itself holds for nothing.
            ("~1.4 >=1.5", None),
            (">=2.0.0, <=1.0.0", None),
            ("1.2.3 v1.4.0 || 0.x", Some("0.9.0")),
        ] {
            let range_read = VersionRange::parse(range).unwrap();
            assert_eq!(range_read.newest(tags), expected, "{range}");
        }
    }

    /// What Masterminds/semver 3.4 lets through of these versions.
    #[test]
    fn what_must_not_be_is_left_out() {
        let all = [
            "0.9.0",
            "1.0.0",
            "1.2.3",
            "1.4.0-rc.1",
            "1.4.0",
            "1.4.1-rc.1",
            "2.0.0-beta.1",
            "2.0.0",
            "3.0.0+build.5",
            "10.0.0",
        ];
        for (range, expected) in [
            ("!=1.0.0", "0.9.0 1.2.3 1.4.0 2.0.0 3.0.0+build.5 10.0.0"),
            ("!= 1.0.0", "0.9.0 1.2.3 1.4.0 2.0.0 3.0.0+build.5 10.0.0"),
            ("!=1.2.x", "0.9.0 1.0.0 1.4.0 2.0.0 3.0.0+build.5 10.0.0"),
            ("!=1.2", "0.9.0 1.0.0 1.4.0 2.0.0 3.0.0+build.5 10.0.0"),
            ("!=1.x", "0.9.0 2.0.0 3.0.0+build.5 10.0.0"),
            ("!=1", "0.9.0 2.0.0 3.0.0+build.5 10.0.0"),
            ("!=*", "0.9.0 1.0.0 1.2.3 1.4.0 2.0.0 3.0.0+build.5 10.0.0"),
            ("!=x", "0.9.0 1.0.0 1.2.3 1.4.0 2.0.0 3.0.0+build.5 10.0.0"),
            (">=1.0.0 !=1.4.0 <2.0.0", "1.0.0 1.2.3"),
            (">=1.0.0, !=1.4.0, <2.0.0", "1.0.0 1.2.3"),
            (">=1.0.0, != 1.4.0 <2.0.0", "1.0.0 1.2.3"),
            ("^1 !=1.4.0", "1.0.0 1.2.3"),
            ("^1,!=1.4.x", "1.0.0 1.2.3"),
            ("!=10.0.0 !=3.0.0 !=2.x", "0.9.0 1.0.0 1.2.3 1.4.0"),
            (
                "!=10.0.0 || !=3.0.0",
                "0.9.0 1.0.0 1.2.3 1.4.0 2.0.0 3.0.0+build.5 10.0.0",
            ),
            ("1.2.3 || !=1.x <2", "0.9.0 1.2.3"),
            ("!=v10.0.0", "0.9.0 1.0.0 1.2.3 1.4.0 2.0.0 3.0.0+build.5"),
            (
                "!=1.4.0-rc.1",
                "0.9.0 1.0.0 1.2.3 1.4.0 1.4.1-rc.1 2.0.0-beta.1 2.0.0 3.0.0+build.5 10.0.0",
            ),
            ("~1.4.0-0 !=1.4.1-rc.1", "1.4.0-rc.1 1.4.0"),
            (">=1.4.0-0 <2.0.0 !=2.0.0-beta.1", "1.4.0-rc.1 1.4.0 1.4.1-rc.1"),
            (">=1.4.0-0 !=1.4.x <2.0.0-0", "1.4.0-rc.1 1.4.1-rc.1"),
            (">=1.4.0-0 !=2 <3", "1.4.0-rc.1 1.4.0 1.4.1-rc.1"),
            ("!=3.0.0+build.5", "0.9.0 1.0.0 1.2.3 1.4.0 2.0.0 10.0.0"),
            ("!=3.0.0", "0.9.0 1.0.0 1.2.3 1.4.0 2.0.0 10.0.0"),
            (
                "!=1.2.x-rc.1",
                "0.9.0 1.0.0 1.2.3 1.4.0-rc.1 1.4.0 1.4.1-rc.1 2.0.0-beta.1 2.0.0 3.0.0+build.5 10.0.0",
            ),
            ("1.0.0 - 1.4.0 !=1.4.0", "1.0.0 1.2.3"),
            ("!=01.0.0", "0.9.0 1.2.3 1.4.0 2.0.0 3.0.0+build.5 10.0.0"),
            ("!=1.x.3", "0.9.0 2.0.0 3.0.0+build.5 10.0.0"),
            ("!=x.1", "0.9.0 1.0.0 1.2.3 1.4.0 2.0.0 3.0.0+build.5 10.0.0"),
        ] {
            let range_read = VersionRange::parse(range).unwrap();
            let held = all.iter().filter(|tag| range_read.newest([**tag]).is_some());
            let held: Vec<&str> = held.copied().collect();
            assert_eq!(held.join(" "), expected, "{range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            " ",
            ",",
            "main",
            ">=",
            "1.2.3.4",
            "!=",
            "!=1.0.0 !=",
            "!=1.2.3.4",
            "!=1.0.x.x",
            "!=1..0",
            "!=main",
            "!=V1.0.0",
            "!=1.0.0-",
            "!!=1.0.0",
            "!1.0.0",
            "!=>1.0.0",
            "!=~1.2",
            "! =1.0.0",
            "=!1.0.0",
            "^1!=1.4.0",
            "!=1.0.0!=1.4.0",
            ">=1.0.0 <",
            ">=1.0.0<2.0.0",
            "- 1.0.0",
            "1.0.0 -",
            "1.0.0 - - 2.0.0",
            "1.0.0 - !=1.4.0",
            "!=1.4.0 - 2.0.0",
            "1.0.0 !=1.4.0 - 2.0.0",
            "!=1.0.0 || ",
            "!=99999999999999999999999.0.0",
            &"1".repeat(300),
        ] {
            assert!(VersionRange::parse(text).is_err(), "{text}");
        }
    }
}
