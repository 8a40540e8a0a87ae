package device

import (
	"bytes"
	"html"
	"net/http"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol/android"
	"rollcall/server"
)

// An enrolment link of an Android device opened in a browser says how to enrol it, and is not used up by that (HST-037).
func TestHST037AndroidLink(t *testing.T) {
	l := newLab(t, func(c *Config) {
		seal, err := certs.NewSeal("orders", c.Now())
		if err != nil {
			t.Fatal(err)
		}
		c.Enrolment.Seal, c.Android = seal, &Android{}
	})
	if err := l.core.Consent(t.Context(), l.pnow(), server.System, server.ConsentAndroid); err != nil {
		t.Fatal(err)
	}
	droid, pc := http.Header{"User-Agent": {"Mozilla/5.0 (Linux; Android 14; A1)"}}, http.Header{"User-Agent": {"Mozilla/5.0 (Windows NT 10.0; Win64; x64)"}}
	for _, mode := range []android.Mode{android.WorkProfilePersonal, android.FullyManaged} {
		token, err := l.core.InviteAndroid(t.Context(), l.pnow(), l.user, mode, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for _, header := range []http.Header{droid, pc, nil, droid} {
			a := l.get("/e/"+token, header)
			text := html.UnescapeString(string(a.body))
			if a.status != 200 || !bytes.Contains(a.body, []byte("<code>"+token+"</code>")) || !bytes.Contains(a.body, []byte(string(mode))) {
				t.Errorf("%s: answered %d %s", mode, a.status, a.body)
			}
			p, err := l.h.Provisioning(token, mode)
			if err != nil {
				t.Fatal(err)
			}
			if has := bytes.Contains([]byte(text), android.Append(nil, p)); has != mode.CompanyOwned() {
				t.Errorf("%s: the text of a QR code is there: %t", mode, has)
			}
		}
		found, err := l.core.AndroidToken(t.Context(), l.pnow(), token, "d-1")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.core.BindAndroidToken(t.Context(), l.pnow(), token, "d-1", [32]byte{}, found); err != nil {
			t.Fatal(err)
		}
		if a := l.get("/e/"+token, pc); a.status != http.StatusNotFound {
			t.Errorf("%s: the link of a device that is on its way is answered %d", mode, a.status)
		}
	}
	if a := l.get("/e/"+l.invite(), droid); a.status != http.StatusForbidden || !bytes.Contains(a.body, []byte("not for Android")) {
		t.Errorf("another link on an Android device is answered %d %s", a.status, a.body)
	}
}
