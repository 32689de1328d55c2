//! What is odd about a query that can be read: parts that never match, that match everything, that do nothing, and
//! words that are found wherever somebody means something else.
//!
//! All of it follows from what clauses say of each other, without any message: `implies` and `excludes` are right when
//! they say yes, and may miss what a cleverer reader would see.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

use super::ast::{Clause, Comparison, Expr, Find, Form, Near, Operator, Text};
use super::fields::Field;
use super::names::name;
use super::needle::patterns;
use super::normal::{self, Normal};
use super::script::{Class, class};

/// Letters up to which a word is short: it is likely to have other meanings.
const SHORT: usize = 3;
/// Comparisons of parts until the look at a query ends; some hundred names are looked at wholly.
const MOST_COMPARISONS: usize = 1_000_000;
/// The longest part of a query that a finding repeats, in characters.
const SHOWN: usize = 60;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The query cannot do what it is for.
    Error,
    /// A part of it cannot, or it finds more or less than it seems to.
    Warning,
    /// Worth a look.
    Hint,
}

/// Something odd about a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Where, in characters of the query.
    pub span: Range<usize>,
    /// What is odd; lower case.
    pub reason: String,
    /// What to do about it.
    pub suggestion: Option<String>,
}

/// Where messages can come from, as far as the caller knows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origins<'a> {
    /// Names of channels; `None` where they are not known.
    pub channels: Option<&'a [String]>,
    /// Names of sources; `None` where they are not known.
    pub sources: Option<&'a [String]>,
}

/// Looks at a query.
pub fn lint(query: &Expr, origins: &Origins<'_>) -> Vec<Finding> {
    let (root, steps) = (Part::of(query, false), Steps::default());
    let mut findings = Vec::new();
    matches_everything(&root, &mut findings);
    never_matches(&root, true, &steps, &mut findings);
    without_effect(&root, &steps, &mut findings);
    unknown_origins(&root, origins, &mut findings);
    if steps.are_used_up() {
        let reason = "the query is too long to be looked at wholly; there may be more to say".to_owned();
        findings.push(Finding { severity: Severity::Hint, span: root.span(), reason, suggestion: None });
    }
    findings.sort_by_key(|finding| (finding.span.start, finding.severity));
    findings
}

/// A word that is enough by itself to match, whatever else is said.
#[derive(Debug)]
pub struct BareWord<'q> {
    /// The clause.
    pub clause: &'q Clause,
    /// As it is searched.
    pub word: String,
    /// So short that it is likely to have other meanings.
    pub is_short: bool,
}

/// The words that stand alone: `orange` in `orange OR "orange sa" NOT juice`.
pub fn bare_words(query: &Expr) -> Vec<BareWord<'_>> {
    let mut bare = Vec::new();
    Part::of(query, false).each_bare_word(&mut |leaf| {
        let word = leaf.patterns.first().map_or("", |pattern| pattern.trim());
        bare.push(BareWord { clause: leaf.clause, word: word.to_owned(), is_short: is_short(word) });
    });
    bare
}

/// Gives every word of a text as it is searched, with its place in the text in bytes.
pub fn each_word(text: &str, mut give: impl FnMut(&str, Range<usize>)) {
    let mut normal = Normal::with_origins();
    normal.add_text(Field::Text, text);
    let words = str::from_utf8(normal.words.bytes()).unwrap_or_default();
    let mut at = 0;
    for word in words.split([' ', normal::END]) {
        let span = at..at + word.len();
        at = span.end + 1;
        if let Some((_, place)) = normal.words.origin(span).filter(|_| !word.is_empty()) {
            give(word, place);
        }
    }
}

/// Whether a word of [`each_word`] is a letter of a script that does not separate words.
pub fn is_single_letter(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| class(c) == Class::Ideograph) && chars.all(|c| class(c) == Class::Mark)
}

/// A query with every `NOT` right in front of what it excludes, and groups of the same operator as one.
#[derive(Debug, Clone)]
enum Part<'q> {
    All(Vec<Self>),
    Any(Vec<Self>),
    Leaf(Leaf<'q>),
    Near(Nearness<'q>),
}

/// A clause, or what it excludes.
#[derive(Debug, Clone)]
struct Leaf<'q> {
    clause: &'q Clause,
    negated: bool,
    /// What is searched for it, where it is a plain word or phrase.
    patterns: Vec<String>,
}

/// Two things near each other, or what that excludes: more than that both are there.
#[derive(Debug, Clone)]
struct Nearness<'q> {
    near: &'q Near,
    written: String,
    negated: bool,
    /// That both are there.
    both: Box<Part<'q>>,
}

/// What is left of the comparisons.
struct Steps(Cell<usize>);

impl Default for Steps {
    fn default() -> Self {
        Self(Cell::new(MOST_COMPARISONS))
    }
}

impl Steps {
    fn take(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        !self.are_used_up()
    }

    fn are_used_up(&self) -> bool {
        self.0.get() == 0
    }
}

impl<'q> Part<'q> {
    fn of(query: &'q Expr, negated: bool) -> Self {
        let parts = |items: &'q [Expr]| items.iter().map(|item| Self::of(item, negated)).collect();
        match query {
            Expr::Clause(clause) => Self::Leaf(Leaf { clause, negated, patterns: plain(clause) }),
            Expr::Near(near) => {
                let both = [&near.left, &near.right].map(|side| Self::of(side, false)).to_vec();
                Self::Near(Nearness { near, written: query.to_string(), negated, both: Box::new(Self::all(both)) })
            }
            Expr::Not(item) => Self::of(item, !negated),
            Expr::And(items) if negated => Self::any(parts(items)),
            Expr::Or(items) if !negated => Self::any(parts(items)),
            Expr::And(items) | Expr::Or(items) => Self::all(parts(items)),
        }
    }

    fn all(items: Vec<Self>) -> Self {
        let inner = |item| if let Self::All(items) = item { items } else { vec![item] };
        Self::All(items.into_iter().flat_map(inner).collect())
    }

    fn any(items: Vec<Self>) -> Self {
        let inner = |item| if let Self::Any(items) = item { items } else { vec![item] };
        Self::Any(items.into_iter().flat_map(inner).collect())
    }

    fn items(&self) -> &[Self] {
        match self {
            Self::All(items) | Self::Any(items) => items,
            Self::Leaf(_) | Self::Near(_) => &[],
        }
    }

    fn span(&self) -> Range<usize> {
        match self {
            Self::Leaf(leaf) => return leaf.clause.span.clone(),
            Self::Near(near) => return near.both.span(),
            Self::All(_) | Self::Any(_) => {}
        }
        let spans = self.items().iter().map(Self::span);
        spans.reduce(|one, other| one.start.min(other.start)..one.end.max(other.end)).unwrap_or_default()
    }

    fn each_leaf(&self, give: &mut impl FnMut(&Leaf<'q>)) {
        match self {
            Self::Leaf(leaf) => give(leaf),
            Self::Near(near) => near.both.each_leaf(give),
            Self::All(items) | Self::Any(items) => items.iter().for_each(|item| item.each_leaf(give)),
        }
    }

    fn each_bare_word(&self, give: &mut impl FnMut(&Leaf<'q>)) {
        match self {
            Self::Leaf(leaf) if leaf.is_plain_word() => give(leaf),
            Self::Leaf(_) | Self::Near(_) => {}
            Self::Any(items) => items.iter().for_each(|item| item.each_bare_word(give)),
            Self::All(items) => {
                let mut wanted = items.iter().filter(|item| !item.is_true_of_nothing());
                if let (Some(only), None) = (wanted.next(), wanted.next()) {
                    only.each_bare_word(give);
                }
            }
        }
    }

    /// Whether this is true of a message in which nothing is found.
    fn is_true_of_nothing(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.negated,
            Self::Near(near) => near.negated,
            Self::All(items) => items.iter().all(Self::is_true_of_nothing),
            Self::Any(items) => items.iter().any(Self::is_true_of_nothing),
        }
    }

    /// Whether every message that this is true of is one that the other is true of.
    fn implies(&self, other: &Self, steps: &Steps) -> bool {
        if !steps.take() {
            return false;
        }
        match (self, other) {
            (Self::Any(items), _) => items.iter().all(|item| item.implies(other, steps)),
            (_, Self::All(others)) => others.iter().all(|other| self.implies(other, steps)),
            (Self::All(items), _) if items.iter().any(|item| item.implies(other, steps)) => true,
            (_, Self::Any(others)) => others.iter().any(|other| self.implies(other, steps)),
            (Self::Leaf(leaf), Self::Leaf(other)) => leaf.implies(other),
            (Self::Near(near), Self::Near(other)) if near.near == other.near => near.negated == other.negated,
            (Self::Near(near), _) if !near.negated => near.both.implies(other, steps),
            _ => false,
        }
    }

    /// Whether no message is one that both are true of.
    fn excludes(&self, other: &Self, steps: &Steps) -> bool {
        if !steps.take() {
            return false;
        }
        match (self, other) {
            (Self::Any(items), _) => items.iter().all(|item| item.excludes(other, steps)),
            (_, Self::Any(others)) => others.iter().all(|other| self.excludes(other, steps)),
            (Self::All(items), _) => items.iter().any(|item| item.excludes(other, steps)),
            (_, Self::All(others)) => others.iter().any(|other| self.excludes(other, steps)),
            (Self::Leaf(leaf), Self::Leaf(other)) => leaf.excludes(other),
            (Self::Near(near), Self::Near(other)) if near.near == other.near => near.negated != other.negated,
            (Self::Near(near), _) if !near.negated => near.both.excludes(other, steps),
            (_, Self::Near(near)) if !near.negated => self.excludes(&near.both, steps),
            _ => false,
        }
    }
}

impl Leaf<'_> {
    fn implies(&self, other: &Self) -> bool {
        match (self.negated, other.negated) {
            (false, false) => self.finds_with(other),
            (true, true) => other.finds_with(self),
            (false, true) => self.is_elsewhere_than(other),
            (true, false) => false,
        }
    }

    fn excludes(&self, other: &Self) -> bool {
        match (self.negated, other.negated) {
            (false, false) => self.is_elsewhere_than(other),
            (false, true) => self.finds_with(other),
            (true, false) => other.finds_with(self),
            (true, true) => false,
        }
    }

    /// Whether the other clause is found wherever this one is: every string that is searched for this one holds one
    /// that is searched for the other.
    fn finds_with(&self, other: &Self) -> bool {
        let holds_other = |pattern: &String| other.patterns.iter().any(|other| pattern.contains(other.as_str()));
        self.clause == other.clause
            || (!self.patterns.is_empty() && self.patterns.iter().all(holds_other))
            || numbers(self.clause, other.clause).is_some_and(|(own, wider)| wider.0 <= own.0 && own.1 <= wider.1)
    }

    /// Whether both say of a message what only one thing can be said of: it is heard by one source, in one language.
    fn is_elsewhere_than(&self, other: &Self) -> bool {
        match (&self.clause.find, &other.clause.find) {
            (Find::Channel(one), Find::Channel(other)) | (Find::Source(one), Find::Source(other)) => {
                !is_same_name(one, other)
            }
            (Find::Language(one), Find::Language(other)) | (Find::Country(one), Find::Country(other)) => one != other,
            (Find::Kind(one), Find::Kind(other)) => one != other,
            _ => numbers(self.clause, other.clause).is_some_and(|(one, other)| one.1 < other.0 || other.1 < one.0),
        }
    }

    fn is_plain_word(&self) -> bool {
        !self.negated && self.patterns.first().is_some_and(|pattern| !pattern.trim().contains(' '))
    }
}

/// The least and the greatest number of what both clauses count.
fn numbers(one: &Clause, other: &Clause) -> Option<((u64, u64), (u64, u64))> {
    match (&one.find, &other.find) {
        (Find::Followers(one), Find::Followers(other))
        | (Find::Engagement(one), Find::Engagement(other))
        | (Find::Rating(one), Find::Rating(other)) => Some((bounds(*one), bounds(*other))),
        _ => None,
    }
}

fn bounds(Comparison { operator, value }: Comparison<u64>) -> (u64, u64) {
    match operator {
        Operator::Equal => (value, value),
        Operator::AtMost => (0, value),
        Operator::AtLeast => (value, u64::MAX),
        Operator::Greater => (value.saturating_add(1), u64::MAX),
        // Below 0 there is nothing: the bounds are the wrong way round.
        Operator::Less => value.checked_sub(1).map_or((1, 0), |most| (0, most)),
    }
}

/// The strings that are searched for a plain word or phrase; none for any other clause.
fn plain(clause: &Clause) -> Vec<String> {
    match &clause.find {
        Find::Text(Text { form: Form::Word(words) | Form::Phrase(words), in_title: false, is_folded: false }) => {
            patterns(words)
        }
        _ => Vec::new(),
    }
}

fn is_same_name(one: &str, other: &str) -> bool {
    name(one) == name(other)
}

/// A query, or an alternative of it, that only excludes.
fn matches_everything(part: &Part<'_>, findings: &mut Vec<Finding>) {
    if !part.is_true_of_nothing() {
        return;
    }
    if let Part::Any(items) = part {
        return items.iter().for_each(|item| matches_everything(item, findings));
    }
    findings.push(Finding {
        severity: Severity::Error,
        span: part.span(),
        reason: format!("`{part}` only excludes: it matches every message in which that is missing"),
        suggestion: Some("say what has to be there as well: `acme NOT publishing`".to_owned()),
    });
}

/// Conditions that exclude each other.
fn never_matches(part: &Part<'_>, is_whole: bool, steps: &Steps, findings: &mut Vec<Finding>) {
    if let Some((one, other)) = contradiction(part, steps) {
        let (severity, what) = match is_whole {
            true => (Severity::Error, "the query"),
            false => (Severity::Warning, "this part"),
        };
        let why = match other {
            Some(other) => format!("no message is both `{one}` and `{other}`"),
            None => format!("the rest excludes all of `{one}`"),
        };
        findings.push(Finding {
            severity,
            span: part.span(),
            reason: format!("{what} never matches: {why}"),
            suggestion: Some("leave one of them out, or join them by `OR`".to_owned()),
        });
        return;
    }
    let is_whole = is_whole && matches!(part, Part::All(_));
    part.items().iter().for_each(|item| never_matches(item, is_whole, steps, findings));
}

/// A condition that the others exclude, and the one that does so alone, if one does.
fn contradiction<'p, 'q>(part: &'p Part<'q>, steps: &Steps) -> Option<(&'p Part<'q>, Option<&'p Part<'q>>)> {
    let Part::All(items) = part else { return None };
    let excluded = items.iter().find(|item| item.excludes(part, steps))?;
    Some((excluded, items.iter().find(|other| excluded.excludes(other, steps))))
}

/// Alternatives that add nothing to the others, and conditions that narrow nothing beside the others.
fn without_effect(part: &Part<'_>, steps: &Steps, findings: &mut Vec<Finding>) {
    if contradiction(part, steps).is_some() {
        return;
    }
    let items = part.items();
    let is_any = matches!(part, Part::Any(_));
    for (at, item) in items.iter().enumerate() {
        let makes_useless = |(other_at, other): &(usize, &Part<'_>)| {
            let (small, large) = if is_any { (item, *other) } else { (*other, item) };
            // Of two that say the same, the first one stays.
            *other_at != at && small.implies(large, steps) && (*other_at < at || !large.implies(small, steps))
        };
        let Some((_, other)) = items.iter().enumerate().find(makes_useless) else { continue };
        let reason = match (is_any, item.to_string() == other.to_string()) {
            (_, true) => format!("`{item}` is here twice"),
            (true, false) => format!("`{item}` adds nothing: `{other}` matches all of it"),
            (false, false) => format!("`{item}` narrows nothing: it holds wherever `{other}` does"),
        };
        let suggestion = Some(format!("leave `{item}` out"));
        findings.push(Finding { severity: Severity::Warning, span: item.span(), reason, suggestion });
    }
    items.iter().for_each(|item| without_effect(item, steps, findings));
}

/// Sources and channels of which nothing can be heard.
fn unknown_origins(root: &Part<'_>, origins: &Origins<'_>, findings: &mut Vec<Finding>) {
    root.each_leaf(&mut |leaf| {
        let (what, asked, known) = match &leaf.clause.find {
            Find::Source(name) => ("source of the configuration", name, origins.sources),
            Find::Channel(name) => ("channel", name, origins.channels),
            _ => return,
        };
        let Some(known) = known.filter(|known| !known.iter().any(|name| is_same_name(name, asked))) else {
            return;
        };
        let verb = if leaf.negated { "excludes nothing" } else { "never matches" };
        let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        findings.push(Finding {
            severity: Severity::Warning,
            span: leaf.clause.span.clone(),
            reason: format!("`{}` {verb}: no {what} is called `{asked}`", leaf.clause),
            suggestion: (!names.is_empty()).then(|| format!("there are {}", names.join(", "))),
        });
    });
}

fn is_short(word: &str) -> bool {
    let count = |wanted: &[Class]| word.chars().filter(|c| wanted.contains(&class(*c))).count();
    let (letters, syllables) = (count(&[Class::Letter]), count(&[Class::Hangul, Class::Ideograph]));
    count(&[Class::Emoji]) == 0 && letters <= SHORT && syllables <= usize::from(letters == 0)
}

impl fmt::Display for Part<'_> {
    /// As a query, cut where it is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = self.written();
        match written.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{}…", written.get(..end).unwrap_or_default()),
            None => f.write_str(&written),
        }
    }
}

impl Part<'_> {
    fn written(&self) -> String {
        let joined = |items: &[Self], operator: &str| {
            let items: Vec<String> = items.iter().take(SHOWN).map(Self::operand).collect();
            items.join(operator)
        };
        match self {
            Self::Leaf(leaf) if leaf.negated => format!("NOT {}", leaf.clause),
            Self::Leaf(leaf) => leaf.clause.to_string(),
            Self::Near(near) if near.negated => format!("NOT {}", near.written),
            Self::Near(near) => near.written.clone(),
            Self::All(items) => joined(items, " AND "),
            Self::Any(items) => joined(items, " OR "),
        }
    }

    fn operand(&self) -> String {
        if let Self::Leaf(_) | Self::Near(_) = self { self.written() } else { format!("({})", self.written()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::query::parser::parse;

    fn told(query: &str) -> Vec<String> {
        let channels = ["imap".to_owned(), "mastodon".to_owned()];
        let sources = ["care".to_owned()];
        let origins = Origins { channels: Some(&channels), sources: Some(&sources) };
        let findings = lint(&parse(query).unwrap(), &origins);
        let letters: Vec<char> = query.chars().collect();
        let part = |span: &Range<usize>| letters[span.clone()].iter().collect::<String>();
        findings.iter().map(|found| format!("{:?} {}: {}", found.severity, part(&found.span), found.reason)).collect()
    }

    #[test]
    fn what_is_told() {
        let queries = [
            // Nothing.
            "kettle OR globex",
            "globex AND (kettle OR lamp) NOT \"kettle corn\"",
            "\"acme corp\" OR @acme OR #acme",
            "channel:imap OR channel:mastodon acme",
            // Never.
            "acme AND NOT acme",
            "\"acme corp\" -acme",
            "acme channel:imap channel:mastodon",
            "globex OR (kettle NOT Kettle)",
            "(acme OR globex) NOT acme NOT globex",
            "source:cars acme",
            "acme lang:en lang:tr",
            "acme followers:>10 followers:<5",
            "acme followers:<0",
            "acme NEAR/3 globex -acme",
            "acme NEAR/3 globex -(acme NEAR/3 globex)",
            "acme -channel:telex",
            // Without effect.
            "acme OR kettle OR ACME",
            "acme OR \"acme corp\"",
            "acme AND (acme OR kettle)",
            "acme OR (acme kettle)",
            "((acme OR globex) OR \"globex lamps\") NOT lamp",
            "acme NOT kettle NOT \"my kettle\"",
            "acme channel:imap -channel:mastodon",
            "acme followers:>10 followers:>5",
            "acme OR acme NEAR/3 globex",
            // Both there is less than both near each other.
            "acme globex OR acme NEAR/3 globex",
        ];
        let told: Vec<String> = queries
            .iter()
            .map(|query| {
                format!("{query}\n{}", told(query).iter().map(|line| format!("  {line}\n")).collect::<String>())
            })
            .collect();
        insta::assert_snapshot!(told.concat());
    }

    #[test]
    fn what_only_excludes_matches_everything() {
        let not = |text: &str| Expr::Not(Box::new(parse(text).unwrap()));
        let everything = [
            not("acme"),
            not("acme OR globex"),
            Expr::Or(vec![parse("acme").unwrap(), not("globex")]),
            Expr::And(vec![not("acme"), not("globex")]),
        ];
        for query in everything {
            let findings = lint(&query, &Origins::default());
            assert_eq!(findings.len(), 1, "{query}: {findings:?}");
            assert_eq!(findings[0].severity, Severity::Error, "{query}");
            assert!(findings[0].reason.contains("only excludes"), "{query}");
        }
        // A double negation is none.
        assert_eq!(lint(&Expr::Not(Box::new(not("acme"))), &Origins::default()), []);
    }

    #[test]
    fn a_long_query_is_looked_at_for_so_long() {
        let names: Vec<String> = (0..3_000).map(|number| format!("name{number}")).collect();
        let findings = lint(&parse(&names.join(" OR ")).unwrap(), &Origins::default());
        assert!(findings.iter().any(|found| found.reason.contains("too long")), "{findings:?}");
    }

    #[test]
    fn words_have_their_place_in_the_text() {
        let text = "Straße, l’Été @United 我喜欢iPhone ✈️";
        let mut words = Vec::new();
        each_word(text, |word, place| words.push((word.to_owned(), text[place].to_owned())));
        let spelled: Vec<&str> = words.iter().map(|(_, spelled)| spelled.as_str()).collect();
        assert_eq!(spelled, ["Straße", "l", "Été", "United", "我", "喜", "欢", "iPhone", "✈"]);
        assert_eq!(words[0].0, "strasse");
        assert_eq!(words.iter().filter(|(word, _)| is_single_letter(word)).count(), 3);
    }

    #[test]
    fn a_word_is_bare_where_nothing_else_has_to_be_there_and_may_be_short() {
        let bare = |query: &str| -> Vec<(String, bool)> {
            let query = parse(query).unwrap();
            bare_words(&query).into_iter().map(|bare| (bare.word, bare.is_short)).collect()
        };
        let words = |words: &[(&str, bool)]| -> Vec<(String, bool)> {
            words.iter().map(|(word, is_short)| ((*word).to_owned(), *is_short)).collect()
        };
        assert_eq!(bare("(Orange OR \"orange sa\" OR @orange) NOT juice"), words(&[("orange", false)]));
        assert_eq!(bare("\"orange\" OR (apple pie)"), words(&[("orange", false)]));
        assert_eq!(bare("orange (sim OR network)"), []);
        assert_eq!(
            bare("VW OR ÖBB OR 3M OR golf"),
            words(&[("vw", true), ("o\u{308}bb", true), ("3m", true), ("golf", false)])
        );
        assert_eq!(bare("小米 OR 米"), words(&[("米", true)]));
        assert_eq!(bare("삼성 OR 엘 OR 👍"), words(&[("삼성", false), ("엘", true), ("👍", false)]));
    }
}
