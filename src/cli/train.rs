//! `hearken train`: labelled texts in, a sentiment model out.

use std::path::PathBuf;

use clap::Args;
use hearken::score::eval::{EvalSource, evaluate};
use hearken::score::train::{TrainOptions, train};

use super::exit::Failure;
use super::{Session, eval, output};

/// Arguments of `hearken train`.
#[derive(Args)]
pub(super) struct Train {
    /// Files NAME.train.tsv and NAME.dev.tsv, or directories of them; lines are
    /// `neg|neu|pos TAB text`, NAME begins with a language and `_`.
    #[arg(required = true)]
    sets: Vec<PathBuf>,
    /// Lexicon: lines of `word TAB valence`, -5 to 5.
    #[arg(long)]
    lexicon: Option<PathBuf>,
    /// More texts to tell languages apart by, also languages without labels: lines of `language TAB text`.
    #[arg(long)]
    languages: Option<PathBuf>,
    /// Where the model is written.
    #[arg(long, short)]
    output: PathBuf,
    /// Name and version, stored with every score.
    #[arg(long, default_value = "linear-1")]
    name: String,
}

impl Train {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let bar = output::bar("training", 0);
        let options =
            TrainOptions { sets: self.sets.clone(), lexicon: self.lexicon, languages: self.languages, name: self.name };
        let model = train(&options, &mut |progress| {
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
        });
        let model = model.map_err(Failure::data)?;
        bar.finish_and_clear();
        model.save(&self.output).map_err(Failure::unavailable)?;

        let bar = output::bar("measuring", 0);
        let evaluation = evaluate(&model, &[EvalSource::HeldOut(self.sets)], &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        eval::print(&evaluation.map_err(Failure::data)?, session)
    }
}
