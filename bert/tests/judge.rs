//! Opinions on texts, with a model that a test can foresee.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::{Arc, Mutex};

use hearken_bert::daemon::{Given, Wanted};
use hearken_bert::judge::Judge;
use hearken_bert::metrics::Metrics;
use hearken_bert::model::ModelError;
use hearken_bert::opinion::Probabilities;
use hearken_bert::worker::Worker;
use uuid::Uuid;

/// A judge over a model that hates "bad", loves the rest, has no opinion on "?!", overflows on "flood" and fails on
/// "poison"; and what it read.
async fn judge(metrics: Metrics) -> (Judge, Arc<Mutex<Vec<String>>>) {
    let read = Arc::new(Mutex::new(Vec::new()));
    let texts_read = read.clone();
    let score = move |texts: &[String]| {
        if texts.iter().any(|text| text.contains("poison")) {
            return Err(ModelError::Network { rows: texts.len(), width: 1 });
        }
        texts_read.lock().unwrap().extend(texts.iter().cloned());
        let answer = |text: &String| {
            if text == "?!" {
                return Probabilities::NOTHING;
            }
            let negative = if text.contains("bad") { 0.8 } else { 0.1 };
            let positive = if text.contains("flood") { f32::NAN } else { 0.9 - negative };
            Probabilities { negative, neutral: 0.1, positive }
        };
        Ok(texts.iter().map(answer).collect())
    };
    let worker = Worker::over(move || Ok(score), 1).await.unwrap();
    (Judge::new(worker, "models/e5-1", metrics), read)
}

fn wanted(number: u128, text: &str) -> Wanted {
    Wanted {
        id: Uuid::from_u128(number),
        version: 7,
        title: String::new(),
        text: text.to_owned(),
        sentiment: "negative".to_owned(),
        score: -0.6,
        confidence: 0.7,
        model: "linear-1".to_owned(),
    }
}

fn numbers(opinions: &[Given]) -> Vec<u128> {
    opinions.iter().map(|opinion| opinion.id.as_u128()).collect()
}

#[tokio::test]
async fn a_text_that_the_model_fails_on_costs_no_other_and_is_not_tried_again() {
    let metrics = Metrics::default();
    let (mut judge, read) = judge(metrics.clone()).await;
    let texts = [wanted(1, "bad"), wanted(2, "poison"), wanted(3, "flood"), wanted(4, "fine")];
    for _ in 0..3 {
        assert_eq!(numbers(&judge.judge(&texts).await.unwrap()), [1, 4]);
    }
    assert_eq!(*read.lock().unwrap(), ["bad", "flood", "fine"], "each once, though it came three times");
    let text = metrics.encode();
    for line in [
        "hearken_bert_texts_failed_total 2",
        "hearken_bert_texts_scored_total 2",
        "hearken_bert_texts_remembered_total 8",
        "hearken_bert_errors_total{with=\"model\"} 1",
        // "bad" three times, "fine" three times.
        "hearken_bert_agreed_total 3",
        "hearken_bert_disagreed_total 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    judge.close().await.unwrap();
}

#[tokio::test]
async fn both_tiers_speak_where_the_first_has_a_label_and_the_second_alone_where_it_has_none() {
    let (mut judge, _) = judge(Metrics::default()).await;
    let unsure = Wanted { sentiment: "unsure".to_owned(), score: -0.1, confidence: 0.4, ..wanted(2, "bad") };
    let opinions = judge.judge(&[wanted(1, "bad"), unsure]).await.unwrap();
    assert_eq!((opinions[0].sentiment, opinions[0].model.as_str()), ("negative", "e5-1+linear-1"));
    // Square roots of 0.7 * 0.8, 0.2 * 0.1 and 0.1 * 0.1, over their sum.
    assert!((opinions[0].confidence - 0.756_2).abs() < 1e-3, "{:?}", opinions[0]);
    assert_eq!((opinions[1].sentiment, opinions[1].model.as_str()), ("negative", "e5-1"));
    assert!((opinions[1].confidence - 0.8).abs() < 1e-6);
    assert_eq!((opinions[0].version, opinions[1].id), (7, Uuid::from_u128(2)));
}

#[tokio::test]
async fn where_the_second_tier_has_no_opinion_the_first_one_stands() {
    let (mut judge, _) = judge(Metrics::default()).await;
    for (first, expected) in [("unsure", "unsure"), ("negative", "negative")] {
        let opinions = judge.judge(&[Wanted { sentiment: first.to_owned(), ..wanted(1, "?!") }]).await.unwrap();
        assert_eq!(opinions[0].sentiment, expected);
    }
    assert!(judge.judge(&[]).await.unwrap().is_empty());
}
