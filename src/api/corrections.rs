//! Corrections as a list: what a model learns from, and is measured by.

use axum::Json;
use axum::extract::State;
use uuid::Uuid;

use super::Api;
use super::caller::Caller;
use super::page::{Cursor, Page, PageQuery};
use super::params::Checked;
use super::problem::Problem;
use super::query::{self, FilterQuery};
use crate::views::corrections::{self, Correction, Position};

/// List corrections
///
/// Latest first, page by page: the last word of a person on each mention, beside the model's.
#[utoipa::path(get, path = "/corrections", tag = query::MEASUREMENT, params(FilterQuery, PageQuery),
    responses((status = 200, description = "A page of corrections", body = Page<Correction>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<(FilterQuery, PageQuery)>,
) -> Result<Json<Page<Correction>>, Problem> {
    let (filter, page) = query;
    let filter = caller.narrow(filter.into())?;
    let after = page.after::<(i64, Uuid, String)>("corrections")?;
    let after = after.map(|Cursor((corrected_at, id, brand))| Position { corrected_at, id, brand });
    let found = corrections::corrections(&api.store, &filter, after.as_ref(), page.limit + 1).await?;
    Ok(Json(page.cut(found, |correction| {
        let Position { corrected_at, id, brand } = correction.position();
        Cursor((corrected_at, id, brand)).encode("corrections")
    })))
}
