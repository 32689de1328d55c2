//! What `config.json` says of a DeBERTa. A setting that is not computed here is refused.

use rust_bert::{Activation, RustBertError};
use serde::Deserialize;

use super::positions::Distances;

/// A network whose settings fit together.
pub(super) struct Settings {
    /// Tokens of the vocabulary.
    pub(super) vocabulary: i64,
    /// Length of a token's state.
    pub(super) width: i64,
    /// Length of a token's embedding.
    pub(super) embedding_width: i64,
    /// Layers.
    pub(super) layers: i64,
    /// Heads of each layer; they divide the width.
    pub(super) heads: i64,
    /// Length inside a layer.
    pub(super) inner_width: i64,
    /// Inside a layer.
    pub(super) activation: Activation,
    /// Of the head that classifies.
    pub(super) pooler_activation: Activation,
    /// Added to the variance in layer norms.
    pub(super) norm_epsilon: f64,
    /// How many absolute positions are added to the embeddings; `None` where none are.
    pub(super) positions: Option<i64>,
    /// How many types of tokens there are; a text alone is of the first.
    pub(super) token_types: i64,
    /// How states are projected.
    pub(super) projections: Projections,
    /// The distances that are told apart; `None` where the attention knows no distances.
    pub(super) distances: Option<Distances>,
    /// The embeddings of distances are normed.
    pub(super) norm_distances: bool,
    /// What the attention adds to content -> content.
    pub(super) terms: Terms,
    /// A convolution beside the first layer.
    pub(super) convolution: Option<Convolution>,
}

/// How states become queries, keys and values, and distances queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Projections {
    /// All three in one matrix, and distances by matrices of their own: first version.
    Fused,
    /// A matrix each, and distances by matrices of their own.
    Apart,
    /// A matrix each, which project the distances too (`share_att_key`).
    Shared,
}

/// What the attention adds to content -> content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// Content -> position.
    pub(super) c2p: bool,
    /// Position -> content.
    pub(super) p2c: bool,
}

/// A convolution over neighbouring tokens.
pub(super) struct Convolution {
    /// Neighbours, the token itself included; odd.
    pub(super) kernel: i64,
    /// Into how many groups the width is divided.
    pub(super) groups: i64,
    /// After it.
    pub(super) activation: Activation,
}

/// `config.json` as transformers write it. What is not there has the value that they take then.
#[derive(Deserialize)]
struct Config {
    model_type: Version,
    vocab_size: i64,
    hidden_size: i64,
    num_hidden_layers: i64,
    num_attention_heads: i64,
    intermediate_size: i64,
    max_position_embeddings: i64,
    hidden_act: Activation,
    attention_head_size: Option<i64>,
    conv_act: Option<Activation>,
    conv_groups: Option<i64>,
    conv_kernel_size: Option<i64>,
    embedding_size: Option<i64>,
    layer_norm_eps: Option<f64>,
    max_relative_positions: Option<i64>,
    norm_rel_ebd: Option<Names>,
    pooler_hidden_act: Option<Activation>,
    pooler_hidden_size: Option<i64>,
    pos_att_type: Option<Names>,
    position_biased_input: Option<bool>,
    position_buckets: Option<i64>,
    relative_attention: Option<bool>,
    share_att_key: Option<bool>,
    talking_head: Option<bool>,
    type_vocab_size: Option<i64>,
}

#[derive(Deserialize, PartialEq, Eq)]
enum Version {
    #[serde(rename = "deberta")]
    First,
    /// The third version differs from the second in its training only.
    #[serde(rename = "deberta-v2")]
    Second,
}

/// `a|b`, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    Joined(String),
    List(Vec<String>),
}

impl Names {
    fn list(names: Option<&Self>) -> Vec<String> {
        match names {
            Some(Self::Joined(names)) => names.to_lowercase().split('|').map(|name| name.trim().to_owned()).collect(),
            Some(Self::List(names)) => names.clone(),
            None => Vec::new(),
        }
    }
}

impl Settings {
    /// Reads the text of a `config.json`.
    pub(super) fn read(text: &str) -> Result<Self, RustBertError> {
        let config: Config = serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        if heads < 1 || width < 1 || width % heads != 0 {
            return Err(refused(format!("num_attention_heads {heads} does not divide hidden_size {width}")));
        }
        must_be("attention_head_size", config.attention_head_size, width / heads)?;
        must_be("pooler_hidden_size", config.pooler_hidden_size, width)?;
        if config.talking_head == Some(true) {
            return Err(refused("talking_head is not supported".to_owned()));
        }
        let is_first = config.model_type == Version::First;
        let relative = config.relative_attention == Some(true);
        Ok(Self {
            vocabulary: config.vocab_size,
            width,
            embedding_width: config.embedding_size.unwrap_or(width),
            layers: config.num_hidden_layers,
            heads,
            inner_width: config.intermediate_size,
            activation: config.hidden_act,
            pooler_activation: config.pooler_hidden_act.unwrap_or(Activation::gelu),
            norm_epsilon: config.layer_norm_eps.unwrap_or(1e-7),
            positions: config.position_biased_input.unwrap_or(true).then_some(config.max_position_embeddings),
            token_types: config.type_vocab_size.unwrap_or(0),
            projections: match (is_first, config.share_att_key) {
                (true, _) => Projections::Fused,
                (false, Some(true)) => Projections::Shared,
                (false, _) => Projections::Apart,
            },
            distances: relative.then(|| distances(&config)).transpose()?,
            norm_distances: !is_first && norms_distances(config.norm_rel_ebd.as_ref())?,
            terms: terms(config.pos_att_type.as_ref())?,
            convolution: if is_first { None } else { convolution(&config)? },
        })
    }
}

fn refused(reason: String) -> RustBertError {
    RustBertError::InvalidConfigurationError(reason)
}

/// Any other value does not fit together in transformers either, or means something in one version only.
fn must_be(name: &str, value: Option<i64>, only: i64) -> Result<(), RustBertError> {
    match value {
        Some(value) if value != only => Err(refused(format!("{name} is {value}, and only {only} is supported"))),
        _ => Ok(()),
    }
}

/// Which distances are told apart. The first version knows no buckets.
fn distances(config: &Config) -> Result<Distances, RustBertError> {
    let furthest = config.max_relative_positions.filter(|most| *most > 0).unwrap_or(config.max_position_embeddings);
    let buckets = config.position_buckets.filter(|buckets| *buckets > 0 && config.model_type == Version::Second);
    Distances::new(furthest, buckets).ok_or_else(|| {
        let buckets = buckets.unwrap_or(-1);
        refused(format!("position_buckets {buckets} do not fit the furthest relative position {furthest}"))
    })
}

fn norms_distances(names: Option<&Names>) -> Result<bool, RustBertError> {
    let names = Names::list(names);
    match names.iter().find(|name| !matches!(name.as_str(), "none" | "layer_norm")) {
        Some(name) => Err(refused(format!("norm_rel_ebd {name:?} is not supported; none and layer_norm are"))),
        None => Ok(names.iter().any(|name| name == "layer_norm")),
    }
}

fn terms(names: Option<&Names>) -> Result<Terms, RustBertError> {
    let names = Names::list(names);
    let count = |wanted: &str| names.iter().filter(|name| *name == wanted).count();
    let (c2p, p2c) = (count("c2p"), count("p2c"));
    if c2p > 1 || p2c > 1 || c2p + p2c != names.len() {
        return Err(refused(format!("pos_att_type {names:?} is not supported; c2p and p2c are, each once")));
    }
    Ok(Terms { c2p: c2p == 1, p2c: p2c == 1 })
}

fn convolution(config: &Config) -> Result<Option<Convolution>, RustBertError> {
    let Some(kernel) = config.conv_kernel_size.filter(|kernel| *kernel > 0) else { return Ok(None) };
    let groups = config.conv_groups.unwrap_or(1);
    if kernel % 2 == 0 {
        return Err(refused(format!("conv_kernel_size {kernel} is not supported: it has to be odd")));
    }
    if groups < 1 || config.hidden_size % groups != 0 {
        return Err(refused(format!("conv_groups {groups} does not divide hidden_size {}", config.hidden_size)));
    }
    let activation = config.conv_act.unwrap_or(Activation::tanh);
    Ok(Some(Convolution { kernel, groups, activation }))
}
