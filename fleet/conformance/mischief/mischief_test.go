package mischief

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"rollcall/protocol/apple"
)

// both makes a layer with a fault, of a server or of a device.
func both(t *testing.T, id string) *Mischief {
	t.Helper()
	make := New
	if _, device := handsetFaults[id]; device {
		make = NewHandset
	}
	m, err := make(id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFaultsLeaveTheRestAlone: what a fault is not about goes through as it came, and comes back as it was answered.
func TestFaultsLeaveTheRestAlone(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Answer", r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusTeapot)
		w.Write(append([]byte("heard: "), body...))
	})
	for _, id := range append(List(), "") {
		h := both(t, id).BeforeJudge(next, nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/healthz", strings.NewReader("anything")))
		if w.Code != http.StatusTeapot || w.Body.String() != "heard: anything" || w.Header().Get("X-Answer") != "POST /healthz" {
			t.Errorf("%q: %d %q %v", id, w.Code, w.Body, w.Header())
		}
	}
}

// TestFaultIsTaken: a fault works until another one takes its place, and what it remembered is gone then.
func TestFaultIsTaken(t *testing.T) {
	m := both(t, "APL-036")
	h := m.BeforeJudge(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), nil)
	leaves := func() int {
		w := httptest.NewRecorder()
		body := apple.EncodeMessage(nil, &apple.Message{MessageType: apple.CheckOut, UDID: "U", Topic: "t"})
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/mdm", bytes.NewReader(body)))
		return w.Code
	}
	var got []int
	for _, id := range []string{"APL-036", "", "APL-036"} {
		if err := m.Set(id); err != nil {
			t.Fatal(err)
		}
		got = append(got, leaves(), leaves())
	}
	if want := []int{200, 404, 200, 200, 200, 404}; !slices.Equal(got, want) {
		t.Errorf("two CheckOuts with the fault, without and with it: %v, want %v", got, want)
	}
}

// TestHandsetFaultTwice: the device says CheckOut once, and the judge hears it twice.
func TestHandsetFaultTwice(t *testing.T) {
	heard := 0
	h := both(t, "APL-036.device").BeforeJudge(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard++ }), nil)
	body := apple.EncodeMessage(nil, &apple.Message{MessageType: apple.CheckOut, UDID: "U", Topic: "t"})
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "/mdm", bytes.NewReader(body)))
	if heard != 2 {
		t.Errorf("heard %d times, want 2", heard)
	}
}

func TestUnknownFaults(t *testing.T) {
	for id, make := range map[string]func(string) (*Mischief, error){"APL-999": New, "APL-093": New, "APL-053": NewHandset} {
		if _, err := make(id); err == nil || !strings.Contains(err.Error(), "there is no fault against "+`"`+id+`"`) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if n := len(faults) + len(handsetFaults); len(List()) != n || !slices.IsSorted(List()) {
		t.Errorf("%d listed, want %d", len(List()), n)
	}
	for id := range maps.Keys(handsetFaults) {
		if _, twice := faults[id]; twice {
			t.Errorf("%s is a fault of servers and of devices", id)
		}
	}
}

// TestBodyThatBreaksOff is refused, and the server behind hears nothing of it.
func TestBodyThatBreaksOff(t *testing.T) {
	h := both(t, "APL-053").BeforeJudge(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("heard") }), nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/mdm", iotest.ErrReader(errors.New("broken"))))
	if w.Code != http.StatusBadRequest {
		t.Errorf("%d", w.Code)
	}
}
