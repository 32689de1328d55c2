//! Any text as a configuration: never a panic, and every problem has its place in the text.
#![no_main]

use hearken::config::{Config, Environment, Place};
use hearken::query::Matcher;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // A secret may be read from any file, which is no business of a fuzzer.
    if text.contains("file:") {
        return;
    }
    let error = match Config::parse(text, "fuzz.toml", &Environment::default()) {
        Ok(config) => {
            let matcher = Matcher::compile(&config.queries()).expect("queries that are checked");
            let Err(error) = config.check_examples(&matcher) else { return };
            error
        }
        Err(error) => error,
    };
    assert!(!error.problems.is_empty() && !error.to_string().is_empty());
    for problem in error.problems {
        let Place::Text { line, column, excerpt, caret, .. } = problem.place else { continue };
        let written = text.split('\n').nth(line - 1).expect("a line of the text");
        // The end of a line is a place too.
        assert!(column - 1 <= written.chars().count(), "column {column} of {written:?}");
        // A hundred characters of the line, and a sign that it goes on at either end.
        assert!(excerpt.chars().count() <= 102 && caret.end <= 102, "{caret:?} of {excerpt:?}");
    }
});
