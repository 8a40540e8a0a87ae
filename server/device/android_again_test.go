package device

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
)

// A line is one connection of an Android device.
type line struct {
	l    *lab
	peer *peer
	p    *phone
}

func (l *lab) line(p *phone) *line { return &line{l, new(peer), p} }

// says sends a message under another id, and returns the answer without what is signed anew in each.
func (c *line) says(message []byte, id string) string {
	c.l.t.Helper()
	body := bytes.Replace(message, []byte("c-0000000000000002"), []byte(id), 1)
	r := httptest.NewRequestWithContext(context.WithValue(context.Background(), peerKey{}, c.peer), http.MethodPost, android.CheckInPath, bytes.NewReader(body))
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.p.who.Certificate}}
	w := httptest.NewRecorder()
	c.l.h.ServeHTTP(w, r)
	var a android.CheckInAnswer
	if w.Code == http.StatusOK {
		if err := android.Decode(w.Body.Bytes(), &a); err != nil {
			c.l.t.Fatal(err)
		}
	}
	if a.Policy != nil {
		a.Policy.Signature = ""
		return fmt.Sprint(w.Code, " ", string(android.Append(nil, &a)))
	}
	return fmt.Sprint(w.Code, " ", w.Body)
}

// TestAndroidAgain: a round that is the same as the one before is answered as one of which nothing is known, whatever happened between the
// two (AND-073).
func TestAndroidAgain(t *testing.T) {
	l := newLab(t, func(c *Config) {
		seal, err := certs.NewSeal("orders", c.Now())
		if err != nil {
			t.Fatal(err)
		}
		c.Enrolment.Seal, c.Android = seal, &Android{}
	})
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	order := func(p *phone) {
		_, err := l.core.Order(ctx, l.pnow(), l.record(p.id).State.Device, protocol.Command{Kind: protocol.Restart})
		must(err)
	}
	later := func(d time.Duration) func(*phone, *line, []byte) []byte {
		return func(_ *phone, _ *line, m []byte) []byte {
			l.setClock(l.now().Add(d))
			return m
		}
	}
	through := func(p *phone, _ *line, m []byte) []byte {
		order(p)
		other := l.line(p)
		other.says(m, "c-other")
		done := fmt.Appendf(nil, `"compliant":true,"results":[{"command":%q,"state":"DONE"}]}`, l.record(p.id).State.Queue[0].ID)
		other.says(bytes.Replace(bytes.Replace(m, []byte(`"compliant":true}`), done, 1), []byte(`"round":1`), []byte(`"round":2`), 1), "c-other")
		if left := l.record(p.id).State.Queue; len(left) != 0 {
			t.Fatalf("left %+v", left)
		}
		return m
	}
	for i, tt := range []struct {
		name  string
		meets func(p *phone, c *line, m []byte) []byte // and what the device says then
		known bool                                     // by its bytes
	}{
		{"a minute", later(time.Minute), true},
		{"the end of the quick phase", later(4 * time.Hour), false},
		{"a clock that was set back", later(-time.Minute), false},
		{"an order", func(p *phone, _ *line, m []byte) []byte { order(p); return m }, false},
		{"an order that is through on another connection", through, false},
		{"one at the same moment", func(p *phone, c *line, m []byte) []byte {
			l.setClock(l.now().Add(-time.Second))
			return through(p, c, m)
		}, false},
		{"another word", func(_ *phone, _ *line, m []byte) []byte {
			return bytes.Replace(m, []byte(`"compliant":true`), []byte(`"compliant":false`), 1)
		}, false},
		{"a word more", func(_ *phone, _ *line, m []byte) []byte {
			return bytes.Replace(m, []byte(`"compliant":true`), []byte(`"compliant":true,"push":{"kind":"fcm","fid":"f-1"}`), 1)
		}, false},
		{"no time", func(_ *phone, _ *line, m []byte) []byte {
			return bytes.Replace(m, []byte(`"time":"2026`), []byte(`"time":"202x`), 1)
		}, false},
		{"another device", func(p *phone, _ *line, m []byte) []byte {
			return bytes.ReplaceAll(m, []byte(p.id), []byte("d-another000000000000"))
		}, false},
		{"a setting", func(_ *phone, _ *line, m []byte) []byte {
			must(l.core.ChangeSettings(ctx, l.pnow(), server.System, "", func(s *server.Settings) { s.Blast = 77 }))
			return m
		}, false},
		{"a profile", func(_ *phone, _ *line, m []byte) []byte {
			must(l.core.ApplyProfile(ctx, l.pnow(), "wifi", protocol.WiFi, "org.wifi", apple.EncodeProfile(apple.NewProfile("org.wifi", "Office", protocol.WiFi)), []string{"all"}))
			return m
		}, false},
		{"a change of authority", func(_ *phone, _ *line, m []byte) []byte {
			_, err := l.core.SetAuthority(ctx, l.pnow(), server.System, authority.Change{Authority: protocol.SCCM}, "", -1)
			must(err)
			return m
		}, false},
		{"the last weeks of its identity", later(340 * 24 * time.Hour), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, m := l.android(fmt.Sprintf("d-0123456789abcdef%04d", i))
			if strings.Contains(tt.name, "weeks") { // when its answers go by no time any more
				l.setClock(l.now().Add(4 * time.Hour))
			}
			c := l.line(p)
			for n := range 3 {
				l.setClock(l.now().Add(time.Second))
				c.says(m, fmt.Sprintf("again-%d", n))
			}
			if c.peer.steady == nil || !c.peer.steady.good {
				t.Fatal("what it says is not kept")
			}
			l.setClock(l.now().Add(time.Second))
			changed := tt.meets(p, c, m)
			if s := c.peer.steady; s != nil {
				s.answer = append(s.answer, ' ') // by which it is told
			}
			got := c.says(changed, "c-kept")
			if known := strings.HasSuffix(got, " "); known != tt.known {
				t.Errorf("known by its bytes: %t, want %t", known, tt.known)
			}
			if want := l.line(p).says(changed, "c-fresh"); strings.TrimSpace(got) != want {
				t.Errorf("answered\n%s\nwhere nothing is kept\n%s", got, want)
			}
		})
	}
	t.Run("a repeat of long ago", func(t *testing.T) {
		p, m := l.android("d-0123456789abcdef9999")
		c := l.line(p)
		order(p)
		first := c.says(m, "c-first")
		done := fmt.Appendf(nil, `"compliant":true,"results":[{"command":%q,"state":"DONE"}]}`, l.record(p.id).State.Queue[0].ID)
		c.says(bytes.Replace(bytes.Replace(m, []byte(`"compliant":true}`), done, 1), []byte(`"round":1`), []byte(`"round":2`), 1), "c-first")
		for n := range 3 {
			c.says(m, fmt.Sprintf("again-%d", n))
		}
		if c.peer.steady == nil || !c.peer.steady.good {
			t.Fatal("what it says is not kept")
		}
		if got := c.says(m, "c-first"); got != first {
			t.Errorf("a repeat is answered\n%s\nthe first time it was\n%s", got, first)
		}
	})
}

// TestAND073Unkept: what tells more than that the device is as it was is heard each time, however often it is said in the same bytes.
func TestAND073Unkept(t *testing.T) {
	l := newDroidLab(t)
	p, m := l.android("d-0123456789abcdef0000")
	reports := func(version string) []byte {
		return bytes.Replace(m, []byte(`"compliant":true`), []byte(`"compliant":true,"status":{"softwareInfo":{"apiLevel":34,"androidVersion":"`+version+`"}}`), 1)
	}
	for name, message := range map[string][]byte{
		"a report": reports("14"), "a second round": bytes.Replace(m, []byte(`"round":1`), []byte(`"round":2`), 1),
		"a long one": bytes.Replace(m, []byte(`"compliant":true`), fmt.Appendf(nil, `"compliant":true,"more":%q`, strings.Repeat("x", maxKept)), 1),
	} {
		c := l.line(p)
		for n := range 4 {
			if got := c.says(message, fmt.Sprintf("c-%d-%d", len(name), n)); !strings.HasPrefix(got, "200 ") {
				t.Fatal(got)
			}
		}
		if c.peer.steady != nil {
			t.Errorf("%s is kept", name)
		}
	}
	c := l.line(p)
	for n := range 4 {
		c.says(reports("14"), fmt.Sprint("c-here-", n))
	}
	l.line(p).says(reports("15"), "c-there") // at the same moment
	c.says(reports("14"), "c-here")
	if got := l.record(p.id).Facts.OSVersion; got != "14" {
		t.Errorf("its newest report says version 14, and the record %s", got)
	}
}
