//! The network: token ids -> logits.
//!
//! Padding is always masked. rust-bert's own `SequenceClassificationModel::predict` masks nothing, so that a text's
//! score depends on its neighbours in the batch; that is why the parts of rust-bert are put together here.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_bert::RustBertError;
use rust_bert::bert::{BertConfig, BertForSequenceClassification};
use rust_bert::distilbert::{DistilBertConfig, DistilBertModelClassifier};
use rust_bert::roberta::RobertaForSequenceClassification;
use serde::de::DeserializeOwned;
use tch::nn::VarStore;
use tch::{Device, Kind, TchError, Tensor, no_grad};

use crate::batch::{distinct, of_like_length};
use crate::checkpoint::{Architecture, Checkpoint, CheckpointError};
use crate::deberta;
use crate::labels::Labels;
use crate::opinion::Probabilities;
use crate::text::{plain, says_something};
use crate::tokenizer::{TokenizeError, Tokenizer};

/// How exactly it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits; equal to PyTorch.
    Fp32,
    /// 16 bits with the range of 32: twice as fast where the processor has it, slower where it has not. Few labels
    /// differ.
    Bf16,
}

impl Precision {
    /// The fastest that this processor computes itself.
    pub fn of_this_processor() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512bf16") {
            return Self::Bf16;
        }
        Self::Fp32
    }
}

/// How a model is loaded and run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How exactly it is computed.
    pub precision: Precision,
    /// Threads of libtorch.
    pub threads: usize,
    /// Longer texts are cut after so many tokens.
    pub tokens: usize,
    /// Most texts of a batch.
    pub rows: usize,
    /// Most tokens of a batch, padding included: bounds its memory.
    pub batch_tokens: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { precision: Precision::Fp32, threads: 1, tokens: 128, rows: 16, batch_tokens: 4_096 }
    }
}

/// Why texts could not be scored. They are not told.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// libtorch failed.
    #[error("libtorch fails: {0}")]
    Torch(#[from] TchError),
    /// rust-bert panicked.
    #[error("the model fails on a batch of {rows} texts with {width} tokens each")]
    Network {
        /// Texts.
        rows: usize,
        /// Tokens.
        width: usize,
    },
}

/// A model that is ready to score. Stays on the thread that loaded it.
pub struct Model {
    network: Network,
    tokenizer: Tokenizer,
    labels: Labels,
    pad: i64,
    device: Device,
    options: Options,
}

impl Model {
    /// Loads a checkpoint, onto a GPU where libtorch knows one.
    pub fn load(checkpoint: &Checkpoint, options: Options) -> Result<Self, CheckpointError> {
        tch::set_num_threads(i32::try_from(options.threads).unwrap_or(i32::MAX).max(1));
        let device = Device::cuda_if_available();
        let tokenizer = Tokenizer::load(checkpoint, options.tokens)?;
        let mut variables = VarStore::new(device);
        let network = Network::build(checkpoint, &variables)?;
        fill(&variables, checkpoint)?;
        variables.freeze();
        if options.precision == Precision::Bf16 {
            variables.bfloat16();
        }
        Ok(Self { network, tokenizer, labels: checkpoint.labels.clone(), pad: checkpoint.pad, device, options })
    }

    /// What the model says of each text. Equal texts are computed once, those that say nothing not at all.
    pub fn score(&self, texts: &[String]) -> Result<Vec<Probabilities>, ModelError> {
        let texts: Vec<String> = texts.iter().map(|text| plain(text)).collect();
        let (each, which) = distinct(&texts);
        let says: Vec<String> = each.iter().filter(|text| says_something(text)).cloned().collect();
        let mut read = self.logits(&says)?.into_iter().map(|logits| self.labels.probabilities(&logits));
        let answer = |text: &String| if says_something(text) { read.next() } else { Some(Probabilities::NOTHING) };
        let probabilities: Vec<_> = each.iter().filter_map(answer).collect();
        Ok(which.iter().filter_map(|index| probabilities.get(*index).copied()).collect())
    }

    /// The outputs of the network for each text, as they are given.
    pub fn logits(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let rows = self.tokenizer.encode(texts)?;
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let mut logits = vec![Vec::new(); rows.len()];
        for batch in of_like_length(&lengths, self.options.rows, self.options.batch_tokens) {
            let part: Vec<&[i64]> = batch.iter().filter_map(|index| rows.get(*index)).map(Vec::as_slice).collect();
            let outputs = self.forward(&part)?;
            for (index, outputs) in batch.into_iter().zip(outputs) {
                if let Some(place) = logits.get_mut(index) {
                    *place = outputs;
                }
            }
        }
        Ok(logits)
    }

    /// One batch.
    fn forward(&self, rows: &[&[i64]]) -> Result<Vec<Vec<f32>>, ModelError> {
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * width);
        let mut mask = Vec::with_capacity(rows.len() * width);
        for row in rows {
            let padding = width - row.len();
            ids.extend(row.iter().copied().chain(std::iter::repeat_n(self.pad, padding)));
            mask.extend(std::iter::repeat_n(1_i64, row.len()).chain(std::iter::repeat_n(0, padding)));
        }
        let shape = [rows.len() as i64, width as i64];
        let tensor = |values: &[i64]| Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(self.device);
        let (ids, mask) = (tensor(&ids)?, tensor(&mask)?);
        // rust-bert unwraps what libtorch refuses.
        let outputs = catch_unwind(AssertUnwindSafe(|| no_grad(|| self.network.forward(&ids, &mask))));
        let outputs = outputs.ok().and_then(Result::ok).ok_or(ModelError::Network { rows: rows.len(), width })?;
        let outputs = outputs.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?;
        let values: Vec<f32> = Vec::try_from(outputs.f_contiguous()?.f_view(-1)?)?;
        Ok(values.chunks(self.labels.count()).map(<[f32]>::to_vec).collect())
    }
}

/// The networks that classify; all but DeBERTa are rust-bert's.
enum Network {
    Bert(BertForSequenceClassification),
    Deberta(Box<deberta::Classifier>),
    DistilBert(DistilBertModelClassifier),
    Roberta(RobertaForSequenceClassification),
}

impl Network {
    /// The network that the configuration describes, its weights not yet filled in.
    fn build(checkpoint: &Checkpoint, variables: &VarStore) -> Result<Self, CheckpointError> {
        let malformed = |reason| CheckpointError::Malformed { path: checkpoint.config.clone(), reason };
        // rust-bert panics on values that it does not expect, such as heads that do not divide the width.
        let built = catch_unwind(AssertUnwindSafe(|| Self::try_build(checkpoint, variables)));
        built
            .map_err(|_| malformed("its values do not fit together".to_owned()))?
            .map_err(|error| malformed(error.to_string()))
    }

    fn try_build(checkpoint: &Checkpoint, variables: &VarStore) -> Result<Self, RustBertError> {
        let root = variables.root();
        let text = &checkpoint.config_text;
        Ok(match checkpoint.architecture {
            Architecture::Bert => Self::Bert(BertForSequenceClassification::new(&root, &parsed::<BertConfig>(text)?)?),
            Architecture::Deberta => {
                Self::Deberta(Box::new(deberta::Classifier::new(&root, text, checkpoint.labels.count())?))
            }
            Architecture::DistilBert => {
                // Later releases of transformers no longer write all that rust-bert wants to read.
                let mut settings = serde_json::to_value(DistilBertConfig::default()).unwrap_or_default();
                if let Some(settings) = settings.as_object_mut() {
                    settings.extend(parsed::<serde_json::Map<String, serde_json::Value>>(text)?);
                }
                let config = parsed::<DistilBertConfig>(&settings.to_string())?;
                Self::DistilBert(DistilBertModelClassifier::new(&root, &config)?)
            }
            Architecture::Roberta | Architecture::XlmRoberta => {
                Self::Roberta(RobertaForSequenceClassification::new(&root, &parsed::<BertConfig>(text)?)?)
            }
        })
    }

    fn forward(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor, RustBertError> {
        Ok(match self {
            Self::Bert(network) => network.forward_t(Some(ids), Some(mask), None, None, None, false).logits,
            Self::Deberta(network) => network.forward(ids, mask),
            Self::DistilBert(network) => network.forward_t(Some(ids), Some(mask), None, false)?.logits,
            Self::Roberta(network) => network.forward_t(Some(ids), Some(mask), None, None, None, false).logits,
        })
    }
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, RustBertError> {
    serde_json::from_str(text).map_err(|error| RustBertError::InvalidConfigurationError(error.to_string()))
}

/// Fills the network's variables from the file. Unlike `VarStore::load` it takes no tensor of another shape, which
/// libtorch would spread over what is there.
fn fill(variables: &VarStore, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    let path = &checkpoint.weights;
    let wrong = |reason: String| CheckpointError::Weights { path: path.clone(), reason };
    let read = catch_unwind(|| Tensor::read_safetensors(path));
    let read = read.map_err(|_| wrong("it is not in the format safetensors".to_owned()))?;
    let read = read.map_err(|error| wrong(format!("it cannot be read as safetensors: {error}")))?;
    let tensors: HashMap<String, Tensor> = read.into_iter().collect();
    let mut names: Vec<(String, Tensor)> = variables.variables().into_iter().collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, mut variable) in names {
        let tensor = tensors.get(&name).ok_or_else(|| {
            wrong(format!("there is no tensor {name}; is it a model for the classification of sequences?"))
        })?;
        if tensor.size() != variable.size() {
            let (has, needs) = (tensor.size(), variable.size());
            return Err(wrong(format!("the tensor {name} has the shape {has:?} instead of {needs:?}")));
        }
        no_grad(|| variable.f_copy_(tensor)).map_err(|error| wrong(format!("tensor {name}: {error}")))?;
    }
    Ok(())
}
