"""A Windows device as MS-MDE2, MS-XCEP, MS-WSTEP and MS-MDM describe it, for one enrolment and its sessions, with Python's standard
library and the openssl command.

    windows.py FOLDER URL

FOLDER has the authority that the administrator installed, ca.pem, and 1.key and 2.key, as if the device had made them: RSA takes a
while. Of a provisioning package it has the bootstrap certificate and key, package.pem. Each line of stdin is [METHOD, ARGUMENT...] as JSON and is answered with one line of JSON.
"""

import base64
import datetime
import hashlib
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import urllib.parse
import uuid
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
UTILITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
PASSWORD = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText"
SIGNATURE = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
X509 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
TRUST = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"
CONTEXT = "http://schemas.xmlsoap.org/ws/2006/12/authorization"
DISCOVERY = "http://schemas.microsoft.com/windows/management/2012/01/enrollment"
XCEP = "http://schemas.microsoft.com/windows/pki/2009/01/enrollmentpolicy"
WSTEP = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment"
TOKEN = "http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentToken"
SYNCML = "SYNCML:SYNCML1.2"
LEAVE = "com.microsoft:mdm.unenrollment.userrequest"
NAMES = f'xmlns:env="{SOAP}" xmlns:wsa="{ADDRESSING}" xmlns:sec="{SECURITY}" xmlns:wsu="{UTILITY}" xmlns:sig="{SIGNATURE}"'


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def canonical(piece):
    """The exclusive canonical form of a piece of an envelope, which declares NAMES."""
    return ET.canonicalize(re.sub(r"^<([\w:]+)", rf"<\1 {NAMES}", piece)).encode()


def text(element, path, space):
    found = element.find("/".join("{%s}%s" % (space, name) for name in path.split("/")))
    return None if found is None else (found.text or "").strip()


class Fault(Exception):
    pass


class Device:
    def __init__(self, folder, url):
        self.folder, self.url = folder, url
        self.id = uuid.uuid4().hex.upper()
        self.store, self.login = "User", "user"
        self.identity, self.keys, self.session_number, self.tree, self.log = None, 0, 0, {}, []

    def path(self, name):
        return os.path.join(self.folder, name)

    def post(self, url, media, body, identity=None):
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        if identity:
            context.load_cert_chain(*identity)
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=20, context=context)
        headers = {"Content-Type": media, "User-Agent": "naive"}
        try:
            connection.request("POST", parts.path + ("?" + parts.query if parts.query else ""), body.encode(), headers)
            answer = connection.getresponse()
            assert "Content-Length" in answer.headers, "the answer is chunked"
            return answer.status, answer.read().decode()
        except ssl.SSLError as error:
            raise Fault({"tls": error.reason})
        finally:
            connection.close()

    # Enrolment

    def ask(self, url, action, body, credential="", identity=None):
        """One question in SOAP; the body's first child of the answer."""
        message = "urn:uuid:" + str(uuid.uuid4())
        body = f'<env:Body wsu:Id="said">{body}</env:Body>'
        if callable(credential):
            credential = credential(body)
        status, answer = self.post(url, "application/soap+xml; charset=utf-8", f"""<?xml version="1.0" encoding="utf-8"?>
<env:Envelope {NAMES}><env:Header>
<wsa:Action env:mustUnderstand="1">{action}</wsa:Action><wsa:MessageID>{message}</wsa:MessageID>
<wsa:ReplyTo><wsa:Address>{ADDRESSING}/anonymous</wsa:Address></wsa:ReplyTo><wsa:To env:mustUnderstand="1">{escape(url)}</wsa:To>
{credential}</env:Header>{body}</env:Envelope>""", identity)
        try:
            envelope = ET.fromstring(answer)
        except ET.ParseError:
            raise Fault({"status": status, "text": answer.strip()})
        assert envelope.findtext("{%s}Header/{%s}RelatesTo" % (SOAP, ADDRESSING)) == message, "the answer is to another question"
        body = envelope.find("{%s}Body" % SOAP)
        fault = body.find("{%s}Fault" % SOAP)
        if fault is not None:
            kind = [e.text for e in fault.iter("{%s}ErrorType" % WSTEP)]
            raise Fault({"status": status, "fault": text(fault, "Code/Subcode/Value", SOAP), "kind": kind[0] if kind else ""})
        assert status == 200, status
        return body[0]

    def credential(self, user, password):
        return f"""<sec:Security env:mustUnderstand="1"><sec:UsernameToken wsu:Id="uuid-1"><sec:Username>{escape(user)}</sec:Username>
<sec:Password Type="{PASSWORD}">{escape(password)}</sec:Password></sec:UsernameToken></sec:Security>"""

    def signed(self, body):
        """The security header of a request with this Body, by the package: its certificate, and a signature over all that counts."""
        now = datetime.datetime.now(datetime.timezone.utc)
        created, expires = (t.strftime("%Y-%m-%dT%H:%M:%SZ") for t in (now, now + datetime.timedelta(minutes=5)))
        certificate = "".join(re.search("BEGIN CERTIFICATE-----(.*?)-----END", open(self.path("package.pem")).read(), re.S)[1].split())
        stamp = f"""<wsu:Timestamp wsu:Id="when">
<wsu:Created>{created}</wsu:Created><wsu:Expires>{expires}</wsu:Expires></wsu:Timestamp>"""
        token = f"""<sec:BinarySecurityToken wsu:Id="who" ValueType="{X509}" EncodingType="{SECURITY}#base64binary">{certificate}</sec:BinarySecurityToken>"""
        references = "".join(f"""<sig:Reference URI="#{name}"><sig:Transforms><sig:Transform Algorithm="{EXCLUSIVE}"/></sig:Transforms>
<sig:DigestMethod Algorithm="{SHA256}"/><sig:DigestValue>{base64.b64encode(hashlib.sha256(canonical(piece)).digest()).decode()}</sig:DigestValue>
</sig:Reference>""" for name, piece in (("said", body), ("when", stamp), ("who", token)))
        info = f"""<sig:SignedInfo><sig:CanonicalizationMethod Algorithm="{EXCLUSIVE}"/><sig:SignatureMethod Algorithm="{RSA_SHA256}"/>
{references}</sig:SignedInfo>"""
        value = base64.b64encode(openssl("dgst", "-sha256", "-sign", self.path("package.pem"), data=canonical(info))).decode()
        return f"""<sec:Security env:mustUnderstand="1">{stamp}{token}<sig:Signature>{info}<sig:SignatureValue>{value}</sig:SignatureValue>
<sig:KeyInfo><sec:SecurityTokenReference><sec:Reference URI="#who" ValueType="{X509}"/></sec:SecurityTokenReference></sig:KeyInfo>
</sig:Signature></sec:Security>"""

    def discover(self, user, *policies):
        policies = "".join(f"<AuthPolicy>{p}</AuthPolicy>" for p in policies or ("OnPremise", "Certificate"))
        result = self.ask(self.url + "/EnrollmentServer/Discovery.svc", DISCOVERY + "/IDiscoveryService/Discover", f"""
<Discover xmlns="{DISCOVERY}"><request><EmailAddress>{escape(user)}</EmailAddress><RequestVersion>4.0</RequestVersion>
<DeviceType>CIMClient_Windows</DeviceType><ApplicationVersion>10.0.22631.1</ApplicationVersion><OSEdition>48</OSEdition>
<AuthPolicies>{policies}</AuthPolicies></request></Discover>""")
        found = {e.tag.split("}")[1]: (e.text or "").strip() for e in result[0]}
        self.policy_url, self.enrollment_url = found["EnrollmentPolicyServiceUrl"], found["EnrollmentServiceUrl"]
        return {"policy": found["AuthPolicy"], "version": found["EnrollmentVersion"]}

    def policies(self, credential):
        answer = self.ask(self.policy_url, XCEP + "/IPolicy/GetPolicies", f"""
<GetPolicies xmlns="{XCEP}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><client><lastUpdate xsi:nil="true"/>
<preferredLanguage xsi:nil="true"/></client><requestFilter xsi:nil="true"/></GetPolicies>""", credential)
        attributes = next(answer.iter("{%s}attributes" % XCEP))
        reference = text(attributes, "hashAlgorithmOIDReference", XCEP)
        hashes = [text(o, "value", XCEP) for o in answer.iter("{%s}oID" % XCEP) if text(o, "oIDReferenceID", XCEP) == reference]
        assert hashes == ["2.16.840.1.101.3.4.2.1"], hashes
        return int(text(attributes, "privateKeyAttributes/minimalKeyLength", XCEP))

    def token_request(self, kind, value_type, der, credential, context, identity=None):
        items = "".join(f'<c:ContextItem Name="{k}"><c:Value>{escape(v)}</c:Value></c:ContextItem>' for k, v in context.items())
        answer = self.ask(self.enrollment_url, WSTEP + "/RST/wstep", f"""
<t:RequestSecurityToken xmlns:t="{TRUST}" xmlns:c="{CONTEXT}"><t:TokenType>{TOKEN}</t:TokenType><t:RequestType>{TRUST}/{kind}</t:RequestType>
<sec:BinarySecurityToken ValueType="{WSTEP}#{value_type}" EncodingType="{SECURITY}#base64binary">
{base64.encodebytes(der).decode()}</sec:BinarySecurityToken><c:AdditionalContext>{items}</c:AdditionalContext></t:RequestSecurityToken>""",
                          credential, identity)
        document = next(answer.iter("{%s}BinarySecurityToken" % SECURITY))
        assert document.get("ValueType").endswith("DeviceEnrollmentProvisionDoc")
        return ET.fromstring(base64.b64decode(document.text))

    def request(self, bits):
        """A request as Windows makes them: a name that its type of string does not allow, and an extension that is no ASN.1."""
        assert bits <= 2048
        self.keys += 1
        name = self.path(str(self.keys))
        subject = str(uuid.uuid4())[:30] + "!" + self.id
        der = openssl("req", "-new", "-key", name + ".key", "-subj", "/CN=" + subject + "~",
                      "-addext", "extendedKeyUsage=clientAuth", "-addext", "1.3.6.1.4.1.311.66.1.0=DER:" + (self.id + "\0").encode().hex(),
                      "-sha256", "-outform", "DER", "-config", os.devnull)
        text = subject.encode()
        utf8, printable = bytes([0x0C, len(text) + 1]) + text + b"~", bytes([0x13, len(text) + 1]) + text + b"\0"
        assert der.count(utf8) == 1
        der = der.replace(utf8, printable)
        assert der[:2] == der[4:6] == b"\x30\x82"
        signed = der[4 : 8 + int.from_bytes(der[6:8], "big")]
        signature = openssl("dgst", "-sha256", "-sign", name + ".key", data=signed)
        return name, der[: -len(signature)] + signature

    def under(self, document, *path):
        """The characteristic at a path, compared without regard to case."""
        for kind in path:
            document = next(c for c in document.findall("characteristic") if c.get("type").lower() == kind.lower())
        return document

    def parms(self, characteristic):
        return {p.get("name"): p.get("value") for p in characteristic.findall("parm")}

    def certified(self, name, document):
        store = self.under(document, "CertificateStore", "My", self.store)
        assert any(c.get("type") == "PrivateKeyContainer" for c in store)
        (thumb,) = [c for c in store if c.get("type") != "PrivateKeyContainer"]
        der = base64.b64decode(self.parms(thumb)["EncodedCertificate"])
        assert hashlib.sha1(der).hexdigest().upper() == thumb.get("type")
        with open(name + ".pem", "w") as f:
            f.write(ssl.DER_cert_to_PEM_cert(der))
        return f.name, name + ".key"

    def enroll(self, user, password):
        self.discover(user)
        return self.enrolled(user, self.credential(user, password), {"EnrollmentType": "Full", "TargetedUserLoggedIn": "true", "UXInitiated": "true",
                                                                     "NotInOobe": "true"})

    def enroll_by_package(self, changed=False):
        """The same for nobody, by a provisioning package; changed: somebody on the way has changed what was signed."""
        assert self.discover("", "Certificate")["policy"] == "Certificate"
        self.store, self.login, self.keys = "System", "none", 0
        sign = (lambda body: self.signed(body.replace(self.id, self.id[::-1]))) if changed else self.signed
        return self.enrolled(None, sign, {"EnrollmentType": "Device", "TargetedUserLoggedIn": "false", "UXInitiated": "false", "NotInOobe": "false"})

    def enrolled(self, user, credential, how):
        name, der = self.request(self.policies(credential))
        document = self.token_request("Issue", "PKCS10", der, credential, {
            "DeviceType": "CIMClient_Windows", "ApplicationVersion": "10.0.22631.1", "OSEdition": "48", "DeviceName": "NAIVE-1",
            "MAC": "02-00-00-00-00-01", "HWDevID": hashlib.sha256(self.id.encode()).hexdigest(), "DeviceID": self.id, **how,
        })
        self.identity = self.certified(name, document)
        application = self.parms(self.under(document, "APPLICATION"))
        self.management_url, self.provider = application["ADDR"], application["PROVIDER-ID"]
        client = self.under(document, "DMClient", "Provider", self.provider)
        assert self.parms(client)["EntDMID"] and self.parms(client).get("UPN") == user
        account = "./Device/Vendor/MSFT/DMClient/Provider/" + self.provider
        self.tree = {"./DevInfo/DevId": self.id, "./DevInfo/Man": "naive", "./DevInfo/Mod": "one", "./DevInfo/DmV": "1.3",
                     "./DevInfo/Lang": "en-US", account + "/Push/Status": "4"}
        return {"poll": self.parms(self.under(client, "Poll"))["IntervalForFirstSetOfRetries"]}

    def renew(self):
        old = self.identity
        self.discover("")
        name, der = self.request(2048)
        signer = ("-signer", old[0], "-inkey", old[1])
        signed = openssl("cms", "-sign", "-binary", "-nodetach", "-md", "sha256", *signer, "-outform", "DER", data=der)
        document = self.token_request("Renew", "PKCS7", signed, self.credential("", ""), {"DeviceType": "CIMClient_Windows"},
                                      old)
        self.before, self.identity = old, self.certified(name, document)
        assert self.parms(self.under(document, "APPLICATION")) == {"PROVIDER-ID": self.provider}
        return {}

    # Management

    def message(self, number, commands, source=None):
        return f"""<SyncML xmlns="{SYNCML}"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>{self.session_number}</SessionID>
<MsgID>{number}</MsgID><Target><LocURI>{escape(self.management_url)}</LocURI></Target><Source><LocURI>{source or self.id}</LocURI></Source>
</SyncHdr><SyncBody>{commands}<Final/></SyncBody></SyncML>"""

    def talk(self, body):
        url = self.management_url + "?mode=Maintenance&Platform=WoA"
        status, answer = self.post(url, "application/vnd.syncml.dm+xml", body, self.identity)
        if status != 200:
            raise Fault({"status": status, "text": answer.strip()})
        return answer

    def opening(self, alerts=""):
        known = [(k, v) for k, v in self.tree.items() if k.startswith("./DevInfo/")]
        info = "".join(f"<Item><Source><LocURI>{k}</LocURI></Source><Data>{v}</Data></Item>" for k, v in known)
        return f"""<Alert><CmdID>1</CmdID><Data>1201</Data></Alert><Alert><CmdID>2</CmdID><Data>1224</Data><Item><Meta>
<Type xmlns="syncml:metinf">com.microsoft/MDM/LoginStatus</Type></Meta><Data>{self.login}</Data></Item></Alert>{alerts}
<Replace><CmdID>3</CmdID>{info}</Replace>"""

    def session(self, alerts="", source=None, twice=False):
        self.session_number += 1
        self.log, commands = [], self.opening(alerts)
        for number in range(1, 30):
            body = self.message(number, commands, source)
            answer = self.talk(body)
            if twice:
                assert self.talk(body) == answer, "a repeated message is answered in other words"
            root = ET.fromstring(answer)
            assert text(root, "SyncHdr/MsgID", SYNCML) == str(number) and text(root, "SyncHdr/Target/LocURI", SYNCML) == (source or self.id)
            content = list(root.find("{%s}SyncBody" % SYNCML))
            statuses = [text(s, "Data", SYNCML) for s in content if s.tag == "{%s}Status" % SYNCML]
            asked = [c for c in content if c.tag.split("}")[1] not in ("Status", "Final")]
            if not asked:
                return {"messages": number, "header": statuses[0], "did": self.log}
            self.next = 1
            self.said = [self.status_of(number, "0", "SyncHdr", "200")]
            for command in asked:
                self.carry_out(number, command)
            commands = "".join(self.said)
        raise Fault({"text": "the session does not end"})

    def command_id(self):
        self.next += 1
        return self.next - 1

    def status_of(self, message, reference, command, code):
        about = f"<MsgRef>{message}</MsgRef><CmdRef>{reference}</CmdRef><Cmd>{command}</Cmd>"
        return f"<Status><CmdID>{self.command_id()}</CmdID>{about}<Data>{code}</Data></Status>"

    def carry_out(self, message, command):
        kind, reference = command.tag.split("}")[1], text(command, "CmdID", SYNCML)
        if kind in ("Atomic", "Sequence"):
            self.said.append(self.status_of(message, reference, kind, "200"))
            for child in command:
                if child.tag.split("}")[1] not in ("CmdID", "Meta"):
                    self.carry_out(message, child)
            return
        items = command.findall("{%s}Item" % SYNCML)
        for item in items:
            uri, data = text(item, "Target/LocURI", SYNCML), text(item, "Data", SYNCML)
            code, result = self.act(kind, uri, data)
            self.log.append("%s %s %s" % (kind, uri.rsplit("/", 1)[-1], code))
            status = self.status_of(message, reference, kind, code)
            self.said.append(status.replace("<Data>", f"<TargetRef>{escape(uri)}</TargetRef><Data>") if len(items) > 1 else status)
            if result is not None:
                self.said.append(f"<Results><CmdID>{self.command_id()}</CmdID><MsgRef>{message}</MsgRef><CmdRef>{reference}</CmdRef>"
                                 f"<Item><Source><LocURI>{escape(uri)}</LocURI></Source><Data>{escape(result)}</Data></Item></Results>")

    def act(self, kind, uri, data):
        held = [u for u in self.tree if u == uri or u.startswith(uri + "/")]
        if kind == "Get":
            if uri in self.tree:
                return "200", self.tree[uri]
            children = sorted({u[len(uri) + 1 :].split("/")[0] for u in held})
            return ("200", "/".join(children)) if children else ("404", None)
        if kind == "Add" and held:
            return "418", None
        if kind in ("Add", "Replace"):
            self.tree[uri] = data or ""
        elif kind == "Delete":
            for u in held:
                del self.tree[u]
            return "200" if held else "404", None
        elif kind != "Exec":
            return "406", None
        return "200", None

    def names(self):
        return {"device": self.id}

    def leave(self):
        return self.session(f"""<Alert><CmdID>9</CmdID><Data>1226</Data><Item><Meta><Type xmlns="syncml:metinf">{LEAVE}</Type>
<Format xmlns="syncml:metinf">int</Format></Meta><Data>1</Data></Item></Alert>""")

    def session_as(self, source):
        return self.session(source=source)

    def session_twice(self):
        return self.session(twice=True)

    def session_as_before(self):
        now, self.identity = self.identity, self.before
        try:
            return self.session()
        finally:
            self.identity = now


def main():
    device = Device(*sys.argv[1:])
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        try:
            answer = getattr(device, method)(*arguments)
        except Fault as fault:
            answer = fault.args[0]
        print(json.dumps(answer), flush=True)


main()
