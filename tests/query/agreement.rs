//! The matcher and the reference say the same of any query and message.

use std::cell::RefCell;
use std::collections::BTreeMap;

use hearken::query::ast::{Expr, Find, Form};
use hearken::query::parser::parse;
use hearken::query::{BrandQuery, ClauseReport, Matcher, Scratch};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use super::pairs::{Heard, queries_and_messages};
use super::reference::{self, Report};

/// How many pairs of a query and a message are compared, unless the environment says otherwise.
const PAIRS: usize = 20_000;

/// What was compared so far.
#[derive(Debug, Default)]
struct Compared {
    pairs: usize,
    matched: usize,
    /// By the sort of a clause: how often it was not found, and how often it was.
    clauses: BTreeMap<&'static str, [usize; 2]>,
}

#[test]
fn the_matcher_agrees_with_the_reference() {
    let pairs = std::env::var("HEARKEN_PAIRS").map_or(PAIRS, |pairs| pairs.parse().expect("HEARKEN_PAIRS is a number"));
    let compared = RefCell::new(Compared::default());
    let config = ProptestConfig {
        cases: 50,
        max_shrink_iters: 20_000,
        max_shrink_time: 60_000,
        // What fails is told in its smallest form; it becomes a test of its own in `matching`.
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    while compared.borrow().pairs < pairs {
        let run = TestRunner::new(config.clone()).run(&queries_and_messages(), |(queries, messages)| {
            compare(&queries, &messages, &mut compared.borrow_mut())
        });
        match run {
            // What it says names the query and the message.
            Err(TestError::Fail(reason, _)) => panic!("{reason}"),
            other => other.unwrap(),
        }
    }
    let Compared { pairs, matched, clauses } = compared.into_inner();
    let share = matched as f64 / pairs as f64;
    eprintln!("{pairs} pairs compared, of which {:.1} % matched; found and not found: {clauses:?}", share * 100.0);
    // Pairs of which none matches would prove nothing.
    assert!((0.2..0.8).contains(&share), "{share}");
    for (sort, counts) in &clauses {
        assert!(counts.iter().all(|count| count * 1000 > counts.iter().sum()), "{sort}: {counts:?}");
    }
    assert_eq!(clauses.len(), 35, "every sort of clause");
}

fn compare(queries: &[Expr], messages: &[Heard], compared: &mut Compared) -> Result<(), TestCaseError> {
    let written: Vec<String> = queries.iter().map(ToString::to_string).collect();
    // The same with places in the query.
    let queries: Vec<Expr> = written.iter().map(|query| parse(query).unwrap()).collect();
    let brands: Vec<BrandQuery> =
        written.iter().map(|query| BrandQuery { brand: query.clone(), query: query.clone() }).collect();
    let matcher = Matcher::compile(&brands).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let mut scratch = Scratch::default();
    for heard in messages {
        let fields = heard.fields();
        let matches: Vec<usize> = matcher.matches(fields, &mut scratch).iter().map(|found| found.brand).collect();
        for (index, (query, explanation)) in queries.iter().zip(matcher.explain(fields)).enumerate() {
            let (is_true, reports) = reference::explain(query, &fields);
            let expected: Vec<ClauseReport> = reports.iter().map(told).collect();
            let is_matched = matches.contains(&index);
            prop_assert!(
                is_true == is_matched && is_true == explanation.matched && expected == explanation.clauses,
                "{query}\nof {written:?}\non {heard:?}\nreference: {is_true}{}\nmatcher: {is_matched}, {}{}",
                shown(&expected),
                explanation.matched,
                shown(&explanation.clauses)
            );
            compared.count(query, heard, is_true, &reports);
        }
    }
    Ok(())
}

/// As the matcher tells it.
fn told((clause, matched, places): &Report) -> ClauseReport {
    ClauseReport { clause: clause.to_string(), span: clause.span.clone(), matched: *matched, places: places.clone() }
}

fn shown(reports: &[ClauseReport]) -> String {
    let line = |ClauseReport { clause, span, matched, places }: &ClauseReport| {
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        format!("\n  {clause} ({span:?}): {matched} {}", places.join(", "))
    };
    reports.iter().map(line).collect()
}

impl Compared {
    fn count(&mut self, query: &Expr, heard: &Heard, is_true: bool, reports: &[Report]) {
        self.pairs += 1;
        self.matched += usize::from(is_true);
        for (clause, is_found, _) in reports {
            self.count_clause(sort(&clause.find), *is_found);
        }
        for near in nears(query) {
            let (is_near, reports) = reference::explain(near, &heard.fields());
            self.count_clause(if reports.len() > 2 { "nested NEAR" } else { "NEAR" }, is_near);
        }
    }

    fn count_clause(&mut self, sort: &'static str, is_found: bool) {
        self.clauses.entry(sort).or_default()[usize::from(is_found)] += 1;
    }
}

/// The outermost ones.
fn nears(query: &Expr) -> Vec<&Expr> {
    match query {
        Expr::Near(_) => vec![query],
        Expr::Not(item) => nears(item),
        Expr::And(items) | Expr::Or(items) => items.iter().flat_map(nears).collect(),
        Expr::Clause(_) => Vec::new(),
    }
}

/// Clauses that are found in the same way are of one sort.
fn sort(find: &Find) -> &'static str {
    match find {
        Find::Text(text) => match (&text.form, text.is_folded) {
            _ if text.in_title => "title",
            (Form::Word(_), false) => "word",
            (Form::Word(_), true) => "folded word",
            (Form::Phrase(_), false) => "phrase",
            (Form::Phrase(_), true) => "folded phrase",
            (Form::Within(..), false) => "within",
            (Form::Within(..), true) => "folded within",
            (Form::Wildcard(_), false) => "wildcard",
            (Form::Wildcard(_), true) => "folded wildcard",
        },
        Find::Handle(_) => "handle",
        Find::Hashtag(_) => "hashtag",
        Find::Cashtag(_) => "cashtag",
        Find::Raw(_) => "raw",
        Find::Regex(_) => "regex",
        Find::Author(_) => "author",
        Find::AuthorName(_) => "author name",
        Find::Site(_) => "site",
        Find::Url(_) => "url",
        Find::Language(_) => "lang",
        Find::Channel(_) => "channel",
        Find::Source(_) => "source",
        Find::Kind(_) => "kind",
        Find::Country(_) => "country",
        Find::Has(has) => has.as_str(),
        Find::Is(is) => is.as_str(),
        Find::Followers(_) => "followers",
        Find::Engagement(_) => "engagement",
        Find::Rating(_) => "rating",
        Find::Published(_) => "published",
    }
}
