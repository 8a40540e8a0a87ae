package host

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A lock is a file that this process has locked.
type lock struct{ file *os.File }

// Close gives the lock back, and then its file: a process that is being started at this moment has the file too until it is another program,
// and the lock would stay until then.
func (l *lock) Close() error { return errors.Join(unlock(l.file), l.file.Close()) }

// hold takes the lock of a file, which is made where there is none; nil: process pid has it.
func hold(name string) (l *lock, pid string, err error) {
	f, err := openFile(name, os.O_RDWR|os.O_CREATE|noFollow)
	if err != nil {
		return nil, "", err
	}
	ok, err := TryLock(f)
	if ok && err == nil && !isAt(f, name) { // who had it has just taken it away
		f.Close()
		return nil, "", fmt.Errorf("%s: %w", name, errLockGone)
	}
	if err != nil || !ok {
		text, _ := os.ReadFile(name)
		f.Close()
		return nil, strings.TrimSpace(string(text)), err
	}
	if f.Truncate(0) == nil { // for people to read: a full disk keeps no agent from running
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &lock{f}, "", nil
}

// errLockGone is that the lock of a name was taken on a file that has it no more.
var errLockGone = errors.New("the lock is another file by now")

// isAt tells whether a file is still the one of its name.
func isAt(f *os.File, name string) bool {
	mine, err := f.Stat()
	there, no := os.Lstat(name)
	return err == nil && no == nil && os.SameFile(mine, there)
}

// machineRuns is that a process is the agent of this machine already.
func machineRuns(pid string) error {
	return fmt.Errorf("%w: process %s is this machine's agent: stop it first, or have this one run beside it with --beside", ErrRuns, pid)
}
