//! Scores: what language a message is in, how its author feels and what they want, how far the voice carries, and which
//! other texts say nearly the same.
//!
//! Pure functions: the same message gives the same scores on every machine.

pub mod author;
mod chars;
mod dataset;
pub mod eval;
mod explain;
mod features;
pub mod fingerprint;
pub mod influence;
pub mod intent;
mod language;
mod lexicon;
mod math;
mod model;
mod normalise;
pub mod standing;
pub mod train;

use std::path::Path;

use hearken_connectors::Message;

pub use dataset::{DataError, Labelled};
pub use explain::{Explanation, Weight};
pub use fingerprint::Fingerprint;
pub use intent::Intent;
pub use language::Language;
pub use model::{Model, ModelError, Prediction};
pub use normalise::MAX_CHARS;

/// Everything that the first tier says about a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// BCP 47 primary tag, or `und` where it cannot be told.
    pub language: &'static str,
    /// 0..=1.
    pub language_confidence: f32,
    /// How the author feels.
    pub sentiment: Sentiment,
    /// What the author wants.
    pub intents: Vec<Intent>,
    /// To find texts that say nearly the same; `None` where too little is said.
    pub fingerprint: Option<Fingerprint>,
    /// How far the author's voice carries.
    pub influence: Influence,
}

/// Sentiment of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sentiment {
    /// The label that is shown and counted.
    pub label: Label,
    /// P(positive) - P(negative), -1..=1.
    pub score: f32,
    /// Calibrated probability of the label, 0..=1.
    pub confidence: f32,
}

/// What is said of a text's sentiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// Speaks ill.
    Negative,
    /// Neither, or both.
    Neutral,
    /// Speaks well.
    Positive,
    /// The model does not know enough to say.
    Unsure,
}

impl Label {
    /// The name used in JSON, SQL and queries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::Neutral => "neutral",
            Self::Positive => "positive",
            Self::Unsure => "unsure",
        }
    }
}

impl From<Prediction> for Sentiment {
    fn from(prediction: Prediction) -> Self {
        let [negative, neutral, positive] = prediction.probabilities;
        let (label, confidence) = match prediction.best() {
            0 => (Label::Negative, negative),
            1 => (Label::Neutral, neutral),
            _ => (Label::Positive, positive),
        };
        let label = if prediction.unsure { Label::Unsure } else { label };
        Self { label, score: positive - negative, confidence }
    }
}

/// What the first tier says about a text that belongs to no message.
#[derive(Debug, Clone, PartialEq)]
pub struct TextScore {
    /// What it is written in.
    pub language: Language,
    /// How its author feels.
    pub sentiment: Sentiment,
    /// What its author wants.
    pub intents: Vec<Intent>,
}

/// Influence of an author as far as one message tells, 0..=100, with its terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Influence {
    /// Weighted sum of the terms, 0..=100.
    pub score: f32,
    /// Followers on a log scale, 0..=100.
    pub reach: f32,
    /// Engagement with this message, 0..=100.
    pub resonance: f32,
}

/// The first tier: language, linear sentiment, intents, influence.
///
/// Shared between threads as it is; scoring takes `&self` and locks nothing.
pub struct Scorer {
    model: Model,
}

impl Scorer {
    /// A scorer with the model that is part of the program.
    ///
    /// # Errors
    /// None in a program whose tests passed.
    pub fn built_in() -> Result<Self, ModelError> {
        Model::built_in().map(Self::new)
    }

    /// A scorer with the model in a file.
    ///
    /// # Errors
    /// The file cannot be read, or is no model for this version of the program.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        Model::load(path).map(Self::new)
    }

    /// A scorer with a model.
    pub fn new(model: Model) -> Self {
        Self { model }
    }

    /// Name and version of the model, for example `linear-1`; stored with each score.
    pub fn model_name(&self) -> &str {
        self.model.name()
    }

    /// Scores one message: its title and text as one, with the source's language as a hint.
    pub fn score(&self, message: &Message) -> Score {
        let parts: [&str; 2] = [&message.title, &message.text];
        let (prediction, (intents, fingerprint)) =
            self.model.predict_and(&parts, message.language.as_deref(), |text, prediction| {
                (intent::intents(text, prediction), Fingerprint::of(text))
            });
        Score {
            language: prediction.language.tag,
            language_confidence: prediction.language.confidence,
            sentiment: prediction.into(),
            intents,
            fingerprint,
            influence: influence::influence(message),
        }
    }

    /// Scores a text that belongs to no message.
    pub fn score_text(&self, text: &str) -> TextScore {
        let (prediction, intents) = self.model.predict_and(&[text], None, intent::intents);
        TextScore { language: prediction.language, sentiment: prediction.into(), intents }
    }
}
