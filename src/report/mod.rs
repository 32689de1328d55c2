//! stub
use crate::store::*;
use crate::views::Filter;
/// stub
#[derive(Debug, serde::Serialize)]
pub struct Report {}
impl Report {
    /// s
    pub fn to_text(&self, _c: bool) -> String {
        String::new()
    }
}
/// stub
pub async fn report(_s: &Store, _f: &Filter) -> Result<Report, StoreError> {
    Ok(Report {})
}
