package windows

import "time"

// An Envelope is one SOAP message of the enrolment phase. Its Body is one of *[Discover], *[DiscoverResponse], *[GetPolicies],
// *[GetPoliciesResponse], *[RequestSecurityToken], *[RequestSecurityTokenResponse] and *[Fault].
type Envelope struct {
	Header Header
	Body   Body
}

// A Body is what an [Envelope] carries.
type Body interface {
	// element returns the namespace and name of the body's element, and the action of a message that carries it.
	element() (ns namespace, name, action string)
}

// A Header is the head of an [Envelope]. Requests have MessageID and To, answers RelatesTo and perhaps ActivityID.
type Header struct {
	Action     string // when encoding, empty: the body's own. Of a fault: that of the answer in whose place it comes
	MessageID  string
	RelatesTo  string // the request's MessageID
	To         string
	ActivityID string     // a UUID of the server's, for its logs; empty: none
	Credential Credential // of a request

	// Created and Expires are the Timestamp of the security header, which the answer to a RequestSecurityToken has. Zero: none.
	// Whole milliseconds.
	Created, Expires time.Time
}

// A CredentialKind is what sort of credential a request came with, told apart by element and ValueType (WIN-014).
type CredentialKind uint8

// The kinds.
const (
	NoCredential CredentialKind = iota
	Password                    // UsernameToken: Username, Password
	UserToken                   // what the web page of AuthPolicy Federated gave: Token
	JWT                         // an Entra token: Token
	OtherToken                  // a BinarySecurityToken of another ValueType: Token
	X509                        // a bootstrap certificate, DER, whose key signed the message: Token. See [DecodeRequest]
)

var credentialNames = [...]string{"none", "password", "user token", "JWT", "other token", "bootstrap certificate"}

func (k CredentialKind) String() string {
	if int(k) < len(credentialNames) {
		return credentialNames[k]
	}
	return "invalid"
}

// A Credential is who a request comes from. It is secret: printing one prints its kind and user name alone (WIN-014).
type Credential struct {
	Kind     CredentialKind
	Username string
	Password string // of a renewal: empty
	Token    []byte // out of its base64
}

// String leaves the secrets out.
func (c Credential) String() string {
	if c.Username == "" {
		return c.Kind.String()
	}
	return c.Kind.String() + " of " + c.Username
}

// GoString leaves the secrets out.
func (c Credential) GoString() string { return c.String() }
