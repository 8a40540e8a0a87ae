package target_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"rollcall/fleet/target"
	"rollcall/protocol/apple"
)

// NanoMDM is asked in its own words (its API's documentation: enqueue, push).
func TestNanoMDM(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, key, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		what := r.Method + " " + r.URL.Path + " " + user + ":" + key
		if len(body) > 0 {
			uuid, command, err := apple.DecodeCommand(body)
			if err != nil || uuid == "" {
				t.Errorf("command: %v", err)
			}
			what += " " + command.RequestType()
		}
		asked = append(asked, what)
		if strings.HasSuffix(r.URL.Path, "/gone") {
			http.Error(w, "no such enrollment", http.StatusNotFound)
		}
	}))
	defer s.Close()
	n := &target.NanoMDM{URL: s.URL + "/", Key: "secret"}
	for _, kind := range []target.OrderKind{target.Sync, target.Information, target.Security, target.ProfileList, target.Certificates, target.Applications, target.Restart} {
		if id, err := n.Order(t.Context(), "A B", target.Order{Kind: kind}); err != nil || (id == "") != (kind == target.Sync) {
			t.Error(id, err)
		}
	}
	want := []string{
		"GET /v1/push/A B", "PUT /v1/enqueue/A B DeviceInformation", "PUT /v1/enqueue/A B SecurityInfo", "PUT /v1/enqueue/A B ProfileList",
		"PUT /v1/enqueue/A B CertificateList", "PUT /v1/enqueue/A B InstalledApplicationList", "PUT /v1/enqueue/A B RestartDevice",
	}
	for i := range want {
		if got := strings.Replace(asked[i], " nanomdm:secret", "", 1); got != want[i] {
			t.Errorf("asked %q, want %q", got, want[i])
		}
	}
	var no *target.Error
	if _, err := n.Order(t.Context(), "gone", target.Order{Kind: target.Sync}); !errors.As(err, &no) || no.Status != 404 || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v, want the 404 in words", err)
	}
	if _, err := n.Order(t.Context(), "x", target.Order{Kind: target.Wipe}); err == nil {
		t.Error("an order that it does not know was taken")
	}
}

// A program is called for each action; its failure is told with what it said.
func TestProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "admin")
	script := "#!/bin/sh\necho \"$@\" >>\"" + dir + "/calls\"\n" +
		"case $1 in invite) echo https://a.example/1; echo; echo https://a.example/2;; order) [ \"$3\" = bad ] && { echo no such device >&2; exit 3; }; echo an-id;; esac\nexit 0\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	p := &target.Program{Path: path}
	list, err := p.Invite(t.Context(), []string{"", ""})
	if err != nil || len(list) != 2 || list[1].URL != "https://a.example/2" {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := p.Invite(t.Context(), []string{""}); err == nil || !strings.Contains(err.Error(), "printed 2 links") {
		t.Errorf("one link wanted: %v", err)
	}
	if id, err := p.Order(t.Context(), "UDID", target.Order{Kind: target.Sync}); err != nil || id != "an-id" {
		t.Error(id, err)
	}
	if _, err := p.Order(t.Context(), "bad", target.Order{Kind: target.Lock}); err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("%v, want what the program said", err)
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil || string(calls) != "invite 2\ninvite 1\norder sync UDID\norder lock bad\n" {
		t.Errorf("called %q (%v)", calls, err)
	}
}
