//go:build !agentonly

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/fleet/apply"
	"rollcall/fleet/plan"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

const applied12h = `
name: change
until: 1d
tenant: {authority: intune, consents: [appleMDMPushCertificate]}
population: {already: {ios: 10}, groups: {field: 50}}
profiles: [{name: wifi, family: wifi}]
timeline:
  - {at: 1h, authority: {set: sccm}}
  - {at: 2h, apns: {upload: renewed}}
  - {at: 3h, profiles: {assign: wifi, group: field}}
  - {at: 4h, licences: {assign: basic, to: intune, over: 2h}}
  - {at: 7h, command: {kind: DeviceInformation, to: all}}
  - {at: 8h, consent: androidManagedStore}
  - {at: 9h, ask_users_to_sync: all}
  - {at: 10h, profiles: {unassign: wifi, group: field}}
  - {at: 11h, reenrol: {of: all, over: 1h}}
`

// A site is a live server with two phones, and a plan that was rehearsed on them.
type site struct {
	*lostWeek
	plan   *plan.Plan
	path   string
	phones []*dialect.Apple
	links  map[string]string // by device
}

func newSite(t *testing.T, text string) *site {
	s := &site{lostWeek: newLostWeek(t), links: map[string]string{}, path: filepath.Join(t.TempDir(), "change.applied.json")}
	s.phones = []*dialect.Apple{s.join(1, "field"), s.join(2, "field"), s.join(3, "office")}
	var err error
	s.plan, err = plan.Parse("change.yaml", []byte(text))
	s.must(err)
	for _, p := range s.plan.Profiles {
		_, err = s.api.PutProfile(t.Context(), target.ProfileChange{Name: p.Name, Authority: protocol.SCCM, Document: fleet.DocumentOf(p.Name, p.Family)})
		s.must(err)
	}
	return s
}

// rehearse keeps what there is to confirm.
func (s *site) rehearse() *apply.Record {
	s.t.Helper()
	snapshot, err := apply.Read(s.t.Context(), s.api)
	s.must(err)
	steps, staged, _, err := apply.Prepare(s.plan, snapshot)
	s.must(err)
	played, err := rehearsal.Play(s.t.Context(), rehearsal.Config{Plan: staged, Population: snapshot.Population})
	s.must(err)
	if played.Violated != 0 {
		s.t.Errorf("the rehearsal violates %d invariants", played.Violated)
	}
	r := s.open()
	s.must(r.Keep(apply.Rehearsed(s.api.URL, s.plan, snapshot, steps)))
	return r
}

func (s *site) open() *apply.Record {
	s.t.Helper()
	r, err := apply.Open(s.path)
	s.must(err)
	return r
}

func (s *site) runner(r *apply.Record) *apply.Runner {
	link := func(device string, i target.Invitation) error {
		if i.URL == "" || i.User == "" {
			s.t.Errorf("link %+v of %s", i, device)
		}
		s.links[device] = i.URL
		return nil
	}
	return &apply.Runner{Server: s.api, Record: r, Link: link, Wait: func(_ context.Context, left time.Duration, driven bool) error {
		if !driven {
			return errors.New("the clock is driven")
		}
		s.later(min(left, 20*time.Minute))
		for _, d := range s.phones {
			s.link.Converse(s.t.Context(), d, dialect.Synced) // refused in the gap
		}
		return nil
	}}
}

// A killer ends the process that applies a plan at the n-th request that changes something: before the server hears of it, or after.
type killer struct {
	http.RoundTripper
	left  int
	heard bool
	die   context.CancelFunc
}

func (k *killer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || strings.Contains(r.URL.Path, "preview") || strings.HasSuffix(r.URL.Path, "/clock") || strings.HasSuffix(r.URL.Path, "make-test") {
		return k.RoundTripper.RoundTrip(r)
	}
	if k.left--; k.left != 0 {
		return k.RoundTripper.RoundTrip(r)
	}
	if k.heard {
		if resp, err := k.RoundTripper.RoundTrip(r); err == nil {
			resp.Body.Close()
		}
	}
	k.die()
	return nil, context.Canceled
}

// A plan is applied by processes that are killed at every change, before or after the server has heard of it: each is done once.
func TestApplySurvivesKills(t *testing.T) {
	s := newSite(t, applied12h)
	r := s.rehearse()
	for i := range r.Steps {
		r.Steps[i].Allowed = true
	}
	own, kills := s.api.HTTP.Transport, 0
	heard := false
	for n := 0; ; n++ {
		ctx, die := context.WithCancel(t.Context())
		if heard = !heard; n < 40 {
			s.api.HTTP.Transport = &killer{own, 1 + n%2, heard, die}
		}
		err := s.runner(r).Run(ctx)
		killed := ctx.Err() != nil
		s.api.HTTP.Transport = own
		die()
		if err == nil {
			break
		}
		if !killed {
			t.Fatal(err)
		}
		kills++
		s.must(r.Close())
		r = s.open()
		for i := range r.Steps {
			r.Steps[i].Allowed = true
		}
	}
	if kills < 10 || r.Left() != 0 {
		t.Errorf("killed %d times, %d steps left", kills, r.Left())
	}
	state, err := s.api.Authority(t.Context())
	s.must(err)
	if state.Name != "sccm" || state.Epoch != 2 || state.Gap.Open {
		t.Errorf("authority %s in epoch %d, gap %+v; want sccm in epoch 2, and no gap", state.Name, state.Epoch, state.Gap)
	}
	for u, err := range s.api.Users(t.Context()) {
		if s.must(err); !u.BasicLicence || !u.IntuneLicence {
			t.Errorf("%+v has not both licences", u)
		}
	}
	order := slices.IndexFunc(r.Steps, func(s apply.Step) bool { return s.Action == "command" })
	for _, d := range s.phones {
		details, err := s.api.Device(t.Context(), d.UDID())
		s.must(err)
		n := 0
		for _, c := range details.Commands {
			if c.Kind == "DeviceInformation" && c.At >= r.Steps[order].Begun {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s was asked for its information %d times, want once: %+v", d.UDID(), n, details.Commands)
		}
	}
	for _, d := range s.phones {
		retired := 0
		details, err := s.api.Device(t.Context(), d.UDID())
		s.must(err)
		for _, c := range details.Commands {
			if c.Kind == protocol.Retire.String() {
				retired++
			}
		}
		if retired != 1 || s.links[d.UDID()] == "" {
			t.Errorf("%s was unenrolled %d times, with the link %q: %+v", d.UDID(), retired, s.links[d.UDID()], details.Commands)
		}
	}
	changes := 0
	for l, err := range s.api.Journal(t.Context(), target.LineFilter{}) {
		s.must(err)
		if strings.HasPrefix(l.Actor, "token:") && l.What == "authority changed" {
			changes++
		}
	}
	if changes > 1 {
		t.Errorf("the authority was changed %d times", changes)
	}
}

// A step that is killed twice is looked up since it was begun first: what was done before the first kill is not done again.
func TestApplyBegunOnce(t *testing.T) {
	s := newSite(t, sync3)
	r := s.rehearse()
	s.later(time.Minute) // a device is asked as it enrols, too
	own, first := s.api.HTTP.Transport, protocol.Time(0)
	for _, n := range []int{2, 1} { // the first device is told; the second never is
		ctx, die := context.WithCancel(t.Context())
		s.api.HTTP.Transport = &killer{own, n, false, die}
		if err := s.runner(r).Run(ctx); err == nil || ctx.Err() == nil || r.Steps[0].State != apply.Begun {
			t.Fatalf("killed at request %d: %v, step %+v", n, err, r.Steps[0])
		}
		if first == 0 {
			first = r.Steps[0].Begun
		}
		s.api.HTTP.Transport = own
		s.must(r.Close())
		r = s.open()
		s.later(time.Minute)
	}
	s.must(s.runner(r).Run(t.Context()))
	for _, d := range s.phones {
		details, err := s.api.Device(t.Context(), d.UDID())
		s.must(err)
		n := 0
		for _, c := range details.Commands {
			if c.Kind == "DeviceInformation" && c.At >= first {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s was asked for its information %d times, want once: %+v", d.UDID(), n, details.Commands)
		}
	}
}

// A refuser answers requests in place of the server: those that ask says so for.
type refuser struct {
	http.RoundTripper
	ask func(r *http.Request) (status int)
}

const noAnswer = -1 // in place of a status: no server is there

func (f *refuser) RoundTrip(r *http.Request) (*http.Response, error) {
	status := f.ask(r)
	switch status {
	case 0:
		return f.RoundTripper.RoundTrip(r)
	case noAnswer:
		return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
	}
	body := io.NopCloser(strings.NewReader(`{"error":{"message":"not this one"}}`))
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: body, Request: r}, nil
}

const sync3 = `
name: sync
until: 1d
population: {already: {ios: 10}}
timeline:
  - {at: 0s, command: {kind: DeviceInformation, to: all}}
`

// A token that may not give orders does nothing to any device, and so the step is not done; a device that is refused is named.
func TestApplyRefused(t *testing.T) {
	s := newSite(t, sync3)
	r := s.rehearse()
	own := s.api.Token
	var err error
	s.api.Token, err = s.api.MakeToken(t.Context(), "watcher", "reader", 0)
	s.must(err)
	if err := s.runner(r).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "AUTH-08") || r.Steps[0].State != apply.Waiting {
		t.Fatalf("a reader's: %v, %+v; want AUTH-08 and the step waiting", err, r.Steps[0])
	}
	s.api.Token = own
	second := s.phones[1].UDID()
	transport := s.api.HTTP.Transport
	s.api.HTTP.Transport = &refuser{transport, func(r *http.Request) int {
		if r.Method == http.MethodPost && strings.Contains(r.URL.Path, second) {
			return http.StatusConflict
		}
		return 0
	}}
	s.must(s.runner(r).Run(t.Context()))
	if reasons := r.Refused(); len(reasons) != 1 || !strings.Contains(reasons[0], "of 3 devices 1 refused ("+second+": not this one)") {
		t.Errorf("refused %q", reasons)
	}
}

// Steps whose moments have passed while nobody applied the plan are not all done at once: with Late the first is, and the others keep
// their distance to it.
func TestApplyLate(t *testing.T) {
	s := newSite(t, applied12h)
	r := s.rehearse()
	for i := range r.Steps {
		r.Steps[i].Allowed = true
	}
	ctx, stop := context.WithCancel(t.Context())
	run := s.runner(r)
	run.Waits = func(step *apply.Step, _ protocol.Time) {
		if step.Number == 4 {
			stop()
		}
	}
	own := run.Wait
	run.Wait = func(ctx context.Context, left time.Duration, driven bool) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return own(ctx, left, driven)
	}
	if err := run.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.later(3 * 24 * time.Hour)
	late, ok := errors.AsType[*apply.Overdue](s.runner(r).Run(t.Context()))
	if !ok || late.Step.Number != 4 || late.By < 2*24*time.Hour || r.Left() != len(r.Steps)-3 {
		t.Fatalf("late: %v, %d steps left", late, r.Left())
	}
	again := s.runner(r)
	again.Late = true
	s.must(again.Run(t.Context()))
	for i := 4; i < len(r.Steps); i++ {
		was, is := time.Duration(r.Steps[i].At-r.Steps[i-1].At), r.Steps[i].Done.Sub(r.Steps[i-1].Done)
		if is < was-time.Minute || is > was+21*time.Minute { // the clock is driven by as much
			t.Errorf("step %d was done %s after the one before it, and not %s", i+1, is, was)
		}
	}
}

// A server that is down for a while does not end a plan of days; a token that ended does.
func TestApplyOutage(t *testing.T) {
	s := newSite(t, strings.Replace(sync3, "at: 0s", "at: 2h", 1))
	r := s.rehearse()
	own, looks, status := s.api.HTTP.Transport, 0, http.StatusServiceUnavailable
	s.api.HTTP.Transport = &refuser{own, func(r *http.Request) int {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/clock") {
			return 0
		}
		if looks++; looks < 3 || looks > 6 {
			return 0
		}
		if looks == 4 && status/100 == 5 {
			return noAnswer
		}
		return status
	}}
	run := s.runner(r)
	var said []bool
	run.Lost = func(why error) { said = append(said, why != nil) }
	s.must(run.Run(t.Context()))
	if !slices.Equal(said, []bool{true, false}) || looks < 7 {
		t.Errorf("told of the outage: %v, after %d looks", said, looks)
	}
	r.Steps[0].State, r.Steps[0].At = apply.Waiting, plan.Duration(9*time.Hour)
	looks, status = 0, http.StatusUnauthorized
	if err := s.runner(r).Run(t.Context()); err == nil || looks != 3 {
		t.Errorf("unauthorized: %v after %d looks", err, looks)
	}
}

// A plan of working hours begins when it is told to, and not when it is confirmed.
func TestApplyStart(t *testing.T) {
	s := newSite(t, strings.Replace(sync3, "at: 0s", "at: 2h", 1))
	r := s.rehearse()
	run := s.runner(r)
	run.Start = protocol.At(s.cfg.Clock.Now()).Add(5 * time.Hour)
	told := protocol.Time(0)
	run.Begins = func() { told = r.Moment(&r.Steps[0]) }
	s.must(run.Run(t.Context()))
	if want := run.Start.Add(2 * time.Hour); told != want || r.Steps[0].Done < want {
		t.Errorf("told %s, done %s; want %s", told, r.Steps[0].Done, want)
	}
	run.Start++
	if err := run.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the plan has begun: it counts from ") {
		t.Errorf("another start: %v", err)
	}
}

// What later steps want of whoever applies a plan is asked for before the first of them.
func TestApplyChecksAhead(t *testing.T) {
	s := newSite(t, strings.Replace(sync3, "ios: 10", "ios: 10, macos: 1", 1)+`  - {at: 2h, apns: {upload: renewed}}
  - {at: 3h, command: {kind: DeviceLock, to: macos}}
`)
	s.must(s.api.AddUsers(t.Context(), []target.User{{UPN: "mac@example.org", IntuneLicence: true}}))
	s.joinAgain(dialect.NewApple(dialect.Who{Number: 9, Seed: 9, UDID: "F0000000-0000-0000-0000-000000000009", Serial: "MAC9"},
		&dialect.Model{Platform: protocol.MacOS, Product: "Mac14,2", OSVersion: "15.1"}, &dialect.Habits{}), "mac@example.org")
	r := s.rehearse()
	present, err := s.api.Push(t.Context())
	s.must(err)
	upload := func(topic string) target.PushUpload {
		made, err := s.api.MakeTestPush(t.Context(), topic, 400*24*time.Hour)
		s.must(err)
		return target.PushUpload{Certificate: made, AppleID: present.AppleID}
	}
	for want, run := range map[string]*apply.Runner{
		"step 2 (timeline[1].apns): ":                {Push: []target.PushUpload{{Certificate: []byte("nonsense")}}, PIN: "123456"},
		"has another topic":                          {Push: []target.PushUpload{upload("com.apple.mgmt.External.other")}, PIN: "123456"},
		"2 push certificates are given":              {Push: []target.PushUpload{upload(present.Topic), upload(present.Topic)}, PIN: "123456"},
		"step 3 (timeline[2].command) is about Macs": {Push: []target.PushUpload{upload(present.Topic)}},
	} {
		run.Server, run.Record = s.api, r
		if err := run.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) || r.Left() != 3 || r.Start != 0 {
			t.Errorf("%v with %d steps left, want %s before the first", err, r.Left(), want)
		}
	}
	run := s.runner(r)
	run.Push, run.PIN = []target.PushUpload{upload(present.Topic)}, "123456"
	s.must(run.Run(t.Context()))
}

// A step that was begun is not done anew because of a device that has gone, and an answer that tells nothing leaves it begun.
func TestApplyResumedWithoutADevice(t *testing.T) {
	s := newSite(t, sync3)
	r := s.rehearse()
	own := s.api.HTTP.Transport
	ctx, die := context.WithCancel(t.Context())
	s.api.HTTP.Transport = &killer{own, 3, true, die}
	if err := s.runner(r).Run(ctx); err == nil || r.Steps[0].State != apply.Begun {
		t.Fatalf("killed: %v, %+v", err, r.Steps[0])
	}
	lost, status := s.phones[1].UDID(), http.StatusTooManyRequests
	s.api.HTTP.Transport = &refuser{own, func(r *http.Request) int {
		if strings.Contains(r.URL.Path, lost) {
			return status
		}
		return 0
	}}
	if err := s.runner(r).Run(t.Context()); err == nil || r.Steps[0].State != apply.Begun {
		t.Fatalf("not told: %v, %+v; want the step begun", err, r.Steps[0])
	}
	status = http.StatusNotFound
	s.must(s.runner(r).Run(t.Context()))
	if got := r.Steps[0].Outcome; got != "0 devices, 2 had it already, 1 are gone" {
		t.Errorf("outcome %q", got)
	}
}

// What was rehearsed is done, or nothing: another plan, another tenant, another id is refused, and what differs is named (HST-070).
func TestHST070ApplyWhatWasRehearsed(t *testing.T) {
	s := newSite(t, applied12h)
	r := s.rehearse()
	now := func() *apply.Snapshot {
		t.Helper()
		snapshot, err := apply.Read(t.Context(), s.api)
		s.must(err)
		return snapshot
	}
	confirm := func(want string) {
		t.Helper()
		err := r.Confirm(r.ID, s.api.URL, s.plan, now())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("confirmed: %v, want %q", err, want)
		}
	}
	s.later(9 * time.Hour) // contacts and pushes are no difference
	for _, d := range s.phones {
		s.talk(d)
	}
	confirm("")
	if err := r.Confirm("nonsense", s.api.URL, s.plan, nil); err == nil || !strings.Contains(err.Error(), r.ID) {
		t.Errorf("another id: %v", err)
	}
	own := s.plan
	var err error
	s.plan, err = plan.Parse("change.yaml", []byte(strings.Replace(applied12h, "at: 7h", "at: 6h30m", 1)))
	s.must(err)
	confirm("line 12 of the plan was ")
	s.plan = own
	s.must(s.api.AddUsers(t.Context(), []target.User{{UPN: "user1@example.org", Groups: []string{"office"}, IntuneLicence: true}}))
	confirm("user user1@example.org was licences intune, groups field, and is licences intune, groups office")
	s.phones = append(s.phones, s.join(4, "field"))
	confirm("device " + s.phones[3].UDID() + " is new")

	if _, err := apply.Open(s.path); !errors.Is(err, apply.ErrRuns) {
		t.Errorf("two at once: %v", err)
	}
	s.must(r.Close())
	s.must(s.open().Close())
}

// A step that cannot be taken back waits for a yes, and nothing after it is done.
func TestApplyPauses(t *testing.T) {
	s := newSite(t, applied12h)
	r := s.rehearse()
	for want, irreversible := range []string{"authority", "consent", "reenrol"} {
		pause, ok := errors.AsType[*apply.Pause](s.runner(r).Run(t.Context()))
		if !ok || pause.Step.Action != irreversible || want == 0 && !strings.Contains(pause.About, "of 3 devices ") {
			t.Fatalf("pause %+v, want one before %s", pause, irreversible)
		}
		run := s.runner(r)
		run.Ask = func(s *apply.Step, _ string) (bool, error) { return s.Action == irreversible, nil }
		if err := run.Run(t.Context()); want == 2 && err != nil {
			t.Fatal(err)
		}
	}
	if r.Left() != 0 || !slices.ContainsFunc(r.Steps, func(s apply.Step) bool { return s.Done-s.Begun >= 0 && s.State == apply.Done }) {
		t.Errorf("%d steps left", r.Left())
	}
	for i := range r.Steps {
		if at := r.Moment(&r.Steps[i]); r.Steps[i].Begun < at {
			t.Errorf("step %d was begun at %s, before its moment %s", i+1, r.Steps[i].Begun, at)
		}
	}
}

// The rehearsal begins as the tenant is: its groups, its profiles, its settings, and not what the plan says of its own.
func TestApplyStartsAsItIs(t *testing.T) {
	s := newSite(t, applied12h)
	s.apply("mail", "1", "field")
	s.talk(s.phones[0])
	days, units := 30, 40
	s.must(s.api.SetSettings(t.Context(), target.Settings{CleanUpDays: &days, Units: &units}))
	snapshot, err := apply.Read(t.Context(), s.api)
	s.must(err)
	_, staged, said, err := apply.Prepare(s.plan, snapshot)
	s.must(err)
	if len(said) != 3 || !strings.HasPrefix(said[0], "population: ") || !strings.HasPrefix(said[1], "tenant: ") || !strings.HasPrefix(said[2], "timeline[8].reenrol.over: ") {
		t.Errorf("said %q", said)
	}
	if staged.Tenant.CleanUp != plan.Duration(30*plan.Day) || staged.Tenant.Units == nil || *staged.Tenant.Units != 40 || staged.Tenant.Authority.String() != "intune" {
		t.Errorf("tenant %+v", staged.Tenant)
	}
	if !slices.ContainsFunc(staged.Profiles, func(p plan.Profile) bool {
		return p.Name == "mail" && p.Assigned == "field" && p.Family == protocol.Email
	}) {
		t.Errorf("profiles %+v, want mail assigned to field", staged.Profiles)
	}
	pop := snapshot.Population
	if len(pop.Devices) != 3 || len(pop.Users) != 3 || pop.Groups[pop.Users[0].Group] != "field" || pop.Users[2].Group != -1 {
		t.Errorf("groups %q, users %+v, %d devices", pop.Groups, pop.Users, len(pop.Devices))
	}
	if len(s.plan.Timeline) != 9 || s.plan.Profiles[0].Assigned != "" {
		t.Error("the plan itself was changed")
	}
}

// What is no administrator's is refused by line and field, all of it at once.
func TestApplyRefusesWhatIsNotDone(t *testing.T) {
	p, err := plan.Parse("change.yaml", []byte(`
name: change
until: 14d
population: {devices: 10, mix: {ios: 100}}
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 1d, enrol: {ipados: 5}}
  - {at: 2d, absence: {of: 10%, lasts: "uniform(1d, 2d)"}}
  - {at: 3d, unenrol: 5%}
faults:
  - {at: 1d, for: 1h, server: down}
`))
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, err = apply.Prepare(p, &apply.Snapshot{})
	mistakes, ok := errors.AsType[plan.Errors](err)
	if !ok {
		t.Fatal(err)
	}
	var places []string
	for _, e := range mistakes {
		_, _, field := e.Place()
		places = append(places, field)
		if e.Line == 0 {
			t.Errorf("no line: %v", e)
		}
	}
	if slices.Sort(places); !slices.Equal(places, []string{"faults[0]", "timeline[1].enrol", "timeline[2].absence", "timeline[3].unenrol"}) {
		t.Errorf("refused %v", places)
	}
}

// A profile that the tenant does not have, or has as another, is refused by line and field, and a step that means nobody is named.
func TestApplyNamesWhatIsNotThere(t *testing.T) {
	s := newSite(t, applied12h)
	read := func(text string) (said []string, steps int, err error) {
		p, err := plan.Parse("change.yaml", []byte(text))
		s.must(err)
		snapshot, err := apply.Read(t.Context(), s.api)
		s.must(err)
		made, _, said, err := apply.Prepare(p, snapshot)
		return said, len(made), err
	}
	for was, want := range map[string]string{
		"authority: {set: sccm}": `change.yaml:10:14: timeline[2].profiles: the tenant has no profile "wifi" of intune, which is in force then; put it there first by rollcall profiles apply FILE --authority intune, or, where it is a stand-in of plan waves, name your own profile in its place`,
		"family: wifi":           `change.yaml:6:25: profiles[0].family: the tenant's profile "wifi" of sccm is of the family wifi`,
	} {
		is := map[string]string{"authority: {set: sccm}": "ask_users_to_sync: all", "family: wifi": "family: vpn"}[was]
		if _, _, err := read(strings.Replace(applied12h, was, is, 1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", is, err, want)
		}
	}
	said, steps, err := read(strings.Replace(sync3, "ios: 10", "ios: 10, macos: 1", 1) + "  - {at: 1h, command: {kind: DeviceInformation, to: macos}}\n  - {at: 2h, licences: {assign: intune, to: basic}}\n")
	s.must(err)
	if steps != 1 || len(said) != 4 || !strings.HasPrefix(said[2], "change.yaml:7:") || !strings.Contains(said[2], ": timeline[1].command: it means nobody") || !strings.Contains(said[3], ": timeline[2].licences: it means nobody") {
		t.Errorf("%d steps, said %q", steps, said)
	}
}

// Two administrators with copies of one file of state: what the first has done the second is told, and does not do again (HST-070).
func TestHST070ApplyTwoAdministrators(t *testing.T) {
	for name, text := range map[string]string{
		"command":  sync3,
		"licences": strings.Replace(sync3, "command: {kind: DeviceInformation, to: all}", "licences: {assign: basic, to: intune}", 1),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, text)
			first := s.rehearse()
			kept, err := os.ReadFile(s.path)
			s.must(err)
			s.path += ".copy"
			s.must(os.WriteFile(s.path, kept, 0o600))
			second := s.open()
			s.must(s.runner(first).Run(t.Context()))
			err = s.runner(second).Run(t.Context())
			contested, ok := errors.AsType[*apply.Contested](err)
			if !ok || contested.Step.Number != 1 || !strings.HasPrefix(contested.Line.Actor, "token:") || !errors.Is(err, protocol.Rule("HST-070")) || second.Left() != 1 {
				t.Fatalf("the second: %v, %d steps left", err, second.Left())
			}
			all := s.runner(second)
			all.Others = true
			s.must(all.Run(t.Context()))
		})
	}
}

// Two at the same moment: what both have done is told once it is done.
func TestApplyAtTheSameMoment(t *testing.T) {
	s := newSite(t, sync3)
	first := s.rehearse()
	own := s.api.HTTP.Transport
	device := s.phones[0].UDID()
	others := &target.Rollcall{URL: s.api.URL, Token: s.api.Token, HTTP: &http.Client{Transport: own}}
	asked := false
	s.api.HTTP.Transport = &refuser{own, func(r *http.Request) int {
		if r.Method == http.MethodPost && strings.Contains(r.URL.Path, device) && !asked {
			asked = true
			_, err := others.Order(t.Context(), device, target.Order{Kind: fleet.OrderOf(protocol.DeviceInformation)})
			s.must(err)
		}
		return 0
	}}
	contested, ok := errors.AsType[*apply.Contested](s.runner(first).Run(t.Context()))
	if !ok || contested.Line.Device != device || first.Left() != 0 {
		t.Errorf("%+v, %d steps left", contested, first.Left())
	}
}
