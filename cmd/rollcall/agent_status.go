package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent/host"
	"rollcall/protocol"
)

func agentStatusCommand(a *agentFlags) *cobra.Command {
	var profiles bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show who manages this machine, since when and by which rule", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.tell(cmd, profiles, "") },
	}
	cmd.Flags().BoolVar(&profiles, "profiles", false, "list the profiles, and the files that were made of them")
	return cmd
}

func agentJournalCommand(a *agentFlags) *cobra.Command {
	last := 20
	cmd := &cobra.Command{
		Use: "journal", Short: "Show what was asked of this machine, and what became of it", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := host.Journal(a.state)
			if err != nil {
				return err
			}
			if last > 0 {
				list = list[max(len(list)-last, 0):]
			}
			return printJournal(cmd.OutOrStdout(), list, asJSON(cmd))
		},
	}
	cmd.Flags().IntVar(&last, "last", last, "how many of the newest entries (0: all that are kept)")
	return cmd
}

// printJournal prints entries, as JSON one a line.
func printJournal(out io.Writer, list []host.Entry, lines bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !lines {
		line(w, "TIME", "WHAT", "STATUS", "NOTE")
	}
	for _, e := range list {
		if lines {
			if err := json.NewEncoder(out).Encode(e); err != nil {
				return err
			}
			continue
		}
		if e.Shown != "" {
			e.Note = strings.TrimPrefix(e.Note+"; to be shown: "+e.Shown, "; ")
		}
		line(w, statusTime(e.At), e.What, e.Status, e.Note)
	}
	return w.Flush()
}

// tell prints the agent's state, and for people what has just been done.
func (a *agentFlags) tell(cmd *cobra.Command, profiles bool, done string) error {
	s, err := host.Read(a.state, time.Now(), host.ReadFacts(cmd.Context()))
	if err != nil {
		return err
	}
	if s.State != "unmanaged" {
		s.Stream, s.Runs = host.Stream(cmd.Context(), a.state)
	}
	if asJSON(cmd) {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	if done != "" {
		fmt.Fprintf(w, "%s\n\n", done)
	}
	printStatus(w, &s)
	if profiles {
		fmt.Fprintln(w)
		line(w, "PROFILE", "FAMILY", "UUID")
		for _, p := range s.Profiles {
			family := p.Family.String()
			if p.Management {
				family = "management"
			}
			line(w, p.Identifier, family, p.UUID)
			if p.Folder != "" {
				line(w, "  kept in", p.Folder)
			}
			for _, x := range p.Payloads {
				where := x.File
				if where == "" {
					where = x.Note
				}
				line(w, "  "+x.Type, where)
			}
			line(w, "  note", p.Note)
		}
		for _, e := range s.Edited {
			line(w, "changed file", e.File+" was changed since a profile made it: that version is kept at "+e.Copy)
		}
	}
	return w.Flush()
}

func printStatus(w io.Writer, s *host.Status) {
	switch s.State {
	case "managed", "enrolling":
		printEnrolment(w, s)
	default:
		line(w, "managed by", "nobody")
		if s.Ended != 0 {
			line(w, "until", statusTime(s.Ended)+": "+s.EndedBy)
		}
	}
	if s.Bad != 0 {
		line(w, "last failure", statusTime(s.Bad)+": "+s.Why)
	}
	if e := s.Asked; e != nil {
		line(w, "last asked", strings.TrimSuffix(e.What+" at "+statusTime(e.At)+": "+e.Status+", "+e.Note, ", "))
		line(w, "to be shown", e.Shown)
	}
	if n := len(s.Edited); n > 0 {
		line(w, "changed files", strconv.Itoa(n)+" that profiles had made, kept as they were changed (--profiles lists them)")
	}
	for _, act := range host.Acts {
		if command := s.Allowed[act]; command != "" {
			line(w, "allowed", act+" by "+command)
		}
	}
	var applied []string
	for _, f := range s.Applied {
		applied = append(applied, f.String())
	}
	where := ""
	if s.Root != "" && len(applied) > 0 {
		where = " below " + s.Root
	}
	line(w, "applied", strings.Join(applied, ", ")+where)
	line(w, "on profile", s.OnProfile)
	line(w, "files", s.Trouble)
	line(w, "clock", clockOf(s))
	printMachine(w, &s.Machine)
}

// printEnrolment shows who manages the machine, and how that goes.
func printEnrolment(w io.Writer, s *host.Status) {
	by := strings.TrimPrefix(s.Organization+" at "+s.Server, " at ")
	if s.Authority != protocol.Unknown {
		by = s.Authority.String() + ", through " + by
	}
	line(w, "managed by", by)
	if s.State == "enrolling" {
		line(w, "state", "the enrolment is under way: rollcall agent check-in goes on with it")
	}
	line(w, "since", statusTime(s.Since))
	rule := string(s.Rule)
	switch {
	case s.Authority == protocol.Unknown:
		rule = "the enrolment: its server does not say under which authority"
	case rule == "":
		rule = "no rule any more: it is to move at a check-in"
	}
	line(w, "by", rule)
	if s.Since.Time().Sub(s.Enrolled.Time()).Abs() > time.Minute { // they are of two clocks
		line(w, "enrolled", statusTime(s.Enrolled))
	}
	if c := s.Change; c != nil {
		old := "the profiles that it had stay"
		if c.Rule == protocol.RuleSevenDays {
			old = "profiles of the authority before leave"
		}
		line(w, "last change", fmt.Sprintf("of authority at %s, number %d: %s (%s)", statusTime(c.At), c.Epoch, old, c.Rule))
	}
	line(w, "as", kindName(s.Kind)+" "+s.UDID)
	if s.Replaced != 0 {
		line(w, "in place of", "a machine with this identifier, enrolled at "+statusTime(s.Replaced)+" (HST-032)")
	}
	ca := s.CA
	if ca == "" {
		ca = "any that this system trusts"
	}
	line(w, "CA", ca)
	if c := s.Certificate; c != nil {
		line(w, "certificate", endsIn(c))
	}
	line(w, "profiles", strconv.Itoa(len(s.Profiles))+" (--profiles lists them)")
	line(w, "checks in", "every "+strings.Replace(s.Poll, "m0s", "m", 1)+", and when something is due")
	line(w, "last check-in", statusTime(s.Good))
	line(w, "woken", wokenBy(s, time.Now()))
}

// printMachine shows what the machine tells its server of itself.
func printMachine(w io.Writer, m *host.Facts) {
	line(w, "machine", strings.Join(strings.Fields(m.Name+" "+m.Vendor+" "+m.Model+" "+m.Serial), " "))
	line(w, "system", strings.Join(strings.Fields(m.OS+" "+m.OSVersion+" "+m.Kernel+" "+m.Arch), " "))
	line(w, "memory", gib(m.Memory))
	for _, d := range m.Disks {
		line(w, "disk", strings.TrimSuffix(d.Mount, ":")+": "+gib(d.Free)+" free of "+gib(d.Size))
	}
	for _, n := range m.Networks {
		line(w, "network", strings.Join(strings.Fields(n.Name+" "+n.MAC+" "+strings.Join(n.Addresses, " ")), " "))
	}
}

// clockOf says how the agent's time differs from the machine's; empty: in nothing.
func clockOf(s *host.Status) string {
	clock := ""
	if s.Driven != 0 {
		clock = "the server's, which is driven: " + statusTime(s.Driven)
	}
	if s.ClockOffset != "" {
		off := ", ahead by " + s.ClockOffset
		if behind, ok := strings.CutPrefix(s.ClockOffset, "-"); ok {
			off = ", behind by " + behind
		}
		clock = strings.TrimPrefix(clock+off, ", ")
	}
	return clock
}

// endsIn says until when a certificate is good, by the agent's clock.
func endsIn(c *host.Certificate) string {
	if c.DaysLeft < 0 {
		return "ended " + statusTime(c.Until) + ", " + strconv.Itoa(-c.DaysLeft) + " days ago by the agent's clock"
	}
	return strings.TrimSuffix("ends "+statusTime(c.Until)+", in "+strconv.Itoa(c.DaysLeft)+" days; "+c.Note, "; ")
}

// wokenBy says how the machine hears of a wake-up, at now by its own clock.
func wokenBy(s *host.Status, now time.Time) string {
	ago := func(t time.Time) string { return now.Sub(t).Round(time.Second).String() }
	switch x := s.Stream; {
	case !s.Runs:
		return "by nobody: no agent runs"
	case s.Alone:
		return "by nobody: as " + kindName(s.Kind) + " it asks by itself, for its server named no push service when it enrolled"
	case s.Courier == host.NoCourier:
		return "by nobody: --courier none has it ask by itself"
	case x == nil:
		return "not yet: a stream is being made"
	case x.Since.IsZero():
		return "by nobody now, it asks by itself: " + x.Why
	case x.Pushed.IsZero():
		return "by a stream of " + x.Service + ", up for " + ago(x.Since) + "; no wake-up yet"
	default:
		return "by a stream of " + x.Service + ", up for " + ago(x.Since) + "; last wake-up " + ago(x.Pushed) + " ago"
	}
}

func gib(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(n)/(1<<30), 'f', 1, 64) + " GiB"
}

func statusTime(t protocol.Time) string {
	if t == 0 {
		return "not yet"
	}
	return t.Time().Format(time.DateTime) + " UTC"
}

// line prints cells of a table; what came over the network stays on its line. A row without a value is left out.
func line(w io.Writer, cells ...string) {
	for i, c := range cells {
		quoted := strconv.Quote(c)
		cells[i] = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
	}
	if len(cells) == 2 && cells[1] == "" {
		return
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}
