package load

import (
	"crypto"
	"crypto/x509"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// Mint returns what gives devices identities of ca in place of SCEP: P-256 keys, and the UDID as common name, by which a
// server that trusts ca tells them apart.
func Mint(ca *certs.Authority, now func() time.Time) func(*dialect.Apple, *dialect.SCEP) (crypto.Signer, *x509.Certificate, error) {
	return func(d *dialect.Apple, _ *dialect.SCEP) (crypto.Signer, *x509.Certificate, error) {
		key, err := certs.GenerateKey(certs.P256)
		if err != nil {
			return nil, nil, err
		}
		c, err := ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: d.UDID(), Now: now()})
		return key, c, err
	}
}

// An Endpoint is where devices talk to a server that does not hand out enrolment profiles itself.
type Endpoint struct {
	ServerURL, CheckInURL string // CheckInURL empty: ServerURL
	Topic                 string // of the server's push certificate
	SignMessage           bool   // devices sign their messages (Mdm-Signature)
}

// Profile makes the enrolment profile of e. It names no way to an identity that works: whoever installs it has one minted.
func (e *Endpoint) Profile() ([]byte, error) {
	id := func(part string) string {
		return uuid.NewSHA1(uuid.NameSpaceURL, []byte(e.ServerURL+"/"+part)).String()
	}
	p := &apple.Profile{
		Identifier: "rollcall.load", UUID: id("profile"), DisplayName: "Load",
		Payloads: []apple.Payload{
			{Type: apple.MDMPayload, Identifier: "rollcall.load.mdm", UUID: id("mdm"), MDM: &apple.MDM{
				IdentityCertificateUUID: id("identity"), Topic: e.Topic, ServerURL: e.ServerURL, CheckInURL: e.CheckInURL,
				SignMessage: e.SignMessage, AccessRights: apple.AllRights, CheckOutWhenRemoved: true,
			}},
			{
				Type: apple.SCEPPayload, Identifier: "rollcall.load.identity", UUID: id("identity"),
				SCEP: &apple.SCEP{URL: strings.TrimSuffix(e.ServerURL, "/") + "/scep", Keysize: 2048},
			},
		},
	}
	if err := p.CheckEnrolment(e.Topic); err != nil {
		return nil, err
	}
	return apple.EncodeProfile(p), nil
}

// phone is what calibration's devices are.
var phone = &dialect.Model{Platform: protocol.IOS, Name: "iPhone", Product: "iPhone14,5", OSVersion: "17.6", Build: "21G80", Capacity: 128}

func deviceNumber(i int) protocol.Device { return protocol.Device(i + 1) }

// Tune sets the garbage collector for a process that loads with so many devices, and returns what sets it back. TLS makes 60 KB
// of garbage a handshake beside a small heap: left alone, a third of the processor time goes into collecting it.
func Tune(devices int, kept bool) (restore func()) {
	const base, asleep, awake, between = 16 << 20, 2 << 10, 24 << 10, 256 << 20
	live := base + devices*asleep
	if kept {
		live += devices * awake
	}
	before := debug.SetGCPercent(max(100, min(1600, 100*between/live)))
	return func() { debug.SetGCPercent(before) }
}
