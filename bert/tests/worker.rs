//! The model behind its queue.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::sync::Arc;

use hearken_bert::checkpoint::Checkpoint;
use hearken_bert::model::{Model, Options};
use hearken_bert::worker::{Worker, WorkerError};
use support::{fixture, texts};

fn checkpoint() -> Checkpoint {
    Checkpoint::open(&fixture("bert"), None).unwrap()
}

#[tokio::test]
async fn many_who_ask_at_once_get_their_own_answers() {
    let worker = Arc::new(Worker::start(checkpoint(), Options::default(), 2).await.unwrap());
    let expected = Model::load(&checkpoint(), Options::default()).unwrap().score(&texts()).unwrap();
    let asked: Vec<_> = texts()
        .chunks(7)
        .map(|part| {
            let (worker, part) = (worker.clone(), part.to_vec());
            tokio::spawn(async move { worker.score(part).await.unwrap() })
        })
        .collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.extend(answer.await.unwrap());
    }
    assert_eq!(answers.len(), expected.len());
    for (answer, expected) in answers.iter().zip(&expected) {
        assert!(
            (answer.negative - expected.negative).abs() < 1e-4 && (answer.positive - expected.positive).abs() < 1e-4
        );
    }
    assert_eq!(worker.waiting(), 0);
}

#[tokio::test]
async fn equal_texts_get_equal_answers_in_their_places() {
    let worker = Worker::start(checkpoint(), Options::default(), 1).await.unwrap();
    let texts = ["good", "bad", "good", "@ana", "@bob", ""].map(str::to_owned).to_vec();
    let answers = worker.score(texts).await.unwrap();
    assert_eq!(answers.len(), 6);
    assert_eq!(answers.first(), answers.get(2));
    // Accounts are all the same to the model.
    assert_eq!(answers.get(3), answers.get(4));
    assert!(worker.score(Vec::new()).await.unwrap().is_empty());
    worker.close().await.unwrap();
}

#[tokio::test]
async fn more_jobs_than_the_queue_holds_wait_for_room() {
    let worker = Arc::new(Worker::start(checkpoint(), Options::default(), 1).await.unwrap());
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let worker = worker.clone();
            tokio::spawn(async move { worker.score(texts()).await.map(|answers| answers.len()) })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().unwrap(), texts().len());
    }
    Arc::into_inner(worker).unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_loaded_is_an_error_of_the_start() {
    let mut broken = checkpoint();
    broken.weights = broken.config.clone();
    assert!(matches!(Worker::start(broken, Options::default(), 1).await, Err(WorkerError::Checkpoint(_))));
}
