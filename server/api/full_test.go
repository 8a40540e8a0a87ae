package api

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/store"
)

// A fullStore has no room for changes of the catalogue.
type fullStore struct {
	store.Store
	full bool
}

func (f *fullStore) Apply(ctx context.Context, now protocol.Time, c *store.Change) error {
	if f.full {
		return &store.Full{Place: "/srv/rollcall", Err: store.ErrFull}
	}
	return f.Store.Apply(ctx, now, c)
}

// TestHST092Administration: who wants a change hears whose disk is full and what to do, who reads hears nothing of it, and
// with room again all is well.
func TestHST092Administration(t *testing.T) {
	o := newOffice(t)
	kept := &fullStore{Store: o.core.Store(), full: true}
	core, err := server.Open(t.Context(), o.now(), server.Config{Store: kept})
	if err != nil {
		t.Fatal(err)
	}
	o.h.cfg.Server = core
	const change = `{"users":[{"upn":"cyd@example.org"}]}`
	status, answer := o.ask("POST", "/rollcall/v1/users", change, "Bearer "+o.token)
	if status != http.StatusServiceUnavailable || !strings.Contains(string(answer), `"rule":"HST-092"`) || !strings.Contains(string(answer), "the disk of /srv/rollcall is full") {
		t.Errorf("a change is answered %d %s", status, answer)
	}
	if status, answer := o.ask("GET", "/rollcall/v1/users", "", "Bearer "+o.token); status != http.StatusOK {
		t.Errorf("reading is answered %d %s", status, answer)
	}
	kept.full = false
	if status, answer := o.ask("POST", "/rollcall/v1/users", change, "Bearer "+o.token); status != http.StatusOK {
		t.Errorf("with room again a change is answered %d %s", status, answer)
	}
}
