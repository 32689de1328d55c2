"""What a user would write instead of the daemon: confluent-kafka, vaderSentiment, clickhouse-connect.

python_stack.py FILE MESSAGES BOOTSTRAP CLICKHOUSE_URL, with user and password in CLICKHOUSE_USER and
CLICKHOUSE_PASSWORD. One process reads the tweets of FILE and produces them, another one consumes them, finds
the airline, scores the text and inserts. Prints messages a second, from the first one read to the last one
stored.
"""

import json
import multiprocessing
import os
import sys
import time
from urllib.parse import urlsplit

AIRLINES = ("americanair", "jetblue", "southwestair", "usairways", "united", "virginamerica")
COLUMNS = ("id", "author", "brand", "text", "ts", "score", "label")
TOPIC = f"python-{os.getpid()}"
INSERT_ROWS = 20_000


def produce(file, bootstrap):
    from confluent_kafka import Producer

    settings = {"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 20, "compression.type": "lz4"}
    producer = Producer(settings)
    for line in open(file, "rb"):
        tweet = json.loads(line)
        while True:
            try:
                producer.produce(TOPIC, json.dumps(tweet).encode(), key=tweet["id"])
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    producer.flush()


def consume(count, bootstrap, url):
    import clickhouse_connect
    from confluent_kafka import Consumer
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    url = urlsplit(url)
    user, password = os.environ["CLICKHOUSE_USER"], os.environ["CLICKHOUSE_PASSWORD"]
    store = clickhouse_connect.get_client(
        host=url.hostname, port=url.port, username=user, password=password, compress=False
    )
    store.command("CREATE DATABASE IF NOT EXISTS python")
    store.command(
        "CREATE OR REPLACE TABLE python.mentions (id String, author String, brand String, text String, ts String,"
        " score Float32, label String) ENGINE = ReplacingMergeTree ORDER BY id"
    )
    group = {"group.id": TOPIC, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({"bootstrap.servers": bootstrap, **group})
    consumer.subscribe([TOPIC])
    done, rows = 0, []
    while done < count:
        for record in consumer.consume(5000, 1.0):
            if record.error():
                continue
            tweet = json.loads(record.value())
            text = tweet["text"].lower()
            brand = next((airline for airline in AIRLINES if "@" + airline in text), "")
            score = analyzer.polarity_scores(tweet["text"])["compound"]
            label = "positive" if score >= 0.05 else "negative" if score <= -0.05 else "neutral"
            rows.append([tweet["id"], tweet["author"], brand, tweet["text"], tweet["created_at"], score, label])
            done += 1
        if len(rows) >= INSERT_ROWS or done >= count:
            store.insert("python.mentions", rows, column_names=COLUMNS)
            rows = []
            consumer.commit(asynchronous=False)
    stored = store.query("SELECT count() FROM python.mentions").result_rows[0][0]
    assert stored == count, f"{stored} of {count} messages are stored"


def create_topic(bootstrap):
    from confluent_kafka.admin import AdminClient, NewTopic

    topic = NewTopic(TOPIC, num_partitions=4, replication_factor=1)
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.create_topics([topic])[TOPIC].result()


def main():
    file, count, bootstrap, url = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    create_topic(bootstrap)
    started = time.monotonic()
    producer = multiprocessing.Process(target=produce, args=(file, bootstrap))
    producer.start()
    consume(count, bootstrap, url)
    producer.join()
    print(count / (time.monotonic() - started))


if __name__ == "__main__":
    main()
