package windows

import "strconv"

// nilRef is a reference to no object identifier.
const nilRef = -1

// getPoliciesResponse reads the first policy, and the object identifiers that it refers to.
func (s *scanner) getPoliciesResponse() *GetPoliciesResponse {
	r := &GetPoliciesResponse{}
	var seen fields
	const response, oids fields = 1, 2
	hash, public := nilRef, nilRef
	values := make(map[int]string)
	policies := 0
	for e := range s.children() {
		switch {
		case e.is(nsPolicy, "response"):
			s.once(&seen, response)
			s.policyResponse(r, &policies, &hash, &public)
		case e.is(nsPolicy, "oIDs"):
			s.once(&seen, oids)
			s.oids(values)
		default:
			s.pass(e)
		}
	}
	if s.err == nil && policies == 0 {
		s.fail("no policy")
	}
	resolve := func(ref int) string {
		value, known := values[ref]
		if ref != nilRef && !known {
			s.fail("a reference to an object identifier that is not there (WIN-010)")
		}
		return value
	}
	r.Policy.HashAlgorithm, r.Policy.PublicKeyAlgorithm = resolve(hash), resolve(public)
	return r
}

func (s *scanner) policyResponse(r *GetPoliciesResponse, policies, hash, public *int) {
	var seen fields
	const id, list fields = 1, 2
	for e := range s.children() {
		switch {
		case e.is(nsPolicy, "policyID"):
			r.PolicyID = s.wordOnce(&seen, id)
		case e.is(nsPolicy, "policies"):
			s.once(&seen, list)
			for e := range s.children() {
				if !e.is(nsPolicy, "policy") || *policies > 0 {
					s.pass(e)
					continue
				}
				*policies++
				s.within(nsPolicy, "attributes", func() { s.policyAttributes(&r.Policy, hash, public) })
			}
		default:
			s.pass(e)
		}
	}
}

// policyAttributes reads what of a policy means anything.
func (s *scanner) policyAttributes(p *Policy, hash, public *int) {
	var seen fields
	for e := range s.children() {
		if e.ns != nsPolicy {
			s.pass(e)
			continue
		}
		switch e.local {
		case "commonName":
			p.CommonName = s.wordOnce(&seen, 1)
		case "policySchema":
			s.once(&seen, 2)
			p.Schema = int(s.uint())
		case "certificateValidity":
			s.once(&seen, 4)
			s.pair("validityPeriodSeconds", func() { p.Validity = s.seconds() }, "renewalPeriodSeconds", func() { p.Renewal = s.seconds() })
		case "permission":
			s.once(&seen, 8)
			s.pair("enroll", func() { p.Enroll = s.boolean() }, "autoEnroll", func() { p.AutoEnroll = s.boolean() })
		case "privateKeyAttributes":
			s.once(&seen, 16)
			s.keyAttributes(p, public)
		case "hashAlgorithmOIDReference":
			s.once(&seen, 32)
			*hash = s.reference()
		default:
			s.pass(e)
		}
	}
}

func (s *scanner) keyAttributes(p *Policy, public *int) {
	var seen fields
	for e := range s.children() {
		switch {
		case e.is(nsPolicy, "minimalKeyLength"):
			s.once(&seen, 1)
			p.MinimalKeyLength = int(s.uint())
		case e.is(nsPolicy, "algorithmOIDReference"):
			s.once(&seen, 2)
			*public = s.reference()
		case e.is(nsPolicy, "cryptoProviders"):
			s.once(&seen, 4)
			for e := range s.children() {
				if e.is(nsPolicy, "provider") {
					p.Providers = append(p.Providers, s.word())
				} else {
					s.pass(e)
				}
			}
		default:
			s.pass(e)
		}
	}
}

// pair reads two children, each at most once.
func (s *scanner) pair(first string, readFirst func(), second string, readSecond func()) {
	var seen fields
	for e := range s.children() {
		switch {
		case e.is(nsPolicy, first):
			s.once(&seen, 1)
			readFirst()
		case e.is(nsPolicy, second):
			s.once(&seen, 2)
			readSecond()
		default:
			s.pass(e)
		}
	}
}

func (s *scanner) oids(values map[int]string) {
	for e := range s.children() {
		if !e.is(nsPolicy, "oID") {
			s.pass(e)
			continue
		}
		value, id := "", nilRef
		s.pair("value", func() { value = s.word() }, "oIDReferenceID", func() { id = int(s.uint()) })
		if _, twice := values[id]; twice {
			s.fail("oIDReferenceID twice (HST-006)")
		}
		values[id] = value
	}
}

// reference reads a reference to an object identifier, which xsi:nil says to be none.
func (s *scanner) reference() int {
	none := s.attr(nsSchema, "nil")
	text := s.word()
	if text == "" && (none == "true" || none == "1") {
		return nilRef
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		s.fail("want a reference")
	}
	return int(n)
}

func (s *scanner) boolean() bool {
	switch s.word() {
	case "true", "1":
		return true
	case "false", "0":
	default:
		s.fail("want true or false")
	}
	return false
}
