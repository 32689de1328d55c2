//! Intent: what the author of a text wants. Version `intent-1`.
//!
//! Rules over two kinds of evidence, so that anybody can see why: phrases of `models/intents.tsv`, and the sentiment that
//! the model sees. A text may have several intents, and most have none.
//!
//! ```text
//! spam       two phrases of it, or one with a link or five hashtags
//! purchase   a phrase of it
//! question   a phrase of it; or a question mark in a text that names an account or is about buying, unless the text is
//!            so negative that the question is a reproach
//! praise     very probably positive; or a phrase of it in a text that is probably positive
//! complaint  very probably negative, or less so in a text that names an account; or a phrase of it in a text that is
//!            rather negative than positive
//! ```
//!
//! Spam praises and offers, so of spam nothing else is said.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use serde::Serialize;

use super::chars::{Class, Glyph};
use super::features::tokens;
use super::model::Prediction;
use super::normalise::Text;

/// Version of rules and phrases, stored with what they say.
pub const VERSION: &str = "intent-1";

/// A text that is positive with this probability praises, one with a phrase of praise with the second.
const PRAISES: [f32; 2] = [0.8, 0.5];
/// A text that is negative with this probability complains, one that names an account with the second.
const COMPLAINS: [f32; 2] = [0.7, 0.4];
/// A question in a text that is negative with this probability is a reproach.
const REPROACH: f32 = 0.6;
/// With a link, so many hashtags are spam, and a phrase is enough.
const MANY_HASHTAGS: usize = 5;

/// What an author wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// To have something put right.
    Complaint,
    /// An answer, or help.
    Question,
    /// To thank or to commend.
    Praise,
    /// To buy, or advice on what to buy.
    Purchase,
    /// To sell, or to be clicked on.
    Spam,
}

impl Intent {
    /// Every intent.
    pub const ALL: [Self; 5] = [Self::Complaint, Self::Question, Self::Praise, Self::Purchase, Self::Spam];

    /// The name used in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complaint => "complaint",
            Self::Question => "question",
            Self::Praise => "praise",
            Self::Purchase => "purchase",
            Self::Spam => "spam",
        }
    }
}

/// What is wanted by the author of a normalised text.
pub(super) fn intents(text: &Text, prediction: &Prediction) -> Vec<Intent> {
    let evidence = Evidence::of(text);
    let [negative, _, positive] = prediction.probabilities;
    let has = |intent| evidence.phrases(intent) > 0;
    let promotes = evidence.links > 0 || evidence.hashtags >= MANY_HASHTAGS;
    if evidence.phrases(Intent::Spam) > usize::from(!promotes) {
        return vec![Intent::Spam];
    }
    let is_wanted = |intent: &Intent| match intent {
        Intent::Complaint => {
            let enough = if evidence.accounts > 0 { COMPLAINS[1] } else { COMPLAINS[0] };
            negative >= enough || (has(Intent::Complaint) && negative > positive)
        }
        Intent::Question => {
            let is_put_to_somebody = evidence.accounts > 0 || has(Intent::Purchase);
            has(Intent::Question) || (evidence.question_mark && is_put_to_somebody && negative < REPROACH)
        }
        Intent::Praise => positive >= if has(Intent::Praise) { PRAISES[1] } else { PRAISES[0] },
        Intent::Purchase => has(Intent::Purchase),
        Intent::Spam => false,
    };
    Intent::ALL.into_iter().filter(is_wanted).collect()
}

/// What a text holds that tells of an intent.
#[derive(Default)]
struct Evidence {
    phrases: [usize; Intent::ALL.len()],
    links: usize,
    accounts: usize,
    hashtags: usize,
    question_mark: bool,
}

impl Evidence {
    fn of(text: &Text) -> Self {
        let mut evidence = Self::default();
        for (class, token) in tokens(text.glyphs()) {
            match (class, token) {
                (Class::Symbol, [Glyph::LINK]) => evidence.links += 1,
                (Class::Symbol, [Glyph::MENTION]) => evidence.accounts += 1,
                (Class::Punctuation, _) => {
                    evidence.hashtags += usize::from(token.last().is_some_and(|last| last.char() == '#'));
                    evidence.question_mark |= token.iter().any(|glyph| matches!(glyph.char(), '?' | '؟' | '՞'));
                }
                _ => {}
            }
        }
        for found in PHRASES.automaton.find_overlapping_iter(&words(text)) {
            let Some((intent, asks)) = PHRASES.kinds.get(found.pattern().as_usize()) else { continue };
            if let Some(count) = evidence.phrases.get_mut(*intent as usize)
                && (evidence.question_mark || !asks)
            {
                *count += 1;
            }
        }
        evidence
    }

    fn phrases(&self, intent: Intent) -> usize {
        self.phrases.get(intent as usize).copied().unwrap_or(0)
    }
}

/// The words of a text with a space around each; a run of a script without spaces is one word.
fn words(text: &Text) -> String {
    let mut words = String::from(" ");
    for (class, token) in tokens(text.glyphs()) {
        if matches!(class, Class::Word | Class::Unspaced) {
            words.extend(token.iter().map(|glyph| glyph.char()));
            words.push(' ');
        }
    }
    words
}

/// All phrases as one automaton.
struct Phrases {
    automaton: AhoCorasick,
    /// By number of the pattern: its intent, and whether it needs a question mark.
    kinds: Vec<(Intent, bool)>,
}

static PHRASES: LazyLock<Phrases> = LazyLock::new(|| Phrases::of(include_str!("../../models/intents.tsv")));

impl Phrases {
    /// Reads lines of `language TAB intent TAB phrase`; a test holds that the built-in ones are all understood.
    fn of(lines: &str) -> Self {
        let (patterns, kinds): (Vec<String>, Vec<_>) = lines.lines().filter_map(phrase).unzip();
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(patterns);
        // The number of patterns is the only limit, and it is far away.
        Self { automaton: automaton.unwrap_or_else(|_| unreachable!("800 patterns fit")), kinds }
    }
}

/// A phrase as it is looked for among [`words`], its intent, and whether it needs a question mark.
fn phrase(line: &str) -> Option<(String, (Intent, bool))> {
    let mut fields = line.split('\t').skip(1);
    let name = fields.next()?;
    let intent = Intent::ALL.into_iter().find(|intent| intent.as_str() == name)?;
    let phrase = fields.next()?;
    let (phrase, asks) = phrase.strip_suffix('?').map_or((phrase, false), |phrase| (phrase, true));
    let mut text = Text::default();
    text.push(phrase.trim_end_matches('*'));
    let words = words(&text);
    let is_unspaced = tokens(text.glyphs()).any(|(class, _)| class == Class::Unspaced);
    let pattern = match phrase.ends_with('*') {
        _ if is_unspaced => words.trim(),
        true => words.trim_end(),
        false => &words,
    };
    Some((pattern.to_owned(), (intent, asks)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::Scorer;
    use super::*;

    static SCORER: LazyLock<Scorer> = LazyLock::new(|| Scorer::built_in().unwrap());

    fn wanted(text: &str) -> Vec<Intent> {
        SCORER.score_text(text).intents
    }

    #[test]
    fn every_line_is_a_phrase_and_none_comes_twice() {
        let mut seen = BTreeSet::new();
        for line in include_str!("../../models/intents.tsv").lines().filter(|line| !line.starts_with('#')) {
            let (pattern, (intent, asks)) = phrase(line).unwrap_or_else(|| panic!("not understood: {line}"));
            assert!(!pattern.trim().is_empty(), "{line}");
            assert!(seen.insert((pattern, intent, asks)), "twice: {line}");
        }
    }

    #[test]
    fn what_people_want_in_their_languages() {
        use Intent::{Complaint, Praise, Purchase, Question, Spam};
        let texts: [(&str, &[Intent]); 14] = [
            ("@acme still waiting for my refund, your service is the worst", &[Complaint]),
            ("@acme how do I change my seat?", &[Question]),
            ("@acme thank you so much, great job by your crew!", &[Praise]),
            ("I want to buy a new phone, any recommendations?", &[Question, Purchase]),
            ("GIVEAWAY! Follow back and click here to win a phone https://a.example", &[Spam]),
            ("@acme uygulamanız berbat, şikayet edeceğim", &[Complaint]),
            ("Yeni bir telefon almak istiyorum", &[Purchase]),
            ("请问什么时候发货？", &[Question]),
            ("谢谢你们，服务很好", &[Praise]),
            ("کسی میدونه از کجا بخرم؟", &[Question, Purchase]),
            ("дякую, чудовий сервіс!", &[Praise]),
            ("Chcę kupić nowy rower", &[Purchase]),
            ("The train to Springfield left at noon.", &[]),
            ("", &[]),
        ];
        for (text, intents) in texts {
            assert_eq!(wanted(text), intents, "{text}");
        }
    }

    #[test]
    fn a_phrase_is_whole_words_unless_it_ends_in_a_star() {
        let phrases = |text: &str, intent| {
            let mut normal = Text::default();
            normal.push(text);
            Evidence::of(&normal).phrases(intent)
        };
        assert_eq!(phrases("uncancelled, cancelledx", Intent::Complaint), 0);
        assert_eq!(phrases("CANCELLED!", Intent::Complaint), 1);
        assert_eq!(phrases("teşekkürlerimi iletiyorum", Intent::Praise), 1);
        assert_eq!(phrases("what time it is", Intent::Question), 0);
        assert_eq!(phrases("what time is it?", Intent::Question), 1);
    }

    proptest! {
        #[test]
        fn any_text_will_do(text in ".{0,200}") {
            let intents = wanted(&text);
            prop_assert!(intents.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(!intents.contains(&Intent::Spam) || intents.len() == 1);
        }
    }
}
