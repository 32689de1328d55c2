//! The values of one record, before they become a message.

use std::borrow::Cow;

/// One value of a record, borrowed from the line where possible.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Value<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    /// A JSON boolean.
    Bool(bool),
    /// A whole number; one beyond 63 bits is a [`Value::Text`].
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string; in CSV everything is one.
    Text(Cow<'a, str>),
    /// Several values of one path that goes through an array.
    List(Vec<Value<'a>>),
    /// An object where a plain value was expected.
    Object,
}

/// The value does not fit the field; says what would, for the end of a sentence.
#[derive(Debug, PartialEq)]
pub(super) struct Unfit(pub(super) &'static str);

impl<'a> Value<'a> {
    /// The value as text; `None` when it is absent or blank.
    pub(super) fn text(self) -> Result<Option<Cow<'a, str>>, Unfit> {
        Ok(match self.first() {
            Self::Absent => None,
            Self::Text(text) => Some(text).filter(|text| !text.trim().is_empty()),
            Self::Int(number) => Some(number.to_string().into()),
            Self::Float(number) => Some(number.to_string().into()),
            Self::Bool(flag) => Some(flag.to_string().into()),
            Self::List(_) | Self::Object => return Err(Unfit("is not text")),
        })
    }

    /// The value as a count; spreadsheets write `12.0` and leave unknown ones empty or `NaN`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn count(self) -> Result<Option<u64>, Unfit> {
        let not_a_count = Unfit("is not a count");
        match self.first() {
            Self::Absent => Ok(None),
            Self::Int(number) => u64::try_from(number).map(Some).map_err(|_| not_a_count),
            Self::Float(number) if number.is_nan() => Ok(None),
            Self::Float(number) if number >= 0.0 && number.fract() == 0.0 && number < 1e18 => Ok(Some(number as u64)),
            Self::Text(text) if is_blank(&text) => Ok(None),
            Self::Text(text) => match text.trim().parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => text.trim().parse().map_err(|_| not_a_count).and_then(|number| Self::Float(number).count()),
            },
            _ => Err(not_a_count),
        }
    }

    /// The value as a number; `None` when it is absent or blank.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn number(self) -> Result<Option<f32>, Unfit> {
        let number = match self.first() {
            Self::Absent => return Ok(None),
            Self::Text(text) if is_blank(&text) => return Ok(None),
            Self::Int(number) => number as f32,
            Self::Float(number) => number as f32,
            Self::Text(text) => text.trim().parse().map_err(|_| Unfit("is not a number"))?,
            _ => return Err(Unfit("is not a number")),
        };
        if number.is_finite() { Ok(Some(number)) } else { Err(Unfit("is not a number")) }
    }

    /// The value as yes or no; absent means no.
    pub(super) fn flag(self) -> Result<bool, Unfit> {
        match self.first() {
            Self::Absent | Self::Int(0) => Ok(false),
            Self::Bool(flag) => Ok(flag),
            Self::Int(1) => Ok(true),
            Self::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "" | "false" | "no" | "f" | "n" | "0" => Ok(false),
                "true" | "yes" | "t" | "y" | "1" => Ok(true),
                _ => Err(Unfit("is neither yes nor no")),
            },
            _ => Err(Unfit("is neither yes nor no")),
        }
    }

    /// Whether there is something: a yes, a number above 0, a list that is not empty, or a text that is no no.
    pub(super) fn presence(self) -> Result<bool, Unfit> {
        Ok(match self {
            Self::Absent => false,
            Self::Bool(flag) => flag,
            Self::Int(number) => number > 0,
            Self::Float(number) => number > 0.0,
            Self::Text(text) if is_blank(&text) => false,
            Self::Text(_) => self.flag().unwrap_or(true),
            Self::List(values) => !values.is_empty(),
            Self::Object => return Err(Unfit("is neither yes nor no, nor a list, nor a text")),
        })
    }

    /// The values as a list of names: an array, or one string with the names between blanks, commas
    /// or semicolons. `sigil` (`#` or `@`) is taken off.
    pub(super) fn names(self, sigil: char) -> Result<Vec<String>, Unfit> {
        let values = match self {
            Self::List(values) => values,
            Self::Absent => return Ok(Vec::new()),
            one => vec![one],
        };
        let mut names = Vec::new();
        for value in values {
            let Some(text) = value.text()? else { continue };
            let parts = text.split(|c: char| c.is_whitespace() || c == ',' || c == ';');
            names.extend(
                parts.map(|part| part.trim_start_matches(sigil)).filter(|part| !part.is_empty()).map(str::to_owned),
            );
        }
        Ok(names)
    }

    fn first(self) -> Self {
        match self {
            Self::List(values) => values.into_iter().next().unwrap_or_default(),
            value => value,
        }
    }
}

fn is_blank(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || ["nan", "null", "none"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.into())
    }

    #[test]
    fn counts() {
        assert_eq!(text("12").count(), Ok(Some(12)));
        assert_eq!(text(" 12.0 ").count(), Ok(Some(12)));
        assert_eq!(text("NaN").count(), Ok(None));
        assert_eq!(text("").count(), Ok(None));
        assert_eq!(Value::Float(3.0).count(), Ok(Some(3)));
        assert!(Value::Int(-1).count().is_err());
        assert!(text("many").count().is_err());
        assert!(Value::Float(1.5).count().is_err());
        assert!(Value::Float(f64::INFINITY).count().is_err());
    }

    #[test]
    fn flags() {
        assert_eq!(text("Yes").flag(), Ok(true));
        assert_eq!(text("0").flag(), Ok(false));
        assert_eq!(Value::Absent.flag(), Ok(false));
        assert!(Value::Int(2).flag().is_err());
    }

    #[test]
    fn something_or_nothing() {
        let list = |values: &[Value<'static>]| Value::List(values.to_vec());
        let something = [Value::Bool(true), Value::Int(2), text("yes"), text("https://a.example/1.png"), text("2")];
        for value in something.into_iter().chain([list(&[text("a")]), list(&[Value::Object])]) {
            assert_eq!(value.clone().presence(), Ok(true), "{value:?}");
        }
        let nothing =
            [Value::Absent, Value::Bool(false), Value::Int(0), text("False"), text(" "), text("0"), text("NaN")];
        for value in nothing.into_iter().chain([list(&[])]) {
            assert_eq!(value.clone().presence(), Ok(false), "{value:?}");
        }
        assert!(Value::Object.presence().is_err());
    }

    #[test]
    fn names_from_text_and_arrays() {
        assert_eq!(text("#a, #b;c").names('#'), Ok(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        assert_eq!(Value::List(vec![text("@x"), text("y")]).names('@'), Ok(vec!["x".to_owned(), "y".to_owned()]));
        assert!(Value::Object.names('#').is_err());
    }

    #[test]
    fn text_is_first_of_a_list_and_numbers_are_written_out() {
        assert_eq!(Value::List(vec![text("a"), text("b")]).text(), Ok(Some("a".into())));
        assert_eq!(Value::Int(570_306_133_677_760_513).text(), Ok(Some("570306133677760513".into())));
        assert_eq!(text("  ").text(), Ok(None));
    }
}
