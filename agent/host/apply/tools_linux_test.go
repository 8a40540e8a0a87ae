package apply

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// tool finds a program of the system that reads what is made here.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("there is no %s here", name)
	}
	return path
}

// made is the file of a sample profile's payload, whose settings are changed, in a folder of its own.
func made(t *testing.T, family protocol.Family, settings map[string]any) (name string, content []byte) {
	t.Helper()
	p := &apple.NewProfile("org.example.real", "Office", family).Payloads[0]
	for key, value := range settings {
		p.Settings[key] = value
	}
	f, err := planned(p, tagOf("org.example.real", p.Identifier))
	if err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(t.TempDir(), f.places[0].name)
	if err := os.WriteFile(name, f.content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, f.content
}

// NetworkManager reads the network that was meant, its secret with blanks and backslashes among it.
func TestNetworkManagerReadsTheKeyfile(t *testing.T) {
	nmcli := tool(t, "nmcli")
	secret := ` corr\ect "horse"; `
	_, content := made(t, protocol.WiFi, map[string]any{"SSID_STR": "Büro 1", "EncryptionType": "WPA2", "Password": secret, "HIDDEN_NETWORK": true, "AutoJoin": false})
	// What is changed is the name alone: the rest is written again as it was read.
	cmd := exec.Command(nmcli, "--offline", "connection", "modify", "connection.id", "read")
	cmd.Stdin = bytes.NewReader(content)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"\nautoconnect=false\n", "\nssid=66;195;188;114;111;32;49;\n", "\nhidden=true\n", "\nkey-mgmt=wpa-psk\n", "\npsk=\\scorr\\\\ect \"horse\"; \n"} {
		if !strings.Contains(string(out), want) && !strings.Contains(string(out), strings.ReplaceAll(want, "; \n", ";\\s\n")) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// strongSwan's own reader sends the connection and the secret that were meant to its daemon, whose place the test takes.
func TestSwanctlLoadsTheConnection(t *testing.T) {
	swanctl := tool(t, "swanctl")
	secret := "correct \"horse\" } {"
	name, _ := made(t, protocol.VPN, map[string]any{"VPNType": "IKEv2", "IKEv2": map[string]any{
		"RemoteAddress": "vpn.example.org", "LocalIdentifier": `ada "the first"`, "AuthenticationMethod": "SharedSecret", "SharedSecret": secret,
	}})
	socket := filepath.Join(t.TempDir(), "vici")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan []byte, 1)
	go func() { heard <- charon(l) }()
	out, err := exec.Command(swanctl, "--load-all", "--noprompt", "--file", name, "--uri", "unix://"+socket).CombinedOutput()
	l.Close()
	got := <-heard
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"load-conn", "load-shared", "vpn.example.org", `ada "the first"`, secret} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("strongSwan has not read %q: %q", want, got)
		}
	}
}

// charon says yes to all that one client sends (vici protocol: length, kind 0 with a name for a request, kind 1 for an answer), and returns it.
func charon(l net.Listener) (all []byte) {
	conn, err := l.Accept()
	if err != nil {
		return nil
	}
	defer conn.Close()
	for {
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return all
		}
		body := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(conn, body); err != nil {
			return all
		}
		all = append(all, body...)
		answer := append([]byte{1, 3, 7}, "success\x00\x03yes"...)
		if body[0] == 3 || body[0] == 4 { // it wants to hear of events
			answer = []byte{5}
		}
		conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
	}
}

// The system's trust store takes the CA up, and nothing of it stays when it is gone.
func TestTheTrustStoreTakesTheCA(t *testing.T) {
	command := updates["usr/local/share/ca-certificates"]
	tool(t, command[0])
	tool(t, "openssl")
	unshare := tool(t, "unshare")
	_, content := made(t, protocol.Certificate, nil)
	root := t.TempDir()
	for _, dir := range []string{"local", "etc", "hooks"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ca := filepath.Join(root, "local", "rollcall-x.crt")
	if err := errors.Join(os.WriteFile(ca, content, 0o644), os.WriteFile(filepath.Join(root, "conf"), []byte("# of no package\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	run := func() string {
		const mount = `cd "$1" && shift && mount --bind local /usr/local/share/ca-certificates && mount --bind etc /etc/ssl/certs && ` +
			`mount --bind hooks /etc/ca-certificates/update.d && mount --bind conf /etc/ca-certificates.conf || exit 99; exec "$@"`
		out, err := exec.Command(unshare, append([]string{"-rm", "sh", "-c", mount, "sh", root}, command...)...).CombinedOutput()
		if err != nil && (strings.Contains(string(out), "unshare") || strings.Contains(string(out), "mount")) {
			t.Skipf("no folders in place of others here: %s", out)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	out := run()
	bundle, err := os.ReadFile(filepath.Join(root, "etc", "ca-certificates.crt"))
	if err != nil || !bytes.Contains(bundle, bytes.TrimSpace(content)) {
		t.Errorf("%v: the bundle is %q: %s", err, bundle, out)
	}
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	out = run()
	if left, err := filepath.Glob(filepath.Join(root, "etc", "*")); err != nil || len(left) != 1 { // the bundle
		t.Errorf("%v: %q is left: %s", err, left, out)
	}
}

// The password policy is what libpwquality goes by.
func TestPwqualityGoesByThePolicy(t *testing.T) {
	tool(t, "pwscore")
	unshare := tool(t, "unshare")
	name, _ := made(t, protocol.Configuration, map[string]any{"minLength": int64(14), "requireAlphanumeric": true})
	security := t.TempDir()
	if err := os.Mkdir(filepath.Join(security, "pwquality.conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(security, "pwquality.conf"), []byte("dictcheck = 0\n"), 0o644); err != nil { // a dictionary may not be there
		t.Fatal(err)
	}
	if err := os.Rename(name, filepath.Join(security, "pwquality.conf.d", filepath.Base(name))); err != nil {
		t.Fatal(err)
	}
	score := func(password string) (string, error) {
		cmd := exec.Command(unshare, "-rm", "sh", "-c", `mount --bind "$1" /etc/security && exec pwscore`, "sh", security)
		cmd.Stdin = strings.NewReader(password + "\n")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	long, err := score("Zq7#mmVx0!Ktr-WpLe9")
	if err != nil && strings.Contains(long, "unshare") || strings.Contains(long, "mount") {
		t.Skipf("no mount can be made here: %s", long)
	}
	if err != nil {
		t.Errorf("a good password: %v: %s", err, long)
	}
	if out, err := score("Zq7#mmVx0!"); err == nil || !strings.Contains(out, "14") {
		t.Errorf("one of ten characters: %v: %s", err, out)
	}
}
