# python3 verify.py < body; exits with 0 when it is genuine.
import base64, hashlib, hmac, os, sys, time


def is_genuine(secret, id, timestamp, signatures, body):
    if abs(time.time() - int(timestamp)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    return any(hmac.compare_digest(given, expected) for given in signatures.split(" "))


names = ["WEBHOOK_SECRET", "WEBHOOK_ID", "WEBHOOK_TIMESTAMP", "WEBHOOK_SIGNATURE"]
body = sys.stdin.buffer.read()  # the bytes as they came, before anything parses them
sys.exit(0 if is_genuine(*(os.environ[name] for name in names), body) else 1)
