package apple

// EncodePush appends the body of an MDM push: {"mdm":magic}, nothing else (apple.md section 13.2).
func EncodePush(dst []byte, magic string) []byte { panic("soon") }

// DecodePush returns the PushMagic of a push body. Anything but the one key mdm with a text is refused; the
// error wraps [protocol.ErrMalformed].
func DecodePush(body []byte) (magic string, err error) { panic("soon") }
