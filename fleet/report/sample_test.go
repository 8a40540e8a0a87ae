package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"rollcall/protocol"
)

const day = 24 * time.Hour

// sample is a run as lab could tell it: 1,000 Apple devices in 14 days. Every number is drawn from one seed.
func sample(t testing.TB) (*Result, *Story) {
	r := &Result{
		Version: 1, Command: "lab", Verdict: OK,
		Devices: Devices{
			Total: 1003, Enrolled: 998, MustEnrol: 2, LeftOut: 3, LeftOutBy: map[string]int{"linux": 2, "unknown platform": 1},
			ByPlatform: map[protocol.Platform]PlatformSize{
				protocol.IOS: {450, true}, protocol.IPadOS: {250, true}, protocol.MacOS: {300, true},
			},
		},
		CheckIns:   CheckIns{Offered: 52430, Started: 52430, Done: 51897, Failed: 112, Refused: 421, PerSecond: 1271.4, P50: 3.1, P99: 11.25, P999: 27.9},
		Invariants: Invariants{Checked: 168204},
		Limits: []Limit{
			{Limit: "checkins.p99 < 50ms", Got: "11.25ms", OK: true},
			{Limit: "devices.enrolled >= 990", Got: "998", OK: true},
			{Limit: "invariants.violated == 0", Got: "0", OK: true},
			{Limit: "moved.p95 < 12h", Got: NotApplicable, OK: true},
		},
		Seed: 7, VirtualSeconds: (14 * day).Seconds(), WallSeconds: 41.2, CPUSeconds: 63.8, PeakRSSBytes: 218 << 20,
		Sections: map[string]any{"lab": map[string]any{"pushes": 41234, "renewed": 997}},
	}
	s := &Story{
		Title: "Fourteen days with 1,000 Apple devices",
		Start: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC),
		Until: 14 * day,
		Lead: []string{
			"A thousand iPhones, iPads and Macs enrolled over real mutual TLS, got their profiles, slept, were woken by push and renewed their certificates, while the server was down once and the push service had its bad days.",
		},
		Figures: []Figure{
			{"devices enrolled", 998, "2 must enrol again: their certificates ended while they were away", false},
			{"check-ins", 51897, "all over mutual TLS", false},
			{"pushes accepted", 41234, "3,912 replaced a waiting one", false},
			{"profiles on devices", 4981, "of 4,990 assigned", false},
			{"certificates renewed", 997, "", false},
			{"requests refused", 421, "each for a reason told below", true},
		},
		Plan: "name: fourteen days\nseed: 7\npopulation:\n  devices: 1000\n  mix: {ios: 45, ipados: 25, macos: 30}\n  offline: {share: 4%, lasts: lognormal(3d, 2.5)}\ntimeline:\n  - {at: 0s, enrol: {over: 10m}}\n  - {at: 9d, apns: {upload: renewed}}\nfaults:\n  - {at: 5d, for: 6h, server: down}\nuntil: 14d\nlimits: [\"checkins.p99 < 50ms\", \"devices.enrolled >= 990\", \"invariants.violated == 0\"]\n",
		Spans: []Span{
			{From: 5 * day, To: 5*day + 6*time.Hour, Name: "server down"},
			{From: 8*day + 12*time.Hour, To: 9 * day, Name: "push service answers 503"},
		},
		Acts: []Act{
			{At: 0, Title: "1,000 devices begin to enrol", Text: "Each makes its own key, asks for a certificate by SCEP and says TokenUpdate; all within ten minutes.", Rules: []string{"AUTH-11", "APL-041"}, Mark: true},
			{At: time.Hour, Title: "Five profiles are assigned to the group sales"},
			{At: 2 * day, Title: "Wi-Fi profile taken from 310 devices", Text: "It is removed at the next check-in; what came with it goes too.", Rules: []string{"AUTH-55"}, Mark: true},
			{At: 3*day + 9*time.Hour, Title: "Forty users sync by hand", Rules: []string{"AUTH-22"}},
			{At: 5 * day, Title: "The server goes down for six hours", Text: "Nothing that had been acknowledged was lost; devices come again with back-off.", Mark: true, Failed: true},
			{At: 6*day + 4*time.Hour, Title: "Macs are locked with a PIN", Text: "12 commands queued, 12 acknowledged."},
			{At: 8*day + 12*time.Hour, Title: "The push service answers 503", Rules: []string{"HST-081"}, Mark: true, Failed: true},
			{At: 9 * day, Title: "The push certificate is renewed, before its end", Text: "The same topic: no device is stranded.", Rules: []string{"AUTH-30", "AUTH-34"}, Mark: true},
			{At: 11 * day, Title: "Identity certificates enter their window", Text: "997 renewals within two days, spread so that no hour has more than 60.", Rules: []string{"AUTH-41"}, Mark: true},
			{At: 13*day + 2*time.Hour, Title: "Two devices come back too late", Text: "Their certificates ended while they were away; both must enrol again.", Rules: []string{"AUTH-42"}, Failed: true},
		},
		NotShown: []string{
			"How fast the server is: server, cloud and devices shared one machine.",
			"Apple's own push service: a simulated one stood in for it.",
			"What a real device does with a profile's content; profiles are installed by family and identifier.",
		},
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var enrolled, profiles, renewed, checkins, refusals, pushes []Point
	var failed, renewedSoFar float64
	for h := range 14 * 24 {
		at := time.Duration(h) * time.Hour
		down := at >= 5*day && at < 5*day+6*time.Hour
		n := 1000.0
		if h > 13*24 {
			n = 998
		}
		enrolled = append(enrolled, Point{at, n})
		profiles = append(profiles, Point{at, math.Floor(4990 * (1 - math.Exp(-float64(h)/9)))})
		if at >= 11*day && renewedSoFar < 997 {
			renewedSoFar = min(renewedSoFar+float64(10+rng.IntN(20)), 997)
		}
		renewed = append(renewed, Point{at, renewedSoFar})
		load := 95 + float64(70*math.Sin(float64(h%24-9)/24*2*math.Pi)) + float64(rng.IntN(25))
		if h == 0 {
			load = 1010
		}
		if down {
			failed = math.Floor(load / 4)
			load = 0
		} else if at < 5*day+9*time.Hour && at > 5*day {
			load *= 2.2
			failed = 0
		} else {
			failed = float64(rng.IntN(4))
		}
		checkins = append(checkins, Point{at, math.Floor(load)})
		refusals = append(refusals, Point{at, failed})
		p := math.Floor(load * 0.8)
		if at >= 8*day+12*time.Hour && at < 9*day {
			p /= 5
		}
		pushes = append(pushes, Point{at, math.Floor(p)})
	}
	s.Charts = []Chart{
		{
			Title: "Check-ins", Caption: "Each bar is one hour. Devices come in the morning, and all at once when the server is back.", Unit: "per hour", Kind: Bars,
			Series: []Series{{Name: "answered", Points: checkins}, {Name: "failed or refused", Points: refusals}},
		},
		{Title: "Devices enrolled", Caption: "With a record that nothing has ended.", Unit: "devices", Kind: Lines, Series: []Series{{Name: "enrolled", Points: enrolled}}},
		{
			Title: "Profiles and certificates", Caption: "Profiles that devices say they have, and identity certificates renewed so far.", Kind: Lines,
			Series: []Series{{Name: "profiles installed", Points: profiles}, {Name: "certificates renewed", Points: renewed}},
		},
		{Title: "Pushes accepted by the push service", Unit: "per hour", Kind: Bars, Series: []Series{{Name: "pushes", Points: pushes}}},
	}
	s.Tables = []Table{
		{
			Title: "Profile delivery", Caption: "From assignment to the device's acknowledgement.",
			Columns: []Column{{Name: "Family", Bar: false}, {Name: "Assigned", Bar: false}, {Name: "Installed", Bar: true}, {Name: "Failed", Bar: false}, {Name: "Half within", Bar: false}, {Name: "95 in 100 within", Bar: false}},
			Rows: [][]any{
				{protocol.Email, 1000, 998, 2, 4 * time.Minute, 9 * time.Hour},
				{protocol.WiFi, 1000, 996, 4, 4 * time.Minute, 9*time.Hour + 20*time.Minute},
				{protocol.VPN, 690, 690, 0, 5 * time.Minute, 8 * time.Hour},
				{protocol.Certificate, 1000, 999, 1, 3 * time.Minute, 8*time.Hour + 40*time.Minute},
				{protocol.Configuration, 1300, 1298, 2, 3 * time.Minute, 9 * time.Hour},
			},
		},
		{
			Title: "Faults and habits", Caption: "What the plan did on purpose, and how often it struck.",
			Columns: []Column{{Name: "What", Bar: false}, {Name: "Times", Bar: true}, {Name: "Share", Bar: false}},
			Rows: [][]any{
				{"NotNow", 4102, Share(0.0791)},
				{"answer dropped", 519, Share(0.01)},
				{"503 of the server", 112, Share(0.00216)},
				{"profile failed on the device", 9, Share(0.0018)},
				{"connection reset", 0, Share(0)},
			},
		},
		{
			Title: "Refusals", Caption: "By rule.",
			Columns: []Column{{Name: "Rule", Bar: false}, {Name: "Why", Bar: false}, {Name: "Times", Bar: true}},
			Rows: [][]any{
				{protocol.RuleNotRenewed, "the identity certificate has ended", 2},
				{protocol.Rule("HST-033"), "the message names another device than the certificate", 0},
				{protocol.RulePushGap, "waits for a renewed push certificate", 419},
			},
		},
		{
			Title: "Certificates", Caption: "Valid is at the end of the story.",
			Columns: []Column{{Name: "Kind", Bar: false}, {Name: "Issued", Bar: false}, {Name: "Renewed", Bar: false}, {Name: "Expired", Bar: false}, {Name: "Valid", Bar: false}, {Name: "Next to end", Bar: false}},
			Rows: [][]any{
				{"identity, P-256", 1000, 997, 2, 998, s.Start.Add(41 * day)},
				{"push", 2, 1, 0, 1, s.Start.Add(374 * day)},
				{"transport of SCEP, RSA 2048", 1, 0, 0, 1, s.Start.Add(3650 * day)},
			},
		},
	}
	h := hdrhistogram.New(1, 60_000_000, 3)
	for range 50_000 {
		if err := h.RecordValue(int64(1500 + float64(rng.ExpFloat64()*1800))); err != nil {
			t.Fatal(err)
		}
	}
	s.Latency = []Latency{
		LatencyOf("check-in", h),
		{"enrolment, four requests", 1000, 41 * time.Millisecond, 77 * time.Millisecond, 140 * time.Millisecond, 171 * time.Millisecond, 180 * time.Millisecond},
		{"push", 41234, 900 * time.Microsecond, 1700 * time.Microsecond, 4200 * time.Microsecond, 9 * time.Millisecond, 31 * time.Millisecond},
	}
	s.Devices = Table{
		Caption: "Those that failed, were refused or came late.",
		Columns: []Column{{Name: "Device", Bar: false}, {Name: "Platform", Bar: false}, {Name: "State", Bar: false}, {Name: "What happened", Bar: false}, {Name: "Last contact", Bar: false}, {Name: "Check-ins", Bar: true}},
		Total:   431,
	}
	for i := range 220 {
		s.Devices.Rows = append(s.Devices.Rows, []any{
			fmt.Sprintf("device-%04d", 13*i%1000+1), protocol.Platforms[i%3], []string{"enrolled", "pending", "must enrol again"}[min(i%9, 2)],
			[]string{"answered NotNow for two days", "refused while the push certificate had ended", "a dropped answer was repeated"}[i%3],
			s.Start.Add(13*day + time.Duration(i)*7*time.Minute), 40 + i%23,
		})
	}
	return r, s
}

// hostile is text that would like to be more than text (HST-066).
var hostile = []string{
	`<img src=x onerror=alert(1)>`,
	`</script><script>alert(1)</script>`,
	`</style><svg onload=alert(1)>`,
	`javascript:alert(1)`,
	`"><a href="https://evil.example">`,
	"exe.\u202egpj\u2066",
	"\x1b[31mred\x1b]0;title\a",
	"two\nlines\r\tand\u2028more",
	"\xff\xfe not UTF-8",
	`{{.Secret}} ' " & --> ]]>`,
	strings.Repeat("long ", 500),
}

// spoiled is sample with hostile text in every place that takes text.
func spoiled(t testing.TB, bad string) (*Result, *Story) {
	r, s := sample(t)
	spoil(r, s, bad)
	return r, s
}

// spoil puts bad wherever a result and a story take text.
func spoil(r *Result, s *Story, bad string) {
	r.Verdict, r.Command, r.Reasons = Failed, bad, []string{bad}
	r.Limits = append(r.Limits, Limit{Limit: bad, Got: bad, OK: false})
	r.Devices.LeftOutBy[bad] = 1
	r.EventLogSHA256 = bad
	r.Sections[bad] = bad
	s.Title, s.Lead, s.Plan, s.NotShown = bad, []string{bad}, bad, []string{bad}
	s.Figures = append(s.Figures, Figure{bad, bad, bad, true})
	s.Findings = append(s.Findings, Finding{Rule: protocol.Rule(bad), Title: bad, Count: 1, Consequence: bad, Action: bad})
	s.Spans = append(s.Spans, Span{day, 2 * day, bad, "", nil}, Span{day, 2 * day, bad, bad, nil})
	s.Acts = append(s.Acts, Act{13 * day, bad, bad, []string{bad}, true, true, true, []string{bad}})
	s.Charts = append(s.Charts, Chart{bad, bad, bad, Bars, []Series{{Name: bad, Points: []Point{{0, 3}}}}, nil, true, protocol.IOS})
	s.Charts = append(s.Charts, Chart{Title: bad, Panels: []Panel{{bad, []Series{{Name: bad, Points: []Point{{0, 3}}}}}}})
	s.Tables = append(s.Tables, Table{bad, bad, []Column{{Name: bad, Bar: true}, {Name: bad, Bar: false}}, [][]any{{bad, protocol.Rule(bad)}, {1, errText(bad)}}, 9, true, false, false, bad})
	s.Column, s.Beside = bad, s.Tables[len(s.Tables)-1]
	s.Latency = append(s.Latency, Latency{Name: bad})
	s.Devices.Title, s.Devices.Rows[0][0] = bad, bad
}

type errText string

func (e errText) Error() string { return string(e) }
