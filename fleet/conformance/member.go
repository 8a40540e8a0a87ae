package conformance

import (
	"context"
	"net/http"
	"slices"

	"rollcall/certs"
	"rollcall/fleet/target"
)

// A member is what a device of a run has whatever protocol it speaks: identities, and a way to say something. Apple's have more
// to say by TLS, and are phones of their own.
type member struct {
	a    *asking
	kind string // what exchanges call such devices
	name string // A, B, ... of them

	identity certs.Signer
	issued   []certs.Signer // all that it got, the newest last
	client   *http.Client
	blame    func(format string, args ...any) // ends the check where the device cannot become a managed one
}

// A leaver is a device that has to be taken out again, once it has an identity.
type leaver interface {
	standing() (id string, issued []certs.Signer)
	leave(ctx context.Context) error
}

// joining makes room for one more device of the run's, and returns its number.
func (a *asking) joining(kind string) (m member, number int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made++
	return member{a: a, kind: kind, name: string(rune('A' + len(a.leavers)%26)), blame: a.unasked}, a.made
}

// as gives the device an identity, on a new connection.
func (m *member) as(who certs.Signer) {
	m.identity = who
	m.client = m.a.clients.of(who, nil)
}

// own gives it an identity that was issued to it.
func (m *member) own(who certs.Signer) {
	m.issued = append(m.issued, who)
	m.as(who)
}

// do sends one request and makes it the latest exchange.
func (m *member) do(method, url, what string, header http.Header, body []byte) *Exchange {
	client := m.client
	if client == nil {
		client = m.a.clients.of(certs.Signer{}, nil)
	}
	x := m.a.run.exchange(m.a.ctx, client, method, url, m.kind+" "+m.name+": "+what, header, body)
	m.a.last = x
	if m.a.ctx.Err() != nil {
		m.a.unasked("the time for this check, or the run, is over")
	}
	return x
}

// orderFor has the administrator queue a command for a device; the id is empty where the server does not tell it.
func (a *asking) orderFor(device string, kind target.OrderKind) string {
	a.needs(a.Steps.Queue != nil, "queue a command")
	ctx, cancel := a.administrator()
	defer cancel()
	id, err := a.Steps.Queue(ctx, device, target.Order{Kind: kind})
	if err != nil {
		a.unasked("no command could be queued: %v", err)
	}
	return id
}

// leaveAll has devices leave that got an identity, whatever ended their check.
func (r *run) leaveAll(ctx context.Context, devices []leaver) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*r.Request)
	defer cancel()
	gone := map[string]bool{}
	for _, d := range slices.Backward(devices) {
		if id, issued := d.standing(); len(issued) > 0 && !gone[id] { // a device may have come twice
			gone[id] = true
			r.parted(id, d.leave(ctx))
		}
	}
}
