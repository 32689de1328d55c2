//! The grammar of the query language: tokens to a tree.
//!
//! ```text
//! query   = or
//! or      = and { "OR" and }
//! and     = not { [ "AND" ] not }
//! not     = { "NOT" | "-" } near
//! near    = primary { ( "NEAR/" n | "ONEAR/" n ) primary }
//! primary = "(" or ")" | clause
//! ```

use std::ops::Range;

use super::SyntaxError;
use super::ast::{Clause, Expr, Find, Near};
use super::lexer::{Token, TokenKind, lex, shown};

/// Characters of a query.
const MAX_LENGTH: usize = 100_000;
/// Parentheses and `NOT`s may be nested this deep.
const MAX_DEPTH: usize = 64;
/// So many things may be near each other.
const MAX_NEAR: usize = 8;

/// Parses a query.
pub fn parse(query: &str) -> Result<Expr, SyntaxError> {
    let end = query.chars().count();
    if end > MAX_LENGTH {
        let reason = format!("the query is longer than {MAX_LENGTH} characters");
        return Err(SyntaxError::new(MAX_LENGTH..end, reason).suggest("make several brands or sources of it"));
    }
    let tokens = lex(query)?;
    if tokens.is_empty() {
        return Err(SyntaxError::new(0..end, "the query is empty"));
    }
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, end };
    let expr = parser.or()?;
    if let Some(token) = parser.peek() {
        // The grammar stops early only at a parenthesis that was never opened.
        return Err(SyntaxError::new(token.span.clone(), "this parenthesis closes nothing"));
    }
    Ok(expr)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// Characters of the query.
    end: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn next_is(&self, kind: &TokenKind) -> bool {
        self.peek().is_some_and(|token| token.kind == *kind)
    }

    fn or(&mut self) -> Result<Expr, SyntaxError> {
        let first = self.and()?;
        let mut items = vec![first];
        while self.next_is(&TokenKind::Or) {
            self.at += 1;
            items.push(self.and()?);
        }
        Ok(one_or(items, Expr::Or))
    }

    fn and(&mut self) -> Result<Expr, SyntaxError> {
        let first = self.not()?;
        let mut items = vec![first];
        loop {
            match self.peek().map(|token| &token.kind) {
                Some(TokenKind::And) => self.at += 1,
                Some(TokenKind::Open | TokenKind::Not | TokenKind::Clause(_)) => {}
                Some(TokenKind::Or | TokenKind::Near { .. } | TokenKind::Close) | None => break,
            }
            items.push(self.not()?);
        }
        Ok(one_or(items, Expr::And))
    }

    fn not(&mut self) -> Result<Expr, SyntaxError> {
        if !self.next_is(&TokenKind::Not) {
            return self.near();
        }
        self.descend()?;
        let item = self.not()?;
        self.depth -= 1;
        Ok(Expr::Not(Box::new(item)))
    }

    fn near(&mut self) -> Result<Expr, SyntaxError> {
        let mut left = self.primary()?;
        while let Some(Token { kind: TokenKind::Near { distance, ordered }, span }) = self.peek() {
            let (distance, ordered) = (*distance, *ordered);
            self.at += 1;
            let operator = name(&TokenKind::Near { distance, ordered });
            if let Some(Token { kind: TokenKind::Not, span }) = self.peek() {
                let reason = format!("what is excluded has no place among the words, so nothing is `{operator}` it");
                let suggestion = format!("write `acme NOT (acme {operator} kettle)`");
                return Err(SyntaxError::new(span.clone(), reason).suggest(suggestion));
            }
            let right = self.primary()?;
            check_side(&left, "left", &operator, span)?;
            check_side(&right, "right", &operator, span)?;
            let near = Near { left: Box::new(left), right: Box::new(right), distance, ordered };
            left = Expr::Near(near);
            if things(&left) > MAX_NEAR {
                let reason = format!("more than {MAX_NEAR} things are to be near each other");
                let suggestion = "leave some out, or join them with `AND`";
                return Err(SyntaxError::new(span.clone(), reason).suggest(suggestion));
            }
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<Expr, SyntaxError> {
        let Some(token) = self.peek() else { return Err(self.missing()) };
        match &token.kind {
            TokenKind::Clause(clause) => {
                self.at += 1;
                Ok(Expr::Clause(clause.clone()))
            }
            TokenKind::Open => {
                self.descend()?;
                let inner = self.or()?;
                if !self.next_is(&TokenKind::Close) {
                    return Err(SyntaxError::new(token.span.clone(), "this parenthesis is never closed"));
                }
                self.at += 1;
                self.depth -= 1;
                Ok(inner)
            }
            _ => Err(self.missing()),
        }
    }

    /// Goes past an opening parenthesis or a `NOT`.
    fn descend(&mut self) -> Result<(), SyntaxError> {
        let span = self.peek().map_or(self.end..self.end, |token| token.span.clone());
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::new(span, format!("the query is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }

    /// Why there is nothing to find where something has to be.
    fn missing(&self) -> SyntaxError {
        let before = self.at.checked_sub(1).and_then(|before| self.tokens.get(before));
        match (before, self.peek()) {
            (Some(Token { kind: TokenKind::Open, span }), Some(Token { kind: TokenKind::Close, span: close })) => {
                SyntaxError::new(span.start..close.end, "this group is empty")
            }
            (Some(Token { kind: TokenKind::Open, span }), None) => {
                SyntaxError::new(span.clone(), "this parenthesis is never closed")
            }
            (Some(Token { kind, span }), _) if is_operator(kind) => {
                SyntaxError::new(span.clone(), format!("`{}` needs something after it", name(kind)))
            }
            (_, Some(Token { kind: TokenKind::Close, span })) => {
                SyntaxError::new(span.clone(), "this parenthesis closes nothing")
            }
            (_, Some(Token { kind, span })) => {
                SyntaxError::new(span.clone(), format!("`{}` needs something in front of it", name(kind)))
            }
            (_, None) => SyntaxError::new(self.end..self.end, "the query ends too early"),
        }
    }
}

fn is_operator(kind: &TokenKind) -> bool {
    matches!(kind, TokenKind::And | TokenKind::Or | TokenKind::Not | TokenKind::Near { .. })
}

fn name(kind: &TokenKind) -> String {
    match kind {
        TokenKind::And => "AND".to_owned(),
        TokenKind::Or => "OR".to_owned(),
        TokenKind::Near { distance, ordered } => format!("{}NEAR/{distance}", if *ordered { "O" } else { "" }),
        _ => "NOT".to_owned(),
    }
}

/// Refuses a side of `NEAR` that stands at no place of a text. `place` is where the operator is.
fn check_side(side: &Expr, which: &str, operator: &str, place: &Range<usize>) -> Result<(), SyntaxError> {
    let Some(wrong) = placeless(side) else { return Ok(()) };
    let (reason, suggestion) = match wrong {
        Expr::Clause(clause) => {
            let kind = match clause.find {
                Find::Text(_) => "it is about the title alone",
                Find::Raw(_) | Find::Regex(_) => "it is made of characters",
                _ => "it is about the whole message",
            };
            let written = shown(&clause.to_string());
            let suggestion = format!("{kind}: write it beside, as in `(acme {operator} kettle) {written}`");
            (format!("`{written}` has no place among the words"), suggestion)
        }
        Expr::And(_) => {
            let suggestion = format!("say it of each: `(acme {operator} tea) (acme {operator} kettle)`");
            ("what has to be there together has no place among the words".to_owned(), suggestion)
        }
        _ => {
            let suggestion = format!("write `acme NOT (acme {operator} kettle)`");
            ("what is excluded has no place among the words".to_owned(), suggestion)
        }
    };
    let span = Some(wrong.span()).filter(|span| !span.is_empty()).unwrap_or_else(|| place.clone());
    Err(SyntaxError::new(span, format!("{reason}, and stands at the {which} of `{operator}`")).suggest(suggestion))
}

/// The first part of a side of `NEAR` that stands at no place of a text.
fn placeless(side: &Expr) -> Option<&Expr> {
    match side {
        Expr::Clause(Clause { find, .. }) => (!find.has_place()).then_some(side),
        Expr::Or(items) => items.iter().find_map(placeless),
        // Its own sides were looked at when it was read.
        Expr::Near(_) => None,
        Expr::And(_) | Expr::Not(_) => Some(side),
    }
}

/// How many things are near each other: alternatives are one.
fn things(side: &Expr) -> usize {
    match side {
        Expr::Near(near) => things(&near.left) + things(&near.right),
        Expr::Or(items) => items.iter().map(things).max().unwrap_or(1),
        _ => 1,
    }
}

/// A list of one is the one.
fn one_or(mut items: Vec<Expr>, list: impl Fn(Vec<Expr>) -> Expr) -> Expr {
    match items.pop() {
        Some(only) if items.is_empty() => only,
        Some(last) => {
            items.push(last);
            list(items)
        }
        None => list(items),
    }
}
