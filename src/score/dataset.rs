//! Labelled texts from files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::language;
use super::math::fnv1a;

/// What people said of a text: 0 negative, 1 neutral, 2 positive.
pub(crate) type Class = usize;
pub(crate) const NEGATIVE: Class = 0;
pub(crate) const NEUTRAL: Class = 1;
pub(crate) const POSITIVE: Class = 2;

const TRAIN_SUFFIX: &str = ".train.tsv";
const DEV_SUFFIX: &str = ".dev.tsv";
/// One row in so many is held out where a set has no file of its own for that.
const HELD_OUT: u64 = 10;

/// A text with its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) class: Class,
    pub(crate) text: String,
}

/// A text with what a person says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// BCP 47 primary tag.
    pub language: String,
    /// `negative`, `neutral` or `positive`.
    pub label: String,
    /// The text.
    pub text: String,
}

/// A labelled collection in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    /// File name without its suffix: `LANGUAGE_SOURCE`.
    pub(crate) name: String,
    /// From the beginning of the name, dialects under their language; `None` where it names none.
    pub(crate) language: Option<&'static str>,
    /// To learn from.
    pub(crate) train: Vec<Row>,
    /// Held out, to calibrate and measure with.
    pub(crate) dev: Vec<Row>,
}

impl Set {
    /// Takes one row in ten out of those to learn from.
    fn hold_out(&mut self) {
        let held_out = |row: &mut Row| text_hash(&row.text).is_multiple_of(HELD_OUT);
        self.dev = self.train.extract_if(.., held_out).collect();
    }

    /// Nobody was asked for neutral texts: the model is not asked for the difference either.
    pub(crate) fn is_two_class(&self) -> bool {
        is_two_class(self.train.iter().chain(&self.dev))
    }
}

/// Both polarities and nothing neutral.
pub(crate) fn is_two_class<'a>(rows: impl IntoIterator<Item = &'a Row>) -> bool {
    let mut seen = [false; 3];
    for row in rows {
        if let Some(seen) = seen.get_mut(row.class) {
            *seen = true;
        }
    }
    seen == [true, false, true]
}

/// Why labelled texts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line is not a labelled text.
    #[error("{path}:{line}: {reason}")]
    Line {
        /// File.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// There is nothing to work with.
    #[error("{reason}")]
    Empty {
        /// What is missing, and where it was looked for.
        reason: String,
    },
}

/// Loads the sets that the paths name: a directory stands for its `NAME.train.tsv` and
/// `NAME.dev.tsv` files, a file for itself; both files of a NAME make one set. Where a set has no
/// dev file, one row in ten is held out, chosen by a hash of its text, so that equal texts are never
/// on both sides.
pub(crate) fn load_sets(paths: &[PathBuf]) -> Result<Vec<Set>, DataError> {
    let mut sets: Vec<Set> = Vec::new();
    for file in files(paths)? {
        let file_name = file.file_name().unwrap_or_default().to_string_lossy();
        let (name, is_dev) = match file_name.strip_suffix(DEV_SUFFIX) {
            Some(name) => (name, true),
            None => (file_name.strip_suffix(TRAIN_SUFFIX).unwrap_or(file_name.trim_end_matches(".tsv")), false),
        };
        let rows = read_tsv(&file)?;
        let place = match sets.iter().position(|set| set.name == name) {
            Some(place) => place,
            None => {
                let language = language_of(name);
                sets.push(Set { name: name.to_owned(), language, train: Vec::new(), dev: Vec::new() });
                sets.len() - 1
            }
        };
        if let Some(set) = sets.get_mut(place) {
            if is_dev { &mut set.dev } else { &mut set.train }.extend(rows);
        }
    }
    sets.iter_mut().filter(|set| set.dev.is_empty()).for_each(Set::hold_out);
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    match sets.is_empty() {
        true => Err(DataError::Empty { reason: format!("no NAME{TRAIN_SUFFIX} file in {paths:?}") }),
        false => Ok(sets),
    }
}

/// A set `LANGUAGE_corrections` for each language, by language.
pub(crate) fn correction_sets(corrections: &[Labelled]) -> Result<Vec<Set>, DataError> {
    let mut sets: BTreeMap<String, Set> = BTreeMap::new();
    for Labelled { language, label, text } in corrections {
        let class = parse_label(label).ok_or_else(|| DataError::Empty { reason: unknown_label(label) })?;
        let name = format!("{language}_corrections");
        let set = sets.entry(name.clone()).or_insert_with(|| Set {
            language: language_of(&name),
            name,
            train: Vec::new(),
            dev: Vec::new(),
        });
        set.train.push(Row { class, text: text.clone() });
    }
    let mut sets: Vec<Set> = sets.into_values().collect();
    sets.iter_mut().for_each(Set::hold_out);
    Ok(sets)
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let io_error = |source| DataError::Io { path: path.clone(), source };
        for entry in std::fs::read_dir(path).map_err(io_error)? {
            let file = entry.map_err(io_error)?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(TRAIN_SUFFIX) || name.ends_with(DEV_SUFFIX) {
                files.push(file);
            }
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// `tr_movie` is Turkish.
pub(crate) fn language_of(name: &str) -> Option<&'static str> {
    name.split_once('_').and_then(|(tag, _)| language::primary(tag))
}

fn text_hash(text: &str) -> u64 {
    let hash = fnv1a(text.as_bytes());
    hash ^ hash >> 32
}

pub(crate) fn read_text(path: &Path) -> Result<String, DataError> {
    std::fs::read_to_string(path).map_err(|source| DataError::Io { path: path.to_owned(), source })
}

/// Lines of `label TAB text`. A blank line is none.
pub(crate) fn read_tsv(path: &Path) -> Result<Vec<Row>, DataError> {
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(number, line)| {
            let problem = |reason: String| DataError::Line { path: path.to_owned(), line: number + 1, reason };
            let (label, text) =
                line.split_once('\t').ok_or_else(|| problem("expected a label, a tab and a text".to_owned()))?;
            let class = parse_label(label).ok_or_else(|| problem(unknown_label(label)))?;
            Ok(Row { class, text: text.to_owned() })
        })
        .collect()
}

/// Lines of `language TAB text`.
pub(crate) fn read_languages(path: &Path) -> Result<Vec<(&'static str, String)>, DataError> {
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(number, line)| {
            let (tag, text) = line.split_once('\t').unwrap_or((line, ""));
            let tag = language::primary(tag).ok_or_else(|| DataError::Line {
                path: path.to_owned(),
                line: number + 1,
                reason: "expected a known language tag, a tab and a text".to_owned(),
            })?;
            Ok((tag, text.to_owned()))
        })
        .collect()
}

/// JSON objects, one a line, with the text and the label in the named fields.
pub(crate) fn read_jsonl(path: &Path, text_field: &str, label_field: &str) -> Result<Vec<Row>, DataError> {
    let rows = read_objects(path, label_field, [text_field])?;
    Ok(rows.into_iter().map(|(class, [text])| Row { class, text }).collect())
}

/// The label and these text fields of each JSON object of a file.
pub(crate) fn read_objects<const N: usize>(
    path: &Path,
    label_field: &str,
    fields: [&str; N],
) -> Result<Vec<(Class, [String; N])>, DataError> {
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let problem = |reason: String| DataError::Line { path: path.to_owned(), line: number + 1, reason };
            let object: Value = serde_json::from_str(line).map_err(|error| problem(format!("not JSON ({error})")))?;
            let field = |name: &str| {
                let value = object.get(name).and_then(Value::as_str);
                value.ok_or_else(|| problem(format!("expected a field {name:?} with a text")))
            };
            let label = field(label_field)?;
            let class = parse_label(label).ok_or_else(|| problem(unknown_label(label)))?;
            let mut values = fields.map(|_| String::new());
            for (value, name) in values.iter_mut().zip(fields) {
                field(name)?.clone_into(value);
            }
            Ok((class, values))
        })
        .collect()
}

fn parse_label(label: &str) -> Option<Class> {
    match label {
        "neg" | "negative" => Some(NEGATIVE),
        "neu" | "neutral" => Some(NEUTRAL),
        "pos" | "positive" => Some(POSITIVE),
        _ => None,
    }
}

fn unknown_label(label: &str) -> String {
    let shown: String = label.chars().take(20).collect();
    format!("the label is {shown:?}, expected neg, neu or pos")
}
