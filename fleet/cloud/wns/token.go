package wns

import (
	"net/http"
	"slices"
	"strings"

	"rollcall/fleet/cloud"
)

const (
	liveTokens = "/accesstoken.srf"
	liveScope  = "notify.windows.com"
	entraScope = "https://wns.windows.com/.default"
	maxForm    = 16 << 10 // bytes of a request for a token
)

// live gives access tokens to the owners of Store identities, whose client id is the package's SID.
func (s *Service) live(w http.ResponseWriter, r *http.Request) {
	s.giveToken(w, r, liveScope, http.StatusBadRequest)
}

// entra gives access tokens to applications of a tenant of Entra ID.
func (s *Service) entra(w http.ResponseWriter, r *http.Request) {
	s.giveToken(w, r, entraScope, http.StatusUnauthorized)
}

// giveToken answers a request for an access token by client credentials (RFC 6749, section 4.4). Refused is the status of a secret
// that is wrong.
func (s *Service) giveToken(w http.ResponseWriter, r *http.Request, scope string, refused int) {
	status, code, description := http.StatusBadRequest, "", ""
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	id, secret := r.PostFormValue("client_id"), r.PostFormValue("client_secret") // reads the form
	switch {
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		code, description = "invalid_request", "the content is not application/x-www-form-urlencoded"
	case r.PostForm.Get("grant_type") == "":
		code, description = "invalid_request", "grant_type is missing"
	case r.PostForm.Get("grant_type") != "client_credentials":
		code, description = "unsupported_grant_type", "the grant type is not client_credentials"
	case id == "" || secret == "":
		code, description = "invalid_request", "client_id or client_secret is missing"
	case r.PostForm.Get("scope") != scope:
		code, description = "invalid_scope", "the scope is not "+scope
	case !s.knows(id, secret):
		status, code, description = refused, "invalid_client", "the client is not known, or its secret is wrong"
	}
	s.mu.Lock()
	if code == "" {
		s.count.Tokens++
	} else {
		s.count.TokensRefused++
	}
	s.mu.Unlock()
	if code != "" {
		cloud.RefuseToken(w, status, code, description)
		return
	}
	life := s.cfg.TokenLife
	cloud.WriteJSON(w, http.StatusOK, cloud.AccessToken{Token: s.tokens.Issue(id, s.cfg.Now().Add(life)), Type: "bearer", Seconds: int64(life.Seconds())})
}

// knows tells whether an app has this secret. SIDs are compared without regard to case.
func (s *Service) knows(id, secret string) bool {
	return len(s.cfg.Apps) == 0 || slices.ContainsFunc(s.cfg.Apps, func(a App) bool { return strings.EqualFold(a.ClientID, id) && a.Secret == secret })
}

// sendsTo tells whether the app with this client id may send to channels of a package family; "" is nobody's in particular.
func (s *Service) sendsTo(id, pfn string) bool {
	return len(s.cfg.Apps) == 0 || pfn == "" || slices.ContainsFunc(s.cfg.Apps, func(a App) bool { return strings.EqualFold(a.ClientID, id) && strings.EqualFold(a.PFN, pfn) })
}
