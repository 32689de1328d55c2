"""Posts deliveries until they are taken: webhook.py URL SECRET DELIVERIES RECORDS PAUSE; prints how many records were.

Every fifth delivery is sent twice, as senders do that miss an answer.
"""

import datetime
import json
import sys
import time
import urllib.error
import urllib.request

import standardwebhooks

url, secret = sys.argv[1:3]
deliveries, records, pause = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])


def post(delivery, body):
    """Whether the delivery is taken; the sender is at fault where it is refused for good."""
    now = datetime.datetime.now(datetime.timezone.utc)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign(delivery, now, body),
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=30) as answer:
            return json.load(answer) == {"accepted": records, "rejected": []}
    except urllib.error.HTTPError as error:
        # 404 while the daemon has not begun to listen.
        if error.code not in (404, 503):
            raise
        return False
    except OSError:
        return False


start = time.monotonic()
for number in range(deliveries):
    delivery = f"msg_{number}"
    thread = [
        {
            "id": f"{number}-{place}",
            "thread": f"thread {number}",
            "author": f"shopper{place}",
            "text": f"Order {number}: the kettle is {'great' if place else 'late'}",
            "at": f"2026-03-02T10:{number // 60 % 60:02}:{number % 60:02}Z",
        }
        for place in range(records)
    ]
    for _ in range(2 if number % 5 == 0 else 1):
        while not post(delivery, json.dumps(thread)):
            time.sleep(0.2)
    time.sleep(max(0.0, start + (number + 1) * pause - time.monotonic()))
print(deliveries * records)
