package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/kardianos/service"
)

// ErrRights is wrapped by the errors of somebody who may not install services.
var ErrRights = errors.New("installing and removing a service is for root (sudo), on Windows for an administrator")

// PackagedUnit is where a package of the agent has its unit. One in /etc goes before it.
const PackagedUnit = "/usr/lib/systemd/system/" + unitName

const (
	ownUnit     = "/etc/systemd/system/" + unitName
	runtimeUnit = "/run/systemd/system/" + unitName // until the machine starts anew: ours are not there, but may be masked there
	unitName    = Name + ".service"
)

// isThere tells whether there is a file; on other systems there is none by the name of a unit.
func isThere(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// systemctl has systemd do what the library does for units of its own alone.
func systemctl(args ...string) error {
	if out, err := exec.Command("systemctl", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// config is s as the library has the system know it; systemd knows it by [writeUnit].
func (s *Service) config(text string) *service.Config {
	return &service.Config{
		Name: Name, DisplayName: title, Description: description, Executable: s.Program, Arguments: s.arguments(),
		Option: service.KeyValue{
			"LaunchdConfig":    text,
			"DelayedAutoStart": true, // on Windows; what follows a failure there is onFailure's
		},
	}
}

func newManager(c *service.Config) (service.Service, error) {
	if on := service.Platform(); runtime.GOOS == "linux" && on != "linux-systemd" {
		return nil, errors.New("this Linux has no systemd: have its own service manager start rollcall agent run")
	}
	if os.Geteuid() > 0 {
		return nil, ErrRights
	}
	return service.New(idle{}, c)
}

// Install has the system start the agent at each boot, and now where start says so. The service of a package that is just this one is
// enabled; before another one goes this one. It returns what starts the agent, as [Service.Definition] names it.
func (s *Service) Install(start bool) (name string, err error) {
	name, text, err := s.Definition(runtime.GOOS)
	if err != nil {
		return "", err
	}
	m, err := newManager(s.config(text))
	if err == nil {
		err = s.starts()
	}
	if err != nil {
		return "", err
	}
	_, no := m.Status()
	there := isThere(PackagedUnit)
	for _, mask := range [...][2]string{{ownUnit, ""}, {runtimeUnit, "--runtime "}} {
		if to, _ := os.Readlink(mask[0]); to == os.DevNull {
			return "", fmt.Errorf("the service %s is masked: systemctl unmask %s%s lets it be installed", Name, mask[1], unitName)
		}
	}
	if isThere(ownUnit) || !there && no == nil {
		return "", fmt.Errorf("the service %s is installed already: rollcall agent uninstall takes it away", Name)
	}
	switch {
	case there && s.packaged():
		name, err = PackagedUnit, systemctl("enable", unitName)
	case runtime.GOOS == "linux":
		err = writeUnit(text)
	default:
		if err = m.Install(); err == nil {
			if err = onFailure(); err != nil {
				m.Uninstall() // the next one is not to find half a service
			}
		}
	}
	if err == nil && start {
		err = restart(m)
	}
	return name, failed(err)
}

// starts is that the system can start the program, as far as its file tells.
func (s *Service) starts() error {
	st, err := os.Stat(s.Program)
	if err != nil || !st.Mode().IsRegular() || runtime.GOOS != "windows" && st.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is no program that the system can start: name one by --program", s.Program)
	}
	if runtime.GOOS == "linux" && !s.Root && st.Mode()&0o001 == 0 {
		return fmt.Errorf("an agent with a user of its own may not start %s: chmod a+rx %[1]s", s.Program)
	}
	return nil
}

// writeUnit has systemd start a unit of ours at each boot. Of one that it does not take nothing is left, and systemd says why: the library
// says neither.
func writeUnit(text string) error {
	err := os.WriteFile(ownUnit, []byte(text), 0o644)
	if err == nil {
		err = os.Chmod(ownUnit, 0o644) // whatever root's umask is: systemd complains of one that not everybody may read
	}
	if err != nil {
		err = fmt.Errorf("%w: see what --print shows, and put it where this system has its units", err)
	} else if err = systemctl("daemon-reload"); err == nil {
		err = systemctl("enable", unitName)
	}
	if err != nil {
		os.Remove(ownUnit)
		_ = systemctl("daemon-reload")
	}
	return err
}

// restart starts the agent, in place of one that runs as it was installed before.
func restart(m service.Service) error {
	m.Stop() // one that does not run is as well
	if runtime.GOOS == "linux" {
		_ = systemctl("reset-failed", unitName) // of how often it was started before
		return systemctl("start", unitName)     // it says why it could not
	}
	return m.Start()
}

// packaged tells whether s is what a package of the agent installed.
func (s *Service) packaged() bool {
	_, want, err := s.Definition("linux")
	got, no := os.ReadFile(PackagedUnit)
	return err == nil && no == nil && string(got) == want
}

// enabled tells whether the system starts the agent at each boot, where it is installed.
func enabled() bool {
	return runtime.GOOS != "linux" || systemctl("is-enabled", "--quiet", unitName) == nil
}

// Start has the system start the agent now, where it does so at each boot; false: it does not, as after [Uninstall] of a package's.
func Start() (bool, error) {
	m, err := newManager(&service.Config{Name: Name})
	if err != nil { // no service manager, or nobody who may ask it
		return false, nil
	}
	if _, err := m.Status(); errors.Is(err, service.ErrNotInstalled) || !enabled() {
		return false, nil
	}
	return true, failed(restart(m))
}

// Uninstall stops the service and takes it away. That of a package stays, and is not started any more. The state folder stays.
func Uninstall() error {
	m, err := newManager(&service.Config{Name: Name})
	if err != nil {
		return err
	}
	there := isThere(PackagedUnit)
	if _, err := m.Status(); errors.Is(err, service.ErrNotInstalled) {
		return fmt.Errorf("no service %s is installed", Name)
	}
	m.Stop() // one that does not run is as well
	if !there || isThere(ownUnit) {
		if err = m.Uninstall(); runtime.GOOS == "linux" {
			_ = systemctl("reset-failed", unitName) // else systemd knows one that failed, although it is gone
		}
	}
	if err == nil && there {
		err = systemctl("disable", unitName)
	}
	return failed(err)
}

func failed(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: %w", ErrRights, err)
	}
	return err
}

// An idle program is one that is installed by this process, and run by another.
type idle struct{}

func (idle) Start(service.Service) error { return nil }
func (idle) Stop(service.Service) error  { return nil }
