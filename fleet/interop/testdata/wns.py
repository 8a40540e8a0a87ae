"""A naive client of WNS, written from Microsoft's pages alone: signs in, and sends a raw notification to each channel.

Usage: wns.py TOKEN_URL CA_FILE CLIENT_ID SECRET_FILE CHANNEL...
Prints for each channel the status, X-WNS-Status and X-WNS-DeviceConnectionStatus.
"""
import json
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

token_url, ca_file, client_id, secret_file, *channels = sys.argv[1:]
trust = ssl.create_default_context(cafile=ca_file)
with open(secret_file) as f:
    secret = f.read().strip()


def call(url, body, headers):
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, context=trust) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, refusal.read()


form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret, "scope": "notify.windows.com"}
status, _, body = call(token_url, urllib.parse.urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"})
if status != 200:
    print("token", status, json.loads(body)["error"])
    sys.exit(0)
access = json.loads(body)
for channel in channels:
    status, headers, _ = call(channel, b"wake up", {
        "Authorization": access["token_type"].capitalize() + " " + access["access_token"],
        "X-WNS-Type": "wns/raw",
        "Content-Type": "application/octet-stream",
        "X-WNS-Cache-Policy": "cache",
        "X-WNS-RequestForStatus": "true",
    })
    print(status, headers.get("X-WNS-Status", "-"), headers.get("X-WNS-DeviceConnectionStatus", "-"))
