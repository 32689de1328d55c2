//! Text that stands in columns, whatever script it is in.

use std::borrow::Cow;

use jiff::Timestamp;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At the left.
    Left,
    /// At the right: numbers.
    Right,
}

/// Colour of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// The terminal's own.
    Plain,
    /// Titles.
    Bold,
    /// What is less important.
    Faint,
    /// Speaks well.
    Good,
    /// Speaks ill, or went wrong.
    Bad,
    /// Bars and curves.
    Accent,
}

impl Ink {
    /// The text in this colour, where colours are wanted.
    pub fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Self::Bold => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Accent => "36",
            Self::Plain => return text.to_owned(),
        };
        if colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A piece of text and its colour.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    ink: Ink,
}

impl Cell {
    /// A text in this colour.
    pub fn new(text: impl Into<String>, ink: Ink) -> Self {
        Self { text: text.into(), ink }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Ink::Plain)
    }
}

/// Rows under a head; every column as wide as its widest cell.
#[derive(Debug)]
pub struct Table {
    head: Vec<(String, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows; empty titles make no head.
    pub fn new(head: &[(&str, Align)]) -> Self {
        Self { head: head.iter().map(|(title, align)| ((*title).to_owned(), *align)).collect(), rows: Vec::new() }
    }

    /// Adds a row: one cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(cells);
    }

    /// The table, indented by two columns, two columns between columns.
    pub fn render(&self, colour: bool) -> String {
        let widest = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.text.width());
            cells.chain(self.head.get(index).map(|(title, _)| title.width())).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(widest).collect();
        let titles: Vec<Cell> = self.head.iter().map(|(title, _)| Cell::new(title.as_str(), Ink::Faint)).collect();
        let mut text = String::new();
        for row in
            std::iter::once(&titles).filter(|_| self.head.iter().any(|(title, _)| !title.is_empty())).chain(&self.rows)
        {
            let mut line = String::new();
            // Spaces wait until something follows them, so that no line ends in spaces.
            let mut owed = 2;
            for ((cell, (_, align)), width) in row.iter().zip(&self.head).zip(&widths) {
                let spare = width.saturating_sub(cell.text.width());
                let (before, after) = if *align == Align::Right { (spare, 0) } else { (0, spare) };
                if !cell.text.is_empty() {
                    line.push_str(&" ".repeat(owed + before));
                    line.push_str(&cell.ink.paint(&cell.text, colour));
                    owed = 0;
                    owed += after + 2;
                } else {
                    owed += width + 2;
                }
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// Text from outside without what could steer a terminal: no control characters (they could move the cursor or change
/// what is shown), no line breaks.
pub fn clean(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { c });
    visible.filter(|c| !is_direction_control(*c)).collect()
}

/// Text from outside, made fit for one line of a terminal: [`clean`], right-to-left text isolated so that it leaves its
/// neighbours in place, and no more than `width` columns.
pub fn line(text: &str, width: usize) -> String {
    let words = clean(text);
    let words = words.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let cut = shorten(&words, width);
    if cut.chars().any(is_right_to_left) {
        // First strong isolate ... pop directional isolate.
        format!("\u{2068}{cut}\u{2069}")
    } else {
        cut.into_owned()
    }
}

fn shorten(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used >= width
    });
    let kept = end.and_then(|(end, _)| text.get(..end)).unwrap_or(text);
    Cow::Owned(format!("{}…", kept.trim_end()))
}

fn is_direction_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{0590}'..='\u{08ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}')
}

/// A bar of `width` columns at most, an eighth of a column fine.
pub(super) fn bar(share: f64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let rest = PARTS.get(eighths % 8).copied().unwrap_or_default();
    format!("{}{rest}", "█".repeat(eighths / 8))
}

/// A curve of one column for each value; nothing is a dot, so that it differs from little.
pub(super) fn curve(values: &[u64]) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = values.iter().copied().max().unwrap_or(0);
    let step = |value: &u64| match value.saturating_mul(8).div_ceil(highest.max(1)) {
        0 => '·',
        step => STEPS.get(step as usize - 1).copied().unwrap_or('█'),
    };
    values.iter().map(step).collect()
}

/// 1234567 as `1,234,567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 1234567 as `1.2M`.
pub(super) fn magnitude(value: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(size, _)| value >= *size) {
        Some((size, unit)) => format!("{:.1}{unit}", value as f64 / size as f64),
        None => value.to_string(),
    }
}

/// Milliseconds as the two largest units that matter.
pub fn duration(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        _ if millis < 0 => format!("-{}", duration(millis.saturating_neg())),
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment to the minute, UTC.
pub fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// How long ago something was; old things have a date.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let millis = now.as_millisecond() - at.as_millisecond();
    if (0..172_800_000).contains(&millis) { format!("{} ago", duration(millis)) } else { minute(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(line("a\x1b[31mred\r\nnext\u{202e}\tend\u{9b}", 40), "a [31mred next end");
    }

    #[test]
    fn text_is_cut_by_columns_not_by_characters() {
        assert_eq!(line("手机发布会很棒", 7), "手机发…");
        assert!(line("手机发布会很棒", 8).width() <= 8);
        assert_eq!(line("short", 5), "short");
    }

    #[test]
    fn right_to_left_text_is_isolated() {
        assert_eq!(line("تهران", 10), "\u{2068}تهران\u{2069}");
        assert_eq!(line("تهران", 10).width(), 5);
    }

    #[test]
    fn columns_line_up_in_every_script() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right)]);
        for (name, n) in [("abc", "1"), ("手机", "22"), ("😀", "333"), ("\u{2068}سلام\u{2069}", "4")] {
            table.row(vec![name.into(), n.into()]);
        }
        let widths: Vec<usize> = table.render(false).lines().map(UnicodeWidthStr::width).collect();
        assert_eq!(widths, [11, 11, 11, 11, 11]);
    }

    #[test]
    fn bars_and_curves_show_proportions() {
        assert_eq!(
            (bar(0.0, 10), bar(0.5, 10), bar(1.0, 3), bar(f64::NAN, 3)),
            (String::new(), "█████".to_owned(), "███".to_owned(), String::new())
        );
        assert_eq!(curve(&[0, 1, 4, 8]), "·▁▄█");
        assert_eq!((curve(&[]), curve(&[0])), (String::new(), "·".to_owned()));
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            (count(0), count(999), count(1_234_567)),
            ("0".to_owned(), "999".to_owned(), "1,234,567".to_owned())
        );
        assert_eq!(
            (magnitude(999), magnitude(1_500), magnitude(2_340_000)),
            ("999".to_owned(), "1.5k".to_owned(), "2.3M".to_owned())
        );
        assert_eq!(
            (duration(12), duration(61_000), duration(-5_000), duration(90_000_000)),
            ("12 ms".to_owned(), "1 min".to_owned(), "-5 s".to_owned(), "25 h 0 min".to_owned())
        );
    }
}
