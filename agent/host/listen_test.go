package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sirupsen/logrus"

	"rollcall/agent/courier"
	"rollcall/protocol"
	"rollcall/protocol/wake"
)

// A nameless is a managed device that a push service knows by a secret of the host's.
type nameless struct{ managed }

func (nameless) push() address { return address{service: wake.FCM} }

// A secret that a full disk does not keep is told to nobody: a restart would make another (HST-121).
func TestHST121ASecretIsKeptBeforeItIsTold(t *testing.T) {
	h := bare(t, filepath.Join(t.TempDir(), "state"))
	h.device = nameless{}
	defer func() { h.device = nil }()
	full := filepath.Join(h.folder.path(nextFile), "x") // nothing can be written there
	if err := os.MkdirAll(full, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if to := h.address(); to.service != "" || h.rec.Secret != nil {
			t.Errorf("with a full disk it is woken by %+v, and has the secret %x", to, h.rec.Secret)
		}
	}
	if err := os.RemoveAll(h.folder.path(nextFile)); err != nil {
		t.Fatal(err)
	}
	to := h.address()
	kept, err := load(h.folder.dir)
	if err != nil || len(to.token) != wake.TokenSize || string(kept.Secret) != string(to.token) {
		t.Errorf("it is woken by %+v, and has kept %x, %v", to, kept.Secret, err)
	}
}

// Who listens no more shows no stream.
func TestADeafMachineHasNoStream(t *testing.T) {
	h := &Host{listener: &listener{stop: func() {}}}
	h.stream.Store(&courier.State{Service: "mdm.example.org:5223"})
	if h.deafen(); h.stream.Load() != nil {
		t.Error("it shows the one that it had")
	}
}

// A waiting has the machine of a test wait for its push service from each word of its log on.
type waiting struct {
	h       *Host
	said    chan string
	stopped atomic.Int64
}

func (*waiting) Levels() []logrus.Level { return logrus.AllLevels }

func (w *waiting) Fire(e *logrus.Entry) error {
	w.h.listener = &listener{to: w.h.device.push(), stop: func() { w.stopped.Add(1) }}
	w.h.stream.Store(&courier.State{Why: "refused"})
	w.said <- e.Message
	return nil
}

// A stream that waits is left alone after a conversation that failed, made anew after one that did not, and left alone again when something else
// happens than a conversation.
func TestAStreamIsMadeAnewWhereTheServerIsReached(t *testing.T) {
	h := bare(t, filepath.Join(t.TempDir(), "state"))
	w := &waiting{h: h, said: make(chan string, 10)}
	h.cfg.Log.AddHook(w)
	h.device, h.rec.Kind = talker{began: func() {}}, protocol.Windows
	h.rec.Link = &pasted{Host: "mdm.example.org:8443", Trusted: []byte("no certificate")} // so that none is made
	defer func() { h.device, h.listener = nil, nil }()
	ctx, stop := context.WithCancel(t.Context())
	asks, ended := make(chan asking), make(chan struct{})
	go func() {
		defer close(ended)
		h.loop(ctx, nil, asks)
	}()
	ask := func(what Request, want int64) error {
		t.Helper()
		a := asking{what, make(chan error, 1)}
		asks <- a // taken once it was looked at the stream
		if got := w.stopped.Load(); got != want {
			t.Errorf("before %s the stream was left %d times, want %d", what, got, want)
		}
		return <-a.done
	}
	<-w.said // that it comes later: until then nothing is known of the server
	if err := ask(RequestCheckIn, 1); err == nil {
		t.Error("the check-in went well")
	}
	<-w.said
	if err := ask(requestChange+"{}", 1); err != nil {
		t.Error(err)
	}
	h.acted <- acted{act: "lock"} // it is looked at the stream first
	<-w.said
	if err := ask(requestChange+"{}", 2); err != nil {
		t.Error(err)
	}
	stop()
	<-ended
}

// Where files of profiles alone do not follow, the server was reached all the same.
func TestAStreamIsMadeAnewWhereFilesAloneFail(t *testing.T) {
	h := bare(t, filepath.Join(t.TempDir(), "state"))
	if err := os.WriteFile(h.folder.path(profilesFolder), nil, 0o600); err != nil { // no store can be there
		t.Fatal(err)
	}
	w := &waiting{h: h, said: make(chan string, 10)}
	h.cfg.Log.AddHook(w)
	h.device, h.rec.Kind = talker{began: func() {}}, protocol.Windows
	h.rec.Link = &pasted{Host: "mdm.example.org:8443", Trusted: []byte("no certificate")}
	defer func() { h.device, h.listener = nil, nil }()
	ctx, stop := context.WithCancel(t.Context())
	asks, ended := make(chan asking), make(chan struct{})
	go func() {
		defer close(ended)
		h.loop(ctx, nil, asks)
	}()
	for want := range int64(3) {
		a := asking{requestChange + "{}", make(chan error, 1)}
		asks <- a
		if got := w.stopped.Load(); got != want+1 {
			t.Errorf("the stream was left %d times, want %d", got, want+1)
		}
		if err := <-a.done; !errors.Is(err, ErrFiles) {
			t.Errorf("the files: %v", err)
		}
	}
	stop()
	<-ended
}
