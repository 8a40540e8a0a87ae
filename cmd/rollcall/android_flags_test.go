//go:build !agentonly

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol/android"
)

const (
	agentSum    = "23:96:2F:4B:43:B9:85:76:38:EA:66:F5:94:19:51:8E:AE:28:24:91:AC:DA:4B:94:70:7B:D5:90:03:C4:5E:58"
	agentSumB64 = "I5YvS0O5hXY46mb1lBlRjq4oJJGs2kuUcHvVkAPEXlg"
)

// What QR codes say of the agent is what a setup wizard takes: the extras of Android's DevicePolicyManager by their names, the checksum in
// URL-safe base64 without padding (android.md, section 4).
func TestAndroidAgentInQRCodes(t *testing.T) {
	for _, sum := range []string{agentSum, strings.ToLower(strings.ReplaceAll(agentSum, ":", "")), agentSumB64, agentSumB64 + "="} {
		f := androidFlags{agent: "org.example.agent/.AdminReceiver", agentURL: "https://mdm.example/agent.apk", agentChecksum: sum, identity: "est", attestation: "off"}
		cfg, err := f.config()
		if err != nil {
			t.Fatal(err)
		}
		p, err := android.NewProvisioning(cfg.Installer, android.Bundle{ServerURL: "https://mdm.example/", Token: "t", CASHA256: "ab", Mode: android.FullyManaged})
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(android.Append(nil, p), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME":            "org.example.agent/.AdminReceiver",
			"android.app.extra.PROVISIONING_DEVICE_ADMIN_SIGNATURE_CHECKSUM":        agentSumB64,
			"android.app.extra.PROVISIONING_DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION": "https://mdm.example/agent.apk",
			"android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE": map[string]any{
				"rollcall.SERVER_URL": "https://mdm.example/", "rollcall.ENROLLMENT_TOKEN": "t", "rollcall.CA_SHA256": "ab", "rollcall.MODE": "FULLY_MANAGED",
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// Flags that belong together are given together, and an error names the one that is wrong.
func TestAndroidFlags(t *testing.T) {
	folder := t.TempDir()
	ca, err := certs.NewIssuer("a maker", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pem, _, err := ca.PEM()
	if err != nil {
		t.Fatal(err)
	}
	roots, revoked, rubbish := filepath.Join(folder, "roots.pem"), filepath.Join(folder, "revoked.json"), filepath.Join(folder, "rubbish")
	for name, text := range map[string]string{roots: string(pem), revoked: `{"entries":{"0BEEF":{}}}`, rubbish: "x"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const admin, apk = "org.example.agent/.AdminReceiver", "https://mdm.example/agent.apk"
	for _, tt := range []struct {
		flags androidFlags
		want  string // of the error; empty: none
	}{
		{androidFlags{identity: "est", attestation: "off"}, ""},
		{androidFlags{identity: "scep", attestation: "off"}, ""},
		{androidFlags{identity: "acme", attestation: "off"}, "--android-identity"},
		{androidFlags{agent: admin, identity: "est", attestation: "off"}, "--android-agent-url"},
		{androidFlags{agent: admin, agentURL: "http://x/a.apk", identity: "est", attestation: "off"}, "--android-agent-url"},
		{androidFlags{agentURL: apk, agentChecksum: agentSum, identity: "est", attestation: "off"}, "PACKAGE/CLASS"},
		{androidFlags{agent: "org.example.agent", agentURL: apk, agentChecksum: agentSum, identity: "est", attestation: "off"}, "--android-agent "},
		{androidFlags{agent: admin, agentURL: apk, identity: "est", attestation: "off"}, "--android-agent-checksum"},
		{androidFlags{agent: admin, agentURL: apk, agentChecksum: agentSum[3:], identity: "est", attestation: "off"}, "--android-agent-checksum"},
		{androidFlags{identity: "est", attestation: "maybe"}, "--android-attestation"},
		{androidFlags{identity: "est", attestation: "off", attestationRoots: roots}, "--android-attestation"},
		{androidFlags{identity: "est", attestation: "require"}, "--android-attestation-roots"},
		{androidFlags{identity: "est", attestation: "require", attestationRoots: rubbish}, "--android-attestation-roots"},
		{androidFlags{identity: "est", attestation: "report", attestationRoots: roots, attestationRevoked: rubbish}, "--android-attestation-revoked"},
		{androidFlags{identity: "est", attestation: "report", attestationRoots: roots, attestationRevoked: revoked}, ""},
	} {
		a, err := tt.flags.config()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.flags, err, tt.want)
		}
		if err == nil && a.RSA != (tt.flags.identity == "scep") {
			t.Errorf("identities by %s: RSA %t", tt.flags.identity, a.RSA)
		}
		if err == nil && tt.flags.attestation == "report" && (a.Attestation.Require || len(a.Attestation.Roots) != 1 || !a.Attestation.Revoked["beef"]) {
			t.Errorf("%+v", a.Attestation)
		}
	}
}

// Who is refused for the lack of an attestation hears by which flag there is one.
func TestAND084Unattested(t *testing.T) {
	other := errors.New("another")
	for code, want := range map[string]string{android.AttestationMissing: "--android-maker", android.AttestationForeign: "--android-attestation-roots", android.TokenUsed: "TOKEN_USED"} {
		f := &dialect.Failure{Step: dialect.Enroll, Status: 403, Code: code}
		if err := unattested(f); !errors.Is(err, f) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", code, err, want)
		}
	}
	if unattested(nil) != nil || unattested(other) != other {
		t.Error("what has nothing to do with it is another error")
	}
}
