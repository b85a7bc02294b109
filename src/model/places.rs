//! Where the values of a file stand, for what is said of them.

use super::secret::SecretText;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// The places of a value and of all in it. No text of a value is kept: it may be a secret.
#[derive(Debug, Default, PartialEq)]
pub struct PlaceIndex {
    line: u32,
    column: u32,
    below: Below,
}

#[derive(Debug, Default, PartialEq)]
enum Below {
    #[default]
    Nothing,
    Items(Vec<PlaceIndex>),
    Entries(Vec<(String, PlaceIndex)>),
}

impl PlaceIndex {
    /// The place of a value that holds no others.
    pub fn of(line: u32, column: u32) -> Self {
        let below = Below::Nothing;
        Self { line, column, below }
    }

    /// The same of a list with these items.
    #[must_use]
    pub fn with_items(self, items: Vec<Self>) -> Self {
        let below = Below::Items(items);
        Self { below, ..self }
    }

    /// The same of a mapping with these entries.
    #[must_use]
    pub fn with_entries(self, mut entries: Vec<(String, Self)>) -> Self {
        // Patches look for each of thousands. Most entries stand in some order already, of which this kind of sorting makes use.
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let below = Below::Entries(entries);
        Self { below, ..self }
    }

    /// The same at another place.
    #[must_use]
    pub fn at(self, line: u32, column: u32) -> Self {
        Self { line, column, ..self }
    }

    /// Line and column of the value at a JSON pointer.
    pub fn get(&self, pointer: &str) -> Option<(u32, u32)> {
        let found = pointer.split('/').skip(1).try_fold(self, |place, part| {
            let part = match part.contains('~') {
                true => Cow::Owned(part.replace("~1", "/").replace("~0", "~")),
                false => Cow::Borrowed(part),
            };
            match &place.below {
                Below::Nothing => None,
                Below::Items(items) => items.get(part.parse::<usize>().ok()?),
                Below::Entries(entries) => {
                    let found = entries.binary_search_by(|(key, _)| (**key).cmp(&*part)).ok()?;
                    Some(&entries[found].1)
                }
            }
        });
        found.map(|place| (place.line, place.column))
    }
}

/// How the places of all documents of a text are found.
pub type ReadPlaces = fn(&str) -> Vec<PlaceIndex>;

/// The text of a file, in which places are looked for once, when the first mistake asks: for all of its documents, since a file of
/// thousands may hold thousands of mistakes.
pub struct FilePlaces {
    text: SecretText,
    read: ReadPlaces,
    index: OnceLock<Vec<PlaceIndex>>,
}

impl FilePlaces {
    /// The places of a text; `read` finds them.
    pub fn of(text: SecretText, read: ReadPlaces) -> Self {
        Self {
            text,
            read,
            index: OnceLock::new(),
        }
    }
}

/// Where the values of one document stand in its file, by JSON pointer.
#[derive(Default)]
pub struct Places {
    file: Option<Arc<FilePlaces>>,
    document: usize,
    below: String,
    /// Where all of it starts, for what is said of all of it: the text needs no second look then.
    start: Option<(u32, u32)>,
}

impl Places {
    /// The places of a document, of which `below` is the part that is meant ("" for all of it).
    pub fn of(file: Arc<FilePlaces>, document: usize, below: String) -> Self {
        Self {
            file: Some(file),
            document,
            below,
            start: None,
        }
    }

    /// The same with the place at which all of it starts.
    pub fn starting(self, line: u32, column: u32) -> Self {
        Self {
            start: Some((line, column)),
            ..self
        }
    }

    /// Line and column of the value at a JSON pointer.
    pub(super) fn get(&self, pointer: &str) -> Option<(u32, u32)> {
        if let Some(start) = self.start.filter(|_| pointer.is_empty()) {
            return Some(start);
        }
        let file = self.file.as_ref()?;
        let index = file
            .index
            .get_or_init(|| (file.read)(file.text.expose_str().unwrap_or_default()));
        let index = index.get(self.document)?;
        index.get(&format!("{}{pointer}", self.below))
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may be a secret.
        write!(f, "Places of document {}{}", self.document, self.below)
    }
}

impl PartialEq for Places {
    fn eq(&self, other: &Self) -> bool {
        let text = |places: &Self| places.file.as_ref().map(|file| file.text.expose().to_vec());
        (self.document, &self.below) == (other.document, &other.below) && text(self) == text(other)
    }
}

impl Eq for Places {}
