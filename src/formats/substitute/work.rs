//! What the substitutions of a build may cost: steps, and bytes by which they make objects larger.

use serde_json::Value;

/// Steps of one build. A step is a byte that is looked at or written, which takes about a nanosecond; what takes longer counts as
/// several. That is room for a variable of a kilobyte in ten thousand places.
const STEPS_MAX: usize = 16_000_000;

/// The same for each object that has expressions, about as long as reading an object takes.
const STEPS_PER_OBJECT: usize = 8_000;

/// Bytes by which substitutions may make the objects of one build larger: a kilobyte for each of twelve thousand objects.
const GROWN_BYTES_MAX: usize = 12 << 20;

/// What it takes to find a variable.
pub(super) const NAME_STEPS: usize = 96;

/// What it takes to read a text as YAML, and each byte of it: a list of numbers has a value every other byte.
const READ_STEPS: usize = 500;
const READ_STEPS_PER_BYTE: usize = 96;

/// What a value takes besides its text.
const VALUE_BYTES: usize = 32;

/// The rule of too much work, as overlays have it.
const TOO_MUCH: &str = "too-much-work";

/// What went wrong: a rule, a message and what to do.
pub(super) type Trouble = (&'static str, String, &'static str);

/// What was done in one build so far.
#[derive(Default)]
pub struct Work {
    steps: usize,
    objects: usize,
    grown: usize,
    /// Bytes of the texts that have expressions.
    read: usize,
    /// Whether it was told that it is too much.
    pub(super) told: bool,
}

impl Work {
    /// Counts an object that has expressions.
    pub(super) fn object(&mut self) {
        self.objects += 1;
    }

    /// Counts a text that has expressions, which is looked through twice: for where they begin and for where they end.
    pub(super) fn text(&mut self, bytes: usize) {
        self.read = self.read.saturating_add(bytes);
    }

    fn steps_max(&self) -> usize {
        STEPS_MAX
            .saturating_add(self.objects.saturating_mul(STEPS_PER_OBJECT))
            .saturating_add(self.read.saturating_mul(2))
    }

    /// Whether a bound was passed.
    pub(super) fn is_too_much(&self) -> bool {
        self.steps > self.steps_max() || self.grown > GROWN_BYTES_MAX
    }

    /// Counts steps, and says whether they may be.
    ///
    /// # Errors
    /// When it is too much work.
    pub(super) fn step(&mut self, steps: usize) -> Result<(), Trouble> {
        self.steps = self.steps.saturating_add(steps);
        let max = self.steps_max();
        match self.steps > max {
            true => Err((
                TOO_MUCH,
                format!("the substitutions take more than {max} steps, so no more is substituted"),
                "use long variables in fewer places, and shorter patterns",
            )),
            false => Ok(()),
        }
    }

    /// Counts bytes by which objects become larger, and says whether they may be.
    ///
    /// # Errors
    /// When they are too many.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Trouble> {
        self.grown = self.grown.saturating_add(bytes);
        match self.grown > GROWN_BYTES_MAX {
            true => Err((
                TOO_MUCH,
                format!(
                    "the substitutions make objects larger by more than {GROWN_BYTES_MAX} bytes, so no more is substituted"
                ),
                "use long variables in fewer places",
            )),
            false => Ok(()),
        }
    }

    /// Counts a text that is read as YAML.
    ///
    /// # Errors
    /// When it is too much work.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), Trouble> {
        self.step(READ_STEPS.saturating_add(bytes.saturating_mul(READ_STEPS_PER_BYTE)))
    }

    /// Counts the values that were read from a text whose bytes were counted.
    ///
    /// # Errors
    /// When they are too many.
    pub(super) fn keep(&mut self, value: &Value) -> Result<(), Trouble> {
        fn below(value: &Value) -> usize {
            match value {
                Value::Array(items) => items.iter().map(|item| 1 + below(item)).sum(),
                Value::Object(map) => map.values().map(|item| 2 + below(item)).sum(),
                _ => 0,
            }
        }
        self.grow(below(value).saturating_mul(VALUE_BYTES))
    }
}
