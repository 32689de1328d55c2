//! The second tier of scoring: what a transformer says of the sentiment of a text.
//!
//! ```text
//! texts ─ plain (text) ─ distinct (batch) ─ tokens (tokenizer) ─ batches of like length (batch)
//!       ─ logits, padding masked (model) ─ probabilities (labels) ─ opinion
//! ```
//!
//! [`checkpoint`] finds the files of a Hugging Face checkpoint and says what is wrong with them; [`worker`] keeps
//! the model on a thread of its own behind a bounded queue. Nothing in here knows where texts come from.

pub mod batch;
pub mod checkpoint;
pub mod eval;
pub mod labels;
pub mod model;
pub mod opinion;
pub mod text;
pub mod tokenizer;
pub mod worker;
