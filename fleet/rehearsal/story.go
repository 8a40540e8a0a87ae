package rehearsal

import (
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

// A telling is a run, what both sides say at its end, and what its log counts; and the language to tell it in.
type telling struct {
	*Run
	lang.Language
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
	t := &telling{Run: r, Language: r.Language, view: view, result: result, disagreements: disagreements, lines: r.Log.Lines(), seen: map[sight]int{}}
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
		Language: t.Language, Title: t.title(), Start: t.Start.Time(), Until: t.Now.Sub(t.Start), Lead: t.lead(),
		Figures: append([]report.Figure{
			{Name: t.Say("devices enrolled at the end"), Value: d.Enrolled, Note: t.Say("of %d; %d {enrolment|enrolments} in all", t.wired(), c.Enrolments), Bad: t.lost() > 0},
			{Name: t.Say("check-ins done"), Value: c.Done, Note: t.Say("%d failed and %d were refused, to be tried again", c.Failed, c.Refused), Bad: c.Done == 0},
			{Name: t.Say("commands carried out"), Value: c.Commands, Note: t.Say("NotNow was answered %d {time|times}", c.NotNow)},
			{Name: t.Say("profiles installed"), Value: t.server(delivery.WhatProfileInstalled), Note: t.Say("%d removed, %d failed", t.server(delivery.WhatProfileRemoved), t.server(delivery.WhatProfileFailed))},
			{Name: t.Say("identities renewed"), Value: c.Renewals, Note: t.Say("%d ended first", t.device(fleet.Locked))},
			{Name: t.Say("invariants broken"), Value: t.result.Invariants.Violated, Note: t.Say("in %d checks", t.result.Invariants.Checked), Bad: t.result.Invariants.Violated > 0},
		}, t.troubles(&c)...),
		Charts: charts, Spans: t.spans(), Acts: t.acts(), Tables: tables, Latency: t.latencies(), Devices: t.devicesOfInterest(), NotShown: t.notShown(), Rules: rulesIn(t.Language), PlanName: t.Plan.Name,
	}
}

// troubles are what went wrong, request by request, on purpose or not; what did not happen at all is left out.
func (t *telling) troubles(c *fleet.Counts) (figures []report.Figure) {
	for _, f := range []struct {
		name string
		n    uint64
		note string
	}{
		{t.Say("tries to enrol broke off"), c.BrokeOff, t.Say("the user tries again")},
		{t.Say("answers lost on the way"), c.Dropped, t.Say("as the plan's faults have it, also those to enrolments")},
		{t.Say("requests cut off"), c.Resets, t.Say("as the plan's faults have it")},
		{t.Say("requests answered 503"), c.Busied, t.Say("as the plan's faults have it")},
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
	names := map[protocol.Platform]lang.Key{
		protocol.IOS: lang.Key("%d {iPhone|iPhones}"), protocol.IPadOS: lang.Key("%d {iPad|iPads}"), protocol.MacOS: lang.Key("%d {Mac|Macs}"),
		protocol.Android: lang.Key("%d {Android device|Android devices}"), protocol.Windows: lang.Key("%d {PC|PCs}"),
	}
	var who []string
	for _, p := range protocol.Platforms {
		if size := t.result.Devices.ByPlatform[p]; size.Wire && size.Total > 0 {
			who = append(who, t.Say(names[p], size.Total))
		}
	}
	took, whose := length(t.Language, t.Now.Sub(t.Start)), enumerate(t.Language, who)
	if t.Imported {
		return t.Say("%s with %s of a tenant's export", took, whose)
	}
	return t.Say("%s with %s", took, whose)
}

// length says a length of time roughly.
func length(l lang.Language, d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name lang.Key
	}{{24 * time.Hour, lang.Key("%d {day|days}")}, {time.Hour, lang.Key("%d {hour|hours}")}, {time.Minute, lang.Key("%d {minute|minutes}")}} {
		if n := int(d.Round(u.unit) / u.unit); n == 1 || d >= u.unit {
			return l.Say(u.name, n)
		}
	}
	return l.Say("%d {second|seconds}", int(d.Round(time.Second)/time.Second))
}

func (t *telling) lead() (lead []string) {
	d := &t.result.Devices
	if t.Interrupted {
		lead = append(lead, t.Say("Interrupted after %s of %s; this is what was known then.", length(t.Language, t.Now.Sub(t.Start)), length(t.Language, time.Duration(t.Plan.Until))))
	}
	for _, d := range doubts(t.Plan, t.Population) {
		lead = append(lead, t.Say("Doubt about the plan, %s.", d.In(t.Language)))
	}
	if t.Unjudged != "" {
		lead = append(lead, t.Unjudged)
	}
	if t.Unjudged == "" && borrowed(t.Plan, t.Population) {
		lead = append(lead, sayBorrowed(t.Language, t.Plan))
	}
	wired := t.wired()
	switch {
	case wired == 0:
		lead = append(lead, t.Say("None of the devices is of a platform whose protocol is spoken yet."))
	case d.Enrolled == wired:
		lead = append(lead, t.Say("Every device is enrolled at the end."))
	default:
		lead = append(lead, t.Say("Enrolled at the end: %d of %d {device|devices}.", d.Enrolled, wired))
	}
	if s := t.standings(); s != "" {
		lead = append(lead, s)
	}
	if n := t.server(delivery.WhatEnded); n > 0 {
		lead = append(lead, t.Say("On the way %d {enrolment|enrolments} came to an end, by a wipe, by a user's hand or with an identity that ran out; %d enrolled again.", n, n-t.lost()))
	}
	switch {
	case len(t.disagreements) > 0:
		lead = append(lead, t.Say("Server and devices disagree on %d {point|points}.", len(t.disagreements)))
	case wired > 0:
		lead = append(lead, t.Say("Server and devices agree, device by device, on who is enrolled and which profiles are where."))
	}
	if n := d.NotModelled; n > 0 {
		lead = append(lead, t.Say("%d {device|devices} of platforms whose protocol is not spoken yet were read and stayed out.", n))
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
			Title: t.Say("Enrolled, and off the network"), Caption: t.Say("Devices that are enrolled, as they see it themselves; and those without a network, at night, for a spell, or because the plan says so."),
			Unit: t.Say("devices"), Kind: report.Lines,
			Series: []report.Series{states(t.Say("enrolled"), func(b *fleet.Bin) int { return b.Enrolled }), states(t.Say("off the network"), func(b *fleet.Bin) int { return b.Away })},
		},
		{
			Title: t.Say("Check-ins"), Caption: t.Say("Conversations of devices with the server, by how they ended."), Unit: per(t.Language, width), Kind: report.Bars,
			Series: []report.Series{
				series(t.Say("done"), func(b *fleet.Bin) int { return int(b.Done) }),
				series(t.Say("refused"), func(b *fleet.Bin) int { return int(b.Refused) }),
				series(t.Say("failed"), func(b *fleet.Bin) int { return int(b.Failed) }),
			},
		},
		{
			Title: t.Say("Pushes and enrolments"), Caption: t.Say("Pushes that reached a device, and enrolments that were completed."), Unit: per(t.Language, width), Kind: report.Bars,
			Series: []report.Series{series(t.Say("pushes"), func(b *fleet.Bin) int { return int(b.Wakes) }), series(t.Say("enrolments"), func(b *fleet.Bin) int { return int(b.Enrolments) })},
		},
	}
}

// per says what the counts of bins of this width are: per hour, per 10 minutes.
func per(l lang.Language, width time.Duration) string {
	return l.Say("per %s", strings.TrimPrefix(length(l, width), "1 "))
}

// spans are the plan's faults that have an end, and the gaps that it opened.
func (t *telling) spans() (spans []report.Span) {
	for _, f := range t.Plan.Faults {
		if f.For == 0 {
			continue
		}
		name := t.Say("answers lost")
		switch {
		case f.Server == plan.Down:
			name = t.Say("server down")
		case f.Server == plan.Busy:
			name = t.Say("server busy")
		case f.Reset:
			name = t.Say("requests cut off")
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
		spans = append(spans, report.Span{From: g.Opened.Sub(t.Start), To: to.Sub(t.Start), Name: t.Say("gap in Apple's push certificates"), Platforms: apples})
	}
	return spans
}

func (t *telling) latencies() (all []report.Latency) {
	for s := dialect.FetchProfile; int(s) < dialect.Steps; s++ {
		if h := t.Fleet.Latency(s); h != nil {
			all = append(all, report.LatencyOf(t.known(s.String()), h))
		}
	}
	return all
}

func (t *telling) notShown() []string {
	not := []string{
		t.Say("No capacity: server, push service and devices share one machine and its processors, and latencies are those of loopback."),
		t.Say("No real Apple service was asked: the push service is simulated, as are the factory identities of devices in automated enrolment."),
		t.Say("Devices hold P-256 identities, obtained by SCEP under RSA keys that the devices share; real ones make an RSA key each."),
		t.Say("Every TLS handshake uses X25519 alone, which costs half of Go's own choice."),
		t.Say("Android devices enrol by an enrolment link of their user's, whatever an export says of how they did; a Windows device of a directory brings a token of it, which is simulated, as is whoever signs in. Without --rsa-keys all of them hold P-256 keys."),
	}
	if !t.changes() {
		not = append(not, t.Say("The tenant's authority is set once and does not change."))
	}
	if t.Squeezed {
		not = append(not, t.Say("The plan's moments were squeezed into the time there was; the lives of certificates, eight-hour schedules and the waits between tries are not, so what takes hours did not happen."))
	}
	if t.Imported {
		not = append(not, t.Say("Every device of the export enrolled here anew, and a server issues identities from that day on, for as long as the plan says: when the export's own end, and what was queued for a device, is not played; rollcall rehearse --export plays both (AUTH-40)."))
		if gapBefore(t.Plan, t.Population) != 0 {
			not = append(not, t.Say("The export shows the gap open since the change of authority. No Apple device could enrol here in it, so it is closed; rollcall rehearse --export plays it (AUTH-30)."))
		}
		if end := t.Population.Tenant.APNs.Expires; end != 0 && end <= t.Start {
			not = append(not, t.Say("The push certificate of the export had ended. No Apple device could enrol here without one, so it is good for a year more; rollcall rehearse --export plays its end (AUTH-33)."))
		}
	}
	return not
}

// enumerate joins what a person reads as one list.
func enumerate(l lang.Language, items []string) string {
	if n := len(items); n > 1 {
		return l.Say("%s and %s", strings.Join(items[:n-1], ", "), items[n-1])
	} else if n == 1 {
		return items[0]
	}
	return l.Say("no device")
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
