package push

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"rollcall/server/delivery"
)

// TestHST080ChannelURI holds where our access token may go (WIN-043).
func TestHST080ChannelURI(t *testing.T) {
	g := guard{suffix: notifyHosts, hosts: []string{"127.0.0.1:8444", "wns.test"}}
	for _, good := range []string{
		"https://wns2-sg2p.notify.windows.com/w/?token=AwYAAAB%2f", "https://db3.notify.windows.com?token=x", "https://DB3.Notify.Windows.com:443/",
		"https://127.0.0.1:8444/?token=1", "https://wns.test/w/?token=1",
	} {
		if u, err := g.channel([]byte(good)); err != nil || u.Scheme != "https" {
			t.Errorf("channel(%s) = %v, %v, want it taken", good, u, err)
		}
	}
	for _, bad := range []string{
		"", "http://169.254.169.254/", "https://169.254.169.254/", "http://db3.notify.windows.com/", "https://notify.windows.com.evil/", "https://notify.windows.com/",
		"https://.notify.windows.com/", "https://evil.test/.notify.windows.com", "https://x@evil.test/", "https://db3.notify.windows.com@evil.test/", "https://evil@db3.notify.windows.com/",
		"https://[::ffff:127.0.0.1]/", "https://[::1]/", "https://127.0.0.1/", "https://127.0.0.1:8445/", "https://evilnotify.windows.com/", "https://evil.test#.notify.windows.com",
		"https://evil.test?.notify.windows.com", "https://evil.test/@db3.notify.windows.com", `https://evil.test\.notify.windows.com/`, "https://db3.notify.windows.com:8443/",
		"https://db3.notify.windows.com./", "https://a..notify.windows.com/", "https://%65vil.notify.windows.com/", "https://evil.test%00.notify.windows.com/", "https://\u0430.notify.windows.com/",
		"https://db3.notify.windows.com/\r\nHost: evil.test", "https:db3.notify.windows.com", "//db3.notify.windows.com/", "https:///db3.notify.windows.com", "https://wns.test:444/",
		"https://db3.notify.windows.com/" + strings.Repeat("a", maxChannel), "file:///etc/passwd", "https://db3.notify.windows.com/#x",
	} {
		if u, err := g.channel([]byte(bad)); err == nil {
			t.Errorf("channel(%.80q) = %v, want it refused", bad, u)
		} else if strings.Contains(err.Error(), "evil") {
			t.Errorf("channel(%.80q): the error repeats what a device said: %v", bad, err)
		}
	}
}

// TestHST080AddressAtDial: whatever a name resolves to at the moment of the call, only what is public is called.
func TestHST080AddressAtDial(t *testing.T) {
	for _, bad := range []string{
		"127.0.0.1:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "[::ffff:10.0.0.1]:443", "[::ffff:100.64.0.1]:443", "10.1.2.3:443", "172.16.0.1:443", "192.168.1.1:443", "169.254.169.254:443", "[fe80::1%eth0]:443",
		"[fd00:ec2::254]:443", "0.0.0.0:443", "[::]:443", "100.64.0.1:443", "224.0.0.1:443", "255.255.255.255:443", "[64:ff9b::7f00:1]:443", "[2002:7f00:1::]:443", "198.18.0.1:443", "[fec0::1]:443", "[::7f00:1]:443", "[::ffff:0:7f00:1]:443", "", "x:443",
	} {
		if public(bad) == nil {
			t.Errorf("%s may be called", bad)
		}
	}
	for _, good := range []string{"20.197.52.1:443", "[2603:1030::1]:443", "[::ffff:20.197.52.1]:443"} {
		if err := public(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	s := newTokenService(t, nil, answers(200, ""))
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	g := guard{suffix: notifyHosts, hosts: []string{s.host()}}
	if _, err := g.dial(t.Context(), "tcp", "localhost"+port); !errors.Is(err, errNotPublic) {
		t.Errorf("a name that resolves to loopback: %v, want it refused", err)
	}
	if c, err := g.dial(t.Context(), "tcp", s.host()); err != nil {
		t.Errorf("the configured host: %v", err)
	} else {
		c.Close()
	}
	// A name that passes as Microsoft's and is looked up as loopback: nothing arrives there, and nobody else is held.
	w := s.wns(t, s.config())
	w.guard.suffix = "host"
	w.guard.hosts = nil
	n := s.wake()
	n.Token = []byte("https://localhost/w/?token=abc")
	for range 2 * patience {
		if a := w.Push(t.Context(), n); a.Result != delivery.TryLater || !a.Alarm || a.RetryAfter < ourDefect || a.Suspend {
			t.Fatalf("Push = %+v, want an alarm", a)
		}
	}
	if s.calls.Load() != 0 {
		t.Error("it was called")
	}
}

// TestWIN043OutsideIsNeverContacted: no call, and no access token for it either.
func TestWIN043OutsideIsNeverContacted(t *testing.T) {
	s := newTokenService(t, nil, answers(200, ""))
	w := s.wns(t, s.config())
	w.guard.hosts = nil
	a := w.Push(t.Context(), s.wake())
	if a.Result != delivery.BadAddress || !a.Alarm {
		t.Errorf("Push = %+v, want the address refused and an alarm", a)
	}
	if s.calls.Load() != 0 || s.asked.Load() != 0 {
		t.Errorf("%d calls and %d tokens asked for, want none", s.calls.Load(), s.asked.Load())
	}
}

// TestHST080Redirect: nobody is followed, and nobody else gets the token.
func TestHST080Redirect(t *testing.T) {
	other := newTokenService(t, nil, answers(200, ""))
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := newTokenService(t, nil, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		w := s.wns(t, s.config())
		w.guard.hosts = append(w.guard.hosts, other.host())
		if a := w.Push(t.Context(), s.wake()); a.Result != delivery.TryLater || a.RetryAfter < ourDefect || a.Suspend {
			t.Errorf("%d: Push = %+v, want it tried much later", status, a)
		}
	}
	if other.calls.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestHST080LongAnswer: of an endless answer a few kilobytes are read.
func TestHST080LongAnswer(t *testing.T) {
	gone := make(chan int, 1)
	s := newTokenService(t, nil, func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for r.Context().Err() == nil {
			m, err := w.Write(make([]byte, 1024))
			n += m
			if err != nil {
				break
			}
		}
		gone <- n
	})
	w := s.wns(t, s.config())
	if a := w.Push(t.Context(), s.wake()); a.Result != delivery.Accepted {
		t.Errorf("Push = %+v", a)
	}
	<-gone
}

func FuzzHST080ChannelURI(f *testing.F) {
	for _, s := range []string{
		"https://db3.notify.windows.com/w/?token=AwY%2f", "http://169.254.169.254/", "https://notify.windows.com.evil", "https://x@evil", "https://[::ffff:127.0.0.1]/", `https://evil\.notify.windows.com`,
		"https://127.0.0.1:8444/x", "https://a.notify.windows.com:443",
	} {
		f.Add([]byte(s))
	}
	g := guard{suffix: notifyHosts, hosts: []string{"127.0.0.1:8444"}}
	f.Fuzz(func(t *testing.T, text []byte) {
		u, err := g.channel(text)
		if err != nil {
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host || again.Scheme != "https" || again.User != nil {
			t.Fatalf("channel(%q) = %s, which reads as %v, %v", text, u, again, err)
		}
		req, err := http.NewRequest("POST", u.String(), nil)
		if err != nil {
			t.Fatalf("channel(%q): %v", text, err)
		}
		if h := req.URL.Host; h != "127.0.0.1:8444" && !strings.HasSuffix(h, ".notify.windows.com") {
			t.Fatalf("channel(%q) calls %s", text, h)
		}
	})
}
