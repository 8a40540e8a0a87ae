//go:build !agentonly

package main

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"rollcall/certs"
	"rollcall/server/device"
)

// androidFlags are the flags of serve about Android devices as they were given.
type androidFlags struct {
	agent, agentURL, agentChecksum, identity, attestation, attestationRoots, attestationRevoked string
}

func (f *androidFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.agent, "android-agent", "", "`COMPONENT` of the agent's device admin, such as org.example.agent/.AdminReceiver: with the two flags below, QR codes of rollcall users invite --android make an Android device install the agent during its setup (default: the agent is there already)")
	flags.StringVar(&f.agentURL, "android-agent-url", "", "https `URL` that Android devices take the agent's APK from; they know no CA but their own")
	flags.StringVar(&f.agentChecksum, "android-agent-checksum", "", "SHA-256 of the certificate that signs the agent's APK, in hexadecimal as apksigner verify --print-certs and keytool say it, or in URL-safe base64")
	flags.StringVar(&f.identity, "android-identity", "est", "how Android devices get their identity: est (RFC 7030, keys on P-256) or scep (RFC 8894, RSA keys), for agents that know no EST; a renewal is by SCEP where the identity is an RSA key")
	flags.StringVar(&f.attestation, "android-attestation", "off", "what to do with the attestation by an Android device's key store: off, report (in the journal) or require (no device enrols without a valid one; simulated devices get one by rollcall fleet --android-maker)")
	flags.StringVar(&f.attestationRoots, "android-attestation-roots", "", "PEM `FILE` of the roots where attestations must end, such as Google publishes them for hardware attestation")
	flags.StringVar(&f.attestationRevoked, "android-attestation-revoked", "", "JSON `FILE` of revoked attestation certificates, as Google publishes it (default: none is revoked)")
}

var componentName = regexp.MustCompile(`^[A-Za-z]\w*(\.[A-Za-z]\w*)+/\.?[A-Za-z]\w*(\.[A-Za-z]\w*)*$`)

// config turns the flags into what the endpoints for Android devices take.
func (f *androidFlags) config() (a device.Android, err error) {
	if f.agent == "" && (f.agentURL != "" || f.agentChecksum != "") {
		return a, errors.New("--android-agent: of which agent are --android-agent-url and --android-agent-checksum? Name its PACKAGE/CLASS")
	}
	if f.agent != "" || f.agentURL != "" || f.agentChecksum != "" {
		if a.Installer.Component = f.agent; !componentName.MatchString(f.agent) {
			return a, fmt.Errorf("--android-agent %q: want PACKAGE/CLASS of the device admin, such as org.example.agent/.AdminReceiver", f.agent)
		}
		a.Installer.URL = f.agentURL
		if u, err := url.Parse(f.agentURL); err != nil || u.Scheme != "https" || u.Host == "" {
			return a, fmt.Errorf("--android-agent-url %q: want the https URL of the APK", f.agentURL)
		}
		if a.Installer.Checksum, err = readChecksum(f.agentChecksum); err != nil {
			return a, fmt.Errorf("--android-agent-checksum %q: %w", f.agentChecksum, err)
		}
	}
	switch f.identity {
	case "est":
	case "scep":
		a.RSA = true
	default:
		return a, fmt.Errorf("--android-identity %q: want est or scep", f.identity)
	}
	switch f.attestation {
	case "off":
		if f.attestationRoots != "" || f.attestationRevoked != "" {
			return a, errors.New("--android-attestation: it is off, so nobody looks at roots or at what was revoked: report or require it")
		}
		return a, nil
	case "report", "require":
	default:
		return a, fmt.Errorf("--android-attestation %q: want off, report or require", f.attestation)
	}
	if f.attestationRoots == "" {
		return a, fmt.Errorf("--android-attestation %s: say by --android-attestation-roots where attestations must end", f.attestation)
	}
	a.Attestation = &device.Attestation{Require: f.attestation == "require"}
	if a.Attestation.Roots, err = readAuthorities(f.attestationRoots); err != nil {
		return a, fmt.Errorf("--android-attestation-roots: %w", err)
	}
	if f.attestationRevoked != "" {
		text, err := os.ReadFile(f.attestationRevoked)
		if err == nil {
			a.Attestation.Revoked, err = certs.ReadRevoked(text)
		}
		if err != nil {
			return a, fmt.Errorf("--android-attestation-revoked: %w", err)
		}
	}
	return a, nil
}

// readChecksum reads a SHA-256 in hexadecimal, with colons or without, or in URL-safe base64.
func readChecksum(text string) (sum [32]byte, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil {
		b, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	if err != nil || len(b) != len(sum) {
		return sum, errors.New("want the 32 bytes of a SHA-256, in hexadecimal or in URL-safe base64")
	}
	return [32]byte(b), nil
}
