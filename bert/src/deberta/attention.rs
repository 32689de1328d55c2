//! Disentangled attention: who a token looks at follows from what both are, and from how far they are apart.
//!
//! With queries q and keys k of the tokens, queries r and keys s of the distances, and the row d(i, j) of the distance
//! from token i to token j, the score of j for i is
//!
//! ```text
//! (q_i · k_j  +  q_i · s_d(i,j)  +  k_j · r_d(i,j)) / √(n · size of a head)
//!  content       content ->         position ->
//!                position (c2p)     content (p2c)
//! ```
//!
//! where n counts the terms. The paper has d(j, i) in the last one (equation 4); transformers, with whom the
//! checkpoints were trained, have d(i, j).

use tch::nn::{Init, Linear, LinearConfig, Module, Path, linear};
use tch::{Kind, Tensor};

use super::settings::{Projections, Settings, Terms};

/// The score of padding. Far below any other, and finite: a row without any token stays a number.
const LEAST: f64 = -1e30;

/// The distances of a batch, as each layer reads them.
pub(super) struct Distant {
    /// Embeddings of the distances that occur, rows x width.
    pub(super) embeddings: Tensor,
    /// Row of the distance from each token to each other, tokens x tokens.
    pub(super) index: Tensor,
}

/// The attention of one layer.
pub(super) struct Attention {
    content: Content,
    /// Distances -> keys, where c2p is wanted.
    position_key: Option<Linear>,
    /// Distances -> queries, where p2c is wanted.
    position_query: Option<Linear>,
    heads: i64,
    scale: f64,
}

/// States -> queries, keys and values.
enum Content {
    /// One matrix, head by head its query, key and value; keys have no bias.
    Fused {
        all: Linear,
        query_bias: Tensor,
        value_bias: Tensor,
    },
    Apart {
        query: Linear,
        key: Linear,
        value: Linear,
    },
}

impl Attention {
    pub(super) fn new(path: &Path<'_>, settings: &Settings) -> Self {
        let (width, heads) = (settings.width, settings.heads);
        let project = |name: &str| linear(path / name, width, width, Default::default());
        let without_bias = LinearConfig { bias: false, ..Default::default() };
        let Terms { c2p, p2c } = settings.terms;
        // Distances are projected where there are any.
        let (c2p_here, p2c_here) = (c2p && settings.distances.is_some(), p2c && settings.distances.is_some());
        let (content, position_key, position_query) = match settings.projections {
            Projections::Fused => (
                Content::Fused {
                    all: linear(path / "in_proj", width, 3 * width, without_bias),
                    query_bias: path.var("q_bias", &[width], Init::Const(0.0)),
                    value_bias: path.var("v_bias", &[width], Init::Const(0.0)),
                },
                c2p_here.then(|| linear(path / "pos_proj", width, width, without_bias)),
                p2c_here.then(|| project("pos_q_proj")),
            ),
            Projections::Apart => (
                Content::apart(project("query_proj"), project("key_proj"), project("value_proj")),
                c2p_here.then(|| project("pos_key_proj")),
                p2c_here.then(|| project("pos_query_proj")),
            ),
            Projections::Shared => {
                let (query, key) = (project("query_proj"), project("key_proj"));
                let (again_key, again_query) = (c2p_here.then(|| again(&key)), p2c_here.then(|| again(&query)));
                (Content::apart(query, key, project("value_proj")), again_key, again_query)
            }
        };
        let terms = 1 + i64::from(c2p) + i64::from(p2c);
        Self { content, position_key, position_query, heads, scale: ((terms * (width / heads)) as f64).sqrt() }
    }

    /// States are texts x tokens x width; the mask, texts x tokens, is false where there is padding.
    pub(super) fn forward(&self, states: &Tensor, mask: &Tensor, distant: Option<&Distant>) -> Tensor {
        let (query, key, value) = self.content.forward(states, self.heads);
        let mut scores = query.matmul(&key.transpose(-1, -2));
        if let Some(distant) = distant {
            if let Some(projection) = &self.position_key {
                let products = self.with_distances(&query, &distant.embeddings.apply(projection));
                scores += products.gather(-1, &distant.index.expand_as(&scores), false);
            }
            if let Some(projection) = &self.position_query {
                let products = self.with_distances(&key, &distant.embeddings.apply(projection));
                // Rows are keys here, and become columns.
                let index = distant.index.transpose(0, 1).expand_as(&scores);
                scores += products.gather(-1, &index, false).transpose(-1, -2);
            }
        }
        let padding = mask.logical_not().unsqueeze(1).unsqueeze(1);
        let scores = (scores / self.scale).masked_fill(&padding, LEAST);
        let weights = scores.softmax(-1, None::<Kind>);
        weights.matmul(&value).transpose(1, 2).flatten(2, 3)
    }

    /// The product of each token with each distance: texts x heads x tokens x rows.
    fn with_distances(&self, tokens: &Tensor, distances: &Tensor) -> Tensor {
        tokens.matmul(&by_head(distances, self.heads).transpose(-1, -2))
    }
}

impl Content {
    fn apart(query: Linear, key: Linear, value: Linear) -> Self {
        Self::Apart { query, key, value }
    }

    /// Each texts x heads x tokens x size of a head.
    fn forward(&self, states: &Tensor, heads: i64) -> (Tensor, Tensor, Tensor) {
        match self {
            Self::Fused { all, query_bias, value_bias } => {
                let all = by_head(&all.forward(states), heads);
                let size = all.size().last().copied().unwrap_or(0) / 3;
                let part = |index| all.narrow(-1, index * size, size);
                let bias = |bias: &Tensor| bias.view([heads, 1, size]);
                (part(0) + bias(query_bias), part(1), part(2) + bias(value_bias))
            }
            Self::Apart { query, key, value } => {
                let project = |by: &Linear| by_head(&by.forward(states), heads);
                (project(query), project(key), project(value))
            }
        }
    }
}

/// The same weights once more.
fn again(linear: &Linear) -> Linear {
    Linear { ws: linear.ws.shallow_clone(), bs: linear.bs.as_ref().map(Tensor::shallow_clone) }
}

/// (...) x tokens x width -> (...) x heads x tokens x size of a head.
fn by_head(states: &Tensor, heads: i64) -> Tensor {
    states.unflatten(-1, [heads, -1]).transpose(-3, -2)
}
