package courier

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/protocol/wake"
)

const topic = "com.apple.mgmt.External.6f1c"

var token = []byte(strings.Repeat("t", wake.TokenSize))

// A scene is a device's courier in a bubble, and the services that it connects to, one after the other.
type scene struct {
	t        *testing.T
	services chan *tls.Conn
	woken    chan struct{}
	config   Config
	serves   *tls.Config // of each
}

func newScene(t *testing.T) *scene {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"push.example.org"}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c)
	log := logrus.New()
	log.SetOutput(io.Discard)
	s := &scene{t: t, services: make(chan *tls.Conn), woken: make(chan struct{}, 100), serves: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{wake.APNs}, SessionTicketsDisabled: true,
	}}
	s.config = Config{
		Address: func(context.Context) (string, error) { return "push.example.org:5223", nil },
		TLS:     &tls.Config{RootCAs: roots}, ALPN: wake.APNs, Topic: topic, Token: token, Log: log,
		Counts: func(payload []byte) bool { return strings.Contains(string(payload), `"magic"`) },
		Woken:  func() { s.woken <- struct{}{} },
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			server := tls.Server(theirs, s.serves)
			select {
			case s.services <- server:
				return ours, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}
	return s
}

func (s *scene) run() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, s.config)
	}()
	return func() { cancel(); <-done }
}

func (s *scene) send(c *tls.Conn, kind wake.Kind, parts ...string) {
	s.t.Helper()
	if _, err := c.Write(wake.AppendFrame(nil, kind, []byte(strings.Join(parts, "")))); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) want(c *tls.Conn, kind wake.Kind, body string) {
	s.t.Helper()
	f, err := wake.ReadFrame(c, nil)
	if err != nil || f.Kind != kind || string(f.Body) != body {
		s.t.Fatalf("got kind %d %q, %v; want kind %d %q", f.Kind, f.Body, err, kind, body)
	}
}

// welcome takes the next stream.
func (s *scene) welcome() *tls.Conn {
	s.t.Helper()
	c := <-s.services
	s.want(c, wake.Hello, string(token)+topic)
	s.send(c, wake.Welcome)
	return c
}

// An idle machine is up once a beat, for a day and on one stream (no more than once a minute).
func TestAnIdleStreamBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		stop := s.run()
		c := s.welcome()
		begun := time.Now()
		const beats = int(24 * time.Hour / wake.Beat)
		var first time.Time
		for range beats {
			s.want(c, wake.Ping, "")
			if first.IsZero() {
				first = time.Now()
			}
			s.send(c, wake.Pong)
		}
		if took := time.Since(first); took != 24*time.Hour-wake.Beat || first.Sub(begun) <= wake.Beat-time.Minute || first.Sub(begun) > wake.Beat || Together(first, wake.Beat) != wake.Beat {
			t.Errorf("the first of %d beats took %v, the others %v", beats, first.Sub(begun), took)
		}
		time.Sleep(wake.Beat / 7) // something comes in between: the beat after it is on the minute again
		s.send(c, wake.Push, "\x00\x00\x00\x01{}")
		s.want(c, wake.Got, "\x00\x00\x00\x01")
		s.want(c, wake.Ping, "")
		if now := time.Now(); Together(now, wake.Beat) != wake.Beat {
			t.Errorf("a beat at %v is not on the minute", now)
		}
		stop()
	})
}

// A push is answered, and wakes with the device's magic alone (APL-109).
func TestAPL109OnlyItsMagicWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		stop := s.run()
		c := s.welcome()
		for number, tt := range []struct {
			payload string
			wakes   int
		}{
			{`{"mdm":"magic"}`, 1}, {`{"mdm":"another"}`, 0}, {`{"mdm":""}`, 0}, {`{}`, 0}, {"no JSON", 0}, {"", 0}, {`{"mdm":"magic"}`, 1},
		} {
			n := string([]byte{0, 0, 0, byte(number)})
			s.send(c, wake.Push, n, tt.payload)
			s.want(c, wake.Got, n)
			synctest.Wait()
			if len(s.woken) != tt.wakes {
				t.Errorf("%q woke %d times, want %d", tt.payload, len(s.woken), tt.wakes)
			}
			for len(s.woken) > 0 {
				<-s.woken
			}
		}
		stop()
	})
}

// However a stream ends, or does not come about, the courier tries again, and not at once; a service that does not answer is left.
func TestAStreamIsMadeAgain(t *testing.T) {
	for name, end := range map[string]func(s *scene) *tls.Conn{
		"cut": func(s *scene) *tls.Conn {
			c := s.welcome()
			c.NetConn().Close()
			return c
		},
		"refused": func(s *scene) *tls.Conn {
			c := <-s.services
			s.want(c, wake.Hello, string(token)+topic)
			s.send(c, wake.Bye, "no")
			return c
		},
		"nonsense": func(s *scene) *tls.Conn {
			c := s.welcome()
			c.Write([]byte("GET / HTTP/1.1\r\n"))
			return c
		},
		"a device's word": func(s *scene) *tls.Conn {
			c := s.welcome()
			s.send(c, wake.Got, "1234")
			return c
		},
		"another word than welcome": func(s *scene) *tls.Conn {
			c := <-s.services
			s.want(c, wake.Hello, string(token)+topic)
			s.send(c, wake.Pong)
			return c
		},
		"silent before the welcome": func(s *scene) *tls.Conn {
			c := <-s.services
			s.want(c, wake.Hello, string(token)+topic)
			return c
		},
		"silent after a beat": func(s *scene) *tls.Conn {
			c := s.welcome()
			s.want(c, wake.Ping, "")
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t)
				stop := s.run()
				c := end(s)
				if n, err := c.Read(make([]byte, 1)); err == nil {
					t.Errorf("the courier says %d bytes more", n)
				}
				left := time.Now()
				c = s.welcome()
				if wait := time.Since(left); wait < firstWait/2 {
					t.Errorf("back after %v", wait)
				}
				s.send(c, wake.Push, "0001", `{"mdm":"magic"}`)
				s.want(c, wake.Got, "0001")
				<-s.woken
				stop()
			})
		})
	}
}

// A service that is never there is tried ever more rarely, ten minutes apart in the end.
func TestTriesBecomeRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		stop := s.run()
		left := time.Now()
		for i := range 14 {
			c := <-s.services
			if most := min(firstWait<<max(i-1, 0), mostWait); i > 0 && (time.Since(left) < most/2 || time.Since(left) > most) {
				t.Errorf("try %d came after %v, want half of %v to all of it", i, time.Since(left), most)
			}
			c.NetConn().Close()
			left = time.Now()
		}
		stop()
	})
}

// A stream is of TLS 1.3: older ones would show who the device is.
func TestAStreamIsOfTLS13(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.serves.MaxVersion = tls.VersionTLS12
		stop := s.run()
		c := <-s.services
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("it was told %d bytes", n)
		}
		stop()
	})
}

// Whoever asks how a stream stands hears when it came up, when it woke and why it is down, in this order.
func TestHowAStreamStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		begun := time.Now()
		var states []State
		s.config.Changed = func(x State) {
			if x.Service != "pipe" {
				t.Errorf("of %q", x.Service)
			}
			states = append(states, x)
		}
		stop := s.run()
		c := s.welcome()
		time.Sleep(time.Minute)
		s.send(c, wake.Push, "0001", `{"mdm":"another"}`)
		s.want(c, wake.Got, "0001")
		s.send(c, wake.Push, "0002", `{"mdm":"magic"}`)
		s.want(c, wake.Got, "0002")
		<-s.woken
		s.send(c, wake.Bye, "for now")
		synctest.Wait()
		stop()
		if len(states) != 3 {
			t.Fatalf("%+v", states)
		}
		up, woken, down := states[0], states[1], states[2]
		if !up.Since.Equal(begun) || !up.Pushed.IsZero() || up.Why != "" {
			t.Errorf("up: %+v", up)
		}
		if !woken.Since.Equal(begun) || !woken.Pushed.Equal(begun.Add(time.Minute)) {
			t.Errorf("woken: %+v", woken)
		}
		if !down.Since.IsZero() || !down.Pushed.Equal(woken.Pushed) || !strings.Contains(down.Why, "for now") || down.None {
			t.Errorf("down: %+v", down)
		}
	})
}

// A service that shows another certificate learns nothing, and a server without a stream is asked again in its time.
func TestNobodyElseIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.config.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		stop := s.run()
		c := <-s.services
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("it was told %d bytes", n)
		}
		stop()
		asked := make(chan time.Time)
		s.config.Address = func(context.Context) (string, error) {
			asked <- time.Now()
			return "", errors.Join(ErrNone)
		}
		stop = s.run()
		if first := <-asked; (<-asked).Sub(first) != mostWait {
			t.Error("asked again too soon")
		}
		stop()
	})
}

// A service that has no streams for devices of this kind is none, and is not asked again at once.
func TestAServiceOfAnotherKindIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.config.ALPN = wake.FCM
		states := make(chan State, 10)
		s.config.Changed = func(state State) { states <- state }
		stop := s.run()
		c := <-s.services
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("it spoke to a service of Apple's")
		}
		if state := <-states; !state.None || !strings.Contains(state.Why, ErrNone.Error()) {
			t.Errorf("it says %+v", state)
		}
		stop()
	})
}
