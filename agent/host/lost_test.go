package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/agent/host/apply"
)

// A machine whose state nobody can read any more, or that came from another machine, leaves all the same: what was there before profiles is
// back, what could not be done is said, and the folder is whole again (HST-121).
func TestHST121ALostStateIsLeft(t *testing.T) {
	t.Parallel()
	const here, elsewhere = "here", "elsewhere"
	for name, tt := range map[string]struct {
		lose   func(h *Host) error // before it is opened again, here
		want   []string            // of what is said to who leaves; empty: nothing is wrong
		reason string              // and kept
		back   bool                // what was there before is
	}{
		"damaged": {func(h *Host) error {
			return errors.Join(os.Truncate(h.folder.path(stateFile), 40), os.RemoveAll(h.folder.path(previousFile)))
		}, []string{"the server was not told", "devices delete", "is damaged"}, "is damaged", true},
		"damaged, with a command that heard of the profile": {func(h *Host) error {
			h.rec.Apply.OnProfile = "true"
			if err := h.store.Match(context.Background(), h.allowed(), []apply.Installed{{Identifier: "org.example.mail", Content: 1}}); err != nil {
				return err
			}
			return errors.Join(os.Truncate(h.folder.path(stateFile), 40), os.RemoveAll(h.folder.path(previousFile)))
		}, []string{"was not told", "--on-profile", "org.example.mail left"}, "org.example.mail left", true},
		"damaged, and the list of files too": {func(h *Host) error {
			profiles := h.folder.path(profilesFolder)
			return errors.Join(os.Truncate(h.folder.path(stateFile), 40), os.RemoveAll(h.folder.path(previousFile)),
				os.Truncate(filepath.Join(profiles, "files.json"), 100), os.Truncate(filepath.Join(profiles, "files.json.copy"), 100))
		}, []string{"was not told", "put back by hand", "before"}, "is damaged", false},
		"a device in no bytes of its kind": {func(h *Host) error {
			h.rec.Device, h.rec.Link = []byte("no device"), &pasted{Host: "lab.example.org:8443"}
			return h.folder.save(h.rec)
		}, []string{"was not told", "devices delete"}, "", true},
		"of another machine": {func(h *Host) error {
			h.rec.Machine, h.rec.UDID, h.rec.Listed = machineOf(elsewhere), "A-1", "A1"
			return h.folder.save(h.rec)
		}, nil, "devices delete A1", true},
	} {
		h, _, file := placed(t)
		err := tt.lose(h)
		h.Close()
		dir := h.folder.dir
		open := func(cfg Config) (*Host, error) {
			cfg.Facts, cfg.Machine = func(context.Context) Facts { return Facts{} }, func(context.Context) string { return here }
			return Open(t.Context(), dir, cfg)
		}
		if err != nil {
			t.Fatal(err)
		}
		if h, err := open(Config{}); err == nil || !strings.Contains(err.Error(), toGoOn) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: opened: %v, %v", name, h, err)
		}
		told := Examine(t.Context(), dir, Config{Machine: func(context.Context) string { return here }})
		if f := told[0]; f.Check != "folder" || f.OK || f.Do != toGoOn || strings.Contains(f.Says, toGoOn) {
			t.Errorf("%s: the doctor says %+v", name, f)
		}
		h, err = open(Config{Leave: true})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = h.Unenrol(t.Context())
		if (err == nil) != (tt.want == nil) || err != nil && (!errors.Is(err, ErrUntold) || strings.Contains(err.Error(), "--anew")) {
			t.Errorf("%s: Unenrol = %v", name, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: Unenrol = %v; want %q", name, err, want)
			}
		}
		h.Close()
		if b, err := os.ReadFile(file); err != nil || (string(b) == "the owner's own") != tt.back {
			t.Errorf("%s: the file is %q, %v", name, b, err)
		}
		s, err := Read(dir, h.now(), Facts{})
		if err != nil || s.State != "unmanaged" || s.Ended == 0 || !strings.Contains(s.EndedBy, tt.reason) || (s.Trouble == "") != tt.back {
			t.Errorf("%s: the status is %+v, %v", name, s, err)
		}
		if h, err = open(Config{}); err != nil { // as any machine that has left
			t.Fatalf("%s: afterwards: %v", name, err)
		}
		if h.idle() != tt.back || h.rec.UDID == "A-1" {
			t.Errorf("%s: afterwards: idle is %v, and it is %s", name, h.idle(), h.rec.UDID)
		}
		h.Close()
	}
}

// A state whose device cannot be read is no reason to refuse another enrolment, when that is asked for.
func TestHST121ALostDeviceIsReplaced(t *testing.T) {
	t.Parallel()
	h, _, file := placed(t)
	h.rec.Device, h.rec.Link = []byte("no device"), &pasted{Host: "lab.example.org:8443"}
	if err := h.folder.save(h.rec); err != nil {
		t.Fatal(err)
	}
	h.Close()
	h, err := Open(t.Context(), h.folder.dir, Config{Anew: true, Facts: func(context.Context) Facts { return Facts{} }, Machine: func(context.Context) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if b, err := os.ReadFile(file); err != nil || string(b) != "the owner's own" || h.managed() {
		t.Errorf("%q, %v; managed %v", b, err, h.managed())
	}
}
