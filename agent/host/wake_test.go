package host

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/agent/courier"
	"rollcall/certs"
	"rollcall/protocol/wake"
)

// Wake-ups come from the machine's own server and no other host, whatever that says (HST-120).
func TestHST120WakeUpsComeFromItsServer(t *testing.T) {
	t.Parallel()
	said := ""
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(wake.Header, said) }))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	for _, tt := range []struct {
		said, want string
		none       bool
	}{
		{"5223", "127.0.0.1:5223", false}, {"", "", true}, {"0", "", false}, {"65536", "", false}, {"evil.example.org:5223", "", false}, {"-1", "", false},
	} {
		said = tt.said
		got, err := courierOf(context.Background(), server.Client(), host)
		if got != tt.want || (err == nil) != (tt.want != "") || errors.Is(err, courier.ErrNone) != tt.none {
			t.Errorf("%q: %q, %v", tt.said, got, err)
		}
	}
}

// A managed is a device that says where it is woken, and nothing else.
type managed struct{ device }

func (managed) taken() bool { return true }
func (managed) push() address {
	return address{service: wake.APNs, topic: "topic", token: make([]byte, wake.TokenSize)}
}

// messages are what a log says.
type messages chan *logrus.Entry

func (m messages) Levels() []logrus.Level { return logrus.AllLevels }

func (m messages) Fire(e *logrus.Entry) error {
	m <- e
	return nil
}

// A stranger in the server's place is not asked where wake-ups come from (HST-120).
func TestHST120AStrangerIsNotAskedForWakeUps(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	var chains [2]*url.URL
	var pins [2]string
	for i := range chains {
		ca, err := certs.NewIssuer("lab", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		u, chain := serve(t, ca, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(wake.Header, "0") // which is no port: nothing more follows
			asked <- r.Host
		})
		chains[i], pins[i] = u, pinOf(chain[1])
	}
	own, stranger := chains[0], chains[1]
	for server, want := range map[*url.URL]string{own: "is no port", stranger: "no certificate of the server is " + pins[0]} {
		h := bare(t, filepath.Join(t.TempDir(), "state"))
		said := make(messages, 10)
		h.cfg.Log.AddHook(said)
		h.device, h.rec.Link = managed{}, &pasted{Host: server.Host, Pin: pins[0]}
		h.listen(t.Context(), true)
		e := <-said
		if err, _ := e.Data[logrus.ErrorKey].(error); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s %v, want %q", server, e.Message, err, want)
		}
		h.deafen()
		h.device = nil
	}
	if got := <-asked; got != own.Host || len(asked) > 0 {
		t.Errorf("%s was asked, and %d more times", got, len(asked))
	}
}

// A stream that waits is made anew once the server is reached again, and one whose own address has left the machine at once.
func TestStranded(t *testing.T) {
	up := time.Now()
	for name, tt := range map[string]struct {
		state   *courier.State
		reached bool
		want    bool
	}{
		"not made yet":                   {nil, true, false},
		"waits":                          {&courier.State{Why: "refused"}, false, false},
		"waits and need not":             {&courier.State{Why: "refused"}, true, true},
		"its service is without measure": {&courier.State{Why: "flood", Broken: true}, true, false},
		"a server without any":           {&courier.State{Why: "none", None: true}, true, false},
		"up":                             {&courier.State{Since: up, Local: netip.MustParseAddr("127.0.0.1")}, true, false},
		"up, of no address":              {&courier.State{Since: up}, true, false},
		"its address is gone":            {&courier.State{Since: up, Local: netip.MustParseAddr("192.0.2.77")}, true, true},
		"gone, and no server either":     {&courier.State{Since: up, Local: netip.MustParseAddr("192.0.2.77")}, false, true},
	} {
		if got := stranded(tt.state, tt.reached); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCheckCourier(t *testing.T) {
	for said, want := range map[string]bool{
		"": true, "none": true, "push.example.org:5223": true, "[::1]:5223": true, ":5223": false, "push.example.org": false, "a:0": false, "a:b": false, "a:65536": false,
	} {
		if err := checkCourier(said); (err == nil) != want {
			t.Errorf("%q: %v", said, err)
		}
	}
}
