//go:build !agentonly

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rollcall/certs"
	"rollcall/fleet/apply"
	"rollcall/fleet/plan"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// applyFlags are the flags of apply as they were given.
type applyFlags struct {
	rehearse rehearseFlags // of the rehearsal: language and report

	confirm, state    string
	links             string
	yes               []string
	push              []string
	appleID, password string
	pin               string
	seed              uint64
	start             string
	late              bool
	others            bool
	force             bool
}

func applyCommand() *cobra.Command {
	var f applyFlags
	cmd, c := clientCommand(&cobra.Command{
		Use: "apply PLAN", Short: "Do what a plan says to a running server, once it was rehearsed on its own devices", Args: cobra.ExactArgs(1),
		Long: `Do the timeline of a plan to a running server's tenant: change the authority, upload push certificates, assign licences and
profiles, grant consents, have support move devices, unenrol devices and make links to enrol them again, send commands, wake
devices for a sync.

Without --confirm nothing is done: the tenant is read through the API (users, licences, devices, profiles, settings), the plan is
rehearsed on it, and its findings, its steps and, unless a limit or an invariant is broken, an id are shown. With --confirm ID the
steps are done, each at its moment on the server's clock, counted from --start or else from then on; a plan for working hours needs
--start. If plan or tenant have changed since the rehearsal, nothing is done and what differs is named (HST-070).

Before a step that cannot be taken back it says who is affected and asks; in a script, --yes-to NUMBER (or all) says yes, and
without one it ends there with exit code 2. Devices that the server refuses are named, and the exit code is 2. How far it has come
is kept in a file beside the plan: after Ctrl-C, a crash or a pause the same command goes on, a step is never done twice, and one
whose answer was lost is looked up on the server first. It also ends at a step that is more than a quarter of an hour late, since
overdue steps would all be done at once: --late does that step now, and puts off those after it by as much. It ends as well (exit
code 2) where the server's journal says that somebody else, perhaps with a copy of the same state file, has done what a step does:
--others goes on all the same.

A plan may leave out tenant and population: the live tenant's are meant. One of rollcall plan waves for an export has stand-in
profiles (company mail, restrictions): put your own there first by rollcall profiles apply, and their names in the plan.

A plan with what no administrator does (devices that enrol, are absent or are unenrolled by their users, faults, loads) is refused
by line and field. The users of ask_users_to_sync are not written to: their devices are woken.`,
		Example: `  rollcall apply change.yaml
  rollcall apply change.yaml --confirm 5d1f0c52a07be911
  rollcall apply waves.yaml --start 2026-12-01T08:00:00Z --confirm 5d1f0c52a07be911
  rollcall apply change.yaml --confirm 5d1f0c52a07be911 --yes-to 1,4 --push-certificate renewed.pem`,
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd, c, args[0]) }
	flags := cmd.Flags()
	flags.StringVar(&f.confirm, "confirm", "", "`ID` of the rehearsal: do exactly what it has shown, or nothing")
	flags.StringSliceVar(&f.yes, "yes-to", nil, "`NUMBER` of a step that cannot be taken back, to be done without a question; all: each of them")
	flags.StringVar(&f.state, "state", "", "`FILE` that keeps the rehearsal and how far it has come (default: beside the plan, PLAN.applied.json)")
	flags.StringSliceVar(&f.push, "push-certificate", nil, "`FILE` with a renewed push certificate and its key (PEM or PKCS#12), one for each such upload in turn (default: a server with a simulated push service makes one)")
	flags.StringVar(&f.appleID, "apple-id", "", "Apple ID that they were made with")
	flags.StringVar(&f.password, "password-file", "", "file with the password of a PKCS#12")
	flags.StringVar(&f.links, "links", "", "append the links with which users enrol again to `FILE`, which is secret (default: beside the plan, PLAN.links.csv)")
	flags.StringVar(&f.pin, "pin", "", "six digits for Macs that are locked or erased")
	flags.StringVar(&f.start, "start", "", "`MOMENT` (RFC 3339) at which the plan begins, and its steps count from (default: when it is confirmed)")
	flags.BoolVar(&f.late, "late", false, "do a step although its moment is past, and put off the others by as much")
	flags.BoolVar(&f.others, "others", false, "go on although somebody else has done what a step of the plan does")
	flags.Uint64Var(&f.seed, "seed", 0, "seed that decides whom a share of users or devices means, instead of the plan's")
	flags.Var(&f.rehearse.language, "lang", "`LANGUAGE` of what is told and of the report: en or nl")
	flags.StringVar(&f.rehearse.report, "report", "", "rehearsal: write report.html, result.json and the list of devices into `DIR`")
	flags.BoolVar(&f.force, "force", false, "rehearse anew, although the plan has begun or the report is there")
	return cmd
}

func (f *applyFlags) run(cmd *cobra.Command, c *client, name string) (err error) {
	if cmd.Flags().Changed("confirm") && f.confirm == "" {
		return errors.New("--confirm: empty; want the ID that the rehearsal has shown, or no --confirm to rehearse")
	}
	start, err := moment("start", f.start)
	if err != nil {
		return err
	}
	t, err := c.target()
	if err != nil {
		return err
	}
	if f.state == "" {
		f.state = strings.TrimSuffix(name, filepath.Ext(name)) + ".applied.json"
	}
	if f.links == "" {
		f.links = strings.TrimSuffix(name, filepath.Ext(name)) + ".links.csv"
	}
	record, err := apply.Open(f.state)
	if err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	defer record.Close()
	p, now, err := f.look(cmd, t, record, name)
	if err != nil {
		return err
	}
	if f.confirm != "" {
		return f.apply(cmd, t, p, now, record, name, start)
	}
	if record.Start != 0 && record.Left() > 0 && !f.force {
		next := record.Next()
		return fmt.Errorf("%s: the plan has begun, and %d of its steps are left, the first of them step %d (%s, %s): go on with --confirm %s, or give up what is left with --force", f.state, record.Left(), next.Number, next.Field, next.Text, record.ID)
	}
	f.rehearse.force = f.force
	return f.show(cmd, t, p, now, record, name, start)
}

// look reads the plan and, unless it has begun, the tenant: whose devices they are that a plan without its own is about.
func (f *applyFlags) look(cmd *cobra.Command, t *target.Rollcall, record *apply.Record, name string) (p *plan.Plan, now *apply.Snapshot, err error) {
	p, wrong := loadPlan(name)
	there := record.There
	if begun := record.Start != 0 && f.confirm != ""; !begun {
		if now, err = apply.Read(cmd.Context(), t); err != nil { // then nobody knows whether the plan suits the tenant, but what is wrong with it for any is known
			if mistakes := apply.Mistakes(func(of *plan.Tenancy) (*plan.Plan, error) { return loadPlanFor(name, of) }); mistakes != nil {
				return nil, nil, mistakes
			}
			return nil, nil, err
		}
		there = now.Tenancy()
	}
	if wrong != nil {
		if p, err = loadPlanFor(name, there); err != nil {
			return nil, nil, err
		}
	}
	if cmd.Flags().Changed("seed") {
		p.Seed = f.seed
	}
	return p, now, nil
}

// An applied is the section of the result that is apply's own.
type applied struct {
	ID     string       `json:"id"` // empty: there is nothing to confirm
	Server string       `json:"server"`
	State  string       `json:"state"` // the file
	Said   []string     `json:"said"`  // what of the plan is not done, and what the rehearsal cannot know
	Left   int          `json:"left"`  // steps not done
	Steps  []apply.Step `json:"steps"`
}

// show rehearses the plan on the live tenant, and keeps what there is to confirm.
func (f *applyFlags) show(cmd *cobra.Command, t *target.Rollcall, p *plan.Plan, s *apply.Snapshot, record *apply.Record, name string, start protocol.Time) error {
	begun := time.Now()
	steps, staged, said, err := apply.Prepare(p, s)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		return fmt.Errorf("%s: there is nothing in its timeline that is done to a server", name)
	}
	if f.rehearse.report != "" {
		if err := report.CheckDir(f.rehearse.report, f.force); err != nil {
			return err
		}
	}
	bar := newProgress(cmd.ErrOrStderr(), f.rehearse.language)
	played, err := rehearsal.Play(cmd.Context(), rehearsal.Config{Plan: staged, Population: s.Population, Progress: bar.show, Source: rehearsal.Source{Export: t.URL, Devices: len(s.Population.Devices)}})
	bar.done()
	if err != nil {
		return err
	}
	answers := played.Answer(0)
	result := played.Result(answers)
	result.Command = "apply"
	cpu, peak := usage()
	result.WallSeconds, result.CPUSeconds, result.PeakRSSBytes = time.Since(begun).Seconds(), cpu.Seconds(), peak
	played.Judge(result)
	if err := f.rehearse.write(result, answers, s.Population); err != nil {
		return err
	}
	said = append(said, s.Doubts...)
	if last := steps[len(steps)-1].At; start == 0 && last > 0 {
		said = append(said, lang.English.Say("there is no --start: the plan begins when it is confirmed, whatever time of the day that is, and its last step is %s later", last.String()))
	}
	own := applied{Server: t.URL, State: f.state, Said: said, Left: len(steps), Steps: steps}
	if result.Verdict == report.OK {
		if err := record.Keep(apply.Rehearsed(t.URL, p, s, steps)); err != nil {
			return fmt.Errorf("--state: %w", err)
		}
		own.ID = record.ID
	}
	result.Sections["apply"] = own
	if err := present(cmd, result, answers.Story(f.rehearse.language, s.Population)); err != nil {
		return err
	}
	if !asJSON(cmd) {
		in := f.rehearse.language
		tellSteps(cmd.OutOrStdout(), in, &own, start)
		if own.ID == "" {
			fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", in.Say("nothing was done, and there is nothing to confirm: what the plan demands did not hold in the rehearsal"))
		} else {
			fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n  %s\n", in.Say("nothing was done; this does what is shown:"), again(cmd, name, "--confirm", own.ID))
		}
	}
	if err := result.ErrIn(f.rehearse.language); err != nil {
		return err
	}
	return f.rehearse.whereReport(cmd)
}

// tellSteps prints what there is to do.
func tellSteps(w io.Writer, in lang.Language, a *applied, start protocol.Time) {
	fmt.Fprintf(w, "\n%s\n", in.Say("What is done to %s", a.Server))
	for i := range a.Steps {
		s := &a.Steps[i]
		at := fmt.Sprintf("%-8s", s.At)
		if start != 0 {
			at += "  " + when(start.Add(time.Duration(s.At))) + "Z"
		}
		fmt.Fprintf(w, "  %2d  %s  %s: %s\n", s.Number, in.Say("at %s", at), in.Retell(s.Text), s.Whom().In(in))
		if s.Irreversible != "" {
			fmt.Fprintf(w, "      %s\n", in.Say("cannot be taken back: %s", in.Retell(s.Irreversible)))
		}
	}
	for _, said := range a.Said {
		fmt.Fprintln(w, "  "+in.Say("note: %s", in.Retell(said)))
	}
}

// tellMoments prints when what is left is done.
func tellMoments(w io.Writer, in lang.Language, record *apply.Record, unsaid bool) {
	if record.Left() == 0 {
		return
	}
	if unsaid {
		fmt.Fprintln(w, in.Say("there is no --start: the plan counts from %s", when(record.Start)+"Z"))
	}
	for i := range record.Steps {
		if s := &record.Steps[i]; s.State != apply.Done {
			fmt.Fprintf(w, "  %2d  %sZ  %s\n", s.Number, when(record.Moment(s)), in.Retell(s.Text))
		}
	}
}

// apply does what is left of what was confirmed.
func (f *applyFlags) apply(cmd *cobra.Command, t *target.Rollcall, p *plan.Plan, now *apply.Snapshot, record *apply.Record, name string, start protocol.Time) error {
	if err := record.Confirm(f.confirm, t.URL, p, now); err != nil {
		return err
	}
	if err := f.allow(record); err != nil {
		return err
	}
	uploads, err := f.uploads()
	if err != nil {
		return err
	}
	notes, in, unsaid := cmd.ErrOrStderr(), f.rehearse.language, start == 0 && record.Start == 0
	run := apply.Runner{
		Link: f.link, Waits: func(s *apply.Step, until protocol.Time) {
			fmt.Fprintln(notes, in.Say("step %d of %d waits for %s by the server's clock: %s", s.Number, len(record.Steps), when(until), in.Retell(s.Text)))
		},
		Begins: func() { tellMoments(notes, in, record, unsaid) },
		Server: t, Record: record, Start: start, Push: uploads, PIN: f.pin, Late: f.late, Others: f.others, Wait: apply.Sleep, Ask: asker(cmd, in),
		Lost: func(why error) {
			if why == nil {
				fmt.Fprintln(notes, in.Say("the server answers again"))
				return
			}
			fmt.Fprintln(notes, in.Say("the server does not answer, and is asked again until it does: %s", why.Error()))
		},
		Tell: func(s *apply.Step) {
			if s.State == apply.Done {
				fmt.Fprintf(notes, "%s  %s\n", when(s.Done), in.Say("step %d of %d: %s: %s", s.Number, len(record.Steps), in.Retell(s.Text), in.Retell(s.Outcome)))
			}
		},
	}
	failed := run.Run(cmd.Context())
	result := report.Result{Version: 1, Command: "apply", Verdict: report.OK, Seed: p.Seed, Sections: map[string]any{
		"apply": applied{ID: record.ID, Server: t.URL, State: f.state, Left: record.Left(), Steps: record.Steps},
	}}
	result.Devices.Total, result.Devices.Enrolled = record.Devices()
	goOn := again(cmd, name, "--confirm", record.ID)
	_, overdue := errors.AsType[*apply.Overdue](failed)
	switch pause, paused := errors.AsType[*apply.Pause](failed); {
	case paused:
		result.Verdict, result.Reasons = report.Failed, []string{pause.Error() + "; to say yes: " + goOn + " --yes-to " + strconv.Itoa(pause.Step.Number)}
	case overdue:
		result.Verdict, result.Reasons = report.Failed, []string{failed.Error() + "; to do it now, and what is left as much later: " + goOn + " --late"}
	case cmd.Context().Err() != nil:
		result.Verdict, result.Reasons = report.Partial, []string{fmt.Sprintf("interrupted with %d of %d steps left; to go on: %s", record.Left(), len(record.Steps), goOn)}
	case failed != nil:
		failed = fmt.Errorf("%w; %d of %d steps are left; %s", failed, record.Left(), len(record.Steps), onward(failed, goOn, again(cmd, name, "--force")))
		result.Verdict, result.Reasons, result.Error = report.Error, []string{failed.Error()}, troubleOf(failed)
	default:
		if result.Reasons = record.Refused(); result.Reasons != nil {
			result.Verdict = report.Failed
		}
	}
	if asJSON(cmd) {
		if err := report.WriteJSON(cmd.OutOrStdout(), &result); err != nil {
			return err
		}
	} else if failed == nil {
		fmt.Fprintln(cmd.OutOrStdout(), in.Say("all %d steps are done; rollcall authority verify and rollcall audit tell what became of it", len(record.Steps)))
	}
	switch result.Verdict {
	case report.OK:
		return nil
	case report.Error:
		return &written{failed}
	}
	return &unfinished{result.Verdict, strings.Join(result.Reasons, "; ")}
}

// onward says what to do about the error that ended a plan, by the command that goes on and the one that rehearses what is left.
func onward(failed error, goOn, anew string) string {
	no, answered := errors.AsType[*target.Error](failed)
	_, refused := errors.AsType[*protocol.Refusal](failed)
	_, contested := errors.AsType[*apply.Contested](failed)
	switch {
	case contested:
		return "if nobody else applies this plan, go on with: " + goOn + " --others"
	case refused, answered && no.Status/100 == 4:
		return "mend what the step is refused for on the server, then go on with: " + goOn + "; or take it and what is done out of the plan, and rehearse what is left: " + anew
	}
	return "to go on: " + goOn
}

// troubleOf is an error as a result has it.
func troubleOf(err error) *report.Trouble {
	p := problemOf(err)
	return &report.Trouble{Rule: string(p.Rule), Message: p.Message, File: p.File, Line: p.Line, Field: p.Field}
}

// An unfinished is why a plan that is being applied has ended before its last step, or what of it was refused.
type unfinished struct{ verdict, reason string }

func (u *unfinished) Error() string   { return u.reason }
func (u *unfinished) Verdict() string { return u.verdict }

// allow says yes to the steps that --yes-to names.
func (f *applyFlags) allow(record *apply.Record) error {
	for _, name := range f.yes {
		if name == "all" {
			for i := range record.Steps {
				record.Steps[i].Allowed = true
			}
			continue
		}
		n, err := strconv.Atoi(name)
		if err != nil || n < 1 || n > len(record.Steps) {
			return fmt.Errorf("--yes-to %q: want the number of a step, 1 to %d, or all", name, len(record.Steps))
		}
		record.Steps[n-1].Allowed = true
	}
	return nil
}

// uploads reads the push certificates.
func (f *applyFlags) uploads() (list []target.PushUpload, err error) {
	password := ""
	if f.password != "" {
		b, err := os.ReadFile(f.password)
		if err != nil {
			return nil, fmt.Errorf("--password-file: %w", err)
		}
		password = firstLine(b)
	}
	for _, name := range f.push {
		b, err := readInput(name)
		if err != nil {
			return nil, fmt.Errorf("--push-certificate: %w", err)
		}
		if _, err := certs.ReadPush(b, password); err != nil {
			return nil, fmt.Errorf("--push-certificate %s: %w", name, err)
		}
		list = append(list, target.PushUpload{Certificate: b, Password: password, AppleID: f.appleID})
	}
	return list, nil
}

// link appends a link to enrol again to --links.
func (f *applyFlags) link(device string, i target.Invitation) error {
	file, err := os.OpenFile(f.links, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("--links: %w", err)
	}
	_, err = fmt.Fprintf(file, "%s\n", strings.Join([]string{device, i.User, i.URL, when(i.Expires)}, ","))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("--links: %w", err)
	}
	return nil
}

// asker asks on a terminal; nil: there is none.
func asker(cmd *cobra.Command, l lang.Language) func(*apply.Step, string) (bool, error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	lines := bufio.NewReader(in)
	return func(s *apply.Step, about string) (bool, error) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s\n  %s: %s\n  %s\n%s ", l.Say("Step %d: %s", s.Number, l.Retell(s.Text)), s.Whom().In(l), l.Retell(about), l.Say("It cannot be taken back: %s", l.Retell(s.Irreversible)), l.Say("Type yes to do it:"))
		text := make(chan string, 1)
		go func() { // a read of a terminal cannot be ended
			line, _ := lines.ReadString('\n')
			text <- line
		}()
		select {
		case <-cmd.Context().Done():
			return false, cmd.Context().Err()
		case line := <-text:
			return slices.Contains([]string{"yes", "y", l.Say("yes")}, strings.ToLower(strings.TrimSpace(line))), nil
		}
	}
}
