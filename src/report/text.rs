//! A report as text for a terminal.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Report;
use super::table::{Align, Cell, Ink, Table, ago, bar, count, curve, duration, line, magnitude, minute};
use crate::views::mapping::TopAuthor;
use crate::views::measurement::Estimate;
use crate::views::monitoring::{Latest, Step, Volume};

/// Columns of the page.
const WIDTH: usize = 110;
/// Columns of a name.
const NAME: usize = 20;
/// Columns of a curve; where there are more buckets, a column holds several.
const CURVE: usize = 72;

use Align::{Left, Right};

/// The whole report.
pub(super) fn render(report: &Report, colour: bool) -> String {
    let page = Page { report, colour };
    let parts = [
        page.head(),
        page.measurement(),
        page.monitoring(),
        page.mapping(),
        page.management(),
        page.middleware(),
        page.formulas(),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

struct Page<'a> {
    report: &'a Report,
    colour: bool,
}

impl Page<'_> {
    fn head(&self) -> String {
        let totals = &self.report.totals;
        let mut text = match (totals.first, totals.last) {
            (Some(first), Some(last)) => {
                let counts = format!(
                    "{} mentions in {} messages by {} authors",
                    count(totals.mentions),
                    count(totals.messages),
                    count(totals.authors)
                );
                format!(
                    "{}  {} to {} UTC\n{}\n",
                    Ink::Bold.paint("Hearken", self.colour),
                    minute(first),
                    minute(last),
                    Ink::Faint.paint(&counts, self.colour)
                )
            }
            _ => format!("{}  no mentions\n", Ink::Bold.paint("Hearken", self.colour)),
        };
        let filter = &self.report.filter;
        for (what, values) in
            [("brands", &filter.brands), ("channels", &filter.channels), ("languages", &filter.languages)]
        {
            if !values.is_empty() {
                text.push_str(&format!("only {what}: {}\n", line(&values.join(", "), WIDTH - 20)));
            }
        }
        for (what, at) in [("from", filter.from), ("until", filter.until)] {
            if let Some(at) = at {
                text.push_str(&format!("only {what} {} UTC\n", minute(at)));
            }
        }
        text
    }

    fn measurement(&self) -> String {
        let brands = &self.report.brands;
        if brands.is_empty() {
            return self.section("Measurement", "how the brands compare", "  nothing was said yet\n");
        }
        let mut shares = Table::new(&[
            ("brand", Left),
            ("mentions", Right),
            ("share of voice", Left),
            ("", Right),
            ("authors", Right),
            ("reach", Right),
            ("share of reach", Right),
        ]);
        let mut moods = Table::new(&[
            ("brand", Left),
            ("net sentiment", Right),
            ("95 %", Left),
            ("net, decided", Right),
            ("95 %", Left),
            ("neutral", Right),
            ("unsure", Right),
            ("neg · neu · pos", Left),
        ]);
        let mut unknown_reach = 0;
        for brand in brands {
            let name = Cell::new(line(&brand.brand, NAME), Ink::Bold);
            // With nobody's followers known there is no reach, rather than one of nothing.
            let known = brand.authors > brand.authors_of_unknown_reach;
            unknown_reach += brand.authors_of_unknown_reach;
            shares.row(vec![
                name.clone(),
                count(brand.mentions).into(),
                Cell::new(bar(brand.share_of_voice.unwrap_or(0.0), 24), Ink::Accent),
                percent(brand.share_of_voice).into(),
                count(brand.authors).into(),
                if known { magnitude(brand.reach) } else { "–".to_owned() }.into(),
                percent(brand.share_of_reach.filter(|_| known)).into(),
            ]);
            moods.row(vec![
                name,
                figure(brand.net_sentiment),
                Cell::new(interval(brand.net_sentiment), Ink::Faint),
                figure(brand.net_sentiment_decided),
                Cell::new(interval(brand.net_sentiment_decided), Ink::Faint),
                percent(brand.neutral_share).into(),
                percent(brand.unsure_share).into(),
                format!("{} · {} · {}", count(brand.negative), count(brand.neutral), count(brand.positive)).into(),
            ]);
        }
        let mut body = format!("{}\n{}", shares.render(self.colour), moods.render(self.colour));
        if unknown_reach > 0 {
            let note =
                format!("the followers of {} authors are not known: they add nothing to reach", count(unknown_reach));
            body.push_str(&self.note(&note));
        }
        self.section("Measurement", "how the brands compare", &body)
    }

    fn monitoring(&self) -> String {
        let report = self.report;
        if report.totals.mentions == 0 {
            return String::new();
        }
        let mut body = self.curves();
        for (what, volume) in [("channels", &report.channels), ("languages", &report.languages)] {
            let mut names: BTreeMap<&str, u64> = BTreeMap::new();
            for bucket in volume {
                *names.entry(&bucket.name).or_default() += bucket.mentions;
            }
            let mut names: Vec<(&str, u64)> = names.into_iter().collect();
            names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            let shown: Vec<String> = names
                .iter()
                .take(10)
                .map(|(name, mentions)| format!("{} {}", line(name, NAME), count(*mentions)))
                .collect();
            let more = names.len().saturating_sub(10);
            let more = if more > 0 { format!(" · {more} more") } else { String::new() };
            body.push_str(&format!(
                "  {} {}{more}\n",
                Ink::Faint.paint(&format!("{what:<9}"), self.colour),
                shown.join(" · ")
            ));
        }
        body.push('\n');
        body.push_str(&self.trending());
        body.push('\n');
        if !report.stories.is_empty() {
            body.push_str(&self.stories());
            body.push('\n');
        }
        body.push_str(&self.mentions("latest", &report.latest));
        self.section("Monitoring", "what is said", &body)
    }

    fn stories(&self) -> String {
        let mut table = Table::new(&[
            ("stories", Left),
            ("messages", Right),
            ("authors", Right),
            ("neg", Right),
            ("pos", Right),
            ("last told", Left),
        ]);
        for story in &self.report.stories {
            table.row(vec![
                Cell::new(line(&story.told_first, 52), Ink::Bold),
                count(story.messages).into(),
                count(story.authors).into(),
                count(story.negative).into(),
                count(story.positive).into(),
                Cell::new(minute(story.last_at), Ink::Faint),
            ]);
        }
        table.render(self.colour)
    }

    fn curves(&self) -> String {
        let report = self.report;
        let (Some(first), Some(last)) = (report.totals.first, report.totals.last) else { return String::new() };
        let step = report.step.as_millis();
        let (first, last) = (first.as_millisecond().div_euclid(step), last.as_millisecond().div_euclid(step));
        let buckets = usize::try_from(last - first + 1).unwrap_or(1);
        let grouped = buckets.div_ceil(CURVE);
        let columns = buckets.div_ceil(grouped);
        let mut by_brand: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut all = vec![0; columns];
        for Volume { at, name, mentions, .. } in &report.volume {
            let Ok(bucket) = usize::try_from(at.as_millisecond().div_euclid(step) - first) else { continue };
            for values in [by_brand.entry(name).or_insert_with(|| vec![0; columns]), &mut all] {
                if let Some(value) = values.get_mut(bucket / grouped) {
                    *value += mentions;
                }
            }
        }
        let (unit, precision) = match report.step {
            Step::Minute => ("minute", 16),
            Step::Hour => ("hour", 13),
            Step::Day => ("day", 10),
        };
        let unit = if grouped == 1 { unit.to_owned() } else { format!("{grouped} {unit}s") };
        let label =
            |bucket: i64| at(bucket * step).map(minute).unwrap_or_default().chars().take(precision).collect::<String>();
        let title = format!("by {unit}, {} to {}", label(first), label(last));
        let mut table = Table::new(&[("mentions", Left), (title.as_str(), Left), ("peak", Right)]);
        let mut add = |name: &str, values: &[u64]| {
            let peak = count(values.iter().copied().max().unwrap_or(0));
            table.row(vec![Cell::new(line(name, NAME), Ink::Bold), Cell::new(curve(values), Ink::Accent), peak.into()]);
        };
        for brand in &report.brands {
            if let Some(values) = by_brand.get(brand.brand.as_str()) {
                add(&brand.brand, values);
            }
        }
        if by_brand.len() > 1 {
            add("all", &all);
        }
        table.render(self.colour)
    }

    fn trending(&self) -> String {
        let report = self.report;
        let Some(since) = report.trending_since.filter(|_| !report.trending.is_empty()) else {
            return self.note("nothing is said more often lately than before");
        };
        let mut table = Table::new(&[
            ("trending", Left),
            ("brand", Left),
            ("language", Left),
            ("lately", Right),
            ("", Right),
            ("before", Right),
            ("", Right),
            ("score", Right),
        ]);
        let share = |part: u64, whole: u64| percent((whole > 0).then(|| part as f64 / whole as f64));
        for trend in &report.trending {
            table.row(vec![
                Cell::new(line(&trend.term, 28), Ink::Bold),
                line(&trend.brand, NAME).into(),
                Cell::new(trend.language.replace('*', "all"), Ink::Faint),
                count(trend.recent).into(),
                share(trend.recent, trend.recent_of).into(),
                count(trend.before).into(),
                share(trend.before, trend.before_of).into(),
                format!("{:.1}", trend.z).into(),
            ]);
        }
        let sampled = report.trending.first().map_or(1, |trend| trend.sampled);
        let sample = if sampled > 1 { format!("; counted in one of {sampled} mentions") } else { String::new() };
        table.render(self.colour) + &self.note(&format!("lately is since {} UTC{sample}", minute(since)))
    }

    fn mapping(&self) -> String {
        if self.report.authors.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&[
            ("author", Left),
            ("channel", Left),
            ("influence", Right),
            ("followers", Right),
            ("messages", Right),
            ("mean sentiment", Right),
            ("negative · positive", Left),
        ]);
        for author in &self.report.authors {
            let marks = [(author.verified, " ✓"), (author.bot, " bot")];
            let marks: String = marks.into_iter().filter_map(|(set, mark)| set.then_some(mark)).collect();
            table.row(vec![
                Cell::new(line(author.called(), 32) + &marks, Ink::Bold),
                line(&author.channel, 12).into(),
                format!("{:.0}", author.influence).into(),
                author.followers.map_or_else(|| "–".to_owned(), magnitude).into(),
                count(author.messages).into(),
                Cell::new(format!("{:+.2}", author.mean_sentiment), mood(author.mean_sentiment)),
                format!("{} · {}", count(author.negative), count(author.positive)).into(),
            ]);
        }
        let mut body = table.render(self.colour);
        for (what, authors) in [("advocates", &self.report.advocates), ("detractors", &self.report.detractors)] {
            if !authors.is_empty() {
                let one = |author: &TopAuthor| {
                    format!("{} {:+.0}", line(author.called(), NAME), author.advocacy.unwrap_or_default())
                };
                let shown: Vec<String> = authors.iter().take(3).map(one).collect();
                let what = Ink::Faint.paint(&format!("{what:<10}"), self.colour);
                body.push_str(&format!("  {what} {}\n", shown.join(" · ")));
            }
        }
        self.section("Mapping", "who speaks", &body)
    }

    fn management(&self) -> String {
        if self.report.unanswered.is_empty() {
            return String::new();
        }
        let body = self.mentions("unanswered, by influence", &self.report.unanswered);
        self.section("Management", "what waits for an answer", &body)
    }

    fn mentions(&self, title: &str, mentions: &[Latest]) -> String {
        let mut table = Table::new(&[
            (title, Left),
            ("brand", Left),
            ("author", Left),
            ("", Left),
            ("said", Left),
            ("why matched", Left),
        ]);
        for mention in mentions {
            let (mark, ink) = match mention.sentiment.as_str() {
                "positive" => ("+", Ink::Good),
                "negative" => ("-", Ink::Bad),
                "neutral" => ("=", Ink::Faint),
                _ => ("?", Ink::Faint),
            };
            let said = if mention.title.is_empty() { &mention.text } else { &mention.title };
            table.row(vec![
                Cell::new(minute(mention.published_at), Ink::Faint),
                line(&mention.brand, 14).into(),
                line(&mention.author, 16).into(),
                Cell::new(mark, ink),
                line(said, 38).into(),
                Cell::new(line(&mention.matched.join(", "), 14), Ink::Faint),
            ]);
        }
        table.render(self.colour)
    }

    fn middleware(&self) -> String {
        let report = self.report;
        let mut body = String::new();
        if report.sources.is_empty() {
            body.push_str("  no source has been polled yet\n");
        } else {
            let mut table = Table::new(&[
                ("source", Left),
                ("channel", Left),
                ("heard", Right),
                ("matched", Right),
                ("last message", Left),
                ("last poll", Left),
                ("failed", Right),
                ("to heard", Right),
                ("to stored", Right),
            ]);
            for source in &report.sources {
                let failed = if source.failed_polls > 0 { Ink::Bad } else { Ink::Faint };
                let ago = |at: Option<Timestamp>| at.map_or_else(|| "–".to_owned(), |at| self.ago(at));
                let lag = |millis: Option<i64>| millis.map_or_else(|| "–".to_owned(), duration);
                table.row(vec![
                    Cell::new(line(&source.source, NAME), Ink::Bold),
                    line(&source.channel, 12).into(),
                    count(source.messages).into(),
                    count(source.messages_matched).into(),
                    ago(source.last_published_at).into(),
                    ago(source.last_poll_at).into(),
                    Cell::new(format!("{} of {}", count(source.failed_polls), count(source.polls)), failed),
                    lag(source.heard_after_ms).into(),
                    lag(source.stored_after_ms).into(),
                ]);
            }
            body.push_str(&table.render(self.colour));
            for source in &report.sources {
                if let Some(error) = source.last_error.as_deref().filter(|error| !error.is_empty()) {
                    let text = format!("  {}: {}\n", line(&source.source, NAME), line(error, WIDTH - NAME - 6));
                    body.push_str(&Ink::Bad.paint(&text, self.colour));
                }
            }
        }
        body.push_str(&self.gaps());
        if !report.refused.is_empty() {
            let mut table = Table::new(&[("dead letters", Right), ("source", Left), ("reason", Left)]);
            for refused in &report.refused {
                table.row(vec![
                    count(refused.records).into(),
                    line(&refused.source, NAME).into(),
                    line(&refused.reason, 70).into(),
                ]);
            }
            body.push('\n');
            body.push_str(&table.render(self.colour));
        }
        self.section("Middleware", "where it was heard", &body)
    }

    fn gaps(&self) -> String {
        if self.report.gaps.is_empty() {
            return self.note("no coverage gap is known");
        }
        let mut table = Table::new(&[
            ("coverage gap", Left),
            ("lasted", Right),
            ("source", Left),
            ("reason", Left),
            ("missed", Right),
            ("", Left),
        ]);
        for gap in &self.report.gaps {
            table.row(vec![
                Cell::new(minute(gap.from), Ink::Bad),
                duration(gap.until.as_millisecond() - gap.from.as_millisecond()).into(),
                line(&gap.source, NAME).into(),
                gap.reason.replace('_', " ").into(),
                gap.estimate.map_or_else(|| "unknown".to_owned(), count).into(),
                Cell::new(line(&gap.detail, 36), Ink::Faint),
            ]);
        }
        format!("\n{}", table.render(self.colour))
    }

    fn formulas(&self) -> String {
        let mut body = String::new();
        for (name, formula) in self.report.formulas {
            let mut start = format!("  {name:<15} ");
            for part in wrapped(formula, WIDTH - 18) {
                body.push_str(&Ink::Faint.paint(&format!("{start}{part}"), self.colour));
                body.push('\n');
                start = " ".repeat(18);
            }
        }
        self.section("Formulas", "how the figures are made", &body)
    }

    fn section(&self, title: &str, says: &str, body: &str) -> String {
        let rule = "─".repeat(WIDTH.saturating_sub(title.len() + says.len() + 4));
        format!("{}  {} {}\n{body}", Ink::Bold.paint(title, self.colour), says, Ink::Faint.paint(&rule, self.colour))
    }

    fn note(&self, text: &str) -> String {
        format!("  {}\n", Ink::Faint.paint(text, self.colour))
    }

    fn ago(&self, at: Timestamp) -> String {
        ago(at, self.report.made_at)
    }
}

fn at(millis: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(millis).ok()
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn mood(value: f64) -> Ink {
    match value {
        _ if value >= 0.05 => Ink::Good,
        _ if value <= -0.05 => Ink::Bad,
        _ => Ink::Plain,
    }
}

fn figure(estimate: Option<Estimate>) -> Cell {
    estimate.map_or_else(|| "–".into(), |net| Cell::new(format!("{:+.2}", net.value), mood(net.value)))
}

fn interval(estimate: Option<Estimate>) -> String {
    estimate.map_or_else(String::new, |net| format!("{:+.2} to {:+.2}", net.low, net.high))
}

/// Words in lines of at most `width` columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let full =
            lines.last().is_some_and(|line| !line.is_empty() && line.chars().count() + word.chars().count() >= width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
