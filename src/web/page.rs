//! The report as one page: rendered here, readable without JavaScript, no request to anybody else.

use std::fmt::{Display, Write};

use crate::report::Report;
use crate::views::measurement::{BrandFigures, Estimate};
use crate::views::monitoring::Latest;

const STYLE: &str = include_str!("page.css");

/// The whole page. Everything from outside goes through [`Text`].
pub(super) fn render(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, report);
    page
}

fn write_page(page: &mut String, report: &Report) -> std::fmt::Result {
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Hearken</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head>\
         <body><header><h1>Hearken</h1><p>{} mentions in {} messages by {} authors · {:.0}</p></header><main>",
        report.totals.mentions, report.totals.messages, report.totals.authors, report.made_at,
    )?;
    section(page, "Measurement", |page| {
        let heads =
            ["Brand", "Mentions", "Share of voice", "Reach", "Net sentiment", "Net, decided", "Neutral", "Unsure"];
        table(page, &heads, report.brands.iter(), brand)
    })?;
    section(page, "Monitoring: what rises", |page| {
        table(page, &["Brand", "Term", "Recent", "Before", "z"], report.trending.iter(), |page, trend| {
            cells(
                page,
                &[&Text(&trend.brand), &Text(&trend.term), &trend.recent, &trend.before, &Figure(Some(trend.z))],
            )
        })
    })?;
    section(page, "Monitoring: stories", |page| {
        let heads = ["Told first as", "Messages", "Authors", "Negative", "Positive", "Last told"];
        table(page, &heads, report.stories.iter(), |page, story| {
            let told = format!("<span dir=\"auto\">{}</span>", Text(&story.told_first));
            let last = format!("{:.0}", story.last_at);
            cells(page, &[&told, &story.messages, &story.authors, &story.negative, &story.positive, &last])
        })
    })?;
    section(page, "Monitoring: latest mentions", |page| mentions(page, &report.latest))?;
    section(page, "Mapping: authors by influence", |page| {
        let heads = ["Author", "Channel", "Followers", "Messages", "Mean sentiment", "Influence"];
        table(page, &heads, report.authors.iter(), |page, author| {
            let followers = author.followers.map_or_else(|| "–".to_owned(), |followers| followers.to_string());
            let mood = Figure(Some(author.mean_sentiment));
            let influence = Figure(Some(f64::from(author.influence)));
            let cells_of = [&Text(&author.handle) as &dyn Display, &Text(&author.channel), &followers];
            cells(page, &cells_of)?;
            cells(page, &[&author.messages, &mood, &influence])
        })
    })?;
    for (title, authors) in [("Mapping: advocates", &report.advocates), ("Mapping: detractors", &report.detractors)] {
        section(page, title, |page| {
            let heads = ["Author", "Channel", "Segments", "Positive", "Negative", "Advocacy"];
            table(page, &heads, authors.iter(), |page, author| {
                cells(page, &[&Text(author.called()), &Text(&author.channel), &Text(&author.segments.join(", "))])?;
                cells(page, &[&author.positive, &author.negative, &Figure(author.advocacy.map(f64::from))])
            })
        })?;
    }
    section(page, "Management: negative and unanswered", |page| mentions(page, &report.unanswered))?;
    section(page, "Middleware: sources", |page| {
        let heads = ["Source", "Channel", "Heard", "Matched", "Refused", "Last poll", "Last error"];
        table(page, &heads, report.sources.iter(), |page, source| {
            let polled = source.last_poll_at.map_or_else(|| "–".to_owned(), |at| format!("{at:.0}"));
            cells(page, &[&Text(&source.source), &Text(&source.channel), &source.messages, &source.messages_matched])?;
            cells(page, &[&source.poison, &polled, &Text(source.last_error.as_deref().unwrap_or("–"))])
        })
    })?;
    section(page, "Middleware: coverage gaps", |page| {
        table(page, &["Source", "Reason", "From", "Until", "Estimate", "Detail"], report.gaps.iter(), |page, gap| {
            let (from, until) = (format!("{:.0}", gap.from), format!("{:.0}", gap.until));
            let estimate = gap.estimate.map_or_else(|| "unknown".to_owned(), |missed| missed.to_string());
            cells(page, &[&Text(&gap.source), &Text(&gap.reason), &from, &until, &estimate, &Text(&gap.detail)])
        })
    })?;
    section(page, "Formulas", |page| {
        page.push_str("<dl>");
        for (figure, formula) in report.formulas {
            write!(page, "<dt>{}</dt><dd>{}</dd>", Text(figure), Text(formula))?;
        }
        page.push_str("</dl>");
        Ok(())
    })?;
    page.push_str("</main></body></html>");
    Ok(())
}

fn brand(page: &mut String, brand: &BrandFigures) -> std::fmt::Result {
    let share = brand.share_of_voice.unwrap_or(0.0);
    let meter = format!("<meter value=\"{share:.3}\">{0}</meter> {0}", Percent(brand.share_of_voice));
    cells(page, &[&Text(&brand.brand), &brand.mentions, &meter, &brand.reach])?;
    cells(page, &[&Interval(brand.net_sentiment), &Interval(brand.net_sentiment_decided)])?;
    cells(page, &[&Percent(brand.neutral_share), &Percent(brand.unsure_share)])
}

fn mentions(page: &mut String, mentions: &[Latest]) -> std::fmt::Result {
    table(
        page,
        &["When", "Brand", "Author", "What was said", "Sentiment", "Matched"],
        mentions.iter(),
        |page, mention| {
            let when = format!("{:.0}", mention.published_at);
            // The text decides its own direction: Persian and Arabic run from right to left.
            let said =
                format!("<span dir=\"auto\" lang=\"{}\">{}</span>", Text(&mention.language), Text(&mention.text));
            let mood =
                format!("<span class=\"{0}\">{0}</span> {1:+.2}", Text(&mention.sentiment), mention.sentiment_score);
            let matched = mention.matched.join(", ");
            cells(page, &[&when, &Text(&mention.brand), &Text(&mention.author), &said, &mood, &Text(&matched)])
        },
    )
}

fn section(page: &mut String, title: &str, body: impl FnOnce(&mut String) -> std::fmt::Result) -> std::fmt::Result {
    write!(page, "<section><h2>{title}</h2>")?;
    body(page)?;
    page.push_str("</section>");
    Ok(())
}

fn table<T>(
    page: &mut String,
    heads: &[&str],
    rows: impl ExactSizeIterator<Item = T>,
    mut row: impl FnMut(&mut String, T) -> std::fmt::Result,
) -> std::fmt::Result {
    if rows.len() == 0 {
        page.push_str("<p>Nothing yet.</p>");
        return Ok(());
    }
    page.push_str("<table><thead><tr>");
    for head in heads {
        write!(page, "<th scope=\"col\">{head}</th>")?;
    }
    page.push_str("</tr></thead><tbody>");
    for item in rows {
        page.push_str("<tr>");
        row(page, item)?;
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table>");
    Ok(())
}

fn cells(page: &mut String, cells: &[&dyn Display]) -> std::fmt::Result {
    cells.iter().try_for_each(|cell| write!(page, "<td>{cell}</td>"))
}

/// Text from outside, made harmless.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

/// A ratio as a percentage; a dash where it is undefined.
struct Percent(Option<f64>);

impl Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(ratio) = self.0 else { return f.write_str("–") };
        write!(f, "{:.1} %", ratio * 100.0)
    }
}

/// A number; a dash where it is undefined.
struct Figure(Option<f64>);

impl Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(value) = self.0 else { return f.write_str("–") };
        write!(f, "{value:+.2}")
    }
}

/// An estimate with its interval; a dash where it is undefined.
struct Interval(Option<Estimate>);

impl Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(Estimate { value, low, high }) = self.0 else { return f.write_str("–") };
        write!(f, "{value:+.2} <small>{low:+.2} to {high:+.2}</small>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_become_markup() {
        let shown = Text("<script>alert('1')</script> & \"x\"").to_string();
        assert_eq!(shown, "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;");
    }

    #[test]
    fn an_undefined_figure_is_a_dash() {
        assert_eq!((Percent(None).to_string(), Interval(None).to_string()), ("–".to_owned(), "–".to_owned()));
    }
}
