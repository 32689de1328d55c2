//! The report: the views of all 5 M's in one, as data (JSON) and as text for a terminal.

use jiff::Timestamp;
use serde::Serialize;

use crate::store::{Store, StoreError};
use crate::views::Filter;
use crate::views::management::unanswered;
use crate::views::mapping::{Rank, Segment, TopAuthor, top_authors};
use crate::views::measurement::{BrandFigures, FORMULAS, brands};
use crate::views::middleware::{CoverageGap, Refused, Source, gaps, refused, sources};
use crate::views::monitoring::{
    By, Latest, Step, Story, Totals, Trend, Volume, latest, stories, totals, trending, volume,
};

pub mod table;
mod text;

/// Lines of each list.
const LINES: usize = 10;
/// The recent part of the time that trends are looked for in: one in so many; the rest is what it is compared with.
const RECENT_PART: i64 = 8;

/// The views of all 5 M's.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What it is about.
    pub filter: Filter,
    /// When it was made.
    pub made_at: Timestamp,
    /// How much there is.
    pub totals: Totals,
    /// Measurement.
    pub brands: Vec<BrandFigures>,
    /// Monitoring: length of the buckets of the three that follow.
    pub step: Step,
    /// By brand.
    pub volume: Vec<Volume>,
    /// By channel.
    pub channels: Vec<Volume>,
    /// By language.
    pub languages: Vec<Volume>,
    /// Monitoring: from when on a mention is recent for trends; `None` where there is no time to compare with.
    pub trending_since: Option<Timestamp>,
    /// Monitoring: terms, hashtags and emoji said more often than before.
    pub trending: Vec<Trend>,
    /// Monitoring: what was told most often in nearly the same words.
    pub stories: Vec<Story>,
    /// Monitoring: the newest mentions.
    pub latest: Vec<Latest>,
    /// Mapping: authors by influence.
    pub authors: Vec<TopAuthor>,
    /// Mapping: who speaks well, reliably, highest advocacy first.
    pub advocates: Vec<TopAuthor>,
    /// Mapping: who speaks ill, reliably, lowest advocacy first.
    pub detractors: Vec<TopAuthor>,
    /// Management: negative mentions that nobody has answered.
    pub unanswered: Vec<Latest>,
    /// Middleware: every source.
    pub sources: Vec<Source>,
    /// Middleware: what the sources missed.
    pub gaps: Vec<CoverageGap>,
    /// Middleware: what could not be processed.
    pub refused: Vec<Refused>,
    /// Every figure and its formula.
    pub formulas: &'static [(&'static str, &'static str)],
}

/// Asks the store for everything in the report.
pub async fn report(store: &Store, filter: &Filter) -> Result<Report, StoreError> {
    let totals = totals(store, filter).await?;
    let step = step(&totals);
    let trending_since = trending_since(&totals);
    let trending = match trending_since {
        Some(since) => trending(store, filter, since, LINES).await?,
        None => Vec::new(),
    };
    Ok(Report {
        filter: filter.clone(),
        made_at: Timestamp::now(),
        brands: brands(store, filter).await?,
        step,
        volume: volume(store, filter, step, By::Brand).await?,
        channels: volume(store, filter, step, By::Channel).await?,
        languages: volume(store, filter, step, By::Language).await?,
        trending_since,
        trending,
        stories: stories(store, filter, LINES).await?,
        latest: latest(store, filter, LINES).await?,
        authors: top_authors(store, filter, &[], Rank::Influence, LINES).await?,
        advocates: top_authors(store, filter, &[Segment::Advocate], Rank::Advocacy, LINES).await?,
        detractors: top_authors(store, filter, &[Segment::Detractor], Rank::Detraction, LINES).await?,
        unanswered: unanswered(store, filter, LINES).await?,
        sources: sources(store, filter).await?,
        gaps: gaps(store, filter, LINES).await?,
        refused: refused(store, LINES).await?,
        totals,
        formulas: FORMULAS,
    })
}

impl Report {
    /// The report for a terminal of 110 columns or more; `colour` adds ANSI colours.
    pub fn to_text(&self, colour: bool) -> String {
        text::render(self, colour)
    }
}

/// The finest buckets of which there are not too many.
fn step(totals: &Totals) -> Step {
    const MANY: i64 = 1_000;
    let (Some(first), Some(last)) = (totals.first, totals.last) else { return Step::Hour };
    let length = last.as_millisecond() - first.as_millisecond();
    [Step::Minute, Step::Hour].into_iter().find(|step| length / step.as_millis() < MANY).unwrap_or(Step::Day)
}

fn trending_since(totals: &Totals) -> Option<Timestamp> {
    let (first, last) = (totals.first?.as_millisecond(), totals.last?.as_millisecond());
    (last > first).then(|| Timestamp::from_millisecond(last - (last - first) / RECENT_PART).ok()).flatten()
}
