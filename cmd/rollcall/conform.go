//go:build !agentonly

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"rollcall/fleet/conformance"
	"rollcall/fleet/report"
	"rollcall/server/device"
)

// conformFlags are the flags of conform as they were given.
type conformFlags struct {
	askFlags
	mine, p256Keys                          bool
	as                                      string
	suites, owned, steps                    []string
	profile, link, nanomdm, nanomdmKey      string
	apnsListen, apnsCA, adeURL, adeIdentity string
	fcmListen, fcmCA, fcmKey, maker         string
	wnsListen, wnsCA, wnsIdentity           string
	proxyFrom, proxyHeader                  string
	atOnce                                  int
	total, request                          time.Duration
}

// askFlags are what servers and devices are asked by alike.
type askFlags struct {
	list, own, force                             bool
	explain, known, junit, html, badge, mischief string
	only                                         []string
}

func (f *askFlags) add(flags *pflag.FlagSet, whom string) {
	flags.BoolVar(&f.list, "list", false, "list the statements and end")
	flags.StringVar(&f.explain, "explain", "", "tell about the statement with this `ID`, or about all, and end: why it matters, how it is asked, how to keep it")
	flags.StringSliceVar(&f.only, "only", nil, "ask the statements with these `IDs` alone")
	flags.StringVar(&f.known, "known", "", "YAML `file` of known deviations, a list of id, reason and until: they fail no run, and passing does")
	flags.StringVar(&f.junit, "junit", "", "write JUnit XML to this `file`")
	flags.StringVar(&f.html, "html", "", "write one HTML page to this `file`")
	flags.StringVar(&f.badge, "badge", "", "write a badge (SVG) to this `file`")
	flags.BoolVar(&f.force, "force", false, "replace files that are there already")
	flags.BoolVar(&f.own, "own", false, "ask a "+whom+" of ours, started for this run, everything")
	flags.StringVar(&f.mischief, "mischief", "", "with --own: break the statement with this `ID` on purpose, so that its check can be seen to fail")
	_ = flags.MarkHidden("mischief") // never fails: it was added above
}

// An output is a file that a flag names, to be written.
type output struct{ flag, name string }

// free refuses to replace files.
func (f *askFlags) free(others ...output) error {
	for _, o := range append(others, output{"--junit", f.junit}, output{"--html", f.html}, output{"--badge", f.badge}) {
		if err := mayWrite(o.flag, o.name, f.force); err != nil {
			return err
		}
	}
	return nil
}

// write tells what a run came to, on standard output and in the files that were asked for.
func (f *askFlags) write(cmd *cobra.Command, result *conformance.Result) error {
	var err error
	if asJSON(cmd) {
		err = report.WriteJSON(cmd.OutOrStdout(), result.Report())
	} else {
		err = result.Summary(cmd.OutOrStdout())
	}
	for _, out := range []struct {
		name  string
		write func(io.Writer) error
	}{{f.junit, result.JUnit}, {f.html, result.Page}, {f.badge, result.Badge}} {
		if out.name == "" {
			continue
		}
		var b strings.Builder
		wrong := out.write(&b)
		if wrong == nil {
			wrong = writeFile(out.name, []byte(b.String()), 0o644)
		}
		err = errors.Join(err, wrong)
	}
	if err != nil {
		return err
	}
	return result.Err()
}

func conformCommand() *cobra.Command {
	var f conformFlags
	cmd := &cobra.Command{
		Use: "conform [URL]", Short: "Ask a live MDM server the numbered statements of the specifications, one verdict each", Args: cobra.MaximumNArgs(1),
		Long: `Ask a live MDM server the numbered statements of the specifications, from outside: by devices that behave, and by devices that
do not. Each statement ends with pass, fail (with the exchange that decided), or not applicable (with the reason).

The devices need a way to enrol. A server of ours invites them (--token-file or --data, as for other commands); for another
server give a profile with which anybody may enrol (--profile), the link of one (--link), or a command line (--step enrol=...).
What more can be asked depends on what the adapter can do: --nanomdm-api, or a command line for each step, which may stand beside it:

  enrol      prints a profile, or the URL of one, for ROLLCALL_PLATFORM
  android    prints an enrolment token for an Android device of ROLLCALL_MODE, without a user if ROLLCALL_USERLESS is yes
  windows    prints name and password, each on a line, for a Windows device, without a user if ROLLCALL_USERLESS is yes
  unlicensed prints the same for a user who has no licence for being managed
  profile    assigns the document on its standard input to ROLLCALL_DEVICE as ROLLCALL_PROFILE; nothing takes it away again
  queue      queues the command on its standard input for ROLLCALL_DEVICE; its UUID is ROLLCALL_COMMAND
  push       wakes ROLLCALL_DEVICE                 known      prints enrolled, if ROLLCALL_DEVICE is
  forget     removes ROLLCALL_DEVICE               devices    prints id and state of each device, so that it is seen what changes
  upload     takes the push certificate with its key on its standard input; ROLLCALL_CONFIRM is yes or no
  pushstate  prints topic and end of the push certificate in use, and warnings, one a line
  assign     assigns ROLLCALL_SERIAL for automated enrolment; ROLLCALL_AWAITING is yes or no
  authority  changes who manages devices, and back    clock, step    print the server's time, set it to ROLLCALL_TIME

Suite apple asks Apple's protocol, and input that is hostile. Suite android asks the open agent protocol for Android, and suite windows
Windows' own protocols (MS-MDE2, OMA DM), where the server offers them. Suite apns-gap asks what happens while the push certificate is not
renewed; it changes clock, push certificate and authority of the tenant, so it wants --tenant-is-mine and a server without other
devices. Statements of class intune are asked with --as intune alone. At the end every device of the run is taken out again.
Devices are asked by rollcall conform device.

Exit codes: 0 all that was asked is kept, 2 a must failed or another device changed, 3 a must could not be asked or what the run brought could
not be taken out again, 130 interrupted; what was found is told.`,
		Example: `  rollcall conform --own
  rollcall conform https://127.0.0.1:8443
  rollcall conform https://mdm.example.org --i-own-this mdm.example.org --profile enrol.mobileconfig --nanomdm-api https://mdm.example.org --junit out.xml
  rollcall conform --explain APL-053`,
	}
	c := &client{}
	c.register(cmd.Flags()) // a device is not reached by them
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case f.explain != "":
			return conformExplain(cmd, f.explain, false)
		case f.list:
			return conformList(cmd, false)
		case f.own == (len(args) == 1):
			return errors.New("give the URL of the server to ask, or --own to ask one of ours that is started for it")
		case len(args) == 1:
			c.server = args[0]
		}
		return conform(cmd, &f, c)
	}
	cmd.AddCommand(conformDeviceCommand())
	flags := cmd.Flags()
	f.add(flags, "server")
	flags.StringSliceVar(&f.suites, "suite", []string{string(conformance.Apple), string(conformance.Android), string(conformance.Windows)}, "suites to ask: apple, apns-gap, android, windows")
	flags.StringVar(&f.as, "as", "", "intune: ask what Intune does, too")
	flags.BoolVar(&f.mine, "tenant-is-mine", false, "allow what changes the whole tenant: its clock, its push certificate, its authority")
	flags.StringSliceVar(&f.owned, "i-own-this", nil, "`host` that may be asked although it is not this machine")
	flags.StringVar(&f.profile, "profile", "", "enrolment profile (`file`) with which any device may enrol")
	flags.StringVar(&f.link, "link", "", "`URL` that gives an enrolment profile to whoever asks; {platform} stands for ios, ipados or macos")
	flags.StringArrayVar(&f.steps, "step", nil, "`NAME=COMMAND`: a command line for a step; may be given again")
	flags.StringVar(&f.nanomdm, "nanomdm-api", "", "`URL` of NanoMDM, https://host:port, for its API")
	flags.StringVar(&f.nanomdmKey, "nanomdm-key-file", "", "`file` with the key of NanoMDM's API")
	flags.StringVar(&f.apnsListen, "apns-listen", "", "`address` of a push service for this run, to which the server is to send its pushes")
	flags.StringVar(&f.apnsCA, "apns-ca-out", "", "write the CA of that push service to this `file`; conform then waits for the server")
	flags.StringVar(&f.fcmListen, "fcm-listen", "", "`address` of an FCM for this run, to which the server is to send its messages to Android devices; conform then waits for the server")
	flags.StringVar(&f.fcmKey, "fcm-key-out", "", "with --fcm-listen: write the key of the service account that may send to this `file`")
	flags.StringVar(&f.fcmCA, "fcm-ca-out", "", "write the CA of that FCM to this `file`")
	flags.StringVar(&f.wnsListen, "wns-listen", "", "`address` of a WNS for this run, to which the server is to send its notifications to Windows devices; conform then waits for the server")
	flags.StringVar(&f.wnsIdentity, "wns-identity-out", "", "with --wns-listen: write the identity that may send, as serve --wns takes it, to this `file`")
	flags.StringVar(&f.wnsCA, "wns-ca-out", "", "write the CA of that WNS to this `file`")
	flags.StringVar(&f.maker, "android-maker", "", "Android devices attest the keys that they enrol with: `file` with the CA of their maker, as rollcall fleet maker-ca makes it, which the server trusts")
	flags.StringVar(&f.adeURL, "ade-url", "", "`URL` where devices enrol automatically")
	flags.StringVar(&f.adeIdentity, "ade-identity", "", "`file` (PEM) with a factory identity that the server trusts: certificate, chain and key")
	flags.StringVar(&f.proxyFrom, "proxy-from", "", "`address` of this machine from which the server takes a device's certificate in a header, as from its proxy")
	flags.StringVar(&f.proxyHeader, "proxy-header", device.ProxyHeader, "that header")
	flags.BoolVar(&f.p256Keys, "p256-keys", false, "devices ask for P-256 identities, made at once, as no real one does by SCEP; with --own it is so unless it is said to be false")
	flags.IntVar(&f.atOnce, "at-once", 4, "checks at the same time")
	flags.DurationVar(&f.total, "time", 10*time.Minute, "end after this time, with what is known by then")
	flags.DurationVar(&f.request, "request-time", 10*time.Second, "wait so long for an answer")
	return cmd
}

// conform runs the checks and writes what they came to.
func conform(cmd *cobra.Command, f *conformFlags, c *client) error {
	ctx := cmd.Context()
	known, err := f.deviations()
	if err != nil {
		return err
	}
	if err := f.free(output{"--apns-ca-out", f.apnsCA}, output{"--fcm-ca-out", f.fcmCA}, output{"--fcm-key-out", f.fcmKey}, output{"--wns-ca-out", f.wnsCA}, output{"--wns-identity-out", f.wnsIdentity}); err != nil {
		return err
	}
	config, stop, err := f.config(ctx, cmd, c)
	if err != nil {
		return err
	}
	defer stop()
	config.Progress = conformProgress(cmd.ErrOrStderr())
	result, err := conformance.Run(ctx, config)
	if err != nil {
		return err
	}
	result.Apply(known)
	return f.write(cmd, result)
}

// deviations reads --known.
func (f *askFlags) deviations() ([]conformance.Deviation, error) {
	if f.known == "" {
		return nil, nil
	}
	file, err := os.Open(f.known)
	if err != nil {
		return nil, fmt.Errorf("--known: %w", err)
	}
	defer file.Close()
	list, err := conformance.ReadKnown(file, time.Now())
	if err != nil {
		return nil, fmt.Errorf("--known: %s: %w", f.known, err)
	}
	return list, nil
}

// conformProgress shows each statement as it is decided, on a terminal.
func conformProgress(w io.Writer) func(conformance.Finding) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	n := 0
	return func(f conformance.Finding) {
		n++
		fmt.Fprintf(w, "%3d  %-14s %s\n", n, f.Outcome, f.ID)
	}
}

// listed are the statements about servers, or about devices.
func listed(devices bool) []conformance.Statement {
	return slices.DeleteFunc(conformance.List(), func(s conformance.Statement) bool { return s.Suite.OfDevices() != devices })
}

func conformList(cmd *cobra.Command, devices bool) error {
	type line struct {
		ID     string `json:"id"`
		Suite  string `json:"suite"`
		Class  string `json:"class"`
		Level  string `json:"level"`
		Says   string `json:"statement"`
		Source string `json:"source"`
		Until  string `json:"not_applicable_until"`
	}
	var all []line
	for _, s := range listed(devices) {
		all = append(all, line{s.ID, string(s.Suite), string(s.Class), s.Level(), s.Says, s.Source, s.Until})
	}
	return show(cmd, map[string]any{"statements": all}, func(w io.Writer) {
		for _, s := range all {
			says := s.Says
			if s.Until != "" {
				says += " (not applicable until " + s.Until + ")"
			}
			row(w, s.ID, s.Suite, s.Class, s.Level, says)
		}
	})
}

// conformExplain tells about one statement, or about all that are asked of servers, or of devices.
func conformExplain(cmd *cobra.Command, id string, devices bool) error {
	all := listed(devices)
	if id != "all" {
		s, ok := conformance.Find(id)
		if !ok {
			return fmt.Errorf("there is no statement %q; --list shows them", id)
		}
		all = []conformance.Statement{s}
	}
	out := json.NewEncoder(cmd.OutOrStdout())
	var told []map[string]string
	for i := range all {
		s := &all[i]
		told = append(told, map[string]string{
			"id": s.ID, "suite": string(s.Suite), "class": string(s.Class), "level": s.Level(), "statement": s.Says, "source": s.Source, "why": s.Why, "report": s.Report,
			"how": s.How, "fix": s.Fix, "not_applicable_until": s.Until,
		})
	}
	switch {
	case asJSON(cmd) && id == "all":
		return out.Encode(map[string]any{"statements": told})
	case asJSON(cmd):
		return out.Encode(told[0])
	}
	for i := range all {
		s := &all[i]
		text := fmt.Sprintf("%s (%s, %s, class %s)\n%s\n\nSource: %s\n", s.ID, s.Suite, s.Level(), s.Class, s.Says, s.Source)
		for _, part := range [][2]string{{"Why it matters", s.Why}, {"Field report", s.Report}, {"How it is asked", s.How}, {"How to keep it", s.Fix}, {"Not applicable until", s.Until}} {
			if part[1] != "" {
				text += fmt.Sprintf("\n%s\n  %s\n", part[0], part[1])
			}
		}
		if i < len(all)-1 {
			text += "\n\n"
		}
		if _, err := io.WriteString(cmd.OutOrStdout(), text); err != nil {
			return err
		}
	}
	return nil
}
