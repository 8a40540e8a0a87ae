package host

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/agent/dialect"
	"rollcall/agent/host/apply"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// bare opens a machine that has no facts.
func bare(t *testing.T, dir string) *Host {
	t.Helper()
	h, err := Open(t.Context(), dir, Config{Facts: func(context.Context) Facts { return Facts{} }, Machine: func(context.Context) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// placed is a machine with a profile that has taken the place of its owner's file below a root, and that file.
func placed(t *testing.T) (h *Host, root, file string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "root")
	file = filepath.Join(root, "usr/lib/thunderbird/isp/example.org.xml")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("the owner's own"), 0o644)); err != nil {
		t.Fatal(err)
	}
	h = bare(t, filepath.Join(t.TempDir(), "state"))
	h.rec.Apply = apply.Config{Root: root, Families: protocol.Families[:]}
	p := apple.NewProfile("org.example.mail", "mail", protocol.Email)
	p.Payloads[0].Settings["EmailAddress"] = "ada@example.org"
	store, err := h.profiles()
	if err == nil {
		_, err = store.Place(t.Context(), h.allowed(), nil, apply.Installed{Identifier: p.Identifier, Content: 1}, apple.EncodeProfile(p))
	}
	if err == nil {
		err = h.folder.save(h.rec)
	}
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) == "the owner's own" {
		t.Fatalf("no profile is there: %q, %v", b, err)
	}
	return h, root, file
}

// What an enrolment that is over could not put back is said by the error, the journal, the status and the doctor, is tried again by whoever
// opens the folder or checks in, and is forgotten when it is done (HST-121).
func TestHST121WhatDidNotComeBackIsToldAndTriedAgain(t *testing.T) {
	h, root, file := placed(t)
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	if err := h.over("it left"); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), "check-in") {
		t.Fatalf("over = %v", err)
	}
	dir := h.folder.dir
	h.Close()
	h = bare(t, dir)
	if err := h.CheckIn(t.Context()); !errors.Is(err, ErrFiles) {
		t.Errorf("check-in = %v", err)
	}
	if h.idle() {
		t.Error("an agent that runs would end with this to do")
	}
	s, err := Read(dir, h.now(), Facts{})
	if err != nil || s.State != "unmanaged" || s.Trouble == "" {
		t.Errorf("the status is %+v, %v", s, err)
	}
	told := ""
	for _, f := range Examine(t.Context(), dir, Config{Machine: func(context.Context) string { return "" }}) {
		if f.Check == "files" {
			told = f.Says
		}
	}
	if !strings.Contains(told, root) {
		t.Errorf("the doctor says %q", told)
	}
	if err := os.Rename(root+".away", root); err != nil {
		t.Fatal(err)
	}
	if err := h.CheckIn(t.Context()); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "the owner's own" {
		t.Errorf("%q, %v", b, err)
	}
	if err := h.CheckIn(t.Context()); !errors.Is(err, ErrUnmanaged) || !h.idle() || h.rec.Apply.Root != "" {
		t.Errorf("after all is back: %v, %+v", err, h.rec.Apply)
	}
	list, err := Journal(dir)
	if err != nil || len(list) != 3 || list[0].What != "ended" || list[1].Status != "failed" || list[2].Status != "done" {
		t.Errorf("the journal has %+v, %v", list, err)
	}
}

// Something that somebody put in the place of a profile's file is told, once, by the journal, and by the status and the doctor as long as it
// is there, while the profile is installed.
func TestHST121WhatIsInTheWayIsTold(t *testing.T) {
	h, _, file := placed(t)
	store, err := h.profiles()
	if err := errors.Join(err, os.Remove(file), os.Mkdir(file, 0o755)); err != nil {
		t.Fatal(err)
	}
	have := []apply.Installed{{Identifier: "org.example.mail", Content: 1}}
	match := func() error { return h.trouble(store.Match(t.Context(), h.allowed(), have)) }
	for range 2 {
		if err := match(); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), file+" is there, and is no file") {
			t.Fatalf("told by %v", err)
		}
	}
	if s, err := Read(h.folder.dir, h.now(), Facts{}); err != nil || !strings.Contains(s.Trouble, file) {
		t.Errorf("the status is %+v, %v", s, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := match(); err != nil {
		t.Error(err)
	}
	if _, err := os.ReadFile(file); err != nil {
		t.Errorf("moved away, and the profile's is not there: %v", err)
	}
	if list, err := Journal(h.folder.dir); err != nil || len(list) != 2 || list[0].Status != "failed" || list[1].Status != "done" {
		t.Errorf("the journal has %+v, %v", list, err)
	}
}

// A folder that stands for the system's root is there when it is named, or nothing is taken.
func TestARootThatIsNotThereIsRefused(t *testing.T) {
	root := t.TempDir()
	for folder, want := range map[string]bool{root: true, filepath.Join(root, "none"): false} {
		if err := (&Change{Apply: &apply.Config{Root: folder}}).check(); (err == nil) != want || !want && !strings.Contains(err.Error(), "make it first") {
			t.Errorf("%s: %v", folder, err)
		}
	}
}

// The journal says of an erase what it takes.
func TestTheJournalSaysWhatAnEraseTakes(t *testing.T) {
	h := bare(t, filepath.Join(t.TempDir(), "state"))
	for command, want := range map[string]string{"EraseDevice": "own state is removed, and nothing else", "DeviceLock": "nothing was done"} {
		if err := h.asked(&dialect.Order{Command: command, Status: protocol.Acknowledged}); err != nil || !strings.Contains(h.rec.Asked.Note, want) {
			t.Errorf("%s: %+v, %v", command, h.rec.Asked, err)
		}
	}
}

// Who has just left, without its server's knowing, is not told to leave.
func TestWhoHasLeftIsNotToldToLeave(t *testing.T) {
	h := bare(t, filepath.Join(t.TempDir(), "state"))
	h.rec.Link = &pasted{Host: "lab.example.org:8443"}
	err := h.left(&dialect.Failure{Step: dialect.CheckOut, Err: &net.OpError{Op: "remote error", Err: errors.New("tls: revoked certificate")}})
	if !errors.Is(err, ErrUntold) || !strings.Contains(err.Error(), "enrol with a new line") || strings.Contains(err.Error(), "agent unenroll") {
		t.Error(err)
	}
}

// Who leaves after another machine, or agent, took its place is not told to remove that one from the server, whether the server says so now
// or has before.
func TestHST032AReplacedMachineLeavesAlone(t *testing.T) {
	for name, tt := range map[string]struct{ says, said string }{
		"now":    {"HST-032: the identity was replaced by a newer one", ""},
		"before": {"connection refused", replacedBy("lab.example.org:8443")},
	} {
		h := bare(t, filepath.Join(t.TempDir(), "state"))
		h.rec.Link, h.rec.UDID, h.rec.Why = &pasted{Host: "lab.example.org:8443"}, "A-1", tt.said
		err := h.left(&dialect.Failure{Step: dialect.CheckOut, Status: http.StatusUnauthorized, Err: errors.New(tt.says)})
		if err != nil || strings.Contains(h.rec.EndedBy, "devices delete") || !strings.Contains(h.rec.EndedBy, "HST-032") {
			t.Errorf("%s: %v, %q", name, err, h.rec.EndedBy)
		}
	}
}

// A damaged list of what profiles changed is told by whoever is asked, with what to do.
func TestHST121ADamagedLedgerIsTold(t *testing.T) {
	h, _, file := placed(t)
	for _, name := range []string{"files.json", "files.json.copy"} {
		if err := os.Truncate(filepath.Join(h.folder.dir, profilesFolder, name), 100); err != nil {
			t.Fatal(err)
		}
	}
	h.store = nil
	if err := h.over("it left"); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), "put back by hand") {
		t.Errorf("over = %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) == "the owner's own" {
		t.Errorf("%q, %v", b, err)
	}
	if s, err := Read(h.folder.dir, h.now(), Facts{}); err != nil || !strings.Contains(s.Trouble, "damaged") {
		t.Errorf("the status is %+v, %v", s, err)
	}
}

// A list that is damaged alone is no matter: its copy has what was there before.
func TestHST121ADamagedLedgerHasACopy(t *testing.T) {
	h, _, file := placed(t)
	if err := os.Truncate(filepath.Join(h.folder.dir, profilesFolder, "files.json"), 100); err != nil {
		t.Fatal(err)
	}
	h.store = nil
	if s, err := Read(h.folder.dir, h.now(), Facts{}); err != nil || s.Trouble != "" {
		t.Errorf("the status is %+v, %v", s, err)
	}
	if err := h.over("it left"); err != nil {
		t.Errorf("over = %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "the owner's own" {
		t.Errorf("%q, %v", b, err)
	}
}

// What was there before comes back, and what somebody made of it meanwhile is kept: whoever asks hears where, after the end too.
func TestHST121AnEditIsKept(t *testing.T) {
	h, _, file := placed(t)
	if err := os.WriteFile(file, []byte("an edit"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.over("it left"); err != nil || !h.idle() {
		t.Errorf("over = %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "the owner's own" {
		t.Errorf("%q, %v", b, err)
	}
	s, err := Read(h.folder.dir, h.now(), Facts{})
	if err != nil || len(s.Edited) != 1 || s.Edited[0].File != file {
		t.Fatalf("the status is %+v, %v", s, err)
	}
	if b, err := os.ReadFile(s.Edited[0].Copy); err != nil || string(b) != "an edit" {
		t.Errorf("%q, %v", b, err)
	}
	if list, err := Journal(h.folder.dir); err != nil || !slices.ContainsFunc(list, func(e Entry) bool { return strings.Contains(e.Note, s.Edited[0].Copy) }) {
		t.Errorf("the journal has %+v, %v", list, err)
	}
}

// A full disk ends nothing: neither the journal nor the folder say that it is over, and the profile is there as a whole.
func TestHST121AFullDiskEndsNothing(t *testing.T) {
	h, _, file := placed(t)
	next := filepath.Join(h.folder.dir, nextFile)
	if err := errors.Join(os.Mkdir(next, 0o700), os.WriteFile(filepath.Join(next, "x"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := h.over("it left"); err == nil || errors.Is(err, ErrFiles) {
		t.Errorf("over = %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) == "the owner's own" {
		t.Errorf("%q, %v", b, err)
	}
	if list, err := Journal(h.folder.dir); err != nil || len(list) != 0 || h.rec.Ended != 0 {
		t.Errorf("the journal has %+v, %v; ended %v", list, err, h.rec.Ended)
	}
}

// A crash after the end was kept, before files went back: they do when somebody opens the folder.
func TestHST121KilledBeforeFilesWentBack(t *testing.T) {
	h, _, file := placed(t)
	r := h.rec.ended(1, "it left")
	r.Apply, r.Trouble = h.rec.Apply, notBack
	if err := h.folder.clear(r); err != nil {
		t.Fatal(err)
	}
	dir := h.folder.dir
	h.Close()
	h = bare(t, dir)
	if b, err := os.ReadFile(file); err != nil || string(b) != "the owner's own" || !h.idle() {
		t.Errorf("%q, %v; idle %v", b, err, h.idle())
	}
}
