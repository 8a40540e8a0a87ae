package api

import (
	"rollcall/protocol"
	"rollcall/server/issuer"
	"rollcall/server/store"
)

type token struct {
	Name    string        `json:"name"`
	Made    protocol.Time `json:"made"`
	Expires protocol.Time `json:"expires"` // empty: never
	Revoked bool          `json:"revoked"`
	Role    store.Role    `json:"role"`
}

type tokens struct {
	Tokens []token `json:"tokens"`
}

type newToken struct {
	Name     string     `json:"name"`
	Role     store.Role `json:"role"`
	Lifetime int64      `json:"lifetime_seconds,omitempty"` // 0: it does not end
}

type tokenMade struct {
	Token string `json:"token"`
}

func (h *Handler) getTokens(*call) (any, error) {
	out := tokens{[]token{}}
	for _, t := range h.cfg.Server.Content().Tokens {
		out.Tokens = append(out.Tokens, token{t.Name, t.Made, t.Expires, t.Revoked, t.Role})
	}
	return out, nil
}

func (h *Handler) makeToken(c *call) (any, error) {
	in := c.body.(*newToken)
	if err := goodName("name", in.Name); err != nil {
		return nil, err
	}
	if in.Role == store.NoRole {
		return nil, missing("role")
	}
	life, err := duration("lifetime_seconds", in.Lifetime, maxDuration)
	if err != nil {
		return nil, err
	}
	if old, ok := h.token(in.Name); ok && !old.Revoked {
		return nil, &conflict{"there is a token of this name: revoke it, or choose another name"}
	}
	text, kept := issuer.New(in.Name, in.Role, c.now, life)
	return tokenMade{text}, h.cfg.Server.PutToken(c.Context(), c.now, kept)
}

func (h *Handler) revokeToken(c *call) (any, error) {
	if c.query["name"] == "" {
		return nil, missing("name")
	}
	t, ok := h.token(c.query["name"])
	if !ok {
		return nil, errNotFound
	}
	t.Revoked = true
	return done{}, h.cfg.Server.PutToken(c.Context(), c.now, t)
}

func (h *Handler) token(name string) (store.Token, bool) {
	for _, t := range h.cfg.Server.Content().Tokens {
		if t.Name == name {
			return t, true
		}
	}
	return store.Token{}, false
}
