package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"rollcall/agent/host"
	"rollcall/agent/host/daemon"
	"rollcall/protocol"
)

func agentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "agent", Short: "Have this machine managed: enroll, run, check-in, status, journal, set, doctor, install, unenroll",
		Long: `Have this machine managed as a device: it enrols by one pasted line, reports true facts, takes profiles and commands, and renews its
certificate. Nothing harmful is done to it that was not allowed by name, and nothing outside the state folder is touched but what --apply names.`,
	}
	a := &agentFlags{}
	cmd.PersistentFlags().StringVar(&a.state, "state", host.DefaultFolder(), "folder of the agent's state, for its user alone")
	cmd.AddCommand(agentEnrollCommand(a), agentRunCommand(a), agentCheckInCommand(a), agentStatusCommand(a), agentJournalCommand(a), agentSetCommand(a), agentDoctorCommand(a), agentInstallCommand(a), agentUninstallCommand(), agentUnenrollCommand(a))
	return cmd
}

type agentFlags struct{ state string }

// open takes the state folder.
func (a *agentFlags) open(cmd *cobra.Command, cfg host.Config) (*host.Host, error) {
	return host.Open(cmd.Context(), a.state, cfg)
}

// ask has the agent that runs do it, or does it where none runs.
func (a *agentFlags) ask(cmd *cobra.Command, what host.Request, cfg host.Config, do func(*host.Host, context.Context) error) error {
	h, err := a.open(cmd, cfg)
	if errors.Is(err, host.ErrRuns) {
		return host.Ask(cmd.Context(), a.state, what)
	}
	if err != nil {
		return err
	}
	defer h.Close()
	return do(h, cmd.Context())
}

// kinds are as what a machine can be managed.
var kinds = map[string]protocol.Platform{
	"ipad": protocol.IPadOS, "iphone": protocol.IOS, "mac": protocol.MacOS, "windows": protocol.Windows, "android": protocol.Android,
}

func kindName(p protocol.Platform) string {
	for name, kind := range kinds {
		if kind == p {
			return name
		}
	}
	return ""
}

func agentEnrollCommand(a *agentFlags) *cobra.Command {
	var j host.Join
	var as, offset string
	var allow, apply []string
	var anew bool
	cmd := &cobra.Command{
		Use: "enroll URL", Short: "Have a server manage this machine", Args: cobra.ExactArgs(1),
		Long: `Have a server manage this machine, by the line that the server printed. After an interruption the same line continues where it
stopped.

As windows or android it is managed by these systems' own protocols. For android the line comes from rollcall users invite --android
MODE --for agent.

--ca is the SHA-256 of a certificate in the server's chain, its CA's as a rule, or of its public key (SPKI): the agent believes that one
alone. Without it the system's CAs decide.`,
		Example: `  rollcall agent enroll https://lab.example.org:8443/e/TOKEN --ca sha256:HASH
  rollcall agent enroll https://lab.example.org:8443/e/TOKEN --ca sha256:HASH --as mac --allow lock='loginctl lock-sessions'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			j.URL = args[0]
			if as != "" {
				kind, ok := kinds[as]
				if !ok {
					return fmt.Errorf("--as %q: want ipad, iphone, mac, windows or android", as)
				}
				j.As = kind
			}
			var err error
			if j.Offset, err = clockOffset(offset); err != nil {
				return err
			}
			if j.Allow, err = allowed(allow, false); err != nil {
				return err
			}
			if j.Apply.Families, err = families(apply); err != nil {
				return err
			}
			if j.Apply.Root != "" {
				if j.Apply.Root, err = filepath.Abs(j.Apply.Root); err != nil {
					return err
				}
			}
			h, err := a.open(cmd, host.Config{Anew: anew})
			if err != nil {
				return err
			}
			err = h.Enrol(cmd.Context(), j)
			replaces := h.Replaces()
			h.Close() // for the service
			if err != nil {
				return err
			}
			says := "this machine is managed now; rollcall agent install has the system keep it so, rollcall agent run does so by hand"
			started := false
			if state, no := filepath.Abs(a.state); no == nil && state == host.MachineFolder() {
				started, err = daemon.Start()
			}
			switch {
			case err != nil:
				says = fmt.Sprintf("this machine is managed now, but its service %s does not start: %v", daemon.Name, err)
			case started:
				says = "this machine is managed now, and the system keeps it so"
			}
			return a.tell(cmd, false, strings.TrimSpace(says+"\n"+replaces))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&j.CA, "ca", "", "`sha256:HASH` of the server's CA certificate, as the server printed it")
	flags.Lookup("ca").Annotations = map[string][]string{notOfEnvironment: nil} // a file there, of those who administer a server
	flags.StringVar(&as, "as", "", "as what it is managed: ipad, iphone, mac, windows or android (default: "+kindName(host.KindOf(runtime.GOOS))+", by this system)")
	flags.DurationVar(&j.Poll, "poll", host.DefaultPoll, "time between two check-ins that nothing else causes")
	flags.StringVar(&j.Courier, "courier", "", "`HOST:PORT` where wake-ups come from, or none: it asks by itself alone (default: as the server says)")
	flags.StringArrayVar(&allow, "allow", nil, "`ACT=COMMAND`: the command that does lock, restart, shutdown or erase; without one the act is acknowledged and not done")
	flags.StringSliceVar(&apply, "apply", nil, "`FAMILIES` whose profiles become files of the system, and leave it with them: certificate,wifi,vpn,email,configuration")
	flags.StringVar(&j.Apply.Root, "root", "", "`FOLDER` that stands for the system's root in --apply (default /)")
	flags.StringVar(&j.Apply.OnProfile, "on-profile", "", "`COMMAND` that gets each profile on its standard input, with ROLLCALL_ACTION (install, remove) and ROLLCALL_PROFILE (its identifier)")
	flags.StringVar(&offset, "clock-offset", "", "`TIME` by which the agent's clock is ahead of this machine's, or of a driven server's, such as 340d or -2h; it decides whether this machine's certificate is valid, but not whether the server's is, nor when the server renews")
	flags.BoolVar(&j.Draw, "draw-id", false, "use a random identifier, because this machine is a copy of another that is enrolled")
	flags.BoolVar(&anew, "anew", false, "replace a state that is damaged or of another machine, and put back what was there before profiles")
	return cmd
}

// clockOffset reads a length of time with days, which may lie before.
func clockOffset(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 32); err == nil && n > -40_000 && n < 40_000 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	return 0, fmt.Errorf("--clock-offset %q: want a time such as 340d, 36h or -10m", s)
}

func families(names []string) (list []protocol.Family, err error) {
	for _, name := range names {
		var f protocol.Family
		if f.UnmarshalText([]byte(name)) != nil || f == protocol.NoFamily {
			return nil, fmt.Errorf("--apply %q: want some of certificate, wifi, vpn, email, configuration", name)
		}
		list = append(list, f)
	}
	return list, nil
}

// allowed reads acts and their commands; none is that an act may go without one.
func allowed(list []string, none bool) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range list {
		act, command, ok := strings.Cut(s, "=")
		if !ok || strings.TrimSpace(command) == "" && !none {
			return nil, fmt.Errorf("--allow %q: want ACT=COMMAND, such as lock='loginctl lock-sessions'", s)
		}
		out[act] = command
	}
	return out, nil
}

func agentRunCommand(a *agentFlags) *cobra.Command {
	var beside bool
	cmd := &cobra.Command{
		Use: "run", Short: "Keep this machine managed until a signal ends it", Args: noArgs,
		Long: `Keep this machine managed until a signal ends it, or until nobody manages it any more: it checks in when it is woken, when
something is due and at every poll interval, and sleeps in between. One agent runs on a machine.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			runtime.GOMAXPROCS(1) // it does one thing at a time, and mostly nothing: timers of several processors would each be waited for
			log := logrus.New()
			log.SetOutput(cmd.ErrOrStderr())
			log.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true}) // quotes what a server might forge a line with
			if asJSON(cmd) {
				log.SetFormatter(&logrus.JSONFormatter{})
			}
			return daemon.Run(cmd.Context(), log, func(ctx context.Context) error {
				if !beside {
					lock, err := host.TakeMachine()
					if err != nil {
						return err
					}
					if lock != nil {
						defer lock.Close()
					}
				}
				h, err := host.Open(ctx, a.state, host.Config{Log: log})
				if err != nil {
					return err
				}
				defer h.Close()
				err = h.Run(ctx, nil)
				if errors.Is(err, host.ErrUnmanaged) && daemon.Serves() {
					log.Info(err)
					return nil // else it would be started again as one that fails
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&beside, "beside", false, "run beside another agent of this machine, with another --state")
	return cmd
}

func agentCheckInCommand(a *agentFlags) *cobra.Command {
	return &cobra.Command{
		Use: "check-in", Short: "Check in once, now", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.ask(cmd, host.RequestCheckIn, host.Config{}, (*host.Host).CheckIn); err != nil {
				return unmanaged(err)
			}
			return a.tell(cmd, false, "checked in")
		},
	}
}

func agentUnenrollCommand(a *agentFlags) *cobra.Command {
	return &cobra.Command{
		Use: "unenroll", Short: "Take this machine out of management", Args: noArgs,
		Long: `Take this machine out of management: the server is told once, and the agent's identity and profiles are removed whether it heard or
not. A damaged state, or one of another machine, is no obstacle: what was there before profiles comes back, and what could not be
done is told.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.ask(cmd, host.RequestUnenrol, host.Config{Leave: true}, (*host.Host).Unenrol); err != nil {
				return unmanaged(err)
			}
			return a.tell(cmd, false, "nobody manages this machine any more")
		},
	}
}

// unmanaged says what to do where nothing is enrolled.
func unmanaged(err error) error {
	if errors.Is(err, host.ErrUnmanaged) {
		return fmt.Errorf("%w: enrol it with the line that rollcall serve printed, or look elsewhere with --state", err)
	}
	return err
}

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
	}
	if e := s.Asked; e != nil {
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
	line(w, "clock", clock)
	m := &s.Machine
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
