package host

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/certs"
	"rollcall/protocol/wake"
)

// streams is a push service on loopback, with a certificate of ca's: each stream that it is greeted by.
func streams(t *testing.T, ca *certs.Authority) (address string, greeted <-chan *tls.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.IssueServer([]string{"127.0.0.1"}, key.Public(), time.Now(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, ca.Certificate().Raw}, PrivateKey: key}}, NextProtos: []string{wake.APNs},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	to := make(chan *tls.Conn, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if f, err := wake.ReadFrame(conn, nil); err == nil && f.Kind == wake.Hello {
				to <- conn.(*tls.Conn)
			} else {
				conn.Close()
			}
		}
	}()
	return l.Addr().String(), to
}

// streaming is a machine whose server is of ca, and which is to be woken from an address.
func streaming(t *testing.T, d device, ca *certs.Authority, address string) (h *Host, said messages) {
	h, said = bare(t, filepath.Join(t.TempDir(), "state")), make(messages, 10)
	h.cfg.Log.AddHook(said)
	h.device, h.rec.Courier, h.rec.Link = d, address, &pasted{Host: address, Pin: pinOf(ca.Certificate()), Trusted: ca.Certificate().Raw}
	t.Cleanup(func() { h.deafen(); h.device = nil })
	return h, said
}

// The secret by which a machine is woken is told to nobody but the push service of its own server (HST-120).
func TestHST120AStrangerHearsNoSecret(t *testing.T) {
	t.Parallel()
	own, err := certs.NewIssuer("lab", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.NewIssuer("lab", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	address, greeted := streams(t, other)
	h, said := streaming(t, managed{}, own, address)
	h.listen(t.Context(), true)
	select {
	case <-greeted:
		t.Error("a stranger has the secret")
	case e := <-said:
		if err, _ := e.Data[logrus.ErrorKey].(error); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("%s %v", e.Message, err)
		}
	}
}

// A magical is a managed device whose wake-ups have a magic.
type magical struct{ managed }

func (magical) push() address {
	a := managed{}.push()
	a.magic = "own"
	return a
}

// A push with another magic than the device's is acknowledged, and wakes nobody (APL-109).
func TestAPL109AnotherMagicWakesNobody(t *testing.T) {
	t.Parallel()
	ca, err := certs.NewIssuer("lab", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	address, greeted := streams(t, ca)
	h, _ := streaming(t, magical{}, ca, address)
	woken := h.listen(t.Context(), true)
	conn := <-greeted
	defer conn.Close()
	push := func(conn net.Conn, id byte, payload string) {
		t.Helper()
		if _, err := conn.Write(wake.AppendFrame(nil, wake.Push, []byte{0, 0, 0, id}, []byte(payload))); err != nil {
			t.Fatal(err)
		}
		if f, err := wake.ReadFrame(conn, nil); err != nil || f.Kind != wake.Got || f.Body[3] != id {
			t.Fatalf("push %d: %+v, %v", id, f, err)
		}
	}
	if _, err := conn.Write(wake.AppendFrame(nil, wake.Welcome)); err != nil {
		t.Fatal(err)
	}
	for i, payload := range []string{`{"mdm":"other"}`, `{"mdm":""}`, "own", `{"mdm":"other"}`} {
		push(conn, byte(i), payload) // whose answer follows what became of the one before
		if len(woken) > 0 {
			t.Errorf("woken by what came before %s", payload)
		}
	}
	push(conn, 9, `{"mdm":"own"}`)
	if magic := <-woken; magic != "own" {
		t.Errorf("woken by %q", magic)
	}
}
