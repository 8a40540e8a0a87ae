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
	"strings"
	"time"

	"rollcall/protocol"
)

const (
	lineTime   = 30 * time.Second // that one command line may take
	lineOutput = 1 << 20          // bytes of its output that are read
)

// Lines are the steps of a server as command lines for the shell, by their names:
//
//	enrol   prints an enrolment profile, or the URL of one; ROLLCALL_PLATFORM says for what
//	queue   gets a command as property list on its standard input; ROLLCALL_DEVICE and ROLLCALL_COMMAND (its UUID)
//	push    wakes ROLLCALL_DEVICE
//	upload  gets a push certificate with its key (PEM) on its standard input; ROLLCALL_CONFIRM is yes or no
//	forget  removes ROLLCALL_DEVICE
//
// A line that fails is a step that was refused; the last line of its standard error says why.
type Lines map[string]string

// Check names what is no step.
func (l Lines) Check() error {
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if !slices.Contains([]string{"enrol", "queue", "push", "upload", "forget"}, name) {
			return fmt.Errorf("%q is no step: want enrol, queue, push, upload or forget", name)
		}
	}
	return nil
}

// Steps are those that l has a line for. Instead of a line enrol devices may use profile.
func (l Lines) Steps(profile []byte) *Steps {
	s := &Steps{Name: "command lines"}
	if profile != nil {
		s.Enrol = FromProfile(profile).Enrol
	}
	if line := l["enrol"]; line != "" {
		s.Enrol = func(ctx context.Context, p protocol.Platform, _ int) (Enrolment, error) {
			out, err := RunLine(ctx, line, nil, "ROLLCALL_PLATFORM="+p.String())
			if text := strings.TrimSpace(string(out)); err == nil && (strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")) {
				return Enrolment{URL: text}, nil
			}
			return Enrolment{Profile: out}, err
		}
	}
	if line := l["queue"]; line != "" {
		s.Queue = func(ctx context.Context, device string, o Order) (string, error) {
			if o.Kind == Sync {
				if l["push"] == "" {
					return "", errors.New("there is no command line for push")
				}
				_, err := RunLine(ctx, l["push"], nil, "ROLLCALL_DEVICE="+device)
				return "", err
			}
			id, body, err := rawCommand(o)
			if err == nil {
				_, err = RunLine(ctx, line, body, "ROLLCALL_DEVICE="+device, "ROLLCALL_COMMAND="+id)
			}
			return id, err
		}
	}
	if line := l["upload"]; line != "" {
		s.UploadPush = func(ctx context.Context, pem []byte, confirm bool) error {
			word := "no"
			if confirm {
				word = "yes"
			}
			_, err := RunLine(ctx, line, pem, "ROLLCALL_CONFIRM="+word)
			return err
		}
	}
	if line := l["forget"]; line != "" {
		s.Forget = func(ctx context.Context, device string) error {
			_, err := RunLine(ctx, line, nil, "ROLLCALL_DEVICE="+device)
			return err
		}
	}
	return s
}

// RunLine gives one line to the shell and returns what it printed, within half a minute. The error says what the line did not
// do, by the last line of its standard error.
func RunLine(ctx context.Context, line string, in []byte, environment ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, lineTime)
	defer cancel()
	shell, flag := "sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	c := exec.CommandContext(ctx, shell, flag, line)
	c.WaitDelay = time.Second // what it leaves behind with our pipes open
	c.Env = append(os.Environ(), environment...)
	c.Stdin = bytes.NewReader(in)
	var out, errs limited
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s: not finished after %s", short(line), lineTime)
	case err != nil:
		words := strings.TrimSpace(string(errs))
		return nil, fmt.Errorf("%s: %w: %s", short(line), err, short(words[strings.LastIndexByte(words, '\n')+1:]))
	case len(out) >= lineOutput:
		return nil, fmt.Errorf("%s: printed more than %d bytes", short(line), lineOutput)
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
