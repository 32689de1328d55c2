//! `hearken eval`: how right a sentiment model is, measured on labelled texts.

use std::path::{Path, PathBuf};

use clap::Args;
use hearken::score::Model;
use hearken::score::eval::{EvalSource, Evaluation, evaluate};
use hearken::score::standing::{self, standings};

use super::exit::Failure;
use super::{Session, output};

/// Arguments of `hearken eval`.
#[derive(Args)]
pub(super) struct Eval {
    /// Labelled texts: NAME.tsv with lines of `neg|neu|pos TAB text`, NAME.jsonl with one object a
    /// line, or a directory of training sets, of which the held-out rows are taken.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Sentiment model; without it, the one that comes with the program.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Field of a JSON object that holds the text.
    #[arg(long, default_value = "text")]
    text: String,
    /// Field of a JSON object that holds `positive`, `neutral` or `negative`.
    #[arg(long, default_value = "label")]
    label: String,
    /// Field of a JSON object that names what the text is about: also compares the order of these
    /// by net sentiment, the model's beside the people's.
    #[arg(long)]
    group: Option<String>,
}

impl Eval {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let model = match &self.model {
            Some(path) => Model::load(path),
            None => Model::built_in(),
        };
        let model = model.map_err(Failure::data)?;
        let bar = output::bar("measuring", 0);
        let sources: Vec<EvalSource> = self.files.iter().map(|path| self.source(path.clone())).collect();
        let evaluation = evaluate(&model, &sources, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        print(&evaluation.map_err(Failure::data)?, session)?;
        let Some(group) = &self.group else { return Ok(()) };
        for path in self.files.iter().filter(|path| is_jsonl(path)) {
            let standings = standings(&model, path, &self.text, &self.label, group).map_err(Failure::data)?;
            match session.json {
                true => output::json(&standings)?,
                false => output::text(&format!("\nnet sentiment by {group}\n{}", standing::to_table(&standings)))?,
            }
        }
        Ok(())
    }

    fn source(&self, path: PathBuf) -> EvalSource {
        if path.is_dir() {
            return EvalSource::HeldOut(vec![path]);
        }
        match is_jsonl(&path) {
            true => EvalSource::Jsonl { path, text: self.text.clone(), label: self.label.clone() },
            false => EvalSource::Tsv(path),
        }
    }
}

fn is_jsonl(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

/// Prints figures as a table, or as JSON.
pub(super) fn print(evaluation: &Evaluation, session: &Session) -> Result<(), Failure> {
    if session.json { output::json(evaluation) } else { output::text(&evaluation.to_table()) }
}
