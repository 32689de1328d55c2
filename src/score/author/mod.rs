//! Influence of an author, version 1: how far somebody's voice carries, from everything that was heard of them.
//!
//! ```text
//! reach      = 100 * damped(ln(1 + followers)) / ln(1 + F)          at most 100
//! resonance  = 100 * ln(1 + e / M) / ln(1 + 100)                    at most 100
//! authority  = 100 * ln(1 + voices) / ln(1 + 100)                   at most 100
//! activity   = 100 * ln(1 + days) / ln(1 + 30)                      at most 100
//! relevance  = 100 * messages that speak of the brand / messages
//! influence  = damping * sum(weight * term) / sum(weight)
//! e          = (reactions + 2 * M) / (posts + 2)
//! damped(l)  = l up to c = ln(1 + 1000 * (1 + e)), from there on c + (l - c) / 4
//! ```
//!
//! F, T and M are the channel's: followers at the top (99th percentile), followers of a typical author (median), and
//! reactions to a typical post (median, at least 1), as heard here. The reference of [`influence`](super::influence)
//! stands beside them as if it were 100 authors or posts ([`Channel::new`]). `reactions` weigh as in `influence-1`;
//! reposts of others are no posts of the author. `voices` is what [`authority`] finds, `days` are the days of the last
//! ninety on which somebody spoke.
//!
//! *Bought audiences*: an audience that is there reacts. To a thousand followers belongs one reaction to an average
//! post; what an account has beyond that counts a quarter on the log scale. More followers never lower reach. Where a
//! channel counts no reactions at all this says nothing, and is left out.
//!
//! *Automated accounts* are damped to a fifth and have no vote in [`authority`].
//!
//! The influence of an author has four terms; that of an author on a brand has relevance as its fifth.

pub mod advocacy;
pub mod authority;
pub mod segment;

use std::fmt;

use super::influence::{BOT_DAMPING, reference};
use super::math::{exp, ln};

/// Version of the formula, stored with each score.
pub const VERSION: &str = "author-influence-1";
/// Days before the latest mention in which an author's activity counts.
pub const ACTIVE_WINDOW_DAYS: u32 = 90;

/// Active days of these that are full activity.
const FULL_ACTIVITY_DAYS: f64 = 30.0;
/// Authors, or posts, that the reference of a channel weighs as much as.
const REFERENCE_WEIGHT: f64 = 100.0;
/// Typical posts that an author's own are averaged with.
const PRIOR_POSTS: f64 = 2.0;
/// Times the typical reactions, and voices, that are 100.
const OUTSTANDING: f64 = 100.0;
/// Followers that one reaction to an average post makes credible.
const FOLLOWERS_PER_REACTION: f64 = 1000.0;
/// What followers beyond the credible count on the log scale.
const BEYOND_CREDIBLE: f64 = 0.25;

/// How much each term weighs; 0 or more each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Of followers.
    pub reach: f64,
    /// Of reactions.
    pub resonance: f64,
    /// Of who speaks to the author.
    pub authority: f64,
    /// Of the share of the author's voice that a brand has; in the influence on a brand only.
    pub relevance: f64,
    /// Of how regularly they speak.
    pub activity: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { reach: 0.3, resonance: 0.25, authority: 0.25, relevance: 0.1, activity: 0.1 }
    }
}

/// What the scores of authors depend on beside what was heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Of the terms of influence.
    pub weights: Weights,
    /// Age in days at which a mention says half as much for advocacy; above 0.
    pub half_life_days: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { weights: Weights::default(), half_life_days: 180.0 }
    }
}

/// Versions of the formulas, and what they are set to: scores of equal rules can be compared.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Weights { reach, resonance, authority, relevance, activity } = self.weights;
        write!(f, "{VERSION} {} {}: ", advocacy::VERSION, segment::VERSION)?;
        write!(f, "reach {reach}, resonance {resonance}, authority {authority}, relevance {relevance}, ")?;
        write!(f, "activity {activity}, half-life {} days", self.half_life_days)
    }
}

/// What was heard of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Heard {
    /// Authors whose followers are known.
    pub authors: u64,
    /// Median of their followers.
    pub typical_followers: u64,
    /// 99th percentile of their followers.
    pub top_followers: u64,
    /// Posts.
    pub posts: u64,
    /// Median of the reactions to them.
    pub typical_reactions: u64,
    /// Some post has a reaction: the channel counts them.
    pub counts_reactions: bool,
}

/// What is large and what is usual on a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// F: followers at the top.
    pub top_followers: f64,
    /// T: followers of a typical author, and of one whose followers nobody tells.
    pub typical_followers: f64,
    /// M: reactions to a typical post; 1 or more.
    pub typical_reactions: f64,
    /// Whether reactions are counted, so that their absence says something.
    pub counts_reactions: bool,
}

impl Channel {
    /// The channel's own distribution, mixed on the log scale with the reference, which weighs as 100 authors or posts.
    pub fn new(name: &str, heard: Heard) -> Self {
        let known = reference(name);
        let mixed = |known: f64, own: u64, count: u64| {
            let count = count as f64;
            let log = (count * ln(1.0 + own as f64) + REFERENCE_WEIGHT * ln(1.0 + known)) / (count + REFERENCE_WEIGHT);
            exp(log) - 1.0
        };
        let typical_reactions = mixed(known.outstanding / OUTSTANDING, heard.typical_reactions, heard.posts);
        Self {
            top_followers: mixed(known.top_followers, heard.top_followers, heard.authors).max(1.0),
            typical_followers: mixed(known.typical_followers, heard.typical_followers, heard.authors),
            typical_reactions: typical_reactions.max(1.0),
            counts_reactions: heard.counts_reactions,
        }
    }
}

/// What is known of an author.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Author {
    /// Followers as last seen; `None` where no source says.
    pub followers: Option<u64>,
    /// Messages of their own, reposts of others left out.
    pub posts: u64,
    /// Weighted reactions to those.
    pub reactions: u64,
    /// Days of the last ninety on which they spoke.
    pub active_days: u64,
    /// Voices that [`authority`] gives them.
    pub voices: f64,
    /// The account says that it is automated.
    pub bot: bool,
}

/// The terms of an author's influence, 0..=100 each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// Followers on a log scale, a bought audience damped.
    pub reach: f64,
    /// Reactions to the author's posts against those of the channel.
    pub resonance: f64,
    /// Who speaks to the author.
    pub authority: f64,
    /// How regularly they speak.
    pub activity: f64,
    /// 1, or less for an automated account.
    damping: f64,
}

impl Terms {
    /// The terms of an author on a channel.
    pub fn of(author: &Author, channel: &Channel) -> Self {
        let typical = channel.typical_reactions;
        let reactions = (author.reactions as f64 + PRIOR_POSTS * typical) / (author.posts as f64 + PRIOR_POSTS);
        let followers = author.followers.map_or(channel.typical_followers, |count| count as f64);
        let mut audience = ln(1.0 + followers);
        let credible = ln(1.0 + FOLLOWERS_PER_REACTION * (1.0 + reactions));
        if channel.counts_reactions && audience > credible {
            audience = credible + BEYOND_CREDIBLE * (audience - credible);
        }
        Self {
            reach: percent(audience / ln(1.0 + channel.top_followers)),
            resonance: log_percent(reactions / typical, OUTSTANDING),
            authority: log_percent(author.voices, OUTSTANDING),
            activity: log_percent(author.active_days as f64, FULL_ACTIVITY_DAYS),
            damping: if author.bot { BOT_DAMPING } else { 1.0 },
        }
    }

    /// Influence of the author, 0..=100.
    pub fn influence(&self, weights: &Weights) -> f64 {
        self.weighed(weights, &[])
    }

    /// Influence on a brand that has this `relevance`, 0..=100.
    pub fn influence_on_brand(&self, relevance: f64, weights: &Weights) -> f64 {
        self.weighed(weights, &[(weights.relevance, relevance)])
    }

    fn weighed(&self, weights: &Weights, more: &[(f64, f64)]) -> f64 {
        let own = [
            (weights.reach, self.reach),
            (weights.resonance, self.resonance),
            (weights.authority, self.authority),
            (weights.activity, self.activity),
        ];
        let (mut sum, mut all) = (0.0, 0.0);
        for (weight, term) in own.iter().chain(more) {
            sum += weight * term;
            all += weight;
        }
        if all > 0.0 { (self.damping * sum / all).clamp(0.0, 100.0) } else { 0.0 }
    }
}

/// Share of an author's messages that speak of a brand, 0..=100.
pub fn relevance(of_brand: u64, messages: u64) -> f64 {
    if messages == 0 { 0.0 } else { percent(of_brand as f64 / messages as f64) }
}

fn percent(share: f64) -> f64 {
    (100.0 * share).clamp(0.0, 100.0)
}

/// 0..=100 on a log scale that reaches 100 at `top`.
fn log_percent(value: f64, top: f64) -> f64 {
    percent(ln(1.0 + value) / ln(1.0 + top))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn author() -> impl Strategy<Value = Author> {
        let count = || prop_oneof![0..100_u64, 0..u64::MAX / 2];
        let counts = (prop::option::of(count()), count(), count(), 0..90_u64);
        (counts, 0.0..1e9, any::<bool>()).prop_map(|((followers, posts, reactions, active_days), voices, bot)| Author {
            followers,
            posts,
            reactions,
            active_days,
            voices,
            bot,
        })
    }

    fn channel() -> impl Strategy<Value = Channel> {
        let heard = (any::<u64>(), any::<u64>(), any::<u64>(), 0..1_000_000_u64, any::<u64>(), any::<bool>());
        ("mastodon|twitter|feed", heard).prop_map(
            |(name, (authors, a, b, posts, typical_reactions, counts_reactions))| {
                let (typical_followers, top_followers) = (a.min(b), a.max(b));
                let heard =
                    Heard { authors, typical_followers, top_followers, posts, typical_reactions, counts_reactions };
                Channel::new(&name, heard)
            },
        )
    }

    proptest! {
        #[test]
        fn every_term_is_in_range(author in author(), channel in channel(), of_brand: u64, messages: u64) {
            let terms = Terms::of(&author, &channel);
            let relevance = relevance(of_brand.min(messages), messages);
            let weights = Weights::default();
            let influence = [terms.influence(&weights), terms.influence_on_brand(relevance, &weights)];
            let all = [terms.reach, terms.resonance, terms.authority, terms.activity, relevance];
            for term in all.into_iter().chain(influence) {
                prop_assert!(term.is_finite() && (0.0..=100.0).contains(&term), "{terms:?} {influence:?}");
            }
        }

        #[test]
        fn more_followers_never_lower_reach(author in author(), channel in channel(), a: u64, b: u64) {
            let reach = |followers| Terms::of(&Author { followers: Some(followers), ..author }, &channel).reach;
            prop_assert!(reach(a.min(b)) <= reach(a.max(b)));
        }

        #[test]
        fn more_reactions_never_lower_resonance_nor_reach(
            author in author(), channel in channel(), more in 0..u64::MAX / 2,
        ) {
            let louder = Terms::of(&Author { reactions: author.reactions + more, ..author }, &channel);
            let terms = Terms::of(&author, &channel);
            prop_assert!(terms.resonance <= louder.resonance && terms.reach <= louder.reach);
        }

        #[test]
        fn bots_carry_less_far(author in author(), channel in channel()) {
            let influence = |bot| Terms::of(&Author { bot, ..author }, &channel).influence(&Weights::default());
            prop_assert!(influence(true) <= influence(false) * BOT_DAMPING + 1e-9);
        }
    }

    /// Ten thousand authors with a median of 300 followers and a top of 100,000, two reactions to a typical post.
    fn twitter() -> Channel {
        let heard = Heard {
            authors: 10_000,
            typical_followers: 300,
            top_followers: 100_000,
            posts: 50_000,
            typical_reactions: 2,
            counts_reactions: true,
        };
        Channel::new("twitter", heard)
    }

    #[test]
    fn a_channel_has_its_own_measure_once_there_is_enough_of_it() {
        let reference = Channel::new("twitter", Heard::default());
        assert!((reference.top_followers / 10_000_000.0 - 1.0).abs() < 1e-6);
        assert!((reference.typical_followers / 300.0 - 1.0).abs() < 1e-6);
        assert!((reference.typical_reactions / 10.0 - 1.0).abs() < 1e-6);
        let own = twitter();
        assert!((own.top_followers / 100_000.0 - 1.0).abs() < 0.06, "{own:?}");
        assert!((own.typical_reactions / 2.0 - 1.0).abs() < 0.01, "{own:?}");
    }

    #[test]
    fn a_bought_audience_counts_little() {
        let honest = Author { followers: Some(100_000), posts: 50, reactions: 50 * 150, ..Author::default() };
        let bought = Author { reactions: 5, ..honest };
        let (honest, bought) = (Terms::of(&honest, &twitter()), Terms::of(&bought, &twitter()));
        assert!(honest.reach > 95.0 && bought.reach < honest.reach - 20.0, "{honest:?} {bought:?}");
        let uncounted = Channel { counts_reactions: false, ..twitter() };
        let unknown = Author { followers: Some(100_000), posts: 50, ..Author::default() };
        assert!(Terms::of(&unknown, &uncounted).reach > 95.0, "no reaction says nothing where none is counted");
    }

    #[test]
    fn agrees_with_a_score_worked_out_by_hand() {
        let channel = Channel {
            top_followers: 99_999.0,
            typical_followers: 99.0,
            typical_reactions: 2.0,
            counts_reactions: true,
        };
        let author = Author { followers: Some(999), posts: 8, reactions: 36, active_days: 5, voices: 9.0, bot: false };
        let terms = Terms::of(&author, &channel);
        // log10 of 1,000 over that of 100,000; e = (36 + 4) / 10 = 4, twice the typical: ln 3 / ln 101.
        assert!((terms.reach - 60.0).abs() < 1e-9);
        assert!((terms.resonance - 23.804_5).abs() < 1e-3, "{terms:?}");
        assert!((terms.authority - 49.892_2).abs() < 1e-3, "{terms:?}");
        assert!((terms.activity - 52.177_4).abs() < 1e-3, "{terms:?}");
        let weights = Weights::default();
        // (18 + 5.951 + 12.473 + 5.218) / 0.9, and with the tenth of relevance 40: (41.642 + 4) / 1.
        assert!((terms.influence(&weights) - 46.268_8).abs() < 1e-3, "{}", terms.influence(&weights));
        assert!((terms.influence_on_brand(40.0, &weights) - 45.641_9).abs() < 1e-3);
    }
}
