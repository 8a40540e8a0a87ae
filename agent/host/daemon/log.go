package daemon

import (
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/kardianos/service"
	"github.com/sirupsen/logrus"
)

// Serves tells whether the system's service manager has started this process.
func Serves() bool {
	if runtime.GOOS == "linux" {
		return os.Getppid() == 1 && os.Getenv("INVOCATION_ID") != "" // systemd.exec(5)
	}
	return !service.Interactive()
}

// toSystem has log write to the log of Windows. Where there is none it stays as it is.
func toSystem(log *logrus.Logger, m service.Service) {
	if l, err := m.SystemLogger(nil); err == nil {
		log.AddHook(systemLog{l})
		log.SetFormatter(&logrus.TextFormatter{DisableColors: true, DisableTimestamp: true}) // the system has the time
		log.SetOutput(io.Discard)
	}
}

// A systemLog takes what logrus writes.
type systemLog struct{ to service.Logger }

func (systemLog) Levels() []logrus.Level { return logrus.AllLevels }

func (s systemLog) Fire(e *logrus.Entry) error {
	text, err := e.String()
	text = strings.TrimSpace(text)
	switch {
	case err != nil:
		return err
	case e.Level <= logrus.ErrorLevel:
		return s.to.Error(text)
	case e.Level == logrus.WarnLevel:
		return s.to.Warning(text)
	}
	return s.to.Info(text)
}
