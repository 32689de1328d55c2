//! Brand queries: what they find, what they refuse, and why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;

use hearken::query::parser::{Clause, ClauseKind, Expr, parse};
use hearken::query::{BrandQuery, Field, Fields, Matcher, Place, Scratch};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

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
            "match" => {
                for line in lines.lines() {
                    let (sign, text) = line.split_once(' ').unwrap();
                    assert_eq!(matches(query, text), sign == "+", "{query} on {text}");
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
    assert!(examples > 60 && refused > 8, "{examples} examples, {refused} errors");
}

#[test]
fn what_is_wrong_with_a_query_and_where() {
    let wrong = [
        "",
        "  ",
        "()",
        "acme ()",
        "(acme",
        "acme)",
        "((acme)",
        "acme OR",
        "OR acme",
        "acme AND OR globex",
        "AND",
        "NOT",
        "acme NOT",
        "acme -",
        "acme - globex",
        "(NOT)",
        "\"acme",
        "\"\"",
        "acme \"  \"",
        "NOT acme",
        "-acme -globex",
        "acme OR -globex",
        "(acme OR NOT globex) OR kettle",
        "NOT (acme globex)",
        "acme and globex",
        "Not acme",
        "acme | globex",
        "acme && globex",
        "!acme",
        "acme, globex",
        "NEAR/5",
        "acme NEAR globex",
        "\"acme corp\"~5",
        "fly*",
        "lang:en acme",
        "followers:>1000 acme",
        "C++",
        "&",
        "@",
        "#",
        "@acme!",
        "#acme-corp",
        "@acme@x@y",
        "-",
        "--",
        "acme –",
    ];
    let told: Vec<String> = wrong
        .iter()
        .map(|query| {
            let error = parse(query).expect_err(query);
            let carets = " ".repeat(error.span.start) + &"^".repeat(error.span.len().max(1));
            format!("{query}\n{carets} {error}\n")
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn nesting_is_limited_and_never_overflows() {
    let deep = |depth: usize| format!("{}acme{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&deep(60)).is_ok());
    assert!(parse(&deep(100_000)).unwrap_err().reason.contains("nested deeper"));
    assert!(parse(&format!("acme {}globex", "NOT ".repeat(100_000))).unwrap_err().reason.contains("nested deeper"));
    let wide = vec!["acme"; 20_000].join(" OR ");
    assert!(matches(&wide, "acme"));
}

#[test]
fn operators_bind_as_written() {
    for (query, printed) in [
        ("a b OR c", "a AND b OR c"),
        ("a (b OR c)", "a AND (b OR c)"),
        ("a AND b c", "a AND b AND c"),
        ("(a b) c", "(a AND b) AND c"),
        ("a -(b OR c)", "a AND NOT (b OR c)"),
        ("NOT NOT a", "NOT NOT a"),
        ("“a b” (#c)（@d）", "\"a b\" AND #c AND @d"),
        ("„a b“ c", "\"a b\" AND c"),
        ("\"a “b” c\"", "\"a “b” c\""),
        (r#""say \"hi\"""#, r#""say \"hi\"""#),
    ] {
        assert_eq!(parse(query).unwrap().to_string(), printed);
    }
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
    assert_eq!(
        parse("source:").unwrap_err().to_string(),
        "`source:` names nothing: write the name right behind the colon"
    );
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

/// A reference that says the same as the matcher in another way: it cuts a text into a list of
/// words with the crates for Unicode and compares lists.
mod reference {
    use super::*;

    fn is_ignorable(c: char) -> bool {
        matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
    }

    fn is_emoji(c: char) -> bool {
        matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1fbff}')
    }

    fn is_apostrophe(c: char) -> bool {
        "'’ʼ`".contains(c)
    }

    fn is_hangul(c: char) -> bool {
        matches!(c, '가'..='힣')
    }

    fn stands_alone(c: char) -> bool {
        matches!(c, '\u{e00}'..='\u{eff}' | 'ぁ'..='ヿ' | '一'..='鿿') && c.is_alphanumeric()
    }

    fn is_arabic(c: char) -> bool {
        matches!(c, '\u{620}'..='\u{6ff}') && c.is_alphabetic()
    }

    /// Case, compatibility and the habits of languages, on a string without emoji.
    fn fold(text: &str) -> String {
        let text: String = text.chars().filter(|c| !is_ignorable(*c)).collect();
        let text = text.replace(['™', '®'], " ").nfkd().collect::<String>();
        let text = text.to_lowercase().to_uppercase().to_lowercase().nfkd().collect::<String>();
        let mut out = String::new();
        let mut base = ' ';
        for c in text.chars() {
            let c = match c {
                '\u{307}' if base == 'i' => continue,
                '\u{301}' if ('\u{370}'..='\u{3ff}').contains(&base) => continue,
                '\u{640}' | '\u{64b}'..='\u{65f}' => continue,
                'ı' => 'i',
                'ς' => 'σ',
                'ي' | 'ى' => 'ی',
                'ك' => 'ک',
                'ة' => 'ه',
                '۰'..='۹' => char::from_digit(u32::from(c) - u32::from('۰'), 10).unwrap(),
                c => c,
            };
            out.push(c);
            if !is_combining_mark(c) {
                base = c;
            }
        }
        // Hangul is compared in syllables, everything else apart from its marks.
        let jamo = |c: char| matches!(c, '\u{1100}'..='\u{11ff}');
        let mut composed = String::new();
        let mut run = String::new();
        for c in out.chars().chain(['\0']) {
            if jamo(c) {
                run.push(c);
            } else {
                composed.extend(run.nfc());
                run.clear();
                composed.push(c);
            }
        }
        composed.trim_end_matches('\0').to_owned()
    }

    /// The words of a text.
    pub(crate) fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut plain = String::new();
        for cluster in text.graphemes(true) {
            if cluster.starts_with(is_emoji) {
                plain_words(&std::mem::take(&mut plain), &mut words);
                let kept = |c: &char| !is_ignorable(*c) && !matches!(c, '\u{1f3fb}'..='\u{1f3ff}' | '\u{200d}');
                words.push(cluster.chars().filter(kept).collect());
            } else {
                plain.push_str(cluster);
            }
        }
        plain_words(&plain, &mut words);
        words
    }

    fn plain_words(text: &str, words: &mut Vec<String>) {
        let cyrillic = |c: Option<&char>| c.is_some_and(|c| matches!(c, 'А'..='ӿ' | 'Ѐ'..='Џ'));
        let chars: Vec<char> = text.chars().filter(|c| !is_ignorable(*c)).collect();
        let mut kept = String::new();
        for (at, c) in chars.iter().enumerate() {
            if is_apostrophe(*c) {
                let before = chars[..at].iter().rev().find(|c| !is_apostrophe(**c) && !is_combining_mark(**c));
                let touches = at == 0 || !chars[at - 1].is_whitespace();
                let after = chars[at..].iter().find(|c| !is_apostrophe(**c));
                if !(touches && cyrillic(before) && cyrillic(after)) {
                    kept.push(' ');
                }
            } else {
                kept.push(*c);
            }
        }
        let mut word = String::new();
        let mut kind = 0;
        for c in fold(&kept).chars() {
            let is_mark = is_combining_mark(c);
            if is_mark && word.is_empty() {
                continue;
            }
            let new = if is_mark {
                kind
            } else if stands_alone(c) {
                3
            } else if is_hangul(c) || matches!(c, '\u{1100}'..='\u{11ff}') {
                2
            } else {
                i32::from(c.is_alphanumeric())
            };
            if new == 0 || (new == 3 && !is_mark) || new != kind {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            if new > 0 {
                word.push(c);
            }
            kind = new;
        }
        words.extend(Some(word).filter(|word| !word.is_empty()));
    }

    fn joined(words: &[String]) -> String {
        words.join(" ")
    }

    /// All ways to write the gaps between Arabic words.
    fn ways(words: &[String]) -> Vec<String> {
        let Some((first, rest)) = words.split_first() else { return vec![String::new()] };
        let Some(next) = rest.first() else { return vec![first.clone()] };
        let optional = first.ends_with(is_arabic) && next.starts_with(is_arabic);
        let tails = ways(rest);
        let spaced = tails.iter().map(|tail| format!("{first} {tail}"));
        let closed = tails.iter().filter(|_| optional).map(|tail| format!("{first}{tail}"));
        spaced.chain(closed).collect()
    }

    fn finds_phrase(phrase: &str, text: &[String]) -> bool {
        let mut before = ' ';
        let space = |c: char| {
            let previous = std::mem::replace(&mut before, c);
            if c == '\u{200c}' && is_arabic(previous) { ' ' } else { c }
        };
        let spaced: String = phrase.chars().map(space).collect();
        let mut forms = ways(&words(&spaced));
        forms.push(joined(&words(phrase)));
        forms.iter().any(|form| {
            let length = form.split(' ').count();
            text.windows(length).map(joined).any(|window| {
                if form.ends_with(|c| is_hangul(c) || matches!(c, '\u{1100}'..='\u{11ff}')) {
                    window.starts_with(form)
                } else {
                    window == *form
                }
            })
        })
    }

    fn folded_name(name: &str) -> String {
        fold(name).replace(is_apostrophe, "")
    }

    fn is_word_char(c: char) -> bool {
        let folded = c.nfkd().next().unwrap_or(c);
        folded.is_alphanumeric() && !stands_alone(folded) && !"™®".contains(c)
    }

    /// What stands after each sigil that is not inside a word.
    fn names(text: &str, sigils: [char; 2]) -> Vec<String> {
        let mut names = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        for (at, c) in chars.iter().enumerate().filter(|(_, c)| sigils.contains(c)) {
            // A half-width voicing sign is a mark too.
            let is_mark = |c: char| c.nfkd().all(is_combining_mark);
            let skipped = |c: &&char| !is_mark(**c) && !is_ignorable(**c);
            let before = chars[..at].iter().rev().find(skipped).copied().unwrap_or(' ');
            if !is_word_char(before) {
                names.push(chars[at + c.len_utf8().min(1)..].iter().collect());
            }
        }
        names
    }

    fn finds_hashtag(hashtag: &str, text: &str) -> bool {
        let part = |c: char| c.is_alphanumeric() || c == '_' || is_combining_mark(c) || is_ignorable(c);
        let begins = |c: char| c.is_alphanumeric() || c == '_';
        names(text, ['#', '＃']).iter().filter(|rest| rest.starts_with(begins)).any(|rest| {
            let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
            folded_name(&rest[..end]) == folded_name(hashtag)
        })
    }

    /// For handles in ASCII letters.
    fn finds_handle(handle: &str, text: &str) -> bool {
        names(text, ['@', '＠']).iter().any(|rest| {
            let rest: String = rest.chars().filter(|c| !is_ignorable(*c)).collect();
            let folded: Vec<char> = rest.chars().take(handle.len()).collect();
            if fold(&folded.iter().collect::<String>()) != handle.to_lowercase() {
                return false;
            }
            let goes_on = |c: char| (is_word_char(c) && !is_hangul(c)) || c == '_' || is_combining_mark(c);
            let mut after = rest.chars().skip(handle.len());
            match after.next() {
                None => true,
                Some('-') => !after.next().is_some_and(|c| goes_on(c) && !is_combining_mark(c)),
                Some(c) => !goes_on(c),
            }
        })
    }

    fn finds(clause: &Clause, text: &str) -> bool {
        match clause.kind {
            ClauseKind::Word | ClauseKind::Phrase => finds_phrase(&clause.text, &words(text)),
            ClauseKind::Hashtag => finds_hashtag(&clause.text, text),
            ClauseKind::Handle => finds_handle(&clause.text, text),
            ClauseKind::Channel | ClauseKind::Source => false,
        }
    }

    /// Whether a query is true of a text.
    pub(crate) fn is_true(query: &Expr, text: &str) -> bool {
        match query {
            Expr::Clause(clause) => finds(clause, text),
            Expr::Not(item) => !is_true(item, text),
            Expr::And(items) => items.iter().all(|item| is_true(item, text)),
            Expr::Or(items) => items.iter().any(|item| is_true(item, text)),
        }
    }
}

/// Words in many scripts, several of them the same word to a reader.
const WORDS: &[&str] = &[
    "acme",
    "ACME",
    "Acmé",
    "acme\u{301}",
    "ａｃｍｅ",
    "a\u{200b}cme",
    "united",
    "reunited",
    "Straße",
    "STRASSE",
    "ﬁx",
    "fix",
    "İzmir",
    "IZMIR",
    "ızmir",
    "i\u{307}zmir",
    "σοφός",
    "ΣΟΦΟΣ",
    "п'ять",
    "п’ять",
    "пʼять",
    "пять",
    "ять",
    "край",
    "КРАЙ",
    "دیجی",
    "ديجي",
    "کالا",
    "كالا",
    "دیجی\u{200c}کالا",
    "دیجیکالا",
    "کـالا",
    "۱۲",
    "12",
    "小米",
    "米",
    "我爱小米",
    "スーパー",
    "が",
    "か",
    "ｶﾞ",
    "ไทย",
    "กิน",
    "ก",
    "삼성",
    "삼성이",
    "인삼",
    "삼",
    "\u{1109}\u{1161}\u{11b7}",
    "👍",
    "👍🏽",
    "👩\u{200d}🚀",
    "🚀",
    "✈\u{fe0f}",
    "🇺🇸",
    "🇸🇬",
    "🇺🇸🇬🇧",
    "e\u{301}\u{323}",
    "e\u{323}\u{301}",
    "한글",
    "ẞ",
];
/// What may stand between words.
const GAPS: &[&str] =
    &["", "", " ", " ", ", ", "-", "_", "'", "’", ".", "@", "#", "＠", "™", "\u{200c}", "\n", " — ", "/", "(", "😀"];
const HANDLES: &[&str] = &["acme", "united", "ACME", "un"];
const HASHTAGS: &[&str] = &["acme", "Acmé", "小米", "دیجی_کالا", "İzmir", "삼성", "un_ited"];

fn clause() -> impl Strategy<Value = Expr> {
    let make = |kind| move |text: String| Expr::Clause(Clause { kind, text, span: 0..0 });
    let word = proptest::sample::select(WORDS);
    let phrase = proptest::collection::vec((word.clone(), proptest::sample::select(&[" ", "-", "\u{200c}"][..])), 1..4)
        .prop_map(|parts| parts.into_iter().map(|(word, gap)| format!("{word}{gap}")).collect::<String>());
    prop_oneof![
        4 => word.prop_map(str::to_owned).prop_map(make(ClauseKind::Word)),
        3 => phrase.prop_map(make(ClauseKind::Phrase)),
        2 => proptest::sample::select(HANDLES).prop_map(str::to_owned).prop_map(make(ClauseKind::Handle)),
        2 => proptest::sample::select(HASHTAGS).prop_map(str::to_owned).prop_map(make(ClauseKind::Hashtag)),
        1 => Just("acme".to_owned()).prop_map(make(ClauseKind::Source)),
    ]
}

fn query() -> impl Strategy<Value = Expr> {
    clause().prop_recursive(4, 16, 3, |inner| {
        let list = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            2 => list.clone().prop_map(Expr::And),
            3 => list.prop_map(Expr::Or),
            1 => inner.prop_map(|item| Expr::Not(Box::new(item))),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![6 => proptest::sample::select(WORDS), 1 => proptest::sample::select(HASHTAGS)];
    proptest::collection::vec((proptest::sample::select(GAPS), word), 0..8)
        .prop_map(|parts| parts.into_iter().map(|(gap, word)| format!("{gap}{word}")).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// A printed query reads back as itself, and is refused only when it matches where nothing is found.
    #[test]
    fn printing_and_parsing_agree(query in query()) {
        match parse(&query.to_string()) {
            Ok(read) => prop_assert_eq!(read, query),
            Err(error) => {
                prop_assert!(error.reason.starts_with("this only excludes"), "{query}: {error}");
                prop_assert!(reference::is_true(&query, ""));
            }
        }
    }

    #[test]
    fn the_matcher_agrees_with_the_reference(
        queries in proptest::collection::vec(query(), 1..4), texts in proptest::collection::vec(text(), 1..4)
    ) {
        let queries: Vec<Expr> = queries.into_iter().filter(|query| !reference::is_true(query, "")).collect();
        let brands: Vec<BrandQuery> = queries
            .iter()
            .enumerate()
            .map(|(index, query)| BrandQuery { brand: index.to_string(), query: query.to_string() })
            .collect();
        let matcher = Matcher::compile(&brands).unwrap();
        let mut scratch = Scratch::default();
        for text in &texts {
            let matches = matcher.matches(text.as_str(), &mut scratch);
            let found: Vec<usize> = matches.iter().map(|found| found.brand).collect();
            let expected: Vec<usize> = (0..queries.len()).filter(|index| reference::is_true(&queries[*index], text)).collect();
            prop_assert_eq!(&found, &expected, "{:?} {:?} {:?}", text, reference::words(text), queries);
            let explained = matcher.explain(text.as_str());
            for (index, explanation) in explained.iter().enumerate() {
                prop_assert_eq!(explanation.matched, found.contains(&index));
                prop_assert_eq!(explanation.why_not.is_empty(), explanation.matched);
            }
            for found in matches {
                let known: BTreeSet<String> = queries[found.brand].clauses().iter().map(ToString::to_string).collect();
                prop_assert!(!found.clauses.is_empty() && found.clauses.iter().all(|clause| known.contains(clause)));
            }
        }
    }

    #[test]
    fn nothing_panics(query in any::<String>(), text in any::<String>(), title in text()) {
        let matcher = match Matcher::compile(&[BrandQuery { brand: "x".to_owned(), query: query.clone() }]) {
            Ok(matcher) => matcher,
            Err(error) => {
                prop_assert!(error.error.span.start <= query.chars().count());
                return Ok(());
            }
        };
        let names = [text.clone(), title.clone()];
        let fields = Fields { title: &title, text: &text, mentioned: &names, hashtags: &names, channel: &text, source: &title };
        let matched = !matcher.matches(fields, &mut Scratch::default()).is_empty();
        prop_assert_eq!(matcher.explain(fields)[0].matched, matched);
    }

    /// Whatever can be quoted is found in itself, and where it was found is where it is.
    #[test]
    fn a_text_is_found_in_itself(text in any::<String>(), around in text()) {
        let query = Expr::Clause(Clause { kind: ClauseKind::Phrase, text: text.clone(), span: 0..0 }).to_string();
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

/// The data set writes "Delta" where people wrote to JetBlue.
const AIRLINES: [(&str, &str); 6] = [
    ("Virgin America", "@VirginAmerica"),
    ("United", "@united"),
    ("Southwest", "@SouthwestAir"),
    ("Delta", "@JetBlue"),
    ("US Airways", "@USAirways"),
    ("American", "@AmericanAir"),
];

#[test]
fn six_airlines_find_their_tweets() {
    let data = std::env::var_os("HEARKEN_TEST_DATA");
    let how = "set HEARKEN_TEST_DATA to a folder with real/airline_tweets.jsonl";
    let Some(data) = support::require("precision and recall on airline tweets", data, how) else { return };
    let path = std::path::Path::new(&data).join("real/airline_tweets.jsonl");
    let tweets: Vec<(String, String)> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| {
            let tweet: serde_json::Value = serde_json::from_str(line).unwrap();
            (tweet["text"].as_str().unwrap().to_owned(), tweet["airline"].as_str().unwrap().to_owned())
        })
        .collect();
    let matcher = matcher(&AIRLINES.map(|(_, query)| query));
    let mut scratch = Scratch::default();
    let started = std::time::Instant::now();
    let found: Vec<Vec<usize>> = tweets
        .iter()
        .map(|(text, _)| matcher.matches(text.as_str(), &mut scratch).iter().map(|found| found.brand).collect())
        .collect();
    let elapsed = started.elapsed();
    for (brand, (airline, query)) in AIRLINES.iter().enumerate() {
        let count = |wanted: fn(bool, bool) -> bool| {
            let pairs = tweets.iter().zip(&found);
            pairs.filter(|((_, label), found)| wanted(found.contains(&brand), label == airline)).count() as f64
        };
        let (right, given, all) = (count(|f, l| f && l), count(|f, _| f), count(|_, l| l));
        let (precision, recall) = (right / given, right / all);
        eprintln!("{query:15} precision {precision:.4} recall {recall:.4} of {all} tweets to {airline}");
        // Tweets to two airlines are labelled with one of them, so precision cannot be 1.
        assert!(recall > 0.99 && precision > 0.89, "{airline}");
    }
    let nobody = found.iter().filter(|brands| brands.is_empty()).count();
    eprintln!("{nobody} of {} tweets matched no airline; {:?} a tweet", tweets.len(), elapsed / tweets.len() as u32);
}
