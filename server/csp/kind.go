package csp

import (
	"bytes"

	"rollcall/protocol"
)

// IsDocument tells whether a profile's payload is SyncML, for Windows alone, by its beginning.
func IsDocument(payload []byte) bool {
	return bytes.Contains(payload[:min(len(payload), 1<<10)], []byte("SYNCML:SYNCML1."))
}

// UserScope tells whether a profile concerns nodes that are there only while its user is signed in (WIN-037): mail, which Windows
// knows in no other scope, and whatever names them.
func UserScope(f protocol.Family, payload []byte) bool {
	return f == protocol.Email || IsDocument(payload) && bytes.Contains(payload, []byte("./User/"))
}

// Identifier is by which a document called name is told from others: SyncML has no name of its own.
func Identifier(name string) string { return "windows." + name }
