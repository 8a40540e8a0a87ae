package cloud

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"time"
)

// patience is how long a service waits, at its end, for requests under way.
const patience = 2 * time.Second

// Serve serves handler by HTTP/1.1 and HTTP/2 over TLS on ln until ctx ends; then it answers what is under way, closes everything, ln
// included, and returns nil. Any other end is an error.
func Serve(ctx context.Context, ln net.Listener, config *tls.Config, handler http.Handler, errors *log.Logger) error {
	srv := &http.Server{
		Handler: handler, TLSConfig: config, ErrorLog: errors, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: time.Hour, MaxHeaderBytes: 16 << 10,
	}
	return ServeUntil(ctx, srv, func() error { return srv.ServeTLS(ln, "", "") }, func() {})
}

// ServeUntil has serve run a server until ctx ends; then it calls before, has the server answer what is under way and close everything,
// and returns nil. Any other end is an error.
func ServeUntil(ctx context.Context, srv *http.Server, serve func() error, before func()) error {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		before()
		late, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if srv.Shutdown(late) != nil {
			srv.Close()
		}
	})
	err := serve()
	if stop() { // the listener failed by itself
		srv.Close()
		return err
	}
	<-ended
	return nil
}
