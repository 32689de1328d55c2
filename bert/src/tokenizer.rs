//! Texts -> token ids.

use std::path::Path;

use rust_bert::pipelines::common::TokenizerOption;
use rust_tokenizers::tokenizer::TruncationStrategy;
use tokenizers::{TruncationParams, TruncationStrategy as FastTruncation};

use crate::checkpoint::{Checkpoint, CheckpointError, TokenizerFiles};

/// The tokenizer of a checkpoint.
pub struct Tokenizer {
    kind: Kind,
    tokens: usize,
    vocabulary: usize,
}

enum Kind {
    Fast(Box<tokenizers::Tokenizer>),
    Classic(Box<TokenizerOption>),
}

/// Why a text cannot be tokenized. The text is not told.
#[derive(Debug, thiserror::Error)]
pub enum TokenizeError {
    /// The tokenizer refuses it.
    #[error("the tokenizer fails: {0}")]
    Refused(String),
    /// The model has no such token.
    #[error("the tokenizer gives the token {token}, and the model knows {vocabulary}: it is not the model's own")]
    Unknown {
        /// What was given.
        token: i64,
        /// How many there are.
        vocabulary: usize,
    },
}

impl Tokenizer {
    /// Loads the tokenizer of a checkpoint. Longer texts are cut after `tokens` tokens, the special ones included.
    pub fn load(checkpoint: &Checkpoint, tokens: usize) -> Result<Self, CheckpointError> {
        let tokens = tokens.min(checkpoint.positions);
        let kind = match &checkpoint.tokenizer {
            TokenizerFiles::Fast(file) => Kind::Fast(Box::new(fast(file, tokens, checkpoint.vocabulary)?)),
            TokenizerFiles::Classic { kind, vocabulary, merges, lower_case } => {
                let known = TokenizerOption::from_file(
                    *kind,
                    &vocabulary.to_string_lossy(),
                    merges.as_ref().map(|merges| merges.to_string_lossy()).as_deref(),
                    *lower_case,
                    None,
                    None,
                );
                let malformed =
                    |error| CheckpointError::Malformed { path: vocabulary.clone(), reason: format!("{error}") };
                Kind::Classic(Box::new(known.map_err(malformed)?))
            }
        };
        Ok(Self { kind, tokens, vocabulary: checkpoint.vocabulary })
    }

    /// The tokens of each text.
    pub fn encode(&self, texts: &[String]) -> Result<Vec<Vec<i64>>, TokenizeError> {
        let ids: Vec<Vec<i64>> = match &self.kind {
            Kind::Fast(tokenizer) => {
                let encode = |text: &String| {
                    let encoding = tokenizer.encode_fast(text.as_str(), true);
                    let encoding = encoding.map_err(|error| TokenizeError::Refused(error.to_string()))?;
                    Ok(encoding.get_ids().iter().copied().map(i64::from).collect())
                };
                texts.iter().map(encode).collect::<Result<_, _>>()?
            }
            Kind::Classic(tokenizer) => {
                let inputs = tokenizer.encode_list(texts, self.tokens, &TruncationStrategy::LongestFirst, 0);
                inputs.into_iter().map(|input| input.token_ids).collect()
            }
        };
        let known = 0..i64::try_from(self.vocabulary).unwrap_or(i64::MAX);
        match ids.iter().flatten().find(|id| !known.contains(id)) {
            Some(token) => Err(TokenizeError::Unknown { token: *token, vocabulary: self.vocabulary }),
            None => Ok(ids),
        }
    }
}

fn fast(file: &Path, tokens: usize, vocabulary: usize) -> Result<tokenizers::Tokenizer, CheckpointError> {
    let malformed = |error: tokenizers::Error| CheckpointError::Malformed {
        path: file.to_owned(),
        reason: format!("not a tokenizer: {error}"),
    };
    let mut tokenizer = tokenizers::Tokenizer::from_file(file).map_err(malformed)?;
    let size = tokenizer.get_vocab_size(true);
    // Models round the size of their vocabulary up a little, and never down.
    if size > vocabulary || size * 10 < vocabulary * 9 {
        let reason = format!("it has {size} tokens, and the model {vocabulary}");
        return Err(CheckpointError::Tokenizer(reason));
    }
    let cut =
        TruncationParams { max_length: tokens, strategy: FastTruncation::LongestFirst, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(cut)).map_err(malformed)?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}
