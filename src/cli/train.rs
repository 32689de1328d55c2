//! `hearken train`: labelled texts and corrections in, a sentiment model out.

use std::path::PathBuf;

use clap::Args;
use hearken::app::OpenStore;
use hearken::score::eval::{EvalSource, Evaluation, evaluate};
use hearken::score::train::{Progress, TrainOptions, adapt, train};
use hearken::score::{DataError, Labelled, Model};
use hearken::views::corrections::labelled;
use serde::Serialize;

use super::exit::Failure;
use super::{Session, eval, output};

/// Arguments of `hearken train`.
#[derive(Args)]
pub(super) struct Train {
    /// Files NAME.train.tsv and NAME.dev.tsv, or directories of them; lines are
    /// `neg|neu|pos TAB text`, NAME begins with a language and `_`.
    #[arg(required_unless_present = "with_corrections")]
    sets: Vec<PathBuf>,
    /// Also learn from the corrections in the store of the configuration.
    #[arg(long)]
    with_corrections: bool,
    /// Go on from this model instead of beginning with nothing. Without SETS that is done anyway, from the model that
    /// comes with the program where this names no other.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["lexicon", "languages"])]
    base: Option<PathBuf>,
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

/// What going on from a model has changed, on rows that were not learnt from.
#[derive(Serialize)]
struct Change {
    before: Option<Evaluation>,
    after: Option<Evaluation>,
}

impl Train {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let corrections = if self.with_corrections { corrections(session).await? } else { Vec::new() };
        let mut measured = Vec::new();
        if !self.sets.is_empty() {
            measured.push(EvalSource::HeldOut(self.sets.clone()));
        }
        if !corrections.is_empty() {
            measured.push(EvalSource::Corrections(corrections.clone()));
        }
        let base = match &self.base {
            Some(path) => Some(Model::load(path)),
            None if self.sets.is_empty() => Some(Model::built_in()),
            None => None,
        };
        let base = base.transpose().map_err(Failure::data)?;
        let before = base.as_ref().map(|base| measure(base, &measured)).transpose()?;

        let bar = output::bar("training", 0);
        let options = TrainOptions {
            sets: self.sets,
            lexicon: self.lexicon,
            languages: self.languages,
            name: self.name,
            corrections,
        };
        let mut progress = |progress: Progress| {
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
        };
        let model = match base {
            Some(base) => adapt(base, &options, &mut progress),
            None => train(&options, &mut progress),
        };
        let model = model.map_err(Failure::data)?;
        bar.finish_and_clear();
        model.save(&self.output).map_err(Failure::unavailable)?;

        let after = measure(&model, &measured)?;
        match (before, after) {
            (None, Some(after)) => eval::print(&after, session),
            (before, after) if session.json => output::json(&Change { before: before.flatten(), after }),
            (Some(Some(before)), Some(after)) => {
                output::text(&format!("before\n{}\nafter\n{}", before.to_table(), after.to_table()))
            }
            _ => output::text("there are too few texts to hold any out: nothing was measured\n"),
        }
    }
}

/// Measures on rows that are held out; `None` where there are none.
fn measure(model: &Model, sources: &[EvalSource]) -> Result<Option<Evaluation>, Failure> {
    let bar = output::bar("measuring", 0);
    let evaluation = evaluate(model, sources, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    match evaluation {
        Err(DataError::Empty { .. }) => Ok(None),
        evaluation => evaluation.map(Some).map_err(Failure::data),
    }
}

/// The corrections in the store.
async fn corrections(session: &Session) -> Result<Vec<Labelled>, Failure> {
    let open = OpenStore::open(&session.config()?).await?;
    let read = async {
        open.store.migrate().await?;
        labelled(&open.store).await
    };
    let read = read.await.map_err(Failure::unavailable);
    open.close().await;
    let corrections = read?.into_iter().map(|(language, label, text)| Labelled { language, label, text });
    Ok(corrections.collect())
}
