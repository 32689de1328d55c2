//! The language of short, noisy texts.
//!
//! The script comes first: most scripts belong to one language, and no others are considered. Among
//! the languages of the remaining scripts a linear model decides, on the same spelling features as
//! the sentiment and in the same pass over the text.

use super::chars::Script;
use super::math::softmax;
use super::normalise::Text;

/// A language with how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Language {
    /// BCP 47 primary tag, or `und`.
    pub tag: &'static str,
    /// 0..=1.
    pub confidence: f32,
}

/// Most languages that one model can tell apart.
pub(crate) const LANES: usize = 32;
/// Only the first so many spelling features tell the language: sums then fit 16 bits.
pub(crate) const MAX_SPELLINGS: usize = 256;
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
        _ => return None,
    })
}

/// The script that most of the text is in. Han, kana and Hangul count three times: one of their
/// characters says what several letters say. Any notable share of kana makes Han Japanese.
pub(crate) fn main_script(text: &Text) -> Script {
    let weight = |script| match script {
        Script::Han | Script::Kana | Script::Hangul => 3,
        _ => 1,
    };
    let (han, kana) = (text.letters(Script::Han), text.letters(Script::Kana));
    let most = Script::ALL
        .into_iter()
        .skip(1)
        .max_by_key(|script| (text.letters(*script) * weight(*script), std::cmp::Reverse(*script as u32)));
    match most {
        Some(Script::Han) if kana * 8 >= han => Script::Kana,
        Some(script) if text.letters(script) > 0 => script,
        _ => Script::None,
    }
}

/// The learnt part: one column of weights for each language.
#[derive(Clone)]
pub(crate) struct LanguageTable {
    /// The languages, by column.
    pub(crate) tags: Vec<&'static str>,
    /// Scripts in which each language was seen, as a bit set over [`Script`] numbers.
    pub(crate) scripts: Vec<u32>,
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

/// Sums of one text.
pub(crate) struct LanguageSums {
    sums: [i16; LANES],
    features: usize,
}

impl LanguageSums {
    pub(crate) fn new() -> Self {
        Self { sums: [0; LANES], features: 0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, table: &LanguageTable, hash: u32) {
        if self.features == MAX_SPELLINGS {
            return;
        }
        self.features += 1;
        if let Some(row) = table.rows.get((hash >> (32 - table.bits)) as usize) {
            for (sum, weight) in self.sums.iter_mut().zip(row) {
                *sum += i16::from(*weight);
            }
        }
    }
}

impl LanguageTable {
    /// The columns that a text in `script` can be.
    pub(crate) fn candidates(&self, script: Script) -> impl Iterator<Item = usize> {
        self.scripts
            .iter()
            .enumerate()
            .filter(move |(_, scripts)| *scripts >> (script as u32) & 1 == 1)
            .map(|(column, _)| column)
    }

    /// Whether features can change the answer for a text in `script`.
    pub(crate) fn is_needed(&self, script: Script) -> bool {
        self.candidates(script).nth(1).is_some()
    }

    /// Decides. `hint` is the tag that the source claims.
    pub(crate) fn decide(&self, script: Script, sums: &LanguageSums, hint: Option<&'static str>) -> Language {
        let mut candidates = self.candidates(script);
        match (candidates.next(), candidates.next()) {
            (Some(_), Some(_)) => self.decide_by_features(script, sums, hint),
            (Some(column), None) => self.tags.get(column).map_or(UNDETERMINED, |tag| certain(tag)),
            _ => match (only_language(script), hint) {
                (Some(tag), _) => certain(tag),
                (None, Some(tag)) => Language { tag, confidence: HINT_ALONE },
                (None, None) => UNDETERMINED,
            },
        }
    }

    fn decide_by_features(&self, script: Script, sums: &LanguageSums, hint: Option<&'static str>) -> Language {
        let mut columns = [0; LANES];
        let mut logits = [0.0; LANES];
        let mut count = 0;
        for (column, (slot, logit)) in self.candidates(script).zip(columns.iter_mut().zip(&mut logits)) {
            *slot = column;
            *logit = self.logit(column, sums) / self.temperature;
            if hint.is_some() && self.tags.get(column).copied() == hint {
                *logit += HINT;
            }
            count += 1;
        }
        let Some(probabilities) = logits.get_mut(..count) else { return UNDETERMINED };
        softmax(probabilities);
        let best = probabilities.iter().zip(columns).max_by(|a, b| a.0.total_cmp(b.0).then(b.1.cmp(&a.1)));
        match best {
            Some((confidence, column)) if *confidence >= UNDETERMINED_BELOW => {
                let tag = self.tags.get(column).copied().unwrap_or(UNDETERMINED.tag);
                Language { tag, confidence: *confidence }
            }
            _ => UNDETERMINED,
        }
    }

    pub(crate) fn logit(&self, column: usize, sums: &LanguageSums) -> f32 {
        let sum = sums.sums.get(column).copied().unwrap_or(0);
        let bias = self.bias.get(column).copied().unwrap_or(0.0);
        f32::from(sum) * self.scale / (sums.features.max(1) as f32).sqrt() + bias
    }
}

fn certain(tag: &'static str) -> Language {
    Language { tag, confidence: 0.99 }
}
