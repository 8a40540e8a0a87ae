package interop

import (
	"context"
	"testing"
	"time"

	"github.com/jessepeterson/mdmcommands"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/ledger"
	"rollcall/protocol"
)

// A bookkeeper feeds a ledger with what a device saw.
type bookkeeper struct{ *ledger.Ledger }

// Exchanged implements [link.Watcher].
func (b bookkeeper) Exchanged(d protocol.Device, x *link.Exchange) {
	b.Ledger.Exchanged(protocol.At(x.Begun), protocol.At(time.Now()), d, x)
}

// TestLedgerOfNanohub: the ledger needs nothing of a server but its administration and its devices. Commands that nanohub
// carries out leave it clean; the one that it forgets over a renewed identity (see Divergences) is named.
func TestLedgerOfNanohub(t *testing.T) {
	h, p := enrolled(t)
	now := func() protocol.Time { return protocol.At(time.Now()) }
	books := ledger.New(ledger.Config{Devices: 1, Name: func(protocol.Device) string { return p.UDID() }})
	books.Enrolled(now(), p.Number())
	p.link = must(link.New(link.Config{Roots: poolOf(h.ca.Certificate()), TransportKeys: oneKey(), Now: p.now, Watcher: bookkeeper{books}}))(t)
	ordered := func(kind string, ids ...string) {
		for _, id := range ids {
			books.Ordered(now(), p.Number(), id, kind, 0)
			books.Taken(now(), p.Number(), id) // nanohub's API takes what it answers with 200
		}
	}

	ordered("ProfileList", "LEDGER-1", "LEDGER-2")
	p.order(mdmcommands.NewProfileListCommand("LEDGER-1"), mdmcommands.NewProfileListCommand("LEDGER-2"))
	if r := books.Result(); r.Faults() != 0 || r.Confirmed != 2 || r.Open != 0 {
		t.Errorf("%+v %v, want two commands confirmed", r.Counts, r.Findings)
	}

	renew := mdmcommands.NewInstallProfileCommand("LEDGER-3")
	renew.Command.Payload = h.profile("next")
	ordered("InstallProfile", "LEDGER-3")
	ordered("ProfileList", "LEDGER-4")
	p.order(renew, mdmcommands.NewProfileListCommand("LEDGER-4"))
	must(p.link.Converse(context.Background(), p.Apple, dialect.Synced))(t)
	books.Close(now())
	r := books.Result()
	if len(r.Findings) != 1 || r.Findings[0].Fault != ledger.Lost || r.Findings[0].Command != "LEDGER-4" || r.Findings[0].Device != udid || r.Confirmed != 3 {
		t.Errorf("%+v %v, want LEDGER-4 lost; if nanohub keeps its queue over a renewal now, say so in doc.go", r.Counts, r.Findings)
	}
}
