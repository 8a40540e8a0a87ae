package conformance

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"rollcall/certs"
	"rollcall/fleet/target"
)

// A Config is what a run needs. Zero values mean the default that is named.
type Config struct {
	Server   string // as the user called it, for the result
	Steps    *target.Steps
	Pushes   Pushes         // the push service that the server sends to; nil: pushes are not seen
	Channels Channels       // Windows' push service that the server sends to; nil: what is sent is not seen
	Messages Messages       // that of Android devices; nil: its messages are not seen
	Roots    *x509.CertPool // that the server's certificate chains to, beside what profiles bring; nil: the system's

	Suites  []Suite  // nil: Apple
	Only    []string // ids; empty: all of the suites
	Intune  bool     // ask statements of class intune too
	Mine    bool     // the tenant is there for this run: its clock, push certificate and authority may be changed
	Factory *certs.Signer
	// Factory is the factory identity of devices that enrol automatically, its root known to the server; nil: they cannot.
	Maker        *certs.Authority // of the Android devices, whose attestations the server believes; nil: they attest nothing
	AndroidURL   string           // of a server that speaks the agent protocol for Android; empty: none is known
	WindowsURL   string           // of a server of Windows devices, without the paths of the protocol; empty: none is known
	AutomatedURL string           // where they enrol; empty: they cannot
	// ProxyFrom is an address of this machine from which the server takes a certificate in ProxyHeader, as from a proxy that it
	// trusts; empty: there is none. ProxyHeader empty: Client-Cert.
	ProxyFrom, ProxyHeader string

	P256Keys bool          // devices ask for P-256 identities by an RSA transport key, which few CAs take and which are made at once; else for what their profile says, as real ones do
	AtOnce   int           // checks at the same time; 0: 4
	Request  time.Duration // that one request may take; 0: 10 s
	Check    time.Duration // that one check may take; 0: 45 s
	Total    time.Duration // that the run may take; 0: 10 min
	Settle   time.Duration // that a server with a true clock has to send what is due; 0: 3 s
	Queued   int           // commands that wait for one device when their order is asked after (APL-051), at least 40; 0: 1,000

	Progress func(Finding) // hears of each statement as it is decided; nil: nobody
}

// A run is one run's state.
type run struct {
	Config
	clients *clients
	label   string // of this run's devices
	crowded string // why the tenant and its time stay as they are; empty: nobody else is there

	stepping sync.Mutex // of whoever sets the clock

	consenting     sync.Once // to Google's services
	refusedConsent error

	probing sync.Mutex // of probed and queues
	probed  bool       // the adapter's queue step was tried
	queues  bool       // and does something

	mu       sync.Mutex
	made     int               // devices
	enrolled int               // of these
	left     map[string]string // of these, by UDID: why they could not be taken out again
	silent   int               // requests in a row without an answer
	barred   string
	removed  *Exchange     // the first answer that told a device in good standing to give up its management
	off      time.Duration // how far the server's clock is ahead of the true one, unless it is driven
	clock    time.Time     // a driven one, as it stood when it was last looked at; zero: it is not
}

// silence is how many requests in a row may be without an answer before the server counts as gone.
const silence = 6

// Run asks the statements. The error is that of a run which could not begin; whatever the server does later is in the
// result, ctx's end too.
func Run(ctx context.Context, c Config) (*Result, error) {
	if c.Steps == nil || c.Steps.Enrol == nil {
		return nil, errors.New("conformance: there is no way to enrol a device: give an enrolment profile, a link, or an adapter that has the step enrol")
	}
	c.complete()
	chosen, err := c.chosen()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	r := &run{Config: c, label: fmt.Sprintf("%08X", uint32(began.UnixNano()/1e6)), left: map[string]string{}}
	r.clients = newClients(r)
	whole, cancel := context.WithTimeout(ctx, c.Total)
	defer cancel()
	if err := r.readClock(whole); err != nil {
		return nil, fmt.Errorf("conformance: the server's clock: %w", err)
	}
	result := &Result{Server: c.Server, Adapter: c.Steps.Name, Suites: c.Suites, Intune: c.Intune}
	before, beforeErr := r.others(whole)
	if beforeErr == nil {
		for id := range before {
			r.crowded = "the server has other devices, " + id + " among them, which this would change too"
			break
		}
	}

	result.Findings = r.askAll(whole, chosen)
	result.Interrupted = ctx.Err() != nil

	late, stop := context.WithTimeout(context.WithoutCancel(ctx), 3*c.Request)
	defer stop()
	result.Enrolled, result.Left = r.enrolled, slices.Sorted(maps.Keys(r.left))
	for i, id := range result.Left {
		result.Left[i] = id + ": " + r.left[id]
	}
	if c.Steps.Leave != nil {
		if err := c.Steps.Leave(late); err != nil {
			result.Made = err.Error()
		}
	}
	r.clients.close()
	result.Others = r.compare(late, before, beforeErr)
	result.Seconds = time.Since(began).Seconds()
	return result, nil
}

// complete fills in what is left out.
func (c *Config) complete() {
	if len(c.Suites) == 0 {
		c.Suites = []Suite{Apple}
	}
	for value, otherwise := range map[*time.Duration]time.Duration{&c.Request: 10 * time.Second, &c.Check: 45 * time.Second, &c.Total: 10 * time.Minute, &c.Settle: 3 * time.Second} {
		if *value <= 0 {
			*value = otherwise
		}
	}
	if c.AtOnce <= 0 {
		c.AtOnce = 4
	}
	if c.Queued <= 0 {
		c.Queued = 1000
	}
}

// askAll asks the statements, each in its turn, and says of those that do not apply why.
func (r *run) askAll(ctx context.Context, chosen []Statement) []Finding {
	var first, together, serial, alone, last []int
	findings := make([]Finding, len(chosen))
	for i := range chosen {
		s := &chosen[i]
		findings[i] = newFinding(s)
		if why := r.inapplicable(s); why != "" {
			findings[i].Outcome, findings[i].Reason = NotApplicable, why
			r.tell(findings[i])
			continue
		}
		switch {
		case s.first:
			first = append(first, i)
		case s.alone:
			alone = append(alone, i)
		case s.serial, s.passes && r.Steps.Step != nil:
			serial = append(serial, i)
		case s.last:
			last = append(last, i)
		default:
			together = append(together, i)
		}
	}
	for _, i := range first {
		findings[i] = r.ask(ctx, &chosen[i], 1)
	}
	slots := make(chan int, r.AtOnce)
	for i := range r.AtOnce {
		slots <- i + 1
	}
	var wait sync.WaitGroup
	for _, i := range together {
		slot := <-slots
		wait.Go(func() {
			findings[i] = r.ask(ctx, &chosen[i], slot)
			slots <- slot
		})
	}
	wait.Wait()
	for _, i := range slices.Concat(serial, alone, last) {
		findings[i] = r.ask(ctx, &chosen[i], 1)
	}
	return findings
}

// inapplicable says why a statement is not asked of this server; empty: it is.
func (r *run) inapplicable(s *Statement) string {
	switch {
	case s.Until != "":
		return "not applicable until " + s.Until
	case (s.alone || s.first) && !r.Mine:
		return "it changes the whole tenant or its time, which this run may not (--tenant-is-mine)"
	case s.alone || s.first:
		return r.crowded
	}
	return ""
}

// chosen are the statements to ask.
func (c *Config) chosen() ([]Statement, error) {
	if err := checkIDs(c.Only, false); err != nil {
		return nil, err
	}
	var out []Statement
	for _, s := range List() {
		switch {
		case s.Suite.OfDevices():
		case len(c.Only) > 0 && !slices.Contains(c.Only, s.ID):
		case len(c.Only) == 0 && !slices.Contains(c.Suites, s.Suite):
		case s.Class == OfIntune && !c.Intune:
		default:
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("conformance: no statement is left to ask; those of class intune want --as intune")
	}
	return out, nil
}

// checkIDs tells what of only is no statement, or none that is asked of devices, or of servers.
func checkIDs(only []string, device bool) error {
	for _, id := range only {
		switch s, known := Find(id); {
		case !known:
			return fmt.Errorf("conformance: there is no statement %q; rollcall conform --list shows them", id)
		case device && !s.Suite.OfDevices():
			return fmt.Errorf("conformance: %s is asked of servers: rollcall conform URL", s.ID)
		case !device && s.Suite.OfDevices():
			return fmt.Errorf("conformance: %s is asked of devices: rollcall conform device", s.ID)
		}
	}
	return nil
}

func (r *run) tell(f Finding) {
	if r.Progress != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.Progress(f)
	}
}

// readClock looks at the server's clock, so that devices live in its time.
func (r *run) readClock(ctx context.Context) error {
	if r.Steps.Clock == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.Request)
	defer cancel()
	now, err := r.Steps.Clock(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Steps.Step != nil {
		r.clock = now
	} else {
		r.off = time.Until(now)
	}
	return nil
}

// now is the server's time.
func (r *run) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.clock.IsZero() {
		return r.clock
	}
	return time.Now().Add(r.off)
}

// others are the devices that are not of this run; nil without error: the adapter does not list devices.
func (r *run) others(ctx context.Context) (map[string]string, error) {
	if r.Steps.Devices == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*r.Request)
	defer cancel()
	all, err := r.Steps.Devices(ctx)
	maps.DeleteFunc(all, func(id string, _ string) bool { return ours(id) })
	return all, err
}

// compare holds the server's other devices against what they were.
func (r *run) compare(ctx context.Context, before map[string]string, err error) Others {
	out := Others{Checked: r.Steps.Devices != nil && err == nil, Devices: len(before)}
	if err != nil {
		out.Error = err.Error()
	}
	if !out.Checked {
		return out
	}
	after, err := r.others(ctx)
	if err != nil {
		return Others{Devices: len(before), Error: err.Error()}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		switch now, there := after[id]; {
		case !there:
			out.Changed = append(out.Changed, id+": it is gone")
		case now != before[id]:
			out.Changed = append(out.Changed, fmt.Sprintf("%s: was %s; is %s", id, before[id], now))
		}
	}
	return out
}

// leave has devices check out and be forgotten, whatever ended their check.
func (r *run) leave(ctx context.Context, devices []*phone) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*r.Request)
	defer cancel()
	for _, p := range devices {
		r.parted(p.udid, p.leave(ctx))
	}
}

// forgotten has the administrator remove a device that has said that it leaves. Unheard is why the server may not know; empty: it does.
func (r *run) forgotten(ctx context.Context, id, unheard string) error {
	steps := r.Steps
	if steps.Forget == nil {
		if unheard != "" {
			return errors.New(unheard)
		}
		return nil
	}
	if err := steps.Forget(ctx, id); err != nil && !target.IsNotFound(err) {
		return err
	}
	if unheard == "" || steps.Known == nil {
		return nil
	}
	if s, err := steps.Known(ctx, id); err == nil && s.Enrolled {
		return fmt.Errorf("%s, and the server still holds it for enrolled", unheard)
	}
	return nil
}

// parted counts a device of the run that was to leave, and takes note of why it could not; nil: it has.
func (r *run) parted(id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enrolled++
	if err != nil {
		r.left[id] = err.Error()
	}
}
