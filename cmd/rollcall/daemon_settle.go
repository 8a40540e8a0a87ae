//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/issuer"
	"rollcall/server/store"
)

// settle does what a new data folder needs: files for administrators, and a tenant if the configuration has one.
func (s *runningServer) settle(ctx context.Context, cfg *serveConfig, testPush func(string, time.Time, time.Time) ([]byte, error)) error {
	now := protocol.At(cfg.Clock.Now())
	s.CAFile = filepath.Join(cfg.Data, caFile)
	if err := writeFile(s.CAFile, s.CA, 0o644); err != nil {
		return err
	}
	if err := (address{s.URL, s.Addr}).write(cfg.Data); err != nil {
		return err
	}
	if err := s.administrator(ctx, cfg.Data, now); err != nil {
		return err
	}
	if cfg.Tenant != nil && s.Server.Content().Tenant.Release == 0 {
		if err := s.Server.SetUp(ctx, now, *cfg.Tenant, delivery.Settings{}); err != nil {
			return err
		}
	}
	if cfg.Simulated { // nothing goes to anybody (AUTH-05)
		services := []string{server.ConsentPush, server.ConsentADE, server.ConsentAndroid}
		if cfg.Unconsented {
			services = services[:2]
		}
		for _, service := range services {
			if err := s.Server.Consent(ctx, now, server.System, service); err != nil {
				return err
			}
		}
	}
	if cert, _ := s.Server.PushStatus(now); cert == nil && cfg.Simulated && s.Server.Content().Tenant.Authority != protocol.Unknown {
		pem, err := testPush("com.apple.mgmt.External."+uuid.NewString(), now.Time(), now.Add(365*24*time.Hour).Time())
		if err == nil {
			_, err = s.Server.UploadPush(ctx, now, pem, "", "", false, 0)
		}
		return err
	}
	return nil
}

// administrator sees to it that the file in the data folder has a token that opens the API.
func (s *runningServer) administrator(ctx context.Context, dir string, now protocol.Time) error {
	s.TokenFile = filepath.Join(dir, tokenFile)
	switch b, err := os.ReadFile(s.TokenFile); {
	case err == nil:
		s.Token = strings.TrimSpace(string(b))
		if _, err := issuer.Verify(s.Token, s.Server.Content().Tokens, now); err == nil {
			return nil
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the administrator's token: %w", err)
	}
	text, kept := issuer.New(tokenName, store.GlobalAdministrator, now, 0)
	if err := s.Server.PutToken(ctx, now, kept); err != nil {
		return err
	}
	s.Token = text
	return writeFile(s.TokenFile, []byte(text+"\n"), 0o600)
}

// testPushes makes push certificates as Apple's portal would. Its authority is its own, made for the first one: a push
// certificate is a client's, and one by the CA of identities would be let in where devices are.
func testPushes(now func() time.Time) func(topic string, notBefore, notAfter time.Time) ([]byte, error) {
	portal := sync.OnceValues(func() (*certs.Authority, error) {
		return certs.NewAuthority(certs.RSA2048, "rollcall test push", now())
	})
	return func(topic string, notBefore, notAfter time.Time) ([]byte, error) {
		ca, err := portal()
		if err != nil {
			return nil, err
		}
		p, err := certs.MakePush(ca, topic, notBefore, notAfter)
		if err != nil {
			return nil, err
		}
		return p.PEM()
	}
}
