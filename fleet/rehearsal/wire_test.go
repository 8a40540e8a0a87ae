package rehearsal_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/agent/dialect"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/protocol"
)

// What devices say by rule is what they say over the wire: whatever the plan has happen to them, and however many workers
// play it. The story is the same, to the byte of its log. ROLLCALL_WIRE says how many devices.
func TestWire(t *testing.T) {
	plans := []string{"gap", "tenant", "wrong-topic", "userless", "brownout"}
	if testing.Short() {
		plans = plans[:1]
	}
	n := number(t, "ROLLCALL_WIRE", 10)
	if n > 10 {
		plans = plan.BuiltIns()
	}
	for _, name := range plans {
		t.Run(name, func(t *testing.T) {
			p := ready(t, name, n)
			rule := played(t, rehearsal.Config{Plan: p, Partition: 8})
			wire := played(t, rehearsal.Config{Plan: p, Partition: 8, Workers: 2, Wire: plan.Whole})
			sameStory(t, rule, wire)
			for _, step := range []dialect.Step{dialect.Identify, dialect.Authenticate, dialect.TokenUpdate, dialect.Idle, dialect.Report} {
				if wire.Wire.Messages[step] == 0 {
					t.Errorf("nobody said %s: %v", step, wire.Wire.Messages)
				}
			}
			if name == "gap" && (wire.Wire.Devices[protocol.Android-1] == 0 || wire.Wire.Messages[dialect.CheckIn] == 0 || wire.Wire.Parted > 0) {
				t.Errorf("Android's devices: %+v", wire.Wire)
			}
			result := wire.Result(wire.Answer(0))
			wire.Judge(result)
			for platform, size := range result.Devices.ByPlatform {
				if size.Wire != (wire.Wire.Devices[platform-1] > 0) {
					t.Errorf("%s proven: %v", platform, size.Wire)
				}
			}
			if result.Verdict != report.OK {
				t.Errorf("%s: %q", result.Verdict, result.Reasons)
			}
		})
	}
}

// Devices of a tenant's own speak too, with the certificates that the export shows: such as end in the story, and such as have ended
// before.
func TestWireExported(t *testing.T) {
	pop := exported(12, onIntune, func(i int, d *population.Device, u *population.User) {
		u.Licence |= population.IntuneLicence
		d.CertEnd = asOf.Add(time.Duration(i-3) * 3 * oneDay)
	})
	out := played(t, rehearsal.Config{Plan: quiet(t, 14), Population: pop, Wire: plan.Whole})
	noDifferences(t, out)
	if out.Wire.Messages[dialect.Idle] == 0 {
		t.Errorf("nobody checked in: %v", out.Wire.Messages)
	}
}

// A garbling is a fault of what goes over the wire.
type garbling struct {
	step   dialect.Step
	answer bool
	fault  func([]byte) []byte
	field  string // of the first difference that it makes; empty: none
}

// strikes plays p with the fault, and holds it against the story by rule.
func (g *garbling) strikes(t *testing.T, p *plan.Plan, rule *rehearsal.Played, platform protocol.Platform) *rehearsal.Played {
	t.Helper()
	c := rehearsal.Config{Plan: p, Wire: plan.Whole}
	struck := false
	c.Garble(func(s dialect.Step, answer bool, body []byte) []byte {
		if s != g.step || answer != g.answer {
			return body
		}
		changed := g.fault(bytes.Clone(body))
		struck = struck || !bytes.Equal(changed, body)
		return changed
	})
	out := played(t, c)
	if !struck {
		t.Fatal("the fault struck nothing")
	}
	if out.LogSHA256 != rule.LogSHA256 {
		t.Error("the story is another")
	}
	result := out.Result(out.Answer(0))
	out.Judge(result)
	if proven := result.Devices.ByPlatform[platform].Wire; proven != (g.field == "") {
		t.Errorf("proven: %v, %v", proven, out.Wire.Differences)
	}
	if g.field == "" {
		return out
	}
	if out.Wire.Differs == 0 {
		t.Fatal("nobody has noticed")
	}
	if first := &out.Wire.Differences[0]; first.Field != g.field || first.Device == "" || first.At == 0 || first.Message == "" {
		t.Errorf("%+v, want field %q", first, g.field)
	}
	if result.Verdict != report.Failed || len(result.Reasons) == 0 || !strings.HasPrefix(result.Reasons[0], "wire: ") {
		t.Errorf("%s: %q", result.Verdict, result.Reasons)
	}
	return out
}

// A fault of an encoder, a decoder or the gate is a named difference and a failed run, and changes nothing of the story.
func TestWireFaults(t *testing.T) {
	p := parsed(t, `
until: 2d
population: {devices: 2, mix: {ios: 100}, licences: {basic: 0, intune: 100}}
tenant: {authority: intune}
profiles: [{name: mail, family: email}]
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 2h, profiles: {assign: mail, group: all}}
  - {at: 1d, ask_users_to_sync: 100%}
`)
	rule := played(t, rehearsal.Config{Plan: p})
	swap := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(from), []byte(to)) }
	}
	for name, tt := range map[string]garbling{
		"the platform is lost":           {dialect.Authenticate, false, swap("iPhone", "iPad"), "platform"},
		"the topic is lost":              {dialect.TokenUpdate, false, swap("com.apple.mgmt", "com.apple.mail"), "topic"},
		"a message is cut":               {dialect.Idle, false, func(b []byte) []byte { return b[:len(b)/2] }, "gate"},
		"a status is another":            {dialect.Report, false, swap("<string>Acknowledged</string>", "<string>NotNow</string>"), "status"},
		"a report names another command": {dialect.Report, false, swap("<key>CommandUUID</key><string>", "<key>CommandUUID</key><string>0"), "command"},
		"an answer is lost":              {dialect.Idle, true, func([]byte) []byte { return nil }, "command"},
		"a command is another":           {dialect.Idle, true, swap("<string>DeviceInformation</string>", "<string>DeviceConfigured</string>"), "command"},
		"a profile is another": {dialect.Idle, true, func(b []byte) []byte {
			return regexp.MustCompile(`<data>[^<]*</data>`).ReplaceAll(b, []byte("<data>AAAA</data>"))
		}, "status"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.strikes(t, p, rule, protocol.IOS)
		})
	}
}

// What Android's devices say by rule is what they say over the wire, in one message where the rule takes many; a fault of a codec, of
// the gate or of the identity is a named difference, and changes nothing of the story.
func TestWireFaultsOfAndroid(t *testing.T) {
	p := parsed(t, `
until: 2d
population: {devices: 2, mix: {android: 100}, licences: {basic: 0, intune: 100}}
tenant: {authority: intune}
profiles: [{name: mail, family: email}]
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 2h, profiles: {assign: mail, group: all}}
  - {at: 1d, ask_users_to_sync: 100%}
`)
	rule := played(t, rehearsal.Config{Plan: p})
	swap := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return regexp.MustCompile(from).ReplaceAll(b, []byte(to)) }
	}
	for name, tt := range map[string]garbling{
		"nothing":                         {dialect.CheckIn, false, func(b []byte) []byte { return append(b, ' ') }, ""},
		"the server is another":           {dialect.Discover, true, func([]byte) []byte { return []byte("{}") }, "enrolment"},
		"the mode is lost":                {dialect.Enroll, false, swap(`"WORK_PROFILE_COMPANY"`, `"DEDICATED"`), "enrolment"},
		"the device is another":           {dialect.CheckIn, false, swap(`"device":"d-`, `"device":"d-0`), "gate"},
		"an epoch is lost":                {dialect.CheckIn, false, swap(`"epoch":[0-9]+`, `"epoch":7`), "epoch"},
		"a message is cut":                {dialect.CheckIn, false, func(b []byte) []byte { return b[:len(b)/2] }, "gate"},
		"a profile is said to be missing": {dialect.CheckIn, false, swap(`"status":"APPLIED"`, `"status":"PENDING"`), "commands left"},
		"an answer is lost":               {dialect.CheckIn, true, func([]byte) []byte { return nil }, "message"},
		"a policy is another's":           {dialect.CheckIn, true, swap(`"name":"policies/d-`, `"name":"policies/d-0`), "message"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.strikes(t, p, rule, protocol.Android)
		})
	}
}

// What Windows' devices say by rule is what they say over the wire, from discovery to the renewal of their identity; a fault of a codec, of
// the gate or of the identity is a named difference, and changes nothing of the story.
func TestWireFaultsOfWindows(t *testing.T) {
	p := parsed(t, `
until: 8d
population: {devices: 1, mix: {windows: 100}, licences: {basic: 0, intune: 100}}
tenant: {authority: intune, identity: {lifetime: 6d, window: 2d}}
profiles: [{name: mail, family: email}, {name: office, family: wifi}]
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 2h, profiles: {assign: mail, group: all}}
  - {at: 3h, profiles: {assign: office, group: all}}
  - {at: 1d, ask_users_to_sync: 100%}
  - {at: 2d, profiles: {unassign: mail, group: all}}
`)
	rule := played(t, rehearsal.Config{Plan: p})
	swap := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return regexp.MustCompile(from).ReplaceAll(b, []byte(to)) }
	}
	for name, tt := range map[string]garbling{
		"nothing":                       {dialect.Session, false, func(b []byte) []byte { return append(b, ' ') }, ""},
		"the server is another":         {dialect.Discovery, true, func([]byte) []byte { return []byte("<a/>") }, "enrolment"},
		"the policy is lost":            {dialect.Policy, true, func([]byte) []byte { return nil }, "enrolment"},
		"the kind of enrolment is lost": {dialect.Certify, false, swap(`>Full<`, `>Device<`), "enrolment"},
		"the document is cut":           {dialect.Certify, true, swap(`(<BinarySecurityToken[^>]*>)[^<]{40}`, `$1`), "enrolment"},
		"another device speaks":         {dialect.Session, false, swap(`<Source><LocURI>`, `<Source><LocURI>0`), "device"},
		"a message is cut":              {dialect.Session, false, func(b []byte) []byte { return b[:len(b)/2] }, "life"},
		"a setting is refused":          {dialect.Session, false, swap(`<Cmd>Add</Cmd><Data>200`, `<Cmd>Add</Cmd><Data>500`), "commands left"},
		"nobody is signed in":           {dialect.Session, false, swap(`<Data>user</Data>`, `<Data>none</Data>`), "profiles"},
		"an answer is lost":             {dialect.Session, true, func([]byte) []byte { return nil }, "commands left"},
		"a setting has another value":   {dialect.Session, true, swap(`imap.example.com`, `imap.example.org`), "profiles"},
		"another setting is deleted":    {dialect.Session, true, swap(`<Delete>(.*?)/EMAIL2/`, `<Delete>$1/ActiveSync/Accounts/`), "profiles"},
		"the order to renew is lost":    {dialect.Session, true, swap(`/Renew/RenewNow`, `/Renew/RenewThen`), "reports"},
		"the renewal names another":     {dialect.Certify, false, swap(`RequestType>http://docs.oasis-open.org/ws-sx/ws-trust/200512/Renew`, `RequestType>http://docs.oasis-open.org/ws-sx/ws-trust/200512/Issue`), "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			if out := tt.strikes(t, p, rule, protocol.Windows); tt.field == "" && (out.Wire.Messages[dialect.Certify] < 2 || out.Wire.Parted > 0) {
				t.Errorf("nobody renewed: %+v", out.Wire)
			}
		})
	}
}

// A share that no device is one of would prove nothing, and is refused.
func TestWireNobody(t *testing.T) {
	p := parsed(t, "until: 1d\ntenant: {consents: []}\npopulation: {devices: 20, mix: {android: 100}}\ntimeline: [{at: 0s, enrol: {over: 1h}}]\n")
	_, err := rehearsal.Play(t.Context(), rehearsal.Config{Plan: p, Population: population.New(p), Wire: plan.Whole})
	if err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Error(err)
	}
}

// A share that is less than one of few devices is one of them.
func TestWireOfFew(t *testing.T) {
	p := parsed(t, "until: 1d\npopulation: {devices: 3, mix: {ios: 100}}\ntimeline: [{at: 0s, enrol: {over: 1h}}]\n")
	played, err := rehearsal.Play(t.Context(), rehearsal.Config{Plan: p, Population: population.New(p), Wire: 1})
	if err != nil {
		t.Fatal(err)
	}
	if result := played.Result(played.Answer(0)); !result.Devices.ByPlatform[protocol.IOS].Wire {
		t.Error("nobody has spoken")
	}
}

// noDifferences fails t for each difference between what was sent and what is meant by rule.
func noDifferences(t *testing.T, wire *rehearsal.Played) {
	t.Helper()
	for _, d := range wire.Wire.Differences {
		t.Error(d.String())
	}
}

// sameStory fails t where a story over the wire is another than by rule.
func sameStory(t *testing.T, rule, wire *rehearsal.Played) {
	t.Helper()
	noDifferences(t, wire)
	if diff := cmp.Diff(rule, wire, cmpopts.IgnoreFields(rehearsal.Played{}, "Plan", "Population", "Wire"), cmp.AllowUnexported(rehearsal.Life{})); diff != "" {
		t.Errorf("by rule (-) and over the wire (+):\n%s", diff)
	}
}
