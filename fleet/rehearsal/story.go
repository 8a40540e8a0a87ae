package rehearsal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/agent/dialect"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// story tells the run for people.
func (r *Run) story(view *servers, result *report.Result, disagreements []disagreement) *report.Story {
	c := r.Fleet.Counts()
	lines := r.Log.Lines()
	s := &report.Story{
		Title: r.title(result), Start: r.Start.Time(), Until: r.Now.Sub(r.Start),
		Lead: r.lead(result, lines),
		Figures: []report.Figure{
			{Name: "enrolled", Value: result.Devices.Enrolled, Note: fmt.Sprintf("of %d with a wire", result.Devices.Total-result.Devices.LeftOut-result.Devices.NotModelled)},
			{Name: "check-ins", Value: c.Done, Note: fmt.Sprintf("%d failed, %d refused", c.Failed, c.Refused), Bad: c.Done == 0},
			{Name: "commands carried out", Value: c.Commands, Note: fmt.Sprintf("%d put off with NotNow", c.NotNow)},
			{Name: "identities renewed", Value: c.Renewals, Note: fmt.Sprintf("%d enrolments in all", c.Enrolments)},
			{Name: "invariants broken", Value: result.Invariants.Violated, Note: fmt.Sprintf("%d checks", result.Invariants.Checked), Bad: result.Invariants.Violated > 0},
		},
		Charts:   r.charts(),
		Spans:    r.spans(),
		Acts:     r.acts(),
		Tables:   r.tables(view, result, lines),
		Latency:  r.latencies(),
		Devices:  r.devicesOfInterest(view, disagreements),
		NotShown: r.notShown(),
	}
	return s
}

func (r *Run) title(result *report.Result) string {
	days := r.Now.Sub(r.Start).Hours() / 24
	wired := result.Devices.Total - result.Devices.LeftOut - result.Devices.NotModelled
	who := "devices"
	if r.Imported {
		who = "devices of a tenant's export"
	}
	if days >= 1 {
		return fmt.Sprintf("%.0f days with %d Apple %s", days, wired, who)
	}
	return fmt.Sprintf("%s with %d Apple %s", r.Now.Sub(r.Start).Round(time.Second), wired, who)
}

func (r *Run) lead(result *report.Result, lines []Line) []string {
	count := map[string]int{}
	for i := range lines {
		count[string(lines[i].Side)+lines[i].What]++
	}
	lead := []string{
		fmt.Sprintf("%d of %d devices are enrolled at the end; profiles were installed %d times and removed %d times.",
			result.Devices.Enrolled, result.Devices.Total-result.Devices.LeftOut-result.Devices.NotModelled,
			count[string(OfServer)+string(delivery.WhatProfileInstalled)], count[string(OfServer)+string(delivery.WhatProfileRemoved)]),
	}
	if n := result.Devices.NotModelled; n > 0 {
		lead = append(lead, fmt.Sprintf("%d devices of platforms whose protocol is not spoken yet were read and stayed out.", n))
	}
	return lead
}

func (r *Run) charts() []report.Chart {
	hours := r.Fleet.Hours()
	series := func(name string, of func(i int) float64) report.Series {
		s := report.Series{Name: name}
		for i := range hours {
			s.Points = append(s.Points, report.Point{At: time.Duration(i) * time.Hour, Value: of(i)})
		}
		return s
	}
	return []report.Chart{
		{
			Title: "Enrolled devices", Caption: "Devices whose enrolment stands, as they see it.", Unit: "devices", Kind: report.Lines,
			Series: []report.Series{series("enrolled", func(i int) float64 { return float64(hours[i].Enrolled) })},
		},
		{
			Title: "Check-ins", Caption: "Conversations of devices with the server, by how they ended.", Unit: "per hour", Kind: report.Bars,
			Series: []report.Series{
				series("done", func(i int) float64 {
					return float64(hours[i].CheckIns) - float64(hours[i].Refused) - float64(hours[i].Failed)
				}),
				series("refused", func(i int) float64 { return float64(hours[i].Refused) }),
				series("failed", func(i int) float64 { return float64(hours[i].Failed) }),
			},
		},
		{
			Title: "Pushes and enrolments", Caption: "Pushes that reached a device, and enrolments that were completed.", Unit: "per hour", Kind: report.Bars,
			Series: []report.Series{
				series("pushes", func(i int) float64 { return float64(hours[i].Wakes) }),
				series("enrolments", func(i int) float64 { return float64(hours[i].Enrolments) }),
			},
		},
	}
}

// spans are the plan's faults that have an end.
func (r *Run) spans() (spans []report.Span) {
	for _, f := range r.Plan.Faults {
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
			name = "connections reset"
		}
		spans = append(spans, report.Span{From: time.Duration(f.At), To: time.Duration(f.At + f.For), Name: name})
	}
	return spans
}

func (r *Run) acts() (acts []report.Act) {
	for _, a := range r.Fleet.Acts() {
		act := report.Act{At: a.At.Sub(r.Start), Title: a.Name, Mark: a.Rule != ""}
		if a.Rule != "" {
			act.Rules = []string{string(a.Rule)}
		}
		acts = append(acts, act)
	}
	return acts
}

func (r *Run) tables(view *servers, result *report.Result, lines []Line) []report.Table {
	tables := []report.Table{r.platforms(view, result), r.profiles(view), r.happened(lines), r.troubles()}
	if len(r.Push) > 0 {
		push := report.Table{Title: "Push service", Caption: "What the simulated push service counted.", Columns: []report.Column{{Name: "what"}, {Name: "count", Bar: true}}}
		for _, f := range r.Push {
			push.Rows = append(push.Rows, []any{f.Name, f.Value})
		}
		tables = append(tables, push)
	}
	if r.Imported {
		tables = append(tables, r.doubts())
	}
	return tables
}

func (r *Run) platforms(view *servers, result *report.Result) report.Table {
	t := report.Table{
		Title: "Platforms", Caption: "Enrolled as the server lists them at the end.",
		Columns: []report.Column{{Name: "platform"}, {Name: "devices", Bar: true}, {Name: "enrolled"}, {Name: "protocol spoken"}},
	}
	enrolled := map[protocol.Platform]int{}
	for _, d := range view.devices {
		if d.Life == "enrolled" {
			enrolled[d.Platform]++
		}
	}
	for _, p := range protocol.Platforms {
		if size, ok := result.Devices.ByPlatform[p]; ok {
			t.Rows = append(t.Rows, []any{p.String(), size.Total, enrolled[p], size.Wire})
		}
	}
	return t
}

// profiles counts where each profile stands at the end.
func (r *Run) profiles(view *servers) report.Table {
	t := report.Table{
		Title: "Profiles", Caption: "On how many devices each profile stands how, at the end.",
		Columns: []report.Column{{Name: "profile"}, {Name: "family"}, {Name: "installed", Bar: true}, {Name: "on its way"}, {Name: "failed"}},
	}
	type row struct{ installed, moving, failed int }
	rows := map[string]*row{}
	families := map[string]protocol.Family{}
	for _, d := range view.devices {
		if d.Life != "enrolled" {
			continue
		}
		for _, p := range d.Profiles {
			of := rows[p.Name]
			if of == nil {
				of = &row{}
				rows[p.Name] = of
				families[p.Name] = p.Family
			}
			switch {
			case p.State == "installed":
				of.installed++
			case strings.HasSuffix(p.State, "failed"):
				of.failed++
			default:
				of.moving++
			}
		}
	}
	names := make([]string, 0, len(rows))
	for name := range rows {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Rows = append(t.Rows, []any{name, families[name].String(), rows[name].installed, rows[name].moving, rows[name].failed})
	}
	return t
}

// happened counts what the log says, by who saw it.
func (r *Run) happened(lines []Line) report.Table {
	type key struct {
		side Side
		what string
		rule protocol.Rule
	}
	count := map[key]int{}
	for i := range lines {
		count[key{lines[i].Side, lines[i].What, lines[i].Rule}]++
	}
	t := report.Table{
		Title: "What happened", Caption: "Lines of the event log, by who saw it and by which rule.",
		Columns: []report.Column{{Name: "seen by"}, {Name: "what"}, {Name: "rule"}, {Name: "times", Bar: true}},
	}
	for _, k := range sortedByCount(count, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.side, b.side), cmp.Compare(a.what, b.what), cmp.Compare(a.rule, b.rule))
	}) {
		t.Rows = append(t.Rows, []any{string(k.side), k.what, string(k.rule), count[k]})
	}
	return t
}

func (r *Run) troubles() report.Table {
	c := r.Fleet.Counts()
	t := report.Table{
		Title: "Troubles and habits", Caption: "What the plan's faults and habits came to, and the server's answers other than 200.",
		Columns: []report.Column{{Name: "what"}, {Name: "count", Bar: true}},
		Rows: [][]any{
			{"check-ins started by a user's hand (AUTH-22)", c.ByHand},
			{"commands put off with NotNow", c.NotNow},
			{"answers lost on the way", c.Dropped},
			{"connections reset", c.Resets},
			{"pushes with a magic of the past", c.Stale},
			{"TLS sessions resumed", c.Resumed},
			{"full TLS handshakes", c.Handshakes},
		},
	}
	statuses := make([]int, 0, len(c.Status))
	for status := range c.Status {
		statuses = append(statuses, status)
	}
	slices.Sort(statuses)
	for _, status := range statuses {
		name := fmt.Sprintf("answers of HTTP %d", status)
		if status == 0 {
			name = "no answer at all"
		}
		t.Rows = append(t.Rows, []any{name, c.Status[status]})
	}
	return t
}

func (r *Run) doubts() report.Table {
	t := report.Table{
		Title: "Doubts of the export", Caption: "Records that can be read in two ways, and what the other reading would change.",
		Columns: []report.Column{{Name: "device"}, {Name: "read as"}, {Name: "the other reading"}}, Total: len(r.Population.Doubts),
	}
	for i, d := range r.Population.Doubts {
		if i == rows {
			break
		}
		t.Rows = append(t.Rows, []any{d.Name, d.Text, d.Other})
	}
	return t
}

// rows is the most rows of a list that a page shows.
const rows = 200

// devicesOfInterest are those on which server and device disagree, then those that must enrol again, whose enrolment
// ended, or on which a profile failed.
func (r *Run) devicesOfInterest(view *servers, disagreements []disagreement) report.Table {
	t := report.Table{
		Title: "Devices to look at", Caption: "Where something is not as it should be at the end.",
		Columns: []report.Column{{Name: "device"}, {Name: "platform"}, {Name: "user"}, {Name: "what"}},
	}
	add := func(device, platform, user, what string) {
		t.Total++
		if len(t.Rows) < rows {
			t.Rows = append(t.Rows, []any{device, platform, user, what})
		}
	}
	for _, d := range disagreements {
		of := view.devices[d.device]
		add(d.device, of.Platform.String(), of.User, d.what)
	}
	ids := make([]string, 0, len(view.devices))
	for id := range view.devices {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		d := view.devices[id]
		var what []string
		if end := d.Identity.NotAfter; d.Life == "enrolled" && end != 0 && end <= r.Now {
			what = append(what, "its identity has ended: it must enrol again (AUTH-42)")
		}
		if d.Life != "enrolled" {
			what = append(what, d.Life)
		}
		if !d.Reachable && d.Life == "enrolled" {
			what = append(what, "cannot be woken")
		}
		for _, p := range d.Profiles {
			if d.Life == "enrolled" && strings.HasSuffix(p.State, "failed") {
				what = append(what, p.Name+": "+p.State)
			}
		}
		if len(what) > 0 {
			add(id, d.Platform.String(), d.User, lists(what))
		}
	}
	return t
}

func (r *Run) latencies() (all []report.Latency) {
	for s := dialect.FetchProfile; int(s) < dialect.Steps; s++ {
		if h := r.Fleet.Latency(s); h != nil {
			all = append(all, report.LatencyOf(s.String(), h))
		}
	}
	return all
}

func (r *Run) notShown() []string {
	return []string{
		"No capacity: server, push service and devices share one machine and its processors, and latencies are those of loopback.",
		"No real Apple service was asked: the push service is simulated, as is the factory identity of devices in automated enrolment.",
		"Devices hold P-256 identities, obtained by SCEP under RSA keys that the devices share; real ones make an RSA key each.",
		"Every TLS handshake uses X25519 alone, which costs half of Go's own choice.",
		"Android and Windows devices are counted and stay out; the authority is set once and does not change.",
	}
}
