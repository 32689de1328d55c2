//! `hearken score`: texts on standard input, one a line; scores as JSON lines.

use std::io::BufRead;
use std::path::PathBuf;

use clap::Args;
use hearken::score::{Explanation, Intent, Scorer, TextScore, Weight};
use serde::Serialize;

use super::exit::Failure;
use super::output;

/// Arguments of `hearken score`.
#[derive(Args)]
pub(super) struct Score {
    /// Sentiment model; without it, the one that comes with the program.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Also say which words weighed most, with their places in characters.
    #[arg(long)]
    explain: bool,
}

/// Words that are named with `--explain`.
const NAMED: usize = 10;

/// One line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    label: &'a str,
    score: f32,
    confidence: f32,
    language: &'a str,
    language_confidence: f32,
    model: &'a str,
    intents: Vec<Intent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<Vec<Weight>>,
}

impl Score {
    pub(super) fn run(self) -> Result<(), Failure> {
        let scorer = match &self.model {
            Some(path) => Scorer::load(path),
            None => Scorer::built_in(),
        };
        let scorer = scorer.map_err(Failure::data)?;
        let mut input = std::io::stdin().lock();
        let mut text = Vec::new();
        loop {
            text.clear();
            let read = input.read_until(b'\n', &mut text);
            if read.map_err(|error| Failure::data(format!("cannot read standard input: {error}")))? == 0 {
                return Ok(());
            }
            // A text that is not UTF-8 is still a text: what cannot be read becomes U+FFFD.
            let text = String::from_utf8_lossy(&text);
            let text = text.trim_end_matches(['\n', '\r']);
            let (score, because) = if self.explain {
                let Explanation { score, because } = scorer.explain(text, NAMED);
                (score, Some(because))
            } else {
                (scorer.score_text(text), None)
            };
            let TextScore { language, sentiment, intents } = score;
            output::json_line(&Line {
                label: sentiment.label.as_str(),
                score: sentiment.score,
                confidence: sentiment.confidence,
                language: language.tag,
                language_confidence: language.confidence,
                model: scorer.model_name(),
                intents,
                because,
            })?;
        }
    }
}
