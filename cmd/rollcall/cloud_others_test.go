//go:build !agentonly

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/cloud/wns"
	"rollcall/server/delivery"
	"rollcall/server/push"
)

// A cloudRun is a command that runs a simulated service, as a person would run it.
type cloudRun struct {
	*testing.T
	url   string
	roots *x509.CertPool
	stop  func() []byte // ends it as a signal does, and returns what it printed
}

func runCloud(t *testing.T, args ...string) *cloudRun {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	var out bytes.Buffer
	cmd := cloudCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	cmd.SetErr(write)
	cmd.SetArgs(append(args, "--listen=127.0.0.1:0", "--json", "--ca-out", ca))
	done := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		write.CloseWithError(err)
		done <- err
	}()
	r := &cloudRun{T: t, roots: x509.NewCertPool()}
	r.stop = func() []byte {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended by a signal: %v", err)
		}
		return out.Bytes()
	}
	lines := bufio.NewScanner(read)
	for r.url == "" && lines.Scan() {
		_, r.url, _ = strings.Cut(lines.Text(), "listens on ")
	}
	go io.Copy(io.Discard, read)
	if r.url == "" {
		t.Fatalf("it does not listen: %v", <-done)
	}
	if pem, err := os.ReadFile(ca); err != nil || !r.roots.AppendCertsFromPEM(pem) {
		t.Fatalf("--ca-out: no certificate: %v", err)
	}
	return r
}

// private reads a file that only its owner may.
func private(t *testing.T, name string) []byte {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestCloudWNS: what the command writes is what the server takes, and the two ends, which share no code, understand each other.
func TestCloudWNS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wns.json")
	r := runCloud(t, "wns", "--identity", file, "--rate", "3/1m")
	id, err := push.ReadWNSIdentity(private(t, file))
	if err != nil {
		t.Fatal(err)
	}
	client := push.NewWNS(id, push.Config{Roots: r.roots})
	defer client.Close()
	send := func(channel string) push.Answer {
		return client.Push(t.Context(), push.Notification{Token: []byte(channel), Expires: time.Now().Add(time.Hour)})
	}
	for range 3 {
		if a := send(r.url + "/?token=device-1"); a != (push.Answer{Result: delivery.Accepted}) {
			t.Errorf("Push = %+v, want it accepted", a)
		}
	}
	if a := send(r.url + "/?token=device-1"); a.Result != delivery.TryLater || a.RetryAfter < time.Minute {
		t.Errorf("Push beyond the rate = %+v, want it later", a)
	}
	if a := send(strings.Replace(r.url, "127.0.0.1", "localhost", 1) + "/?token=device-1"); a.Result != delivery.BadAddress || !a.Alarm {
		t.Errorf("Push to a host that is not configured = %+v, want it refused (WIN-043)", a)
	}
	id.ClientSecret = "guess"
	other := push.NewWNS(id, push.Config{Roots: r.roots})
	defer other.Close()
	if a := other.Push(t.Context(), push.Notification{Token: []byte(r.url + "/?token=device-1")}); !a.Suspend || strings.Contains(a.Reason, "guess") {
		t.Errorf("Push with a wrong secret = %+v, want it suspended", a)
	}
	var counted struct {
		Accepted, Waiting, Replaced, Tokens int
		Refused                             map[string]int
	}
	text := r.stop()
	if err := json.Unmarshal(text, &counted); err != nil || counted.Accepted != 3 || counted.Waiting != 1 || counted.Replaced != 2 || counted.Tokens != 1 || counted.Refused["406"] != 1 {
		t.Errorf("it counted %s, %v", text, err)
	}
	if _, err := wnsService(wns.Config{URL: r.url + "0"}, ownFile{"--identity", file, "--force replaces it"}, "", false); err == nil || !strings.Contains(err.Error(), "--force replaces it") || strings.Contains(err.Error(), id.ClientSecret) {
		t.Errorf("an identity of another address: %v", err)
	}
	if _, err := wnsService(wns.Config{URL: r.url}, ownFile{"--identity", file, "--force replaces it"}, "", false); err != nil {
		t.Errorf("the same address again: %v", err)
	}
}

// TestCloudFCM is TestCloudWNS of the other service.
func TestCloudFCM(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fcm.json")
	r := runCloud(t, "fcm", "--key", file, "--project", "some-project")
	account, err := push.ReadServiceAccount(private(t, file))
	if err != nil || account.Project != "some-project" {
		t.Fatalf("account of %q, %v", account.Project, err)
	}
	client, err := push.NewFCM(account, push.Config{URL: r.url, Roots: r.roots})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 3 {
		if a := client.Push(t.Context(), push.Notification{Token: []byte("f-123"), Expires: time.Now().Add(8 * time.Hour)}); a != (push.Answer{Result: delivery.Accepted}) {
			t.Errorf("Push = %+v, want it accepted", a)
		}
	}
	account.Project = "another-project"
	other, err := push.NewFCM(account, push.Config{URL: r.url, Roots: r.roots})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if a := other.Push(t.Context(), push.Notification{Token: []byte("f-123")}); !a.Suspend || a.Reason != "PERMISSION_DENIED" {
		t.Errorf("Push to another project = %+v, want it suspended", a)
	}
	var counted struct{ Accepted, Waiting, Replaced, Tokens int }
	text := r.stop()
	if err := json.Unmarshal(text, &counted); err != nil || counted.Accepted != 3 || counted.Waiting != 1 || counted.Replaced != 2 || counted.Tokens != 2 {
		t.Errorf("it counted %s, %v", text, err)
	}
}

func TestCloudOthersBadInput(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.json")
	if err := os.WriteFile(broken, []byte(`{"client_secret":"very secret","private_key":"very secret"`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"wns --listen=nowhere", "--listen"},
		{"wns --rate=often", "--rate"},
		{"wns --fault=Quake=1%", "Quake"},
		{"wns --fault=406", "want NAME=SHARE"},
		{"wns --url=http://x", "want https"},
		{"wns --identity=" + broken, "--identity " + broken},
		{"wns --ca-out=testdata/no/such/folder", "--ca-out"},
		{"fcm", "--key: name the file"},
		{"fcm --key=" + broken, "--force replaces it"},
		{"fcm --key=x.json --fault=Quake=1%", "Quake"},
		{"fcm --key=x.json --demote=2", "want 0 to 1"},
		{"fcm --key=testdata/no/such/key.json", "--key"},
		{"fcm --key=testdata/none.json --project=X", "--project"},
	} {
		cmd := cloudCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetErr(io.Discard)
		args := fields(tt.args, dir)
		if !strings.Contains(tt.args, "--listen") {
			args = append(args, "--listen=127.0.0.1:0")
		}
		cmd.SetArgs(args)
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "very secret") {
			t.Errorf("cloud %s: %v, want an error with %q", tt.args, err, tt.want)
		}
	}
}

// TestServeOtherPushServices: keys come from files, and what is wrong with a flag is said without them.
func TestServeOtherPushServices(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	identity := write("wns.json", `{"client_id":"ms-app://s-1-15-2-1","client_secret":"very secret","pfn":"Rollcall.Lab_8wekyb3d8bbwe"}`)
	broken := write("broken.json", `{"client_id":"a","client_secret":"very secret","secrets":"very secret"}`)
	for _, tt := range []struct {
		flags serveFlags
		want  string
	}{
		{serveFlags{wns: identity}, ""},
		{serveFlags{wns: broken}, `--wns ` + broken + `: WNS identity: unknown field "secrets"`},
		{serveFlags{wns: filepath.Join(dir, "none")}, "--wns "},
		{serveFlags{fcm: identity}, "service account: project_id"},
		{serveFlags{wns: identity, entra: write("entra.json", `{"tenant":"t","audiences":["a"],"keys_url":"https://login.example.org/keys"}`)}, ""},
		{serveFlags{entra: broken}, `--entra ` + broken + `: directory: json: unknown field "client_id"`},
		{serveFlags{wnsCA: identity}, "without --wns"},
		{serveFlags{fcmURL: "https://x"}, "without --fcm"},
		{serveFlags{wns: identity, wnsCA: identity}, "--wns-ca"},
	} {
		var cfg serveConfig
		err := tt.flags.others(&cfg)
		if tt.want == "" && (err != nil || cfg.wnsClient() != "ms-app://s-1-15-2-1" || cfg.fcmProject() != "") {
			t.Errorf("%+v: %v, %+v", tt.flags, err, cfg.WNS)
		}
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "very secret")) {
			t.Errorf("%+v: %v, want an error with %q", tt.flags, err, tt.want)
		}
	}
}
