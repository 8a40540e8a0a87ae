package android

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Append appends v, a type of this package, as [Decode] reads it: compact, members in the order of the type. Equal values have equal
// bytes.
func Append(dst []byte, v any) []byte {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false) // no browser reads this
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("JSON of %T: %v", v, err)) // a type of this package that cannot be written
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
