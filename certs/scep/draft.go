package scep

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"rollcall/certs"
)

// A Draft is a pkiMessage as its maker wants it, right or wrong: what a server is tried with. [Client.Enrol] makes right
// ones only.
type Draft struct {
	Type          MessageType
	TransactionID string
	SenderNonce   []byte
	Content       []byte            // of the envelope: a CSR, or anything
	Recipient     *x509.Certificate // RSA; the envelope is for it
	Envelope      []byte            // in place of one made of Content for Recipient; nil: there is none
	Signer        certs.Signer      // of the outer message, RSA unless that is what is wrong with it
	Message       certs.Message     // its SigningTime and SHA1 are taken, the rest is filled in
}

// Marshal makes the message.
func (d *Draft) Marshal() ([]byte, error) {
	envelope := d.Envelope
	if envelope == nil {
		var err error
		if envelope, err = certs.Encrypt(d.Content, d.Recipient); err != nil {
			return nil, err
		}
	}
	m := d.Message
	m.Content = envelope
	m.Attributes = []certs.Attribute{
		{Type: oidMessageType, Value: text(d.Type)},
		{Type: oidTransactionID, Value: d.TransactionID},
		{Type: oidSenderNonce, Value: d.SenderNonce},
	}
	return m.Sign(d.Signer)
}

// An Answer is a CertRep as it came: nothing of it has been held against the request but what [ReadAnswer] says.
type Answer struct {
	Type          MessageType // -1: no number
	Status        int         // pkiStatus: 0 SUCCESS, 2 FAILURE, 3 PENDING; -1: none of them
	FailInfo      FailInfo    // -1: none
	Text          string      // failInfoText
	TransactionID string
	TextTag       int // ASN.1 tag of transactionID
	SenderNonce   []byte
	Recipient     []byte // recipientNonce
	Signer        *x509.Certificate
	Certificates  []*x509.Certificate   // of the outer message
	Cipher        asn1.ObjectIdentifier // of the envelope; nil: there is none

	content []byte
}

// ReadAnswer reads a CertRep and verifies its signature by the certificate inside; whether that is the CA's, the caller
// asks. The error wraps [ErrAnswer].
func ReadAnswer(body []byte) (*Answer, error) {
	m, err := parseMessage(body)
	if err == nil {
		err = m.Check(certs.Policy{Legacy: true}) // what it was signed with is the caller's question too
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	a := &Answer{
		Type: m.kind, Status: -1, FailInfo: -1, TransactionID: string(m.transactionID.Bytes), TextTag: m.transactionID.Tag, SenderNonce: m.senderNonce,
		Signer: m.Signer, Certificates: m.Certificates, content: m.Content,
	}
	if err := m.Attribute(oidRecipientNonce, &a.Recipient); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if a.Status, err = m.number(oidPKIStatus); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if a.Status == failure {
		if no, ok := m.failure().(*Failure); ok {
			a.FailInfo, a.Text = no.Info, no.Text
		}
	}
	if len(m.Content) > 0 {
		a.Cipher, err = certs.ContentCipher(m.Content)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return a, nil
}

// Open decrypts the answer for who and returns the certificates inside. The error wraps [ErrAnswer].
func (a *Answer) Open(who certs.Signer) ([]*x509.Certificate, error) {
	content, err := certs.Decrypt(a.content, who, certs.Policy{Legacy: true})
	if err == nil {
		var list []*x509.Certificate
		if list, err = certs.ParseDegenerate(content); err == nil {
			return list, nil
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
}
