//! Token ids -> what the first layer reads.

use tch::nn::{Embedding, LayerNorm, Linear, LinearConfig, Module, Path, embedding, linear};
use tch::{Kind, Tensor};

use super::settings::Settings;
use super::{norm, without_padding};

pub(super) struct Embeddings {
    words: Embedding,
    positions: Option<Embedding>,
    token_types: Option<Embedding>,
    /// To the width of the layers, where it is another.
    projection: Option<Linear>,
    norm: LayerNorm,
}

impl Embeddings {
    pub(super) fn new(path: &Path<'_>, settings: &Settings) -> Self {
        let (from, to) = (settings.embedding_width, settings.width);
        let table = |name: &str, rows| embedding(path / name, rows, from, Default::default());
        let without_bias = LinearConfig { bias: false, ..Default::default() };
        Self {
            words: table("word_embeddings", settings.vocabulary),
            positions: settings.positions.map(|rows| table("position_embeddings", rows)),
            token_types: (settings.token_types > 0).then(|| table("token_type_embeddings", settings.token_types)),
            projection: (from != to).then(|| linear(path / "embed_proj", from, to, without_bias)),
            norm: norm(path, settings),
        }
    }

    /// Texts x tokens -> texts x tokens x width; padding is zero.
    pub(super) fn forward(&self, ids: &Tensor, mask: &Tensor) -> Tensor {
        let mut states = self.words.forward(ids);
        if let Some(positions) = &self.positions {
            let tokens = ids.size().last().copied().unwrap_or(0);
            states += positions.forward(&Tensor::arange(tokens, (Kind::Int64, ids.device())));
        }
        if let Some(types) = &self.token_types {
            states += types.ws.select(0, 0);
        }
        if let Some(projection) = &self.projection {
            states = states.apply(projection);
        }
        without_padding(&self.norm.forward(&states), mask)
    }
}
