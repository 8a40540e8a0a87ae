package host

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"time"

	"rollcall/agent/host/apply"
	"rollcall/protocol"
)

// stateVersion is of the state file. A newer one is refused; an older one is read.
const stateVersion = 1

// A record is all that an agent keeps. Its zero value is a machine that nobody manages.
type record struct {
	UDID    string            `json:"udid,omitempty"`
	Listed  string            `json:"listed,omitempty"`  // as what its server lists it; empty: as its UDID
	Drawn   bool              `json:"drawn,omitempty"`   // UDID is by chance, not of the machine's id
	Machine string            `json:"machine,omitempty"` // hash of the machine's id; empty: it has none
	Kind    protocol.Platform `json:"kind,omitzero"`
	Link    *pasted           `json:"link,omitempty"`
	Poll    time.Duration     `json:"poll,omitempty"`
	Courier string            `json:"courier,omitempty"` // host:port where wake-ups come from; empty: as the server says
	Allow   map[string]string `json:"allow,omitempty"`
	Acted   map[string]string `json:"acted,omitempty"` // by act, the newest command that it was begun for
	Clock   clock             `json:"clock,omitzero"`
	Apply   apply.Config      `json:"apply,omitzero"`

	Pending *pending `json:"pending,omitempty"` // an enrolment that the server has not taken yet
	Next    *nextKey `json:"next,omitempty"`    // of an identity that is being asked for
	Device  []byte   `json:"device,omitempty"`  // in bytes, as its kind has it, with the identity
	Seal    []byte   `json:"seal,omitempty"`    // of a Windows device: key of the server's orders, SPKI

	Secret       []byte `json:"secret,omitempty"`       // by which a push service knows a device that has no token
	Registration string `json:"registration,omitempty"` // of an Android device: where that service reaches it

	Trouble string `json:"trouble,omitempty"` // why files of the machine do not follow its profiles; empty: they do

	Notice protocol.Notice `json:"notice,omitzero"` // newest change of authority heard of

	Management protocol.Management `json:"management,omitzero"` // as its server said last
	Asked      Entry               `json:"asked,omitzero"`      // the newest command
	Good       protocol.Time       `json:"good,omitzero"`       // newest conversation that went well
	Bad        protocol.Time       `json:"bad,omitzero"`        // newest that did not, if nothing went well since
	Why        string              `json:"why,omitempty"`       // it did not
	Ended      protocol.Time       `json:"ended,omitzero"`      // of the enrolment before
	EndedBy    string              `json:"ended_by,omitempty"`
}

// A pasted is the server, as the line that somebody pasted names it.
type pasted struct {
	URL     string `json:"url"`               // of the enrolment link; empty once it is used up: it holds the token
	Host    string `json:"host"`              // with the port; nothing else is ever talked to
	Pin     string `json:"pin,omitempty"`     // as given; empty: none
	Trusted []byte `json:"trusted,omitempty"` // DER of the certificate that the pin means
}

// A pending is an enrolment profile that was fetched: a restart goes on with it, and with the same challenge.
type pending struct {
	Profile []byte `json:"profile"` // or what a link brings in its place for another kind of device
}

// A nextKey is the key for one challenge: the same challenge gets the same key, whatever happened in between.
type nextKey struct {
	For     []byte        `json:"for"`               // SHA-256 of the challenge
	Key     []byte        `json:"key"`               // P-256, the bare number
	Request []byte        `json:"request,omitempty"` // of a Windows device: what it was asked with
	Made    protocol.Time `json:"made,omitzero"`
}

func (n *nextKey) key() (*ecdsa.PrivateKey, error) {
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), n.Key)
}

// roots are whom the machine believes: what the pin means, alone; nil: the system's.
func (p *pasted) roots() (*x509.CertPool, error) {
	if len(p.Trusted) == 0 {
		return nil, nil
	}
	c, err := x509.ParseCertificate(p.Trusted)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return pool, nil
}

// id is what its server lists the machine as.
func (r *record) id() string { return cmp.Or(r.Listed, r.UDID) }

// ended is the record of a machine whose enrolment is over: what it is called stays, secrets do not.
func (r *record) ended(now protocol.Time, why string) *record {
	return &record{UDID: r.UDID, Drawn: r.Drawn, Machine: r.Machine, Kind: r.Kind, Clock: clock{Offset: r.Clock.Offset}, Asked: r.Asked, Ended: now, EndedBy: why}
}
