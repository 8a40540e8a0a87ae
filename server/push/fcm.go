package push

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"rollcall/server/delivery"
)

// Google is Google's message service.
const Google = "https://fcm.googleapis.com"

const (
	googleTokens = "https://oauth2.googleapis.com/token"
	fcmScope     = "https://www.googleapis.com/auth/firebase.messaging"
	jwtGrant     = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523, section 2.1
	assertFor    = time.Hour                                     // Google takes no assertion that is good for longer
	longestTTL   = 4 * 7 * 24 * time.Hour                        // that FCM keeps a message
	maxFCMID     = 4096                                          // bytes of a registration's id
)

// A ServiceAccount is who sends to a project of Firebase; its JSON is the key file that Google gives out.
type ServiceAccount struct {
	Project  string `json:"project_id"`
	KeyID    string `json:"private_key_id"`
	Key      string `json:"private_key"` // PEM, PKCS#8; never logged
	Email    string `json:"client_email"`
	TokenURL string `json:"token_uri"` // empty: Google's

	key *rsa.PrivateKey
}

var projectID = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]{0,62}$`)

// ReadServiceAccount reads one. The error names the field, and has nothing of the key.
func ReadServiceAccount(data []byte) (*ServiceAccount, error) {
	if len(data) > maxIdentity {
		return nil, fmt.Errorf("service account of %d bytes: want at most %d", len(data), maxIdentity)
	}
	var a ServiceAccount
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("service account: %w", jsonError(err))
	}
	switch {
	case !projectID.MatchString(a.Project):
		return nil, errors.New("service account: project_id is missing or no project's")
	case a.Email == "":
		return nil, errors.New("service account: client_email is missing: is this the key file of a service account?")
	case a.Key == "":
		return nil, errors.New("service account: private_key is missing")
	}
	if a.TokenURL == "" {
		a.TokenURL = googleTokens
	}
	if err := endpoint(a.TokenURL); err != nil {
		return nil, fmt.Errorf("service account: token_uri: %w", err)
	}
	block, _ := pem.Decode([]byte(a.Key))
	if block == nil {
		return nil, errors.New("service account: private_key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("service account: private_key is not a key in PKCS#8")
	}
	var ok bool
	if a.key, ok = key.(*rsa.PrivateKey); !ok {
		return nil, errors.New("service account: private_key is not an RSA key")
	}
	return &a, nil
}

// FCM is the client of Firebase Cloud Messaging: data messages without content, by its HTTP v1 interface.
type FCM struct {
	*bearer
	url     string
	breaker breaker
}

var errNoAccount = errors.New("FCM takes a service account, and none is given")

// NewFCM returns the client of a service account. The error says what is wrong with cfg.URL, or that there is no account (AND-101).
func NewFCM(account *ServiceAccount, cfg Config) (*FCM, error) {
	if account == nil {
		return nil, errNoAccount
	}
	if cfg.URL == "" {
		cfg.URL = Google
	}
	u, err := baseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	cfg.fill()
	f := &FCM{url: "https://" + u.Host + "/v1/projects/" + url.PathEscape(account.Project) + "/messages:send"}
	f.bearer = newBearer(cfg, &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots, Time: cfg.Now},
	})
	f.fetch = func(ctx context.Context) (*oauth2.Token, error) {
		assertion, err := account.assert(cfg.Now())
		if err != nil {
			return nil, err
		}
		flow := clientcredentials.Config{
			TokenURL: account.TokenURL, AuthStyle: oauth2.AuthStyleInParams,
			EndpointParams: url.Values{"grant_type": {jwtGrant}, "assertion": {assertion}},
		}
		return flow.Token(ctx)
	}
	return f, nil
}

// assert is what the account signs for an access token (RFC 7523, section 3).
func (a *ServiceAccount) assert(now time.Time) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: a.key, KeyID: a.KeyID}}, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		Scope    string `json:"scope"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}{a.Email, a.TokenURL, fcmScope, now.Unix(), now.Add(assertFor).Unix()}).Serialize()
}

// Push sends n and waits for the answer; see [Pusher].
func (f *FCM) Push(ctx context.Context, n Notification) Answer {
	switch {
	case len(n.Token) == 0:
		return refusal("no registration").answer
	case len(n.Token) > maxFCMID:
		return refusal("a registration's id that is too long").answer
	}
	body, err := json.Marshal(message(n, f.cfg.Now()))
	if err != nil {
		return later(n, err.Error())
	}
	return f.push(ctx, n, &f.breaker, func(ctx context.Context, token string) tried { return f.send(ctx, n, body, token) })
}

// A sendRequest is the part of SendMessageRequest that a wake-up needs (fcm/v1, discovery document of 2026-10-23).
type sendRequest struct {
	Message struct {
		FID     string            `json:"fid"`
		Data    map[string]string `json:"data"`
		Android struct {
			Priority    string `json:"priority"`
			CollapseKey string `json:"collapseKey"`
			TTL         string `json:"ttl"`
		} `json:"android"`
	} `json:"message"`
}

// message is the wake-up n: a hint without content, of which the device gets the last one (android.md, section 10).
func message(n Notification, now time.Time) *sendRequest {
	var r sendRequest
	m := &r.Message
	m.FID, m.Data = string(n.Token), map[string]string{"rollcall": "sync"}
	m.Android.CollapseKey, m.Android.Priority, m.Android.TTL = "rc-sync", "NORMAL", "0s"
	if keep := min(n.Expires.Sub(now), longestTTL); !n.Expires.IsZero() && keep > 0 {
		m.Android.Priority, m.Android.TTL = "HIGH", strconv.FormatInt(max(int64(keep/time.Second), 1), 10)+"s"
	}
	return &r
}

// send tries once.
func (f *FCM) send(ctx context.Context, n Notification, body []byte, token string) tried {
	req, err := http.NewRequest(http.MethodPost, f.url, bytes.NewReader(body))
	if err != nil {
		return tried{answer: later(n, err.Error())}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, text, try := f.do(ctx, n, req, token)
	if resp == nil {
		return try
	}
	return judgeFCM(n, resp.StatusCode, resp.Header, text, try)
}

// A fcmError is what Google says with every answer but 200 (google.rpc.Status in JSON).
type fcmError struct {
	Error struct {
		Status  string `json:"status"`
		Details []struct {
			Type       string `json:"@type"`
			Code       string `json:"errorCode"`
			Violations []struct {
				Field string `json:"field"`
			} `json:"fieldViolations"`
		} `json:"details"`
	} `json:"error"`
}

// code is the word of FCM itself; empty: it was not FCM that spoke.
func (e *fcmError) code() string {
	for _, d := range e.Error.Details {
		if strings.HasSuffix(d.Type, "/google.firebase.fcm.v1.FcmError") {
			return d.Code
		}
	}
	return ""
}

// blames tells whether it is the address that is not valid.
func (e *fcmError) blames() bool {
	named := false
	for _, d := range e.Error.Details {
		for _, v := range d.Violations {
			if v.Field == "message.fid" || v.Field == "message.token" {
				return true
			}
			named = true
		}
	}
	return !named
}

// judgeFCM maps what FCM says to what it means (android.md, section 10).
func judgeFCM(n Notification, status int, h http.Header, text []byte, try tried) tried {
	var taken struct {
		Name string `json:"name"`
	}
	if status == http.StatusOK && json.Unmarshal(text, &taken) == nil && taken.Name != "" {
		return tried{answer: Answer{Result: delivery.Accepted}, health: well}
	}
	var said fcmError
	if status == http.StatusOK || json.Unmarshal(text, &said) != nil || said.Error.Status == "" {
		// Without Google's JSON it was not Google who spoke: a proxy, or half an answer. Above all, this 404 is not UNREGISTERED.
		try.answer.Reason = fmt.Sprintf("status %d without a reason", status)
		if status == http.StatusOK {
			try.answer.Reason = "status 200 without the name of a message"
		}
		try.answer.RetryAfter = max(try.answer.RetryAfter, retryAfter(h))
		try.health = ill
		return try
	}
	code := said.code()
	try.answer.Reason = clean(said.Error.Status)
	if code != "" {
		try.answer.Reason = clean(code)
	}
	switch {
	case code == "UNREGISTERED":
		return refusal(code)
	case code == "SENDER_ID_MISMATCH":
		return alarm("the registration is another project's (" + code + ")")
	case status == http.StatusBadRequest && said.blames():
		return refusal(try.answer.Reason)
	case code == "THIRD_PARTY_AUTH_ERROR":
		return alarm(code)
	case status == http.StatusUnauthorized:
		try.refused = true
	case status == http.StatusForbidden, status == http.StatusNotFound: // of the project, or the interface is not enabled
		try.answer.Suspend = true
	case status == http.StatusTooManyRequests:
		try.answer.RetryAfter = max(try.answer.RetryAfter+throttled, retryAfter(h))
	case status >= 500:
		try.health = ill
		try.answer.RetryAfter = max(try.answer.RetryAfter, retryAfter(h))
	default: // our defect
		try.answer.Alarm = true
		try.answer.RetryAfter = max(try.answer.RetryAfter, ourDefect)
	}
	return try
}
