package conformance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol/apple"
)

// A stranger's device: it enrols as it should, and then says what a test wants said.
type handset struct {
	t      *testing.T
	roots  *x509.CertPool
	client *http.Client
	mdm    *apple.MDM
	after  func(h *handset) // it has enrolled; nil: it does nothing more
}

func (h *handset) hands() *Hands {
	return &Hands{
		Name: "a stranger's device", AtRest: true, Enrol: h.enrol,
		CheckIn: func(ctx context.Context) error {
			h.say(ctx, h.mdm.ServerURL, &apple.Message{UDID: "U"})
			return nil
		},
	}
}

func (h *handset) trust(_ string, ca []byte) {
	h.roots = x509.NewCertPool()
	h.roots.AppendCertsFromPEM(ca)
}

func (h *handset) over(who *tls.Certificate) *http.Client {
	config := &tls.Config{RootCAs: h.roots}
	if who != nil {
		config.Certificates = []tls.Certificate{*who}
	}
	t := &http.Transport{TLSClientConfig: config}
	h.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

func (h *handset) enrol(ctx context.Context, link string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return err
	}
	resp, err := h.over(nil).Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	e, err := readEnrolment(raw)
	if err != nil {
		return err
	}
	h.mdm = e.mdm
	for _, a := range e.anchors {
		h.roots.AddCert(a)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return err
	}
	rsaKey, err := transport()
	if err != nil {
		return err
	}
	outer, err := scep.NewTransport(rsaKey, time.Now())
	if err != nil {
		return err
	}
	c := scep.Client{URL: e.scep.URL, HTTP: h.over(nil)}
	leaf, err := c.Enrol(ctx, scep.EnrolRequest{Key: key, Transport: outer, Challenge: e.scep.Challenge, Now: time.Now()})
	if err != nil {
		return err
	}
	h.client = h.over(&tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key})
	h.say(ctx, e.mdm.CheckInURL, &apple.Message{MessageType: apple.Authenticate, UDID: "U", Topic: e.mdm.Topic, OSVersion: "18.1", BuildVersion: "22B83", ProductName: "iPhone14,5"})
	h.say(ctx, e.mdm.CheckInURL, &apple.Message{MessageType: apple.TokenUpdate, UDID: "U", Topic: e.mdm.Topic, Token: []byte("token"), PushMagic: "magic"})
	if h.after != nil {
		h.after(h)
	}
	return nil
}

func (h *handset) say(ctx context.Context, url string, m *apple.Message) int {
	kind := apple.CommandType
	if m.MessageType != apple.NoMessageType {
		kind = apple.CheckInType
	}
	return h.put(ctx, url, kind, apple.EncodeMessage(nil, m))
}

func (h *handset) put(ctx context.Context, url, kind string, body []byte) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url, strings.NewReader(string(body)))
	if err != nil {
		return 0
	}
	r.Header.Set("Content-Type", kind)
	resp, err := h.client.Do(r)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func (h *handset) judged(only ...string) *Result {
	h.t.Helper()
	ca, err := toyCA()
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := JudgeDevice(h.t.Context(), DeviceConfig{Hands: h.hands(), Authority: ca, Only: only, Ready: h.trust, Check: time.Hour, Total: time.Hour})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// TestDeviceThatStays: what takes no RemoveProfile is told to have stayed.
func TestDeviceThatStays(t *testing.T) {
	h := &handset{t: t}
	r := h.judged("APL-002.device")
	if f := r.of("APL-002.device"); f.Outcome != Pass {
		t.Errorf("%s: %s", f.Outcome, f.Reason)
	}
	if len(r.Left) == 0 || !strings.Contains(r.Left[0], "U: it did not leave") {
		t.Errorf("left %v, want the device that takes no RemoveProfile", r.Left)
	}
}

// TestDeviceThatIsNotThere: after two links that nobody opened nobody waits for more.
func TestDeviceThatIsNotThere(t *testing.T) {
	h := &Hands{Name: "nobody", Enrol: func(context.Context, string) error { return errors.New("no such device") }}
	ca, err := toyCA()
	if err != nil {
		t.Fatal(err)
	}
	r, err := JudgeDevice(t.Context(), DeviceConfig{Hands: h, Authority: ca, Check: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.count(Unasked); n != len(r.Findings)-r.count(NotApplicable) {
		t.Errorf("%d not asked of %d", n, len(r.Findings))
	}
	if f := r.of("APL-093"); !strings.Contains(f.Reason, "there is no device") {
		t.Errorf("%s", f.Reason)
	}
	if err := r.Err(); err == nil || err.(interface{ Verdict() string }).Verdict() != "invalid" {
		t.Errorf("verdict %v, want invalid", err)
	}
}

// TestDeviceThatHangs: whoever holds the device is waited for so long, and after two such links no more.
func TestDeviceThatHangs(t *testing.T) {
	hung := 0
	hang := func(ctx context.Context, _ string) error {
		hung++
		<-ctx.Done()
		return ctx.Err()
	}
	for name, c := range map[string]DeviceConfig{
		"a step":           {Hands: &Hands{Enrol: hang, AtRest: true}, Patience: time.Millisecond, Check: time.Hour},
		"a check":          {Hands: &Hands{Enrol: hang, AtRest: true}, Patience: time.Hour, Check: time.Millisecond},
		"nobody at a door": {Hands: &Hands{Enrol: hang}, Patience: time.Millisecond, Check: time.Hour},
	} {
		hung = 0
		ca, err := toyCA()
		if err != nil {
			t.Fatal(err)
		}
		c.Authority, c.Settle = ca, time.Millisecond
		r, err := JudgeDevice(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if n := r.count(Unasked); n != len(r.Findings)-r.count(NotApplicable) || hung > absence || hung == 0 {
			t.Errorf("%s: %d not asked of %d, waited for %d times", name, n, len(r.Findings), hung)
		}
	}
}

// TestDeviceThatTalksNonsense: bytes that are no message and messages without identity are answered, and held against nobody
// else.
func TestDeviceThatTalksNonsense(t *testing.T) {
	got := map[string]int{}
	h := &handset{t: t, after: func(h *handset) {
		ctx := h.t.Context()
		got["rubbish"] = h.put(ctx, h.mdm.ServerURL, apple.CommandType, []byte("<plist><dict><key>Status</key>"))
		got["twice"] = h.put(ctx, h.mdm.ServerURL, apple.CommandType, []byte("<plist><dict><key>Status</key><string>Idle</string><key>Status</key><string>Idle</string></dict></plist>"))
		got["elsewhere"] = h.put(ctx, strings.Replace(h.mdm.ServerURL, "/mdm", "9/mdm", 1), apple.CommandType, nil)
		mine := h.client
		h.client = h.over(nil)
		got["nobody"] = h.say(ctx, h.mdm.ServerURL, &apple.Message{UDID: "U"})
		h.client = mine
	}}
	r := h.judged("APL-002.device", "APL-061")
	want := map[string]int{"rubbish": 400, "twice": 400, "elsewhere": 404, "nobody": 400}
	for what, status := range want {
		if got[what] != status {
			t.Errorf("%s was answered %d, want %d", what, got[what], status)
		}
	}
	if f := r.of("APL-002.device"); f.Outcome != Pass {
		t.Errorf("%s: %s", f.Outcome, f.Reason)
	}
	if f := r.of("APL-061"); f.Outcome != Unasked || !strings.Contains(f.Reason, "did not report ProfileList") {
		t.Errorf("%s: %s", f.Outcome, f.Reason)
	}
}

// TestFlood: what one offer keeps is bounded.
func TestFlood(t *testing.T) {
	o := &offer{kept: mostKept}
	w := httptest.NewRecorder()
	o.hear(w, httptest.NewRequest(http.MethodPut, "/1/mdm", nil), nil)
	if w.Code != http.StatusServiceUnavailable || len(o.messages) > 0 {
		t.Errorf("answered %d, kept %d", w.Code, len(o.messages))
	}
}

// TestJudgeInterrupted: a run whose context ends tells what it has.
func TestJudgeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := &handset{t: t, after: func(*handset) { cancel() }}
	ca, err := toyCA()
	if err != nil {
		t.Fatal(err)
	}
	r, err := JudgeDevice(ctx, DeviceConfig{Hands: h.hands(), Authority: ca, Ready: h.trust})
	if err != nil || !r.Interrupted || len(r.Left) == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.Err(); err == nil || err.(interface{ Verdict() string }).Verdict() != "partial" {
		t.Errorf("verdict %v, want partial", err)
	}
}

func TestJudgeRefuses(t *testing.T) {
	hands := &Hands{Enrol: func(context.Context, string) error { return nil }}
	for want, c := range map[string]DeviceConfig{
		"have the device enrol":      {},
		"is asked of servers":        {Hands: hands, Only: []string{"APL-050"}},
		"no statement":               {Hands: hands, Only: []string{"APL-999"}},
		"want an address":            {Hands: hands, Listen: "nowhere"},
		"by which the device finds":  {Hands: hands, Listen: "0.0.0.0:0"},
		"by which the device finds ": {Hands: hands, Listen: ":0"},
	} {
		if _, err := JudgeDevice(t.Context(), c); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

// TestJudgeCutOff: what could not be asked was cut off, whatever the device did or left undone.
func TestJudgeCutOff(t *testing.T) {
	ca, err := toyCA()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := JudgeDevice(ctx, DeviceConfig{Authority: ca, Check: time.Hour, Total: time.Hour, Hands: &Hands{Name: "nobody", AtRest: true, Enrol: func(ctx context.Context, _ string) error {
		cancel()
		return ctx.Err()
	}}})
	if err != nil || !r.Interrupted {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, f := range r.Findings {
		if f.Outcome == Fail || f.Outcome == Unasked && f.Reason != "interrupted" {
			t.Errorf("%s: %s: %s", f.ID, f.Outcome, f.Reason)
		}
	}
	if r.count(Unasked) < 3 {
		t.Error(r.headline())
	}
}
