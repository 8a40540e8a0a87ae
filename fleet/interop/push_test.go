package interop

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/micromdm/nanomdm/mdm"
	"github.com/micromdm/nanomdm/push"
	"github.com/micromdm/nanomdm/push/nanopush"

	"rollcall/fleet/cloud/apns"
	"rollcall/protocol/apple"
)

// redirecting makes nanopush's client: it believes that it talks to Apple, whose name it checks, and reaches c. Its
// base URL is private, so the way must bend below it.
func (c *cloud) redirecting(t testing.TB) nanopush.NewClient {
	return func(cert *tls.Certificate) (*http.Client, error) {
		transport := &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: c.roots, Certificates: []tls.Certificate{*cert}},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if host, _, _ := net.SplitHostPort(address); host != pushHost {
					return nil, fmt.Errorf("push to %s, want %s", address, pushHost)
				}
				return (&net.Dialer{}).DialContext(ctx, network, c.addr)
			},
		}
		t.Cleanup(transport.CloseIdleConnections)
		client := &http.Client{Transport: transport}
		return client, nanopush.ForceHTTP2(client)
	}
}

// pusher is nanopush with a push certificate for topic.
func (c *cloud) pusher(t testing.TB, topic string, options ...nanopush.Option) push.PushProvider {
	t.Helper()
	p := pushCertificate(t, topic)
	factory := nanopush.NewFactory(append([]nanopush.Option{nanopush.WithNewClient(c.redirecting(t))}, options...)...)
	return must(factory.NewPushProvider(&tls.Certificate{Certificate: [][]byte{p.Certificate.Raw}, PrivateKey: p.Key}))(t)
}

func pushTo(token []byte, magic string) *mdm.Push {
	return &mdm.Push{PushMagic: magic, Topic: topic, Token: token}
}

// send pushes to each and returns the answers in order.
func send(t testing.TB, p push.PushProvider, to ...*mdm.Push) []*push.Response {
	t.Helper()
	answers := must(p.Push(context.Background(), to))(t)
	if len(answers) != len(to) {
		t.Fatalf("%d answers to %d pushes", len(answers), len(to))
	}
	var list []*push.Response
	for _, one := range to {
		list = append(list, answers[one.Token.String()])
	}
	return list
}

// reasonOf is what nanopush read of a refusal.
func reasonOf(t testing.TB, r *push.Response) nanopush.JSONPushError {
	t.Helper()
	var said *nanopush.JSONPushError
	if !errors.As(r.Err, &said) {
		t.Fatalf("push: %v, want a reason", r.Err)
	}
	return *said
}

// TestNanopushDelivers: what nanopush pushes is accepted, reaches the device that it is for and wakes it.
func TestNanopushDelivers(t *testing.T) {
	c := startAPNs(t, apns.Config{})
	token := c.Register(topic)
	box := c.inbox(token)
	answer := send(t, c.pusher(t, topic), pushTo(token, "4C1E9A2F-MAGIC"))[0]
	if answer.Err != nil {
		t.Fatal(answer.Err)
	}
	n := arrived(t, box)
	if n.ID != answer.Id || answer.Id == "" {
		t.Errorf("apns-id: device %q, pusher %q", n.ID, answer.Id)
	}
	if magic, err := apple.DecodePush(n.Payload); err != nil || magic != "4C1E9A2F-MAGIC" {
		t.Errorf("payload %q: magic %q, %v", n.Payload, magic, err)
	}
	if n.Topic != topic {
		t.Errorf("topic %q, want the certificate's", n.Topic)
	}
}

// TestAPL105NanopushMany: one call pushes to many devices at once and each gets its own; a GOAWAY in the middle costs
// the one push that it answers, for the others that it leaves out go again over another connection.
func TestAPL105NanopushMany(t *testing.T) {
	c := startAPNs(t, apns.Config{Faults: apns.Faults{Script: append(make([]apns.Fault, 20), apns.GoAway)}})
	p := c.pusher(t, topic)
	// The first push makes the connection that all share; without it each of nanopush's workers makes its own, and
	// it has as many as there are pushes.
	if a := send(t, p, pushTo(c.Register(topic), "first"))[0]; a.Err != nil {
		t.Fatal(a.Err)
	}
	var to []*mdm.Push
	var boxes []<-chan apns.Notification
	for i := range 40 {
		token := c.Register(topic)
		to, boxes = append(to, pushTo(token, fmt.Sprint("magic-", i))), append(boxes, c.inbox(token))
	}
	refused := 0
	for i, answer := range send(t, p, to...) {
		if answer.Err != nil {
			refused++
			if said := reasonOf(t, answer); said.Reason != "Shutdown" {
				t.Errorf("push %d: %v", i, answer.Err)
			}
			continue
		}
		if n := arrived(t, boxes[i]); string(n.Payload) != fmt.Sprintf(`{"mdm":"magic-%d"}`, i) || n.ID != answer.Id {
			t.Errorf("device %d got %q as %s, want its own as %s", i, n.Payload, n.ID, answer.Id)
		}
	}
	if n := c.Counters(); refused != 1 || n.Delivered != 39 {
		t.Errorf("%d refused, counters %+v; want one refused and 39 delivered", refused, n)
	}
	last := send(t, p, to[0])[0]
	if n := c.Counters(); last.Err != nil || n.Delivered != 40 || n.Connections < 2 {
		t.Errorf("push after GOAWAY: %v, counters %+v; want one more delivered, over another connection", last.Err, n)
	}
}

// TestAPL107NanopushOffline: of what nanopush sends to an absent device the last survives, and its expiration is
// heard.
func TestAPL107NanopushOffline(t *testing.T) {
	c := startAPNs(t, apns.Config{})
	token := c.Register(topic)
	p := c.pusher(t, topic, nanopush.WithExpiration(time.Hour))
	before := time.Now().Truncate(time.Second)
	for _, magic := range []string{"first", "second", "third"} {
		if a := send(t, p, pushTo(token, magic))[0]; a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	box := c.inbox(token)
	n := arrived(t, box)
	if string(n.Payload) != `{"mdm":"third"}` || len(box) != 0 {
		t.Errorf("got %q and %d more, want the third alone", n.Payload, len(box))
	}
	if n.Expires.Before(before.Add(time.Hour)) || n.Expires.After(time.Now().Add(time.Hour)) {
		t.Errorf("expires %s, want an hour after %s", n.Expires, before)
	}
}

// TestAPL107NanopushGone: a token that has ended is 410 with the moment of its end in milliseconds.
func TestAPL107NanopushGone(t *testing.T) {
	c := startAPNs(t, apns.Config{})
	token := c.Register(topic)
	before := time.Now().UnixMilli()
	c.Unregister(token)
	after := time.Now().UnixMilli()
	answer := send(t, c.pusher(t, topic), pushTo(token, "magic"))[0]
	said := reasonOf(t, answer)
	if said.Reason != "Unregistered" || said.Timestamp < before || said.Timestamp > after {
		t.Errorf("410 says %q at %d, want Unregistered between %d and %d", said.Reason, said.Timestamp, before, after)
	}
	if !strings.Contains(answer.Err.Error(), "410") {
		t.Errorf("%v, want status 410", answer.Err)
	}
}

// TestNanopushReasons: every refusal is read by nanopush with its status and its word.
func TestNanopushReasons(t *testing.T) {
	c := startAPNs(t, apns.Config{})
	registered := c.Register(topic)
	p := c.pusher(t, topic)
	for _, tt := range []struct {
		name  string
		to    *mdm.Push
		fault apns.Fault
		want  apns.Reason
	}{
		{name: "unknown token", to: pushTo(make([]byte, apns.TokenSize), "m"), want: apns.BadDeviceToken},
		{name: "short token", to: pushTo([]byte{1, 2, 3}, "m"), want: apns.BadDeviceToken},
		{name: "no token", to: pushTo(nil, "m"), want: apns.MissingDeviceToken},
		{name: "token of another topic", to: pushTo(c.Register(otherTopic), "m"), want: apns.DeviceTokenNotForTopic},
		{name: "large payload", to: pushTo(registered, strings.Repeat("m", 4096)), want: apns.PayloadTooLarge},
		{name: "too many", to: pushTo(registered, "m"), fault: apns.Fault(apns.TooManyRequests), want: apns.TooManyRequests},
		{name: "internal", to: pushTo(registered, "m"), fault: apns.Fault(apns.InternalServerError), want: apns.InternalServerError},
		{name: "unavailable", to: pushTo(registered, "m"), fault: apns.Fault(apns.ServiceUnavailable), want: apns.ServiceUnavailable},
		{name: "expired token", to: pushTo(registered, "m"), fault: apns.Fault(apns.ExpiredToken), want: apns.ExpiredToken},
		{name: "going away", to: pushTo(registered, "m"), fault: apns.GoAway, want: apns.Shutdown}, // APL-105
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := c.SetFaults(apns.Faults{Script: []apns.Fault{tt.fault}}); err != nil {
				t.Fatal(err)
			}
			answer := send(t, p, tt.to)[0]
			if said := reasonOf(t, answer); said.Reason != string(tt.want) {
				t.Errorf("reason %q, want %q", said.Reason, tt.want)
			}
			if want := fmt.Sprintf("status: %d:", tt.want.Status()); !strings.Contains(answer.Err.Error(), want) {
				t.Errorf("%v, want %q", answer.Err, want)
			}
		})
	}
	// The connection that went away is replaced, and nothing of the above has reached the device.
	if err := c.SetFaults(apns.Faults{}); err != nil {
		t.Fatal(err)
	}
	box := c.inbox(registered)
	if a := send(t, p, pushTo(registered, "after"))[0]; a.Err != nil {
		t.Fatal(a.Err)
	}
	if n := arrived(t, box); string(n.Payload) != `{"mdm":"after"}` || len(box) != 0 {
		t.Errorf("got %q and %d more, want the last push alone", n.Payload, len(box))
	}
}

// TestAPL107NanopushCertificate: a certificate for another topic, and one of an issuer that is not trusted, push nothing.
func TestAPL107NanopushCertificate(t *testing.T) {
	t.Run("other topic", func(t *testing.T) {
		c := startAPNs(t, apns.Config{})
		// nanopush does not say the topic, so the service takes the certificate's, and the token is not of it. With
		// the header the answer would be TopicDisallowed.
		if said := reasonOf(t, send(t, c.pusher(t, otherTopic), pushTo(c.Register(topic), "m"))[0]); said.Reason != "DeviceTokenNotForTopic" {
			t.Errorf("reason %q, want DeviceTokenNotForTopic", said.Reason)
		}
	})
	t.Run("foreign issuer", func(t *testing.T) {
		c := startAPNs(t, apns.Config{Issuers: poolOf(authority(t).Certificate())})
		// The service names its issuers in the handshake, and Go shows no certificate of another one.
		if said := reasonOf(t, send(t, c.pusher(t, topic), pushTo(c.Register(topic), "m"))[0]); said.Reason != "MissingProviderToken" {
			t.Errorf("reason %q, want MissingProviderToken", said.Reason)
		}
	})
}

// A spy keeps the header of the last request.
type spy struct {
	http.RoundTripper
	header http.Header
}

func (s *spy) RoundTrip(r *http.Request) (*http.Response, error) {
	s.header = r.Header
	return s.RoundTripper.RoundTrip(r)
}

// TestAPL100NanopushHeaders: of the five headers of APL-100 nanopush sends none but an expiration, if told to. Apple lets
// that pass for a certificate of one topic, and so do we unless told to be strict.
func TestAPL100NanopushHeaders(t *testing.T) {
	c := startAPNs(t, apns.Config{RequireHeaders: true})
	watch := new(spy)
	newClient := c.redirecting(t)
	p := c.pusher(t, topic, nanopush.WithExpiration(time.Hour), nanopush.WithNewClient(func(cert *tls.Certificate) (*http.Client, error) {
		client, err := newClient(cert)
		watch.RoundTripper, client.Transport = client.Transport, watch
		return client, err
	}))
	if said := reasonOf(t, send(t, p, pushTo(c.Register(topic), "m"))[0]); said.Reason != string(apns.MissingTopic) {
		t.Errorf("strict: reason %q, want MissingTopic", said.Reason)
	}
	for name, want := range map[string]bool{
		"Apns-Topic": false, "Apns-Push-Type": false, "Apns-Priority": false, "Apns-Id": false, "Apns-Expiration": true,
	} {
		if _, got := watch.header[name]; got != want {
			t.Errorf("%s sent: %t, want %t; if nanopush was mended, say so in doc.go", name, got, want)
		}
	}
}

// TestAPL100NanopushMagic: nanopush glues PushMagic into its JSON, so a magic with a quote becomes a payload that no
// device reads. APNs does not look inside; our device does, and our own client escapes.
func TestAPL100NanopushMagic(t *testing.T) {
	const magic = `4C"1E\9A`
	c := startAPNs(t, apns.Config{})
	token := c.Register(topic)
	box := c.inbox(token)
	if a := send(t, c.pusher(t, topic), pushTo(token, magic))[0]; a.Err != nil {
		t.Fatal(a.Err)
	}
	glued := arrived(t, box).Payload
	if got, err := apple.DecodePush(glued); json.Valid(glued) || err == nil {
		t.Errorf("%s was read as %q; if nanopush escapes now, say so in doc.go", glued, got)
	}
	ours := apple.EncodePush(nil, magic)
	if got, err := apple.DecodePush(ours); err != nil || got != magic {
		t.Errorf("our own payload %s: %q, %v, want %q", ours, got, err, magic)
	}
}
