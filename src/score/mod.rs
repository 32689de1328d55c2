//! Scores: what language a message is in, how its author feels, how far the voice carries.
//!
//! Pure functions: the same message gives the same scores on every machine.

use hearken_connectors::Message;

/// Everything that the first tier says about a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// BCP 47 primary tag, or `und` where it cannot be told.
    pub language: &'static str,
    /// 0..=1.
    pub language_confidence: f32,
    /// How the author feels.
    pub sentiment: Sentiment,
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
    /// The name used in JSON, SQL and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::Neutral => "neutral",
            Self::Positive => "positive",
            Self::Unsure => "unsure",
        }
    }
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

/// The first tier: language, linear sentiment, influence.
pub struct Scorer {}

impl Scorer {
    /// Name and version of the sentiment model, for example `linear-1`.
    pub fn sentiment_model(&self) -> &str {
        "linear-1"
    }

    /// Version of the influence formula.
    pub fn influence_version(&self) -> &'static str {
        "influence-1"
    }

    /// Scores one message.
    pub fn score(&self, _message: &Message) -> Score {
        unimplemented!()
    }
}
