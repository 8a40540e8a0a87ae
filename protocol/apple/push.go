package apple

import (
	"fmt"

	"rollcall/protocol"
)

// EncodePush appends the body of an MDM push: {"mdm":magic} and nothing else (apple.md section 13.2, APL-100).
func EncodePush(dst []byte, magic string) []byte {
	return append(dst, encodeJSON(struct {
		MDM string `json:"mdm"`
	}{magic})...)
}

// DecodePush returns the PushMagic of a push body. Anything but the one key mdm with a text is refused; the
// error wraps [protocol.ErrMalformed].
func DecodePush(body []byte) (magic string, err error) {
	object, err := decodeJSON(body)
	if err != nil {
		return "", fmt.Errorf("push: %w", err)
	}
	magic, ok := object["mdm"].(string)
	if !ok || magic == "" || len(object) != 1 {
		return "", fmt.Errorf("%w: push: want the one key mdm with a text", protocol.ErrMalformed)
	}
	return magic, nil
}
