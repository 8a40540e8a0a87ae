//go:build !agentonly

package main

import (
	"errors"
	"net"
	"net/http"
	"time"

	"rollcall/server/delivery"
	"rollcall/server/logs"
	"rollcall/server/metrics"
)

// monitor serves the server's metrics and probes on a listener of their own.
func (s *runningServer) monitor(listener net.Listener, cfg *serveConfig) {
	s.monitoring = &http.Server{
		Handler: s.metrics.Handler(s.ready), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: logs.Std(cfg.Log),
	}
	s.tasks.Go(func() {
		if err := s.monitoring.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	})
}

// ready tells why devices should not be sent here now. That store and authority are there, it need not ask: nobody listens before.
func (s *runningServer) ready() error {
	if err := s.store.Ready(); err != nil {
		return err
	}
	if s.admission.Shedding() {
		return errors.New("HST-111: overloaded, devices are turned away")
	}
	return nil
}

// state is what each scrape of the metrics shows.
func (s *runningServer) state() metrics.State {
	kept, gates, world := s.store.Stats(), s.admission.State(), s.Server.World()
	st := metrics.State{
		Devices: kept.Devices, StoreBytes: kept.Bytes, Changes: kept.Changes, GroupSize: kept.GroupSize[:], Waiting: kept.Waiting, CommitAge: kept.Age,
		Connections: gates.Connections, Idle: gates.Idle, Evicted: gates.Evicted,
		HandshakesWaiting: gates.Handshakes, HandshakeAge: gates.HandshakeAge, HandshakesAway: gates.HandshakesAway,
		RequestsWaiting: gates.Requests, RequestAge: gates.RequestAge, RequestsAway: gates.RequestsAway,
		GapOpen: s.Server.Content().Campaign.Gap != 0, Campaign: world.Wakes.From != 0 && world.Wakes.Cursor != delivery.Over, Ready: s.ready() == nil,
	}
	if cert := s.Server.Content().Latest(); cert != nil {
		st.PushExpires = cert.NotAfter.Time()
	}
	return st
}
