package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/issuer"
	"rollcall/server/store"
)

// as makes a token of a role and returns how it is presented.
func (o *office) as(role store.Role) string {
	o.t.Helper()
	text, kept := issuer.New(role.String(), role, o.now(), 0)
	if err := o.core.PutToken(context.Background(), o.now(), kept); err != nil {
		o.t.Fatal(err)
	}
	return "Bearer " + text
}

func (o *office) lines(f store.LineFilter) []store.Line {
	o.t.Helper()
	lines, err := o.core.Store().Journal(context.Background(), f, 10000)
	if err != nil {
		o.t.Fatal(err)
	}
	return lines
}

// least is the role that each route needs, typed by hand. What a reader may not see is not there; what is refused
// otherwise is refused by AUTH-08.
var least = map[string]store.Role{
	"POST /rollcall/v1/invitations":   store.Helpdesk,
	"POST /rollcall/v1/orders/wipe":   store.Helpdesk,
	"POST /rollcall/v1/orders/delete": store.Helpdesk,
	"GET /rollcall/v1/tokens":         store.GlobalAdministrator,
	"POST /rollcall/v1/tokens":        store.GlobalAdministrator,
	"DELETE /rollcall/v1/tokens":      store.GlobalAdministrator,
}

// reads tells whether a route only shows something.
func reads(r *route) bool { return r.method == "GET" || strings.HasSuffix(r.path, "/preview") }

func leastRole(r *route) store.Role {
	switch role, listed := least[r.method+" "+r.path]; {
	case listed:
		return role
	case reads(r):
		return store.Reader
	case strings.HasPrefix(r.path, "/rollcall/v1/devices/"):
		return store.Helpdesk
	}
	return store.IntuneAdministrator
}

// Each route of the table against each role: with bodies that change nothing, so that only who asks decides.
func TestHST060AUTH08Roles(t *testing.T) {
	o := newOffice(t)
	tokens := map[store.Role]string{}
	for role := store.NoRole; role <= store.GlobalAdministrator; role++ {
		tokens[role] = o.as(role)
	}
	for _, r := range routes() {
		if r.open {
			continue
		}
		for role, token := range tokens {
			t.Run(r.method+" "+r.path+"/"+role.String(), func(t *testing.T) {
				o.t = t
				var body any
				if r.in != nil {
					body = `{"nonsense":1}` // refused where the role is enough
				}
				end := o.lines(store.LineFilter{})
				status, answer := o.ask(r.method, o.target(&r), body, token)
				checkAnswer(t, &r, status, answer)
				after := o.lines(store.LineFilter{After: uint64(len(end))})
				may := role >= leastRole(&r) && role != store.NoRole
				switch {
				case may && (status == http.StatusForbidden || status == http.StatusNotFound):
					t.Errorf("answered %d %s, though its role is enough", status, answer)
				case may:
				case reads(&r) && (status != http.StatusNotFound || len(after) != 0):
					t.Errorf("answered %d, want 404: what may not be seen is not there", status)
				case !reads(&r) && (status != http.StatusForbidden || ruleOf(answer) != "AUTH-08"):
					t.Errorf("answered %d %s, want 403 by AUTH-08", status, answer)
				case !reads(&r) && (len(after) != 1 || after[0].What != delivery.WhatDenied || after[0].Rule != "AUTH-08" || after[0].Actor != "token:"+role.String()):
					t.Errorf("journal: %+v, want that it was denied, by whom and why", after)
				}
			})
		}
	}
}

func ruleOf(answer []byte) string {
	var f failure
	if json.Unmarshal(answer, &f) != nil {
		return ""
	}
	return string(f.Error.Rule)
}

// A route that says nothing of roles is nobody's.
func TestHST060DeniedByDefault(t *testing.T) {
	for _, r := range routes() {
		if !r.open && r.needs == store.NoRole {
			t.Errorf("%s %s names no role", r.method, r.path)
		}
	}
	if r := new(route); r.admits(store.GlobalAdministrator) {
		t.Error("a route without a role takes a global administrator")
	}
}

// A refusal by rule changes nothing and is in the journal once, with who tried and what (AUTH-08).
func TestAUTH08RefusalsAreAudited(t *testing.T) {
	o := newOffice(t)
	other, _ := o.h.cfg.TestPush("com.apple.mgmt.External.9", o.clock.now, o.clock.now.AddDate(2, 0, 0))
	o.call("POST", "/rollcall/v1/devices/"+o.device+"/lock", map[string]any{}, 200)
	for _, tt := range []struct {
		target string
		body   any
		rule   protocol.Rule
	}{
		{"/rollcall/v1/apns", map[string]any{"certificate": other}, "AUTH-32"},
		{"/rollcall/v1/apns", map[string]any{"certificate": []byte("x\nforged line")}, "AUTH-34"},
		{"/rollcall/v1/devices/" + o.device + "/lock", map[string]any{}, "APL-064"},
	} {
		before := o.lines(store.LineFilter{})
		content := o.core.Content()
		o.call("POST", tt.target, tt.body, 409)
		lines := o.lines(store.LineFilter{After: uint64(len(before))})
		if len(lines) != 1 || lines[0].Rule != tt.rule || lines[0].Actor != "token:admin" || strings.Contains(lines[0].Detail, "\n") {
			t.Errorf("%s: journal %+v, want one line by %s", tt.target, lines, tt.rule)
		}
		if o.core.Content() != content && tt.rule != "APL-064" {
			t.Errorf("%s changed something", tt.target)
		}
	}
}
