//! Creates the topics that are missing, and compares those that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::task::spawn_blocking;

use super::client::{Context, TIMEOUT, config, max_message_bytes, watermarks};
use super::{KafkaOptions, topic_name};
use crate::eventlog::{LogError, Topic};

/// Makes sure that every topic is there; `existing` are the topics of the cluster and how many
/// partitions they have.
pub(super) async fn ensure(options: &KafkaOptions, existing: &BTreeMap<String, usize>) -> Result<(), LogError> {
    let context = Context::default();
    let explain = |what: &str, error: &KafkaError| context.complaint.explain(what, &options.brokers, error);
    let admin = config(options)?
        .create_with_context::<_, AdminClient<Context>>(context.clone())
        .map_err(|error| explain("connect", &error))?;

    let wanted = Topic::ALL.map(|topic| (topic_name(options, topic), settings(options, topic)));
    let (present, missing): (Vec<_>, Vec<_>) = wanted.iter().partition(|(name, _)| existing.contains_key(name));
    let request = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    let new_topics = missing.iter().map(|(name, settings)| {
        let replication = TopicReplication::Fixed(i32::from(options.replication));
        let topic = NewTopic::new(name, i32::try_from(options.partitions).unwrap_or(i32::MAX), replication);
        settings.iter().fold(topic, |topic, (setting, value)| topic.set(setting, value))
    });
    let new_topics = new_topics.collect::<Vec<_>>();
    if !new_topics.is_empty() {
        let created = admin.create_topics(&new_topics, &request).await;
        for created in created.map_err(|error| explain("create topics", &error))? {
            match created {
                // Another Hearken was faster.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(explain(&format!("create the topic {name}"), &KafkaError::AdminOp(code)));
                }
            }
        }
    }

    // A client that asks for a topic before it is there remembers for minutes that it is not.
    let new = missing.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let partitions = i32::try_from(options.partitions).unwrap_or(i32::MAX);
    let admin = Arc::new(admin);
    let asking = admin.clone();
    let usable = spawn_blocking(move || {
        let mut all = new.iter().flat_map(|name| (0..partitions).map(move |partition| (name, partition)));
        all.try_for_each(|(name, partition)| watermarks(asking.inner(), name, partition).map(drop))
    });
    usable
        .await
        .map_err(|_| LogError::Unavailable("asking Kafka for its topics was interrupted".into()))?
        .map_err(|error| explain("use the new topics", &error))?;

    let described = present.iter().map(|(name, _)| ResourceSpecifier::Topic(name)).collect::<Vec<_>>();
    if described.is_empty() {
        return Ok(());
    }
    let described = admin.describe_configs(&described, &request).await;
    let described = described.map_err(|error| explain("read the settings of the topics", &error))?;
    for ((name, settings), described) in present.iter().zip(described) {
        let actual = described.as_ref().map(rdkafka::admin::ConfigResource::entry_map).unwrap_or_default();
        let mut differing = settings
            .iter()
            .filter_map(|(setting, wanted)| {
                let actual = actual.get(setting)?.value.as_deref().unwrap_or_default();
                (actual != wanted).then(|| format!("{setting} is {actual}, Hearken would set {wanted}"))
            })
            .collect::<BTreeSet<_>>();
        let partitions = existing.get(name).copied().unwrap_or_default();
        if partitions != options.partitions as usize {
            differing.insert(format!("it has {partitions} partitions, Hearken would make {}", options.partitions));
        }
        if !differing.is_empty() {
            tracing::warn!(topic = name, ?differing, "a Kafka topic is kept as it is");
        }
    }
    Ok(())
}

/// The settings of a new topic.
fn settings(options: &KafkaOptions, topic: Topic) -> Vec<(&'static str, String)> {
    let mut settings = vec![("max.message.bytes", max_message_bytes().to_string())];
    if topic.is_compacted() {
        settings.push(("cleanup.policy", "compact".to_owned()));
        return settings;
    }
    settings.push(("cleanup.policy", "delete".to_owned()));
    let millis = options.retention_age.map_or("-1".to_owned(), |age| age.as_millis().to_string());
    settings.push(("retention.ms", millis));
    let bytes = options.retention_bytes.map_or("-1".to_owned(), |bytes| bytes.to_string());
    settings.push(("retention.bytes", bytes));
    settings
}
