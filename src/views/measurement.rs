//! Measurement: the figures that a brand is compared by, each with its formula.
//!
//! `p`, `u`, `n` are positive, neutral and negative mentions; those of unsure sentiment are in none of them.

use std::collections::HashSet;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Filter;
use crate::store::{Store, StoreError};

/// Every figure and its formula, as a report prints them.
pub const FORMULAS: &[(&str, &str)] = &[
    ("mention", "a message that speaks of a brand, said by others; one that speaks of two brands is two mentions"),
    ("share of voice", "mentions of the brand / mentions of all brands shown"),
    ("reach", "sum of the followers, as last seen, of the brand's distinct authors; unknown followers add nothing"),
    ("share of reach", "reach of the brand / sum of the reach of all brands shown"),
    ("net sentiment", "(p - n) / (p + u + n), with p positive, u neutral, n negative; unsure mentions are left out"),
    ("net, decided", "(p - n) / (p + n)"),
    ("neutral", "u / (p + u + n)"),
    ("unsure", "unsure / mentions"),
    (
        "trending",
        "z = ln odds ratio of holding the term, lately against before, over its standard error; shown from 2.58, with 3 \
         mentions by 2 authors or more",
    ),
    (
        "95 %",
        "how far chance alone may move the figure; errors of the scorer come on top. Net sentiment: Agresti and Min \
         2005, d ± 1.96 √((p' + n' - d²) / (N + 2)) on shares with half a mention added to each of four cells; net, \
         decided: Wilson's interval of p / (p + n), stretched to -1..1",
    ),
];

/// 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_964;

/// A figure and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Estimate {
    /// The figure itself.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The figures of a brand. A ratio without a denominator is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BrandFigures {
    /// Its name.
    pub brand: String,
    /// Mentions; the four that follow add up to it.
    pub mentions: u64,
    /// Of positive sentiment.
    pub positive: u64,
    /// Of neutral sentiment.
    pub neutral: u64,
    /// Of negative sentiment.
    pub negative: u64,
    /// Of which the scorer is not sure.
    pub unsure: u64,
    /// Distinct authors that the sources name.
    pub authors: u64,
    /// Those of them whose followers no source tells.
    pub authors_of_unknown_reach: u64,
    /// Sum of the followers of its distinct authors.
    pub reach: u64,
    /// 0..=1.
    pub share_of_voice: Option<f64>,
    /// 0..=1.
    pub share_of_reach: Option<f64>,
    /// -1..=1, of all judged mentions.
    pub net_sentiment: Option<Estimate>,
    /// -1..=1, of the mentions that take a side.
    pub net_sentiment_decided: Option<Estimate>,
    /// 0..=1.
    pub neutral_share: Option<f64>,
    /// 0..=1.
    pub unsure_share: Option<f64>,
}

/// `(p - n) / (p + u + n)` with Agresti and Min's interval ("Simple improved confidence intervals for comparing
/// matched proportions", Statistics in Medicine 24, 2005): the difference of the two discordant shares of a
/// matched-pairs table, half an observation added to each of its four cells.
pub fn net_sentiment(positive: u64, neutral: u64, negative: u64) -> Option<Estimate> {
    let (p, u, n) = (positive as f64, neutral as f64, negative as f64);
    let judged = p + u + n;
    if judged == 0.0 {
        return None;
    }
    let centre = (p - n) / (judged + 2.0);
    let variance = ((p + n + 1.0) / (judged + 2.0) - centre * centre).max(0.0) / (judged + 2.0);
    let spread = Z * variance.sqrt();
    Some(Estimate { value: (p - n) / judged, low: (centre - spread).max(-1.0), high: (centre + spread).min(1.0) })
}

/// `(p - n) / (p + n)` with Wilson's interval of the share `p / (p + n)`, stretched from 0..=1 to -1..=1.
pub fn net_sentiment_decided(positive: u64, negative: u64) -> Option<Estimate> {
    let (p, n) = (positive as f64, negative as f64);
    let decided = p + n;
    if decided == 0.0 {
        return None;
    }
    let centre = 2.0 * (p + Z * Z / 2.0) / (decided + Z * Z) - 1.0;
    let spread = 2.0 * Z * (p * n / decided + Z * Z / 4.0).sqrt() / (decided + Z * Z);
    Some(Estimate { value: (p - n) / decided, low: (centre - spread).max(-1.0), high: (centre + spread).min(1.0) })
}

#[derive(Debug, Row, Deserialize)]
struct Counted {
    brand: String,
    mentions: u64,
    positive: u64,
    neutral: u64,
    negative: u64,
    unsure: u64,
    authors: u64,
    authors_of_unknown_reach: u64,
    reach: u64,
}

/// The figures of every brand, most mentions first. Brands that the filter names and nobody mentions are there,
/// with zeros.
pub async fn brands(store: &Store, filter: &Filter) -> Result<Vec<BrandFigures>, StoreError> {
    // By author first, so that an author's followers count once.
    let sql = "SELECT toString(brand) AS brand, sum(said) AS mentions, sum(p) AS positive, sum(u) AS neutral, \
                   sum(n) AS negative, sum(x) AS unsure, countIf(author != '') AS authors, \
                   countIf(author != '' AND followers IS NULL) AS authors_of_unknown_reach, \
                   sum(ifNull(followers, 0)) AS reach \
               FROM (SELECT brand, channel, if(author_id = '', author_handle, author_id) AS author, count() AS said, \
                         countIf(sentiment = 'positive') AS p, countIf(sentiment = 'neutral') AS u, \
                         countIf(sentiment = 'negative') AS n, countIf(sentiment = 'unsure') AS x, \
                         if(author = '', NULL, argMax(author_followers, (observed_at, message_id))) AS followers \
                     FROM {mentions} GROUP BY brand, channel, author) \
               GROUP BY brand ORDER BY mentions DESC, brand";
    let mut counted: Vec<Counted> = store.fetch("reading the figures of brands", filter.ask(store, sql)).await?;
    let heard: HashSet<&str> = counted.iter().map(|brand| brand.brand.as_str()).collect();
    let mut silent: Vec<String> =
        filter.brands.iter().filter(|brand| !heard.contains(brand.as_str())).cloned().collect();
    silent.sort_unstable();
    silent.dedup();
    counted.extend(silent.into_iter().map(Counted::nothing));
    let mentions = counted.iter().map(|brand| brand.mentions).sum();
    let reach = counted.iter().map(|brand| brand.reach).sum();
    Ok(counted.into_iter().map(|brand| brand.figures(mentions, reach)).collect())
}

impl Counted {
    fn nothing(brand: String) -> Self {
        Self {
            brand,
            mentions: 0,
            positive: 0,
            neutral: 0,
            negative: 0,
            unsure: 0,
            authors: 0,
            authors_of_unknown_reach: 0,
            reach: 0,
        }
    }

    fn figures(self, all_mentions: u64, all_reach: u64) -> BrandFigures {
        BrandFigures {
            share_of_voice: ratio(self.mentions, all_mentions),
            share_of_reach: ratio(self.reach, all_reach),
            net_sentiment: net_sentiment(self.positive, self.neutral, self.negative),
            net_sentiment_decided: net_sentiment_decided(self.positive, self.negative),
            neutral_share: ratio(self.neutral, self.positive + self.neutral + self.negative),
            unsure_share: ratio(self.unsure, self.mentions),
            brand: self.brand,
            mentions: self.mentions,
            positive: self.positive,
            neutral: self.neutral,
            negative: self.negative,
            unsure: self.unsure,
            authors: self.authors,
            authors_of_unknown_reach: self.authors_of_unknown_reach,
            reach: self.reach,
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_judged_is_no_figure() {
        assert_eq!(net_sentiment(0, 0, 0), None);
        assert_eq!(net_sentiment_decided(0, 0), None);
        assert_eq!(ratio(0, 0), None);
    }

    #[test]
    fn agrees_with_figures_worked_out_by_hand() {
        // 60 positive, 10 neutral, 30 negative: d' = 30/102, variance (91/102 - d'²)/102.
        let net = net_sentiment(60, 10, 30).unwrap();
        assert!((net.value - 0.3).abs() < 1e-12);
        assert!((net.low - 0.119_93).abs() < 1e-5 && (net.high - 0.468_31).abs() < 1e-5, "{net:?}");
        // Wilson for 60 of 90: 0.5642..0.7551.
        let decided = net_sentiment_decided(60, 30).unwrap();
        assert!((decided.value - 1.0 / 3.0).abs() < 1e-12);
        assert!((decided.low - 0.1284).abs() < 1e-3 && (decided.high - 0.5103).abs() < 1e-3, "{decided:?}");
    }

    proptest! {
        #[test]
        fn intervals_hold_the_figure_and_stay_in_range(p in 0_u64..5000, u in 0_u64..5000, n in 0_u64..5000) {
            for estimate in [net_sentiment(p, u, n), net_sentiment_decided(p, n)].into_iter().flatten() {
                prop_assert!(-1.0 <= estimate.low && estimate.high <= 1.0);
                prop_assert!(estimate.low <= estimate.value + 1e-9 && estimate.value <= estimate.high + 1e-9, "{estimate:?}");
            }
        }

        #[test]
        fn mirror_images_have_mirrored_figures(p in 0_u64..500, u in 0_u64..500, n in 0_u64..500) {
            if let (Some(a), Some(b)) = (net_sentiment(p, u, n), net_sentiment(n, u, p)) {
                prop_assert!((a.value + b.value).abs() < 1e-9 && (a.low + b.high).abs() < 1e-9);
            }
        }
    }
}
