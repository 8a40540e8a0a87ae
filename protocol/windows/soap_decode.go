package windows

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// DecodeEnvelope reads a SOAP message of the enrolment phase, in UTF-8 or UTF-16: SOAP 1.2, and SOAP 1.1 for answers. Each element is
// known by namespace and name and stands at its one place; credentials and tokens anywhere else refuse the whole (HST-018). Strings
// may be pieces of one copy of b. The error wraps [protocol.ErrMalformed]; where the head could be read, the envelope comes along
// without a body, so that a [Fault] can name the request's MessageID. A message with an XML signature is refused: see [DecodeRequest].
func DecodeEnvelope(b []byte) (*Envelope, error) { return decodeEnvelope(b, nil, nil) }

// decodeEnvelope reads a message; an XML signature by signed, and what was signed is held against it by verified.
func decodeEnvelope(b []byte, signed func(*scanner), verified func(*scanner, *Envelope) error) (*Envelope, error) {
	s := newScanner("SOAP", b)
	defer s.release()
	s.signed = signed
	s.sealed = func(ns namespace) bool {
		return ns == nsSOAP12 || ns == nsSOAP11 || ns == nsSecurity || ns == nsTrust || ns == nsSignature
	}
	root := s.root()
	soap := root.ns
	if s.err == nil && (soap != nsSOAP12 && soap != nsSOAP11 || root.local != "Envelope") {
		s.fail("want Envelope of SOAP 1.2")
	}
	var e Envelope
	var seen fields
	const header, body fields = 1, 2
	for child := range s.children() {
		switch {
		case child.is(soap, "Header"):
			s.once(&seen, header)
			if seen&body != 0 {
				s.fail("Header after Body (HST-018)")
			}
			s.header(&e.Header, soap)
		case child.is(soap, "Body"):
			s.once(&seen, body)
			s.mark(partBody)
			e.Body = s.body(soap)
		default:
			s.fail("want Header and Body")
		}
	}
	if s.err == nil && e.Body == nil {
		s.fail("no body that is known")
	}
	if s.err == nil && soap == nsSOAP11 {
		switch e.Body.(type) {
		case *Discover, *GetPolicies, *RequestSecurityToken:
			s.fail("a request in SOAP 1.1")
		}
	}
	err := s.finish()
	if err == nil && s.signature != nil {
		err = verified(s, &e)
	}
	if err != nil {
		if e.Header.MessageID == "" {
			return nil, err
		}
		e.Body = nil
	}
	return &e, err
}

// The fields of a Header.
const (
	fAction fields = 1 << iota
	fMessageID
	fRelatesTo
	fTo
	fReplyTo
	fActivity
	fSecurity
)

func (s *scanner) header(h *Header, soap namespace) {
	var seen fields
	for e := range s.children() {
		must := s.attr(soap, "mustUnderstand")
		switch {
		case e.is(nsAddressing, "Action"):
			h.Action = s.wordOnce(&seen, fAction)
		case e.is(nsAddressing, "MessageID"):
			h.MessageID = s.wordOnce(&seen, fMessageID)
		case e.is(nsAddressing, "RelatesTo"):
			h.RelatesTo = s.wordOnce(&seen, fRelatesTo)
		case e.is(nsAddressing, "To"):
			h.To = s.wordOnce(&seen, fTo)
		case e.is(nsAddressing, "ReplyTo"):
			s.once(&seen, fReplyTo)
			s.skip()
		case e.is(nsDiagnostics, "ActivityId"):
			h.ActivityID = s.wordOnce(&seen, fActivity)
		case e.is(nsSecurity, "Security"):
			s.once(&seen, fSecurity)
			s.security(h)
		case must == "1" || must == "true":
			s.fail("a header that must be understood and is not")
		default:
			s.pass(e)
		}
	}
}

// body reads the one element of a Body.
func (s *scanner) body(soap namespace) (b Body) {
	for e := range s.children() {
		switch {
		case b != nil:
			s.fail("two elements in the Body (HST-018)")
		case e.is(nsDiscovery, "Discover"):
			b = s.discover()
		case e.is(nsDiscovery, "DiscoverResponse"):
			b = s.discoverResponse()
		case e.is(nsPolicy, "GetPolicies"):
			b = &GetPolicies{}
			s.skip()
		case e.is(nsPolicy, "GetPoliciesResponse"):
			b = s.getPoliciesResponse()
		case e.is(nsTrust, "RequestSecurityToken"):
			b = s.requestSecurityToken()
		case e.is(nsTrust, "RequestSecurityTokenResponseCollection"):
			b = s.collection()
		case e.is(soap, "Fault"):
			b = s.fault(soap)
		default:
			s.fail("a body that is not known")
		}
	}
	return b
}

// within reads the children of an element of which one is wanted, exactly once.
func (s *scanner) within(ns namespace, local string, read func()) {
	found := false
	for e := range s.children() {
		switch {
		case e.is(ns, local) && found:
			s.fail("element twice (HST-006)")
		case e.is(ns, local):
			found = true
			read()
		case e.ns == nsTrust:
			s.skip()
		default:
			s.pass(e)
		}
	}
	if s.err == nil && !found {
		s.fail("no " + local)
	}
}

// The fields of discovery.
const (
	fEmail fields = 1 << iota
	fRequestVersion
	fDeviceType
	fApplication
	fEdition
	fOSVersion
	fPolicies
	fPolicy
	fVersion
	fPolicyURL
	fEnrolURL
	fAuthURL
)

func (s *scanner) discover() *Discover {
	d := &Discover{}
	var seen fields
	s.within(nsDiscovery, "request", func() {
		for e := range s.children() {
			if e.ns != nsDiscovery {
				s.pass(e)
				continue
			}
			switch e.local {
			case "EmailAddress":
				d.EmailAddress = s.wordOnce(&seen, fEmail)
			case "RequestVersion":
				s.once(&seen, fRequestVersion)
				d.RequestVersion = s.version()
			case "DeviceType":
				d.DeviceType = s.wordOnce(&seen, fDeviceType)
			case "ApplicationVersion":
				d.ApplicationVersion = s.wordOnce(&seen, fApplication)
			case "OSEdition":
				s.once(&seen, fEdition)
				d.OSEdition = s.uint()
			case "OSVersion":
				d.OSVersion = s.wordOnce(&seen, fOSVersion)
			case "AuthPolicies":
				s.once(&seen, fPolicies)
				for p := range s.children() {
					if p.is(nsDiscovery, "AuthPolicy") {
						d.AuthPolicies = append(d.AuthPolicies, s.word())
					} else {
						s.pass(p)
					}
				}
			default:
				s.skip()
			}
		}
		if seen&fRequestVersion == 0 {
			s.fail("no RequestVersion")
		}
	})
	return d
}

func (s *scanner) version() Version {
	v, err := parseVersion(s.word())
	if err != nil {
		s.fail("want a version")
	}
	return v
}

func (s *scanner) discoverResponse() *DiscoverResponse {
	d := &DiscoverResponse{}
	var seen fields
	s.within(nsDiscovery, "DiscoverResult", func() {
		for e := range s.children() {
			if e.ns != nsDiscovery {
				s.pass(e)
				continue
			}
			switch e.local {
			case "AuthPolicy":
				d.AuthPolicy = s.wordOnce(&seen, fPolicy)
			case "EnrollmentVersion":
				s.once(&seen, fVersion)
				d.EnrollmentVersion = s.version()
			case "EnrollmentPolicyServiceUrl":
				d.PolicyURL = s.wordOnce(&seen, fPolicyURL)
			case "EnrollmentServiceUrl":
				d.EnrollmentURL = s.wordOnce(&seen, fEnrolURL)
			case "AuthenticationServiceUrl":
				d.AuthenticationURL = s.wordOnce(&seen, fAuthURL)
			default:
				s.skip()
			}
		}
		if d.AuthPolicy == "" || d.EnrollmentURL == "" {
			s.fail("no AuthPolicy or no EnrollmentServiceUrl")
		}
	})
	return d
}

func (s *scanner) requestSecurityToken() *RequestSecurityToken {
	r := &RequestSecurityToken{}
	var seen fields
	const kind, request, token, context fields = 1, 2, 4, 8
	pkcs7 := false
	for e := range s.children() {
		switch {
		case e.is(nsTrust, "TokenType"):
			s.once(&seen, kind)
			if s.word() != tokenType {
				s.fail("TokenType of something else")
			}
		case e.is(nsTrust, "RequestType"):
			s.once(&seen, request)
			switch s.word() {
			case requestIssue:
			case requestRenew:
				r.Renew = true
			default:
				s.fail("RequestType neither Issue nor Renew")
			}
		case e.is(nsSecurity, "BinarySecurityToken"):
			s.once(&seen, token)
			value := s.attr(nsSecurity, "ValueType")
			pkcs7 = strings.HasSuffix(value, "#PKCS7")
			if !pkcs7 && !strings.HasSuffix(value, "#PKCS10") {
				s.fail("token neither PKCS#10 nor PKCS#7")
			}
			r.Token, r.Doubled = s.der()
		case e.is(nsContext, "AdditionalContext"):
			s.once(&seen, context)
			r.Context = s.context()
		case e.ns == nsTrust:
			s.skip()
		default:
			s.pass(e)
		}
	}
	switch {
	case s.err != nil:
	case seen&(request|token) != request|token:
		s.fail("no RequestType or no token")
	case pkcs7 != r.Renew:
		s.fail("Issue goes with PKCS#10, Renew with PKCS#7")
	}
	return r
}

// der reads a token, whose base64 may itself be in base64 (windows.md section 5, WIN-064).
func (s *scanner) der() (der []byte, doubled bool) {
	const sequence = 0x30
	der, ok := base64Of(s.text())
	if ok && len(der) > 0 && der[0] != sequence {
		doubled = true
		der, ok = base64Of(string(der))
	}
	if !ok || len(der) == 0 || der[0] != sequence {
		s.fail("a token that is not base64 of DER")
	}
	return der, doubled
}

func (s *scanner) context() (list []ContextItem) {
	for e := range s.children() {
		if !e.is(nsContext, "ContextItem") {
			s.pass(e)
			continue
		}
		item := ContextItem{Name: s.attr(nsContext, "Name")}
		if item.Name == "" {
			s.fail("ContextItem without a name")
		}
		seen := false
		for e := range s.children() {
			if !e.is(nsContext, "Value") || seen {
				s.fail("want one Value in a ContextItem")
			}
			seen = true
			item.Value = s.word()
		}
		list = append(list, item)
	}
	return list
}

func (s *scanner) collection() *RequestSecurityTokenResponse {
	r := &RequestSecurityTokenResponse{}
	s.within(nsTrust, "RequestSecurityTokenResponse", func() {
		s.within(nsTrust, "RequestedSecurityToken", func() {
			s.within(nsSecurity, "BinarySecurityToken", func() {
				if kind := s.attr(nsSecurity, "ValueType"); kind != "" && kind != typeProvisioning {
					s.fail("a token that is no provisioning document")
				}
				var ok bool
				if r.Document, ok = base64Of(s.text()); !ok || len(r.Document) == 0 {
					s.fail("a token that is not base64")
				}
			})
		})
	})
	return r
}

// seconds reads a length of time in whole seconds.
func (s *scanner) seconds() time.Duration {
	n, err := strconv.ParseUint(s.word(), 10, 63)
	if err != nil || n > math.MaxInt64/uint64(time.Second) {
		s.fail("want seconds, of less than 292 years (HST-009)")
		return 0
	}
	return time.Duration(n) * time.Second
}
