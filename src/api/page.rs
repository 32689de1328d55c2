//! Pages: a list in parts, and where the next one begins.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::{IntoParams, ToSchema};

use super::params::{Params, Query};
use super::problem::Problem;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The entries of this page.
    items: Vec<T>,
    /// The `cursor` of the next page; `null` on the last one.
    next: Option<String>,
}

/// A whole list, cut off at the limit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    /// Its entries.
    pub(super) items: Vec<T>,
}

/// Which page is wanted.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// The `next` of the page before; the first page has none.
    #[param(min_length = 1, max_length = 2000)]
    cursor: Option<String>,
    /// Entries of a page at most; 50 unless said otherwise.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub(super) limit: usize,
}

impl Query for PageQuery {
    fn read(params: &mut Params) -> Self {
        Self { cursor: params.opaque("cursor"), limit: params.limit(50, 200) }
    }
}

impl PageQuery {
    /// The place after which the page begins.
    pub(super) fn after<T: DeserializeOwned>(&self, list: &str) -> Result<Option<Cursor<T>>, Problem> {
        let decoded = self.cursor.as_deref().map(|text| Cursor::decode(list, text));
        let wrong = || Problem::bad_parameter("cursor", "it is not the `next` of a page of this list");
        decoded.map(|cursor| cursor.ok_or_else(wrong)).transpose()
    }

    /// Makes a page of one entry more than it may have, if there are so many.
    pub(super) fn cut<T>(&self, mut items: Vec<T>, cursor: impl Fn(&T) -> String) -> Page<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next = items.last().filter(|_| more).map(cursor);
        Page { items, next }
    }
}

/// A place in a list. It is opaque to clients, and no secret.
pub(super) struct Cursor<T>(pub(super) T);

impl<T: Serialize> Cursor<T> {
    /// As text; empty where it cannot be written, which does not happen.
    pub(super) fn encode(&self, list: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(list, &self.0)).unwrap_or_default())
    }
}

impl<T: DeserializeOwned> Cursor<T> {
    /// From text, if it is one of this list.
    pub(super) fn decode(list: &str, text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (of, place): (String, T) = serde_json::from_slice(&bytes).ok()?;
        (of == list).then_some(Self(place))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(at in any::<i64>(), brand in ".*") {
            let text = Cursor((at, brand.clone())).encode("list");
            prop_assert!(!text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(Cursor::<(i64, String)>::decode("list", &text).unwrap().0, (at, brand));
            prop_assert!(Cursor::<(i64, String)>::decode("other", &text).is_none());
        }

        #[test]
        fn whatever_else_is_sent_is_no_cursor(text in ".*") {
            prop_assert!(Cursor::<(i64, String)>::decode("list", &text).is_none());
        }
    }
}
