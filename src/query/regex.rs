//! `/regular expressions/`, bounded in size and, being automata, in time.

use regex_syntax::hir::literal::Extractor;

use super::ast;
use super::fields::Field;
use super::needle::{Check, Needle, Part, Scope};
use super::searched::Origin;
use super::tree::Evaluation;

/// Most bytes of a compiled expression, and of what it remembers of its searches.
const SIZE: usize = 1 << 18;
/// The shortest string that is worth looking for before an expression is tried.
const SHORTEST: usize = 2;

/// A compiled expression.
pub(super) struct Regex {
    regex: regex::Regex,
    /// The term of the strings of which one is in every message that it finds something in.
    pub(super) sighted: Option<usize>,
}

/// Compiles an expression.
pub(super) fn compile(regex: &ast::Regex) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(&regex.pattern)
        .case_insensitive(regex.ignores_case)
        .size_limit(SIZE)
        .dfa_size_limit(SIZE)
        .build()
}

/// Strings of which at least one is in every text in which the expression finds something.
pub(super) fn literals(regex: &ast::Regex) -> Option<Vec<String>> {
    let hir =
        regex_syntax::ParserBuilder::new().case_insensitive(regex.ignores_case).build().parse(&regex.pattern).ok()?;
    let mut strings = Extractor::new().extract(&hir);
    strings.optimize_for_prefix_by_preference();
    let literals = strings.literals()?;
    let strings = literals.iter().map(|literal| str::from_utf8(literal.as_bytes()).ok().map(str::to_owned));
    let strings: Vec<String> = strings.collect::<Option<_>>()?;
    (!strings.is_empty() && strings.iter().all(|string| string.len() >= SHORTEST)).then_some(strings)
}

/// Needles by which such strings are found.
pub(super) fn needles(literals: &[String]) -> Vec<Needle> {
    let needle = |part: Part| move |text: String| Needle { text, part, scope: Scope::Anywhere, check: Check::Nothing };
    let needles = [Part::Title, Part::Text].into_iter().flat_map(|part| literals.iter().cloned().map(needle(part)));
    needles.collect()
}

impl Regex {
    pub(super) fn new(regex: regex::Regex, sighted: Option<usize>) -> Self {
        Self { regex, sighted }
    }

    fn is_worth_trying(&self, evaluation: &Evaluation<'_>) -> bool {
        self.sighted.is_none_or(|term| evaluation.is_found(term))
    }

    pub(super) fn is_true(&self, evaluation: &Evaluation<'_>) -> bool {
        let fields = &evaluation.searched.fields;
        self.is_worth_trying(evaluation) && (self.regex.is_match(fields.title) || self.regex.is_match(fields.text))
    }

    /// Where it finds something, in bytes of title and text.
    pub(super) fn origins(&self, evaluation: &Evaluation<'_>) -> Vec<Origin> {
        if !self.is_worth_trying(evaluation) {
            return Vec::new();
        }
        let found = |field| {
            let text = evaluation.searched.fields.get(field);
            self.regex.find_iter(text).map(move |found| (field, found.range()))
        };
        found(Field::Title).chain(found(Field::Text)).collect()
    }
}
