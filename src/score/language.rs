//! The language of short, noisy texts.
//!
//! The script comes first: most scripts belong to one language, and no others are considered. Among
//! the languages of the remaining scripts a linear model decides, on some of the same features as
//! the sentiment and in the same pass over the text.

use super::chars::Script;
use super::features::Features;
use super::math::exp;

/// A language with how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Language {
    /// BCP 47 primary tag, or `und`.
    pub tag: &'static str,
    /// 0..=1.
    pub confidence: f32,
}

/// Most languages that one model can tell apart.
pub(crate) const LANES: usize = 48;
/// Only the first so many features tell the language; the sums of their weights fit 16 bits.
pub(crate) const MAX_FEATURES: usize = 128;
/// Features are read so many at a time, until one language is clearly ahead.
const CHUNK: usize = 32;
/// It is, when it is e to the power of this times as probable as any other.
const CLEAR_LEAD: f32 = 4.0;
/// A language with less than e to the power of this of the best one's probability adds nothing.
const NEGLIGIBLE: f32 = -16.0;
/// Below this confidence the language is `und`.
const UNDETERMINED_BELOW: f32 = 0.35;
/// What a source's hint adds to the logit of its language.
const HINT: f32 = 2.0;
/// Confidence in a source's hint where the text says nothing.
const HINT_ALONE: f32 = 0.5;

/// The text's language cannot be told.
pub(crate) const UNDETERMINED: Language = Language { tag: "und", confidence: 0.0 };

/// All tags that a score can carry.
#[rustfmt::skip]
const TAGS: [&str; 106] = [
    "af", "am", "ar", "as", "az", "be", "bg", "bn", "bo", "br", "bs", "ca", "ceb", "cs", "cy", "da", "de", "dv",
    "el", "en", "eo", "es", "et", "eu", "fa", "fi", "fil", "fo", "fr", "fy", "ga", "gd", "gl", "gu", "ha", "haw",
    "he", "hi", "hr", "hu", "hy", "id", "ig", "is", "it", "ja", "jv", "ka", "kk", "km", "kn", "ko", "ku", "ky",
    "la", "lb", "lo", "lt", "lv", "mg", "mi", "mk", "ml", "mn", "mr", "ms", "mt", "my", "nb", "ne", "nl", "no",
    "ny", "om", "or", "pa", "pcm", "pl", "ps", "pt", "qu", "ro", "ru", "rw", "sd", "si", "sk", "sl", "so", "sq",
    "sr", "su", "sv", "sw", "ta", "te", "th", "ti", "tr", "uk", "ur", "uz", "vi", "yo", "zh", "zu",
];

/// The primary tag of a BCP 47 tag (`pt-BR` is `pt`), with dialects and old tags under the language
/// that they belong to; `None` where it is none that Hearken knows.
pub(crate) fn primary(tag: &str) -> Option<&'static str> {
    let subtag = tag.split(['-', '_']).next().unwrap_or_default();
    let lower = subtag.to_ascii_lowercase();
    let known = match lower.as_str() {
        "arq" | "ary" | "arz" | "apc" | "acm" | "ajp" | "arb" => "ar",
        "cmn" | "yue" | "wuu" => "zh",
        "pes" | "prs" => "fa",
        "in" | "ind" => "id",
        "zsm" | "zlm" => "ms",
        "iw" => "he",
        "nn" | "no" => "nb",
        "tl" => "fil",
        "sh" | "hbs" => "hr",
        other => other,
    };
    TAGS.iter().find(|tag| **tag == known).copied()
}

/// The language of a script that only one widely used language is written in.
fn only_language(script: Script) -> Option<&'static str> {
    Some(match script {
        Script::Greek => "el",
        Script::Armenian => "hy",
        Script::Hebrew => "he",
        Script::Bengali => "bn",
        Script::Gurmukhi => "pa",
        Script::Gujarati => "gu",
        Script::Odia => "or",
        Script::Tamil => "ta",
        Script::Telugu => "te",
        Script::Kannada => "kn",
        Script::Malayalam => "ml",
        Script::Sinhala => "si",
        Script::Thai => "th",
        Script::Lao => "lo",
        Script::Tibetan => "bo",
        Script::Burmese => "my",
        Script::Georgian => "ka",
        Script::Khmer => "km",
        Script::Hangul => "ko",
        Script::Kana => "ja",
        // Marathi and Nepali as well, but Hindi far more often.
        Script::Devanagari => "hi",
        _ => return None,
    })
}

/// The script that most of the text is in. Han, kana and Hangul count three times: one of their
/// characters says what several letters say. Any notable share of kana makes Han Japanese.
pub(crate) fn main_script(features: &Features) -> Script {
    let mut main = (Script::None, 0);
    let by_script = Script::ALL.into_iter().zip(features.letters).skip(1);
    for (script, letters) in by_script.filter(|(_, letters)| *letters > 0) {
        let weight = if matches!(script, Script::Han | Script::Kana | Script::Hangul) { 3 } else { 1 };
        if letters * weight > main.1 {
            main = (script, letters * weight);
        }
    }
    let [.., kana, han] = features.letters;
    if main.0 == Script::Han && kana * 8 >= han { Script::Kana } else { main.0 }
}

/// The learnt part: one column of weights for each language.
#[derive(Clone)]
pub(crate) struct LanguageTable {
    /// The languages, by column.
    pub(crate) tags: Vec<&'static str>,
    /// Scripts in which each language was seen, as a bit set over [`Script`] numbers.
    pub(crate) scripts: Vec<u32>,
    /// The columns that a text in a script can be, by number of the script.
    pub(crate) by_script: Vec<Vec<usize>>,
    /// Two to the power of this is the number of rows.
    pub(crate) bits: u32,
    /// Weights by feature.
    pub(crate) rows: Vec<[i8; LANES]>,
    /// Weight of one step.
    pub(crate) scale: f32,
    /// By column.
    pub(crate) bias: Vec<f32>,
    /// The logits are divided by this.
    pub(crate) temperature: f32,
}

impl LanguageTable {
    /// [`LanguageTable::by_script`] of these scripts.
    pub(crate) fn columns_by_script(scripts: &[u32]) -> Vec<Vec<usize>> {
        let has =
            |column: &usize, script: Script| scripts.get(*column).is_some_and(|set| set >> (script as u32) & 1 == 1);
        Script::ALL.iter().map(|script| (0..scripts.len()).filter(|column| has(column, *script)).collect()).collect()
    }

    /// The columns that a text in `script` can be.
    pub(crate) fn candidates(&self, script: Script) -> &[usize] {
        self.by_script.get(script as usize).map_or(&[], Vec::as_slice)
    }

    /// Decides by a text's script and features. `hint` is the tag that the source claims.
    pub(crate) fn decide(&self, script: Script, features: &[u32], hint: Option<&'static str>) -> Language {
        match self.candidates(script) {
            [column] => self.tags.get(*column).map_or(UNDETERMINED, |tag| certain(tag)),
            columns @ [_, _, ..] => self.decide_by_features(columns, features, hint),
            [] => match (only_language(script), hint) {
                (Some(tag), _) => certain(tag),
                (None, Some(tag)) => Language { tag, confidence: HINT_ALONE },
                (None, None) => UNDETERMINED,
            },
        }
    }

    fn decide_by_features(&self, columns: &[usize], features: &[u32], hint: Option<&'static str>) -> Language {
        let mut sums = Sums::default();
        for chunk in features.get(..MAX_FEATURES).unwrap_or(features).chunks(CHUNK) {
            sums.add(self, chunk);
            let lead = f32::from(sums.lead(columns)) * self.scale * sums.share();
            if lead > CLEAR_LEAD * self.temperature {
                break;
            }
        }
        let logit = |column: usize| {
            let hinted = if hint.is_some() && self.tags.get(column).copied() == hint { HINT } else { 0.0 };
            self.logit(column, &sums) / self.temperature + hinted
        };
        let best = columns.iter().fold((0, f32::NEG_INFINITY), |best, column| {
            let logit = logit(*column);
            if logit > best.1 { (*column, logit) } else { best }
        });
        let odds = columns.iter().map(|column| logit(*column) - best.1).filter(|behind| *behind > NEGLIGIBLE);
        let confidence = 1.0 / odds.map(|behind| exp(f64::from(behind)) as f32).sum::<f32>();
        match self.tags.get(best.0) {
            Some(tag) if confidence >= UNDETERMINED_BELOW => Language { tag, confidence },
            _ => UNDETERMINED,
        }
    }

    fn logit(&self, column: usize, sums: &Sums) -> f32 {
        let sum = sums.by_column.get(column).copied().unwrap_or(0);
        let bias = self.bias.get(column).copied().unwrap_or(0.0);
        f32::from(sum) * self.scale * sums.share() + bias
    }

    /// How well each of these columns fits a text, before the temperature.
    pub(crate) fn logits(&self, columns: &[usize], features: &[u32]) -> Vec<f32> {
        let mut sums = Sums::default();
        sums.add(self, features.get(..MAX_FEATURES).unwrap_or(features));
        columns.iter().map(|column| self.logit(*column, &sums)).collect()
    }
}

/// Weights of a text's features, added up by column.
struct Sums {
    by_column: [i16; LANES],
    features: usize,
}

impl Default for Sums {
    fn default() -> Self {
        Self { by_column: [0; LANES], features: 0 }
    }
}

impl Sums {
    fn add(&mut self, table: &LanguageTable, features: &[u32]) {
        let mut by_column = self.by_column;
        for hash in features {
            if let Some(row) = table.rows.get((hash >> (32 - table.bits)) as usize) {
                for (sum, weight) in by_column.iter_mut().zip(row) {
                    *sum += i16::from(*weight);
                }
            }
        }
        self.by_column = by_column;
        self.features += features.len();
    }

    fn share(&self) -> f32 {
        1.0 / (self.features.max(1) as f32).sqrt()
    }

    /// How far the best of these columns is ahead of the second.
    fn lead(&self, columns: &[usize]) -> i16 {
        let (mut first, mut second) = (i16::MIN, i16::MIN);
        for column in columns {
            let sum = self.by_column.get(*column).copied().unwrap_or(i16::MIN);
            second = second.max(sum.min(first));
            first = first.max(sum);
        }
        first.saturating_sub(second)
    }
}

fn certain(tag: &'static str) -> Language {
    Language { tag, confidence: 0.99 }
}
