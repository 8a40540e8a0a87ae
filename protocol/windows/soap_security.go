package windows

import (
	"strings"
	"time"
)

// The fields of a Security header.
const (
	fToken fields = 1 << iota
	fTimestamp
	fCreated
	fExpires
	fUsername
	fPassword
	fSignature
)

func (s *scanner) security(h *Header) {
	var seen fields
	for e := range s.children() {
		switch {
		case e.is(nsSecurity, "UsernameToken"):
			s.once(&seen, fToken)
			h.Credential.Kind = Password
			s.username(&h.Credential)
		case e.is(nsSecurity, "BinarySecurityToken"):
			s.once(&seen, fToken)
			s.mark(partToken)
			s.userToken(&h.Credential)
		case e.is(nsUtility, "Timestamp"):
			s.once(&seen, fTimestamp)
			s.mark(partTimestamp)
			s.timestamp(h)
		case e.is(nsSignature, "Signature") && s.signed != nil:
			s.once(&seen, fSignature)
			s.signed(s)
		default:
			s.pass(e)
		}
	}
}

func (s *scanner) username(c *Credential) {
	var seen fields
	for e := range s.children() {
		switch {
		case e.is(nsSecurity, "Username"):
			c.Username = s.wordOnce(&seen, fUsername)
		case e.is(nsSecurity, "Password"):
			s.once(&seen, fPassword)
			if kind := s.attr(nsSecurity, "Type"); kind != "" && kind != passwordText {
				s.fail("a password that is not clear text")
			}
			c.Password = s.text()
		default:
			s.pass(e)
		}
	}
}

func (s *scanner) userToken(c *Credential) {
	switch s.attr(nsSecurity, "ValueType") {
	case typeUserToken:
		c.Kind = UserToken
	case typeJWT:
		c.Kind = JWT
	default:
		c.Kind = OtherToken
	}
	text := s.word()
	if c.Kind == JWT && strings.Count(text, ".") >= 2 { // as it is, which no base64 can look like
		c.Token = []byte(text)
		return
	}
	token, ok := base64Of(text)
	if !ok || len(token) == 0 {
		s.fail("a token that is not base64")
	}
	c.Token = token
}

func (s *scanner) timestamp(h *Header) {
	var seen fields
	for e := range s.children() {
		switch {
		case e.is(nsUtility, "Created"):
			s.once(&seen, fCreated)
			h.Created = s.time()
		case e.is(nsUtility, "Expires"):
			s.once(&seen, fExpires)
			h.Expires = s.time()
		default:
			s.pass(e)
		}
	}
}

func (s *scanner) time() time.Time {
	t, err := time.Parse(time.RFC3339Nano, s.word())
	if err != nil || t.Year() < 1 {
		s.fail("want a time with its zone (HST-009)")
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}
