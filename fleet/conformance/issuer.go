package conformance

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"rollcall/certs"
)

// lies are what the SCEP service of an offer does wrong on purpose. The zero value tells the truth.
type lies struct {
	nonce       bool // recipientNonce is not the request's senderNonce
	transaction bool // transactionID is another
	signer      bool // it is signed by somebody who is not the CA
	key         bool // the certificate is for another key
	pending     int  // so many answers are PENDING
}

// A pkiMessage is what the SCEP service was asked.
type pkiMessage struct {
	kind, transaction string
	at                time.Time
}

// Signed attributes of SCEP (RFC 8894, section 3.2.1).
var (
	scepMessageType    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	scepStatus         = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	scepSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	scepRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	scepTransactionID  = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}
)

// pki answers a SCEP request.
func (o *offer) pki(w http.ResponseWriter, r *http.Request, body []byte) {
	q := r.URL.Query()
	switch q.Get("operation") {
	case "GetCACaps":
		w.Header().Set("Content-Type", "text/plain")
		w.Write([]byte("AES\nSHA-256\nPOSTPKIOperation\nRenewal\nSCEPStandard\n"))
	case "GetCACert":
		ra := o.judge.ca.RA()
		if len(ra.Chain) == 0 { // the CA's own
			w.Header().Set("Content-Type", "application/x-x509-ca-cert")
			w.Write(ra.Certificate.Raw)
			return
		}
		der, err := certs.Degenerate(append([]*x509.Certificate{ra.Certificate}, ra.Chain...)...)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/x-x509-ca-ra-cert")
		w.Write(der)
	case "PKIOperation":
		if r.Method == http.MethodGet {
			body, _ = base64.StdEncoding.DecodeString(strings.ReplaceAll(q.Get("message"), " ", "+")) // what it is not, is no pkiMessage either
		}
		der, err := o.certRep(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-pki-message")
		w.Write(der)
	default:
		http.Error(w, "want GetCACaps, GetCACert or PKIOperation", http.StatusBadRequest)
	}
}

// certRep answers one pkiMessage, with the lies that are due. It asks for no challenge: whoever has the link may enrol.
func (o *offer) certRep(body []byte) ([]byte, error) {
	s, err := certs.ParseSigned(body)
	if err == nil {
		err = s.Check(certs.Policy{Legacy: true})
	}
	if err != nil {
		return nil, err
	}
	var kind, transaction string
	var nonce []byte
	if err := errors.Join(s.Attribute(scepMessageType, &kind), s.Attribute(scepTransactionID, &transaction), s.Attribute(scepSenderNonce, &nonce)); err != nil {
		return nil, err
	}
	asked := 0
	for _, before := range o.scepLog {
		if before.transaction == transaction {
			asked++
		}
	}
	o.scepLog = append(o.scepLog, pkiMessage{kind, transaction, time.Now()})
	content, err := certs.Decrypt(s.Content, o.judge.ca.RA(), certs.Policy{Legacy: true})
	if err != nil {
		return nil, err
	}
	if kind == "19" || kind == "17" {
		if o.csr, err = certs.CheckCSR(content, certs.Policy{Legacy: true}); err != nil {
			return nil, err
		}
	}
	if o.csr == nil {
		return nil, errors.New("nothing was requested before it")
	}
	fresh := make([]byte, 16)
	rand.Read(fresh)
	if o.scep.nonce {
		nonce = fresh
	}
	if o.scep.transaction {
		transaction = "c0f0" + transaction
	}
	m := certs.Message{Detached: true, SigningTime: time.Now(), Attributes: []certs.Attribute{
		{Type: scepMessageType, Value: "3"}, {Type: scepTransactionID, Value: transaction}, {Type: scepRecipientNonce, Value: nonce}, {Type: scepSenderNonce, Value: fresh},
	}}
	status := "3" // PENDING
	if asked >= o.scep.pending {
		status = "0"
		if err := o.issue(&m, s.Signer); err != nil {
			return nil, err
		}
	}
	m.Attributes = append(m.Attributes, certs.Attribute{Type: scepStatus, Value: status})
	if o.scep.signer {
		stranger, err := stranger()
		if err != nil {
			return nil, err
		}
		return m.Sign(stranger)
	}
	return m.Sign(o.judge.ca.RA())
}

// issue makes the certificate and puts it into m.
func (o *offer) issue(m *certs.Message, recipient *x509.Certificate) error {
	public := o.csr.PublicKey
	if o.scep.key {
		other, err := certs.GenerateKey(certs.P256)
		if err != nil {
			return err
		}
		public = other.Public()
	}
	leaf, err := o.judge.ca.Issue(certs.IssueRequest{Public: public, Handle: "rollcall conform", Now: time.Now()})
	if err != nil {
		return err
	}
	inside, err := certs.Degenerate(leaf)
	if err != nil {
		return err
	}
	if m.Content, err = certs.Encrypt(inside, recipient); err != nil {
		return err
	}
	m.Detached, m.First = false, []*x509.Certificate{leaf}
	o.leaves = append(o.leaves, leaf)
	return nil
}

// stranger signs as an RSA key that no CA vouches for.
func stranger() (certs.Signer, error) {
	key, err := transport()
	if err != nil {
		return certs.Signer{}, err
	}
	c, err := selfMade(key, "stranger", time.Now(), nil)
	return certs.Signer{Certificate: c, Key: key}, err
}

// doorCertificate is the TLS certificate of the address where links are opened: its own root, for a year.
func doorCertificate(key crypto.Signer, host string) (*x509.Certificate, error) {
	return selfMade(key, "rollcall conform: links", time.Now(), func(c *x509.Certificate) {
		c.NotAfter = c.NotBefore.AddDate(1, 0, 0)
		c.IsCA, c.BasicConstraintsValid = true, true
		c.KeyUsage |= x509.KeyUsageCertSign
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = []net.IP{ip}
		} else {
			c.DNSNames = []string{host}
		}
	})
}
