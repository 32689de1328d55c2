//! What the daemon counts about itself, in the OpenMetrics text format, for Prometheus.
//!
//! Counters live where things happen, gauges are read when somebody asks. `docs/operations.md` lists every name
//! with its unit and meaning.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::ledger::{LedgerEvent, What};
use crate::supervise::{TaskState, TaskStatus};

/// Content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Seconds = Gauge<f64, AtomicU64>;

/// All counters of a process; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    messages_heard: Family<Labels, Counter>,
    records_poison: Family<Labels, Counter>,
    gaps: Family<Labels, Counter>,
    source_errors: Family<Labels, Counter>,
    last_poll: Family<Labels, Seconds>,
    task_up: Family<Labels, Gauge>,
    task_restarts: Family<Labels, Counter>,
    log_lag: Family<Labels, Gauge>,
    queries: Gauge,
    query_memory: Gauge,
    mentions_stored: Family<Labels, Counter>,
    dead_letters: Family<Labels, Counter>,
    score: Histogram,
    insert: Histogram,
    heard_to_stored: Histogram,
    resident_memory: Gauge,
    processor: Counter<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        // 5 ms to 82 s.
        let seconds = || Histogram::new(exponential_buckets(0.005, 2.0, 15));
        let mut families = Families {
            registry: Registry::default(),
            messages_heard: Family::default(),
            records_poison: Family::default(),
            gaps: Family::default(),
            source_errors: Family::default(),
            last_poll: Family::default(),
            task_up: Family::default(),
            task_restarts: Family::default(),
            log_lag: Family::default(),
            queries: Gauge::default(),
            query_memory: Gauge::default(),
            mentions_stored: Family::default(),
            dead_letters: Family::default(),
            score: seconds(),
            insert: seconds(),
            heard_to_stored: seconds(),
            resident_memory: Gauge::default(),
            processor: Counter::default(),
        };
        families.register();
        Self(Arc::new(families))
    }
}

impl Families {
    fn register(&mut self) {
        let process = self.registry.sub_registry_with_prefix("process");
        process.register("resident_memory_bytes", "Memory of this process", self.resident_memory.clone());
        process.register("cpu_seconds", "Processor time of this process", self.processor.clone());
        let own = self.registry.sub_registry_with_prefix("hearken");
        own.register("build", "Release", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        own.register("messages_heard", "Messages that sources handed over", self.messages_heard.clone());
        own.register("records_poison", "Records of sources that could not be understood", self.records_poison.clone());
        own.register("gaps", "Admitted gaps in coverage", self.gaps.clone());
        own.register("source_errors", "Polls that failed", self.source_errors.clone());
        own.register("last_poll_timestamp_seconds", "When a poll last went well", self.last_poll.clone());
        own.register("task_up", "1 while a task works or is done, 0 while it waits or is down", self.task_up.clone());
        own.register("task_restarts", "Starts of a task after a failure", self.task_restarts.clone());
        own.register("log_lag_records", "Records of the log that a group has not committed", self.log_lag.clone());
        own.register("queries", "Brand queries that messages are matched with", self.queries.clone());
        own.register("query_memory_bytes", "Memory of the compiled brand queries", self.query_memory.clone());
        own.register("mentions_stored", "Mentions that the store has acknowledged", self.mentions_stored.clone());
        own.register("dead_letters", "Records put aside by a stage of the daemon", self.dead_letters.clone());
        own.register("score_seconds", "Matching and scoring of a chunk", self.score.clone());
        own.register("insert_seconds", "An insert until the store's acknowledgement", self.insert.clone());
        own.register(
            "heard_to_stored_seconds",
            "From heard to acknowledged by the store, of the oldest message of each insert",
            self.heard_to_stored.clone(),
        );
    }
}

impl Metrics {
    /// Tells how many queries are matched from now on, and the bytes that they take.
    pub fn queries(&self, count: usize, bytes: usize) {
        self.0.queries.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.0.query_memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts what a source did or missed.
    pub fn ledger(&self, event: &LedgerEvent) {
        let source = || vec![("source", event.source.clone())];
        match &event.what {
            What::Poll { at, messages, poison, error } => {
                let heard = vec![("source", event.source.clone()), ("channel", event.channel.clone())];
                self.0.messages_heard.get_or_create(&heard).inc_by(*messages);
                self.0.records_poison.get_or_create(&source()).inc_by(*poison);
                let errors = self.0.source_errors.get_or_create_owned(&source());
                if error.is_empty() {
                    self.0.last_poll.get_or_create(&source()).set(at.as_millisecond() as f64 / 1e3);
                } else {
                    errors.inc();
                }
            }
            What::Gap(gap) => {
                let gaps = vec![("source", event.source.clone()), ("reason", gap.reason.as_str().to_owned())];
                self.0.gaps.get_or_create(&gaps).inc();
            }
        }
    }

    /// Counts a chunk that was matched and scored.
    pub fn scored(&self, took: Duration) {
        self.0.score.observe(took.as_secs_f64());
    }

    /// Counts an insert that the store has acknowledged: its mentions by brand, its dead letters, when the oldest
    /// of its messages was heard.
    pub fn stored(
        &self,
        took: Duration,
        mentions: &BTreeMap<String, u64>,
        dead_letters: usize,
        heard: Option<Timestamp>,
    ) {
        self.0.insert.observe(took.as_secs_f64());
        for (brand, count) in mentions {
            self.0.mentions_stored.get_or_create(&vec![("brand", brand.clone())]).inc_by(*count);
        }
        let pipeline = vec![("stage", "pipeline".to_owned())];
        self.0.dead_letters.get_or_create(&pipeline).inc_by(dead_letters as u64);
        if let Some(heard) = heard {
            self.0.heard_to_stored.observe(Timestamp::now().duration_since(heard).as_secs_f64().max(0.0));
        }
    }

    /// Everything as text, with the tasks and the lag of each group as they are now.
    pub fn encode(&self, tasks: &BTreeMap<String, TaskStatus>, lag: &[(&str, u64)]) -> String {
        self.0.task_up.clear();
        for (task, status) in tasks {
            let labels = vec![("task", task.clone())];
            let is_down = matches!(status.state, TaskState::Waiting { .. } | TaskState::Failed { .. });
            self.0.task_up.get_or_create(&labels).set(i64::from(!is_down));
            let restarts = self.0.task_restarts.get_or_create(&labels);
            restarts.inc_by(status.restarts.saturating_sub(restarts.get()));
        }
        // A log that does not answer has no lag, rather than the last one.
        self.0.log_lag.clear();
        for (group, lag) in lag {
            let lag = i64::try_from(*lag).unwrap_or(i64::MAX);
            self.0.log_lag.get_or_create(&vec![("group", (*group).to_owned())]).set(lag);
        }
        let process = Process::of("self");
        self.0.resident_memory.set(process.resident_bytes);
        self.0.processor.inc_by((process.seconds - self.0.processor.get()).max(0.0));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

/// What Linux says of a process, without its children; zeros elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// Memory that it has now.
    pub resident_bytes: i64,
    /// Processor time that it has used.
    pub seconds: f64,
}

impl Process {
    /// Asks for a process by its id, or for `self`.
    pub fn of(pid: &str) -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
        // proc(5): `VmRSS` of `status` is in KiB.
        let resident = || {
            let status = read("status").ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().trim_end_matches(" kB").parse::<i64>().ok().map(|kib| kib << 10)
        };
        // proc(5): fields 14 and 15 of `stat` are user and system time in ticks, 100 a second.
        let seconds = || {
            let stat = read("stat").ok()?;
            let fields = stat.rsplit_once(')')?.1.split_whitespace();
            Some(fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0)
        };
        Self { resident_bytes: resident().unwrap_or(0), seconds: seconds().unwrap_or(0.0) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hearken_connectors::{Gap, GapReason};

    use super::*;

    fn event(what: What) -> LedgerEvent {
        LedgerEvent { source: "news".to_owned(), channel: "feed".to_owned(), what }
    }

    #[test]
    fn what_happened_is_counted_and_what_is_the_case_is_shown() {
        let metrics = Metrics::default();
        let at = Timestamp::from_second(1_772_323_200).unwrap();
        for messages in [2, 3] {
            metrics.ledger(&event(What::Poll { at, messages, poison: 1, error: String::new() }));
        }
        metrics.ledger(&event(What::Poll { at, messages: 0, poison: 0, error: "503".to_owned() }));
        let gap = Gap { from: at, until: at, reason: GapReason::Outage, estimate: None, detail: String::new() };
        metrics.ledger(&event(What::Gap(gap)));
        metrics.scored(Duration::from_millis(7));
        metrics.stored(Duration::from_millis(7), &[("Acme".to_owned(), 4)].into(), 1, Some(at));
        let status = |state| TaskStatus { state, since: at, restarts: 2 };
        let failed = TaskState::Failed { error: "401".to_owned() };
        let states = [("pipeline", TaskState::Running), ("source once", TaskState::Finished), ("source news", failed)];
        let tasks = states.map(|(name, state)| (name.to_owned(), status(state))).into();
        metrics.encode(&tasks, &[("hearken.scorer", 9)]);
        let text = metrics.encode(&tasks, &[("hearken.scorer", 7)]);
        for line in [
            "hearken_messages_heard_total{source=\"news\",channel=\"feed\"} 5",
            "hearken_records_poison_total{source=\"news\"} 2",
            "hearken_source_errors_total{source=\"news\"} 1",
            "hearken_gaps_total{source=\"news\",reason=\"outage\"} 1",
            "hearken_last_poll_timestamp_seconds{source=\"news\"} 1772323200.0",
            "hearken_mentions_stored_total{brand=\"Acme\"} 4",
            "hearken_dead_letters_total{stage=\"pipeline\"} 1",
            "hearken_score_seconds_count 1",
            "hearken_task_up{task=\"pipeline\"} 1",
            "hearken_task_up{task=\"source once\"} 1",
            "hearken_task_up{task=\"source news\"} 0",
            "hearken_task_restarts_total{task=\"pipeline\"} 2",
            "hearken_log_lag_records{group=\"hearken.scorer\"} 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
