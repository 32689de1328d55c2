//! Evaluation: how often the model agrees with people, and how well it knows when it does not.
//!
//! Three accuracies are told apart, because "unsure" can be counted in three ways:
//! - *accuracy*: of the best guess, whether the model would have shown it or not; recall, F1 and the
//!   confusion matrix count best guesses too,
//! - *accuracy when sure*: among the texts that got a label; coverage is their share,
//! - *accuracy with unsure as neutral*: what a reader sees who takes "unsure" for "neutral".
//!
//! Where a set has no neutral texts, the model is asked only which polarity is the more probable.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::dataset::{self, DataError, Labelled, NEGATIVE, NEUTRAL, POSITIVE, Row};
use super::model::{CLASSES, Model};

/// What to measure on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvalSource {
    /// `NAME.train.tsv` and `NAME.dev.tsv` files, or directories of them: their held-out rows, which
    /// are the dev file or, where there is none, the tenth that training holds out.
    HeldOut(Vec<PathBuf>),
    /// What people said where a model was wrong: the tenth that training holds out.
    Corrections(Vec<Labelled>),
    /// Every line of one `label TAB text` file.
    Tsv(PathBuf),
    /// Every line of a file of JSON objects.
    Jsonl {
        /// The file.
        path: PathBuf,
        /// Field that holds the text.
        text: String,
        /// Field that holds `positive`, `neutral` or `negative`.
        label: String,
    },
}

/// Figures of one set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetFigures {
    /// The set.
    pub name: String,
    /// Its language, where its name says so.
    pub language: Option<&'static str>,
    /// Texts.
    pub rows: usize,
    /// 2 where there are no neutral texts, else 3.
    pub classes: usize,
    /// Share of right best guesses.
    pub accuracy: f64,
    /// Share of right labels among the texts that got one.
    pub accuracy_when_sure: f64,
    /// Share of right labels if "unsure" means neutral.
    pub accuracy_unsure_is_neutral: f64,
    /// Share of texts that got a label.
    pub coverage: f64,
    /// Mean of the classes' recalls.
    pub macro_recall: f64,
    /// Mean of the classes' F1.
    pub macro_f1: f64,
    /// Mean gap between confidence and accuracy over ten equal bins of confidence.
    pub calibration_error: f64,
    /// Share of texts whose language was detected right.
    pub language_accuracy: Option<f64>,
    /// Texts by label (negative, neutral, positive), then by best guess.
    pub confusion: [[usize; CLASSES]; CLASSES],
}

/// Figures of all sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// The model.
    pub model: String,
    /// By set, in order of the names.
    pub sets: Vec<SetFigures>,
    /// Mean macro recall of the sets with three classes.
    pub macro_recall_three: Option<f64>,
    /// Mean macro F1 of the sets with three classes.
    pub macro_f1_three: Option<f64>,
    /// Mean macro recall of the sets with two classes.
    pub macro_recall_two: Option<f64>,
    /// Texts in all.
    pub rows: usize,
    /// Texts scored in a second by one thread.
    pub texts_per_second: f64,
}

/// Measures a model. `progress` gets the number of texts done and of all texts.
pub fn evaluate(
    model: &Model,
    sources: &[EvalSource],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation, DataError> {
    let sets = load(sources)?;
    let total = sets.iter().map(|(_, rows)| rows.len()).sum();
    let mut done = 0;
    let mut seconds = 0.0;
    let mut figures = Vec::new();
    for (name, rows) in &sets {
        progress(done, total);
        let start = Instant::now();
        let predictions: Vec<_> = rows.iter().map(|row| model.predict(&[&row.text], None)).collect();
        seconds += start.elapsed().as_secs_f64();
        let mut count = Counts::new(dataset::is_two_class(rows), dataset::language_of(name));
        for (row, prediction) in rows.iter().zip(&predictions) {
            count.add(row.class, prediction);
        }
        figures.push(count.figures(name));
        done += rows.len();
    }
    progress(done, total);
    let mean = |classes: usize, figure: fn(&SetFigures) -> f64| {
        let values: Vec<f64> = figures.iter().filter(|set| set.classes == classes).map(figure).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    Ok(Evaluation {
        model: model.name().to_owned(),
        macro_recall_three: mean(3, |set| set.macro_recall),
        macro_f1_three: mean(3, |set| set.macro_f1),
        macro_recall_two: mean(2, |set| set.macro_recall),
        rows: total,
        texts_per_second: total as f64 / seconds.max(1e-9),
        sets: figures,
    })
}

fn load(sources: &[EvalSource]) -> Result<Vec<(String, Vec<Row>)>, DataError> {
    let mut sets = Vec::new();
    let name_of = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    for source in sources {
        match source {
            EvalSource::HeldOut(paths) => {
                sets.extend(dataset::load_sets(paths)?.into_iter().map(|set| (set.name, set.dev)));
            }
            EvalSource::Corrections(corrections) => {
                sets.extend(dataset::correction_sets(corrections)?.into_iter().map(|set| (set.name, set.dev)));
            }
            EvalSource::Tsv(path) => sets.push((name_of(path), dataset::read_tsv(path)?)),
            EvalSource::Jsonl { path, text, label } => {
                sets.push((name_of(path), dataset::read_jsonl(path, text, label)?));
            }
        }
    }
    sets.retain(|(_, rows)| !rows.is_empty());
    match sets.is_empty() {
        true => Err(DataError::Empty { reason: "no labelled texts to evaluate on".to_owned() }),
        false => Ok(sets),
    }
}

struct Counts {
    is_two_class: bool,
    language: Option<&'static str>,
    rows: usize,
    sure: usize,
    right_when_sure: usize,
    right_unsure_neutral: usize,
    right_language: usize,
    confusion: [[usize; CLASSES]; CLASSES],
    /// By tenth of confidence: texts, right ones, sum of confidences.
    bins: [(usize, usize, f64); 10],
}

impl Counts {
    fn new(is_two_class: bool, language: Option<&'static str>) -> Self {
        Self {
            is_two_class,
            language,
            rows: 0,
            sure: 0,
            right_when_sure: 0,
            right_unsure_neutral: 0,
            right_language: 0,
            confusion: [[0; CLASSES]; CLASSES],
            bins: [(0, 0, 0.0); 10],
        }
    }

    fn add(&mut self, class: usize, prediction: &super::Prediction) {
        let [negative, neutral, positive] = prediction.probabilities;
        let (guess, confidence) = match (self.is_two_class, prediction.best()) {
            (true, _) if negative > positive => (NEGATIVE, negative / (negative + positive)),
            (true, _) => (POSITIVE, positive / (negative + positive)),
            (false, best @ NEGATIVE) => (best, negative),
            (false, best @ NEUTRAL) => (best, neutral),
            (false, best) => (best, positive),
        };
        let is_right = guess == class;
        self.rows += 1;
        self.sure += usize::from(!prediction.unsure);
        self.right_when_sure += usize::from(!prediction.unsure && is_right);
        let shown = if prediction.unsure { NEUTRAL } else { guess };
        self.right_unsure_neutral += usize::from(shown == class);
        self.right_language += usize::from(self.language == Some(prediction.language.tag));
        if let Some(count) = self.confusion.get_mut(class).and_then(|row| row.get_mut(guess)) {
            *count += 1;
        }
        let bin = ((confidence * 10.0) as usize).min(9);
        if let Some((texts, right, sum)) = self.bins.get_mut(bin) {
            *texts += 1;
            *right += usize::from(is_right);
            *sum += f64::from(confidence);
        }
    }

    fn figures(&self, name: &str) -> SetFigures {
        let share = |part: usize, of: usize| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        let (mut recalls, mut f1s, mut right, mut classes) = (0.0, 0.0, 0, 0);
        for (class, row) in self.confusion.iter().enumerate() {
            let actual = row.iter().sum();
            let hit = row.get(class).copied().unwrap_or(0);
            let guessed = self.confusion.iter().filter_map(|row| row.get(class)).sum::<usize>();
            right += hit;
            if actual > 0 {
                classes += 1;
                recalls += share(hit, actual);
                f1s += share(2 * hit, actual + guessed);
            }
        }
        let gaps = self.bins.iter().map(|(_, right, sum)| (*right as f64 - sum).abs());
        SetFigures {
            name: name.to_owned(),
            language: self.language,
            rows: self.rows,
            classes: if self.is_two_class { 2 } else { 3 },
            accuracy: share(right, self.rows),
            accuracy_when_sure: share(self.right_when_sure, self.sure),
            accuracy_unsure_is_neutral: share(self.right_unsure_neutral, self.rows),
            coverage: share(self.sure, self.rows),
            macro_recall: recalls / f64::from(classes.max(1)),
            macro_f1: f1s / f64::from(classes.max(1)),
            calibration_error: gaps.sum::<f64>() / self.rows.max(1) as f64,
            language_accuracy: self.language.map(|_| share(self.right_language, self.rows)),
            confusion: self.confusion,
        }
    }
}

impl Evaluation {
    /// An aligned table for people; percentages.
    pub fn to_table(&self) -> String {
        let percent = |share: f64| format!("{:.1}", share * 100.0);
        let optional = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
        let width = self.sets.iter().map(|set| set.name.chars().count()).max().unwrap_or(0).max(24);
        let mut table = format!(
            "{:width$} {:>6} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>8}\n",
            "set", "rows", "classes", "recall", "f1", "accuracy", "sure", "coverage", "as neu", "ece", "language"
        );
        for set in &self.sets {
            table += &format!(
                "{:width$} {:>6} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>8}\n",
                set.name,
                set.rows,
                set.classes,
                percent(set.macro_recall),
                percent(set.macro_f1),
                percent(set.accuracy),
                percent(set.accuracy_when_sure),
                percent(set.coverage),
                percent(set.accuracy_unsure_is_neutral),
                percent(set.calibration_error),
                optional(set.language_accuracy),
            );
        }
        let means = [
            ("mean of three-class sets", self.macro_recall_three, self.macro_f1_three),
            ("mean of two-class sets", self.macro_recall_two, None),
        ];
        for (name, recall, f1) in means {
            if recall.is_some() {
                table += &format!("{name:width$} {:>6} {:>7} {:>8} {:>8}\n", "", "", optional(recall), optional(f1));
            }
        }
        table += &format!("{}: {} texts, {:.0} texts/s in one thread\n", self.model, self.rows, self.texts_per_second);
        table
    }
}
