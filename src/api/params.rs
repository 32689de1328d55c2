//! Parameters of a URL: read strictly, every problem named, in one answer.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;

use super::problem::{BadParameter, Problem};
use crate::views::storable;

/// The longest text, in characters.
const MAX_TEXT: usize = 200;
/// The longest value of any kind, in characters.
const MAX_VALUE: usize = 2000;
/// The most values that a list has.
const MAX_VALUES: usize = 20;

/// What a request's parameters say.
pub(super) trait Query: Sized {
    /// Reads them; what is wrong is noted in `params` and answered together.
    fn read(params: &mut Params) -> Self;
}

/// The parameters of a request, checked: any that is unknown, repeated or wrong refuses the request.
pub(super) struct Checked<Q>(pub(super) Q);

impl<S: Sync, Q: Query> FromRequestParts<S> for Checked<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut params = Params::of(parts.uri.query().unwrap_or_default());
        let query = Q::read(&mut params);
        params.finish().map(|()| Self(query))
    }
}

/// No parameters at all.
pub(super) struct Nothing;

impl Query for Nothing {
    fn read(_: &mut Params) -> Self {
        Self
    }
}

/// The parameters while they are read.
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    problems: Vec<BadParameter>,
}

impl Params {
    pub(super) fn of(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let pairs = pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let mut params = Self { pairs, known: Vec::new(), problems: Vec::new() };
        params.check_texts();
        params
    }

    /// What no parameter may hold, whatever its meaning.
    fn check_texts(&mut self) {
        for (name, value) in &self.pairs {
            let detail = if [name, value].into_iter().any(|text| text.contains('\u{fffd}')) {
                "it is not UTF-8".to_owned()
            } else if value.contains('\0') {
                "it holds a NUL character".to_owned()
            } else if value.chars().count() > MAX_VALUE {
                format!("it is longer than {MAX_VALUE} characters")
            } else {
                continue;
            };
            let name = name.chars().take(MAX_VALUE).collect();
            self.problems.push(BadParameter { name, detail });
        }
    }

    /// Notes that a parameter is wrong.
    pub(super) fn problem(&mut self, name: &str, detail: impl Display) {
        self.problems.push(BadParameter { name: name.to_owned(), detail: detail.to_string() });
    }

    /// Every text of a parameter that may be given several times.
    pub(super) fn texts(&mut self, name: &'static str) -> Vec<String> {
        let values = self.values(name);
        if values.iter().any(|value| value.chars().count() > MAX_TEXT) {
            self.problem(name, format!("it is longer than {MAX_TEXT} characters"));
        }
        values
    }

    fn values(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let values = self.pairs.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone());
        let values: Vec<String> = values.collect();
        if values.iter().any(String::is_empty) {
            self.problem(name, "it is empty");
        }
        if values.len() > MAX_VALUES {
            self.problem(name, format!("it is given {} times; {MAX_VALUES} are allowed", values.len()));
        }
        values
    }

    /// The text of a parameter that may be given once.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let values = self.texts(name);
        self.only(name, values)
    }

    /// What one of our own answers said, and comes back.
    pub(super) fn opaque(&mut self, name: &'static str) -> Option<String> {
        let values = self.values(name);
        self.only(name, values)
    }

    fn only(&mut self, name: &'static str, mut values: Vec<String>) -> Option<String> {
        if values.len() > 1 {
            self.problem(name, "it is given more than once");
        }
        values.pop().filter(|value| !value.is_empty())
    }

    /// A value that has to be there.
    pub(super) fn required(&mut self, name: &'static str) -> String {
        self.text(name).unwrap_or_else(|| {
            if !self.problems.iter().any(|bad| bad.name == name) {
                self.problem(name, "it is missing");
            }
            String::new()
        })
    }

    /// A value of another type; `expected` completes the sentence "expected ...".
    pub(super) fn parsed<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Option<T> {
        let parsed = self.text(name)?.parse();
        if parsed.is_err() {
            self.problem(name, format!("expected {expected}"));
        }
        parsed.ok()
    }

    /// A moment; one that the store cannot hold is the nearest that it can, before or after everything stored.
    pub(super) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        let time: Timestamp = self.parsed(name, "a time of RFC 3339, such as `2026-03-01T12:00:00Z`")?;
        Timestamp::from_millisecond(storable(time.as_millisecond())).ok()
    }

    /// `from` and `until`, in this order.
    pub(super) fn window(&mut self) -> (Option<Timestamp>, Option<Timestamp>) {
        let (from, until) = (self.time("from"), self.time("until"));
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            self.problem("until", "it has to be later than `from`");
        }
        (from, until)
    }

    /// A finite number in a range.
    pub(super) fn number(&mut self, name: &'static str, low: f64, high: f64) -> Option<f64> {
        let expected = format!("a number from {low} to {high}");
        let number: f64 = self.parsed(name, &expected)?;
        if (low..=high).contains(&number) {
            return Some(number);
        }
        self.problem(name, format!("expected {expected}"));
        None
    }

    /// How many, at least one and at most `most`.
    pub(super) fn limit(&mut self, usual: usize, most: usize) -> usize {
        let expected = format!("a whole number from 1 to {most}");
        match self.parsed("limit", &expected) {
            None => usual,
            Some(limit) if (1..=most).contains(&limit) => limit,
            Some(_) => {
                self.problem("limit", format!("expected {expected}"));
                usual
            }
        }
    }

    /// Values out of a list.
    pub(super) fn choices<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Vec<T> {
        let mut chosen = Vec::new();
        for value in self.texts(name).into_iter().filter(|value| !value.is_empty()) {
            match choices.iter().find(|(choice, _)| *choice == value) {
                Some((_, choice)) => chosen.push(*choice),
                None => {
                    let valid = choices.iter().map(|(choice, _)| *choice);
                    self.problem(name, format!("expected {}{}", listed(valid.clone()), nearest(&value, valid)));
                }
            }
        }
        chosen
    }

    /// One value out of a list.
    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let chosen = self.choices(name, choices);
        if chosen.len() > 1 {
            self.problem(name, "it is given more than once");
        }
        chosen.first().copied()
    }

    /// Refuses what nobody has asked for, and whatever was wrong.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let mut unknown: Vec<String> = self.pairs.iter().map(|(name, _)| name.clone()).collect();
        unknown.retain(|name| !self.known.contains(&name.as_str()));
        unknown.dedup();
        for name in unknown {
            let detail = if self.known.is_empty() {
                "there are no parameters here".to_owned()
            } else {
                let valid = self.known.iter().copied();
                format!("there is no such parameter{}; there are {}", nearest(&name, valid.clone()), listed(valid))
            };
            self.problem(&name.chars().take(MAX_VALUE).collect::<String>(), detail);
        }
        if self.problems.is_empty() { Ok(()) } else { Err(Problem::bad_parameters(self.problems)) }
    }
}

/// What is wrong with a text in a path; the same holds for texts of parameters.
pub(super) fn check_text(text: &str) -> Result<(), String> {
    if text.contains('\u{fffd}') {
        return Err("it is not UTF-8".to_owned());
    }
    if text.contains('\0') {
        return Err("it holds a NUL character".to_owned());
    }
    match text.chars().count() {
        1..=MAX_TEXT => Ok(()),
        0 => Err("it is empty".to_owned()),
        _ => Err(format!("it is longer than {MAX_TEXT} characters")),
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// `, did you mean ...?`, where something is near.
fn nearest<'a>(name: &str, valid: impl Iterator<Item = &'a str>) -> String {
    const NEAR: f64 = 0.7;
    let near = valid.map(|valid| (strsim::jaro_winkler(name, valid), valid)).filter(|(score, _)| *score >= NEAR);
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, valid)| format!(", did you mean `{valid}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn problems(query: &str, read: impl Fn(&mut Params)) -> Vec<(String, String)> {
        let mut params = Params::of(query);
        read(&mut params);
        let problems = params.finish().err().map(|problem| problem.parameters).unwrap_or_default();
        problems.into_iter().map(|bad| (bad.name, bad.detail)).collect()
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let read = |params: &mut Params| {
            params.texts("brand");
            params.window();
            params.limit(50, 200);
        };
        assert_eq!(problems("brand=a&brand=b%26c&limit=3&from=2026-01-01T00:00:00Z", read), []);
        let names: Vec<String> =
            problems("brnad=a&limit=0&from=yesterday&until=&brand=%ff", read).into_iter().map(|bad| bad.0).collect();
        assert_eq!(names, ["brand", "from", "until", "limit", "brnad"]);
    }

    #[test]
    fn an_unknown_parameter_is_told_the_nearest_name() {
        let read = |params: &mut Params| drop((params.texts("brand"), params.texts("language")));
        let found = problems("languages=en", read);
        assert_eq!(found[0].1, "there is no such parameter, did you mean `language`?; there are `brand`, `language`");
    }

    #[test]
    fn numbers_have_to_be_finite_and_in_range() {
        for value in ["NaN", "inf", "2", "-1.01", "x", ""] {
            let read = |params: &mut Params| {
                let _ = params.number("score", -1.0, 1.0);
            };
            assert_eq!(problems(&format!("score={value}"), read).len(), 1, "{value}");
        }
    }
}
