//! A query, and after a NUL character the text of a message: never a panic, every span within what it points at, a
//! query that reads back as it was written, and an explanation that says what the matcher says.
#![no_main]

use hearken::query::parser::parse;
use hearken::query::{BrandQuery, Field, Matcher, Scratch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (query, text) = input.split_once('\0').unwrap_or((input, "acme and nobody else"));
    let characters = query.chars().count();
    let expr = match parse(query) {
        Ok(expr) => expr,
        Err(error) => {
            assert!(error.span.start <= error.span.end && error.span.end <= characters, "{error:?}");
            return;
        }
    };
    for clause in expr.clauses() {
        assert!(clause.span.start < clause.span.end && clause.span.end <= characters, "{clause:?}");
    }
    let again = parse(&expr.to_string()).expect("a query that was written from a tree");
    assert_eq!(again, expr);

    let queries = [BrandQuery { brand: "brand".to_owned(), query: query.to_owned() }];
    let matcher = Matcher::compile(&queries).expect("a query that was parsed");
    let matches = matcher.matches(text, &mut Scratch::default());
    for explanation in matcher.explain(text) {
        assert_eq!(explanation.matched, !matches.is_empty());
        assert_eq!(explanation.matched, explanation.why_not.is_empty());
        for place in explanation.clauses.iter().flat_map(|clause| &clause.places) {
            assert_eq!(place.field, Field::Text);
            assert!(place.span.start < place.span.end && place.span.end <= text.chars().count(), "{place:?}");
        }
    }
});
