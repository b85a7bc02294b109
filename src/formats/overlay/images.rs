//! Changing images, all entries of a kustomization in one walk through each object.
//!
//! kustomize goes through everything once for each entry, and an entry may change what an earlier one made. Here each image's text
//! goes through the entries in their order, and those that may fit it are looked up.

use super::kustomization::Image;
use super::object::Object;
use crate::formats::pattern;
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// The entries of a kustomization.
pub(super) struct Images<'a> {
    entries: &'a [Image],
    /// Entries by their names, which mean themselves.
    words: HashMap<&'a str, Vec<usize>>,
    /// Where the names have dots, each of which means any letter, with the length of the name: most names have no other special
    /// character.
    shapes: BTreeSet<(usize, Vec<usize>)>,
    /// Entries by such names.
    dotted: HashMap<&'a str, Vec<usize>>,
    /// All the rest.
    regexes: Vec<(usize, Regex)>,
    /// What changing images cost so far, in looks.
    pub(super) looks: usize,
}

/// Where a walk is, as far as the places of images in pods care.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Root,
    Spec,
    Template,
    PodSpec,
    Containers,
    Volumes,
    VolumeImage,
    Image,
    Elsewhere,
}

/// How near a walk is to an image of some list of containers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Near {
    Nothing,
    List,
    Item,
    Image,
}

impl At {
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Root, "spec") => Self::Spec,
            (Self::Spec, "template") => Self::Template,
            (Self::Template, "spec") => Self::PodSpec,
            (Self::Spec | Self::PodSpec, "containers" | "initContainers") => Self::Containers,
            (Self::Containers, "image") | (Self::VolumeImage, "reference") => Self::Image,
            (Self::Spec | Self::PodSpec, "volumes") => Self::Volumes,
            (Self::Volumes, "image") => Self::VolumeImage,
            _ => Self::Elsewhere,
        }
    }
}

impl<'a> Images<'a> {
    /// Reads the names, and says which of them are wrong.
    pub(super) fn new(entries: &'a [Image]) -> (Self, Vec<(&'a Image, String)>) {
        let mut images = Self {
            entries,
            words: HashMap::new(),
            shapes: BTreeSet::new(),
            dotted: HashMap::new(),
            regexes: Vec::new(),
            looks: 0,
        };
        let mut wrong = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let name = entry.name.as_str();
            let literal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/:@".contains(&byte);
            let short = name.len() <= pattern::TEXT_BYTES_MAX / 2;
            if short && name.bytes().all(literal) {
                images.words.entry(name).or_default().push(number);
            } else if short && name.bytes().all(|byte| literal(byte) || byte == b'.') {
                let dots = name.match_indices('.').map(|(at, _)| at).collect();
                images.shapes.insert((name.len(), dots));
                images.dotted.entry(name).or_default().push(number);
            } else {
                // The name is a pattern in kustomize, which few people know and some use.
                let text = format!("^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$");
                match pattern::compile(&text) {
                    Ok(regex) => images.regexes.push((number, regex)),
                    Err(what) if wrong.len() < pattern::MISTAKES_MAX => {
                        wrong.push((entry, format!("the image name {what}")));
                    }
                    Err(_) => break,
                }
            }
        }
        (images, wrong)
    }

    /// Changes the images of an object: in the places of pods, and below every `containers` and `initContainers`, as kustomize
    /// does for kinds that it does not know.
    pub(super) fn change(&mut self, object: &mut Object) -> Result<(), String> {
        self.looks += 4;
        if !holds_image(&object.resource.value) {
            return Ok(());
        }
        let everywhere = object.resource.kind() != "CustomResourceDefinition";
        self.walk(object.resource.value_mut(), At::Root, everywhere, Near::Nothing)
    }

    fn walk(&mut self, value: &mut Value, at: At, everywhere: bool, near: Near) -> Result<(), String> {
        self.looks += 1;
        match value {
            Value::Object(map) => {
                for (key, below) in map {
                    let listed = matches!(key.as_str(), "containers" | "initContainers");
                    let next = match near {
                        Near::Item if key == "image" => Near::Image,
                        _ if listed && below.is_array() => Near::List,
                        _ => Near::Nothing,
                    };
                    self.walk(below, at.below(key), everywhere, next)?;
                }
                Ok(())
            }
            Value::Array(items) => {
                let at = if at == At::Image { At::Elsewhere } else { at };
                let next = match near {
                    Near::List => Near::Item,
                    _ => Near::Nothing,
                };
                items
                    .iter_mut()
                    .try_for_each(|one| self.walk(one, at, everywhere, next))
            }
            Value::String(text) if at == At::Image || near == Near::Image => {
                // kustomize looks twice at what is in both kinds of places.
                let times = usize::from(at == At::Image) + usize::from(everywhere && near == Near::Image);
                self.text(text, times);
                Ok(())
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => match at {
                At::Elsewhere | At::Image => Ok(()),
                _ => Err("images are looked for in something that is no map".to_owned()),
            },
            Value::Null => Ok(()),
        }
    }

    /// Takes an image through the entries.
    fn text(&mut self, text: &mut String, times: usize) {
        let mut from = 0;
        while let Some(number) = self.next(text, from) {
            for _ in 0..times {
                if self.next(text, number) == Some(number) {
                    *text = changed(text, &self.entries[number]);
                }
            }
            from = number + 1;
        }
    }

    /// The first entry from a number on whose name fits.
    fn next(&mut self, text: &str, from: usize) -> Option<usize> {
        let mut first: Option<usize> = None;
        let mut found = |numbers: &[usize]| {
            let at = numbers.partition_point(|number| *number < from);
            if let Some(number) = numbers.get(at) {
                first = Some(first.map_or(*number, |first| first.min(*number)));
            }
        };
        let names = names(text);
        self.looks += 4 + text.len() / 64;
        for name in &names {
            if let Some(numbers) = self.words.get(name) {
                found(numbers);
            }
            let shapes = self
                .shapes
                .range((name.len(), Vec::new())..(name.len() + 1, Vec::new()));
            for (_, dots) in shapes {
                self.looks += 1;
                let letters = dots.iter().all(|at| name.as_bytes()[*at] != b'\n');
                let mut masked = name.as_bytes().to_vec();
                for at in dots {
                    masked[*at] = b'.';
                }
                let masked = String::from_utf8(masked).unwrap_or_default();
                if letters && let Some(numbers) = self.dotted.get(masked.as_str()) {
                    found(numbers);
                }
            }
        }
        let ahead = self.regexes.partition_point(|(number, _)| *number < from);
        for (number, regex) in &self.regexes[ahead..] {
            if first.is_some_and(|first| first < *number) {
                break;
            }
            self.looks += 2 + text.len() / 16;
            if regex.is_match(text) {
                return Some(*number);
            }
        }
        first
    }
}

/// Whether anything in it may be an image: what holds none is not copied to be changed.
fn holds_image(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, below)| match key.as_str() {
            "containers" | "initContainers" | "volumes" => true,
            "spec" if !below.is_object() => true,
            _ => holds_image(below),
        }),
        Value::Array(items) => items.iter().any(holds_image),
        _ => false,
    }
}

/// What the name of an image may be: the text without a tag, without a digest, or without both.
fn names(text: &str) -> Vec<&str> {
    let word = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.{}-".contains(&byte))
    };
    let without_tag = |text| {
        let (name, tag): (&str, &str) = str::rsplit_once(text, ':')?;
        word(tag).then_some(name)
    };
    let without_digest = str::rsplit_once(text, "@sha256:")
        .filter(|(_, digest)| word(digest))
        .map(|(name, _)| name);
    let mut names = vec![text];
    names.extend(without_tag(text));
    names.extend(without_digest);
    names.extend(without_digest.and_then(without_tag));
    names
}

fn changed(image: &str, change: &Image) -> String {
    let (name, mut tag, mut digest) = split_image(image);
    let mut name = name.to_owned();
    if let Some(fresh) = change.new_name.as_ref().filter(|fresh| !fresh.is_empty()) {
        name.clone_from(fresh);
    }
    let suffixed;
    match (
        change.new_tag.as_deref().filter(|tag| !tag.is_empty()),
        change.digest.as_deref().filter(|one| !one.is_empty()),
    ) {
        (Some(fresh), Some(sum)) => (tag, digest) = (fresh, sum),
        (Some(fresh), None) => (tag, digest) = (fresh, ""),
        (None, Some(sum)) => (tag, digest) = ("", sum),
        (None, None) => {
            if let Some(more) = change.tag_suffix.as_deref().filter(|more| !more.is_empty()) {
                suffixed = format!("{tag}{more}");
                (tag, digest) = (&suffixed, "");
            }
        }
    }
    if !tag.is_empty() {
        name = format!("{name}:{tag}");
    }
    if !digest.is_empty() {
        name = format!("{name}@{digest}");
    }
    name
}

/// `[[host[:port]/]component/]component[:tag][@digest]`, taken apart.
fn split_image(image: &str) -> (&str, &str, &str) {
    let path = image.find('/').filter(|at| *at > 0).unwrap_or(0);
    let at = image[path..].find('@').map(|found| found + path);
    let colon = image[path..].find(':').map(|found| found + path);
    match (colon, at) {
        (None, None) => (image, "", ""),
        (Some(colon), Some(at)) if colon < at => (&image[..colon], &image[colon + 1..at], &image[at + 1..]),
        (_, Some(at)) => (&image[..at], "", &image[at + 1..]),
        (Some(colon), None) => (&image[..colon], &image[colon + 1..], ""),
    }
}
