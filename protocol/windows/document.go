package windows

import "strconv"

// DecodeDocument reads a wap-provisioningdoc, in UTF-8 or UTF-16. The error wraps [protocol.ErrMalformed].
func DecodeDocument(b []byte) (Document, error) {
	s := newScanner("provisioning document", b)
	defer s.release()
	if e := s.root(); s.err == nil && !e.is(nsNone, "wap-provisioningdoc") {
		s.fail("want wap-provisioningdoc")
	}
	var c Characteristic
	s.characteristic(&c)
	if s.err == nil && len(c.Parms) > 0 {
		s.fail("parm outside a characteristic")
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return c.Characteristics, nil
}

func (s *scanner) characteristic(c *Characteristic) {
	for e := range s.children() {
		switch {
		case e.is(nsNone, "characteristic"):
			child := Characteristic{Type: s.attr(nsNone, "type")}
			if child.Type == "" {
				s.fail("characteristic without a type")
			}
			s.characteristic(&child)
			c.Characteristics = append(c.Characteristics, child)
		case e.is(nsNone, "parm"):
			p := Parm{NoValue: true}
			for i := range s.attributes {
				switch a := &s.attributes[i]; a.raw {
				case "name":
					p.Name = a.value
				case "value":
					p.Value, p.NoValue = a.value, false
				case "datatype":
					p.Datatype = a.value
				}
			}
			if p.Name == "" {
				s.fail("parm without a name")
			}
			if s.word() != "" {
				s.fail("text in a parm")
			}
			c.Parms = append(c.Parms, p)
		default:
			s.fail("want characteristic or parm")
		}
	}
}

// EncodeDocument appends d as XML, without a declaration.
func EncodeDocument(dst []byte, d Document) []byte {
	dst = append(dst, `<wap-provisioningdoc version="1.1">`...)
	for i := range d {
		dst = appendCharacteristic(dst, &d[i])
	}
	return append(dst, `</wap-provisioningdoc>`...)
}

func appendCharacteristic(dst []byte, c *Characteristic) []byte {
	dst = append(appendEscaped(append(dst, `<characteristic type="`...), c.Type, true), '"')
	if len(c.Parms) == 0 && len(c.Characteristics) == 0 {
		return append(dst, `/>`...)
	}
	dst = append(dst, '>')
	for _, p := range c.Parms {
		dst = append(appendEscaped(append(dst, `<parm name="`...), p.Name, true), '"')
		if !p.NoValue {
			dst = append(appendEscaped(append(dst, ` value="`...), p.Value, true), '"')
		}
		if p.Datatype != "" {
			dst = append(appendEscaped(append(dst, ` datatype="`...), p.Datatype, true), '"')
		}
		dst = append(dst, `/>`...)
	}
	for i := range c.Characteristics {
		dst = appendCharacteristic(dst, &c.Characteristics[i])
	}
	return append(dst, `</characteristic>`...)
}

// text, integer and boolean make typed parms.
func text(name, value string) Parm { return Parm{Name: name, Value: value, Datatype: DatatypeString} }

func integer(name string, value int64) Parm {
	return Parm{Name: name, Value: strconv.FormatInt(value, 10), Datatype: DatatypeInteger}
}

func boolean(name string, value bool) Parm {
	return Parm{Name: name, Value: strconv.FormatBool(value), Datatype: DatatypeBoolean}
}
