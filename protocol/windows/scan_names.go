package windows

import (
	"strings"
)

// A binding gives a prefix its namespace.
type binding struct {
	prefix, uri string
	ns          namespace
}

// An attribute of an element; one without a prefix is in no namespace.
type attribute struct {
	raw   string // name with prefix
	uri   string
	ns    namespace
	local string
	value string
}

// attribute reads one attribute with the white space before it.
func (s *scanner) attribute() {
	before := s.i
	s.space()
	if s.has("/>") || s.has(">") || s.has("?>") {
		return
	}
	if s.i == before {
		s.fail("want the end of a tag")
		return
	}
	a := attribute{raw: s.name()}
	s.space()
	if !s.has("=") {
		s.fail("attribute without a value")
		return
	}
	s.i++
	s.space()
	if !s.has(`"`) && !s.has("'") {
		s.fail("attribute without quotes")
		return
	}
	quote := s.b[s.i]
	s.i++
	n := strings.IndexByte(s.b[s.i:], quote)
	if n < 0 {
		s.fail("cut short in an attribute")
		return
	}
	value := s.b[s.i : s.i+n]
	switch {
	case strings.IndexByte(value, '<') >= 0:
		s.fail("< in an attribute")
	case strings.ContainsAny(value, "&\t\n\r"):
		value = s.attributeValue(value)
	}
	if s.err != nil {
		return
	}
	a.value = value
	s.i += n + 1
	for i := range s.attributes {
		if s.attributes[i].raw == a.raw {
			s.fail("attribute twice (HST-006)")
		}
	}
	if len(s.attributes) >= maxAttributes {
		s.fail("too many attributes")
	}
	s.attributes = append(s.attributes, a)
}

// resolve gives the element that was read, and its attributes, their namespaces.
func (s *scanner) resolve(raw string) element {
	for i := range s.attributes {
		a := &s.attributes[i]
		prefix, declares := "", a.raw == "xmlns"
		if !declares {
			prefix, declares = strings.CutPrefix(a.raw, "xmlns:")
			if !declares {
				continue
			}
			if prefix == "" || prefix == "xml" || prefix == "xmlns" || a.value == "" {
				s.fail("namespace that cannot be declared")
				return element{}
			}
		}
		if len(s.binds) >= maxBindings {
			s.fail("too many namespaces")
			return element{}
		}
		s.binds = append(s.binds, binding{prefix: prefix, uri: a.value, ns: namespaceOf(a.value)})
	}
	for i := range s.attributes {
		a := &s.attributes[i]
		prefix, local, prefixed := strings.Cut(a.raw, ":")
		if !prefixed {
			a.ns, a.local = nsNone, a.raw
			continue
		}
		if prefix == "xmlns" {
			continue
		}
		b := s.bound(prefix)
		a.uri, a.ns, a.local = b.uri, b.ns, local
		for j := range i {
			if other := &s.attributes[j]; other.local == local && other.uri == a.uri && other.ns != nsNone {
				s.fail("attribute twice (HST-006)")
			}
		}
	}
	prefix, local, prefixed := strings.Cut(raw, ":")
	if !prefixed {
		prefix, local = "", raw
	}
	return element{s.bound(prefix).ns, local}
}

// bound finds what a prefix stands for.
func (s *scanner) bound(prefix string) binding {
	for i := len(s.binds) - 1; i >= 0; i-- {
		if s.binds[i].prefix == prefix {
			return s.binds[i]
		}
	}
	switch prefix {
	case "":
		return binding{ns: nsNone}
	case "xml":
		return binding{uri: namespaces[nsXML], ns: nsXML}
	}
	s.fail("prefix that stands for nothing (HST-008)")
	return binding{}
}

// attr returns the value of an attribute of the element that was read last, without a namespace or in ns; it may stand there once.
func (s *scanner) attr(ns namespace, local string) (value string) {
	seen := false
	for i := range s.attributes {
		if a := &s.attributes[i]; a.local == local && (a.ns == nsNone || a.ns == ns) {
			if seen {
				s.fail("attribute twice (HST-006)")
			}
			seen, value = true, strings.TrimSpace(a.value)
		}
	}
	return value
}

// namespaceOf finds a namespace by its URI. Two are taken in a second spelling, which documentation has.
func namespaceOf(uri string) namespace {
	switch uri {
	case "":
		return nsNone
	case "syncml:metinfo":
		return nsMetInf
	}
	for ns, known := range namespaces {
		if known == uri {
			return namespace(ns)
		}
	}
	if strings.TrimSuffix(uri, "/") == namespaces[nsDiscovery] {
		return nsDiscovery
	}
	return foreign
}
