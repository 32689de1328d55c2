//! Training: labelled texts and a lexicon -> [`Model`].
//!
//! Softmax regression on hashed features, by stochastic gradient steps with AdaGrad. Rows of a set
//! are weighed so that its classes count equally, times (rows / 2000)^-0.3, so that a large set does
//! not drown a small one. A set without neutral texts trains the difference of the polarities only.
//! A training can also go on from a model, which keeps its languages, lexicon and calibration: so does one that has
//! nothing but corrections to learn from.
//!
//! The order of rows comes from a fixed seed and all arithmetic is IEEE 754's own: the same files
//! give the same model, bit for bit.

use std::path::PathBuf;

use super::chars::Script;
use super::dataset::{self, DataError, Labelled, NEUTRAL, Row, Set};
use super::features::{self, Features};
use super::language::{self, LANES, LanguageTable, MAX_FEATURES};
use super::lexicon::Lexicon;
use super::math::{exp, ln, softmax};
use super::model::{BALANCES, CLASSES, Calibration, Model, SentimentTable};
use super::normalise::Text;

/// What to learn from, and how.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// Files `NAME.train.tsv` and `NAME.dev.tsv`, or directories of them. Lines are
    /// `label TAB text` with the labels neg, neu and pos; NAME begins with a language and `_`.
    pub sets: Vec<PathBuf>,
    /// Lines of `word TAB valence` (-5 to 5).
    pub lexicon: Option<PathBuf>,
    /// Lines of `language TAB text`: more texts to tell languages apart by, also languages that no
    /// set is in.
    pub languages: Option<PathBuf>,
    /// The model's name and version.
    pub name: String,
    /// What people said where a model was wrong; they are sets of their own, one for each language.
    pub corrections: Vec<Labelled>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self { sets: Vec::new(), lexicon: None, languages: None, name: "linear-1".to_owned(), corrections: Vec::new() }
    }
}

impl TrainOptions {
    fn load_sets(&self) -> Result<Vec<Set>, DataError> {
        let corrections = dataset::correction_sets(&self.corrections)?;
        let files = if self.sets.is_empty() { Vec::new() } else { dataset::load_sets(&self.sets)? };
        let sets: Vec<Set> = files.into_iter().chain(corrections).collect();
        match sets.is_empty() {
            true => Err(DataError::Empty { reason: "there is nothing to learn from".to_owned() }),
            false => Ok(sets),
        }
    }
}

/// How far the training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Rows trained on so far, all passes together.
    pub done: usize,
    /// Rows in all passes.
    pub total: usize,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The labelled texts cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There is no room for so many languages.
    #[error("the texts are in {count} languages, and a model can hold {LANES}")]
    TooManyLanguages {
        /// How many there are.
        count: usize,
    },
    /// The lexicon cannot be used.
    #[error("cannot use the lexicon {path}: {reason}")]
    Lexicon {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Passes over the rows.
const EPOCHS: u32 = 3;
/// Two to the power of this is the number of rows in the sentiment table.
const SENTIMENT_BITS: u32 = 19;
/// The same for the language table.
const LANGUAGE_BITS: u32 = 13;
const LEARNING_RATE: f32 = 0.1;
/// AdaGrad's sum of squares begins here, which bounds the first steps.
const FIRST_SQUARES: f32 = 1e-3;
/// The same where a training goes on from a model: smaller steps, because its weights have already been learnt from
/// many texts.
const LATER_SQUARES: f32 = 0.1;
const BIAS_RATE: f32 = 0.001;
const SEED: u64 = 88_172_645_463_325_252;
/// Progress is told each time so many rows are done.
const PROGRESS_EVERY: usize = 4_096;
/// At most so many rows of a language train its spelling.
const LANGUAGE_ROWS: usize = 6_000;
/// A language is written in a script if this share of its texts is (one in so many).
const SCRIPT_SHARE: usize = 50;
/// A language has a temperature of its own from so many held-out rows on.
const CALIBRATION_ROWS: usize = 300;
const UNSURE_BELOW: f32 = 0.45;

/// Learns a model. `progress` is called now and then, always from the calling thread.
pub fn train(options: &TrainOptions, progress: &mut dyn FnMut(Progress)) -> Result<Model, TrainError> {
    let sets = options.load_sets()?;
    let lexicon = match &options.lexicon {
        Some(path) => Lexicon::parse_with_emoticons(&dataset::read_text(path)?)
            .map_err(|error| TrainError::Lexicon { path: path.clone(), reason: error.to_string() })?,
        None => Lexicon::default(),
    };
    let mut languages = texts_by_language(&sets, |set| &set.train, LANGUAGE_ROWS);
    let more = match &options.languages {
        Some(path) => dataset::read_languages(path)?,
        None => Vec::new(),
    };
    add_texts(&mut languages, more.iter().map(|(tag, text)| (*tag, text.as_str())), LANGUAGE_ROWS);
    if languages.len() > LANES {
        return Err(TrainError::TooManyLanguages { count: languages.len() });
    }
    let (sentiment, language) = std::thread::scope(|scope| {
        let language = scope.spawn(|| train_language(languages, &lexicon));
        let sentiment = train_sentiment(&sets, &lexicon, None, progress);
        let language = language.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (sentiment, language)
    });
    let mut trained: Vec<String> = sets.iter().filter_map(|set| set.language).map(str::to_owned).collect();
    trained.dedup();
    let calibration = Calibration {
        temperature: 1.0,
        temperatures: Vec::new(),
        unsure_below: UNSURE_BELOW,
        trained,
        by_lexicon: lexicon_alone(&sets, &lexicon),
    };
    let mut model = Model { name: options.name.clone(), sentiment, language, lexicon, calibration };
    calibrate_language(&mut model, &sets);
    calibrate_sentiment(&mut model, &sets);
    Ok(model)
}

/// Goes on from a model: learns what the sets and corrections say without forgetting the rest. What all languages share,
/// the biases and the weights of the lexicon's valence, stays as it is. Of the options lexicon and languages are not used.
pub fn adapt(base: Model, options: &TrainOptions, progress: &mut dyn FnMut(Progress)) -> Result<Model, TrainError> {
    let sets = options.load_sets()?;
    let sentiment = train_sentiment(&sets, &base.lexicon, Some(&base.sentiment), progress);
    Ok(Model { name: options.name.clone(), sentiment, ..base })
}

/// Memory for one text.
#[derive(Default)]
struct Reader {
    text: Text,
    features: Features,
}

impl Reader {
    fn read(&mut self, text: &str, lexicon: &Lexicon) -> &Features {
        self.text.clear();
        self.text.push(text);
        features::extract(&self.text, lexicon, &mut self.features);
        &self.features
    }

    fn script(&mut self, text: &str, lexicon: &Lexicon) -> Script {
        language::main_script(self.read(text, lexicon))
    }
}

/// A row to learn from.
struct Example<'a> {
    row: &'a Row,
    is_two_class: bool,
    weight: f32,
}

fn examples(sets: &[Set]) -> Vec<Example<'_>> {
    let mut examples = Vec::new();
    for set in sets {
        let is_two_class = set.is_two_class();
        let mut counts = [0_usize; CLASSES];
        for row in &set.train {
            if let Some(count) = counts.get_mut(row.class) {
                *count += 1;
            }
        }
        let classes = counts.iter().filter(|count| **count > 0).count().max(1);
        let size = set.train.len() as f64;
        let damping = exp(-0.3 * ln(size / 2_000.0));
        for row in &set.train {
            let count = counts.get(row.class).copied().unwrap_or(1).max(1);
            let balance = size / (classes * count) as f64;
            examples.push(Example { row, is_two_class, weight: (balance * damping) as f32 });
        }
    }
    examples
}

fn shuffle<T>(items: &mut [T], state: &mut u64) {
    for last in (1..items.len()).rev() {
        // xorshift64 (Marsaglia 2003).
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        items.swap(last, (*state % (last as u64 + 1)) as usize);
    }
}

/// Falls from 1 to a third of it over three passes.
fn learning_rate(epoch: u32) -> f32 {
    LEARNING_RATE * (1.0 - epoch as f32 / EPOCHS as f32).max(0.1)
}

/// Weights of one feature, each with its sum of squared gradients.
#[derive(Clone, Copy)]
struct Weights<const N: usize> {
    values: [f32; N],
    squares: [f32; N],
}

impl Weights<CLASSES> {
    /// Those of a model.
    fn of(table: &SentimentTable) -> Vec<Self> {
        let weights = |[negative, positive]: &[i8; 2]| Self {
            values: [f32::from(*negative) * table.scale, 0.0, f32::from(*positive) * table.scale],
            squares: [LATER_SQUARES; CLASSES],
        };
        table.rows.iter().map(weights).collect()
    }
}

impl<const N: usize> Weights<N> {
    const NEW: Self = Self { values: [0.0; N], squares: [FIRST_SQUARES; N] };

    #[inline]
    fn step(&mut self, rate: f32, gradients: &[f32; N]) {
        for ((value, square), gradient) in self.values.iter_mut().zip(&mut self.squares).zip(gradients) {
            *square += gradient * gradient;
            *value -= rate * gradient / square.sqrt();
        }
    }
}

fn train_sentiment(
    sets: &[Set],
    lexicon: &Lexicon,
    base: Option<&SentimentTable>,
    progress: &mut dyn FnMut(Progress),
) -> SentimentTable {
    let mut examples = examples(sets);
    let bits = base.map_or(SENTIMENT_BITS, |base| base.bits);
    let mut table = base.map_or_else(|| vec![Weights::NEW; 1 << bits], Weights::of);
    let mut bias = base.map_or([0.0; CLASSES], |base| [base.bias[0], 0.0, base.bias[1]]);
    let mut reader = Reader::default();
    let mut seed = SEED;
    let total = examples.len() * EPOCHS as usize;
    let mut done = 0;
    let row_of = |hash: u32| (hash >> (32 - bits)) as usize;
    for epoch in 0..EPOCHS {
        shuffle(&mut examples, &mut seed);
        let rate = learning_rate(epoch);
        for example in &examples {
            if done % PROGRESS_EVERY == 0 {
                progress(Progress { done, total });
            }
            done += 1;
            let features = reader.read(&example.row.text, lexicon);
            let share = features.share();
            let mut errors = [0.0; CLASSES];
            for (hash, value) in features.iter() {
                if let Some(weights) = table.get(row_of(hash)) {
                    for (sum, weight) in errors.iter_mut().zip(&weights.values) {
                        *sum += weight * value as f32;
                    }
                }
            }
            for (logit, bias) in errors.iter_mut().zip(bias) {
                *logit = *logit * share + bias;
            }
            if example.is_two_class {
                errors[NEUTRAL] = f32::NEG_INFINITY;
            }
            softmax(&mut errors);
            if let Some(error) = errors.get_mut(example.row.class) {
                *error -= 1.0;
            }
            errors = errors.map(|error| error * example.weight);
            if base.is_none() {
                for (bias, error) in bias.iter_mut().zip(errors) {
                    *bias -= BIAS_RATE * error;
                }
            }
            for (hash, value) in features.iter().filter(|(_, value)| base.is_none() || *value == 1) {
                if let Some(weights) = table.get_mut(row_of(hash)) {
                    weights.step(rate, &errors.map(|error| error * share * value as f32));
                }
            }
        }
    }
    progress(Progress { done, total });
    let relative: Vec<[f32; 2]> = table
        .iter()
        .map(|Weights { values: [negative, neutral, positive], .. }| [negative - neutral, positive - neutral])
        .collect();
    let scale = quantum(relative.iter().flatten().copied());
    SentimentTable {
        bits,
        rows: relative.iter().map(|pair| pair.map(|weight| quantise(weight, scale))).collect(),
        scale,
        bias: [bias[0] - bias[NEUTRAL], bias[2] - bias[NEUTRAL]],
    }
}

/// The weight of one step of an 8-bit integer: all but one weight in 100,000 fit.
fn quantum(weights: impl Iterator<Item = f32>) -> f32 {
    let mut sizes: Vec<f32> = weights.map(f32::abs).filter(|size| *size > 0.0).collect();
    sizes.sort_by(f32::total_cmp);
    let place = sizes.len().saturating_sub(1 + sizes.len() / 100_000);
    sizes.get(place).map_or(1.0, |largest| largest / 127.0)
}

fn quantise(weight: f32, scale: f32) -> i8 {
    (weight / scale).round().clamp(-127.0, 127.0) as i8
}

/// Texts by language.
type Languages<'a> = Vec<(&'static str, Vec<&'a str>)>;

/// At most `limit` texts of each set's language, chosen at random.
fn texts_by_language<'a>(sets: &'a [Set], rows: fn(&'a Set) -> &'a [Row], limit: usize) -> Languages<'a> {
    let mut languages = Languages::new();
    let texts = sets.iter().flat_map(|set| {
        let tag = set.language;
        rows(set).iter().filter_map(move |row| Some((tag?, row.text.as_str())))
    });
    add_texts(&mut languages, texts, limit);
    languages
}

/// Adds at most `limit` texts to each language.
fn add_texts<'a>(languages: &mut Languages<'a>, texts: impl Iterator<Item = (&'static str, &'a str)>, limit: usize) {
    let mut more = Languages::new();
    for (tag, text) in texts {
        match more.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, all)) => all.push(text),
            None => more.push((tag, vec![text])),
        }
    }
    for (tag, mut texts) in more {
        shuffle(&mut texts, &mut SEED.clone());
        texts.truncate(limit);
        match languages.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, all)) => all.extend(texts),
            None => languages.push((tag, texts)),
        }
    }
}

fn train_language(languages: Languages<'_>, lexicon: &Lexicon) -> LanguageTable {
    let mut table = LanguageTable {
        tags: languages.iter().map(|(tag, _)| *tag).collect(),
        scripts: Vec::new(),
        by_script: Vec::new(),
        bits: LANGUAGE_BITS,
        rows: Vec::new(),
        scale: 1.0,
        bias: vec![0.0; languages.len()],
        temperature: 1.0,
    };
    let mut reader = Reader::default();
    let mut rows: Vec<(usize, &str)> = Vec::new();
    for (column, (_, texts)) in languages.iter().enumerate() {
        let mut counts = [0_usize; Script::ALL.len()];
        for text in texts.iter() {
            if let Some(count) = counts.get_mut(reader.script(text, lexicon) as usize) {
                *count += 1;
            }
        }
        let is_usual = |count: &usize| *count * SCRIPT_SHARE >= texts.len();
        let scripts = counts.iter().enumerate().skip(1).filter(|(_, count)| is_usual(count));
        table.scripts.push(scripts.fold(0, |set, (script, _)| set | 1 << script));
        rows.extend(texts.iter().map(|text| (column, *text)));
    }
    table.by_script = LanguageTable::columns_by_script(&table.scripts);
    let mut weights = vec![Weights::<LANES>::NEW; 1 << LANGUAGE_BITS];
    let row_of = |hash: u32| (hash >> (32 - LANGUAGE_BITS)) as usize;
    let mut seed = SEED;
    for epoch in 0..EPOCHS {
        shuffle(&mut rows, &mut seed);
        let rate = learning_rate(epoch);
        for (column, text) in &rows {
            reader.read(text, lexicon);
            let candidates: Vec<usize> = table.candidates(language::main_script(&reader.features)).to_vec();
            let known = &reader.features.language;
            let features = known.get(..MAX_FEATURES).unwrap_or(known);
            if candidates.len() < 2 || !candidates.contains(column) {
                continue;
            }
            let share = 1.0 / (features.len().max(1) as f32).sqrt();
            let mut sums = [0.0; LANES];
            for hash in features {
                if let Some(weights) = weights.get(row_of(*hash)) {
                    for (sum, weight) in sums.iter_mut().zip(&weights.values) {
                        *sum += weight;
                    }
                }
            }
            let logit = |column: &usize| {
                sums.get(*column).copied().unwrap_or(0.0) * share + table.bias.get(*column).copied().unwrap_or(0.0)
            };
            let mut errors: Vec<f32> = candidates.iter().map(logit).collect();
            softmax(&mut errors);
            let mut gradients = [0.0; LANES];
            for (candidate, error) in candidates.iter().zip(errors) {
                let error = if candidate == column { error - 1.0 } else { error };
                if let Some(bias) = table.bias.get_mut(*candidate) {
                    *bias -= BIAS_RATE * error;
                }
                if let Some(gradient) = gradients.get_mut(*candidate) {
                    *gradient = error * share;
                }
            }
            for hash in features {
                if let Some(weights) = weights.get_mut(row_of(*hash)) {
                    weights.step(rate, &gradients);
                }
            }
        }
    }
    table.scale = quantum(weights.iter().flat_map(|row| row.values));
    table.rows = weights.iter().map(|row| row.values.map(|weight| quantise(weight, table.scale))).collect();
    table
}

/// Probabilities of the labels by the lexicon's balance alone, for texts in languages that were not
/// trained. Every set counts equally.
fn lexicon_alone(sets: &[Set], lexicon: &Lexicon) -> [[f32; CLASSES]; BALANCES] {
    let mut sums = [[1e-3_f64; CLASSES]; BALANCES];
    let mut reader = Reader::default();
    for set in sets.iter().filter(|set| !set.is_two_class()) {
        for row in &set.train {
            let balance = reader.read(&row.text, lexicon).tally.balance();
            let bucket = (balance.clamp(-6, 6) + 6).unsigned_abs() as usize;
            if let Some(sum) = sums.get_mut(bucket).and_then(|sums| sums.get_mut(row.class)) {
                *sum += 1.0 / set.train.len() as f64;
            }
        }
    }
    sums.map(|sums| sums.map(|sum| (sum / sums.iter().sum::<f64>()) as f32))
}

/// The temperature, from a fixed grid, under which the labels are most likely.
fn best_temperature(log_likelihood: impl Fn(f32) -> f64) -> f32 {
    let grid = (8..=100).map(|step| step as f32 / 20.0);
    let scored = grid.map(|temperature| (temperature, log_likelihood(temperature)));
    scored.fold((1.0, f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best }).0
}

fn likelihood_of(probability: f32) -> f64 {
    ln(f64::from(probability).max(1e-9))
}

fn calibrate_sentiment(model: &mut Model, sets: &[Set]) {
    model.calibration.temperature = 1.0;
    let mut all: Vec<(&'static str, Class3)> = Vec::new();
    for set in sets.iter().filter(|set| !set.is_two_class()) {
        let Some(tag) = set.language else { continue };
        for row in &set.dev {
            let logits = model.predict(&[&row.text], None).probabilities.map(|p| likelihood_of(p) as f32);
            all.push((tag, Class3 { logits, class: row.class }));
        }
    }
    let fit = |rows: &[&Class3]| {
        best_temperature(|temperature| {
            let likelihood = rows.iter().map(|row| {
                let mut probabilities = row.logits.map(|logit| logit / temperature);
                softmax(&mut probabilities);
                likelihood_of(probabilities.get(row.class).copied().unwrap_or(0.0))
            });
            likelihood.sum()
        })
    };
    let pooled: Vec<&Class3> = all.iter().map(|(_, row)| row).collect();
    let temperature = fit(&pooled);
    let mut temperatures = Vec::new();
    for tag in &model.calibration.trained {
        let own: Vec<&Class3> = all.iter().filter(|(language, _)| language == tag).map(|(_, row)| row).collect();
        if own.len() >= CALIBRATION_ROWS {
            temperatures.push((tag.clone(), fit(&own)));
        }
    }
    model.calibration.temperature = temperature;
    model.calibration.temperatures = temperatures;
}

struct Class3 {
    logits: [f32; CLASSES],
    class: usize,
}

fn calibrate_language(model: &mut Model, sets: &[Set]) {
    let table = &model.language;
    let mut all: Vec<(Vec<f32>, usize)> = Vec::new();
    let mut reader = Reader::default();
    for (tag, texts) in texts_by_language(sets, |set| &set.dev, CALIBRATION_ROWS) {
        for text in texts {
            reader.read(text, &model.lexicon);
            let candidates: Vec<usize> = table.candidates(language::main_script(&reader.features)).to_vec();
            let right = candidates.iter().position(|column| table.tags.get(*column) == Some(&tag));
            if let (Some(right), true) = (right, candidates.len() > 1) {
                all.push((table.logits(&candidates, &reader.features.language), right));
            }
        }
    }
    model.language.temperature = best_temperature(|temperature| {
        let likelihood = all.iter().map(|(logits, right)| {
            let mut probabilities: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
            softmax(&mut probabilities);
            likelihood_of(probabilities.get(*right).copied().unwrap_or(0.0))
        });
        likelihood.sum()
    });
}
