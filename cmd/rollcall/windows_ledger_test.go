//go:build !agentonly

package main

import (
	"bytes"
	"cmp"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol/windows"
)

// A windowsMeddler stands between Windows devices and an honest server, and plays a trick on each device that has one.
type windowsMeddler struct {
	server http.Handler

	mu       sync.Mutex
	tricks   map[string]string // by DeviceID
	spare    []windows.Command // to be given once more
	session  string            // that it was given in: a restart ends that one
	diverted []windows.Command
	played   map[string]bool
}

func (x *windowsMeddler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != windows.ManagementPath {
		x.server.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	rec := httptest.NewRecorder()
	x.server.ServeHTTP(rec, r)
	answer := rec.Body.Bytes()
	var said, m windows.Message
	if err == nil && rec.Code == http.StatusOK && windows.DecodeMessage(body, &said) == nil && windows.DecodeMessage(answer, &m) == nil {
		x.mu.Lock()
		status := x.meddle(said.Header.Source, &m)
		x.mu.Unlock()
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		answer = windows.EncodeMessage(nil, &m)
	}
	maps.Copy(w.Header(), rec.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	w.Write(answer)
}

const (
	lockNode    = "/RemoteLock/Lock"
	restartNode = "/Reboot/RebootNow"
	wifiNode    = "/WiFi/Profile/"
	listNode    = "/VPNv2" // is read for a ProfileList
)

// find returns where a command on a node is; below 0: nowhere.
func find(m *windows.Message, node string) int {
	return slices.IndexFunc(m.Commands, func(c windows.Command) bool {
		return c.Verb != windows.Status && len(c.Items) > 0 && strings.Contains(c.Items[0].Target, node)
	})
}

// swallow has the device read something in place of a command: what it answers, the server takes for that of the command.
func swallow(c *windows.Command) (was windows.Command) {
	was = *c
	*c = windows.Command{Verb: windows.Get, CmdID: c.CmdID, Items: []windows.Item{{Target: "./DevInfo/Man"}}}
	return was
}

// meddle changes an answer to a device.
func (x *windowsMeddler) meddle(device string, m *windows.Message) (status int) {
	idle := m.Final && !slices.ContainsFunc(m.Commands, func(c windows.Command) bool { return c.Verb != windows.Status })
	lock, restart, wifi, list := find(m, lockNode), find(m, restartNode), find(m, wifiNode), find(m, listNode)
	give := func(commands []windows.Command) {
		for _, c := range commands {
			c.CmdID = 1000
			m.Commands = append(m.Commands, c)
		}
	}
	role := x.tricks[device]
	switch {
	case role == "lost" && restart >= 0:
		swallow(&m.Commands[restart])
	case role == "doubled" && lock >= 0:
		x.spare, x.session = []windows.Command{m.Commands[lock]}, m.Header.SessionID
	case role == "doubled" && idle && x.session != m.Header.SessionID:
		give(x.spare)
		x.spare = nil
	case role == "reordered" && lock >= 0 && restart >= 0:
		m.Commands[lock].Items, m.Commands[restart].Items = m.Commands[restart].Items, m.Commands[lock].Items
	case role == "stuck" && list >= 0:
		return http.StatusServiceUnavailable
	case role == "diverted" && lock >= 0:
		x.diverted = []windows.Command{swallow(&m.Commands[lock])}
	case role == "misdelivered" && idle && x.diverted != nil:
		give(x.diverted)
		x.diverted = nil
	case role == "never converged" && wifi >= 0:
		swallow(&m.Commands[wifi])
	default:
		return http.StatusOK
	}
	x.played[role] = true
	return http.StatusOK
}

// What goes wrong with commands and profiles of Windows devices is named by the ledger, with device and command, though on the wire a
// command has no name; and nothing else is.
func TestLedgerNamesFaultsOfWindows(t *testing.T) {
	t.Parallel()
	p, err := plan.Parse("windows.yaml", []byte(`
name: windows ledger
seed: 3
until: 3d
tenant: {authority: intune}
population:
  devices: 12
  mix: {windows: 100}
  licences: {intune: 100}
  devices_per_user: {1: 100}
  groups: {sales: 75, field: 25}
profiles: [{name: wifi, family: wifi}, {name: pin, family: configuration}]
timeline:
  - {at: 0s, enrol: {over: 30m}}
  - {at: 1h, profiles: {assign: wifi, group: all}}
  - {at: 1h, profiles: {assign: pin, group: all}}
  - {at: 2h, command: {kind: DeviceLock, to: sales}}
  - {at: 2h, command: {kind: RestartDevice, to: sales}}
  - {at: 4h, command: {kind: ProfileList, to: all}}
  - {at: 6h, ask_users_to_sync: 100%}
`))
	if err != nil {
		t.Fatal(err)
	}
	pop := population.New(p)
	id := func(i int) string { return strings.ToUpper(strings.ReplaceAll(pop.Devices[i].UDID, "-", "")) }
	x := &windowsMeddler{tricks: map[string]string{}, played: map[string]bool{}}
	tricks, names := []string{"lost", "doubled", "reordered", "stuck", "diverted", "never converged"}, map[string]string{}
	for i := range pop.Devices {
		switch sales := pop.Groups[pop.Users[pop.Devices[i].User].Group] == "sales"; {
		case sales && len(tricks) > 0:
			x.tricks[id(i)], tricks = tricks[0], tricks[1:]
		case !sales:
			x.tricks[id(i)] = "misdelivered"
		}
		names[pop.Devices[i].UDID] = cmp.Or(x.tricks[id(i)], "honest")
	}
	if len(tricks) > 0 {
		t.Fatalf("nobody plays %v: %v", tricks, x.tricks)
	}
	result, _ := playThrough(t, p, pop, func(h http.Handler) http.Handler { x.server = h; return x })
	books := result.Sections["ledger"].(ledger.Result)
	got := map[string]string{}
	for _, f := range books.Findings {
		what := f.Kind
		if f.Command == "" {
			what = f.Profile
		}
		got[f.Fault.String()+" of the "+names[f.Device]] = what
	}
	want := map[string]string{
		"lost of the lost":                       "RestartDevice",
		"doubled of the doubled":                 "DeviceLock",
		"reordered of the reordered":             "DeviceLock",
		"stuck of the stuck":                     "ProfileList",
		"misdelivered of the misdelivered":       "DeviceLock",
		"never converged of the never converged": "./Device/Vendor/MSFT/WiFi/Profile/wifi",
	}
	if diff := gocmp.Diff(want, got); diff != "" || len(books.Findings) != len(want) {
		t.Errorf("findings (-want +got):\n%s\n%v\nplayed %v", diff, books.Findings, x.played)
	}
	if exitCode(result.Err()) != 2 || books.Profiles != 24 || books.Confirmed == 0 {
		t.Errorf("%+v, %q", books.Counts, result.Reasons)
	}
}
