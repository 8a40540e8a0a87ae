//go:build unix

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

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

// unlock gives the lock of f back.
func unlock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }

// noFollow has a file opened that is no symbolic link to another: root works in folders of users who may do less.
const noFollow = unix.O_NOFOLLOW

// noWait has nobody waited for at the other end of a pipe.
const noWait = unix.O_NONBLOCK

// privateFolder makes a folder that nobody else looks into, or makes one that is there so. One that everybody may write to is for
// everybody, and is refused.
func privateFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("everybody may write to %s, so it cannot be an agent's", dir)
	}
	if st.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return os.Chmod(dir, 0o700)
}

// folderTrouble says what is wrong with the rights of a state folder, and what to do; empty: nothing.
func folderTrouble(dir string) (says, do string) {
	st, err := os.Stat(dir)
	if err != nil {
		return err.Error(), "check the file system"
	}
	if st.Mode().Perm()&0o077 != 0 {
		return "others may look into " + dir, "chmod 700 '" + dir + "'"
	}
	for _, name := range []string{stateFile, previousFile, journalFile, lockFile} {
		name = filepath.Join(dir, name)
		f, err := os.Stat(name)
		if err != nil {
			continue
		}
		if ownerOf(f) != ownerOf(st) {
			return fmt.Sprintf("%s is not of the user whose the folder is", name), fmt.Sprintf("chown -R %d '%s'", ownerOf(st), dir)
		}
		if f.Mode().Perm()&0o077 != 0 {
			return "others may look into " + name, "chmod 600 '" + name + "'"
		}
	}
	return "", ""
}

func ownerOf(f os.FileInfo) int {
	if s, ok := f.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// lent tells whether this is root, in a folder of a user who is not.
func lent(dir string) bool {
	st, err := os.Stat(dir)
	return os.Geteuid() == 0 && (err != nil || ownerOf(st) != 0)
}

// giveBack gives all that is in a folder to the user whose it is. A file that has a name elsewhere too is not the agent's, whoever linked it
// there, and stays whose it is.
func giveBack(dir string) error {
	root, err := os.OpenRoot(dir) // links that lead out of it are not followed
	if err != nil {
		return err
	}
	defer root.Close()
	st, err := root.Stat(".")
	if err != nil {
		return err
	}
	owner := ownerOf(st)
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.IsDir() && !e.Type().IsRegular() {
			return root.Lchown(name, owner, -1)
		}
		f, err := root.OpenFile(name, os.O_RDONLY|noFollow|noWait, 0) // what was looked at is what is given
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		if s, ok := st.Sys().(*syscall.Stat_t); ok && !st.IsDir() && s.Nlink > 1 {
			return nil
		}
		return f.Chown(owner, -1)
	})
}

func rename(from, to string) error { return os.Rename(from, to) }

// refused and noNetwork are why a connection did not come about.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func noNetwork(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETDOWN)
}

// diskTrouble says what to do where a disk takes nothing; empty: it is something else.
func diskTrouble(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return "the disk is full, or a quota or limit is reached: make free space there"
	case errors.Is(err, syscall.EROFS):
		return "the disk may only be read: mount it to be written"
	}
	return ""
}

// SyncFolder makes renames in dir last.
func SyncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MachineFolder is where an agent that the system starts keeps its state.
func MachineFolder() string {
	if runtime.GOOS == "darwin" {
		return "/Library/Application Support/rollcall-agent"
	}
	return "/var/lib/rollcall-agent"
}

// DefaultFolder is where the agent of this machine keeps its state: [MachineFolder] where there is one, whoever asks, else this user's.
func DefaultFolder() string {
	home, _ := os.UserHomeDir()
	users := filepath.Join(home, ".local", "state", "rollcall-agent")
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		users = filepath.Join(dir, "rollcall-agent")
	}
	if runtime.GOOS == "darwin" {
		users = filepath.Join(home, MachineFolder())
	}
	if _, err := os.Lstat(MachineFolder()); err == nil || os.Geteuid() == 0 { // a link, where its user is made by systemd
		return MachineFolder()
	}
	return users
}

// shell runs a command as its owner wrote it.
func shell(command string) []string { return []string{"/bin/sh", "-c", command} }
