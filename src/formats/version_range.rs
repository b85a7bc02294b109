//! Ranges of semantic versions, as Flux selects tags with them: `>=1.2.0 <2.0.0`, `1.x`, `~1.4`, `^2 || ^3`.

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
    range: Range,
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
        let alternative = |part: &str| {
            // A comma means "and", and so does a blank.
            let spaced = part.replace(',', " ");
            let named = |(before, after): (&str, &str)| {
                before.ends_with(|last: char| last.is_ascii_digit()) && !after.is_empty()
            };
            Some(Alternative {
                range: Range::parse(&spaced).ok().filter(|_| !spaced.trim().is_empty())?,
                prereleases: spaced
                    .split_whitespace()
                    .filter_map(|word| word.split_once('-'))
                    .any(named),
            })
        };
        let alternatives: Option<Vec<Alternative>> = text.split("||").map(alternative).collect();
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
        self.alternatives
            .iter()
            .any(|one| version.satisfies_with_prerelease(&one.range, one.prereleases))
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
            (">20", None),
        ] {
            let range_read = VersionRange::parse(range).unwrap();
            assert_eq!(range_read.newest(tags), expected, "{range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", " ", "main", "!=1.0.0", ">=", "1.2.3.4", &"1".repeat(300)] {
            assert!(VersionRange::parse(text).is_err(), "{text}");
        }
    }
}
