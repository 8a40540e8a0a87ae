package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	day             = 24 * time.Hour
	authorityLife   = 3650 * day
	identityLife    = 365 * day // AUTH-40
	expiresSoonSpan = 90 * day  // HST-047
)

// Backdate is how long before it is issued a certificate is valid already: devices' clocks run behind (apple.md section 3.6).
const Backdate = 10 * time.Minute

// An Authority issues identities and verifies them; [NewAuthority] makes one, [LoadAuthority] opens one.
// It is not changed after that and is safe for concurrent use.
//
// SCEP encrypts to an RSA key, which a P-256 authority does not have: such an authority carries a
// registration authority, an RSA certificate that it issued to itself. See [Authority.RA].
type Authority struct {
	ca Signer
	ra Signer // RSA; of a P-256 authority loaded without one, zero
}

// NewIssuer is a P-256 authority as [NewAuthority] makes it, without registration authority: it issues and verifies, cannot serve
// SCEP, and is made in no time.
func NewIssuer(name string, now time.Time) (*Authority, error) { return newAuthority(P256, name, now) }

// NewAuthority makes an authority whose certificate has name as its common name and ends ten years after
// now. A P-256 authority gets a registration authority that lives as long.
func NewAuthority(kind KeyKind, name string, now time.Time) (*Authority, error) {
	a, err := newAuthority(kind, name, now)
	if err != nil || kind == RSA2048 {
		return a, err
	}
	raKey, err := GenerateKey(RSA2048)
	if err != nil {
		return nil, err
	}
	ca := a.ca.Certificate
	ra, err := a.sign(&x509.Certificate{
		Subject:               pkix.Name{CommonName: name + " SCEP RA"},
		NotBefore:             ca.NotBefore,
		NotAfter:              ca.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true,
	}, raKey.Public())
	if err != nil {
		return nil, err
	}
	a.ra = Signer{Certificate: ra, Chain: []*x509.Certificate{ca}, Key: raKey}
	return a, nil
}

// newAuthority makes one without a registration authority of its own.
func newAuthority(kind KeyKind, name string, now time.Time) (*Authority, error) {
	key, err := GenerateKey(kind)
	if err != nil {
		return nil, err
	}
	usage := x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature // the last for its answers in SCEP
	// An RSA authority is its own registration authority.
	if kind == RSA2048 {
		usage |= x509.KeyUsageKeyEncipherment
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              usage,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	a := &Authority{ca: Signer{Key: key}}
	if a.ca.Certificate, err = createCertificate(template, template, key.Public(), key); err != nil {
		return nil, err
	}
	if kind == RSA2048 {
		a.ra = a.ca
	}
	return a, nil
}

// LoadAuthority reads an authority from PEM: the CA certificate, perhaps followed by its registration
// authority, and their private keys in the same order, as [Authority.PEM] writes them. Any CA certificate
// with its key will do; a P-256 one without registration authority issues and verifies but cannot serve
// SCEP. Refused are files cut short ([ErrPEM]), a key of another certificate ([ErrKeyMismatch]), a
// certificate that is no CA and a registration authority of another CA ([ErrMalformed]), and key types that
// [CheckPublicKey] refuses ([ErrKey]). Whether the authority has expired is not asked: see
// [Authority.ExpiresSoon].
func LoadAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	certificates, err := ReadCertificatesPEM(certPEM)
	if err != nil {
		return nil, fmt.Errorf("authority's certificates: %w", err)
	}
	strays, keys, err := readPEM(keyPEM)
	if err == nil && len(strays) > 0 {
		err = fmt.Errorf("%w: a certificate where only private keys are due", ErrPEM)
	}
	if err == nil && len(keys) != len(certificates) || len(keys) > 2 {
		err = fmt.Errorf("%w: %d private keys for %d certificates", ErrPEM, len(keys), len(certificates))
	}
	if err != nil {
		return nil, fmt.Errorf("authority's keys: %w", err)
	}
	for i, c := range certificates {
		if !sameKey(c, keys[i]) {
			return nil, fmt.Errorf("authority's certificate %q: %w", c.Subject.CommonName, ErrKeyMismatch)
		}
		if err := CheckPublicKey(c.PublicKey); err != nil {
			return nil, fmt.Errorf("authority's certificate %q: %w", c.Subject.CommonName, err)
		}
	}
	a := &Authority{ca: Signer{Certificate: certificates[0], Key: keys[0]}}
	if c := a.ca.Certificate; !c.BasicConstraintsValid || !c.IsCA {
		return nil, fmt.Errorf("certificate %q is not a CA: %w", c.Subject.CommonName, ErrMalformed)
	}
	switch {
	case len(certificates) == 2:
		ra := certificates[1]
		if _, ok := keys[1].(*rsa.PrivateKey); !ok {
			return nil, fmt.Errorf("registration authority %q: %w: want RSA", ra.Subject.CommonName, ErrKey)
		}
		if err := a.issued(ra); err != nil {
			return nil, fmt.Errorf("registration authority %q: %w: %w", ra.Subject.CommonName, ErrMalformed, err)
		}
		a.ra = Signer{Certificate: ra, Chain: certificates[:1], Key: keys[1]}
	case isRSA(keys[0]):
		a.ra = a.ca
	}
	return a, nil
}

// Foreign is the authority of others, by its certificate: it verifies, and issues nothing. The error is that of a certificate
// which is no CA ([ErrMalformed]).
func Foreign(c *x509.Certificate) (*Authority, error) {
	if !c.BasicConstraintsValid || !c.IsCA {
		return nil, fmt.Errorf("certificate %q is not a CA: %w", c.Subject.CommonName, ErrMalformed)
	}
	return &Authority{ca: Signer{Certificate: c}}, nil
}

// PEM writes the authority for [LoadAuthority]. keyPEM is secret.
func (a *Authority) PEM() (certPEM, keyPEM []byte, err error) {
	certPEM = CertificatesPEM(a.ca.Certificate)
	if keyPEM, err = KeyPEM(a.ca.Key); err != nil {
		return nil, nil, err
	}
	if len(a.ra.Chain) > 0 {
		key, err := KeyPEM(a.ra.Key)
		if err != nil {
			return nil, nil, err
		}
		certPEM, keyPEM = append(certPEM, CertificatesPEM(a.ra.Certificate)...), append(keyPEM, key...)
	}
	return certPEM, keyPEM, nil
}

// Certificate is the authority's own certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.ca.Certificate }

// Own returns the authority's own certificate and key.
func (a *Authority) Own() Signer { return a.ca }

// RA returns the RSA certificate and key with which the authority decrypts and signs in SCEP: its own when
// it is RSA (then Chain is empty), else those of its registration authority, with the authority as Chain.
// The zero Signer means that it has none.
func (a *Authority) RA() Signer { return a.ra }

// ExpiresSoon says that the authority's certificate ends less than 90 days after now, or has ended
// (HST-047).
func (a *Authority) ExpiresSoon(now time.Time) bool {
	return a.ca.Certificate.NotAfter.Before(now.Add(expiresSoonSpan))
}

// An IssueRequest says what identity to issue.
type IssueRequest struct {
	Public   crypto.PublicKey // what CheckPublicKey takes
	Handle   string           // opaque, names no person; becomes the subject's common name
	Unit     string           // as opaque; becomes the subject's organizational unit; empty: none
	Now      time.Time        // notBefore is 10 minutes earlier
	Lifetime time.Duration    // from Now; zero: 365 days (AUTH-40)
}

// Issue makes a client identity (apple.md section 3.6): extended key usage clientAuth alone, digital
// signature (and key encipherment with RSA), a random serial of 128 bits. It ends with the authority if
// that is earlier. The errors are [ErrKey], [ErrLifetime], and [ErrExpired] when the authority itself has
// expired.
func (a *Authority) Issue(r IssueRequest) (*x509.Certificate, error) {
	subject := pkix.Name{CommonName: r.Handle}
	if r.Unit != "" {
		subject.OrganizationalUnit = []string{r.Unit}
	}
	return a.issue(&x509.Certificate{
		Subject:     subject,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, r.Public, r.Now, r.Lifetime)
}

// IssueServer makes a TLS server certificate for names, which are DNS names and IP addresses; the first is
// also the common name. Lifetime zero means 365 days. The authority never takes such a certificate for an
// identity (HST-030). Errors as [Authority.Issue], and [ErrMalformed] without names.
func (a *Authority) IssueServer(names []string, public crypto.PublicKey, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("server certificate without names: %w", ErrMalformed)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return a.issue(template, public, now, lifetime)
}

// issue fills in what all leaf certificates have alike and signs.
func (a *Authority) issue(template *x509.Certificate, public crypto.PublicKey, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	if err := CheckPublicKey(public); err != nil {
		return nil, err
	}
	if lifetime == 0 {
		lifetime = identityLife
	}
	end := a.ca.Certificate.NotAfter
	if now.After(end) {
		return nil, fmt.Errorf("authority %q: %w on %s", a.ca.Certificate.Subject.CommonName, ErrExpired, end.Format(time.DateOnly))
	}
	template.NotBefore = now.Add(-Backdate)
	template.NotAfter = now.Add(lifetime)
	if template.NotAfter.After(end) {
		template.NotAfter = end
	}
	if lifetime < time.Second {
		return nil, fmt.Errorf("lifetime of %s: %w", lifetime, ErrLifetime)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if _, ok := public.(*rsa.PublicKey); ok {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	template.BasicConstraintsValid = true
	return a.sign(template, public)
}

func (a *Authority) sign(template *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	return createCertificate(template, a.ca.Certificate, public, a.ca.Key)
}

// createCertificate signs template and reads it back, which rounds its times to the seconds it will have
// for everybody.
func createCertificate(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	rand.Read(serial)
	template.SerialNumber = new(big.Int).SetBytes(serial)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Verify says whether leaf is an identity of this authority that holds at now. The authority's own
// signature must be on leaf: intermediates are never used, whatever a peer sends (HST-026). The errors, in
// the order of asking: [ErrForeign]; [ErrNotIdentity] for a CA, a certificate without clientAuth or with
// critical extensions that nobody reads, and a server certificate of the same authority; [ErrNotYetValid];
// [ErrExpired]. Revocation is the caller's to know.
func (a *Authority) Verify(leaf *x509.Certificate, now time.Time) error {
	if err := a.issued(leaf); err != nil {
		return err
	}
	return a.Usable(leaf, now)
}

// Usable is [Authority.Verify] of a certificate whose every byte is known to be the authority's, if it names the authority at all:
// it checks no signature.
func (a *Authority) Usable(leaf *x509.Certificate, now time.Time) error {
	if string(leaf.RawIssuer) != string(a.ca.Certificate.RawSubject) {
		return fmt.Errorf("%w: issuer %.80q", ErrForeign, leaf.Issuer.String())
	}
	clientAuth := false
	for _, usage := range leaf.ExtKeyUsage {
		clientAuth = clientAuth || usage == x509.ExtKeyUsageClientAuth
	}
	switch {
	case leaf.IsCA, leaf.KeyUsage&x509.KeyUsageCertSign != 0:
		return fmt.Errorf("%w: certificate may sign certificates", ErrNotIdentity)
	case !clientAuth:
		return fmt.Errorf("%w: no extended key usage clientAuth", ErrNotIdentity)
	case len(leaf.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("%w: critical extension %s", ErrNotIdentity, leaf.UnhandledCriticalExtensions[0])
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("%w before %s", ErrNotYetValid, leaf.NotBefore.Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("%w on %s", ErrExpired, leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// issued says whether the authority's signature is on c. Names and key identifiers alone prove nothing.
func (a *Authority) issued(c *x509.Certificate) error {
	if c == nil {
		return fmt.Errorf("%w: no certificate", ErrForeign)
	}
	if string(c.RawIssuer) != string(a.ca.Certificate.RawSubject) {
		return fmt.Errorf("%w: issuer %.80q", ErrForeign, c.Issuer.String())
	}
	if err := c.CheckSignatureFrom(a.ca.Certificate); err != nil {
		return fmt.Errorf("%w: %v", ErrForeign, err)
	}
	return nil
}

func isRSA(key crypto.Signer) bool {
	_, ok := key.(*rsa.PrivateKey)
	return ok
}
