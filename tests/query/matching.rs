//! What queries find, and where.

use hearken::query::ast::{Clause, Expr, Find, Form, Text};
use hearken::query::parser::parse;
use hearken::query::{BrandQuery, Field, Fields, Matcher, Place, Scratch};
use hearken_connectors::Message;
use proptest::prelude::*;

fn matcher(queries: &[&str]) -> Matcher {
    let queries: Vec<BrandQuery> = queries
        .iter()
        .enumerate()
        .map(|(index, query)| BrandQuery { brand: format!("brand {index}"), query: (*query).to_owned() })
        .collect();
    Matcher::compile(&queries).unwrap_or_else(|error| panic!("{error}"))
}

fn matches(query: &str, text: &str) -> bool {
    !matcher(&[query]).matches(text, &mut Scratch::default()).is_empty()
}

#[test]
fn the_examples_of_the_page_are_true() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/queries.md")).unwrap();
    let (mut examples, mut refused) = (0, 0);
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, body) = block.split_once('\n').unwrap();
        let (query, lines) = body.split_once('\n').unwrap_or((body, ""));
        match language {
            "match" | "message" => {
                for line in lines.lines() {
                    let (sign, text) = line.split_once(' ').unwrap();
                    let is_matched =
                        if language == "match" { matches(query, text) } else { matches_message(query, text) };
                    assert_eq!(is_matched, sign == "+", "{query} on {text}");
                    examples += 1;
                }
            }
            "error" => {
                let error = parse(query).expect_err(query).to_string();
                assert!(error.contains(lines.trim()), "{query}: {error}");
                refused += 1;
            }
            other => assert!(["toml", "console"].contains(&other), "{other}"),
        }
    }
    assert!(examples > 150 && refused > 15, "{examples} examples, {refused} errors");
}

/// A message of which only some fields matter; `language` is what was detected.
fn matches_message(query: &str, json: &str) -> bool {
    let mut message = serde_json::json!({
        "id": "00000000-0000-0000-0000-000000000000", "channel": "", "source": "", "native_id": "",
        "published_at": "2026-01-01T00:00:00Z", "observed_at": "2026-01-01T00:00:00Z",
    });
    let said: serde_json::Value = serde_json::from_str(json).unwrap();
    message.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    let message: Message = serde_json::from_value(message).unwrap();
    let language = message.language.as_deref().unwrap_or_default();
    let fields = Fields { language, ..Fields::from(&message) };
    !matcher(&[query]).matches(fields, &mut Scratch::default()).is_empty()
}

#[test]
fn all_parts_of_a_message_are_searched() {
    let matcher = matcher(&["kettle", "@acme", "#tea", "\"tea kettle\""]);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (mentioned, hashtags) = (names(&["Acme@example.social"]), names(&["Tea"]));
    let brands = |fields: Fields<'_>| -> Vec<usize> {
        matcher.matches(fields, &mut Scratch::default()).iter().map(|found| found.brand).collect()
    };
    assert_eq!(brands(Fields { title: "Kettle", ..Fields::default() }), [0]);
    assert_eq!(brands(Fields { text: "no words", mentioned: &mentioned, ..Fields::default() }), [1]);
    assert_eq!(brands(Fields { hashtags: &hashtags, ..Fields::default() }), [2]);
    assert_eq!(brands(Fields { title: "my tea", text: "kettle", ..Fields::default() }), [0], "no phrase across fields");
    assert_eq!(
        brands(Fields { title: "tea kettle", mentioned: &mentioned, hashtags: &hashtags, ..Fields::default() }),
        [0, 1, 2, 3]
    );
}

#[test]
fn where_it_was_heard_can_be_asked_for() {
    let matcher = matcher(&["source:care", "channel:imap -source:care", "kettle channel:Matrix", "care imap"]);
    let brands = |channel: &str, source: &str| -> Vec<usize> {
        let fields = Fields { text: "my kettle", channel, source, ..Fields::default() };
        matcher.matches(fields, &mut Scratch::default()).iter().map(|found| found.brand).collect()
    };
    assert_eq!(brands("imap", "care"), [0]);
    assert_eq!(brands("imap", "press"), [1]);
    assert_eq!(brands("matrix", "care"), [0, 2]);
    assert_eq!(brands("care", "imap"), [] as [usize; 0], "neither is a word of the text, nor the other");
    let explanations = matcher.explain(Fields { channel: "imap", source: "care", ..Fields::default() });
    assert_eq!(explanations[0].clauses[0].places, [Place { field: Field::Source, span: 0..4 }]);
    assert_eq!(explanations[1].why_not[0].to_string(), "excluded by source:care");
}

#[test]
fn the_clauses_that_matched_are_told() {
    let matcher = matcher(&["(acme OR globex -rain) OR \"acme corp\" OR #acme", "acme NOT (sun NOT rain)"]);
    let mut scratch = Scratch::default();
    let mut clauses = |text: &str| -> Vec<(usize, Vec<String>)> {
        matcher.matches(text, &mut scratch).into_iter().map(|found| (found.brand, found.clauses)).collect()
    };
    let told = |brand, clauses: &[&str]| (brand, clauses.iter().map(|clause| (*clause).to_owned()).collect::<Vec<_>>());
    assert_eq!(clauses("ACME Corp"), [told(0, &["acme", "\"acme corp\""]), told(1, &["acme"])]);
    assert_eq!(clauses("globex in the rain, acme"), [told(0, &["acme"]), told(1, &["acme", "rain"])]);
    assert_eq!(clauses("acme, sun and rain"), [told(0, &["acme"]), told(1, &["acme", "rain"])]);
    assert_eq!(clauses("acme in the sun"), [told(0, &["acme"])]);
    assert_eq!(clauses("nothing"), []);
}

#[test]
fn an_explanation_points_into_the_original() {
    let queries = ["oﬃce OR İstanbul OR 小米 OR @acme", "acme \"tea kettle\" -rain -(sun OR snow)"];
    let matcher = matcher(&queries);
    let text = "Büro → OFFICE; in ISTANBUL: 我爱小米, 👍 @Acme and a tea — kettle, rain";
    let explanations = matcher.explain(text);
    let found = |brand: usize, clause: &str| -> Vec<String> {
        let report = explanations[brand].clauses.iter().find(|report| report.clause == clause).unwrap();
        let written: String = queries[brand].chars().skip(report.span.start).take(report.span.len()).collect();
        assert_eq!(written, clause);
        let cut = |place: &Place| text.chars().skip(place.span.start).take(place.span.len()).collect();
        report.places.iter().map(cut).collect()
    };
    assert_eq!(found(0, "oﬃce"), ["OFFICE"]);
    assert_eq!(found(0, "İstanbul"), ["ISTANBUL"]);
    assert_eq!(found(0, "小米"), ["小米"]);
    assert_eq!(found(0, "@acme"), ["Acme"]);
    assert_eq!(found(1, "\"tea kettle\""), ["tea — kettle"]);
    insta::assert_snapshot!(explanations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"));

    let nothing = matcher.explain("a quiet day");
    assert_eq!(nothing[0].why_not[0].to_string(), "none of oﬃce, İstanbul, 小米, @acme was found");
    let mentioned = ["acme".to_owned()];
    let explanations = matcher.explain(Fields { mentioned: &mentioned, ..Fields::default() });
    assert_eq!(explanations[0].clauses[3].places, [Place { field: Field::Mentioned(0), span: 0..4 }]);
}

#[test]
fn one_scratch_serves_matchers_of_any_size() {
    let (small, large) = (matcher(&["acme"]), matcher(&["globex", "acme", "kettle OR tea"]));
    let mut scratch = Scratch::default();
    for _ in 0..3 {
        assert_eq!(large.matches("tea", &mut scratch).len(), 1);
        assert_eq!(small.matches("tea", &mut scratch).len(), 0);
        assert_eq!(small.matches("acme", &mut scratch).len(), 1);
        assert_eq!(large.matches("", &mut scratch).len(), 0);
    }
}

/// A name may be near something only where it stands in the text.
#[test]
fn near_is_told_by_the_clauses_that_are_near() {
    let matcher = matcher(&["(late OR delay*) NEAR/2 @delta", "late NEAR/2 bus"]);
    let explanations = matcher.explain("The bus was late. Later, delays: @Delta was late, too; no bus.");
    let places = |brand: usize, clause: usize| -> Vec<String> {
        explanations[brand].clauses[clause].places.iter().map(ToString::to_string).collect()
    };
    assert_eq!(places(0, 0), ["text 12..16", "text 44..48"]);
    assert_eq!(places(0, 1), ["text 25..31"]);
    assert_eq!(places(0, 2), ["text 34..39"]);
    assert_eq!(places(1, 0), ["text 12..16", "text 44..48"]);
    let mentioned = ["delta".to_owned()];
    let explanations = matcher.explain(Fields { text: "late", mentioned: &mentioned, ..Fields::default() });
    assert_eq!(explanations[0].why_not[0].to_string(), "(late OR delay*) NEAR/2 @delta was not found");
    assert!(!explanations[0].clauses[0].matched);
}

/// Words that stand for several words of a query need places of their own.
#[test]
fn words_within_a_distance_each_have_their_own_place() {
    for (query, text, expected) in [
        ("\"tea tea\"~3", "tea", false),
        ("\"tea tea\"~3", "tea and more tea", true),
        ("\"tea tea\"~1", "tea and more tea", false),
        ("\"삼성 삼\"~1", "삼성", false),
        ("\"삼성 삼\"~1", "삼 삼성", true),
        ("\"good god\"~1", "goood", false),
        ("\"good god\"~1", "goood goood", true),
    ] {
        assert_eq!(matches(query, text), expected, "{query} on {text}");
    }
}

/// The same wildcard asked of other words is another clause.
#[test]
fn one_word_may_be_tried_by_several_wildcards() {
    let matcher = matcher(&["a?me", "title:a?me", "fold:a?me", "title:fold:a?me"]);
    let brands = |title: &str, text: &str| -> Vec<usize> {
        let fields = Fields { title, text, ..Fields::default() };
        matcher.matches(fields, &mut Scratch::default()).iter().map(|found| found.brand).collect()
    };
    assert_eq!(brands("acme", "acme"), [0, 1, 2, 3]);
    assert_eq!(brands("", "acme"), [0, 2]);
    assert_eq!(brands("ácme", ""), [2, 3]);
}

/// What random pairs have found: places in words of which parts are composed, dropped or cut in two by folding.
#[test]
fn places_are_whole_where_characters_become_others() {
    let places = |query: &str, text: &str| -> Vec<String> {
        let clauses = matcher(&[query]).explain(text).remove(0).clauses;
        clauses.iter().flat_map(|clause| &clause.places).map(ToString::to_string).collect()
    };
    assert_eq!(places("삼", "\u{1109}\u{1161}\u{11b7}"), ["text 0..3"]);
    assert_eq!(places("fold:삼", "삼\u{200c}\u{301}#acme"), ["text 0..3"]);
    assert_eq!(places("🏴\u{e0067}\u{e007f}", "🏴\u{e0067}\u{e007f}"), ["text 0..3"]);
    assert_eq!(places("@acme NEAR/0 late", "@acme.½ late"), ["text 1..7", "text 8..12"]);
}

#[test]
fn memory_is_told_and_bounded() {
    let queries = |count: usize, length: usize| -> Vec<BrandQuery> {
        let query =
            |index: usize| BrandQuery { brand: index.to_string(), query: format!("{index}{}", "x".repeat(length)) };
        (0..count).map(query).collect()
    };
    let (few, many) = (Matcher::compile(&queries(10, 9)).unwrap(), Matcher::compile(&queries(1_000, 9)).unwrap());
    assert!(few.bytes() * 10 < many.bytes() && many.bytes() < 4 << 20, "{} {}", few.bytes(), many.bytes());
    let Err(error) = Matcher::compile(&queries(500, 90_000)) else { panic!("all of that") };
    assert!(error.to_string().contains("too large"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(query in any::<String>(), text in any::<String>(), title in any::<String>()) {
        let matcher = match Matcher::compile(&[BrandQuery { brand: "x".to_owned(), query: query.clone() }]) {
            Ok(matcher) => matcher,
            Err(error) => {
                prop_assert!(error.error.span.start <= query.chars().count());
                return Ok(());
            }
        };
        let names = [text.clone(), title.clone()];
        let fields = Fields {
            title: &title, text: &text, mentioned: &names, hashtags: &names, links: &names, channel: &text, source: &title,
            url: &text, ..Fields::default()
        };
        let matched = !matcher.matches(fields, &mut Scratch::default()).is_empty();
        prop_assert_eq!(matcher.explain(fields)[0].matched, matched);
    }

    /// Whatever can be quoted is found in itself, and where it was found is where it is.
    #[test]
    fn a_text_is_found_in_itself(text in any::<String>(), around in any::<String>()) {
        let form = Form::Phrase(text.clone());
        let find = Find::Text(Text { form, in_title: false, is_folded: false });
        let query = Expr::Clause(Clause { find, span: 0..0 }).to_string();
        if parse(&query).is_err() {
            return Ok(());
        }
        let matcher = matcher(&[&query]);
        prop_assert_eq!(matcher.matches(text.as_str(), &mut Scratch::default()).len(), 1);
        let longer = format!("{around} . {text} . {around}");
        let explanation = matcher.explain(longer.as_str()).remove(0);
        prop_assert!(explanation.matched);
        for place in &explanation.clauses[0].places {
            let cut: String = longer.chars().skip(place.span.start).take(place.span.len()).collect();
            prop_assert_eq!(matcher.matches(cut.as_str(), &mut Scratch::default()).len(), 1, "{:?}", cut);
        }
    }
}
