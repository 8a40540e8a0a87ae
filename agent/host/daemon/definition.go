package daemon

import (
	_ "embed"
	"encoding/xml"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"
)

// Name is what the service is called on every system.
const Name = "rollcall-agent"

const (
	title       = "rollcall agent"
	description = "Has this machine managed as a device"
)

// ownState is the one folder that systemd gives to a user that it makes.
const ownState = "/var/lib/" + Name

// macLog is the log of the agent on macOS, in a folder where only root writes. What a program without C says to that system's own log does
// not arrive there since macOS 12 (golang.org/issue/59229).
const macLog = "/var/log/" + Name + ".log"

const stateDirectory = "StateDirectory=" + Name + "\nStateDirectoryMode=0700\n"

// A Service is an agent that the system starts.
type Service struct {
	Program string // absolute path
	State   string // absolute path of the state folder
	Root    bool   // on Linux it may do what root may, and not only write its state
}

var (
	//go:embed unit.service
	unit string
	//go:embed shut.conf
	shut string // for a user of its own
	//go:embed open.conf
	open string // for root
	//go:embed launchd.plist
	plist string
)

// Definition is what is installed on a system (GOOS), as its service manager has it: a file and its text. Windows has no file, but the
// same in its registry.
func (s *Service) Definition(system string) (name, text string, err error) {
	if err := s.check(system); err != nil {
		return "", "", err
	}
	switch system {
	case "linux":
		how := shut
		if s.Root {
			how = open
			if path.Clean(s.State) == ownState { // systemd takes it back from a user that it made before
				how = stateDirectory + how
			}
		}
		line := unitQuote(s.Program) + " agent run --state " + unitQuote(s.State)
		return "/etc/systemd/system/" + Name + ".service", strings.NewReplacer("@DESCRIPTION@", title+": "+strings.ToLower(description[:1])+description[1:],
			"@COMMAND@", line, "@STATE@", strings.ReplaceAll(s.State, "%", "%%"), "@RIGHTS@", strings.TrimSpace(how)).Replace(unit), nil
	case "darwin":
		return "/Library/LaunchDaemons/" + Name + ".plist", strings.NewReplacer("@NAME@", Name, "@LOG@", macLog, "@PROGRAM@", escape(s.Program), "@STATE@", escape(s.State)).Replace(plist), nil
	case "windows":
		return `HKLM\SYSTEM\CurrentControlSet\Services\` + Name, fmt.Sprintf("display name  %s\ndescription   %s\ncommand       %s\naccount       LocalSystem\nstart         automatic, delayed\non failure    restart after %v, %d times; a failure counts for %v\nevent log     %s\n",
			title, description, windowsLine(append([]string{s.Program}, s.arguments()...)), restartAfter, restarts, failuresFor, Name), nil
	}
	return "", "", fmt.Errorf("a service is installed on Linux with systemd, macOS and Windows, and this is %s: have it start rollcall agent run", system)
}

func (s *Service) arguments() []string { return []string{"agent", "run", "--state", s.State} }

// As unit.service has it for systemd.
const (
	restartAfter = 30 * time.Second
	restarts     = 4 // in a row
	failuresFor  = 10 * time.Minute
)

// check refuses what the service manager could not start, or would read otherwise than it is meant.
func (s *Service) check(system string) error {
	for _, p := range []string{s.Program, s.State} {
		if strings.ContainsFunc(p, unicode.IsControl) || strings.Contains(p, "{{") || strings.ContainsAny(p, "@$") && system != "windows" || p == "" {
			return fmt.Errorf("a service cannot be installed with %q in it: use a plain path", p)
		}
	}
	if system != "linux" {
		return nil
	}
	for _, open := range []string{"/tmp/", "/var/tmp/", "/dev/shm/"} {
		if s.Root && strings.HasPrefix(s.Program, open) {
			return fmt.Errorf("root is not to start %s, in whose folder everybody may write: copy this program to /usr/local/bin first", s.Program)
		}
	}
	if s.Root {
		return nil
	}
	if path.Clean(s.State) != ownState {
		return fmt.Errorf("an agent with a user of its own has its state in %s, and not in %s: leave --state out, or install it with --as-root", ownState, s.State)
	}
	for _, hidden := range []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"} {
		if strings.HasPrefix(s.Program, hidden) {
			return fmt.Errorf("an agent with a user of its own cannot start from %s: copy this program to /usr/local/bin first", s.Program)
		}
	}
	return nil
}

// unitQuote writes one argument of ExecStart= (systemd.service, command lines).
func unitQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`).Replace(s) + `"`
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

// windowsLine shows a command line; paths have no quotes there.
func windowsLine(args []string) string {
	for i, a := range args {
		if strings.ContainsRune(a, ' ') {
			args[i] = `"` + a + `"`
		}
	}
	return strings.Join(args, " ")
}
