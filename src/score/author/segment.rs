//! Segments, version 1: what an author is to a brand. Somebody can be in several, or in none.
//!
//! | segment | rule |
//! |---|---|
//! | influencer | influence of 50 or more, not automated |
//! | advocate | advocacy of 50 or more |
//! | detractor | advocacy of -50 or less |
//! | newcomer | first heard on the brand within the last 14 days, where the brand itself was heard for 28 days or more |
//! | silent | five mentions of the brand or more, none within the last 90 days |
//!
//! Days are counted back from the latest mention that was heard of anybody. Advocacy of 50 takes at least two mentions
//! ([`advocacy`](super::advocacy)).

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

/// Version of the rules, stored with each segment.
pub const VERSION: &str = "segments-1";

const INFLUENTIAL: f64 = 50.0;
const TAKES_A_SIDE: f64 = 50.0;
const NEW: Duration = Duration::from_secs(14 * 86_400);
const SPOKE_BEFORE: u64 = 5;
const SILENCE: Duration = Duration::from_secs(90 * 86_400);

/// What an author is to a brand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// Their voice carries far.
    Influencer,
    /// Speaks well of the brand, reliably.
    Advocate,
    /// Speaks ill of the brand, reliably.
    Detractor,
    /// Has begun to speak of the brand.
    Newcomer,
    /// Has stopped speaking of the brand.
    Silent,
}

impl Segment {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Influencer, Self::Advocate, Self::Detractor, Self::Newcomer, Self::Silent];

    /// The name used in JSON, SQL and queries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Influencer => "influencer",
            Self::Advocate => "advocate",
            Self::Detractor => "detractor",
            Self::Newcomer => "newcomer",
            Self::Silent => "silent",
        }
    }

    /// The rule, for people.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Influencer => "influence of 50 or more, not automated",
            Self::Advocate => "advocacy of 50 or more",
            Self::Detractor => "advocacy of -50 or less",
            Self::Newcomer => "first heard within the last 14 days, the brand itself for 28 days or more",
            Self::Silent => "5 mentions or more, none within the last 90 days",
        }
    }
}

/// What decides on the segments of an author for a brand. Times are Unix milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Standing {
    /// Influence of the author, 0..=100.
    pub influence: f64,
    /// The account says that it is automated.
    pub bot: bool,
    /// Advocacy for the brand, -100..=100.
    pub advocacy: f64,
    /// Mentions of the brand.
    pub mentions: u64,
    /// The first of them.
    pub first_at: i64,
    /// The last of them.
    pub last_at: i64,
    /// The first mention of the brand by anybody.
    pub brand_first_at: i64,
    /// The latest mention of anything by anybody.
    pub latest_at: i64,
}

/// The segments of an author, in the order of [`Segment::ALL`].
pub fn segments(standing: &Standing) -> Vec<Segment> {
    let is_within = |at: i64, time: Duration| standing.latest_at.saturating_sub(at) < time.as_millis() as i64;
    let holds = |segment: &Segment| match segment {
        Segment::Influencer => standing.influence >= INFLUENTIAL && !standing.bot,
        Segment::Advocate => standing.advocacy >= TAKES_A_SIDE,
        Segment::Detractor => standing.advocacy <= -TAKES_A_SIDE,
        Segment::Newcomer => is_within(standing.first_at, NEW) && !is_within(standing.brand_first_at, NEW * 2),
        Segment::Silent => standing.mentions >= SPOKE_BEFORE && !is_within(standing.last_at, SILENCE),
    };
    Segment::ALL.into_iter().filter(holds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn each_rule_holds_from_its_threshold_on() {
        let ordinary =
            Standing { mentions: 6, first_at: 0, last_at: 100 * DAY, latest_at: 100 * DAY, ..Standing::default() };
        assert_eq!(segments(&ordinary), []);
        let with = |change: fn(&mut Standing)| {
            let mut standing = ordinary;
            change(&mut standing);
            segments(&standing)
        };
        assert_eq!(with(|it| it.influence = 50.0), [Segment::Influencer]);
        assert_eq!(with(|it| (it.influence, it.bot) = (90.0, true)), []);
        assert_eq!(with(|it| it.advocacy = 50.0), [Segment::Advocate]);
        assert_eq!(with(|it| it.advocacy = 49.9), []);
        assert_eq!(with(|it| (it.influence, it.advocacy) = (60.0, -50.0)), [Segment::Influencer, Segment::Detractor]);
        assert_eq!(with(|it| it.first_at = 86 * DAY + 1), [Segment::Newcomer]);
        assert_eq!(with(|it| it.first_at = 86 * DAY), []);
        assert_eq!(with(|it| (it.first_at, it.brand_first_at) = (95 * DAY, 73 * DAY)), [], "everybody is new");
        assert_eq!(with(|it| it.last_at = 10 * DAY), [Segment::Silent]);
        assert_eq!(with(|it| it.last_at = 10 * DAY + 1), []);
        assert_eq!(with(|it| (it.last_at, it.mentions) = (0, 4)), []);
    }
}
