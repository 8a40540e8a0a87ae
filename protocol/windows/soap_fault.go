package windows

func (s *scanner) fault(soap namespace) *Fault {
	f := &Fault{}
	s.sealed = func(namespace) bool { return false } // subcodes have subcodes, and details anything
	var seen fields
	const code, reason, detail fields = 1, 2, 4
	for e := range s.children() {
		switch {
		case e.is(soap, "Code"):
			s.once(&seen, code)
			s.faultCode(f, soap)
		case e.is(nsNone, "faultcode"): // SOAP 1.1
			s.once(&seen, code)
			f.Subcode = subcodeOf(s.word())
		case e.is(soap, "Reason"):
			s.once(&seen, reason)
			for text := range s.children() {
				if text.is(soap, "Text") && f.Reason == "" {
					f.Reason = s.word()
				} else {
					s.skip()
				}
			}
		case e.is(nsNone, "faultstring"):
			f.Reason = s.wordOnce(&seen, reason)
		case e.is(soap, "Detail"), e.is(nsNone, "detail"):
			s.once(&seen, detail)
			s.detail(f)
		default:
			s.skip()
		}
	}
	return f
}

func (s *scanner) faultCode(f *Fault, soap namespace) {
	var seen fields
	for e := range s.children() {
		if !e.is(soap, "Subcode") {
			s.skip()
			continue
		}
		s.once(&seen, 1)
		for e := range s.children() {
			if e.is(soap, "Value") {
				s.once(&seen, 2)
				f.Subcode = subcodeOf(s.word())
			} else {
				s.skip()
			}
		}
	}
}

func (s *scanner) detail(f *Fault) {
	var seen fields
	for e := range s.children() {
		if !e.is(nsWSTEP, "DeviceEnrollmentServiceError") {
			s.skip()
			continue
		}
		s.once(&seen, 1)
		for e := range s.children() {
			switch {
			case e.is(nsWSTEP, "ErrorType"):
				s.once(&seen, 2)
				f.ErrorType = ErrorType(s.word())
			case e.is(nsWSTEP, "Message"):
				f.Message = s.wordOnce(&seen, 4)
			case e.is(nsWSTEP, "TraceId"):
				f.TraceID = s.wordOnce(&seen, 8)
			default:
				s.skip()
			}
		}
	}
}
