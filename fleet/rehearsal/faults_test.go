package rehearsal_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A fault is a mistake in the code of an invariant: what stands there, and what somebody might have written.
type fault struct {
	invariant, what string
	file            string // from the root of the module
	right, wrong    string
}

var faults = []fault{
	{
		"I1", "an enrolment registers with nobody", "server/delivery/enrolment.go",
		"n.Registered, n.RegisteredAt, n.Epoch = to.Authority, d.now, d.w.Tenant.Epoch", "n.Registered, n.RegisteredAt, n.Epoch = protocol.Unknown, d.now, d.w.Tenant.Epoch",
	},
	{
		"I2", "the report of a push registers the device", "server/delivery/wake.go",
		"		d.n.Wake = d.afterPush()\n", "		d.register()\n		d.n.Wake = d.afterPush()\n",
	},
	{
		"I2", "the support action moves the device itself", "server/delivery/move.go",
		"		n.Support = true\n", "		n.Support, n.Registered = true, to.Authority\n",
	},
	{
		"I3", "a command is applied twice after a restart", "agent/device.go",
		"d.flags = d.flags&^renewing | reportDue\n			d.report(out)", "d.flags = d.flags &^ (renewing | reportDue)\n			d.report(out)",
	},
	{
		"I3", "an order is not queued", "server/delivery/decide.go",
		"	case order.Kind != protocol.NoCommand:\n		d.queue(*order)\n", "	case order.Kind != protocol.NoCommand:\n		d.journal(WhatQueued, \"\", d.describe(order))\n",
	},
	{
		"I3", "a command that was put off is handed out at once again", "server/delivery/queue.go",
		"	if again >= 0 && last != protocol.NotNow {\n", "	if again >= 0 {\n",
	},
	{
		"I3", "a profile that fails is tried for ever", "server/delivery/profiles.go",
		"const maxTries = 3", "const maxTries = 200",
	},
	{
		"I4", "the seven days of a device never end", "agent/device.go",
		"= 7 * 24 * time.Hour // how long profiles", "= 7000 * 24 * time.Hour // how long profiles",
	},
	{
		"I4", "the seven days of the server never end", "server/delivery/profiles.go",
		"return !d.w.Doubt && d.now >= d.w.Tenant.OldEnd()", "return !d.w.Doubt && d.now >= 2*d.w.Tenant.OldEnd()",
	},
	{
		"I5", "reports are let through in the gap", "server/delivery/move.go",
		"	if d.in.Verb == protocol.Leave || d.s.Life == Ended", "	if d.in.Verb == protocol.Report || d.in.Verb == protocol.Leave || d.s.Life == Ended",
	},
	{
		"I5", "enrolments are let through in the gap", "server/delivery/world.go",
		"	case w.InGap(d.Platform):\n		e.Push = authority.PushGap\n", "	case w.InGap(d.Platform):\n",
	},
	{
		"I5", "the gap holds every platform", "server/authority/gap.go",
		"		return p.Apple()\n", "		return p != protocol.NoPlatform\n",
	},
	{
		"I6", "a record is removed too early", "server/renewal/identity.go",
		"const Kept = 180 * 24 * time.Hour", "const Kept = 170 * 24 * time.Hour",
	},
	{
		"I6", "nobody doubts a clock that was set", "server/clock.go",
		"const mostJump = 5 * time.Minute", "const mostJump = 50000 * time.Hour",
	},
	{
		"I7", "a portal lists another's devices", "server/orders.go",
		"st.Registered == a && len(out) < n", "(st.Registered == a || a == protocol.SCCM && st.User == 0) && len(out) < n",
	},
	{
		"I8", "a pending device never moves", "server/delivery/move.go",
		"n.Registered, n.RegisteredAt = to.Authority, d.now", "n.RegisteredAt = d.now",
	},
	{
		"I8", "a change wakes nobody", "server/campaign.go",
		"if st.Life != delivery.Enrolled || st.Push.Unreachable", "if st.Life == delivery.Enrolled || st.Push.Unreachable",
	},
	{
		"I9", "INTUNE_O365 moves a device", "fleet/population/licences.go",
		"	intunePlans = set(\n", "	intunePlans = set(\n		\"882e1d05-acd1-4ccb-8699-6ee03927d771\",\n",
	},
	{
		"I9", "a licence decides without coexistence", "server/authority/resolve.go",
		"	case t.alone():\n", "	case t.alone() && !u.IntuneLicence:\n",
	},
	{
		"I9", "a userless device moves by itself", "server/delivery/move.go",
		"		if !s.Support {\n", "		if !s.Support && !w.coexists() {\n",
	},
	{
		"I10", "a stale confirmation is taken", "server/shown.go",
		"	case id == p.ID:\n", "	case id != \"\":\n",
	},
	{
		"I10", "preview and change name different devices", "server/authority.go",
		"	content := s.Content()\n	p, err := s.planAuthority(ctx, now, content, change)\n	if err == nil {\n		s.warnAdmin(", "	content := new(*s.Content())\n	content.Tenant.Epoch++\n	p, err := s.planAuthority(ctx, now, content, change)\n	if err == nil {\n		s.warnAdmin(",
	},
	{
		"I10", "a preview forgets the certificate that a tenant keeps", "server/authority.go",
		"content.With(transition(now, content, after, opens)), step{", "content.With(&store.Change{Tenant: &after, Campaign: transition(now, content, after, opens).Campaign}), step{",
	},
	{
		"I10", "a preview takes what is left of the authority before for unassigned", "server/preview.go",
		"x.Old = is.Old(a.Profile, owner)", "x.Old = is.Old(a.Profile, owner) && false",
	},
	{
		"I10", "a preview counts a stale device as one that stays", "server/authority/judge.go",
		"c.Epoch < s.After.Epoch\n", "c.Epoch < s.Before.Epoch\n",
	},
}

var foundAfter = regexp.MustCompile(`found after (\d+) timelines\s+seed \d+: ([^\n]*)`)

// TestFaults plants each fault in the code, the tree untouched, and has the timelines find it: only then does it say
// anything that they find nothing. ROLLCALL_FAULTS=1 switches it on, or the name of one invariant; it builds the package
// once for each.
func TestFaults(t *testing.T) {
	only := os.Getenv("ROLLCALL_FAULTS")
	if only == "" {
		t.Skip("set ROLLCALL_FAULTS=1 to plant faults")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%-4s %-52s %9s  %s", "", "fault", "timelines", "found as")
	missing := map[string]bool{"I1": true, "I2": true, "I3": true, "I4": true, "I5": true, "I6": true, "I7": true, "I8": true, "I9": true, "I10": true}
	for _, f := range faults {
		if only != "1" && only != f.invariant {
			delete(missing, f.invariant)
			continue
		}
		out := f.plant(t, root)
		m := foundAfter.FindStringSubmatch(out)
		if m == nil {
			t.Errorf("%s: %s: not found:\n%s", f.invariant, f.what, out)
			continue
		}
		delete(missing, f.invariant)
		name, _, _ := strings.Cut(m[2], ":")
		t.Logf("%-4s %-52s %9s  %s", f.invariant, f.what, m[1], name)
	}
	if len(missing) > 0 {
		t.Errorf("no fault found for %v", missing)
	}
}

// TestFaultsStand: the code that a fault replaces is there, once, so that it can be planted.
func TestFaultsStand(t *testing.T) {
	for _, f := range faults {
		f.source(t, "../..")
	}
}

// source is the file in which a fault is planted.
func (f *fault) source(t *testing.T, root string) string {
	text, err := os.ReadFile(filepath.Join(root, f.file))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), f.right); n != 1 {
		t.Errorf("%s: %s: what it replaces stands %d times in %s, want once", f.invariant, f.what, n, f.file)
	}
	return string(text)
}

// plant plays the timelines on the code with the fault, and returns what that prints.
func (f *fault) plant(t *testing.T, root string) string {
	path, source := filepath.Join(root, f.file), f.source(t, root)
	dir := t.TempDir()
	wrong, overlay := filepath.Join(dir, filepath.Base(f.file)), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: wrong}})
	for _, file := range []struct {
		name string
		data []byte
	}{{wrong, []byte(strings.Replace(source, f.right, f.wrong, 1))}, {overlay, replace}} {
		if err == nil {
			err = os.WriteFile(file.name, file.data, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-vet=off", "-overlay", overlay, "-run", "TestTimelines$", "-count=1", "rollcall/fleet/rehearsal")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "ROLLCALL_TIMELINES=10000", "ROLLCALL_SHRINK=no", "ROLLCALL_TIMELINE=", "ROLLCALL_SEED=0")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "all timelines passed"
	}
	return string(out)
}
