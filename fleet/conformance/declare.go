package conformance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/protocol/apple"
)

// A declaring has the declarations that an offer's device is to have.
type declaring struct {
	token string // DeclarationsToken
	items map[string]declaration
}

// A declaration is one of them, as the device fetches it.
type declaration struct {
	Type        string
	Identifier  string
	ServerToken string
	Payload     map[string]any
}

// The two kinds that are declared: a configuration that is there for tests alone, and what makes some of them hold.
const (
	testConfiguration = "com.apple.configuration.management.test"
	simpleActivation  = "com.apple.activation.simple"
)

// declare makes declarations in place of those that were there: configurations with their versions, and an activation of all.
func (o *offer) declare(token string, versions map[string]int) {
	d := &declaring{token, map[string]declaration{}}
	for id, n := range versions {
		d.items["configuration/"+id] = declaration{testConfiguration, id, fmt.Sprintf("%s-%d", id, n), map[string]any{"Echo": fmt.Sprintf("version %d", n)}}
	}
	all := slices.Sorted(maps.Keys(versions))
	d.items["activation/"+activation] = declaration{simpleActivation, activation, "of " + token, map[string]any{"StandardConfigurations": all}}
	o.judge.mu.Lock()
	defer o.judge.mu.Unlock()
	o.declares = d
}

const activation = "rollcall.conform.activation"

// tokens is the answer to the endpoint tokens, and what the command brings along.
func (d *declaring) tokens() []byte {
	return asText(map[string]any{"SyncTokens": map[string]string{"DeclarationsToken": d.token, "Timestamp": time.Now().UTC().Format(time.RFC3339)}})
}

func asText(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and maps of strings
	}
	return b
}

// asked answers a DeclarativeManagement message (apple.md section 8).
func (d *declaring) asked(endpoint string) *reply {
	said := func(v []byte) *reply { return &reply{status: http.StatusOK, kind: "application/json", body: string(v)} }
	switch {
	case d == nil:
		return &reply{status: http.StatusNotFound}
	case endpoint == "status":
		return &reply{status: http.StatusOK}
	case endpoint == "tokens":
		return said(d.tokens())
	case endpoint == "declaration-items":
		type item struct{ Identifier, ServerToken string }
		list := map[string][]item{"Activations": {}, "Assets": {}, "Configurations": {}, "Management": {}}
		for _, path := range slices.Sorted(maps.Keys(d.items)) {
			of := "Configurations"
			if strings.HasPrefix(path, "activation/") {
				of = "Activations"
			}
			list[of] = append(list[of], item{d.items[path].Identifier, d.items[path].ServerToken})
		}
		return said(asText(map[string]any{"Declarations": list, "DeclarationsToken": d.token}))
	}
	if path, below := strings.CutPrefix(endpoint, "declaration/"); below {
		if one, there := d.items[path]; there {
			return said(asText(one))
		}
	}
	return &reply{status: http.StatusNotFound}
}

// declared tells the device that there is something to declare, and returns what it then asked for and its report.
func (t *trial) declared(o *offer) (asked []string, report *message) {
	before := len(o.heard("DeclarativeManagement"))
	o.judge.mu.Lock()
	one := &order{id: o.uuid(0x100 + len(o.queue)), data: o.declares.tokens()}
	o.queue = append(o.queue, one)
	o.judge.mu.Unlock()
	t.wake(o)
	report = one.report(o)
	if report == nil {
		t.unasked("the device did not report DeclarativeManagement%s", t.because())
	}
	t.last = report.Exchange
	for _, m := range o.heard("DeclarativeManagement")[before:] {
		asked = append(asked, m.dict.text("Endpoint"))
		t.last = m.Exchange
	}
	return asked, report
}

// enable is the command DeclarativeManagement, which no type of this repository's has.
func enable(id string, data []byte) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n" +
		`<plist version="1.0"><dict><key>CommandUUID</key><string>` + id + `</string><key>Command</key><dict><key>RequestType</key><string>DeclarativeManagement</string><key>Data</key><data>` +
		base64.StdEncoding.EncodeToString(data) + `</data></dict></dict></plist>`
}

// text is the command as it goes out.
func (c *order) text() string {
	if c.data != nil {
		return enable(c.id, c.data)
	}
	return string(apple.EncodeCommand(nil, c.id, c.command))
}

func tryAPL072(t *trial) {
	const stays, changes, goes, comes = "rollcall.conform.stays", "rollcall.conform.changes", "rollcall.conform.goes", "rollcall.conform.comes"
	o := t.enrolled(nil)
	o.declare("one", map[string]int{stays: 1, changes: 1, goes: 1})
	asked, report := t.declared(o)
	switch report.kind {
	case "NotNow":
		t.unasked("the device answers NotNow to DeclarativeManagement")
	case "Acknowledged":
	default:
		t.skip("the device knows no declarations: it answers DeclarativeManagement by %s", report.kind)
	}
	wants := func(when string, asked []string, want ...string) {
		t.told(o, when)
		var fetched []string
		for _, e := range asked {
			if strings.HasPrefix(e, "declaration/") && !slices.Contains(fetched, e) {
				fetched = append(fetched, e)
			}
		}
		for i := range want {
			want[i] = "declaration/" + want[i]
		}
		if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(fetched)), want) {
			t.fail("%s the device fetches %q, want %q", when, fetched, want)
		}
	}
	wants("of a first set", asked, "activation/"+activation, "configuration/"+stays, "configuration/"+changes, "configuration/"+goes)

	asked, _ = t.declared(o)
	for _, e := range asked {
		if e == "declaration-items" || strings.HasPrefix(e, "declaration/") {
			t.fail("the token is the one that the device has, and it asks for %s", e)
		}
	}

	o.declare("two", map[string]int{stays: 1, changes: 2, comes: 1})
	asked, _ = t.declared(o)
	wants("of a set in which one stays, one changed, one came and one is gone", asked, "activation/"+activation, "configuration/"+changes, "configuration/"+comes)
	if m := o.status(goes); m != nil {
		t.failBy(m.Exchange, "the device reports a configuration that is gone as if it held it")
	}
}

// told wants a status report behind the latest set.
func (t *trial) told(o *offer, when string) {
	has := func() bool {
		all := o.heard("DeclarativeManagement")
		return len(all) > 0 && all[len(all)-1].dict.text("Endpoint") == "status"
	}
	if !has() {
		t.later(has)
	}
	if !has() {
		t.fail("%s the device reports no status after what it fetched", when)
	}
}

// status is the latest report if it has a configuration of this name that is not marked as removed; nil: it does not.
func (o *offer) status(identifier string) *message {
	m := o.last("DeclarativeManagement")
	data, _ := m.dict["Data"].([]byte)
	var report struct {
		StatusItems struct {
			Management struct {
				Declarations struct {
					Configurations []struct {
						Identifier string `json:"identifier"`
						Removed    bool   `json:"_removed"`
					} `json:"configurations"`
				} `json:"declarations"`
			} `json:"management"`
		}
	}
	if json.Unmarshal(data, &report) != nil {
		return nil // the device's own affair, as long as it is there
	}
	for _, c := range report.StatusItems.Management.Declarations.Configurations {
		if c.Identifier == identifier && !c.Removed {
			return m
		}
	}
	return nil
}
