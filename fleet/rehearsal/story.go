package rehearsal

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/delivery"
)

// A telling is a run, what both sides say at its end, and what its log counts.
type telling struct {
	*Run
	view          *servers
	result        *report.Result
	disagreements []disagreement
	lines         []Line
	seen          map[sight]int
}

// A sight is what one side saw happen.
type sight struct {
	side Side
	what string
}

func (r *Run) telling(view *servers, result *report.Result, disagreements []disagreement) *telling {
	t := &telling{Run: r, view: view, result: result, disagreements: disagreements, lines: r.Log.Lines(), seen: map[sight]int{}}
	for i := range t.lines {
		t.seen[sight{t.lines[i].Side, t.lines[i].What}]++
	}
	return t
}

func (t *telling) server(w delivery.What) int { return t.seen[sight{OfServer, string(w)}] }
func (t *telling) device(w fleet.What) int    { return t.seen[sight{OfDevice, string(w)}] }

// wired is how many devices spoke.
func (t *telling) wired() int {
	d := &t.result.Devices
	return d.Total - d.LeftOut - d.NotModelled
}

// story tells the run for people.
func (t *telling) story() *report.Story {
	c, d := t.Fleet.Counts(), &t.result.Devices
	charts, tables := t.charts(), t.tables()
	if t.changes() {
		charts = append(charts, t.moves())
		tables = append([]report.Table{t.left(), t.authorities()}, tables...)
	}
	return &report.Story{
		Title: t.title(), Start: t.Start.Time(), Until: t.Now.Sub(t.Start), Lead: t.lead(),
		Figures: append([]report.Figure{
			{Name: "devices enrolled at the end", Value: d.Enrolled, Note: fmt.Sprintf("of %s; %s in all", count(t.wired()), plural(int(c.Enrolments), "enrolment")), Bad: t.lost() > 0},
			{Name: "check-ins done", Value: c.Done, Note: fmt.Sprintf("%s failed and %s were refused, to be tried again", count(c.Failed), count(c.Refused)), Bad: c.Done == 0},
			{Name: "commands carried out", Value: c.Commands, Note: fmt.Sprintf("NotNow was answered %s", plural(int(c.NotNow), "time"))},
			{Name: "profiles installed", Value: t.server(delivery.WhatProfileInstalled), Note: fmt.Sprintf("%s removed, %s failed", count(t.server(delivery.WhatProfileRemoved)), count(t.server(delivery.WhatProfileFailed)))},
			{Name: "identities renewed", Value: c.Renewals, Note: fmt.Sprintf("%s ended first", count(t.device(fleet.Locked)))},
			{Name: "invariants broken", Value: t.result.Invariants.Violated, Note: fmt.Sprintf("in %s checks", count(t.result.Invariants.Checked)), Bad: t.result.Invariants.Violated > 0},
		}, t.troubles(&c)...),
		Charts: charts, Spans: t.spans(), Acts: t.acts(), Tables: tables, Latency: t.latencies(), Devices: t.devicesOfInterest(), NotShown: t.notShown(), Rules: rulesIn(lang.English), PlanName: t.Plan.Name,
	}
}

// troubles are what went wrong, request by request, on purpose or not; what did not happen at all is left out.
func (t *telling) troubles(c *fleet.Counts) (figures []report.Figure) {
	for _, f := range []struct {
		name string
		n    uint64
		note string
	}{
		{"tries to enrol broke off", c.BrokeOff, "the user tries again"},
		{"answers lost on the way", c.Dropped, "as the plan's faults have it, also those to enrolments"},
		{"requests cut off", c.Resets, "as the plan's faults have it"},
		{"requests answered 503", c.Busied, "as the plan's faults have it"},
	} {
		if f.n > 0 {
			figures = append(figures, report.Figure{Name: f.name, Value: f.n, Note: f.note})
		}
	}
	return figures
}

// lost is how many devices had an enrolment and have none at the end.
func (t *telling) lost() (n int) {
	for _, d := range t.view.devices {
		if d.Life == ended {
			n++
		}
	}
	return n
}

func (t *telling) title() string {
	names := map[protocol.Platform][2]string{
		protocol.IOS: {"iPhone", "iPhones"}, protocol.IPadOS: {"iPad", "iPads"}, protocol.MacOS: {"Mac", "Macs"},
		protocol.Android: {"Android device", "Android devices"}, protocol.Windows: {"PC", "PCs"},
	}
	var who []string
	for _, p := range protocol.Platforms {
		if size := t.result.Devices.ByPlatform[p]; size.Wire && size.Total == 1 {
			who = append(who, "1 "+names[p][0])
		} else if size.Wire && size.Total > 0 {
			who = append(who, count(size.Total)+" "+names[p][1])
		}
	}
	owner := ""
	if t.Imported {
		owner = " of a tenant's export"
	}
	return fmt.Sprintf("%s with %s%s", length(t.Now.Sub(t.Start)), enumerate(who), owner)
}

// length says a length of time roughly.
func length(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := int(d.Round(u.unit) / u.unit); n == 1 {
			return "1 " + u.name
		} else if d >= u.unit {
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return plural(int(d.Round(time.Second)/time.Second), "second")
}

func (t *telling) lead() (lead []string) {
	d := &t.result.Devices
	if t.Interrupted {
		lead = append(lead, fmt.Sprintf("Interrupted after %s of %s; this is what was known then.", length(t.Now.Sub(t.Start)), length(time.Duration(t.Plan.Until))))
	}
	if t.Unjudged != "" {
		lead = append(lead, t.Unjudged)
	}
	if t.Unjudged == "" && borrowed(t.Plan, t.Population) {
		lead = append(lead, sayBorrowed(lang.English, t.Plan))
	}
	wired := t.wired()
	switch {
	case wired == 0:
		lead = append(lead, "None of the devices is of a platform whose protocol is spoken yet.")
	case d.Enrolled == wired:
		lead = append(lead, "Every device is enrolled at the end.")
	default:
		lead = append(lead, fmt.Sprintf("Enrolled at the end: %s of %s.", count(d.Enrolled), plural(wired, "device")))
	}
	if s := t.standings(); s != "" {
		lead = append(lead, s)
	}
	if n := t.server(delivery.WhatEnded); n > 0 {
		lead = append(lead, fmt.Sprintf("On the way %s came to an end, by a wipe, by a user's hand or with an identity that ran out; "+
			"%s enrolled again.", plural(n, "enrolment"), count(n-t.lost())))
	}
	switch {
	case len(t.disagreements) > 0:
		lead = append(lead, fmt.Sprintf("Server and devices disagree on %s.", plural(len(t.disagreements), "point")))
	case wired > 0:
		lead = append(lead, "Server and devices agree, device by device, on who is enrolled and which profiles are where.")
	}
	if n := d.NotModelled; n > 0 {
		lead = append(lead, fmt.Sprintf("%s of platforms whose protocol is not spoken yet were read and stayed out.", plural(n, "device")))
	}
	return lead
}

func (t *telling) charts() []report.Chart {
	bins, width := t.Fleet.Bins()
	series := func(name string, of func(b *fleet.Bin) int) report.Series {
		s := report.Series{Name: name}
		for i := range bins {
			s.Points = append(s.Points, report.Point{At: time.Duration(i) * width, Value: float64(of(&bins[i]))})
		}
		return s
	}
	states := func(name string, of func(b *fleet.Bin) int) report.Series { // at the end of each bin
		s := series(name, of)
		for i := range s.Points {
			s.Points[i].At += width
		}
		s.Points = append([]report.Point{{}}, s.Points...)
		return s
	}
	return []report.Chart{
		{
			Title: "Enrolled, and off the network", Caption: "Devices that are enrolled, as they see it themselves; and those without a network, at night, for a spell, or because the plan says so.",
			Unit: "devices", Kind: report.Lines,
			Series: []report.Series{states("enrolled", func(b *fleet.Bin) int { return b.Enrolled }), states("off the network", func(b *fleet.Bin) int { return b.Away })},
		},
		{
			Title: "Check-ins", Caption: "Conversations of devices with the server, by how they ended.", Unit: per(width), Kind: report.Bars,
			Series: []report.Series{
				series("done", func(b *fleet.Bin) int { return int(b.Done) }),
				series("refused", func(b *fleet.Bin) int { return int(b.Refused) }),
				series("failed", func(b *fleet.Bin) int { return int(b.Failed) }),
			},
		},
		{
			Title: "Pushes and enrolments", Caption: "Pushes that reached a device, and enrolments that were completed.", Unit: per(width), Kind: report.Bars,
			Series: []report.Series{series("pushes", func(b *fleet.Bin) int { return int(b.Wakes) }), series("enrolments", func(b *fleet.Bin) int { return int(b.Enrolments) })},
		},
	}
}

// per says what the counts of bins of this width are: per hour, per 10 minutes.
func per(width time.Duration) string { return "per " + strings.TrimPrefix(length(width), "1 ") }

// spans are the plan's faults that have an end, and the gaps that it opened.
func (t *telling) spans() (spans []report.Span) {
	for _, f := range t.Plan.Faults {
		if f.For == 0 {
			continue
		}
		name := "answers lost"
		switch {
		case f.Server == plan.Down:
			name = "server down"
		case f.Server == plan.Busy:
			name = "server busy"
		case f.Reset:
			name = "requests cut off"
		}
		if end := t.Now.Sub(t.Start); time.Duration(f.At) < end { // else the run ended before
			spans = append(spans, report.Span{From: time.Duration(f.At), To: min(time.Duration(f.At+f.For), end), Name: name})
		}
	}
	for _, g := range t.Fleet.Gaps() {
		to := g.Closed
		if to == 0 {
			to = t.Now
		}
		spans = append(spans, report.Span{From: g.Opened.Sub(t.Start), To: to.Sub(t.Start), Name: "gap in Apple's push certificates"})
	}
	return spans
}

func (t *telling) latencies() (all []report.Latency) {
	for s := dialect.FetchProfile; int(s) < dialect.Steps; s++ {
		if h := t.Fleet.Latency(s); h != nil {
			all = append(all, report.LatencyOf(s.String(), h))
		}
	}
	return all
}

func (t *telling) notShown() []string {
	not := []string{
		"No capacity: server, push service and devices share one machine and its processors, and latencies are those of loopback.",
		"No real Apple service was asked: the push service is simulated, as are the factory identities of devices in automated enrolment.",
		"Devices hold P-256 identities, obtained by SCEP under RSA keys that the devices share; real ones make an RSA key each.",
		"Every TLS handshake uses X25519 alone, which costs half of Go's own choice.",
		"Android and Windows devices enrol by an enrolment link of their user's, whatever an export says of how they did, and hold P-256 keys too; of their commands the ledger keeps no account.",
	}
	if !t.changes() {
		not = append(not, "The tenant's authority is set once and does not change.")
	}
	if t.Squeezed {
		not = append(not, "The plan's moments were squeezed into the time there was; the lives of certificates, eight-hour schedules and the waits between tries are not, so what takes hours did not happen.")
	}
	if t.Imported {
		not = append(not, "Every device of the export got a fresh identity: when its own ends, and what was queued for it, is not played.")
	}
	return not
}

// count writes a number with its thousands apart.
func count[N int | uint64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}

// enumerate joins what a person reads as one list.
func enumerate(items []string) string {
	if n := len(items); n > 1 {
		return strings.Join(items[:n-1], ", ") + " and " + items[n-1]
	} else if n == 1 {
		return items[0]
	}
	return "no device"
}

// sortedKeys returns the keys of m that are counted most first.
func sortedKeys[K comparable](m map[K]int, less func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int {
		if m[a] != m[b] {
			return m[b] - m[a]
		}
		return less(a, b)
	})
	return keys
}
