//! Things that are near each other.

use std::collections::{BTreeMap, BTreeSet};

use hearken::query::{Expr, Field, Near, Place};

use super::{Message, Report};

/// By the numbers of its first word and of the word after its last: the clauses that were found there, each with its
/// number among the clauses of the outermost `NEAR`.
type Hulls = BTreeMap<(usize, usize), BTreeSet<(usize, Place)>>;

impl Message<'_> {
    /// Whether the two are near each other anywhere; a clause is found where it takes part in that.
    pub(super) fn is_near(&self, near: &Near, reports: &mut Vec<Report>) -> bool {
        let mut clauses = Vec::new();
        let hulls = self.pairs(near, &mut clauses);
        let parts: BTreeSet<(usize, Place)> = hulls.values().flatten().cloned().collect();
        for (number, clause) in clauses.into_iter().enumerate() {
            let places: Vec<Place> =
                parts.iter().filter(|(part, _)| *part == number).map(|(_, place)| place.clone()).collect();
            reports.push((clause, !places.is_empty(), places));
        }
        !hulls.is_empty()
    }

    /// The hull of each pair that is near enough.
    fn pairs(&self, near: &Near, clauses: &mut Vec<hearken::query::Clause>) -> Hulls {
        let (left, right) = (self.hulls(&near.left, clauses), self.hulls(&near.right, clauses));
        let mut pairs = Hulls::new();
        for (left, left_parts) in &left {
            for (right, right_parts) in &right {
                let gap = |before: &(usize, usize), after: &(usize, usize)| {
                    let is_near = after.0.checked_sub(before.1).is_some_and(|gap| gap <= near.distance);
                    is_near && self.field(before.0) == self.field(after.0)
                };
                if gap(left, right) || (!near.ordered && gap(right, left)) {
                    let parts = pairs.entry((left.0.min(right.0), left.1.max(right.1))).or_default();
                    parts.extend(left_parts.iter().chain(right_parts).cloned());
                }
            }
        }
        pairs
    }

    fn hulls(&self, side: &Expr, clauses: &mut Vec<hearken::query::Clause>) -> Hulls {
        match side {
            Expr::Near(near) => self.pairs(near, clauses),
            Expr::Or(items) => {
                let mut all = Hulls::new();
                for (hull, parts) in items.iter().flat_map(|item| self.hulls(item, clauses)) {
                    all.entry(hull).or_default().extend(parts);
                }
                all
            }
            Expr::Clause(clause) => {
                let number = clauses.len();
                clauses.push(clause.clone());
                let mut hulls = Hulls::new();
                for found in self.among_words(&clause.find).into_iter().filter(|found| !found.words.is_empty()) {
                    let hull = hulls.entry((found.words.start, found.words.end)).or_default();
                    hull.insert((number, found.place));
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
