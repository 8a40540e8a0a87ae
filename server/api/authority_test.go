package api

import (
	"context"
	"strings"
	"sync"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/store"
)

// newBMS is an office whose tenant is office365 of release 1910. Ada holds no licence yet; her device is registered there.
func newBMS(t *testing.T) *office {
	t.Helper()
	o := newOfficeOf(t, authority.Tenant{Authority: protocol.Office365, Release: 1910}, authority.User{BasicLicence: true})
	if err := o.core.SetUnits(context.Background(), o.now(), server.System, 9); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *office) licence(upn string, held ...string) map[string]any {
	l := map[string]any{"upn": upn}
	for _, h := range held {
		l[h] = true
	}
	return map[string]any{"licences": []any{l}}
}

func TestAUTH35Confirmed(t *testing.T) {
	o := newBMS(t)
	const path = "/rollcall/v1/authority"
	want := map[string]any{"authority": "coexistence"}
	content := o.core.Content()

	no := o.call("POST", path, want, 409)["error"].(map[string]any)
	p, _ := no["preview"].(map[string]any)
	if no["rule"] != "AUTH-35" || p == nil || p["confirm"] != true || p["after"] != "coexistence" || p["opens_gap"] != true {
		t.Fatalf("without a confirmation: %v, want AUTH-35 with the preview", no)
	}
	asked := o.call("POST", path+"/preview", want, 200)
	if asked["id"] != p["id"] {
		t.Errorf("the preview has id %v, the refusal %v", asked["id"], p["id"])
	}
	if o.core.Content() != content {
		t.Error("a preview changed something")
	}

	// HST-070: the world changes, and the confirmation of yesterday is none.
	o.call("POST", "/rollcall/v1/users/licences", o.licence("ada@example.org", "intune", "basic"), 200)
	want["confirm"] = p["id"]
	no = o.call("POST", path, want, 409)["error"].(map[string]any)
	fresh, _ := no["preview"].(map[string]any)
	if no["rule"] != "HST-070" || !strings.Contains(no["message"].(string), "devices pending: 1, was 0") || fresh == nil || fresh["would_move"] != float64(1) {
		t.Errorf("with an id of before: %v, want HST-070 and the difference", no)
	}
	if o.core.Content().Tenant.Coexistence {
		t.Fatal("a refused change was made")
	}
	want["confirm"] = fresh["id"]
	done := o.call("POST", path, want, 200)
	if done["after"] != "coexistence" || done["epoch"] != fresh["epoch"] || done["id"] != fresh["id"] {
		t.Errorf("done: %v, want what was previewed: %v", done, fresh)
	}
	if g := o.call("GET", path, nil, 200); g["name"] != "coexistence" || g["apns_gap"].(map[string]any)["open"] != true || g["pending"] != float64(1) {
		t.Errorf("afterwards: %v", g)
	}
	groups := fresh["groups"].([]any)
	if len(groups) != 1 {
		t.Fatalf("groups: %v", groups)
	}
	if g := groups[0].(map[string]any); g["fate"] != "moves" || g["rule"] != "AUTH-14" || g["from"] != "office365" || g["to"] != "intune" {
		t.Errorf("group: %v", g)
	}
	if v := o.call("GET", path+"/verify", nil, 200); v["pending"] != float64(1) || v["outstanding"].([]any)[0].(map[string]any)["device"] != o.device {
		t.Errorf("verify: %v", v)
	}
}

// Two administrators confirm the same preview at once: one of them makes the change, and the other is told that the world
// is another one now.
func TestHST070TwoAdministrators(t *testing.T) {
	o := newBMS(t)
	id := o.call("POST", "/rollcall/v1/authority/preview", map[string]any{"authority": "coexistence"}, 200)["id"]
	var answers [2]struct {
		status int
		body   []byte
	}
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			answers[i].status, answers[i].body = o.ask("POST", "/rollcall/v1/authority", map[string]any{"authority": "coexistence", "confirm": id}, "Bearer "+o.token)
		})
	}
	wg.Wait()
	first, second := answers[0], answers[1]
	if first.status != 200 {
		first, second = second, first
	}
	if first.status != 200 || second.status != 409 || ruleOf(second.body) != "HST-070" {
		t.Errorf("answered %d and %d %s, want 200 and HST-070", first.status, second.status, second.body)
	}
	if epoch := o.core.Content().Tenant.Epoch; epoch != 2 {
		t.Errorf("epoch %d, want 2: the change is made once", epoch)
	}
}

// TestHST070Settings: of two administrators who have seen the same settings, the second is told what the first has changed;
// without a version only what is given changes.
func TestHST070Settings(t *testing.T) {
	o := newOffice(t)
	const path = "/rollcall/v1/settings"
	seen := o.call("GET", path, nil, 200)["version"]
	first := o.call("POST", path, map[string]any{"device_limit": 5, "version": seen}, 200)
	if first["version"] == seen || first["device_limit"] != float64(5) {
		t.Fatalf("answered %v", first)
	}
	no := o.call("POST", path, map[string]any{"clean_up_days": 90, "device_limit": 3, "version": seen}, 409)["error"].(map[string]any)
	if no["rule"] != "HST-070" || !strings.Contains(no["message"].(string), "devices a user may have: 5, was 0") {
		t.Errorf("answered %v, want HST-070 and the difference", no)
	}
	if line := lastLine(o); line["rule"] != "HST-070" || line["what"] != "change denied" || line["actor"] != "token:admin" {
		t.Errorf("journal: %v", line)
	}
	if got := o.call("GET", path, nil, 200); got["version"] != first["version"] || got["clean_up_days"] != float64(0) {
		t.Errorf("a refused change was made: %v", got)
	}
	o.call("POST", path, map[string]any{"clean_up_days": 90, "version": first["version"]}, 200)
	if got := o.call("POST", path, map[string]any{"compliance_days": 20}, 200); got["clean_up_days"] != float64(90) || got["device_limit"] != float64(5) {
		t.Errorf("settings: %v", got)
	}
	if no := o.call("POST", path, map[string]any{"version": "yesterday"}, 409)["error"].(map[string]any); !strings.Contains(no["message"].(string), "nobody can say") {
		t.Errorf("answered %v", no)
	}
}

func lastLine(o *office) map[string]any {
	lines := o.call("GET", "/rollcall/v1/journal?limit=1000", nil, 200)["lines"].([]any)
	return lines[len(lines)-1].(map[string]any)
}

// TestAUTH09Users: who adds users with licences is held to the units that the tenant owns, too.
func TestAUTH09Users(t *testing.T) {
	o := newOffice(t) // two users hold an Intune licence
	o.call("POST", "/rollcall/v1/settings", map[string]any{"intune_units": 2}, 200)
	carol := map[string]any{"users": []any{map[string]any{"upn": "carol@example.org", "intune_licence": true}}}
	if no := o.call("POST", "/rollcall/v1/users", carol, 409)["error"].(map[string]any); no["rule"] != "AUTH-09" {
		t.Errorf("answered %v, want AUTH-09", no)
	}
	if line := lastLine(o); line["rule"] != "AUTH-09" || line["what"] != "change denied" || line["actor"] != "token:admin" {
		t.Errorf("journal: %v", line)
	}
	if _, there := o.core.UserByUPN("carol@example.org"); there {
		t.Error("a refused user was added")
	}
	o.call("POST", "/rollcall/v1/users", map[string]any{"users": []any{
		map[string]any{"upn": "bob@example.org", "intune_licence": false}, map[string]any{"upn": "carol@example.org", "intune_licence": true},
	}}, 200)
	o.call("POST", "/rollcall/v1/settings", map[string]any{"intune_units": 0}, 200)
	o.call("POST", "/rollcall/v1/users", map[string]any{"users": []any{map[string]any{"upn": "ada@example.org", "intune_licence": true, "name": "Ada"}}}, 200) // no more than before
}

// What cannot be read is refused by its field; that a preview is refused by the same rule as the change, too.
func TestMistakesOfChanges(t *testing.T) {
	o := newBMS(t)
	o.call("POST", "/rollcall/v1/settings", map[string]any{"intune_units": 0}, 200)
	if no := o.call("POST", "/rollcall/v1/users/licences/preview", o.licence("ada@example.org", "intune"), 409)["error"].(map[string]any); no["rule"] != "AUTH-09" {
		t.Errorf("more licences than units: %v", no)
	}
	if no := o.call("POST", "/rollcall/v1/authority/preview", map[string]any{"authority": "coexistence"}, 409)["error"].(map[string]any); no["rule"] != "AUTH-09" {
		t.Errorf("coexistence without a unit: %v", no)
	}
	for _, tt := range []struct {
		path  string
		body  any
		field string
	}{
		{"/rollcall/v1/authority", map[string]any{}, "authority"},
		{"/rollcall/v1/authority", map[string]any{"authority": "sales"}, "authority"},
		{"/rollcall/v1/users/licences", map[string]any{}, "licences"},
		{"/rollcall/v1/users/licences", map[string]any{"licences": []any{map[string]any{"upn": "ada@example.org"}, map[string]any{"upn": "ADA@example.org"}}}, "licences[1].upn"},
		{"/rollcall/v1/settings", map[string]any{"clean_up_days": -1}, "clean_up_days"},
		{"/rollcall/v1/settings", map[string]any{"attempts_seconds": []int{1}}, "attempts_seconds"},
	} {
		if no := o.call("POST", tt.path, tt.body, 400)["error"].(map[string]any); no["field"] != tt.field {
			t.Errorf("%s %v: %v, want field %s", tt.path, tt.body, no, tt.field)
		}
	}
}

func TestAUTH18SupportMove(t *testing.T) {
	o := newBMS(t)
	path := "/rollcall/v1/devices/" + o.device + "/support-move"
	if no := o.call("POST", path, map[string]any{}, 409)["error"].(map[string]any); no["rule"] != "AUTH-18" {
		t.Errorf("a device with a user: %v, want AUTH-18", no)
	}
	if lines := o.lines(store.LineFilter{Rule: "AUTH-18"}); len(lines) != 1 || lines[0].Actor != "token:admin" || lines[0].Device == 0 {
		t.Errorf("journal: %+v, want the refusal, once, with the device and who asked", lines)
	}
	o.call("POST", "/rollcall/v1/devices/nobody/support-move", map[string]any{}, 404)
}

func TestAUTH38Readiness(t *testing.T) {
	o := newBMS(t)
	if err := o.core.SetUnits(context.Background(), o.now(), o.admin(), 5); err != nil {
		t.Fatal(err)
	}
	o.call("POST", "/rollcall/v1/users/licences", o.licence("ada@example.org", "intune"), 200)
	list := o.call("GET", "/rollcall/v1/authority/readiness?authority=coexistence", nil, 200)["findings"].([]any)
	if len(list) != 1 {
		t.Fatalf("findings: %v", list)
	}
	if f := list[0].(map[string]any); f["user"] != "ada@example.org" || f["since"] != "" || len(f["families"].([]any)) != 5 {
		t.Errorf("before the change: %v", f)
	}
	o.call("GET", "/rollcall/v1/authority/readiness?authority=sales", nil, 400)
}

// TestHST070Assign: what comes and goes is put beside what a user holds, and says one thing of each licence.
func TestHST070Assign(t *testing.T) {
	type object = map[string]any
	o := newBMS(t)
	ask := func(l object, status int) map[string]any {
		l["upn"] = "ada@example.org"
		return o.call("POST", "/rollcall/v1/users/licences", object{"licences": []any{l}}, status)
	}
	ask(object{"assign": []string{"premium"}}, 200)
	ask(object{"assign": []string{"co-managed", "intune"}, "remove": []string{"basic"}}, 200)
	u, _ := o.core.UserByUPN("ada@example.org")
	if want := (authority.User{IntuneLicence: true, CoManaged: true, Premium: true}); u.User != want {
		t.Errorf("she holds %+v, want %+v", u.User, want)
	}
	for _, tt := range []struct {
		l     object
		field string
	}{
		{object{"assign": []string{"premium"}, "remove": []string{"premium"}}, "licences[0].remove"},
		{object{"assign": []string{"premium"}, "basic": true}, "licences[0]"},
		{object{"assign": []string{"bogus"}}, "licences[0].assign[0]"},
	} {
		if no := ask(tt.l, 400)["error"].(map[string]any); no["field"] != tt.field {
			t.Errorf("%v: %v, want the field %s", tt.l, no, tt.field)
		}
	}
	if is, _ := o.core.UserByUPN("ada@example.org"); is.User != u.User {
		t.Errorf("she holds %+v now", is.User)
	}
}

// TestAUTH35ProfileAnswers: a change of a profile answers what it does, not only that it was made.
func TestAUTH35ProfileAnswers(t *testing.T) {
	o := newOffice(t)
	document := apple.EncodeProfile(apple.NewProfile("org.wifi", "Wi-Fi", protocol.WiFi))
	made := o.call("POST", "/rollcall/v1/profiles", map[string]any{"name": "wifi", "document": document}, 200)
	for what, did := range map[string]any{"made": made["preview"], "removed": o.call("DELETE", "/rollcall/v1/profiles?name=wifi", nil, 200)} {
		if p, ok := did.(map[string]any); !ok || p["id"] == "" || p["enrolled"] != 1.0 {
			t.Errorf("%s: %v", what, did)
		}
	}
}
