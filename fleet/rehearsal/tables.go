package rehearsal

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"rollcall/fleet"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// rows is the most rows of a list that a page shows.
const rows = 200

// What the server calls a device's life.
const (
	enrolled  = "enrolled"
	enrolling = "enrolling"
	ended     = "ended"
)

func (t *telling) tables() []report.Table {
	tables := []report.Table{t.enrolments(), t.profiles(), t.commands(), t.certificates(), t.habits(), t.faults(), t.refusals(), t.pushes(), t.connections()}
	if t.Imported {
		tables = append([]report.Table{t.registered()}, append(tables, t.comebacks(), t.doubts(), t.assumptions())...)
	}
	return tables
}

// counted is a table of things that were counted; what did not happen at all is left out.
func (t *telling) counted(title, caption string, list ...counting) report.Table {
	table := report.Table{Title: title, Caption: caption, Columns: []report.Column{{Name: t.Say("What")}, {Name: t.Say("Times"), Bar: true}, {Name: t.Say("Rule")}, {Name: t.Say("And then")}}}
	for _, c := range list {
		if c.n > 0 {
			table.Rows = append(table.Rows, []any{c.what, c.n, c.rule, c.then})
		}
	}
	return table
}

// A counting is one row of it.
type counting struct {
	what string
	n    uint64
	rule protocol.Rule // empty: none
	then string        // what comes of it
}

func (t *telling) enrolments() report.Table {
	c := t.Fleet.Counts()
	by := map[string]uint64{} // why enrolments ended, as the server says
	automated := uint64(0)
	for i := range t.lines {
		if l := &t.lines[i]; l.Side == OfServer && l.What == string(delivery.WhatEnded) {
			by[l.Detail]++
		}
	}
	for _, d := range t.view.devices {
		if d.Automated {
			automated++
		}
	}
	list := []counting{
		{t.Say("completed, repeated ones included"), c.Enrolments, "", t.Say("listed, registered and woken from the first TokenUpdate on")},
		{t.Say("devices in automated enrolment"), automated, "AUTH-19", t.Say("held in Setup Assistant until they were configured")},
		{t.Say("tries that broke off"), uint64(t.device(fleet.NotJoined)), "", t.Say("the user tries again within the hour")},
	}
	for _, why := range slices.Sorted(maps.Keys(by)) {
		end := counting{t.Say("ended: %s", t.known(why)), by[why], "", t.Say("the record stays")}
		switch why {
		case "erased", "retired":
			end.rule = protocol.RuleRetire
		case "the device left":
			end.what, end.rule = t.Say("ended: the user removed it"), "AUTH-44"
		case "the device enrols again":
			end.what, end.rule, end.then = t.Say("ended: by a new enrolment in its place"), "AUTH-44", t.Say("the identity before had ended, or its CheckOut was lost")
		}
		list = append(list, end)
	}
	return t.counted(t.Say("Enrolments"), t.Say("How enrolments came about and how they ended."), list...)
}

// profiles counts where each profile stands at the end.
func (t *telling) profiles() report.Table {
	table := report.Table{
		Title: t.Say("Profiles"), Caption: t.Say("On how many devices each profile stands how at the end, as the server lists them. On its way: the device has not answered yet."),
		Columns: []report.Column{{Name: t.Say("Profile")}, {Name: t.Say("Family")}, {Name: t.Say("Installed"), Bar: true}, {Name: t.Say("On its way")}, {Name: t.Say("Failed for good")}},
	}
	type row struct {
		family                    protocol.Family
		installed, moving, failed int
	}
	byName := map[string]*row{}
	for _, d := range t.view.devices {
		if d.Life != enrolled {
			continue
		}
		for _, p := range d.Profiles {
			of := byName[p.Name]
			if of == nil {
				of = &row{family: p.Family}
				byName[p.Name] = of
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
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		of := byName[name]
		table.Rows = append(table.Rows, []any{name, of.family, of.installed, of.moving, of.failed})
	}
	return table
}

// commands counts by kind what the server sent and the devices answered.
func (t *telling) commands() report.Table {
	type row struct{ queued, done, failed, put int }
	kinds := map[string]*row{}
	waiting := 0
	for i := range t.lines {
		l := &t.lines[i]
		if l.Side != OfServer {
			continue
		}
		kind, rest, _ := strings.Cut(l.Detail, ":")
		kind, _, _ = strings.Cut(kind, " ")
		of := kinds[kind]
		if of == nil {
			of = &row{}
		}
		switch delivery.What(l.What) {
		case delivery.WhatQueued:
			of.queued++
		case delivery.WhatDeferred:
			of.put++
		case delivery.WhatReported:
			if strings.HasPrefix(rest, " "+protocol.Acknowledged.String()) {
				of.done++
			} else {
				of.failed++
			}
		default:
			continue
		}
		kinds[kind] = of
	}
	for _, d := range t.view.devices {
		waiting += d.Queue
	}
	table := report.Table{
		Title: t.Say("Commands"), Caption: t.Say("What the server queued, by kind, and what the devices answered. %s still waiting at the end; the rest of the difference went with an enrolment that ended.", t.areOf(waiting)),
		Columns: []report.Column{{Name: t.Say("Command")}, {Name: t.Say("Queued"), Bar: true}, {Name: t.Say("Done")}, {Name: t.Say("Error")}, {Name: "NotNow"}},
	}
	queued := map[string]int{}
	for kind, of := range kinds {
		queued[kind] = of.queued
	}
	for _, kind := range sortedKeys(queued, strings.Compare) {
		of := kinds[kind]
		table.Rows = append(table.Rows, []any{kind, of.queued, of.done, of.failed, of.put})
	}
	return table
}

func (t *telling) areOf(n int) string {
	switch n {
	case 0:
		return t.Say("None is")
	case 1:
		return t.Say("One is")
	}
	return t.Say("%d are", n)
}

func (t *telling) certificates() report.Table {
	table := report.Table{
		Title: t.Say("Certificates"), Caption: t.Say("The devices' identities and the push certificate."),
		Columns: []report.Column{{Name: t.Say("What")}, {Name: t.Say("Number or moment")}, {Name: t.Say("Rule")}},
	}
	add := func(what string, value any, rule protocol.Rule) {
		table.Rows = append(table.Rows, []any{what, value, rule})
	}
	add(t.Say("renewals that the server asked for"), t.server(delivery.WhatRenewalAsked), protocol.RuleRenewal)
	add(t.Say("renewals done, as the server saw it"), t.server(delivery.WhatRenewed), protocol.RuleRenewal)
	add(t.Say("renewals done, as the devices saw it"), int(t.Fleet.Counts().Renewals), protocol.RuleRenewal)
	add(t.Say("identities that ended before a renewal"), t.device(fleet.Locked), protocol.RuleNotRenewed)
	add(t.Say("identities revoked"), t.server(delivery.WhatRevoked), protocol.RuleRetire)
	var first, last protocol.Time
	for _, d := range t.view.devices {
		if end := d.Identity.NotAfter; d.Life == enrolled && end != 0 {
			first, last = first.Sooner(end), max(last, end)
		}
	}
	if first != 0 {
		add(t.Say("first end of an identity in force"), first.Time(), "")
		add(t.Say("last end of an identity in force"), last.Time(), "")
	}
	if end := t.view.push.NotAfter; end != 0 {
		add(t.Say("end of the push certificate in force"), end.Time(), protocol.RulePushExpired)
	}
	return table
}

func (t *telling) habits() report.Table {
	c := t.Fleet.Counts()
	return t.counted(t.Say("Habits"), t.Say("What devices and their users did of their own accord, as the plan's habits have it."),
		counting{t.Say("nights that a device was switched off"), c.Nights, "", t.Say("pushes wait, the last one of each device")},
		counting{t.Say("spells without a network"), c.Spells, "", t.Say("pushes wait, the last one of each device")},
		counting{t.Say("absences that the timeline brought"), c.Absences, "", t.Say("commands wait too; an identity may end meanwhile")},
		counting{t.Say("check-ins started by a user's hand"), c.ByHand, protocol.RuleUserSync, t.Say("as if a push had come")},
		counting{t.Say("answers of NotNow"), c.NotNow, "", t.Say("the command is offered again, at the latest with the next push")},
		counting{t.Say("profiles that did not install"), uint64(t.server(delivery.WhatProfileFailed)), "", t.Say("tried three times in all")},
		counting{t.Say("pushes that a device ignored for their magic"), c.Stale, "", t.Say("they were meant for an enrolment before")},
	)
}

func (t *telling) faults() report.Table {
	c := t.Fleet.Counts()
	return t.counted(t.Say("Faults"), t.Say("What went wrong on purpose, request by request, and what came of it."),
		counting{t.Say("answers lost on the way"), c.Dropped, "", t.Say("the device says it again; the server knows it and counts it once")},
		counting{t.Say("requests cut off in the middle"), c.Resets, "", t.Say("the server saw half a message and did nothing")},
		counting{t.Say("requests that found no server"), c.Unreached, "", t.Say("tried again after 1 min, doubling to 1 h")},
		counting{t.Say("requests answered 503 by a busy server"), c.Busied, "", t.Say("tried again, not before Retry-After")},
		counting{t.Say("reports that the server knew already"), uint64(t.server(delivery.WhatUnknownReport)), "HST-052", t.Say("answered with the next command, and not counted again")},
	)
}

func (t *telling) connections() report.Table {
	c := t.Fleet.Counts()
	return t.counted(t.Say("Connections"), t.Say("How devices connected; enrolments by SCEP share connections and are not in it."),
		counting{t.Say("TLS handshakes in full"), c.Handshakes, "", t.Say("two signatures and a key exchange")},
		counting{t.Say("TLS sessions resumed"), c.Resumed, "", t.Say("the server checks the identity again all the same")},
	)
}

// instant finds the moments in the server's reasons.
var instant = regexp.MustCompile(` on \d{4}-\d\d-\d\dT\S+`)

// refusals counts the server's noes, by rule where one decided and by status where the protocol has nothing else.
func (t *telling) refusals() report.Table {
	table := report.Table{
		Title: t.Say("Refusals"), Caption: t.Say("What the server refused: by rule and reason as its journal has it, and by status as the devices got it. One refusal can be in both."),
		Columns: []report.Column{{Name: t.Say("Seen by")}, {Name: t.Say("Rule or status")}, {Name: t.Say("Reason")}, {Name: t.Say("Times"), Bar: true}},
	}
	type no struct{ rule, reason string }
	byRule := map[no]int{}
	for i := range t.lines {
		l := &t.lines[i]
		switch delivery.What(l.What) {
		case delivery.WhatRefused, delivery.WhatWrongIdentity, delivery.WhatOldIdentity, delivery.WhatDuplicate:
			if l.Side == OfServer {
				byRule[no{string(l.Rule), instant.ReplaceAllString(l.Detail, "")}]++
			}
		}
	}
	for _, k := range sortedKeys(byRule, func(a, b no) int { return cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(a.reason, b.reason)) }) {
		table.Rows = append(table.Rows, []any{t.Say("server"), k.rule, t.known(k.reason), byRule[k]})
	}
	c := t.Fleet.Counts()
	for _, status := range slices.Sorted(maps.Keys(c.Status)) {
		reason := http.StatusText(status)
		if gaps := t.Fleet.Gaps(); status == http.StatusServiceUnavailable && len(gaps) > 0 {
			reason += ": " + t.Say("in the gap, until a renewed push certificate is there (AUTH-30)")
			if c.Busied > 0 {
				reason += "; " + t.Say("%d of them by a busy server, on purpose", c.Busied)
			}
		}
		table.Rows = append(table.Rows, []any{t.Say("device"), fmt.Sprintf("HTTP %d", status), reason, c.Status[status]})
	}
	if c.Barred > 0 {
		table.Rows = append(table.Rows, []any{t.Say("device"), t.Say("TLS alert"), t.Say("the handshake with an identity that had ended or was revoked"), c.Barred})
	}
	return table
}

func (t *telling) pushes() report.Table {
	table := report.Table{Title: t.Say("Push service"), Caption: t.Say("What became of the server's notifications. Each that was accepted was delivered, at once or later, or replaced by a later one, or expired, or waits still."), Columns: []report.Column{{Name: t.Say("What")}, {Name: t.Say("Count"), Bar: true}}}
	for _, f := range t.Push {
		table.Rows = append(table.Rows, []any{f.Name, f.Value})
	}
	return table
}

// registered holds what the export says against what the devices registered with, at first and at the end.
func (t *telling) registered() report.Table {
	table := report.Table{
		Title: t.Say("Registered authority"), Caption: t.Say("Who manages the devices: as the export says, as they registered before the story, and as the server lists them at the end."),
		Columns: []report.Column{{Name: t.Say("Authority")}, {Name: t.Say("Export"), Bar: true}, {Name: t.Say("At first")}, {Name: t.Say("At the end")}},
	}
	var counts [3]map[string]int
	for i := range counts {
		counts[i] = map[string]int{}
	}
	first := map[string]string{}
	for i := range t.lines {
		if l := &t.lines[i]; l.Side == OfServer && l.What == string(delivery.WhatRegistered) && first[l.Device] == "" {
			first[l.Device] = l.Detail
		}
	}
	for i := range t.Population.Devices {
		d := &t.Population.Devices[i]
		if !t.Fleet.Plays(d.Platform) {
			continue
		}
		counts[0][d.Registered.String()]++
		counts[1][cmp.Or(first[d.UDID], protocol.Unknown.String())]++
		counts[2][t.view.devices[t.Fleet.Name(i)].Registered.String()]++
	}
	for _, a := range []protocol.Authority{protocol.Intune, protocol.Office365, protocol.Unknown} {
		name := a.String()
		row := []any{name, counts[0][name], counts[1][name], counts[2][name]}
		if a == protocol.Unknown {
			row[0] = t.Say("none yet")
		}
		if counts[0][name]+counts[1][name]+counts[2][name] > 0 {
			table.Rows = append(table.Rows, row)
		}
	}
	return table
}

// comebacks are what an older export says of devices that had been silent.
func (t *telling) comebacks() report.Table {
	r := &t.Population.Returns
	table := report.Table{
		Title: t.Say("Silent devices"), Caption: t.Say("Of the devices that were silent in the older export, how many had been in contact again %s later. In the story they come back at that rate.", length(t.Language, r.Between)),
		Columns: []report.Column{{Name: t.Say("Silent for"), Whole: true}, {Name: t.Say("Devices"), Bar: true}, {Name: t.Say("Back")}, {Name: t.Say("Share")}},
	}
	for i := range r.Bands {
		if b := &r.Bands[i]; b.Silent > 0 {
			table.Rows = append(table.Rows, []any{b.Length().In(t.Language), b.Silent, b.Back, report.Share(float64(b.Back) / float64(b.Silent))})
		}
	}
	return table
}

func (t *telling) doubts() report.Table {
	table := report.Table{
		Title: t.Say("Doubts"), Caption: t.Say("Records of the export that can be read in two ways, and what the other reading would change."),
		Columns: []report.Column{{Name: t.Say("Device")}, {Name: t.Say("Read as")}, {Name: t.Say("The other reading")}}, Total: len(t.Population.Doubts),
	}
	for _, d := range t.Population.Doubts[:min(rows, len(t.Population.Doubts))] {
		table.Rows = append(table.Rows, []any{d.Name, d.Text.In(t.Language), d.Other.In(t.Language)})
	}
	return table
}

func (t *telling) assumptions() report.Table {
	table := report.Table{
		Title: t.Say("Assumptions"), Caption: t.Say("What the export cannot say, and what was taken instead."),
		Columns: []report.Column{{Name: t.Say("About")}, {Name: t.Say("Taken as")}, {Name: t.Say("Devices"), Bar: true}},
	}
	for _, a := range t.Population.Assumed {
		table.Rows = append(table.Rows, []any{t.Say(a.What), a.Assumed.In(t.Language), a.Devices})
	}
	return table
}

// devicesOfInterest are those on which server and device disagree, then those that must enrol again, whose enrolment
// ended, or on which a profile failed.
func (t *telling) devicesOfInterest() report.Table {
	table := report.Table{
		Title: t.Say("Devices to look at"), Caption: t.Say("Where something is not as it should be at the end."),
		Columns: []report.Column{{Name: t.Say("Device"), Whole: true}, {Name: t.Say("Platform")}, {Name: t.Say("User"), Whole: true}, {Name: t.Say("What")}},
	}
	add := func(device string, platform protocol.Platform, user, what string) {
		table.Total++
		if len(table.Rows) < rows {
			table.Rows = append(table.Rows, []any{device, platform, user, what})
		}
	}
	for _, d := range t.disagreements {
		of := t.view.devices[d.device]
		add(d.device, of.Platform, of.User, t.Retell(d.what))
	}
	for i := range t.Population.Devices {
		p := &t.Population.Devices[i]
		if !t.Fleet.Plays(p.Platform) {
			continue
		}
		if what := t.wrong(i); len(what) > 0 {
			user := ""
			if !p.Userless() {
				user = t.Population.Users[p.User].UPN
			}
			add(p.UDID, p.Platform, user, strings.Join(what, ", "))
		}
	}
	return table
}

// wrong lists what is not as it should be with device i.
func (t *telling) wrong(i int) (what []string) {
	d, known := t.view.devices[t.Fleet.Name(i)]
	switch {
	case t.forgotten(i, known):
		return []string{t.Say("its record was removed 180 days after its identity had ended (AUTH-43): it must enrol again")}
	case !known:
		return []string{t.Say("never enrolled")}
	case d.Life != enrolled:
		return []string{t.known(d.Life)}
	}
	if t.mustEnrol(i, &d) {
		what = append(what, t.Say("its identity has ended: it must enrol again (AUTH-42)"))
	}
	if !d.Reachable {
		what = append(what, t.Say("cannot be woken"))
	}
	for _, p := range d.Profiles {
		if strings.HasSuffix(p.State, "failed") {
			what = append(what, p.Name+": "+t.known(p.State))
		}
	}
	return what
}
