//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/conformance"
	"rollcall/fleet/conformance/mischief"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// patient has a run wait as long as a busy machine takes: no test fails by time. A thousand commands are left to
// TestConformLeavesOthersAlone.
func patient(c *conformance.Config) {
	c.Request, c.Check, c.Total, c.Queued = time.Hour, time.Hour, time.Hour, 60
}

// startBroken starts a server of ours that can be broken, and says how it is asked.
func startBroken(t *testing.T) (*ownServer, *mischief.Mischief, conformance.Config) {
	t.Helper()
	m, err := mischief.New("")
	if err != nil {
		t.Fatal(err)
	}
	o, err := startOwn(context.Background(), func(c *serveConfig) { c.Mischief = m })
	if err != nil {
		t.Fatal(err)
	}
	c, err := o.config(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c.AtOnce = 1
	patient(&c)
	return o, m, c
}

// askHealthy asks a server of ours everything, and holds that it keeps it, that nothing was left unasked which can be asked by now, and
// that all devices leave.
func askHealthy(t *testing.T) map[string]conformance.Outcome {
	t.Helper()
	o, err := startOwn(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	c, err := o.config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	patient(&c)
	r, err := conformance.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if len(r.Left) > 0 || r.Enrolled < 50 || !r.Others.Checked {
		t.Errorf("%d devices enrolled, left %v, others looked at: %t", r.Enrolled, r.Left, r.Others.Checked)
	}
	for u, err := range o.target.Users(t.Context()) {
		t.Errorf("a user of the run stays: %s, %v", u.UPN, err)
	}
	out := map[string]conformance.Outcome{}
	for _, f := range r.Findings {
		s, _ := conformance.Find(f.ID)
		if f.Outcome == conformance.NotApplicable && s.Until == "" && (f.ID != "APL-024" || c.ProxyFrom != "") {
			t.Errorf("%s is not asked of a server of ours: %s", f.ID, f.Reason)
		}
		out[f.ID] = f.Outcome
	}
	return out
}

// brokenBy returns the id of the statement that a fault breaks: what is before the stroke, where a statement has several.
func brokenBy(fault string) string {
	id, _, _ := strings.Cut(fault, "/")
	return id
}

// TestConformanceCatches plants the fault against each statement, and holds that this statement then fails. It prints the
// table of what passes and what is caught. With ROLLCALL_CONFORM=whole every statement is asked beside the first fault against
// each, of a server of its own, and no other may fail; that takes minutes, or with the name of a suite in place of whole fewer of them: that
// suite's faults and statements alone. What other faults there are against one may be as
// gross as they like: they show that each part of it is asked.
func TestConformanceCatches(t *testing.T) {
	t.Parallel()
	mode := os.Getenv("ROLLCALL_CONFORM")
	whole := mode != ""
	var planted []string // faults; each statement has one or more
	asked := map[string]bool{}
	for _, s := range conformance.List() {
		if s.Until != "" || s.Suite.OfDevices() || whole && mode != "whole" && string(s.Suite) != mode || s.ID == "APL-024" && !canDialFrom(ownProxy) {
			continue
		}
		asked[s.ID] = true
		planted = append(planted, s.ID)
		for _, fault := range mischief.List() {
			if fault != s.ID && brokenBy(fault) == s.ID {
				planted = append(planted, fault)
			}
		}
	}
	healthy := askHealthy(t)
	rows := make([]string, len(planted))
	next := make(chan int, len(planted))
	for i := range planted {
		next <- i
	}
	close(next)
	var caught atomic.Int32
	var wait sync.WaitGroup
	for range 4 { // most of the time goes into waiting for a disk
		wait.Go(func() {
			o, m, c := startBroken(t)
			defer func() { o.close() }()
			for i := range next {
				fault := planted[i]
				id := brokenBy(fault)
				if s, _ := conformance.Find(id); whole || s.First() {
					o.close()
					o, m, c = startBroken(t)
				}
				if c.Only = []string{id}; whole && fault == id {
					c.Only = nil
				}
				if whole && mode != "whole" {
					c.Suites = []conformance.Suite{conformance.Suite(mode)}
				}
				if err := m.Set(fault); err != nil {
					t.Errorf("%s does not count: %v", id, err)
					continue
				}
				broken, err := conformance.Run(context.Background(), c)
				m.Set("") // none is always known
				if s, _ := conformance.Find(id); s.Alone() {
					o.close() // a broken server cannot be put in order again
					o, m, c = startBroken(t)
				}
				if err != nil {
					t.Errorf("%s: %v", id, err)
					continue
				}
				if whole {
					t.Logf("%s: asked", fault)
				}
				passes, found, what := healthy[id] == conformance.Pass, false, "nothing"
				for _, f := range broken.Findings {
					switch {
					case f.ID == id:
						found, what = f.Outcome == conformance.Fail, string(f.Outcome)+": "+f.Reason
						rows[i] = fmt.Sprintf("%-20s ours passes: %-5t its fault is caught: %-5t %s", fault, passes, found, f.Reason)
					case f.ID == "APL-094" && id == "AUTH-30.apple": // what looks like a removal fails both
					case f.Outcome != conformance.Pass && f.Outcome != conformance.NotApplicable:
						t.Errorf("the fault %s is found by %s too: %s: %s", fault, f.ID, f.Outcome, f.Reason)
					}
				}
				if passes && found {
					caught.Add(1)
				} else {
					t.Errorf("%s does not count: ours passes: %t, with its fault: %s", fault, passes, what)
				}
			}
		})
	}
	wait.Wait()
	tabulate(t, append(rows, fmt.Sprintf("%d of %d faults against %d statements are caught, and what they break passes without them", caught.Load(), len(planted), len(asked))))
}

// tabulate logs rows and adds them to the file that ROLLCALL_CONFORM_TABLE names, if it does, for whoever runs all tests and wants
// to read this.
func tabulate(t *testing.T, rows []string) {
	t.Helper()
	for _, row := range rows {
		t.Log(row)
	}
	name := os.Getenv("ROLLCALL_CONFORM_TABLE")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(strings.Join(rows, "\n") + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

// TestFaultsHaveStatements: there is no fault against what nobody asks.
func TestFaultsHaveStatements(t *testing.T) {
	for _, id := range mischief.List() {
		if s, ok := conformance.Find(brokenBy(id)); !ok || s.Until != "" {
			t.Errorf("there is a fault against %s, and no such statement", id)
		}
	}
}

// TestAND078EveryRemovalIsAsked: a run has the administrator remove the devices too that erase themselves by it (HST-071).
func TestAND078EveryRemovalIsAsked(t *testing.T) {
	t.Parallel()
	o, err := startOwn(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	c, err := o.config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	patient(&c)
	c.Only = []string{"AND-078"}
	r, err := conformance.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Findings[0]; f.Outcome != conformance.Pass {
		t.Errorf("%s: %s", f.Outcome, f.Reason)
	}
}

// TestConformLeavesOthersAlone: a device that was there before a run is as it was after it.
func TestConformLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	o, err := startOwn(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	c, err := o.config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	patient(&c)
	c.Queued = 0 // the default
	l, err := link.New(link.Config{Roots: o.roots})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const udid = "00008101-000A1B2C3D4E001E"
	device := dialect.NewApple(dialect.Who{Number: 1, Seed: 1, UDID: udid, Serial: "C0OTHER", Name: "Ada's"},
		&dialect.Model{Platform: protocol.IOS, Name: "iPhone", Number: "MLPF3", Product: "iPhone14,5", OSVersion: "18.1", Build: "22B83", Capacity: 128}, &dialect.Habits{})
	if err := o.target.AddUsers(t.Context(), []target.User{{UPN: "ada@example.org", IntuneLicence: true}}); err != nil {
		t.Fatal(err)
	}
	e, err := o.target.Invite(t.Context(), []string{"ada@example.org"})
	if err == nil {
		_, err = l.Enrol(t.Context(), device, dialect.Start{URL: e[0].URL + "?platform=ios"})
	}
	if err == nil {
		_, err = l.Converse(t.Context(), device, dialect.Synced)
	}
	if err != nil {
		t.Fatal(err)
	}
	before, err := o.target.Device(t.Context(), udid)
	if err != nil {
		t.Fatal(err)
	}
	r, err := conformance.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if f.Outcome == conformance.Fail || f.Outcome == conformance.Unasked {
			t.Errorf("%s: %s %s", f.ID, f.Outcome, f.Reason)
		}
		if s, _ := conformance.Find(f.ID); s.Alone() && f.Outcome != conformance.NotApplicable {
			t.Errorf("%s was asked although somebody else's device is there", f.ID)
		}
	}
	after, err := o.target.Device(t.Context(), udid)
	before.Wake, after.Wake = 0, 0 // time has gone by
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("%v; the device was\n%+v\nand is\n%+v", err, before, after)
	}
	var users []string
	for u, err := range o.target.Users(t.Context()) {
		users = append(users, u.UPN)
		if err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(users, []string{"ada@example.org"}) {
		t.Errorf("users %q, want those that were there before", users)
	}
	if r.Others.Devices != 1 || !r.Others.Checked || len(r.Others.Changed) != 0 {
		t.Errorf("others %+v", r.Others)
	}
	if _, err := l.Converse(t.Context(), device, dialect.Synced); err != nil {
		t.Errorf("afterwards the device is refused: %v", err)
	}
}

// TestConformAwaitsUntilInterrupted: whoever ends the waiting for a server is told no more than that.
func TestConformAwaitsUntilInterrupted(t *testing.T) {
	nobody, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := conformFlags{total: time.Hour}
	if err := f.await(ctx, "https://"+nobody); exitCode(err) != 130 {
		t.Errorf("%v: exit code %d, want 130", err, exitCode(err))
	}
	f.total = time.Nanosecond
	if err := f.await(t.Context(), "https://"+nobody); exitCode(err) != 1 || !strings.Contains(err.Error(), "nobody listens") {
		t.Errorf("%v: exit code %d, want 1", err, exitCode(err))
	}
}
