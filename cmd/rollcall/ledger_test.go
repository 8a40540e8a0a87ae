//go:build !agentonly

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A meddler stands between the devices and an honest server, and plays a trick on each device that has one.
type meddler struct {
	server http.Handler

	mu       sync.Mutex
	tricks   map[string]trick // by UDID
	meddled  map[string]string
	diverted []byte // a command on its way to another device
}

// A trick answers one command message. pass lets the server answer a message of the same device.
type trick func(m *apple.Message, pass func(*apple.Message) *httptest.ResponseRecorder) *httptest.ResponseRecorder

func (x *meddler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var m apple.Message
	if err != nil || r.Method != http.MethodPut || apple.DecodeMessage(body, &m) != nil || m.MessageType != apple.NoMessageType {
		x.server.ServeHTTP(w, r)
		return
	}
	x.mu.Lock()
	play := x.tricks[m.UDID]
	x.mu.Unlock()
	if play == nil {
		x.server.ServeHTTP(w, r)
		return
	}
	first := true
	answer := play(&m, func(m *apple.Message) *httptest.ResponseRecorder {
		rec, again := httptest.NewRecorder(), r.Clone(r.Context())
		if !first {
			b := apple.EncodeMessage(nil, m)
			again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		}
		first = false
		x.server.ServeHTTP(rec, again)
		return rec
	})
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

// command returns the id of the command that an answer holds, if it is of a kind; empty: it does not.
func command(answer *httptest.ResponseRecorder, kind string) string {
	uuid, c, err := apple.DecodeCommand(answer.Body.Bytes())
	if err != nil || c.RequestType() != kind {
		return ""
	}
	return uuid
}

// ack reports a command in a device's place.
func ack(m *apple.Message, uuid string) *apple.Message {
	return &apple.Message{UDID: m.UDID, Status: protocol.Acknowledged, CommandUUID: uuid}
}

func say(body []byte) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", apple.AnswerType)
	rec.Body.Write(body)
	return rec
}

// note keeps which command of a device was meddled with.
func (x *meddler) note(udid, uuid string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.meddled[udid] = uuid
}

// swallow keeps a command of a kind from the device and reports it in its place.
func (x *meddler) swallow(kind string) trick {
	return func(m *apple.Message, pass func(*apple.Message) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		answer := pass(m)
		if uuid := command(answer, kind); uuid != "" {
			x.note(m.UDID, uuid)
			return pass(ack(m, uuid))
		}
		return answer
	}
}

// double gives the device a command of a kind once more when the server has nothing more.
func (x *meddler) double(kind string) trick {
	var kept []byte
	return func(m *apple.Message, pass func(*apple.Message) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		answer := pass(m)
		if uuid := command(answer, kind); uuid != "" {
			x.note(m.UDID, uuid)
			kept = bytes.Clone(answer.Body.Bytes())
		} else if answer.Body.Len() == 0 && kept != nil {
			answer, kept = say(kept), nil
		}
		return answer
	}
}

// swap gives the device a command of a kind after the one that follows it.
func (x *meddler) swap(kind string) trick {
	var kept []byte
	var ours string
	return func(m *apple.Message, pass func(*apple.Message) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		answer := pass(m) // of the swapped one the server has heard already: it hears it twice
		switch uuid := command(answer, kind); {
		case uuid != "" && ours == "":
			x.note(m.UDID, uuid)
			ours, kept = uuid, bytes.Clone(answer.Body.Bytes())
			return pass(ack(m, uuid))
		case kept != nil && m.CommandUUID != "":
			answer, kept = say(kept), nil
		}
		return answer
	}
}

// withhold never lets a command of a kind through: the server seems overloaded whenever it would come.
func (x *meddler) withhold(kind string) trick {
	return func(m *apple.Message, pass func(*apple.Message) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		answer := pass(m)
		if uuid := command(answer, kind); uuid != "" {
			x.note(m.UDID, uuid)
			answer = httptest.NewRecorder()
			answer.WriteHeader(http.StatusServiceUnavailable)
		}
		return answer
	}
}

// divert takes a command of a kind from the device, for receive to give to another.
func (x *meddler) divert(kind, to string) trick {
	return func(m *apple.Message, pass func(*apple.Message) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		answer := pass(m)
		if uuid := command(answer, kind); uuid != "" {
			x.note(to, uuid)
			x.mu.Lock()
			x.diverted = bytes.Clone(answer.Body.Bytes())
			x.mu.Unlock()
			return pass(ack(m, uuid))
		}
		return answer
	}
}

func (x *meddler) receive() trick {
	return func(m *apple.Message, pass func(*apple.Message) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		answer := pass(m)
		x.mu.Lock()
		defer x.mu.Unlock()
		if answer.Body.Len() == 0 && x.diverted != nil {
			answer, x.diverted = say(x.diverted), nil
		}
		return answer
	}
}

// Each way in which a command or a profile can go wrong between an honest server and its devices is named by the ledger, with
// device and command, and nothing else is.
func TestLedgerNamesFaults(t *testing.T) {
	t.Parallel()
	p, err := plan.Load("testdata/ledger.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pop := population.New(p)
	udid := func(i int) string { return pop.Devices[i].UDID }
	x := &meddler{meddled: map[string]string{}}
	x.tricks = map[string]trick{
		udid(0): x.swallow("ProfileList"),
		udid(1): x.double("ProfileList"),
		udid(2): x.swap("ProfileList"),
		udid(3): x.withhold("CertificateList"),
		udid(4): x.divert("CertificateList", udid(5)),
		udid(5): x.receive(),
		udid(6): x.swallow("InstallProfile"),
	}
	result, _ := playThrough(t, p, pop, func(h http.Handler) http.Handler { x.server = h; return x })

	books := result.Sections["ledger"].(ledger.Result)
	got := map[string]string{}
	for _, f := range books.Findings {
		got[f.Fault.String()+" "+f.Device] = strings.TrimSpace(f.Command + " " + f.Profile)
	}
	want := map[string]string{
		"lost " + udid(0):            x.meddled[udid(0)],
		"doubled " + udid(1):         x.meddled[udid(1)],
		"reordered " + udid(2):       x.meddled[udid(2)],
		"stuck " + udid(3):           x.meddled[udid(3)],
		"misdelivered " + udid(5):    x.meddled[udid(5)],
		"never converged " + udid(6): "example.wifi",
	}
	if diff := cmp.Diff(want, got); diff != "" || len(books.Findings) != len(want) {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if len(x.meddled) != len(want) {
		t.Errorf("meddled with %v", x.meddled)
	}
	if result.Verdict != report.Failed || exitCode(result.Err()) != 2 {
		t.Errorf("verdict %s, exit code %d", result.Verdict, exitCode(result.Err()))
	}
	if reason := fmt.Sprintf("ledger: 6 commands or profiles of %d went wrong", books.Ordered+books.Profiles); !slices.Contains(result.Reasons, reason) {
		t.Errorf("reasons %q, want one that says %q", result.Reasons, reason)
	}
}

// playThrough plays p with what between makes of the server.
func playThrough(t *testing.T, p *plan.Plan, pop *population.Population, between func(http.Handler) http.Handler) (*report.Result, *rehearsal.Run) {
	t.Helper()
	f := &labFlags{clock: "driven"}
	run := newRun(f, p, pop, false)
	l, err := newLaboratory(t.Context(), f, fleet.Begin, run)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := l.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.cfg.Devices = between
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if run.Fleet, err = l.fleet(t.Context(), f, run, nil); err != nil {
		t.Fatal(err)
	}
	if err := run.Fleet.Run(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	run.Start, run.Now = run.Fleet.Start(), l.clock.Now()
	result, _, err := l.tell(run)
	if err != nil {
		t.Fatal(err)
	}
	return result, run
}

// Answers that are lost, connections that are reset and a busy server make devices and server try again, and a profile that fails on
// its device comes again. That is no fault.
func TestLedgerTakesRetriesForRetries(t *testing.T) {
	for name, tt := range map[string]struct {
		mix   plan.ByPlatform
		share plan.Share // a session of Windows' is many requests, and begins again with the first
	}{"Apple": {plan.ByPlatform{IOS: 100}, plan.Whole / 5}, "Windows": {plan.ByPlatform{Windows: 100}, plan.Whole / 12}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := plan.Load("testdata/ledger.yaml")
			if err != nil {
				t.Fatal(err)
			}
			p.Population.Mix = tt.mix
			p.Population.Habits.ProfileFails = plan.Whole / 2
			p.Faults = []plan.Fault{{Share: tt.share, DropResponse: true}, {Share: tt.share, Reset: true}, {Share: tt.share, Server: plan.Busy, For: p.Until}}
			played := playLab(t, t.Context(), p, labFlags{}, nil)
			books := played.result.Sections["ledger"].(ledger.Result)
			if played.result.Verdict != report.OK || books.Faults() != 0 {
				t.Errorf("verdict %s: %q, %v", played.result.Verdict, played.result.Reasons, books.Findings)
			}
			c := played.run.Fleet.Counts()
			if books.Ordered < 10 || books.Confirmed != books.Ordered || books.Profiles != 8 || c.Dropped == 0 || c.Resets == 0 || c.Busied == 0 {
				t.Errorf("ledger %+v, fleet %+v: want all commands confirmed, and every kind of trouble", books.Counts, c)
			}
		})
	}
}

// What waits because devices are away, or because the server has to hold them off (AUTH-30), is not stuck.
func TestLedgerIsPatient(t *testing.T) {
	p, err := plan.Load("testdata/patience.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := playLab(t, t.Context(), p, labFlags{}, nil).result
	books := r.Sections["ledger"].(ledger.Result)
	if r.Verdict != report.OK || books.Faults() != 0 {
		t.Errorf("verdict %s: %q, %v", r.Verdict, r.Reasons, books.Findings)
	}
	if books.Ordered != 12 || books.Confirmed != 12 {
		t.Errorf("counts %+v, want 12 commands ordered and confirmed", books.Counts)
	}
}
