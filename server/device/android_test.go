package device

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func newDroidLab(t *testing.T) *lab {
	return newLab(t, func(c *Config) {
		seal, err := certs.NewSeal("orders", c.Now())
		if err != nil {
			t.Fatal(err)
		}
		c.Enrolment.Seal, c.Android = seal, &Android{}
	})
}

// TestHST045AndroidStrangers: whoever has no token is a stranger, whatever serial number it says, and leaves those who are known their
// room in the journal.
func TestHST045AndroidStrangers(t *testing.T) {
	l := newDroidLab(t)
	begin := func(token, serial string) int {
		m := android.EnrollRequest{Protocol: 1, Role: android.DPC, Mode: android.AOSPUser, Hardware: android.Hardware{Brand: "acme", Model: "A1", SerialNumber: serial}, Software: android.Software{APILevel: 34, AndroidVersion: "14"}}
		return l.from("192.0.2.7:1", http.MethodPost, android.EnrollPath, string(android.Append(nil, &m)), "Authorization", "Bearer "+token).Code
	}
	end, err := l.store.JournalEnd(context.Background())
	l.must(err)
	for i := range 300 {
		if code := begin(fmt.Sprintf("nobody%d.a.zzzzzzz", i), fmt.Sprint("S-", i)); code != http.StatusUnauthorized {
			t.Fatalf("answered %d", code)
		}
	}
	lines, err := l.store.Journal(context.Background(), store.LineFilter{After: end}, 1000)
	if err != nil || len(lines) != 1 {
		t.Errorf("%d lines, %v; want one of somebody at this address", len(lines), err)
	}
}

// TestHST045EST: a network has as many certificates by EST as by SCEP.
func TestHST045EST(t *testing.T) {
	l := newDroidLab(t)
	l.limited(0.01)
	codes := map[int]int{}
	for range 5 {
		codes[l.from("192.0.2.7:1", http.MethodPost, android.ESTPath+"/simpleenroll", "x").Code]++
	}
	if codes[http.StatusServiceUnavailable] != 4 {
		t.Errorf("answered %v, want one that is looked at", codes)
	}
	if code := l.from("192.0.2.7:1", http.MethodGet, android.ESTPath+"/cacerts", "").Code; code != http.StatusOK {
		t.Errorf("the authority's certificate is answered %d", code)
	}
}

// TestAndroidMethods: a wrong method is answered with the one that is served (RFC 9110, section 15.5.6).
func TestAndroidMethods(t *testing.T) {
	l := newDroidLab(t)
	for path, want := range map[string]string{
		android.DiscoveryPath: http.MethodGet, android.EnrollPath: http.MethodPost, android.CheckInPath: http.MethodPost, android.UnenrollPath: http.MethodPost,
	} {
		w := l.from("192.0.2.7:1", http.MethodPut, path, "{}")
		if got := w.Header().Get("Allow"); w.Code != http.StatusMethodNotAllowed || got != want {
			t.Errorf("%s: answered %d, allows %q, want %q", path, w.Code, got, want)
		}
	}
}

// TestAndroidWordsWithoutCase: the scheme of an Authorization and a content coding are taken in any case (RFC 9110, sections 11.1 and 8.4.1).
func TestAndroidWordsWithoutCase(t *testing.T) {
	l := newDroidLab(t)
	token, err := l.core.InviteAndroid(t.Context(), l.pnow(), l.user, android.AOSPUser, time.Hour)
	l.must(err)
	m := android.EnrollRequest{
		Protocol: 1, Role: android.DPC, Mode: android.AOSPUser, Hardware: android.Hardware{Brand: "acme", Model: "A1", SerialNumber: "S-1"},
		Software: android.Software{APILevel: 34, AndroidVersion: "14"},
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(android.Append(nil, &m))
	l.must(z.Close())
	for _, tt := range []struct{ scheme, coding, body string }{
		{"bearer", "Identity", string(android.Append(nil, &m))}, {"BEARER", "GZIP", packed.String()},
	} {
		w := l.from("192.0.2.7:1", http.MethodPost, android.EnrollPath, tt.body, "Authorization", tt.scheme+" "+token, "Content-Encoding", tt.coding)
		if w.Code != 200 {
			t.Errorf("%s, %s: answered %d %s", tt.scheme, tt.coding, w.Code, w.Body)
		}
	}
}

// TestAND061GivenUp: a version that did not install is not in a policy again until it is tried; the one that is there stays in it.
func TestAND061GivenUp(t *testing.T) {
	l := newDroidLab(t)
	for _, ssid := range []string{"Old", "New"} {
		l.must(l.core.ApplyProfile(t.Context(), l.pnow(), "wifi", protocol.WiFi, "org.wifi", apple.EncodeProfile(apple.NewProfile("org.wifi", ssid, protocol.WiFi)), []string{"all"}))
	}
	w := l.core.World()
	last := protocol.Profile(len(w.Profiles) - 1)
	for _, tt := range []struct {
		state delivery.ProfileState
		want  protocol.Profile
	}{{delivery.InstallFailed, last - 1}, {delivery.Installing, last}} {
		st := &delivery.State{Life: delivery.Enrolled, Registered: w.Profiles[last].Authority, Profiles: []delivery.Assigned{
			{Profile: last - 1, State: delivery.Installed}, {Profile: last, State: tt.state, Tries: 3},
		}}
		u := l.h.policyOf(w, l.h.now(), st, &peer{}, &android.CheckIn{Device: "d-1"})
		if len(u.Profiles) != 1 || u.Profiles[0].Version != uint32(tt.want) {
			t.Errorf("with the new version %s the policy lists %+v, want version %d", tt.state, u.Profiles, tt.want)
		}
	}
}

// TestHST001AndroidRequests: a request may have the 1 MiB that the protocol's page says, one to enrol too, and no byte more.
func TestHST001AndroidRequests(t *testing.T) {
	l := newDroidLab(t)
	token, err := l.core.InviteAndroid(t.Context(), l.pnow(), l.user, android.AOSPUser, time.Hour)
	l.must(err)
	m := android.EnrollRequest{
		Protocol: 1, Role: android.DPC, Mode: android.AOSPUser, Hardware: android.Hardware{Brand: "acme", Model: "A1", SerialNumber: "S-1"},
		Software: android.Software{APILevel: 34, AndroidVersion: "14"},
	}
	body := string(android.Append(nil, &m))
	for more, want := range map[int]int{0: http.StatusOK, 1: http.StatusRequestEntityTooLarge} {
		whole := body + strings.Repeat(" ", android.MaxMessage-len(body)+more)
		if w := l.from("192.0.2.7:1", http.MethodPost, android.EnrollPath, whole, "Authorization", "Bearer "+token); w.Code != want {
			t.Errorf("%d bytes are answered %d, want %d", len(whole), w.Code, want)
		}
	}
}
