//! The needles of all queries in one automaton.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

use super::needle::{Check, Needle, Part, Scope};

/// Many needles, looked for at once.
pub(super) struct Automaton {
    automaton: AhoCorasick,
    /// By string: what finding it means.
    meanings: Vec<Vec<Meaning>>,
    checks: Vec<Check>,
    bytes: usize,
}

/// What it means that a string is found.
pub(super) struct Meaning {
    pub(super) term: usize,
    pub(super) part: Part,
    pub(super) scope: Scope,
    check: Option<usize>,
}

impl Automaton {
    /// Of needles with the terms that they find.
    pub(super) fn new(needles: Vec<(Needle, usize)>) -> Result<Self, BuildError> {
        let mut known: HashMap<Check, usize> = HashMap::new();
        let mut by_text: HashMap<String, Vec<Meaning>> = HashMap::new();
        for (Needle { text, part, scope, check }, term) in needles {
            let check = (check != Check::Nothing).then(|| {
                let next = known.len();
                *known.entry(check).or_insert(next)
            });
            by_text.entry(text).or_default().push(Meaning { term, part, scope, check });
        }
        let mut checks: Vec<(Check, usize)> = known.into_iter().collect();
        checks.sort_unstable_by_key(|(_, index)| *index);
        // In order, so that the same queries make the same automaton.
        let mut by_text: Vec<_> = by_text.into_iter().collect();
        by_text.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let (texts, meanings): (Vec<String>, Vec<Vec<Meaning>>) = by_text.into_iter().unzip();
        // A prefilter looks for first bytes; here, most strings begin with the same one, a space.
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).prefilter(false).build(&texts)?;
        let entries =
            meanings.iter().map(|meanings| size_of_val(meanings) + size_of_val(meanings.as_slice())).sum::<usize>();
        let bytes =
            automaton.memory_usage() + entries + checks.iter().map(|(check, _)| size_of_val(check)).sum::<usize>();
        Ok(Self { automaton, meanings, checks: checks.into_iter().map(|(check, _)| check).collect(), bytes })
    }

    /// Memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Calls `found` with the meaning of every needle of a part, and where it is.
    pub(super) fn each_find(&self, part: Part, text: &[u8], mut found: impl FnMut(&Meaning, std::ops::Range<usize>)) {
        if self.meanings.is_empty() {
            return;
        }
        for find in self.automaton.find_overlapping_iter(text) {
            let meanings = self.meanings.get(find.pattern().as_usize()).into_iter().flatten();
            meanings.filter(|meaning| meaning.part == part).for_each(|meaning| found(meaning, find.range()));
        }
    }

    /// What has to hold where a needle was found.
    pub(super) fn check(&self, meaning: &Meaning) -> &Check {
        meaning.check.and_then(|check| self.checks.get(check)).unwrap_or(&Check::Nothing)
    }
}
