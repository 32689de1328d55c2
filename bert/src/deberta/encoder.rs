//! The layers.

use rust_bert::Activation;
use tch::nn::{Conv1D, ConvConfig, Embedding, LayerNorm, Linear, Module, Path, conv1d, embedding, linear};
use tch::{Device, Tensor};

use super::attention::{Attention, Distant};
use super::positions::Distances;
use super::settings::{Convolution, Settings};
use super::{Residual, norm, without_padding};

pub(super) struct Encoder {
    layers: Vec<Layer>,
    table: Option<Table>,
    convolution: Option<ConvolutionLayer>,
}

/// Attention, then each token for itself; both with what went in added.
struct Layer {
    attention: Attention,
    attention_output: Residual,
    inner: Linear,
    activation: Activation,
    output: Residual,
}

/// The embeddings of distances, one table for all layers.
struct Table {
    distances: Distances,
    embeddings: Embedding,
    norm: Option<LayerNorm>,
}

/// Reads what the first layer reads, and is added to what it makes of it.
struct ConvolutionLayer {
    convolution: Conv1D,
    activation: Activation,
    norm: LayerNorm,
}

impl Encoder {
    pub(super) fn new(path: &Path<'_>, settings: &Settings) -> Self {
        let table = settings.distances.map(|distances| Table {
            distances,
            embeddings: embedding(path / "rel_embeddings", distances.rows(), settings.width, Default::default()),
            norm: settings.norm_distances.then(|| norm(path, settings)),
        });
        let layers = path / "layer";
        Self {
            layers: (0..settings.layers).map(|number| Layer::new(&(&layers / number), settings)).collect(),
            table,
            convolution: settings
                .convolution
                .as_ref()
                .map(|convolution| ConvolutionLayer::new(&(path / "conv"), convolution, settings)),
        }
    }

    /// States are texts x tokens x width; the mask, texts x tokens, is false where there is padding.
    pub(super) fn forward(&self, embedded: &Tensor, mask: &Tensor) -> Tensor {
        let tokens = mask.size().last().copied().unwrap_or(0);
        let distant = self.table.as_ref().map(|table| table.between(tokens, embedded.device()));
        let mut states = embedded.shallow_clone();
        for (number, layer) in self.layers.iter().enumerate() {
            states = layer.forward(&states, mask, distant.as_ref());
            if let (0, Some(convolution)) = (number, &self.convolution) {
                states = convolution.forward(embedded, &states, mask);
            }
        }
        states
    }
}

impl Layer {
    fn new(path: &Path<'_>, settings: &Settings) -> Self {
        let attention = path / "attention";
        let (width, inner) = (settings.width, settings.inner_width);
        Self {
            attention: Attention::new(&(&attention / "self"), settings),
            attention_output: Residual::new(&(&attention / "output"), width, settings),
            inner: linear(path / "intermediate" / "dense", width, inner, Default::default()),
            activation: settings.activation,
            output: Residual::new(&(path / "output"), inner, settings),
        }
    }

    fn forward(&self, states: &Tensor, mask: &Tensor, distant: Option<&Distant>) -> Tensor {
        let states = self.attention_output.forward(&self.attention.forward(states, mask, distant), states);
        let inner = self.activation.get_function().get_fn()(&states.apply(&self.inner));
        self.output.forward(&inner, &states)
    }
}

impl Table {
    /// The distances in texts of so many tokens.
    fn between(&self, tokens: i64, device: Device) -> Distant {
        let between = self.distances.between(tokens, device);
        let (first, last) = (*between.rows.start(), *between.rows.end());
        let embeddings = self.embeddings.ws.narrow(0, first, last - first + 1);
        let embeddings = match &self.norm {
            Some(norm) => norm.forward(&embeddings),
            None => embeddings,
        };
        Distant { embeddings, index: between.index }
    }
}

impl ConvolutionLayer {
    fn new(path: &Path<'_>, convolution: &Convolution, settings: &Settings) -> Self {
        let (width, kernel) = (settings.width, convolution.kernel);
        let config = ConvConfig { padding: kernel / 2, groups: convolution.groups, ..Default::default() };
        Self {
            convolution: conv1d(path / "conv", width, width, kernel, config),
            activation: convolution.activation,
            norm: norm(path, settings),
        }
    }

    fn forward(&self, embedded: &Tensor, states: &Tensor, mask: &Tensor) -> Tensor {
        let neighbours = self.convolution.forward(&embedded.transpose(1, 2)).transpose(1, 2);
        let neighbours = self.activation.get_function().get_fn()(&neighbours);
        without_padding(&self.norm.forward(&(states + neighbours)), mask)
    }
}
