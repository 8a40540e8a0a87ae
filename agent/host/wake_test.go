package host

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rollcall/agent/courier"
	"rollcall/protocol/apple"
)

// Wake-ups come from the machine's own server and no other host, whatever that says (HST-120).
func TestHST120WakeUpsComeFromItsServer(t *testing.T) {
	t.Parallel()
	said := ""
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(apple.CourierHeader, said) }))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	for _, tt := range []struct {
		said, want string
		none       bool
	}{
		{"5223", "127.0.0.1:5223", false}, {"", "", true}, {"0", "", false}, {"65536", "", false}, {"evil.example.org:5223", "", false}, {"-1", "", false},
	} {
		said = tt.said
		got, err := courierOf(context.Background(), server.Client(), host)
		if got != tt.want || (err == nil) != (tt.want != "") || errors.Is(err, courier.ErrNone) != tt.none {
			t.Errorf("%q: %q, %v", tt.said, got, err)
		}
	}
}

func TestCheckCourier(t *testing.T) {
	for said, want := range map[string]bool{
		"": true, "none": true, "push.example.org:5223": true, "[::1]:5223": true, ":5223": false, "push.example.org": false, "a:0": false, "a:b": false, "a:65536": false,
	} {
		if err := checkCourier(said); (err == nil) != want {
			t.Errorf("%q: %v", said, err)
		}
	}
}
