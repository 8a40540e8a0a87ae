package device

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/delivery"
)

const (
	scepRetries    = 3
	scepRetryDelay = 10 // seconds
	keyBits        = 2048
)

// An Enrolment writes the profiles with which Apple devices enrol and renew. Its fields are set before use and do
// not change while devices are enrolled: a device refuses another ServerURL (apple.md section 11).
type Enrolment struct {
	URL         string           // https://host[:port] that devices reach this server at; all links come from it (HST-024)
	Name        string           // of the organisation, as the device shows it
	CA          *certs.Authority // issues identities, and the certificate that this server shows
	SignMessage bool             // devices sign their messages

	// Signer signs enrolment profiles; nil: they go out unsigned.
	Signer func() (certs.Signer, error)

	// Seal signs the notices of a change of authority; its certificate is part of the profile. Nil: there are none.
	Seal *certs.Seal
}

// Profile returns the signed profile with which a device of platform p enrols. topic is the one that it will be woken
// under, challenge the right to one certificate; now is the signing time. One that a device would refuse, because of URL or
// topic, is an error (APL-001).
func (e *Enrolment) Profile(p protocol.Platform, topic, challenge string, now time.Time) ([]byte, error) {
	profile := e.document(p, topic, challenge)
	if err := profile.CheckEnrolment(topic); err != nil {
		return nil, err
	}
	if e.Signer == nil {
		return apple.EncodeProfile(profile), nil
	}
	signer, err := e.Signer()
	if err != nil {
		return nil, err
	}
	return certs.SignAttached(apple.EncodeProfile(profile), signer, now)
}

// Renewal returns the profile with which the device in state s renews its identity: that of its enrolment but for the
// challenge (APL-090). It is not signed, as a profile that a managed device gets by command need not be
// (apple.md section 2.6), so that the same arguments give the same bytes.
func (e *Enrolment) Renewal(_ context.Context, _ protocol.Time, s *delivery.State, challenge string) ([]byte, error) {
	return apple.EncodeProfile(e.document(s.Platform, s.Push.Topic, challenge)), nil
}

func (e *Enrolment) document(p protocol.Platform, topic, challenge string) *apple.Profile {
	root := e.CA.Certificate()
	fingerprint := sha256.Sum256(root.Raw)
	identity := e.uuid("identity")
	mdm := &apple.MDM{
		IdentityCertificateUUID: identity, Topic: topic, ServerURL: e.URL + commandPath, CheckInURL: e.URL + checkInPath,
		SignMessage: e.SignMessage, AccessRights: apple.AllRights, CheckOutWhenRemoved: true,
	}
	if p == protocol.MacOS {
		mdm.ServerCapabilities = []string{"com.apple.mdm.bootstraptoken"}
	}
	profile := &apple.Profile{
		Identifier: server.EnrolmentIdentifier, UUID: e.uuid("profile"), DisplayName: "Management by " + e.Name, Organization: e.Name,
		Description: "Lets " + e.Name + " manage this device.", Scope: scope(p),
		Payloads: []apple.Payload{
			{
				Type: apple.RootPayload, Identifier: server.EnrolmentIdentifier + ".root", UUID: e.uuid("root"),
				DisplayName: root.Subject.CommonName, Certificate: root.Raw,
			},
			{
				Type: apple.SCEPPayload, Identifier: server.EnrolmentIdentifier + ".identity", UUID: identity, DisplayName: "Device identity",
				SCEP: &apple.SCEP{
					URL: e.URL + scepPath, Name: "rollcall", Subject: [][][]string{{{"O", e.Name}}, {{"CN", "device"}}}, Challenge: challenge,
					Keysize: keyBits, KeyType: "RSA", KeyUsage: 5, CAFingerprint: fingerprint[:], Retries: scepRetries, RetryDelay: scepRetryDelay,
				},
			},
			{Type: apple.MDMPayload, Identifier: server.EnrolmentIdentifier + ".mdm", UUID: e.uuid("mdm"), DisplayName: "Management", MDM: mdm},
		},
	}
	if e.Seal != nil {
		profile.Payloads = append(profile.Payloads, apple.Payload{
			Type: apple.PKCS1Payload, Identifier: apple.NoticeIdentifier, UUID: e.uuid("notice"), DisplayName: "Notices of " + e.Name,
			Certificate: e.Seal.Certificate().Raw,
		})
	}
	return profile
}

// uuid is the same for the same server and part, so that a renewal updates in place.
func (e *Enrolment) uuid(part string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(e.URL+"/"+part)).String()
}

// scope is that of the whole machine on a Mac; other platforms know no other.
func scope(p protocol.Platform) string {
	if p == protocol.MacOS {
		return "System"
	}
	return ""
}
