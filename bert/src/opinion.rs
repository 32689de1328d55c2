//! What a model says of one text.

use serde::{Deserialize, Serialize};

/// A label less probable than this is no label; the first tier draws the line at the same place.
const SURE: f32 = 0.45;

/// A side, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Speaks ill.
    Negative,
    /// Takes no side.
    Neutral,
    /// Speaks well.
    Positive,
}

impl Class {
    /// In the order of [`Probabilities`].
    pub const ALL: [Self; 3] = [Self::Negative, Self::Neutral, Self::Positive];

    /// As it is written everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::Neutral => "neutral",
            Self::Positive => "positive",
        }
    }
}

/// Of negative, neutral and positive; they add up to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probabilities {
    /// P(negative)
    pub negative: f32,
    /// P(neutral); 0 where the model does not know the class
    pub neutral: f32,
    /// P(positive)
    pub positive: f32,
}

impl Probabilities {
    /// Of a text that says nothing.
    pub const NOTHING: Self = Self { negative: 1.0 / 3.0, neutral: 1.0 / 3.0, positive: 1.0 / 3.0 };

    /// What is the most probable, and how probable it is.
    pub fn best(&self) -> (Class, f32) {
        let Self { negative, neutral, positive } = *self;
        if negative > neutral && negative >= positive {
            (Class::Negative, negative)
        } else if positive > neutral {
            (Class::Positive, positive)
        } else {
            (Class::Neutral, neutral)
        }
    }

    /// What is shown.
    pub fn opinion(&self) -> Opinion {
        let (class, confidence) = self.best();
        let sentiment = if confidence < SURE { "unsure" } else { class.name() };
        Opinion { sentiment, score: self.positive - self.negative, confidence }
    }
}

/// What is shown of a text's sentiment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Opinion {
    /// `negative`, `neutral`, `positive`, or `unsure` where none of them is probable enough.
    pub sentiment: &'static str,
    /// P(positive) - P(negative), -1 to 1.
    pub score: f32,
    /// Probability of the best guess, 0 to 1.
    pub confidence: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion(negative: f32, neutral: f32, positive: f32) -> &'static str {
        Probabilities { negative, neutral, positive }.opinion().sentiment
    }

    #[test]
    fn the_most_probable_label_is_shown_if_it_is_probable_enough() {
        assert_eq!(opinion(0.7, 0.2, 0.1), "negative");
        assert_eq!(opinion(0.1, 0.8, 0.1), "neutral");
        assert_eq!(opinion(0.1, 0.1, 0.8), "positive");
        assert_eq!(opinion(0.4, 0.3, 0.3), "unsure");
        assert_eq!(opinion(f32::NAN, f32::NAN, f32::NAN), "neutral");
    }
}
