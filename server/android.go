package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Why an enrolment token of Android's is not taken.
var (
	ErrTokenUnknown = errors.New("the enrolment token is unknown")
	ErrTokenExpired = errors.New("the enrolment token has expired")
	ErrTokenUsed    = errors.New("the enrolment token was used")
)

// androidPrefix begins the names of Android devices, which are this server's own.
const androidPrefix = "d-"

// A token says its mode and when it ends behind its secret; its hash is of the whole, so that nobody changes that.
var modeLetters = map[android.Mode]string{
	android.WorkProfilePersonal: "p", android.WorkProfileCompany: "c", android.FullyManaged: "f", android.Dedicated: "d", android.AOSPUser: "a", android.AOSPUserless: "u",
}

// InviteAndroid makes an enrolment token for one Android device of a user (0: userless) in a mode, and returns it; it is kept nowhere. There
// is none while no authority is set (AUTH-01), nor without the consent for Google's services in a mode that uses them (AUTH-05).
func (s *Server) InviteAndroid(ctx context.Context, now protocol.Time, user delivery.UserID, mode android.Mode, lifetime time.Duration) (token string, err error) {
	letter := modeLetters[mode]
	switch {
	case letter == "":
		return "", refuse("HST-014", "there is no mode %q", mode)
	case mode.Userless() && user != 0:
		return "", refuse("HST-014", "a device of mode %s has no user", mode)
	case !mode.Userless() && user == 0:
		return "", refuse("HST-014", "a device of mode %s has a user", mode)
	case s.World().Tenant.Authority == protocol.Unknown:
		return "", refuse(protocol.RuleUnset, "no authority is set yet, so no device can enrol")
	}
	if err := s.AndroidConsent(mode); err != nil {
		return "", err
	}
	secret, _ := secretText()
	ends := now.Add(lifetime)
	token = secret + "." + letter + "." + strconv.FormatInt(int64(ends/1e6), 36)
	err = s.store.AddTicket(ctx, &store.Ticket{Hash: sha256.Sum256([]byte(token)), User: user, Platform: protocol.Android, Expires: ends})
	if err != nil {
		return "", fmt.Errorf("enrolment token: %w", err)
	}
	return token, nil
}

// AndroidConsent refuses a mode whose consent has not been granted (AUTH-05).
func (s *Server) AndroidConsent(mode android.Mode) error {
	if !mode.Google() {
		return nil
	}
	return s.needsConsent(ConsentAndroid)
}

// An AndroidToken is an enrolment token that was looked at.
type AndroidToken struct {
	User    delivery.UserID
	Mode    android.Mode
	Expires protocol.Time // of the right to a certificate
	Used    bool          // there is a certificate already, and its device has not checked in yet
}

// AndroidToken looks at a token for a device, which changes nothing. The errors are those above.
func (s *Server) AndroidToken(ctx context.Context, now protocol.Time, token, device string) (*AndroidToken, error) {
	t := &AndroidToken{}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, ErrTokenUnknown
	}
	for mode, letter := range modeLetters {
		if letter == parts[1] {
			t.Mode = mode
		}
	}
	ends, err := strconv.ParseInt(parts[2], 36, 48)
	if t.Mode == "" || err != nil {
		return nil, ErrTokenUnknown
	}
	hash := sha256.Sum256([]byte(token))
	var grant store.Grant
	found := false
	err = s.store.Redeem(ctx, hash, func(g *store.Grant) (*store.Issued, error) { // nothing is redeemed
		if g != nil {
			grant, found = *g, true
		}
		return nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("enrolment token: %w", err)
	}
	switch {
	case found && grant.ID != device: // another device was there first
		return nil, ErrTokenUsed
	case found && grant.UsedAt != 0:
		done, err := s.checkedIn(ctx, &grant)
		if err == nil && done {
			err = ErrTokenUsed
		}
		t.User, t.Expires, t.Used = grant.User, grant.Expires, true
		return t, err
	}
	ticket, err := s.store.Ticket(ctx, hash, now)
	switch {
	case errors.Is(err, store.ErrNotFound) && now >= protocol.Time(ends*1e6):
		return nil, ErrTokenExpired // or nobody's: it is no use anyway
	case errors.Is(err, store.ErrNotFound):
		return nil, ErrTokenUnknown
	case err != nil:
		return nil, fmt.Errorf("enrolment token: %w", err)
	}
	t.User, t.Expires = ticket.User, now.Add(grantLife)
	return t, nil
}

// checkedIn tells whether the device of a used grant has checked in under its certificate: with another identity since, with its record
// removed, or turned away for good, it has as well (AND-071). The store keeps a certificate for longer than its grant.
func (s *Server) checkedIn(ctx context.Context, g *store.Grant) (bool, error) {
	f := delivery.Fingerprint(sha256.Sum256(g.Certificate))
	c, err := s.store.Credential(ctx, f)
	if err != nil || c.Device == 0 {
		return c.Revoked, err
	}
	r, err := s.store.Record(ctx, c.Device)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return err == nil && (r.State.Identity.Fingerprint != f || r.State.Life != delivery.Enrolling), err
}

// BindAndroidToken makes a token the challenge of one device, for an hour: no other can use it from then on (HST-037). A device that is
// enrolled and is another user's, or nobody's, is not replaced by whoever knows its serial number (HST-042, HST-051). Key is the SHA-256
// of the one key, in PKIX form, that gets the certificate; zero: any does.
func (s *Server) BindAndroidToken(ctx context.Context, now protocol.Time, token, device string, key [32]byte, t *AndroidToken) error {
	if t.Used {
		return nil
	}
	g := store.Grant{
		Hash: sha256.Sum256([]byte(token)), Purpose: delivery.ForEnrolment, User: t.User, ID: device, Platform: protocol.Android, Expires: t.Expires,
		Serial: EnrollmentOf(token) + " " + string(t.Mode), Key: key,
	}
	d, err := s.store.Device(ctx, device)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return fmt.Errorf("enrolment token: %w", err)
	default:
		r, err := s.store.Record(ctx, d)
		if err != nil {
			return fmt.Errorf("enrolment token: %w", err)
		}
		if !r.State.Yields(now, &delivery.Credential{User: t.User}, protocol.Android) {
			return refuse("HST-051", "a device with this serial number is enrolled; it must leave, or be deleted, before another takes its place")
		}
	}
	if err := s.store.AddGrant(ctx, &g); err != nil {
		return fmt.Errorf("enrolment token: %w", err)
	}
	_, err = s.AndroidToken(ctx, now, token, device) // of two at once the other may have been first
	return err
}

// Attested notes in the journal what the key store of a device that enrols says of it, or why that counts for nothing (AND-084).
func (s *Server) Attested(ctx context.Context, now protocol.Time, device, detail string) error {
	if err := s.apply(ctx, now, &store.Change{Lines: line(delivery.WhatAttested, "AND-084", "device "+device+": "+detail)}); err != nil {
		return fmt.Errorf("attestation: %w", err)
	}
	return nil
}

// EnrollmentOf is what the enrolment by a token is called.
func EnrollmentOf(token string) string {
	sum := sha256.Sum256([]byte("enrolment " + token))
	return "e-" + hex.EncodeToString(sum[:8])
}

// AndroidDevice returns what the Android device with this hardware is called: the same whenever it enrols, so that it gets its own
// record again.
func (s *Server) AndroidDevice(hardware string) string {
	mac := hmac.New(sha256.New, s.renewals)
	mac.Write([]byte("Android device " + hardware))
	return androidPrefix + hex.EncodeToString(mac.Sum(nil)[:10])
}

// AndroidEnrolment returns what the record of an Android device says of its enrolment, its mode and its API level.
func AndroidEnrolment(f *delivery.Facts) (enrollment string, mode android.Mode, level int) {
	enrollment, text, _ := strings.Cut(f.Said, " ")
	text, _, _ = strings.Cut(text, " ") // what follows is of its policy
	if mode.UnmarshalText([]byte(text)) != nil {
		mode = ""
	}
	level, _ = strconv.Atoi(f.Build)
	return enrollment, mode, level
}

// NonCompliance is why an Android device does not keep to a setting of its policy, in the words of its report.
type NonCompliance struct{ Setting, Package, Reason string }

// mostReasons is how many reasons a record keeps.
const mostReasons = 20

// AppendAndroid appends to dst what [delivery.Facts] are to keep of an Android device: its enrolment and mode as they are in said, the
// version of the policy that is in force there, and of its latest report why it does not comply.
func AppendAndroid(dst []byte, said string, version int64, m *android.CheckIn) []byte {
	enrollment, rest, _ := strings.Cut(said, " ")
	mode, _, _ := strings.Cut(rest, " ")
	dst = append(append(append(append(dst, enrollment...), ' '), mode...), ' ')
	dst = strconv.AppendInt(dst, version, 10)
	for i := range m.NonComplianceDetails[:min(len(m.NonComplianceDetails), mostReasons)] {
		d := &m.NonComplianceDetails[i]
		dst = append(dst, ' ')
		for j, word := range [...]string{d.SettingName, d.PackageName, string(d.NonComplianceReason)} {
			if j > 0 {
				dst = append(dst, ':')
			}
			dst = appendWord(dst, word)
		}
	}
	return dst
}

// appendWord appends what a name of Android's is made of, of a device's text at most 64 bytes.
func appendWord(dst []byte, s string) []byte {
	for i := range min(len(s), 64) {
		if c := s[i]; c == '_' || c == '.' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
			dst = append(dst, c)
		}
	}
	return dst
}

// AndroidVersion returns the version of its policy that an Android device is known to keep to; 0: none.
func AndroidVersion(f *delivery.Facts) int64 { return versionIn(f.Said) }

func versionIn(said string) int64 {
	_, rest, _ := strings.Cut(said, " ")
	_, rest, _ = strings.Cut(rest, " ")
	word, _, _ := strings.Cut(rest, " ")
	version, _ := strconv.ParseInt(word, 10, 64)
	return version
}

// AndroidPolicy returns what the record of an Android device says of its policy: the version that it has applied, 0 for none, and why it
// does not comply.
func AndroidPolicy(f *delivery.Facts) (version int64, reasons []NonCompliance) {
	words := strings.Split(f.Said, " ")
	if len(words) < 3 {
		return 0, nil
	}
	version = versionIn(f.Said)
	for _, word := range words[3:] {
		if parts := strings.Split(word, ":"); len(parts) == 3 {
			reasons = append(reasons, NonCompliance{parts[0], parts[1], parts[2]})
		}
	}
	return version, reasons
}

// suits refuses what a device of this platform or mode cannot do; the journal says so.
func (s *Server) suits(ctx context.Context, now protocol.Time, d protocol.Device, c *protocol.Command) error {
	alone := c.Kind > protocol.Retire // only Android devices know it
	if !alone && c.Kind != protocol.Retire && c.Kind != protocol.Restart {
		return nil
	}
	r, err := s.store.Record(ctx, d)
	if err != nil || !alone && r.State.Platform != protocol.Android {
		return err
	}
	if no, refused := errors.AsType[*protocol.Refusal](misfit(&r, c)); refused {
		lines := line(delivery.WhatRefused, no.Rule, no.Reason)
		lines[0].Device, lines[0].Actor = d, actorOf(ctx, delivery.Administered)
		if err := s.apply(ctx, now, &store.Change{Lines: lines}); err != nil {
			return fmt.Errorf("%s is refused, and the journal cannot say so: %w", c.Kind, err)
		}
		return no
	}
	return nil
}

// misfit says why a device does not take a command (android.md, sections 2.5 and 7); nil: it does.
func misfit(r *store.Record, c *protocol.Command) error {
	_, mode, _ := AndroidEnrolment(&r.Facts)
	switch {
	case r.State.Platform != protocol.Android:
		return refuse("HST-014", "%s is for Android devices; this one is %s", c.Kind, r.State.Platform)
	case c.Text == "" && (c.Kind == protocol.ClearAppData || c.Kind == protocol.StartLostMode):
		return refuse("HST-014", "%s needs a text: the packages, or what the lost device shows", c.Kind)
	case mode == "":
		return nil
	case c.Kind == protocol.Retire && keepsNothing(mode): // personal data would go, which retiring is to keep
		return refuse(protocol.RuleRetire, "a device of mode %s cannot be retired, only wiped", mode)
	case c.Kind == protocol.Restart && mode.WorkProfile():
		return refuse("AND-038", "of a device of mode %s only the work profile is managed: it cannot be restarted", mode)
	case (c.Kind == protocol.StartLostMode || c.Kind == protocol.StopLostMode) && !mode.CompanyOwned():
		return refuse("AND-038", "a device of mode %s is its user's own: it has no lost mode", mode)
	}
	return nil
}
