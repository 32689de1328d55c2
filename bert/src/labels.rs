//! The labels of a checkpoint, as sides.
//!
//! Checkpoints name their labels as they like, in `id2label` of `config.json`: `NEGATIVE`, `neg`, `very positive`,
//! `4 stars`. Two to five of them are understood. `LABEL_0` and the like say nothing; whoever uses such a checkpoint
//! has to say what they mean, because guessing wrong turns every opinion around.

use std::collections::BTreeMap;

use crate::opinion::{Class, Probabilities};

/// The side of each output of a model, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels(Vec<Class>);

/// Why labels cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Names that are no sentiment.
    #[error(
        "the labels {0:?} are not understood; say what they mean, in their order, with \
         `--labels negative,neutral,positive` (or whatever they are)"
    )]
    Unknown(Vec<String>),
    /// A hole in the numbers.
    #[error("the labels are numbered {0:?}, expected 0, 1, 2, ... without holes")]
    Numbers(Vec<usize>),
    /// Too few or too many.
    #[error("there are {0} labels, expected two to five")]
    Count(usize),
    /// Nothing to tell apart.
    #[error("the labels {0:?} do not have both a positive and a negative side")]
    OneSided(Vec<String>),
}

impl Labels {
    /// From the numbers and names of a checkpoint.
    pub fn from_checkpoint(names: &BTreeMap<usize, String>) -> Result<Self, LabelError> {
        if names.keys().copied().ne(0..names.len()) {
            return Err(LabelError::Numbers(names.keys().copied().collect()));
        }
        Self::from_names(&names.values().cloned().collect::<Vec<_>>())
    }

    /// From names in the order of the model's outputs.
    pub fn from_names(names: &[String]) -> Result<Self, LabelError> {
        if !(2..=5).contains(&names.len()) {
            return Err(LabelError::Count(names.len()));
        }
        let classes = stars(names).or_else(|| names.iter().map(|name| class(name)).collect());
        let classes: Vec<Class> = classes.ok_or_else(|| LabelError::Unknown(names.to_vec()))?;
        if !(classes.contains(&Class::Negative) && classes.contains(&Class::Positive)) {
            return Err(LabelError::OneSided(names.to_vec()));
        }
        Ok(Self(classes))
    }

    /// How many outputs the model has.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Probabilities of the sides from the model's outputs (softmax; labels of one side add up).
    pub fn probabilities(&self, logits: &[f32]) -> Probabilities {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers = logits.iter().map(|logit| (logit - most).exp());
        let sum: f32 = powers.clone().sum();
        let of = |class: Class| {
            let share = powers.clone().zip(&self.0).filter(|(_, own)| **own == class).map(|(power, _)| power);
            share.sum::<f32>() / sum
        };
        Probabilities { negative: of(Class::Negative), neutral: of(Class::Neutral), positive: of(Class::Positive) }
    }
}

/// `1 star`, `2 stars`, ...: the middle one is neutral.
fn stars(names: &[String]) -> Option<Vec<Class>> {
    let count = |name: &String| {
        let number = name.to_lowercase();
        let number = number.strip_suffix("stars").or_else(|| number.strip_suffix("star"))?;
        number.trim().parse::<usize>().ok().filter(|stars| (1..=names.len()).contains(stars))
    };
    let counts: Vec<usize> = names.iter().map(count).collect::<Option<_>>()?;
    let side = |stars: usize| match (2 * stars).cmp(&(names.len() + 1)) {
        std::cmp::Ordering::Less => Class::Negative,
        std::cmp::Ordering::Equal => Class::Neutral,
        std::cmp::Ordering::Greater => Class::Positive,
    };
    Some(counts.into_iter().map(side).collect())
}

fn class(name: &str) -> Option<Class> {
    let lower = name.to_lowercase().replace(['_', '-'], " ");
    match lower.trim().strip_prefix("very ").unwrap_or(lower.trim()).trim() {
        "negative" | "neg" | "negatif" | "negativo" => Some(Class::Negative),
        "neutral" | "neu" | "neutre" | "neutro" | "notr" | "nötr" => Some(Class::Neutral),
        "positive" | "pos" | "positif" | "positivo" => Some(Class::Positive),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use Class::{Negative, Neutral, Positive};

    fn labels(names: &[&str]) -> Result<Vec<Class>, LabelError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Labels::from_names(&names).map(|labels| labels.0)
    }

    #[test]
    fn names_of_known_checkpoints_are_understood() {
        assert_eq!(labels(&["NEGATIVE", "POSITIVE"]).unwrap(), [Negative, Positive]);
        assert_eq!(labels(&["POS", "NEU", "NEG"]).unwrap(), [Positive, Neutral, Negative]);
        assert_eq!(
            labels(&["Very Negative", "negative", "neutral", "positive", "very_positive"]).unwrap(),
            [Negative, Negative, Neutral, Positive, Positive]
        );
        assert_eq!(
            labels(&["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]).unwrap(),
            [Negative, Negative, Neutral, Positive, Positive]
        );
        assert_eq!(
            labels(&["2 stars", "1 star", "4 stars", "3 stars"]).unwrap(),
            [Negative, Negative, Positive, Positive]
        );
    }

    #[test]
    fn what_says_nothing_is_refused_with_what_to_do() {
        let error = labels(&["LABEL_0", "LABEL_1"]).unwrap_err();
        assert!(error.to_string().contains("--labels"), "{error}");
        assert_eq!(labels(&["negative"]).unwrap_err(), LabelError::Count(1));
        assert_eq!(labels(&["negative"; 6]).unwrap_err(), LabelError::Count(6));
        assert!(matches!(labels(&["negative", "neutral"]).unwrap_err(), LabelError::OneSided(_)));
        let holes = BTreeMap::from([(0, "negative".to_owned()), (2, "positive".to_owned())]);
        assert_eq!(Labels::from_checkpoint(&holes).unwrap_err(), LabelError::Numbers(vec![0, 2]));
    }

    #[test]
    fn probabilities_of_one_side_add_up() {
        let stars = Labels(vec![Negative, Negative, Neutral, Positive, Positive]);
        let even = stars.probabilities(&[3.0; 5]);
        assert!((even.negative - 0.4).abs() < 1e-6 && (even.neutral - 0.2).abs() < 1e-6);
        let clear = stars.probabilities(&[-90.0, -90.0, -90.0, -90.0, 90.0]);
        assert!((clear.positive - 1.0).abs() < 1e-6);
        let two = Labels(vec![Positive, Negative]).probabilities(&[0.0, 0.0]);
        assert_eq!((two.negative, two.neutral, two.positive), (0.5, 0.0, 0.5));
    }
}
