package daemon

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/kardianos/service"
	"github.com/sirupsen/logrus"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What is installed on each system is what its golden file says.
func TestDefinitions(t *testing.T) {
	for name, tt := range map[string]struct {
		system string
		s      Service
	}{
		"linux":      {"linux", Service{Program: "/usr/bin/rollcall", State: "/var/lib/rollcall-agent"}},
		"linux-root": {"linux", Service{Program: "/opt/lab tools/100%/rollcall", State: "/srv/agent", Root: true}},
		"linux-back": {"linux", Service{Program: "/usr/bin/rollcall", State: "/var/lib/rollcall-agent", Root: true}},
		"darwin":     {"darwin", Service{Program: "/usr/local/bin/rollcall", State: "/Library/Application Support/rollcall & co"}},
		"windows":    {"windows", Service{Program: `C:\Program Files\rollcall\rollcall.exe`, State: `C:\ProgramData\rollcall-agent`}},
	} {
		file, text, err := tt.s.Definition(tt.system)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := "# " + file + "\n" + text
		golden := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || got != strings.ReplaceAll(string(want), "\r\n", "\n") {
			t.Errorf("%s: %v: got\n%s\nwant\n%s", name, err, got, want)
		}
		if tt.system == "darwin" {
			if err := xml.Unmarshal([]byte(text), new(struct{})); err != nil {
				t.Errorf("%s is no XML: %v", name, err)
			}
		}
	}
}

// A power cut between the two renames of a save leaves the state before alone: the agent starts with it too (HST-121).
func TestHST121TheUnitStartsWithEitherState(t *testing.T) {
	s := Service{Program: "/usr/bin/rollcall", State: ownState}
	_, text, err := s.Definition("linux")
	for _, want := range []string{"ConditionPathExists=|" + ownState + "/agent.json\n", "ConditionPathExists=|" + ownState + "/agent.json.previous\n"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// systemd finds nothing to say of the units, and holds an agent with a user of its own to be well shut in.
func TestUnitsAsSystemdReadsThem(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	program, err := filepath.EvalSymlinks("/bin/true")
	if err != nil {
		t.Skip(err)
	}
	for _, root := range []bool{false, true} {
		s := Service{Program: program, State: ownState, Root: root}
		_, text, err := s.Definition("linux")
		if err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(t.TempDir(), Name+".service")
		if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("root %v: %v: %s", root, err, out)
		}
		if root {
			continue
		}
		if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=25", unit).CombinedOutput(); err != nil { // 2.5 of 10
			t.Errorf("%v:\n%s", err, out)
		}
	}
}

// What cannot be started, or would mean something else, is refused with what to do.
func TestDefinitionsThatCannotBe(t *testing.T) {
	const program, state = "/usr/bin/rollcall", "/var/lib/rollcall-agent"
	for name, tt := range map[string]struct {
		system string
		s      Service
		want   string
	}{
		"another folder":   {"linux", Service{Program: program, State: "/srv/agent"}, "--as-root"},
		"a hidden program": {"linux", Service{Program: "/home/ada/rollcall", State: state}, "copy this program to /usr/local/bin"},
		"root from /tmp":   {"linux", Service{Program: "/tmp/rollcall", State: state, Root: true}, "copy this program to /usr/local/bin"},
		"root from shm":    {"linux", Service{Program: "/dev/shm/rollcall", State: state, Root: true}, "copy this program to /usr/local/bin"},
		"root from vartmp": {"linux", Service{Program: "/var/tmp/rollcall", State: state, Root: true}, "copy this program to /usr/local/bin"},
		"a second line":    {"linux", Service{Program: program, State: state + "\nUser=root", Root: true}, "use a plain path"},
		"a template":       {"darwin", Service{Program: "/{{Name}}", State: state}, "use a plain path"},
		"our own sign":     {"linux", Service{Program: "/opt/@RIGHTS@", State: state}, "use a plain path"},
		"a variable":       {"linux", Service{Program: "/opt/$HOME/rollcall", State: state, Root: true}, "use a plain path"},
		"no program":       {"windows", Service{State: state}, "use a plain path"},
		"another system":   {"plan9", Service{Program: program, State: state}, "have it start rollcall agent run"},
	} {
		if _, text, err := tt.s.Definition(tt.system); err == nil || !strings.Contains(err.Error(), tt.want) || text != "" {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// Who is not root is told so before anything is written, and where there is no systemd what to do instead.
func TestInstallIsForRoot(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 && service.Platform() == "linux-systemd" || runtime.GOOS == "darwin" && os.Geteuid() == 0 {
		t.Skip("this process might really install it")
	}
	s := Service{Program: "/usr/bin/rollcall", State: "/var/lib/rollcall-agent"}
	_, no := s.Install(true)
	for what, err := range map[string]error{"install": no, "uninstall": Uninstall()} {
		if !errors.Is(err, ErrRights) && (err == nil || !strings.Contains(err.Error(), "no systemd")) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// After rollcall agent uninstall a package's unit is there and is not started at boot: nobody is told that the system keeps the machine managed.
func TestAUnitThatIsDisabledKeepsNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a service is there or not on this system")
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	for answer, want := range map[string]bool{"0": true, "1": false} {
		if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\n[ \"$*\" = \"is-enabled --quiet rollcall-agent.service\" ] && exit "+answer+"\nexit 2\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := enabled(); got != want {
			t.Errorf("systemctl says %s: enabled %v", answer, got)
		}
	}
}

// The library gets what it needs to install just this service: on macOS the text that was shown, on Windows a command and when it starts.
func TestWhatTheLibraryInstalls(t *testing.T) {
	s := Service{Program: "/usr/local/bin/rollcall", State: "/Library/x"}
	c := s.config("text")
	want := service.KeyValue{"LaunchdConfig": "text", "DelayedAutoStart": true}
	if !maps.Equal(c.Option, want) || c.Name != Name || c.Executable != s.Program || strings.Join(c.Arguments, " ") != "agent run --state /Library/x" || c.UserName != "" {
		t.Errorf("it gets %+v", c)
	}
}

// A logbook is a system's log.
type logbook struct {
	service.Logger
	lines *bytes.Buffer
}

func (l logbook) Error(v ...any) error { fmt.Fprintln(l.lines, "E", fmt.Sprint(v...)); return nil }

func (l logbook) Warning(v ...any) error { fmt.Fprintln(l.lines, "W", fmt.Sprint(v...)); return nil }

func (l logbook) Info(v ...any) error { fmt.Fprintln(l.lines, "I", fmt.Sprint(v...)); return nil }

// A system is a service manager with a log.
type system struct {
	service.Service
	lines *bytes.Buffer
}

func (s system) SystemLogger(chan<- error) (service.Logger, error) {
	return logbook{lines: s.lines}, nil
}

// What the agent says as a service is in the system's log alone, as grave as it is, and on one line.
func TestSystemLog(t *testing.T) {
	var lines, own bytes.Buffer
	log := logrus.New()
	log.SetOutput(&own)
	toSystem(log, system{lines: &lines})
	log.WithField("note", "a\nb").Info("enrolled")
	log.Warn("check-in")
	log.Error("journal")
	want := "I level=info msg=enrolled note=\"a\\nb\"\nW level=warning msg=check-in\nE level=error msg=journal\n"
	if lines.String() != want || own.Len() != 0 {
		t.Errorf("the system has\n%s\nwant\n%s\nand ours %q", lines.String(), want, own.String())
	}
}

// Who is told that the service does not start is told why, in systemd's words, and how often it was started before does not count.
func TestAServiceThatDoesNotStartSaysWhy(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("systemd is not of this system")
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("TOLD", filepath.Join(dir, "told"))
	const fake = "#!/bin/sh\necho \"$*\" >>\"$TOLD\"\n[ \"$1\" != start ] || { echo 'Unit is masked.' >&2; exit 1; }\n"
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := restart(stopped{}); err == nil || !strings.Contains(err.Error(), "Unit is masked.") {
		t.Errorf("it says %v", err)
	}
	const want = "reset-failed rollcall-agent.service\nstart rollcall-agent.service\n"
	if told, err := os.ReadFile(filepath.Join(dir, "told")); err != nil || string(told) != want {
		t.Errorf("systemctl was told %q, %v; want %q", told, err, want)
	}
}

// A stopped service is one that does not run.
type stopped struct{ service.Service }

func (stopped) Stop() error { return nil }
