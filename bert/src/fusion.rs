//! Both tiers' opinions as one: the geometric means of their probabilities.

use crate::opinion::Probabilities;

/// No probability counts as less, so that no tier alone rules a class out.
const LEAST: f32 = 0.01;

/// One opinion from two: the geometric means of their probabilities, made to add up to 1.
pub fn fused(first: &Probabilities, second: &Probabilities) -> Probabilities {
    let product = |first: f32, second: f32| (first.max(LEAST) * second.max(LEAST)).sqrt();
    let negative = product(first.negative, second.negative);
    let neutral = product(first.neutral, second.neutral);
    let positive = product(first.positive, second.positive);
    let sum = negative + neutral + positive;
    Probabilities { negative: negative / sum, neutral: neutral / sum, positive: positive / sum }
}

/// The three probabilities from what is shown of them: the label, P(positive) - P(negative), and the probability of the
/// label.
///
/// `None` where there is no label (`unsure`): two distributions fit then, one with neutral as the most probable and one
/// with a side, and nothing says which it was.
pub fn recovered(label: &str, score: f32, confidence: f32) -> Option<Probabilities> {
    match label {
        "negative" | "positive" => Some(polar(score, confidence)),
        "neutral" => Some(neutral(score, confidence)),
        _ => None,
    }
}

/// Where a side is the most probable.
pub(crate) fn polar(score: f32, confidence: f32) -> Probabilities {
    let (high, low) = (confidence, confidence - score.abs());
    let (negative, positive) = if score < 0.0 { (high, low) } else { (low, high) };
    Probabilities { negative, neutral: 1.0 - high - low, positive }
}

/// Where neutral is the most probable.
pub(crate) fn neutral(score: f32, confidence: f32) -> Probabilities {
    let rest = 1.0 - confidence;
    Probabilities { negative: (rest - score) / 2.0, neutral: confidence, positive: (rest + score) / 2.0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::opinion::Class;

    #[test]
    fn fusing_keeps_what_both_say_and_the_surer_of_two_that_disagree() {
        let sure = Probabilities { negative: 0.9, neutral: 0.05, positive: 0.05 };
        let open = Probabilities { negative: 0.3, neutral: 0.3, positive: 0.4 };
        assert_eq!(fused(&sure, &sure).best().0, Class::Negative);
        assert_eq!(fused(&open, &sure).best().0, Class::Negative);
        assert_eq!(fused(&sure, &open).best().0, Class::Negative);
        let sum = fused(&sure, &open);
        assert!((sum.negative + sum.neutral + sum.positive - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_shown_with_a_label_gives_the_probabilities_back() {
        for (negative, neutral, positive) in [(0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.05, 0.15, 0.8), (0.3, 0.46, 0.24)] {
            let shown = Probabilities { negative, neutral, positive }.opinion();
            let back = recovered(shown.sentiment, shown.score, shown.confidence).unwrap();
            assert!((back.negative - negative).abs() < 1e-6, "{back:?}");
            assert!((back.neutral - neutral).abs() < 1e-6 && (back.positive - positive).abs() < 1e-6, "{back:?}");
        }
    }

    #[test]
    fn without_a_label_two_distributions_are_shown_alike() {
        let one = Probabilities { negative: 0.4, neutral: 0.35, positive: 0.25 };
        let other = Probabilities { negative: 0.375, neutral: 0.4, positive: 0.225 };
        assert_eq!((one.opinion().sentiment, other.opinion().sentiment), ("unsure", "unsure"));
        assert!((one.opinion().score - other.opinion().score).abs() < 1e-6);
        assert!((one.opinion().confidence - other.opinion().confidence).abs() < 1e-6);
        assert_eq!(recovered("unsure", -0.15, 0.4), None);
    }
}
