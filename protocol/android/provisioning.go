package android

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
)

// An Installer is where a device in its setup finds the agent. Without one the data names the server alone, for agents that are there.
type Installer struct {
	Component string   // of the device admin: com.example.agent/.AdminReceiver
	URL       string   // of its APK
	Checksum  [32]byte // SHA-256 of the certificate that signs it
}

// ProvisioningData is what a QR code after a factory reset, or a zero-touch configuration, tells a device (android.md, section 4).
type ProvisioningData struct {
	Component string `json:"android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME,omitempty"`
	Checksum  string `json:"android.app.extra.PROVISIONING_DEVICE_ADMIN_SIGNATURE_CHECKSUM,omitempty"` // URL-safe base64, no padding
	Location  string `json:"android.app.extra.PROVISIONING_DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION,omitempty"`
	Bundle    Bundle `json:"android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE"`
}

// A Bundle is what the agent itself is told.
type Bundle struct {
	ServerURL string `json:"rollcall.SERVER_URL"` // https, with a slash at its end
	Token     string `json:"rollcall.ENROLLMENT_TOKEN"`
	CASHA256  string `json:"rollcall.CA_SHA256,omitempty"` // of the authority's certificate, DER, by which the server is known; hexadecimal
	Mode      Mode   `json:"rollcall.MODE"`
	User      string `json:"rollcall.USER,omitempty"` // UPN of whose the device will be, where the agent asks for it itself
}

func (p *ProvisioningData) check() error {
	u, err := url.Parse(p.Bundle.ServerURL)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
		return in("rollcall.SERVER_URL", errors.New("want an https URL"))
	case p.Bundle.Token == "":
		return in("rollcall.ENROLLMENT_TOKEN", errors.New("empty"))
	}
	return nil
}

// NewProvisioning makes the data of a QR code. The error says what of b is wrong.
func NewProvisioning(i Installer, b Bundle) (*ProvisioningData, error) {
	p := &ProvisioningData{Component: i.Component, Location: i.URL, Bundle: b}
	if i.Component != "" {
		p.Checksum = base64.RawURLEncoding.EncodeToString(i.Checksum[:])
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("provisioning: %w", err)
	}
	return p, nil
}

// ZeroTouch returns the same data as dpcExtras of a zero-touch configuration, where the agent is found by other means.
func (p *ProvisioningData) ZeroTouch() *ProvisioningData {
	z := *p
	z.Location = ""
	return &z
}
