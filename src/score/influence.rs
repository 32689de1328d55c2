//! Influence, version 1: how far a voice carries, as far as one message tells.
//!
//! ```text
//! reach      = 100 * ln(1 + followers) / ln(1 + F)               at most 100
//! resonance  = 100 * ln(1 + engaged) / ln(1 + E * share)         at most 100
//! engaged    = likes + 2 * replies + 3 * (reposts + quotes)
//! share      = max(1, sqrt(followers / T))
//! influence  = damping * (0.6 * reach + 0.4 * resonance)
//! ```
//!
//! F (followers of an account at the top of the channel), T (followers of a typical account) and E
//! (weighted reactions to an outstanding post of a typical account) are the channel's reference.
//! A large audience reacts more in sum and less per head, hence the square root. A repost or quote
//! shows the message to a new audience, a reply costs a sentence, a like costs a touch: 3, 2, 1.
//!
//! What the source does not say is unknown, not zero: an author without a follower count has the
//! reach of a typical account, a message without any counted reaction has the resonance of a message
//! with one reaction. An automated account is damped to a fifth: it repeats, nobody listens to it
//! because of who it is. Platform verification changes nothing: on some platforms it is for sale.

use hearken_connectors::Message;

use super::Influence;
use super::math::ln;

/// Version of the formula, stored with each score.
pub const VERSION: &str = "influence-1";

const REACH_WEIGHT: f64 = 0.6;
const RESONANCE_WEIGHT: f64 = 0.4;
pub(super) const BOT_DAMPING: f64 = 0.2;
/// Weighted reactions of a message whose source counts none.
const UNKNOWN_ENGAGED: f64 = 1.0;

/// What a reply, and a repost or quote, weigh in reactions; a like is one.
pub(crate) const REPLY_WEIGHT: u64 = 2;
pub(crate) const REPOST_WEIGHT: u64 = 3;

/// What is large and what is usual on a channel.
pub(super) struct Reference {
    /// Followers of an account at the top.
    pub(super) top_followers: f64,
    /// Followers of a typical account that posts.
    pub(super) typical_followers: f64,
    /// Weighted reactions to an outstanding post of a typical account.
    pub(super) outstanding: f64,
}

/// Orders of magnitude, not measurements: the logarithm forgives a factor of two.
pub(super) fn reference(channel: &str) -> Reference {
    let (top_followers, typical_followers, outstanding) = match channel {
        "mastodon" => (100_000.0, 150.0, 300.0),
        "bluesky" => (1_000_000.0, 150.0, 500.0),
        "twitter" | "x" => (10_000_000.0, 300.0, 1_000.0),
        "instagram" | "tiktok" | "youtube" => (10_000_000.0, 500.0, 5_000.0),
        "reddit" | "hackernews" => (100_000.0, 50.0, 1_000.0),
        _ => (1_000_000.0, 200.0, 500.0),
    };
    Reference { top_followers, typical_followers, outstanding }
}

/// Influence of a message's author as far as this message tells.
pub fn influence(message: &Message) -> Influence {
    let reference = reference(&message.channel);
    let followers = message.author.followers.map_or(reference.typical_followers, |count| count as f64);
    let reach = share_of_log(followers, reference.top_followers);
    let share = (followers / reference.typical_followers).sqrt().max(1.0);
    let resonance = share_of_log(engaged(message), reference.outstanding * share);
    let damping = if message.author.bot { BOT_DAMPING } else { 1.0 };
    let score = damping * (REACH_WEIGHT * reach + RESONANCE_WEIGHT * resonance);
    Influence { score: score as f32, reach: reach as f32, resonance: resonance as f32 }
}

/// 0..=100 on a log scale that reaches 100 at `top`.
fn share_of_log(value: f64, top: f64) -> f64 {
    (100.0 * ln(1.0 + value) / ln(1.0 + top)).clamp(0.0, 100.0)
}

fn engaged(message: &Message) -> f64 {
    let counts = &message.engagement;
    let [reply, repost] = [REPLY_WEIGHT, REPOST_WEIGHT].map(|weight| weight as f64);
    let weighted = [(counts.likes, 1.0), (counts.replies, reply), (counts.reposts, repost), (counts.quotes, repost)];
    if weighted.iter().all(|(count, _)| count.is_none()) {
        return UNKNOWN_ENGAGED;
    }
    weighted.iter().filter_map(|(count, weight)| Some((*count)? as f64 * weight)).sum()
}

#[cfg(test)]
mod tests {
    use hearken_connectors::{Author, Engagement, Message};
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn message(channel: &str, followers: Option<u64>, engagement: Engagement, bot: bool) -> Message {
        let mut message = Message::new(channel, "s", "1", Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        message.author = Author { followers, bot, ..Author::default() };
        message.engagement = engagement;
        message
    }

    fn counts() -> impl Strategy<Value = Engagement> {
        let count = || prop::option::of(prop_oneof![0..1_000_u64, any::<u64>()]);
        (count(), count(), count(), count()).prop_map(|(likes, reposts, replies, quotes)| Engagement {
            likes,
            reposts,
            replies,
            quotes,
            ..Engagement::default()
        })
    }

    proptest! {
        #[test]
        fn every_term_is_in_range(
            channel in "mastodon|twitter|feed", followers in prop::option::of(any::<u64>()),
            engagement in counts(), bot: bool,
        ) {
            let Influence { score, reach, resonance } = influence(&message(&channel, followers, engagement, bot));
            for term in [score, reach, resonance] {
                prop_assert!(term.is_finite() && (0.0..=100.0).contains(&term));
            }
        }

        #[test]
        fn more_followers_never_lower_reach(a: u64, b: u64, engagement in counts()) {
            let reach = |followers| influence(&message("mastodon", Some(followers), engagement, false)).reach;
            prop_assert!(reach(a.min(b)) <= reach(a.max(b)));
        }

        #[test]
        fn more_engagement_never_lowers_resonance(
            followers in prop::option::of(any::<u64>()), engagement in counts(), more in 0..u64::MAX,
        ) {
            let resonance = |engagement| influence(&message("mastodon", followers, engagement, false)).resonance;
            let likes = engagement.likes.unwrap_or(0);
            let known = Engagement { likes: Some(likes), ..engagement };
            let higher = Engagement { likes: Some(likes.saturating_add(more)), ..engagement };
            prop_assert!(resonance(known) <= resonance(higher));
        }

        #[test]
        fn bots_carry_less_far(followers in prop::option::of(1..u64::MAX), engagement in counts()) {
            let score = |bot| influence(&message("twitter", followers, engagement, bot)).score;
            prop_assert!(score(true) < score(false));
        }
    }

    #[test]
    fn unknown_is_not_zero() {
        let unknown = influence(&message("feed", None, Engagement::default(), false));
        let nothing = Engagement { likes: Some(0), ..Engagement::default() };
        let zero = influence(&message("feed", Some(0), nothing, false));
        assert_eq!((zero.score, zero.reach, zero.resonance), (0.0, 0.0, 0.0));
        assert!(unknown.reach > 0.0 && unknown.resonance > 0.0);
        let typical = influence(&message("feed", Some(200), Engagement::default(), false));
        assert_eq!(unknown, typical);
    }

    #[test]
    fn a_small_account_that_is_heard_beats_a_silent_one() {
        let loud = Engagement { likes: Some(400), reposts: Some(90), ..Engagement::default() };
        let heard = influence(&message("mastodon", Some(300), loud, false));
        let silent = influence(&message("mastodon", Some(300), Engagement::default(), false));
        assert!(heard.score > silent.score + 20.0);
    }
}
