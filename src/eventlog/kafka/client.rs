//! What all clients of a broker have in common: settings, logging, and what an error means.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio::sync::oneshot;

use super::KafkaOptions;
use crate::eventlog::{LogError, MAX_RECORD_BYTES};

/// Requests that take longer have failed.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// Settings that carry the delivery semantics; nobody else may set them.
const OURS: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "partitioner",
    "partition.assignment.strategy",
    "sasl.password",
    "transactional.id",
];

/// The configuration shared by all clients.
pub(super) fn config(options: &KafkaOptions) -> Result<ClientConfig, LogError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.brokers)
        .set("client.id", "hearken")
        .set("message.max.bytes", max_message_bytes().to_string())
        .set("reconnect.backoff.max.ms", "2000")
        .set_log_level(RDKafkaLogLevel::Warning);
    for (name, value) in &options.client {
        if OURS.contains(&name.as_str()) {
            return Err(LogError::Unusable(format!(
                "the Kafka client setting `{name}` cannot be changed: Hearken's delivery promises depend on it"
            )));
        }
        config.set(name, value);
    }
    if let Some(password) = &options.password {
        config.set("sasl.password", password.expose());
    }
    Ok(config)
}

/// A record of the largest size with what the protocol puts around it.
pub(super) fn max_message_bytes() -> usize {
    MAX_RECORD_BYTES + (64 << 10)
}

/// The first offset of a partition and the next one to be written; waits until the partition has a
/// leader, which it has not for a moment when it is new or moves.
pub(super) fn watermarks<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), KafkaError> {
    use RDKafkaErrorCode as Code;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let error = match client.fetch_watermarks(topic, partition, TIMEOUT) {
            Ok(watermarks) => return Ok(watermarks),
            Err(error) => error,
        };
        let passing = [
            Code::LeaderNotAvailable,
            Code::NotLeaderForPartition,
            Code::UnknownPartition,
            Code::UnknownTopic,
            Code::UnknownTopicOrPartition,
        ];
        if error.rdkafka_error_code().is_none_or(|code| !passing.contains(&code)) || Instant::now() > deadline {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(50));
        // Without asking anew, the client believes for minutes what it was told first.
        client.fetch_metadata(Some(topic), TIMEOUT)?;
    }
}

/// Remembers what the client complained about last: requests fail with a bare timeout, the reason
/// arrives separately.
#[derive(Default)]
pub(super) struct Complaint(Mutex<Option<(RDKafkaErrorCode, String)>>);

/// The context of a client that only asks.
#[derive(Clone, Default)]
pub(super) struct Context {
    pub(super) complaint: Arc<Complaint>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaint.remember(&error, reason);
    }
}

impl rdkafka::consumer::ConsumerContext for Context {}

/// One append that waits for its deliveries: dropped by the last one, which ends the waiting.
pub(super) struct Pending(Mutex<Option<oneshot::Sender<KafkaError>>>);

impl Pending {
    /// The receiver gets the first error, or is closed when everything has been delivered.
    pub(super) fn new() -> (Arc<Self>, oneshot::Receiver<KafkaError>) {
        let (failed, outcome) = oneshot::channel();
        (Arc::new(Self(Mutex::new(Some(failed)))), outcome)
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Arc<Pending>) {
        if let Err((error, _)) = result
            && let Some(failed) = pending.0.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // Nobody waits any more where the append was cancelled.
            let _ = failed.send(error.clone());
        }
    }
}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
            tracing::debug!(facility, message, "kafka client");
        }
        _ => tracing::warn!(facility, message, "kafka client"),
    }
}

impl Complaint {
    pub(super) fn remember(&self, error: &KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" follows the reason and hides it.
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some((code, reason.to_owned()));
        }
    }

    fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an error means to whoever asked for `what`.
    pub(super) fn explain(&self, what: &str, brokers: &str, error: &KafkaError) -> LogError {
        use RDKafkaErrorCode as Code;
        let code = error.rdkafka_error_code();
        let timed_out = matches!(
            code,
            None | Some(
                Code::OperationTimedOut | Code::MessageTimedOut | Code::BrokerTransportFailure | Code::AllBrokersDown
            )
        );
        // Only where the request itself does not say more than that nobody answered.
        let complaint = if timed_out { self.last() } else { None };
        let reason = complaint.as_ref().map_or_else(|| error.to_string(), |(_, reason)| reason.clone());
        match complaint.map(|(code, _)| code).or(code) {
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => LogError::Unusable(format!(
                "cannot {what}: the Kafka brokers {brokers} refuse the credentials, check `username`, `password` and `mechanism`: {reason}"
            )),
            Some(
                Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed,
            ) => LogError::Unusable(format!(
                "cannot {what}: the Kafka user may not do that, grant it the topics and groups of Hearken: {reason}"
            )),
            Some(Code::Resolve) => LogError::Unusable(format!(
                "cannot {what}: no host has the name given in the Kafka brokers {brokers}, check the setting: {reason}"
            )),
            Some(Code::SSL) => LogError::Unusable(format!(
                "cannot {what}: no secure connection to the Kafka brokers {brokers}, check `tls` and `ca_file`: {reason}"
            )),
            _ if reason.contains("ssl.ca.location") => LogError::Unusable(format!(
                "cannot {what}: `ca_file` cannot be read, or holds no certificates in PEM: {reason}"
            )),
            _ if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) => {
                LogError::Unusable(format!("cannot {what}: a setting of the Kafka client is wrong: {reason}"))
            }
            Some(Code::MessageSizeTooLarge) => LogError::Unusable(format!(
                "cannot {what}: the topic takes smaller records only, raise its `max.message.bytes` to {}: {reason}",
                max_message_bytes()
            )),
            // A broker that expects TLS only hangs up, as one does that restarts.
            _ => LogError::Unavailable(format!(
                "cannot {what}: Kafka at {brokers} did not do it in time, check that it is there and whether it wants `tls`: {reason}"
            )),
        }
    }
}
