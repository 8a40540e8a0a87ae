package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/host/apply"
	"rollcall/agent/link"
	"rollcall/certs/scep"
	"rollcall/protocol"
)

// A Join is one pasted line.
type Join struct {
	URL  string            // of the enrolment link; https
	CA   string            // sha256: and the hash of a certificate in the server's chain, or of its public key; empty: the system's roots
	As   protocol.Platform // as what the machine is managed; zero: by its system
	Draw bool              // its UDID is by chance, not of the machine's id
	Poll time.Duration     // between two check-ins that nothing else causes; 0: 5 min
	// Courier is host:port where wake-ups come from; empty: as the server says; NoCourier: none come.
	Courier string
	Allow   map[string]string // act (lock, restart, shutdown, erase) to the command that does it; what is not in it is not done
	Apply   apply.Config      // what profiles may do to the machine; zero: they become files of the state folder alone
	Offset  time.Duration     // of the agent's clock from the machine's, or from its server's driven one
}

// DefaultPoll is how often an agent asks by itself: what a wake-up could not tell it.
const DefaultPoll = 5 * time.Minute

// leastPoll is how often an agent may ask by itself.
const leastPoll = time.Minute

// Acts are the acts that can be allowed.
var Acts = []string{"lock", "restart", "shutdown", "erase"}

// KindOf is as what a machine of an operating system is managed by default.
func KindOf(system string) protocol.Platform {
	switch system {
	case "darwin":
		return protocol.MacOS
	case "windows":
		return protocol.Windows
	}
	return protocol.IPadOS
}

// Enrol has a server manage this machine. The same line again goes on where it stopped. Each error is one sentence that says what to
// do; one of a machine that is managed names by whom.
func (h *Host) Enrol(ctx context.Context, j Join) error {
	if h.managed() && h.device.Phase() == agent.Enrolling && h.rec.Link.Host == hostOf(j.URL) { // interrupted after the server had taken it
		return h.CheckIn(ctx)
	}
	if h.managed() {
		return fmt.Errorf("this machine is managed by %s already: rollcall agent unenroll takes it out", h.rec.Link.Host)
	}
	link, err := url.Parse(j.URL)
	if err != nil || link.Scheme != "https" || link.Hostname() == "" || link.Port() != "" && !isPort(link.Port()) {
		return errors.New("the enrolment link is no https URL: paste the line that the server printed")
	}
	if j.CA, err = parsePin(j.CA); err != nil {
		return err
	}
	if j.Poll <= 0 {
		j.Poll = DefaultPoll
	}
	if err := (&Change{&j.Poll, &j.Courier, j.Allow, &j.Apply}).check(); err != nil {
		return err
	}
	if j.As == protocol.NoPlatform {
		j.As = KindOf(runtime.GOOS)
	}
	// An identifier by chance needs a new identity: the one that was asked for is another identifier's.
	if old := h.rec; j.Draw && !old.Drawn || old.Pending == nil || old.Link == nil || old.Link.URL != j.URL || old.Link.Pin != j.CA || old.Kind != j.As {
		if err := h.begin(ctx, link, &j); err != nil {
			return err
		}
		return h.join(ctx)
	} else if err := h.otherwise(ctx, &j); err != nil {
		return err
	}
	return h.goOn(ctx)
}

// goOn enrols with the profile that was fetched before, by the clock that the server has now.
func (h *Host) goOn(ctx context.Context) error {
	if err := h.readClock(ctx); err != nil {
		return explain(err, h.rec.Link.Host, h.cfg.Now())
	}
	return h.join(ctx)
}

// otherwise has an enrolment that was begun go on by what its line says now: the profile that was fetched cannot be fetched again.
func (h *Host) otherwise(ctx context.Context, j *Join) error {
	r := *h.rec
	r.joins(j, machineOf(h.cfg.Machine(ctx)))
	if err := h.folder.save(&r); err != nil {
		return err
	}
	h.rec = &r
	return nil
}

// joins takes what a line says beside its server.
func (r *record) joins(j *Join, machine string) {
	r.Machine, r.Kind, r.Poll, r.Courier, r.Allow, r.Apply, r.Clock.Offset = machine, j.As, j.Poll, j.Courier, j.Allow, j.Apply, j.Offset
	switch {
	case j.Draw && !r.Drawn:
		r.UDID, r.Drawn = udidOf(""), true
	case r.UDID == "" || !j.Draw && machine != "":
		r.UDID, r.Drawn = udidOf(machine), machine == ""
	}
}

// hostOf is the host and port of a link; empty: it is none.
func hostOf(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" {
		return ""
	}
	return withPort(u.Host)
}

// begin fetches the enrolment profile, and keeps it before anything is done with it.
func (h *Host) begin(ctx context.Context, link *url.URL, j *Join) error {
	r := &record{UDID: h.rec.UDID, Drawn: h.rec.Drawn, Link: &pasted{URL: j.URL, Host: withPort(link.Host), Pin: j.CA}}
	r.joins(j, machineOf(h.cfg.Machine(ctx)))
	real := r.Clock.real(h.cfg.Now())
	c, err := h.fetch(ctx, link, j.CA, j.As, real)
	if err != nil {
		return explain(err, r.Link.Host, real)
	}
	if err := r.reads(c.profile); err != nil { // before it is kept: a whole one may come of the same line again
		return &advised{fmt.Sprintf("what %s answers the enrolment link with enrols no machine (%.300v): see that the server of this line is what answers there, and paste the line again", r.Link.Host, err), err}
	}
	r.Link.Trusted, r.Clock.Driven, r.Pending = c.trusted, c.driven, &pending{c.profile}
	if err := h.folder.save(r); err != nil {
		return err
	}
	h.rec = r
	return explain(c.wrong, r.Link.Host, real) // the profile is kept: it cannot be fetched again
}

// reads takes what an enrolment link brought, or says what is wrong with it.
func (r *record) reads(brought []byte) error {
	switch r.Kind {
	case protocol.Windows:
		i, err := invitationOf(brought)
		r.Seal = i.Seal
		return err
	case protocol.Android:
		_, err := bundleOf(brought)
		return err
	}
	var out dialect.Act
	d := dialect.NewApple(dialect.Who{Number: 1, UDID: r.UDID}, &dialect.Model{Platform: r.Kind}, nil)
	return cmp.Or(d.Enrol(0, dialect.Start{Profile: brought}, &out), out.Err)
}

// join enrols with the profile that was fetched.
func (h *Host) join(ctx context.Context) error {
	if err := h.connect(); err != nil {
		return err
	}
	h.device = newDevice(h.rec.Kind)
	_, err := h.talk(ctx, func(ctx context.Context) (link.Report, error) { return h.device.enrol(ctx, h) })
	if h.managed() {
		h.note(Entry{What: "enrolled", Note: "at " + h.rec.Link.Host})
		return h.settle(err)
	}
	h.device = nil
	if no, ok := errors.AsType[*scep.Failure](err); ok { // the challenge is of no use any more: the next try fetches another profile
		h.rec.Pending = nil
		err = errors.Join(h.folder.save(h.rec), no)
	}
	return explain(err, h.rec.Link.Host, h.real())
}
