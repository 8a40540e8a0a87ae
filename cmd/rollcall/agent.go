package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
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

--ca is the SHA-256 of a certificate in the server's chain, its CA's as a rule, or of its public key (SPKI): that one is believed,
and from the enrolment on what the enrolment profile brings as well. Without --ca the system's CAs decide.`,
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
