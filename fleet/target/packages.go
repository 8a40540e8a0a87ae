package target

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"rollcall/protocol"
)

// A Package is a provisioning package with which Windows devices enrol for nobody.
type Package struct {
	Name        string        `json:"name"`
	Certificate string        `json:"certificate"` // sha256: and the hash of its bootstrap certificate
	Machines    int           `json:"machines"`    // that it may admit
	Admitted    int           `json:"admitted"`    // that it has
	Made        protocol.Time `json:"made"`
	Ends        protocol.Time `json:"ends"`
	Revoked     bool          `json:"revoked"`

	// Of one that was made just now.
	Bundle     []byte `json:"bundle,omitempty"`     // certificate and key, PEM
	Thumbprint string `json:"thumbprint,omitempty"` // SHA-1 of the certificate
	Discovery  string `json:"discovery,omitempty"`  // URL
}

// Packages lists the provisioning packages by name.
func (r *Rollcall) Packages(ctx context.Context) ([]Package, error) {
	var out struct {
		Packages []Package `json:"packages"`
	}
	err := r.call(ctx, http.MethodGet, "/rollcall/v1/packages", nil, &out)
	return out.Packages, err
}

// MakePackage makes a provisioning package for so many machines; its key is shown this once.
func (r *Rollcall) MakePackage(ctx context.Context, name string, machines int, lifetime time.Duration) (p Package, err error) {
	body := struct {
		Name     string  `json:"name"`
		Machines int     `json:"machines"`
		Lifetime Seconds `json:"lifetime_seconds"`
	}{name, machines, SecondsOf(lifetime)}
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/packages", body, &p)
	return p, err
}

// RevokePackage ends a provisioning package; what enrolled by it stays.
func (r *Rollcall) RevokePackage(ctx context.Context, name string) error {
	return r.call(ctx, http.MethodDelete, "/rollcall/v1/packages?"+url.Values{"name": {name}}.Encode(), nil, nil)
}
