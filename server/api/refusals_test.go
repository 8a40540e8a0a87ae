package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/issuer"
	"rollcall/server/logs"
	"rollcall/server/store"
)

// newBare is an office that nobody has consented to anything in, without users, devices and push certificate.
func newBare(t *testing.T, tenant authority.Tenant) *office {
	t.Helper()
	o := &office{t: t, clock: &testClock{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), driven: true}, answered: map[string]bool{}}
	var err error
	if o.ca, err = certs.NewIssuer("test CA", o.clock.now); err != nil {
		t.Fatal(err)
	}
	if o.core, err = server.Open(context.Background(), o.now(), server.Config{Store: store.NewMemory()}); err != nil {
		t.Fatal(err)
	}
	if o.h, err = New(Config{Server: o.core, Clock: o.clock, URL: testURL, Log: logs.New(&o.log, true), TestPush: func(topic string, notBefore, notAfter time.Time) ([]byte, error) {
		p, err := certs.MakePush(o.ca, topic, notBefore, notAfter)
		if err != nil {
			return nil, err
		}
		return p.PEM()
	}}); err != nil {
		t.Fatal(err)
	}
	text, kept := issuer.New("admin", store.GlobalAdministrator, o.now(), 0)
	o.token = text
	if err := o.core.PutToken(context.Background(), o.now(), kept); err != nil {
		t.Fatal(err)
	}
	if err := o.core.SetUp(context.Background(), o.now(), tenant, delivery.Settings{}); err != nil {
		t.Fatal(err)
	}
	return o
}

// push is a push certificate for this topic that is valid for so many days, as it is uploaded.
func (o *office) push(topic string, days int, more ...any) map[string]any {
	o.t.Helper()
	pem, err := o.h.cfg.TestPush(topic, o.clock.now, o.clock.now.AddDate(0, 0, days))
	if err != nil {
		o.t.Fatal(err)
	}
	body := map[string]any{"certificate": pem}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	return body
}

// TestRefusals: each refused transition, upload, consent, role and licence, and what else administrators are refused, names its
// rule, changes nothing of the tenant or a device, and stands in the journal once with who tried. The status is one that the
// client takes as a refusal by rule: exit code 2. TestHST014Audited has those that nothing can be made of.
func TestRefusals(t *testing.T) {
	const present, other = "com.apple.mgmt.External.1", "com.apple.mgmt.External.2"
	intune := func(t *testing.T) *office { return newOffice(t) }
	bms := func(t *testing.T) *office { return newBMS(t) }
	both := func(t *testing.T) *office {
		o := newBMS(t)
		if _, err := o.core.SetAuthority(context.Background(), o.now(), server.System, authority.Change{Authority: protocol.Office365, Coexistence: true}, o.previewID("coexistence"), 0); err != nil {
			t.Fatal(err)
		}
		return o
	}
	managed := func(t *testing.T) *office {
		o := newOffice(t)
		o.enrolAndroid(android.FullyManaged)
		return o
	}
	bare := func(t *testing.T) *office { return newBare(t, authority.Tenant{Authority: protocol.Intune}) }
	unset := func(t *testing.T) *office { return newBare(t, authority.Tenant{Release: 1910}) }
	old := func(t *testing.T) *office {
		return newBare(t, authority.Tenant{Authority: protocol.Office365, Release: 1910})
	}
	after := func(begin func(t *testing.T) *office, method, path string, body any) func(t *testing.T) *office {
		return func(t *testing.T) *office {
			o := begin(t)
			o.call(method, strings.ReplaceAll(path, "DEVICE", o.device), body, 200)
			return o
		}
	}
	type object = map[string]any
	as := store.GlobalAdministrator
	rows := []struct {
		name   string
		office func(t *testing.T) *office
		method string
		path   string
		body   func(o *office) any
		rule   protocol.Rule
		role   store.Role
	}{
		// Transitions.
		{"back to unknown", intune, "POST", "authority", func(*office) any { return object{"authority": "unknown"} }, "AUTH-03", as},
		{"none, once it is set", intune, "POST", "authority", func(*office) any { return object{"authority": "none"} }, "AUTH-03", as},
		{"a change that there is not", bms, "POST", "authority", func(*office) any { return object{"authority": "sccm"} }, "AUTH-04", as},
		{"in one step", bms, "POST", "authority", func(*office) any { return object{"authority": "intune"} }, "AUTH-04", as},
		{"users are left behind", both, "POST", "authority", func(*office) any { return object{"authority": "intune"} }, "AUTH-04", as},
		{"coexistence of nothing", unset, "POST", "authority", func(*office) any { return object{"authority": "coexistence"} }, "AUTH-04", as},
		{"no units", after(bms, "POST", "/rollcall/v1/settings", object{"intune_units": 0}), "POST", "authority", func(*office) any { return object{"authority": "coexistence"} }, "AUTH-09", as},
		{"no licence, as far as anybody says", after(bms, "POST", "/rollcall/v1/settings", object{"intune_units": -1}), "POST", "authority", func(*office) any { return object{"authority": "coexistence"} }, "AUTH-09", as},
		{"not previewed", bms, "POST", "authority", func(*office) any { return object{"authority": "coexistence"} }, "AUTH-35", as},
		{"previewed yesterday", bms, "POST", "authority", func(*office) any { return object{"authority": "coexistence", "confirm": "yesterday"} }, "HST-070", as},
		{"set up again as another", intune, "POST", "tenant", func(*office) any { return object{"authority": "office365"} }, "AUTH-04", as},
		{"set up as what its release is not", func(t *testing.T) *office {
			return newBare(t, authority.Tenant{Release: 2611, Authority: protocol.Intune})
		}, "POST", "tenant", func(*office) any { return object{"authority": "sccm"} }, "AUTH-04", as},
		// Uploads.
		{"no certificate", intune, "POST", "apns", func(*office) any { return object{"certificate": []byte("x\nforged line")} }, "AUTH-34", as},
		{"not newer", intune, "POST", "apns", func(o *office) any { return o.push(present, 30) }, "AUTH-34", as},
		{"another topic", intune, "POST", "apns", func(o *office) any { return o.push(other, 500) }, "AUTH-32", as},
		{"another topic, not counted", intune, "POST", "apns", func(o *office) any { return o.push(other, 500, "confirm", true) }, "HST-071", as},
		{"another topic, wrongly counted", intune, "POST", "apns", func(o *office) any { return o.push(other, 500, "confirm", true, "count", 2) }, "HST-071", as},
		{"an upload without an authority", unset, "POST", "apns", func(o *office) any { return o.push(present, 500) }, "AUTH-01", as},
		{"a request without an authority", unset, "POST", "apns/csr", nil, "AUTH-01", as},
		// Consents.
		{"an upload that nobody consented to", bare, "POST", "apns", func(o *office) any { return o.push(present, 500) }, "AUTH-05", as},
		{"a consent that there is not", bare, "POST", "consents/bogus", nil, "AUTH-05", as},
		{"a request that nobody consented to", bare, "POST", "apns/csr", nil, "AUTH-05", as},
		{"serial numbers that nobody consented to", bare, "POST", "ade/serials", func(*office) any { return object{"serials": []any{object{"serial": "C01"}}} }, "AUTH-05", as},
		// Roles.
		{"a reader", intune, "POST", "authority", func(*office) any { return object{"authority": "sccm"} }, "AUTH-08", store.Reader},
		{"a reader changes licences", bms, "POST", "users/licences", func(o *office) any { return o.licence("ada@example.org", "intune") }, "AUTH-08", store.Reader},
		{"a reader changes settings", intune, "POST", "settings", func(*office) any { return object{"device_limit": 5} }, "AUTH-08", store.Reader},
		{"a reader uploads", intune, "POST", "apns", func(o *office) any { return o.push(present, 500) }, "AUTH-08", store.Reader},
		{"a reader deletes a profile", intune, "DELETE", "profiles?name=wifi&group=all", nil, "AUTH-08", store.Reader},
		{"a reader changes a profile", intune, "POST", "profiles", func(*office) any { return object{"name": "wifi", "groups": []string{"sales"}} }, "AUTH-08", store.Reader},
		{"a reader says nothing", intune, "POST", "authority", nil, "AUTH-08", store.Reader},
		{"helpdesk changes the tenant", intune, "POST", "consents/appleMDMPushCertificate", nil, "AUTH-08", store.Helpdesk},
		{"helpdesk confirms the clock", intune, "POST", "clock/confirm", nil, "AUTH-08", store.Helpdesk},
		{"a reader wipes", intune, "POST", "devices/DEVICE/wipe", nil, "AUTH-08", store.Reader},
		{"who administers Intune makes tokens", intune, "POST", "tokens", func(*office) any { return object{"name": "x"} }, "AUTH-08", store.IntuneAdministrator},
		// Licences.
		{"more than there are", after(bms, "POST", "/rollcall/v1/settings", object{"intune_units": 0}), "POST", "users/licences", func(o *office) any { return o.licence("ada@example.org", "intune") }, "AUTH-09", as},
		{"of a user that there is not", bms, "POST", "users/licences", func(o *office) any { return o.licence("nobody@example.org", "intune") }, "AUTH-09", as},
		{"more, with new users", after(intune, "POST", "/rollcall/v1/settings", object{"intune_units": 2}), "POST", "users", func(*office) any {
			return object{"users": []any{object{"upn": "c@example.org", "intune_licence": true}}}
		}, "AUTH-09", as},
		{"licences previewed yesterday", both, "POST", "users/licences", func(o *office) any {
			body := o.licence("ada@example.org", "intune")
			body["confirm"] = "yesterday"
			return body
		}, "HST-070", as},
		{"licences past their preview", both, "POST", "users", func(*office) any {
			return object{"users": []any{object{"upn": "ada@example.org", "intune_licence": true}}}
		}, "AUTH-23", as},
		{"a user with devices", intune, "DELETE", "users?upn=ada@example.org", nil, "AUTH-53", as},
		// Settings.
		{"units below none", intune, "POST", "settings", func(*office) any { return object{"intune_units": -7} }, "AUTH-09", as},
		{"further wake-ups in no order", intune, "POST", "settings", func(*office) any { return object{"attempts_seconds": []int{3, 2, 1}} }, "AUTH-20", as},
		{"a gap that is not Apple's", intune, "POST", "settings", func(*office) any { return object{"gap_platforms": []string{"windows"}} }, "AUTH-30", as},
		{"a device limit beyond", intune, "POST", "settings", func(*office) any { return object{"device_limit": 16} }, "AUTH-47", as},
		{"a clean-up too soon", intune, "POST", "settings", func(*office) any { return object{"clean_up_days": 29} }, "AUTH-48", as},
		{"a blast limit below", intune, "POST", "settings", func(*office) any { return object{"blast_limit": -2} }, "HST-071", as},
		{"a validity beyond", intune, "POST", "settings", func(*office) any { return object{"compliance_days": 121} }, "AUTH-49", as},
		{"settings of yesterday", intune, "POST", "settings", func(*office) any { return object{"device_limit": 5, "version": "yesterday"} }, "HST-070", as},
		// Profiles.
		{"Wi-Fi by BMS", old, "POST", "profiles", func(*office) any {
			return object{"name": "wifi", "document": apple.EncodeProfile(apple.NewProfile("org.wifi", "Wi-Fi", protocol.WiFi))}
		}, "AUTH-46", as},
		{"the enrolment's own identifier", intune, "POST", "profiles", func(*office) any {
			return object{"name": "x", "document": apple.EncodeProfile(apple.NewProfile(server.EnrolmentIdentifier, "Wi-Fi", protocol.WiFi))}
		}, "AUTH-26", as},
		{"a removal previewed yesterday", after(intune, "POST", "/rollcall/v1/profiles", object{"name": "wifi", "document": apple.EncodeProfile(apple.NewProfile("org.wifi", "Wi-Fi", protocol.WiFi))}), "DELETE", "profiles?name=wifi&confirm=yesterday", nil, "HST-070", as},
		// Devices.
		{"support for a device with a user", intune, "POST", "devices/DEVICE/support-move", nil, "AUTH-18", as},
		{"a lock under BMS", bms, "POST", "devices/DEVICE/lock", nil, "AUTH-46", as},
		{"a second lock", after(intune, "POST", "/rollcall/v1/devices/DEVICE/lock", object{}), "POST", "devices/DEVICE/lock", nil, "APL-064", as},
		{"a reader deletes", intune, "DELETE", "devices/DEVICE", nil, "AUTH-08", store.Reader},
		{"a device that erases itself is deleted", managed, "DELETE", "devices/d-FULLY_MANAGED", nil, "HST-071", as},
		{"two for one that erases itself", managed, "POST", "orders/delete", func(*office) any { return object{"devices": []string{"d-FULLY_MANAGED"}, "count": 2} }, "HST-071", as},
		{"too many deleted in an hour", after(after(managed, "POST", "/rollcall/v1/devices/DEVICE/wipe", object{}), "POST", "/rollcall/v1/settings", object{"blast_limit": 1}), "DELETE", "devices/d-FULLY_MANAGED?count=1", nil, "HST-071", as},
		{"too many in an hour", after(after(intune, "POST", "/rollcall/v1/devices/DEVICE/wipe", object{}), "POST", "/rollcall/v1/settings", object{"blast_limit": 1}), "POST", "devices/DEVICE/wipe", nil, "HST-071", as},
	}
	wanted := map[string]string{ // what the journal says that a role may not (AUTH-08): no key, no more than was asked
		"a reader":                   "POST /rollcall/v1/authority sccm",
		"a reader changes licences":  `POST /rollcall/v1/users/licences [{"upn":"ada@example.org","intune":true}]`,
		"a reader changes settings":  `POST /rollcall/v1/settings {"device_limit":5}`,
		"a reader uploads":           "POST /rollcall/v1/apns",
		"a reader deletes a profile": "DELETE /rollcall/v1/profiles?name=wifi&group=all",
		"a reader changes a profile": `POST /rollcall/v1/profiles "wifi" for ["sales"]`,
		"a reader says nothing":      "POST /rollcall/v1/authority",
	}
	seen := map[protocol.Rule]bool{}
	for _, tt := range rows {
		seen[tt.rule] = true
		t.Run(string(tt.rule)+" "+tt.name, func(t *testing.T) {
			o := tt.office(t)
			o.t = t
			token := "Bearer " + o.token
			actor := "token:admin"
			if tt.role != as {
				token, actor = o.as(tt.role), "token:"+tt.role.String()
			}
			var body any
			if tt.method == "POST" {
				body = object{}
			}
			if tt.body != nil {
				body = tt.body(o)
			}
			content, device := o.core.Content(), o.state()
			before := o.lines(store.LineFilter{})
			status, answer := o.ask(tt.method, "/rollcall/v1/"+strings.ReplaceAll(tt.path, "DEVICE", o.device), body, token)
			want := 409
			if tt.rule == "AUTH-08" {
				want = 403
			}
			if status != want || ruleOf(answer) != string(tt.rule) {
				t.Fatalf("answered %d %s, want %d by %s", status, answer, want, tt.rule)
			}
			if o.core.Content() != content {
				t.Error("it changed something of the tenant")
			}
			if now := o.state(); now.Seq != device.Seq || now.Registered != device.Registered || now.Wake != device.Wake || len(now.Queue) != len(device.Queue) {
				t.Errorf("it changed the device: %+v, was %+v", now, device)
			}
			lines := o.lines(store.LineFilter{After: uint64(len(before))})
			if len(lines) != 1 || lines[0].Rule != tt.rule || lines[0].Actor != actor || strings.Contains(lines[0].Detail, "\n") ||
				lines[0].What != delivery.WhatDenied && lines[0].What != delivery.WhatRefused {
				t.Errorf("journal %+v, want one line by %s of %s", lines, tt.rule, actor)
			}
			if want := wanted[tt.name]; len(lines) == 1 && want != "" && !strings.HasPrefix(lines[0].Detail, want+": this needs the role ") {
				t.Errorf("journal %q, want it to say %q", lines[0].Detail, want)
			}
		})
	}
	for _, rule := range []protocol.Rule{"AUTH-01", "AUTH-03", "AUTH-04", "AUTH-05", "AUTH-08", "AUTH-09", "AUTH-18", "AUTH-32", "AUTH-34", "AUTH-35", "HST-070", "HST-071"} {
		if !seen[rule] {
			t.Errorf("no row is refused by %s", rule)
		}
	}
}

// TestHST014Audited: a request for a change that nothing can be made of, or whose thing there is not, is a refusal like any
// other: it names its rule and the field, changes nothing, and stands in the journal once with who tried, at a length that a
// journal has room for. One that only asks leaves no line.
func TestHST014Audited(t *testing.T) {
	type object = map[string]any
	for _, tt := range []struct {
		name, method, path, field string
		status                    int
		body                      any
	}{
		{"an authority that nothing is called", "POST", "authority", "authority", 400, object{"authority": strings.Repeat("sales\n", 1000)}},
		{"no authority", "POST", "authority", "authority", 400, object{}},
		{"a licence that nothing is called", "POST", "users/licences", "licences[0].bogus", 400, object{"licences": []any{object{"upn": "ada@example.org", "bogus": true}}}},
		{"a user twice", "POST", "users/licences", "licences[1].upn", 400, object{"licences": []any{object{"upn": "ada@example.org"}, object{"upn": "ADA@example.org"}}}},
		{"no licences", "POST", "users/licences", "licences", 400, object{}},
		{"a user without a name", "POST", "users", "users[0].upn", 400, object{"users": []any{object{"name": "x"}}}},
		{"a gate that nothing is called", "POST", "settings", "licence_gate", 400, object{"licence_gate": "perhaps"}},
		{"a workload that nothing is called", "POST", "settings", "workloads[0].workload", 400, object{"workloads": []any{object{"workload": "foo", "decider": "bar"}}}},
		{"a device that there is not, to support", "POST", "devices/nobody/support-move", "", 404, object{}},
		{"a device that there is not, to retire", "POST", "devices/nobody/retire", "", 404, object{}},
		{"a device that there is not, to delete", "DELETE", "devices/nobody", "", 404, nil},
		{"a device that there is not, among others to delete", "POST", "orders/delete", "devices[0]", 400, object{"devices": []string{"nobody"}}},
		{"a number that is none", "DELETE", "devices/nobody?count=all", "count", 400, nil},
		{"a user that there is not", "DELETE", "users?upn=nobody@example.org", "", 404, nil},
		{"a profile that there is not", "DELETE", "profiles?name=nothing", "", 404, nil},
		{"a package that there is not", "DELETE", "packages?name=nobody", "", 404, nil},
		{"a package for nothing", "POST", "packages", "machines", 400, object{"name": "x", "lifetime_seconds": 60}},
		{"a package for ever", "POST", "packages", "lifetime_seconds", 400, object{"name": "x", "machines": 1}},
		{"a token that there is not", "DELETE", "tokens?name=nobody", "", 404, nil},
		{"a token that there is", "POST", "tokens", "", 409, object{"name": "admin", "role": "reader"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newBMS(t)
			content, before := o.core.Content(), len(o.lines(store.LineFilter{}))
			status, answer := o.ask(tt.method, "/rollcall/v1/"+tt.path, tt.body, "Bearer "+o.token)
			if status != tt.status || ruleOf(answer) != "HST-014" || tt.field != "" && !strings.Contains(string(answer), `"field":"`+tt.field+`"`) {
				t.Errorf("answered %d %s, want %d by HST-014 for %s", status, answer, tt.status, tt.field)
			}
			if o.core.Content() != content {
				t.Error("it changed something")
			}
			lines := o.lines(store.LineFilter{After: uint64(before)})
			if len(lines) != 1 || lines[0].Rule != "HST-014" || lines[0].Actor != "token:admin" || lines[0].What != delivery.WhatDenied ||
				!strings.HasPrefix(lines[0].Detail, tt.method+" /rollcall/v1/") || len(lines[0].Detail) > 1000 || strings.Contains(lines[0].Detail, "\n") {
				t.Errorf("journal %+v, want one line by HST-014", lines)
			}
		})
	}
	o := newBMS(t)
	before := len(o.lines(store.LineFilter{}))
	o.call("POST", "/rollcall/v1/authority/preview", object{"authority": "sales"}, 400)
	o.call("GET", "/rollcall/v1/devices/nobody", nil, 404)
	if n := len(o.lines(store.LineFilter{})); n != before {
		t.Errorf("who only asks leaves %d lines", n-before)
	}
}

// TestAUTH02None: none is a choice too, of a tenant whose authority is unknown: it changes nothing and stands in the journal.
func TestAUTH02None(t *testing.T) {
	o := newBare(t, authority.Tenant{Release: 1910})
	tenant, before := o.core.Content().Tenant, len(o.lines(store.LineFilter{}))
	if got := o.call("POST", "/rollcall/v1/authority", map[string]any{"authority": "none"}, 200); got["after"] != "unknown" || got["epoch"] != 0.0 {
		t.Errorf("answered %v", got)
	}
	if now := o.core.Content().Tenant; now != tenant {
		t.Errorf("the tenant is %+v, was %+v", now, tenant)
	}
	lines := o.lines(store.LineFilter{After: uint64(before)})
	if len(lines) != 1 || lines[0].Rule != protocol.RuleRelease || lines[0].Actor != "token:admin" || !strings.Contains(lines[0].Detail, "none") {
		t.Errorf("journal %+v", lines)
	}
}

// state is that of the office's device, where there is one.
func (o *office) state() delivery.State {
	d, err := o.core.Store().Device(context.Background(), o.device)
	if err != nil {
		return delivery.State{}
	}
	r, err := o.core.Store().Record(context.Background(), d)
	if err != nil {
		o.t.Fatal(err)
	}
	return r.State
}

func (o *office) previewID(authority string) string {
	o.t.Helper()
	return o.call("POST", "/rollcall/v1/authority/preview", map[string]any{"authority": authority}, 200)["id"].(string)
}
