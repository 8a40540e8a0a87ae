//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rollcall/fleet/plan"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/renewal"
)

func authoritySettingsCommand(c *client) *cobra.Command {
	var f settingsFlags
	cmd := &cobra.Command{
		Use: "settings", Short: "Show the tenant's settings, or change those that are given", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, given, err := f.read(cmd.Flags())
			if err != nil {
				return err
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			owned := s.Units
			if given {
				if err := changeSettings(cmd.Context(), t, s); err != nil {
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
	f.declare(cmd.Flags())
	return cmd
}

// changeSettings changes what s has of the tenant's settings: those of its version, or where it has none those of this moment (HST-070).
func changeSettings(ctx context.Context, t *target.Rollcall, s target.Settings) error {
	if s.Version == "" {
		present, err := t.Settings(ctx)
		if err != nil {
			return err
		}
		s.Version = present.Version
	}
	return t.SetSettings(ctx, s)
}

// settingsFlags are the settings as they are given on a command line.
type settingsFlags struct {
	cleanUp, limit, validity, lag, old, records, grace, counted, blast int

	cadence, reach, lifetime, window, retry             time.Duration
	onCoexistence, deviceLicences, unlicensed, userless bool
	version, units, gate, pilots                        string

	attempts, gapPlatforms []string
	warnings               []int
	workloads              map[string]string
}

func (f *settingsFlags) declare(flags *pflag.FlagSet) {
	flags.StringVar(&f.version, "version", "", "`VERSION` of the settings as they were shown: change nothing if they have changed since (HST-070)")
	flags.IntVar(&f.cleanUp, "clean-up-days", 0, "delete records of devices that are silent for so many days, 30 to 270; 0: none (AUTH-48)")
	flags.StringVar(&f.units, "intune-units", "", "`NUMBER` of licences owned that entitle Intune, or unknown (AUTH-09)")
	flags.BoolVar(&f.deviceLicences, "device-licences", false, "there are device licences for userless devices (AUTH-47)")
	flags.BoolVar(&f.unlicensed, "unlicensed-admins", false, "an administrator need hold no licence that entitles Intune (AUTH-08)")
	flags.StringVar(&f.gate, "licence-gate", "", "whether enrolment asks for the user's licence: where-known, always or never (AUTH-47)")
	flags.StringToStringVar(&f.workloads, "workload", nil, "who decides a workload of co-managed PCs, as in compliance=pilot: configmgr, pilot or intune (AUTH-51)")
	flags.StringVar(&f.pilots, "pilot-group", "", "group of the users whose PCs are in the pilot (AUTH-51)")
	flags.IntVar(&f.blast, "blast-limit", 0, "devices that wipes, deletions and changes may touch in an hour; 0: 1000; -1: any number (HST-071)")
	flags.IntVar(&f.limit, "device-limit", 0, "devices a user may have, 1 to 15; 0: 15 (AUTH-47)")
	flags.StringSliceVar(&f.attempts, "attempts", nil, "when a device that does not answer a change is woken again, after the first time: three, as in 15m,1h,4h, which is the default (AUTH-20)")
	flags.IntVar(&f.lag, "console-lag-days", 0, "days for which the console's compliance figures may lag behind a change; 0: 7 (AUTH-29)")
	flags.IntVar(&f.validity, "compliance-days", 0, "days for which a report of compliance is valid, 1 to 120; 0: 30 (AUTH-49)")
	flags.IntVar(&f.old, "old-profile-days", 0, "days for which the former authority's profiles stay after a future change, 1 to 90; 0: 7 (AUTH-27)")
	flags.IntVar(&f.records, "record-days", 0, "days by which records outlive their identity certificates, 1 to 3650; 0: 180 (AUTH-43)")
	flags.IntVar(&f.grace, "push-grace-days", 0, "days for which a push certificate that has ended can be renewed, 1 to 365; 0: 30 (AUTH-33)")
	flags.IntSliceVar(&f.warnings, "push-warning-days", nil, "days before the end of a push certificate at which to warn of it, the most first, as in 30,14,7,1, which is the default (AUTH-33)")
	flags.IntVar(&f.counted, "device-contact-days", 0, "days after its latest contact for which a device counts against its user's limit, 1 to 365; 0: 90 (AUTH-47)")
	durationVar(flags, &f.cadence, "cadence", 0, "time between two scheduled wake-ups of an Apple device, 1h to 24h; 0s: 8h; other devices poll by themselves (AUTH-21)")
	durationVar(flags, &f.reach, "reach", 0, "time after which a wipe or retire is repeated if its device has not heard of it, 1m to 1h; 0s: 15m (AUTH-53)")
	durationVar(flags, &f.lifetime, "identity-lifetime", 0, "validity of identities that are issued from now on, 1h to 3650d; 0s: 365d (AUTH-40)")
	durationVar(flags, &f.window, "renewal-window", 0, "time before its end in which an identity is renewed, up to 365d; 0s: 42d (AUTH-41)")
	durationVar(flags, &f.retry, "renewal-retry", 0, "time between two tries to renew, up to 90d; 0s: 7d (AUTH-41)")
	flags.BoolVar(&f.userless, "accept-userless", false, "userless devices may enrol under office365 alone (AUTH-19)")
	flags.BoolVar(&f.onCoexistence, "gap-on-coexistence", true, "adding Intune needs a renewed push certificate (AUTH-30)")
	flags.StringSliceVar(&f.gapPlatforms, "gap-platforms", nil, "platforms that wait for it: some of ios, ipados and macos (AUTH-30)")
}

// read returns the settings that are given, and whether there are any beside the version. The error names the flag whose word it is.
func (f *settingsFlags) read(flags *pflag.FlagSet) (s target.Settings, given bool, err error) {
	on := func(name string) bool {
		changed := flags.Changed(name)
		given = given || changed
		return changed
	}
	s.Version = f.version
	put(on("clean-up-days"), &s.CleanUpDays, f.cleanUp)
	put(on("device-limit"), &s.DeviceLimit, f.limit)
	put(on("compliance-days"), &s.ValidityDays, f.validity)
	put(on("console-lag-days"), &s.LagDays, f.lag)
	put(on("old-profile-days"), &s.OldProfileDays, f.old)
	put(on("record-days"), &s.RecordDays, f.records)
	put(on("push-grace-days"), &s.PushGraceDays, f.grace)
	put(on("device-contact-days"), &s.CountedDays, f.counted)
	put(on("blast-limit"), &s.Blast, f.blast)
	put(on("cadence"), &s.Cadence, target.SecondsOf(f.cadence))
	put(on("reach"), &s.Reach, target.SecondsOf(f.reach))
	put(on("identity-lifetime"), &s.Lifetime, target.SecondsOf(f.lifetime))
	put(on("renewal-window"), &s.Window, target.SecondsOf(f.window))
	put(on("renewal-retry"), &s.Renew, target.SecondsOf(f.retry))
	put(on("accept-userless"), &s.AcceptUserless, f.userless)
	put(on("gap-on-coexistence"), &s.GapOnCoexistence, f.onCoexistence)
	put(on("device-licences"), &s.DeviceLicences, f.deviceLicences)
	put(on("unlicensed-admins"), &s.UnlicensedAdmins, f.unlicensed)
	put(on("pilot-group"), &s.PilotGroup, f.pilots)
	if on("push-warning-days") {
		s.PushWarningDays = append([]int{}, f.warnings...) // empty is the default
	}
	if on("intune-units") {
		n, err := unitsNamed(f.units)
		if err != nil {
			return s, given, err
		}
		s.Units = &n
	}
	if on("licence-gate") {
		if err := new(delivery.LicenceGate).UnmarshalText([]byte(f.gate)); err != nil {
			return s, given, fmt.Errorf("--licence-gate: %w", err)
		}
		s.LicenceGate = &f.gate
	}
	if on("attempts") {
		if s.Attempts, err = attemptsNamed(f.attempts); err != nil {
			return s, given, fmt.Errorf("--attempts: %w", err)
		}
	}
	if on("gap-platforms") {
		s.GapPlatforms = make([]protocol.Platform, len(f.gapPlatforms))
		for i, name := range f.gapPlatforms {
			if err := s.GapPlatforms[i].UnmarshalText([]byte(name)); err != nil {
				return s, given, fmt.Errorf("--gap-platforms: %w", err)
			}
		}
	}
	if on("workload") {
		for _, name := range slices.Sorted(maps.Keys(f.workloads)) {
			if err := checkWorkload(name, f.workloads[name]); err != nil {
				return s, given, err
			}
			s.Workloads = append(s.Workloads, target.Workload{Workload: name, Decider: f.workloads[name]})
		}
	}
	return s, given, nil
}

// put sets what is given.
func put[T any](given bool, to **T, value T) {
	if given {
		*to = &value
	}
}

func attemptsNamed(texts []string) ([]target.Seconds, error) {
	all := make([]target.Seconds, len(texts))
	for i, text := range texts {
		d, err := plan.ParseDuration(text)
		if err != nil {
			return nil, err
		}
		all[i] = target.SecondsOf(d)
	}
	if len(all) != 3 {
		return nil, errors.New("want three, as in 15m,1h,4h")
	}
	return all, nil
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
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: AUTH-09: %s a licence that entitles Intune, and the tenant owns %d: nobody gets another one\n", number(held, "user holds", "users hold"), owned)
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
