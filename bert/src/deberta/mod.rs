//! DeBERTa in all three versions, for the classification of sequences: token ids -> logits.
//!
//! DeBERTa (He and others 2021, <https://arxiv.org/abs/2006.03654>) attends to what a token is and to how far away it
//! stands as two different things. The rest is a BERT:
//!
//! ```text
//! ids ─ embeddings ─ layers (encoder), each with disentangled attention (attention)
//!     ─ first token ─ dense, activation (pooler) ─ classifier ─ logits
//! ```
//!
//! rust-bert 0.23 has the three versions too, and computes the attention to distances otherwise than transformers do,
//! with whom the checkpoints were trained. Tensors have the names that transformers give them. Nothing here is
//! trained, so there is no dropout.

mod attention;
mod embeddings;
mod encoder;
mod positions;
mod settings;

use rust_bert::{Activation, RustBertError};
use tch::nn::{LayerNorm, LayerNormConfig, Linear, Module, Path, layer_norm, linear};
use tch::{Kind, Tensor};

use embeddings::Embeddings;
use encoder::Encoder;
use settings::Settings;

/// DeBERTa with a head that classifies.
pub(crate) struct Classifier {
    embeddings: Embeddings,
    encoder: Encoder,
    pooler: Linear,
    pooler_activation: Activation,
    classifier: Linear,
}

impl Classifier {
    /// The network that the text of a `config.json` describes, with so many outputs.
    pub(crate) fn new(root: &Path<'_>, config: &str, outputs: usize) -> Result<Self, RustBertError> {
        let settings = Settings::read(config)?;
        let base = root / "deberta";
        let width = settings.width;
        Ok(Self {
            embeddings: Embeddings::new(&(&base / "embeddings"), &settings),
            encoder: Encoder::new(&(&base / "encoder"), &settings),
            pooler: linear(root / "pooler" / "dense", width, width, Default::default()),
            pooler_activation: settings.pooler_activation,
            classifier: linear(root / "classifier", width, outputs as i64, Default::default()),
        })
    }

    /// The logits, texts x outputs. `ids` and `mask` are texts x tokens; the mask is 0 where a text is filled up.
    pub(crate) fn forward(&self, ids: &Tensor, mask: &Tensor) -> Tensor {
        let mask = mask.to_kind(Kind::Bool);
        let states = self.encoder.forward(&self.embeddings.forward(ids, &mask), &mask);
        let first = states.select(1, 0).apply(&self.pooler);
        self.pooler_activation.get_function().get_fn()(&first).apply(&self.classifier)
    }
}

/// A layer norm over the last dimension.
fn norm(path: &Path<'_>, settings: &Settings) -> LayerNorm {
    let config = LayerNormConfig { eps: settings.norm_epsilon, ..Default::default() };
    layer_norm(path / "LayerNorm", vec![settings.width], config)
}

/// The sum of what goes around a block and what comes out of it, normed.
struct Residual {
    dense: Linear,
    norm: LayerNorm,
}

impl Residual {
    fn new(path: &Path<'_>, inputs: i64, settings: &Settings) -> Self {
        Self { dense: linear(path / "dense", inputs, settings.width, Default::default()), norm: norm(path, settings) }
    }

    fn forward(&self, states: &Tensor, around: &Tensor) -> Tensor {
        self.norm.forward(&(states.apply(&self.dense) + around))
    }
}

/// What is filled up becomes zero. States are texts x tokens x width, the mask texts x tokens.
fn without_padding(states: &Tensor, mask: &Tensor) -> Tensor {
    states * mask.unsqueeze(-1)
}
