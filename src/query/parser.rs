//! The grammar of the query language: tokens to a tree, and the tree back to text.
//!
//! ```text
//! query   = or
//! or      = and { "OR" and }
//! and     = not { [ "AND" ] not }
//! not     = { "NOT" | "-" } primary
//! primary = "(" or ")" | word | phrase | handle | hashtag | "channel:" name | "source:" name
//! ```

use std::fmt;
use std::ops::Range;

use super::SyntaxError;
use super::lexer::{Token, TokenKind, lex};

/// Parentheses and `NOT`s may be nested this deep.
const MAX_DEPTH: usize = 64;

/// A query as a tree, in the shape in which it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// All of them, two or more.
    And(Vec<Expr>),
    /// At least one of them, two or more.
    Or(Vec<Expr>),
    /// Not this one.
    Not(Box<Expr>),
    /// Something to find.
    Clause(Clause),
}

/// The smallest part of a query: something to find in a message.
///
/// Two clauses are equal when they say the same, wherever they stand. `Display` shows a clause as
/// it is written in a query.
#[derive(Debug, Clone, Eq)]
pub struct Clause {
    /// How it is looked for.
    pub kind: ClauseKind,
    /// What is looked for, without quotation marks and sigil.
    pub text: String,
    /// Where it stands in the query, in characters.
    pub span: Range<usize>,
}

/// How a clause is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClauseKind {
    /// A whole word.
    Word,
    /// Words one after the other.
    Phrase,
    /// `@handle`.
    Handle,
    /// `#hashtag`.
    Hashtag,
    /// `channel:name`: heard on this channel.
    Channel,
    /// `source:name`: heard by this source of the configuration.
    Source,
}

impl PartialEq for Clause {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.text) == (other.kind, &other.text)
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ClauseKind::Word => f.write_str(&self.text),
            ClauseKind::Phrase => write!(f, "\"{}\"", self.text.replace('\\', "\\\\").replace('"', "\\\"")),
            ClauseKind::Handle => write!(f, "@{}", self.text),
            ClauseKind::Hashtag => write!(f, "#{}", self.text),
            ClauseKind::Channel => write!(f, "channel:{}", self.text),
            ClauseKind::Source => write!(f, "source:{}", self.text),
        }
    }
}

impl fmt::Display for Expr {
    /// As a query that reads back as the same tree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Self], operator: &str| {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    f.write_str(operator)?;
                }
                // AND binds tighter than OR; equal operators keep the grouping they came with.
                let is_tighter = matches!((self, item), (Self::Or(_), Self::And(_)));
                item.fmt_operand(f, is_tighter)?;
            }
            Ok(())
        };
        match self {
            Self::Clause(clause) => clause.fmt(f),
            Self::And(items) => list(f, items, " AND "),
            Self::Or(items) => list(f, items, " OR "),
            Self::Not(item) => {
                f.write_str("NOT ")?;
                item.fmt_operand(f, false)
            }
        }
    }
}

impl Expr {
    fn fmt_operand(&self, f: &mut fmt::Formatter<'_>, is_tighter: bool) -> fmt::Result {
        match self {
            Self::And(_) | Self::Or(_) if !is_tighter => write!(f, "({self})"),
            _ => fmt::Display::fmt(self, f),
        }
    }

    /// All clauses, from left to right.
    pub fn clauses(&self) -> Vec<&Clause> {
        match self {
            Self::Clause(clause) => vec![clause],
            Self::Not(item) => item.clauses(),
            Self::And(items) | Self::Or(items) => items.iter().flat_map(Self::clauses).collect(),
        }
    }

    /// Whether this is true of a message in which nothing is found: such a query would claim all
    /// that was ever said.
    fn matches_nothing_found(&self) -> bool {
        match self {
            Self::Clause(_) => false,
            Self::Not(item) => !item.matches_nothing_found(),
            Self::And(items) => items.iter().all(Self::matches_nothing_found),
            Self::Or(items) => items.iter().any(Self::matches_nothing_found),
        }
    }

    /// The alternative that makes it so.
    fn unbounded_part(&self) -> &Self {
        match self {
            Self::Or(items) => {
                items.iter().find(|item| item.matches_nothing_found()).map_or(self, Self::unbounded_part)
            }
            _ => self,
        }
    }

    fn span(&self) -> Range<usize> {
        let clauses = self.clauses();
        let start = clauses.first().map_or(0, |clause| clause.span.start);
        start..clauses.last().map_or(start, |clause| clause.span.end)
    }
}

/// Parses a query.
pub fn parse(query: &str) -> Result<Expr, SyntaxError> {
    let tokens = lex(query)?;
    let end = query.chars().count();
    if tokens.is_empty() {
        return Err(SyntaxError::new(0..end, "the query is empty"));
    }
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, end };
    let expr = parser.or()?;
    if let Some(token) = parser.peek() {
        // The grammar stops early only at a parenthesis that was never opened.
        return Err(SyntaxError::new(token.span.clone(), "this parenthesis closes nothing"));
    }
    if expr.matches_nothing_found() {
        let span = expr.unbounded_part().span();
        let reason = "this only excludes: it would match every message in which the excluded words are missing";
        let suggestion = "say what has to be there as well: `acme NOT publishing`, `(acme OR globex) NOT jobs`";
        return Err(SyntaxError::new(span, reason).suggest(suggestion));
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
                Some(TokenKind::Or | TokenKind::Close) | None => break,
            }
            items.push(self.not()?);
        }
        Ok(one_or(items, Expr::And))
    }

    fn not(&mut self) -> Result<Expr, SyntaxError> {
        if !self.next_is(&TokenKind::Not) {
            return self.primary();
        }
        self.descend()?;
        let item = self.not()?;
        self.depth -= 1;
        Ok(Expr::Not(Box::new(item)))
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
            TokenKind::And | TokenKind::Or | TokenKind::Not | TokenKind::Close => Err(self.missing()),
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
        let name = |kind: &TokenKind| match kind {
            TokenKind::And => "AND",
            TokenKind::Or => "OR",
            _ => "NOT",
        };
        let before = self.at.checked_sub(1).and_then(|before| self.tokens.get(before));
        match (before, self.peek()) {
            (Some(Token { kind: TokenKind::Open, span }), Some(Token { kind: TokenKind::Close, span: close })) => {
                SyntaxError::new(span.start..close.end, "this group is empty")
            }
            (Some(Token { kind: TokenKind::Open, span }), None) => {
                SyntaxError::new(span.clone(), "this parenthesis is never closed")
            }
            (Some(Token { kind: kind @ (TokenKind::And | TokenKind::Or | TokenKind::Not), span }), _) => {
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
