//! Which claims a backup is meant to hold, as Velero applies namespaces and labels.

use std::collections::{BTreeMap, BTreeSet};

/// Which claims are in scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Namespaces; `*` alone means all.
    pub included: Vec<String>,
    /// Namespaces that are not.
    pub excluded: Vec<String>,
    /// Labels that objects must carry.
    pub labels: BTreeMap<String, String>,
}

impl Scope {
    /// Whether a namespace is backed up.
    pub fn takes_namespace(&self, namespace: &str, left_out: &BTreeSet<String>) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, namespace));
        any(&self.included) && !any(&self.excluded) && !left_out.contains(namespace)
    }

    /// Whether an object's labels are those that are asked for.
    pub fn takes_labels<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let mut wanted = self.labels.iter();
        wanted.all(|(key, value)| label(key) == Some(value))
    }
}

/// Whether a name is of a pattern: `*` and `?` stand for any characters and any one, `[abc]` and `[a-z]` for one of a set, `{a,b}` for one
/// of several. Velero (1.18, `pkg/util/wildcard`) refuses braces, and so does `validate`; they are read here so that a volume which somebody
/// means to be in scope is missed aloud and not in silence.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    alternatives(&pattern).iter().any(|one| is_of(one, &name))
}

/// How many patterns one with braces may stand for: nobody writes more, and each pair of braces multiplies them.
const ALTERNATIVES_MAX: usize = 64;

/// The patterns without braces that one with braces stands for.
fn alternatives(pattern: &[char]) -> Vec<Vec<char>> {
    let mut whole = vec![pattern.to_vec()];
    loop {
        let braced = whole.iter().enumerate().find_map(|(place, one)| {
            let open = one.iter().position(|c| *c == '{')?;
            let close = open + one[open..].iter().position(|c| *c == '}')?;
            Some((place, open, close))
        });
        let Some((place, open, close)) = braced.filter(|_| whole.len() < ALTERNATIVES_MAX) else {
            return whole;
        };
        let one = whole.swap_remove(place);
        for inner in one[open + 1..close].split(|c| *c == ',') {
            whole.push([&one[..open], inner, &one[close + 1..]].concat());
        }
    }
}

/// Without braces: greedy, and back to the last star where that fails, so that no pattern takes more than the product of both lengths.
fn is_of(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match one(&pattern[at..], name[read]) {
            One::Star => {
                star = Some((at, read));
                at += 1;
            }
            One::Takes(length) => {
                at += length;
                read += 1;
            }
            One::No => match &mut star {
                Some((place, from)) => {
                    *from += 1;
                    (at, read) = (*place + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// What the beginning of a pattern makes of one character.
enum One {
    /// It is a star.
    Star,
    /// So many characters of the pattern take it.
    Takes(usize),
    /// It is another.
    No,
}

fn one(pattern: &[char], read: char) -> One {
    match pattern.first() {
        Some('*') => One::Star,
        Some('?') => One::Takes(1),
        Some('[') => match pattern.iter().position(|c| *c == ']') {
            Some(close) if in_set(&pattern[1..close], read) => One::Takes(close + 1),
            _ => One::No,
        },
        Some(c) if *c == read => One::Takes(1),
        _ => One::No,
    }
}

fn in_set(set: &[char], read: char) -> bool {
    match set {
        [from, '-', to] => (*from..=*to).contains(&read),
        _ => set.contains(&read),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_the_names_that_velero_takes() {
        for (pattern, takes, leaves) in [
            ("db", &["db"][..], &["dbx", "xdb", "d", ""][..]),
            ("*", &["db", "a"], &[]),
            ("team-*", &["team-a", "team-"], &["team", "xteam-a"]),
            ("*-prod", &["a-prod", "a-prod-prod"], &["a-prod-x", "prod"]),
            ("a*b*c", &["abc", "axxbxxc", "abbcc"], &["ab", "acb"]),
            ("db-?", &["db-1"], &["db-", "db-12"]),
            ("db-[12]", &["db-1", "db-2"], &["db-3", "db-12"]),
            ("db-[a-c]x", &["db-ax", "db-cx"], &["db-dx", "db-a"]),
            ("{db,web}-*", &["db-1", "web-x"], &["app-1"]),
            ("a{b,c}{d,e}", &["abd", "ace"], &["ab", "abc"]),
            ("db-[", &[], &["db-[", "db-"]),
        ] {
            for name in takes {
                assert!(matches(pattern, name), "{pattern} takes {name}");
            }
            for name in leaves {
                assert!(!matches(pattern, name), "{pattern} does not take {name}");
            }
        }
    }

    #[test]
    fn patterns_that_repeat_themselves_end_soon() {
        let name = "a".repeat(63);
        assert!(!matches(&format!("{}b", "a*".repeat(30)), &name));
        assert!(!matches(&"{a,b}".repeat(40), &name));
    }

    #[test]
    fn a_namespace_is_in_scope_when_it_is_included_and_neither_excluded_nor_labelled_out() {
        let scope = Scope {
            included: vec!["db-*".into(), "web".into()],
            excluded: vec!["db-test".into()],
            labels: BTreeMap::new(),
        };
        let out = BTreeSet::from(["db-scratch".to_owned()]);
        for (namespace, expected) in [
            ("db-1", true),
            ("web", true),
            ("db-test", false),
            ("db-scratch", false),
            ("app", false),
        ] {
            assert_eq!(scope.takes_namespace(namespace, &out), expected, "{namespace}");
        }
    }
}
