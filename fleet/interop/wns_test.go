package interop

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/fleet/cloud/wns"
)

// TestWNSNaiveClient: a client in another language, written from Microsoft's pages alone, wakes devices through our WNS.
func TestWNSNaiveClient(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	ln := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	const id, secret, pfn = "ms-app://s-1-15-2-1", "the secret", "Rollcall.Lab_8wekyb3d8bbwe"
	service := must(wns.New(wns.Config{
		URL: "https://" + ln.Addr().String(), Apps: []wns.App{{ClientID: id, Secret: secret, PFN: pfn}, {ClientID: "another", Secret: "x", PFN: "Another_8wekyb3d8bbwe"}},
	}))(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Serve(ctx, ln) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := file("ca.pem", string(service.CA()))
	here, away, old := service.OpenChannel(pfn, "laptop"), service.OpenChannel(pfn, "away"), service.OpenChannel(pfn, "old")
	heard := ""
	service.Connect(here, func(n wns.Notification) { heard += string(n.Payload) })
	service.CloseChannel(old)
	run := func(secret string) string {
		out, err := exec.Command(python, filepath.Join("testdata", "wns.py"), service.TokenURL(), ca, id, file("secret", secret),
			here, away, old, service.OpenChannel("Another_8wekyb3d8bbwe", "laptop"), here+"0").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	want := "200 received connected\n200 received disconnected\n410 - -\n403 - -\n404 - -"
	if got := run(secret); got != want || heard != "wake up" {
		t.Errorf("it says %q and the device heard %q, want %q", got, heard, want)
	}
	if got := run("guess"); got != "token 400 invalid_client" {
		t.Errorf("with a wrong secret it says %q", got)
	}
}
