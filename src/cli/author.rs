//! `hearken author`: somebody's scores term by term, and what they are to the brands.

use clap::Args;
use hearken::app::OpenStore;
use hearken::report::table::{Align, Cell, Ink, Table, count, line, minute};
use hearken::store::Store;
use hearken::views::Filter;
use hearken::views::authors::{AuthorPage, AuthorScores, Named, author, named};
use hearken::views::mapping::Segment;

use super::exit::Failure;
use super::{Session, output};

/// Columns of a name, and of what was said.
const NAME: usize = 24;
const SAID: usize = 60;
/// Those who are listed where a name stands for several.
const LISTED: usize = 20;
/// Mentions that are shown of each.
const LATEST: usize = 5;

/// Arguments of `hearken author`.
#[derive(Args)]
pub(super) struct Author {
    /// Handle, id or name, on all channels; `CHANNEL/HANDLE` for one.
    name: String,
}

impl Author {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let config = session.config()?;
        let open = OpenStore::open(&config).await?;
        let pages = self.pages(&open.store).await;
        open.close().await;
        let pages = pages?;
        match session.json {
            true => output::json(&pages),
            false => {
                let colour = output::colours();
                let pages: Vec<String> = pages.iter().map(|page| text(page, colour)).collect();
                output::text(&pages.join("\n"))
            }
        }
    }

    async fn pages(&self, store: &Store) -> Result<Vec<AuthorPage>, Failure> {
        store.migrate().await.map_err(Failure::unavailable)?;
        let found = self.found(store).await?;
        let is_ambiguous = |one: &Named| found.iter().filter(|other| other.channel == one.channel).count() > 1;
        if found.iter().any(is_ambiguous) {
            let list: Vec<String> = found
                .iter()
                .map(|one| format!("  {}/{}  {}", one.channel, one.author, line(&one.name, NAME)))
                .collect();
            return Err(Failure::data(format!(
                "`{}` stands for several; choose one of\n{}",
                self.name,
                list.join("\n")
            )));
        }
        let mut pages = Vec::new();
        for Named { channel, author: id, .. } in found {
            let page = author(store, &Filter::default(), &channel, &id, LATEST).await.map_err(Failure::unavailable)?;
            pages.extend(page);
        }
        if pages.is_empty() {
            let hint = "or is not scored yet: a running daemon scores authors every few minutes (`authors.every`)";
            return Err(Failure::data(format!("nobody called `{}` was heard in public, {hint}", self.name)));
        }
        Ok(pages)
    }

    /// A handle may hold a slash itself.
    async fn found(&self, store: &Store) -> Result<Vec<Named>, Failure> {
        let name = self.name.strip_prefix('@').unwrap_or(&self.name);
        if let Some((channel, name)) = name.split_once('/') {
            let found = named(store, Some(channel), name, LISTED).await.map_err(Failure::unavailable)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        named(store, None, name, LISTED).await.map_err(Failure::unavailable)
    }
}

fn text(page: &AuthorPage, colour: bool) -> String {
    let AuthorScores { channel, author, handle, name, url, influence, bot, .. } = &page.scores;
    let called = [handle, name].into_iter().find(|name| !name.is_empty()).unwrap_or(author);
    let bot = if *bot { " · automated: damped to a fifth" } else { "" };
    let title = Ink::Bold.paint(&line(called, SAID), colour);
    let names = [name, author, url].into_iter().filter(|text| !text.is_empty() && *text != called);
    let names: Vec<String> = names.map(|text| line(text, SAID)).collect();
    let mut out = format!("{title} on {}  {}\n", line(channel, NAME), names.join(" · "));
    out.push_str(&format!(
        "influence {influence:.0}{bot}  ({}, as of {})\n\n",
        page.scores.version,
        minute(page.scores.latest_at)
    ));
    out.push_str(&terms(&page.scores).render(colour));
    out.push('\n');
    out.push_str(&brands(page).render(colour));
    for brand in &page.brands {
        for segment in Segment::ALL.iter().filter(|segment| brand.segments.iter().any(|name| name == segment.as_str()))
        {
            let rule = format!(
                "  {}: {} for {} ({})\n",
                segment.as_str(),
                segment.rule(),
                line(&brand.brand, NAME),
                brand.segments_version
            );
            out.push_str(&Ink::Faint.paint(&rule, colour));
        }
    }
    let mut latest =
        Table::new(&[("latest", Align::Left), ("brand", Align::Left), ("", Align::Left), ("said", Align::Left)]);
    for mention in &page.latest {
        let said = if mention.title.is_empty() { &mention.text } else { &mention.title };
        let at = Cell::new(minute(mention.published_at), Ink::Faint);
        latest.row(vec![
            at,
            line(&mention.brand, NAME).into(),
            mention.sentiment.as_str().into(),
            line(said, SAID).into(),
        ]);
    }
    out.push('\n');
    out.push_str(&latest.render(colour));
    out
}

fn terms(scores: &AuthorScores) -> Table {
    let known = scores.followers.map_or_else(|| "unknown, taken as typical".to_owned(), count);
    let audience =
        format!("followers: {known}; typical {:.0}, at the top {:.0}", scores.typical_followers, scores.top_followers);
    let reactions = format!(
        "posts: {}, weighted reactions: {}; typical to a post {:.1}",
        count(scores.posts),
        count(scores.reactions),
        scores.typical_reactions
    );
    let authority = format!("voices of others: {:.2}", scores.voices);
    let activity = format!(
        "days of the last 90: {}; messages: {}, since {}",
        scores.active_days,
        count(scores.messages),
        minute(scores.first_at)
    );
    let mut table = Table::new(&[
        ("term", Align::Left),
        ("value", Align::Right),
        ("weight", Align::Right),
        ("made of", Align::Left),
    ]);
    for (name, value, weight, made_of) in [
        ("reach", scores.reach, scores.weight_reach, audience),
        ("resonance", scores.resonance, scores.weight_resonance, reactions),
        ("authority", scores.authority, scores.weight_authority, authority),
        ("activity", scores.activity, scores.weight_activity, activity),
    ] {
        table.row(vec![
            name.into(),
            format!("{value:.1}").into(),
            format!("{weight}").into(),
            Cell::new(made_of, Ink::Faint),
        ]);
    }
    table
}

fn brands(page: &AuthorPage) -> Table {
    let right = |title| (title, Align::Right);
    let mut table = Table::new(&[
        ("brand", Align::Left),
        ("segments", Align::Left),
        right("influence"),
        right("relevance"),
        right("advocacy"),
        right("evidence"),
        right("- = + ?"),
        ("first", Align::Left),
        ("last", Align::Left),
    ]);
    for brand in &page.brands {
        let ink = match brand.advocacy {
            score if score >= 5.0 => Ink::Good,
            score if score <= -5.0 => Ink::Bad,
            _ => Ink::Plain,
        };
        table.row(vec![
            Cell::new(line(&brand.brand, NAME), Ink::Bold),
            brand.segments.join(", ").into(),
            format!("{:.0}", brand.influence).into(),
            format!("{:.0}", brand.relevance).into(),
            Cell::new(format!("{:+.0}", brand.advocacy), ink),
            format!("{:.1}", brand.advocacy_evidence).into(),
            format!("{} {} {} {}", brand.negative, brand.neutral, brand.positive, brand.unsure).into(),
            minute(brand.first_at).into(),
            minute(brand.last_at).into(),
        ]);
    }
    table
}
