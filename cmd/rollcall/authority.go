//go:build !agentonly

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/renewal"
)

func authorityCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{Use: "authority", Short: "Show, change and verify who manages the tenant's devices"})
	cmd.AddCommand(
		authorityShowCommand(c), authoritySetCommand(c), authorityVerifyCommand(c), authorityReadinessCommand(c), authorityCheckCommand(c), authoritySettingsCommand(c),
	)
	return cmd
}

func authorityShowCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the authority, the gap in its push certificates, and who is still to come", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			s, err := t.Authority(cmd.Context())
			if err != nil {
				return err
			}
			set, err := t.Settings(cmd.Context())
			if err != nil {
				return err
			}
			shown := struct {
				target.State
				Settings target.Settings `json:"settings"`
			}{s, set}
			return show(cmd, shown, func(w io.Writer) {
				printState(w, &s)
				printTimes(w, &set)
			})
		},
	}
}

func printState(w io.Writer, s *target.State) {
	row(w, "authority", s.Name)
	if s.Name == protocol.Unknown.String() {
		row(w, "warning", "AUTH-01: no device enrols until an authority is set")
		return
	}
	row(w, "epoch", fmt.Sprintf("%d, since %s", s.Epoch, when(s.ChangedAt)))
	if s.OldEnd != 0 {
		row(w, "old profiles", "AUTH-27: those of the authority before leave by "+when(s.OldEnd))
	}
	row(w, "still to come", fmt.Sprintf("%d devices pending, %d stale", s.Pending, s.Stale))
	if s.Stranded > 0 {
		row(w, "stranded", fmt.Sprintf("AUTH-32: %d devices know another topic than the push certificate has and have to enrol again; rollcall authority verify lists them", s.Stranded))
	}
	g := &s.Gap
	switch {
	case g.Open:
		row(w, "push gap", fmt.Sprintf("AUTH-30: open since %s: %d devices held, %d of them pending or stale; upload a renewed certificate for %s", when(g.Since), g.Held, g.Blocked, g.Slot))
	case g.Ended:
		row(w, "push gap", fmt.Sprintf("AUTH-33: the certificate of %s has ended or is refused: %d devices held; renew it", g.Slot, g.Held))
	default:
		row(w, "push gap", "none")
	}
	if (g.Open || g.Ended) && g.Topic != "" {
		row(w, "renew", "topic "+g.Topic+", Apple ID "+dash(g.AppleID))
	}
}

func authoritySetCommand(c *client) *cobra.Command {
	var change target.Change
	cmd := &cobra.Command{
		Use: "set intune|sccm|office365|coexistence|none", Short: "Change the authority", Args: cobra.ExactArgs(1),
		Long: `Change the tenant's authority. What it does is printed as a plan: one line for each group of devices that a rule treats
alike, and one that sums up. Devices move later, each at its own completed check-in.

A change that adds Intune, has Apple devices wait for a renewed push certificate, strands devices or leaves some without
profiles is only shown at first (AUTH-35), with an id; --confirm with that id makes exactly what was shown. Where it strands devices, --count says how many (HST-071). When the world has changed since, the change is refused and the difference named (HST-070). rollcall
preview shows any change without making it.

None leaves a tenant unknown whose authority was never set (AUTH-02); one that is set never returns to that (AUTH-03).`,
		Example: `  rollcall authority set coexistence
  rollcall authority set coexistence --confirm coexistence-1-9-23-1-5d41402abc4b2a76b9719d91`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkAuthority("authority", args[0]); err != nil {
				return err
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			change.Authority = args[0]
			p, err := t.SetAuthority(cmd.Context(), change)
			if no, ok := errors.AsType[*target.Error](err); ok && no.Preview != nil {
				p = *no.Preview
			}
			done := fmt.Sprintf("the authority is %s now, in epoch %d", p.After, p.Epoch)
			switch {
			case p.After == p.Before && p.After != protocol.Unknown.String():
				done = fmt.Sprintf("nothing was changed: the authority is %s already, in epoch %d", p.After, p.Epoch)
			case p.After == protocol.Unknown.String():
				done = "the authority stays unknown: no device enrols until one is set (AUTH-01, AUTH-02)"
			}
			return tell(cmd, &p, err, done, func(id string) string {
				again := "rollcall authority set " + args[0]
				if change.Force {
					again += " --force"
				}
				if again += " --confirm " + id; p.Stranded > 0 {
					again += " --count NUMBER" // of those that it strands, which is to be read and typed
				}
				return again
			})
		},
	}
	cmd.Flags().BoolVar(&change.Force, "force", false, "make a change that the service does not offer (AUTH-04)")
	cmd.Flags().StringVar(&change.Confirm, "confirm", "", "`ID` that the change was shown with")
	cmd.Flags().IntVar(&change.Count, "count", 0, "number of the devices that it strands, to say that they are meant (HST-071)")
	return cmd
}

// tell prints what a change did; or, where it is refused for want of a confirmation, what it would do.
func tell(cmd *cobra.Command, p *target.Preview, err error, done string, again func(id string) string) error {
	no, ok := errors.AsType[*target.Error](err)
	switch {
	case err == nil && asJSON(cmd):
		return json.NewEncoder(cmd.OutOrStdout()).Encode(p)
	case err == nil:
		return printPreview(cmd, lang.English, p, done)
	case !ok || no.Preview == nil:
		return err
	case asJSON(cmd):
		out := struct {
			Version int             `json:"version"`
			Command string          `json:"command"`
			Verdict string          `json:"verdict"`
			Error   problem         `json:"error"`
			Preview *target.Preview `json:"preview"`
		}{1, strings.TrimPrefix(cmd.CommandPath(), "rollcall "), "error", problem{Rule: no.Rule, Message: no.Error()}, no.Preview}
		return errors.Join(&shown{err}, json.NewEncoder(cmd.OutOrStdout()).Encode(out))
	}
	if bad := printPreview(cmd, lang.English, no.Preview, "nothing was changed; this makes what is shown:\n  "+again(no.Preview.ID)); bad != nil {
		return bad
	}
	return err
}

// A shown is an error whose JSON object is written already.
type shown struct{ error }

func (s *shown) Unwrap() error   { return s.error }
func (s *shown) Verdict() string { return "error" }

func authorityVerifyCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Compare who should manage each device with the portal that lists it", Args: noArgs,
		Long: `Compare who should manage each device with the portal that lists it (AUTH-39). Exit code 2 while devices are pending or
stale, or stranded by another topic of the push certificate (AUTH-32): each is named, with the rule that says where it
belongs, or that it has to enrol again.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			v, err := t.VerifyAuthority(cmd.Context())
			if err != nil {
				return err
			}
			err = show(cmd, v, func(w io.Writer) {
				row(w, "PORTAL", "EXPECTED", "LISTED")
				listed := 0
				for _, a := range v.Authorities {
					row(w, a.Authority.String(), strconv.Itoa(a.Expected), strconv.Itoa(a.Listed))
					listed += a.Listed
				}
				fmt.Fprintf(w, "\n%d of %d registered in epoch %d; %d pending, %d stale, %d stranded\n", v.ThisEpoch, listed, v.Epoch, v.Pending, v.Stale, v.Stranded)
				if len(v.Outstanding) > 0 {
					fmt.Fprintln(w)
					row(w, "DEVICE", "REGISTERED", "EPOCH", "SHOULD BE", "RULE")
				}
				for _, m := range v.Outstanding {
					row(w, m.Device, m.Registered.String(), strconv.Itoa(int(m.Epoch)), m.Expected.String(), string(m.Rule))
				}
			})
			if err == nil && v.Stranded > 0 {
				err = &shown{&protocol.Refusal{Rule: protocol.RuleOtherTopic, Reason: fmt.Sprintf("%d devices have to enrol again", v.Stranded)}}
			}
			if err == nil && v.Pending+v.Stale > 0 {
				err = &shown{&protocol.Refusal{Rule: "AUTH-39", Reason: fmt.Sprintf("%d devices are not where they should be yet", v.Pending+v.Stale)}}
			}
			return err
		},
	}
}

func authorityReadinessCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "readiness [AUTHORITY]", Short: "List users with devices and nothing assigned", Args: cobra.MaximumNArgs(1),
		Long: `List users with enrolled devices to whom nothing of some profile families is assigned (AUTH-38): under the authority named,
before a change to it, or under the present one, where it is late. Exit code 2 when there are any.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			list, err := t.Readiness(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			err = show(cmd, map[string]any{"findings": list}, func(w io.Writer) {
				for _, f := range list {
					names := make([]string, len(f.Families))
					for i, family := range f.Families {
						names[i] = family.String()
					}
					what := "assign before"
					if f.Since != 0 {
						what = "late since " + when(f.Since)
					}
					row(w, f.User, fmt.Sprintf("%d devices", f.Devices), "AUTH-38", what+": "+strings.Join(names, ", "))
				}
				fmt.Fprintf(w, "%d users lack assignments\n", len(list))
			})
			if err == nil && len(list) > 0 {
				err = &shown{&protocol.Refusal{Rule: "AUTH-38", Reason: fmt.Sprintf("%d users lack assignments", len(list))}}
			}
			return err
		},
	}
}

func authoritySettingsCommand(c *client) *cobra.Command {
	var cleanUp, limit, validity, lag, old, records, grace, counted int
	var cadence, reach, lifetime, window, retry time.Duration
	var warnings []int
	var attempts []string
	var units string
	var onCoexistence, deviceLicences, unlicensed, userless bool
	var version, gate, pilots string
	var gapPlatforms []string
	var blast int
	workloads := map[string]string{}
	cmd := &cobra.Command{
		Use: "settings", Short: "Show the tenant's settings, or change those that are given", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			var s target.Settings
			given := false
			for name, set := range map[string]func(){
				"clean-up-days": func() { s.CleanUpDays = &cleanUp }, "intune-units": func() {
					n, bad := unitsNamed(units)
					if s.Units = &n; bad != nil && err == nil {
						err = bad
					}
				}, "device-limit": func() { s.DeviceLimit = &limit },
				"compliance-days": func() { s.ValidityDays = &validity }, "console-lag-days": func() { s.LagDays = &lag },
				"old-profile-days": func() { s.OldProfileDays = &old }, "record-days": func() { s.RecordDays = &records },
				"push-grace-days":     func() { s.PushGraceDays = &grace },
				"push-warning-days":   func() { s.PushWarningDays = append([]int{}, warnings...) }, // empty is the default
				"device-contact-days": func() { s.CountedDays = &counted },
				"cadence":             func() { s.Cadence = new(target.SecondsOf(cadence)) },
				"reach":               func() { s.Reach = new(target.SecondsOf(reach)) },
				"identity-lifetime":   func() { s.Lifetime = new(target.SecondsOf(lifetime)) },
				"renewal-window":      func() { s.Window = new(target.SecondsOf(window)) },
				"renewal-retry":       func() { s.Renew = new(target.SecondsOf(retry)) },
				"accept-userless":     func() { s.AcceptUserless = &userless },
				"attempts": func() {
					s.Attempts = make([]target.Seconds, len(attempts))
					for i, text := range attempts {
						d, bad := plan.ParseDuration(text)
						if s.Attempts[i] = target.SecondsOf(d); bad != nil && err == nil {
							err = fmt.Errorf("--attempts: %w", bad)
						}
					}
					if len(attempts) != 3 && err == nil {
						err = fmt.Errorf("--attempts: want three, as in 15m,1h,4h")
					}
				},
				"gap-on-coexistence": func() { s.GapOnCoexistence = &onCoexistence },
				"device-licences":    func() { s.DeviceLicences = &deviceLicences }, "unlicensed-admins": func() { s.UnlicensedAdmins = &unlicensed }, "licence-gate": func() {
					s.LicenceGate = &gate
					if bad := new(delivery.LicenceGate).UnmarshalText([]byte(gate)); bad != nil && err == nil {
						err = fmt.Errorf("--licence-gate: %w", bad)
					}
				},
				"gap-platforms": func() {
					s.GapPlatforms = make([]protocol.Platform, len(gapPlatforms))
					for i, name := range gapPlatforms {
						if bad := s.GapPlatforms[i].UnmarshalText([]byte(name)); bad != nil && err == nil {
							err = fmt.Errorf("--gap-platforms: %w", bad)
						}
					}
				},
				"pilot-group": func() { s.PilotGroup = &pilots }, "blast-limit": func() { s.Blast = &blast },
				"workload": func() {
					for _, name := range slices.Sorted(maps.Keys(workloads)) {
						if bad := checkWorkload(name, workloads[name]); bad != nil && err == nil {
							err = bad
						}
						s.Workloads = append(s.Workloads, target.Workload{Workload: name, Decider: workloads[name]})
					}
				},
			} {
				if cmd.Flags().Changed(name) {
					given = true
					set()
				}
			}
			if err != nil {
				return err
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			owned := s.Units
			if given {
				if s.Version = version; version == "" {
					present, err := t.Settings(cmd.Context())
					if err != nil {
						return err
					}
					s.Version = present.Version
				}
				if err := t.SetSettings(cmd.Context(), s); err != nil {
					return err
				}
			}
			if s, err = t.Settings(cmd.Context()); err != nil {
				return err
			}
			if owned != nil && *owned != unitsUnknown {
				if err := warnUnits(cmd, t, *owned); err != nil {
					return err
				}
			}
			return show(cmd, s, func(w io.Writer) { printSettings(w, &s) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&version, "version", "", "`VERSION` of the settings as they were shown: change nothing where they are others by now (HST-070)")
	flags.IntVar(&cleanUp, "clean-up-days", 0, "delete records that are silent for so long, 30 to 270; 0: none (AUTH-48)")
	flags.StringVar(&units, "intune-units", "", "`NUMBER` of licences owned that entitle Intune, or unknown (AUTH-09)")
	flags.BoolVar(&deviceLicences, "device-licences", false, "there are device licences for userless devices (AUTH-47)")
	flags.BoolVar(&unlicensed, "unlicensed-admins", false, "an administrator need hold no licence that entitles Intune (AUTH-08)")
	flags.StringVar(&gate, "licence-gate", "", "whether enrolment asks for the user's licence: where-known, always or never (AUTH-47)")
	flags.StringToStringVar(&workloads, "workload", nil, "who decides a workload of co-managed PCs, as in compliance=pilot: configmgr, pilot or intune (AUTH-51)")
	flags.StringVar(&pilots, "pilot-group", "", "group of the users whose PCs are in the pilot (AUTH-51)")
	flags.IntVar(&blast, "blast-limit", 0, "devices that wipes and changes may touch in an hour; 0: 1000; -1: any number (HST-071)")
	flags.IntVar(&limit, "device-limit", 0, "devices a user may have, 1 to 15; 0: 15 (AUTH-47)")
	flags.StringSliceVar(&attempts, "attempts", nil, "when a device that does not answer a change is woken again, after the first time: three, as in 15m,1h,4h, which is the default (AUTH-20)")
	flags.IntVar(&lag, "console-lag-days", 0, "days for which the console's compliance figures may lag behind a change; 0: 7 (AUTH-29)")
	flags.IntVar(&validity, "compliance-days", 0, "days for which a report of compliance is valid, 1 to 120; 0: 30 (AUTH-49)")
	flags.IntVar(&old, "old-profile-days", 0, "days for which profiles of the authority before stay after a change that comes, 1 to 90; 0: 7 (AUTH-27)")
	flags.IntVar(&records, "record-days", 0, "days by which records outlive their identity certificates, 1 to 3650; 0: 180 (AUTH-43)")
	flags.IntVar(&grace, "push-grace-days", 0, "days for which a push certificate that has ended can be renewed, 1 to 365; 0: 30 (AUTH-33)")
	flags.IntSliceVar(&warnings, "push-warning-days", nil, "days before its end at which a push certificate is warned of, the most first, as in 30,14,7,1, which is the default (AUTH-33)")
	flags.IntVar(&counted, "device-contact-days", 0, "days for which a device counts against the limit of its user after its latest contact, 1 to 365; 0: 90 (AUTH-47)")
	durationVar(flags, &cadence, "cadence", 0, "time between two wake-ups of the schedule, of Apple devices, 1h to 24h; 0s: 8h; other devices poll by themselves (AUTH-21)")
	durationVar(flags, &reach, "reach", 0, "time after which a wipe or retire that its device has not heard of is repeated, 1m to 1h; 0s: 15m (AUTH-53)")
	durationVar(flags, &lifetime, "identity-lifetime", 0, "validity of identities that are issued from now on, 1h to 3650d; 0s: 365d (AUTH-40)")
	durationVar(flags, &window, "renewal-window", 0, "time before its end in which an identity is renewed, up to 365d; 0s: 42d (AUTH-41)")
	durationVar(flags, &retry, "renewal-retry", 0, "time between two tries to renew, up to 90d; 0s: 7d (AUTH-41)")
	flags.BoolVar(&userless, "accept-userless", false, "userless devices may enrol under office365 alone (AUTH-19)")
	flags.BoolVar(&onCoexistence, "gap-on-coexistence", true, "adding Intune needs a renewed push certificate (AUTH-30)")
	flags.StringSliceVar(&gapPlatforms, "gap-platforms", nil, "platforms that wait for it: some of ios, ipados and macos (AUTH-30)")
	return cmd
}

// unitsUnknown is what the server calls licence units that nobody says the number of.
const unitsUnknown = -1

func unitsNamed(text string) (int, error) {
	if text == "unknown" {
		return unitsUnknown, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--intune-units %q: want a whole number from 0 on, or unknown", text)
	}
	return n, nil
}

// warnUnits says when more users hold a licence that entitles Intune than the tenant owns: they keep it, and nobody gets another.
func warnUnits(cmd *cobra.Command, t *target.Rollcall, owned int) error {
	held := 0
	for u, err := range t.Users(cmd.Context()) {
		if err != nil {
			return err
		}
		if u.IntuneLicence {
			held++
		}
	}
	if held > owned {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: AUTH-09: %d users hold a licence that entitles Intune, and the tenant owns %d: nobody gets another one\n", held, owned)
	}
	return nil
}

// checkWorkload refuses words that nothing is called, before a server is asked.
func checkWorkload(name, decider string) error {
	if !slices.Contains(authority.WorkloadNames[:], name) {
		return fmt.Errorf("--workload %s=%s: there is no workload %q; want one of %s", name, decider, name, strings.Join(authority.WorkloadNames[:], ", "))
	}
	if _, ok := authority.DeciderNamed(decider); !ok {
		return fmt.Errorf("--workload %s=%s: want configmgr, pilot or intune", name, decider)
	}
	return nil
}

// printTimes prints the times of rules that reach beyond a change of authority.
func printTimes(w io.Writer, s *target.Settings) {
	days := func(n *int, none string) string {
		if n != nil && *n != 0 {
			none = strconv.Itoa(*n)
		}
		return none + " days"
	}
	row(w, "old profiles stay after a change", days(s.OldProfileDays, "7")+" (AUTH-27)")
	const hour, day = plan.Duration(time.Hour), plan.Duration(plan.Day)
	every := func(n *target.Seconds, none plan.Duration) plan.Duration {
		if n != nil && *n != 0 {
			none = plan.Duration(time.Duration(*n) * time.Second)
		}
		return none
	}
	row(w, "Apple devices are woken every", fmt.Sprintf("%s (AUTH-21)", every(s.Cadence, 8*hour)))
	row(w, "identities live", fmt.Sprintf("%s (AUTH-40)", every(s.Lifetime, 365*day)))
	row(w, "identities are renewed", fmt.Sprintf("in the last %s, tried every %s (AUTH-41)", every(s.Window, 42*day), every(s.Renew, 7*day)))
	row(w, "devices count against the limit", days(s.CountedDays, "90")+" after their latest contact (AUTH-47)")
	row(w, "a wipe or retire is repeated", fmt.Sprintf("after %s (AUTH-53)", every(s.Reach, hour/4)))
	row(w, "records outlive their identity by", days(s.RecordDays, "180")+" (AUTH-43)")
	warnings := s.PushWarningDays
	if len(warnings) == 0 {
		warnings = renewal.Warnings
	}
	words := make([]string, len(warnings))
	for i, n := range warnings {
		words[i] = strconv.Itoa(n)
	}
	row(w, "push certificate", fmt.Sprintf("warned of %s days before its end, renewable for %s after it (AUTH-33)", strings.Join(words, ", "), days(s.PushGraceDays, "30")))
}

func printSettings(w io.Writer, s *target.Settings) {
	or := func(n *int, none int, text, unit string) string {
		if n == nil || *n == none {
			return text
		}
		return strconv.Itoa(*n) + unit
	}
	yes := func(b *bool) string {
		if b != nil && *b {
			return "yes"
		}
		return "no"
	}
	row(w, "version", s.Version)
	row(w, "silent records are deleted", or(s.CleanUpDays, 0, "never", " days"))
	row(w, "licences that entitle Intune", or(s.Units, unitsUnknown, "not known", ""))
	row(w, "device licences", yes(s.DeviceLicences))
	row(w, "administrators without a licence", yes(s.UnlicensedAdmins))
	if s.LicenceGate != nil {
		row(w, "enrolment asks for licences", *s.LicenceGate)
	}
	row(w, "devices a user may have", or(s.DeviceLimit, 0, "15", ""))
	row(w, "compliance is valid for", or(s.ValidityDays, 0, "30 days", " days"))
	row(w, "lag of the console", or(s.LagDays, 0, "7 days", " days"))
	printTimes(w, s)
	row(w, "userless devices under office365", map[bool]string{true: "accepted", false: "refused"}[s.AcceptUserless != nil && *s.AcceptUserless])
	wakes := [3]time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour}
	for i, n := range s.Attempts {
		if n != 0 && i < len(wakes) {
			wakes[i] = time.Duration(n) * time.Second
		}
	}
	row(w, "further wake-ups of a change", fmt.Sprintf("after %s, %s and %s", plan.Duration(wakes[0]), plan.Duration(wakes[1]), plan.Duration(wakes[2])))
	row(w, "gap when Intune is added", yes(s.GapOnCoexistence))
	names := make([]string, len(s.GapPlatforms))
	for i, p := range s.GapPlatforms {
		names[i] = p.String()
	}
	row(w, "platforms in the gap", strings.Join(names, ", "))
	row(w, "devices touched in an hour", strings.Replace(or(s.Blast, 0, "1000", ""), "-1", "any number", 1))
	for _, x := range s.Workloads {
		row(w, "workload "+x.Workload, x.Decider)
	}
	if s.PilotGroup != nil {
		row(w, "pilot group", *s.PilotGroup)
	}
}
