//! The linear model: what it holds, what it says, and its file.

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chars::Script;
use super::features::{self, Features, VALENCE_VALUE};
use super::language::{self, LANES, Language, LanguageTable};
use super::lexicon::Lexicon;
use super::math::{fnv1a, softmax};
use super::normalise::Text;

/// Negative, neutral, positive.
pub(crate) const CLASSES: usize = 3;
/// Valence balances that the lexicon's own probabilities tell apart: -6 to 6.
pub(crate) const BALANCES: usize = 13;

/// First bytes of a model file; the last one is the version of the format.
const MAGIC: [u8; 8] = *b"HRKLIN\0\x01";
const MAX_FILE_BYTES: u64 = 64 << 20;
const MAX_HEADER_BYTES: u32 = 1 << 20;
const MAX_LEXICON_BYTES: u32 = 32 << 20;
const SENTIMENT_BITS: std::ops::RangeInclusive<u32> = 8..=22;
const LANGUAGE_BITS: std::ops::RangeInclusive<u32> = 8..=18;
/// zstd frames that need a larger window (in powers of two) are refused.
const MAX_WINDOW_LOG: u32 = 24;
const COMPRESSION_LEVEL: i32 = 19;
/// Scales, biases and temperatures up to this size (and down to its inverse) keep every logit finite.
const LARGEST: f32 = 1e6;

/// A trained model. Loading is the only costly thing; scoring allocates nothing.
pub struct Model {
    pub(crate) name: String,
    pub(crate) sentiment: SentimentTable,
    pub(crate) language: LanguageTable,
    pub(crate) lexicon: Lexicon,
    pub(crate) calibration: Calibration,
}

/// The learnt weights of the sentiment.
pub(crate) struct SentimentTable {
    /// Two to the power of this is the number of rows.
    pub(crate) bits: u32,
    /// Weights of negative and positive by feature, relative to neutral.
    pub(crate) rows: Vec<[i8; 2]>,
    /// Weight of one step.
    pub(crate) scale: f32,
    /// Of negative and positive, relative to neutral.
    pub(crate) bias: [f32; 2],
}

/// What turns logits into probabilities that mean what they say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Calibration {
    /// The logits are divided by this.
    pub(crate) temperature: f32,
    /// The same for languages with enough held-out rows of their own.
    pub(crate) temperatures: Vec<(String, f32)>,
    /// A label that is less probable than this is not given.
    pub(crate) unsure_below: f32,
    /// Languages that the sentiment was trained on.
    pub(crate) trained: Vec<String>,
    /// Probabilities of the labels by the lexicon's balance alone.
    pub(crate) by_lexicon: [[f32; CLASSES]; BALANCES],
}

/// What the model says of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Calibrated probabilities of negative, neutral and positive.
    pub probabilities: [f32; CLASSES],
    /// The model does not know enough for a label.
    pub unsure: bool,
    /// The text's language.
    pub language: Language,
}

impl Prediction {
    /// The most probable of negative (0), neutral (1) and positive (2), sure or not.
    pub fn best(&self) -> usize {
        let [negative, neutral, positive] = self.probabilities;
        if negative > neutral && negative > positive {
            0
        } else if positive > neutral {
            2
        } else {
            1
        }
    }
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It cannot be read or written.
    #[error("cannot access the model file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is not what it has to be.
    #[error(
        "not a usable model: {reason}; train one with `hearken train`, or leave the setting out for the built-in model"
    )]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

fn malformed(reason: impl Into<String>) -> ModelError {
    ModelError::Malformed { reason: reason.into() }
}

/// Memory that is used again from text to text.
#[derive(Default)]
struct Scratch {
    text: Text,
    features: Features,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Model {
    /// Name and version, for example `linear-1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says what language a text is in and how its author feels. `parts` are read one after the
    /// other (title, text); `hint` is the language that the source claims.
    pub fn predict(&self, parts: &[&str], hint: Option<&str>) -> Prediction {
        self.predict_and(parts, hint, |_, _| ()).0
    }

    /// The same, and what else is made of the normalised text.
    pub(crate) fn predict_and<T>(
        &self,
        parts: &[&str],
        hint: Option<&str>,
        also: impl FnOnce(&Text, &Prediction) -> T,
    ) -> (Prediction, T) {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.text.clear();
            for part in parts {
                scratch.text.push(part);
            }
            let prediction = self.predict_scratch(scratch, hint.and_then(language::primary));
            (prediction, also(&scratch.text, &prediction))
        })
    }

    fn predict_scratch(&self, scratch: &mut Scratch, hint: Option<&'static str>) -> Prediction {
        let Scratch { text, features } = scratch;
        features::extract(text, &self.lexicon, features);
        let script = language::main_script(features);
        let language = self.language.decide(script, &features.language, hint);
        // Letters, symbols, or anything else that the lexicon knows (an emoticon).
        let is_evidence = features.words > 0 || features.tally.hits > 0;
        let probabilities = match self.knows(language, script) {
            _ if !is_evidence => [1.0 / CLASSES as f32; CLASSES],
            true => self.by_features(features, language),
            false => self.calibration.by_balance(features.tally.balance()),
        };
        let confidence = probabilities.iter().copied().fold(0.0, f32::max);
        let unsure = !is_evidence || confidence < self.calibration.unsure_below;
        Prediction { probabilities, unsure, language }
    }

    fn by_features(&self, features: &Features, language: Language) -> [f32; CLASSES] {
        let [negative, positive] = self.sentiment.logits(features);
        let temperature = self.calibration.temperature_of(language.tag);
        let mut probabilities = [negative / temperature, 0.0, positive / temperature];
        softmax(&mut probabilities);
        probabilities
    }

    /// The model learnt from texts in this language and script; where the language cannot be told, in
    /// this script. Symbols alone mean the same everywhere.
    fn knows(&self, language: Language, script: Script) -> bool {
        let columns = self.language.candidates(script);
        if language.tag == language::UNDETERMINED.tag {
            return script == Script::None || !columns.is_empty();
        }
        let is_seen = columns.iter().any(|column| self.language.tags.get(*column) == Some(&language.tag));
        let is_trained = self.calibration.trained.iter().any(|tag| tag == language.tag);
        is_trained && (is_seen || script == Script::None)
    }
}

impl SentimentTable {
    /// Logits of negative and positive, relative to neutral. Sums are of integers, so that their
    /// order is nobody's business.
    fn logits(&self, features: &Features) -> [f32; 2] {
        let mut sums = self.sums(&features.spelling);
        for (sum, more) in sums.iter_mut().zip(self.sums(&features.context)) {
            *sum += more;
        }
        for (sum, more) in sums.iter_mut().zip(self.sums(&features.valence)) {
            *sum += more * VALENCE_VALUE;
        }
        let scale = self.scale * features.share();
        [sums[0] as f32 * scale + self.bias[0], sums[1] as f32 * scale + self.bias[1]]
    }

    fn sums(&self, hashes: &[u32]) -> [i32; 2] {
        let shift = 32 - self.bits;
        let mut sums = [0; 2];
        for hash in hashes {
            if let Some([negative, positive]) = self.rows.get((hash >> shift) as usize) {
                sums[0] += i32::from(*negative);
                sums[1] += i32::from(*positive);
            }
        }
        sums
    }
}

impl Calibration {
    fn temperature_of(&self, tag: &str) -> f32 {
        let own = self.temperatures.iter().find(|(language, _)| language == tag);
        own.map_or(self.temperature, |(_, temperature)| *temperature)
    }

    fn by_balance(&self, balance: i32) -> [f32; CLASSES] {
        let row = (balance.clamp(-6, 6) + 6).unsigned_abs() as usize;
        self.by_lexicon.get(row).copied().unwrap_or([0.0, 1.0, 0.0])
    }
}

/// The part of the file before the tables. Its JSON form is the first thing in the zstd frame.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    features: u32,
    sentiment_bits: u32,
    sentiment_scale: f32,
    sentiment_bias: [f32; 2],
    calibration: Calibration,
    languages: Vec<HeaderLanguage>,
    language_bits: u32,
    language_scale: f32,
    language_temperature: f32,
    lexicon_bytes: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLanguage {
    tag: String,
    scripts: u32,
    bias: f32,
}

/// The model that is part of the program.
static BUILT_IN: &[u8] = include_bytes!("../../models/linear-1.bin");

impl Model {
    /// The model that is part of the program; `models/README.md` is its card.
    pub fn built_in() -> Result<Self, ModelError> {
        Self::from_bytes(BUILT_IN)
    }

    /// Reads a model file.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(path).map_err(|source| ModelError::Io { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes)
    }

    /// Writes a model file.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        let io_error = |source| ModelError::Io { path: path.to_owned(), source };
        std::fs::write(path, self.to_bytes()?).map_err(io_error)
    }

    /// The bytes of the model file: a magic number, a checksum (FNV-1a), then a zstd frame that holds the
    /// header's length, the header as JSON, the lexicon, the rows of the sentiment (negative and
    /// positive, one byte each) and the rows of the language (one byte for each language).
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let lexicon = self.lexicon.to_text();
        let header = self.header(lexicon.len() as u32);
        header.validate()?;
        let header = serde_json::to_vec(&header).map_err(|error| malformed(error.to_string()))?;
        let mut plain = (header.len() as u32).to_le_bytes().to_vec();
        plain.extend(header);
        plain.extend(lexicon.as_bytes());
        plain.extend(self.sentiment.rows.iter().flatten().map(|weight| *weight as u8));
        let width = self.language.tags.len();
        plain.extend(self.language.rows.iter().flat_map(|row| row.iter().take(width)).map(|weight| *weight as u8));
        let frame = zstd::bulk::compress(&plain, COMPRESSION_LEVEL).map_err(|error| malformed(error.to_string()))?;
        Ok([MAGIC.as_slice(), &fnv1a(&frame).to_le_bytes(), &frame].concat())
    }

    fn header(&self, lexicon_bytes: u32) -> Header {
        let language = &self.language;
        let languages = language.tags.iter().zip(&language.scripts).zip(&language.bias);
        Header {
            name: self.name.clone(),
            features: features::VERSION,
            sentiment_bits: self.sentiment.bits,
            sentiment_scale: self.sentiment.scale,
            sentiment_bias: self.sentiment.bias,
            calibration: self.calibration.clone(),
            languages: languages
                .map(|((tag, scripts), bias)| HeaderLanguage { tag: (*tag).to_owned(), scripts: *scripts, bias: *bias })
                .collect(),
            language_bits: language.bits,
            language_scale: language.scale,
            language_temperature: language.temperature,
            lexicon_bytes,
        }
    }

    /// Reads the bytes of a model file.
    ///
    /// # Errors
    /// Anything that [`Model::to_bytes`] would not have written is refused, before memory is taken
    /// for it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let rest = bytes.strip_prefix(&MAGIC);
        let rest = rest.ok_or_else(|| malformed("it does not begin as a model file of this version does"))?;
        let (checksum, frame) = rest.split_first_chunk().ok_or_else(|| malformed("it is cut off"))?;
        if fnv1a(frame) != u64::from_le_bytes(*checksum) {
            return Err(malformed("it is damaged (its checksum is wrong)"));
        }
        let damaged = |error: std::io::Error| malformed(format!("it is damaged ({error})"));
        let mut decoder = zstd::Decoder::with_buffer(frame).map_err(damaged)?;
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(damaged)?;
        let mut plain = decoder.take(MAX_FILE_BYTES);

        let mut length = [0; 4];
        plain.read_exact(&mut length).map_err(damaged)?;
        let header = read(&mut plain, u32::from_le_bytes(length), MAX_HEADER_BYTES)?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|error| malformed(format!("its header is wrong ({error})")))?;
        header.validate()?;
        let lexicon = read(&mut plain, header.lexicon_bytes, MAX_LEXICON_BYTES)?;
        let lexicon = String::from_utf8(lexicon).map_err(|_| malformed("its lexicon is not UTF-8"))?;
        let lexicon = Lexicon::parse(&lexicon).map_err(|error| malformed(format!("its lexicon is wrong: {error}")))?;

        let sentiment_bytes = read(&mut plain, 2 << header.sentiment_bits, u32::MAX)?;
        let width = header.languages.len();
        let language_bytes = read(&mut plain, (width as u32) << header.language_bits, u32::MAX)?;
        if plain.read(&mut [0]).map_err(damaged)? != 0 {
            return Err(malformed("it goes on after its end"));
        }
        header.into_model(lexicon, &sentiment_bytes, &language_bytes)
    }
}

fn read(plain: &mut impl Read, length: u32, at_most: u32) -> Result<Vec<u8>, ModelError> {
    if length > at_most {
        return Err(malformed(format!("a part of {length} bytes is too large")));
    }
    // Grows as bytes come: a length that lies takes no memory.
    let mut bytes = Vec::new();
    let taken = plain.take(u64::from(length)).read_to_end(&mut bytes);
    taken.map_err(|error| malformed(format!("it is damaged ({error})")))?;
    if bytes.len() < length as usize {
        return Err(malformed("it is cut off"));
    }
    Ok(bytes)
}

impl Header {
    fn validate(&self) -> Result<(), ModelError> {
        let check = |is_right: bool, what: &str| if is_right { Ok(()) } else { Err(malformed(what)) };
        let calibration = &self.calibration;
        let scales = [self.sentiment_scale, self.language_scale];
        let temperatures = calibration.temperatures.iter().map(|(_, temperature)| temperature);
        let temperatures = temperatures.chain([&self.language_temperature, &calibration.temperature]);
        let biases = self.sentiment_bias.iter().chain(self.languages.iter().map(|language| &language.bias));
        let shares = calibration.by_lexicon.iter().flatten().chain([&calibration.unsure_below]);
        check(
            self.features == features::VERSION,
            &format!(
                "it was trained on features of version {}, this program makes version {}",
                self.features,
                features::VERSION
            ),
        )?;
        check(!self.name.is_empty() && self.name.len() <= 64, "its name is empty or too long")?;
        check(SENTIMENT_BITS.contains(&self.sentiment_bits), "its sentiment table has a wrong size")?;
        check(LANGUAGE_BITS.contains(&self.language_bits), "its language table has a wrong size")?;
        check(self.languages.len() <= LANES, "it has too many languages")?;
        let is_scale = |value: f32| value > 0.0 && value <= LARGEST;
        check(scales.into_iter().all(is_scale), "a scale is not positive, or too large")?;
        let is_temperature = |value: &f32| (1.0 / LARGEST..=LARGEST).contains(value);
        check(temperatures.into_iter().all(is_temperature), "a temperature is too low or too high")?;
        check(biases.into_iter().all(|bias| bias.abs() <= LARGEST), "a bias is too large, or not a number")?;
        check(shares.into_iter().all(|share| (0.0..=1.0).contains(share)), "a probability is not in 0..=1")
    }

    fn into_model(self, lexicon: Lexicon, sentiment: &[u8], language: &[u8]) -> Result<Model, ModelError> {
        let tag = |language: &HeaderLanguage| {
            language::primary(&language.tag)
                .ok_or_else(|| malformed(format!("it has an unknown language {:?}", language.tag)))
        };
        let scripts: Vec<u32> = self.languages.iter().map(|language| language.scripts).collect();
        let (pairs, _) = sentiment.as_chunks::<2>();
        let mut rows = vec![[0; LANES]; 1 << self.language_bits];
        for (row, weights) in rows.iter_mut().zip(language.chunks_exact(self.languages.len().max(1))) {
            for (slot, weight) in row.iter_mut().zip(weights) {
                *slot = *weight as i8;
            }
        }
        Ok(Model {
            name: self.name,
            sentiment: SentimentTable {
                bits: self.sentiment_bits,
                rows: pairs.iter().map(|[negative, positive]| [*negative as i8, *positive as i8]).collect(),
                scale: self.sentiment_scale,
                bias: self.sentiment_bias,
            },
            language: LanguageTable {
                tags: self.languages.iter().map(tag).collect::<Result<_, _>>()?,
                by_script: LanguageTable::columns_by_script(&scripts),
                scripts,
                bits: self.language_bits,
                rows,
                scale: self.language_scale,
                bias: self.languages.iter().map(|language| language.bias).collect(),
                temperature: self.language_temperature,
            },
            lexicon,
            calibration: self.calibration,
        })
    }
}
