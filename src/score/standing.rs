//! Standing: what texts are about, ordered by net sentiment as the model sees it and as people do.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::dataset::{self, DataError, NEGATIVE, POSITIVE};
use super::model::Model;

/// Net sentiment of one group of texts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// What the texts are about.
    pub group: String,
    /// Texts in the group.
    pub texts: usize,
    /// `(positive - negative) / texts` by the model, over the texts that it is sure of; -1..=1.
    pub model: Option<f64>,
    /// The same by people, over all texts.
    pub people: f64,
    /// Place by the model, 1 is the best.
    pub model_place: usize,
    /// Place by people.
    pub people_place: usize,
}

/// Texts, their classes and the model's, counted.
#[derive(Default)]
struct Tally {
    texts: usize,
    sure: usize,
    model: i64,
    people: i64,
}

/// Groups the labelled JSON objects of a file by a field; the best by people comes first.
pub fn standings(model: &Model, path: &Path, text: &str, label: &str, group: &str) -> Result<Vec<Standing>, DataError> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for (class, [text, group]) in dataset::read_objects(path, label, [text, group])? {
        let prediction = model.predict(&[&text], None);
        let tally = tallies.entry(group).or_default();
        tally.texts += 1;
        tally.people += side(class);
        if !prediction.unsure {
            tally.sure += 1;
            tally.model += side(prediction.best());
        }
    }
    let standing = |(group, tally): (String, Tally)| Standing {
        group,
        texts: tally.texts,
        model: (tally.sure > 0).then(|| tally.model as f64 / tally.sure as f64),
        people: tally.people as f64 / tally.texts as f64,
        model_place: 0,
        people_place: 0,
    };
    let mut standings: Vec<Standing> = tallies.into_iter().map(standing).collect();
    let by_model = |standing: &Standing| standing.model.unwrap_or(f64::NEG_INFINITY);
    standings.sort_by(|a, b| by_model(b).total_cmp(&by_model(a)));
    (1..).zip(&mut standings).for_each(|(place, standing)| standing.model_place = place);
    standings.sort_by(|a, b| b.people.total_cmp(&a.people));
    (1..).zip(&mut standings).for_each(|(place, standing)| standing.people_place = place);
    Ok(standings)
}

fn side(class: usize) -> i64 {
    i64::from(class == POSITIVE) - i64::from(class == NEGATIVE)
}

/// An aligned table for people.
pub fn to_table(standings: &[Standing]) -> String {
    let mut table = format!("{:24} {:>6} {:>8} {:>8} {:>8} {:>8}\n", "", "texts", "people", "place", "model", "place");
    for Standing { group, texts, model, people, model_place, people_place } in standings {
        let model = model.map_or_else(|| "-".to_owned(), |net| format!("{net:+.3}"));
        table += &format!("{group:24} {texts:>6} {people:>+8.3} {people_place:>8} {model:>8} {model_place:>8}\n");
    }
    table
}
