package google

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"rollcall/fleet/cloud"
)

const (
	tokenPath = "/token"
	maxForm   = 32 << 10  // bytes of a request for a token
	longest   = time.Hour // that an assertion is good
	skew      = 5 * time.Minute
	audience  = "https://fcm.googleapis.com/" // of a JWT that is its own access token
)

var scopes = []string{"https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"}

// An account is a service account: who it is, and the key that it signs with.
type account struct {
	project string
	keyID   string
	public  *rsa.PublicKey
}

// A keyFile is the JSON that Google gives out for a service account's key.
type keyFile struct {
	Type      string `json:"type"`
	Project   string `json:"project_id"`
	KeyID     string `json:"private_key_id"`
	Key       string `json:"private_key"`
	Email     string `json:"client_email"`
	ClientID  string `json:"client_id"`
	AuthURI   string `json:"auth_uri"`
	TokenURI  string `json:"token_uri"`
	CertsURI  string `json:"auth_provider_x509_cert_url"`
	CertURI   string `json:"client_x509_cert_url"`
	Universal string `json:"universe_domain"`
}

var projectID = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)

// NewAccount makes a service account that may send to a project, and returns its key file.
func (s *Service) NewAccount(project string) ([]byte, error) {
	if !projectID.MatchString(project) {
		return nil, fmt.Errorf("project %q: want 6 to 30 lower-case letters, digits and hyphens, a letter first", project)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var id [20]byte
	rand.Read(id[:]) // never fails
	email := "rollcall@" + project + ".iam.gserviceaccount.com"
	f := keyFile{
		Type: "service_account", Project: project, KeyID: hex.EncodeToString(id[:]), Email: email, ClientID: "100000000000000000001",
		Key:     string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		AuthURI: s.cfg.URL + "/auth", TokenURI: s.cfg.URL + tokenPath, CertsURI: s.cfg.URL + "/certs", CertURI: s.cfg.URL + "/x509/" + email, Universal: "googleapis.com",
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	return text, s.AddAccount(text)
}

// AddAccount has the service know the account of a key file that NewAccount made in an earlier run. The error is without the key.
func (s *Service) AddAccount(text []byte) error {
	var f keyFile
	if err := json.Unmarshal(text, &f); err != nil {
		return errors.New("key file: not the JSON of a service account")
	}
	block, _ := pem.Decode([]byte(f.Key))
	if block == nil {
		return errors.New("key file: private_key is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	switch {
	case err != nil || !ok:
		return errors.New("key file: private_key is not an RSA key in PKCS#8")
	case f.Email == "" || !projectID.MatchString(f.Project):
		return errors.New("key file: client_email or project_id is missing")
	case f.TokenURI != s.cfg.URL+tokenPath:
		return fmt.Errorf("key file: token_uri is %s, and this service is %s", f.TokenURI, s.cfg.URL+tokenPath)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[f.Email] = &account{project: f.Project, keyID: f.KeyID, public: &key.PublicKey}
	return nil
}

// claims are those of an assertion (RFC 7523, section 3) and of a JWT that is its own access token.
type claims struct {
	Issuer   string       `json:"iss"`
	Subject  string       `json:"sub"`
	Audience jwt.Audience `json:"aud"`
	Scope    string       `json:"scope"`
	Issued   int64        `json:"iat"`
	Expires  int64        `json:"exp"`
}

// verify returns the account that signed a JWT which is good at now; nil: nobody, and why in Google's words.
func (s *Service) verify(text string, now time.Time) (a *account, c claims, why string) {
	var unsafe claims
	signed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err == nil {
		err = signed.UnsafeClaimsWithoutVerification(&unsafe)
	}
	if err != nil {
		return nil, c, "Invalid JWT: Failed to parse the token"
	}
	s.mu.Lock()
	a = s.accounts[unsafe.Issuer]
	s.mu.Unlock()
	switch {
	case a == nil:
		return nil, c, "Invalid grant: account not found"
	case signed.Headers[0].KeyID != "" && signed.Headers[0].KeyID != a.keyID, signed.Claims(a.public, &c) != nil:
		return nil, c, "Invalid JWT Signature."
	}
	issued, expires := time.Unix(c.Issued, 0), time.Unix(c.Expires, 0)
	if issued.After(now.Add(skew)) || !now.Before(expires.Add(skew)) || expires.Sub(issued) > longest {
		return nil, c, "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	}
	return a, c, ""
}

// giveToken is the token endpoint.
func (s *Service) giveToken(w http.ResponseWriter, r *http.Request) {
	code, description := "", ""
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	grant, assertion := r.PostFormValue("grant_type"), r.PostFormValue("assertion")
	now := s.cfg.Now()
	var a *account
	var c claims
	switch {
	case grant == "":
		code, description = "invalid_request", "Missing required parameter: grant_type"
	case grant != "urn:ietf:params:oauth:grant-type:jwt-bearer":
		code, description = "unsupported_grant_type", "Invalid grant_type: "+grant
	case assertion == "":
		code, description = "invalid_request", "Missing required parameter: assertion"
	default:
		switch a, c, description = s.verify(assertion, now); {
		case a == nil:
			code = "invalid_grant"
		case !slices.Contains(c.Audience, s.cfg.URL+tokenPath):
			code, description = "invalid_grant", "Invalid JWT: Failed audience check. The right audience is "+s.cfg.URL+tokenPath
		case c.Scope == "":
			code, description = "invalid_scope", "Empty or missing scope not allowed."
		}
	}
	s.mu.Lock()
	if code == "" {
		s.count.Tokens++
	} else {
		s.count.TokensRefused++
	}
	s.mu.Unlock()
	if code != "" {
		cloud.RefuseToken(w, http.StatusBadRequest, code, description)
		return
	}
	cloud.WriteJSON(w, http.StatusOK, cloud.AccessToken{
		Token: s.tokens.Issue(a.project+" "+c.Scope, now.Add(s.cfg.TokenLife)), Type: "Bearer", Seconds: int64(s.cfg.TokenLife.Seconds()),
	})
}

// sender returns the project that whoever sends r may send to, or how it is refused.
func (s *Service) sender(r *http.Request) (project string, no *failure) {
	now := s.cfg.Now()
	who, ok := s.tokens.Of(r, now)
	if !ok {
		_, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		a, c, _ := s.verify(text, now)
		if a == nil || c.Issuer != c.Subject {
			return "", unauthenticated
		}
		if slices.Contains(c.Audience, audience) || slices.Contains(c.Audience, s.cfg.URL+"/") {
			return a.project, nil
		}
		who = a.project + " " + c.Scope
	}
	project, granted, _ := strings.Cut(who, " ")
	for scope := range strings.FieldsSeq(granted) {
		if slices.Contains(scopes, scope) {
			return project, nil
		}
	}
	return "", insufficientScope
}
