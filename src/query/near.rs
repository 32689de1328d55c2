//! `a NEAR/5 b`: two things with few words between them.

use std::ops::ControlFlow;

use super::searched::Stretch;
use super::tree::{Evaluation, Leaf, Node, sorted};

/// A compiled `NEAR`.
pub(super) struct Near {
    pub(super) left: Box<Node>,
    pub(super) right: Box<Node>,
    /// At most this many words between them.
    pub(super) distance: usize,
    /// Whether `left` comes first.
    pub(super) ordered: bool,
    /// As written.
    pub(super) written: String,
}

impl Near {
    pub(super) fn is_true(&self, evaluation: &Evaluation<'_>) -> bool {
        let left = self.left.stretches(evaluation);
        !left.is_empty() && {
            let right = self.right.stretches(evaluation);
            self.each_pair(&left, &right, &mut |_, _| ControlFlow::Break(())).is_break()
        }
    }

    /// From the first word to the last of each pair, sorted, each once.
    pub(super) fn stretches(&self, evaluation: &Evaluation<'_>) -> Vec<Stretch> {
        let (left, right) = (self.left.stretches(evaluation), self.right.stretches(evaluation));
        let mut hulls = Vec::new();
        let _ = self.each_pair(&left, &right, &mut |left, right| {
            hulls.push(hull(left, right));
            ControlFlow::Continue(())
        });
        sorted(hulls)
    }

    /// Calls `give` with each clause, from left to right, and where it takes part in a pair (sorted, each once).
    pub(super) fn each_part<'a>(&'a self, evaluation: &Evaluation<'_>, give: &mut impl FnMut(&'a Leaf, &[Stretch])) {
        self.each_part_of(evaluation, None, give);
    }

    fn each_part_of<'a>(
        &'a self,
        evaluation: &Evaluation<'_>,
        wanted: Option<&[Stretch]>,
        give: &mut impl FnMut(&'a Leaf, &[Stretch]),
    ) {
        let (left, right) = (self.left.stretches(evaluation), self.right.stretches(evaluation));
        let (mut in_left, mut in_right) = (Vec::new(), Vec::new());
        let _ = self.each_pair(&left, &right, &mut |left, right| {
            if wanted.is_none_or(|wanted| wanted.binary_search(&hull(left, right)).is_ok()) {
                in_left.push(left);
                in_right.push(right);
            }
            ControlFlow::Continue(())
        });
        give_parts(&self.left, evaluation, &sorted(in_left), give);
        give_parts(&self.right, evaluation, &sorted(in_right), give);
    }

    fn each_pair(
        &self,
        left: &[Stretch],
        right: &[Stretch],
        give: &mut impl FnMut(Stretch, Stretch) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut by_end: Vec<Stretch> = if self.ordered { Vec::new() } else { right.to_vec() };
        by_end.sort_unstable_by_key(|(_, end)| *end);
        for stretch in left {
            let (start, end) = *stretch;
            let after = right.get(right.partition_point(|(start, _)| *start <= end)..).unwrap_or_default();
            for other in after.iter().take_while(|(start, _)| *start <= end + 1 + self.distance) {
                give(*stretch, *other)?;
            }
            let before =
                by_end.get(by_end.partition_point(|(_, end)| end + 1 + self.distance < start)..).unwrap_or_default();
            for other in before.iter().take_while(|(_, end)| *end < start) {
                give(*stretch, *other)?;
            }
        }
        ControlFlow::Continue(())
    }
}

fn hull(left: Stretch, right: Stretch) -> Stretch {
    (left.0.min(right.0), left.1.max(right.1))
}

/// Gives the clauses of one side, where they are at one of these stretches.
fn give_parts<'a>(
    side: &'a Node,
    evaluation: &Evaluation<'_>,
    wanted: &[Stretch],
    give: &mut impl FnMut(&'a Leaf, &[Stretch]),
) {
    match side {
        Node::Near(near) => near.each_part_of(evaluation, Some(wanted), give),
        Node::Or(items) => items.iter().for_each(|item| give_parts(item, evaluation, wanted, give)),
        Node::Clause(leaf) => {
            let mut there = leaf.stretches(evaluation);
            there.retain(|stretch| wanted.binary_search(stretch).is_ok());
            give(leaf, &there);
        }
        // The grammar has neither at a side.
        Node::And(_) | Node::Not(_) => {}
    }
}
