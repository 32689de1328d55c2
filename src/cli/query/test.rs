//! `hearken query test`: the examples that are kept beside the brands' queries.

use clap::Args;
use hearken::app;
use hearken::config::{Brand, WrongExample};
use serde::Serialize;

use super::super::exit::Failure;
use super::super::{Session, output};

/// Arguments of `hearken query test`.
#[derive(Args)]
pub(in crate::cli) struct Test {}

/// What became of the examples of one brand.
#[derive(Serialize)]
struct Tested<'a> {
    brand: &'a str,
    examples: usize,
    wrong: Vec<Wrong<'a>>,
}

/// An example that the query gets wrong.
#[derive(Serialize)]
struct Wrong<'a> {
    text: &'a str,
    must_match: bool,
    why: &'a str,
}

impl Test {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let config = session.config()?;
        let (_, matcher) = app::compile(&config).map_err(Failure::configuration)?;
        let wrong = config.wrong_examples(&matcher);
        let tested: Vec<Tested<'_>> = config.brands.iter().map(|brand| tested(brand, &wrong)).collect();
        if session.json {
            output::json(&tested)?;
        } else {
            for WrongExample { diagnostic, .. } in &wrong {
                output::text(&format!("{diagnostic}\n\n"))?;
            }
            let lines: Vec<String> = tested.iter().map(line).collect();
            output::text(&lines.concat())?;
        }
        let all: usize = tested.iter().map(|tested| tested.examples).sum();
        match wrong.len() {
            0 => Ok(()),
            wrong => Err(Failure::data(format!("{wrong} of {all} examples are wrong"))),
        }
    }
}

fn tested<'a>(brand: &'a Brand, wrong: &'a [WrongExample]) -> Tested<'a> {
    let wrong = wrong.iter().filter(|wrong| wrong.brand == brand.name);
    let wrong = wrong.map(|wrong| Wrong { text: &wrong.text, must_match: wrong.must_match, why: &wrong.why });
    let examples = brand.must_match.len() + brand.must_not_match.len();
    Tested { brand: &brand.name, examples, wrong: wrong.collect() }
}

fn line(tested: &Tested<'_>) -> String {
    let Tested { brand, examples, wrong } = tested;
    match (examples, wrong.len()) {
        (0, _) => format!("none   {brand}: no examples (`must_match`, `must_not_match`)\n"),
        (examples, 0) => format!("ok     {brand}: {examples} examples\n"),
        (examples, wrong) => format!("WRONG  {brand}: {wrong} of {examples} examples\n"),
    }
}
