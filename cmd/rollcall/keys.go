//go:build !agentonly

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/api"
	"rollcall/server/store/sqlstore"
)

// authorityOf returns the server's certificate authority, made at its first start and kept with its data. It is not made
// where dir has a certificate of it already: that is written later, so those data were lost (HST-047).
func authorityOf(ctx context.Context, s *server.Server, dir string, now time.Time) (*certs.Authority, error) {
	type file struct{ Certificates, Keys []byte }
	b, err := s.Secret(ctx, protocol.At(now), "authority", func() ([]byte, error) {
		if _, err := os.Stat(filepath.Join(dir, caFile)); !errors.Is(err, fs.ErrNotExist) {
			return nil, sqlstore.Lost(dir, caFile+" is there, but not the key of that certificate authority")
		}
		ca, err := certs.NewAuthority(certs.P256, "rollcall "+hex.EncodeToString(random(4)), now)
		if err != nil {
			return nil, err
		}
		var f file
		if f.Certificates, f.Keys, err = ca.PEM(); err != nil {
			return nil, err
		}
		return json.Marshal(f)
	})
	if err != nil {
		return nil, err
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("the certificate authority in the data folder is damaged: %w", err)
	}
	ca, err := certs.LoadAuthority(f.Certificates, f.Keys)
	if err != nil {
		return nil, fmt.Errorf("the certificate authority in the data folder is damaged: %w", err)
	}
	return ca, nil
}

// sealOf returns the key of the server's notices, made at its first start and kept with its data.
func sealOf(ctx context.Context, s *server.Server, now time.Time) (*certs.Seal, error) {
	b, err := s.Secret(ctx, protocol.At(now), "notices", func() ([]byte, error) {
		seal, err := certs.NewSeal("rollcall notices", now)
		if err != nil {
			return nil, err
		}
		return seal.PEM()
	})
	if err != nil {
		return nil, err
	}
	seal, err := certs.LoadSeal(b)
	if err != nil {
		return nil, fmt.Errorf("the key of notices in the data folder: %w", err)
	}
	return seal, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// A face is the certificate that the server shows. Clients trust the authority, so it may change at any time.
type face struct {
	ca    *certs.Authority
	names []string
	clock api.Clock
	log   *logrus.Logger

	mu     sync.Mutex
	cert   *tls.Certificate
	warned time.Time // of the authority's end
}

// certificate returns one that is valid for a while, and the authority's own with it: a machine that joins knows that one by its hash. Under a driven clock it is valid as long as the authority: an
// administrator's own clock is another one.
func (f *face) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, lifetime := f.clock.Now(), tlsLifetime
	if f.ca.ExpiresSoon(now) && now.Sub(f.warned) >= 24*time.Hour { // while it runs too (HST-047)
		f.warned = now
		f.log.WithField("rule", "HST-047").Warnf("the certificate authority ends on %s", f.ca.Certificate().NotAfter.UTC().Format(time.DateOnly))
	}
	if f.clock.Driven() {
		root := f.ca.Certificate()
		now, lifetime = root.NotBefore, root.NotAfter.Sub(root.NotBefore)
	}
	if f.cert != nil && now.Before(f.cert.Leaf.NotAfter.Add(-tlsRenewAhead)) && !now.Before(f.cert.Leaf.NotBefore) {
		return f.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := f.ca.IssueServer(f.names, key.Public(), now, lifetime)
	if err != nil {
		return nil, err
	}
	f.cert = &tls.Certificate{Certificate: [][]byte{leaf.Raw, f.ca.Certificate().Raw}, PrivateKey: key, Leaf: leaf}
	return f.cert, nil
}

// signer signs enrolment profiles with the same key.
func (f *face) signer() (certs.Signer, error) {
	cert, err := f.certificate(nil)
	if err != nil {
		return certs.Signer{}, err
	}
	return certs.Signer{Certificate: cert.Leaf, Chain: []*x509.Certificate{f.ca.Certificate()}, Key: cert.PrivateKey.(*ecdsa.PrivateKey)}, nil
}
