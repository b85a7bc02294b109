//! What a kustomization changes in its objects by entries of their own: patches and replacements.

use super::build::Build;
use super::kustomization::{Kustomization, Patch, Replacement};
use super::object::Object;
use super::patches::{Body, Patching};
use super::replacements;
use super::select::Selector;
use crate::model::diagnostic::Place;

impl Build<'_> {
    pub(super) fn patch(&mut self, folder: &str, patches: &[Patch], objects: &mut Vec<Object>) {
        if patches.is_empty() {
            return;
        }
        let files = self.files;
        let mut patching = (!self.only_names).then(|| Patching::new(objects, self.written));
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
                        Some(text) => (text.into_owned(), Place::file(target), false),
                        None => {
                            let message = format!("{reference} is no text");
                            self.refuse(place.clone(), "unreadable", message, "save it as UTF-8");
                            continue;
                        }
                    }
                }
                (None, inline) => (inline.clone().unwrap_or_default(), written.place.clone(), true),
            };
            if let Some(patching) = &mut patching {
                let named = written.target.as_ref().is_none_or(Selector::is_named);
                let looks = if named { 1 } else { patching.objects.len() };
                if !self.may_look(looks, &place) {
                    break;
                }
                let secret = files.secret(&place.path);
                let body = Body {
                    text: &text,
                    place,
                    inline,
                    secret,
                };
                self.diagnostics.extend(patching.apply(written, &body));
            }
        }
        if let Some(patching) = patching {
            self.written = patching.finish();
        }
    }

    pub(super) fn replace(&mut self, folder: &str, replacement: &Replacement, objects: &mut [Object]) {
        let Some((reference, place)) = &replacement.path else {
            if !self.only_names
                && let Err((message, help)) =
                    replacements::apply(objects, replacement, false, &mut self.written)
            {
                self.refuse(replacement.place.clone(), "replacement", message, help);
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
        let secret = self.files.secret(&target);
        match Kustomization::read_replacements(&target, &text, secret) {
            Err(diagnostics) => self.diagnostics.extend(diagnostics),
            Ok(found) => {
                for one in &found {
                    if let Err((message, help)) = replacements::apply(objects, one, secret, &mut self.written)
                    {
                        self.refuse(one.place.clone(), "replacement", message, help);
                    }
                }
            }
        }
    }
}
