//go:build unix

package host

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// TryLock takes the lock of f without waiting; false: another process has it. The kernel frees it with the process.
func TryLock(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// privateFolder makes a folder that nobody else looks into, or makes one that is there so.
func privateFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

func rename(from, to string) error { return os.Rename(from, to) }

// SyncFolder makes renames in dir last.
func SyncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// DefaultFolder is where the agent of this machine keeps its state: root's where there is one, whoever asks, else this user's.
func DefaultFolder() string {
	home, _ := os.UserHomeDir()
	machines, users := "/var/lib/rollcall-agent", filepath.Join(home, ".local", "state", "rollcall-agent")
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		users = filepath.Join(dir, "rollcall-agent")
	}
	if runtime.GOOS == "darwin" {
		machines = "/Library/Application Support/rollcall-agent"
		users = filepath.Join(home, machines)
	}
	if _, err := os.Stat(machines); err == nil || os.Geteuid() == 0 {
		return machines
	}
	return users
}

// shell runs a command as its owner wrote it.
func shell(command string) []string { return []string{"/bin/sh", "-c", command} }
