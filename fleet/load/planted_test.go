package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A planter is a server that does each wrong once, to one device each; to the first device and in all else it does what it should.
type planter struct {
	profile []byte

	mu    sync.Mutex
	queue map[string][]planted // by UDID
	ids   map[string][]string  // ordered, by UDID
	again map[string]bool      // was doubled
}

type planted struct {
	id      string
	command apple.Command
}

// Whom it does wrong, by the number of the device.
const (
	well = iota
	loses
	doubles
	reorders
	sticks
	misdelivers
	converges
	plantedDevices
)

const (
	plantedOrders = 10 // for each device
	wronged       = 4  // the one that is lost, or goes astray
)

func udidOf(device int) string { return fmt.Sprintf("00008101-%016X", device) }

// order queues a command, or does not.
func (p *planter) order(_ context.Context, udid string) (id string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.ids[udid])
	id = fmt.Sprintf("00000000-0000-4000-8000-%s%04d", udid[len(udid)-8:], n)
	p.ids[udid] = append(p.ids[udid], id)
	to, item := udid, planted{id, apple.SecurityInfo{}}
	switch {
	case n == wronged && udid == udidOf(loses):
		return id, nil
	case n == wronged && udid == udidOf(misdelivers):
		to = udidOf(well)
	case n == wronged && udid == udidOf(reorders):
		last := len(p.queue[to]) - 1
		p.queue[to] = slices.Insert(p.queue[to], last, item)
		return id, nil
	}
	p.queue[to] = append(p.queue[to], item)
	return id, nil
}

// assign queues the profile for all but one.
func (p *planter) assign() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range plantedDevices {
		if i != converges {
			p.queue[udidOf(i)] = append(p.queue[udidOf(i)], planted{fmt.Sprintf("10000000-0000-4000-8000-%012d", i), apple.InstallProfile{Payload: p.profile}})
		}
	}
}

func (p *planter) serve(w http.ResponseWriter, r *http.Request) {
	var m apple.Message
	body, err := io.ReadAll(r.Body)
	if err != nil || apple.DecodeMessage(body, &m) != nil || m.MessageType != apple.NoMessageType {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q, all := p.queue[m.UDID], p.ids[m.UDID]
	if len(q) > 0 && m.CommandUUID == q[0].id {
		if m.UDID == udidOf(sticks) && m.CommandUUID == all[plantedOrders-1] {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		q = q[1:]
	}
	if m.UDID == udidOf(doubles) && len(q) == 0 && len(all) == plantedOrders && !p.again[m.UDID] {
		p.again[m.UDID] = true
		q = []planted{{all[0], apple.SecurityInfo{}}}
	}
	p.queue[m.UDID] = q
	if len(q) > 0 {
		w.Write(apple.EncodeCommand(nil, q[0].id, q[0].command))
	}
}

// TestPlanted: a server does each of the six wrongs once while a load runs. Each is named with its device and command, those that only
// time tells while the load still runs, and nothing else is.
func TestPlanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := &plan.Plan{Profiles: []plan.Profile{{Name: "wifi", Family: protocol.WiFi}}}
		_, document := fleet.Document(of, "wifi")
		p := &planter{profile: document, queue: map[string][]planted{}, ids: map[string][]string{}, again: map[string]bool{}}
		r := newRig(t, p.serve)
		defer r.close()
		book := ledger.New(ledger.Config{
			Devices: plantedDevices, Bound: 3 * time.Second, Asked: true, Name: func(d protocol.Device) string { return udidOf(int(d) - 1) },
		})
		var l *Load
		var during ledger.Result
		shown := uint64(0)
		acts := []Act{
			{At: time.Second + 10*time.Millisecond, Name: "a profile", Do: func(context.Context) (string, error) {
				l.Assigns(fleet.ProfileOf(of, "wifi"), true)
				p.assign()
				return "", nil
			}},
			{At: 9 * time.Second, Name: "a look", Do: func(context.Context) (string, error) {
				during = book.Result()
				return "", nil
			}},
		}
		for i := range plantedOrders {
			acts = append(acts, Act{At: time.Second + time.Duration(11+i)*time.Millisecond, Name: "an order", Do: func(ctx context.Context) (string, error) {
				return l.Order(ctx, "SecurityInfo", p.order)
			}})
		}
		l = r.load(plantedDevices, Config{Link: kept, Pace: Constant(20, 10*time.Second), Drain: time.Minute, Ledger: book, Acts: acts, Progress: func(p Progress) { shown = p.Faults }})
		defer l.Close()
		e, err := l.Enrol(t.Context())
		if err == nil {
			err = l.Run(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := l.Tell(Setting{}, e, Generator{})
		if err != nil {
			t.Fatal(err)
		}
		type wrong struct {
			fault            ledger.Fault
			device           int
			command, profile string
		}
		of4 := func(device int) string { return p.ids[udidOf(device)][wronged] }
		want := []wrong{
			{ledger.Lost, loses, of4(loses), ""},
			{ledger.Doubled, doubles, p.ids[udidOf(doubles)][0], ""},
			{ledger.Reordered, reorders, p.ids[udidOf(reorders)][wronged-1], ""},
			{ledger.Stuck, sticks, p.ids[udidOf(sticks)][plantedOrders-1], ""},
			{ledger.Misdelivered, well, of4(misdelivers), ""},
			{ledger.NeverConverged, converges, "", fleet.ProfileOf(of, "wifi").Identifier},
		}
		for when, found := range map[string]ledger.Result{"during the load": during, "after it": book.Result()} {
			for _, w := range want {
				if !slices.ContainsFunc(found.Findings, func(f ledger.Finding) bool {
					return f.Fault == w.fault && f.Device == udidOf(w.device) && f.Command == w.command && f.Profile == w.profile
				}) {
					t.Errorf("%s: not named: %v %+v", when, w.fault, w)
				}
			}
			if found.Faults() != uint64(len(want)) || len(found.Findings) != len(want) {
				t.Errorf("%s: %d faults are named, want %d: %v", when, found.Faults(), len(want), found.Findings)
			}
		}
		if got.Verdict != report.Failed || shown != uint64(len(want)) {
			t.Errorf("%d faults shown, %s %q", shown, got.Verdict, got.Reasons)
		}
	})
}
