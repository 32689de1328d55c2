//! A query and, each after a NUL character, the text and the title of a message: the matcher finds what the reference
//! of the tests finds, in the same places.
#![no_main]

use hearken::query::parser::parse;
use hearken::query::{BrandQuery, Fields, Matcher, Scratch};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/query/reference/mod.rs"]
mod reference;

/// The reference tries all ways, which takes long for more characters than these.
const MAX_LENGTH: usize = 200;

fuzz_target!(|input: &str| {
    let mut parts = input.split('\0');
    let mut part = || parts.next().unwrap_or_default();
    let (query, text, title) = (part(), part(), part());
    let Ok(expr) = parse(query) else { return };
    if [query, text, title].iter().any(|part| part.chars().count() > MAX_LENGTH) {
        return;
    }
    let fields = Fields { title, text, ..Fields::default() };
    let matcher = Matcher::compile(&[BrandQuery { brand: String::new(), query: query.to_owned() }]).unwrap();
    let (is_true, reports) = reference::explain(&expr, &fields);
    assert_eq!(!matcher.matches(fields, &mut Scratch::default()).is_empty(), is_true);
    for explanation in matcher.explain(fields) {
        assert_eq!(explanation.matched, is_true);
        for ((_, matched, places), told) in reports.iter().zip(&explanation.clauses) {
            assert_eq!((told.matched, &told.places), (*matched, places), "{}", told.clause);
        }
        assert_eq!(explanation.clauses.len(), reports.len());
    }
});
