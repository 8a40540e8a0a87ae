package daemon

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/kardianos/service"
)

// ErrRights is wrapped by the errors of somebody who may not install services.
var ErrRights = errors.New("installing and removing a service is for root (sudo), on Windows for an administrator")

// manager opens the system's service manager for s.
func (s *Service) manager() (service.Service, error) {
	_, text, err := s.Definition(runtime.GOOS)
	if err != nil {
		return nil, err
	}
	return newManager(&service.Config{
		Name: Name, DisplayName: title, Description: description, Executable: s.Program, Arguments: s.arguments(),
		Option: service.KeyValue{
			"SystemdScript": text, "LaunchdConfig": text,
			"DelayedAutoStart": true, "OnFailure": "restart", "OnFailureDelayDuration": restartAfter,
		},
	})
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

// Install has the system start the agent at each boot, and now where start says so.
func (s *Service) Install(start bool) error {
	m, err := s.manager()
	if err != nil {
		return err
	}
	if _, err := m.Status(); !errors.Is(err, service.ErrNotInstalled) && err == nil {
		return fmt.Errorf("the service %s is installed already: rollcall agent uninstall takes it away", Name)
	}
	if err := m.Install(); err != nil {
		return failed(err)
	}
	if start {
		return failed(m.Start())
	}
	return nil
}

// Uninstall stops the service and takes it away. The state folder stays.
func Uninstall() error {
	m, err := newManager(&service.Config{Name: Name})
	if err != nil {
		return err
	}
	if _, err := m.Status(); errors.Is(err, service.ErrNotInstalled) {
		return fmt.Errorf("no service %s is installed", Name)
	}
	m.Stop() // one that does not run is as well
	return failed(m.Uninstall())
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
