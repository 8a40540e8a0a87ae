package device

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"rollcall/protocol"
)

// Entra says whose tokens Windows devices enrol with; its JSON is the file that administrators keep it in.
type Entra struct {
	Tenant    string          `json:"tenant"`                 // id of the directory: tid of a token, and in its issuer
	Audiences []string        `json:"audiences"`              // of the MDM application: its URI (tokens of version 1) and client id (version 2)
	KeysURL   string          `json:"keys_url,omitempty"`     // JWKS of those who sign; empty: Keys
	Keys      json.RawMessage `json:"keys,omitempty"`         // a JWKS, of a simulated directory
	Terms     string          `json:"terms_of_use,omitempty"` // plain text that users accept before a device of theirs enrols; empty: none

	transport http.RoundTripper // to KeysURL, in tests; nil: the usual one
}

// maxEntra bounds the file.
const maxEntra = 64 << 10

// ReadEntra reads one. The error names the field.
func ReadEntra(data []byte) (*Entra, error) {
	if len(data) > maxEntra {
		return nil, fmt.Errorf("directory of %d bytes: want at most %d", len(data), maxEntra)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	e := &Entra{}
	if err := d.Decode(e); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	u, err := url.Parse(e.KeysURL)
	switch {
	case e.Tenant == "" || url.PathEscape(e.Tenant) != e.Tenant:
		return nil, errors.New("directory: tenant is missing, or no id")
	case len(e.Audiences) == 0 || slices.Contains(e.Audiences, ""):
		return nil, errors.New("directory: audiences are missing, or one is empty")
	case (e.KeysURL == "") == (len(e.Keys) == 0):
		return nil, errors.New("directory: want either keys_url or keys")
	case err != nil || e.KeysURL != "" && (u.Scheme != "https" || u.Host == "" || u.User != nil):
		return nil, errors.New("directory: keys_url is no https address")
	}
	if _, err := e.keySet(context.Background(), time.Now); err != nil {
		return nil, fmt.Errorf("directory: keys: %w", err)
	}
	return e, nil
}

// keysPause is how long no keys are fetched after they were: whoever sends a token decides whether its key is known.
const keysPause = time.Minute

// A sparing transport refuses what follows another request too soon (HST-043, HST-081).
type sparing struct {
	http.RoundTripper
	now func() time.Time

	mu   sync.Mutex
	last time.Time
}

func (s *sparing) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	now := s.now()
	soon := !s.last.IsZero() && now.Sub(s.last).Abs() < keysPause // a clock that was set back by more tells nothing of when that was
	if !soon {
		s.last = now
	}
	s.mu.Unlock()
	if soon {
		return nil, fmt.Errorf("they were fetched less than %v ago", keysPause)
	}
	return s.RoundTripper.RoundTrip(r)
}

func (e *Entra) keySet(ctx context.Context, now func() time.Time) (oidc.KeySet, error) {
	if e.KeysURL != "" {
		to := &sparing{RoundTripper: cmp.Or(e.transport, http.DefaultTransport), now: now}
		return oidc.NewRemoteKeySet(oidc.ClientContext(ctx, &http.Client{Transport: to, Timeout: patience}), e.KeysURL), nil
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(e.Keys, &set); err != nil {
		return nil, err
	}
	var keys []crypto.PublicKey
	for _, k := range set.Keys {
		if !k.IsPublic() || !k.Valid() {
			return nil, errors.New("one is no public key")
		}
		keys = append(keys, k.Key)
	}
	if keys == nil {
		return nil, errors.New("there are none")
	}
	return &oidc.StaticKeySet{PublicKeys: keys}, nil
}

// Verifier returns a Windows.Verify: a token is signed by RS256 with one of the keys, of this tenant's issuer in either version, for one
// of the audiences and valid by now, and only then is a word of it believed (HST-043). E is what [ReadEntra] made. Keys are fetched
// with ctx, for as long as the server runs, at most once a minute, and for no token that would be refused whoever signed it; when that was, clock says.
func (e *Entra) Verifier(ctx context.Context, clock func() time.Time) (func(ctx context.Context, now protocol.Time, token string) (*EntraClaims, error), error) {
	keys, err := e.keySet(ctx, clock)
	if err != nil {
		return nil, err
	}
	issuers := []string{"https://sts.windows.net/" + e.Tenant + "/", "https://login.microsoftonline.com/" + e.Tenant + "/v2.0"}
	return func(ctx context.Context, now protocol.Time, raw string) (*EntraClaims, error) {
		with := oidc.Config{
			SkipClientIDCheck: true, SkipIssuerCheck: true, // there are two of each: see below
			SupportedSigningAlgs: []string{oidc.RS256}, Now: now.Time,
		}
		unsigned := with
		unsigned.InsecureSkipSignatureCheck = true
		token, err := oidc.NewVerifier("", keys, &unsigned).Verify(ctx, raw) // which tells what may be refused at once
		if err != nil {
			return nil, err
		}
		switch {
		case !slices.Contains(issuers, token.Issuer):
			return nil, errors.New("of another issuer")
		case !slices.ContainsFunc(token.Audience, func(a string) bool { return slices.Contains(e.Audiences, a) }):
			return nil, errors.New("for another audience")
		}
		var claims struct {
			Tenant string `json:"tid"`
			UPN    string `json:"upn"`
			Name   string `json:"preferred_username"` // of a user, in version 2, where upn is an option
			Scope  string `json:"scp"`                // in tokens of users alone
			Device string `json:"deviceid"`
		}
		if err := token.Claims(&claims); err != nil {
			return nil, err
		}
		if claims.Tenant != e.Tenant {
			return nil, errors.New("of another tenant")
		}
		upn := cmp.Or(claims.UPN, claims.Name)
		if upn == "" && claims.Scope != "" { // else it would count as its device's, which no gate of a user's holds up
			return nil, errors.New("of a user, and does not say which")
		}
		if _, err := oidc.NewVerifier("", keys, &with).Verify(ctx, raw); err != nil {
			return nil, err
		}
		return &EntraClaims{UPN: upn, Device: claims.Device}, nil
	}, nil
}
