//! What a model says of texts, as `score`, `eval` and `run` ask it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod support;

use hearken_bert::checkpoint::Checkpoint;
use hearken_bert::model::{Model, Options};
use hearken_bert::opinion::Probabilities;
use support::fixture;

#[test]
fn of_texts_that_say_nothing_the_model_has_no_opinion() {
    let model = Model::load(&Checkpoint::open(&fixture("bert"), None).unwrap(), Options::default()).unwrap();
    let texts = ["", "it is broken", "https://a.example", "@ana @bob", "?!", "it works", "", "it is broken"];
    let answers = model.score(&texts.map(str::to_owned)).unwrap();
    assert_eq!(answers.len(), texts.len());
    for index in [0, 2, 3, 4, 6] {
        assert_eq!(answers[index], Probabilities::NOTHING, "{:?}", texts[index]);
        assert_eq!(answers[index].opinion().sentiment, "unsure");
    }
    // The texts between them keep their own answers.
    let told = model.score(&["it is broken", "it works"].map(str::to_owned)).unwrap();
    assert_ne!(told[0], Probabilities::NOTHING);
    assert_eq!([answers[1], answers[5], answers[7]], [told[0], told[1], told[0]]);
    assert!(model.score(&["".to_owned()]).unwrap().iter().all(|answer| *answer == Probabilities::NOTHING));
    assert!(model.score(&[]).unwrap().is_empty());
}
