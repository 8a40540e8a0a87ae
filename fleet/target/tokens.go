package target

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"rollcall/protocol"
)

// A Token opens the admin API; the server knows only its hash.
type Token struct {
	Name    string        `json:"name"`
	Role    string        `json:"role"` // reader, helpdesk, intune or global (AUTH-08)
	Made    protocol.Time `json:"made"`
	Expires protocol.Time `json:"expires"` // 0: never
	Revoked bool          `json:"revoked"`
}

// Tokens lists the tokens.
func (r *Rollcall) Tokens(ctx context.Context) ([]Token, error) {
	var out struct {
		Tokens []Token `json:"tokens"`
	}
	err := r.call(ctx, http.MethodGet, "/rollcall/v1/tokens", nil, &out)
	return out.Tokens, err
}

// MakeToken makes a token with a role; it is shown this once. A lifetime of 0 never ends.
func (r *Rollcall) MakeToken(ctx context.Context, name, role string, lifetime time.Duration) (string, error) {
	body := struct {
		Name     string  `json:"name"`
		Role     string  `json:"role"`
		Lifetime Seconds `json:"lifetime_seconds,omitempty"`
	}{name, role, SecondsOf(lifetime)}
	var out struct {
		Token string `json:"token"`
	}
	err := r.call(ctx, http.MethodPost, "/rollcall/v1/tokens", body, &out)
	return out.Token, err
}

// RevokeToken makes a token useless.
func (r *Rollcall) RevokeToken(ctx context.Context, name string) error {
	return r.call(ctx, http.MethodDelete, "/rollcall/v1/tokens?"+url.Values{"name": {name}}.Encode(), nil, nil)
}
