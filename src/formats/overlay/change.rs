//! What a kustomization changes in its objects by entries of their own: patches and replacements.

use super::build::{Build, CHANGE_LOOKS};
use super::kustomization::{Kustomization, Patch, Replacement};
use super::object::Object;
use super::patches::{Body, Patching, READ_BYTES};
use super::replacements;
use crate::model::diagnostic::Place;
use std::borrow::Cow;

impl Build<'_> {
    pub(super) fn patch(&mut self, folder: &str, patches: &[Patch], objects: &mut Vec<Object>) {
        if patches.is_empty() {
            return;
        }
        let files = self.files;
        // The index takes as much as a change of each object.
        if !self.only_names && !self.may_look(objects.len(), CHANGE_LOOKS, &patches[0].place) {
            return;
        }
        let mut patching = (!self.only_names).then(|| Patching::new(objects, std::mem::take(&mut self.work)));
        for written in patches {
            let (text, place, inline) = match (&written.path, &written.inline) {
                (Some((reference, place)), _) => {
                    let Some(target) = self.resolve(folder, reference, place) else {
                        continue;
                    };
                    if !files.paths().contains(&target) {
                        self.missing(reference, place);
                        continue;
                    }
                    self.wanted.insert(target.clone());
                    if self.only_names {
                        continue;
                    }
                    match files.text(&target) {
                        Some(text) => (text, Place::file(target), false),
                        None => {
                            let message = format!("{reference} is no text");
                            self.refuse(place.clone(), "unreadable", message, "save it as UTF-8");
                            continue;
                        }
                    }
                }
                (None, inline) => {
                    let text = inline.as_deref().unwrap_or_default();
                    (Cow::Borrowed(text), written.place.clone(), true)
                }
            };
            if let Some(patching) = &mut patching {
                let secret = files.secret(&place.path);
                let body = Body {
                    text: &text,
                    place,
                    inline,
                    secret,
                };
                self.diagnostics.extend(patching.apply(written, &body));
                if patching.work.told {
                    break;
                }
            }
        }
        if let Some(patching) = patching {
            self.work = patching.finish();
        }
    }

    pub(super) fn replace(&mut self, folder: &str, replacement: &Replacement, objects: &mut [Object]) {
        let Some((reference, place)) = &replacement.path else {
            if !self.only_names {
                self.replace_one(replacement, false, objects);
            }
            return;
        };
        let Some(target) = self.resolve(folder, reference, place) else {
            return;
        };
        if !self.files.paths().contains(&target) {
            self.missing(reference, place);
            return;
        }
        self.wanted.insert(target.clone());
        if self.only_names {
            return;
        }
        let text = self.files.text(&target).unwrap_or_default();
        // A file may be named many times, and is read each time.
        if !self.may_look(1 + text.len() / READ_BYTES, 1, place) {
            return;
        }
        let secret = self.files.secret(&target);
        match Kustomization::read_replacements(&target, &text, secret) {
            Err(diagnostics) => self.diagnostics.extend(diagnostics),
            Ok(found) => {
                for one in &found {
                    if self.work.told {
                        break;
                    }
                    self.replace_one(one, secret, objects);
                }
            }
        }
    }

    fn replace_one(&mut self, one: &Replacement, secret: bool, objects: &mut [Object]) {
        match replacements::apply(objects, one, secret, &mut self.work) {
            Ok(()) => {}
            Err(replacements::Failed::TooMuch(trouble)) => {
                self.may(Err::<(), _>(trouble), &one.place);
            }
            Err(replacements::Failed::Wrong((message, help))) => {
                self.refuse(one.place.clone(), "replacement", message, help);
            }
        }
    }
}
