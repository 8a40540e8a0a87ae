package fleet

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// stood is a fleet of devices that never spoke, at the beginning of its story, with what its tests need.
func stood(t *testing.T, text string) *Fleet {
	t.Helper()
	p, err := plan.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(t.Context(), Config{Plan: p, Population: population.New(p), URL: "https://127.0.0.1", Target: &tenant{}, Server: &powered{}, Push: &tokens{}, Clock: Driven(Begin), Stepper: still{}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A tenant is a target that remembers what it was told.
type tenant struct {
	target.Target
	tenancy target.Tenant
	topic   string
	length  time.Duration
	uploads []target.PushUpload
}

func (t *tenant) SetUp(_ context.Context, to target.Tenant) error { t.tenancy = to; return nil }

func (t *tenant) MakeTestPush(_ context.Context, topic string, length time.Duration) ([]byte, error) {
	t.topic, t.length = topic, length
	return []byte(topic), nil
}

func (t *tenant) UploadPush(_ context.Context, u target.PushUpload) error {
	t.uploads = append(t.uploads, u)
	return nil
}

// A powered server remembers what was done to it.
type powered struct{ did []string }

func (p *powered) Stop(context.Context) error  { p.did = append(p.did, "stop"); return nil }
func (p *powered) Start(context.Context) error { p.did = append(p.did, "start"); return nil }
func (p *powered) Busy(of func(protocol.Device) bool) {
	p.did = append(p.did, map[bool]string{true: "busy", false: "free"}[of != nil])
}

// tokens remembers whom the push service should forget.
type tokens struct{ forgotten []string }

func (*tokens) RegisterToken(string, []byte)         {}
func (*tokens) Connect([]byte, func(payload []byte)) {}
func (*tokens) Disconnect([]byte)                    {}
func (s *tokens) Unregister(token []byte)            { s.forgotten = append(s.forgotten, string(token)) }

// still is a server whose clock has nothing to do.
type still struct{}

func (still) Step(context.Context, protocol.Time) (target.Clock, error) { return target.Clock{}, nil }

const few = "until: 2d\npopulation: {devices: 8, mix: {ios: 100}}\ntimeline:\n  - {at: 0s, enrol: {over: 1h}}\n"

// Devices of an export that are silent, expired or revoked stay off the network; those that a story makes never are so.
func TestSilent(t *testing.T) {
	const day = 24 * time.Hour
	asOf := Begin
	seen := func(ago time.Duration) population.Span {
		return population.Span{Earliest: asOf.Add(-ago - day), Latest: asOf.Add(-ago)}
	}
	device := func(change func(d *population.Device)) population.Device {
		d := population.Device{Platform: protocol.IOS, Joins: population.Already, Contact: seen(day), CertEnd: asOf.Add(100 * day)}
		change(&d)
		return d
	}
	rows := []struct {
		name   string
		device population.Device
		want   bool
	}{
		{"in use", device(func(*population.Device) {}), false},
		{"silent for 30 days", device(func(d *population.Device) { d.Contact = seen(30 * day) }), false},
		{"silent for more", device(func(d *population.Device) { d.Contact = seen(30*day + time.Hour) }), true},
		{"never seen", device(func(d *population.Device) { d.Contact = population.Span{} }), false},
		{"expired", device(func(d *population.Device) { d.CertEnd = asOf }), true},
		{"expires tomorrow", device(func(d *population.Device) { d.CertEnd = asOf.Add(day) }), false},
		{"revoked", device(func(d *population.Device) { d.Traits = population.Revoked }), true},
		{"not enrolled yet", device(func(d *population.Device) { d.Joins, d.CertEnd = 0, asOf }), false},
		{"without a wire", device(func(d *population.Device) { d.Platform, d.CertEnd = protocol.Windows, asOf }), false},
	}
	f := &Cast{Plan: &plan.Plan{}, Start: asOf, Population: &population.Population{}, Plays: protocol.Platform.Apple}
	for _, row := range rows {
		f.Population.Devices = append(f.Population.Devices, row.device)
	}
	for i, row := range rows {
		if got := f.Silent(i); got != row.want {
			t.Errorf("%s: silent %t", row.name, got)
		}
	}
	f.Start, f.Population.Tenant.AsOf = asOf.Add(1000*day), asOf // what the export says holds at its own moment
	if f.Silent(0) || !f.Silent(2) {
		t.Error("silence is counted to the story's beginning, not to the export's moment")
	}
	// An older export knows better how long silence lasts; what has ended stays so.
	f.Population.Returns = population.Returns{Between: 5 * day, Bands: []population.Return{{From: 30 * day, To: 90 * day, Silent: 4, Back: 1}}}
	if f.Silent(2) || !f.Silent(4) || !f.Silent(6) {
		t.Error("a device like those that came back stays away, or one that has ended does not")
	}
	f.Population.Returns.Bands[0].Back = 0
	if !f.Silent(2) {
		t.Error("a device like those that never came back is not silent")
	}
}

// The tenant's push certificate is the plan's, or the one that an export shows: its topic, and its end.
func TestSetUpPush(t *testing.T) {
	for _, tt := range []struct {
		name   string
		export population.APNs
		topic  string
		end    time.Duration
	}{
		{"the plan's", population.APNs{}, "com.apple.mgmt.External.plan", 90 * 24 * time.Hour},
		{"the export's", population.APNs{Topic: "com.apple.mgmt.External.own", Expires: Begin.Add(20 * 24 * time.Hour)}, "com.apple.mgmt.External.own", 20 * 24 * time.Hour},
		{"the export's topic alone", population.APNs{Topic: "com.apple.mgmt.External.own"}, "com.apple.mgmt.External.own", 90 * 24 * time.Hour},
		{"an export whose certificate has ended", population.APNs{Expires: Begin - 1}, "com.apple.mgmt.External.plan", 90 * 24 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := stood(t, "tenant: {apns: {topic: com.apple.mgmt.External.plan, expires: +90d}}\n"+few)
			f.population.Tenant.APNs = tt.export
			if err := f.setUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			to := f.target.(*tenant)
			if to.topic != tt.topic || to.length != tt.end || len(to.uploads) != 1 || f.topic != tt.topic {
				t.Errorf("a certificate of %s for %s, %d uploads, want %s for %s", to.topic, to.length, len(to.uploads), tt.topic, tt.end)
			}
		})
	}
}

// The push service forgets the token of an enrolment that ends, once, and no other.
func TestGone(t *testing.T) {
	f := stood(t, few)
	service := f.push.(*tokens)
	for i := range 3 {
		f.devices[i].managed = true
		f.managed++
	}
	f.gone(Begin, 0, "token 0", Removed)
	f.gone(Begin, 1, "token 1", Wiped)
	f.gone(Begin, 1, "token 1", Wiped) // known already
	f.gone(Begin, 2, "", Removed)      // it never had one
	f.gone(Begin, 5, "token 5", Removed)
	if want := []string{"token 0", "token 1"}; !slices.Equal(service.forgotten, want) || f.managed != 0 {
		t.Errorf("forgotten %q, %d enrolled, want %q and none", service.forgotten, f.managed, want)
	}
}

// A driven clock stops at each moment at which somebody has something to do, and never jumps over what the plan does.
func TestStepTo(t *testing.T) {
	at := func(d time.Duration) protocol.Time { return Begin.Add(d) }
	for _, tt := range []struct {
		name           string
		device, server time.Duration // next; 0: nothing
		acts           []time.Duration
		until, want    time.Duration
	}{
		{"nothing to do", 0, 0, nil, time.Hour, time.Hour},
		{"a device", 12 * time.Minute, 0, nil, time.Hour, 20 * time.Minute},
		{"the server is sooner", 35 * time.Minute, 12 * time.Minute, nil, time.Hour, 20 * time.Minute},
		{"at the end of a span", 20 * time.Minute, 0, nil, time.Hour, 20 * time.Minute},
		{"an act before", 35 * time.Minute, 0, []time.Duration{7 * time.Minute}, time.Hour, 7 * time.Minute},
		{"an act within the span", 12 * time.Minute, 0, []time.Duration{15 * time.Minute, 16 * time.Minute}, time.Hour, 15 * time.Minute},
		{"an act and nothing else", 0, 0, []time.Duration{15 * time.Minute}, time.Hour, 15 * time.Minute},
		{"an act after", 12 * time.Minute, 0, []time.Duration{40 * time.Minute}, time.Hour, 20 * time.Minute},
		{"the end of the story", 57 * time.Minute, 0, nil, 55 * time.Minute, 55 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &Fleet{begin: Begin, together: 10 * time.Minute}
			if tt.device > 0 {
				f.at(0, at(tt.device), acts, 0)
			}
			for _, a := range tt.acts {
				f.acts = append(f.acts, act{at: at(a)})
			}
			server := protocol.Time(0)
			if tt.server > 0 {
				server = at(tt.server)
			}
			if got := f.stepTo(Begin, server, at(tt.until)); got != at(tt.want) {
				t.Errorf("the clock goes to %s, want %s", got.Sub(Begin), tt.want)
			}
		})
	}
}

// A restart stops the server and starts it, a server that is down is stopped and started at its end, and a busy one answers
// everybody again: each at its moment.
func TestServerSwitch(t *testing.T) {
	f := stood(t, few+"  - {at: 5h, restart_server: true}\nfaults:\n  - {at: 1h, for: 2h, server: down}\n  - {at: 6h, for: 1h, share: 50%, server: busy}\n")
	server := f.server.(*powered)
	for _, tt := range []struct {
		until time.Duration
		did   []string
		down  bool
	}{
		{59 * time.Minute, nil, false},
		{time.Hour, []string{"stop"}, true},
		{3 * time.Hour, []string{"start"}, false},
		{5 * time.Hour, []string{"stop", "start"}, false},
		{6 * time.Hour, []string{"busy"}, false},
		{7 * time.Hour, []string{"free"}, false},
	} {
		server.did = nil
		if _, err := f.play(t.Context(), f.start.Add(tt.until)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(server.did, tt.did) || f.down != tt.down {
			t.Errorf("at %s the server did %q, down %t; want %q, %t", tt.until, server.did, f.down, tt.did, tt.down)
		}
	}
}

// Each fault of the network strikes its share of the requests, while it lasts, and is counted; without one none is struck.
func TestFaultsStrike(t *testing.T) {
	const sends = 2000
	for _, tt := range []struct {
		name, fault string
		struck      func(c *Counts) uint64
		want        float64
	}{
		{"none", "", func(c *Counts) uint64 { return c.Dropped + c.Resets + c.Busied }, 0},
		{"drop_response", "faults:\n  - {share: 20%, drop_response: true}\n", func(c *Counts) uint64 { return c.Dropped }, 0.2},
		{"reset", "faults:\n  - {share: 10%, reset: true}\n", func(c *Counts) uint64 { return c.Resets }, 0.1},
		{"busy", "faults:\n  - {at: 0s, for: 1h, share: 30%, server: busy}\n", func(c *Counts) uint64 { return c.Busied }, 0.3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := stood(t, few+tt.fault)
			if _, err := f.play(t.Context(), f.start); err != nil {
				t.Fatal(err)
			}
			said := uint64(0)
			for n := range sends {
				d := protocol.Device(n%8 + 1)
				switch {
				case !f.BeforeSend(d, dialect.Idle), f.refuses(d), !f.AfterSend(d, dialect.Idle):
					said++
				}
			}
			c := f.Counts()
			if got := float64(tt.struck(&c)) / sends; got < tt.want*0.8 || got > tt.want*1.2 || said != c.Dropped+c.Resets+c.Busied {
				t.Errorf("%.1f%% of the requests were struck, %d said so, counted %+v; want %.1f%%", 100*got, said, c, 100*tt.want)
			}
		})
	}
}

// The habits of the population become those of its devices, and their first moments are queued.
func TestHabits(t *testing.T) {
	f := stood(t, `until: 2d
population:
  devices: 200
  mix: {ios: 100}
  offline: {share: 4%, lasts: 3h}
  habits: {not_now: 30%, unreachable_night: 40%, syncs_by_hand: 10%/d, profile_fails: 20%}
timeline:
  - {at: 0s, enrol: {over: 1h}}
`)
	n := map[string]int{}
	for i := range f.devices {
		h := f.devices[i].Device.(*dialect.Apple).Habits()
		if h.NotNow > 0 {
			n["not_now"]++
		}
		if h.ProfileFails > 0 {
			n["profile_fails"]++
		}
		if f.devices[i].Phase() != agent.New {
			t.Errorf("device %d is %s", i, f.devices[i].Phase())
		}
	}
	for _, m := range f.queue {
		switch {
		case m.kind == leaves && m.why == night:
			n["night"]++
		case m.kind == leaves && m.why == spell:
			n["spell"]++
		case m.kind == syncs:
			n["sync"]++
		case m.kind == enrols:
			n["enrol"]++
		}
	}
	for what, want := range map[string][2]int{"not_now": {40, 80}, "profile_fails": {25, 55}, "night": {60, 100}, "spell": {200, 200}, "sync": {200, 200}, "enrol": {200, 200}} {
		if n[what] < want[0] || n[what] > want[1] {
			t.Errorf("%d of 200 devices: %s, want %d to %d", n[what], what, want[0], want[1])
		}
	}
}

// A push that comes while a device talks is neither lost nor taken for its user's hand.
func TestPushWhileTalking(t *testing.T) {
	f := stood(t, few)
	f.devices[2].busy = true
	jobs := map[int]job{}
	f.hear(Begin, wake{device: 2, magic: "magic"}, jobs)
	if len(jobs) != 0 || len(f.woken) != 1 || len(f.mail()) != 1 || f.Counts().Wakes != 0 {
		t.Errorf("jobs %v, %d pushes wait, counted %+v", jobs, len(f.woken), f.Counts())
	}
}

// A fleet that nobody wants any more is not made.
func TestNewEnds(t *testing.T) {
	p, err := plan.Parse("test.yaml", []byte(few))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = New(ctx, Config{Plan: p, Population: population.New(p), URL: "https://127.0.0.1", Target: &tenant{}, Server: &powered{}, Push: &tokens{}, Clock: Driven(Begin), Stepper: still{}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
