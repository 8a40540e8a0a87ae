package windows

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// signedParts are the pieces of a message that is signed.
type signedParts struct {
	security []byte // what is in the security header
	body     []byte // the Body
}

// The ids of what is signed.
const (
	idTimestamp = "_0"
	idToken     = "_1"
	idBody      = "_2"
)

// SignEnvelope appends e as EncodeEnvelope does, with a header that says who sends it by AuthPolicy Certificate: e's Timestamp, the
// certificate of its credential, which is X509, and a signature by that certificate's key, RSA, over both and the Body (windows.md
// section 2). What is signed is written in canonical form at once: each piece declares the namespaces that it uses, in order, so that its
// bytes are what is digested. The error is key's.
func SignEnvelope(dst []byte, e *Envelope, key crypto.Signer) ([]byte, error) {
	h := &e.Header
	piece := func(open string, namespaces ...namespace) []byte {
		out := []byte(open)
		for _, ns := range namespaces {
			out = appendBinding(out, prefixes[ns], ns)
		}
		return out
	}
	timestamp := append(piece(`<u:Timestamp`, nsUtility), ` u:Id="`+idTimestamp+`">`...)
	timestamp = append(appendTime(appendTime(timestamp, "u:Created", h.Created), "u:Expires", h.Expires), `</u:Timestamp>`...)
	token := append(piece(`<wsse:BinarySecurityToken`, nsUtility, nsSecurity), ` EncodingType="`+encodingBase64+`" ValueType="`+typeUserToken+`" u:Id="`+idToken+`">`...)
	token = append(base64.StdEncoding.AppendEncode(token, h.Credential.Token), `</wsse:BinarySecurityToken>`...)
	body := append(piece(`<s:Body`, nsSOAP12, nsUtility), ` u:Id="`+idBody+`">`...)
	body = append(appendBody(body, e.Body), `</s:Body>`...)

	info := piece(`<ds:SignedInfo`, nsSignature)
	info = append(info, `><ds:CanonicalizationMethod Algorithm="`+algorithmCanonical+`"></ds:CanonicalizationMethod>`+
		`<ds:SignatureMethod Algorithm="`+algorithmRSASHA256+`"></ds:SignatureMethod>`...)
	for _, r := range []struct {
		id   string
		what []byte
	}{{idTimestamp, timestamp}, {idToken, token}, {idBody, body}} {
		sum := sha256.Sum256(r.what)
		info = append(info, `<ds:Reference URI="#`+r.id+`"><ds:Transforms><ds:Transform Algorithm="`+algorithmCanonical+`"></ds:Transform></ds:Transforms>`+
			`<ds:DigestMethod Algorithm="`+algorithmSHA256+`"></ds:DigestMethod><ds:DigestValue>`...)
		info = append(base64.StdEncoding.AppendEncode(info, sum[:]), `</ds:DigestValue></ds:Reference>`...)
	}
	info = append(info, `</ds:SignedInfo>`...)
	sum := sha256.Sum256(info)
	value, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return dst, fmt.Errorf("signature of a message: %w", err)
	}
	security := append(append(timestamp, token...), piece(`<ds:Signature`, nsSignature)...)
	security = append(append(append(security, '>'), info...), `<ds:SignatureValue>`...)
	security = append(base64.StdEncoding.AppendEncode(security, value), `</ds:SignatureValue><ds:KeyInfo><wsse:SecurityTokenReference>`+
		`<wsse:Reference URI="#`+idToken+`" ValueType="`+typeX509v3+`"/></wsse:SecurityTokenReference></ds:KeyInfo></ds:Signature>`...)
	return appendEnvelope(dst, e, &signedParts{security, body}), nil
}

// prefixes are those of what is signed.
var prefixes = map[namespace]string{nsSOAP12: "s", nsUtility: "u", nsSecurity: "wsse", nsSignature: "ds"}
