package api

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

const (
	mostMachines   = 10_000 // of a package
	longestPackage = 180 * 24 * time.Hour
	maxPackageName = 64 // bytes of a common name (RFC 5280, appendix A.1)
)

type pkg struct {
	Name        string        `json:"name"`
	Certificate string        `json:"certificate"` // sha256: and the hash of the bootstrap certificate
	Machines    int           `json:"machines"`    // that it may admit
	Admitted    int           `json:"admitted"`    // that it has
	Made        protocol.Time `json:"made"`
	Ends        protocol.Time `json:"ends"`
	Revoked     bool          `json:"revoked"`
}

type pkgs struct {
	Packages []pkg `json:"packages"`
}

type newPackage struct {
	Name     string `json:"name"`
	Machines int    `json:"machines"`
	Lifetime int64  `json:"lifetime_seconds"`
}

type packageMade struct {
	pkg
	Bundle     []byte `json:"bundle"`     // certificate and key, PEM: the key is kept nowhere
	Thumbprint string `json:"thumbprint"` // SHA-1 of the certificate: the Secret of the package's enrolment
	Discovery  string `json:"discovery"`  // its DiscoveryServiceFullUrl
}

func (h *Handler) packageOf(p *store.Package) pkg {
	return pkg{
		p.Name, "sha256:" + hex.EncodeToString(p.Certificate[:]), p.Most, len(h.cfg.Server.Content().Admitted(p.Name)), p.Made, p.Ends, p.Revoked,
	}
}

func (h *Handler) getPackages(*call) (any, error) {
	list := h.cfg.Server.Content().Packages
	out := pkgs{make([]pkg, len(list))}
	for i := range list {
		out.Packages[i] = h.packageOf(&list[i])
	}
	return out, nil
}

// makePackage makes a provisioning package: who has what it answers may enrol so many machines, so long, and no user's (WIN-067).
func (h *Handler) makePackage(c *call) (any, error) {
	in := c.body.(*newPackage)
	if err := goodName("name", in.Name); err != nil {
		return nil, err
	}
	life, err := duration("lifetime_seconds", in.Lifetime, longestPackage)
	switch {
	case err != nil:
		return nil, err
	case len(in.Name) > maxPackageName:
		return nil, wrongValue("name", "is longer than %d bytes", maxPackageName)
	case life == 0:
		return nil, missing("lifetime_seconds")
	case in.Machines < 1 || in.Machines > mostMachines:
		return nil, wrongValue("machines", "want 1 to %d", mostMachines)
	}
	ends := c.now.Add(life)
	s, err := certs.NewBootstrap(in.Name, c.now.Time(), ends.Time())
	if err != nil {
		return nil, err
	}
	key, err := certs.KeyPEM(s.Key)
	if err != nil {
		return nil, err
	}
	p := store.Package{Name: in.Name, Certificate: delivery.Fingerprint(sha256.Sum256(s.Certificate.Raw)), Most: in.Machines, Made: c.now, Ends: ends}
	if err := h.cfg.Server.PutPackage(c.Context(), c.now, c.who, p); err != nil {
		return nil, err
	}
	return packageMade{
		h.packageOf(&p), append(certs.CertificatesPEM(s.Certificate), key...), windows.Thumbprint(s.Certificate.Raw), h.cfg.URL + windows.DiscoveryPath,
	}, nil
}

func (h *Handler) revokePackage(c *call) (any, error) {
	if c.query["name"] == "" {
		return nil, missing("name")
	}
	return done{}, h.cfg.Server.RevokePackage(c.Context(), c.now, c.who, c.query["name"])
}
