//go:build !agentonly

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/fleet/load"
	"rollcall/protocol/lang"
	"rollcall/server/push"
)

// The recipe for a server that insists on Apple's host name: the name is an alias of this machine, as a line of /etc/hosts makes it,
// and the server trusts the CA of fleet push-ca. What --apns-listen starts is then Apple to it, over HTTP/2; to a server that
// trusts another CA it is nobody, and the name of anybody else's it does not have.
func TestFleetPushHostNames(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "push.pem")
	if got := call(t.Context(), fleetCommand(), "fleet", "push-ca", ca); got.err != nil {
		t.Fatal(got.err)
	}
	address, roots := pushService(t, ca)
	f := pushFlags{apns: address, ca: ca}
	var c load.Config
	stop, err := f.start(t.Context(), lang.English, io.Discard, &c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	service := c.Push
	token := strings.Repeat("00ff", 16)
	heard := make(chan string, 8)
	service.RegisterToken(pushTopic, []byte(strings.Repeat("\x00\xff", 16)))
	service.Connect([]byte(strings.Repeat("\x00\xff", 16)), func(payload []byte) { heard <- string(payload) })
	other, err := pushCA(filepath.Join(dir, "other.pem"))
	if err != nil {
		t.Fatal(err)
	}
	strangers := x509.NewCertPool()
	strangers.AddCert(other.Certificate())
	for _, tt := range []struct {
		url   string
		roots *x509.CertPool
		want  bool
	}{
		{push.Production, roots, true},
		{"https://api.sandbox.push.apple.com", roots, true},
		{"https://api.push.apple.com:2197", roots, true},
		{push.Production, strangers, false},
		{"https://www.apple.com", roots, false},
	} {
		transport := &http.Transport{
			ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: tt.roots, Certificates: []tls.Certificate{pushIdentity(t)}},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) { // in place of /etc/hosts
				return new(net.Dialer).DialContext(ctx, network, address)
			},
		}
		r, err := http.NewRequest(http.MethodPost, tt.url+"/3/device/"+token, strings.NewReader(`{"mdm":"magic"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("apns-topic", pushTopic)
		r.Header.Set("apns-push-type", "mdm")
		answer, err := transport.RoundTrip(r)
		if got := err == nil && answer.StatusCode == http.StatusOK && answer.ProtoMajor == 2; got != tt.want {
			t.Errorf("%s: %+v, %v; want a push: %v", tt.url, answer, err, tt.want)
		}
		if tt.want {
			if got := <-heard; got != `{"mdm":"magic"}` {
				t.Errorf("%s: the device heard %q", tt.url, got)
			}
		}
		if err == nil {
			answer.Body.Close()
		}
		transport.CloseIdleConnections()
	}
}
