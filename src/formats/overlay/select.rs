//! Which objects a patch or a replacement is for: patterns of ids, and selectors of labels and annotations.

use super::object::{Index, Named, Object};
use crate::formats::pattern;
use regex::Regex;
use serde_json::Value;

/// Longest selector; real ones have a few dozen characters.
const TEXT_MAX: usize = 1000;

/// Requirements of one selector.
const REQUIREMENTS_MAX: usize = 64;

/// What is selected; every part that is given must fit.
#[derive(Default)]
pub(super) struct Selector {
    pub(super) group: Option<Pattern>,
    pub(super) version: Option<Pattern>,
    pub(super) kind: Option<Pattern>,
    pub(super) name: Option<Pattern>,
    pub(super) namespace: Option<Pattern>,
    pub(super) labels: Vec<Requirement>,
    pub(super) annotations: Vec<Requirement>,
}

/// One requirement of a selector, as Kubernetes writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    key: String,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// A pattern that must fit the whole text. Most are words that mean themselves, which need no regular expression and can be
/// looked up.
#[derive(Clone)]
pub(super) enum Pattern {
    Word(String),
    Regex(Regex),
}

impl Pattern {
    /// Whether a text is no more than a word.
    pub(super) fn is_word(text: &str) -> bool {
        text.len() <= pattern::TEXT_BYTES_MAX
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// See [`pattern::compile`].
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if Self::is_word(text) {
            return Ok(Self::Word(text.to_owned()));
        }
        pattern::compile(&format!("^(?:{text})$")).map(Self::Regex)
    }

    /// The word that it is.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Regex(_) => None,
        }
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => word == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// `a=b, c!=d, e in (f,g), h, !i` → requirements.
///
/// # Errors
/// What is wrong with it, in words that follow its name.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    if text.len() > TEXT_MAX {
        return Err(format!("is a selector of more than {TEXT_MAX} bytes"));
    }
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if letter == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    if parts.len() > REQUIREMENTS_MAX {
        return Err(format!("has more than {REQUIREMENTS_MAX} requirements"));
    }
    let none = || "is no selector".to_owned();
    if depth != 0 {
        return Err(none());
    }
    let trimmed = parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty());
    trimmed.map(|part| requirement(part).ok_or_else(none)).collect()
}

fn requirement(part: &str) -> Option<Requirement> {
    let made = |key: &str, rule: Rule| {
        let key = key.trim();
        let good = !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        good.then(|| Requirement {
            key: key.to_owned(),
            rule,
        })
    };
    if let Some((key, set)) = part.split_once('(') {
        let values = set.trim().strip_suffix(')')?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = key.split_whitespace();
        let (key, operator) = (words.next()?, words.next()?);
        return match operator {
            "in" => made(key, Rule::In(values)),
            "notin" => made(key, Rule::NotIn(values)),
            _ => None,
        };
    }
    if let Some(key) = part.strip_prefix('!').filter(|key| !key.contains('=')) {
        return made(key, Rule::Missing);
    }
    if let Some((key, value)) = part.split_once("!=") {
        return made(key, Rule::NotIn(vec![value.trim().to_owned()]));
    }
    match part.split_once('=') {
        Some((key, value)) => {
            let value = value.strip_prefix('=').unwrap_or(value);
            made(key, Rule::In(vec![value.trim().to_owned()]))
        }
        None => made(part, Rule::Exists),
    }
}

fn hold(requirements: &[Requirement], map: Option<&Value>) -> bool {
    requirements.iter().all(|one| {
        let value = map.and_then(|map| map.get(&one.key)).and_then(Value::as_str);
        match &one.rule {
            Rule::Exists => value.is_some(),
            Rule::Missing => value.is_none(),
            Rule::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Rule::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
        }
    })
}

fn fits(pattern: Option<&Pattern>, text: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.fits(text))
}

impl Selector {
    /// Positions of objects that it may be for, when its name or kind lets them be looked up.
    pub(super) fn candidates<'i>(&self, index: &'i Index) -> Option<&'i [usize]> {
        let word = |part: &Option<Pattern>| part.as_ref().and_then(Pattern::word).map(str::to_owned);
        match (word(&self.name), word(&self.kind)) {
            (Some(name), _) => Some(index.by_name(&name)),
            (None, Some(kind)) => Some(index.by_kind(&kind)),
            (None, None) => None,
        }
    }

    /// What it takes to compare it with one object, in looks.
    pub(super) fn looks(&self) -> usize {
        let parts = [
            &self.group,
            &self.version,
            &self.kind,
            &self.name,
            &self.namespace,
        ];
        let regexes = parts.into_iter().flatten().filter(|part| part.word().is_none());
        let words = self.labels.iter().chain(&self.annotations);
        let values = words.map(|one| match &one.rule {
            Rule::In(values) | Rule::NotIn(values) => 1 + values.len() / 8,
            Rule::Exists | Rule::Missing => 1,
        });
        2 + 3 * regexes.count() + values.sum::<usize>()
    }

    /// Whether it names no id at all.
    pub(super) fn names_nothing(&self) -> bool {
        [
            &self.group,
            &self.version,
            &self.kind,
            &self.name,
            &self.namespace,
        ]
        .iter()
        .all(|part| part.is_none())
    }

    /// Whether it selects an object as a patch does: by the name and namespace that it has, or those that it had first.
    pub(super) fn takes(&self, object: &Object) -> bool {
        let now = object.named();
        let first = object.before.first().map_or(now, super::object::Id::named);
        self.fits_kind(now)
            && (fits(self.name.as_ref(), first.name) || fits(self.name.as_ref(), now.name))
            && (self.namespace.is_none()
                || fits(self.namespace.as_ref(), first.effective_namespace())
                || fits(self.namespace.as_ref(), now.effective_namespace()))
            && self.fits_words(object)
    }

    /// Whether it selects an id, as a replacement does.
    pub(super) fn takes_id(&self, id: Named) -> bool {
        fits(self.namespace.as_ref(), id.namespace) && fits(self.name.as_ref(), id.name) && self.fits_kind(id)
    }

    fn fits_kind(&self, id: Named) -> bool {
        fits(self.group.as_ref(), id.group)
            && fits(self.version.as_ref(), id.version)
            && fits(self.kind.as_ref(), id.kind)
    }

    /// Whether labels and annotations fit.
    pub(super) fn fits_words(&self, object: &Object) -> bool {
        if self.labels.is_empty() && self.annotations.is_empty() {
            return true;
        }
        let metadata = object.resource.value.get("metadata");
        hold(&self.labels, metadata.and_then(|all| all.get("labels")))
            && hold(&self.annotations, metadata.and_then(|all| all.get("annotations")))
    }
}
