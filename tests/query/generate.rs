//! Random queries, made of words in many scripts that random texts are made of as well.

use hearken::query::ast::{Clause, Comparison, Expr, Find, Form, Has, Is, Near, Operator, Regex, Text, When};
use hearken_connectors::Kind;
use jiff::Timestamp;
use jiff::civil::Date;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Words in many scripts, several of them the same word to a reader.
pub(crate) const WORDS: &[&str] = &[
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
    "good",
    "goood",
    "gooood",
    "Łódź",
    "lodz",
    "crème",
    "creme",
    "jet_blue",
    "jet",
    "blue",
];
/// What may stand between the words of a phrase.
const PHRASE_GAPS: &[&str] = &[" ", " ", "-", "\u{200c}"];
pub(crate) const HANDLES: &[&str] = &["acme", "united", "ACME", "un", "jet_blue", "acme@example.social"];
pub(crate) const HASHTAGS: &[&str] = &["acme", "Acmé", "小米", "دیجی_کالا", "İzmir", "삼성", "un_ited"];
pub(crate) const CASHTAGS: &[&str] = &["ACME", "acme", "BRK.B", "brk_b", "BRK"];
pub(crate) const WILDCARDS: &[&str] = &[
    "ac*",
    "*me",
    "ac?e",
    "unit*",
    "*un?ted",
    "STRA*",
    "f?x*",
    "İz*r",
    "σοφ*",
    "п'я*",
    "?рай",
    "دیجی*",
    "삼성*",
    "*삼성",
    "1?2*",
    "goo*",
    "acme*",
    "cr?me",
    "jet*",
];
pub(crate) const RAWS: &[&str] = &["acme", "AT&T!", "小米", " a", "\"quoted\"", "back\\slash", "👍", "a*b", "삼성"];
pub(crate) const REGEXES: &[&str] = &["ac+me", r"\bun\w+", "[A-Z]{2,4}", "小.", "a/b", r"\\/", "(x|y) z", "👍+", r"\d"];
pub(crate) const ACCOUNTS: &[&str] = &["acme", "Acme@example.social", "ACME", "12", "acme:example.org", "did:plc:ab3"];
pub(crate) const HOSTS: &[&str] = &["example.com", "blog.example.com", "localhost", "xn--80ak6aa92e.com", "müller.de"];
pub(crate) const URLS: &[&str] = &["example.com", "/shop", "?q=1&r=2", "a (b)", "c,", ">d", "*"];
pub(crate) const LANGUAGES: &[&str] = &["tr", "en", "fil"];
pub(crate) const COUNTRIES: &[&str] = &["TR", "DE"];
pub(crate) const ORIGINS: &[&str] = &["imap", "care", "My Source", "=x", "Ünlü"];

fn owned(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(values).prop_map(str::to_owned)
}

fn phrase(words: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    vec((select(WORDS), select(PHRASE_GAPS)), words)
        .prop_map(|parts| parts.into_iter().map(|(word, gap)| format!("{word}{gap}")).collect())
}

/// Something that is made of words and may be near something else.
fn words() -> impl Strategy<Value = Find> {
    // A second word with a space before it: some of the words vanish beside others.
    let several =
        (phrase(1..3), select(&["acme", "united", "12"][..])).prop_map(|(first, last)| format!("{first} {last}"));
    let form = prop_oneof![
        4 => owned(WORDS).prop_map(Form::Word),
        3 => phrase(1..4).prop_map(Form::Phrase),
        2 => (several, 0..4_usize).prop_map(|(words, distance)| Form::Within(words, distance)),
        2 => owned(WILDCARDS).prop_map(Form::Wildcard),
    ];
    let folded = prop_oneof![4 => Just(false), 1 => Just(true)];
    prop_oneof![
        6 => (form, folded).prop_map(|(form, is_folded)| Find::Text(Text { form, in_title: false, is_folded })),
        1 => owned(HANDLES).prop_map(Find::Handle),
        1 => owned(HASHTAGS).prop_map(Find::Hashtag),
        1 => owned(CASHTAGS).prop_map(Find::Cashtag),
    ]
}

fn comparison<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Comparison<T>> {
    let operators = [Operator::Equal, Operator::Less, Operator::AtMost, Operator::Greater, Operator::AtLeast];
    (select(operators.to_vec()), value).prop_map(|(operator, value)| Comparison { operator, value })
}

fn when() -> impl Strategy<Value = When> {
    let day =
        (2020..2030_i16, 1..=12_i8, 1..=28_i8).prop_map(|(year, month, day)| Date::new(year, month, day).unwrap());
    let moment = any::<i32>().prop_map(|second| Timestamp::from_second(second.into()).unwrap());
    prop_oneof![day.prop_map(When::Day), moment.prop_map(When::Moment)]
}

/// Something that is not found among the words, or only in the title.
fn filter() -> impl Strategy<Value = Find> {
    let in_title = words().prop_map(|find| match find {
        Find::Text(text) => Find::Text(Text { in_title: true, ..text }),
        other => other,
    });
    prop_oneof![
        4 => in_title,
        2 => owned(RAWS).prop_map(Find::Raw),
        2 => (owned(REGEXES), any::<bool>())
            .prop_map(|(pattern, ignores_case)| Find::Regex(Regex { pattern, ignores_case })),
        1 => owned(ACCOUNTS).prop_map(Find::Author),
        1 => phrase(1..3).prop_map(Find::AuthorName),
        1 => owned(HOSTS).prop_map(Find::Site),
        1 => owned(URLS).prop_map(Find::Url),
        1 => owned(LANGUAGES).prop_map(Find::Language),
        1 => owned(COUNTRIES).prop_map(Find::Country),
        1 => owned(ORIGINS).prop_map(Find::Channel),
        1 => owned(ORIGINS).prop_map(Find::Source),
        1 => select(Kind::ALL).prop_map(Find::Kind),
        1 => select(&Has::ALL[..]).prop_map(Find::Has),
        1 => select(&Is::ALL[..]).prop_map(Find::Is),
        1 => comparison(0..2_000_u64).prop_map(Find::Followers),
        1 => comparison(0..20_u64).prop_map(Find::Engagement),
        1 => comparison(0..=500_u64).prop_map(Find::Rating),
        1 => comparison(when()).prop_map(Find::Published),
    ]
}

fn clause(find: impl Strategy<Value = Find>) -> impl Strategy<Value = Expr> {
    find.prop_map(|find| Expr::Clause(Clause { find, span: 0..0 }))
}

/// Things that are near each other: four at most.
fn near() -> impl Strategy<Value = Expr> {
    let side = prop_oneof![3 => clause(words()), 1 => vec(clause(words()), 2..4).prop_map(Expr::Or)].boxed();
    let pair = |left: BoxedStrategy<Expr>, right: BoxedStrategy<Expr>| {
        (left, right, 0..5_usize, any::<bool>()).prop_map(|(left, right, distance, ordered)| {
            Expr::Near(Near { left: Box::new(left), right: Box::new(right), distance, ordered })
        })
    };
    let two = pair(side.clone(), side.clone()).boxed();
    let either = vec(prop_oneof![clause(words()), two.clone()], 2..3).prop_map(Expr::Or).boxed();
    prop_oneof![
        6 => two.clone(),
        2 => pair(two.clone(), side.clone()),
        2 => pair(side.clone(), two.clone()),
        1 => pair(two.clone(), two),
        1 => pair(either, side),
    ]
}

/// A query of any shape.
pub(crate) fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![5 => clause(words()), 3 => clause(filter()), 2 => near()];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let list = vec(inner.clone(), 2..4);
        prop_oneof![
            2 => list.clone().prop_map(Expr::And),
            3 => list.prop_map(Expr::Or),
            1 => inner.prop_map(|item| Expr::Not(Box::new(item))),
        ]
    })
}
