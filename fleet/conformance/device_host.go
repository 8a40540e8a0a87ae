package conformance

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Enrolments of devices of other platforms than Apple's.

// host makes room for an enrolment and tells under which path it is.
func (t *trial) host(make func(path string) host) {
	j := t.judge
	j.mu.Lock()
	defer j.mu.Unlock()
	path := fmt.Sprintf("/h%d", len(j.hosts)+1)
	h := make(path)
	j.hosts[path] = h
	t.hosts = append(t.hosts, h)
}

func (t *trial) look(h host) (opened, in, left bool) {
	t.judge.mu.Lock()
	defer t.judge.mu.Unlock()
	return h.stands()
}

// joins has the device enrol by a link and tells whether it is in then.
func (t *trial) joins(h host, link string) bool {
	j := t.judge
	j.absent++
	defer func() { // the check may end here
		if opened, _, _ := t.look(h); opened {
			j.absent = 0
		}
	}()
	t.do(func(ctx context.Context) error { return j.Hands.Enrol(ctx, link) }, func() bool { _, in, _ := t.look(h); return in })
	_, in, _ := t.look(h)
	return in
}

// turnedAway wants the device not to enrol by a link.
func (t *trial) turnedAway(h host, link, why string) {
	if t.joins(h, link) {
		t.fail("the device enrols although %s", why)
	}
	if opened, _, _ := t.look(h); !opened {
		t.unasked("nobody has come%s", t.because())
	}
}

// comes has the device ask its server, and tells whether it did; count counts what it says.
func (t *trial) comes(count func() int) bool {
	h := t.judge.Hands
	t.needs(h.CheckIn != nil, "have the device ask its server")
	before := count()
	t.do(h.CheckIn, func() bool { return count() > before })
	return count() > before
}

// removeFrom takes the device out of one enrolment.
func (t *trial) removeFrom(h host, willing bool) {
	_, in, left := t.look(h)
	if !in || left {
		return
	}
	err := errStays
	if willing {
		t.judge.mu.Lock()
		h.dismiss()
		t.judge.mu.Unlock()
		if step := t.judge.Hands.CheckIn; step != nil {
			t.do(step, func() bool { _, _, left := t.look(h); return left })
		}
		if _, _, left := t.look(h); left {
			return
		}
		if step := t.judge.Hands.Remove; step != nil {
			if t.simply(step); t.said == nil {
				return
			}
			err = t.said
		}
	}
	t.judge.mu.Lock()
	defer t.judge.mu.Unlock()
	t.judge.left = append(t.judge.left, h.id()+": "+err.Error())
}

// An utterance is what a device said to a host, and what it was answered.
type utterance struct {
	*Exchange
	at time.Time
}

// hearing begins to keep what a device says.
func hearing(r *http.Request, body []byte, what string) utterance {
	return utterance{&Exchange{What: "the device: " + what, Request: r.Method + " " + r.URL.Path, Header: shownHeader(r.Header), Sent: shown(body, mostShown), body: body, header: r.Header}, time.Now()}
}

// answer gives a reply and keeps it.
func (u *utterance) answer(w http.ResponseWriter, a *reply) {
	if a.cut {
		u.Error = "(the judge cut the connection)"
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			c.Close()
		}
		return
	}
	if a.kind != "" {
		w.Header().Set("Content-Type", a.kind)
	}
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(a.body)))
	u.Status, u.Received = a.status, shown([]byte(a.body), mostShown)
	w.WriteHeader(a.status)
	_, _ = w.Write([]byte(a.body)) // whoever has gone hears nothing
}
