//! Things that are near each other.

use std::collections::BTreeMap;

use hearken::query::ast::{Clause, Expr, Near};
use hearken::query::{Field, Place};

use super::{Message, Report, sorted};

/// By the numbers of its first word and of the word after its last: the clauses that were found there, each with its
/// number among the clauses of the outermost `NEAR`.
type Hulls = BTreeMap<(usize, usize), Vec<(usize, Place)>>;

impl Message<'_> {
    /// Whether the two are near each other anywhere; a clause is found where it takes part in that.
    pub(super) fn is_near(&self, near: &Near, reports: &mut Vec<Report>) -> bool {
        let mut clauses = Vec::new();
        let hulls = self.pairs(near, &mut clauses);
        for (number, clause) in clauses.into_iter().enumerate() {
            let parts = hulls.values().flatten().filter(|(part, _)| *part == number);
            let places = sorted(parts.map(|(_, place)| place.clone()).collect());
            reports.push((clause, !places.is_empty(), places));
        }
        !hulls.is_empty()
    }

    /// The hull of each pair that is near enough.
    fn pairs(&self, near: &Near, clauses: &mut Vec<Clause>) -> Hulls {
        let (left, right) = (self.hulls(&near.left, clauses), self.hulls(&near.right, clauses));
        let mut pairs = Hulls::new();
        for (left, left_parts) in &left {
            for (right, right_parts) in &right {
                let gap = |before: &(usize, usize), after: &(usize, usize)| {
                    let is_near = after.0.checked_sub(before.1).is_some_and(|gap| gap <= near.distance);
                    is_near && self.field(before.0) == self.field(after.0)
                };
                if gap(left, right) || (!near.ordered && gap(right, left)) {
                    let hull = (left.0.min(right.0), left.1.max(right.1));
                    add(&mut pairs, hull, left_parts.iter().chain(right_parts).cloned());
                }
            }
        }
        pairs
    }

    fn hulls(&self, side: &Expr, clauses: &mut Vec<Clause>) -> Hulls {
        match side {
            Expr::Near(near) => self.pairs(near, clauses),
            Expr::Or(items) => {
                let mut all = Hulls::new();
                for (hull, parts) in items.iter().flat_map(|item| self.hulls(item, clauses)) {
                    add(&mut all, hull, parts);
                }
                all
            }
            Expr::Clause(clause) => {
                let number = clauses.len();
                clauses.push(clause.clone());
                let mut hulls = Hulls::new();
                for found in self.among_words(&clause.find).into_iter().filter(|found| !found.words.is_empty()) {
                    add(&mut hulls, (found.words.start, found.words.end), [(number, found.place)]);
                }
                hulls
            }
            Expr::And(_) | Expr::Not(_) => panic!("NEAR beside {side}"),
        }
    }

    fn field(&self, word: usize) -> Field {
        self.words[word].field
    }
}

fn add(hulls: &mut Hulls, hull: (usize, usize), parts: impl IntoIterator<Item = (usize, Place)>) {
    let known = hulls.entry(hull).or_default();
    for part in parts {
        if !known.contains(&part) {
            known.push(part);
        }
    }
}
