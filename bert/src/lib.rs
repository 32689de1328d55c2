//! The second tier of scoring: what a transformer says of the sentiment of a text.
//!
//! ```text
//! texts ─ plain (text) ─ distinct (batch) ─ tokens (tokenizer) ─ batches of like length (batch)
//!       ─ logits, padding masked (model) ─ probabilities (labels) ─ opinion
//! ```
//!
//! [`checkpoint`] finds the files of a Hugging Face checkpoint and says what is wrong with them; [`worker`] keeps
//! the model on a thread of its own behind a bounded queue. Both know nothing of where texts come from. The networks are
//! rust-bert's, but for DeBERTa (`deberta`).
//!
//! ```text
//! daemon or topic ─ texts (texts) ─ judge: known lately (cache)? else worker ─ with the first tier (fusion) ─ daemon
//! ```
//!
//! [`run`] is that loop, one batch after another: what was read is done with once the [`daemon`] has acknowledged the
//! opinions.

pub mod batch;
pub mod cache;
pub mod checkpoint;
pub mod daemon;
mod deberta;
pub mod eval;
pub mod fusion;
pub mod judge;
pub mod labels;
pub mod metrics;
pub mod model;
pub mod opinion;
pub mod run;
pub mod telemetry;
pub mod text;
pub mod texts;
pub mod tokenizer;
pub mod worker;
