//! stub
use jiff::Timestamp;
/// stub
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// s
    pub brands: Vec<String>,
    /// s
    pub channels: Vec<String>,
    /// s
    pub languages: Vec<String>,
    /// s
    pub from: Option<Timestamp>,
    /// s
    pub until: Option<Timestamp>,
}
