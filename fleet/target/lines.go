package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
)

const (
	lineTime   = 30 * time.Second // that one command line may take
	lineOutput = 1 << 20          // bytes of its output that are read
)

// Lines are the steps of a server as command lines for the shell, by their names:
//
//	enrol      prints an enrolment profile, or the URL of one; ROLLCALL_PLATFORM says for what
//	android    prints an enrolment token for an Android device of ROLLCALL_MODE, FULLY_MANAGED for one; ROLLCALL_USERLESS is yes or no
//	windows    prints the name and the password, each on a line, with which a Windows device enrols; ROLLCALL_USERLESS is yes or no
//	package    prints a bootstrap certificate and its key, PEM, by which ROLLCALL_MACHINES Windows machines enrol for nobody
//	unlicensed the same as windows for a user who has no licence for being managed, where others have one
//	profile    gets a document on its standard input, which ROLLCALL_DEVICE is to have as ROLLCALL_PROFILE; nothing: takes it away again
//	queue      gets a command as property list on its standard input; ROLLCALL_DEVICE and ROLLCALL_COMMAND (its UUID)
//	push       wakes ROLLCALL_DEVICE
//	known      prints how ROLLCALL_DEVICE stands: enrolled, or anything else
//	forget     removes ROLLCALL_DEVICE
//	devices    prints the devices that the server has, one a line: its id, and words that change when anything of it does
//	assign     assigns ROLLCALL_SERIAL for automated enrolment; ROLLCALL_AWAITING is yes or no
//	upload     gets a push certificate with its key (PEM) on its standard input; ROLLCALL_CONFIRM is yes or no
//	pushstate  prints the topic of the push certificate in use, its end (RFC 3339), and what is to be warned of, one a line
//	authority  changes who manages devices, and back when it is called again; for a server that is like Intune
//	clock      prints the server's time (RFC 3339)
//	step       sets that ahead to ROLLCALL_TIME, where it is there for tests
//
// A line that fails is a step that was refused; the last line of its standard error says why.
type Lines map[string]string

// Check names what is no step, or wants another.
func (l Lines) Check() error {
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if !slices.Contains(lineNames, name) {
			return fmt.Errorf("%q is no step: want one of %s", name, strings.Join(lineNames, ", "))
		}
	}
	if l["step"] != "" && l["clock"] == "" {
		return errors.New("step sets a clock that nobody can read: clock must be there too")
	}
	return nil
}

// lineNames are the names of the steps.
var lineNames = []string{"enrol", "android", "windows", "package", "unlicensed", "profile", "queue", "push", "known", "forget", "devices", "assign", "upload", "pushstate", "authority", "clock", "step"}

// Over puts the steps that l has a line for in the place of those of s.
func (l Lines) Over(s *Steps) {
	set := func(name string) bool { return l[name] != "" }
	if set("enrol") {
		s.Enrol = l.enrol
	}
	if set("android") {
		s.EnrolAndroid = func(ctx context.Context, mode android.Mode, owner int) (string, error) {
			out, err := RunLine(ctx, l["android"], nil, "ROLLCALL_MODE="+string(mode), "ROLLCALL_USERLESS="+yesOrNo(owner == 0))
			return strings.TrimSpace(string(out)), err
		}
	}
	if set("windows") {
		s.EnrolWindows = func(ctx context.Context, owner int) (user, password string, err error) {
			return credential(RunLine(ctx, l["windows"], nil, "ROLLCALL_USERLESS="+yesOrNo(owner == 0)))
		}
	}
	if set("package") {
		s.Package = func(ctx context.Context, machines int) ([]byte, error) {
			return RunLine(ctx, l["package"], nil, "ROLLCALL_MACHINES="+strconv.Itoa(machines))
		}
	}
	if set("unlicensed") {
		s.Unlicensed = func(ctx context.Context) (user, password string, err error) {
			return credential(RunLine(ctx, l["unlicensed"], nil))
		}
	}
	if set("profile") {
		s.Profile = func(ctx context.Context, device, name string, document []byte) error {
			_, err := RunLine(ctx, l["profile"], document, "ROLLCALL_DEVICE="+device, "ROLLCALL_PROFILE="+name)
			return err
		}
	}
	if set("queue") {
		s.Queue = l.queue
	}
	if set("known") {
		s.Known = func(ctx context.Context, device string) (Standing, error) {
			out, err := RunLine(ctx, l["known"], nil, "ROLLCALL_DEVICE="+device)
			return Standing{Enrolled: strings.TrimSpace(string(out)) == "enrolled"}, err
		}
	}
	if set("forget") {
		s.Forget = func(ctx context.Context, device string) error {
			_, err := RunLine(ctx, l["forget"], nil, "ROLLCALL_DEVICE="+device)
			return err
		}
	}
	if set("devices") {
		s.Devices = l.devices
	}
	if set("assign") {
		s.Assign = func(ctx context.Context, serial string, _ int, awaiting bool) error {
			_, err := RunLine(ctx, l["assign"], nil, "ROLLCALL_SERIAL="+serial, "ROLLCALL_AWAITING="+yesOrNo(awaiting))
			return err
		}
	}
	if set("upload") {
		s.UploadPush = func(ctx context.Context, pem []byte, confirm bool) error {
			_, err := RunLine(ctx, l["upload"], pem, "ROLLCALL_CONFIRM="+yesOrNo(confirm))
			return err
		}
	}
	if set("pushstate") {
		s.PushState = l.pushState
	}
	if set("authority") {
		s.SetAuthority = func(ctx context.Context) error {
			_, err := RunLine(ctx, l["authority"], nil)
			return err
		}
	}
	if set("clock") {
		s.Clock = l.clock
	}
	if set("step") {
		s.Step = func(ctx context.Context, to time.Time) error {
			_, err := RunLine(ctx, l["step"], nil, "ROLLCALL_TIME="+to.UTC().Format(time.RFC3339Nano))
			return err
		}
	}
}

// credential reads name and password, each on a line.
func credential(out []byte, err error) (user, password string, _ error) {
	user, password, _ = strings.Cut(string(out), "\n")
	return strings.TrimSpace(user), strings.TrimSpace(password), err
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (l Lines) enrol(ctx context.Context, p protocol.Platform, _ int) (Enrolment, error) {
	out, err := RunLine(ctx, l["enrol"], nil, "ROLLCALL_PLATFORM="+p.String())
	if text := strings.TrimSpace(string(out)); err == nil && (strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")) {
		return Enrolment{URL: text}, nil
	}
	return Enrolment{Profile: out}, err
}

func (l Lines) queue(ctx context.Context, device string, o Order) (string, error) {
	if o.Kind == Sync {
		if l["push"] == "" {
			return "", errors.New("there is no command line for push")
		}
		_, err := RunLine(ctx, l["push"], nil, "ROLLCALL_DEVICE="+device)
		return "", err
	}
	id, body, err := rawCommand(o)
	if err == nil {
		_, err = RunLine(ctx, l["queue"], body, "ROLLCALL_DEVICE="+device, "ROLLCALL_COMMAND="+id)
	}
	return id, err
}

func (l Lines) devices(ctx context.Context) (map[string]string, error) {
	out, err := RunLine(ctx, l["devices"], nil)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if id, words, _ := strings.Cut(strings.TrimSpace(line), " "); id != "" {
			all[id] = strings.TrimSpace(words)
		}
	}
	return all, nil
}

func (l Lines) pushState(ctx context.Context) (p Push, err error) {
	out, err := RunLine(ctx, l["pushstate"], nil)
	if err != nil {
		return p, err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if p.Topic = strings.TrimSpace(lines[0]); p.Topic == "" || len(lines) < 2 {
		return p, fmt.Errorf("%s: printed %q, want the topic and the end of the push certificate, each on a line", short(l["pushstate"]), short(string(out)))
	}
	if p.NotAfter, err = instant(l["pushstate"], lines[1]); err != nil {
		return p, err
	}
	for _, line := range lines[2:] {
		p.Warnings = append(p.Warnings, Warning{Message: strings.TrimSpace(line)})
	}
	return p, nil
}

func (l Lines) clock(ctx context.Context) (time.Time, error) {
	out, err := RunLine(ctx, l["clock"], nil)
	if err != nil {
		return time.Time{}, err
	}
	at, err := instant(l["clock"], string(out))
	return at.Time(), err
}

// instant reads what a line printed as a time.
func instant(line, text string) (protocol.Time, error) {
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("%s: printed %q, want a time as 2026-03-01T09:00:00Z", short(line), short(text))
	}
	return protocol.At(at), nil
}

// RunLine gives one line to the shell and returns what it printed, within half a minute. The error says what the line did not
// do, by the last line of its standard error.
func RunLine(ctx context.Context, line string, in []byte, environment ...string) ([]byte, error) {
	return finish(ctx, lineTime, short(line), func(ctx context.Context) *exec.Cmd {
		shell, flag := "sh", "-c"
		if runtime.GOOS == "windows" {
			shell, flag = "cmd", "/C"
		}
		c := exec.CommandContext(ctx, shell, flag, line)
		c.Env = append(os.Environ(), environment...)
		c.Stdin = bytes.NewReader(in)
		return c
	})
}

// finish runs the command that start makes and returns what it printed; what is what errors call it.
func finish(ctx context.Context, limit time.Duration, what string, start func(ctx context.Context) *exec.Cmd) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := start(ctx)
	c.WaitDelay = time.Second // what it leaves behind with our pipes open
	var out, errs limited
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	words := strings.TrimSpace(string(errs))
	words = short(words[strings.LastIndexByte(words, '\n')+1:])
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s: not finished after %s", what, limit)
	case err != nil && words == "":
		return nil, fmt.Errorf("%s: %w", what, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %s", what, err, words)
	case len(out) >= lineOutput:
		return nil, fmt.Errorf("%s: printed more than %d bytes", what, lineOutput)
	}
	return out, nil
}

// short is text as it may stand in an error.
func short(text string) string {
	const most = 200
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// A limited buffer forgets what is too much.
type limited []byte

func (l *limited) Write(p []byte) (int, error) {
	*l = append(*l, p[:min(len(p), lineOutput-len(*l))]...)
	return len(p), nil
}
