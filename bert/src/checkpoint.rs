//! Checkpoints: where their files are, and what is wrong with them.
//!
//! A checkpoint is a directory as Hugging Face's `save_pretrained` writes it, or the name of one on the hub
//! (`owner/name`), which rust-bert downloads once into its cache (`RUSTBERT_CACHE`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rust_bert::RustBertError;
use rust_bert::pipelines::common::ModelType;
use rust_bert::resources::{RemoteResource, ResourceProvider};
use serde::Deserialize;

use crate::labels::{LabelError, Labels};

const HUB: &str = "https://huggingface.co";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
/// What the tokenizer of a fast checkpoint is in.
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Neither a directory nor a name of the hub.
    #[error("{0:?} is neither a directory nor a name of the hub such as `owner/name`")]
    Nowhere(String),
    /// A file is not there.
    #[error("{checkpoint} has no {file}: {advice}")]
    Missing {
        /// Directory or name.
        checkpoint: String,
        /// What was looked for.
        file: String,
        /// What to do.
        advice: &'static str,
    },
    /// A file cannot be had from the hub.
    #[error("cannot download {url}: {source}; without a network, give a directory with the files of the checkpoint")]
    Download {
        /// Where it was looked for.
        url: String,
        /// What rust-bert says.
        source: Box<RustBertError>,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is there, and is not what it should be.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A kind of model that is not known.
    #[error(
        "{path}: models of type {model_type:?} are not known; known are bert, deberta, deberta-v2, distilbert, \
         roberta and xlm-roberta"
    )]
    Architecture {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        model_type: String,
    },
    /// Not a classifier of sentiments.
    #[error("{path}: {source}")]
    Labels {
        /// The file that names them.
        path: PathBuf,
        /// What is wrong with them.
        source: LabelError,
    },
    /// The weights are of something else.
    #[error("{path} does not fit {CONFIG}: {reason}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// Which tensor, and how.
        reason: String,
    },
    /// The tokenizer is of something else.
    #[error("the tokenizer does not belong to the model: {0}")]
    Tokenizer(String),
}

/// What kind of network it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// BERT, and what only differs from it in the tokenizer.
    Bert,
    /// DeBERTa of the first version (`deberta`), or of the second or third (`deberta-v2`).
    Deberta,
    /// DistilBERT
    DistilBert,
    /// RoBERTa
    Roberta,
    /// RoBERTa with the vocabulary of a hundred languages.
    XlmRoberta,
}

/// Files of a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenizerFiles {
    /// One file with everything.
    Fast(PathBuf),
    /// A vocabulary, merges where there are any, and whether letters become small.
    Classic {
        /// What kind of tokenizer it is.
        kind: ModelType,
        /// `vocab.txt`, `vocab.json` or a SentencePiece model.
        vocabulary: PathBuf,
        /// `merges.txt`
        merges: Option<PathBuf>,
        /// `do_lower_case`
        lower_case: bool,
    },
}

/// A checkpoint whose files are there and whose configuration is understood.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Directory or name, as it was given.
    pub name: String,
    /// The file `config.json`.
    pub config: PathBuf,
    /// Its text.
    pub config_text: String,
    /// What kind of network it is.
    pub architecture: Architecture,
    /// What its outputs mean.
    pub labels: Labels,
    /// Size of the vocabulary.
    pub vocabulary: usize,
    /// Longest input, in tokens.
    pub positions: usize,
    /// What fills up shorter inputs.
    pub pad: i64,
    /// The file with the weights.
    pub weights: PathBuf,
    /// Files of the tokenizer.
    pub tokenizer: TokenizerFiles,
}

/// What is read of `config.json` here; the network reads the rest.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    id2label: Option<BTreeMap<usize, String>>,
    vocab_size: usize,
    max_position_embeddings: usize,
    pad_token_id: Option<i64>,
}

/// What is read of `tokenizer_config.json`.
#[derive(Deserialize, Default)]
struct TokenizerConfig {
    do_lower_case: Option<bool>,
}

impl Checkpoint {
    /// Finds the files of a checkpoint and reads its configuration. `labels` say what the outputs mean where the
    /// checkpoint does not. Blocks while it downloads.
    pub fn open(name: &str, labels: Option<&[String]>) -> Result<Self, CheckpointError> {
        let place = Place::of(name)?;
        let config = place.file(CONFIG)?.ok_or_else(|| {
            place.missing(CONFIG, "it is not a checkpoint; `save_pretrained` of Hugging Face's transformers writes one")
        })?;
        let config_text = read(&config)?;
        let malformed =
            |error: serde_json::Error| CheckpointError::Malformed { path: config.clone(), reason: error.to_string() };
        let settings: Config = serde_json::from_str(&config_text).map_err(malformed)?;
        let architecture = Architecture::of(&config, &settings.model_type)?;
        let labels = match (labels, &settings.id2label) {
            (Some(names), _) => Labels::from_names(names),
            (None, Some(names)) => Labels::from_checkpoint(names),
            (None, None) => Err(LabelError::Count(0)),
        };
        let labels = labels.map_err(|source| CheckpointError::Labels { path: config.clone(), source })?;
        // RoBERTa counts positions from behind the padding token.
        let reserved = if architecture.counts_from_padding() { 2 } else { 0 };
        Ok(Self {
            name: name.to_owned(),
            architecture,
            labels,
            vocabulary: settings.vocab_size,
            positions: settings.max_position_embeddings.saturating_sub(reserved),
            pad: settings.pad_token_id.unwrap_or(if architecture.counts_from_padding() { 1 } else { 0 }),
            weights: place.weights()?,
            tokenizer: place.tokenizer(architecture)?,
            config,
            config_text,
        })
    }
}

impl Architecture {
    fn of(path: &Path, model_type: &str) -> Result<Self, CheckpointError> {
        match model_type {
            "bert" => Ok(Self::Bert),
            "deberta" | "deberta-v2" => Ok(Self::Deberta),
            "distilbert" => Ok(Self::DistilBert),
            "roberta" => Ok(Self::Roberta),
            "xlm-roberta" => Ok(Self::XlmRoberta),
            _ => Err(CheckpointError::Architecture { path: path.to_owned(), model_type: model_type.to_owned() }),
        }
    }

    fn counts_from_padding(self) -> bool {
        matches!(self, Self::Roberta | Self::XlmRoberta)
    }

    /// Kind, vocabulary and merges of the tokenizer of a checkpoint without `tokenizer.json`; `None` where there has to
    /// be one.
    fn classic_tokenizer(self) -> Option<(ModelType, &'static str, Option<&'static str>)> {
        match self {
            Self::Bert => Some((ModelType::Bert, "vocab.txt", None)),
            Self::DistilBert => Some((ModelType::DistilBert, "vocab.txt", None)),
            Self::Roberta => Some((ModelType::Roberta, "vocab.json", Some("merges.txt"))),
            Self::XlmRoberta => Some((ModelType::XLMRoberta, "sentencepiece.bpe.model", None)),
            Self::Deberta => None,
        }
    }
}

/// Where files are looked for.
enum Place {
    Directory(PathBuf),
    Hub(String),
}

impl Place {
    fn of(name: &str) -> Result<Self, CheckpointError> {
        let path = Path::new(name);
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let is_part = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
        };
        match name.split_once('/') {
            Some((owner, model)) if is_part(owner) && is_part(model) => Ok(Self::Hub(name.to_owned())),
            _ => Err(CheckpointError::Nowhere(name.to_owned())),
        }
    }

    /// Where this file is; `None` where the checkpoint has none of that name.
    fn file(&self, file: &str) -> Result<Option<PathBuf>, CheckpointError> {
        match self {
            Self::Directory(directory) => Ok(Some(directory.join(file)).filter(|path| path.is_file())),
            Self::Hub(name) => {
                let url = format!("{HUB}/{name}/resolve/main/{file}");
                match RemoteResource::new(&url, name).get_local_path() {
                    Ok(path) => Ok(Some(path)),
                    Err(error) if is_not_found(&error) => Ok(None),
                    Err(error) => Err(CheckpointError::Download { url, source: Box::new(error) }),
                }
            }
        }
    }

    fn missing(&self, file: &str, advice: &'static str) -> CheckpointError {
        let checkpoint = match self {
            Self::Directory(directory) => directory.display().to_string(),
            Self::Hub(name) => name.clone(),
        };
        CheckpointError::Missing { checkpoint, file: file.to_owned(), advice }
    }

    fn weights(&self) -> Result<PathBuf, CheckpointError> {
        if let Some(weights) = self.file(WEIGHTS)? {
            return Ok(weights);
        }
        let advice = if self.file("model.safetensors.index.json")?.is_some() {
            "its weights are in several files; write it again with `save_pretrained(DIRECTORY, max_shard_size=\"100GB\")`"
        } else if self.file("pytorch_model.bin")?.is_some() {
            "its weights are in pytorch_model.bin, which can hold code; write it again with \
             `save_pretrained(DIRECTORY, safe_serialization=True)`"
        } else {
            "its weights have to be in the format safetensors"
        };
        Err(self.missing(WEIGHTS, advice))
    }

    fn tokenizer(&self, architecture: Architecture) -> Result<TokenizerFiles, CheckpointError> {
        if let Some(file) = self.file(TOKENIZER)? {
            return Ok(TokenizerFiles::Fast(file));
        }
        let Some((kind, vocabulary, merges)) = architecture.classic_tokenizer() else {
            let advice = "a DeBERTa's tokenizer is read from this file only, not from spm.model or vocab.json; \
                          transformers write it beside these with \
                          `AutoTokenizer.from_pretrained(DIRECTORY).save_pretrained(DIRECTORY)` \
                          (which needs the packages sentencepiece and protobuf for spm.model)";
            return Err(self.missing(TOKENIZER, advice));
        };
        let advice = "the tokenizer has to be there, in this file or in tokenizer.json";
        let needed = |file: &str| self.file(file)?.ok_or_else(|| self.missing(file, advice));
        // BERT's own default; no other tokenizer has the setting.
        let lowers = vocabulary == "vocab.txt";
        let vocabulary = needed(vocabulary)?;
        let merges = merges.map(needed).transpose()?;
        let settings = match self.file(TOKENIZER_CONFIG)? {
            Some(path) => serde_json::from_str(&read(&path)?)
                .map_err(|error| CheckpointError::Malformed { path, reason: error.to_string() })?,
            None => TokenizerConfig::default(),
        };
        let lower_case = settings.do_lower_case.unwrap_or(lowers);
        Ok(TokenizerFiles::Classic { kind, vocabulary, merges, lower_case })
    }
}

/// The hub has no such file. rust-bert's error carries the status in its text only.
fn is_not_found(error: &RustBertError) -> bool {
    error.to_string().contains("404")
}

fn read(path: &Path) -> Result<String, CheckpointError> {
    std::fs::read_to_string(path).map_err(|source| CheckpointError::Io { path: path.to_owned(), source })
}
