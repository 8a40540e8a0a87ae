package interop

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/micromdm/nanomdm/mdm"
	nanotest "github.com/micromdm/nanomdm/test"
	"github.com/micromdm/nanomdm/test/enrollment"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/fleet/conformance"
	"rollcall/protocol/apple"
)

// TestConformNanomdmDevice asks nanomdm's device what rollcall conform device asks. It says the messages of an enrolment and of
// reports; the profile and the identity are fetched for it here, and each command is acknowledged bare, as nanomdm's own tests
// do. What it does otherwise is in testdata/nanomdm-device.known.yaml, each read twice.
func TestConformNanomdmDevice(t *testing.T) {
	file, err := os.Open(filepath.Join("testdata", "nanomdm-device.known.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	known, err := conformance.ReadKnown(file, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b := &bystander{t: t}
	r, err := conformance.JudgeDevice(t.Context(), conformance.DeviceConfig{
		Hands: &conformance.Hands{
			Name: "nanomdm/test/enrollment", AtRest: true, Enrol: b.enrol, CheckIn: b.checkIn,
			Reset: func(context.Context) error { b.device = nil; return nil },
		},
		Authority: authority(t), Ready: b.trust, Check: time.Hour, Total: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Apply(known)
	if testing.Verbose() || r.Err() != nil {
		r.Summary(os.Stdout)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

// A bystander does for nanomdm's device what it cannot do itself.
type bystander struct {
	t      *testing.T
	roots  *x509.CertPool
	device *enrollment.Enrollment
	http   *http.Client
}

// Do sends one request of the device, over mutual TLS.
func (b *bystander) Do(r *http.Request) (*http.Response, error) { return b.http.Do(r) }

func (b *bystander) trust(_ string, ca []byte) {
	b.roots = x509.NewCertPool()
	b.roots.AppendCertsFromPEM(ca)
}

// enrol reads the profile as far as an enrolment needs, obtains the identity, and has the device enrol.
func (b *bystander) enrol(ctx context.Context, link string) error {
	if b.device != nil {
		return enrollment.ErrAlreadyEnrolled
	}
	strangers := clientTrusting(b.t, b.roots, certs.Signer{})
	resp, err := strangers.Get(link)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	p, err := apple.DecodeProfile(raw)
	if errors.Is(err, apple.ErrSigned) {
		var signed *certs.Signed
		if signed, err = certs.VerifyAttached(raw, certs.Policy{}); err == nil {
			p, err = apple.DecodeProfile(signed.Content)
		}
	}
	if err != nil {
		return err
	}
	payload, identity, err := p.Enrolment()
	if err != nil {
		return err
	}
	for _, q := range p.Payloads {
		if q.Type == apple.RootPayload {
			b.roots.AddCert(must(x509.ParseCertificate(q.Certificate))(b.t))
		}
	}
	key := rsaKey()
	client := scep.Client{URL: identity.SCEP.URL, CAFingerprint: identity.SCEP.CAFingerprint, HTTP: clientTrusting(b.t, b.roots, certs.Signer{})}
	leaf, err := client.Enrol(ctx, scep.EnrolRequest{
		Key: key, Subject: subject(), Challenge: identity.SCEP.Challenge, Retries: int(identity.SCEP.Retries), RetryDelay: time.Duration(identity.SCEP.RetryDelay) * time.Second, Now: time.Now(),
	})
	if err != nil {
		return err
	}
	b.http = clientTrusting(b.t, b.roots, certs.Signer{Certificate: leaf, Key: key})
	device, err := enrollment.NewRandomDeviceEnrollment(b, payload.MDM.Topic, payload.MDM.ServerURL, payload.MDM.CheckInURL)
	if err != nil {
		return err
	}
	b.device = device
	return device.DoEnroll(ctx)
}

// checkIn asks for commands and acknowledges each.
func (b *bystander) checkIn(ctx context.Context) error {
	if b.device == nil {
		return errors.New("not enrolled")
	}
	report := &mdm.CommandResults{Enrollment: *b.device.GetEnrollment(), Status: "Idle"}
	for {
		body, err := nanotest.PlistReader(report)
		if err != nil {
			return err
		}
		resp, err := b.device.DoReportAndFetch(ctx, body)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return err
		case resp.StatusCode != http.StatusOK:
			return fmt.Errorf("answered %s", resp.Status)
		case len(answer) == 0:
			return nil
		}
		c, err := mdm.DecodeCommand(answer)
		if err != nil {
			return err
		}
		report.CommandUUID, report.Status = c.CommandUUID, "Acknowledged"
	}
}
