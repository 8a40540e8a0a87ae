package host

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// TryLock takes the lock of f without waiting; false: another process has it. The system frees it with the process.
func TryLock(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, locked())
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// locked is one byte far beyond the text, which others may read.
func locked() *windows.Overlapped { return &windows.Overlapped{Offset: 1 << 30} }

// unlock gives the lock of f back: when it goes with f, the system may take its time.
func unlock(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, locked())
}

// noFollow is nothing that Windows has: only administrators make links there.
const noFollow = 0

// noWait neither: a pipe is no file of a folder there.
const noWait = 0

// ownersOnly gives full access to the system, to administrators and to the folder's owner, inherits that to what is made inside, and
// takes nothing from the folder above: those of ProgramData may be read by every user.
const ownersOnly = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)"

// privateFolder makes a folder that nobody else looks into, or makes one that is there so.
func privateFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return keepPrivate(dir)
}

// keepPrivate takes what is there from everybody else.
func keepPrivate(name string) error {
	sd, err := windows.SecurityDescriptorFromString(ownersOnly)
	if err != nil {
		return err
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(name, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
}

// squats tells whether a file is of a user who has no say over this one: neither of the system or its administrators, nor this user's.
func squats(name string) bool {
	sd, err := windows.GetNamedSecurityInfo(name, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return false
	}
	owner, _, err := sd.Owner()
	if err != nil || owner.IsWellKnown(windows.WinLocalSystemSid) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) {
		return false
	}
	me, err := windows.GetCurrentProcessToken().GetTokenUser()
	return err == nil && !owner.Equals(me.User.Sid)
}

// folderTrouble has nothing to look for: whoever takes the folder sets its rights.
func folderTrouble(string) (says, do string) { return "", "" }

// lent is nothing that Windows has: only administrators and the owner get into the folder.
func lent(string) bool { return false }

// giveBack has nothing to do: what is made in the folder inherits its rights.
func giveBack(string) error { return nil }

// rename replaces to and returns when that is on the disk: Windows syncs no folders.
func rename(from, to string) error {
	f, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	t, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(f, t, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// refused and noNetwork are why a connection did not come about.
func refused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }

func noNetwork(err error) bool {
	return errors.Is(err, windows.WSAENETUNREACH) || errors.Is(err, windows.WSAEHOSTUNREACH) || errors.Is(err, windows.WSAENETDOWN)
}

// diskTrouble says what to do where a disk takes nothing; empty: it is something else.
func diskTrouble(err error) string {
	switch {
	case errors.Is(err, windows.ERROR_DISK_FULL), errors.Is(err, windows.ERROR_HANDLE_DISK_FULL), errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED):
		return "the disk is full, or a quota is reached: make free space there"
	case errors.Is(err, windows.ERROR_WRITE_PROTECT):
		return "the disk may only be read: make it writable"
	}
	return ""
}

// SyncFolder has nothing to do: rename waited for the disk.
func SyncFolder(string) error { return nil }

// DefaultFolder is where the agent of this machine keeps its state, whoever starts it.
func DefaultFolder() string { return MachineFolder() }

// MachineFolder is where an agent that the system starts keeps its state.
func MachineFolder() string {
	data := os.Getenv("ProgramData")
	if data == "" {
		data = `C:\ProgramData`
	}
	return filepath.Join(data, "rollcall-agent")
}

// shell runs a command as its owner wrote it.
func shell(command string) []string { return []string{"cmd", "/C", command} }
