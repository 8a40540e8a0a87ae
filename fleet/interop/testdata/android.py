"""An agent of rollcall's protocol for Android, as a stranger writes one: from the page of protocol/android, its OpenAPI document and
RFC 7030 and RFC 8894, with Python's standard library and the openssl command.

    android.py FOLDER

The first line of stdin is what a QR code says. Each further line is [METHOD, ARGUMENT..., {NAME: ARGUMENT}] as JSON and is answered
with one line of JSON.
"""

import base64
import hashlib
import http.client
import json
import os
import random
import ssl
import subprocess
import sys
import time
import urllib.parse
import uuid

import scep

V1 = "/android/v1/"


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def raw_members(text):
    """The members of a JSON object as they stand in it, to the byte."""
    decode, members, at = json.JSONDecoder().raw_decode, {}, text.index("{") + 1
    skip = lambda at: at + len(text[at:]) - len(text[at:].lstrip(" \t\r\n,:"))
    while text[at := skip(at)] != "}":
        name, at = decode(text, at)
        start = skip(at)
        _, at = decode(text, start)
        members[name] = text[start:at]
    return members


def instant(text):
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone if text else None


class Ended(Exception):
    """The conversation is over; outcome says what the device does about it."""

    def __init__(self, outcome):
        super().__init__(outcome)
        self.outcome = outcome


class Lost(Ended):
    """There was no answer."""


class Agent:
    def __init__(self, folder, qr):
        bundle = qr["android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE"]
        self.folder, self.url = folder, bundle["rollcall.SERVER_URL"]
        self.token, self.mode = bundle["rollcall.ENROLLMENT_TOKEN"], bundle["rollcall.MODE"]
        self.fingerprint = bundle.get("rollcall.CA_SHA256")
        self.serial = "S-%06d" % random.randrange(10**6)
        self.state, self.epoch = "PROVISIONING", 0
        self.policy_name, self.policy_version, self.policy, self.profiles = "", 0, {}, {}
        self.done, self.log, self.offered = {}, [], []
        self.unrecognised, self.failures, self.ahead = 0, 0, 0
        self.identity, self.before = None, None

    def path(self, name):
        return os.path.join(self.folder, name)

    # Transport

    def context(self, identity=None):
        context = ssl.create_default_context(cafile=self.path("ca.pem") if self.fingerprint else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if identity:
            context.load_cert_chain(identity["certificate"], identity["key"])
        return context

    def send(self, method, path, body=None, headers=None, identity=None, context=None):
        url = urllib.parse.urlsplit(urllib.parse.urljoin(self.url, path))
        connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=20, context=context or self.context(identity))
        try:
            connection.request(method, url.path + ("?" + url.query if url.query else ""), body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except ssl.SSLCertVerificationError:
            raise Ended({"outcome": "the server is another one"})
        except ssl.SSLError:
            raise Ended({"outcome": "enrol again"})
        except (OSError, http.client.HTTPException) as error:
            raise Lost(self.later(None) | {"error": type(error).__name__})
        finally:
            connection.close()

    def ask(self, method, name, body=None, headers=None, identity=None):
        """One question in JSON. What is no 200 ends the conversation as the page says."""
        if body is not None:
            headers = {"Content-Type": "application/json"} | (headers or {})
            body = compact(body).encode()
        try:
            status, headers, answer = self.send(method, V1 + name, body, headers, identity)
        except Lost:  # it is sent again as it was
            status, headers, answer = self.send(method, V1 + name, body, headers, identity)
        if status == 200:
            self.unrecognised = self.failures = 0
            return answer.decode()
        raise Ended(self.refused(status, headers, answer))

    def refused(self, status, headers, answer):
        try:
            details = json.loads(answer)["error"].get("details", [])
            reasons = [d for d in details if d.get("domain") == "rollcall"]
            orders = [d["jws"] for d in details if d.get("@type") == "rollcall/unenrollOrder"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return self.later(headers) | {"status": status, "reason": "not of the protocol"}
        reason = {"status": status} | {k: v for d in reasons for k, v in (d.get("metadata", {}) | {"reason": d.get("reason", "")}).items()}
        if status == 410 and orders and (order := self.order(orders[0])):
            self.say_goodbye("ORDER")
            return reason | self.leave(order)
        if status == 401:
            self.unrecognised += 1
            outcome = self.later(headers)
            if self.unrecognised == 3 and self.identity:
                outcome["renewed"] = self.renew(self.source)
            return reason | outcome
        if status == 503 and "notice" in reason:
            self.take_notice(reason.pop("notice"))
        if status == 403:
            return reason | {"outcome": "keep, by schedule"}
        return reason | self.later(headers)

    def later(self, headers):
        after = headers and headers.get("Retry-After")
        if after and after.isdigit():
            wait = int(after)
        else:
            wait = min(30 * 60, 60 * 2**self.failures) * random.uniform(0.8, 1.2)
        self.failures += 1
        return {"outcome": "keep, later", "after": round(wait)}

    # Signed statements

    def verified(self, jws, kind, payload=None):
        """The payload of a statement that a policy key of the enrolment signed, or None."""
        parts = jws.split(".")
        if len(parts) != 3 or payload is not None and parts[1]:
            return None
        head, body, signature = parts
        if payload is not None:
            body = b64url(payload)
        for key in self.keys:
            if head != b64url(compact({"alg": "ES256", "kid": key["kid"], "typ": kind}).encode()):
                continue
            raw = from_b64url(signature)
            if len(raw) != 64:
                return None
            numbers = b""
            for half in (raw[:32], raw[32:]):
                half = half.lstrip(b"\0") or b"\0"
                half = b"\0" * (half[0] >> 7) + half
                numbers += bytes([2, len(half)]) + half
            with open(self.path("signature"), "wb") as f:
                f.write(bytes([0x30, len(numbers)]) + numbers)
            with open(self.path("policy-key.pem"), "w") as f:
                f.write("-----BEGIN PUBLIC KEY-----\n" + key["spki"] + "\n-----END PUBLIC KEY-----\n")
            try:
                openssl("dgst", "-sha256", "-verify", f.name, "-signature", self.path("signature"), data=(head + "." + body).encode())
            except subprocess.CalledProcessError:
                return None
            return from_b64url(body)
        return None

    def order(self, jws):
        payload = self.verified(jws, "rollcall-order")
        order = json.loads(payload) if payload else {}
        kinds = {"WORK_PROFILE_PERSONAL": ["PROFILE"], "WORK_PROFILE_COMPANY": ["RELEASE", "RESET"], "AOSP_USER": ["RELEASE", "RESET"]}
        mine = order.get("device") == self.device and order.get("enrollment") == self.enrollment
        return order if mine and order.get("mode") in kinds.get(self.mode, ["RESET"]) else None

    def take_notice(self, jws):
        payload = self.verified(jws, "rollcall-notice")
        if payload and (notice := json.loads(payload))["epoch"] > self.epoch:
            self.epoch = notice["epoch"]

    # Enrolment and identity

    def trust(self):
        """Fetch the server's authority, which the fingerprint of the QR code vouches for (RFC 7030, section 4.1.1)."""
        if not self.fingerprint:
            return
        blind = ssl.create_default_context()
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        status, _, answer = self.send("GET", "/.well-known/est/cacerts", context=blind)
        for certificate in self.certificates(answer) if status == 200 else []:
            if hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest() == self.fingerprint.lower():
                with open(self.path("ca.pem"), "w") as f:
                    f.write(certificate)
                return
        raise Ended({"outcome": "the server is another one"})

    def certificates(self, answer):
        text = openssl("pkcs7", "-inform", "DER", "-print_certs", data=base64.b64decode(answer)).decode()
        end = "-----END CERTIFICATE-----\n"
        return [part[part.index("-----BEGIN") :] + end for part in text.split(end)[:-1]]

    def discover(self):
        self.trust()
        found = json.loads(self.ask("GET", "discovery"))
        self.keys, self.issuers, self.est = found["policyKeys"], found["identityKeys"], found["est"]
        return {"protocol": found["protocol"], "keys": len(self.keys)}

    def hardware(self):
        known_by = "enterpriseSpecificId" if self.mode == "WORK_PROFILE_PERSONAL" else "serialNumber"
        return {"brand": "acme", "model": "A1", known_by: self.serial}

    def software(self):
        return {"apiLevel": 34, "androidVersion": "14"}

    def register(self, token=None, **other):
        body = {"protocol": 1, "role": "dpc", "mode": self.mode, "hardware": self.hardware(), "software": self.software()}
        return json.loads(self.ask("POST", "enroll", body | other, {"Authorization": "Bearer " + (token or self.token)}))

    def request(self, subject):
        name = self.path(uuid.uuid4().hex)
        der = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name + ".key",
                      "-subj", "/" + subject, "-outform", "DER", "-config", os.devnull)
        return name, base64.b64encode(der)

    def certified(self, name, certificate):
        with open(name + ".pem", "w") as f:
            f.write(certificate)
        if not self.issued(f.name):
            raise Ended({"outcome": "the certificate is a stranger's"})
        serial = openssl("x509", "-in", f.name, "-noout", "-serial").decode().strip().removeprefix("serial=")
        return {"certificate": f.name, "key": name + ".key", "serial": serial}

    def issued(self, certificate):
        """Whether an authority signed it whose key is one of the identity keys."""
        _, _, answer = self.send("GET", "/.well-known/est/cacerts")
        for authority in self.certificates(answer):
            with open(self.path("issuer.pem"), "w") as f:
                f.write(authority)
            key = openssl("x509", "-in", f.name, "-noout", "-pubkey").decode().split("\n")[1:-2]
            try:
                if "".join(key) in self.issuers and openssl("verify", "-no_check_time", "-CAfile", f.name, certificate):
                    return True
            except subprocess.CalledProcessError:
                pass
        return False

    def est_request(self, url, what, request, **how):
        headers = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"} | how.pop("headers", {})
        return self.send("POST", url.rstrip("/") + "/" + what, request, headers, **how)

    def enroll(self):
        self.discover()
        answer = self.register()
        self.device, self.enrollment, self.epoch = answer["device"], answer["enrollment"], answer["epoch"]
        offer = answer["certificate"]
        self.source, self.subject = {"method": offer["method"], "url": offer["url"]}, offer["subject"]
        if offer["method"] == "scep":
            self.identity = self.by_scep(offer["url"], subject=self.subject.removeprefix("CN="), challenge=offer["challenge"])
            return self.checkin("ENROLLED")
        self.est = offer["url"]
        name, request = self.request(self.subject)
        basic = base64.b64encode((self.device + ":" + offer["challenge"]).encode()).decode()
        status, headers, certificate = self.est_request(offer["url"], "simpleenroll", request, headers={"Authorization": "Basic " + basic})
        if status != 200:
            raise Ended({"outcome": "no certificate", "status": status, "text": certificate.decode()})
        self.identity = self.certified(name, self.certificates(certificate)[0])
        return self.checkin("ENROLLED")

    def by_scep(self, url, **how):
        client, name = scep.Client(self.folder, url, self.send), self.path(uuid.uuid4().hex)
        try:
            return self.certified(name, client.certificate(client.key(name + ".key"), **how))
        except scep.Failed as no:
            raise Ended({"outcome": "no certificate", "text": str(no)})

    def renew(self, offer):
        if offer["method"] == "scep":
            try:
                self.before, self.identity = self.identity, self.by_scep(offer["url"], renew=self.identity)
            except Ended as no:
                return no.outcome["text"]
            return 200
        name, request = self.request(offer.get("subject") or self.subject)
        status, _, certificate = self.est_request(offer["url"], "simplereenroll", request, identity=self.identity)
        if status != 200:
            return status
        self.before, self.identity = self.identity, self.certified(name, self.certificates(certificate)[0])
        return status

    # A check-in

    def applied(self):
        profiles = [{"id": p["id"], "version": p["version"], "status": "APPLIED"} for p in self.profiles.values()]
        applied = {"state": self.state, "profiles": profiles}
        return applied | ({"policyName": self.policy_name, "policyVersion": str(self.policy_version)} if self.policy_version else {})

    def round(self, reason, checkin, number, results=(), whole=False, other=None):
        body = {
            "protocol": 1, "checkin": checkin, "round": number, "device": self.device, "reason": reason, "epoch": self.epoch,
            "applied": self.applied(), "compliant": True, "identity": {"serial": self.identity["serial"]},
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        if results:
            body["results"] = results
        if reason == "ENROLLED" and number == 1:
            body["push"] = {"kind": "fcm", "fid": "fid-" + self.serial}
        if status := self.status(whole):
            body["status"] = status
        return self.ask("POST", "checkin", body | (other or {}), identity=self.identity)

    def status(self, whole):
        if not whole:
            return None
        wanted = self.policy.get("statusReportingSettings")
        parts = {
            "softwareInfo": (self.software(), "softwareInfoEnabled"),
            "memoryInfo": ({"totalRam": "8000000000", "totalInternalStorage": "128000000000"}, "memoryInfoEnabled"),
            "deviceSettings": ({"isDeviceSecure": True, "adbEnabled": False}, "deviceSettingsEnabled"),
        }
        asked = {name: part for name, (part, setting) in parts.items() if wanted is None or wanted.get(setting)}
        return {"hardwareInfo": self.hardware()} | asked

    def checkin(self, reason):
        self.log, results, whole, leaving, checkin = [], [], reason == "ENROLLED", None, str(uuid.uuid4())
        self.expire()
        for number in range(1, 17):
            text = self.round(reason, checkin, number, results, whole)
            if leaving:
                return self.leave(leaving)
            answer = json.loads(text)
            self.state, results, whole = answer["state"], [], False
            if "notice" in answer["authority"]:
                self.take_notice(answer["authority"]["notice"])
            if answer["complete"]:
                return {"outcome": "complete", "rounds": number, "next": answer["next"]["schedule"], "epoch": self.epoch, "did": self.log}
            if "policy" in answer:
                self.apply(raw_members(text)["policy"])
            for command in answer.get("commands", []):
                result, order, all_of_it = self.carry_out(command)
                results.append(result)
                leaving, whole = leaving or order, whole or all_of_it
            if "renew" in answer:
                self.log.append("renew %d" % self.renew(answer["renew"]))
        raise Ended({"outcome": "keep, later", "reason": "16 rounds"})

    def apply(self, text):
        self.offered.append(text)
        raw, update = raw_members(text), json.loads(text)
        version = int(update["version"])
        signed = "\n".join((self.device, self.enrollment, update["version"], raw["policy"], raw["profiles"])).encode()
        if self.verified(update["signature"], "rollcall-policy", signed) is None or version < self.policy_version:
            self.log.append("refuse policy")
            return
        listed = {p["id"]: p for p in update["profiles"]}
        for old in list(self.profiles.values()):
            if old["id"] not in listed and old["family"] != "configuration":
                del self.profiles[old["id"]]
                self.log.append("drop " + old["name"])
        for new in listed.values():
            if "removeAfter" in new:
                if new["id"] in self.profiles:
                    self.profiles[new["id"]]["removeAfter"] = new["removeAfter"]
            elif self.profiles.get(new["id"], {}).get("version") != new["version"]:
                self.profiles[new["id"]] = new
                self.log.append("apply " + new["name"])
        self.policy_name, self.policy_version, self.policy = update["name"], version, update["policy"]
        self.expire()

    def expire(self):
        """Drop what has to go by now."""
        for old in list(self.profiles.values()):
            if "removeAfter" in old and instant(old["removeAfter"]) <= time.time() + self.ahead:
                del self.profiles[old["id"]]
                self.log.append("drop " + old["name"])

    def carry_out(self, command):
        """What became of it, the order to leave in it, and whether the next round brings a whole status report."""
        name, kind = command["id"], command["type"]
        if name in self.done:
            return self.done[name], None, False
        result, order, whole = {"command": name, "state": "DONE"}, None, False
        if (expires := instant(command.get("expireTime"))) and expires <= time.time() + self.ahead:
            result |= {"state": "ERROR", "errorCode": "EXPIRED"}
        elif kind in ("WIPE", "RELINQUISH_OWNERSHIP"):
            order = self.order(command.get("order", ""))
            if not order:
                result |= {"state": "ERROR", "errorCode": "NO_ORDER"}
        elif kind == "REQUEST_DEVICE_INFO":
            whole = True
        elif kind not in ("LOCK", "REBOOT"):
            result |= {"state": "ERROR", "errorCode": "UNSUPPORTED"}
        self.log.append("%s %s" % (kind, result.get("errorCode", "DONE")))
        self.done[name] = result
        return result, order, whole

    # The end

    def say_goodbye(self, reason):
        body = {"device": self.device, "enrollment": self.enrollment, "reason": reason}
        return json.loads(self.ask("POST", "unenroll", body, identity=self.identity))

    def leave(self, order):
        return {"outcome": "left", "mode": order["mode"]}

    # What a client may do wrong

    def say(self, **changes):
        """One round of its own with these members, and nothing else comes of it."""
        return json.loads(self.round("USER", str(uuid.uuid4()), 1, other=changes))

    def repeat(self):
        """Say the same round twice, to the byte."""
        checkin = {"checkin": str(uuid.uuid4()), "time": "2026-01-01T00:00:00Z"}
        return {"same": self.round("USER", "", 1, other=checkin) == self.round("USER", "", 1, other=checkin)}

    def take(self, which, old="", new=""):
        """Be offered a policy of before, with old in it replaced."""
        self.log = []
        self.apply(self.offered[which].replace(old, new))
        return {"did": self.log, "version": self.policy_version}

    def guess(self):
        """Ask for a certificate with a challenge that nobody gave."""
        _, request = self.request(self.subject)
        basic = base64.b64encode((self.device + ":guess").encode()).decode()
        return {"status": self.est_request(self.est, "simpleenroll", request, headers={"Authorization": "Basic " + basic})[0]}

    def wait(self, seconds):
        self.ahead += seconds
        return {}

    def names(self):
        return {"device": self.device, "enrollment": self.enrollment, "serial": self.identity["serial"]}

    def renew_now(self):
        return {"status": self.renew(self.source)}

    def say_as_before(self):
        """Say something with the identity of before the renewal."""
        now, self.identity = self.identity, self.before
        try:
            return self.say()
        finally:
            self.identity = now


def main():
    agent = Agent(sys.argv[1], json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        try:
            named = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
            answer = getattr(agent, method)(*arguments, **named)
        except Ended as ended:
            answer = ended.outcome
        print(json.dumps(answer), flush=True)


main()
