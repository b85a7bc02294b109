//! What a build may cost: looks at objects, and bytes that are written into them.

use serde_json::Value;

/// What the entries of kustomizations (patches, labels, images, replacements) may cost in one build, in looks at an object: a look
/// takes some 100 ns, and everything else counts as so many of them. That is 20 ms for any tree, and for a large one about as long
/// as reading its objects takes.
const LOOKS_MAX: usize = 200_000;

/// The same for each object of the files: twenty small patches that are for every object, which take some 26 looks each, and what
/// else a kustomization does to all.
const LOOKS_PER_OBJECT: usize = 600;

/// The same for each object of files that were listed before. What is small on disk may not make much work, so these count for less
/// and only up to a number: a base with a few dozen variants.
const LOOKS_PER_COPY: usize = 40;
const COPIES_MAX: usize = 7_500;

/// Bytes that patches, labels and replacements may write into objects in one build, for any tree: a patch of a kilobyte into
/// sixteen thousand objects.
const WRITTEN_BYTES_MAX: usize = 16 << 20;

/// The same for each object of the files: twenty patches of two hundred bytes.
const WRITTEN_BYTES_PER_OBJECT: usize = 4 << 10;

/// Levels of an object that patches and replacements may put together; files have no more than 100.
const LEVELS_MAX: usize = 150;

/// What an entry of a map takes besides its texts.
pub(super) const PAIR_BYTES: usize = 32;

/// What went wrong: a message and what to do.
pub(super) type Trouble = (String, &'static str);

/// What one build did so far.
#[derive(Default)]
pub(super) struct Work {
    looks: usize,
    /// Objects of the files, each counted once.
    pub(super) objects: usize,
    /// Objects of files that were listed before.
    pub(super) copies: usize,
    written: usize,
    /// Whether it was told that it is too much.
    pub(super) told: bool,
}

impl Work {
    /// Counts looks, and says whether they may be.
    ///
    /// # Errors
    /// When it is too much work.
    pub(super) fn look(&mut self, looks: usize) -> Result<(), Trouble> {
        self.looks = self.looks.saturating_add(looks);
        let copies = self.copies.min(COPIES_MAX) * LOOKS_PER_COPY;
        let max = LOOKS_MAX.max(
            self.objects
                .saturating_mul(LOOKS_PER_OBJECT)
                .saturating_add(copies),
        );
        match self.looks > max {
            true => Err((
                format!("patches and other entries look at objects more than {max} times"),
                "give targets a name or a kind, or bring entries together",
            )),
            false => Ok(()),
        }
    }

    /// Counts bytes that are written into objects, and says whether they may be.
    ///
    /// # Errors
    /// When they are too many.
    pub(super) fn write(&mut self, bytes: usize) -> Result<(), Trouble> {
        self.written = self.written.saturating_add(bytes);
        let max = WRITTEN_BYTES_MAX.max(self.objects.saturating_mul(WRITTEN_BYTES_PER_OBJECT));
        match self.written > max {
            true => Err((
                format!(
                    "patches, replacements and what is generated again write more than {max} bytes into objects"
                ),
                "narrow their targets",
            )),
            false => Ok(()),
        }
    }

    /// Counts a value that is put below so many levels of an object.
    ///
    /// # Errors
    /// When that is too much, or too deep: a stack could not hold it.
    pub(super) fn put(&mut self, value: &Value, levels: usize) -> Result<(), Trouble> {
        let mut size = Size::default();
        size.add(value, levels);
        if size.deepest > LEVELS_MAX {
            return Err((
                format!("patches and replacements put more than {LEVELS_MAX} levels together"),
                "no Kubernetes object needs so many; shorten the path",
            ));
        }
        self.look(size.values)?;
        self.write(size.bytes)
    }
}

#[derive(Default)]
struct Size {
    bytes: usize,
    values: usize,
    deepest: usize,
}

impl Size {
    fn add(&mut self, value: &Value, level: usize) {
        self.values += 1;
        self.deepest = self.deepest.max(level);
        if level > LEVELS_MAX {
            return;
        }
        match value {
            Value::Object(map) => {
                for (key, below) in map {
                    self.bytes += key.len() + PAIR_BYTES;
                    self.add(below, level + 1);
                }
            }
            Value::Array(items) => items.iter().for_each(|one| self.add(one, level + 1)),
            Value::String(text) => self.bytes += text.len(),
            _ => self.bytes += 8,
        }
    }
}
