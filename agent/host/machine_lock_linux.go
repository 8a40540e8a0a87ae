package host

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// machineName is held by the agent of a machine, in its network namespace: no file, and gone with the process.
const machineName = "@rollcall-agent"

// rootsFolder is where only root makes files: the lock of root's agents stands there, one for each network namespace, as the name is.
const rootsFolder = "/run"

// TakeMachine makes this process the one agent of the machine until the Closer is closed; nil: somebody who has no say over this user has
// taken the name, which stops nothing. Anybody may take the name, so root's agents have a file as well. The error wraps [ErrRuns] and says
// which process has it.
func TakeMachine() (io.Closer, error) {
	name, err := takeName(MachineFolder())
	if err != nil || os.Geteuid() != 0 {
		return name, err
	}
	return takeRoots(name, rootsFolder)
}

// takeRoots takes the file of root's agents, beside the name if that was taken.
func takeRoots(name io.Closer, folder string) (io.Closer, error) {
	namespace, _ := os.Readlink("/proc/self/ns/net")
	file, err := takeMachine(filepath.Join(folder, "rollcall-agent-"+namespace+".lock"))
	switch {
	case err != nil && name != nil:
		name.Close()
		return nil, err
	case file == nil || name == nil:
		return cmp.Or(name, file), err
	}
	return locks{name, file}, nil
}

// locks are two that are given back together.
type locks [2]io.Closer

func (l locks) Close() error { return errors.Join(l[0].Close(), l[1].Close()) }

// takeName takes the name of this machine's agent; nil: somebody has it who has no say over this user. The agent that the system runs is of
// the user whose the folder machine is.
func takeName(machine string) (io.Closer, error) {
	l, err := net.Listen("unix", machineName)
	if err == nil {
		return l, nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the lock of this machine's agent: %w", err)
	}
	conn, err := net.Dial("unix", machineName)
	if err != nil {
		return nil, nil // it has just ended, or takes no more connections: nobody to be asked
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	no := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(no, err); err != nil {
		return nil, err
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		st, err := os.Stat(machine)                                                                        // which systemd lets nobody look into whose user it has made
		if err != nil && !errors.Is(err, fs.ErrPermission) || err == nil && ownerOf(st) != int(peer.Uid) { // else it is the agent that the system runs, as a user of its own
			return nil, nil
		}
	}
	return nil, machineRuns(strconv.Itoa(int(peer.Pid)))
}
