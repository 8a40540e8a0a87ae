package apns

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/cloud"
)

func TestEachReason(t *testing.T) {
	b := start(t, Config{})
	tok := b.Register(topic)
	elsewhere := b.Register("com.apple.mgmt.External.other")
	left := b.Register(topic)
	b.Unregister(left)

	good := identity(t, nil)
	noTopic := identity(t, func(c *x509.Certificate) { c.Subject.ExtraNames = nil })
	sandbox := identity(t, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: oidDevelopment, Value: asn1.NullBytes}}
	})
	several := identity(t, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: oidTopics, Value: topicList(t, "com.example.app", "com.example.app.voip")}}
	})
	short := identity(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(time.Hour) })

	path := func(p string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = p } }
	without := func(k string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(k) } }
	for _, tt := range []struct {
		name   string
		cert   *tls.Certificate
		token  []byte
		change func(*http.Request)
		status int
		reason Reason
	}{
		{"good", good, tok, nil, 200, ""},
		{"path of version 2", good, tok, path("/2/device/" + hex.EncodeToString(tok)), 404, BadPath},
		{"path goes on", good, tok, path(pathPrefix + hex.EncodeToString(tok) + "/x"), 404, BadPath},
		{"root", good, tok, path("/"), 404, BadPath},
		{"GET", good, tok, func(r *http.Request) { r.Method = "GET" }, 405, MethodNotAllowed},
		{"no token", good, tok, path(pathPrefix), 400, MissingDeviceToken},
		{"no token, no slash", good, tok, path("/3/device"), 400, MissingDeviceToken},
		{"no certificate", nil, tok, nil, 403, MissingProviderToken},
		{"provider token", nil, tok, header("authorization", "bearer x.y.z"), 403, InvalidProviderToken},
		{"certificate without topic", noTopic, tok, nil, 403, BadCertificate},
		{"certificate for the sandbox", sandbox, tok, nil, 403, BadCertificateEnvironment},
		{"topic twice", good, tok, func(r *http.Request) { r.Header.Add("apns-topic", topic) }, 400, DuplicateHeaders},
		{"id is no UUID", good, tok, header("apns-id", "17"), 400, BadMessageID},
		{"id without hyphens", good, tok, header("apns-id", "eabeae54-14a8-11e5-b60b-1697f925ec7g"), 400, BadMessageID},
		{"no topic, one in the certificate", good, tok, without("apns-topic"), 200, ""},
		{"no topic, several in the certificate", several, tok, without("apns-topic"), 400, MissingTopic},
		{"one of several topics", several, tok, nil, 200, ""},
		{"topic of an app, token of another", several, tok, func(r *http.Request) {
			r.Header.Set("apns-topic", "com.example.app")
			r.Header.Set("apns-push-type", "alert")
		}, 400, DeviceTokenNotForTopic},
		{"topic with blanks", good, tok, header("apns-topic", "not a topic"), 400, BadTopic},
		{"APL-107 topic of another certificate", good, tok, header("apns-topic", "com.apple.mgmt.External.other"), 400, TopicDisallowed},
		{"APL-107 token of another topic", good, elsewhere, nil, 400, DeviceTokenNotForTopic},
		{"no push type", good, tok, without("apns-push-type"), 200, ""},
		{"unknown push type", good, tok, header("apns-push-type", "MDM"), 400, InvalidPushType},
		{"push type of an app", good, tok, header("apns-push-type", "alert"), 400, InvalidPushType},
		{"no priority", good, tok, without("apns-priority"), 200, ""},
		{"priority 5", good, tok, header("apns-priority", "5"), 200, ""},
		{"priority 1", good, tok, header("apns-priority", "1"), 200, ""},
		{"priority 7", good, tok, header("apns-priority", "7"), 400, BadPriority},
		{"expiration in words", good, tok, header("apns-expiration", "tomorrow"), 400, BadExpirationDate},
		{"expiration below zero", good, tok, header("apns-expiration", "-1"), 400, BadExpirationDate},
		{"expiration past all numbers", good, tok, header("apns-expiration", "99999999999999999999"), 400, BadExpirationDate},
		{"expiration far away", good, tok, header("apns-expiration", "9223372036854775807"), 200, ""},
		{"collapse id", good, tok, header("apns-collapse-id", strings.Repeat("x", 64)), 200, ""},
		{"long collapse id", good, tok, header("apns-collapse-id", strings.Repeat("x", 65)), 400, BadCollapseID},
		{"no payload", good, tok, body(""), 400, PayloadEmpty},
		{"4096 bytes", good, tok, body(strings.Repeat("x", 4096)), 200, ""},
		{"4097 bytes", good, tok, body(strings.Repeat("x", 4097)), 413, PayloadTooLarge},
		{"4097 bytes, length unsaid", good, tok, func(r *http.Request) {
			r.Body, r.GetBody, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", 4097))), nil, -1
		}, 413, PayloadTooLarge},
		{"token too short", good, tok[:31], nil, 400, BadDeviceToken},
		{"token in upper case", good, tok, path(pathPrefix + strings.ToUpper(hex.EncodeToString(tok))), 400, BadDeviceToken},
		{"token not hexadecimal", good, tok, path(pathPrefix + strings.Repeat("xy", 32)), 400, BadDeviceToken},
		{"token never given out", good, make([]byte, TokenSize), nil, 400, BadDeviceToken},
		{"APL-107 token unregistered", good, left, nil, 410, Unregistered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.t = t
			before := b.Counters()
			got := b.do(b.client(tt.cert), b.request(tt.token, tt.change))
			if got.status != tt.status || got.reason != tt.reason {
				t.Fatalf("answer %d %q, want %d %q", got.status, got.reason, tt.status, tt.reason)
			}
			if tt.status == 200 && got.body != "" {
				t.Errorf("200 with a body: %q", got.body)
			}
			if !isUUID(got.header.Get("apns-id")) {
				t.Errorf("apns-id %q: want a UUID", got.header.Get("apns-id"))
			}
			if (got.timestamp != 0) != (tt.status == 410) {
				t.Errorf("timestamp %d with %d", got.timestamp, tt.status)
			}
			after := b.Counters()
			if tt.reason == "" && after.Accepted != before.Accepted+1 ||
				tt.reason != "" && after.Refused[tt.reason] != before.Refused[tt.reason]+1 {
				t.Errorf("not counted: %+v, before %+v", after, before)
			}
		})
	}

	t.Run("certificate ends while connected", func(t *testing.T) {
		b.t = t
		c := b.client(short)
		if got := b.do(c, b.request(tok, nil)); got.status != 200 {
			t.Fatalf("before: %+v", got)
		}
		b.advance(2 * time.Hour)
		if got := b.do(c, b.request(tok, nil)); got.status != 403 || got.reason != BadCertificate {
			t.Errorf("after: %+v, want 403 BadCertificate", got)
		}
	})
}

// topicList is the extension with which Apple lists a certificate's topics.
func topicList(t *testing.T, topics ...string) []byte {
	var der []byte
	for _, s := range topics {
		name, err := asn1.MarshalWithParams(s, "utf8")
		if err != nil {
			t.Fatal(err)
		}
		uses, err := asn1.Marshal([]string{"app"})
		if err != nil {
			t.Fatal(err)
		}
		der = append(append(der, name...), uses...)
	}
	uid, _ := asn1.MarshalWithParams(topic, "utf8")
	seq, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(der, uid...)})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func TestStatusOfEachReason(t *testing.T) {
	for r, status := range statuses {
		if got := r.Status(); got != status || got < 400 {
			t.Errorf("%s: status %d", r, got)
		}
	}
	if got := Reason("Whim").Status(); got != 0 {
		t.Errorf("unknown reason: status %d, want 0", got)
	}
}

func TestIDIsEchoedOrMade(t *testing.T) {
	b := start(t, Config{})
	tok := b.Register(topic)
	var in inbox
	b.Connect(tok, in.deliver)
	c := b.client(identity(t, nil))
	const id = "eabeae54-14a8-11e5-b60b-1697f925ec7b"
	if got := b.do(c, b.request(tok, header("apns-id", id))).header.Get("apns-id"); got != id {
		t.Errorf("apns-id %q, want %q", got, id)
	}
	made := b.do(c, b.request(tok, nil)).header.Get("apns-id")
	again := b.do(c, b.request(tok, nil)).header.Get("apns-id")
	if !isUUID(made) || made == again || made != strings.ToUpper(made) {
		t.Errorf("made %q and %q: want two upper-case UUIDs", made, again)
	}
	if n := in.got[0]; n.ID != id || n.Topic != topic || n.Priority != 10 || !n.At.Equal(noon) || string(n.Payload) != `{"mdm":"magic"}` {
		t.Errorf("delivered %+v", n)
	}
}

func TestRequireHeaders(t *testing.T) {
	b := start(t, Config{RequireHeaders: true})
	tok := b.Register(topic)
	c := b.client(identity(t, nil))
	for h, want := range map[string]Reason{"apns-topic": MissingTopic, "apns-push-type": InvalidPushType} {
		if got := b.do(c, b.request(tok, func(r *http.Request) { r.Header.Del(h) })); got.reason != want {
			t.Errorf("without %s: %+v, want %s", h, got, want)
		}
	}
}

func TestAnyToken(t *testing.T) {
	b := start(t, Config{AnyToken: true})
	c := b.client(identity(t, nil))
	tok := make([]byte, TokenSize)
	if got := b.do(c, b.request(tok, nil)); got.status != 200 {
		t.Fatalf("unknown token: %+v", got)
	}
	var in inbox
	b.Connect(tok, in.deliver)
	if in.payloads() != `{"mdm":"magic"}` {
		t.Errorf("the device got %q", in.payloads())
	}
	if n := b.Counters().Registered; n != 1 {
		t.Errorf("%d registered, want 1", n)
	}
}

func TestRatePerToken(t *testing.T) {
	b := start(t, Config{PerToken: cloud.Rate{Messages: 3, Per: time.Minute}})
	tok, other := b.Register(topic), b.Register(topic)
	c := b.client(identity(t, nil))
	for i := range 3 {
		if got := b.do(c, b.request(tok, nil)); got.status != 200 {
			t.Fatalf("push %d: %+v", i+1, got)
		}
	}
	got := b.do(c, b.request(tok, nil))
	if got.status != 429 || got.reason != TooManyRequests || got.header.Get("Retry-After") != "20" {
		t.Errorf("fourth push: %+v, want 429 with Retry-After 20", got)
	}
	if got := b.do(c, b.request(other, nil)); got.status != 200 {
		t.Errorf("another token: %+v", got)
	}
	retry, _ := strconv.Atoi(got.header.Get("Retry-After"))
	b.advance(time.Duration(retry) * time.Second)
	if got := b.do(c, b.request(tok, nil)); got.status != 200 {
		t.Errorf("after Retry-After: %+v", got)
	}
	if got := b.do(c, b.request(tok, nil)); got.status != 429 {
		t.Errorf("and one more: %+v, want 429", got)
	}
}

func TestObserve(t *testing.T) {
	seen := make(chan Push, 9)
	b := start(t, Config{Observe: func(p Push) { seen <- p }})
	tok := b.Register(topic)
	c := b.client(identity(t, nil))
	b.do(c, b.request(tok, nil))
	b.do(c, b.request(tok, header("apns-priority", "9")))
	if p := <-seen; p.Status != 200 || p.Reason != "" || p.Token != hex.EncodeToString(tok) || p.Topic != topic || p.ID == "" {
		t.Errorf("accepted: %+v", p)
	}
	if p := <-seen; p.Status != 400 || p.Reason != BadPriority {
		t.Errorf("refused: %+v", p)
	}
}
