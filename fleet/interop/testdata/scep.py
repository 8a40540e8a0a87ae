"""A client of SCEP (RFC 8894) for RSA keys, with Python's standard library and the openssl command."""

import hashlib
import os
import subprocess


class Failed(Exception):
    """The server gave no certificate."""


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


# DER, as much of it as a request needs

SEQUENCE, SET, INTEGER, BIT_STRING, OCTETS, OID, UTF8, PRINTABLE, CONTEXT = 0x30, 0x31, 2, 3, 4, 6, 12, 19, 0xA0


def tlv(tag, *parts):
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def oid(dotted):
    first, second, *arcs = map(int, dotted.split("."))
    out = bytes([40 * first + second])
    for arc in arcs:
        groups = [arc & 127]
        while arc := arc >> 7:
            groups.insert(0, arc & 127 | 128)
        out += bytes(groups)
    return tlv(OID, out)


def content(der):
    """What is in the first element, and all of that element."""
    size, start = der[1], 2
    if size & 128:
        start += size & 127
        size = int.from_bytes(der[2:start], "big")
    return der[start : start + size], der[: start + size]


def children(der):
    inside, found = content(der)[0], []
    while inside:
        _, one = content(inside)
        found.append(one)
        inside = inside[len(one) :]
    return found


RSA_SHA256 = tlv(SEQUENCE, oid("1.2.840.113549.1.1.11"), b"\x05\x00")
RSA = tlv(SEQUENCE, oid("1.2.840.113549.1.1.1"), b"\x05\x00")
SHA256 = tlv(SEQUENCE, oid("2.16.840.1.101.3.4.2.1"), b"\x05\x00")
DATA, SIGNED = oid("1.2.840.113549.1.7.1"), oid("1.2.840.113549.1.7.2")
CONTENT_TYPE, DIGEST = oid("1.2.840.113549.1.9.3"), oid("1.2.840.113549.1.9.4")
CHALLENGE, COMMON_NAME = oid("1.2.840.113549.1.9.7"), oid("2.5.4.3")
MESSAGE_TYPE, PKI_STATUS, NONCE, RECIPIENT_NONCE, TRANSACTION = (oid("2.16.840.1.113733.1.9.%d" % n) for n in (2, 3, 5, 6, 7))
PKCS_REQ, RENEWAL_REQ = b"19", b"17"


def sign(key, data):
    return openssl("dgst", "-sha256", "-sign", key, data=data)


def parts_of(certificate):
    """Serial number, issuer and subject of a certificate in a PEM file, DER."""
    whole = openssl("x509", "-in", certificate, "-outform", "DER")
    signed = children(children(whole)[0])
    serial, _, issuer, _, subject, *_ = signed[signed[0][0] == CONTEXT :]  # a version 1 says no version
    return whole, serial, issuer, subject


def request(key, subject, challenge):
    """A PKCS #10 request (RFC 2986)."""
    attributes = tlv(SEQUENCE, CHALLENGE, tlv(SET, tlv(UTF8, challenge.encode()))) if challenge else b""
    info = tlv(SEQUENCE, tlv(INTEGER, b"\0"), subject, openssl("pkey", "-in", key, "-pubout", "-outform", "DER"), tlv(CONTEXT, attributes))
    return tlv(SEQUENCE, info, RSA_SHA256, tlv(BIT_STRING, b"\0", sign(key, info)))


def message(kind, enveloped, signer, key, transaction, nonce):
    """A pkiMessage (RFC 8894, section 3): the envelope, signed with the attributes that say what it is."""
    certificate, serial, issuer, _ = parts_of(signer)
    attribute = lambda name, value: tlv(SEQUENCE, name, tlv(SET, value))
    attributes = b"".join(sorted((
        attribute(CONTENT_TYPE, DATA),
        attribute(DIGEST, tlv(OCTETS, hashlib.sha256(enveloped).digest())),
        attribute(MESSAGE_TYPE, tlv(PRINTABLE, kind)),
        attribute(NONCE, tlv(OCTETS, nonce)),
        attribute(TRANSACTION, tlv(PRINTABLE, transaction.encode())),
    )))
    info = tlv(SEQUENCE, tlv(INTEGER, b"\1"), tlv(SEQUENCE, issuer, serial), SHA256, tlv(CONTEXT, attributes), RSA,
               tlv(OCTETS, sign(key, tlv(SET, attributes))))
    encapsulated = tlv(SEQUENCE, DATA, tlv(CONTEXT, tlv(OCTETS, enveloped)))
    signed = tlv(SEQUENCE, tlv(INTEGER, b"\1"), tlv(SET, SHA256), encapsulated, tlv(CONTEXT, certificate), tlv(SET, info))
    return tlv(SEQUENCE, SIGNED, tlv(CONTEXT, signed))


def said(answer):
    """The signed attributes of an answer, by name, without the SET around each value."""
    signed = children(content(children(answer)[1])[0])
    signer = children(content(signed[-1])[0])
    attributes = next(part for part in signer if part[0] == CONTEXT)
    return {children(a)[0]: content(content(children(a)[1])[0])[0] for a in children(attributes)}


class Client:
    """One server; send(method, path, body, headers) gives status, headers and body."""

    def __init__(self, folder, url, send):
        self.folder, self.url, self.send = folder, url, send

    def path(self, name):
        return os.path.join(self.folder, name)

    def key(self, name):
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", name)
        return name

    def authorities(self):
        """Writes the certificates of GetCACert (section 4.2), and returns the file of the one that requests are encrypted to."""
        status, headers, answer = self.send("GET", self.url + "?operation=GetCACert")
        if status != 200:
            raise Failed("GetCACert: status %d" % status)
        if headers.get("Content-Type", "").startswith("application/x-x509-ca-ra-cert"):
            text = openssl("pkcs7", "-inform", "DER", "-print_certs", data=answer).decode()
        else:
            text = openssl("x509", "-inform", "DER", data=answer).decode()
        end, found = "-----END CERTIFICATE-----\n", []
        for part in text.split(end)[:-1]:
            found.append(part[part.index("-----BEGIN") :] + end)
        with open(self.path("scep-ca.pem"), "w") as f:
            f.write("".join(found))
        for one in found:
            about = openssl("x509", "-noout", "-text", data=one.encode()).decode()
            if "rsaEncryption" in about and ("Key Encipherment" in about or len(found) == 1):
                with open(self.path("scep-ra.pem"), "w") as f:
                    f.write(one)
                return f.name
        raise Failed("no certificate to encrypt to")

    def certificate(self, key, subject="", challenge="", renew=None):
        """The certificate for a key, PEM: by a challenge, or signed by the identity that it renews, whose subject it then has."""
        recipient = self.authorities()
        if renew:
            signer, by, kind, name = renew["certificate"], renew["key"], RENEWAL_REQ, parts_of(renew["certificate"])[3]
        else:
            signer, by, kind = self.path("scep-self.pem"), key, PKCS_REQ
            name = tlv(SEQUENCE, tlv(SET, tlv(SEQUENCE, COMMON_NAME, tlv(UTF8, subject.encode()))))
            openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=" + subject, "-days", "2", "-out", signer, "-config", os.devnull)
        csr = request(key, name, challenge)
        enveloped = openssl("cms", "-encrypt", "-aes-128-cbc", "-binary", "-outform", "DER", recipient, data=csr)
        transaction, nonce = hashlib.sha256(csr).hexdigest(), os.urandom(16)
        body = message(kind, enveloped, signer, by, transaction, nonce)
        status, _, answer = self.send("POST", self.url + "?operation=PKIOperation", body, {"Content-Type": "application/x-pki-message"})
        if status != 200:
            raise Failed("PKIOperation: status %d" % status)
        about = said(answer)
        if about.get(TRANSACTION) != transaction.encode() or about.get(RECIPIENT_NONCE) != nonce:
            raise Failed("an answer to another request")
        if about.get(PKI_STATUS) != b"0":
            raise Failed("pkiStatus %s" % about.get(PKI_STATUS, b"?").decode())
        verified = openssl("cms", "-verify", "-inform", "DER", "-binary", "-noverify", "-nointern", "-certfile", self.path("scep-ca.pem"), data=answer)
        opened = openssl("cms", "-decrypt", "-inform", "DER", "-binary", "-recip", signer, "-inkey", by, data=verified)
        text, end = openssl("pkcs7", "-inform", "DER", "-print_certs", data=opened).decode(), "-----END CERTIFICATE-----\n"
        public = openssl("pkey", "-in", key, "-pubout")
        for part in text.split(end)[:-1]:
            one = part[part.index("-----BEGIN") :] + end
            if openssl("x509", "-noout", "-pubkey", data=one.encode()) == public:
                return one
        raise Failed("a certificate for another key")
