package server

import (
	"context"
	"errors"

	"rollcall/protocol"
)

// PushCSR makes a key for the push certificate of an authority's slot and returns a certificate request for it, PEM. The key
// stays in the store until UploadPush brings a certificate for it, without a key of its own. Asking again makes another
// key; one of the two is as good as the other. Needs the consent appleMDMPushCertificate (AUTH-05).
func (s *Server) PushCSR(ctx context.Context, now protocol.Time, who Actor, slot protocol.Authority) (csr []byte, err error) {
	return nil, errors.ErrUnsupported
}
