//go:build !agentonly

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/server/push"
)

// TestConformListenWNS: a server that is to be judged gets the identity by which it sends, and the CA, as serve takes them.
func TestConformListenWNS(t *testing.T) {
	f := conformFlags{wnsListen: "127.0.0.1:0"}
	if _, _, err := f.listenWNS(t.Context()); err == nil || !strings.Contains(err.Error(), "--wns-identity-out") {
		t.Errorf("without a file for the identity: %v", err)
	}
	dir := t.TempDir()
	f.wnsIdentity, f.wnsCA = filepath.Join(dir, "wns.json"), filepath.Join(dir, "ca.pem")
	v, stop, err := f.listenWNS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	text, err := os.ReadFile(f.wnsIdentity)
	if err != nil {
		t.Fatal(err)
	}
	id, err := push.ReadWNSIdentity(text)
	if err != nil || id.TokenURL != v.TokenURL() || push.CheckChannel(v.Open(id.PFN), id.Hosts) != nil {
		t.Errorf("identity %+v, %v", id, err)
	}
	if ca, err := os.ReadFile(f.wnsCA); err != nil || string(ca) != string(v.CA()) {
		t.Errorf("CA %s, %v", ca, err)
	}
}
