package conformance

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strconv"
	"strings"

	"rollcall/certs"
	"rollcall/protocol/apple"
)

// What a device puts into its certificate request, as its SCEP payload asks (apple.md sections 2.3 and 3.3).

// key makes the key of an identity: RSA of the profile's Keysize, as a device does, unless the run wants P-256.
func (p *phone) key() (crypto.Signer, error) {
	bits := p.scep.Keysize
	if bits == 0 {
		bits = 1024 // Apple's default
	}
	if bits < 1024 || bits > 4096 {
		return nil, fmt.Errorf("the profile asks for an RSA key of %d bits", bits)
	}
	return newKey(p.a.P256Keys, int(bits))
}

// newKey makes an RSA key of so many bits, or one for P-256.
func newKey(p256 bool, bits int) (crypto.Signer, error) {
	if p256 {
		return certs.GenerateKey(certs.P256)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

var (
	oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidEmail      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	oidDomain     = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	oidKeyUsage   = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidAltNames   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidNTName     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}

	shortNames = map[string]asn1.ObjectIdentifier{
		"CN": oidCommonName, "C": {2, 5, 4, 6}, "L": {2, 5, 4, 7}, "ST": {2, 5, 4, 8}, "O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11},
	}
)

// subject is the subject that the profile's SCEP payload asks for, in its order.
func (p *phone) subject() (name pkix.Name, err error) {
	fill := strings.NewReplacer("%ComputerName%", "rollcall conform", "%HardwareUUID%", p.udid, "%SerialNumber%", p.serial)
	named := false
	for _, rdn := range p.scep.Subject {
		for _, pair := range rdn {
			if len(pair) != 2 {
				return name, fmt.Errorf("the profile's SCEP Subject: want pairs of a name and its value, and one is %q", pair)
			}
			oid := shortNames[pair[0]]
			if oid == nil {
				if oid, err = dotted(pair[0]); err != nil {
					return name, fmt.Errorf("the profile's SCEP Subject: %w", err)
				}
			}
			var value any = fill.Replace(pair[1])
			if oid.Equal(oidEmail) || oid.Equal(oidDomain) {
				value = asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(fill.Replace(pair[1]))}
			}
			named = named || oid.Equal(oidCommonName)
			name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{Type: oid, Value: value})
		}
	}
	if !named {
		name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{Type: oidCommonName, Value: "device"})
	}
	return name, nil
}

// dotted reads an object identifier.
func dotted(s string) (oid asn1.ObjectIdentifier, err error) {
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is neither a short name nor an object identifier", s)
		}
		oid = append(oid, int(n))
	}
	if _, err := asn1.Marshal(oid); err != nil {
		return nil, fmt.Errorf("%q is no object identifier", s)
	}
	return oid, nil
}

// sameSubject asks for the subject of a certificate, whatever is in it.
func sameSubject(of pkix.Name) pkix.Name { return pkix.Name{ExtraNames: of.Names} }

// extensions are those that the SCEP payload asks for.
func extensions(s *apple.SCEP) ([]pkix.Extension, error) {
	var out []pkix.Extension
	if s.KeyUsage&5 != 0 {
		var bits byte
		if s.KeyUsage&1 != 0 {
			bits |= 0x80 // digitalSignature
		}
		if s.KeyUsage&4 != 0 {
			bits |= 0x20 // keyEncipherment
		}
		der, err := asn1.Marshal(asn1.BitString{Bytes: []byte{bits}, BitLength: 3})
		if err != nil {
			return nil, err
		}
		out = append(out, pkix.Extension{Id: oidKeyUsage, Critical: true, Value: der})
	}
	names, err := altNames(s.SubjectAltName)
	if err != nil || len(names) == 0 {
		return out, err
	}
	der, err := asn1.Marshal(names)
	return append(out, pkix.Extension{Id: oidAltNames, Value: der}), err
}

// altNames are the GeneralNames (RFC 5280, section 4.2.1.6) that a SubjectAltName asks for: a string or some of them by each key.
func altNames(of map[string]any) (out []asn1.RawValue, err error) {
	for _, kind := range []struct {
		key string
		tag int
	}{{"rfc822Name", 1}, {"dNSName", 2}, {"uniformResourceIdentifier", 6}, {"ntPrincipalName", 0}} {
		values, _ := of[kind.key].([]any)
		if one, ok := of[kind.key].(string); ok {
			values = []any{one}
		}
		if of[kind.key] != nil && values == nil {
			return nil, fmt.Errorf("the profile's SubjectAltName: %s is neither a string nor an array", kind.key)
		}
		for _, v := range values {
			text, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf("the profile's SubjectAltName: %s has %v, which is no string", kind.key, v)
			}
			name := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: kind.tag, Bytes: []byte(text)}
			if kind.key == "ntPrincipalName" {
				if name, err = otherName(text); err != nil {
					return nil, err
				}
			}
			out = append(out, name)
		}
	}
	return out, nil
}

// otherName is a user principal name as a GeneralName.
func otherName(text string) (asn1.RawValue, error) {
	id, err := asn1.Marshal(oidNTName)
	if err != nil {
		return asn1.RawValue{}, err
	}
	value, err := asn1.MarshalWithParams(text, "utf8,explicit,tag:0")
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: append(id, value...)}, err
}
