//! Lines over time as SVG. Colours come from the page's style, so that they suit light and dark.

use super::shown;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 30.0;

/// Points of a line; more are not seen, and make the page heavy.
const POINTS_MAX: usize = 480;

/// Marks of a plot; more hide the lines.
const MARKS_MAX: usize = 400;

/// What a mark takes with some room around it.
const MARK_HEIGHT: f64 = 13.0;

/// Labels below a plot.
const LABELS: usize = 5;

/// A line; where its value is not known it has a gap.
pub(super) struct Line<'a> {
    pub(super) class: &'a str,
    pub(super) name: &'a str,
    pub(super) values: &'a [Option<f64>],
}

/// Something that happened.
pub(super) struct Mark {
    pub(super) at: i64,
    pub(super) up: bool,
    pub(super) text: String,
}

/// Lines over time.
pub(super) struct Plot<'a> {
    /// What it shows, for those who hear it.
    pub(super) label: String,
    /// The time of the first value, and of the last.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Marks sit on the first line.
    pub(super) lines: Vec<Line<'a>>,
    pub(super) marks: Vec<Mark>,
    /// Values that are drawn across, with their names.
    pub(super) levels: Vec<(f64, &'static str)>,
    pub(super) top: f64,
    pub(super) unit: fn(f64) -> String,
}

/// Text that can stand anywhere in a page.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Letters that are not seen, or turn the direction of reading, could make a name look like another.
            letter
                if letter.is_control()
                    || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}') =>
            {
                safe.push('\u{fffd}');
            }
            letter => safe.push(letter),
        }
    }
    safe
}

/// The least round number that is not below a value, of which quarters are round too.
pub(super) fn nice(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps
        .iter()
        .map(|step| step * power)
        .find(|nice| *nice >= value)
        .unwrap_or(value)
}

impl Plot<'_> {
    fn x(&self, at: f64) -> f64 {
        let length = (self.last - self.first).max(1) as f64;
        LEFT + (at - self.first as f64) / length * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value / self.top).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    }

    /// The plot as an element of a page.
    pub(super) fn svg(&self) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(&self.label)
        );
        self.axes(&mut svg);
        for (value, _) in &self.levels {
            let y = self.y(*value);
            let _ = writeln!(
                svg,
                "<line class=\"level\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                WIDTH - RIGHT
            );
        }
        // The first line is the one that matters: it is drawn last.
        for line in self.lines.iter().rev() {
            let _ = writeln!(
                svg,
                "<path class=\"line {}\" d=\"{}\"><title>{}</title></path>",
                line.class,
                self.path(line.values),
                escaped(line.name)
            );
        }
        let mut before: Option<(i64, f64)> = None;
        for mark in self.marks.iter().take(MARKS_MAX) {
            // Marks of one time stand above each other.
            let raised = before.filter(|(at, _)| *at == mark.at);
            let raised = raised.map_or(0.0, |(_, raised)| raised + MARK_HEIGHT);
            self.mark(&mut svg, mark, raised);
            before = Some((mark.at, raised));
        }
        for (value, name) in &self.levels {
            let _ = writeln!(
                svg,
                "<text class=\"level-name\" x=\"{}\" y=\"{:.1}\">{name} {}</text>",
                LEFT + 6.0,
                self.y(*value) - 4.0,
                escaped(&(self.unit)(*value)),
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String) {
        for quarter in 0..=4 {
            let value = self.top * f64::from(quarter) / 4.0;
            let y = self.y(value);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                escaped(&(self.unit)(value)),
            );
        }
        for label in 0..LABELS {
            let part = label as f64 / (LABELS - 1) as f64;
            let at = self.first + ((self.last - self.first) as f64 * part) as i64;
            let anchor = match label {
                0 => "start",
                last if last + 1 == LABELS => "end",
                _ => "middle",
            };
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                self.x(at as f64),
                HEIGHT - 6.0,
                shown::time(at)
            );
        }
    }

    /// The time of a value by its place among so many.
    fn at(&self, index: f64, count: usize) -> f64 {
        let part = index / count.saturating_sub(1).max(1) as f64;
        self.first as f64 + (self.last - self.first) as f64 * part
    }

    fn path(&self, values: &[Option<f64>]) -> String {
        let size = values.len().div_ceil(POINTS_MAX).max(1);
        let (mut path, mut pen) = (String::new(), 'M');
        for (index, some) in values.chunks(size).enumerate() {
            let known: Vec<f64> = some.iter().copied().flatten().collect();
            if known.is_empty() {
                pen = 'M';
                continue;
            }
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            let middle = index as f64 * size as f64 + (some.len() - 1) as f64 / 2.0;
            let _ = write!(
                path,
                "{pen}{:.1} {:.1}",
                self.x(self.at(middle, values.len())),
                self.y(mean)
            );
            pen = 'L';
        }
        path
    }

    fn mark(&self, svg: &mut String, mark: &Mark, raised: f64) {
        let values = self.lines.first().map_or(&[][..], |line| line.values);
        let length = (self.last - self.first).max(1) as f64;
        let place = (mark.at - self.first) as f64 / length * values.len().saturating_sub(1) as f64;
        let value = values.get(place.max(0.0).round() as usize).copied().flatten();
        let (x, y) = (self.x(mark.at as f64), self.y(value.unwrap_or(0.0)) - raised);
        let (class, tip, base) = match mark.up {
            true => ("up", y - 7.0, y + 4.0),
            false => ("down", y + 7.0, y - 4.0),
        };
        let _ = writeln!(
            svg,
            "<path class=\"mark {class}\" d=\"M{x:.1} {tip:.1}L{:.1} {base:.1}L{:.1} {base:.1}Z\"><title>{}</title></path>",
            x - 5.5,
            x + 5.5,
            escaped(&mark.text)
        );
    }
}
