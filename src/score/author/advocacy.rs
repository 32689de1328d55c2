//! Advocacy, version 1: how reliably somebody speaks well of a brand, -100..=100.
//!
//! ```text
//! advocacy = 100 * sum(w * side) / (sum(w) + 3)
//! w        = weight of the intent * 0.5 ^ (age / half-life)
//! ```
//!
//! `side` is +1 for a positive mention, -1 for a negative one, 0 for a neutral one; mentions of unsure sentiment are no
//! evidence. The sum of weights is held against three mentions that take no side, so little evidence stays near 0: one
//! praise makes 25, three make 50, nine make 75. `age` is in whole weeks before the latest mention that was heard of
//! anybody, so the same mentions have the same advocacy whenever it is computed.

use super::super::math::exp;

/// Version of the formula, stored with each score.
pub const VERSION: &str = "advocacy-1";
/// Mentions without a side that the evidence is held against.
pub const PRIOR: f64 = 3.0;

/// Mentions of a brand by one author that are alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    /// Whole weeks before the latest mention.
    pub age_weeks: u32,
    /// `negative`, `neutral`, `positive`, `unsure`.
    pub sentiment: String,
    /// What the author wants: `complaint`, `question`, `praise`, `purchase`, `spam`, or empty.
    pub intent: String,
    /// How many.
    pub mentions: u64,
}

/// What the mentions of an author say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Advocacy {
    /// -100..=100.
    pub score: f64,
    /// Sum of the weights of the mentions.
    pub evidence: f64,
    /// Their weighted mean of sides, -1..=1; 0 without evidence.
    pub mean: f64,
}

/// How much a mention of this intent weighs: a question takes a side by the way at most, and spam is nobody's opinion.
fn intent_weight(intent: &str) -> f64 {
    match intent {
        "question" => 0.5,
        "spam" => 0.0,
        _ => 1.0,
    }
}

fn side(sentiment: &str) -> Option<f64> {
    match sentiment {
        "positive" => Some(1.0),
        "neutral" => Some(0.0),
        "negative" => Some(-1.0),
        _ => None,
    }
}

/// Advocacy of an author for a brand; the order of the evidence changes nothing.
pub fn advocacy(mut evidence: Vec<Evidence>, half_life_days: f64) -> Advocacy {
    evidence.sort_unstable();
    let (mut sum, mut all) = (0.0, 0.0);
    for Evidence { age_weeks, sentiment, intent, mentions } in &evidence {
        let Some(side) = side(sentiment) else { continue };
        let recency = exp(-std::f64::consts::LN_2 * 7.0 * f64::from(*age_weeks) / half_life_days);
        let weight = *mentions as f64 * intent_weight(intent) * recency;
        sum += weight * side;
        all += weight;
    }
    let mean = if all > 0.0 { (sum / all).clamp(-1.0, 1.0) } else { 0.0 };
    Advocacy { score: (100.0 * sum / (all + PRIOR)).clamp(-100.0, 100.0), evidence: all, mean }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HALF_LIFE: f64 = 182.0;

    fn said(sentiment: &str, intent: &str, age_weeks: u32, mentions: u64) -> Evidence {
        Evidence { age_weeks, sentiment: sentiment.to_owned(), intent: intent.to_owned(), mentions }
    }

    fn score(evidence: &[Evidence]) -> f64 {
        advocacy(evidence.to_vec(), HALF_LIFE).score
    }

    fn any_evidence() -> impl Strategy<Value = Vec<Evidence>> {
        let one =
            ("positive|neutral|negative|unsure", "|complaint|question|praise|purchase|spam", 0..600_u32, 1..50_u64);
        prop::collection::vec(one.prop_map(|(side, intent, age, count)| said(&side, &intent, age, count)), 0..30)
    }

    proptest! {
        #[test]
        fn is_in_range_and_near_zero_with_little_evidence(evidence in any_evidence()) {
            let Advocacy { score, evidence, mean } = advocacy(evidence, HALF_LIFE);
            prop_assert!((-100.0..=100.0).contains(&score) && (-1.0..=1.0).contains(&mean));
            prop_assert!(score.abs() <= 100.0 * evidence / (evidence + PRIOR) + 1e-9);
        }

        #[test]
        fn more_praise_never_lowers_it_and_more_blame_never_raises_it(
            evidence in any_evidence(), intent in "|complaint|question|praise|purchase|spam", age in 0..600_u32,
        ) {
            let with = |sentiment: &str| {
                let more = evidence.iter().cloned().chain([said(sentiment, &intent, age, 1)]).collect::<Vec<_>>();
                self::score(&more)
            };
            let now = self::score(&evidence);
            prop_assert!(with("negative") <= now + 1e-9 && now <= with("positive") + 1e-9);
        }

        #[test]
        fn order_changes_nothing(mut evidence in any_evidence(), seed in any::<prop::sample::Index>()) {
            let before = advocacy(evidence.clone(), HALF_LIFE);
            let turn = seed.index(evidence.len().max(1));
            evidence.rotate_left(turn);
            prop_assert_eq!(before, advocacy(evidence, HALF_LIFE));
        }
    }

    #[test]
    fn agrees_with_scores_worked_out_by_hand() {
        assert_eq!(score(&[]), 0.0);
        assert_eq!(score(&[said("positive", "", 0, 1)]), 25.0);
        assert_eq!(score(&[said("positive", "", 0, 3)]), 50.0);
        assert_eq!(score(&[said("negative", "complaint", 0, 2)]), -40.0);
        assert_eq!(score(&[said("positive", "spam", 0, 90), said("unsure", "", 0, 5)]), 0.0);
        // Two that praised a half-life ago weigh one: (1 - 1 + 0) / (1 + 1 + 1 + 3).
        let mixed = [said("positive", "", 26, 2), said("negative", "", 0, 1), said("neutral", "", 0, 1)];
        assert!(score(&mixed).abs() < 1e-9);
        assert!((score(&mixed[..1]) - 25.0).abs() < 1e-7);
    }
}
