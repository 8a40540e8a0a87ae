package host

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// machineName is held by the agent of a machine, in its network namespace: no file, and gone with the process.
const machineName = "@rollcall-agent"

// TakeMachine makes this process the one agent of the machine until the Closer is closed; nil: somebody who has no say over this user has
// taken the name, which stops nothing. The error wraps [ErrRuns] and says which process has it.
func TakeMachine() (io.Closer, error) {
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
		return nil, nil
	}
	return nil, machineRuns(strconv.Itoa(int(peer.Pid)))
}
