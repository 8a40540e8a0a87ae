//go:build unix

package load

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet"
	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// A rate above what the generator reaches against a server that does nothing is refused a verdict (HST-126).
func TestHST126Ceiling(t *testing.T) {
	c := Config{Link: link.Config{KeepOpen: true}, Pace: Constant(1e6, time.Second)}
	k, err := Calibrate(t.Context(), c, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if k.Ceiling <= 0 || k.Headroom >= 1 || !strings.Contains(k.Refuses(), "generator saturated: 1,000,000 a second") {
		t.Errorf("%+v: %q", k, k.Refuses())
	}
	c.Pace = Constant(10, time.Second)
	if k.Asked, k.Headroom = k.Ceiling/10, 10; k.Refuses() != "" {
		t.Errorf("%+v: %q", k, k.Refuses())
	}
	c.Devices = append(c.Devices, newPhone(1))
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	k.Asked = 2 * k.Ceiling
	got, _, err := l.Tell(Setting{}, Enrolled{}, Generator{Calibration: k})
	if err != nil || got.Verdict != report.Invalid || got.Err() == nil {
		t.Errorf("%+v (%v)", got, err)
	}
}

// Calibration enrols by SCEP where the run does, and orders where it does; a run whose own conversations cost more than calibration's reaches
// so much less, whatever it was that cost more.
func TestHST126CalibrationDoesWhatTheRunDoes(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	calibrate := func(c Config) *Calibration {
		t.Helper()
		c.CPU = cpu
		k, err := Calibrate(t.Context(), c, 300*time.Millisecond)
		if err != nil || k.Ceiling <= 0 || k.PerCPUSecond == 0 { // how much it is, is this machine's affair
			t.Fatalf("%+v (%v)", k, err)
		}
		return k
	}
	minted := func(*dialect.Apple, *dialect.SCEP) (crypto.Signer, *x509.Certificate, error) {
		return nil, nil, errors.New("calibration has a CA of its own")
	}
	enrolments := Config{Enrolments: true, Pace: Constant(1, time.Second), Link: link.Config{TransportKeys: []*rsa.PrivateKey{key}}}
	by := calibrate(enrolments)
	enrolments.Link.Identity = minted
	if without := calibrate(enrolments); len(by.LeavesOut) > 0 || by.PerCPUSecond > 0.8*without.PerCPUSecond {
		t.Errorf("enrolments by SCEP %+v, minted ones %+v", by, without)
	}
	checkins := Config{Pace: Constant(1, time.Second), Link: kept}
	plain := calibrate(checkins)
	checkins.Acts = []Act{{}}
	if ordered := calibrate(checkins); ordered.PerCPUSecond > 0.8*plain.PerCPUSecond {
		t.Errorf("with orders %+v, without %+v", ordered, plain)
	}
}

// What the run's own conversations cost corrects the ceiling downwards alone, and convicts a run that asks for more.
func TestHST126Reach(t *testing.T) {
	for _, tt := range []struct {
		name          string
		conversations uint64
		used          time.Duration
		reach         float64
		refuses       string
	}{
		{"no run", 0, 0, 1000, ""},
		{"too short a run", 3, 900 * time.Millisecond, 1000, ""},
		{"cheaper", 5000, 5 * time.Second, 1000, ""},
		{"dearer", 2000, 5 * time.Second, 800, ""},
		{"four times as dear", 1250, 10 * time.Second, 250, "400 a second were asked for, and with conversations as dear as this run's this generator reaches 250"},
	} {
		k := &Calibration{Ceiling: 1000, PerCPUSecond: 500, Asked: 400}
		k.corrected(tt.conversations, tt.used)
		if k.Reach != tt.reach || k.Headroom != tt.reach/400 || (tt.refuses == "") != (k.Refuses() == "") || !strings.Contains(k.Refuses(), tt.refuses) {
			t.Errorf("%s: %+v, %q", tt.name, k, k.Refuses())
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Millisecond) })
		defer r.close()
		used := time.Duration(0)
		c := Config{Link: kept, Pace: Constant(50, 2*time.Second), CPU: func() time.Duration { used += 20 * time.Second; return used }}
		g := Generator{Calibration: &Calibration{Ceiling: 1000, PerCPUSecond: 500, Asked: 50}}
		got, x, _ := r.judged(t.Context(), 20, c, plain, g, func() {})
		if k := x.Generator.Calibration; got.Verdict != report.Invalid || k.OwnPerCPUSecond != 5 || k.Reach != 10 || k.Headroom != 0.2 {
			t.Errorf("%s %q: %+v", got.Verdict, got.Reasons, k)
		}
	})
}

// What calibration does not do, a result says, and also that there was none.
func TestCalibrateLeavesOut(t *testing.T) {
	c := Config{Acts: []Act{{}}, Devices: []fleet.Device{newPhone(1), new(dialect.Windows)}}
	list := strings.Join(c.uncalibrated(), "; ")
	for _, want := range []string{"Windows and Android", "orders other than", "a rate to hold"} {
		if !strings.Contains(list, want) {
			t.Errorf("%s; want %s", list, want)
		}
	}
	var x Section
	if got := strings.Join(x.notShown(lang.English), " "); !strings.Contains(got, "it was not calibrated") {
		t.Error(got)
	}
	x.Generator.Calibration = &Calibration{LeavesOut: c.uncalibrated()}
	if got := strings.Join(x.notShown(lang.English), " "); !strings.Contains(got, "calibration left out: "+list) {
		t.Error(got)
	}
	x.Generator.Calibration.OwnPerCPUSecond = 100
	if got := strings.Join(x.notShown(lang.English), " "); !strings.Contains(got, "calibration left out: "+list) { // no rate was asked for
		t.Error(got)
	}
	x.Generator.Calibration.Asked = 10
	if got := strings.Join(x.notShown(lang.English), " "); strings.Contains(got, "calibration left out") {
		t.Error(got)
	}
}
