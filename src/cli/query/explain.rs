//! `hearken query explain`: what a query finds in texts, and why.

use clap::Args;
use hearken::analyst::{ClauseFound, Explained, Explainer, FoundAt};
use hearken::report::table::{Ink, clean, count};
use hearken_connectors::Message;
use serde::Serialize;

use super::super::exit::Failure;
use super::super::{Session, output};
use super::{Named, Subject, input};

/// Arguments of `hearken query explain`.
#[derive(Args)]
pub(in crate::cli) struct Explain {
    #[command(flatten)]
    subject: Subject,
}

/// One line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    line: u64,
    #[serde(flatten)]
    explained: &'a Explained,
}

impl Explain {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let Subject { query, file, brand } = self.subject.arranged()?;
        let named = match (query, brand) {
            (Some(query), _) => Named { brand: None, query },
            (None, Some(brand)) => Named::of_brand(&brand, session)?,
            (None, None) => return Err(Failure::usage("give a query, or a brand with --brand")),
        };
        let explainer = Explainer::new(&named.query).map_err(|wrong| named.wrong(wrong))?;
        let (colour, mut texts, mut matched) = (output::colours(), 0, 0);
        input::each_message(file.as_deref(), |line, message| {
            let explained = explainer.explain(message);
            texts += 1;
            matched += u64::from(explained.matched);
            match session.json {
                true => output::json_line(&Line { line, explained: &explained }),
                false => output::text(&text(line, message, &explained, colour)),
            }
        })?;
        match session.json {
            true => Ok(()),
            false => output::text(&format!("{} of {} texts match\n", count(matched), count(texts))),
        }
    }
}

/// The text with what was found marked, then a line for each clause that was found and for each reason why not.
fn text(line: u64, message: &Message, explained: &Explained, colour: bool) -> String {
    let verdict = match explained.matched {
        true => Ink::Good.paint("matches", colour),
        false => Ink::Bad.paint("does not match", colour),
    };
    let mut out = format!("{line}: {verdict}\n");
    for (field, text) in [("title", &message.title), ("text", &message.text)] {
        if !text.is_empty() {
            out.push_str(&format!("  {}\n", marked(field, text, explained, colour)));
        }
    }
    for clause in explained.clauses.iter().filter(|clause| clause.matched) {
        out.push_str(&format!("    {}\n", Ink::Faint.paint(&found(clause), colour)));
    }
    for reason in &explained.why_not {
        out.push_str(&format!("    {}\n", clean(reason)));
    }
    out
}

fn found(clause: &ClauseFound) -> String {
    let place = |at: &FoundAt| format!("{} {}..{}", at.field, at.start, at.end);
    let places: Vec<String> = clause.spans.iter().map(place).collect();
    let places = if places.is_empty() { String::new() } else { format!(" in {}", places.join(", ")) };
    format!("{} found{places}", clean(&clause.clause))
}

/// The text of a field on one line, with what was found in it in colour.
fn marked(field: &str, text: &str, explained: &Explained, colour: bool) -> String {
    let spans = explained.clauses.iter().flat_map(|clause| &clause.spans).filter(|at| at.field == field);
    let mut spans: Vec<(usize, usize)> = spans.map(|at| (at.start, at.end)).collect();
    spans.sort_unstable();
    let mut out = String::new();
    let mut chars = text.chars();
    let mut at = 0;
    let mut upto = |end: usize| {
        let part: String = chars.by_ref().take(end.saturating_sub(at)).collect();
        at = at.max(end);
        clean(&part)
    };
    for (start, end) in spans {
        out.push_str(&upto(start));
        out.push_str(&Ink::Accent.paint(&upto(end), colour));
    }
    out.push_str(&upto(usize::MAX));
    out
}
