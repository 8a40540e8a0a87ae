//go:build !windows

package daemon

import (
	"context"
	"io"
	"os"
	"runtime"

	"github.com/kardianos/service"
	"github.com/sirupsen/logrus"
)

// Run runs the agent under whatever has started it: it writes to stderr, which systemd takes to its log, and launchd to [macLog], which is
// bounded here. Both end it by a signal.
func Run(ctx context.Context, log *logrus.Logger, do func(context.Context) error) error {
	if runtime.GOOS == "darwin" && !service.Interactive() {
		log.SetOutput(bounded{os.Stderr, macLog})
	}
	return do(ctx)
}

// mostLog bounds the log of macOS, in bytes. As much again is kept of what was before.
const mostLog = 1 << 20

// A bounded log is a file that launchd has opened to be appended to, and keeps open. It begins anew when it is full, and what it had is kept
// beside it.
type bounded struct {
	*os.File
	name string
}

func (b bounded) Write(line []byte) (int, error) {
	if st, err := b.Stat(); err == nil && st.Size()+int64(len(line)) > mostLog {
		b.begin()
	}
	return b.File.Write(line)
}

// begin empties the log. Where its copy fails, as on a full disk, that is what there is room for; of more than a log is to have, as what a
// command of --allow may say, the end is kept.
func (b bounded) begin() {
	if full, err := os.Open(b.name); err == nil {
		defer full.Close()
		if before, err := os.OpenFile(b.name+".0", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
			defer before.Close()
			_, _ = full.Seek(-mostLog, io.SeekEnd) // a shorter one stays at its beginning
			_, _ = io.Copy(before, full)
		}
	}
	_ = b.Truncate(0)
}

// onFailure is said by the definitions of services themselves.
func onFailure() error { return nil }
