"""Posts a file as senders do that sign with a library: sender.py SCHEME URL SECRET ID FILE; prints the answer."""

import datetime
import hashlib
import hmac
import sys
import urllib.error
import urllib.request

import standardwebhooks

scheme, url, secret, delivery, path = sys.argv[1:]
body = open(path, "rb").read()
headers = {"Content-Type": "application/json"}
if scheme == "standard":
    now = datetime.datetime.now(datetime.timezone.utc)
    headers["webhook-id"] = delivery
    headers["webhook-timestamp"] = str(int(now.timestamp()))
    headers["webhook-signature"] = standardwebhooks.Webhook(secret).sign(delivery, now, body.decode())
else:
    headers["X-GitHub-Delivery"] = delivery
    headers["X-Hub-Signature-256"] = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
request = urllib.request.Request(url, data=body, headers=headers, method="POST")
try:
    with urllib.request.urlopen(request, timeout=60) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
