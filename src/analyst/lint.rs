//! What is odd about a query: by itself, and on given texts.

use std::collections::HashSet;

use hearken_connectors::Message;
use serde::Serialize;
use utoipa::ToSchema;

use super::texts::{Case, Words};
use super::{Entries, Only, Span, WrongQuery};
use crate::query::ast::{Expr, Find};
use crate::query::lint::{self as rules, BareWord, Origins, bare_words, each_word};
use crate::query::{Scratch, parser};

/// Fewer texts than these measure nothing.
const FEW: u64 = 20;
/// A word that is written so often and so often in lower case is an everyday word.
const EVERYDAY: (u32, f64) = (5, 0.5);
/// Words that are suggested to stand beside another.
const SUGGESTED: usize = 5;
/// Words whose spelling is counted.
const MOST_BARE: usize = 20;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The query cannot do what it is for.
    Error,
    /// A part of it cannot, or it finds more or less than it seems to.
    Warning,
    /// Worth a look.
    Hint,
}

/// Something odd about a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Where in the query.
    pub span: Span,
    /// What is odd.
    pub reason: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub suggestion: Option<String>,
}

impl From<rules::Finding> for Finding {
    fn from(finding: rules::Finding) -> Self {
        let severity = match finding.severity {
            rules::Severity::Error => Severity::Error,
            rules::Severity::Warning => Severity::Warning,
            rules::Severity::Hint => Severity::Hint,
        };
        Self { severity, span: finding.span.into(), reason: finding.reason, suggestion: finding.suggestion }
    }
}

/// Looks at a query by itself, and at what it does on texts that are read one by one; its memory does not grow with them.
pub struct Linter {
    findings: Vec<Finding>,
    whole: Span,
    query: Only,
    scratch: Scratch,
    bare: Vec<Bare>,
    /// The words of the query, as they are searched.
    own: HashSet<String>,
    words: Words,
    texts: u64,
    matched: u64,
}

/// A word that is enough by itself to match.
struct Bare {
    written: String,
    span: Span,
    word: String,
    is_short: bool,
    case: Case,
}

impl From<BareWord<'_>> for Bare {
    fn from(bare: BareWord<'_>) -> Self {
        let BareWord { clause, word, is_short } = bare;
        Self { written: clause.to_string(), span: clause.span.clone().into(), word, is_short, case: Case::default() }
    }
}

impl Linter {
    /// Compiles the query; `known` is `None` where no configuration is known.
    pub fn new(query: &str, known: Option<&Entries>) -> Result<Self, WrongQuery> {
        let expr = parser::parse(query)?;
        let origins = Origins {
            channels: known.map(|known| known.channels.as_slice()),
            sources: known.map(|known| known.sources.as_slice()),
        };
        let mut own = HashSet::new();
        for clause in expr.clauses() {
            let words = match &clause.find {
                Find::Text(text) => text.words(),
                Find::Handle(name) | Find::Hashtag(name) | Find::Cashtag(name) => name,
                _ => continue,
            };
            each_word(words, |word, _| {
                own.insert(word.to_owned());
            });
        }
        Ok(Self {
            findings: rules::lint(&expr, &origins).into_iter().map(Finding::from).collect(),
            whole: Span { start: 0, end: query.chars().count() },
            query: Only::new(query)?,
            scratch: Scratch::default(),
            bare: bare_words(&expr).into_iter().take(MOST_BARE).map(Bare::from).collect(),
            own,
            words: Words::default(),
            texts: 0,
            matched: 0,
        })
    }

    /// Tries the query on a message.
    pub fn read(&mut self, message: &Message) {
        let matched = !self.query.matcher.matches(self.query.fields(message), &mut self.scratch).is_empty();
        self.texts += 1;
        self.matched += u64::from(matched);
        self.words.add(&message.title, &message.text, matched);
        for bare in self.bare.iter_mut().filter(|_| matched) {
            bare.case.add(&bare.word, &message.title);
            bare.case.add(&bare.word, &message.text);
        }
    }

    /// Everything that is odd; what is told of the texts holds for these texts.
    pub fn findings(mut self) -> Vec<Finding> {
        let told = self.claimed();
        self.findings.extend(told);
        let beside = if self.texts < FEW { Vec::new() } else { self.words.beside(&self.own, SUGGESTED) };
        let told: Vec<Finding> = self.bare.iter().filter_map(|bare| self.alone(bare, &beside)).collect();
        self.findings.extend(told);
        self.findings.sort_by_key(|finding| (finding.span.start, finding.span.end, finding.severity));
        self.findings
    }

    /// What share of the texts the query claims.
    fn claimed(&self) -> Option<Finding> {
        let (texts, matched) = (self.texts, self.matched);
        let tell = |severity, reason, help: Option<&str>| {
            Some(Finding { severity, span: self.whole, reason, suggestion: help.map(str::to_owned) })
        };
        match (texts, matched) {
            (0, _) => None,
            (..FEW, _) => {
                tell(Severity::Hint, format!("{texts} texts are too few to measure anything; {FEW} are needed"), None)
            }
            (_, 0) => {
                let reason = format!("the query matches none of the {texts} given texts");
                tell(Severity::Warning, reason, Some("`hearken query explain` says why not, text by text"))
            }
            _ if matched * 2 > texts => {
                let share = matched as f64 / texts as f64 * 100.0;
                let reason = format!("the query matches {share:.0}% of the {texts} given texts: nearly everything");
                tell(Severity::Warning, reason, Some("fine where all the texts are about the brand; else narrow it"))
            }
            _ => None,
        }
    }

    /// What is to be said of a word that stands alone: that it is short, or an everyday word in the given texts, or,
    /// where it is the whole query and there are no texts, that nobody knows.
    fn alone(&self, bare: &Bare, beside: &[String]) -> Option<Finding> {
        let Bare { written, span, is_short, case, .. } = bare;
        let (lower, counted) = (case.lower, case.lower + case.upper);
        let mut reasons = Vec::new();
        if *is_short {
            reasons.push("is short".to_owned());
        }
        if counted >= EVERYDAY.0 && f64::from(lower) >= EVERYDAY.1 * f64::from(counted) {
            reasons.push(format!(
                "is an everyday word in the given texts (in lower case in {lower} of {counted} places where a name would \
                 have a capital)"
            ));
        }
        let is_guess = reasons.is_empty();
        if is_guess && (self.texts >= FEW || *span != self.whole) {
            return None;
        }
        let why = if is_guess { "may have other meanings".to_owned() } else { reasons.join(", and ") };
        Some(Finding {
            severity: if is_guess { Severity::Hint } else { Severity::Warning },
            span: *span,
            reason: format!("`{written}` stands alone and {why}: it finds whatever else is called that"),
            suggestion: Some(match beside.is_empty() {
                true => {
                    format!(
                        "say what has to stand beside it: `{written} AND (word OR word)`; in texts, lint finds such words"
                    )
                }
                false => self.context(written, beside),
            }),
        })
    }

    /// `orange AND (network OR sim)`, and where these words come from.
    fn context(&self, written: &str, beside: &[String]) -> String {
        let words: Vec<String> = beside.iter().map(|word| clause(word)).collect();
        let cut = if self.words.is_full { " (not all words could be counted)" } else { "" };
        format!(
            "say what has to stand beside it: `{written} AND ({})`; these words stand more often in those of the {} given \
             texts that match than in the others{cut}: keep what belongs to the brand",
            words.join(" OR "),
            self.texts
        )
    }
}

/// A word as a clause: in quotation marks where it would be something else.
fn clause(word: &str) -> String {
    let is_word = matches!(parser::parse(word), Ok(Expr::Clause(_)));
    if is_word { word.to_owned() } else { format!("\"{word}\"") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use jiff::Timestamp;

    use super::super::message;
    use super::*;

    fn told(query: &str, texts: &[&str]) -> String {
        let mut linter = Linter::new(query, None).unwrap();
        texts.iter().for_each(|text| linter.read(&message(text, Timestamp::UNIX_EPOCH).unwrap()));
        let line = |found: Finding| {
            format!("{:?} {}\n  {}\n", found.severity, found.reason, found.suggestion.unwrap_or_default())
        };
        linter.findings().into_iter().map(line).collect()
    }

    /// Texts about two things that have one name, and about others.
    fn oranges() -> Vec<&'static str> {
        let some = [
            "My Orange network is down again, no signal",
            "Why does Orange charge so much for roaming on my SIM?",
            "I eat an orange, a fresh orange and drink the juice",
            "We like fresh orange juice",
            "It rains, and the bus is late",
            "The film was long and not so good",
            "I am on my way to the sea",
        ];
        some.iter().copied().cycle().take(some.len() * 12).collect()
    }

    #[test]
    fn an_ambiguous_name_is_told_with_words_that_the_suggestion_can_be_made_of() {
        let told = told("orange", &oranges());
        insta::assert_snapshot!(told);
        let suggested = told.split("beside it: `").nth(1).unwrap().split('`').next().unwrap();
        assert!(parser::parse(suggested).is_ok(), "{suggested}");
    }

    #[test]
    fn what_texts_say_needs_texts() {
        assert!(told("orange", &[]).starts_with("Hint `orange` stands alone and may have other meanings"));
        assert!(told("\"orange sa\"", &oranges()[..3]).contains("3 texts are too few"));
        assert_eq!(told("orange OR globex", &[]), "");
        assert!(told("globex", &oranges()).contains("none of the 84 given texts"));
        assert!(told("my OR orange OR so", &oranges()).contains("86% of the 84 given texts"));
        // A name that is written as one, among other texts.
        let names = [
            "I saw the Kettle there",
            "We have a Kettle too",
            "It rains here today",
            "All is well with us",
            "Nothing to say",
        ];
        let names: Vec<&str> = names.iter().copied().cycle().take(50).collect();
        assert_eq!(told("kettle", &names), "");
    }

    #[test]
    fn a_word_that_would_be_an_operator_is_quoted() {
        assert_eq!(["network", "or", "👎", "我喜"].map(clause), ["network", "\"or\"", "👎", "我喜"]);
    }
}
