package device

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
)

// TestHST031OneMoment: all of a request is decided at one moment: a clock that is set while it is on its way changes nothing that was found
// right a moment before. So no request reads the clock twice.
func TestHST031OneMoment(t *testing.T) {
	var reads atomic.Int32 // of the request that is on its way
	paths := map[string]bool{}
	l := newDirectoryLab(t, func(c *Config) {
		seal, err := certs.NewSeal("orders", c.Now())
		if err != nil {
			t.Fatal(err)
		}
		c.Enrolment.Seal, c.Android, c.SignMessage, c.Windows.Terms = seal, &Android{}, true, "Be good."
		now := c.Now
		c.Now = func() time.Time {
			reads.Add(1)
			return now()
		}
	})
	edge := l.h.edge
	l.h.edge = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads.Store(0) // those of the handshake
		edge.ServeHTTP(w, r)
		if n := reads.Load(); n > 1 {
			t.Errorf("%s %s reads the clock %d times", r.Method, r.URL.Path, n)
		}
		if paths[r.URL.Path] = true; r.URL.Path[:3] == "/e/" {
			paths["/e/"] = true
		}
	})
	post := func(p *phone, path, kind string, body []byte) {
		t.Helper()
		if a, err := p.do(http.MethodPost, path, http.Header{"Content-Type": {kind}}, body); err != nil || a.status != http.StatusOK {
			t.Errorf("%s is answered %d %s, %v", path, a.status, a.body, err)
		}
	}

	p := l.phoneOf(udid(1), l.scepFrom(nil, l.open(l.get("/e/"+l.invite(), nil).body))).enrol()
	idle := p.idle()
	body := apple.EncodeMessage(nil, &idle)
	sig, err := certs.SignDetached(body, p.who, l.now())
	l.must(err)
	if a, err := p.do(http.MethodPut, commandPath, http.Header{"Mdm-Signature": {base64.StdEncoding.EncodeToString(sig)}}, body); err != nil || a.status != http.StatusOK {
		t.Errorf("a signed message is answered %d, %v", a.status, err)
	}
	l.order(p.id, protocol.Erase)
	p.send(idle)

	pc, packed, joined := l.pc(pcID(1)), l.pc(pcID(2)), l.pc(pcID(3))
	pc.post(windows.PolicyPath, password(ada, l.ticketFor(l.user)), &windows.GetPolicies{})
	pc.enrol()
	if code := packed.unpacks(packed.packaged(l.newPackage("school", 1))); code != 0 {
		t.Errorf("a machine of a package is answered %x", code)
	}
	back := url.Values{"redirect_uri": {"ms-appx-web://x"}}.Encode()
	if w := l.from("192.0.2.7:1", http.MethodGet, termsPath+"?"+back, "", "Authorization", "Bearer "+ada+"|d-3"); w.Code != http.StatusOK {
		t.Errorf("the terms of use are answered %d", w.Code)
	}
	if f := joined.brings(windows.EnrollmentDevice, ada+"|d-3", windows.ItemEnrollmentData, l.h.blob(ada, l.now())); f != nil {
		t.Error(f)
	}

	l.get("/e/"+l.invites(android.AOSPUser), nil)
	device, ask := l.takesIn()
	if w := ask(l.request(device)); w.Code != http.StatusOK {
		t.Errorf("a request by EST is answered %d", w.Code)
	}
	droid, steady := l.android("d-1")
	for range 3 {
		post(droid, android.CheckInPath, android.ContentType, steady)
	}

	l.setClock(pc.who.Certificate.NotAfter.Add(-30 * day))
	if _, f := pc.ask(password(ada, ""), renewal(t, newKey(), pc.who, l.now())); f != nil {
		t.Error(f)
	}
	post(droid, android.ESTPath+"/simplereenroll", "application/pkcs10", []byte(l.request(droid.who.Certificate.Subject.CommonName)))
	post(droid, android.UnenrollPath, android.ContentType, android.Append(nil, &android.UnenrollRequest{Device: "d-1", Enrollment: "e-1"}))
	l.order(pc.id, protocol.Retire)
	pc.sync()

	for _, path := range []string{
		"/e/", scepPath, commandPath, checkInPath, windows.PolicyPath, windows.EnrollmentPath, windows.ManagementPath, termsPath,
		android.EnrollPath, android.CheckInPath, android.UnenrollPath, android.ESTPath + "/simpleenroll", android.ESTPath + "/simplereenroll",
	} {
		if !paths[path] {
			t.Errorf("nobody came to %s", path)
		}
	}
}
