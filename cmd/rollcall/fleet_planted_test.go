//go:build !agentonly

package main

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"rollcall/certs"
	"rollcall/fleet/ledger"
	"rollcall/protocol/apple"
)

// A crook is a server with NanoMDM's API that wrongs each device but the first in a way of its own, in the order in which it hears of
// them. Whatever it does shows whenever they come.
type crook struct {
	mu      sync.Mutex
	devices []string            // UDIDs
	ordered map[string][]string // ids, by UDID
	queue   map[string][]string // ids, by UDID
	bodies  map[string][]byte   // by id
	again   bool
}

const (
	crookIsFair = iota
	crookLoses
	crookDoubles
	crookReorders
	crookSticks
	crookMisdelivers
	crookKnows
)

var commandUUID = regexp.MustCompile(`<key>CommandUUID</key>\s*<string>([^<]+)`)

func (c *crook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if udid, is := strings.CutPrefix(r.URL.Path, "/v1/enqueue/"); is {
		c.order(udid, commandUUID.FindStringSubmatch(string(body))[1], body)
		return
	}
	var m apple.Message
	if apple.DecodeMessage(body, &m) != nil || m.MessageType != apple.NoMessageType {
		return
	}
	q, role := c.queue[m.UDID], slices.Index(c.devices, m.UDID)
	if len(q) > 0 && m.CommandUUID == q[0] {
		if role == crookSticks && slices.Index(c.ordered[m.UDID], q[0]) == 2 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		q = q[1:]
	}
	if ids := c.ordered[m.UDID]; role == crookDoubles && len(q) == 0 && len(ids) == 3 && !c.again {
		c.again = true
		q = ids[:1]
	}
	c.queue[m.UDID] = q
	if len(q) > 0 {
		w.Write(c.bodies[q[0]])
	}
}

// order takes one of three orders for a device. That the first two are known to whoever asked for them is certain when the third comes:
// not before does it hand them out in the wrong order.
func (c *crook) order(udid, id string, body []byte) {
	role := slices.Index(c.devices, udid)
	if role < 0 {
		role = len(c.devices)
		c.devices = append(c.devices, udid)
	}
	c.ordered[udid] = append(c.ordered[udid], id)
	c.bodies[id] = body
	ids := c.ordered[udid]
	first := len(ids) == 1
	switch {
	case first && role == crookLoses, role == crookReorders && len(ids) < 3:
	case first && role == crookMisdelivers:
		c.queue[c.devices[crookIsFair]] = append(c.queue[c.devices[crookIsFair]], id)
	case role == crookReorders:
		c.queue[udid] = []string{ids[1], ids[0], id}
	default:
		c.queue[udid] = append(c.queue[udid], id)
	}
}

// What a server does wrong with the commands of a plan is named in the result of fleet run, with device and command, and nothing else.
func TestFleetPlanted(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte, err error) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := errors.Join(err, os.WriteFile(name, content, 0o600)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	c := &crook{ordered: map[string][]string{}, queue: map[string][]string{}, bodies: map[string][]byte{}}
	s := httptest.NewUnstartedServer(c)
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	defer s.Close()
	ca, err := certs.NewIssuer("lab", realClock{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := ca.PEM()
	plan := file("planted.yaml", []byte(`population: {devices: 6, mix: {ios: 100}}
timeline:
  - {at: 0s, enrol: {}}
  - {at: 100ms, command: {kind: SecurityInfo, to: all}}
  - {at: 101ms, command: {kind: DeviceInformation, to: all}}
  - {at: 102ms, command: {kind: SecurityInfo, to: all}}
arrival: {checkins: 20/s, think: 1ms, drain: 1m}
until: 500ms
`), nil)
	got := call(t.Context(), fleetCommand(), "fleet", "run", "--json", "--calibrate", "0s", plan, "--server", "nanomdm", "--target", s.URL,
		"--ca", file("tls.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), nil), "--topic", "com.apple.mgmt.External.x",
		"--identity-ca", file("ca.pem", certificate, err), "--identity-key", file("ca.key", key, err))
	var r struct {
		Ledger struct {
			ledger.Counts
			Findings []struct{ Fault, Device, Command string }
		}
	}
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || len(c.devices) != crookKnows {
		t.Fatalf("%v: %v\n%s", err, got.err, got.out)
	}
	want := map[string]struct{ device, of, nth int }{
		"lost": {crookLoses, crookLoses, 0}, "doubled": {crookDoubles, crookDoubles, 0}, "reordered": {crookReorders, crookReorders, 0},
		"stuck": {crookSticks, crookSticks, 2}, "misdelivered": {crookIsFair, crookMisdelivers, 0},
	}
	for _, f := range r.Ledger.Findings {
		w, is := want[f.Fault]
		if !is || f.Device != c.devices[w.device] || f.Command != c.ordered[c.devices[w.of]][w.nth] {
			t.Errorf("named: %+v", f)
		}
		delete(want, f.Fault)
	}
	if len(want) > 0 || r.Ledger.Faults() != 5 || exitCode(got.err) != 2 && exitCode(got.err) != 3 {
		t.Errorf("not named: %v; %+v, %v", want, r.Ledger, got.err)
	}
}
