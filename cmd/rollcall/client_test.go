//go:build !agentonly

package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// A server that is not the one wanted, or does not want this administrator, is told of with what to do (HST-060).
func TestAdministratorsLearnWhyNoServerIsTheirs(t *testing.T) {
	quiet := log.New(io.Discard, "", 0)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	defer secure.Close()
	open := httptest.NewServer(nil)
	defer open.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(secure.Certificate())
	at := secure.Listener.Addr().String()

	for _, c := range []struct {
		server string
		roots  *x509.CertPool
		want   string
	}{
		{at, trusted, "HST-060: the token of admin.token is not one of this server's, or it has ended or was revoked"},
		{at, x509.NewCertPool(), "its certificate is of no CA that is trusted here: give the server's ca.pem by --ca, or its data folder by --data"},
		{strings.Replace(at, "127.0.0.1", "localhost", 1), trusted, "its certificate is for example.com and *.example.com and 127.0.0.1 and ::1, not for localhost: call the server so, or start it with --name localhost as well"},
		{open.Listener.Addr().String(), trusted, "what answers there speaks no TLS: is it the server's port?"},
	} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.roots}}
		resp, err := (&http.Client{Transport: hinting{transport, "admin.token"}}).Get("https://" + c.server)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: was taken for the server", c.server)
			continue
		}
		if got := err.(*url.Error).Err.Error(); got != c.want {
			t.Errorf("%s: told as %q, want %q", c.server, got, c.want)
		}
		transport.CloseIdleConnections()
	}
}
