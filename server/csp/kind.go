package csp

import (
	"bytes"

	"rollcall/protocol"
)

// IsDocument tells whether a profile's payload is SyncML, for Windows alone, by its beginning: that of its first element.
func IsDocument(payload []byte) bool {
	if wide(payload) {
		return true
	}
	payload = bytes.TrimPrefix(payload, []byte("\ufeff"))
	for more := true; more; {
		payload, more = bytes.TrimLeft(payload, " \t\r\n"), false
		for _, aside := range [][2]string{{"<?", "?>"}, {"<!--", "-->"}} {
			if _, rest, ends := bytes.Cut(payload, []byte(aside[1])); ends && bytes.HasPrefix(payload, []byte(aside[0])) {
				payload, more = rest, true
			}
		}
	}
	return bytes.Contains(payload[:min(len(payload), 1<<10)], []byte("SYNCML:SYNCML1."))
}

// wide tells whether a payload is SyncML in UTF-16, of either order of bytes.
func wide(payload []byte) bool {
	return bytes.Contains(payload[:min(len(payload), 4<<10)], []byte("S\x00Y\x00N\x00C\x00M\x00L\x00:"))
}

// UserScope tells whether a profile concerns nodes that are there only while its user is signed in (WIN-037): mail, which Windows
// knows in no other scope, and whatever names them.
func UserScope(f protocol.Family, payload []byte) bool {
	return f == protocol.Email || IsDocument(payload) && bytes.Contains(payload, []byte("./User/"))
}

// Identifier returns the identifier of a document called name: SyncML itself has none.
func Identifier(name string) string { return "windows." + name }
