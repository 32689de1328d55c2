//! Checkpoints that cannot be used say why, and nothing panics.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

mod support;

use std::fs;
use std::path::Path;

use hearken_bert::checkpoint::{Checkpoint, CheckpointError};
use hearken_bert::model::{Model, Options};
use serde_json::{Value, json};
use support::fixture;
use tempfile::TempDir;

/// A copy of a small checkpoint, to be broken.
fn copy(architecture: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(Path::new(&fixture(architecture)).join(file), directory.path().join(file)).unwrap();
    }
    directory
}

fn name(directory: &TempDir) -> &str {
    directory.path().to_str().unwrap()
}

/// Changes the configuration.
fn configure(directory: &TempDir, change: impl FnOnce(&mut Value)) {
    let file = directory.path().join("config.json");
    let mut config = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    change(&mut config);
    fs::write(file, config.to_string()).unwrap();
}

fn error(directory: &TempDir) -> CheckpointError {
    let loaded = Checkpoint::open(name(directory), None).and_then(|it| Model::load(&it, Options::default()).map(drop));
    loaded.expect_err("a broken checkpoint was loaded")
}

#[track_caller]
fn assert_says(error: &CheckpointError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_missing_file_is_named_with_what_to_do() {
    for (file, says) in
        [("config.json", "save_pretrained"), ("model.safetensors", "safetensors"), ("tokenizer.json", "tokenizer.json")]
    {
        let directory = copy("bert");
        fs::remove_file(directory.path().join(file)).unwrap();
        assert_says(&error(&directory), &["has no", says]);
    }
}

#[test]
fn weights_in_other_formats_are_recognised() {
    let directory = copy("bert");
    let weights = directory.path().join("model.safetensors");
    fs::rename(&weights, directory.path().join("pytorch_model.bin")).unwrap();
    assert_says(&error(&directory), &["pytorch_model.bin", "safe_serialization=True"]);
    fs::write(directory.path().join("model.safetensors.index.json"), "{}").unwrap();
    assert_says(&error(&directory), &["several files", "max_shard_size"]);
}

#[test]
fn files_full_of_something_else_are_refused() {
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        for content in [&b""[..], b"{}", b"[1, 2", b"\xff\xfe\x00\x01\x02\x03\x04\x05\x06\x07\x08"] {
            let directory = copy("bert");
            fs::write(directory.path().join(file), content).unwrap();
            assert_says(&error(&directory), &[file]);
        }
    }
    let directory = copy("bert");
    let weights = directory.path().join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, whole.get(..whole.len() / 2).unwrap()).unwrap();
    assert_says(&error(&directory), &["model.safetensors"]);
}

#[test]
fn a_wrong_number_of_labels_is_told_by_the_tensor_that_shows_it() {
    let directory = copy("bert");
    configure(&directory, |config| config["id2label"] = json!({"0": "negative", "1": "positive"}));
    assert_says(&error(&directory), &["classifier", "[3", "[2"]);
    configure(&directory, |config| config["id2label"] = json!({"0": "negative"}));
    assert_says(&error(&directory), &["two to five"]);
    configure(&directory, |config| config["id2label"] = json!({"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}));
    assert_says(&error(&directory), &["LABEL_0", "--labels"]);
    let names = ["negative", "neutral", "positive"].map(str::to_owned);
    let checkpoint = Checkpoint::open(name(&directory), Some(&names)).unwrap();
    assert_eq!(checkpoint.labels.count(), 3);
}

#[test]
fn a_configuration_that_does_not_fit_is_refused() {
    let directory = copy("bert");
    configure(&directory, |config| config["model_type"] = json!("gpt2"));
    assert_says(&error(&directory), &["gpt2", "deberta-v2", "xlm-roberta"]);
    for (key, value) in [
        ("hidden_size", json!(24)),
        ("num_hidden_layers", json!(3)),
        ("num_attention_heads", json!(3)),
        ("hidden_act", json!("whoosh")),
        ("vocab_size", json!("many")),
    ] {
        let directory = copy("bert");
        configure(&directory, |config| config[key] = value);
        // Which file is at fault is told in each case.
        assert_says(&error(&directory), &["config.json"]);
    }
}

#[test]
fn a_deberta_with_settings_that_are_not_computed_is_refused() {
    for (checkpoint, key, value, says) in [
        ("deberta-v2", "pos_att_type", json!("c2p|p2p"), "c2p and p2c"),
        ("deberta-v2", "pos_att_type", json!(["c2p", "c2p"]), "each once"),
        ("deberta-v2", "norm_rel_ebd", json!("batch_norm"), "batch_norm"),
        ("deberta-v2", "position_buckets", json!(1), "position_buckets 1"),
        ("deberta-v2", "position_buckets", json!(400), "position_buckets 400"),
        ("deberta-v2", "conv_kernel_size", json!(4), "conv_kernel_size 4"),
        ("deberta-v2", "conv_groups", json!(3), "conv_groups 3"),
        ("deberta-v2", "attention_head_size", json!(16), "only 8"),
        ("deberta-v2", "pooler_hidden_size", json!(32), "only 16"),
        ("deberta-v2", "num_attention_heads", json!(0), "num_attention_heads 0"),
        ("deberta-v2", "hidden_act", json!("whoosh"), "gelu_new"),
        ("deberta", "talking_head", json!(true), "talking_head"),
        ("deberta", "num_attention_heads", json!(3), "does not divide"),
    ] {
        let directory = copy(checkpoint);
        configure(&directory, |config| config[key] = value);
        assert_says(&error(&directory), &["config.json", says]);
    }
}

#[test]
fn a_deberta_of_other_tensors_names_the_first_that_is_missing() {
    for (checkpoint, key, value, says) in [
        ("deberta-v3", "num_hidden_layers", json!(3), "deberta.encoder.layer.2.attention.output.LayerNorm.bias"),
        ("deberta-v3", "share_att_key", json!(false), "deberta.encoder.layer.0.attention.self.pos_key_proj.bias"),
        ("deberta-v3", "conv_kernel_size", json!(3), "deberta.encoder.conv.LayerNorm.bias"),
        ("deberta-v3", "position_biased_input", json!(true), "deberta.embeddings.position_embeddings.weight"),
        ("deberta-v3", "position_buckets", json!(8), "deberta.encoder.rel_embeddings.weight has the shape [32, 16]"),
        ("deberta-v3", "model_type", json!("deberta"), "deberta.encoder.layer.0.attention.self.in_proj.weight"),
        ("deberta", "model_type", json!("deberta-v2"), "deberta.encoder.layer.0.attention.self.key_proj.bias"),
        ("deberta", "type_vocab_size", json!(2), "deberta.embeddings.token_type_embeddings.weight"),
    ] {
        let directory = copy(checkpoint);
        configure(&directory, |config| config[key] = value);
        assert_says(&error(&directory), &["model.safetensors", says]);
    }
}

#[test]
fn a_deberta_without_tokenizer_json_says_who_writes_it() {
    for checkpoint in ["deberta", "deberta-v3"] {
        let directory = copy(checkpoint);
        fs::rename(directory.path().join("tokenizer.json"), directory.path().join("spm.model")).unwrap();
        assert_says(&error(&directory), &["no tokenizer.json", "spm.model", "AutoTokenizer", "save_pretrained"]);
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let directory = copy("bert");
    configure(&directory, |config| config["vocab_size"] = json!(30_000));
    assert_says(&error(&directory), &["tokenizer does not belong", "30000"]);
    configure(&directory, |config| config["vocab_size"] = json!(100));
    assert_says(&error(&directory), &["tokenizer does not belong", "100"]);
}

#[test]
fn a_name_that_is_neither_directory_nor_of_the_hub_is_refused() {
    for name in ["", "nowhere", "/no/such/directory", "../up/two", "a/b/c", "owner/../../etc"] {
        let error = Checkpoint::open(name, None).expect_err(name);
        assert_says(&error, &["neither a directory"]);
    }
}

#[test]
fn a_checkpoint_without_tokenizer_json_uses_its_vocabulary() {
    let directory = copy("bert");
    let tokenizer = fs::read_to_string(directory.path().join("tokenizer.json")).unwrap();
    let tokenizer: Value = serde_json::from_str(&tokenizer).unwrap();
    let mut words: Vec<(&String, u64)> = tokenizer["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(word, id)| (word, id.as_u64().unwrap()))
        .collect();
    words.sort_by_key(|(_, id)| *id);
    let classic = |word: &str| match word {
        "<pad>" => "[PAD]".to_owned(),
        "<unk>" => "[UNK]".to_owned(),
        "<s>" => "[CLS]".to_owned(),
        "</s>" => "[SEP]".to_owned(),
        "<mask>" => "[MASK]".to_owned(),
        other => other.to_owned(),
    };
    let vocabulary: Vec<String> = words.iter().map(|(word, _)| classic(word)).collect();
    fs::write(directory.path().join("vocab.txt"), vocabulary.join("\n")).unwrap();
    let fast = Model::load(&Checkpoint::open(name(&directory), None).unwrap(), Options::default()).unwrap();
    fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
    let slow = Model::load(&Checkpoint::open(name(&directory), None).unwrap(), Options::default()).unwrap();
    let text = vec!["Best customer service I have had in years".to_owned()];
    assert_eq!(fast.logits(&text).unwrap(), slow.logits(&text).unwrap());
}
