package dialect

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"

	"rollcall/protocol/apple"
)

// keeps tells what of an update a real machine does not take, which Apple's devices would: whose order ends the management, and who issues
// identities and is believed, is settled by whoever enrolled it (HST-027). Who stands in its server's place for a moment, or has its server's
// key of TLS, could else make itself the machine's server for good.
func (b *bond) keeps(next *bond, s *apple.SCEP) error {
	what := ""
	switch {
	case next.notices != b.notices:
		what = "the key of notices and orders"
	case !sameKeys(b.anchors, next.anchors):
		what = "its authorities"
	case !sameKeys(b.serverPins, next.serverPins), !sameKeys(b.checkInPins, next.checkInPins):
		what = "what TLS is pinned to"
	case !sameHost(b.serverURL, s.URL):
		what = "the host of SCEP"
	default:
		return nil
	}
	return fmt.Errorf("update of the enrolment profile: %s may not change on a machine (HST-027)", what)
}

// sameKeys tells whether certificates, DER, one after another, are of the same keys: one that is made anew for its key is no other's.
func sameKeys(a, b string) bool {
	return a == b || slices.EqualFunc(parse(a), parse(b), func(x, y *x509.Certificate) bool {
		return string(x.RawSubjectPublicKeyInfo) == string(y.RawSubjectPublicKeyInfo)
	})
}

func sameHost(a, b string) bool {
	x, err := url.Parse(a)
	y, wrong := url.Parse(b)
	return err == nil && wrong == nil && x.Scheme == y.Scheme && x.Host == y.Host
}

// issuedBy tells whether one of the authorities in anchors, DER, one after another, signed c: names of them anybody can copy (HST-120).
func issuedBy(anchors string, c *x509.Certificate) bool {
	return slices.ContainsFunc(parse(anchors), func(ca *x509.Certificate) bool { return c.CheckSignatureFrom(ca) == nil })
}
