package interop

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/fleet/cloud/apns"
	"rollcall/fleet/conformance"
	"rollcall/fleet/target"
)

// TestConformNanohub asks nanohub, with micromdm's SCEP server, what rollcall conform asks. What it does otherwise is in
// testdata/nanohub.known.yaml with its reason and its source, each read twice before it is called theirs; what is mended
// there fails this test, so that the list gets shorter.
func TestConformNanohub(t *testing.T) {
	modernise(t)
	theirs := startTheirs(t, "challenge")
	h := startHub(t, byTLS, theirs)
	file, err := os.Open(filepath.Join("testdata", "nanohub.known.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	known, err := conformance.ReadKnown(file, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n := &target.NanoMDM{URL: h.url, HTTP: clientOf(t, h.ca, certs.Signer{})}
	r, err := conformance.Run(t.Context(), conformance.Config{
		Server: "nanohub", Steps: n.Steps(h.profile("challenge")), Pushes: &pushView{Service: h.cloud.Service}, Roots: poolOf(h.ca.Certificate()),
		Suites: []conformance.Suite{conformance.Apple, conformance.Gap}, Mine: true, AtOnce: 8, Request: time.Hour, Check: time.Hour,
		Settle: 200 * time.Millisecond, // a call of its API returns when the push is out
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

// A pushView is our push service as conformance wants to see one.
type pushView struct {
	*apns.Service
	mu      sync.Mutex
	got     map[string][]conformance.Push
	watched map[string]func()
}

func (v *pushView) Register(topic string) []byte {
	token := v.Service.Register(topic)
	v.Connect(token, func(n apns.Notification) {
		v.mu.Lock()
		if v.got == nil {
			v.got = map[string][]conformance.Push{}
		}
		v.got[string(token)] = append(v.got[string(token)], conformance.Push{Topic: n.Topic, Body: n.Payload, Priority: n.Priority, Expires: n.Expires})
		f := v.watched[string(token)]
		v.mu.Unlock()
		if f != nil {
			f()
		}
	})
	return token
}

func (v *pushView) Got(token []byte) []conformance.Push {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.got[string(token)]
}

func (v *pushView) Watch(token []byte, f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watched == nil {
		v.watched = map[string]func(){}
	}
	v.watched[string(token)] = f
}

func (v *pushView) GoAway() { v.fault(apns.GoAway) }

func (v *pushView) Refuse(reason string) { v.fault(apns.Fault(reason)) }

func (v *pushView) fault(f apns.Fault) {
	if err := v.SetFaults(apns.Faults{Script: []apns.Fault{f}}); err != nil {
		panic(err)
	}
}

func (v *pushView) Refused() map[string]int {
	out := map[string]int{}
	for reason, n := range v.Counters().Refused {
		out[string(reason)] = int(n)
	}
	return out
}
