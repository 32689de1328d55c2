//! What is wrong with a configuration and where, shown the way a compiler does.

use std::fmt;
use std::ops::Range;

/// Everything that was found wrong with a configuration, in the order of the file.
///
/// `Display` shows each problem with its line and a caret; it never shows the value of a setting
/// that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one problem.
    pub problems: Vec<Diagnostic>,
}

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Key path of the setting, for example `store.url` or `brand[2].query`; empty for the file as
    /// a whole.
    pub key: String,
    /// What is wrong; lower case, no trailing full stop.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// Where it is written.
    pub place: Place,
}

/// Where a setting is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the text of a file.
    Text {
        /// Name of the file, or of what stands in for it.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The line, with what may be a secret left out.
        excerpt: String,
        /// The characters of the excerpt to point at.
        caret: Range<usize>,
    },
    /// In an environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// In the file as a whole.
    Whole {
        /// Name of the file.
        name: String,
    },
}

impl ConfigError {
    /// An error, if there are problems.
    pub fn of(problems: impl IntoIterator<Item = Diagnostic>) -> Result<(), Self> {
        let problems: Vec<Diagnostic> = problems.into_iter().collect();
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

impl Diagnostic {
    /// A problem of the file as a whole, for example that it cannot be read.
    pub fn of_file(name: &str, message: impl Into<String>) -> Self {
        Self { key: String::new(), message: message.into(), help: None, place: Place::Whole { name: name.to_owned() } }
    }

    /// A problem of a query that is called `name`, in the characters `span` of it.
    pub fn of_query(name: &str, query: &str, span: Range<usize>, message: &str, help: Option<String>) -> Self {
        let byte = |character: usize| query.char_indices().nth(character).map_or(query.len(), |(byte, _)| byte);
        let place = place(name, query, byte(span.start)..byte(span.end), Show::All);
        Self { key: String::new(), message: message.to_owned(), help, place }
    }

    /// The same under another heading than `error`.
    pub fn headed<'a>(&'a self, heading: &'a str) -> impl fmt::Display + 'a {
        Headed { heading, diagnostic: self }
    }
}

/// A problem and what it is called.
struct Headed<'a> {
    heading: &'a str,
    diagnostic: &'a Diagnostic,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headed("error").fmt(f)
    }
}

impl fmt::Display for Headed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { key, message, help, place } = self.diagnostic;
        write!(f, "{}: {message}", self.heading)?;
        let key = if key.is_empty() { String::new() } else { format!(" ({key})") };
        let mut margin = String::new();
        match place {
            Place::Whole { name } => write!(f, "\n --> {name}{key}")?,
            Place::Environment { variable } => write!(f, "\n --> environment variable {variable}{key}")?,
            Place::Text { name, line, column, excerpt, caret } => {
                let number = line.to_string();
                margin = " ".repeat(number.len());
                let before = " ".repeat(caret.start);
                let carets = "^".repeat(caret.len().max(1));
                write!(f, "\n{margin}--> {name}:{line}:{column}{key}")?;
                write!(f, "\n{margin} |\n{number} | {excerpt}\n{margin} | {before}{carets}")?;
            }
        }
        if let Some(help) = help {
            write!(f, "\n{margin} = help: {help}")?;
        }
        Ok(())
    }
}

/// The most characters of a line that are shown.
const EXCERPT_WIDTH: usize = 100;

/// Words in a line that make its values too delicate to show.
const DELICATE: [&str; 8] = ["pass", "pwd", "token", "secret", "key", "cred", "auth", "://"];

/// How much of a line may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// The line up to its first `=`: the value has no part in the problem.
    Key,
    /// The whole line, or only the value itself where something else on the line is delicate.
    Value,
    /// The whole line, or only its key where the line is delicate.
    Syntax,
    /// The whole line: it is no setting.
    All,
}

/// Finds line and column of a byte range and makes an excerpt of its line.
pub(super) fn place(name: &str, text: &str, span: Range<usize>, show: Show) -> Place {
    let start = floor_char_boundary(text, span.start);
    let end = floor_char_boundary(text, span.end).max(start);
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();

    let column = text.get(line_start..start).unwrap_or_default().chars().count();
    let width = text.get(start..end.min(line_start + line.len())).unwrap_or_default().chars().count();
    let (excerpt, caret) = excerpt(line, column..column + width.max(1), show);
    Place::Text { name: name.to_owned(), line: before.matches('\n').count() + 1, column: column + 1, excerpt, caret }
}

/// The part of a line that may be shown, and where in it the characters `span` are now.
fn excerpt(line: &str, span: Range<usize>, show: Show) -> (String, Range<usize>) {
    let line: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let lower: String = line.iter().collect::<String>().to_lowercase();
    let delicate = show == Show::Key || DELICATE.iter().any(|word| lower.contains(word));
    if !delicate || show == Show::All {
        return clip(&line, span);
    }

    let key_end = line.iter().position(|c| *c == '=').map_or(line.len(), |equals| equals + 1);
    let mut shown: Vec<char> = line.get(..key_end).unwrap_or_default().to_vec();
    if span.end <= key_end {
        if key_end < line.len() {
            shown.extend([' ', '…']);
        }
        return clip(&shown, span);
    }
    shown.push(' ');
    let start = shown.len();
    match line.get(span.clone()) {
        Some(value) if show == Show::Value => shown.extend(value),
        _ => shown.push('…'),
    }
    let end = shown.len();
    clip(&shown, start..end)
}

/// Cuts a long line around the characters `span`.
fn clip(line: &[char], span: Range<usize>) -> (String, Range<usize>) {
    let first = if span.start > EXCERPT_WIDTH * 2 / 3 { span.start - EXCERPT_WIDTH / 3 } else { 0 };
    let lead = if first > 0 { "…" } else { "" };
    let kept: String = line.iter().skip(first).take(EXCERPT_WIDTH).collect();
    let tail = if line.len() > first + EXCERPT_WIDTH { "…" } else { "" };
    let start = span.start - first + lead.chars().count();
    let end = (start + span.len()).min(EXCERPT_WIDTH + 1).max(start + 1);
    (format!("{lead}{kept}{tail}").trim_end().to_owned(), start..end)
}

fn floor_char_boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0)
}

/// The valid name closest to what was written, where one is close.
fn nearest<'a>(written: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    valid
        .into_iter()
        .map(|name| (strsim::jaro_winkler(name, &written.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// `did you mean `url`? the keys are `kind`, `url``.
pub(super) fn suggest(written: &str, valid: &[&str], these: &str) -> String {
    let all = valid.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let all = if valid.is_empty() { format!("there are no {these} here") } else { format!("the {these} are {all}") };
    match nearest(written, valid.iter().copied()) {
        Some(name) => format!("did you mean `{name}`? {all}"),
        None => all,
    }
}
