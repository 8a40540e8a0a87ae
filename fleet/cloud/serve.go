package cloud

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"time"
)

// patience is how long Serve waits, at its end, for requests under way.
const patience = 2 * time.Second

// Serve serves handler by HTTP/1.1 and HTTP/2 over TLS on ln until ctx ends; then it answers what is under way, closes everything, ln
// included, and returns nil. Any other end is an error.
func Serve(ctx context.Context, ln net.Listener, config *tls.Config, handler http.Handler, errors *log.Logger) error {
	srv := &http.Server{
		Handler: handler, TLSConfig: config, ErrorLog: errors, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: time.Hour, MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		late, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if srv.Shutdown(late) != nil {
			srv.Close()
		}
	})
	err := srv.ServeTLS(ln, "", "")
	if stop() { // the listener failed by itself
		srv.Close()
		return err
	}
	<-ended
	return nil
}
