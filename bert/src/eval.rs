//! How often a model agrees with people, beside the first tier and together with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fusion;
use crate::opinion::{Class, Probabilities};

/// Why labelled texts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line is no labelled text.
    #[error("{path}:{line}: expected neg, neu or pos, a tab and a text")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// The first tier's answer is not understood.
    #[error("the answer of `hearken score` is not understood: {0}")]
    FirstTier(String),
}

/// A labelled collection.
pub struct Set {
    /// Name of the file, without its ending.
    pub name: String,
    /// What people said, and the text.
    pub rows: Vec<(Class, String)>,
}

impl Set {
    /// Reads `label TAB text` lines.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = std::fs::read_to_string(path).map_err(|source| DataError::Io { path: path.to_owned(), source })?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
        let rows = lines.map(|(number, line)| {
            let row = line.split_once('\t').and_then(|(label, text)| Some((class(label)?, text.to_owned())));
            row.ok_or(DataError::Line { path: path.to_owned(), line: number + 1 })
        });
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.trim_end_matches(".tsv").trim_end_matches(".dev").to_owned();
        Ok(Self { name, rows: rows.collect::<Result<_, _>>()? })
    }

    /// Keeps at most so many rows, evenly spread: files may be sorted by label.
    pub fn thin_out(&mut self, rows: usize) {
        let all = self.rows.len();
        let mut index = 0_usize;
        self.rows.retain(|_| {
            // The first row of each of `rows` equal parts.
            let is_first = index == 0 || index.saturating_mul(rows) / all != (index - 1).saturating_mul(rows) / all;
            index += 1;
            rows >= all || is_first
        });
        self.rows.truncate(rows);
    }

    /// Nobody was asked for neutral texts: neither is the model.
    pub fn is_two_class(&self) -> bool {
        !self.rows.iter().any(|(class, _)| *class == Class::Neutral)
    }
}

fn class(label: &str) -> Option<Class> {
    match label {
        "neg" | "negative" => Some(Class::Negative),
        "neu" | "neutral" => Some(Class::Neutral),
        "pos" | "positive" => Some(Class::Positive),
        _ => None,
    }
}

/// Figures of one model on one set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Mean of the classes' recalls.
    pub recall: f64,
    /// Mean of the classes' F1.
    pub f1: f64,
    /// Share of right best guesses.
    pub accuracy: f64,
}

/// Compares guesses with what people said.
pub fn figures(set: &Set, answers: &[Probabilities]) -> Figures {
    let two_class = set.is_two_class();
    let guess = |answer: &Probabilities| match two_class {
        true => Probabilities { neutral: 0.0, ..*answer }.best().0,
        false => answer.best().0,
    };
    let pairs: Vec<(Class, Class)> = set.rows.iter().map(|(class, _)| *class).zip(answers.iter().map(guess)).collect();
    let share = |part: usize, of: usize| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    let classes: BTreeSet<Class> = pairs.iter().map(|(class, _)| *class).collect();
    let (mut recall, mut f1) = (0.0, 0.0);
    for class in &classes {
        let hits = pairs.iter().filter(|(is, guess)| is == class && guess == class).count();
        let actual = pairs.iter().filter(|(is, _)| is == class).count();
        let guessed = pairs.iter().filter(|(_, guess)| guess == class).count();
        recall += share(hits, actual);
        f1 += share(2 * hits, actual + guessed);
    }
    let count = classes.len().max(1) as f64;
    let right = pairs.iter().filter(|(is, guess)| is == guess).count();
    Figures { recall: recall / count, f1: f1 / count, accuracy: share(right, pairs.len()) }
}

/// What the first tier shows of a text: a line that `hearken score` prints.
#[derive(Debug, Clone, Deserialize)]
pub struct Shown {
    label: String,
    score: f32,
    confidence: f32,
}

impl Shown {
    /// Reads a line.
    pub fn read(line: &str) -> Result<Self, DataError> {
        let shown: Self = serde_json::from_str(line).map_err(|error| DataError::FirstTier(error.to_string()))?;
        match shown.label.as_str() {
            "negative" | "neutral" | "positive" | "unsure" => Ok(shown),
            other => Err(DataError::FirstTier(format!("the label {other:?} is not known"))),
        }
    }

    /// Its probabilities; where it is unsure, some that are shown alike.
    pub fn guessed(&self) -> Probabilities {
        let Self { score, confidence, .. } = *self;
        let neutral = fusion::neutral(score, confidence);
        let fits = [neutral.negative, neutral.positive].iter().all(|share| (-1e-3..=confidence + 1e-3).contains(share));
        fusion::recovered(&self.label, score, confidence).unwrap_or_else(|| match fits {
            true => neutral,
            false => fusion::polar(score, confidence),
        })
    }

    /// The opinion of both tiers together, as `hearken-bert run` gives it.
    pub fn with(&self, second: &Probabilities) -> Probabilities {
        let first = fusion::recovered(&self.label, self.score, self.confidence);
        first.map_or(*second, |first| fusion::fused(&first, second))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::opinion::Opinion;

    fn answers(labels: &[Class]) -> Vec<Probabilities> {
        let of = |class: Class, label: Class| if class == label { 0.8 } else { 0.1 };
        let answer = |label: &Class| Probabilities {
            negative: of(Class::Negative, *label),
            neutral: of(Class::Neutral, *label),
            positive: of(Class::Positive, *label),
        };
        labels.iter().map(answer).collect()
    }

    fn set(labels: &[Class]) -> Set {
        Set { name: "x".to_owned(), rows: labels.iter().map(|label| (*label, String::new())).collect() }
    }

    #[test]
    fn figures_are_those_of_the_definitions() {
        use Class::{Negative, Neutral, Positive};
        let set = set(&[Negative, Negative, Neutral, Positive]);
        let figures = figures(&set, &answers(&[Negative, Positive, Neutral, Positive]));
        assert!((figures.recall - (0.5 + 1.0 + 1.0) / 3.0).abs() < 1e-9);
        assert!((figures.f1 - (2.0 / 3.0 + 1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-9);
        assert!((figures.accuracy - 0.75).abs() < 1e-9);
    }

    #[test]
    fn thinning_out_keeps_rows_of_the_whole_file() {
        use Class::{Negative, Positive};
        let sorted: Vec<Class> = [vec![Negative; 50], vec![Positive; 50]].concat();
        for (rows, kept) in [(10, 10), (7, 7), (100, 100), (1000, 100), (0, 0)] {
            let mut set = set(&sorted);
            set.thin_out(rows);
            assert_eq!(set.rows.len(), kept);
            let positive = set.rows.iter().filter(|(class, _)| *class == Positive).count();
            assert!(positive.abs_diff(kept / 2) <= 1, "{positive} of {kept}");
        }
    }

    #[test]
    fn in_a_two_class_set_nothing_is_guessed_neutral() {
        use Class::{Negative, Neutral, Positive};
        let figures = figures(&set(&[Negative, Positive]), &answers(&[Neutral, Positive]));
        // Where the sides are as probable, the guess is negative.
        assert!((figures.accuracy - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_the_first_tier_prints_gives_its_probabilities_back() {
        for (negative, neutral, positive) in [(0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.05, 0.15, 0.8), (0.3, 0.44, 0.26)] {
            let is = Probabilities { negative, neutral, positive };
            let read = Shown::read(&line(&is.opinion())).unwrap().guessed();
            assert!(
                (read.negative - negative).abs() < 1e-3 && (read.positive - positive).abs() < 1e-3,
                "{read:?} {is:?}"
            );
        }
        // Where it is unsure, more than one may fit: one that would be shown alike.
        let shown = Probabilities { negative: 0.4, neutral: 0.35, positive: 0.25 }.opinion();
        let read = Shown::read(&line(&shown)).unwrap().guessed().opinion();
        assert!((read.score - shown.score).abs() < 1e-3 && (read.confidence - shown.confidence).abs() < 1e-3);
        assert!(Shown::read("{}").is_err() && Shown::read(r#"{"label":"x","score":0,"confidence":0}"#).is_err());
    }

    fn line(shown: &Opinion) -> String {
        let Opinion { sentiment, score, confidence } = shown;
        format!(r#"{{"label":"{sentiment}","score":{score},"confidence":{confidence},"language":"en"}}"#)
    }
}
