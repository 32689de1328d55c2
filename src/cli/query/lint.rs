//! `hearken query lint`: what is odd about queries.

use clap::Args;
use hearken::analyst::{Entries, Finding, Linter, Severity};
use hearken::app;
use hearken::config::{Config, Diagnostic};
use serde::Serialize;

use super::super::exit::Failure;
use super::super::{Session, output};
use super::{Named, Subject, input};

/// Arguments of `hearken query lint`.
#[derive(Args)]
pub(in crate::cli) struct Lint {
    #[command(flatten)]
    subject: Subject,
}

/// One finding of the answer.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<&'a str>,
    #[serde(flatten)]
    finding: Finding,
}

impl Lint {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let Subject { query, file, brand } = self.subject.arranged()?;
        // A query can be tried where there is no configuration yet.
        let is_needed = query.is_none() || session.config.exists();
        let config = if is_needed { Some(session.config()?) } else { None };
        let known = config.as_ref().map(app::entries);
        let queries = match (query, brand) {
            (Some(query), _) => vec![Named { brand: None, query }],
            (None, Some(brand)) => vec![Named::of_brand(&brand, session)?],
            (None, None) => of_all_brands(known.as_ref()),
        };
        let mut found = Vec::new();
        for named in &queries {
            let mut linter = Linter::new(&named.query, known.as_ref()).map_err(|wrong| named.wrong(wrong))?;
            if let Some(file) = &file {
                input::each_message(Some(file), |_, message| {
                    linter.read(message);
                    Ok(())
                })?;
            }
            found.extend(linter.findings().into_iter().map(|finding| (named, finding)));
        }
        let errors = found.iter().filter(|(_, finding)| finding.severity == Severity::Error).count();
        if session.json {
            let found = found.into_iter().map(|(named, finding)| Found { brand: named.brand.as_deref(), finding });
            output::json(&found.collect::<Vec<_>>())?;
        } else if found.is_empty() {
            output::text("nothing odd was found\n")?;
        } else {
            let blocks: Vec<String> = found.into_iter().map(|(named, finding)| text(named, finding)).collect();
            output::text(&blocks.join("\n"))?;
        }
        if errors == 0 { Ok(()) } else { Err(Failure::data(format!("{errors} findings are errors"))) }
    }
}

fn of_all_brands(known: Option<&Entries>) -> Vec<Named> {
    let brands = known.map(|known| known.brands.as_slice()).unwrap_or_default();
    brands.iter().map(|brand| Named { brand: Some(brand.brand.clone()), query: brand.query.clone() }).collect()
}

fn text(named: &Named, finding: Finding) -> String {
    let Finding { severity, span, reason, suggestion } = finding;
    let heading = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Hint => "hint",
    };
    let diagnostic = Diagnostic::of_query(&named.name(), &named.query, span.start..span.end, &reason, suggestion);
    format!("{}\n", diagnostic.headed(heading))
}

/// What is odd about the brands' queries by themselves, brand by brand, hints left out.
pub(in crate::cli) fn notes(config: &Config) -> Vec<(String, String)> {
    let known = app::entries(config);
    let mut notes = Vec::new();
    for named in of_all_brands(Some(&known)) {
        // The configuration was read, so its queries can be.
        let findings = Linter::new(&named.query, Some(&known)).map(Linter::findings).unwrap_or_default();
        let findings = findings.into_iter().filter(|finding| finding.severity != Severity::Hint);
        notes.extend(findings.map(|finding| (named.name(), finding.reason)));
    }
    notes
}
