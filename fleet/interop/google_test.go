package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	googleauth "golang.org/x/oauth2/google"
	"google.golang.org/api/fcm/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"rollcall/fleet/cloud/google"
)

const project = "rollcall-lab"

// A fcmCloud is our FCM, and Google's own client of it.
type fcmCloud struct {
	service *google.Service
	url     string
	key     []byte // file of a service account
	trust   *http.Client
}

func newFCMCloud(t testing.TB, faults google.Faults) *fcmCloud {
	t.Helper()
	ln := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	c := &fcmCloud{url: "https://" + ln.Addr().String()}
	c.service = must(google.New(google.Config{URL: c.url, Faults: faults}))(t)
	c.key = must(c.service.NewAccount(project))(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.service.CA())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	c.trust = &http.Client{Transport: transport}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.service.Serve(ctx, ln) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return c
}

// client is Google's, with an endpoint that is ours and access tokens from source.
func (c *fcmCloud) client(t testing.TB, source func(ctx context.Context) oauth2.TokenSource) *fcm.ProjectsMessagesService {
	t.Helper()
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, c.trust)
	service := must(fcm.NewService(ctx, option.WithEndpoint(c.url), option.WithHTTPClient(oauth2.NewClient(ctx, source(ctx)))))(t)
	return service.Projects.Messages
}

// exchanged are access tokens that the token endpoint gives for what the account signs.
func (c *fcmCloud) exchanged(t testing.TB) func(ctx context.Context) oauth2.TokenSource {
	config := must(googleauth.JWTConfigFromJSON(c.key, fcm.FirebaseMessagingScope))(t)
	return config.TokenSource
}

func fcmWake(id string) *fcm.SendMessageRequest {
	return &fcm.SendMessageRequest{Message: &fcm.Message{
		Fid: id, Data: map[string]string{"rollcall": "sync"}, Android: &fcm.AndroidConfig{Priority: "HIGH", CollapseKey: "rc-sync", Ttl: "28800s"},
	}}
}

// TestAND090GoogleClient: Google's own client cannot tell.
func TestAND090GoogleClient(t *testing.T) {
	c := newFCMCloud(t, google.Faults{})
	messages := c.client(t, c.exchanged(t))
	id := c.service.Register(project, "phone")
	heard := 0
	c.service.Connect(id, func(m google.Message) {
		if heard++; m.Data["rollcall"] != "sync" || !m.High || m.CollapseKey != "rc-sync" {
			t.Errorf("delivered %+v", m)
		}
	})
	parent := "projects/" + project
	send := func(r *fcm.SendMessageRequest) (*fcm.Message, error) { return messages.Send(parent, r).Do() }
	if m, err := send(fcmWake(id)); err != nil || !strings.HasPrefix(m.Name, parent+"/messages/") || heard != 1 {
		t.Fatalf("Send = %+v, %v; heard %d", m, err, heard)
	}
	byToken := &fcm.SendMessageRequest{Message: &fcm.Message{Token: id, Notification: &fcm.Notification{Title: "x"}, Android: &fcm.AndroidConfig{Priority: "HIGH", CollapseKey: "rc-sync"}, Data: map[string]string{"rollcall": "sync"}}}
	if _, err := send(byToken); err != nil || heard != 2 {
		t.Errorf("by token: %v", err)
	}
	only := fcmWake(id)
	only.ValidateOnly = true
	if m, err := send(only); err != nil || m.Name == "" || heard != 2 {
		t.Errorf("ValidateOnly = %+v, %v; heard %d", m, err, heard)
	}
	gone := c.service.Register(project, "tablet")
	c.service.Unregister(gone)
	bad := fcmWake(id)
	bad.Message.Android.Ttl = "2419201s"
	for _, tt := range []struct {
		name   string
		fault  google.Fault
		send   *fcm.SendMessageRequest
		status int
		code   string
	}{
		{"removed", "", fcmWake(gone), 404, "UNREGISTERED"},
		{"no id", "", fcmWake("nonsense"), 400, "INVALID_ARGUMENT"},
		{"too long a life", "", bad, 400, "INVALID_ARGUMENT"},
		{"another project's", "", fcmWake(c.service.Register("another-project", "phone")), 403, "SENDER_ID_MISMATCH"},
		{"UNREGISTERED", "UNREGISTERED", fcmWake(id), 404, "UNREGISTERED"},
		{"QUOTA_EXCEEDED", "QUOTA_EXCEEDED", fcmWake(id), 429, "QUOTA_EXCEEDED"},
		{"UNAVAILABLE", "UNAVAILABLE", fcmWake(id), 503, "UNAVAILABLE"},
		{"INTERNAL", "INTERNAL", fcmWake(id), 500, "INTERNAL"},
		{"THIRD_PARTY_AUTH_ERROR", "THIRD_PARTY_AUTH_ERROR", fcmWake(id), 401, "THIRD_PARTY_AUTH_ERROR"},
		{"a page", google.HTML, fcmWake(id), 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script := []google.Fault(nil)
			if tt.fault != "" {
				script = []google.Fault{tt.fault}
			}
			if err := c.service.SetFaults(google.Faults{Script: script}); err != nil {
				t.Fatal(err)
			}
			m, err := send(tt.send)
			said := new(googleapi.Error)
			if !errors.As(err, &said) || said.Code != tt.status {
				t.Fatalf("Send = %+v, %v; want %d", m, err, tt.status)
			}
			code := ""
			for _, d := range said.Details {
				if d, ok := d.(map[string]any); ok && d["@type"] == "type.googleapis.com/google.firebase.fcm.v1.FcmError" {
					code = fmt.Sprint(d["errorCode"])
				}
			}
			if code != tt.code || (tt.code != "" && said.Message == "") {
				t.Errorf("errorCode %q with message %q, want %q", code, said.Message, tt.code)
			}
			if later := tt.status == 429 || tt.status >= 500; later != (said.Header.Get("Retry-After") != "") {
				t.Errorf("Retry-After %q", said.Header.Get("Retry-After"))
			}
		})
	}
}

// TestAND090SignedByItself: an account that signs its access tokens itself, as Google's libraries do where they can, is let in, and
// whoever has another key is not.
func TestAND090SignedByItself(t *testing.T) {
	c := newFCMCloud(t, google.Faults{})
	id := c.service.Register(project, "phone")
	for name, tt := range map[string]struct {
		key []byte
		ok  bool
	}{"its own key": {c.key, true}, "another's key": {newFCMCloud(t, google.Faults{}).key, false}} {
		source := must(googleauth.JWTAccessTokenSourceWithScope(tt.key, fcm.FirebaseMessagingScope))(t)
		messages := c.client(t, func(context.Context) oauth2.TokenSource { return source })
		m, err := messages.Send("projects/"+project, fcmWake(id)).Do()
		said := new(googleapi.Error)
		if tt.ok && err != nil || !tt.ok && (!errors.As(err, &said) || said.Code != 401) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// TestGoogleTokenRefused: the library says what the token endpoint said.
func TestGoogleTokenRefused(t *testing.T) {
	c := newFCMCloud(t, google.Faults{})
	config := must(googleauth.JWTConfigFromJSON(c.key, fcm.FirebaseMessagingScope))(t)
	config.Email = "nobody@example.org"
	_, err := c.client(t, config.TokenSource).Send("projects/"+project, fcmWake("x")).Do()
	if err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("Send = %v, want invalid_grant", err)
	}
}
