//! The same numbers as PyTorch, whatever stands beside a text in its batch.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, clippy::print_stdout)]

mod support;

use hearken_bert::checkpoint::Checkpoint;
use hearken_bert::model::{Model, Options, Precision};
use support::{fixture, installed_checkpoint, reference_logits, texts};

/// What fp32 may differ by.
const TOLERANCE: f32 = 1e-4;
/// The small checkpoints; `tests/fixtures/make.py` says how those of DeBERTa differ.
const CHECKPOINTS: [&str; 11] = [
    "bert",
    "distilbert",
    "roberta",
    "xlm-roberta",
    "deberta",
    "deberta-absolute",
    "deberta-v2",
    "deberta-v2-absolute",
    "deberta-v2-apart",
    "deberta-v2-plain",
    "deberta-v3",
];

fn load(name: &str, options: Options) -> Model {
    Model::load(&Checkpoint::open(name, None).unwrap(), options).unwrap()
}

/// The largest difference between two sets of logits.
fn difference(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let pairs = ours.iter().zip(theirs).flat_map(|(ours, theirs)| {
        assert_eq!(ours.len(), theirs.len());
        ours.iter().zip(theirs)
    });
    pairs.map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max)
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap()
}

#[test]
fn every_architecture_gives_the_logits_of_pytorch() {
    for checkpoint in CHECKPOINTS {
        let directory = fixture(checkpoint);
        let model = load(&directory, Options::default());
        let theirs = reference_logits(&format!("{directory}/logits.json"));
        let ours = model.logits(&texts()).unwrap();
        let difference = difference(&ours, &theirs);
        println!("{checkpoint}: largest difference {difference:e}");
        assert!(difference < TOLERANCE, "{checkpoint}: {difference}");
    }
}

#[test]
fn neighbours_in_a_batch_change_nothing() {
    let texts = texts();
    // The convolution of this DeBERTa v2 reads neighbours in the text too.
    for checkpoint in ["bert", "deberta", "deberta-v2"] {
        let alone = load(&fixture(checkpoint), Options { rows: 1, ..Options::default() }).logits(&texts).unwrap();
        // One batch for all of them, from one token to the most.
        let together = Options { rows: texts.len(), batch_tokens: usize::MAX, ..Options::default() };
        let together = load(&fixture(checkpoint), together).logits(&texts).unwrap();
        assert!(difference(&alone, &together) < TOLERANCE, "{checkpoint}");
    }
}

#[test]
fn sixteen_bits_give_nearly_the_same_labels() {
    for checkpoint in ["bert", "deberta", "deberta-v2", "deberta-v3"] {
        let model = load(&fixture(checkpoint), Options { precision: Precision::Bf16, ..Options::default() });
        let theirs = reference_logits(&format!("{}/logits.json", fixture(checkpoint)));
        let ours = model.logits(&texts()).unwrap();
        let same = ours.iter().zip(&theirs).filter(|(ours, theirs)| best(ours) == best(theirs)).count();
        assert!(same * 100 >= theirs.len() * 95, "{checkpoint}: {same} of {}", theirs.len());
    }
}

#[test]
fn the_installed_checkpoint_gives_the_logits_of_pytorch() {
    let Some(directory) = installed_checkpoint() else { return };
    let model = load(&directory, Options { threads: 2, ..Options::default() });
    let theirs = reference_logits(concat!(env!("CARGO_MANIFEST_DIR"), "/model/logits.json"));
    let difference = difference(&model.logits(&texts()).unwrap(), &theirs);
    println!("largest difference {difference:e} over {} texts", theirs.len());
    assert!(difference < TOLERANCE, "{difference}");
}
