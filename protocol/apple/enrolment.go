package apple

import (
	"fmt"
	"net/url"
	"strings"
)

// topicPrefix is how the topic of every MDM push certificate begins.
const topicPrefix = "com.apple.mgmt."

// userEnrolment is the EnrollmentMode of a private device; without it a device is wholly managed.
const userEnrolment = "BYOD"

// Enrolment returns the MDM payload of p and the identity payload that it names. Both are nil, without error,
// when p has no MDM payload. The error names what a device would refuse (apple.md section 2.2): two MDM
// payloads, no identity, a foreign topic, a URL without TLS, impossible rights.
func (p *Profile) Enrolment() (mdm, identity *Payload, err error) {
	for i := range p.Payloads {
		if p.Payloads[i].MDM == nil {
			continue
		}
		if mdm != nil {
			return nil, nil, fmt.Errorf("profile %q: two MDM payloads (APL-004)", p.Identifier)
		}
		mdm = &p.Payloads[i]
	}
	if mdm == nil {
		return nil, nil, nil
	}
	for i := range p.Payloads {
		q := &p.Payloads[i]
		if q.UUID == mdm.MDM.IdentityCertificateUUID && (q.SCEP != nil || q.Type == PKCS12Payload || q.Type == acmePayload) {
			identity = q
		}
	}
	wrong := mdm.MDM.wrong()
	switch {
	case identity == nil:
		wrong = "IdentityCertificateUUID names no identity payload of the profile (APL-003)"
	case wrong == "" && identity.SCEP != nil:
		wrong = identity.SCEP.wrong()
	}
	if wrong != "" {
		return nil, nil, fmt.Errorf("profile %q: %s", p.Identifier, wrong)
	}
	return mdm, identity, nil
}

// CheckEnrolment tells whether p is an enrolment profile as a server should give it (APL-001): what
// [Profile.Enrolment] asks, the topic of the push certificate, an RSA key of at least 2048 bits, and nothing but
// what enrolment needs (apple.md section 2.5).
func (p *Profile) CheckEnrolment(topic string) error {
	mdm, identity, err := p.Enrolment()
	if err != nil {
		return err
	}
	wrong := ""
	switch {
	case mdm == nil:
		wrong = "no MDM payload"
	case mdm.MDM.Topic != topic:
		wrong = fmt.Sprintf("Topic is %q, the push certificate's is %q", mdm.MDM.Topic, topic)
	case identity.SCEP != nil && identity.SCEP.Keysize < 2048:
		wrong = "Keysize is below 2048, as it is by default"
	}
	for i := range p.Payloads {
		if q := &p.Payloads[i]; wrong == "" && q != mdm && q != identity && q.Type != RootPayload && q.Type != PKCS1Payload {
			wrong = "payload of type " + q.Type + " is for InstallProfile, not for enrolment"
		}
	}
	if wrong != "" {
		return fmt.Errorf("profile %q: %s (APL-001)", p.Identifier, wrong)
	}
	return nil
}

func (m *MDM) wrong() string {
	r := m.AccessRights
	switch {
	case !strings.HasPrefix(m.Topic, topicPrefix):
		return "Topic does not begin with " + topicPrefix
	case !secure(m.ServerURL):
		return "ServerURL is no https URL"
	case m.CheckInURL != "" && !secure(m.CheckInURL):
		return "CheckInURL is no https URL"
	case m.EnrollmentMode == userEnrolment:
		return "" // rights do not apply
	case r <= 0 || r > AllRights:
		return "AccessRights are not from 1 to 8191"
	case r&RightInstallProfiles != 0 && r&RightInspectProfiles == 0, r&RightInstallProvision != 0 && r&RightInspectProvision == 0:
		return "AccessRights to install without those to inspect"
	}
	return ""
}

func (s *SCEP) wrong() string {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "SCEP URL is none"
	case s.KeyType != "" && s.KeyType != "RSA":
		return "SCEP Key Type is not RSA"
	}
	return ""
}

func secure(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// CheckUpdate tells whether a device that is enrolled by m may take next as its update: ServerURL, CheckInURL,
// Topic, EnrollmentMode and AssignedManagedAppleID byte for byte the same, no right added (apple.md section 11).
func (m *MDM) CheckUpdate(next *MDM) error {
	for _, f := range [...]struct{ key, old, new string }{
		{"ServerURL", m.ServerURL, next.ServerURL},
		{"CheckInURL", m.CheckInURL, next.CheckInURL},
		{"Topic", m.Topic, next.Topic},
		{"EnrollmentMode", m.EnrollmentMode, next.EnrollmentMode},
		{"AssignedManagedAppleID", m.AssignedManagedAppleID, next.AssignedManagedAppleID},
	} {
		if f.old != f.new {
			return fmt.Errorf("update of the MDM payload: %s may not change (APL-090)", f.key)
		}
	}
	if next.AccessRights&^m.AccessRights != 0 {
		return fmt.Errorf("update of the MDM payload: AccessRights may not grow from %d to %d (APL-090)", m.AccessRights, next.AccessRights)
	}
	return nil
}
