//go:build !agentonly

package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// An androidMeddler stands between Android devices and an honest server. Of those that are locked, the first one never hears of it, the
// second one does twice, and the third one's goes to the fourth.
type androidMeddler struct {
	server http.Handler

	mu       sync.Mutex
	fault    map[string]string            // by the server's name of the device
	did      map[string]string            // fault and name of the device that shows it, and the command
	reports  map[string][]android.Result  // that the server is to hear from devices which never got these commands
	extra    map[string][]android.Command // that devices are to get from nobody
	diverted *android.Command
}

func (x *androidMeddler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != android.CheckInPath {
		x.server.ServeHTTP(w, r)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	var m android.CheckIn
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = android.Decode(body, &m)
	}
	if err == nil && len(x.reports[m.Device]) > 0 {
		m.Results = append(m.Results, x.reports[m.Device]...)
		delete(x.reports, m.Device)
		body = android.Append(nil, &m)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	rec := httptest.NewRecorder()
	x.server.ServeHTTP(rec, r)
	answer := rec.Body.Bytes()
	var a android.CheckInAnswer
	if err == nil && rec.Code == http.StatusOK && android.Decode(answer, &a) == nil && x.meddles(m.Device, &a) {
		answer = android.AppendAnswer(nil, &a)
	}
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	w.Write(answer)
}

// meddles changes an answer, and tells whether it did.
func (x *androidMeddler) meddles(device string, a *android.CheckInAnswer) bool {
	fault := x.fault[device]
	at := slices.IndexFunc(a.Commands, func(c android.Command) bool { return c.Type == android.Lock })
	if fault == "" && at >= 0 && len(x.fault) < 4 {
		fault = [...]string{"lost", "doubled", "diverted", "misdelivered"}[len(x.fault)]
		x.fault[device] = fault
		c := a.Commands[at]
		switch fault {
		case "lost", "diverted":
			a.Commands = slices.Delete(a.Commands, at, at+1)
			x.reports[device] = []android.Result{{Command: c.ID, State: android.ResultDone}}
			if fault == "diverted" {
				x.diverted = &c
				return true
			}
			x.did["lost "+device] = c.ID
			return true
		case "doubled":
			x.extra[device] = []android.Command{c}
			x.did["doubled "+device] = c.ID
		case "misdelivered":
			x.extra[device] = []android.Command{*x.diverted}
			x.did["misdelivered "+device] = x.diverted.ID
		}
	}
	if a.Complete && len(x.extra[device]) > 0 {
		a.Complete, a.Commands = false, x.extra[device]
		delete(x.extra, device)
		return true
	}
	return false
}

// What goes wrong with commands to Android devices is named by the ledger as with Apple's, and profiles that arrive are seen to.
func TestLedgerNamesFaultsOfAndroid(t *testing.T) {
	t.Parallel()
	p, err := plan.Load("testdata/ledger.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Timeline {
		if c := p.Timeline[i].Command; c != nil && c.Kind == protocol.ProfileList {
			c.Kind = protocol.Lock // a question is answered by any whole report
		}
	}
	p.Population.Mix, p.Population.Devices = plan.ByPlatform{Android: 100}, 5
	pop := population.New(p)
	x := &androidMeddler{fault: map[string]string{}, did: map[string]string{}, reports: map[string][]android.Result{}, extra: map[string][]android.Command{}}
	result, run := playThrough(t, p, pop, func(h http.Handler) http.Handler { x.server = h; return x })

	books := result.Sections["ledger"].(ledger.Result)
	names := map[string]string{} // what the server calls a device, by what the plan does
	for i := range pop.Devices {
		names[pop.Devices[i].UDID] = run.Fleet.Name(i)
	}
	got := map[string]string{}
	for _, f := range books.Findings {
		got[f.Fault.String()+" "+names[f.Device]] = f.Command
	}
	if diff := cmp.Diff(x.did, got); diff != "" || len(books.Findings) != 3 {
		t.Errorf("findings (-want +got):\n%s%v", diff, books.Findings)
	}
	if books.Ordered < 15 || books.Confirmed != books.Ordered-2 || books.Profiles != 5 || exitCode(result.Err()) != 2 {
		t.Errorf("%+v, want all commands but two confirmed, and five profiles; %v", books.Counts, result.Reasons)
	}
}
